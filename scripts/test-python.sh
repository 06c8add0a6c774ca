#!/usr/bin/env bash
# The Python package: builds the wheel, installs it into an environment of its own, compares the
# stub with it, and runs the tests on it, warnings as errors.
set -euo pipefail
export SPRAT_PROFILE=${SPRAT_PROFILE:-dev}
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

python_env
install_wheel
cd "$PACKAGE"
# Beside the sources Python would find those instead of what was installed.
(cd tests && "$VENV/bin/python" -m mypy.stubtest sprat --mypy-config-file ../pyproject.toml)
# Tests wait more than they compute.
"$VENV/bin/python" -m pytest -q -n "${SPRAT_PYTEST_WORKERS:-4}" "$@"
