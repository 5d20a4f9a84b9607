#!/usr/bin/env bash
# Compares Varve with a real etcd on this machine: same client, same flags, same disk, same minute.
#
#   benches/compare.sh [options]
#
#   --members N       members of each side's cluster (default 1)
#   --etcd FILE       the etcd to compare with (default: $VARVE_ETCD_DIR/etcd, else etcd of PATH)
#   --varve FILE      the varve to measure (default: built here, in release mode)
#   --a 'COMMAND'     what to run as A instead of etcd; --b as B instead of varve. Both take etcd's flags;
#                     relative paths in them start at the root of the repository
#   --dir DIR         where the data directories go (default: target/compare); never a RAM disk
#   --rounds N        rounds of A B B A per workload (default 3)
#   --workloads LIST  comma separated (default: put-1,put-100,put-1000,range-l,range-s,txn-put,watch; of a
#                     cluster idle,put-1,put-100,put-1000,put-100-all,range-l,range-l-follower)
#   --seconds N       stop starting rounds after so many seconds (default 300)
#   --no-pin          let servers and client run on any core (default: servers on core 0, client on 1)
#   --keep FILE       keep the raw results, one JSON object per line
#
# All servers are started once on fresh directories and filled with the same 100000 keys; then the
# runs of each workload alternate A B B A, so that drift of the machine hits both alike. Pairs in which
# the machine was disturbed (steal, other processes), or a leader moved, are dropped where enough pairs
# remain. The table shows medians, and B/A ratios with the 95 % interval of a bootstrap over pairs; CPU,
# memory and written bytes are sums over the members of a side. The disk's own fdatasync is measured
# before and after. Read ratios; absolute figures belong to this machine and minute only.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
stats="$root/benches/compare_stats.py"
rounds=3
workloads=""
seconds=300

while [ $# -gt 0 ]; do
    case "$1" in
        --no-pin) pin=no; shift; continue ;;
        -h | --help) usage; exit 0 ;;
        --*) [ $# -ge 2 ] || die "$1 needs a value" ;;
    esac
    case "$1" in
        --members) members=$2 ;;
        --rounds) rounds=$2 ;;
        --workloads) workloads=$2 ;;
        --seconds) seconds=$2 ;;
        *) common_option "$1" "$2" || die "unknown argument $1 (see --help)" ;;
    esac
    shift 2
done
if [ -z "$workloads" ]; then
    workloads=put-1,put-100,put-1000,range-l,range-s,txn-put,watch
    [ "$members" = 1 ] || workloads=idle,put-1,put-100,put-1000,put-100-all,range-l,range-l-follower
fi

arguments_of() { # workload -> the client's arguments
    local keys=(--key-size 8 --key-space-size 100000)
    case "$1" in
        # A request a second: its CPU per request is what a second of an idle server costs.
        idle) echo range --conns 1 --clients 1 --rate 1 --total 6 --consistency s "${keys[@]}" ;;
        put-1) echo put --conns 1 --clients 1 --total 5000 --val-size 256 "${keys[@]}" ;;
        put-100 | put-100-all) echo put --conns 10 --clients 100 --total 20000 --val-size 256 "${keys[@]}" ;;
        put-1000) echo put --conns 100 --clients 1000 --total 30000 --val-size 256 "${keys[@]}" ;;
        range-l | range-l-follower)
            echo range --conns 10 --clients 100 --total 30000 --consistency l "${keys[@]}" ;;
        range-s) echo range --conns 10 --clients 100 --total 30000 --consistency s "${keys[@]}" ;;
        txn-put) echo txn-put --conns 10 --clients 100 --total 8000 --txn-ops 4 --val-size 256 "${keys[@]}" ;;
        watch) echo watch-latency --conns 10 --streams 10 --watchers-per-stream 10 --put-total 300 --put-rate 300 --val-size 256 ;;
        *) die "unknown workload $1" ;;
    esac
}

endpoints_of() { # workload, side, leader -> the servers that the client connects to
    local all
    mapfile -t all < <(servers_of "$2")
    case "$1" in
        *-all) (IFS=,; echo "${all[*]}") ;;
        *-follower)
            if [ "${all[0]}" = "$3" ]; then echo "${all[1]:-$3}"; else echo "${all[0]}"; fi ;;
        *) echo "$3" ;;
    esac
}

pids_of() { # side -> its processes, comma separated
    local server list=""
    for server in $(servers_of "$1"); do list+="${list:+,}${pid_of[$server]}"; done
    echo "$list"
}

# One run against a side; its row goes to the results.
run_and_record() { # workload, side, round, position
    local workload=$1 side=$2 leader leader_after machine_before machine_after arguments
    read -r -a arguments <<< "$(arguments_of "$workload")"
    leader=$(leader_of "$side")
    machine_before=$(head -n 1 /proc/stat)
    run_client "$(endpoints_of "$workload" "$side" "$leader")" "$(pids_of "$side")" "${arguments[@]}" \
        > "$work/out" || die "$workload on $side failed: $(cat "$work/client.err" "$work/out")"
    machine_after=$(head -n 1 /proc/stat)
    leader_after=$(leader_of "$side")
    await_followers "$side" "$leader_after"
    python3 "$stats" row "$@" "$machine_before" "$machine_after" \
        "${pid_of[$leader]}" "${pid_of[$leader_after]}" < "$work/out" >> "$results"
}

# --- run -------------------------------------------------------------------------------------------
IFS=, read -r -a wanted <<< "$workloads"
for workload in "${wanted[@]}"; do arguments_of "$workload" > /dev/null; done
prepare_commands
prepare_directory
choose_cores
for side in a b; do start_side "$side"; done

for side in a b; do
    leader=$(leader_of "$side")
    run_client "$leader" "$(pids_of "$side")" put --conns 10 --clients 200 --total 100000 --sequential-keys \
        --seed 1 --key-size 8 --key-space-size 100000 --val-size 256 --check-hashkv > "$work/fill.$side" \
        || die "filling $side failed: $(cat "$work/client.err" "$work/fill.$side")"
    await_followers "$side" "$leader"
done
python3 "$stats" check-fill "$work/fill.a" "$work/fill.b"

python3 "$stats" calibrate "$work" before >> "$results"
began=$SECONDS
for workload in "${wanted[@]}"; do
    for ((round = 0; round < rounds; round++)); do
        # A run of every workload comes before the time limit: no row of the table is empty.
        if [ "$round" -gt 0 ] && [ $((SECONDS - began)) -ge "$seconds" ]; then break; fi
        position=0
        for side in a b b a; do
            run_and_record "$workload" "$side" "$round" "$position"
            position=$((position + 1))
        done
    done
done
python3 "$stats" calibrate "$work" after >> "$results"

echo
echo "A: \`${command_of[a]}\`, B: \`${command_of[b]}\`, members of each: $members, $(date -u +%Y-%m-%d),"
echo "$cores cores, servers and client pinned: $pin, file system: $(stat -f -c %T "$work")"
echo
python3 "$stats" table "$results"
