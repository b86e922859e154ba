"""Statistics of paired rounds: small, exact where it can be, and tested by hand.

Two kinds of data come in. *Paired*: the i-th value of both sides was measured in the same round, so
that whatever slowed the machine in that round slowed both; only ratios within a round are looked at.
*Unpaired*: two runs at different times (the gate).

Nothing here assumes a normal distribution. Intervals are None when there are too few values for the
confidence asked: an honest "not yet" instead of a wide guess.
"""

import math
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
MARGIN = 0.02  # inside +-2 % two allocators count as equivalent


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; low and high are None when there are too few values for one."""

    value: float
    low: float | None
    high: float | None
    count: int
    p: float | None = None

    @property
    def has_interval(self):
        return self.low is not None and self.high is not None


def median(values):
    """The middle value; the mean of the two middle ones when their number is even."""
    ordered = sorted(values)
    half, odd = divmod(len(ordered), 2)
    return ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2


def mad(values):
    """Median absolute deviation from the median, unscaled."""
    centre = median(values)
    return median([abs(v - centre) for v in values])


def order_rank(count, confidence=CONFIDENCE):
    """The k for which [k-th smallest, k-th largest] covers the median with at least `confidence`.

    0 when even [smallest, largest] covers it less often. From the binomial distribution, in integers:
    the median is missed on one side when fewer than k of `count` fair coins show heads.
    """
    tails = 2**count
    below = 0
    rank = 0
    for k in range(1, count // 2 + 1):
        below += math.comb(count, k - 1)
        if 2 * below > (1 - confidence) * tails * (1 + 1e-12):
            break
        rank = k
    return rank


def median_estimate(values, confidence=CONFIDENCE):
    """Median with its exact order-statistic interval."""
    ordered = sorted(values)
    rank = order_rank(len(ordered), confidence)
    if rank == 0:
        return Estimate(median(ordered), None, None, len(ordered))
    return Estimate(median(ordered), ordered[rank - 1], ordered[-rank], len(ordered))


def sign_test(differences):
    """Two-sided exact p that the median difference is 0; zeros say nothing and are left out."""
    above = sum(d > 0 for d in differences)
    below = sum(d < 0 for d in differences)
    count = above + below
    if count == 0:
        return 1.0
    tail = sum(math.comb(count, i) for i in range(min(above, below) + 1))
    return min(1.0, 2 * tail / 2**count)


def log_ratios(candidate, baseline):
    """ln(candidate/baseline) per round."""
    if len(candidate) != len(baseline):
        raise ValueError("paired data differ in length")
    return [math.log(c / b) for c, b in zip(candidate, baseline)]


def paired_ratio(candidate, baseline, confidence=CONFIDENCE):
    """candidate/baseline: the median ratio over rounds, exact sign-test interval and p value."""
    logs = log_ratios(candidate, baseline)
    inner = median_estimate(logs, confidence)
    return Estimate(
        math.exp(inner.value),
        math.exp(inner.low) if inner.has_interval else None,
        math.exp(inner.high) if inner.has_interval else None,
        inner.count,
        sign_test(logs),
    )


def holm(p_values):
    """Holm's step-down adjustment: each p as it stands in the whole family of comparisons."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def geometric_mean(log_table, seed, confidence=CONFIDENCE, resamples=4000):
    """Geometric mean over workloads of median ratios, with an interval from resampling whole rounds.

    `log_table` has a row per workload and a column per round (log ratios). A round is drawn with all
    its workloads, so that what disturbed them together stays together. Seeded: same data, same answer.
    """
    table = np.asarray(log_table, dtype=float)
    value = float(np.exp(np.median(table, axis=1).mean()))
    rounds = table.shape[1]
    if rounds < 6:
        return Estimate(value, None, None, rounds)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    chunk = max(1, 2_000_000 // table.size)  # bounds the memory of one step
    for start in range(0, resamples, chunk):
        n = min(chunk, resamples - start)
        drawn = table[:, rng.integers(0, rounds, size=(n, rounds))]
        means[start:start + n] = np.median(drawn, axis=2).mean(axis=0)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(np.exp(low)), float(np.exp(high)), rounds)


