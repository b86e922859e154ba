"""The chain on the real program: record, oracle, compare, report. Needs the build that scripts/test makes."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT, Bench
from test_report import schema

PROGRAM = Path(os.environ.get("HEAPGAUGE_REAL") or ROOT / "build/dev/bin/heapgauge")
pytestmark = pytest.mark.skipif(not (PROGRAM.exists() and shutil.which("hyperfine")),
                                reason="needs the program and hyperfine: cmake --workflow --preset dev; scripts/setup run")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder measured by the real program: a recorded trace and a benchmark, on three backends."""
    bench = Bench(tmp_path_factory.mktemp("real"))
    bench.program = PROGRAM
    subprocess.run([PROGRAM, "record", "-q", "-o", "json.hgt", "--", "/usr/bin/python3", "-sS", "-c",
                    "import json; print(len(json.dumps([{str(i): [i] * 9} for i in range(9000)])))"],
                   cwd=bench.folder, env={**os.environ, "PYTHONMALLOC": "malloc"}, check=True, timeout=120)
    done = subprocess.run([PROGRAM, "compare", "json.hgt", "pair/size:64", "--backends=system,core,no-such.so"],
                          cwd=bench.folder, capture_output=True, text=True)
    assert done.returncode == 2 and "no-such.so" in done.stderr
    done = subprocess.run([PROGRAM, "compare", "json.hgt", "pair/size:64", "--backends=system,core", "--quick",
                           "--rounds=6", "--seed=1", "-o", "out"], cwd=bench.folder, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode in (0, 1), done.stderr
    return bench


def test_every_cell_is_measured(real):
    results = real.read("results.json")
    jsonschema.validate(results, schema("results"))
    for cell in results["cells"]:
        assert cell["status"] == "ok", cell["detail"]
        assert cell["time"]["median"] > 0 and len(cell["samples"]) == 6


def test_the_oracle_was_asked(real):
    assert real.cell("json", "core")["verdict"] == "clean"
    assert {v["backend"]: v["verdict"] for v in real.read("results.json")["seeded_verdicts"]} == {
        "system": "clean", "core": "clean"}


def test_rounds_follow_the_published_schema(real):
    stored = real.read("rounds/001.json")
    jsonschema.validate(stored, schema("round"))
    for result in stored["results"]:
        cell = result["cell"]
        assert {"cell_version", "workload", "backend", "threads", "operations_asked", "operations_counted", "seconds",
                "cpu_seconds", "rss_baseline_bytes", "rss_peak_bytes"} <= set(cell)
        assert cell["operations_asked"] == cell["operations_counted"]


def test_a_setting_has_the_facts_of_its_library(real):
    """A backend with tunables is no registered name; what served it must be told all the same."""
    done = subprocess.run([PROGRAM, "compare", "pair/size:64", "--backends=system,core:no-such=1", "--quick", "--rounds=1",
                           "-o", "set"], cwd=real.folder, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    done = subprocess.run([PROGRAM, "compare", "pair/size:64", "--backends=system,count:core", "--quick", "--rounds=1", "--no-curves",
                           "-o", "set"], cwd=real.folder, capture_output=True, text=True, timeout=200)
    assert done.returncode in (0, 1), done.stderr
    served = {b["name"]: b for b in real.read("backends.json", "set")}
    assert len(served["count:core"]["sha256"]) == 64


def test_memory_of_a_trace_is_measured(real):
    footprint = real.cell("json", "system")["footprint"]
    assert footprint and 0.9 < footprint["median"] < 3


# Of the specification of results: each told of every run, "unknown" or "none" where this machine does not show it.
PROVENANCE = """harness_version compiler cflags libc kernel cpu_model governor turbo smt thp overcommit aslr hypervisor mitigations
    numa_nodes affinity nice cgroup_cpu cgroup_mem steal_ticks_delta ctx_switches page_size backend backend_version backend_path backend_sha256
    backend_config preload seed round position ops timer timer_overhead_ns dispatch_ns cmdline""".split()


@pytest.mark.parametrize("key", PROVENANCE)
def test_provenance_of_compare(real, key):
    assert real.read("google-benchmark.json")["context"][key] != ""


def test_provenance_of_bench(tmp_path):
    """In JSON alone: asking the machine takes longer than starting may."""
    subprocess.run([PROGRAM, "bench", "--backend=core,system", "--benchmark_filter=pair/.*size:64$", "--benchmark_min_time=1x",
                    f"--benchmark_out={tmp_path / 'o.json'}"], check=True, capture_output=True, timeout=60)
    context = json.loads((tmp_path / "o.json").read_text())["context"]
    assert [key for key in PROVENANCE if not context.get(key)] == []
    assert context["cmdline"].startswith("heapgauge bench --backend=core,system --benchmark_filter=pair/")
    assert int(context["ctx_switches"]) > 0 and int(context["steal_ticks_delta"]) >= 0  # of the run: known at its end
    assert all(len(part.split()[1]) == 64 for part in context["backend_sha256"].split("; "))
