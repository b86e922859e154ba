"""`scripts/gate-rates`: how often the gate cries wolf, and what it sees.

Takes runs of one program on one machine (A/A): whatever the gate calls a regression between two of them is a
false alarm. Power: the same pairs with the candidate's times multiplied, so that the noise is real and the
slow-down known.
"""

import argparse
import copy
from pathlib import Path

from . import gate, report, stats, store
from .errors import EXIT_TROUBLE, EXIT_WELL, Trouble
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
    for name, factor, quantities in trials:
        for limit in allowed:
            found = [outcome(old, plant(new, factor), limit, quantities) for old, new in pairs]
            rows.append([name, f"{limit:.0%}", share(sum(bad > 0 for _, bad in found), len(pairs)),
                         share(sum(bad for _, bad in found), sum(count for count, _ in found))])
    return rows


def main(argv):
    """Runs `scripts/gate-rates` and returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/gate-rates", description="False alarms and power of `heapgauge gate` on runs of one and the same "
        "program: the 1st against the 2nd, the 3rd against the 4th, and so on; then with a slow-down planted in the "
        "candidate's times.", epilog="Exit status: 0 well; 2 usage, or a run that can't be read.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--max-regression", type=gate.fraction, action="append", metavar="2%", help="default: 0 and 2%%")
    options = parser.parse_args(argv)
    try:
        if len(options.runs) < 2:
            raise Trouble("at least two runs are needed")
        models = [report.load(store.Folder(p)) for p in options.runs]
        for model in models[1:]:
            gate.require_comparable(models[0], model)
    except Trouble as trouble:
        parser.exit(EXIT_TROUBLE, f"gate-rates: {trouble}\n")
    rows = rates(models, options.max_regression or [0.0, 0.02])
    print(aligned(["trial", "allowed", "gates that failed", "comparisons called regressions"], rows, ("trial",)))
    return EXIT_WELL
