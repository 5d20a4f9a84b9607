#!/usr/bin/env python3
"""The figures of benches/catch-up.sh.

    catch_up_stats.py counters PID BYTES         what a process used so far, as JSON; BYTES it sent to members
    catch_up_stats.py row SIDE ROUND POSITION BEGAN SYNCED PROMOTED DIRECTORY
                                                 one run, from the files in DIRECTORY, as JSON
    catch_up_stats.py table RESULTS              print the markdown table
"""

import json
import os
import statistics
import sys

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


def counters(pid, sent):
    """CPU seconds and highest memory of a process (proc(5))."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as status:
        peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))
        status.seek(0)
        own = next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon:"))
    print(json.dumps({"cpu": (int(fields[11]) + int(fields[12])) / TICKS, "sent": int(sent),
                      "peak": peak, "own": own}))


def load_of(lines):
    """Rate and latencies of the light load: of its steps the sum, the median and the worst."""
    seconds = sum(step["seconds"] for step in lines)
    return {
        "rps": sum(step["requests"] for step in lines) / seconds,
        "errors": sum(step["errors"] for step in lines),
        "p50": statistics.median(step["latency_us"]["p50"] for step in lines),
        "p99": max(step["latency_us"]["p99"] for step in lines),
        "max": max(step["latency_us"]["max"] for step in lines),
        "leader_cores": sum(step["server"]["cpu_seconds"] for step in lines) / seconds,
    }


def row(side, round_, position, began, synced, promoted, directory):
    def read(name):
        with open(os.path.join(directory, name)) as lines:
            return [json.loads(line) for line in lines]
    before, meanwhile = load_of(read("before")), load_of(read("meanwhile"))
    old, new = read("leader.before")[0], read("leader.after")[0]
    member = read("new.after")[0]
    began = float(began)
    print(json.dumps({
        "side": side, "round": int(round_), "position": int(position),
        "synced": float(synced) - began, "promoted": float(promoted) - began,
        "leader_cpu": new["cpu"] - old["cpu"], "new_cpu": member["cpu"], "new_own": member["own"],
        "new_peak": member["peak"], "sent": new["sent"] - old["sent"], "before": before, "meanwhile": meanwhile,
    }))


def table(path):
    with open(path) as lines:
        rows = [json.loads(line) for line in lines]
    by_side = {side: [r for r in rows if r["side"] == side] for side in "ab"}

    def line(what, of, digits):
        a, b = (statistics.median(of(r) for r in by_side[side]) for side in "ab")
        ratio = f"{b / a:.2f}" if a else ""
        each = [", ".join(f"{of(r):.{digits}f}" for r in by_side[side]) for side in "ab"]
        print(f"| {what} | {a:.{digits}f} | {b:.{digits}f} | {ratio} | {each[0]}; {each[1]} |")

    print("| | A | B | B/A | each run of A; of B |")
    print("|---|---|---|---|---|")
    line("seconds until in sync", lambda r: r["synced"], 2)
    line("seconds until promoted", lambda r: r["promoted"], 2)
    line("CPU seconds of the new member", lambda r: r["new_cpu"], 2)
    line("CPU seconds of the leader, light load included", lambda r: r["leader_cpu"], 2)
    line("MiB sent by the leader to members", lambda r: r["sent"] / MIB, 0)
    line("MiB of own memory (RssAnon) of the new member at the end", lambda r: r["new_own"] / MIB, 0)
    line("MiB resident at most in the new member, mapped file included", lambda r: r["new_peak"] / MIB, 0)
    for name, when in (("before", "before"), ("meanwhile", "meanwhile")):
        line(f"light load {when}: puts/s", lambda r: r[name]["rps"], 0)
        line(f"light load {when}: p50 ms", lambda r: r[name]["p50"] / 1e3, 2)
        line(f"light load {when}: p99 ms of the worst second", lambda r: r[name]["p99"] / 1e3, 1)
        line(f"light load {when}: longest ms", lambda r: r[name]["max"] / 1e3, 1)
    failed = sum(r[name]["errors"] for r in rows for name in ("before", "meanwhile"))
    print()
    print(f"Puts of the light load that failed: {failed}.")


def main():
    commands = {"counters": counters, "row": row, "table": table}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
