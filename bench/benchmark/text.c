/* Numbers and units as the reports write them. */
#include "internal.h"

#include <stdio.h>

static const char *const unit_names[] = {"ns", "us", "ms", "s"};
static const double units_per_second[] = {1e9, 1e6, 1e3, 1};

const char *hg__unit_name(hg_time_unit unit) {
    return unit_names[unit];
}

double hg__unit_per_second(hg_time_unit unit) {
    return units_per_second[unit];
}

const char *hg__big_o_name(hg_complexity complexity) {
    static const char *const names[] = {"",    "(1)",  "N",    "N^2", "N^3",
                                        "lgN", "NlgN", "auto", "f(N)"};
    return names[complexity];
}

static const char large[] = "kMGTPEZY";
static const char small[] = "munpfazy";

const char *hg__human_number(double value, unsigned one_k, char text[HG__NUMBER_SIZE]) {
    double magnitude = value < 0 ? -value : value;
    const char *sign = value < 0 ? "-" : "";
    char prefix[3] = "";
    if (magnitude > one_k - 1.0) {
        size_t i = 0;
        for (magnitude /= one_k; magnitude > one_k - 1.0 && i + 2 < sizeof large; i++)
            magnitude /= one_k;
        snprintf(prefix, sizeof prefix, "%c%s", one_k == 1024 && large[i] == 'k' ? 'K' : large[i],
                 one_k == 1024 ? "i" : "");
    } else if (magnitude > 0 && magnitude < 0.01) {
        size_t i = 0;
        double scaled = magnitude * one_k;
        for (; scaled < 1 && i + 2 < sizeof small; i++)
            scaled *= one_k;
        if (scaled >= 1) {
            magnitude = scaled;
            snprintf(prefix, sizeof prefix, "%c%s", small[i], one_k == 1024 ? "i" : "");
        }
    }
    snprintf(text, HG__NUMBER_SIZE, "%s%g%s", sign, magnitude, prefix);
    return text;
}
