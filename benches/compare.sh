#!/usr/bin/env bash
# Compares Varve with a real etcd on this machine: same client, same flags, same disk, same minute.
#
#   benches/compare.sh [options]
#
#   --etcd FILE       the etcd to compare with (default: $VARVE_ETCD_DIR/etcd, else etcd of PATH)
#   --varve FILE      the varve to measure (default: built here, in release mode)
#   --a 'COMMAND'     what to run as A instead of etcd; --b as B instead of varve. Both take etcd's flags;
#                     relative paths in them start at the root of the repository
#   --dir DIR         where the data directories go (default: target/compare); never a RAM disk
#   --rounds N        rounds of A B B A per workload (default 3)
#   --workloads LIST  comma separated (default: put-1,put-100,put-1000,range-l,range-s,txn-put,watch)
#   --seconds N       stop starting rounds after so many seconds (default 300)
#   --no-pin          let servers and client run on any core (default: servers on core 0, client on 1)
#   --keep FILE       keep the raw results, one JSON object per line
#
# Both servers are started once on fresh directories and filled with the same 100000 keys; then the
# runs of each workload alternate A B B A, so that drift of the machine hits both alike. Pairs in which
# the machine was disturbed (steal, other processes) are dropped where enough pairs remain. The table
# shows medians, and B/A ratios with the 95 % interval of a bootstrap over pairs. The disk's own
# fdatasync is measured before and after. Read ratios; absolute figures belong to this machine and
# minute only.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stats="$root/benches/compare_stats.py"
etcd=""
varve=""
command_a=""
command_b=""
dir="$root/target/compare"
rounds=3
workloads=put-1,put-100,put-1000,range-l,range-s,txn-put,watch
seconds=300
pin=yes
keep=""

usage() { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
die() { echo "compare.sh: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case "$1" in
        --no-pin) pin=no; shift; continue ;;
        -h | --help) usage; exit 0 ;;
        --*) [ $# -ge 2 ] || die "$1 needs a value" ;;
    esac
    case "$1" in
        --etcd) etcd=$2 ;;
        --varve) varve=$2 ;;
        --a) command_a=$2 ;;
        --b) command_b=$2 ;;
        --dir) dir=$2 ;;
        --rounds) rounds=$2 ;;
        --workloads) workloads=$2 ;;
        --seconds) seconds=$2 ;;
        --keep) keep=$2 ;;
        *) die "unknown argument $1 (see --help)" ;;
    esac
    shift 2
done

# Paths are the caller's; everything below runs at the root of the repository.
for name in etcd varve dir keep; do
    [ -z "${!name}" ] || printf -v "$name" %s "$(realpath -m -- "${!name}")"
done

command -v python3 > /dev/null || die "needs python3"
command -v curl > /dev/null || die "needs curl"

# --- what to run -----------------------------------------------------------------------------------
cd "$root"
build=(--package varve-tools --bin varve-bench)
[ -n "$varve" ] || [ -n "$command_b" ] || build+=(--package varve-server --bin varve)
cargo build --release --quiet "${build[@]}"
target=${CARGO_TARGET_DIR:-$root/target}
bench="$target/release/varve-bench"
if [ -z "$command_a" ]; then
    if [ -z "$etcd" ]; then
        if [ -n "${VARVE_ETCD_DIR:-}" ]; then etcd="$VARVE_ETCD_DIR/etcd"; else etcd=$(command -v etcd || true); fi
    fi
    [ -n "$etcd" ] && [ -x "$etcd" ] || die "no etcd to compare with: give --etcd or set VARVE_ETCD_DIR"
    command_a="$etcd"
fi
[ -n "$command_b" ] || command_b="${varve:-$target/release/varve} --compat-version 3.5"

# --- where -----------------------------------------------------------------------------------------
mkdir -p "$dir"
work=$(mktemp -d "$dir/run.XXXXXX")
case "$(stat -f -c %T "$work")" in
    tmpfs | ramfs) rmdir "$work"; die "$dir is a RAM disk: fsync costs nothing there" ;;
esac
results="$work/results.jsonl"
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2> /dev/null || true; done
    [ -z "$keep" ] || [ ! -f "$results" ] || cp "$results" "$keep"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

cores=$(nproc)
server_pin=()
client_pin=()
if [ "$pin" = yes ] && [ "$cores" -ge 2 ] && command -v taskset > /dev/null; then
    server_pin=(taskset -c 0)
    client_pin=(taskset -c 1)
    server_cores=1
