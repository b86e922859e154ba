"""A comparison in blocks: on many machines, by an engine, without ever comparing across them.

A *block* is some rounds, all cells in each, on one node: an ordinary results folder with that node's context. Blocks
are independent of each other; an engine (engines.py) runs them wherever it likes, and as often as it takes.

    DIR/grid.json     how many blocks, which jobs were submitted
    DIR/base/         the plan, the oracle's verdicts, the counts: made once, before anything is submitted
    DIR/measuring/    blocks being measured: NNNN.NODE, one writer each (a lock)
    DIR/tasks/NNNN/   blocks that are done; a folder comes here by one rename, when it is whole
    DIR/table.md, results.json   what all blocks say together (blocks.py)

So a block is there once or not at all: one that is killed leaves its folder in measuring/, where the same node goes on with
it and no other does (its rounds belong to it); one that runs twice is renamed once, and the second is thrown away.
Needs a file system that all nodes see.
"""

import fcntl
import json
import os
import shutil
import socket
import sys
from pathlib import Path

from . import blocks, compare, hyperfine, machine, report, store
from .errors import EXIT_FINDING, EXIT_TROUBLE, EXIT_WELL, Trouble

GRID_VERSION = 1
BLOCKS, ROUNDS_A_BLOCK = 8, 6
BASE = ("plan.json", "backends.json", "verdicts.json", "counts.json")


