"""google-benchmark.json: every sample in Google Benchmark's JSON (schema version 1), so that its
compare.py reads it:

    compare.py filters google-benchmark.json backend:system backend:mimalloc

A repetition is one round, in its own process. Failed cells are left out: one row with a time of 0
would make compare.py drop its geometric mean without a word. They are named in the context instead.
"""

import json

from . import words


def context(model):
    """The context block: Google's keys, then ours, as strings."""
    facts = model["context"]
    first = model["sessions"][0]["before"] if model["sessions"] else {}
    found = {
        "date": model["created"],
        "host_name": facts.get("host_name", "unknown"),
        "executable": "heapgauge",
        "num_cpus": model["num_cpus"] or 1,
        "mhz_per_cpu": 0,
        "cpu_scaling_enabled": facts.get("governor", "unknown") not in ("performance", "unknown"),
        "caches": model["caches"],
        "load_avg": first.get("load_average", []),
        "library_version": f"heapgauge {facts.get('harness_version', '')}".strip(),
        "library_build_type": "debug" if facts.get("build_type") == "Debug" else "release",
        "json_schema_version": 1,
    }
    if "aslr" in facts:
        found["aslr_enabled"] = facts["aslr"] != "off"
    found.update({k: str(v) for k, v in facts.items() if k not in found})
    for key, name in (("backend", "name"), ("backend_version", "version"), ("backend_path", "path"), ("backend_sha256", "sha256"),
                      ("backend_config", "tunables")):
        found[key] = "; ".join(b["name"] if name == "name" else f"{b['name']} {b.get(name) or 'unknown'}" for b in model["backends"])
    found |= {"round": f"of {model['rounds']}: in each entry", "position": "in each entry", "ops": "iterations of each entry"}
    found["noisy"] = "yes" if model["noisy"] else "no"
    gone = [f"{c['workload']}/backend:{c['backend']} ({words.excluded(c)})"
            for c in model["cells"] if c["status"] != "ok"]
    if gone:
        found["left_out"] = "; ".join(gone)
    return found


def entry(cell, sample, family, repetitions, index):
    """One sample as a benchmark run."""
    name = f"{cell['workload']}/backend:{cell['backend']}"
    count = sample["operations_counted"]
    found = {
        "name": name, "family_index": family, "per_family_instance_index": 0, "run_name": name,
        "run_type": "iteration", "repetitions": repetitions, "repetition_index": index,
        "threads": int(sample.get("threads") or 1), "iterations": count,
        "real_time": sample["seconds"] * 1e9 / count,
        "cpu_time": sample.get("cpu_seconds", sample["seconds"]) * 1e9 / count,
        "time_unit": "ns",
        "items_per_second": count / sample["seconds"],
        "round": sample["round"],
        "position": sample["position"],
    }
    for key in ("footprint_overhead", "rss_peak_bytes", "live_peak_bytes", "minor_faults"):
        if key in sample:
            found[key] = sample[key]
    return found


def render(model):
    """The whole file."""
    runs = []
    good = [c for c in model["cells"] if c["status"] == "ok" and c["samples"]]
    for family, cell in enumerate(good):
        for index, sample in enumerate(cell["samples"]):
            runs.append(entry(cell, sample, family, len(cell["samples"]), index))
    return json.dumps({"context": context(model), "benchmarks": runs}, indent=2, allow_nan=False) + "\n"
