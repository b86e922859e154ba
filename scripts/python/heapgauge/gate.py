"""`heapgauge gate`: is the candidate proven slower, or hungrier, than the baseline?

Both folders hold rounds of a backend beside the same yardstick (their runs' own baseline, e.g. system).
What is compared is the backend's ratio to the yardstick within each round, so that a slower day of the
machine cancels. The two folders' ratios are unpaired: Hodges and Lehmann's shift with its exact interval,
at a level shared by all comparisons (Bonferroni, 99 % together). A regression is proven when the whole interval lies
beyond what is allowed; everything else passes. Rounds can't tell what lies between two runs: a neighbour that slows the
yardstick by 40 % shifts ratios to it by 5 to 10 %. So a quarter of what the yardstick itself changed by is let pass as well.

With --in=DIR both are backends of one run (an old and a new .so), which sees far less: their ratio within each round, in
lock-step where the workload allows it, with the exact interval of its median.
"""

import argparse
import json
import math
from pathlib import Path

from . import hyperfine, report, stats, store
from .analysis import FINDING_STATUSES, paired
from .errors import EXIT_FINDING, EXIT_WELL, Parser, Trouble
from .exporters.markdown import aligned
from .plan import HARNESS, backend_label

# Of all comparisons together. Tables take 95 %; a gate stops people's work. Rounds of one run are not quite independent
# (load comes and goes over minutes), so at 95 % the measured rate of false alarms was near 1 in 24 on a busy machine.
CONFIDENCE = 0.99
DRIFT_PASSED = 0.25  # of the yardstick's own change between two runs, as an exponent
QUANTITIES = {"time": "seconds", "footprint": "footprint_overhead"}


def fraction(text):
    """"2%" or "0.02" as 0.02."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError("expected something like 2%% or 0.02") from None
    if not 0 <= value < 10:
        raise argparse.ArgumentTypeError("must lie between 0% and 1000%")
    return value


def parse(argv):
    """The command line."""
    parser = Parser(
        prog="heapgauge gate",
        description="Fails only on a proven regression of the candidate's results against the baseline's.",
        epilog="Exit status: 0 none is proven; 1 one is, or a cell that was well is broken now; 2 usage, or "
               "results that can't be compared.")
    parser.add_argument("--baseline", required=True, metavar="DIR", help="a results folder, or with --in a backend")
    parser.add_argument("--candidate", required=True, metavar="DIR", help="the same")
    parser.add_argument("--in", dest="run", metavar="DIR", type=Path, help="one run in which both are backends, e.g. "
                        "--baseline=./old.so --candidate=./new.so: measured together, small regressions are seen")
    parser.add_argument("--max-regression", type=fraction, default=0.02, metavar="2%",
                        help="slow-down or growth that is let pass (default 2%%)")
    parser.add_argument("--backends", metavar="A,B", help="only these (default: all but the yardstick)")
    parser.add_argument("--quantity", choices=["time", "footprint", "both"], default="both")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the comparisons here")
    return parser.parse_args(argv)


def require_comparable(old, new):
    """Trouble if a difference between the folders could not be put down to the allocators."""
    if old["baseline"] != new["baseline"]:
        raise Trouble(f"the yardsticks differ: {old['baseline']} and {new['baseline']}: measure both against one")
    for key, what in (("cpu_model", "processor"), ("kernel", "kernel")):
        here, there = old["context"].get(key), new["context"].get(key)
        if here != there:
            raise Trouble(f"measured on different machines ({what}: {here} and {there}): measure both on one")
    yardstick = [next((b.get("sha256") for b in m["backends"] if b["name"] == m["baseline"]), None)
                 for m in (old, new)]
    if yardstick[0] != yardstick[1]:
        raise Trouble(f"the yardstick {old['baseline']} is not the same library in both: measure the baseline again")


def index(model):
    """(workload, backend) -> cell."""
    return {(c["workload"], c["backend"]): c for c in model["cells"]}


def common_pairs(old, new, wanted):
    """The cells to compare, and lines about those that can't be."""
    before, after = index(old), index(new)
    streams = [{w["name"]: w["sha256"] for w in m["workloads"]} for m in (old, new)]
    pairs, notes = [], []
    for key, cell in before.items():
        workload, backend = key
        if cell["role"] != "backend" or (wanted and backend not in wanted):
            continue
        if key not in after:
            notes.append(f"{backend} on {workload}: not in the candidate's results")
        elif streams[0][workload] != streams[1][workload]:
            notes.append(f"{backend} on {workload}: the traces differ, so it is not compared")
        else:
            pairs.append(key)
    return pairs, notes


