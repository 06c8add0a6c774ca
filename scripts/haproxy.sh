#!/usr/bin/env bash
# The module for HAProxy, stripped, the script that loads it, and sprat-hap: target/haproxy.
set -euo pipefail
. "$(dirname "$0")/env.sh"

cd "$ROOT"
cargo build --locked --profile guest -p sprat-lua -p sprat-hap
out=$TARGET/haproxy
mkdir -p "$out"
strip -o "$out/sprat.so" "$TARGET/guest/libsprat_lua.so"
strip -o "$out/sprat-hap" "$TARGET/guest/sprat-hap"
cp bindings/haproxy/lua/sprat-haproxy.lua "$out/"
say "$out: sprat.so, sprat-haproxy.lua, sprat-hap; bindings/haproxy/README.md says where they go"
