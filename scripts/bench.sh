#!/usr/bin/env bash
# Measures the codec, and a cluster of C programs beside one of serf agents. SPRAT_BENCH_NODES
# (25), SPRAT_BENCH_REST (30 s) and SPRAT_BENCH_KILLS (5) change the size; about four minutes.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

build_release
mkdir -p "$TARGET/c"
cc -O2 -D_GNU_SOURCE -I include -o "$TARGET/c/watch-bench" examples/c/watch.c \
    -L "$TARGET/release" -lsprat -Wl,-rpath,"$TARGET/release"
export SPRAT_WATCH=$TARGET/c/watch-bench
say "stripped library: $(strip -o "$TARGET/c/stripped.so" "$TARGET/release/libsprat.so" &&
    stat -c %s "$TARGET/c/stripped.so") bytes"
cargo bench --locked --quiet --bench codec
cargo bench --locked --quiet --bench nodes