def ratios(model, key, quantity):
    """Log ratios to the yardstick, one a round, of one cell; [] if it has none."""
    cells = index(model)
    mine, yardstick = cells[key], cells[(key[0], model["baseline"])]
    if mine["status"] != "ok" or yardstick["status"] != "ok":
        return []
    values = paired(mine["samples"], yardstick["samples"], QUANTITIES[quantity])
    if not values[0] or min(values[0]) <= 0 or min(values[1]) <= 0:
        return []
    return stats.log_ratios(*values)


def compare_models(old, new, allowed, quantities, wanted=None):
    """All comparisons, as rows: key, quantity, change (Estimate, as a factor), word, detail; and notes."""
    pairs, notes = common_pairs(old, new, wanted)
    noisy = {w["name"] for m in (old, new) for w in m["workloads"] if w["noisy"]}
    rows, tests = [], []
    for key in pairs:
        before, after = index(old)[key], index(new)[key]
        if before["status"] == "ok" and after["status"] in FINDING_STATUSES:
            rows.append({"key": key, "quantity": "status", "change": None, "word": "regression",
                         "detail": f"{after['status']}: {after['detail']}"})
            continue
        for quantity in quantities:
            a, b = ratios(new, key, quantity), ratios(old, key, quantity)
            if a and b:
                tests.append((key, quantity, a, b))
    drifts = {key[0]: drift(old, new, key[0]) for key, *_ in tests}
    rows += judged(tests, stats.shift_estimate, allowed, noisy, drifts)
    return rows, notes


def drift(old, new, workload):
    """The yardstick's own change of time between two runs, as a factor of at least 1."""
    then, now = (index(m)[workload, m["baseline"]]["time"]["median"] for m in (old, new))
    return max(then, now) / min(then, now)


def judged(tests, estimate, allowed, noisy, drifts=()):
    """Rows of (key, quantity, values...), `estimate` of whose values and a confidence is a log ratio. `drifts`: workload ->
    what the yardstick changed by."""
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(tests))
    for key, quantity, *values in tests:
        shift = estimate(*values, confidence)
        change = stats.Estimate(*(None if v is None else math.exp(v) for v in (shift.value, shift.low, shift.high)),
                                shift.count)
        changed = dict(drifts).get(key[0], 1.0) if quantity == "time" else 1.0
        word, detail = judge(change, allowed, quantity == "time" and key[0] in noisy, changed)
        yield {"key": key, "quantity": quantity, "change": change, "word": word, "detail": detail}


def slices_of(result):
    """The times of a cell's slices, a list for each turn; [] if it did not run in lock-step."""
    told = result.get("turns", {}).get("slices_ns") or [result.get("slices_ns")]
    return [list(map(int, turn.split())) for turn in told] if all(told) else []


def within_rounds(rounds, workload, baseline, candidate, is_trace=False):
    """Log ratios of two backends' times, one a round: slice by slice where both ran in lock-step, the median of the turns'
    medians, or of their sums' where a benchmark's slices are uneven. [] if they did not."""
    found = []
    for stored in rounds:
        turns = {r["entry"]: slices_of(r) for r in stored["results"] if r["workload"] == workload}
        mine, theirs = turns.get(candidate, []), turns.get(baseline, [])
        if not mine or len(mine) != len(theirs):
            return []
        uneven = not is_trace and (hyperfine.is_uneven(mine) or hyperfine.is_uneven(theirs))
        found.append(math.log(stats.median([hyperfine.turn_ratio(*turn, uneven) for turn in zip(mine, theirs)])))
    return found


