"""dashboard.json: Google Benchmark's JSON with one row a cell (the median), for dashboards that take every
row for a series: Bencher's cpp_google, github-action-benchmark's googlecpp.
"""

import json

from . import google_benchmark


def render(model):
    """The whole file."""
    rows = []
    for cell in model["cells"]:
        if cell["status"] == "ok" and cell["role"] in ("baseline", "backend"):
            name = f"{cell['workload']}/backend:{cell['backend']}"
            rows.append({"name": name, "run_name": name, "run_type": "iteration", "repetitions": 1,
                         "repetition_index": 0, "threads": 1, "iterations": cell["time"]["count"],
                         "real_time": cell["time"]["median"], "cpu_time": cell["time"]["median"],
                         "time_unit": "ns"})
    return json.dumps({"context": google_benchmark.context(model), "benchmarks": rows}, indent=2,
                      allow_nan=False) + "\n"