else
    pin=no
    server_cores=$cores
fi

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

declare -A port_of pid_of
start() { # side, command words
    local side=$1 client peer
    shift
    client=$(free_port)
    peer=$(free_port)
    GOMAXPROCS=$server_cores "${server_pin[@]}" "$@" \
        --name "$side" --data-dir "$work/$side" --log-level warn \
        --quota-backend-bytes 8589934592 --snapshot-count 10000 \
        --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
        --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
        --initial-cluster "$side=http://127.0.0.1:$peer" > "$work/$side.log" 2>&1 &
    pid_of[$side]=$!
    pids+=("$!")
    port_of[$side]=$client
    local tries=0
    until curl -sf -m 2 "http://127.0.0.1:$client/health" 2> /dev/null | grep -q '"true"'; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "${pid_of[$side]}" 2> /dev/null; then
            tail -n 5 "$work/$side.log" >&2
            die "server $side ($*) did not become healthy"
        fi
        sleep 0.1
    done
}

# One run of the client against one side. "$1" is the side, the rest are the client's arguments.
run_bench() {
    local side=$1
    shift
    timeout 120 "${client_pin[@]}" "$bench" "$@" --endpoints "127.0.0.1:${port_of[$side]}" \
        --server-pid "${pid_of[$side]}" --output json < /dev/null 2> "$work/client.err"
}

arguments_of() { # workload -> the client's arguments
    local keys=(--key-size 8 --key-space-size 100000)
    case "$1" in
        put-1) echo put --conns 1 --clients 1 --total 1500 --val-size 256 "${keys[@]}" ;;
        put-100) echo put --conns 10 --clients 100 --total 20000 --val-size 256 "${keys[@]}" ;;
        put-1000) echo put --conns 100 --clients 1000 --total 30000 --val-size 256 "${keys[@]}" ;;
        range-l) echo range --conns 10 --clients 100 --total 30000 --consistency l "${keys[@]}" ;;
        range-s) echo range --conns 10 --clients 100 --total 30000 --consistency s "${keys[@]}" ;;
        txn-put) echo txn-put --conns 10 --clients 100 --total 8000 --txn-ops 4 --val-size 256 "${keys[@]}" ;;
        watch) echo watch-latency --conns 10 --streams 10 --watchers-per-stream 10 --put-total 300 --put-rate 300 --val-size 256 ;;
        *) die "unknown workload $1" ;;
    esac
}

# --- run -------------------------------------------------------------------------------------------
IFS=, read -r -a wanted <<< "$workloads"
for workload in "${wanted[@]}"; do arguments_of "$workload" > /dev/null; done

# shellcheck disable=SC2086 # commands are words on purpose
start a $command_a
# shellcheck disable=SC2086
start b $command_b

for side in a b; do
    run_bench "$side" put --conns 10 --clients 200 --total 100000 --sequential-keys --seed 1 --key-size 8 \
        --key-space-size 100000 --val-size 256 --check-hashkv > "$work/fill.$side" \
        || die "filling $side failed: $(cat "$work/client.err" "$work/fill.$side")"
done
python3 "$stats" check-fill "$work/fill.a" "$work/fill.b"

python3 "$stats" calibrate "$work" before >> "$results"
began=$SECONDS
for workload in "${wanted[@]}"; do
    read -r -a arguments <<< "$(arguments_of "$workload")"
    for ((round = 0; round < rounds; round++)); do
        # A run of every workload comes before the time limit: no row of the table is empty.
        if [ "$round" -gt 0 ] && [ $((SECONDS - began)) -ge "$seconds" ]; then break; fi
        position=0
        for side in a b b a; do
            machine_before=$(head -n 1 /proc/stat)
            run_bench "$side" "${arguments[@]}" > "$work/out" \
                || die "$workload on $side failed: $(cat "$work/client.err" "$work/out")"
            machine_after=$(head -n 1 /proc/stat)
            python3 "$stats" row "$workload" "$side" "$round" "$position" \
                "$machine_before" "$machine_after" < "$work/out" >> "$results"
            position=$((position + 1))
        done
    done
done
python3 "$stats" calibrate "$work" after >> "$results"

echo
echo "A: \`$command_a\`, B: \`$command_b\`, $(date -u +%Y-%m-%d), $cores cores, servers and client pinned: $pin,"
echo "file system: $(stat -f -c %T "$work")"
echo
python3 "$stats" table "$results"
