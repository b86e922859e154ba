"""`heapgauge bench --scaling`: cost per operation against threads, live blocks and live bytes, with fitted exponents.

    blocks    churn of small blocks (16 to 128 bytes) in a live set of 100 to 10 million of them
    bytes     churn of 1000 blocks whose sizes go up to 64 bytes .. 1 MiB
    threads   churn on 1 .. 2P threads, each with a live set of its own, on P processors

Every point of a curve is measured once a round, all backends in lock-step (threads: in turn), each in a process of its own.
An exponent is the slope of log(time) over log(x), fitted in each round by itself: told are the median of the rounds and its
exact interval. 0: the cost does not grow; 1: it grows as x does. On threads it is that of all operations per second,
up to as many threads as processors: 1 is what one would like, 0 no gain. Beyond, points are marked oversubscribed.
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from . import hyperfine, machine, stats, store
from .errors import EXIT_FINDING, EXIT_WELL, Parser, Trouble
from .plan import HARNESS, backend_label

CURVES_VERSION = 1
ROUNDS, ROUNDS_QUICK = 7, 6  # 6 are the fewest for an interval of 95 %
ITERATIONS, SLICES = 400_000, 40
TIMEOUT_S = 120.0
MEMORY_BYTES_BLOCK = 150  # of a live block of the curve of blocks, at most


def parse(argv):
    """The command line."""
    from . import compare  # not at the top: it knows us
    parser = Parser(prog="heapgauge bench --scaling", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all points measured, 1 one failed, 2 usage or environment.")
    parser.add_argument("--backend", default="core,system", metavar="A,B|all", help="allocators (core,system)")
    parser.add_argument("--rounds", type=compare.positive, default=None, help=f"default {ROUNDS}; --quick {ROUNDS_QUICK}")
    parser.add_argument("--quick", action="store_true", help="up to 100 thousand blocks instead of 10 million")
    parser.add_argument("--only", choices=("blocks", "bytes", "threads"), action="append", help="may be repeated")
    parser.add_argument("--json", metavar="FILE", help="all of it (results/schema/scaling.schema.json; -: standard output)")
    return parser.parse_args(argv)


def axes(quick, processors):
    """name -> (x values, workload of an x, label, unit)."""
    decades = range(2, 6 if quick else 8)
    return {
        "blocks": ([10**d for d in decades], "scaling_blocks/live:{}/size_max:128", "live blocks", "blocks"),
        "bytes": ([4**p for p in range(3, 9 if quick else 11)], "scaling_bytes/live:1000/size_max:{}", "largest block", "bytes"),
        "threads": (list(range(1, min(16, max(4, 2 * processors)) + 1)),
                    "scaling_threads/live:1000/size_max:1024/real_time/threads:{}", "threads", "threads"),
    }


def memory_bytes():
    """Of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# ---- one point in one round ----

def in_lockstep(program, workload, backends, seed, cpu, scratch):
    """backend -> cell, of one run of all."""
    folder = Path(scratch) / "cells"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    command = [program, "lockstep", workload, f"--ops={ITERATIONS}", f"--slices={SLICES}", f"--seed={seed}", f"--cpu={cpu}",
               f"--timeout={TIMEOUT_S:g}", f"--json={folder}", *backends]
    code, said = hyperfine.run_one(command, 3 * TIMEOUT_S)
    found = {}
    for index, backend in enumerate(backends):
        cell, problem = hyperfine.read_cell(folder / f"{index}.json")
        found[backend] = cell or {"status": "error", "detail": f"{problem}, exit status {code}: {said}"}
    results = [{"workload": workload, "entry": b, "is_reference": i == 0, "cell": found[b]} for i, b in enumerate(backends)]
    hyperfine.settle_slices(results)
    return found


