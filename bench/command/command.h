/* The command `heapgauge`: its subcommands and what they share. Private to bench/command.
 *
 * A subcommand gets argv with its own name as argv[0] and returns the exit status: 0 all well, 1 a
 * finding, 2 usage or environment. */
#ifndef HG_COMMAND_H
#define HG_COMMAND_H

#include "heapgauge/backend.h"
#include "heapgauge/contain.h"
#include "heapgauge/player.h"
#include "heapgauge/trace.h"

#include "../benchmark/json_writer.h"

enum { HG_EXIT_OK = 0, HG_EXIT_FINDING = 1, HG_EXIT_USAGE = 2 };

int hg_cmd_backends(int argc, char **argv);
int hg_cmd_bench(int argc, char **argv);
int hg_cmd_check(int argc, char **argv);
int hg_cmd_replay(int argc, char **argv);
int hg_cmd_cell(int argc, char **argv);
int hg_cmd_lockstep(int argc, char **argv);

/* Prints "heapgauge COMMAND: text" to stderr; returns HG_EXIT_USAGE. */
int hg_usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- options.c ---- */

/* Numbers with k, M, G (1000) or Ki, Mi, Gi (1024) behind them. False iff the text is none. */
bool hg_parse_u64(const char *text, uint64_t *out);
bool hg_parse_double(const char *text, double *out);

/* Takes every such word out of argv, which stays ended by NULL; true iff it was there. */
bool hg_take_word(int *argc, char **argv, const char *word);

/* True iff the word names a trace: it ends in .hgt. */
bool hg_is_trace(const char *word);

/* The nearest subcommand to a word; NULL if none is near. */
const char *hg_nearest_command(const char *word);

/* Opens each of a comma-separated list of backends ("all": every one that is here) and calls `each`.
 * Stops at the first status that is not 0 and returns it. An unknown or unavailable backend is a usage
 * error, printed. */
int hg_each_backend(const char *command, const char *list,
                    int (*each)(const hg_backend *backend, const char *spec, void *context),
                    void *context);

/* ---- parts.c ---- */

/* Replaces this process by Python: the package heapgauge (`script` NULL), or a script that was installed
 * beside it. `argv`, `argc` words, are its arguments; the environment's HEAPGAUGE names this program.
 * Returns only on failure: a message is printed, HG_EXIT_USAGE. */
int hg_run_python(const char *command, const char *script, int argc, char **argv);

/* Calls `take` for each line "KEY\tVALUE" that the subcommand `word` of the Python package prints. Silent where it can't be
 * run: what it tells is an addition. */
void hg_read_python(char *word, void (*take)(const char *key, const char *value));

/* ---- bench_trace.c ---- */

/* Registers the trace at `path` (a word of the command line, *.hgt; kept) as a benchmark of a backend.
 * Returns an exit status: 2, and says why, iff the trace can't be played. */
int hg_bench_trace_register(const hg_backend *backend, const char *label, const char *path);

/* ---- late_context.c: what the machine did during a run, in a context that is written before it ---- */

/* Reads the machine, and adds steal_ticks_delta, ctx_switches and load_avg_after, unknown as yet. */
void hg_late_context_begin(bool into_file);
/* Puts what is known now into the JSON file at `path` (NULL: none), in place. */
void hg_late_context_end(const char *path);

/* ---- session.c: a stream to play, from a trace or a seed ---- */

struct hg_session_options {
    const char *command; /* for messages */
    const char *trace;   /* path; NULL: a seeded stream */
    bool cut_ok;         /* play what there is of a cut trace */
    bool touch;          /* blocks are to be touched as far as the recorded program touched them */
    uint64_t seed, operations, live_blocks, size_max;
    unsigned threads;
    bool layout_stream, hostile, environment;
};

struct hg_session {
    struct hg_source source;
    hg_trace_reader *reader;
    struct hg_generator *generator;
    bool cut_ok, was_cut;
};

/* Opens the stream; a message is printed on failure. Returns an exit status. */
int hg_session_open(const struct hg_session_options *options, struct hg_session *session);
void hg_session_close(struct hg_session *session);
/* Why the source stopped, for statuses other than HG_OK and HG_END. */
const char *hg_session_why(const struct hg_session *session);

/* Opens a file for JSON ("-": standard output); a message is printed on failure. Returns the
 * descriptor, -1 on failure. */
int hg_json_open(const char *command, const char *path);
/* Flushes and closes. Returns an exit status; a message is printed on failure (disk full). */
int hg_json_close(const char *command, const char *path, hg_sink *sink, int fd);

#endif
