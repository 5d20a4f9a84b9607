#!/usr/bin/env bash
# The consensus core beside raft-rs and etcd's raft: the same loop around each. Prints markdown tables.
#
#   benches/raft.sh [--proposals N] [--rounds N]   proposals per second of processor time, allocations
#   benches/raft.sh instructions                   instructions, counted by valgrind; no Go here
#
# raft-rs generates code at build time; the compiler for that comes with one of its dependencies. etcd's
# raft needs Go and its module proxy (or module cache); without them it is left out.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/raft" && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
cd "$here"
if ! command -v protoc > /dev/null; then
    cargo fetch --quiet
    manifest=$(cargo metadata --offline --format-version 1 \
        | python3 -c 'import json, sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "protobuf-build"))')
    export PROTOC="${manifest%/Cargo.toml}/bin/protoc-linux-x86_64"
    chmod +x "$PROTOC"
fi
cargo build --release --quiet --target-dir "$target"
bench="$target/release/varve-bench-raft"

# count TOGGLE LIBRARY BATCH PROPOSALS: instructions (within functions like TOGGLE only, if it is not
# empty), and messages.
count() {
    local toggle=() out
    out=$(mktemp)
    [ -z "$1" ] || toggle=("--toggle-collect=$1")
    messages=$(valgrind --tool=callgrind --callgrind-out-file="$out" "${toggle[@]}" \
        "$bench" --rounds 1 --only "$2" --batch "$3" --proposals "$4" 2> /dev/null)
    instructions=$(sed -n 's/^\(summary\|totals\): *\([0-9]*\).*/\2/p' "$out" | head -n 1)
    rm -f "$out"
}

if [ "${1:-}" = instructions ]; then
    echo "| library | batch | instructions/proposal | step instructions/message |"
    echo "|---|---|---|---|"
    for batch in 1 64; do
        for library in async sync raft-rs; do
            # Two lengths: what comes before the first proposal is the same for both.
            count '' "$library" "$batch" 1280
            all=$instructions
            count '' "$library" "$batch" 3840
            all=$((instructions - all))
            count '*deliver*' "$library" "$batch" 1280
            step=$instructions from=$messages
            count '*deliver*' "$library" "$batch" 3840
            step=$((instructions - step)) messages=$((messages - from))
            # A tenth more is proposed to warm up, and its messages are not told.
            echo "| $library | $batch | $((all * 10 / 11 / 2560)) | $((step * 10 / 11 / messages)) |"
        done
    done
    exit
fi

"$bench" "$@"
if command -v go > /dev/null && (cd go && go build -o "$target/go-raft" .); then
    "$target/go-raft" "$@"
else
    echo "etcd's raft is left out: Go, or its modules, are not there" >&2
fi
