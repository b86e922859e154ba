"""The experiments behind the verdicts of `compare`: an allocator against itself, and slow-downs planted in it.

Each trial is one `heapgauge compare` of 20 rounds: `slow-0%:core` is the baseline, against itself (as the table's own A/A
row, and as a backend of another name) and against the same burning 1, 2 and 5 % of the time (backends/slow.c). Told is how
often a verdict was faster or slower, and whether intervals hold the truth.

    trials.json   every trial: ratio, interval and verdict of each row; load of the machine before it
    table.md      how often what was said
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import machine, store
from .errors import Parser

BASELINE = "slow-0%:core"
PLANTED = {"slow-0.0%:core": 1.0, "slow-1%:core": 1.01, "slow-2%:core": 1.02, "slow-5%:core": 1.05}
WORKLOADS = ("pair/size:64", "churn/live:1000/size_max:1024")
CALIBRATION_SLACK = 0.002  # the burner's own clock: what it burns is exact to this


def parse(argv):
    """The command line."""
    parser = Parser(prog="scripts/method", description=__doc__.split("\n\n")[0],
                                     epilog="Exit status: 0 the bars are met, 1 they are not, 2 usage or environment.")
    parser.add_argument("--trials", type=int, default=30, help="default 30")
    parser.add_argument("--rounds", type=int, default=20, help="of each trial (default 20)")
    parser.add_argument("--workload", action="append", metavar="NAME", help=f"default: {' and '.join(WORKLOADS)}")
    parser.add_argument("--add", action="store_true", help="to the trials that DIR has, in pieces as the machine is free")
    parser.add_argument("-o", "--output", default="results/method", metavar="DIR", help="default results/method")
    return parser.parse_args(argv)


def one_trial(number, workloads, rounds, scratch):
    """One compare: a row for each workload and backend that is not the baseline."""
    load = machine.load_average()
    folder = Path(scratch) / f"trial-{number}"
    command = [os.environ["HEAPGAUGE"], "compare", *workloads, f"--baseline={BASELINE}", f"--backends={','.join(PLANTED)}",
               f"--rounds={rounds}", f"--seed={number}", "--no-curves", "-o", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if not (folder / "results.json").exists():
        raise SystemExit(f"method: trial {number}: exit status {done.returncode}: {done.stderr.strip()[-300:]}")
    told = store.parse_json((folder / "results.json").read_text())
    rows = [{"workload": cell["workload"], "backend": cell["backend"], "role": cell["role"], "status": cell["status"],
             **{key: (cell["time_ratio"] or {}).get(key) for key in ("value", "low", "high", "word")}}
            for cell in told["cells"] if cell["role"] in ("backend", "control")]
    return {"trial": number, "load_average": load, "noisy": told["noisy"], "noise_floor": told["noise_floor"], "rows": rows}


def summary(trials):
    """(workload, backend) -> counts over all trials."""
    found = {}
    for trial in trials:
        for row in trial["rows"]:
            truth = PLANTED.get(row["backend"], 1.0)
            counts = found.setdefault((row["workload"], row["backend"]),
                                      {"truth": truth, "words": {}, "covered": 0, "trials": 0, "values": []})
            counts["trials"] += 1
            word = row["word"] or row["status"]
            counts["words"][word] = counts["words"].get(word, 0) + 1
            if row["low"] is not None:
                slack = CALIBRATION_SLACK if truth > 1 else 0
                counts["covered"] += row["low"] - slack <= truth <= row["high"] + slack
                counts["values"].append(row["value"])
    return found


def verdicts(trials):
    """(claim, holds) of each bar."""
    found = []
    false_alarms = sum(t["noisy"] or any(r["word"] in ("faster", "slower", "NOISY") for r in t["rows"]
                                         if PLANTED.get(r["backend"], 1.0) == 1.0) for t in trials)
    allowed = max(1, len(trials) // 30)
    found.append((f"an allocator against itself: a difference in {false_alarms} of {len(trials)} trials (at most {allowed})",
                  false_alarms <= allowed))
    for (workload, backend), counts in summary(trials).items():
        if PLANTED.get(backend, 0) >= 1.02:
            said, wanted = counts["words"].get("slower", 0), -(-18 * counts["trials"] // 20)
            found.append((f"{backend} on {workload}: slower in {said} of {counts['trials']} (at least {wanted})", said >= wanted))
    return found


def table(trials, rounds):
    """What is kept beside the trials, as Markdown."""
    loads = sorted(t["load_average"][0] for t in trials if t["load_average"])
    lines = ["# What `heapgauge compare` tells apart", "",
             f"{len(trials)} trials of {rounds} rounds each, on {machine.cpu_fields().get('model name')}, {os.cpu_count()} "
             f"processors, load {loads[0]:.1f} to {loads[-1]:.1f} before a trial. Baseline {BASELINE}; made by `scripts/method`, every "
             "row in trials.json.", "",
             "| workload | backend | truth | median ratio, lowest to highest | verdicts | interval holds the truth |",
             "|:--|:--|--:|--:|:--|--:|"]
    for (workload, backend), c in summary(trials).items():
        values = sorted(c["values"])
        middle = f"{values[len(values) // 2]:.4f}, {values[0]:.4f} to {values[-1]:.4f}" if values else "-"
        words = ", ".join(f"{word} {count}" for word, count in sorted(c["words"].items(), key=lambda w: -w[1]))
        lines.append(f"| {workload} | {backend} | {c['truth']:.2f} | {middle} | {words} | {c['covered']} of {c['trials']} |")
    lines += ["", f"An interval of a planted slow-down counts as right within {CALIBRATION_SLACK:.1%} of it, to which the burner is exact.", ""]
    lines += [f"- {'holds' if holds else 'FAILS'}: {claim}" for claim, holds in verdicts(trials)]
    return "\n".join(lines) + "\n"


def main(argv):
    """Runs the trials; the files are written anew after each, so that a stopped run leaves what it had."""
    options = parse(argv)
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    kept = output / "trials.json"
    trials = store.parse_json(kept.read_text()) if options.add and kept.exists() else []
    begin = len(trials) + 1
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as scratch:
        for number in range(begin, begin + options.trials):
            trials.append(one_trial(number, options.workload or WORKLOADS, options.rounds, scratch))
            store.write_atomic(kept, (json.dumps(trials, indent=1) + "\n").encode())
            store.write_atomic(output / "table.md", table(trials, options.rounds).encode())
            print(f"trial {number}/{begin + options.trials - 1}: " + ", ".join(
                f"{r['backend'].removesuffix(':core')} {r['value']:.3f} {r['word']}" for r in trials[-1]["rows"] if r["value"]),
                file=sys.stderr, flush=True)
    print(table(trials, options.rounds), end="")
    return 0 if all(holds for _, holds in verdicts(trials)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
