"""From the raw rounds of a results folder to one model that every table is written from.

The model is plain values (results/schema/results.schema.json describes it). Nothing is computed in an
exporter: what two tables say of a cell is one number.
"""

import math
import shlex

from . import curves, stats
from .plan import HARNESS, SEEDED

RESULTS_VERSION = 1
SECONDS_MIN = 0.001  # a shorter cell is mostly timer and first touches
SHARE_MIN = 0.05  # of the baseline's time: below it a workload measures the harness
LIVE_BYTES_MIN = 1 << 20  # below it resident memory says nothing about an allocator
FINDING_STATUSES = ("broken", "crashed", "timeout", "out-of-memory", "invalid", "error")
STRIKES = ("crashed", "timeout", "out-of-memory")  # what costs so much that it is not tried for ever
MEMORY_KEYS = ("live_peak_bytes", "rss_baseline_bytes", "rss_at_live_peak_bytes", "rss_peak_bytes",
               "rss_end_bytes")


def is_number(value):
    """True for a finite int or float; bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


# ---- samples ----

def sample_of(number, result):
    """One run of one cell: what it measured and whether that counts."""
    cell = result["cell"]
    status, detail = sample_status(result)
    sample = {"round": number, "position": result.get("position"), "status": status, "detail": detail}
    for key in ("seconds", "cpu_seconds", "operations_counted", "minor_faults", "threads", *MEMORY_KEYS):
        if is_number(cell.get(key)):
            sample[key] = cell[key]
    if status == "ok":
        sample["ns_per_op"] = cell["seconds"] * 1e9 / cell["operations_counted"]
        if footprint_is_meaningful(cell):
            attributable = cell["rss_at_live_peak_bytes"] - cell["rss_baseline_bytes"]
            sample["footprint_overhead"] = attributable / cell["live_peak_bytes"]
    return sample


def sample_status(result):
    """(status, detail) of one run. Only "ok" may enter a table."""
    cell = result["cell"]
    code = (result.get("exit_codes") or [None])[0]
    if cell["status"] != "ok":
        return cell["status"], str(cell.get("detail") or "")
    if code not in (0, None):
        return "error", f"exit status {code} after a result was written"
    if not is_number(cell.get("seconds")) or not is_number(cell.get("operations_counted")):
        return "error", "no seconds or no operations_counted in the cell's result"
    if cell["operations_counted"] <= 0 or cell["seconds"] <= 0:
        return "invalid", "nothing was counted"
    asked = cell.get("operations_asked")
    if is_number(asked) and asked > 0 and asked != cell["operations_counted"]:
        return "invalid", f"{asked} operations asked, {cell['operations_counted']} counted at the allocator"
    if cell["seconds"] < SECONDS_MIN and result["entry"] != HARNESS:
        return "too-short", f"{cell['seconds'] * 1e3:.2f} ms, at least {SECONDS_MIN * 1e3:g} ms needed"
    return "ok", ""


def footprint_is_meaningful(cell):
    """True if resident memory was read and what was live is large beside an idle process."""
    return (all(is_number(cell.get(k)) for k in MEMORY_KEYS[:3])
            and cell["live_peak_bytes"] >= LIVE_BYTES_MIN
            and cell["rss_at_live_peak_bytes"] >= cell["rss_baseline_bytes"])


def gather(rounds):
    """(workload, entry) -> its samples, in round order."""
    samples = {}
    for stored in rounds:
        for result in stored["results"]:
            key = (result["workload"], result["entry"])
            samples.setdefault(key, []).append(sample_of(stored["round"], result))
    return samples


def by_cell(rounds):
    """(workload, entry) -> its raw results, in round order."""
    found = {}
    for stored in rounds:
        for result in stored["results"]:
            found.setdefault((result["workload"], result["entry"]), []).append(result)
    return found


def command_of(results):
    """The command that repeats a cell, as typed from the repository; None if it never ran."""
    line = results[-1].get("command_line") if results else None
    if not line:
        return None
    words = shlex.split(line)
    return shlex.join(["heapgauge", *words[1:], "--json=-"])


def cell_status(samples, counted=None, rounds=0):
    """What a cell is, from all its samples: any bad one spoils it; the worst word wins.

    `counted` is what the run with every call counted said. A cell with fewer samples than `rounds` was
    given up.
    """
    bad = [s for s in samples if s["status"] != "ok"]
    if counted and counted["status"] != "ok" and (not samples or counted["status"] == "invalid"):
        return counted["status"], f"when its calls were counted: {counted['detail']}".rstrip(": ")
    if not samples:
        return "not-measured", ""
    if not bad:
        return "ok", ""
    rank = {"broken": 0, "crashed": 1, "timeout": 2, "out-of-memory": 3, "invalid": 4, "error": 5}
    worst = min(bad, key=lambda s: rank.get(s["status"], 6))
    often = f"{len(bad)} of {len(samples)} rounds"
    if worst["status"] in STRIKES and len(samples) < rounds:
        often += ", then not run again"
    return worst["status"], f"{often}: {worst['detail']}" if worst["detail"] else often


# ---- pairs ----

def paired(candidate, baseline, key):
    """Both sides' values of `key` in the rounds where both have one: two lists, same order."""
    right = {s["round"]: s[key] for s in baseline if s["status"] == "ok" and key in s}
    both = [(s[key], right[s["round"]]) for s in candidate
            if s["status"] == "ok" and key in s and s["round"] in right]
    return [a for a, _ in both], [b for _, b in both]


