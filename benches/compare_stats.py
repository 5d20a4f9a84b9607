#!/usr/bin/env python3
"""The figures of benches/compare.sh: calibration of the disk, rows, and the table.

    compare_stats.py calibrate DIR WHEN          measure fdatasync in DIR, print one JSON line
    compare_stats.py check-fill A B              compare the servers' revisions after filling
    compare_stats.py row WORKLOAD SIDE ROUND POSITION STAT STAT LEADER LEADER < varve-bench's JSON
                                                 STAT: lines of /proc/stat, LEADER: pids of the leader,
                                                 each before and after the run
    compare_stats.py table RESULTS               print the markdown table
"""

import json
import os
import random
import statistics
import sys
import time

# A pair of runs is dropped when the share of the machine that was stolen, or used by others, differs
# by more than this between its two runs, or when more than this was stolen. In cores.
DISTURBANCE_CORES = 0.10
TICKS = os.sysconf("SC_CLK_TCK")


def calibrate(directory, when):
    """p50 and p99 of writing and syncing 4 KiB at the end of a file."""
    path = os.path.join(directory, "calibration")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    block = os.urandom(4096)
    took = []
    for _ in range(300):
        os.write(fd, block)
        start = time.perf_counter()
        os.fdatasync(fd)
        took.append((time.perf_counter() - start) * 1e6)
    os.close(fd)
    os.unlink(path)
    took.sort()
    print(json.dumps({"calibration": when, "p50_us": took[150], "p99_us": took[296]}))


def check_fill(path_a, path_b):
    """Both servers were asked the same: their revisions must be the same."""
    a, b = (json.load(open(path))["hash_kv"]["revision"] for path in (path_a, path_b))
    if a != b:
        sys.exit(f"compare.sh: after the same puts A is at revision {a}, B at {b}: not comparable")


def machine(before, after):
    """Seconds of all cores that were busy, and stolen, between two `cpu` lines of /proc/stat."""
    old, new = ([int(n) for n in line.split()[1:9]] for line in (before, after))
    user, nice, system, _idle, _iowait, irq, softirq, steal = (n - o for n, o in zip(new, old))
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def of_roles(servers, leader, requests):
    """CPU per request of the leader, and of a follower on average."""
    cpu = {True: [], False: []}
    for server in servers:
        cpu[server["pid"] == leader].append(server["cpu_seconds"] * 1e6 / requests)
    return {"leader_cpu": sum(cpu[True]), "follower_cpu": statistics.mean(cpu[False])}


def row(workload, side, round_, position, before, after, leader_before, leader_after):
    out = json.load(sys.stdin)
    if "watch-latency-put" in out:
        # The events count, from the start of their put: nothing of the latency is left out.
        put, out = out["watch-latency-put"], out["watch-latency-watch-from-put-start"]
        out["seconds"] = put["seconds"]
    busy, steal = machine(before, after)
    seconds = out["seconds"]
    # What costs something without requests is told per second.
    requests = seconds if workload == "idle" else max(out["requests"], 1)
    server = out["server"]
    own = server["cpu_seconds"] + out["client"]["cpu_seconds"]
    print(json.dumps({
        "workload": workload, "side": side, "round": int(round_), "position": int(position),
        "rps": out["requests_per_second"], "p50": out["latency_us"]["p50"], "p99": out["latency_us"]["p99"],
        "cpu": server["cpu_seconds"] * 1e6 / requests, "rss": server["rss_bytes"],
        "peak": server["peak_rss_bytes"], "written": (server["written_bytes"] or 0) / requests,
        "client_busy": out["client"]["cores_busy"],
        "others": max(0.0, busy - own) / seconds, "steal": steal / seconds,
        "leader_moved": leader_before != leader_after,
        **(of_roles(out["servers"], int(leader_before), requests) if "servers" in out else {}),
    }))


