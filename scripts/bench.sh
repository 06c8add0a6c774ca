#!/usr/bin/env bash
# Measures the codec, the core, a cluster of C programs and one of serf agents, and the Python
# package. Takes about five minutes. The environment changes the size: SPRAT_BENCH_NODES is the
# number of nodes of each cluster (25), SPRAT_BENCH_REST the seconds at rest (30), and
# SPRAT_BENCH_KILLS the number of nodes that are killed (5).
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT"

build_release
prefix=$TARGET/bench
PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= scripts/install.sh install
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -r -a flags <<<"$(pkg-config --cflags --libs sprat)"
cc -O2 -o "$prefix/watch" examples/c/watch.c "${flags[@]}" -Wl,-rpath,"$prefix/lib"
export SPRAT_WATCH=$prefix/watch
strip -o "$prefix/stripped.so" "$prefix/lib/libsprat.so"
say "stripped library: $(stat -c %s "$prefix/stripped.so") bytes"
cargo bench --locked --quiet --bench codec
cargo bench --locked --quiet --bench core
cargo bench --locked --quiet --bench nodes
python_env
install_wheel
SPRAT_LIBRARY=$prefix/stripped.so "$VENV/bin/python" benches/python.py
