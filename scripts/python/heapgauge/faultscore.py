"""Does the fuzzer find what is broken? N trials of each planted fault, by the mutator and by purely random
bytes.

A trial is one campaign of `heapgauge fuzz` with a seed of its own, ended by its first finding or by its budget.
Found means: under an item that the fault is declared for; anything else is counted apart. Equivalent variants and
clean backends must stay silent. A trial whose budget ran out is censored: medians are Kaplan and Meier's, with the
interval of Brookmeyer and Crowley (survival.py).

Every trial is one line of DIR/trials.jsonl, written when it ends: a score that was interrupted goes on where it was.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import survival
from .errors import EXIT_FINDING, EXIT_TROUBLE, EXIT_WELL, Trouble

COLUMNS = ("name", "item", "found_as", "target", "needs", "ease", "what")
MODES = ("mutator", "random")
STREAM_TARGETS = ("layout", "libc", "threads", "environment")
BAR_CPU_S = {1: 10, 2: 10, 3: 10, 4: 60}
NEVER = "-"


def program():
    """The program under test: $HEAPGAUGE, or build/release of this tree."""
    found = os.environ.get("HEAPGAUGE") or str(
        Path(__file__).resolve().parents[3] / "build" / "release" / "bin" / "heapgauge")
    if not os.access(found, os.X_OK):
        raise Trouble(f"{found} is not there; build it with: cmake --workflow --preset release")
    return found


def list_faults(heapgauge):
    """The table of planted faults, as dictionaries."""
    text = subprocess.run([heapgauge, "fuzz", "--faults"], capture_output=True, text=True, check=True).stdout
    return [dict(zip(COLUMNS, line.split("\t"))) for line in text.splitlines()]


def campaign(heapgauge, words):
    """One `heapgauge fuzz` with one cell. Returns the cell of its JSON."""
    with tempfile.TemporaryDirectory(prefix="hg-score-") as folder:
        out = Path(folder) / "out.json"
        command = [heapgauge, "fuzz", *words, "--no-reduce", f"--json={out}", "-o", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in (EXIT_WELL, EXIT_FINDING):
            raise Trouble(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return json.loads(out.read_text())["cells"][0]


def is_declared(fault, item):
    """Is `item` one of those that a finding of the fault may be of?"""
    return item in fault["found_as"].split(",")


def run_trial(heapgauge, fault, seed, options):
    """One campaign against one fault. Returns what was found first, or None."""
    words = [f"--backend=fault-{fault['name']}:{options.inner}", f"--target={fault['target']}",
             f"--time={options.time}", f"--seed={seed}"]
    if fault["needs"] == "strict":
        words.append("--strict")
    if options.random:
        words.append("--random")
    if options.oracle_fault:
        words.append(f"--oracle-fault={options.oracle_fault}")
    if options.mute:
        words.append(f"--mute={fault['found_as']}")
    cell = campaign(heapgauge, words)
    finding = cell["findings"][0] if cell["findings"] else None
    return {"found": finding["item"] if finding else None,
            "inputs": finding["inputs_to_exposure"] if finding else cell["inputs"],
            "operations": finding["operations_to_exposure"] if finding else cell["operations"],
            "cpu_s": finding["cpu_seconds_to_exposure"] if finding else cell["cpu_seconds"],
            "text": finding["text"] if finding else ""}


def run_clean(heapgauge, backend, target, operations, seed):
    """Plays about so many operations on a backend that should have no fault. Returns a line of the book."""
    seen = {"operations": 0, "inputs": 0, "cpu_s": 0.0, "found": None, "text": ""}
    while seen["operations"] < operations and not seen["found"]:
        cell = campaign(heapgauge, [f"--backend={backend}", f"--target={target}", "--time=20", f"--seed={seed}"])
        for key, name in (("operations", "operations"), ("inputs", "inputs"), ("cpu_s", "cpu_seconds")):
            seen[key] += cell[name]
        if cell["findings"]:
            seen["found"], seen["text"] = cell["findings"][0]["item"], cell["findings"][0]["text"]
        seed += 1
    return {"clean": backend, "target": target, **seen}


class Book:
    """The lines of DIR/trials.jsonl: what is done already, and what is added."""

    def __init__(self, folder, heapgauge, options):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "trials.jsonl"
        self.lock = threading.Lock()
        digest = hashlib.sha256(Path(heapgauge).read_bytes()).hexdigest()
        self.head = {"program_sha256": digest, "inner": options.inner, "budget_s": options.time,
                     "random_budget_s": options.random_time}
        self.lines = self._read() if self.path.exists() else []
        if not self.lines:
            self._append({"head": self.head})
        elif not options.table and self.lines[0].get("head") != self.head:
            raise Trouble(f"{self.path} is of another build or budget; remove it or give another -o")

    def _read(self):
        """A last line that was cut by a kill is dropped, in the file too."""
        text = self.path.read_text()
        whole = text[:text.rfind("\n") + 1]
        if whole != text:
            self.path.write_text(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _append(self, line):
        with self.lock, self.path.open("a") as out:
            out.write(json.dumps(line) + "\n")
            self.lines.append(line)

    def add(self, line):
        self._append(line)

    def done(self):
        return {(line["mode"], line["fault"], line["seed"]) for line in self.lines if "fault" in line}

    def cleaned(self):
        return {(line["clean"], line["target"]) for line in self.lines if "clean" in line}

    def trials(self, mode, fault):
        """Of a fault in a mode; whether they found it as it is declared today."""
        chosen = [{**line, "as_declared": is_declared(fault, line["found"])} for line in self.lines
                  if line.get("mode") == mode and line.get("fault") == fault["name"]]
        return sorted(chosen, key=lambda line: line["seed"])


def summarize(fault, trials):
    """One row of the table."""
    hits = [trial["as_declared"] for trial in trials]
    row = {"fault": fault["name"], "item": fault["item"], "ease": int(fault["ease"]), "trials": len(trials),
           "found": sum(hits), "other": sum(bool(trial["found"]) for trial in trials) - sum(hits),
           "operations": sum(trial["operations"] for trial in trials), "items": {}}
    for trial in trials:
        if trial["found"]:
            row["items"][trial["found"]] = row["items"].get(trial["found"], 0) + 1
    for name in ("cpu_s", "inputs"):
        middle, low, high = survival.median([trial[name] for trial in trials], hits)
        row[name] = {"median": middle, "low": low, "high": high}
    return row


def is_as_owed(row):
    """Every trial of a fault finds it, under a declared item, within the bar; none of an equivalent's anything."""
    if row["ease"] == 0:
        return row["found"] + row["other"] == 0
    median = row["cpu_s"]["median"]
    return row["found"] == row["trials"] and median is not None and median <= BAR_CPU_S[row["ease"]]


