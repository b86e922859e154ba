"""How numbers and statuses are worded, the same in every table."""

import math
import re
import statistics


def number(value, digits=3):
    """A number with `digits` significant digits and no exponent; "" for None."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    value = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def ratio(block):
    """`0.606 [0.574, 0.640]`; without an interval while rounds are too few."""
    if not block:
        return ""
    if block["low"] is None:
        return f"{block['value']:.3f}"
    return f"{block['value']:.3f} [{block['low']:.3f}, {block['high']:.3f}]"


def mebibytes(value):
    """Bytes as MiB."""
    return number(None if value is None else value / (1 << 20))


def percent(value):
    """A fraction as percent."""
    return "" if value is None else f"{value:.0%}"


def noise_floor(model):
    """The A/A rows in a line: the typical floor, and the worst with its workload."""
    floors = sorted((w["noise_floor"], w["name"]) for w in model["workloads"] if w["noise_floor"] is not None)
    worst, name = floors[-1]
    typical = f"{statistics.median(f for f, _ in floors):.1%} in the median, " if len(floors) > 2 else ""
    return f"Noise floor: {typical}up to {worst:.1%} on {name} (the baseline against itself, rows A/A)."


def excluded(cell):
    """A cell without a number, in words: `broken: C4 ...`."""
    return f"{cell['status']}: {cell['detail']}" if cell["detail"] else cell["status"]


def cells_of(model, workload):
    """A workload's cells in the order of the table, the null backend left out."""
    return [c for c in model["cells"] if c["workload"] == workload and c["role"] != "harness"]


def shown_name(cell):
    """A backend's name in a table; the control is called what it is."""
    return f"{cell['backend'].split('#')[0]} (A/A)" if cell["role"] == "control" else cell["backend"]


def version(backend):
    """A backend's version without the commit that some libraries append."""
    return re.sub(r"-\d+-g[0-9a-f]+$", "", backend.get("version") or "")


def kept(row, after_s):
    """What of the peak is still resident so long after everything was freed, as a fraction; None if not told."""
    found = [r["rss_bytes"] for r in row.get("retention", []) if r["after_s"] == after_s]
    return found[0] / row["at_rss_peak"]["rss_bytes"] if found and row["at_rss_peak"]["rss_bytes"] else None


def trace_cells(trace):
    """A trace's figures as text, after its name."""
    elsewhere = trace["cross_thread_frees"] / trace["frees_of_blocks"] if trace["frees_of_blocks"] else None
    return [f"{trace['operations']:,}", str(trace["threads"]), mebibytes(trace["live_bytes_peak"]),
            f"{trace['live_blocks_peak']:,}", mebibytes(trace["requested_bytes"]), f"{trace['reallocations']:,}",
            "" if elsewhere is None else f"{elsewhere:.1%}"]


def frag_cells(row):
    """A row of fragmentation as text, or its status."""
    if row["status"] != "ok":
        return [row.get("adversary", "all"), row["backend"], row["status"], *[""] * 7]
    keys = ("overhead", "internal", "external", "overhead_worst", "rss_peak_per_live_peak", "bound_forced", "bound_first_fit")
    return [row["adversary"], row["backend"], *(f"{row[k]:.2f}" for k in keys), percent(kept(row, 1))]


def scaling_curves(model):
    """Curves of scaling that have a point, those of the null backend left out."""
    return [c for c in (model["scaling"] or {"curves": []})["curves"] if c["points"] and c["role"] == "backend"]


def scaling_cells(curve):
    """A curve of scaling as text: what it is against, its ends, its exponent."""
    ends, fit = [curve["points"][0], curve["points"][-1]], curve["fit"]
    exponent = "" if fit is None else f"{fit['exponent']:.3f}" if fit["low"] is None else \
        f"{fit['exponent']:.3f} [{fit['low']:.3f}, {fit['high']:.3f}]"
    return [curve["x_label"], curve["backend"], *(f"{number(p['ns_per_op'])} at {p['x']:,}" for p in ends), exponent]


def fuzz_cells(row):
    """A row of the fuzzer's as text."""
    if "target" not in row:
        return [row["backend"], "all", "", "", "", f"{row.get('status')}: {row.get('detail', '')}"]
    found = "; ".join(dict.fromkeys(f"{f['item']}: {f['text']}" for f in row["findings"])) or "nothing"
    return [row["backend"], row["target"], f"{row['operations']:,}", f"{row['checks']:,}", number(row["cpu_seconds"]), found]
