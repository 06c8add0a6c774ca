#!/usr/bin/env bash
# Builds the wheel of the Python package, installs it into a virtual environment, compares the type
# stub with it, and runs the tests with warnings as errors.
set -euo pipefail
export SPRAT_PROFILE=${SPRAT_PROFILE:-guest-dev}
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

python_env
install_wheel
cd "$PACKAGE"
# In the folder of the sources, Python would import them and not the installed package.
(cd tests && "$VENV/bin/python" -m mypy.stubtest sprat --mypy-config-file ../pyproject.toml)
# The tests mostly wait, so more of them run at once than there are processors.
"$VENV/bin/python" -m pytest -q -n "${SPRAT_PYTEST_WORKERS:-4}" "$@"