def number(value, form):
    return NEVER if value is None else format(value, form)


def table(report):
    """The report as Markdown."""
    lines = ["| fault | item | ease | mutator found | by check | median executions | median CPU s [95 %] "
             "| random found | median CPU s | A12 |", "|:--|:--|--:|--:|:--|--:|--:|--:|--:|--:|"]
    random = {row["fault"]: row for row in report["random"]}
    for row in report["mutator"]:
        other, time = random.get(row["fault"]), row["cpu_s"]
        items = ", ".join(f"{item} {count}" for item, count in sorted(row["items"].items())) or NEVER
        span = f"{number(time['median'], '.2f')} [{number(time['low'], '.2f')}, {number(time['high'], '.2f')}]"
        rest = [f"{other['found']}/{other['trials']}", number(other["cpu_s"]["median"], ".2f"),
                number(other["a12"], ".2f")] if other else [NEVER] * 3
        lines.append(f"| {row['fault']} | {row['item']} | {row['ease'] or 'equivalent'} | "
                     f"{row['found']}/{row['trials']} | {items} | {number(row['inputs']['median'], '.0f')} | {span} | "
                     f"{' | '.join(rest)} |{'' if is_as_owed(row) else ' **not as owed**'}")
    for line in report["clean"]:
        lines.append(f"| {line['clean']}, {line['target']} | - | clean | {line['found'] or 'silent'} | - | "
                     f"{line['inputs']} | {line['operations'] / 1e6:.1f} million operations | - | - | - |")
    return "\n".join(lines) + "\n"


