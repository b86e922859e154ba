"""Times to an event of which some are censored: the trial ended before the event came.

Kaplan and Meier's estimate of the share still without the event, its median, and the interval of Brookmeyer and
Crowley: those times at which a test of "half are left" does not reject, on the scale log(-log S).
"""

import math

Z95 = 1.959963984540054  # 97.5 % point of the normal distribution


def survival(times, happened):
    """Steps (time, share left after it, standard error of log(-log share)), one for each time of an event.

    The error is None where the share is 1 or 0: the transform has none there."""
    trials = sorted(zip(times, happened))
    share, greenwood, steps = 1.0, 0.0, []
    for time in sorted({t for t, did in trials if did}):
        at_risk = sum(t >= time for t, _ in trials)
        events = sum(t == time and did for t, did in trials)
        share *= 1 - events / at_risk
        if events < at_risk:
            greenwood += events / (at_risk * (at_risk - events))
        error = math.sqrt(greenwood) / abs(math.log(share)) if 0 < share < 1 else None
        steps.append((time, share, error))
    return steps


def median(times, happened):
    """(median, low, high) of the time to the event; None for what lies beyond the last event."""
    middle = low = high = None
    for time, share, error in survival(times, happened):
        if middle is None and share <= 0.5:
            middle = time
        if share == 0:
            upper_left = lower_left = share
        else:
            centre = math.log(-math.log(share))
            lower_left = math.exp(-math.exp(centre + Z95 * error))
            upper_left = math.exp(-math.exp(centre - Z95 * error))
        if low is None and lower_left <= 0.5:
            low = time
        if high is None and upper_left <= 0.5 and share < 0.5:
            high = time
    return middle, low, high


def superiority(a_times, a_happened, b_times, b_happened):
    """Vargha and Delaney's A12: how often a trial of `a` is faster than one of `b`, a tie counting half.
    A censored trial is slower than any that is not."""
    def key(time, did):
        return time if did else math.inf

    a = [key(*pair) for pair in zip(a_times, a_happened)]
    b = [key(*pair) for pair in zip(b_times, b_happened)]
    return sum((x < y) + (x == y) / 2 for x in a for y in b) / (len(a) * len(b))
