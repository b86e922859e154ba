"""Runs the cells of one round, each in a fresh process, by one call of hyperfine.

hyperfine times all runs of one command before the next, so it can't interleave; a call of single runs in
our order does. Its -i keeps a failing cell from ending the round; what failed is
seen from the exit codes and from the cell's own JSON.
"""

import ctypes
import math
import os
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from . import machine, plan, store
from .errors import Trouble

COMMANDS_MAX = 400  # a call of hyperfine: their words must fit into one command line
UNEVEN, UNEVEN_SLICES_MIN = 2.5, 20
GRACE_SECONDS = 5  # what the cell itself gets to notice its timeout, before it is killed from outside


def require():
    """Raises Trouble unless hyperfine is here."""
    for program, package in (("hyperfine", "hyperfine"), ("timeout", "coreutils")):
        if not shutil.which(program):
            raise Trouble(f"{program} is missing, which runs the cells: apt-get install {package}")


def cell_command(program, workload, backend, iterations, timeout_s, memory_bytes, cpu=None):
    """The command that measures one cell, as a list; --json is added by who runs it."""
    return [program, "cell", workload, f"--backend={backend}", f"--ops={iterations}",
            f"--timeout={timeout_s:g}", f"--memory={memory_bytes}", *([] if cpu is None else [f"--cpu={cpu}"])]


def publishable(command, spec):
    """A cell's command without this machine's paths: what a reader types in the repository."""
    return ["heapgauge", command[1], spec, *map(machine.portable_option, command[3:])]


def die_with_parent():
    """In the child: SIGKILL when the parent ends, so that a killed compare leaves nothing measuring."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill_session(session):
    """Ends every process of a session, its process groups included."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ValueError):
            pass  # it ended meanwhile


def run_one(command, timeout_s):
    """Runs one command to its end or its kill; (exit status, last line of what it said)."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, start_new_session=True, preexec_fn=die_with_parent)
    try:
        _, said = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill_session(child.pid)
        child.communicate()
        return None, f"killed after {timeout_s:g} s"
    except BaseException:
        kill_session(child.pid)
        raise
    lines = said.decode(errors="replace").strip().splitlines()
    return child.returncode, lines[-1] if lines else ""


def read_cell(path):
    """A cell's JSON and None, or None and what is wrong with it."""
    try:
        value = store.parse_json(path.read_text())
    except FileNotFoundError:
        return None, "wrote no result"
    except (ValueError, OSError) as error:
        return None, f"wrote a result that is not JSON ({error})"
    if not isinstance(value, dict) or not isinstance(value.get("status"), str):
        return None, "wrote a result without a status"
    return value, None


def measure(program, workload, backend, iterations, timeout_s, memory_bytes, *more):
    """One cell outside a round (counting, calibration): its JSON, or a made-up one that says what went wrong."""
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as folder:
        path = Path(folder) / "cell.json"
        command = cell_command(program, workload, backend, iterations, timeout_s, memory_bytes)
        code, said = run_one([*command, *more, f"--json={path}"], timeout_s + GRACE_SECONDS)
        cell, problem = read_cell(path)
    if cell is not None:
        return cell
    status = "timeout" if code is None else "error"
    return {"status": status, "detail": f"heapgauge cell {problem}: exit status {code}: {said}"}


def run_round(program, number, cells, folder, timeout_s, memory_bytes, progress, cpu=None):
    """Runs `cells`, dicts with name, workload (and its spec as published), entry,
    backend and iterations, in their order; a cell may come several times.

    Returns the round as it is stored, one result a cell. `progress` is called with the number of runs done.
    """
    work = Path(tempfile.mkdtemp(prefix=".round-", suffix=".tmp", dir=folder))
    try:
        groups, named = in_step(cells), []
        for index, group in enumerate(groups):
            out = work / f"{index:05d}"
            if group[0].get("slices"):
                out.mkdir()
                command = lockstep_command(program, number, group, timeout_s, memory_bytes, cpu)
            else:
                command = command_of(program, group[0], timeout_s, memory_bytes, cpu)
                out = f"{out}.json"
            guarded = ["timeout", f"--kill-after={GRACE_SECONDS}", f"{timeout_s + GRACE_SECONDS:g}", *command,
                       f"--json={out}"]
            named.append((group[0]["name"], shlex.join(guarded)))
        before = machine.reading()
        told = []
        for first in range(0, len(named), COMMANDS_MAX):
            told += run_hyperfine(named[first:first + COMMANDS_MAX], work, progress)
        after = machine.reading()
        results = []
        for index, (group, result) in enumerate(zip(groups, told)):
            for place, cell in enumerate(group):
                path = work / (f"{index:05d}/{place}.json" if cell.get("slices") else f"{index:05d}.json")
                command = command_of(program, cell, timeout_s, memory_bytes, cpu)
                results.append(result_of(dict(result), cell, path, command, len(results)))
        settle_slices(results)
        return {"round_version": 1, "round": number, "before": before, "after": after,
                "results": merge_turns(results)}
    finally:
        shutil.rmtree(work, ignore_errors=True)


