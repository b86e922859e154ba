"""bencher.json: Bencher's own metric format, with intervals as lower and upper values."""

import json


def measure(block):
    """One measure: value, and bounds where there are any."""
    found = {"value": block["median"]}
    if block["low"] is not None:
        found.update(lower_value=block["low"], upper_value=block["high"])
    return found


def render(model):
    """The whole file."""
    found = {}
    for cell in model["cells"]:
        if cell["status"] == "ok" and cell["role"] in ("baseline", "backend"):
            measures = {"latency": measure(cell["time"])}  # Bencher's slug for time in ns
            if cell["footprint"]:
                measures["footprint-overhead"] = measure(cell["footprint"])
            found[f"{cell['workload']}/backend:{cell['backend']}"] = measures
    return json.dumps(found, indent=2, allow_nan=False) + "\n"
