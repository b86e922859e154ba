"""What `compare` tells beside the rounds: what the traces are like, fragmentation (--frag), scaling (--scaling), the
fuzzer's finds (--fuzz).

    traces.json   heapgauge stat, of each trace, with its picture
    frag.json     heapgauge frag, every adversary on every backend
    fuzz.json     heapgauge fuzz, every target on every backend
    scaling.json  heapgauge bench --scaling --quick, all backends together

All are raw files of the results folder like any other: in its manifest, kept when resumed.
"""

import functools
import subprocess
import tempfile
from pathlib import Path

from . import hyperfine, scaling, store
from .errors import Trouble

SAMPLES_MAX = 150  # points of a curve that are kept: more can't be seen
FRAG_SECONDS_MAX = 1800  # for all adversaries of one backend
STAT_SECONDS_MAX = 600
STAT_KEYS = ("operations", "requested_bytes", "live_bytes_peak", "live_blocks_peak", "frees_of_blocks", "cross_thread_frees",
             "reallocations")
FINDING_KEYS = ("item", "shape", "times", "operations", "inputs_to_exposure", "cpu_seconds_to_exposure", "text")
FUZZ_KEYS = ("backend", "target", "run", "why", "inputs", "operations", "checks", "cpu_seconds", "quality", "waived")


def measured(plan):
    """(name, spec) of the backends that have a column."""
    return [(e["name"], e["backend"]) for e in plan["entries"] if e["role"] in ("baseline", "backend")]


def run_all(folder, plan, program, say):
    """Runs what the plan asks for and the folder does not hold yet, a backend at a time."""
    for name, wanted, command, read in (
            ("frag.json", plan.get("frag"), frag_command, frag_rows),
            ("fuzz.json", plan.get("fuzz_s"), fuzz_command, fuzz_rows)):
        if not wanted:
            continue
        rows = folder.read_json(name) if folder.exists(name) else []
        have = {row["backend"] for row in rows}
        for label, spec in measured(plan):
            if label not in have:
                say(f"{name[:4]}     {label}")
                rows += [{**row, "backend": label} for row in one(command, read, plan, program, spec)]
                folder.write_json(name, rows)
    if plan.get("scaling") and not folder.exists("scaling.json"):
        folder.write_json("scaling.json", scaling.tell(program, [spec for _, spec in measured(plan)], scaling.parse(["--quick"]),
                                                       lambda text: say(f"scaling  {text}")))


def one(command, read, plan, program, spec):
    """One backend's rows; a single row that says what went wrong where there are none."""
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as scratch:
        path = Path(scratch) / "out.json"
        words, timeout_s = command(plan, program, spec, scratch)
        code, said = hyperfine.run_one([*words, f"--json={path}"], timeout_s)
        try:
            return read(store.parse_json(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return [{"status": "error", "detail": f"exit status {code}: {said}"}]


# ---- traces ----

def describe_traces(folder, plan, program, runnable):
    """What each trace is like, once."""
    if folder.exists("traces.json"):
        return
    rows = []
    for workload in plan["workloads"]:
        if workload["class"] == "trace":
            path = runnable(workload["spec"])
            facts = store.parse_json(stat(program, path, "--json"))
            rows.append({"workload": workload["name"], **{key: facts[key] for key in STAT_KEYS},
                         "threads": len(facts["operations_by_thread"]), "picture": stat(program, path, "--plot=/dev/stdout")})
    folder.write_json("traces.json", rows)


@functools.cache
def stat(program, path, option):
    """What `heapgauge stat` prints; Trouble, in its words, if it failed."""
    done = subprocess.run([program, "stat", option, path], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=STAT_SECONDS_MAX)
    if done.returncode != 0:
        raise Trouble(done.stderr.strip().removeprefix("heapgauge stat: ").split("\n")[0] or f"{path}: can't be read")
    return done.stdout


def require_trace(program, path):
    """Trouble before anything is measured if a file is no trace, or one that was cut."""
    stat(program, path, "--json")


# ---- fragmentation ----

def frag_command(plan, program, spec, _scratch):
    """The command for one backend, and the seconds it may take."""
    return [program, "frag", f"--backend={spec}", "--retention=5"], FRAG_SECONDS_MAX


def frag_rows(told):
    """The program's JSON as rows: a curve keeps every n-th sample, and its greatest."""
    rows = []
    for run in told["runs"]:
        row = {k: v for k, v in run.items() if k not in ("samples", "backend_path", "backend_version")}
        samples = run.get("samples") or []
        step = -(-len(samples) // SAMPLES_MAX) or 1
        peak = max(range(len(samples)), key=lambda i: samples[i]["rss_bytes"], default=0)
        kept = [s for i, s in enumerate(samples) if i % step == 0 or i in (peak, len(samples) - 1)]
        row["curve"] = {key: [s[key] for s in kept] for key in ("operation", "live_bytes", "rss_bytes")}
        rows.append(row)
    return rows


# ---- fuzzing ----

def fuzz_command(plan, program, spec, scratch):
    """The command for one backend, and the seconds it may take."""
    seconds = plan["fuzz_s"]
    return [program, "fuzz", f"--backend={spec}", "--target=all", f"--time={seconds:g}", f"--seed={plan['seed']}",
            "--keep-going", "-o", str(Path(scratch) / "findings")], 20 * seconds + 600


def fuzz_rows(told):
    """The program's JSON as rows, without where the findings lay."""
    return [{**{k: cell[k] for k in FUZZ_KEYS if k in cell},
             "findings": [{k: f[k] for k in FINDING_KEYS if k in f} for f in cell.get("findings", [])]}
            for cell in told["cells"]]
