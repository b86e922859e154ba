"""Import: the same program under our recorder and under another tool gives the same blocks, byte for
byte and step for step; a log that is no log is told with its line."""

import collections
import gzip
import os
import re
import shutil
import subprocess

import pytest

from conftest import STEPS, heapgauge, live_steps, operations

MALLOC_DEBUG = "libc_malloc_debug.so.0"


def need(tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is absent (apt-get install {tool})")


def run(*words, **environment):
    done = subprocess.run([str(w) for w in words], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


def functions(trace):
    return collections.Counter(function for _, _, function, _ in operations(trace))


@pytest.fixture(scope="session")
def mtrace_log(tmp_path_factory):
    path = tmp_path_factory.mktemp("mtrace") / "log"
    run(STEPS, MALLOC_TRACE=str(path), LD_PRELOAD=MALLOC_DEBUG)
    return path


def test_mtrace(recorded, mtrace_log, tmp_path):
    trace = tmp_path / "t.hgt"
    heapgauge("import", mtrace_log, "-o", trace)
    assert list(live_steps(trace)) == list(live_steps(recorded))
    ours, theirs = functions(recorded), functions(trace)
    assert theirs["realloc"] == ours["realloc"] > 100
    assert theirs["malloc"] == ours["malloc"] + ours["calloc"] + ours["aligned_alloc"]


def test_packed_logs_are_unpacked(mtrace_log, tmp_path):
    heapgauge("import", mtrace_log, "-o", tmp_path / "plain.hgt")
    (tmp_path / "log.gz").write_bytes(gzip.compress(mtrace_log.read_bytes()))
    heapgauge("import", tmp_path / "log.gz", "-o", tmp_path / "gz.hgt")
    assert (tmp_path / "gz.hgt").read_bytes() == (tmp_path / "plain.hgt").read_bytes()
    whole = gzip.compress(mtrace_log.read_bytes())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    # what was read ends within a line, or well: told either way
    assert "cut.gz:" in heapgauge("import", tmp_path / "cut.gz", "-o", tmp_path / "c.hgt", status=2).stderr


def test_ltrace(recorded, tmp_path):
    need("ltrace")
    log, trace = tmp_path / "log", tmp_path / "t.hgt"
    run("ltrace", "-o", log, "-e", "malloc+calloc+realloc+aligned_alloc+free", STEPS)
    heapgauge("import", log, "-o", trace)
    assert list(operations(trace)) == list(o for o in operations(recorded) if o[2] != "clock")


def test_valgrind(recorded, tmp_path):
    need("valgrind")
    trace = tmp_path / "t.hgt"
    done = run("valgrind", "--trace-malloc=yes", "--run-libc-freeres=no", STEPS)
    (tmp_path / "log").write_text(done.stderr)
    heapgauge("import", tmp_path / "log", "-o", trace)
    assert list(live_steps(trace)) == list(live_steps(recorded))


@pytest.mark.parametrize("raw", [False, True])
def test_heaptrack(recorded, tmp_path, raw):
    need("heaptrack")
    trace = tmp_path / "t.hgt"
    run("heaptrack", *(["--raw"] if raw else []), "-o", tmp_path / "log", STEPS)
    (log,) = tmp_path.glob("log*")
    heapgauge("import", log, "-o", trace)
    # heaptrack makes two of a realloc; its preload library brings libstdc++, which takes 72704 bytes
    expected, before = [], 0
    for what, live in live_steps(recorded):
        expected.append((what, live - before))
        before = live
    split, got, before = collections.Counter(), collections.Counter(), 0
    total = 0
    for what, change in expected:
        total += change
        split["+"] += what in "+="
        split["-"] += what in "-="
    lives = []
    for what, live in live_steps(trace):
        got[what] += 1
        if abs(live - before) == 72704:
            got[what] -= 1
        before = live
        lives.append(live)
    assert got == split
    # nothing of the program is freed after its end; what is left is ours, and libstdc++'s if it stays
    assert lives[-1] % 72704 == total % 72704 and lives[-1] - total in (0, 72704)
    if shutil.which("heaptrack_print") and not raw:
        printed = run("heaptrack_print", log).stdout
        calls = int(re.search(r"calls to allocation functions: (\d+)", printed).group(1))
        assert functions(trace)["malloc"] == calls


def test_threads_of_ltrace(tmp_path):
    log, trace = tmp_path / "log", tmp_path / "t.hgt"
    log.write_text("7 a->malloc(11 <unfinished ...>\n"
                   "8 a->realloc(0, 10)  = 0x2000\n"
                   "7 <... malloc resumed> ) = 0x1000\n"
                   "8 a->realloc(0x1000, 90 <unfinished ...>\n"
                   "7 a->malloc(5) = 0x1000\n"
                   "8 <... realloc resumed> ) = 0x3000\n"
                   "8 a->puts(\"x\") = 2\n"
                   "7 a->posix_memalign(0x7ffc, 64, 300) = 0\n"
                   "7 a->posix_memalign(0x7ffc, 64, -1) = 12\n"
                   "7 a->free(0x5010) = <void>\n"
                   "7 a->free(0x5040) = <void>\n"
                   "7 a->realloc(0x2000, 0) = nil\n".replace("nil", "0") +
                   "7 a->realloc(0x3000, 7) = 0\n"
                   "[pid 7] free(0x1000) = <void>\n")
    said = heapgauge("import", log, "-o", trace).stderr
    assert "1 frees of blocks not seen made" in said and "1 lines about something else" in said
    text = [line for line in heapgauge("show", trace).stdout.splitlines() if line[0] != "#"]
    assert text == ["t1 thread_start(t0)",
                    "t1 s0 = realloc(s0, 10)",
                    "t0 s1 = malloc(11)",
                    "t0 s2 = malloc(5)",
                    "t1 s1 = realloc(s1, 90)",
                    "t0 s3 = posix_memalign(64, 300)",
                    "t0 NULL = posix_memalign(64, 18446744073709551615)",
                    "t0 free(s3)",
                    "t0 free(s0)",
                    "t0 NULL = realloc(s1, 7)",
                    "t0 free(s2)"]


def test_address_that_comes_back_was_freed_unseen(tmp_path):
    (tmp_path / "log").write_text("= Start\n@ a:[0x1] + 0x10 0x5\n@ a:[0x1] + 0x10 0x6\n")
    said = heapgauge("import", tmp_path / "log", "-o", tmp_path / "t.hgt").stderr
    assert "3 operations" in said and "1 frees not seen" in said


BAD = [
    ("mtrace", "= Start\n@ a:[0x1] + 0x10 0x5\n@ a:[0x1] * 0x10\n", ":3: not a line of mtrace"),
    ("mtrace", "@ a:[0x1] > 0x10 0x5\n", ":1: a '>' without the '<'"),
    ("mtrace", "@ a:[0x1] < 0x10\n@ a:[0x1] - 0x10\n", ":2: a '<' without the '>'"),
    ("mtrace", "@ a:[0x1] + 0x10\n", ":1: no size after the address"),
    ("mtrace", "@ a:[0x1] - 0x10 0x5\n", ":1: not understood"),
    ("mtrace", "@ a:[0x1] + 0xffffffffffffff 0x1\n", ":1: 0xffffffffffffff: no address"),
    ("heaptrack", "v 1 3\na 10 0\n+ 5\n", ":3: kind 5 of allocation was not announced"),
    ("heaptrack", "v 1 3\na 10\n", ":2: 'a' has 1 numbers, expected 2"),
    ("heaptrack", "v 1 3\n+ x y z\n", ":2: number 1 is none"),
    ("ltrace", "malloc(3) = ?\n", ":1: malloc(...) without a result"),
    ("ltrace", "realloc(3) = 0x1\n", ":1: realloc( with 1 numbers, expected 2"),
    ("", "hello\nworld\n", "no line of a format known"),
    ("", "", "no line of a format known"),
    ("", "t0 s0 = malloc(1)\n", "give --from=text"),
    ("nonsense", "", "--from=nonsense: give mtrace"),
]


@pytest.mark.parametrize("form, text, says", BAD)
def test_bad_logs_are_told_with_their_line(tmp_path, form, text, says):
    (tmp_path / "log").write_text(text)
    words = [f"--from={form}"] if form else []
    said = heapgauge("import", *words, tmp_path / "log", "-o", tmp_path / "t.hgt", status=2).stderr
    assert says in said


def test_text_is_read_as_show_writes_it(recorded, tmp_path):
    (tmp_path / "log").write_text(heapgauge("show", recorded).stdout)
    heapgauge("import", "--from=text", tmp_path / "log", "-o", tmp_path / "t.hgt")
    assert heapgauge("show", tmp_path / "t.hgt").stdout == heapgauge("show", recorded).stdout
