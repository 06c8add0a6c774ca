#!/usr/bin/env bash
# The module for HAProxy, stripped, and the script that loads it: target/haproxy.
set -euo pipefail
. "$(dirname "$0")/env.sh"

cd "$ROOT"
cargo build --locked --release -p sprat-lua
out=$TARGET/haproxy
mkdir -p "$out"
strip -o "$out/sprat.so" "$TARGET/release/libsprat_lua.so"
cp bindings/haproxy/lua/sprat-haproxy.lua "$out/"
say "$out/sprat.so and $out/sprat-haproxy.lua; bindings/haproxy/README.md says where they go"
