"""`heapgauge compare`: measures workloads on backends, in interleaved rounds of fresh processes.

Stages, each kept on disk as it ends and skipped when resumed: plan, oracle verdicts, proof of the calls
(counts), iterations, rounds, curves, fragmentation, scaling and fuzzing where asked for, report.
"""

import argparse
import math
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from . import analysis, curves, extras, hyperfine, machine, plan as plans, report, stats, store
from .errors import EXIT_FINDING, EXIT_WELL, Parser, Trouble

PLAN_VERSION = 1

ROUNDS, ROUNDS_QUICK = 20, 12
CELL_SECONDS, CELL_SECONDS_QUICK = 0.15, 0.05  # what the fastest backend of a workload should take in a round
SLOWEST_MAX = 8  # times that, what the slowest may take, where that can be had: a round is as long as its slowest cells
TURNS_MAX, TURNS_MAX_QUICK = 10, 5  # runs of a cell in a round, of which the fastest counts
RUN_SECONDS_MIN = 0.015  # a shorter run is not worth its process
SLICES, SLICES_QUICK, SLICE_SECONDS = 200, 100, 0.00025  # of a benchmark of one thread, which runs in lock-step
FEW_WORKLOADS = 8  # of so few each is looked at twice as long, in twice as many processes: 2 % are seen on a quiet machine
TRACE_TURNS, TRACE_TURNS_QUICK = 5, 3  # of a trace in a round, in lock-step: each slice's median counts
WINDOW_SECONDS = 0.002  # a slice of a trace of several threads: they all meet at its end
SLICES_MAX = 400
TURN_SLICES_MIN = 25  # of a benchmark in lock-step: fresh processes place memory anew, and that moves a ratio by some percent
PROBE_ITERATIONS = 500  # at first; an operation may take milliseconds
PROBE_SECONDS = 0.03  # less is all first touch where blocks are large
COUNT_ITERATIONS = 2_000
STRIKES_MAX = 2  # a backend that failed so often on a workload is not run there again
TARGET_WIDTH = 0.02  # --budget: rounds are added until intervals are within +- this


def parse(argv):
    """The command line."""
    parser = Parser(
        prog="heapgauge compare",
        description="Compares allocators on recorded traces and benchmarks: interleaved rounds of fresh "
                    "processes, paired statistics, results in a folder of their own.",
        epilog="Exit status: 0 well; 1 a finding (a broken promise, a crash, a noisy machine); 2 usage "
               "or environment.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD",
                        help="a trace (.hgt) or a benchmark's name such as pair/size:64")
    parser.add_argument("--backends", metavar="A,B", help="names or paths of libraries; all (default): "
                        "every one that is here")
    parser.add_argument("--baseline", default=None, help="what ratios are to (default: system)")
    parser.add_argument("--rounds", type=positive, metavar="N",
                        help=f"rounds in all (default {ROUNDS}; --quick {ROUNDS_QUICK})")
    parser.add_argument("--quick", action="store_true", help="shorter cells, fewer rounds")
    parser.add_argument("--seed", type=int, help="seed of the order (default: from the clock)")
    parser.add_argument("-o", "--output", metavar="DIR", help="results folder (default: results/<time>)")
    parser.add_argument("--resume", action="store_true",
                        help="go on in DIR where it stopped; with a larger --rounds, add rounds")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="seconds a cell may take (default 60)")
    parser.add_argument("--memory", type=size, metavar="BYTES",
                        help="memory a cell may take, e.g. 300Mi (default: half of what is here)")
    parser.add_argument("--budget", type=seconds, metavar="S",
                        help="seconds for rounds: adds rounds until every interval is within "
                             f"+-{TARGET_WIDTH:.0%}% or the time is spent")
    parser.add_argument("--no-curves", action="store_true",
                        help="without the runs beside the rounds that draw latency and memory over time")
    parser.add_argument("--frag", action="store_true",
                        help="also fragmentation: every adversary of `heapgauge frag` on every backend")
    parser.add_argument("--scaling", action="store_true",
                        help="also cost against threads, live blocks and bytes: `heapgauge bench --scaling --quick`")
    parser.add_argument("--fuzz", type=seconds, metavar="S",
                        help="also what the fuzzer finds in S seconds for each backend and target")
    parser.add_argument("--engine", choices=("local", "slurm"),
                        help="measure in blocks of rounds, each on one node: here, one after the other, or as a job array of "
                             "Slurm's; needs -o DIR, which every node sees")
    parser.add_argument("--blocks", type=positive, metavar="N", help="with --engine: blocks (default 8, of 6 rounds each)")
    parser.add_argument("--batch-options", metavar="WORDS", help="with --engine=slurm: more options for sbatch")
    parser.add_argument("--block", type=positive, help=argparse.SUPPRESS)  # what the batch script runs
    return parser.parse_args(argv)


