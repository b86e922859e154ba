#!/usr/bin/python3 -SE
"""A heapgauge for tests: answers as the real one does, with made-up figures and faults on demand.

FAKE_CONFIG names a JSON file: {"ns": {backend: ns per operation}, "noise": relative spread,
"fault": {"workload on backend": word}, "footprint": {backend: rss/live}, "missing": [backend]}.
Fault words: crash, hang, garbage, nothing, nan, dies, miscount, short, broken, check-crash, check-hang, unsupported.
Every cell appends a line to FAKE_LOG when that is set.
"""

import json
import os
import sys
import time

config = {}
if os.environ.get("FAKE_CONFIG"):
    with open(os.environ["FAKE_CONFIG"]) as file:
        config = json.load(file)
NS = {"system": 20.0, "core": 30.0, "jemalloc": 15.0, "mimalloc": 10.0, "null": 2.0}
NS.update(config.get("ns", {}))


def chances(count):
    """`count` numbers in 0..1, the same on every run: they follow from how many cells ran before.

    Without the random module, whose import would take most of a cell's time.
    """
    try:
        state = os.path.getsize(os.environ["FAKE_LOG"]) * 2654435761 % (1 << 32)
    except (KeyError, OSError):
        state = 1
    found = []
    for _ in range(count + 8):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        found.append((state >> 33) / (1 << 31))
    return found[8:]


def option(name, default=None):
    for word in sys.argv:
        if word.startswith(f"--{name}="):
            return word.split("=", 1)[1]
    return default


def write(value):
    with open(option("json"), "w") as file:
        json.dump(value, file)


def fault(workload, backend):
    faults = config.get("fault", {})
    name = os.path.basename(workload).removesuffix(".hgt")
    word = faults.get(f"{name} on {backend}", "")
    word, _, chance = word.partition(":")
    return word if not chance or chances(1)[0] < float(chance) else ""


def backends():
    missing = config.get("missing", [])
    print(json.dumps({"backends": [
        {"name": n, "available": n not in missing, "why": "not installed" if n in missing else "",
         "package": f"lib{n}" if n in missing else None, "version": "1.0", "path": "/usr/lib/libfake.so",
         "sha256": "0" * 64, "align_min": 16, "align_max": 1 << 30, "tunables": ""} for n in NS]}))
    return 0


def check():
    backend = option("backend")
    trace = sys.argv[-1] if sys.argv[-1].endswith(".hgt") else "seeded"
    if os.environ.get("FAKE_LOG"):
        with open(os.environ["FAKE_LOG"] + ".checks", "a") as log:
            log.write(f"{os.path.basename(trace)} {backend}\n")
        with open(os.environ["FAKE_LOG"] + ".arguments", "a") as log:
            log.write(" ".join(sys.argv) + "\n")
    word = fault(trace, backend)
    if word == "check-hang":
        time.sleep(3600)
    if word == "broken":
        write({"verdict": "broken", "item": "C4", "operation": 123, "detail": "block not aligned", "operations": 500})
        return 1
    if word == "check-crash":
        write({"verdict": "crashed", "operation": 7, "detail": "SIGSEGV"})
        return 1
    if word == "check-garbage":
        with open(option("json"), "w") as file:
            file.write("{")
        return 0
    write({"verdict": "clean", "operations": 500})
    return 0


def curve(kind, workload, backend):
    """More samples than are kept; a latency with a plateau."""
    with open(os.environ["FAKE_LOG"] + ".curves", "a") as log:
        log.write(f"{kind} {os.path.basename(workload)} {backend}\n")
    if fault(f"{kind} curve", backend) == "timeout":
        write({"status": "timeout", "detail": "no end after 60.0 s"})
        return 0
    found = {"cell_version": 1, "workload": workload, "backend": backend, "status": "ok", "detail": ""}
    if kind == "latency":
        row = {"operation": None, "size_max_bytes": None, "count": 1000, "mean_ns": 20.04, "max_ns": 5000.0,
               "at": {"50": 10.02, "90": 40.0, "99": 40.0}}
        found["latency"] = {"clock": "tsc", "clock_cost_ns": 18.0, "clock_resolution_ns": 3.0, "rows": [
            {**row, "percentiles": [0, 10, 50, 60, 70, 90, 99.5], "ns": [10.02] * 3 + [40.0] * 4},
            {**row, "operation": "malloc"}, {**row, "operation": "malloc", "size_max_bytes": 64}]}
    else:
        live = list(range(1000))
        found["footprint"] = {"operations": 64000, "is_cut": False, "operation": [64 * i for i in live],
                              "live_bytes": [i << 10 for i in live], "rss_bytes": [(i == 501) + 1 << 20 for i in live],
                              "seconds": [i * 1e-3 for i in live]}
    write(found)
    return 0


