#!/usr/bin/env bash
# `install.sh install` installs the C library, its header, its pkg-config and CMake files, and the
# suppressions for ThreadSanitizer under PREFIX, staged in DESTDIR. `install.sh uninstall` removes
# these files.
set -euo pipefail
. "$(dirname "$0")/env.sh"

: "${PREFIX:=/usr/local}" "${LIBDIR:=$PREFIX/lib}" "${INCLUDEDIR:=$PREFIX/include}" "${DESTDIR:=}"
version=$(sed -n '/^version = /{s/^version = "\(.*\)"/\1/p;q}' "$ROOT/Cargo.toml")
soname=libsprat.so.0
real=libsprat.so.$version
lib=$DESTDIR$LIBDIR
include=$DESTDIR$INCLUDEDIR
cmake=$lib/cmake/sprat
share=$DESTDIR$PREFIX/share/sprat
files=("$lib/$real" "$lib/$soname" "$lib/libsprat.so" "$lib/libsprat.a" "$include/sprat.h"
    "$lib/pkgconfig/sprat.pc" "$cmake/spratConfig.cmake" "$cmake/spratConfigVersion.cmake"
    "$share/tsan.supp")

# Replaces the @NAME@ placeholders of a template. The paths in the CMake files are relative to the
# files, so that the installed tree can be moved.
fill() {
    sed -e "s|@VERSION@|$version|g" -e "s|@REAL@|$real|g" -e "s|@SONAME@|$soname|g" \
        -e "s|@PREFIX@|$PREFIX|g" -e "s|@LIBDIR@|$LIBDIR|g" -e "s|@INCLUDEDIR@|$INCLUDEDIR|g" \
        -e "s|@LIB_FROM_CMAKE@|../..|g" \
        -e "s|@INCLUDE_FROM_CMAKE@|$(realpath -m --relative-to="$LIBDIR/cmake/sprat" \
            "$INCLUDEDIR")|g" "$1"
}

# Files are replaced by renaming: a running program keeps the library that it has mapped, and a
# compiler that runs at the same time reads either the old file or the new one.
put() { # mode, source, destination
    install -m "$1" "$2" "$3.$$.new"
    mv -f "$3.$$.new" "$3"
}

put_filled() { # template, destination
    fill "$1" | put 644 /dev/stdin "$2"
}

case ${1:-} in
install)
    built=$TARGET/release
    [ -f "$built/libsprat.so" ] && [ -f "$built/libsprat.a" ] || build_release
    install -d "$lib/pkgconfig" "$cmake" "$include" "$share"
    put 755 "$built/libsprat.so" "$lib/$real"
    ln -sfn "$real" "$lib/$soname"
    ln -sfn "$soname" "$lib/libsprat.so"
    put 644 "$built/libsprat.a" "$lib/libsprat.a"
    put 644 "$ROOT/include/sprat.h" "$include/sprat.h"
    put 644 "$ROOT/packaging/tsan.supp" "$share/tsan.supp"
    put_filled "$ROOT/packaging/sprat.pc.in" "$lib/pkgconfig/sprat.pc"
    put_filled "$ROOT/packaging/spratConfig.cmake.in" "$cmake/spratConfig.cmake"
    put_filled "$ROOT/packaging/spratConfigVersion.cmake.in" "$cmake/spratConfigVersion.cmake"
    ;;
uninstall)
    rm -f "${files[@]}"
    rmdir --ignore-fail-on-non-empty "$cmake" "$share" 2>/dev/null || true
    ;;
*)
    die "usage: install.sh install|uninstall"
    ;;
esac
