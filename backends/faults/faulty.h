/* Planted bugs: the oracle is only as good as what it has been seen to catch. "fault-NAME:BACKEND" opens
 * BACKEND with one bug planted; each is deterministic and breaks one item of the contract. */
#ifndef HG_FAULTY_H
#define HG_FAULTY_H

#include <stddef.h>

struct hg_fault {
    const char *name;
    const char *item; /* the item it breaks; NULL: an equivalent variant, nothing may fire */
    const char
        *found_as;      /* items under which an oracle may name it, "C4,C41"; "crash", "hang" too */
    const char *target; /* the fuzz target made for it */
    const char *
        needs; /* "", or "strict", "threads", "shortage", "reuse", "long": a plain stream does not show it */
    int ease;         /* 1 shows at once, 2 a certain size or alignment, 3 needs history, 4 rare */
    const char *what; /* one line */
};

/* The i-th fault; NULL past the end. */
const struct hg_fault *hg_fault_at(size_t index);

#endif
