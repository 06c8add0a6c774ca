#!/usr/bin/env bash
# Runs examples as they are: the Rust code of README.md, the Rust example and six of the C examples
# together with a serf agent, and the two demos of examples/cluster.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

cargo build --locked --quiet --lib --example watch
rlib=$TARGET/debug/libsprat.rlib
rustdoc --edition 2024 --test README.md --crate-name readme -L "$TARGET/debug/deps" \
    --extern "sprat=$rlib"

build_release
prefix=$TARGET/examples
PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= scripts/install.sh install
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
mkdir -p "$prefix/bin"
cp "$TARGET/debug/examples/watch" "$prefix/bin/rust-watch"
for name in watch callback dispatch event query uv; do
    needs=(sprat)
    [ $name != uv ] || needs+=(libuv)
    read -r -a flags <<<"$(pkg-config --cflags --libs "${needs[@]}")"
    cc -Wall -Wextra -Werror -o "$prefix/bin/$name" "examples/c/$name.c" "${flags[@]}" \
        -Wl,-rpath,"$prefix/lib"
done
python3 scripts/test-examples.py "$prefix/bin"
examples/cluster/run.sh
examples/cluster/keys.sh
