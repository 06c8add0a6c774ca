#!/usr/bin/env bash
# Builds the module for HAProxy and sprat-hap, and tests them with the HAProxy of this machine, or
# with the one that the variable HAPROXY names:
# `HAPROXY=/opt/haproxy-3.4/haproxy scripts/test-haproxy.sh`.
set -euo pipefail
export SPRAT_PROFILE=${SPRAT_PROFILE:-guest-dev}
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

export HAPROXY=${HAPROXY:-haproxy}
version=$("$HAPROXY" -v) || die "$HAPROXY does not run"
echo "${version%%$'\n'*}"

python_env
cd "$ROOT"
cargo test --locked --quiet --profile guest-dev -p sprat-haproxy -p sprat-hap
build_haproxy
install_wheel
build_example "$TARGET/test-haproxy/spoe_agent"
# HAProxy loads the module as root, and then changes its user and its root directory.
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo -E env "PATH=$PATH" "CARGO_TARGET_DIR=$TARGET")
cd bindings/haproxy/tests
"${sudo[@]}" "$VENV/bin/python" -m pytest -q -p no:cacheprovider -n "${SPRAT_PYTEST_WORKERS:-4}" "$@"
