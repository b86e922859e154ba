"""What is measured and in which order.

An *entry* is a column of the experiment: a backend, the baseline's second run (A/A), or the null
backend. A *cell* is a workload on an entry. A round runs every cell in several turns, each in a fresh
process, and takes its fastest: what a machine does to a run only ever makes it slower. Traces and benchmarks of
one thread run in lock-step: all entries at a time, in slices that take turns (hyperfine.py, settle_slices).
"""

import random
import re

CONTROL_MARK = "#aa"  # the baseline, run twice: system#aa
HARNESS = "null"
TRACE_SUFFIX = ".hgt"
SEEDED = "seeded stream"  # random operations, on which the oracle hears every backend


def entries(backends, baseline):
    """The experiment's columns: baseline, its control, the other backends, the null backend."""
    others = [b for b in backends if b not in (baseline, HARNESS)]
    return (
        [{"name": backend_label(baseline), "backend": baseline, "role": "baseline"},
         {"name": backend_label(baseline) + CONTROL_MARK, "backend": baseline, "role": "control"}]
        + [{"name": backend_label(b), "backend": b, "role": "backend"} for b in others]
        + [{"name": HARNESS, "backend": HARNESS, "role": "harness"}]
    )


def backend_label(spec):
    """The short name of a backend: its own, or of a library its file name without lib and .so."""
    if "/" not in spec and not re.search(r"\.so(\.|$)", spec):
        return spec
    stem = spec.rsplit("/", 1)[-1]
    return re.sub(r"\.so(\.[0-9.]+)?$", "", stem).removeprefix("lib") or stem


def is_trace(spec):
    """True for a trace's path, False for the name of a benchmark."""
    return spec.endswith(TRACE_SUFFIX)


def workload_class(spec):
    """What kinds of workload may share a mean: "trace", "threaded" or "micro"."""
    if is_trace(spec):
        return "trace"
    threads = re.search(r"/threads:(\d+)", spec)
    return "threaded" if threads and int(threads[1]) > 1 else "micro"


def workload_label(spec):
    """The short name of a workload: a trace's file name without .hgt, or the benchmark's name."""
    return spec.rsplit("/", 1)[-1].removesuffix(TRACE_SUFFIX) if is_trace(spec) else spec


def latin_rows(count, rng):
    """A random Latin square: `count` orders of 0..count-1, each item once in each place.

    The cyclic square with its rows, columns and symbols shuffled. Shuffled columns also vary who
    follows whom, which a plain cyclic square never does.
    """
    rows, columns, symbols = (rng.sample(range(count), count) for _ in range(3))
    return [[symbols[(r + c) % count] for c in columns] for r in rows]


def order_in_round(names, number, seed, purpose):
    """The order of `names` in round `number` (from 1). Each len(names) rounds are a Latin square."""
    block, row = divmod(number - 1, len(names))
    rng = random.Random(f"{seed}/{purpose}/{block}")
    return [names[i] for i in latin_rows(len(names), rng)[row]]


def round_order(workloads, entry_names, number, seed, turns=None):
    """All cells of a round as (workload, entry) in the order they run.

    A workload's cells stand together, so that what is compared is close in time: every entry in turn, as
    often as `turns` says (workload -> count; once where it says nothing). Workloads and, within each turn,
    entries follow a Latin square of their own.
    """
    cells = []
    for workload in order_in_round(workloads, number, seed, "workloads"):
        count = (turns or {}).get(workload, 1)
        for turn in range((number - 1) * count + 1, number * count + 1):
            cells += [(workload, entry) for entry in order_in_round(entry_names, turn, seed, workload)]
    return cells
