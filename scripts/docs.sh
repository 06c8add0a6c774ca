#!/usr/bin/env bash
# Builds the references: the Rust crate's in target/doc, the Python package's in target/docs/python.
# A warning of rustdoc is an error.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
say "$TARGET/doc/sprat/index.html"
scripts/python-docs.sh