def ratio_block(candidate, baseline, key):
    """Everything said of candidate/baseline for one quantity; None without a single pair."""
    mine, theirs = paired(candidate, baseline, key)
    if not mine or min(mine) <= 0 or min(theirs) <= 0:
        return None
    ratio = stats.paired_ratio(mine, theirs)
    logs = stats.log_ratios(mine, theirs)
    return {
        "value": ratio.value, "low": ratio.low, "high": ratio.high, "pairs": ratio.count, "p": ratio.p,
        "hodges_lehmann": math.exp(stats.hodges_lehmann_paired(logs)),
        "cliffs_delta": stats.cliffs_delta(mine, theirs),
        "mann_whitney_p": stats.mann_whitney(mine, theirs),
    }


def as_estimate(block):
    """A ratio block as the Estimate that stats.py reasons about."""
    return stats.Estimate(block["value"], block["low"], block["high"], block["pairs"], block["p"])


def summary(samples, key):
    """Median, interval, spread and extremes of one quantity; None where nobody has it."""
    values = [s[key] for s in samples if s["status"] == "ok" and key in s]
    if not values:
        return None
    middle = stats.median_estimate(values)
    return {"median": middle.value, "low": middle.low, "high": middle.high, "mad": stats.mad(values),
            "min": min(values), "max": max(values), "count": len(values)}


def widest_interval(plan, rounds):
    """The widest half-interval of any time ratio so far: what --budget goes by."""
    samples = gather(rounds)
    widest = 0.0
    for (workload, entry), mine in samples.items():
        role = next(e["role"] for e in plan["entries"] if e["name"] == entry)
        block = None
        if role in ("backend", "control"):
            block = ratio_block(mine, samples.get((workload, plan["baseline"]), []), "seconds")
        if block and block["low"] is not None:
            widest = max(widest, math.log(block["high"] / block["low"]) / 2)
    return widest


# ---- the model ----

def build(plan, backends, verdicts, context, rounds, name="", counts=(), traces=(), frag=(), fuzz=(), cell_curves=(), scaling=None):
    """The whole model of one results folder."""
    samples, results = gather(rounds), by_cell(rounds)
    count_of = {(c["workload"], c["backend"]): c for c in counts}
    curve_of = {(told["workload"], cell["backend"]): cell for told in cell_curves for cell in told["cells"]}
    verdict_of = {(v["workload"], v["backend"]): v for v in verdicts}
    workloads = [describe_workload(w, plan, samples) for w in plan["workloads"]]
    stamp(workloads, plan, samples)
    cells = []
    for workload in workloads:
        for entry in plan["entries"]:
            subject = plan["baseline"] if entry["role"] == "control" else entry["name"]
            cells.append(describe_cell(workload, entry, plan, samples, results,
                                       verdict_of.get((workload["name"], entry["name"])),
                                       count_of.get((workload["name"], subject)), len(rounds),
                                       curve_of.get((workload["name"], entry["name"]), {})))
    drop_without_baseline(cells, plan["baseline"])
    judge(cells, workloads, "time", ("faster", "slower"))
    judge(cells, workloads, "footprint", ("smaller", "larger"))
    means = mean_rows(plan, workloads, cells)
    return {
        "results_version": RESULTS_VERSION,
        "name": name,
        "command": plan["command"],
        "created": plan["created"],
        "baseline": plan["baseline"],
        "seed": plan["seed"],
        "rounds": len(rounds),
        "confidence": stats.CONFIDENCE,
        "equivalence_margin": stats.MARGIN,
        "noisy": any(w["noisy"] for w in workloads),
        "noise_floor": max((w["noise_floor"] for w in workloads if w["noise_floor"] is not None),
                           default=None),
        "context": context.get("context", {}),
        "num_cpus": context.get("num_cpus"),
        "caches": context.get("caches", []),
        "sessions": context.get("sessions", []),
        "backends": backends,
        "unavailable": plan["unavailable"],
        "entries": plan["entries"],
        "workloads": workloads,
        "cells": cells,
        "means": means,
        "seeded_verdicts": [{"backend": v["backend"], "verdict": v["verdict"], "item": v.get("item"),
                             "operation": v.get("operation"), "detail": str(v.get("detail") or "")}
                            for v in verdicts if v["workload"] == SEEDED],
        "traces": list(traces),
        "frag": by_adversary(frag),
        "fuzz": list(fuzz),
        "scaling": scaling and {key: scaling[key] for key in ("processors", "rounds", "curves", "troubles")},
        "findings": find(workloads, cells),
    }


