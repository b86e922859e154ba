"""Statistics on data a person can work out by hand, and against independent implementations."""

import itertools
import math
import random

import numpy
import pytest
import scipy.stats
from heapgauge import stats
from heapgauge.stats import Estimate


@pytest.mark.parametrize("values, expected", [
    ([7], 7), ([3, 1, 2], 2), ([4, 1, 2, 3], 2.5), ([1, 1, 1, 100], 1),
])
def test_median_by_hand(values, expected):
    assert stats.median(values) == expected


def test_mad_by_hand():
    # median 3; deviations 2 1 0 1 97 -> sorted 0 1 1 2 97 -> 1
    assert stats.mad([1, 2, 3, 4, 100]) == 1


@pytest.mark.parametrize("count, rank", [
    (5, 0),   # [min, max] misses the median in 2/32 = 6.25 % > 5 %
    (6, 1),   # 2/64 = 3.1 %
    (8, 1),   # next would be 2*(1+8)/256 = 7.0 %
    (9, 2),   # 2*(1+9)/512 = 3.9 %
    (20, 6),  # the table in every textbook: 6th and 15th of 20
])
def test_order_rank_by_hand(count, rank):
    assert stats.order_rank(count) == rank


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_order_rank_against_scipy(confidence):
    for count in range(1, 80):
        best = 0
        for k in range(1, count // 2 + 1):
            if 2 * scipy.stats.binom.cdf(k - 1, count, 0.5) <= (1 - confidence) + 1e-12:
                best = k
        assert stats.order_rank(count, confidence) == best, count


def test_median_interval_covers_as_often_as_it_says():
    rng = random.Random(4)
    hits = sum(e.low <= 0 <= e.high for e in
               (stats.median_estimate([rng.gauss(0, 1) for _ in range(15)]) for _ in range(2000)))
    assert 0.95 <= hits / 2000 <= 0.985  # exact: 0.965 for n = 15


def test_too_few_values_give_no_interval():
    assert not stats.median_estimate([1, 2, 3, 4, 5]).has_interval


@pytest.mark.parametrize("differences, p", [
    ([1, 1, 1, 1, 1, 1], 2 / 64),
    ([1, 1, 1, 1, 1, -1], 2 * 7 / 64),
    ([0, 0, 1, -1], 1.0),   # zeros say nothing
    ([0, 0], 1.0),
])
def test_sign_test_by_hand(differences, p):
    assert stats.sign_test(differences) == pytest.approx(p)


def test_sign_test_against_scipy():
    rng = random.Random(1)
    for _ in range(100):
        data = [rng.gauss(0.3, 1) for _ in range(rng.randrange(1, 40))]
        above = sum(d > 0 for d in data)
        assert stats.sign_test(data) == pytest.approx(scipy.stats.binomtest(above, len(data)).pvalue)


def test_paired_ratio_takes_out_what_a_whole_round_suffered():
    # The machine is 1, 2, 3 ... times slower in successive rounds; the ratio is 0.5 in each.
    baseline = [10.0 * k for k in range(1, 9)]
    ratio = stats.paired_ratio([b / 2 for b in baseline], baseline)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.5, 0.5, 0.5))
    assert ratio.p == pytest.approx(2 / 256)


def test_holm_by_hand():
    # 0.01*3, then max(0.03, 0.02*2), then max(0.04, 0.04*1)
    assert stats.holm([0.02, 0.01, 0.04]) == pytest.approx([0.04, 0.03, 0.04])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []


def test_hodges_lehmann_by_hand():
    # Walsh averages of 1 2 6: 1 1.5 2 3.5 4 6 -> median 2.75
    assert stats.hodges_lehmann_paired([1, 2, 6]) == 2.75
    # differences of {4, 6} - {1, 2}: 2 3 4 5 -> 3.5
    assert stats.shift_estimate([4, 6], [1, 2]).value == 3.5


