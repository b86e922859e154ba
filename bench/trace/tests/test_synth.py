"""Synthesis: a stream that can be performed, as long as asked for, and like its model where it says so."""

import collections
import json
import random
import subprocess

import pytest

from conftest import HEAPGAUGE, heapgauge, operations


def stat(trace):
    return json.loads(heapgauge("stat", "--json", "--points=200", trace).stdout)


def check(trace):
    """Every slot is empty when filled, full when freed; threads run when they do something."""
    live, threads, count = set(), {0}, 0
    for thread, result, function, arguments in operations(trace):
        count += 1
        if function == "thread_start":
            assert thread not in threads
            threads.add(thread)
        assert thread in threads
        if function == "thread_end":
            threads.remove(thread)
        elif function in ("free", "dealloc"):
            if arguments[0] != "NULL":
                live.remove(arguments[0])
        elif function in ("realloc", "layout_realloc"):
            if result != "NULL":
                assert (result in live) or thread is not None
                live.add(result)
        elif result and result != "NULL":
            assert result not in live
            live.add(result)
    assert threads <= {0}, "every thread ends"
    return count


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Thread 0 makes what thread 1 frees; small blocks die young, large ones stay; some grow."""
    source, lines, free = random.Random(3), ["t1 thread_start(t0)"], list(range(5000))
    due = collections.defaultdict(list)
    while len(lines) < 40000:
        for slot, thread in due.pop(len(lines), []):
            lines.append(f"t{thread} free(s{slot})")
            free.append(slot)
        slot, pick = free.pop(), source.random()
        now = len(lines)
        if pick < 0.7:
            lines.append(f"t0 s{slot} = malloc({source.choice([24, 24, 24, 100])})")
            due[now + source.randint(1, 30)].append((slot, 1))
        elif pick < 0.9:
            lines.append(f"t0 s{slot} = posix_memalign(64, 640)")
            due[now + 2000].append((slot, 0))
        elif pick < 0.95:
            lines.append(f"t1 s{slot} = malloc(1000)")
            for size in (2000, 4000):
                lines.append(f"t1 s{slot} = realloc(s{slot}, {size})")
            due[now + 300].append((slot, 1))
        else:
            lines.append("t0 free(NULL)" if source.random() < .5 else "t0 clock(1000)")
            free.append(slot)
        late = [key for key in due if key <= now]
        for key in late:
            due[len(lines)].extend(due.pop(key))
    lines.append("t1 thread_end()")
    folder = tmp_path_factory.mktemp("model")
    (folder / "m.txt").write_text("\n".join(lines) + "\n")
    heapgauge("show", "--parse", folder / "m.txt", "-o", folder / "m.hgt")
    check(folder / "m.hgt")
    return folder / "m.hgt"


def shares(counts):
    total = sum(counts.values())
    return {key: count / total for key, count in counts.items()}


def distance(a, b):
    a, b = shares(a), shares(b)
    return sum(abs(a.get(key, 0) - b.get(key, 0)) for key in {*a, *b}) / 2


def classes(facts, name):
    return {c["from"]: c["count"] for c in facts[name]}


@pytest.mark.parametrize("factor", [0.3, 1, 4])
def test_resembles_its_model(model, tmp_path, factor):
    ours, ops = stat(model), int(factor * 40000)
    heapgauge("synth", model, "-o", tmp_path / "s.hgt", f"--ops={ops}")
    assert check(tmp_path / "s.hgt") == ops
    theirs = stat(tmp_path / "s.hgt")
    assert theirs["operations"] == ops
    assert distance(ours["by_kind"], theirs["by_kind"]) < 0.02
    assert distance(classes(ours, "sizes_bytes"), classes(theirs, "sizes_bytes")) < 0.02
    if factor == 1:
        assert distance(classes(ours, "lifetimes_operations"),
                        classes(theirs, "lifetimes_operations")) < 0.15
    if factor >= 1:
        means = [sum(p["bytes"] for p in facts["live"]) / len(facts["live"]) for facts in (ours, theirs)]
        assert abs(means[0] / means[1] - 1) < 0.1
        for name in ("live_bytes_peak", "live_blocks_peak"):  # the longer the stream, the rarer its peak
            assert abs(theirs[name] / ours[name] - 1) < 0.35, name
    share = [facts["cross_thread_frees"] / facts["frees_of_blocks"] for facts in (ours, theirs)]
    assert abs(share[0] - share[1]) < 0.03
    grown = [facts["reallocations"] / facts["operations"] for facts in (ours, theirs)]
    assert grown[0] > 0.02 and abs(grown[0] / grown[1] - 1) < 0.1
    # which sizes come with which alignment, and what becomes of a block that grows
    seen = collections.Counter(line.split(" ", 3)[3] for line in
                               heapgauge("show", tmp_path / "s.hgt").stdout.splitlines()
                               if " = " in line)
    made = {"malloc(24)", "malloc(100)", "malloc(1000)", "posix_memalign(64, 640)"}
    assert {key for key in seen if "realloc" not in key} == made
    assert {key.split(", ")[1] for key in seen if "realloc" in key} <= {"2000)", "3999)", "4000)"}


def test_real_program_has_the_same_course(recorded, tmp_path):
    heapgauge("synth", recorded, "-o", tmp_path / "s.hgt")
    ours, theirs = stat(recorded), stat(tmp_path / "s.hgt")
    assert check(tmp_path / "s.hgt") == ours["operations"]
    for name in ("live_bytes_peak", "live_bytes_end"):
        assert abs(theirs[name] / ours[name] - 1) < 0.2, name


def test_seed_decides(model, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        heapgauge("synth", model, "-o", tmp_path / name, "--ops=3000", f"--seed={seed}")
    a, b, c = (list(operations(tmp_path / name)) for name in "abc")
    assert a == b != c


def test_memory_does_not_grow_with_the_length(model, tmp_path):
    def peak_kib(ops):
        code = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        done = subprocess.run(["/usr/bin/python3", "-c", code, HEAPGAUGE, "synth", str(model), "-o",
                               str(tmp_path / "s.hgt"), f"--ops={ops}"],
                              capture_output=True, text=True, check=True)
        return int(done.stdout)
    assert peak_kib("4M") < peak_kib("200k") + 4096


def test_thread_that_comes_and_goes(tmp_path):
    lines = []
    for i in range(500):
        lines += ["t1 thread_start(t0)", f"t1 s0 = malloc({16 + i % 3})", "t1 thread_end()", "t0 free(s0)"]
    (tmp_path / "m.txt").write_text("\n".join(lines) + "\n")
    heapgauge("show", "--parse", tmp_path / "m.txt", "-o", tmp_path / "m.hgt")
    heapgauge("synth", tmp_path / "m.hgt", "-o", tmp_path / "s.hgt", "--ops=5000")
    assert check(tmp_path / "s.hgt") == 5000
    assert stat(tmp_path / "s.hgt")["by_kind"]["thread_end"] > 500


def test_nothing_that_could_be_repeated_is_told(tmp_path):
    (tmp_path / "m.txt").write_text("".join(f"t0 s{i} = malloc(10)\n" for i in range(100)))
    heapgauge("show", "--parse", tmp_path / "m.txt", "-o", tmp_path / "m.hgt")
    said = heapgauge("synth", tmp_path / "m.hgt", "-o", tmp_path / "s.hgt", "--ops=5000").stderr
    assert "100 operations" in said and "fewer than the 5000" in said


def test_fit_is_reported_and_measured(model, tmp_path):
    said = heapgauge("synth", model, "-o", tmp_path / "s.hgt", "--backend=system").stdout
    for words in ("lifetimes", "live bytes over time", "system", "ns/op"):
        assert words in said
    # the report can say that it does not fit
    (tmp_path / "o.txt").write_text("t0 s0 = malloc(9999)\n" * 1 + "t0 free(s0)\n")
    heapgauge("show", "--parse", tmp_path / "o.txt", "-o", tmp_path / "o.hgt")
    alike = float(said.split("sizes")[1].split("%")[0])
    assert alike < 2


@pytest.mark.parametrize("words, says", [
    ([], "name one trace and another file"),
    (["-o", "SELF"], "another file"),
    (["-o", "x.hgt", "--ops=0"], "give a whole number"),
    (["-o", "x.hgt", "--ops=3x"], "give a whole number"),
    (["-o", "/nonexistent/x.hgt"], "cannot write"),
])
def test_wrong_usage_is_answered(model, words, says):
    words = [model if word == "SELF" else word for word in words]
    assert says in heapgauge("synth", model, *words, status=2).stderr


def test_cut_trace_is_told(model, tmp_path):
    (tmp_path / "cut.hgt").write_bytes(model.read_bytes()[:-60])
    said = heapgauge("synth", tmp_path / "cut.hgt", "-o", tmp_path / "s.hgt", status=2).stderr
    assert "cut: there is nothing to fit" in said or "ends here" in said or "byte" in said


def test_blocks_touched_in_part_stay_so(tmp_path):
    """Half of the large blocks were touched for a page; as many are in what is made of it."""
    lines = []
    for i in range(2000):
        lines.append(f"t0 s0 = malloc({100000 if i % 4 == 0 else 40})")
        if i % 8 == 0:
            lines.append("t0 touched(s0, 4096)")
        lines.append("t0 free(s0)")
    lines.append("t0 s1 = malloc(200000)")
    lines.append("t0 touched(s1, 8192)")  # live at the end
    text, source, made = tmp_path / "m.txt", tmp_path / "m.hgt", tmp_path / "s.hgt"
    text.write_text("\n".join(lines) + "\n")
    heapgauge("show", "--parse", text, "-o", source)
    heapgauge("synth", source, "-o", made, "--ops=20000")
    live, large, told, pages = {}, 0, 0, set()
    for _, result, function, arguments in operations(made):
        if function == "malloc":
            live[result] = int(arguments[0])
            large += live[result] == 100000
        elif function == "touched":
            told += live[arguments[0]] == 100000
            pages.add((live[arguments[0]], int(arguments[1])))
    assert abs(told / large - 0.5) < 0.05
    assert pages == {(100000, 4096), (200000, 8192)}
