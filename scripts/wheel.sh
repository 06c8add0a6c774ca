#!/usr/bin/env bash
# What is uploaded: a manylinux2014 wheel for this kind of processor and the source distribution,
# in target/wheels. Each is installed into a fresh environment and tried.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"

python_env
out=$TARGET/wheels
rm -f "$out"/*.whl "$out"/*.tar.gz
cd "$PACKAGE"
# zig links against the C library of 2012, so that the wheel runs on everything since then.
PATH=$VENV/bin:$PATH maturin build --release --locked --quiet --zig --compatibility manylinux2014 \
    --out "$out"
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
