#include "internal.h"

#include <math.h>

static double curve(double n, hg_complexity complexity, hg_complexity_fn *lambda) {
    switch (complexity) {
    case HG_O_N:
        return n;
    case HG_O_N_SQUARED:
        return n * n;
    case HG_O_N_CUBED:
        return n * n * n;
    case HG_O_LOG_N:
        return log2(n);
    case HG_O_N_LOG_N:
        return n * log2(n);
    case HG_O_LAMBDA:
        return lambda((int64_t)n);
    default:
        return 1;
    }
}

static hg__fit fit_one(const double *n, const double *y, size_t count, hg_complexity complexity,
                       hg_complexity_fn *lambda) {
    double yf = 0, ff = 0;
    for (size_t i = 0; i < count; i++) {
        double f = curve(n[i], complexity, lambda);
        yf += y[i] * f;
        ff += f * f;
    }
    hg__fit fit = {.complexity = complexity, .coefficient = ff > 0 ? yf / ff : 0};
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        double rest = y[i] - fit.coefficient * curve(n[i], complexity, lambda);
        squares += rest * rest;
    }
    double mean = hg__mean(y, count);
    fit.rms = mean > 0 ? sqrt(squares / (double)count) / mean : 0;
    return fit;
}

hg__fit hg__fit_curve(const double *n, const double *y, size_t count, hg_complexity complexity,
                      hg_complexity_fn *lambda) {
    if (complexity != HG_O_AUTO)
        return fit_one(n, y, count, complexity, lambda);
    static const hg_complexity candidates[] = {HG_O_LOG_N, HG_O_N, HG_O_N_LOG_N, HG_O_N_SQUARED,
                                               HG_O_N_CUBED};
    hg__fit best = fit_one(n, y, count, HG_O_1, NULL);
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        hg__fit fit = fit_one(n, y, count, candidates[i], NULL);
        if (fit.rms < best.rms)
            best = fit;
    }
    return best;
}
