#!/usr/bin/env bash
# Builds the module for HAProxy and sprat-hap, and puts both, stripped, into target/haproxy. The Lua
# script that loads the module is copied there, too.
set -euo pipefail
. "$(dirname "$0")/env.sh"

cd "$ROOT"
build_haproxy
out=$TARGET/haproxy
mkdir -p "$out"
strip -o "$out/sprat.so" "$BUILT/libsprat_lua.so"
strip -o "$out/sprat-hap" "$BUILT/sprat-hap"
cp bindings/haproxy/lua/sprat-haproxy.lua "$out/"
say "$out: sprat.so, sprat-haproxy.lua, sprat-hap; bindings/haproxy/README.md says where they go"