def positive(text):
    """A whole number above 0."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError("expected a whole number, 1 or more")
    return int(text)


def seconds(text):
    """A number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("expected seconds, more than 0")
    return value


def size(text):
    """Bytes as the C commands read them: K, M, G are powers of 1000, Ki, Mi, Gi of 1024."""
    match = re.fullmatch(r"(\d+)(?:([kKMG])(i?))?", text)
    if not match:
        raise argparse.ArgumentTypeError("expected bytes, such as 300Mi, 1Gi or 2G")
    power = " KMG".index((match[2] or " ").upper())
    return positive(match[1]) * (1024 if match[3] else 1000) ** power


def say(text):
    """A line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


# ---- what to measure ----

def program_path():
    """The heapgauge program that runs us, from the environment."""
    program = os.environ.get("HEAPGAUGE")
    if not program or not os.access(program, os.X_OK):
        raise Trouble("HEAPGAUGE does not name the heapgauge program: run `heapgauge compare`, which sets it")
    return program


def known_backends(program):
    """name -> facts, from `heapgauge backends --json`."""
    return {b["name"]: b for b in list_backends(program)}


def learn(program, known, plan):
    """`known` and, of the plan's backends that are not registered names (paths, settings of tunables), what the program
    says of each: which file serves it, with its checksum. Trouble for one that can't be opened."""
    found = dict(known)
    for entry in plan["entries"]:
        if entry["backend"] not in found:
            listed = list_backends(program, entry["backend"])
            if len(listed) == 1:
                if listed[0].get("available") is False:
                    raise Trouble(listed[0].get("why") or f"{entry['backend']}: can't be opened")
                found[entry["backend"]] = listed[0]
    return found


