"""Curves of `compare`, from runs beside the rounds: of each cell one run with every operation timed, and one with
memory read over operations. Neither enters a figure of speed.

    curves/001.json   of the first workload of the plan: all its backends (results/schema/curves.schema.json)

Raw files of the results folder like any other: in its manifest, kept when resumed.
"""

from . import hyperfine

CURVES_VERSION = 1
KINDS = ("latency", "footprint")
SAMPLES_MAX = 150  # points of a footprint that are kept: more can't be seen
SUBJECTS = ("baseline", "backend")


def file_of(index):
    """The file of the plan's i-th workload, from 0."""
    return f"curves/{index + 1:03d}.json"


def run_all(folder, plan, program, out, runnable, say):
    """Runs what the folder does not hold yet. `out`: (workload, entry) that get no number at all."""
    for index, workload in enumerate(plan["workloads"]):
        if folder.exists(file_of(index)):
            continue
        cells = [cell_curves(program, plan, workload, entry, runnable) for entry in plan["entries"]
                 if entry["role"] in SUBJECTS and (workload["name"], entry["name"]) not in out]
        say(f"curves   {workload['name']}")
        folder.write_json(file_of(index), {"curves_version": CURVES_VERSION, "workload": workload["name"], "cells": cells})


def cell_curves(program, plan, workload, entry, runnable):
    """Both curves of a cell, as stored; what went wrong where there is none."""
    found = {"backend": entry["name"], "status": "ok", "detail": "", "latency": None, "footprint": None}
    for kind in KINDS:
        cell = hyperfine.measure(program, runnable(workload["spec"]), entry["backend"], workload["iterations"] or 1,
                                 plan["timeout_s"], plan["memory_bytes"], f"--curve={kind}")
        if cell["status"] != "ok":
            found["status"], found["detail"] = cell["status"], f"{kind}: {cell.get('detail') or ''}"
        elif isinstance(cell.get(kind), dict):
            found[kind] = {"latency": latency_of, "footprint": footprint_of}[kind](cell[kind])
    return found


def latency_of(told):
    """Times to a tenth of a ns; of points with one value the first and the last."""
    rows = []
    for row in told["rows"]:
        kept = {key: row[key] for key in ("operation", "size_max_bytes", "count")}
        kept |= {"mean_ns": round(row["mean_ns"], 1), "max_ns": round(row["max_ns"], 1),
                 "at": {percentile: round(ns, 1) for percentile, ns in row["at"].items()}}
        if "ns" in row:
            values = [round(ns, 1) for ns in row["ns"]]
            ends = [i for i, ns in enumerate(values) if i in (0, len(values) - 1) or not values[i - 1] == ns == values[i + 1]]
            kept |= {"percentiles": [round(row["percentiles"][i], 8) for i in ends], "ns": [values[i] for i in ends]}
        rows.append(kept)
    return {**{key: told[key] for key in ("clock", "clock_cost_ns", "clock_resolution_ns")}, "rows": rows}


def footprint_of(told):
    """Every n-th sample, the greatest and the last."""
    rss = told["rss_bytes"]
    step = -(-len(rss) // SAMPLES_MAX) or 1
    peak = max(range(len(rss)), key=rss.__getitem__, default=0)
    kept = [i for i in range(len(rss)) if i % step == 0 or i in (peak, len(rss) - 1)]
    return {"operations": told["operations"], "is_cut": told["is_cut"],
            **{key: [told[key][i] for i in kept] for key in ("operation", "live_bytes", "rss_bytes")},
            "seconds": [round(told["seconds"][i], 6) for i in kept]}


# ---- for the model ----

def latency_ns(cell):
    """percentile (as text) -> ns over all operations of a cell; None where nothing is told."""
    rows = [row for row in (cell.get("latency") or {}).get("rows", []) if row["operation"] is None]
    if not rows:
        return None
    points = {f"{p:.8g}": ns for p, ns in zip(rows[0].get("percentiles", []), rows[0].get("ns", []))} | rows[0]["at"]
    return dict(sorted(points.items(), key=lambda point: float(point[0]))) or None


def over_time(cell):
    """seconds, live_bytes, rss_bytes as lists; None where nothing is told."""
    told = cell.get("footprint")
    if not told or not told["seconds"]:
        return None
    return {key: told[key] for key in ("seconds", "live_bytes", "rss_bytes")}