def make_report(book, faults):
    """What the book says, as of now: rows of both modes, clean backends."""
    report = {"head": book.lines[0]["head"], "mutator": [], "random": [],
              "clean": [line for line in book.lines if "clean" in line]}
    for mode in MODES:
        for fault in faults:
            trials = book.trials(mode, fault)
            if trials:
                report[mode].append(summarize(fault, trials))
    named = {fault["name"]: fault for fault in faults}
    for row in report["random"]:
        both = [book.trials(mode, named[row["fault"]]) for mode in MODES]
        row["a12"] = None
        if all(both) and row["ease"]:
            sides = [[[trial[key] for trial in trials] for key in ("cpu_s", "as_declared")] for trials in both]
            row["a12"] = survival.superiority(*sides[0], *sides[1])
    return report


def perform(book, heapgauge, faults, options):
    """The trials that are not in the book yet: first trial of all faults, second of all ..."""
    done, cleaned = book.done(), book.cleaned()

    def trial(job):
        mode, fault, seed = job
        budget = options.equivalent_time if fault["ease"] == "0" else \
            options.random_time if mode == "random" else options.time
        values = argparse.Namespace(**{**vars(options), "random": mode == "random", "time": budget})
        book.add({"mode": mode, "fault": fault["name"], "seed": seed,
                  **run_trial(heapgauge, fault, seed, values)})

    jobs = [(mode, fault, options.seed + i) for mode in options.modes for i in range(options.trials)
            for fault in faults if not (mode == "random" and fault["ease"] == "0")]
    clean = [(backend, target) for backend in options.clean.split(",") if backend for target in STREAM_TARGETS]
    share = options.clean_operations / len(STREAM_TARGETS)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(trial, [job for job in jobs if (job[0], job[1]["name"], job[2]) not in done]))
        list(pool.map(lambda job: book.add(run_clean(heapgauge, *job, share, options.seed)),
                      [job for job in clean if job not in cleaned]))


def parse(argv):
    parser = argparse.ArgumentParser(prog="fault-score", description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", help="names of faults (all)")
    parser.add_argument("-o", dest="folder", default="build/fault-score", help="where the book and the table go")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--time", type=float, default=60, help="budget of a trial by the mutator, seconds (60)")
    parser.add_argument("--random-time", type=float, default=10, help="the same for random bytes (10)")
    parser.add_argument("--equivalent-time", type=float, default=2, help="the same for equivalent variants (2)")
    parser.add_argument("--modes", default=",".join(MODES), help="mutator, random, or both (both)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time (2)")
    parser.add_argument("--inner", default="core", help="the backend that is made faulty (core)")
    parser.add_argument("--clean", default="system", help="backends that must stay silent (system)")
    parser.add_argument("--clean-operations", type=float, default=10e6, help="operations played on each (10e6)")
    parser.add_argument("--table", action="store_true", help="run nothing: only the table of what is in the book")
    options = parser.parse_args(argv)
    options.modes = options.modes.split(",")
    options.random, options.oracle_fault, options.mute = False, "", False
    return options


def main(argv):
    """Exit status: 0 all as owed, 1 a fault survived or something sound was accused, 2 usage."""
    options = parse(argv)
    heapgauge = program()
    known = list_faults(heapgauge)
    unknown = set(options.faults) - {fault["name"] for fault in known} | set(options.modes) - set(MODES)
    if unknown:
        print(f"heapgauge faultscore: unknown: {', '.join(sorted(unknown))}", file=sys.stderr)
        return EXIT_TROUBLE
    chosen = [fault for fault in known if not options.faults or fault["name"] in options.faults]
    folder = Path(options.folder)
    book = Book(folder, heapgauge, options)
    if not options.table:
        perform(book, heapgauge, chosen, options)
    report = make_report(book, known if options.table else chosen)
    (folder / "score.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "table.md").write_text(table(report))
    print(table(report), end="")
    good = all(is_as_owed(row) for row in report["mutator"]) and not any(line["found"] for line in report["clean"])
    return EXIT_WELL if good else EXIT_FINDING