def list_backends(program, *specs):
    """The facts that `heapgauge backends --json` lists; Trouble if it lists nothing that can be read."""
    done = subprocess.run([program, "backends", "--json", *specs], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    try:
        listed = store.parse_json(done.stdout)["backends"]
        assert all(isinstance(b["name"], str) for b in listed)
        return listed
    except (ValueError, KeyError, TypeError, AssertionError):
        raise Trouble(f"`heapgauge backends --json` gave no list (exit status {done.returncode}): "
                      f"{done.stderr.strip()}") from None


def choose_backends(wanted, baseline, known):
    """(specs to measure, those wanted but unavailable). The baseline comes first."""
    if wanted in (None, "all"):
        specs = [n for n in known if n != plans.HARNESS]
    else:
        specs = [s.strip() for s in wanted.split(",") if s.strip()]
    specs = [baseline] + [s for s in dict.fromkeys(specs) if s not in (baseline, plans.HARNESS)]
    chosen, missing = [], []
    for spec in specs:
        if "/" in spec or ".so" in spec:
            if not Path(spec).is_file():
                raise Trouble(f"{spec}: no such library")
            chosen.append(spec)
        elif spec not in known and ":" not in spec:
            raise Trouble(f"{spec}: unknown backend; known: {', '.join(known)}, or the path of a .so")
        elif spec in known and not known[spec].get("available"):
            missing.append({"name": spec, "why": known[spec].get("why") or "not available",
                            "package": known[spec].get("package")})
        else:
            chosen.append(spec)
    if baseline not in chosen:
        raise Trouble(f"the baseline {baseline} is not available: {missing[0]['why']}")
    labels = [plans.backend_label(s) for s in chosen]
    for label in labels:
        if labels.count(label) > 1:
            raise Trouble(f"two backends would both be called {label}: leave one out")
    return chosen, missing


def describe_workloads(specs, program):
    """The plan's entry of each workload. Trouble if a trace can't be read or a name is unknown."""
    if not specs:
        raise Trouble("no workload: name a trace (.hgt) or a benchmark (`heapgauge bench "
                      "--benchmark_list_tests` lists them)")
    listed = benchmark_names(program)
    found = []
    for spec in dict.fromkeys(expand(specs, listed)):
        entry = {"name": plans.workload_label(spec), "spec": machine.portable(spec),
                 "class": plans.workload_class(spec), "iterations": None}
        if plans.is_trace(spec):
            try:
                entry["sha256"] = store.file_digest(spec)
            except OSError as error:
                raise store.explain(error, spec) from None
            extras.require_trace(program, spec)
        else:
            if listed and spec not in listed:
                raise Trouble(f"{spec}: neither a trace (.hgt) nor a benchmark that `heapgauge bench "
                              "--benchmark_list_tests` lists")
        found.append(entry)
    names = [w["name"] for w in found]
    for entry in found:
        if names.count(entry["name"]) > 1:
            entry["name"] = entry["spec"].removesuffix(plans.TRACE_SUFFIX)
    return found


def benchmark_names(program):
    """Names of the benchmarks, without their backend: `pair/backend:core/size:64` is pair/size:64."""
    text = machine.output_of(program, "bench", "--backend=system", "--benchmark_list_tests") or ""
    return list(dict.fromkeys(re.sub(r"/backend:[^/\s]*", "", line) for line in text.split()))


def expand(specs, listed):
    """Single workloads from the words of the command line: `churn,T.hgt` is every churn/... and the trace."""
    words = [word for spec in specs for word in ([spec] if os.path.exists(spec) else spec.split(",")) if word]
    for word in words:
        family = [name for name in listed if name.startswith(word + "/")]
        yield from family if family and word not in listed else [word]


def runnable(spec):
    """The inverse of machine.portable(): a path that can be opened from here, a benchmark's name unchanged."""
    if plans.is_trace(spec) and not os.path.exists(spec) and machine.REPOSITORY:
        inside = machine.REPOSITORY / spec
        return str(inside) if inside.exists() else spec
    return spec


def make_plan(options, program, known):
    """A new plan from the command line."""
    baseline = options.baseline or "system"
    specs, missing = choose_backends(options.backends, baseline, known)
    workloads = describe_workloads(options.workloads, program)
    memory = options.memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    return {
        "plan_version": PLAN_VERSION,
        "created": machine.now(),
        "command": shlex.join(["heapgauge", "compare", *map(machine.portable_option, sys.argv[2:])]),
        "seed": seed,
        "quick": options.quick,
        "rounds": options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS),
        "budget_s": options.budget,
        "curves": not options.no_curves,
        "frag": options.frag,
        "scaling": options.scaling,
        "fuzz_s": options.fuzz,
        "timeout_s": options.timeout or 60.0,
        "memory_bytes": memory,
        "cpu": max(os.sched_getaffinity(0)),  # where workloads of one thread run
        "baseline": plans.backend_label(baseline),
        "entries": plans.entries(specs, baseline),
        "unavailable": missing,
        "workloads": workloads,
        "program_sha256": store.file_digest(program),
    }