def by_adversary(frag):
    """Rows of fragmentation, all backends of an adversary together."""
    order = list(dict.fromkeys(row.get("adversary") for row in frag))
    return sorted(frag, key=lambda row: order.index(row.get("adversary")))


def describe_workload(workload, plan, samples):
    """A workload with what its A/A pair and the null backend tell about measuring it."""
    name = workload["name"]
    baseline = samples.get((name, plan["baseline"]), [])
    control = next(e["name"] for e in plan["entries"] if e["role"] == "control")
    harness = next(e["name"] for e in plan["entries"] if e["role"] == "harness")
    block = ratio_block(samples.get((name, control), []), baseline, "seconds")
    cost = summary(samples.get((name, harness), []), "ns_per_op")
    base = summary(baseline, "ns_per_op")
    share = max(0.0, 1 - cost["median"] / base["median"]) if cost and base else None
    return {
        **{k: workload.get(k) for k in ("name", "spec", "class", "iterations")},
        "operations": next((s["operations_counted"] for s in baseline if "operations_counted" in s), None),
        "sha256": workload.get("sha256"),
        "harness_ns_per_op": cost["median"] if cost else None,
        "baseline_share": share,
        "noisy": False,  # until stamp() has seen them all
        "noise_floor": stats.noise_floor(as_estimate(block)) if block else None,
    }


def stamp(workloads, plan, samples):
    """Marks the workloads on which the baseline is proven different from itself."""
    control = next(e["name"] for e in plan["entries"] if e["role"] == "control")
    blocks = [ratio_block(samples.get((w["name"], control), []), samples.get((w["name"], plan["baseline"]), []),
                          "seconds") for w in workloads]
    pairs = [(w, as_estimate(b)) for w, b in zip(workloads, blocks) if b]
    for (workload, estimate), p in zip(pairs, stats.holm([e.p for _, e in pairs])):
        workload["noisy"] = stats.is_noisy(estimate, p)


def describe_cell(workload, entry, plan, samples, results, verdict, counted, rounds, curve):
    """One cell: status, time, memory, ratios to the baseline, every sample."""
    name = workload["name"]
    mine = samples.get((name, entry["name"]), [])
    cell_results = results.get((name, entry["name"]), [])
    baseline = samples.get((name, plan["baseline"]), [])
    status, detail = cell_status(mine, counted, rounds)
    word = verdict["verdict"] if verdict else None
    if word not in (None, "clean"):
        status, detail = barred_status(verdict)
    elif status == "ok" and too_much_harness(workload) and entry["role"] != "harness":
        status, detail = "harness-bound", (f"only {workload['baseline_share']:.0%} of the baseline's time is "
                                           "spent in the allocator")
    cell = {"workload": name, "backend": entry["name"], "role": entry["role"], "status": status,
            "detail": detail, "verdict": word,
            "verdict_item": verdict.get("item") if verdict else None,
            "time": None, "time_ratio": None, "share": None, "footprint": None, "footprint_ratio": None,
            "rss_peak_bytes": None, "live_peak_bytes": None, "minor_faults": None,
            "latency_ns": None, "footprint_over_time": None, "command": command_of(cell_results),
            "samples": mine}
    if status != "ok":
        return cell
    cell["time"] = summary(mine, "ns_per_op")
    cell["latency_ns"], cell["footprint_over_time"] = curves.latency_ns(curve), curves.over_time(curve)
    if workload["harness_ns_per_op"] is not None and entry["role"] != "harness":
        cell["share"] = max(0.0, 1 - workload["harness_ns_per_op"] / cell["time"]["median"])
    if entry["role"] != "harness":
        cell["footprint"] = summary(mine, "footprint_overhead")
        for key in ("rss_peak_bytes", "live_peak_bytes", "minor_faults"):
            cell[key] = (summary(mine, key) or {}).get("median")
    if entry["role"] in ("backend", "control"):
        cell["time_ratio"] = ratio_block(mine, baseline, "seconds")
        cell["footprint_ratio"] = ratio_block(mine, baseline, "footprint_overhead")
    return cell


