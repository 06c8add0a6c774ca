#!/usr/bin/env bash
# Measures HAProxy as a member of the cluster, in four benches that take about seven minutes:
#   chain  compares it with the chain of agent, template and reload that it replaces
#   parts  shows what health checks, redispatch and gossip each contribute
#   many   kills ten of fifty servers at the same moment
#   spoe   measures the answers to HAProxy's questions
# `bench-haproxy.sh` runs all of them, `bench-haproxy.sh NAME...` only the named ones.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$ROOT/scripts/python.sh"
cd "$ROOT"

python_env
export SPRAT_HAPROXY=$TARGET/haproxy SPRAT_HAP=$TARGET/haproxy/sprat-hap
scripts/haproxy.sh >/dev/null

bench() {
    say "=== $1"
    case $1 in
    chain) "$VENV/bin/python" benches/haproxy/compare.py "$TARGET/haproxy/times.svg" ;;
    parts) "$VENV/bin/python" benches/haproxy/parts.py ;;
    spoe) "$VENV/bin/python" benches/haproxy/spoe.py ;;
    many)
        install_wheel
        export SPRAT_C_SERVER=$TARGET/demo/web_server
        build_example "$SPRAT_C_SERVER" libmicrohttpd
        "$VENV/bin/python" benches/haproxy/many.py
        ;;
    *) die "there is no bench '$1'; the benches are chain, parts, many and spoe" ;;
    esac
}

[ $# != 0 ] || set -- chain parts many spoe
for name in "$@"; do bench "$name"; done