def command_of(program, cell, timeout_s, memory_bytes, cpu):
    """The command of a cell that runs by itself."""
    return cell_command(program, cell["workload"], cell["backend"], cell["iterations"], timeout_s, memory_bytes, cpu)


def in_step(cells):
    """Lists of cells: those of a workload's turn in slices together, the others each alone."""
    groups = []
    for cell in cells:
        together = groups and cell.get("slices") and (groups[-1][0]["label"], groups[-1][0].get("turn")) == (
            cell["label"], cell.get("turn"))
        if together:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return groups


def lockstep_command(program, number, group, timeout_s, memory_bytes, cpu):
    """The command that runs cells in lock-step, as a list."""
    first = group[0]
    seed = number * 1000 + first.get("turn", 0)
    return [program, "lockstep", first["workload"], f"--ops={first['iterations']}", f"--slices={first['slices']}",
            f"--seed={seed}", f"--cpu={cpu or 0}", f"--timeout={timeout_s:g}", f"--memory={memory_bytes}",
            *(cell["backend"] for cell in group)]


def result_of(result, cell, path, command, position):
    """hyperfine's record of a run with what the cell itself told."""
    found, problem = read_cell(path)
    code = (result.get("exit_codes") or [None])[0]
    if found is None:
        status = {124: "timeout", 137: "timeout"}.get(code, "error")
        found = {"status": status, "detail": f"heapgauge cell {problem}, exit status {code}"}
    elif cell.get("slices"):
        result["exit_codes"] = [0]  # of this cell; the command's own is that of all of them
    result.update(command=cell["name"], position=position, workload=cell["label"], entry=cell["entry"],
                  command_line=shlex.join(publishable(command, cell["spec"])), cell=found)
    if isinstance(found.get("backend_path"), str):
        found["backend_path"] = machine.portable(found["backend_path"])
    if cell.get("slices"):
        result["is_reference"] = bool(cell.get("is_baseline"))
        result["turn"] = cell.get("turn", 0)
    return result


def settle_slices(results):
    """The time of cells that ran in lock-step: the reference's, and each other's ratio to it.

    A slice is compared with the reference's of the same turn only: what disturbs the machine for longer than a slice is in
    both sides of a ratio, what is shorter is in few.
    """
    turns = {}
    for result in results:
        reference, turn = result.pop("is_reference", None), result.pop("turn", 0)
        slices = result["cell"].pop("slices_ns", None)
        if reference is None or result["cell"]["status"] != "ok" or not slices:
            continue
        result["slices_ns"] = " ".join(map(str, slices))
        turns.setdefault(result["workload"], {}).setdefault(turn, []).append((not reference, slices, result))
    for workload in turns.values():
        told = {}  # entry -> its results, and (its slices, the reference's) of each turn
        for members in workload.values():
            members.sort(key=lambda member: member[0])  # the baseline first, where it is there
            for _, slices, result in members:
                kept, pairs = told.setdefault(result.get("entry"), ([], []))
                kept.append(result)
                pairs.append((slices, members[0][1]))
        uneven = any(is_uneven([mine for mine, _ in pairs]) for _, pairs in told.values())
        for kept, pairs in told.values():
            is_trace = plan.is_trace(str(kept[0]["cell"].get("workload")))
            seconds = seconds_of_trace(pairs) if is_trace else seconds_of_benchmark(pairs, uneven)
            for cell in (result["cell"] for result in kept):
                cell["seconds"] = seconds
                if cell.get("operations_counted"):
                    cell["ns_per_op"] = seconds * 1e9 / cell["operations_counted"]


