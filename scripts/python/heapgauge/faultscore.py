"""Does the fuzzer find what is broken? N trials of each planted fault, against the mutator and against
purely random bytes.

A trial is one campaign of `heapgauge fuzz` with a seed of its own, ended by the first finding or by its
budget. A finding under an item that the fault is not declared for is counted apart ("other"). Equivalent
variants must stay silent. Faults that are not found within the budget are censored: the median is that of
Kaplan and Meier, which for one common budget is the middle order statistic, or none if half are censored.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import EXIT_TROUBLE, Trouble
from .stats import order_rank

COLUMNS = ("name", "item", "found_as", "target", "needs", "ease", "what")
EXIT_FINDING = 1


def program():
    """The program under test: $HEAPGAUGE, or build/release of this tree."""
    found = os.environ.get("HEAPGAUGE") or str(
        Path(__file__).resolve().parents[3] / "build" / "release" / "bin" / "heapgauge")
    if not os.access(found, os.X_OK):
        raise Trouble(f"{found} is not there; build it with: cmake --workflow --preset release")
    return found


def list_faults(heapgauge):
    """The table of planted faults, as dictionaries."""
    text = subprocess.run([heapgauge, "fuzz", "--faults"], capture_output=True, text=True, check=True).stdout
    return [dict(zip(COLUMNS, line.split("\t"))) for line in text.splitlines()]


def run_trial(heapgauge, fault, seed, options):
    """One campaign. Returns what was found first, or None."""
    with tempfile.TemporaryDirectory(prefix="hg-score-") as folder:
        out = Path(folder) / "out.json"
        command = [heapgauge, "fuzz", f"--backend=fault-{fault['name']}:{options.inner}",
                   f"--target={fault['target']}", f"--time={options.time}", f"--seed={seed}",
                   "--no-reduce", f"--json={out}", "-o", folder]
        if fault["needs"] == "strict":
            command.append("--strict")
        if options.random:
            command.append("--random")
        if options.oracle_fault:
            command.append(f"--oracle-fault={options.oracle_fault}")
        if options.mute:
            command.append(f"--mute={fault['found_as']}")
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in (0, EXIT_FINDING):
            raise Trouble(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        cell = json.loads(out.read_text())["cells"][0]
    finding = cell["findings"][0] if cell["findings"] else None
    return {"found": finding["item"] if finding else None,
            "as_declared": bool(finding) and finding["item"] in fault["found_as"].split(","),
            "inputs": finding["inputs_to_exposure"] if finding else cell["inputs"],
            "cpu_s": finding["cpu_seconds_to_exposure"] if finding else cell["cpu_seconds"],
            "text": finding["text"] if finding else ""}


def censored_median(times, is_found):
    """Median time to exposure with its 95 % interval from order statistics; inf where censored."""
    ordered = sorted(t if f else math.inf for t, f in zip(times, is_found))
    count = len(ordered)
    middle = ordered[(count - 1) // 2]
    rank = order_rank(count)
    if rank == 0:
        return middle, None, None
    return middle, ordered[rank - 1], ordered[count - rank]


def summarize(fault, trials):
    """One row of the table."""
    hits = [bool(trial["found"]) for trial in trials]
    median, low, high = censored_median([trial["cpu_s"] for trial in trials], hits)
    inputs, _, _ = censored_median([trial["inputs"] for trial in trials], hits)
    items = sorted({trial["found"] for trial in trials if trial["found"]})
    return {"fault": fault["name"], "item": fault["item"], "ease": int(fault["ease"]),
            "trials": len(trials), "found": sum(hits),
            "as_declared": sum(trial["as_declared"] for trial in trials), "items": items,
            "cpu_s_median": median, "cpu_s_low": low, "cpu_s_high": high, "inputs_median": inputs}


def is_as_owed(row):
    """Every trial of a fault finds it, under a declared item; no trial of an equivalent finds anything."""
    return row["found"] == 0 if row["ease"] == 0 else row["as_declared"] == row["trials"]


def number(value, form):
    """A value for the table; "-" where it is not known."""
    return "-" if value is None or math.isinf(value) else format(value, form)


def print_table(rows, label):
    print(f"\n{label}\n{'fault':<24} {'item':<5} {'ease':>4} {'found':>7} {'as':<14} "
          f"{'inputs':>9} {'CPU s':>8}  95 % interval")
    for row in rows:
        low, high = number(row["cpu_s_low"], ".2f"), number(row["cpu_s_high"], ".2f")
        print(f"{row['fault']:<24} {row['item']:<5} {row['ease']:>4} {row['found']:>3}/{row['trials']:<3} "
              f"{','.join(row['items']) or '-':<14} {number(row['inputs_median'], '.0f'):>9} "
              f"{number(row['cpu_s_median'], '.2f'):>8}  {low} .. {high}"
              f"{'' if is_as_owed(row) else '   NOT AS OWED'}")


def score(heapgauge, faults, options):
    """All trials of all faults; rows in the order of the table."""
    jobs = [(fault, options.seed + trial) for fault in faults for trial in range(options.trials)]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda job: run_trial(heapgauge, job[0], job[1], options), jobs))
    count = options.trials
    return [summarize(fault, results[i * count:(i + 1) * count]) for i, fault in enumerate(faults)]


def parse(argv):
    parser = argparse.ArgumentParser(prog="fault-score", description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", help="names of faults (all)")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--time", type=float, default=60, help="budget of a trial, seconds (60)")
    parser.add_argument("--equivalent-time", type=float, default=None,
                        help="the same for equivalent variants, which always use it up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time (1)")
    parser.add_argument("--inner", default="core", help="the backend that is made faulty (core)")
    parser.add_argument("--random", action="store_true", help="purely random bytes only")
    parser.add_argument("--both", action="store_true", help="the mutator, then purely random bytes")
    parser.add_argument("--oracle-fault", default="", help="with a fault in the oracle itself")
    parser.add_argument("--mute", action="store_true",
                        help="without the checks a fault is declared for: is any other check enough?")
    parser.add_argument("--json", default="", help="the rows as JSON")
    return parser.parse_args(argv)


def main(argv):
    """Exit status: 0 all as owed, 1 a fault survived or an equivalent was accused, 2 usage."""
    options = parse(argv)
    heapgauge = program()
    known = list_faults(heapgauge)
    unknown = set(options.faults) - {fault["name"] for fault in known}
    if unknown:
        print(f"heapgauge faultscore: unknown: {', '.join(sorted(unknown))}", file=sys.stderr)
        return EXIT_TROUBLE
    chosen = [fault for fault in known if not options.faults or fault["name"] in options.faults]
    report, good = {}, True
    for is_random in ([False, True] if options.both else [options.random]):
        options.random = is_random
        label = "purely random bytes" if is_random else "mutator"
        planted = [fault for fault in chosen if fault["ease"] != "0"]
        equivalent = [fault for fault in chosen if fault["ease"] == "0"]
        rows = score(heapgauge, planted, options)
        budget = options.time
        options.time = options.equivalent_time or budget
        rows += score(heapgauge, equivalent, options)
        options.time = budget
        print_table(rows, f"{label}, {options.trials} trials of at most {options.time:g} s each")
        report[label] = rows
        good = good and all(is_as_owed(row) for row in rows)
        sys.stdout.flush()
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1).replace("Infinity", "null") + "\n")
    return 0 if good else 1
