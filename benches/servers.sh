# shellcheck shell=bash
# What the comparisons beside a real etcd share: which servers, where, on which cores; starting clusters
# of them, asking them, and ending what was started, by pid.
#
# Sourced by compare.sh and catch-up.sh. A server is a side (a or b) and a number, in arrays by
# "$side$number": pid_of, client_of and peer_of (their ports), directory_of. The side's command stands
# in command_of.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
etcd=""
varve=""
dir="$root/target/compare"
pin=yes
members=1
keep=""
pids=()
declare -A command_of pid_of client_of peer_of directory_of

# The comment at the top of the script that was run.
usage() { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# Takes an option that every comparison has; false when it is none of these.
common_option() { # option, value
    case "$1" in
        --etcd) etcd=$2 ;;
        --varve) varve=$2 ;;
        --a) command_of[a]=$2 ;;
        --b) command_of[b]=$2 ;;
        --dir) dir=$2 ;;
        --keep) keep=$2 ;;
        *) return 1 ;;
    esac
}

# Builds what is needed and decides what runs as A and as B. Paths are the caller's; from here on
# everything runs at the root of the repository.
prepare_commands() {
    local path build target
    for path in etcd varve dir keep; do
        [ -z "${!path}" ] || printf -v "$path" %s "$(realpath -m -- "${!path}")"
    done
    command -v python3 > /dev/null || die "needs python3"
    command -v curl > /dev/null || die "needs curl"
    cd "$root"
    # Both in any case: with another choice of packages cargo chooses other features, and builds all anew.
    build=(--package varve-tools --bin varve-bench --package varve-server --bin varve)
    cargo build --release --quiet "${build[@]}"
    target=${CARGO_TARGET_DIR:-$root/target}
    bench="$target/release/varve-bench"
    if [ -z "$etcd" ]; then
        if [ -n "${VARVE_ETCD_DIR:-}" ]; then etcd="$VARVE_ETCD_DIR/etcd"; else etcd=$(command -v etcd || true); fi
    fi
    if [ -z "${command_of[a]:-}" ]; then
        [ -n "$etcd" ] && [ -x "$etcd" ] || die "no etcd to compare with: give --etcd or set VARVE_ETCD_DIR"
        command_of[a]="$etcd"
    fi
    [ -n "${command_of[b]:-}" ] || command_of[b]="${varve:-$target/release/varve} --compat-version 3.5"
}

# A fresh directory on a real disk, "$work", that goes when the script ends, as do the servers.
prepare_directory() {
    mkdir -p "$dir"
    work=$(mktemp -d "$dir/run.XXXXXX")
    case "$(stat -f -c %T "$work")" in
        tmpfs | ramfs) rmdir "$work"; die "$dir is a RAM disk: fsync costs nothing there" ;;
    esac
    results="$work/results.jsonl"
    trap finish EXIT
    trap 'exit 130' INT TERM
}

finish() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2> /dev/null || true; done
    [ -z "$keep" ] || [ ! -f "$results" ] || cp "$results" "$keep"
    rm -rf "$work"
}

# Servers on core 0 and the client on core 1, unless "$pin" is no or there is one core only.
choose_cores() {
    cores=$(nproc)
    server_pin=()
    client_pin=()
    server_cores=$cores
    if [ "$pin" = yes ] && [ "$cores" -ge 2 ] && command -v taskset > /dev/null; then
        server_pin=(taskset -c 0)
        client_pin=(taskset -c 1)
        server_cores=1
    else
        pin=no
    fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Takes ports and a directory for a server.
place_server() { # server
    client_of[$1]=$(free_port)
    peer_of[$1]=$(free_port)
    directory_of[$1]="$work/$1"
}

# Starts a placed server; the initial cluster is all servers named after the state.
start_server() { # server, new or existing, servers of the cluster
    local server=$1 state=$2 side=${1:0:1} cluster="" one command
    for one in "${@:3}"; do cluster+="${cluster:+,}$one=http://127.0.0.1:${peer_of[$one]}"; done
    read -r -a command <<< "${command_of[$side]}"
    local client="http://127.0.0.1:${client_of[$server]}" peer="http://127.0.0.1:${peer_of[$server]}"
    GOMAXPROCS=$server_cores "${server_pin[@]}" "${command[@]}" \
        --name "$server" --data-dir "${directory_of[$server]}" --log-level warn \
        --quota-backend-bytes 8589934592 --snapshot-count 10000 \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "$cluster" --initial-cluster-state "$state" > "$work/$server.log" 2>&1 &
    pid_of[$server]=$!
    pids+=("$!")
}

await_health() { # server
    local server=$1 tries=0
    until curl -sf -m 2 "http://127.0.0.1:${client_of[$server]}/health" 2> /dev/null | grep -q '"true"'; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "${pid_of[$server]}" 2> /dev/null; then
            tail -n 5 "$work/$server.log" >&2
            die "server $server (${command_of[${server:0:1}]}) did not become healthy"
        fi
        sleep 0.1
    done
}

servers_of() { # side -> its servers
    local number
    for ((number = 1; number <= members; number++)); do echo "$1$number"; done
}

# Starts the "$members" servers of a side as one new cluster.
start_side() { # side
    local side=$1 server servers
    mapfile -t servers < <(servers_of "$side")
    for server in "${servers[@]}"; do place_server "$server"; done
    for server in "${servers[@]}"; do start_server "$server" new "${servers[@]}"; done
    for server in "${servers[@]}"; do await_health "$server"; done
}

# The sum over the series of a metric of a server.
metric() { # server, name
    curl -sf -m 5 "http://127.0.0.1:${client_of[$1]}/metrics" \
        | awk -v name="$2" '$1 == name || index($1, name "{") == 1 { sum += $2 } END { printf "%.0f\n", sum }'
}

revision_of() { metric "$1" etcd_debugging_mvcc_current_revision; } # server

leader_of() { # side -> its leading server
    local server tries
    for ((tries = 0; tries < 100; tries++)); do
        for server in $(servers_of "$1"); do
            if [ "$(metric "$server" etcd_server_is_leader)" = 1 ]; then echo "$server"; return; fi
        done
        sleep 0.1
    done
    die "side $1 has no leader"
}

# Waits until every member of a side has applied what the leader has.
await_followers() { # side, leader
    local revision server tries=0
    revision=$(revision_of "$2")
    for server in $(servers_of "$1"); do
        until [ "$(revision_of "$server")" -ge "$revision" ]; do
            tries=$((tries + 1))
            [ "$tries" -le 600 ] || die "$server did not reach revision $revision"
            sleep 0.05
        done
    done
}

# Runs the client; its JSON on stdout, what went wrong in "$work/client.err".
run_client() { # endpoints (servers, comma separated), pids, the client's arguments
    local endpoints="" server
    for server in ${1//,/ }; do endpoints+="${endpoints:+,}127.0.0.1:${client_of[$server]}"; done
    timeout 900 "${client_pin[@]}" "$bench" "${@:3}" --endpoints "$endpoints" --server-pid "$2" \
        --output json < /dev/null 2> "$work/client.err"
}
