#!/usr/bin/env bash
# Builds and installs the library, compiles three programs of examples/c as users compile theirs, and
# runs the demo. `make demo-c` calls this script after scripts/setup.sh.
set -euo pipefail
. "$(dirname "$0")/../../scripts/env.sh"

say "Building libsprat (the first time this takes a minute or two) ..."
build_release
prefix=$TARGET/demo
PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= "$ROOT/scripts/install.sh" install
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -r -a flags <<<"$(pkg-config --cflags --libs sprat)"
for name in watch event query; do
    cc -o "$prefix/$name" "$ROOT/examples/c/$name.c" "${flags[@]}" -Wl,-rpath,"$prefix/lib"
done
exec python3 "$ROOT/examples/cluster/demo.py" "$prefix"
