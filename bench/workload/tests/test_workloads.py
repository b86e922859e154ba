"""The validity gate: every instance of every workload on core, system and null ends well, and the calls that a counting
allocator saw are those it says it asked for. Nothing here is timed.

    test_workloads.py PATH_OF_heapgauge [--few]

--few: one or two instances of each workload (for sanitizers, under which large ones take long)."""
import concurrent.futures
import json
import subprocess
import sys

BACKENDS = ("core", "system", "null")
ITERATIONS = 3
# Programs need blocks that keep what is written to them; null's overlap.
NEED_CONTENT = {"mstress", "factor", "minimise", "interpret", "store"}
SLOW = ("live:1000000", "size_max:16777216", "size_max:4194304")


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def instances(program):
    """Names without their backend part, by workload, in the order of listing."""
    listed = run(program, "bench", "--backend=core", "--benchmark_list_tests")
    assert listed.returncode == 0, listed.stderr
    by_workload = {}
    for line in listed.stdout.split():
        by_workload.setdefault(line.split("/")[0], []).append(line.replace("/backend:core", ""))
    return by_workload


def chosen(names, few):
    quick = [n for n in names if not any(s in n for s in SLOW)]
    return list(dict.fromkeys([quick[0], quick[-1]])) if few else names


def judge(cell, workload, backend):
    """What is wrong with a cell's result; '' if nothing is."""
    if backend == "null" and workload in NEED_CONTENT:
        return "" if cell["status"] == "unsupported" else "ran on blocks that overlap"
    if cell["status"] != "ok":
        return f"{cell['status']}: {cell['detail']}"
    if cell["operations_asked"] == 0:
        return "asked for nothing"
    if cell["operations_asked"] != cell["operations_counted"]:
        return f"asked for {cell['operations_asked']}, counted {cell['operations_counted']}"
    if "live_peak_bytes" in cell and not 0 < cell["live_peak_bytes"] <= cell["rss_peak_bytes"]:
        return f"{cell['live_peak_bytes']} live in {cell['rss_peak_bytes']} resident bytes"
    return ""


def smoke(program, workload, name, backend):
    done = run(program, "cell", name, f"--backend={backend}", "--json=-", "--count",
               f"--ops={ITERATIONS}")
    wrong = done.stderr if done.returncode else judge(json.loads(done.stdout), workload, backend)
    return f"{name} on {backend}: {wrong}" if wrong else ""


def judge_is_awake():
    """Each thing that judge() looks at, wrong once."""
    good = {"status": "ok", "detail": "", "operations_asked": 4, "operations_counted": 4,
            "live_peak_bytes": 10, "rss_peak_bytes": 20}
    assert judge(good, "pair", "core") == ""
    for spoilt in ({"status": "crashed"}, {"operations_asked": 0}, {"operations_counted": 3},
                   {"live_peak_bytes": 0}, {"live_peak_bytes": 21}):
        assert judge({**good, **spoilt}, "pair", "core"), spoilt
    assert judge(good, "store", "null")


def main(program, few):
    judge_is_awake()
    by_workload = instances(program)
    assert len(by_workload) >= 30, sorted(by_workload)
    assert sum(map(len, by_workload.values())) >= 95
    jobs = [(program, workload, name, backend) for workload, names in by_workload.items()
            for name in chosen(names, few) for backend in BACKENDS]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        findings = [f for f in pool.map(lambda job: smoke(*job), jobs) if f]
    print("\n".join(findings))
    print(f"{len(jobs)} cells, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--few" in sys.argv))