def resume_plan(folder, options, program):
    """The plan on disk, with what may change while going on; Trouble for what may not."""
    plan = folder.read_json("plan.json")
    if plan.get("plan_version") != PLAN_VERSION:
        raise Trouble(f"{folder.path / 'plan.json'}: made by another version of heapgauge: start a new folder")
    fixed = {
        "workloads": (options.workloads and [machine.portable(w) for w in dict.fromkeys(options.workloads)],
                      [w["spec"] for w in plan["workloads"]]),
        "--baseline": (options.baseline and plans.backend_label(options.baseline), plan["baseline"]),
        "--seed": (options.seed, plan["seed"]),
        "--quick": (options.quick or None, plan["quick"]),
    }
    for name, (asked, planned) in fixed.items():
        if asked and asked != planned:
            raise Trouble(f"{folder.path}: {name} differs from the run begun here ({planned}): leave it "
                          "out to go on, or start a new folder")
    if store.file_digest(program) != plan["program_sha256"]:
        raise Trouble(f"{folder.path}: heapgauge was rebuilt since this run began, so its rounds could not "
                      "be compared with new ones: start a new folder")
    for workload in plan["workloads"]:
        if "sha256" in workload:
            own = folder.path / "traces" / Path(workload["spec"]).name
            if own.is_file():  # kept in the folder, which may have been renamed since
                workload["spec"] = machine.portable(own)
            try:
                same = store.file_digest(runnable(workload["spec"])) == workload["sha256"]
            except OSError as error:
                raise store.explain(error, workload["spec"]) from None
            if not same:
                raise Trouble(f"{workload['spec']}: not the trace this run began with: start a new folder")
    for key, value in (("rounds", options.rounds), ("timeout_s", options.timeout),
                       ("memory_bytes", options.memory), ("budget_s", options.budget), ("frag", options.frag or None),
                       ("scaling", options.scaling or None),
                       ("fuzz_s", options.fuzz)):
        if value is not None:
            plan[key] = value
    return plan


# ---- the oracle first ----

def check_all(folder, plan, program):
    """Asks the oracle, before anything is timed. Returns the verdicts, kept one by one.

    A backend gets no number for a trace on which it is not clean. Besides, each plays one seeded stream of
    random operations: what is broken there is told, and bars nothing, for the workloads may never ask for it.
    """
    verdicts = folder.read_json("verdicts.json") if folder.exists("verdicts.json") else []
    have = {(v["workload"], v["backend"]) for v in verdicts}
    streams = [(w["name"], runnable(w["spec"])) for w in plan["workloads"] if w["class"] == "trace"]
    for name, trace in [*streams, (plans.SEEDED, None)]:
        for entry in plan["entries"]:
            if entry["role"] not in ("baseline", "backend") or (name, entry["name"]) in have:
                continue
            verdict = check_one(program, trace, entry["backend"], plan)
            say(f"oracle   {name} on {entry['name']}: {describe_verdict(verdict)}")
            verdicts.append({**verdict, "workload": name, "backend": entry["name"]})
            folder.write_json("verdicts.json", verdicts)
    return verdicts


def check_one(program, trace, backend, plan):
    """The oracle's verdict on a trace, or without one on a seeded stream, within the limits of a cell."""
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as scratch:
        path = Path(scratch) / "verdict.json"
        stream = [trace] if trace else [f"--seed={plan['seed']}", "--threads=2"]
        command = [program, "check", f"--backend={backend}", f"--json={path}", f"--timeout={plan['timeout_s']:g}",
                   f"--memory={plan['memory_bytes']}", *stream]
        code, said = hyperfine.run_one(command, plan["timeout_s"] + hyperfine.GRACE_SECONDS)
        if code is None:
            return {"verdict": "timeout", "detail": said}
        try:
            verdict = store.parse_json(path.read_text())
            if isinstance(verdict["verdict"], str):
                return verdict
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return {"verdict": "error", "detail": f"heapgauge check: exit status {code}: {said}"}


def describe_verdict(verdict):
    """A verdict in a few words."""
    if verdict["verdict"] == "clean":
        count = verdict.get("operations")
        return f"clean ({count:,} operations)" if count else "clean"
    where = f" {verdict['item']}" if verdict.get("item") else ""
    at = f" at operation {verdict['operation']}" if verdict.get("operation") is not None else ""
    detail = f": {verdict['detail']}" if verdict.get("detail") else ""
    return f"{verdict['verdict']}{where}{at}{detail}"


def barred(verdicts):
    """(workload, entry) that get no number: the oracle did not say clean."""
    return {(v["workload"], v["backend"]) for v in verdicts if v["verdict"] != "clean" and v["workload"] != plans.SEEDED}


