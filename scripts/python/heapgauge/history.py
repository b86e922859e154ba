"""`heapgauge report --history DIR`: the runs of a folder in the order of their making, and where something changed.

A series is one backend on one workload: its ratio to the yardstick (the runs' own baseline) in each run. Two
runs are compared as `heapgauge gate` does: Hodges and Lehmann's shift of the rounds' ratios with its exact
interval, at a level shared by every comparison of the page (Bonferroni). A *change point* is a run whose
whole interval lies beyond the margin, against the run before it or against the first run since the last
change point, so that many small steps are seen as well. Where machine, yardstick or trace differ, the line
is cut and nothing is compared.
"""

import json
import math
from pathlib import Path

from . import gate, report, stats, store
from .errors import EXIT_WELL, Trouble

HISTORY_VERSION = 1
QUANTITIES = ("time", "footprint")


def load_all(path):
    """The models of all results folders directly under `path`, oldest first."""
    if not path.is_dir():
        raise Trouble(f"{path}: no such folder")
    models = [report.load(store.Folder(p.parent)) for p in sorted(path.glob("*/plan.json"))]
    models = [m for m in models if m["rounds"]]
    if not models:
        raise Trouble(f"{path}: no results folder in it (one that holds plan.json and rounds)")
    return sorted(models, key=lambda m: (m["created"], m["name"]))


def obstacle(old, new):
    """Why two runs can't be compared; "" if they can."""
    try:
        gate.require_comparable(old, new)
    except Trouble as why:
        return str(why).split(":")[0]
    return ""


def shift(new, old, confidence):
    """new/old of two runs' log ratios, as a factor with its interval."""
    found = stats.shift_estimate(new, old, confidence)
    return stats.Estimate(*(None if v is None else math.exp(v) for v in (found.value, found.low, found.high)), found.count)


def is_change(change, margin):
    """True if the whole interval lies beyond the margin."""
    return change.has_interval and (change.low > 1 + margin or change.high < 1 / (1 + margin))


def change_points(logs, cuts, confidence, margin=stats.MARGIN):
    """The changes in one series, as (run, run compared to, Estimate).

    `logs` holds each run's log ratios, None where a run has no number; `cuts` the runs that begin a new line.
    """
    found, start, before = [], None, None
    for run, here in enumerate(logs):
        if run in cuts:
            start = before = None
        if not here:
            continue
        for other in dict.fromkeys(x for x in (before, start) if x is not None):
            change = shift(here, logs[other], confidence)
            if is_change(change, margin):
                found.append((run, other, change))
                start = run
                break
        before = run
        start = run if start is None else start
    return found


def comparisons(logs, cuts):
    """How many comparisons change_points() may make."""
    count, seen = 0, 0
    for run, here in enumerate(logs):
        seen = 0 if run in cuts else seen
        if here:
            count += min(seen, 2)
            seen += 1
    return count


def build(models):
    """The history as plain values: runs, series with their points and change points."""
    runs, cuts = [], set()
    for index, model in enumerate(models):
        why = obstacle(models[index - 1], model) if index else ""
        if why:
            cuts.add(index)
        runs.append({"name": model["name"], "created": model["created"], "git_sha": model["context"].get("git_sha"),
                     "baseline": model["baseline"], "rounds": model["rounds"], "noisy": model["noisy"], "cut": why})
    series = [found for quantity in QUANTITIES for key in keys_of(models)
              if (found := one_series(models, key, quantity, cuts))]
    tests = sum(comparisons(s["logs"], s["cuts"]) for s in series)
    confidence = 1 - (1 - gate.CONFIDENCE) / max(1, tests)
    for one in series:
        changes = change_points(one.pop("logs"), one.pop("cuts"), confidence)
        one["changes"] = [{"run": run, "against": other, "value": c.value, "low": c.low, "high": c.high,
                           "word": word_of(one["quantity"], c)} for run, other, c in changes]
    return {"history_version": HISTORY_VERSION, "margin": stats.MARGIN, "comparisons": tests, "runs": runs, "series": series}


def keys_of(models):
    """(workload, backend) of every backend beside a yardstick, in order of appearance."""
    return list(dict.fromkeys((c["workload"], c["backend"]) for m in models for c in m["cells"] if c["role"] == "backend"))


def one_series(models, key, quantity, cuts):
    """One line of the page; None if no run has a number for it."""
    points, logs, own_cuts, stream = [], [], set(cuts), None
    for index, model in enumerate(models):
        cell = gate.index(model).get(key)
        block = cell and cell[f"{quantity}_ratio"]
        workload = next((w for w in model["workloads"] if w["name"] == key[0]), None)
        if block:
            if stream is not None and workload["sha256"] != stream:
                own_cuts.add(index)
            stream = workload["sha256"]
        quiet = block and not (quantity == "time" and workload["noisy"])
        logs.append(gate.ratios(model, key, quantity) if quiet else None)
        points.append({k: block[k] for k in ("value", "low", "high", "word")} if block
                      else {"value": None, "low": None, "high": None, "word": cell["status"] if cell else "not in this run"})
    if not any(p["value"] for p in points):
        return None
    return {"workload": key[0], "backend": key[1], "quantity": quantity, "points": points, "logs": logs, "cuts": own_cuts}


def word_of(quantity, change):
    """A change in a word."""
    down, up = ("faster", "slower") if quantity == "time" else ("smaller", "larger")
    return down if change.value < 1 else up


def described(history):
    """The change points as lines of text."""
    lines = []
    for one in history["series"]:
        for c in one["changes"]:
            run, other = history["runs"][c["run"]]["name"], history["runs"][c["against"]]["name"]
            lines.append(f"{run}: {one['backend']} on {one['workload']} became {c['word']}: {c['value'] - 1:+.1%} "
                         f"[{c['low'] - 1:+.1%}, {c['high'] - 1:+.1%}] against {other}")
    return lines


def main(path):
    """Writes history.html and history.json into `path`; returns the exit status."""
    from .exporters import page
    path = Path(path)
    history = build(load_all(path))
    store.write_atomic(path / "history.json", (json.dumps(history, indent=1, allow_nan=False) + "\n").encode())
    store.write_atomic(path / "history.html", page.render_history(history, described(history)).encode())
    print(f"{len(history['runs'])} runs, {len(history['series'])} series, {history['comparisons']} comparisons; change points:")
    for line in described(history) or ["none"]:
        print(f"- {line}")
    return EXIT_WELL
