# SPDX-License-Identifier: MIT
"""The fault suite: ./dev chaos [--list] [--seed N] [--minutes M] [--gateways 2,3] [fault ...]

Without names: every fault alone, on 2 and on 3 gateways in turn; with --minutes instead, random
sequences of those that can be mixed. With names: these, on each size. One line for each run; the last line counts them. A fault
that did not hit counts as failed, since nothing was tested. --table writes the table of
docs/GUARANTEES.md, --json one object a line.
"""

import argparse
import random
import sys
import tempfile
import time
import zlib

import world as worlds
from world import Result, World, run_world

import disk  # noqa: F401  each of these adds its faults to FAULTS
import clock  # noqa: F401
import failover  # noqa: F401
from faults import FAULTS

LONG = "persister-away-long"  # only when it is named
SEQUENCE = 6  # faults of one random sequence
LATE = 1.25   # times a target, and …
NOTED_S = 0.25   # … this: told as a note; a busy machine may add it
FAILED_S = 1.0   # … this: no machine that can be used adds it; the run fails


def seed_of(seed, *words):
    """Of one run: the same for the same words, whatever else is run."""
    return zlib.crc32(repr((seed, *words)).encode())


def over_target(fault, figures):
    """What is above its target: as notes, and as problems."""
    notes, problems = [], []
    for name, most in fault.target.items():
        value = figures.get(name)
        if value is None:
            problems.append(f"late: {name}: no post got through; the target is {most} s")
            continue
        text = f"{name} is {value:.2f} s, the target is {most} s"
        if value > most * LATE + FAILED_S:
            problems.append(f"late: {text}")
        elif value > most * LATE + NOTED_S:
            notes.append(text)
    return notes, problems


def run_alone(name, seed, gateways, folder):
    fault = FAULTS[name]
    seed = seed_of(seed, name, gateways)
    result = Result(name, seed, gateways)
    world = World(folder, seed, gateways, **fault.needs)
    run_world(result, world, [fault.run])
    if result.summary:
        notes, problems = over_target(fault, result.figures)
        result.notes += notes
        result.problems += problems
    return result


def run_sequence(number, seed, gateways, folder):
    seed = seed_of(seed, "sequence", number, gateways)
    chooser = random.Random(seed)
    names = chooser.choices([n for n, f in FAULTS.items() if f.mixable], k=SEQUENCE)
    result = Result("+".join(names), seed, gateways)
    world = World(folder, seed, gateways)
    return run_world(result, world, [FAULTS[name].run for name in names])


def seconds(figures, name):
    value = figures.get(name)
    return "" if value is None else f"{value:.2f}"


def tell(result):
    word = "ok" if result.ok else "FAILED" if result.hit else "DID NOT HIT"
    s, f = result.summary, result.figures
    print(f"{word:6} {result.name} gateways={result.gateways} seed={result.seed} "
          f"acked={s.get('acked', 0)} lost={s.get('lost', '?')} doubled={s.get('doubled', '?')} "
          f"reordered={s.get('reordered', '?')} excused={s.get('excused', 0)} "
          f"gaps={s.get('gaps', 0)} "
          + " ".join(f"{k}={v:.2f}" for k, v in f.items() if v is not None))
    for text in [*result.problems, *(f"note: {note}" for note in result.notes)]:
        print("       " + text.replace("\n", "\n       "))
    sys.stdout.flush()


def table_row(result):
    s, f = result.summary, result.figures
    fault = FAULTS[result.name]
    proof = result.hits[0].replace("|", "/") if result.hits else "did not hit"
    return (f"| {fault.what} | {result.gateways} | {s.get('acked', 0)} | "
            f"{s.get('lost', '?')} / {s.get('doubled', '?')} / {s.get('reordered', '?')} | "
            f"{s.get('excused', 0)} | {seconds(f, 'post')} | {seconds(f, 'post_others')} | "
            f"{seconds(f, 'post_after')} | {seconds(f, 'delivery')} | {proof[:70]} | "
            f"`./dev chaos {result.name}` |")


def arguments():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.split("\n\n")[0])
    parser.add_argument("faults", nargs="*", metavar="fault")
    parser.add_argument("--list", action="store_true", help="names and what they are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="of random sequences, afterwards")
    parser.add_argument("--gateways", default="2,3", help="sizes of the clusters, in turn")
    parser.add_argument("--table", help="a file for the table in Markdown")
    parser.add_argument("--json", help="a file for one object a line")
    parser.add_argument("--keep", help="a folder in which the files of failed runs stay")
    options = parser.parse_args()
    for name in options.faults:
        if name not in FAULTS:
            parser.error(f"no fault is named {name}: see --list")
    return options


def all_runs(options, folder):
    sizes = [int(n) for n in options.gateways.split(",")]
    names = options.faults or ([] if options.minutes else [n for n in FAULTS if n != LONG])
    for number, name in enumerate(names):
        for size in sizes if options.faults else [sizes[number % len(sizes)]]:
            yield run_alone(name, options.seed, size, f"{folder}/{name}-{size}")
    deadline = time.monotonic() + options.minutes * 60
    number = 0
    while time.monotonic() < deadline:
        size = sizes[number % len(sizes)]
        yield run_sequence(number, options.seed, size, f"{folder}/sequence-{number}")
        number += 1


def main():
    options = arguments()
    if options.list:
        for name, fault in FAULTS.items():
            print(f"{name:28} {fault.what}")
        return 0
    print(f"seed {options.seed}, programs of {worlds.build_folder_words()}", flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for result in all_runs(options, options.keep or folder):
            results.append(result)
            tell(result)
    if options.table:
        with open(options.table, "w", encoding="utf-8") as out:
            out.write("\n".join(table_row(r) for r in results if r.name in FAULTS) + "\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            out.write("\n".join(r.as_json() for r in results) + "\n")
    good = sum(r.ok for r in results)
    print(f"{good} runs passed, {len(results) - good} failed")
    return 0 if results and good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
