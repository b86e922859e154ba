/* A campaign's parts: a cell is one backend with one target. campaign.c is the command, cell.c runs a cell,
 * corpus.c keeps its inputs, found.c reduces and writes what it finds, libfuzzer.c runs one by that engine.
 *
 *   heapgauge fuzz -- cell (opens the backend) -- child (plays inputs) ... until found or time is up
 *                                              -- children that reduce what was found
 *
 * What a child did stands in memory shared with the cell, so a crash loses nothing. */
#ifndef HG_FUZZ_CAMPAIGN_H
#define HG_FUZZ_CAMPAIGN_H

#include "shrink.h"

enum {
    CORPUS_MAX = 2048,
    INPUT_BYTES = HG_FUZZ_HEADER_BYTES + 256 * HG_FUZZ_RECORD_BYTES,
    USUAL_OPS = 100,
    FINDINGS_MAX = 32,
    SHAPE_BYTES = 96,
    SAME_ITEM_MAX = 3, /* then it is muted */
};

struct hg_campaign_options {
    const char *backends, *targets, *directory, *json, *muted, *corpus;
    double time_s;
    uint64_t inputs_max, seed;
    unsigned oracle_fault;
    bool keep_going, random, strict, no_waivers, no_reduce, by_libfuzzer;
};

struct hg_found {
    char item[HG_ITEM_BYTES];
    char shape[SHAPE_BYTES]; /* kinds of the reduced stream, a letter each */
    char text[HG_FINDING_TEXT_BYTES];
    char path[400]; /* without extension */
    uint64_t times, op_count, op_count_before, inputs, operations;
    double cpu_s, wall_s, reduce_s;
    bool reproduced;
};

struct hg_fuzz_entry {
    uint32_t size;
    uint8_t data[INPUT_BYTES];
};

/* What a cell leaves for the command: shared. */
struct hg_fuzz_cell {
    const struct hg_campaign_options *options;
    const char *backend;
    const struct hg_fuzz_target *target;
    struct hg_fuzz_session *session;
    struct hg_fuzz_log *log;
    bool unavailable;
    char why[400];
    struct hg_found findings[FINDINGS_MAX];
    size_t finding_count;
    char muted[256];
    double wall_s, cpu_s;
    uint64_t random, children;
    uint64_t waiver_uses[64];
    double slice_s; /* of the child in hand */
    size_t corpus_count, corpus_saved;
    bool corpus_unwritten;
    struct hg_fuzz_entry corpus[CORPUS_MAX];
};

/* Body of the process of a cell (for hg_contain); `argument` is the cell, in shared memory. */
int hg__cell_run(void *argument);

/* Wall time now; CPU time of the children that have ended. Seconds. */
double hg__now_s(void);
double hg__cpu_of_children_s(void);

/* Appends an input to the corpus in memory; a full one takes no more. */
void hg__corpus_keep(struct hg_fuzz_cell *cell, const uint8_t *data, size_t size);
/* Reads the user's corpus, then that of the folder a campaign goes on with. */
void hg__corpus_load(struct hg_fuzz_cell *cell);
/* Writes the inputs that are not on disk yet to DIR/corpus/TARGET. */
void hg__corpus_save(struct hg_fuzz_cell *cell);

/* Takes what the log holds as a finding: on disk at once, then reduced, then listed unless it is there
 * already. `begin_s`, `begin_cpu_s`: when the cell began. */
void hg__found_take(struct hg_fuzz_cell *cell, const struct hg_trial *seen, double begin_s,
                    double begin_cpu_s);

/* Runs the cell by build/fuzz's program of the target instead: the same folder, findings taken the same
 * way. False: that program is not there, or could not start; cell->why says which. */
bool hg__libfuzzer_run(struct hg_fuzz_cell *cell, double begin_s, double begin_cpu_s);

/* FNV-1a. Writes a file whole; false: errno says why. Says on standard error what could not be written. */
uint64_t hg__hash_of(const void *bytes, size_t size);
bool hg__write_bytes(const char *path, const void *bytes, size_t size);
void hg__complain_unless(const char *unwritten);

#endif