def one_by_one(program, workload, backends, rng, turns=3):
    """backend -> its fastest cell of a few, in turn."""
    found = {}
    for _ in range(turns):
        for backend in rng.sample(backends, len(backends)):
            cell = hyperfine.measure(program, workload, backend, ITERATIONS, TIMEOUT_S, memory_bytes() // 2)
            best = found.get(backend)
            if best is None or cell["status"] != "ok" or (best["status"] == "ok" and cell["seconds"] < best["seconds"]):
                found[backend] = cell
    return found


def cost_ns(name, cell, x, processors):
    """ns of processor time that an operation takes: of all threads together, as many as there are processors."""
    busy = min(x, processors) if name == "threads" else 1
    return cell["seconds"] * 1e9 * busy / cell["operations_counted"]


# ---- curves ----

def slope(xs, ys):
    """Of log y over log x, by least squares; None for fewer than two points."""
    if len(xs) < 2:
        return None
    log_x, log_y = [math.log(x) for x in xs], [math.log(y) for y in ys]
    return statistics.linear_regression(log_x, log_y).slope


def fit(name, table, processors):
    """The exponent of a curve; `table`: x -> {round: ns}. None for fewer than two points in every round."""
    used = [x for x in sorted(table) if name != "threads" or x <= processors]
    rounds = set.intersection(*(set(table[x]) for x in used)) if used else set()
    slopes = []
    for number in rounds:
        ys = [table[x][number] for x in used]
        if name == "threads":  # operations per second of all threads
            ys = [x / y for x, y in zip(used, ys)]
        slopes.append(slope(used, ys))
    if not slopes or None in slopes:
        return None
    estimate = stats.median_estimate(slopes)
    return {"of": "throughput" if name == "threads" else "time", "exponent": estimate.value, "low": estimate.low,
            "high": estimate.high, "rounds": estimate.count, "x_low": used[0], "x_high": used[-1]}


def curve(name, axis, backend, table, processors):
    """A curve of one backend, as stored."""
    xs, workload, label, unit = axis
    points = []
    for x in xs:
        values = list(table.get(x, {}).values())
        if not values:
            continue
        estimate = stats.median_estimate(values)
        points.append({"x": x, "ns_per_op": estimate.value, "low": estimate.low, "high": estimate.high,
                       "rounds": estimate.count, "oversubscribed": name == "threads" and x > processors})
    return {"name": name, "backend": backend_label(backend), "role": "harness" if backend == HARNESS else "backend",
            "workload": workload, "x_label": label, "x_unit": unit, "points": points,
            "fit": fit(name, {x: table[x] for x in xs if table.get(x)}, processors)}


def measure(program, options, backends, processors, say):
    """(all curves, what failed)."""
    tables, troubles = {}, []
    rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    chosen = {n: a for n, a in axes(options.quick, processors).items() if not options.only or n in options.only}
    rng, cpu = random.Random(1), max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as scratch:
        for number in range(1, rounds + 1):
            for name, (xs, workload, _, _) in chosen.items():
                for x in rng.sample(xs, len(xs)):
                    if name == "blocks" and x * MEMORY_BYTES_BLOCK * len(backends) > memory_bytes() // 2:
                        troubles.append(f"{x} blocks: not enough memory for all backends at a time")
                        continue
                    cells = one_by_one(program, workload.format(x), backends, rng) if name == "threads" else \
                        in_lockstep(program, workload.format(x), backends, number, cpu, scratch)
                    for backend, cell in cells.items():
                        if cell["status"] == "ok":
                            table = tables.setdefault((name, backend), {}).setdefault(x, {})
                            table[number] = cost_ns(name, cell, x, processors)
                        else:
                            troubles.append(f"{workload.format(x)} on {backend}: {cell['status']}: {cell.get('detail', '')}")
            say(f"round {number}/{rounds}")
    return [curve(n, a, b, tables.get((n, b), {}), processors) for n, a in chosen.items() for b in backends], \
        list(dict.fromkeys(troubles)), rounds


def tell(program, backends, options, say):
    """All of it, as results/schema/scaling.schema.json has it; the null backend beside those asked for."""
    processors = len(os.sched_getaffinity(0))
    curves, troubles, rounds = measure(program, options, [*backends, HARNESS], processors, say)
    return {"scaling_version": CURVES_VERSION, "created": machine.now(), "processors": processors, "rounds": rounds,
            "context": machine.facts(program, machine.REPOSITORY), "curves": curves, "troubles": troubles}


def text_of(value, low, high, digits):
    """"1.23 [1.20, 1.26]"."""
    around = f" [{low:.{digits}f}, {high:.{digits}f}]" if low is not None else ""
    return f"{value:.{digits}f}{around}"


def print_tables(curves, processors, out):
    """One table a curve's name: a row an x, a column a backend."""
    for name in dict.fromkeys(c["name"] for c in curves):
        mine = [c for c in curves if c["name"] == name]
        print(f"\n{mine[0]['x_label']}: ns of processor time per operation, median of rounds with its exact 95% interval", file=out)
        print(f"{mine[0]['x_unit']:>12} " + "".join(f"{c['backend']:>28}" for c in mine), file=out)
        for x in sorted({p["x"] for c in mine for p in c["points"]}):
            row = []
            for c in mine:
                p = next((p for p in c["points"] if p["x"] == x), None)
                row.append(text_of(p["ns_per_op"], p["low"], p["high"], 2) if p else "-")
            more = "  oversubscribed" if name == "threads" and x > processors else ""
            print(f"{x:>12} " + "".join(f"{cell:>28}" for cell in row) + more, file=out)
        fits = [text_of(c["fit"]["exponent"], c["fit"]["low"], c["fit"]["high"], 3) if c["fit"] else "-" for c in mine]
        print(f"{'exponent':>12} " + "".join(f"{f:>28}" for f in fits), file=out)


def main(argv):
    """Runs `heapgauge bench --scaling` and returns its exit status."""
    from . import compare
    options = parse(argv)
    program = compare.program_path()
    known = compare.known_backends(program)
    wanted = [n for n in known if known[n]["available"]] if options.backend == "all" else options.backend.split(",")
    backends, missing = compare.choose_backends(",".join(wanted), wanted[0], known)
    for left_out in missing:
        raise Trouble(f"{left_out['name']} is not available: {left_out['why']}")
    told = tell(program, backends, options, lambda text: print(text, file=sys.stderr, flush=True))
    if options.json != "-":
        print_tables(told["curves"], told["processors"], sys.stdout)
    for trouble in told["troubles"]:
        print(f"heapgauge bench: {trouble}", file=sys.stderr)
    if options.json:
        text = json.dumps(told, indent=1, allow_nan=False) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            store.write_atomic(Path(options.json), text.encode())
    return EXIT_FINDING if told["troubles"] else EXIT_WELL
