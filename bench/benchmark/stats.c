/* Statistics of repetitions. Tested on numbers that can be added up by hand. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Heap sort: qsort may call malloc. */
static void sift_down(double *values, size_t root, size_t count) {
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && values[child] < values[child + 1])
            child++;
        if (values[root] >= values[child])
            return;
        double swap = values[root];
        values[root] = values[child];
        values[child] = swap;
    }
}

void hg__sort(double *values, size_t count) {
    for (size_t i = count / 2; i-- > 0;)
        sift_down(values, i, count);
    for (size_t end = count; end-- > 1;) {
        double largest = values[0];
        values[0] = values[end];
        values[end] = largest;
        sift_down(values, 0, end);
    }
}

double hg__mean(const double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return count ? sum / (double)count : 0;
}

double hg__median(const double *values, size_t count) {
    if (count < 3)
        return hg__mean(values, count);
    double *sorted = hg__alloc(count * sizeof *sorted);
    memcpy(sorted, values, count * sizeof *sorted);
    hg__sort(sorted, count);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double hg__stddev(const double *values, size_t count) {
    if (count < 2)
        return 0;
    double mean = hg__mean(values, count);
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (double)(count - 1));
}

double hg__cv(const double *values, size_t count) {
    double mean = hg__mean(values, count);
    return count < 2 || mean == 0 ? 0 : hg__stddev(values, count) / mean;
}

bool hg__median_interval(size_t count, size_t *low, size_t *high) {
    if (count < 6)
        return false;
    size_t k = 0;
    if (count > 1000) { /* 2^-count would underflow: the normal approximation */
        k = (size_t)((double)count / 2 - 0.98 * sqrt((double)count));
    } else {
        /* P(fewer than k of n values lie below the median) is binomial(n, 1/2): the largest k with
         * both tails together at most 5 %. */
        double term = exp2(-(double)count), tail = 0;
        while (tail + term <= 0.025) {
            tail += term;
            term *= (double)(count - k) / (double)(k + 1);
            k++;
        }
    }
    *low = k - 1;
    *high = count - k;
    return true;
}
