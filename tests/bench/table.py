# SPDX-License-Identifier: MIT
"""table.py RESULTS OUT: medians of what tests/bench/run has measured, as OUT/BENCHMARKS.md (the part
between its two marks; what is around it stays) and OUT/images/bench.svg."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

NAMES = {
    "floor-io_uring": "bare loop, io_uring",
    "floor-send": "bare loop, send()",
    "chat-io_uring": "**this chat, io_uring**",
    "chat-sendmsg": "**this chat, sendmsg**",
    "nchan": "nchan, in memory",
    "nchan-redis": "nchan, Redis",
    "ws-redis": "node: ws, express, ioredis",
    "websockets": "Python: websockets",
}

# heading, workload, value of a result, decimals
COLUMNS = [
    ("one under way, µs", "fanout1", lambda r: r["cpu_us_per_delivery"], 2),
    ("eight, µs", "fanout8", lambda r: r["cpu_us_per_delivery"], 2),
    ("60/s: p50, ms", "paced", lambda r: r["delivery_ms"]["p50"], 1),
    ("p99, ms", "paced", lambda r: r["delivery_ms"]["p99"], 1),
    ("connect, µs", "idle", lambda r: r["connect_cpu_us"], 1),
    ("idle client, bytes", "idle", lambda r: r["client_user_bytes"], 0),
    ("POST, µs", "post", lambda r: r["cpu_us_per_request"], 1),
    ("GET of 50, µs", "get", lambda r: r["cpu_us_per_request"], 1),
    ("beside slow ones, µs", "slow", lambda r: r["cpu_us_per_delivery"], 2),
]


def read_results(folder):
    """{(server, workload): [result, …]}; runs that lost something do not count."""
    results, bad = {}, []
    for path in sorted(Path(folder).glob("*.*.*.json")):
        server, workload, _ = path.name[:-5].rsplit(".", 2)
        try:
            result = json.loads(path.read_text())
        except ValueError:
            bad.append(path.name)
            continue
        if "costs" in result:
            results.setdefault((server, workload), []).append(result["costs"])
            continue
        if not result["complete"] or result["lost"] or result["doubled"] or result["out_of_order"]:
            bad.append(path.name)
            continue
        results.setdefault((server, workload), []).append(result)
    return results, bad


def cell(runs, value, decimals):
    try:
        numbers = [value(run) for run in runs]
    except KeyError:
        numbers = []
    return f"{statistics.median(numbers):,.{decimals}f}" if numbers else ""


def servers_of(results):
    found = {server for server, _ in results}
    return [s for s in NAMES if s in found] + sorted(found - set(NAMES))


def table(results):
    """"" when none of these workloads was run."""
    shown = {w for _, w, _, _ in COLUMNS}
    measured = {key: runs for key, runs in results.items() if key[1] in shown}
    if not measured:
        return ""
    lines = ["| | " + " | ".join(c[0] for c in COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for server in servers_of(measured):
        cells = [cell(results.get((server, w), []), value, d) for _, w, value, d in COLUMNS]
        lines.append(f"| {NAMES.get(server, server)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def p99(runs):
    return statistics.median(run["delivery_ms"]["p99"] for run in runs)


def abuse_table(results):
    """What 1,000 clients that chat notice of each kind of abuse; "" when that was not run."""
    lines = ["| beside 1,000 clients that chat | undisturbed: p99, ms | abused: p99, ms | ratio |",
             "| --- | ---: | ---: | ---: |"]
    for (server, workload), runs in sorted(results.items()):
        before = results.get((server, workload + "-before"))
        if workload.startswith("abuse-") and before:
            lines.append(f"| {NAMES.get(server, server)}, {workload[6:]} | {p99(before):.1f} | "
                         f"{p99(runs):.1f} | {p99(runs) / p99(before):.2f} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def costs_table(results):
    """CPU of a gateway for requests that it serves and that it refuses."""
    lines = ["| request | status | CPU, µs | of a good one |", "| --- | ---: | ---: | ---: |"]
    for (server, _), runs in sorted((k, v) for k, v in results.items() if k[1] == "costs"):
        us = {name: statistics.median(run[name]["us"] for run in runs) for name in runs[0]}
        for name, request in runs[0].items():
            good = request["good"]
            share = f"{us[name] / us[good]:.2f} of *{good}*" if good else ""
            lines.append(f"| {NAMES.get(server, server)}: {name} | {request['status']} | "
                         f"{us[name]:.1f} | {share} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).strip().split("\n")[0]


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return (f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores, "
            f"{memory / 1048576:.0f} GiB, Linux {platform.release()}; "
            f"{first_line(['redis-server', '--version']).split(' sha')[0]}; "
            f"{first_line(['gcc', '--version'])}")


# ---- the chart: two bars a server, CPU microseconds of a delivery ----

CHART_WIDTH, LABELS, ROW, BAR = 820, 220, 46, 16
COLOURS = (("fanout1", "#2f6f9f", "one message under way"), ("fanout8", "#8fbf6f", "eight under way"))


def plain(server):
    return NAMES.get(server, server).replace("*", "")


def chart(results):
    rows = []
    for server in servers_of(results):
        medians = [statistics.median(run["cpu_us_per_delivery"] for run in results[server, w])
                   if results.get((server, w)) else None for w, _, _ in COLOURS]
        if any(medians):
            rows.append((plain(server), medians))
    if not rows:
        return None
    most = max(m for _, medians in rows for m in medians if m)
    scale = (CHART_WIDTH - LABELS - 70) / most
    height = 64 + ROW * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CHART_WIDTH} {height}" '
           f'font-family="sans-serif" font-size="13" role="img" '
           f'aria-label="CPU microseconds of a delivery">',
           f'<rect width="{CHART_WIDTH}" height="{height}" fill="#fff"/>',
           '<text x="12" y="22" font-size="15">CPU of all server processes for each delivery, '
           'in microseconds (less is better)</text>']
    for i, (_, colour, words) in enumerate(COLOURS):
        x = LABELS + i * 200
        out.append(f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 18}" y="43">{words}</text>')
    for i, (name, medians) in enumerate(rows):
        y = 58 + i * ROW
        out.append(f'<text x="{LABELS - 10}" y="{y + BAR + 5}" text-anchor="end">{name}</text>')
        for k, (_, colour, _) in enumerate(COLOURS):
            if medians[k] is None:
                continue
            top, width = y + k * (BAR + 2), max(1.0, medians[k] * scale)
            out.append(f'<rect x="{LABELS}" y="{top}" width="{width:.1f}" height="{BAR}" '
                       f'fill="{colour}"/><text x="{LABELS + width + 6:.1f}" '
                       f'y="{top + 13}">{medians[k]:.2f}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    folder, out = sys.argv[1], Path(sys.argv[2])
    results, bad = read_results(folder)
    for name in bad:
        print(f"bench: {name} does not count: incomplete, or something was lost", file=sys.stderr)
    if not results:
        sys.exit("bench: nothing was measured")
    rounds = max(len(runs) for runs in results.values())
    tables = [t for t in (table(results), abuse_table(results), costs_table(results)) if t]
    text = "\n\n".join([*tables, f"Medians of up to {rounds} rounds. {machine()}."])
    print(text)
    (out / "images").mkdir(parents=True, exist_ok=True)
    page = out / "BENCHMARKS.md"
    old = page.read_text() if page.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    svg = chart(results)
    if svg:
        (out / "images" / "bench.svg").write_text(svg)


main()