def cell():
    if option("curve"):
        return curve(option("curve"), sys.argv[2], option("backend"))
    workload, backend, asked = sys.argv[2], option("backend"), int(option("ops"))
    if os.environ.get("FAKE_LOG"):
        with open(os.environ["FAKE_LOG"], "a") as log:
            log.write(f"{os.path.basename(workload)} {backend} {asked}\n")
    time.sleep(config.get("sleep", 0))
    word = fault(workload, backend)
    if word == "hang":
        time.sleep(3600)
    if word == "nothing":
        return 0
    if word == "dies":
        os.kill(os.getpid(), 11)
    if word in ("garbage", "nan"):
        with open(option("json"), "w") as file:
            file.write("{\"status\": \"ok" if word == "garbage" else '{"status": "ok", "seconds": NaN}')
        return 0
    base = {"cell_version": 1, "workload": workload, "backend": backend, "threads": 1, "operations_asked": asked}
    if word in ("crash", "unsupported", "timeout", "out-of-memory"):
        status = "crashed" if word == "crash" else word
        write({**base, "status": status, "detail": "SIGSEGV" if word == "crash" else "as told"})
        return 0
    drift = config.get("noise", 0.01) * (sum(chances(12)) - 6)  # nearly normal
    if workload.endswith(".hgt"):
        asked = 2_000_000  # a trace is played whole
    else:
        asked *= 2  # an iteration allocates and frees
    base["operations_asked"] = asked
    seconds = asked * NS.get(backend, 25.0) * 1e-9 * (1 + drift)
    if word == "short":
        seconds = 1e-5
    live, idle = 100 << 20, 3 << 20
    rss = idle + int(live * config.get("footprint", {}).get(backend, 1.2))
    write({**base, "status": "ok", "detail": "", "operations_counted": asked - (word == "miscount"),
           "seconds": seconds, "cpu_seconds": seconds * 0.98, "ns_per_op": seconds * 1e9 / asked,
           "live_peak_bytes": live, "rss_baseline_bytes": idle, "rss_at_live_peak_bytes": rss,
           "rss_peak_bytes": rss + 4096, "rss_end_bytes": idle, "minor_faults": 100,
           "backend_version": "1.0", "backend_path": "/usr/lib/libfake.so"})
    return 0


def stat():
    if os.path.basename(sys.argv[3]).removesuffix(".hgt") + " stat" in config.get("fault", {}):
        print(f"heapgauge stat: {sys.argv[3]}: block 0 at byte 8: cut", file=sys.stderr)
        return 2
    if sys.argv[2] == "--json":
        print(json.dumps({"operations": 2_000_000, "requested_bytes": 5 << 20, "live_bytes_peak": 1 << 20, "live_blocks_peak": 7,
                          "frees_of_blocks": 1000, "cross_thread_frees": 25, "reallocations": 3, "operations_by_thread": [1, 2]}))
    else:
        print('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>live</title></svg>')
    return 0


def lockstep():
    """Each backend's cell, in slices of one length."""
    words, folder, count = sys.argv[:], option("json"), int(option("slices"))
    backends_ = [w for w in words[3:] if not w.startswith("--")]
    for index, backend in enumerate(backends_):
        path = f"{folder}/{index}.json"
        sys.argv = ["heapgauge", "cell", words[2], f"--backend={backend}", f"--ops={option_of(words, 'ops')}", f"--json={path}"]
        if fault(words[2], backend) == "hang":  # ended in its turn, and said in its place
            with open(path, "w") as file:
                json.dump({"cell_version": 1, "status": "timeout", "detail": "no end of a slice after 0.3 s"}, file)
            continue
        if fault(words[2], backend) == "dies":
            continue
        cell()
        try:
            with open(path) as file:
                told = json.load(file)
        except (OSError, ValueError):
            continue
        if told.get("status") == "ok" and told.get("seconds", 0) > 0:  # a NaN is not
            told["slices_ns"] = [round(told["seconds"] * 1e9 / count)] * count
            with open(path, "w") as file:
                json.dump(told, file)
    return 0


def option_of(words, name):
    return next(w.split("=", 1)[1] for w in words if w.startswith(f"--{name}="))


def log_run(word):
    with open(os.environ["FAKE_LOG"] + ".extras", "a") as log:
        log.write(f"{word} {option('backend')}\n")


def frag():
    """Two adversaries, more samples than are kept, the greatest between two that are."""
    log_run("frag")
    backend = option("backend")
    if fault("frag", backend) == "dies":
        os.kill(os.getpid(), 11)
    runs = []
    for adversary, peak in (("robson", 40 << 20), ("aging", 30 << 20)):
        samples = [{"operation": i, "live_bytes": 1 << 20, "rss_bytes": peak if i == 997 else 2 << 20, "usable_bytes": 1 << 20}
                   for i in range(1000)]
        runs.append({"adversary": adversary, "backend": backend, "backend_path": "/usr/lib/libfake.so", "status": "ok",
                     "operations": 1000, "overhead": 1.25, "internal": 0.05, "external": 0.2, "overhead_worst": 3.5,
                     "rss_peak_per_live_peak": 2.5, "bound_forced": 7.0, "bound_first_fit": 13.0, "at_rss_peak": samples[997],
                     "at_live_peak": samples[0], "at_worst": samples[997], "samples": samples,
                     "retention": [{"after_s": 0.0, "rss_bytes": peak // 2}, {"after_s": 1.0, "rss_bytes": peak // 4}]})
    write({"frag_version": 1, "runs": runs})
    return 0


def fuzz():
    log_run("fuzz")
    backend = option("backend")
    found = [{"item": "C30", "shape": "A", "times": 3, "operations": 1, "path": "/tmp/x", "text": "aligned to 128 only"}]
    write({"seed": 1, "cells": [
        {"backend": backend, "target": "libc", "run": True, "inputs": 10, "operations": 1000, "checks": 4000,
         "cpu_seconds": float(option("time")), "quality": 0, "waived": 2, "findings": found if backend == "mimalloc" else []},
        {"backend": backend, "target": "core_inside", "run": False, "why": "core only", "findings": []}]})
    return 1 if backend == "mimalloc" else 0


def main():
    word = sys.argv[1]
    if word == "--version":
        print("heapgauge 0.0 (fake)")
        return 0
    if word == "bench":
        print("pair/backend:system/size:64\npair/backend:system/size:1024\nlarson/backend:system/threads:2")
        return 0
    return {"backends": backends, "check": check, "cell": cell, "lockstep": lockstep, "stat": stat, "frag": frag, "fuzz": fuzz}[word]()


sys.exit(main())
