"""Kaplan-Meier by hand: each row is an example that a person can follow."""

import math

import pytest

from heapgauge import survival


def test_without_censoring_it_is_the_share_left():
    assert [round(s[1], 9) for s in survival.survival([1, 2, 3, 4], [True] * 4)] == [0.75, 0.5, 0.25, 0]


def test_a_censored_trial_leaves_those_at_risk():
    # 5 trials; one gives up at 2: at 3 there are 3 left of which one ends: 4/5 * 2/3.
    steps = survival.survival([1, 2, 3, 4, 5], [True, False, True, True, True])
    assert steps[0][1] == pytest.approx(4 / 5)
    assert steps[1][1] == pytest.approx(4 / 5 * 2 / 3)


def test_a_textbook_example():
    # Remission of 21 leukaemia patients under 6-MP (Freireich et al. 1963): median 23 weeks.
    ended = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    times, happened = ended + censored, [True] * len(ended) + [False] * len(censored)
    steps = {time: (share, error) for time, share, error in survival.survival(times, happened)}
    assert steps[6][0] == pytest.approx(0.857, abs=5e-4)
    assert steps[23][0] == pytest.approx(0.448, abs=5e-4)
    assert survival.median(times, happened)[:2] == (23, 13)
    assert survival.median(times, happened)[2] is None


def test_all_censored_has_no_median():
    assert survival.median([60] * 20, [False] * 20) == (None, None, None)


def test_the_interval_of_twenty_is_about_the_sixth_and_fifteenth():
    middle, low, high = survival.median(list(range(1, 21)), [True] * 20)
    assert middle == 10 and 5 <= low <= 7 and 13 <= high <= 16


def test_ties_and_censored_trials_in_a12():
    assert survival.superiority([1, 1], [True, True], [2, 60], [True, False]) == 1
    assert survival.superiority([60], [False], [60], [False]) == 0.5
    assert math.isclose(survival.superiority([1, 3], [True] * 2, [2, 2], [True] * 2), 0.5)