# ---- the calls counted, once ----

def count_all(folder, plan, program, out):
    """Runs each cell once with `--count`, before the rounds: are the calls asked for those that arrive?

    Compilers remove pairs of malloc and free; a benchmark that lost them would measure nothing. Returns the
    counts, kept one by one.
    """
    counts = folder.read_json("counts.json") if folder.exists("counts.json") else []
    have = {(c["workload"], c["backend"]) for c in counts}
    for workload in plan["workloads"]:
        for entry in plan["entries"]:
            key = (workload["name"], entry["name"])
            if entry["role"] not in ("baseline", "backend") or key in have or key in out:
                continue
            counted = count_one(program, workload, entry["backend"], plan)
            if counted["status"] != "ok":
                say(f"counted  {workload['name']} on {entry['name']}: {counted['status']}: {counted['detail']}")
            counts.append({"workload": workload["name"], "backend": entry["name"], **counted})
            folder.write_json("counts.json", counts)
    return counts


def count_one(program, workload, backend, plan):
    """Status, and the operations asked and counted, of one run with every call counted."""
    iterations = 1 if workload["class"] == "trace" else COUNT_ITERATIONS
    cell = hyperfine.measure(program, runnable(workload["spec"]), backend, iterations, plan["timeout_s"],
                             plan["memory_bytes"], "--count")
    asked, counted = cell.get("operations_asked"), cell.get("operations_counted")
    status, detail = cell["status"], str(cell.get("detail") or "")
    if status == "ok" and asked != counted:
        status, detail = "invalid", f"{asked} operations asked, {counted} counted at the allocator"
    return {"status": status, "detail": detail, "operations_asked": asked, "operations_counted": counted}


def miscounted(counts):
    """(workload, entry) whose calls did not all arrive: no round would change that."""
    return {(c["workload"], c["backend"]) for c in counts if c["status"] in ("invalid", "unsupported")}


def struck(plan, counts, rounds, times):
    """(workload, entry) that crashed, hung or ran out of memory in so many rounds, the counting included."""
    subject = {e["name"]: plan["baseline"] if e["role"] == "control" else e["name"] for e in plan["entries"]}
    failed = [(c["workload"], c["backend"]) for c in counts if c["status"] in analysis.STRIKES]
    failed += [(r["workload"], subject[r["entry"]]) for stored in rounds for r in stored["results"]
               if r["cell"]["status"] in analysis.STRIKES]
    return {key for key in failed if failed.count(key) >= times}


# ---- one iteration count for all ----

def calibrate(folder, plan, program, out):
    """Sets each workload's iterations, once for all backends, so that cells are comparable.

    An iteration is what `heapgauge cell --ops` counts: a benchmark's, or a whole trace.
    """
    for workload in plan["workloads"]:
        if workload["iterations"] is None:
            found = calibrated(workload, plan, program, out)
            workload["iterations"], workload["turns"], workload["slices"] = found
    folder.write_json("plan.json", plan)


