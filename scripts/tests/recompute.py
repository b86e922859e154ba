"""Every number of a results folder again, from the raw rounds alone: shares no code with heapgauge.

recompute(folder, baseline) gives (workload, entry) -> {"ns", "ratio", "low", "high", "p", "footprint",
"footprint_ratio", ...}. Medians by `statistics`, ranks and p values by scipy's binomial distribution.
"""

import json
import math
import statistics
from pathlib import Path

from scipy import stats


def read(folder):
    """(plan, rounds) as they lie on disk."""
    folder = Path(folder)
    plan = json.loads((folder / "plan.json").read_text())
    return plan, [json.loads(p.read_text()) for p in sorted((folder / "rounds").glob("[0-9]*.json"))]


def interval(values):
    """The order-statistic interval of the median with at least 95 %: (low, high), or (None, None)."""
    values, n = sorted(values), len(values)
    covered = [k for k in range(1, n // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95 - 1e-12]
    return (values[covered[-1] - 1], values[n - covered[-1]]) if covered else (None, None)


def cells(rounds):
    """(workload, entry) -> {round: cell} of the good ones, and those with a bad one."""
    good, bad = {}, set()
    for stored in rounds:
        for result in stored["results"]:
            key, cell = (result["workload"], result["entry"]), result["cell"]
            if cell["status"] != "ok" or result["exit_codes"][0] != 0:
                bad.add(key)
            else:
                good.setdefault(key, {})[stored["round"]] = cell
    return {k: v for k, v in good.items() if k not in bad}, bad


def overhead(cell):
    """Resident over live at the greatest live; None where too little was live."""
    if cell.get("live_peak_bytes") is None or cell["live_peak_bytes"] < 2**20:
        return None
    resident = cell["rss_at_live_peak_bytes"] - cell["rss_baseline_bytes"]
    return resident / cell["live_peak_bytes"] if resident >= 0 else None


def ratio(mine, theirs, quantity):
    """value, low, high, p of mine/theirs, round by round; None without pairs."""
    logs = []
    for number, cell in mine.items():
        if number in theirs and quantity(cell) and quantity(theirs[number]):
            logs.append(math.log(quantity(cell) / quantity(theirs[number])))
    if not logs:
        return None
    low, high = interval(logs)
    above, below = sum(x > 0 for x in logs), sum(x < 0 for x in logs)
    return {"value": math.exp(statistics.median(logs)), "low": low if low is None else math.exp(low),
            "high": high if high is None else math.exp(high),
            "p": stats.binomtest(above, above + below).pvalue if above + below else 1.0}


def recompute(folder, baseline):
    """Everything said of each cell, with any entry as the baseline."""
    plan, rounds = read(folder)
    good, _ = cells(rounds)
    found = {}
    for (workload, entry), mine in good.items():
        speeds = [c["seconds"] * 1e9 / c["operations_counted"] for c in mine.values()]
        wastes = [w for w in map(overhead, mine.values()) if w is not None]
        # The control is the measured baseline once more, whatever the page's baseline is.
        against = plan["baseline"] if entry.endswith("#aa") else baseline
        theirs = good.get((workload, against), {})
        low, high = interval(speeds)
        found[workload, entry] = {
            "ns": statistics.median(speeds), "ns_low": low, "ns_high": high,
            "footprint": statistics.median(wastes) if wastes else None,
            "rss_peak": statistics.median(c["rss_peak_bytes"] for c in mine.values()),
            "time_ratio": None if entry == against else ratio(mine, theirs, lambda c: c["seconds"]),
            "footprint_ratio": None if entry == against else ratio(mine, theirs, overhead),
        }
    return found
