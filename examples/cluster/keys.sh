#!/usr/bin/env bash
# Builds the library, the C program and the Python package, and runs the demo of a change of keys.
# `make demo-keys` calls this script after scripts/setup.sh.
set -euo pipefail
export SPRAT_PROFILE=${SPRAT_PROFILE:-guest-dev}
. "$(dirname "$0")/../../scripts/env.sh"
. "$ROOT/scripts/python.sh"

say "Building libsprat and the Python package (the first time this takes a few minutes) ..."
python_env
install_wheel
build_example "$TARGET/demo-keys/watch"
exec "$VENV/bin/python" "$ROOT/examples/cluster/keys.py" "$TARGET/demo-keys"
