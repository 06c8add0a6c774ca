#!/usr/bin/env bash
# Installs what `make demo` and `make test` need, on Debian 12 or later. Quick when nothing is
# missing: then it asks the package database and cargo, changes nothing, and needs no root.
set -euo pipefail
. "$(dirname "$0")/env.sh"

# Compilers; serf to talk to; network namespaces and packet filters for the tests of faults;
# valgrind, libuv and cmake for the tests of the C library; python3 for the demo and the package;
# haproxy, and lua for the module that it loads; a supervisor, Node.js, an HTTP library and load
# generators for the system around HAProxy.
packages=(gcc g++ libc6-dev make pkg-config binutils serf iproute2 nftables valgrind
    libuv1-dev cmake python3 python3-venv haproxy lua5.3 lua5.4 s6 nodejs libmicrohttpd-dev hey
    wrk)

missing_packages() {
    local name
    for name in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            echo "$name"
    done
}

install_packages() {
    local missing=("$@") sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "these packages are missing, and neither root nor sudo" \
            "is at hand to install them: ${missing[*]}"
        sudo=(sudo)
    fi
    say "installing: ${missing[*]}"
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } ||
        die "apt-get could not install: ${missing[*]}"
    # The package starts an agent of its own where there is a service manager. It is not wanted
    # by us, but stopping a service that somebody may use is not ours to do either.
}

# Debian 12's own Rust is too old, and rustup is in Debian from 13 on. Elsewhere its own installer
# is asked, for this user alone: nothing outside the home directory changes.
install_rustup() {
    if apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
        install_packages rustup
        return
    fi
    if ! command -v curl >/dev/null; then
        command -v dpkg-query >/dev/null || die "Rust $RUST_WANTED or later is needed, and neither" \
            "rustup nor curl is at hand. Install rustup as https://rustup.rs says."
        install_packages curl ca-certificates
    fi
    say "installing rustup for this user, by the installer of https://rustup.rs"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --profile minimal --default-toolchain none --no-modify-path ||
        die "rustup could not be installed. Install it as https://rustup.rs says, then run this again."
}

check_rust() {
    local have
    have=$(cargo_version || true)
    if [ -z "$have" ] || ! at_least "$have" "$RUST_WANTED"; then
        command -v rustup >/dev/null || install_rustup
        say "installing Rust $RUST_WANTED.0 with rustup"
        rustup toolchain install "$RUST_WANTED.0" --profile minimal -c rustfmt -c clippy
        return
    fi
    if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
        command -v rustup >/dev/null || die "rustfmt and clippy are missing"
        rustup component add rustfmt clippy
    fi
}

if command -v dpkg-query >/dev/null; then
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
else
    for tool in cc c++ make pkg-config nm serf ip nft valgrind cmake python3 haproxy lua5.3 \
        lua5.4 s6-svscan node hey wrk; do
        command -v "$tool" >/dev/null || die "$tool is missing. On Debian 12 this script" \
            "installs it; here please install what gives: ${packages[*]}"
    done
fi
check_rust
