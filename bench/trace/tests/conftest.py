"""What the tests of the trace commands share: heapgauge itself, traces as text, live bytes by hand."""

import os
import re
import subprocess

import pytest

HEAPGAUGE = os.environ.get("HEAPGAUGE_TEST", "build/release/bin/heapgauge")
STEPS = os.environ.get("HEAPGAUGE_TEST_STEPS", "build/release/bench/trace/tests/steps")

LINE = re.compile(r"t(\d+) (?:(s\d+|NULL) = )?(\w+)\((.*)\)$")


def heapgauge(*words, status=0, **options):
    """Runs a command of ours; the completed process."""
    done = subprocess.run([HEAPGAUGE, *map(str, words)], capture_output=True, text=True, **options)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def operations(trace):
    """The lines of a trace as (thread, result, function, [arguments])."""
    for line in heapgauge("show", trace).stdout.splitlines():
        match = LINE.match(line)
        if match:
            thread, result, function, arguments = match.groups()
            yield int(thread), result, function, [a for a in arguments.split(", ") if a]


def live_steps(trace):
    """[(what, live bytes after it)], what one of + - =, for every operation that changes a block."""
    live, total = {}, 0
    for _, result, function, arguments in operations(trace):
        if function in ("free", "free_sized", "free_aligned_sized"):
            if arguments[0] == "NULL":
                continue
            total -= live.pop(arguments[0])
            yield "-", total
        elif function in ("realloc", "malloc", "calloc", "memalign", "posix_memalign", "aligned_alloc"):
            size = int(arguments[-1])
            if function == "calloc":
                size *= int(arguments[0])
            if result == "NULL":
                continue
            what = "=" if result in live else "+"
            total += size - live.get(result, 0)
            live[result] = size
            yield what, total


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """Our own recording of the program that does the same steps every time."""
    trace = tmp_path_factory.mktemp("recorded") / "steps.hgt"
    heapgauge("record", "-o", trace, "--", STEPS)
    return trace
