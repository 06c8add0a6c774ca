#!/usr/bin/env bash
# Installs the packages and the Rust that the targets of the Makefile need, on Debian 12 or later.
# If nothing is missing, the script only asks the package database and cargo, and needs no root.
set -euo pipefail
. "$(dirname "$0")/env.sh"

# Compilers; serf, Alertmanager and Go's memberlist, with which the tests form clusters; iproute2 and
# nftables for network namespaces and packet filters; valgrind, libuv and cmake for the tests of the
# C library; python3 for the package and the demos; haproxy and lua for the module; s6, Node.js,
# libmicrohttpd, hey and wrk for the demo and the benches around HAProxy.
packages=(gcc g++ libc6-dev make pkg-config binutils serf prometheus-alertmanager golang-go
    golang-github-hashicorp-memberlist-dev iproute2 nftables valgrind libuv1-dev cmake python3
    python3-venv haproxy lua5.3 lua5.4 s6 nodejs libmicrohttpd-dev hey wrk)

# Succeeds if this Debian package is installed.
installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_packages() {
    local name
    for name in "${packages[@]}"; do
        installed "$name" || echo "$name"
    done
}

# Runs a command as root, through sudo if necessary.
as_root() {
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "$* needs root, and sudo is not installed:" \
            "run this script as root"
        sudo=(sudo)
    fi
    "${sudo[@]}" "$@"
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
}

# Downloads the package lists, at most once.
updated=
update_packages() {
    [ -z "$updated" ] || return 0
    apt update && updated=yes
}

# Keeps the service of Alertmanager, if this package is about to be installed, from starting now and
# at every boot: it would listen on all addresses of the machine. Nothing else on the machine needs
# the service, because the package was not there. `systemctl unmask` undoes this.
mask_alertmanager() {
    local unit=prometheus-alertmanager
    if [[ " $* " = *" $unit "* ]] && command -v systemctl >/dev/null; then
        as_root systemctl --quiet mask "$unit.service"
    fi
}

# Installs packages. The package serf starts an agent if the machine has a service manager. sprat
# does not need this agent, but something else may, so it is left running.
install_packages() {
    say "installing: $*"
    mask_alertmanager "$@"
    apt install --no-install-recommends "$@" ||
        { update_packages && apt install --no-install-recommends "$@"; } ||
        die "apt-get could not install: $*"
}

# Prints the Debian packages of a Rust that is new enough: `rustc-web` on Debian 12, where `rustc`
# is too old, or `rustc` on later versions. Fails if neither is new enough.
debian_rust() {
    local set version
    for set in "rustc-web cargo-web rustfmt-web rust-web-clippy" "rustc cargo rustfmt rust-clippy"; do
        version=$(apt-cache policy "${set%% *}" 2>/dev/null |
            sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
        if at_least "$version" "$RUST_WANTED"; then
            printf '%s\n' "$set"
            return
        fi
    done
    return 1
}

# Installs Rust from Debian's packages. Fails if none of them is new enough, or if the package
# rustup is installed, because these packages would remove it.
install_debian_rust() {
    local set
    command -v apt-cache >/dev/null && ! installed rustup || return 1
    set=$(debian_rust) || { update_packages && set=$(debian_rust); } || return 1
    read -r -a set <<<"$set"
    install_packages "${set[@]}"
}

# Installs rustup: from Debian, which has rustup since version 13, or else with rustup's own
# installer, which changes nothing outside of the home directory.
install_rustup() {
    # A `grep -q` would end before apt-cache does, and then the pipe could fail.
    if apt-cache policy rustup 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null; then
        install_packages rustup
        return
    fi
    if ! command -v curl >/dev/null; then
        command -v dpkg-query >/dev/null || die "Rust $RUST_WANTED or later is needed. Install" \
            "rustup as https://rustup.rs says, or install curl, with which this script can do it."
        install_packages curl ca-certificates
    fi
    say "installing rustup for this user, by the installer of https://rustup.rs"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --profile minimal --default-toolchain none --no-modify-path ||
        die "rustup could not be installed. Install it as https://rustup.rs says, then run this again."
}

# Makes sure that a new enough Rust is installed, with rustfmt and clippy. Downloads a toolchain
# from elsewhere only if Debian has no suitable one, or if the package rustup is installed.
check_rust() {
    if ! at_least "$(cargo_version)" "$RUST_WANTED" && install_debian_rust; then
        hash -r
        choose_rust
    fi
    if ! at_least "$(cargo_version)" "$RUST_WANTED"; then
        command -v rustup >/dev/null || install_rustup
        say "installing Rust $RUST_WANTED.0 with rustup"
        rustup toolchain install "$RUST_WANTED.0" --profile minimal -c rustfmt -c clippy
        return
    fi
    if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
        command -v rustup >/dev/null || die "rustfmt or clippy is missing: install both for" \
            "$(cargo --version), the Rust on the path"
        rustup component add rustfmt clippy
    fi
}

if command -v dpkg-query >/dev/null; then
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
else
    for tool in cc c++ make pkg-config nm serf prometheus-alertmanager amtool go ip nft valgrind \
        cmake python3 haproxy lua5.3 lua5.4 s6-svscan node hey wrk; do
        command -v "$tool" >/dev/null || die "$tool is missing. On Debian 12 this script" \
            "installs it. On other systems, install the equivalents of: ${packages[*]}"
    done
fi
check_rust