def hodges_lehmann_paired(differences):
    """Median of all Walsh averages (d_i + d_j)/2, i <= j: the typical paired difference."""
    d = np.asarray(differences, dtype=float)
    i, j = np.triu_indices(len(d))
    return float(np.median((d[i] + d[j]) / 2))


def rank_sum_counts(m, n):
    """How many of the C(m+n, m) arrangements give each value 0..m*n of Mann and Whitney's U."""
    counts = [1]
    # Gaussian binomial coefficient: multiply by (1 - q^(n+i)), divide by (1 - q^i), exactly.
    for i in range(1, m + 1):
        grown = counts + [0] * (n + i)
        for k in range(len(grown) - 1, n + i - 1, -1):
            grown[k] -= grown[k - (n + i)]
        for k in range(i, len(grown)):
            grown[k] += grown[k - i]
        counts = grown[:n * i + 1]
    return counts


def shift_estimate(candidate, baseline, confidence=CONFIDENCE):
    """Hodges and Lehmann's shift candidate - baseline of unpaired samples, with its exact interval."""
    differences = sorted(c - b for c in candidate for b in baseline)
    value = median(differences)
    counts = rank_sum_counts(len(candidate), len(baseline))
    total = sum(counts)
    below, rank = 0, 0
    for k in range(1, len(differences) // 2 + 1):
        below += counts[k - 1]
        if 2 * below > (1 - confidence) * total * (1 + 1e-12):
            break
        rank = k
    if rank == 0:
        return Estimate(value, None, None, len(differences))
    return Estimate(value, differences[rank - 1], differences[-rank], len(differences))


def cliffs_delta(candidate, baseline):
    """P(candidate > baseline) - P(candidate < baseline) over all pairs: -1 .. 1."""
    c = np.asarray(candidate, dtype=float)[:, None]
    b = np.asarray(baseline, dtype=float)[None, :]
    return float((np.sign(c - b)).mean())


def mann_whitney(candidate, baseline):
    """Two-sided Mann-Whitney p, for readers used to Google Benchmark's compare.py (unpaired)."""
    from scipy.stats import mannwhitneyu  # slow to import, so only where it is used

    if len(set(candidate) | set(baseline)) < 2:
        return 1.0
    return float(mannwhitneyu(candidate, baseline, alternative="two-sided").pvalue)


def noise_floor(control):
    """How far from 1 a ratio may lie by the machine's doing alone, as a fraction.

    `control` is the A/A estimate: the baseline against itself. The floor is the far end of its interval.
    """
    if not control.has_interval:
        return None
    return max(control.high, 1 / control.low) - 1


def verdict_word(ratio, p_adjusted, floor=None, margin=MARGIN, confidence=CONFIDENCE,
                 words=("faster", "slower")):
    """What may be said of a ratio: one of `words`, "equivalent" or "inconclusive".

    A difference needs three things: an interval that excludes 1, a p value that survives adjustment for
    the number of comparisons in the table, and a ratio farther from 1 than the A/A noise floor.
    "equivalent" needs the interval inside 1 +- margin, whether or not it excludes 1.
    """
    if not ratio.has_interval:
        return "inconclusive"
    if 1 - margin <= ratio.low and ratio.high <= 1 + margin:
        return "equivalent"
    proven = (ratio.low > 1 or ratio.high < 1) and p_adjusted < 1 - confidence
    beyond_noise = floor is None or max(ratio.value, 1 / ratio.value) - 1 > floor
    if proven and beyond_noise:
        return words[0] if ratio.value < 1 else words[1]
    return "inconclusive"


def is_noisy(control, p_adjusted, margin=MARGIN):
    """True if the baseline against itself earns the verdict of a difference: then no other one means much.

    p_adjusted is Holm's over all A/A pairs of the table, so that a quiet machine's table is stamped in at
    most 1 of 20 cases however many workloads it has. A proven difference within the margin is harmless: the
    noise floor holds it.
    """
    return verdict_word(control, p_adjusted, margin=margin) in ("faster", "slower")