def calibrated(workload, plan, program, out):
    """A workload's iterations, turns and slices, from a trial on every backend."""
    is_trace = workload["class"] == "trace"
    trial = trial_of_trace if is_trace else probe
    probes = [trial(program, runnable(workload["spec"]), entry["backend"], plan) for entry in plan["entries"]
              if entry["role"] in ("baseline", "backend") and (workload["name"], entry["name"]) not in out]
    probes = [found for found in probes if found]
    if is_trace:
        slices, turns = min(probes, default=0), TRACE_TURNS_QUICK if plan["quick"] else TRACE_TURNS
        say(f"plan     {workload['name']}: played whole, " + (f"{turns} times in a round, in {slices} slices in lock-step"
                                                              if slices else "once in a round"))
        return (1, turns, slices) if slices else (1, 1, 0)
    if not probes:
        say(f"plan     {workload['name']}: no backend could run it")
        return PROBE_ITERATIONS, 1, 0
    speeds = [ns for ns, _ in probes]
    around_s = stats.median([rest for _, rest in probes])
    aim, most = (CELL_SECONDS_QUICK, TURNS_MAX_QUICK) if plan["quick"] else (CELL_SECONDS, TURNS_MAX)
    turns = turns_for(aim, 2 * around_s, most)
    if workload["class"] == "micro" and "/real_time" not in workload["spec"]:
        slices = SLICES_QUICK if plan["quick"] else SLICES
        if len(plan["workloads"]) <= FEW_WORKLOADS and not plan["quick"]:
            slices, turns = 2 * slices, turns_for(2 * aim, 2 * around_s, 2 * most)
        count = max(iterations_for(speeds, slices * SLICE_SECONDS), min(slices, iterations_for(speeds, aim)))
        turns, count, slices = split(count, min(slices, count), turns)
        say(f"plan     {workload['name']}: {turns} turns of {count:,} iterations in {slices} slices in lock-step "
            f"({min(speeds):.1f} to {max(speeds):.1f} ns each)")
        return (count, turns, slices) if slices > 2 else (count, 1, 0)
    count = iterations_for(speeds, aim / turns)
    say(f"plan     {workload['name']}: {turns} turns of {count:,} iterations in a round ({min(speeds):.1f} to "
        f"{max(speeds):.1f} ns each)")
    return count, turns, 0


