#!/usr/bin/env bash
# Installs the C library into a temporary directory and uses it as programs do: shared and static,
# with pkg-config and with CMake, and in the quick start of the documentation.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strict=(-Wall -Wextra -Wpedantic -Werror)
build_release

check_files() { # root libdir includedir datadir
    local file
    for file in "$2/libsprat.so.0.1.0" "$2/libsprat.a" "$3/sprat.h" "$2/pkgconfig/sprat.pc" \
        "$2/cmake/sprat/spratConfig.cmake" "$2/cmake/sprat/spratConfigVersion.cmake" \
        "$4/sprat/tsan.supp"; do
        [ -f "$1$file" ] || die "not installed: $file"
    done
    [ "$(readlink "$1$2/libsprat.so")" = libsprat.so.0 ] || die "libsprat.so links elsewhere"
    [ "$(readlink "$1$2/libsprat.so.0")" = libsprat.so.0.1.0 ] || die "libsprat.so.0 links elsewhere"
    [[ $(readelf -d "$1$2/libsprat.so") = *"soname: [libsprat.so.0]"* ]] || die "wrong soname"
    ! grep -r '@[A-Z_]*@' "$1$2/pkgconfig" "$1$2/cmake" || die "a template was not filled"
}

# A staged installation with directories like those of Debian. Everything must be in the stage: the
# real directories do not exist, so nothing may have made them.
usr=$work/usr
debian=("PREFIX=$usr" "LIBDIR=$usr/lib/x86_64-linux-gnu" "INCLUDEDIR=$usr/include")
check_debian() { # root
    check_files "$1" "$usr/lib/x86_64-linux-gnu" "$usr/include" "$usr/share"
}
make -s install DESTDIR="$work/stage" "${debian[@]}"
check_debian "$work/stage"
[ ! -e "$usr" ] || die "a staged install wrote outside of the stage: $(find "$usr")"
grep -q "^libdir=$usr/lib/x86_64-linux-gnu$" \
    "$work/stage$usr/lib/x86_64-linux-gnu/pkgconfig/sprat.pc" || die "sprat.pc: wrong libdir"
make -s install "${debian[@]}"
make -s uninstall DESTDIR="$work/stage" "${debian[@]}"
left=$(find "$work/stage" ! -type d)
[ -z "$left" ] || die "uninstall left behind: $left"
check_debian "" # a staged uninstall removes nothing outside of the stage
make -s uninstall "${debian[@]}"
left=$(find "$usr" ! -type d)
[ -z "$left" ] || die "uninstall left behind: $left"
say "staged install and uninstall: ok"

prefix=$work/prefix
make -s install PREFIX="$prefix" LIBDIR="$prefix/lib" INCLUDEDIR="$prefix/include"
check_files "" "$prefix/lib" "$prefix/include" "$prefix/share"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
[ "$(pkg-config --modversion sprat)" = 0.1.0 ] || die "pkg-config: wrong version"

read -r -a flags <<<"$(pkg-config --cflags --libs sprat)"
cc "${strict[@]}" -o "$work/version" tests/install/version.c "${flags[@]}"
LD_LIBRARY_PATH=$prefix/lib "$work/version" 0.1.0
say "shared, by pkg-config: ok"

read -r -a flags <<<"$(pkg-config --cflags sprat)"
read -r -a private <<<"$(pkg-config --static --libs-only-l sprat | sed 's/-lsprat//')"
cc "${strict[@]}" -o "$work/static" tests/install/version.c "${flags[@]}" \
    "$prefix/lib/libsprat.a" "${private[@]}"
"$work/static" 0.1.0
needed=$(readelf -d "$work/static")
[[ $needed != *libsprat* ]] || die "the static program needs libsprat.so"
say "static, by pkg-config: ok"

# Checks that a plug-in exports nothing of its copy of the library.
keeps_its_copy() {
    local exported
    exported=$(nm -D --defined-only "$1" | grep -c ' sprat_' || true)
    [ "$exported" = 0 ] || die "$1 exports $exported functions of the library"
}

# A program without any shared library, and a plug-in that keeps its copy of the library to itself.
read -r -a flags <<<"$(pkg-config --static --cflags --libs sprat)"
cc -static "${strict[@]}" -o "$work/alone" tests/install/version.c "${flags[@]}" 2>"$work/alone.log" ||
    { cat "$work/alone.log"; die "a program cannot be linked with -static"; }
"$work/alone" 0.1.0
needed=$(readelf -d "$work/alone")
[[ $needed != *NEEDED* ]] || die "the program linked with -static needs a shared library"
mv "$prefix/lib/libsprat.so" "$work/" # the linker then takes the archive
cc -shared -fPIC -o "$work/plugin.so" tests/install/version.c "${flags[@]}"
mv "$work/libsprat.so" "$prefix/lib/"
keeps_its_copy "$work/plugin.so"
say "-static and a plug-in, by pkg-config: ok"

cmake -P tests/install/compatible.cmake
# The paths in the CMake files are relative, so the tree works in another place, too.
mv "$prefix" "$work/moved"
cmake -S tests/install -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/moved" >"$work/cmake.log" ||
    { cat "$work/cmake.log"; die "cmake does not find sprat"; }
cmake --build "$work/cmake" >>"$work/cmake.log" || { cat "$work/cmake.log"; die "cmake build"; }
"$work/cmake/shared" 0.1.0
"$work/cmake/static" 0.1.0
keeps_its_copy "$work/cmake/libplugin.so"
say "shared, static and a plug-in, by CMake: ok"

# The quick start of the README, word for word.
mv "$work/moved" "$prefix"
sed -n '/^```c$/,/^```$/{/^```/d;p}' README.md >"$work/quick.c"
[ -s "$work/quick.c" ] || die "README.md has no C program"
read -r -a flags <<<"$(pkg-config --cflags --libs sprat)"
cc "${strict[@]}" -o "$work/quick" "$work/quick.c" "${flags[@]}"
scripts/test-quick.py "$work/quick" "$prefix/lib"
say "the C quick start: ok"
