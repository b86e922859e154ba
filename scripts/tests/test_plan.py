"""The order of cells: Latin squares, from a seed."""

import pytest
from heapgauge import plan

ENTRIES = ["system", "system#aa", "core", "jemalloc", "null"]
WORKLOADS = ["a", "b", "c"]


def order(number, seed=7):
    return plan.round_order(WORKLOADS, ENTRIES, number, seed)


def test_each_round_holds_every_cell_once():
    for number in range(1, 30):
        assert sorted(order(number)) == sorted((w, e) for w in WORKLOADS for e in ENTRIES)


def test_each_block_of_rounds_is_a_latin_square():
    for first in (1, 6, 11):
        rounds = [order(n) for n in range(first, first + len(ENTRIES))]
        for workload in WORKLOADS:
            rows = [[e for w, e in cells if w == workload] for cells in rounds]
            for place in range(len(ENTRIES)):
                assert sorted(row[place] for row in rows) == sorted(ENTRIES)


def test_workloads_take_turns_too():
    rows = [list(dict.fromkeys(w for w, _ in order(n))) for n in (1, 2, 3)]
    assert all(sorted(row[place] for row in rows) == WORKLOADS for place in range(3))


def test_a_workloads_cells_stand_together():
    cells = order(4)
    changes = sum(a[0] != b[0] for a, b in zip(cells, cells[1:]))
    assert changes == len(WORKLOADS) - 1


def test_seed_decides():
    assert [order(n) for n in range(1, 20)] == [order(n) for n in range(1, 20)]
    assert [order(n, 7) for n in range(1, 20)] != [order(n, 8) for n in range(1, 20)]
    # Written down once: a results folder must stay resumable by later versions.
    assert [plan.order_in_round(list("abcd"), n, 42, "x") for n in (1, 2, 5)] == [list("acbd"), list("dbac"), list("bdca")]


def test_who_follows_whom_varies():
    followers = set()
    for number in range(1, 41):
        row = [e for w, e in order(number) if w == "a"]
        followers |= {b for a, b in zip(row, row[1:]) if a == "core"}
    assert followers == set(ENTRIES) - {"core"}


@pytest.mark.parametrize("spec, label", [
    ("core", "core"), ("/usr/lib/libtcmalloc_minimal.so.4", "tcmalloc_minimal"), ("./my.so", "my"),
    ("fault-c4:core", "fault-c4:core"),
])
def test_backend_label(spec, label):
    assert plan.backend_label(spec) == label


@pytest.mark.parametrize("spec, kind", [
    ("x/y.hgt", "trace"), ("pair/size:64", "micro"), ("larson/threads:4", "threaded"), ("larson/threads:1", "micro"),
])
def test_workload_class(spec, kind):
    assert plan.workload_class(spec) == kind


def test_baseline_is_run_twice():
    found = plan.entries(["core", "system", "null"], "system")
    assert [(e["name"], e["backend"], e["role"]) for e in found] == [
        ("system", "system", "baseline"), ("system#aa", "system", "control"), ("core", "core", "backend"),
        ("null", "null", "harness")]


def test_words_of_the_command_line_become_workloads():
    from heapgauge import compare

    listed = ["churn/live:1", "churn/live:2", "churn_threads/threads:2", "startup"]
    for words, expected in [
        (["churn,T.hgt"], ["churn/live:1", "churn/live:2", "T.hgt"]),
        (["churn/live:2", "startup"], ["churn/live:2", "startup"]),
        (["nothing,,startup"], ["nothing", "startup"]),  # what is unknown stays, to be named in the error
    ]:
        assert list(compare.expand(words, listed)) == expected