def pairs_of(rows):
    """A B B A is two pairs per round: its first two runs, and its last two."""
    by_place = {(r["round"], r["position"] // 2, r["side"]): r for r in rows}
    rounds = sorted({(r["round"], r["position"] // 2) for r in rows})
    return [(by_place[k + ("a",)], by_place[k + ("b",)]) for k in rounds]


def disturbed(a, b):
    return (a["leader_moved"] or b["leader_moved"]
            or abs(a["others"] - b["others"]) > DISTURBANCE_CORES
            or max(a["steal"], b["steal"]) > DISTURBANCE_CORES)


def undisturbed(pairs):
    """The pairs to count, and how many were dropped. All of them when too few would remain."""
    good = [p for p in pairs if not disturbed(*p)]
    return (good, len(pairs) - len(good)) if len(good) >= 3 else (pairs, 0)


def ratio(pairs, key):
    """Median of B/A over pairs, with the 95 % interval of a bootstrap."""
    ratios = [b[key] / a[key] for a, b in pairs if a[key]]
    if not ratios:
        return None
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(1000))
    return statistics.median(ratios), medians[25], medians[974]


def cell(pairs, key, scale, digits, at_least=False):
    a, b = (statistics.median(p[i][key] or 0 for p in pairs) / scale for i in (0, 1))
    r = ratio(pairs, key)
    sign = ">= " if at_least else ""
    tail = f" ({sign}**{r[0]:.2f}** [{r[1]:.2f}, {r[2]:.2f}])" if r and round(a, digits) else ""
    return f"{a:.{digits}f} / {b:.{digits}f}{tail}"


def print_roles(rows):
    """Who of a cluster uses the CPU."""
    print()
    print("| workload | leader CPU us/op A / B (B/A) | CPU us/op of a follower |")
    print("|---|---|---|")
    for workload in dict.fromkeys(r["workload"] for r in rows):
        pairs, _ = undisturbed(pairs_of([r for r in rows if r["workload"] == workload]))
        print(f"| {workload} | {cell(pairs, 'leader_cpu', 1, 1)} | {cell(pairs, 'follower_cpu', 1, 1)} |")


def table(path):
    lines = [json.loads(line) for line in open(path)]
    calibrations = {c["calibration"]: c for c in lines if "calibration" in c}
    rows = [r for r in lines if "workload" in r]
    is_cluster = any("leader_cpu" in r for r in rows)
    print("| workload | requests/s A / B (B/A) | p50 ms | p99 ms | server CPU us/op | written bytes/op "
          "| resident MiB | runs | others' cores |")
    print("|---|---|---|---|---|---|---|---|---|")
    saturated = False
    for workload in dict.fromkeys(r["workload"] for r in rows):
        own = [r for r in rows if r["workload"] == workload]
        pairs, dropped = undisturbed(pairs_of(own))
        busy = statistics.median(b["client_busy"] for _, b in pairs) > 0.85
        saturated |= busy
        others = statistics.median(r["others"] for pair in pairs for r in pair)
        runs = f"{2 * len(pairs)}" + (f" ({2 * dropped} dropped)" if dropped else "")
        print("| " + " | ".join([
            workload, cell(pairs, "rps", 1, 0, busy), cell(pairs, "p50", 1e3, 3), cell(pairs, "p99", 1e3, 3),
            cell(pairs, "cpu", 1, 1), cell(pairs, "written", 1, 0), cell(pairs, "rss", 1 << 20, 0),
            runs, f"{others:.2f}",
        ]) + " |")
    if is_cluster:
        print_roles(rows)
    print()
    peak = {side: max(r["peak"] for r in rows if r["side"] == side) / (1 << 20) for side in "ab"}
    print(f"Peak resident memory over all runs: A {peak['a']:.0f} MiB, B {peak['b']:.0f} MiB "
          f"({peak['b'] / peak['a']:.2f}).")
    before, after = calibrations["before"], calibrations["after"]
    moved = abs(after["p50_us"] / before["p50_us"] - 1)
    print(f"fdatasync of 4 KiB on this disk: p50 {before['p50_us']:.0f} us, p99 {before['p99_us']:.0f} us before; "
          f"p50 {after['p50_us']:.0f} us, p99 {after['p99_us']:.0f} us after.")
    if moved > 0.2:
        print(f"The disk changed by {moved:.0%} in between: latencies of writes are not to be quoted.")
    if saturated:
        print("\">=\": the client's core was more than 85 % busy with B, so B's throughput is a lower bound; "
              "CPU per operation counts.")
    if any(r["workload"] == "idle" for r in rows):
        print("idle: one serializable read a second; CPU and written bytes are per second.")
    moved = sum(r["leader_moved"] for r in rows)
    if moved:
        print(f"In {moved} runs the leader moved; where enough pairs remain, theirs were dropped.")
    if any(r["others"] > DISTURBANCE_CORES for r in rows):
        print("Other processes ran meanwhile (last column: cores they used): ratios stand, absolute figures do not.")


def main():
    commands = {"calibrate": calibrate, "check-fill": check_fill, "row": row, "table": table}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
