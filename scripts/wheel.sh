#!/usr/bin/env bash
# Builds the files for upload in target/wheels: a manylinux2014 wheel for this processor
# architecture, and the source distribution. Installs each into a fresh virtual environment and
# tries it.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

python_env
out=$TARGET/wheels
rm -f "$out"/*.whl "$out"/*.tar.gz
cd "$PACKAGE"
# zig links against glibc 2.17 of 2012, so that the wheel runs on every system with that or a later
# glibc.
PATH=$VENV/bin:$PATH maturin build --profile guest --locked --quiet --zig \
    --compatibility manylinux2014 --out "$out"
"$VENV/bin/maturin" sdist --out "$out"

for file in "$out"/*.whl "$out"/*.tar.gz; do
    say "trying $(basename "$file")"
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    python3 -m venv "$fresh/venv"
    "$fresh/venv/bin/pip" install --quiet --disable-pip-version-check "$file"
    (cd "$fresh" && venv/bin/python -W error "$PACKAGE/tests/smoke.py")
    "$fresh/venv/bin/sprat" --version
    rm -rf "$fresh"
done
ls -l "$out"/*.whl "$out"/*.tar.gz
