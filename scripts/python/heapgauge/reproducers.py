"""What a finding is worth to who gets it: for each planted fault, how long is its reproducer, how long did reducing
take, does it show the same 100 times of 100, does its C file compile without a warning."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import EXIT_FINDING, EXIT_TROUBLE, EXIT_WELL
from .faultscore import list_faults, program

COMPILERS = ("gcc", "clang")
OPERATIONS_MAX, SECONDS_MAX, REPLAYS = 12, 10, 100
REPLAYS_OF_LOOPS = 5  # a finding without operations is a check of many thousand, seconds long
HARD_EASE = 4


def compiles(c_file):
    """Names of the compilers that object, with -Wall -Wextra -Werror."""
    words = ["-O0", "-fno-builtin", "-Wall", "-Wextra", "-Werror", "-pthread", "-fsyntax-only", str(c_file)]
    return [name for name in COMPILERS if shutil.which(name) and
            subprocess.run([name, *words], capture_output=True, check=False).returncode != 0]


def replays(heapgauge, backend, trace, times, options):
    """How often of so many times the trace breaks a promise again, as `heapgauge check` tells."""
    words = [heapgauge, "check", f"--backend={backend}", f"--times={times}", *options, str(trace)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return times if done.returncode == EXIT_FINDING and f"{times} times of {times}" in done.stdout else 0


def reproduce(heapgauge, fault, options):
    """One campaign, reduced. A row of the table."""
    backend, strict = f"fault-{fault['name']}:{options.inner}", fault["needs"] == "strict"
    with tempfile.TemporaryDirectory(prefix="hg-repro-") as folder:
        out = Path(folder) / "out.json"
        words = [heapgauge, "fuzz", f"--backend={backend}", f"--target={fault['target']}", f"--time={options.time}",
                 f"--seed={options.seed}", f"--json={out}", "-o", folder]
        subprocess.run(words + ["--strict"] * strict, capture_output=True, check=False)
        findings = json.loads(out.read_text())["cells"][0]["findings"]
        if not findings:
            return {"fault": fault["name"], "ease": int(fault["ease"]), "item": None}
        found = findings[0]
        times = REPLAYS if found["operations"] else REPLAYS_OF_LOOPS
        how = ["--strict"] * strict + ["--single"] * (fault["target"] != "threads")
        return {"fault": fault["name"], "ease": int(fault["ease"]), "item": found["item"],
                "operations": found["operations"], "operations_before": found["operations_before"],
                "reduce_s": found["reduce_seconds"], "reproduced": found["reproduced"], "replays_asked": times,
                "replays": replays(heapgauge, backend, found["path"] + ".hgt", times, how),
                "objecting": compiles(found["path"] + ".c")}


def is_as_owed(row):
    """Found, replayed and compiled always; short and soon for ease 1 to 3."""
    if not row["item"] or not row["reproduced"] or row["objecting"] or \
            row["replays"] != row["replays_asked"]:
        return False
    return row["ease"] >= HARD_EASE or (row["operations"] <= OPERATIONS_MAX and row["reduce_s"] <= SECONDS_MAX)


def table(rows):
    """The rows as Markdown."""
    lines = ["| fault | ease | item | operations | of | reduced in s | replays | C file |",
             "|:--|--:|:--|--:|--:|--:|--:|:--|"]
    for row in rows:
        if not row["item"]:
            lines.append(f"| {row['fault']} | {row['ease']} | not found | - | - | - | - | - |")
            continue
        objecting = "refused by " + ", ".join(row["objecting"]) if row["objecting"] else "clean"
        lines.append(f"| {row['fault']} | {row['ease']} | {row['item']} | {row['operations']} | "
                     f"{row['operations_before']} | {row['reduce_s']:.1f} | {row['replays']}/{row['replays_asked']} | {objecting} |"
                     f"{'' if is_as_owed(row) else ' **not as owed**'}")
    return "\n".join(lines) + "\n"


def main(argv):
    """Exit status: 0 all as owed, 1 one is not, 2 usage."""
    parser = argparse.ArgumentParser(prog="fault-reproducers", description=__doc__)
    parser.add_argument("faults", nargs="*", help="names of faults (all)")
    parser.add_argument("--time", type=float, default=30, help="budget to find one, seconds (30)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--inner", default="core", help="the backend that is made faulty (core)")
    parser.add_argument("--json", default="", help="the rows as JSON")
    options = parser.parse_args(argv)
    heapgauge = program()
    faults = [fault for fault in list_faults(heapgauge) if fault["ease"] != "0"]
    unknown = set(options.faults) - {fault["name"] for fault in faults}
    if unknown:
        print(f"heapgauge reproducers: unknown: {', '.join(sorted(unknown))}", file=sys.stderr)
        return EXIT_TROUBLE
    chosen = [fault for fault in faults if not options.faults or fault["name"] in options.faults]
    with ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(lambda fault: reproduce(heapgauge, fault, options), chosen))
    print(table(rows), end="")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    return EXIT_WELL if all(is_as_owed(row) for row in rows) else EXIT_FINDING
