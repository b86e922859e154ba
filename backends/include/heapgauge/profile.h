/* What an allocator does where the contract leaves it a choice (level P of backends/CONTRACT.md): asked of
 * it, each question in a child process of its own, because some end the process for an answer. */
#ifndef HEAPGAUGE_PROFILE_H
#define HEAPGAUGE_PROFILE_H

#include "heapgauge/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { HG_PROFILE_ANSWER_BYTES = 64, HG_PROFILE_QUESTIONS_MAX = 16 };

struct hg_profile_answer {
    const char *key;      /* "memalign_odd" */
    const char *question; /* "memalign(48, 96)" */
    const char *item;     /* of the contract */
    char answer
        [HG_PROFILE_ANSWER_BYTES]; /* "NULL", "aligned to 64", "ends the process (signal 6)" */
};

/* Fills `answers` and returns how many there are, some milliseconds later; 0 iff memory is exhausted. Not
 * to be called with other threads running. */
size_t hg_profile_ask(const hg_backend *backend,
                      struct hg_profile_answer answers[HG_PROFILE_QUESTIONS_MAX]);

#ifdef __cplusplus
}
#endif
#endif
