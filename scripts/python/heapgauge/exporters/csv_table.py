"""table.csv: one row a cell, one unit a column, the unit in the name. A failed cell is empty, never 0."""

import csv
import io

SUMMARIES = (("time", "ns_per_op"), ("footprint", "footprint_overhead"))
RATIO_PARTS = ("value", "low", "high", "pairs", "p", "p_holm", "hodges_lehmann", "cliffs_delta",
               "mann_whitney_p", "word")
COLUMNS = (
    ["workload", "class", "backend", "role", "status", "detail", "verdict", "verdict_item", "iterations",
     "operations"]
    + [f"{name}_{part}" for _, name in SUMMARIES for part in ("median", "low", "high", "mad", "min", "max")]
    + [f"{kind}_ratio_{part}" for kind in ("time", "footprint") for part in RATIO_PARTS]
    + ["allocator_share_fraction", "live_peak_bytes", "rss_peak_bytes", "minor_faults_count", "rounds_count"]
)


def row(cell, workload):
    """One cell as column -> value."""
    values = {key: cell[key] for key in ("workload", "backend", "role", "status", "detail", "verdict",
                                         "verdict_item", "live_peak_bytes", "rss_peak_bytes")}
    values.update({"class": workload["class"], "iterations": workload["iterations"],
                   "operations": workload["operations"],
                   "allocator_share_fraction": cell["share"], "minor_faults_count": cell["minor_faults"],
                   "rounds_count": len(cell["samples"])})
    for key, name in SUMMARIES:
        for part in ("median", "low", "high", "mad", "min", "max"):
            values[f"{name}_{part}"] = cell[key][part] if cell[key] else None
    for kind in ("time", "footprint"):
        for part in RATIO_PARTS:
            block = cell[f"{kind}_ratio"]
            values[f"{kind}_ratio_{part}"] = block.get(part) if block else None
    return values


def render(model):
    """The whole file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    workloads = {w["name"]: w for w in model["workloads"]}
    for cell in model["cells"]:
        writer.writerow(row(cell, workloads[cell["workload"]]))
    return out.getvalue()
