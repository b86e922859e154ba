"""`scripts/gate-rates`: how often the gate cries wolf, and what it sees.

Takes runs of one program on one machine (A/A): whatever the gate calls a regression between two of them is a
false alarm. Power: the same pairs with the candidate's times multiplied, so that the noise is real and the
slow-down known. Where the runs hold slow-0%:NAME and slow-5%:NAME (a decorator that burns time), the gate within
one run (--in) is tried as well: on the baseline's A/A pair, and on each of these against slow-0%:NAME.
"""

import copy
import itertools
import re
from pathlib import Path

from . import gate, report, stats, store
from .errors import EXIT_TROUBLE, EXIT_WELL, Parser, Trouble
from .exporters.markdown import aligned

PLANTED = (1.02, 1.05, 1.10)


def plant(model, factor):
    """The model with every backend's times multiplied; the yardstick is left as it is."""
    slower = copy.deepcopy(model)
    for cell in slower["cells"]:
        if cell["role"] == "backend":
            for sample in cell["samples"]:
                if "seconds" in sample:
                    sample["seconds"] *= factor
    return slower


def outcome(old, new, allowed, quantities):
    """(comparisons, regressions) of one gate."""
    rows, _ = gate.compare_models(old, new, allowed, quantities)
    return len(rows), sum(row["word"] == "regression" for row in rows)


def within(models):
    """(what, baseline, candidate) of the gates that one run allows."""
    names = [e["name"] for e in models[0]["entries"]]
    control = next(e["name"] for e in models[0]["entries"] if e["role"] == "control")
    planted = [(re.match(r"slow-([\d.]+)%:(.+)", n), n) for n in names]
    pairs = [(f"{m[1]}% slower", f"slow-0%:{m[2]}", n) for m, n in planted if m and float(m[1]) > 0]
    return [("A/A", models[0]["baseline"], control), *((w, a, b) for w, a, b in pairs if a in names)]


def rates_within(models, rounds, allowed):
    """Rows as rates(), a row a workload: gates with --in=RUN on time, each workload a trial of its own."""
    rows = []
    for what, baseline, candidate in within(models):
        for limit in allowed:
            found = [gate.compare_backends(m, r, baseline, candidate, limit, ["time"])[0] for m, r in zip(models, rounds)]
            names = dict.fromkeys(r["key"][0] for one in found for r in one)
            told = ", ".join(f"{n} {sum(r['word'] == 'regression' for one in found for r in one if r['key'][0] == n)}" for n in names)
            rows.append([f"one run, {what}", f"{limit:.0%}",
                         share(sum(any(r["word"] == "regression" for r in one) for one in found), len(found)), told])
    return rows


def share(found, total):
    """`3 of 40 (7.5%, at most 20%)`: with the exact upper bound at 95 % (Clopper and Pearson)."""
    from scipy.stats import beta
    if not total:
        return "none tried"
    upper = 1.0 if found == total else float(beta.ppf(stats.CONFIDENCE, found + 1, total - found))
    return f"{found} of {total} ({found / total:.1%}, at most {upper:.0%})"


def rates(models, allowed):
    """Rows of the table: what was tried, gates that failed, comparisons called regressions."""
    pairs = list(zip(models[::2], models[1::2]))  # disjoint: independent trials
    trials = [("A/A, time", 1.0, ["time"]), ("A/A, memory", 1.0, ["footprint"])]
    trials += [(f"planted {factor - 1:+.0%}, time", factor, ["time"]) for factor in PLANTED]
    rows = []
    for limit in allowed:  # more trials, which share their runs: no bound is told
        found = [outcome(old, new, limit, ["time"])[1] for old, new in itertools.permutations(models, 2)]
        rows.append(["A/A, time, every ordered pair", f"{limit:.0%}", f"{sum(bad > 0 for bad in found)} of {len(found)}", ""])
    for name, factor, quantities in trials:
        for limit in allowed:
            found = [outcome(old, plant(new, factor), limit, quantities) for old, new in pairs]
            rows.append([name, f"{limit:.0%}", share(sum(bad > 0 for _, bad in found), len(pairs)),
                         share(sum(bad for _, bad in found), sum(count for count, _ in found))])
    return rows


def main(argv):
    """Runs `scripts/gate-rates` and returns its exit status."""
    parser = Parser(
        prog="scripts/gate-rates", description="False alarms and power of `heapgauge gate` on runs of one and the same "
        "program: the 1st against the 2nd, the 3rd against the 4th, and so on; then with a slow-down planted in the "
        "candidate's times.", epilog="Exit status: 0 well; 2 usage, or a run that can't be read.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--max-regression", type=gate.fraction, action="append", metavar="2%", help="default: 0 and 2%%")
    options = parser.parse_args(argv)
    try:
        if len(options.runs) < 2:
            raise Trouble("at least two runs are needed")
        folders = [store.Folder(p) for p in options.runs]
        models, rounds = [report.load(f) for f in folders], [f.read_rounds() for f in folders]
        for model in models[1:]:
            gate.require_comparable(models[0], model)
    except Trouble as trouble:
        parser.exit(EXIT_TROUBLE, f"gate-rates: {trouble}\n")
    allowed = options.max_regression or [0.0, 0.02]
    rows = rates(models, allowed) + rates_within(models, rounds, allowed)
    print(aligned(["trial", "allowed", "gates that failed", "comparisons called regressions"], rows, ("trial",)))
    return EXIT_WELL