def drop_without_baseline(cells, baseline):
    """Takes the ratios of a workload away where the baseline itself has no number."""
    missing = {c["workload"] for c in cells if c["backend"] == baseline and c["status"] != "ok"}
    for cell in cells:
        if cell["workload"] in missing:
            cell["time_ratio"] = cell["footprint_ratio"] = None


def too_much_harness(workload):
    """True if the harness, not the allocator, takes nearly all of the baseline's time."""
    return workload["baseline_share"] is not None and workload["baseline_share"] < SHARE_MIN


def barred_status(verdict):
    """Status and detail of a cell that the oracle kept out of the measurement."""
    word = verdict["verdict"]
    parts = [verdict.get("item"), verdict.get("detail")]
    if verdict.get("operation") is not None:
        parts.insert(1, f"at operation {verdict['operation']}")
    detail = " ".join(str(p) for p in parts if p)
    return word, detail if word == "broken" else f"under the oracle: {detail}".rstrip(": ")


def judge(cells, workloads, quantity, words):
    """Sets p_holm and the verdict word of each ratio, as one family over the whole table."""
    by_name = {w["name"]: w for w in workloads}
    key = f"{quantity}_ratio"
    family = [c for c in cells if c["role"] == "backend" and c[key]]
    for cell, p in zip(family, stats.holm([c[key]["p"] for c in family])):
        workload = by_name[cell["workload"]]
        cell[key]["p_holm"] = p
        if quantity == "time" and workload["noisy"]:
            cell[key]["word"] = "noisy"
        else:
            floor = workload["noise_floor"] if quantity == "time" else None
            cell[key]["word"] = stats.verdict_word(as_estimate(cell[key]), p, floor, words=words)
    for cell in cells:
        if cell["role"] == "control" and cell[key]:
            cell[key]["p_holm"] = cell[key]["p"]
            cell[key]["word"] = "NOISY" if by_name[cell["workload"]]["noisy"] else "agrees"


def mean_rows(plan, workloads, cells):
    """Geometric means of the ratios per class and backend, each with what it leaves out and why."""
    rows = []
    at = {(c["workload"], c["backend"]): c for c in cells}
    for quantity in ("time", "footprint"):
        for kind in dict.fromkeys(w["class"] for w in workloads):
            members = [w for w in workloads if w["class"] == kind]
            for entry in plan["entries"]:
                if entry["role"] == "backend":
                    rows.append(mean_row(quantity, kind, entry["name"], members, at, plan))
    return [row for row in rows if row]


def mean_row(quantity, kind, backend, members, at, plan):
    """One geometric mean; None if no workload of the class has this quantity on any backend."""
    sample_key = "seconds" if quantity == "time" else "footprint_overhead"
    tables, included, excluded = [], [], []
    for workload in members:
        cell = at[(workload["name"], backend)]
        base = at[(workload["name"], plan["baseline"])]
        ratio = cell[f"{quantity}_ratio"]
        if not ratio:
            why = cell["status"] if cell["status"] != "ok" else \
                ("no baseline" if base["status"] != "ok" else "not meaningful here")
            excluded.append({"workload": workload["name"], "why": why})
        elif quantity == "time" and workload["noisy"]:
            excluded.append({"workload": workload["name"], "why": "noisy"})
        else:
            pairs = paired(cell["samples"], base["samples"], sample_key)
            tables.append(stats.log_ratios(*pairs))
            included.append(workload["name"])
    if not tables:
        return None
    # Rounds that lack one of the workloads (a stopped run) can't be drawn whole.
    length = min(map(len, tables))
    mean = stats.geometric_mean([t[:length] for t in tables], plan["seed"])
    return {"quantity": quantity, "class": kind, "backend": backend, "value": mean.value, "low": mean.low,
            "high": mean.high, "workloads": included, "excluded": excluded}


def find(workloads, cells):
    """What makes the exit status 1: broken promises, failed cells, a noisy machine."""
    findings = []
    for cell in cells:
        if cell["status"] in FINDING_STATUSES and cell["role"] != "harness":
            findings.append(f"{cell['backend']} on {cell['workload']}: {cell['status']}"
                            + (f": {cell['detail']}" if cell["detail"] else ""))
    for workload in workloads:
        if workload["noisy"]:
            findings.append(f"{workload['name']}: NOISY: the baseline differs from itself; run it again on a "
                            "quieter machine (`heapgauge doctor`)")
    return findings