def compare_backends(model, rounds, baseline, candidate, allowed, quantities):
    """All comparisons of two backends of one run, as rows; and notes."""
    cells, tests, rows, notes = index(model), [], [], []
    for workload in model["workloads"]:
        before, after = cells[workload["name"], baseline], cells[workload["name"], candidate]
        key = (workload["name"], candidate)
        if before["status"] == "ok" and after["status"] in FINDING_STATUSES:
            rows.append({"key": key, "quantity": "status", "change": None, "word": "regression",
                         "detail": f"{after['status']}: {after['detail']}"})
        elif before["status"] != "ok" or after["status"] != "ok":
            notes.append(f"{workload['name']}: no number of both")
        for quantity in quantities if before["status"] == after["status"] == "ok" else ():
            values = paired(after["samples"], before["samples"], QUANTITIES[quantity])
            if values[0] and min(values[0]) > 0 and min(values[1]) > 0:
                logs = within_rounds(rounds, workload["name"], baseline, candidate,
                                     workload["class"] == "trace") if quantity == "time" else []
                tests.append((key, quantity, logs or stats.log_ratios(*values)))
    noisy = {w["name"] for w in model["workloads"] if w["noisy"]}
    return rows + list(judged(tests, stats.median_estimate, allowed, noisy)), notes


def backends_of(model, *specs):
    """The names that backends have in a run; Trouble for one that is not in it."""
    names = [e["name"] for e in model["entries"]]
    for spec in specs:
        if backend_label(spec) not in names:
            raise Trouble(f"{spec}: not a backend of this run; it has: {', '.join(n for n in names if n != HARNESS)}")
    return [backend_label(s) for s in specs]


def judge(change, allowed, noisy, drift_factor=1.0):
    """The word for one comparison. Only "regression" fails the gate."""
    if not change.has_interval:
        return "inconclusive", "too few rounds for this many comparisons"
    if noisy:
        return "inconclusive", "noisy: the yardstick differs from itself"
    if change.low > (1 + allowed) * drift_factor**DRIFT_PASSED:
        return "regression", ""
    if change.low > 1 + allowed:
        return "inconclusive", f"the yardstick itself changed by {drift_factor - 1:.0%}: measure both in one run (--in)"
    if change.low > 1:
        return "worse", "proven, but not proven beyond what is allowed"
    if change.high < 1:
        return "better", ""
    if change.high <= 1 + allowed:
        return "passes", ""
    return "inconclusive", "neither proven nor ruled out"


def table(rows):
    """The comparisons as a Markdown table."""
    lines = [[r["key"][0], r["key"][1], r["quantity"],
              f"{r['change'].value - 1:+.1%}" if r["change"] else "",
              f"[{r['change'].low - 1:+.1%}, {r['change'].high - 1:+.1%}]"
              if r["change"] and r["change"].has_interval else "",
              r["word"], r["detail"]] for r in rows]
    header = ["workload", "backend", "quantity", "change", "interval", "verdict", "detail"]
    return aligned(header, lines, ("workload", "backend", "quantity", "verdict", "detail"))


def main(argv):
    """Runs `heapgauge gate` and returns its exit status."""
    options = parse(argv)
    quantities = list(QUANTITIES) if options.quantity == "both" else [options.quantity]
    if options.run:
        folder = store.Folder(options.run)
        model = report.load(folder)
        names = backends_of(model, options.baseline, options.candidate)
        rows, notes = compare_backends(model, folder.read_rounds(), *names, options.max_regression, quantities)
    else:
        old, new = (report.load(store.Folder(p)) for p in (options.baseline, options.candidate))
        require_comparable(old, new)
        wanted = set(options.backends.split(",")) if options.backends else None
        rows, notes = compare_models(old, new, options.max_regression, quantities, wanted)
    if not rows:
        raise Trouble("nothing to compare: " + ("; ".join(notes) or "no backend beside the yardstick in both"))
    print(table(rows))
    for note in notes:
        print(f"- {note}")
    failed = [r for r in rows if r["word"] == "regression"]
    print(f"{len(failed)} of {len(rows)} comparisons are proven regressions beyond {options.max_regression:.1%}.")
    if options.json:
        plain = [{"workload": r["key"][0], "backend": r["key"][1], "quantity": r["quantity"], "word": r["word"],
                  "detail": r["detail"], "change": r["change"] and r["change"].value,
                  "low": r["change"] and r["change"].low, "high": r["change"] and r["change"].high} for r in rows]
        store.write_atomic(options.json, (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode())
    return EXIT_FINDING if failed else EXIT_WELL