def is_uneven(turns):
    """Do some of a benchmark's slices take far longer than most? Of the published workloads' entries the ratio below is over 4
    in three (growing realloc, large blocks: now and then one is moved or mapped), in the others at most 1.8; what disturbs
    the machine seldom meets one slice in seven."""
    ratios = [sorted(slices[1:])[len(slices[1:]) * 85 // 100] / statistics.median(slices[1:]) for slices in turns if len(slices) > UNEVEN_SLICES_MIN]
    return bool(ratios) and statistics.median(ratios) > UNEVEN


def turn_ratio(slices, reference, uneven):
    """Of two backends' times in a turn: the median slice's, or where they are uneven the sum's, since most of the time is in few
    of them. The first slice finds all caches cold and does not count."""
    if uneven:
        return sum(slices[1:]) / sum(reference[1:])
    return statistics.median(mine / theirs for mine, theirs in zip(slices[1:], reference[1:]))


def seconds_of_benchmark(pairs, uneven):
    """Turns differ by where their processes' memory lies: the median of their ratios, times the reference's median turn."""
    middle = statistics.mean if uneven else statistics.median
    reference = statistics.median(middle(reference[1:]) * len(reference) for _, reference in pairs)
    return statistics.median(turn_ratio(*pair, uneven) for pair in pairs) * reference * 1e-9


def seconds_of_trace(pairs):
    """Slices differ, and each counts by its length; the same slice is the same in all turns: its median."""
    at = list(zip(*(zip(slices, reference) for slices, reference in pairs)))
    return sum(statistics.median(theirs for _, theirs in turns) * statistics.median(mine / theirs for mine, theirs in turns)
               for turns in at) * 1e-9


def merge_turns(results):
    """The runs of a cell as one result, in the shape hyperfine gives to several runs of a command.

    `cell` is that of the fastest run, or of the first that went wrong; `turns` keeps every run's own time.
    """
    by_cell = {}
    for result in results:
        by_cell.setdefault((result["workload"], result["entry"]), []).append(result)
    return [merge_runs(runs) if len(runs) > 1 else runs[0] for runs in by_cell.values()]


def merge_runs(runs):
    """One result of several runs of one cell."""
    bad = next((r for r in runs if r["cell"]["status"] != "ok" or r["exit_codes"][0] != 0), None)
    chosen = bad or min(runs, key=lambda r: r["cell"].get("seconds", math.inf))
    times = [t for r in runs for t in r["times"]]
    merged = {**chosen, "times": times, "exit_codes": [chosen["exit_codes"][0]] if bad else [0] * len(runs),
              "mean": statistics.fmean(times), "median": statistics.median(times),
              "stddev": statistics.stdev(times), "min": min(times), "max": max(times)}
    for key in ("user", "system"):
        if all(key in r for r in runs):
            merged[key] = statistics.fmean(r[key] for r in runs)
    merged["turns"] = {"position": [r["position"] for r in runs],
                       **{key: [r["cell"].get(key) for r in runs] for key in ("seconds", "cpu_seconds")}}
    if merged.pop("slices_ns", None):
        merged["turns"]["slices_ns"] = [r.get("slices_ns") for r in runs]
    return merged


def run_hyperfine(named, work, progress):
    """One call of hyperfine on (name, command) pairs; the entries of its export."""
    export = work / "hyperfine.json"
    arguments = ["hyperfine", "-N", "--style", "none", "--warmup", "0", "--runs", "1", "-i",
                 "--export-json", str(export)]
    for name, command in named:
        arguments += ["-n", name, command]
    with open(work / "said", "w+") as said:
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=said, start_new_session=True, preexec_fn=die_with_parent)
        try:
            watch(child, work, progress)
        except BaseException:
            kill_session(child.pid)
            child.wait()
            raise
        said.seek(0)
        words = " ".join(said.read().split())
    if child.returncode != 0 or not export.exists():
        raise Trouble(f"hyperfine failed with exit status {child.returncode}: {words or 'it said nothing'}"
                      "; finished rounds are kept, and --resume goes on")
    try:
        results = store.parse_json(export.read_text())["results"]
    except (ValueError, KeyError) as error:
        raise Trouble(f"hyperfine wrote no usable record ({error}); finished rounds are kept, and "
                      "--resume goes on") from None
    export.unlink()
    if len(results) != len(named):
        raise Trouble(f"hyperfine recorded {len(results)} of {len(named)} runs; finished rounds are kept, "
                      "and --resume goes on")
    return results


def watch(child, work, progress):
    """Waits for the round; on a terminal reports cells done, once a second so as not to disturb them."""
    if sys.stderr.isatty():
        ended = select.poll()
        handle = os.pidfd_open(child.pid)
        ended.register(handle, select.POLLIN)
        while not ended.poll(1000):
            progress(sum(1 for _ in work.glob("**/[0-9]*.json")))
        os.close(handle)
    child.wait()