class Grid:
    """The folder of a grid."""

    def __init__(self, path):
        self.path = Path(path).resolve()
        self.folder = store.Folder(self.path)
        self.base = store.Folder(self.path / "base")

    def exists(self):
        return self.folder.exists("grid.json")

    def facts(self):
        """grid.json; Trouble if another version wrote it."""
        facts = self.folder.read_json("grid.json")
        if facts.get("grid_version") != GRID_VERSION:
            raise Trouble(f"{self.path}/grid.json: made by another version of heapgauge: start a new folder")
        return facts

    def done(self, number):
        return self.path / "tasks" / f"{number:04d}"

    def missing(self):
        """Numbers of the blocks that are not done."""
        return [n for n in range(1, self.facts()["blocks"] + 1) if not self.done(n).is_dir()]

    def log(self, number):
        """The last line that a block said where it ran; "" if it never said any."""
        lines = [line for path in sorted((self.path / "log").glob(f"{number:04d}.*"), key=os.path.getmtime)
                 for line in path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


def node_name():
    """This node, as its cluster calls it."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


# ---- one block, where it runs ----

def claim(grid, number):
    """(folder, its lock) of a block's work on this node: what an earlier try here left, or a new one."""
    attempt = f"{os.environ.get('SLURM_JOB_ID', 'local')}.{os.environ.get('SLURM_RESTART_COUNT', 0)}.{os.getpid()}"
    name = f"{number:04d}.{node_name()}"
    for path in (grid.path / "measuring" / one for one in (name, f"{name}.{attempt}")):
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".claim", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # an orphan of an earlier try still measures there
            lock.close()
            continue
        return store.Folder(path), lock
    raise Trouble(f"{grid.path}/measuring/{name}: other processes write here: end them")


def begin(grid, number, folder):
    """Gives a block its copy of the base, with an order and limits of its own."""
    if not all(folder.exists(name) for name in BASE):
        for name in BASE[1:]:
            folder.write_json(name, grid.base.read_json(name))
        plan = grid.base.read_json("plan.json")
        half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        plan.update(seed=plan["seed"] + number, memory_bytes=min(plan["memory_bytes"], half))
        folder.write_json("plan.json", plan)
    return folder.read_json("plan.json")


def require_same(folder, plan, program, known):
    """Trouble where this node would measure something else than what was planned."""
    where = f"node {node_name()}"
    if store.file_digest(program) != plan["program_sha256"]:
        raise Trouble(f"{where}: {program} is another program than the one that planned this: install the same everywhere")
    then = {b["name"]: b.get("sha256") for b in folder.read_json("backends.json")}
    for backend in compare.served_by(known, plan):
        if then.get(backend["name"]) != backend.get("sha256"):
            raise Trouble(f"{where}: {backend['name']} is another library here ({backend.get('path') or 'not found'}) than "
                          "where this was planned: install the same version everywhere, or leave it out")
    for workload in plan["workloads"]:
        if "sha256" in workload:
            try:
                same = store.file_digest(compare.runnable(workload["spec"])) == workload["sha256"]
            except OSError as error:
                raise Trouble(f"{where}: {store.explain(error, workload['spec'])}") from None
            if not same:
                raise Trouble(f"{where}: {workload['spec']} is not the trace this was planned with")


def run_block(grid, number, program):
    """Measures one block and puts it in its place."""
    if grid.done(number).is_dir():
        compare.say(f"block {number}: done already")
        return EXIT_WELL
    folder, claimed = claim(grid, number)
    folder.create()
    folder.lock()
    plan = begin(grid, number, folder)
    known = compare.learn(program, compare.known_backends(program), plan)
    require_same(folder, plan, program, known)
    out, counts = compare.excluded(folder.read_json("verdicts.json"), folder.read_json("counts.json"))
    before, rounds_before = machine.reading(), len(folder.read_rounds())
    rounds = compare.run_rounds(folder, plan, program, out, counts)
    compare.write_context(folder, program, known, plan, before, rounds_before, rounds,
                          node=node_name(), block=str(number), job=os.environ.get("SLURM_JOB_ID"),
                          restarts=os.environ.get("SLURM_RESTART_COUNT"))
    finish(grid, number, folder)
    claimed.close()
    return EXIT_WELL


def finish(grid, number, folder):
    """One rename: whole or not at all; of two that measured the same block the second is dropped."""
    grid.done(number).parent.mkdir(exist_ok=True)
    try:
        os.rename(folder.path, grid.done(number))
        compare.say(f"block {number}: done on {node_name()}")
    except OSError:
        if not grid.done(number).is_dir():
            raise
        shutil.rmtree(folder.path, ignore_errors=True)
        compare.say(f"block {number}: was done meanwhile by another try; this one is dropped")


# ---- the whole ----

def plan_new(grid, options, program):
    """Plans, asks the oracle, counts and calibrates here; writes grid.json last."""
    known = compare.known_backends(program)
    plan = compare.make_plan(options, program, known)
    plan["rounds"] = options.rounds or ROUNDS_A_BLOCK
    known = compare.learn(program, known, plan)
    grid.base.create()
    grid.base.lock()
    grid.base.write_json("plan.json", plan)
    grid.base.write_json("backends.json", compare.served_by(known, plan))
    compare.tell_left_out(plan)
    compare.prepare(grid.base, plan, program)
    grid.folder.write_json("grid.json", {"grid_version": GRID_VERSION, "blocks": options.blocks or BLOCKS,
                                         "created": plan["created"], "command": plan["command"], "jobs": []})


def resume(grid, options):
    """Takes over a larger --blocks; Trouble for anything that differs from what was planned."""
    plan = grid.base.read_json("plan.json")
    asked = {"workloads": (list(map(machine.portable, options.workloads)), [w["spec"] for w in plan["workloads"]]),
             "--rounds": (options.rounds, plan["rounds"]), "--seed": (options.seed, plan["seed"])}
    for name, (wanted, planned) in asked.items():
        if wanted and wanted != planned:
            raise Trouble(f"{grid.path}: {name} differs from the grid begun here ({planned}): leave it out to go on, or "
                          "start a new folder")
    if options.blocks:
        grid.folder.write_json("grid.json", {**grid.facts(), "blocks": options.blocks})


def set_aside_broken(grid):
    """Moves blocks that can't be read out of tasks/, so that they are measured again."""
    for path in sorted((grid.path / "tasks").glob("[0-9]*")):
        try:
            blocks.read(path)
        except Trouble as trouble:
            target = grid.path / "broken" / path.name
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(path, target)
            compare.say(f"block {int(path.name)}: unreadable, put into broken/ and measured again: {trouble}")


def publish(grid):
    """Reads all blocks, writes table.md and results.json; (text, findings)."""
    model = blocks.build(grid.path / "tasks", grid.base.read_json("plan.json"), grid.base.read_json("verdicts.json"),
                         grid.base.read_json("counts.json"), grid.base.read_json("backends.json"), grid.facts())
    text = blocks.table(model)
    store.write_atomic(grid.path / "table.md", text.encode())
    store.write_atomic(grid.path / "results.json", (json.dumps(model, indent=1, allow_nan=False) + "\n").encode())
    return text, model["findings"]


def main(options, program):
    """`heapgauge compare --engine=E`: plans, runs every block by the engine, collects."""
    from . import engines
    if not options.output:
        raise Trouble("--engine needs -o DIR, a folder that every node sees")
    for word in ("frag", "scaling", "fuzz"):
        if getattr(options, word):
            raise Trouble(f"--{word} is measured on one node: run it without --engine")
    hyperfine.require()
    report.require()
    engines.require(options.engine)
    grid = Grid(options.output)
    if grid.exists() and not options.resume:
        raise Trouble(f"{options.output}: holds a grid already: add --resume to go on with it, or choose another -o")
    if grid.base.exists() and not grid.exists():  # killed while planning
        shutil.rmtree(grid.base.path)
    if not grid.exists():
        if not options.workloads:
            raise Trouble(f"{options.output}: no grid to resume here")
        grid.path.mkdir(parents=True, exist_ok=True)
        plan_new(grid, options, program)
    else:
        resume(grid, options)
    grid.folder.lock()
    set_aside_broken(grid)
    engines.ENGINES[options.engine](grid, program, options)
    missing = grid.missing()
    if not any(grid.done(n).is_dir() for n in range(1, grid.facts()["blocks"] + 1)):
        raise Trouble(f"no block was measured; block {missing[0]} said: {grid.log(missing[0]) or 'nothing'}")
    text, findings = publish(grid)
    print(text)
    for number in missing:
        print(f"heapgauge compare: block {number} is missing: {grid.log(number) or 'it never ran'}", file=sys.stderr)
    if missing:
        print("heapgauge compare: --resume runs what is missing", file=sys.stderr)
        return EXIT_TROUBLE
    return EXIT_FINDING if findings else EXIT_WELL
