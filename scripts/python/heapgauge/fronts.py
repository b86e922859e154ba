"""`heapgauge frag --fronts`: speed against memory over the settings of an allocator, instead of its default alone.

For each setting: time on a churn of up to 64 KiB, relative to the backend's default (all settings in lock-step, a process
each; median of rounds with its exact interval), and from `heapgauge frag`: overhead of an aging server (rss / live), and
what is still resident a second after a peak was freed. A setting is on the front, *, unless another one of the same backend
is at least as fast and keeps at most as much, and better in one of the two.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from . import hyperfine, machine, scaling, stats, store
from .errors import EXIT_FINDING, EXIT_WELL, Parser, Trouble

FRONTS_VERSION = 1
WORKLOAD = "churn/live:10000/size_max:65536"
ROUNDS = 8
ADVERSARY_AGING, ADVERSARY_DRAIN, KEPT_AFTER_S = "aging", "peak-drain", 1
SETTINGS = {
    "core": ("",),
    "system": ("", "arena_max=1", "tcache_count=0", "mmap_threshold=32768", "trim_threshold=0:top_pad=0",
               "mmap_threshold=33554432:trim_threshold=1073741824"),
    "jemalloc": ("", "dirty_decay_ms=0", "dirty_decay_ms=1000", "dirty_decay_ms=-1", "background_thread=true", "narenas=1",
                 "tcache=false"),
    "mimalloc": ("", "decommit_delay=0", "decommit_delay=500", "allow_decommit=0", "eager_commit=0", "page_reset=1"),
    "tcmalloc": ("", "release_rate=0", "release_rate=10", "aggressive_decommit=1", "max_total_thread_cache_bytes=1048576"),
}


def parse(argv):
    """The command line."""
    parser = Parser(prog="heapgauge frag --fronts", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Exit status: 0 all measured, 1 one failed, 2 usage or environment.")
    parser.add_argument("--backend", default="all", metavar="A,B|all",
                        help="allocators, each with the settings known for it (all); A:TUNABLE=VALUE adds a setting of its own")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of timing (default {ROUNDS}; 6 at least for intervals)")
    parser.add_argument("--live", default="64M", metavar="BYTES", help="what an adversary may hold (64M)")
    parser.add_argument("--json", metavar="FILE", help="all of it (-: standard output, no table)")
    return parser.parse_args(argv)


def families(wanted, known):
    """backend -> its specs, the default first. Trouble for one that is not here."""
    names = [n for n in known if n in SETTINGS and known[n]["available"]] if wanted == "all" else wanted.split(",")
    found = {}
    for word in names:
        name, _, settings = word.partition(":")
        if name not in known:
            raise Trouble(f"{name}: unknown backend; known: {', '.join(known)}")
        if not known[name]["available"]:
            raise Trouble(f"{name} is not available: {known[name]['why']}")
        specs = found.setdefault(name, [f"{name}:{s}".rstrip(":") for s in SETTINGS.get(name, ("",))])
        if settings and word not in specs:
            specs.append(word)
    return found


def timed(program, specs, rounds, cpu, scratch, troubles):
    """spec -> time ratios to the first, one a round."""
    ratios = {spec: [] for spec in specs}
    for number in range(1, rounds + 1):
        cells = scaling.in_lockstep(program, WORKLOAD, specs, number, cpu, scratch)
        base = cells[specs[0]]
        for spec, cell in cells.items():
            if cell["status"] == "ok" == base["status"]:
                ratios[spec].append(cell["seconds"] / base["seconds"])
            else:
                troubles.append(f"{WORKLOAD} on {spec}: {cell['status']}: {cell.get('detail', '')}")
    return ratios


def wasted(program, spec, live, scratch):
    """(overhead of the aging server, resident bytes a second after the peak was freed, what went wrong)."""
    path = Path(scratch) / "frag.json"
    path.unlink(missing_ok=True)
    code, said = hyperfine.run_one([program, "frag", f"--backend={spec}", f"--adversary={ADVERSARY_AGING},{ADVERSARY_DRAIN}",
                                    f"--live={live}", f"--retention={KEPT_AFTER_S}", f"--json={path}"], 600)
    try:
        runs = {run["adversary"]: run for run in store.parse_json(path.read_text())["runs"]}
        kept = next(r["rss_bytes"] for r in runs[ADVERSARY_DRAIN]["retention"] if r["after_s"] == KEPT_AFTER_S)
        return runs[ADVERSARY_AGING]["overhead"], kept, None
    except (OSError, ValueError, KeyError, StopIteration):
        return None, None, f"frag on {spec}: exit status {code}: {said}"


def on_front(rows):
    """Marks those of one backend's rows that no other one beats."""
    def beats(a, b):
        mine, theirs = (a["time"]["value"], a["kept_bytes"]), (b["time"]["value"], b["kept_bytes"])
        return mine != theirs and all(x <= y for x, y in zip(mine, theirs))
    whole = [r for r in rows if r["time"] and r["kept_bytes"] is not None]
    for row in rows:
        row["on_front"] = row in whole and not any(beats(other, row) for other in whole)


def measure(program, options, known):
    """(rows, troubles)"""
    rows, troubles, cpu = [], [], max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as scratch:
        for name, specs in families(options.backend, known).items():
            print(f"{name}: {len(specs)} settings", file=sys.stderr, flush=True)
            ratios, mine = timed(program, specs, options.rounds, cpu, scratch, troubles), []
            for spec in specs:
                overhead, kept, trouble = wasted(program, spec, options.live, scratch)
                if trouble:
                    troubles.append(trouble)
                estimate = stats.median_estimate(ratios[spec]) if ratios[spec] else None
                mine.append({"backend": name, "spec": spec, "overhead": overhead, "kept_bytes": kept,
                             "time": estimate and {"value": estimate.value, "low": estimate.low, "high": estimate.high,
                                                   "rounds": estimate.count}})
            on_front(mine)
            rows += mine
    return rows, list(dict.fromkeys(troubles))


def print_table(rows, out):
    """A row a setting."""
    print(f"time on {WORKLOAD} / the backend's default; {ADVERSARY_AGING}: rss / live; kept: MiB a second after "
          f"{ADVERSARY_DRAIN}; *: on the front", file=out)
    print(f"  {'setting':58} {'time':>24} {ADVERSARY_AGING:>7} {'kept':>8}", file=out)
    for r in rows:
        time = scaling.text_of(r["time"]["value"], r["time"]["low"], r["time"]["high"], 3) if r["time"] else "-"
        overhead = f"{r['overhead']:.2f}" if r["overhead"] is not None else "-"
        kept = f"{r['kept_bytes'] / (1 << 20):.1f}" if r["kept_bytes"] is not None else "-"
        print(f"{'*' if r['on_front'] else ' '} {r['spec']:58} {time:>24} {overhead:>7} {kept:>8}", file=out)


def main(argv):
    """Runs `heapgauge frag --fronts` and returns its exit status."""
    from . import compare  # knows the program and its backends
    options = parse(argv)
    program = compare.program_path()
    rows, troubles = measure(program, options, compare.known_backends(program))
    if options.json != "-":
        print_table(rows, sys.stdout)
    for trouble in troubles:
        print(f"heapgauge frag: {trouble}", file=sys.stderr)
    if options.json:
        text = json.dumps({"fronts_version": FRONTS_VERSION, "created": machine.now(), "workload": WORKLOAD,
                           "rows": rows, "troubles": troubles}, indent=1, allow_nan=False) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            store.write_atomic(Path(options.json), text.encode())
    return EXIT_FINDING if troubles else EXIT_WELL
