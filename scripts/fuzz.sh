#!/usr/bin/env bash
# Runs libFuzzer on the decoders, on the readers of settings, keyring and snapshot files and of
# HAProxy's list of servers, on a node and on sequences of C calls, starting from the captured bytes
# in tests/golden and a few examples of the other inputs. Each target runs for FUZZ_SECONDS (60). If
# FUZZ_RUNS is set, each target instead runs for this number of inputs, which is the same amount of
# work on every machine.
#
# The stable compiler is enough: the flags below add the counters from which libFuzzer sees which
# code an input reached. Inputs that reach new code are kept in target/fuzz/corpus for later runs.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

bound=(-max_total_time="${FUZZ_SECONDS:-60}")
[ -z "${FUZZ_RUNS:-}" ] || bound=(-runs="$FUZZ_RUNS")
folder=$TARGET/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table)
# With --target, cargo does not apply RUSTFLAGS to build scripts.
RUSTFLAGS="${flags[*]}" cargo build --locked --quiet --profile fuzz -p sprat-fuzz \
    --features libfuzzer --target "$host" --target-dir "$folder"

rm -rf "$folder/valid"
python3 - tests/golden "$folder/corpus" "$folder/valid" <<'END'
import hashlib, json, pathlib, sys

golden, corpus, valid = map(pathlib.Path, sys.argv[1:])
LEAST_LEN = 2


def hex_of(value):
    """Yield every captured piece of a test vector, as bytes."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("hex") and isinstance(inner, str):
                yield bytes.fromhex(inner)
            else:
                yield from hex_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from hex_of(inner)


def write(target, content, root=corpus):
    folder = root / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


for path in golden.glob("*.json"):
    for piece in hex_of(json.loads(path.read_text())):
        if LEAST_LEN <= len(piece) < 4000:
            write("datagram", piece)
            for side in (0, 1):
                write("stream", bytes([side + 40]) + piece)
            length = len(piece).to_bytes(2, "little")
            write("sealed", b"\x07\x01\x02" + piece)
            # The first byte chooses the mode, coalescing and a key.
            for choice in range(16):
                write("node", bytes([choice, 0x20]) + length + piece)
                write("node", bytes([choice]) + b"\x06\x08\x02" + length + piece)
            write("node", b"\x00\x06\x07\x02" + length + piece)


def text(content):
    return len(content).to_bytes(2, "little") + content


# A node sends two user events, asks two queries, lists its keys and answers a query.
commands = (b"\x05" + text(b"deploy") + text(b"v2"), b"\x15" + text(b"deploy") + text(b"v3"),
            b"\x25" + text(b"^we(b|a)+$") + text(b"load") + text(b""), b"\x75\x03",
            b"\x45" + text(b"b") + text(b"load") + text(b"x"), b"\x55\x01" + text(b"12d"),
            b"\xb5" + text(b"x"), b"\xd5" + text(b"state"), b"\x0c\xff")
for choice in range(16):
    write("node", bytes([choice]) + b"".join(commands))


def frame(kind, payload):
    body = bytes([kind, 0, 0, 0, 1, 1, 1]) + payload
    return len(body).to_bytes(4, "big") + body


hello = frame(1, b"\x12supported-versions\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06"
              b"\x0ccapabilities\x08\x0apipelining")
questions = (b"\x04pick\x01\x03key\x08\x01x", b"\x06member\x01\x02ip\x06\x7f\0\0\1", b"\x04size\0",
             b"\x03tag\x02\x04name\x08\x01a\x03key\x08\x01b")
settings = (b"name = a\nbind = 127.0.0.1:0\ntag.role = \"web, one\"  # a comment\n",
            b"seeds = a:1, [::1]:2\nprobe_interval_ms = 200\ncidrs_allowed = 10.0.0.0/8\n",
            b"profile = wan\nmode = memberlist\nencrypt = AAECAwQFBgcICQoLDA0ODw==\n")
for text in settings:
    write("settings", text)
    write("settings", text, valid)
write("keyring", b'["AAECAwQFBgcICQoLDA0ODw==", "EBESExQVFhcYGRobHB0eHw=="]\n')
write("snapshot", b"\x05alive: a b 10.0.0.1:7946\nalive: c [::1]:7946\nnot-alive: c\nclock: 3\n"
      b"# failed: d 10.0.0.4:1\nevent-clock: 4\nquery-clock: 5\n# incarnation: 2\ncoordinate: {}\n")
write("snapshot", b"\x00alive: a 10.0.0.1:7946\nleave\nclock: 9\n\0\0\0alive: e\xff 10.0.0.5:1\nal")
service = b"\x0a_serf_prod\x04_tcp\x05local\0"
write("mdns", bytes(5) + b"\1" + bytes(6) + service + b"\0\x0c\0\1")
write("mdns", bytes.fromhex(
    "0000840000000004000000000a5f736572665f70726f64045f746370056c6f63616c00000c0001000000780008"
    "037765620131c00cc02d0021000100000078000a000a00011f0a02766d00c047000100010000007800040a6300"
    "01c02d001000010000007800141353657266202770726f642720636c7573746572"))
# Starts two nodes, joins them, lists the members, and frees one. A call is a kind, a handle and two
# texts. A text begins with a byte: below 8, the number of a known text; else its length plus 8.
write("calls", bytes([0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 16, 0, 2, 2, 2, 1, 0, 0]))
write("servers", b"# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state"
      b" srv_uweight srv_check_state srv_agent_state srv_port\n"
      b"3 nodes 7 web-1 10.0.0.1 2 4 100 6 0 3000\n3 nodes 8 web-2 - 0 1 1 2 2 0\n")
lines = (b"frozen\norder nodes role=web drain web-1\npeer 10.0.0.9:7946\n"
         b"server nodes role=web s1 ready 100 10.0.0.1:3000 web-1\n")
write("server-snapshot", b"\x10" + lines + lines)
write("server-snapshot", b"\x11" + lines + lines)
write("server-snapshot", b"\0sprat-3\n")
for question in (b"".join(questions), *questions):
    write("spoe", b"\x07" + hello + frame(3, question) + frame(2, b""))
END
# A settings file with one wrong line is refused as a whole, so fuzzing would not start from it.
SPRAT_FUZZ_VALID=1 "$folder/$host/fuzz/settings" "$folder"/valid/settings/* \
    >"$folder/valid.log" 2>&1 || { cat "$folder/valid.log"; die "a settings file is refused"; }
for target in datagram stream node spoe mdns sealed settings keyring snapshot calls servers \
    server-snapshot; do
    mkdir -p "$folder/found/$target"
    log=$folder/$target.log
    "$folder/$host/fuzz/$target" "${bound[@]}" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
        -verbosity=0 -print_final_stats=1 -artifact_prefix="$folder/found/$target/" \
        "$folder/corpus/$target" >"$log" 2>&1 || { cat "$log"; die "fuzzing $target failed"; }
    say "fuzz $target: $(awk '/number_of_executed_units/ { print $2 }' "$log") inputs tried," \
        "$(find "$folder/corpus/$target" -type f | wc -l) in the corpus: ok"
done