@pytest.mark.parametrize("m, n", [(1, 1), (2, 3), (4, 4), (3, 6)])
def test_rank_sum_counts_by_brute_force(m, n):
    expected = [0] * (m * n + 1)
    for chosen in itertools.combinations(range(m + n), m):
        expected[sum(chosen) - m * (m - 1) // 2] += 1
    assert stats.rank_sum_counts(m, n) == expected


def test_shift_interval_is_what_mann_whitney_does_not_reject():
    rng = random.Random(9)
    a, b = [rng.gauss(1, 1) for _ in range(8)], [rng.gauss(0, 1) for _ in range(9)]
    found = stats.shift_estimate(a, b)
    inside = [s for s in numpy.linspace(-2, 4, 4001)
              if scipy.stats.mannwhitneyu([x - s for x in a], b, method="exact").pvalue > 0.05]
    assert found.low == pytest.approx(min(inside), abs=0.002)
    assert found.high == pytest.approx(max(inside), abs=0.002)


def test_cliffs_delta_by_hand():
    assert stats.cliffs_delta([3, 4], [1, 2]) == 1
    assert stats.cliffs_delta([1, 3], [2, 2]) == 0
    assert stats.cliffs_delta([1, 2], [2, 3]) == -0.75  # 3 of 4 pairs below, one tie


def test_mann_whitney_by_hand():
    # No overlap of 3 and 3: 2 of C(6,3) = 20 arrangements are as extreme.
    assert stats.mann_whitney([4, 5, 6], [1, 2, 3]) == pytest.approx(0.1)
    assert stats.mann_whitney([1, 1], [1, 1]) == 1.0


def test_geometric_mean_by_hand():
    table = [[math.log(2)] * 6, [math.log(8)] * 6]
    mean = stats.geometric_mean(table, seed=1)
    assert (mean.value, mean.low, mean.high) == pytest.approx((4, 4, 4))


def test_geometric_mean_interval_against_a_plain_loop():
    rng = random.Random(3)
    table = [[rng.gauss(0.1, 0.05) for _ in range(12)] for _ in range(4)]
    mean = stats.geometric_mean(table, seed=5)
    assert stats.geometric_mean(table, seed=5) == mean  # seeded
    means = []
    for _ in range(4000):
        drawn = [rng.randrange(12) for _ in range(12)]
        means.append(math.exp(sum(stats.median([row[i] for i in drawn]) for row in table) / 4))
    means.sort()
    assert mean.low == pytest.approx(means[100], abs=0.01)
    assert mean.high == pytest.approx(means[3900], abs=0.01)


@pytest.mark.parametrize("ratio, p, floor, word", [
    (Estimate(0.50, 0.45, 0.55, 20), 0.001, 0.03, "faster"),
    (Estimate(2.00, 1.90, 2.10, 20), 0.001, 0.03, "slower"),
    (Estimate(1.001, 0.99, 1.01, 20), 0.6, 0.03, "equivalent"),
    (Estimate(0.985, 0.981, 0.99, 20), 0.001, 0.001, "equivalent"),  # proven, but small
    (Estimate(0.90, 0.80, 1.05, 20), 0.2, 0.03, "inconclusive"),     # interval holds 1
    (Estimate(0.90, 0.85, 0.95, 20), 0.08, 0.03, "inconclusive"),    # lost in many comparisons
    (Estimate(0.95, 0.93, 0.97, 20), 0.001, 0.08, "inconclusive"),   # smaller than the noise
    (Estimate(0.50, None, None, 5), 0.06, None, "inconclusive"),     # too few rounds
])
def test_verdict_word(ratio, p, floor, word):
    assert stats.verdict_word(ratio, p, floor) == word


def test_noise():
    assert stats.noise_floor(Estimate(1.0, 0.98, 1.01, 20)) == pytest.approx(1 / 0.98 - 1)
    assert stats.noise_floor(Estimate(1.0, None, None, 5)) is None


@pytest.mark.parametrize("control, p, noisy", [
    (Estimate(1.00, 0.98, 1.01, 20), 0.8, False),
    (Estimate(1.05, 1.03, 1.07, 20), 0.001, True),
    (Estimate(0.95, 0.92, 0.97, 20), 0.001, True),
    (Estimate(1.05, 1.03, 1.07, 20), 0.2, False),       # by chance, among so many workloads
    (Estimate(1.005, 1.001, 1.009, 20), 0.001, False),  # proven but harmless: the floor holds it
    (Estimate(1.05, None, None, 5), 0.06, False),
])
def test_is_noisy(control, p, noisy):
    assert stats.is_noisy(control, p) == noisy
