#!/usr/bin/env bash
# Writes the reference of the Python package, made from its docstrings, to target/docs/python.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

python_env
out=$TARGET/docs/python
cd "$TARGET"   # in the folder of the sources, Python would import them and not the wheel
install_wheel
rm -rf "$out"
"$VENV/bin/python" -m pdoc --template-directory "$PACKAGE/pdoc" --output-directory "$out" sprat sprat.aio \
    sprat.testing sprat.pytest_plugin
say "$out/index.html"
