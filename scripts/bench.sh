#!/usr/bin/env bash
# Measures the codec, the core, sprat beside its peers, and the Python package; about 25 minutes.
# `bench.sh` runs all of them, `bench.sh NAME...` only the named ones: codec, core, peers, size,
# python. benches/peers/README.md lists the environment variables that change the size of `peers`.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT"

prefix=$TARGET/bench
peers=$TARGET/peers/release
mkdir -p "$prefix"

# Builds the library as it is shipped, and prints its size.
build_library() {
    build_release
    PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= scripts/install.sh install
    strip -o "$prefix/stripped.so" "$prefix/lib/libsprat.so"
    say "stripped library: $(stat -c %s "$prefix/stripped.so") bytes"
}

# Builds the programs of benches/peers.
build_peers() {
    cargo build --locked --quiet --release --manifest-path benches/peers/Cargo.toml \
        --target-dir "$TARGET/peers"
}

# Builds the programs that `peers` starts and that are not in its workspace.
build_nodes() {
    local flags
    build_library
    read -r -a flags <<<"$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs sprat)"
    cc -O2 -o "$prefix/watch" examples/c/watch.c "${flags[@]}" -Wl,-rpath,"$prefix/lib"
    (cd benches/peers/go && GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$prefix/go-peer" .)
    export SPRAT_WATCH=$prefix/watch SPRAT_GO_PEER=$prefix/go-peer
}

bench() {
    say "=== $1"
    case $1 in
    codec | core) cargo bench --locked --quiet --bench "$1" ;;
    peers)
        build_nodes
        build_peers
        "$peers/peers"
        ;;
    size)
        build_peers
        "$peers/table-size" "$prefix/table-size.svg"
        say "drawn: $prefix/table-size.svg"
        ;;
    python)
        build_library
        python_env
        install_wheel
        SPRAT_LIBRARY=$prefix/stripped.so "$VENV/bin/python" benches/python.py
        ;;
    *) die "there is no bench '$1'; the benches are codec, core, peers, size and python" ;;
    esac
}

[ $# != 0 ] || set -- codec core peers size python
for name in "$@"; do bench "$name"; done
