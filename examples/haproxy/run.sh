#!/usr/bin/env bash
# Builds what the hosts run, as their owners would, and starts the system. `make demo` calls this
# after its set-up.
set -euo pipefail
. "$(dirname "$0")/../../scripts/env.sh"
. "$ROOT/scripts/python.sh"

say "Building the library, the Python package and the module for HAProxy (minutes the first time) ..."
"$ROOT/scripts/haproxy.sh" >/dev/null
python_env
install_wheel

build_release
prefix=$TARGET/demo
PREFIX=$prefix LIBDIR= INCLUDEDIR= DESTDIR= "$ROOT/scripts/install.sh" install
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -r -a flags <<<"$(pkg-config --cflags --libs sprat libmicrohttpd)"
cc -o "$prefix/web_server" "$ROOT/examples/c/web_server.c" "${flags[@]}" \
    -Wl,-rpath,"$prefix/lib"

export SPRAT_HAPROXY=$TARGET/haproxy SPRAT_C_SERVER=$prefix/web_server
exec "$VENV/bin/python" "$ROOT/examples/haproxy/demo.py"
