#!/usr/bin/env bash
# Builds the programs of the hosts as a user would, and starts the demo. `make demo` calls this
# script after its set-up.
set -euo pipefail
. "$(dirname "$0")/../../scripts/env.sh"
. "$ROOT/scripts/python.sh"

say "Building the library, the Python package and the HAProxy module (minutes the first time) ..."
"$ROOT/scripts/haproxy.sh" >/dev/null
python_env
install_wheel

export SPRAT_HAPROXY=$TARGET/haproxy SPRAT_C_SERVER=$TARGET/demo/web_server
build_example "$SPRAT_C_SERVER" libmicrohttpd
exec "$VENV/bin/python" "$ROOT/examples/haproxy/demo.py"