def trial_of_trace(program, trace, backend, plan):
    """Slices for which a backend would do; None: it failed. A slice has a thousand operations or more, else it is all clock."""
    cell = hyperfine.measure(program, trace, backend, 1, plan["timeout_s"], plan["memory_bytes"])
    if cell["status"] != "ok" or not cell.get("seconds"):
        return None
    each_s = SLICE_SECONDS if cell.get("threads") == 1 else WINDOW_SECONDS
    return max(2, min(SLICES_MAX, int(cell["seconds"] / each_s), cell["operations_asked"] // 1000))


def split(count, slices, most):
    """(turns, iterations, slices) of a turn: as many turns as a benchmark's slices give, TURN_SLICES_MIN each at least."""
    turns = max(1, min(most, slices // TURN_SLICES_MIN))
    return turns, math.ceil(count / turns), slices // turns


def turns_for(aim_s, run_s, most):
    """How often a cell runs in a round that gives it `aim_s`, when a run takes at least `run_s`."""
    return max(1, min(most, round(aim_s / max(run_s, RUN_SECONDS_MIN))))


def probe(program, workload, backend, plan):
    """(ns per iteration, seconds that a run takes besides), roughly: the count grows until a cell is long
    enough to believe. None: failed."""
    iterations = PROBE_ITERATIONS
    for _ in range(6):
        begin = time.monotonic()
        cell = hyperfine.measure(program, workload, backend, iterations, plan["timeout_s"],
                                 plan["memory_bytes"])
        around_s, seconds = time.monotonic() - begin, cell.get("seconds")
        if cell["status"] != "ok" or not seconds:
            return None
        if seconds >= PROBE_SECONDS:
            break
        iterations *= min(100, math.ceil(2 * PROBE_SECONDS / max(seconds, 1e-5)))
    return seconds * 1e9 / iterations, max(0.0, around_s - seconds)


def iterations_for(speeds, aim_s):
    """Iterations that take the fastest backend `aim_s`, fewer if the slowest would take too long.

    `speeds` are ns per iteration. Rounded up to two digits.
    """
    wanted = min(aim_s * 1e9 / min(speeds), SLOWEST_MAX * aim_s * 1e9 / max(speeds))
    step = 10 ** max(0, math.floor(math.log10(max(wanted, 1))) - 1)
    return max(1, math.ceil(wanted / step) * step)


# ---- rounds ----

def cells_of_round(plan, number, out, shaky=()):
    """The runs of a round in their order, without those that are barred; one run of those that failed once."""
    by_name = {w["name"]: w for w in plan["workloads"]}
    entries = {e["name"]: e for e in plan["entries"]}
    cells, turn_of = [], {}
    turns, once = {w["name"]: w.get("turns") or 1 for w in plan["workloads"]}, set()
    for name, entry in plans.round_order(list(by_name), list(entries), number, plan["seed"], turns):
        subject = plan["baseline"] if entries[entry]["role"] == "control" else entry
        if (name, subject) in out or (name, entry) in once:
            continue
        if (name, subject) in shaky:
            once.add((name, entry))
        turn_of[name, entry] = turn_of.get((name, entry), 0) + 1
        workload = by_name[name]
        cells.append({"name": f"{name}/backend:{entry}", "label": name, "entry": entry,
                      "workload": runnable(workload["spec"]), "spec": workload["spec"], "backend": entries[entry]["backend"],
                      "iterations": workload["iterations"], "slices": workload.get("slices"),
                      "turn": turn_of[name, entry],
                      "is_baseline": entry == plan["baseline"]})
    return cells


def run_rounds(folder, plan, program, out, counts):
    """Runs the rounds that are missing. Returns all of them."""
    rounds = folder.read_rounds()
    started = time.monotonic()
    begun_at = len(rounds)
    while not enough(rounds, plan, time.monotonic() - started, begun_at):
        number = len(rounds) + 1
        cells = cells_of_round(plan, number, out | struck(plan, counts, rounds, STRIKES_MAX),
                               struck(plan, counts, rounds, 1))
        if not cells:
            say("rounds   nothing to measure: every cell is excluded")
            break
        folder.require_space()
        show = Progress(number, plan["rounds"], len(cells), started, begun_at)
        result = hyperfine.run_round(program, number, cells, folder.path / "rounds", plan["timeout_s"],
                                     plan["memory_bytes"], show.cells, plan.get("cpu"))
        result["seed"] = plan["seed"]
        folder.write_json(f"rounds/{number:03d}.json", result)
        rounds.append(result)
        show.done()
    return rounds


def enough(rounds, plan, elapsed_s, begun_at):
    """True when no further round is to be run."""
    budget = plan.get("budget_s")
    if budget is None:
        return len(rounds) >= plan["rounds"]
    if len(rounds) < 6:
        return False
    per_round = elapsed_s / max(1, len(rounds) - begun_at)
    if len(rounds) > begun_at and elapsed_s + per_round > budget:
        return True
    return analysis.widest_interval(plan, rounds) <= TARGET_WIDTH


class Progress:
    """Says on stderr how far the rounds are; rewrites one line on a terminal."""

    def __init__(self, number, total, count, started, begun_at):
        self.number, self.total, self.count = number, max(total, number), count
        self.started, self.begun_at = started, begun_at

    def cells(self, done):
        """Within a round, on a terminal only."""
        print(f"\rround    {self.number}/{self.total}, cell {done}/{self.count} ", end="", file=sys.stderr,
              flush=True)

    def done(self):
        """A round has ended."""
        per_round = (time.monotonic() - self.started) / (self.number - self.begun_at)
        left = per_round * (self.total - self.number)
        start = "\r" if sys.stderr.isatty() else ""
        say(f"{start}round    {self.number}/{self.total}: {self.count} cells, {per_round:.1f} s a round, "
            f"{left:.0f} s left   ")


# ---- context ----

def write_context(folder, program, known, plan, before, rounds_before, rounds, **more):
    """Adds this session to context.json: the machine's facts, and how busy it was before and after. `more`: further facts;
    None is left out."""
    context = folder.read_json("context.json") if folder.exists("context.json") else {"sessions": []}
    after = machine.reading()
    facts = machine.facts(program, machine.REPOSITORY)
    facts["cmdline"] = plan["command"]
    facts.update(overheads(program))
    facts["seed"] = str(plan["seed"])
    facts["host_name"] = socket.gethostname()
    facts.update({key: value for key, value in more.items() if value is not None})
    for key, name in (("steal_ticks", "steal_ticks_delta"), ("context_switches", "ctx_switches")):
        if before[key] is not None and after[key] is not None:
            facts[name] = str(after[key] - before[key])
    context["context"] = facts
    context["num_cpus"] = os.cpu_count()
    context["caches"] = machine.caches()
    context["sessions"].append({"before": before, "after": after, "rounds_before": rounds_before,
                                "rounds_after": len(rounds)})
    folder.write_json("context.json", context)


def overheads(program):
    """What loop, call through a pointer and clock cost here: name -> ns as text."""
    try:
        return {str(k): str(v) for k, v in store.parse_json(machine.output_of(program, "bench", "--overheads") or "{}").items()}
    except (ValueError, AttributeError):
        return {}


def served_by(known, plan):
    """Facts of the backends measured, with paths fit for publishing."""
    labels = [e["name"] for e in plan["entries"] if e["role"] != "control"]
    specs = {e["name"]: e["backend"] for e in plan["entries"]}
    found = []
    for label in labels:
        facts = dict(known.get(specs[label], {"name": label, "available": True}))
        path = facts.get("path") or (specs[label] if "/" in specs[label] else None)
        if path:
            if not facts.get("sha256") and Path(path).is_file():
                facts["sha256"] = store.file_digest(path)
            facts["path"] = machine.portable(path)
        facts["name"] = label
        found.append(facts)
    return found


def tell_left_out(plan):
    """Says which backends are not here, and how to get them."""
    for missing in plan["unavailable"]:
        package = f": apt-get install {missing['package']}" if missing.get("package") else ""
        say(f"left out {missing['name']}: {missing['why']}{package}")


def excluded(verdicts, counts):
    """((workload, entry) that no round runs, the counts)."""
    return barred(verdicts) | miscounted(counts), counts


def prepare(folder, plan, program):
    """All that comes before rounds: what traces are like, verdicts, counts, iterations. Returns as excluded()."""
    extras.describe_traces(folder, plan, program, runnable)
    verdicts = check_all(folder, plan, program)
    counts = count_all(folder, plan, program, barred(verdicts))
    out, _ = excluded(verdicts, counts)
    calibrate(folder, plan, program, out | {(c["workload"], c["backend"]) for c in counts if c["status"] != "ok"})
    return out, counts


def main(argv):
    """Runs `heapgauge compare` and returns its exit status."""
    options = parse(argv)
    program = program_path()
    hyperfine.require()
    report.require()
    if options.block or options.engine:
        from . import grid
        if options.block:
            return grid.run_block(grid.Grid(options.output), options.block, program)
        return grid.main(options, program)
    output = options.output or f"results/{datetime.now():%Y-%m-%d-%H%M%S}"
    folder = store.Folder(output)
    resuming = folder.exists()
    if resuming and not options.resume:
        raise Trouble(f"{output}: holds a run already: add --resume to go on with it, or choose another -o")
    if options.resume and not resuming and not options.workloads:
        raise Trouble(f"{output}: no run to resume here")
    known = known_backends(program)
    plan = resume_plan(folder, options, program) if resuming else make_plan(options, program, known)
    known = learn(program, known, plan)
    folder.create()
    folder.lock()
    backends = served_by(known, plan)
    if folder.exists("backends.json"):
        require_same_libraries(folder, backends)
    folder.write_json("plan.json", plan)
    folder.write_json("backends.json", backends)
    tell_left_out(plan)
    before = machine.reading()
    out, counts = prepare(folder, plan, program)
    rounds_before = len(folder.read_rounds())
    rounds = run_rounds(folder, plan, program, out, counts)
    write_context(folder, program, known, plan, before, rounds_before, rounds)
    if plan.get("curves"):
        curves.run_all(folder, plan, program, out | struck(plan, counts, rounds, 1), runnable, say)
    extras.run_all(folder, plan, program, say)

    model = report.publish(folder)
    print(report.table_text(model))
    say(f"results  {output}/table.md, results.json, rounds/ (raw)")
    return EXIT_FINDING if model["findings"] else EXIT_WELL


def require_same_libraries(folder, backends):
    """Trouble if a library was replaced since the run began."""
    then = {b["name"]: b.get("sha256") for b in folder.read_json("backends.json")}
    for backend in backends:
        if then.get(backend["name"]) != backend.get("sha256"):
            raise Trouble(f"{backend['name']}: its library changed since this run began: start a new folder")
