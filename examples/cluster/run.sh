#!/usr/bin/env bash
# Builds and installs the library, compiles examples/c/watch.c as users compile their programs, and
# runs the demo. `make demo-c` calls this script after scripts/setup.sh.
set -euo pipefail
. "$(dirname "$0")/../../scripts/env.sh"

say "Building libsprat (the first time this takes a minute or two) ..."
build_release
prefix=$TARGET/demo
PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= "$ROOT/scripts/install.sh" install
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -r -a flags <<<"$(pkg-config --cflags --libs sprat)"
cc -o "$prefix/watch" "$ROOT/examples/c/watch.c" "${flags[@]}" -Wl,-rpath,"$prefix/lib"
exec python3 "$ROOT/examples/cluster/demo.py" "$prefix/watch"
