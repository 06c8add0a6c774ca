#!/usr/bin/env bash
# The reference of the Python package from its docstrings: target/docs/python/index.html.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

python_env
out=$TARGET/docs/python
cd "$TARGET"   # beside the sources Python would find those instead of what is installed
install_wheel
rm -rf "$out"
"$VENV/bin/python" -m pdoc --template-directory "$PACKAGE/pdoc" --output-directory "$out" sprat sprat.aio
say "$out/index.html"
