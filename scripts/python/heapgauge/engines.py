"""What runs the blocks of a grid: this machine, one after the other, or Slurm, as a job array."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time

from . import grid as grids
from .compare import say
from .errors import Trouble

ATTEMPTS = 3  # how often a block that failed is submitted again
POLL_S = 2.0


# ---- this machine ----

def local(grid, program, _options):
    """One block after the other, never two at a time: they would disturb each other."""
    for number in grid.missing():
        grids.run_block(grid, number, program)


# ---- Slurm ----

SCRIPT = """#!/bin/sh
#SBATCH --job-name=heapgauge
#SBATCH --exclusive
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir={folder}
#SBATCH --output={log}
# One element of the array is one block: rounds of all cells on one node. It may be killed, requeued or run twice.
export HEAPGAUGE={program} PYTHONPATH={python}
exec {interpreter} -m heapgauge compare --block="$SLURM_ARRAY_TASK_ID" -o {grid}
"""


def slurm(*words):
    """The output of a command of Slurm's; Trouble in its own words if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    except FileNotFoundError:
        raise Trouble(f"{words[0]} is missing: apt-get install slurm-client, or --engine=local") from None
    except subprocess.TimeoutExpired:
        raise Trouble(f"{words[0]} did not answer within 120 s: is the controller running (scontrol ping)?") from None
    if done.returncode:
        raise Trouble(f"{words[0]}: {' '.join(done.stderr.split()) or f'exit status {done.returncode}'}")
    return done.stdout


def require(engine):
    """Trouble unless the engine can be had, before anything is measured."""
    if engine == "slurm":
        if not shutil.which("sbatch"):
            raise Trouble("sbatch is missing: apt-get install slurm-client, or --engine=local")
        try:
            slurm("squeue", "--noheader", "--name=heapgauge")
        except Trouble as trouble:
            raise Trouble(f"no Slurm answers here ({str(trouble)[:160]}): is SLURM_CONF set, and the controller up "
                          "(scontrol ping)? Or use --engine=local") from None


def ranges(numbers):
    """[1, 2, 3, 7] as 1-3,7."""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in found)


def write_script(grid, program):
    """The batch script, kept in the grid's folder: what ran can be read, and run by hand."""
    (grid.path / "log").mkdir(exist_ok=True)
    path = grid.path / "batch.sh"
    # %4a: the block, %A: the job.
    path.write_text(SCRIPT.format(
        folder=shlex.quote(os.getcwd()), log=shlex.quote(str(grid.path / "log/%4a.%A")), program=shlex.quote(program),
        python=shlex.quote(os.environ.get("PYTHONPATH", "")), interpreter=shlex.quote(sys.executable),
        grid=shlex.quote(str(grid.path))))
    return path


def submit(grid, program, numbers, extra):
    """Submits the blocks as one array and writes its number down before anything else."""
    limit = re.search(r"^MaxArraySize\s*=\s*(\d+)", slurm("scontrol", "show", "config"), re.M)
    if limit and max(numbers) >= int(limit[1]):
        raise Trouble(f"this Slurm's arrays end at {int(limit[1]) - 1}: ask for fewer --blocks of more --rounds, or "
                      "have MaxArraySize raised")
    said = slurm("sbatch", "--parsable", f"--array={ranges(numbers)}", *shlex.split(extra or ""),
                 str(write_script(grid, program)))
    job = said.strip().split(";")[0]
    grid.folder.write_json("grid.json", {**grid.facts(), "jobs": [*grid.facts()["jobs"],
                                                                 {"job": job, "blocks": ranges(numbers)}]})
    say(f"slurm    job {job}: blocks {ranges(numbers)}")


def queued(grid):
    """block -> (state, reason) of what our jobs still have in the queue."""
    jobs = {j["job"] for j in grid.facts()["jobs"]}
    found = {}
    for line in slurm("squeue", "--noheader", "--array", "--format=%F|%K|%T|%r", f"--user={os.environ.get('USER') or os.getuid()}",
                      "--name=heapgauge").splitlines():
        job, block, state, reason = line.split("|", 3)
        if job in jobs and block.isdigit():
            found[int(block)] = (state, reason)
    return found


def wait(grid):
    """Returns when the queue holds none of our blocks that is still to be done."""
    told = None
    while True:
        missing = grid.missing()
        there = {n: state for n, state in queued(grid).items() if n in missing}
        counts = {}
        for state, reason in there.values():
            word = state.lower() if reason in ("None", "Resources", "Priority") else f"{state.lower()} ({reason})"
            counts[word] = counts.get(word, 0) + 1
        line = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        line = f"slurm    {grid.facts()['blocks'] - len(missing)} of {grid.facts()['blocks']} blocks done" + \
            (f", {line}" if line else "")
        if line != told:
            say(line)
            told = line
        if not there:
            return
        time.sleep(POLL_S)


def run_slurm(grid, program, options):
    """Submits what is missing and not in the queue, waits, and submits again what failed."""
    for _ in range(ATTEMPTS):
        there = queued(grid)
        missing = [n for n in grid.missing() if n not in there]
        if missing:
            submit(grid, program, missing, options.batch_options)
        elif not there:
            return
        wait(grid)


ENGINES = {"local": local, "slurm": run_slurm}
