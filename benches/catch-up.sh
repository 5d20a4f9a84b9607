#!/usr/bin/env bash
# Measures how long a new member of a filled cluster takes to catch up, with etcd and with Varve.
#
#   benches/catch-up.sh [options]
#
#   --mib N           MiB of values that the clusters are filled with (default 1024)
#   --val-size N      bytes of a value (default 4096)
#   --rate N          puts per second that go on meanwhile, of 256 B (default 500)
#   --rounds N        rounds of A B B A (default 1)
#   --etcd, --varve, --a, --b, --dir, --keep: as in benches/compare.sh
#   --etcdctl FILE    an etcdctl 3.5 (default: the one beside the etcd)
#
# Two clusters of three members are started and filled, one after the other. Then a member is added to
# one of them, as a learner, on an empty directory; when it has applied what the leader had at that
# moment it is promoted, measured, removed and its directory deleted; A B B A. Nothing is pinned: leader
# and new member work at the same time. The light load runs before (for five seconds, to compare with)
# and until the promotion, at a fixed rate: latencies count from when a put was due. Between runs the
# machine is left until its dirty pages are written.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"
members=3
stats="$root/benches/catch_up_stats.py"
mib=1024
value_bytes=4096
rate=500
rounds=1
etcdctl=""

while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        --*) [ $# -ge 2 ] || die "$1 needs a value" ;;
    esac
    case "$1" in
        --mib) mib=$2 ;;
        --val-size) value_bytes=$2 ;;
        --rate) rate=$2 ;;
        --rounds) rounds=$2 ;;
        --etcdctl) etcdctl=$(realpath -m -- "$2") ;;
        *) common_option "$1" "$2" || die "unknown argument $1 (see --help)" ;;
    esac
    shift 2
done

now() { date +%s.%N; }

ctl() { # server, etcdctl's arguments
    ETCDCTL_API=3 "$etcdctl" --endpoints "127.0.0.1:${client_of[$1]}" "${@:2}"
}

# The light load for some seconds; one JSON object.
foreground() { # leader, seconds
    run_client "$1" "${pid_of[$1]}" put --conns 1 --clients 50 --rate "$rate" --total $((rate * $2)) \
        --val-size 256 --key-size 8 --key-space-size 1000 --prefix light-
}

# The light load in steps of a second until the file "$work/enough" is there.
foreground_until_enough() { # leader
    while [ ! -e "$work/enough" ]; do foreground "$1" 1; done
}

# Adds a member to a side, waits until it is a voter, and records what that took.
catch_up() { # side, round, position
    local side=$1 leader new id first load revision pid
    leader=$(leader_of "$side")
    new="${side}new$2$3"
    place_server "$new"
    sync
    foreground "$leader" 5 > "$work/before"
    rm -f "$work/enough"
    id=$(ctl "$leader" member add "$new" --learner --peer-urls "http://127.0.0.1:${peer_of[$new]}" \
        | sed -n 's/^Member *\([0-9a-f]*\) added.*/\1/p')
    [ -n "$id" ] || die "no member id from etcdctl"
    python3 "$stats" counters "${pid_of[$leader]}" "$(metric "$leader" etcd_network_peer_sent_bytes_total)" \
        > "$work/leader.before"
    revision=$(revision_of "$leader")
    foreground_until_enough "$leader" > "$work/meanwhile" &
    load=$!
    began=$(now)
    mapfile -t first < <(servers_of "$side")
    start_server "$new" existing "${first[@]}" "$new"
    pid=${pid_of[$new]}
    # Nobody listens there until the member has joined.
    until [ "$(revision_of "$new" || true)" -ge "$revision" ]; do
        kill -0 "$pid" 2> /dev/null || die "the new member ended: $(tail -n 5 "$work/$new.log")"
        [ $((SECONDS - started)) -lt 3000 ] || die "the new member did not catch up"
        sleep 0.05
    done
    synced=$(now)
    until ctl "$leader" member promote "$id" > "$work/promote" 2>&1; do sleep 0.05; done
    promoted=$(now)
    python3 "$stats" counters "${pid_of[$leader]}" "$(metric "$leader" etcd_network_peer_sent_bytes_total)" \
        > "$work/leader.after"
    python3 "$stats" counters "$pid" 0 > "$work/new.after"
    touch "$work/enough"
    wait "$load" || die "the light load failed: $(cat "$work/client.err" "$work/meanwhile")"
    [ "$(leader_of "$side")" = "$leader" ] || echo "catch-up.sh: the leader of $side moved meanwhile" >&2
    python3 "$stats" row "$side" "$2" "$3" "$began" "$synced" "$promoted" "$work" >> "$results"
    ctl "$leader" member remove "$id" > /dev/null
    kill "$pid" 2> /dev/null || true
    wait "$pid" 2> /dev/null || true
    rm -rf "${directory_of[$new]}"
}

# --- run -------------------------------------------------------------------------------------------
pin=no
prepare_commands
[ -n "$etcdctl" ] || etcdctl="$(dirname "$etcd")/etcdctl"
[ -x "$etcdctl" ] || die "no etcdctl: give --etcdctl or --etcd"
prepare_directory
choose_cores
started=$SECONDS
keys=$((mib * 1048576 / value_bytes))
for side in a b; do
    start_side "$side"
    leader=$(leader_of "$side")
    filling=$SECONDS
    run_client "$leader" "${pid_of[$leader]}" put --conns 10 --clients 100 --total "$keys" --sequential-keys \
        --seed 1 --key-size 8 --key-space-size "$keys" --val-size "$value_bytes" > "$work/fill.$side" \
        || die "filling $side failed: $(cat "$work/client.err" "$work/fill.$side")"
    await_followers "$side" "$leader"
    echo "filled $side with $keys values of $value_bytes B in $((SECONDS - filling)) s" >&2
done
for ((round = 0; round < rounds; round++)); do
    position=0
    for side in a b b a; do
        catch_up "$side" "$round" "$position"
        position=$((position + 1))
    done
done

echo
echo "A: \`${command_of[a]}\`, B: \`${command_of[b]}\`, $(date -u +%Y-%m-%d), $cores cores, nothing pinned,"
echo "file system: $(stat -f -c %T "$work"), $keys values of $value_bytes B, $rate puts a second meanwhile"
echo
python3 "$stats" table "$results"
