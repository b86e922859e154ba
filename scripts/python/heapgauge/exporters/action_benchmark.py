"""action-benchmark.json: github-action-benchmark's customSmallerIsBetter."""

import json


def render(model):
    """The whole file."""
    rows = []
    for cell in model["cells"]:
        if cell["status"] != "ok" or cell["role"] not in ("baseline", "backend"):
            continue
        time = cell["time"]
        row = {"name": f"{cell['workload']}/backend:{cell['backend']}", "unit": "ns/op", "value": time["median"]}
        if time["low"] is not None:
            row["range"] = f"± {max(time['high'] - time['median'], time['median'] - time['low']):.3g}"
        if cell["time_ratio"]:
            row["extra"] = f"{cell['time_ratio']['value']:.3f} of {model['baseline']}: {cell['time_ratio']['word']}"
        rows.append(row)
    return json.dumps(rows, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
