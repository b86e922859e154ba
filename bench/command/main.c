/* heapgauge: one command, git-like. What a subcommand does lies in its own file, library or, for those
 * that compute tables and statistics, in Python behind it (scripts/python/heapgauge). */
#include "command.h"

/* The one file that knows both bench and fuzz: it is the product's main. */
#include "../../fuzz/commands.h"
#include "../../fuzz/trace_seeds.h"
#include "../frag/frag.h"
#include "../record/record.h"
#include "../trace/commands.h"

#include <stdio.h>
#include <string.h>

/* `heapgauge export --to=seed` writes inputs of the fuzz targets; all else is bench's. */
static int run_export(int argc, char **argv) {
    static char kind[] = "--to=seed";
    const char *trace = NULL, *folder = NULL;
    char why[300];
    bool is_seed = false, is_known = true;
    for (int i = 1; i < argc; i++)
        is_seed |= strcmp(argv[i], kind) == 0;
    if (!is_seed)
        return hg_export_main(argc, argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], kind) == 0)
            continue;
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            folder = argv[++i];
        else if (strncmp(argv[i], "--output=", 9) == 0)
            folder = argv[i] + 9;
        else if (*argv[i] != '-' && !trace)
            trace = argv[i];
        else
            is_known = false;
    }
    if (!is_known || !trace || !folder)
        return hg_usage_error("export", "say: heapgauge export T.hgt --to=seed -o FOLDER");
    if (!hg_fuzz_seeds_of_trace(folder, trace, why, sizeof why))
        return hg_usage_error("export", "%s", why);
    printf("%s/libc, %s/threads: seeds for heapgauge fuzz and libFuzzer\n", folder, folder);
    return HG_EXIT_OK;
}

static const struct command {
    const char *name;
    const char *what;
    int (*run)(int argc, char **argv); /* NULL: Python */
    bool is_internal;
} commands[] = {
    {"backends", "which allocators are here, which file serves them, what they can do",
     hg_cmd_backends, false},
    {"bench", "benchmarks with Google Benchmark's flags and formats", hg_cmd_bench, false},
    {"frag", "memory wasted under programs made to waste it, beside the bounds", hg_frag_main,
     false},
    {"record", "record the allocations of a program into a trace", hg_record_main, false},
    {"show", "a trace as text, and back", hg_show_main, false},
    {"stat", "what a trace holds: kinds, sizes, lifetimes, threads", hg_stat_main, false},
    {"import", "a trace of another tool's log: mtrace, heaptrack, ltrace", hg_import_main, false},
    {"export", "a trace, or a piece of it, as a C program, text, trace or seeds", run_export,
     false},
    {"synth", "a trace of any length that resembles another", hg_synth_main, false},
    {"replay", "play a trace on a backend, and time it", hg_cmd_replay, false},
    {"check", "the oracle's verdict on a trace or a seeded stream", hg_cmd_check, false},
    {"fuzz", "campaigns: which promise breaks, and the smallest reproducer", hg_fuzz_main, false},
    {"reduce", "the smallest stream that still breaks the same promise, as text and C",
     hg_reduce_main, false},
    {"compare", "rounds of workloads on backends, into results/NAME/", NULL, false},
    {"report", "tables from a folder of results", NULL, false},
    {"gate", "exit 1 on a proven regression between two runs, or two backends of one", NULL, false},
    {"merge", "several machines' results into one folder", NULL, false},
    {"doctor", "what about this machine spoils measurements", NULL, false},
    {"cell", "one measurement in a contained child (used by compare)", hg_cmd_cell, true},
    {"lockstep", "cells that take turns (used by compare)", hg_cmd_lockstep, true},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *out) {
    fprintf(out, "usage: heapgauge COMMAND [OPTIONS]\n\n"
                 "Gauges memory allocators: correct? how fast? how much memory wasted?\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!commands[i].is_internal)
            fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].what);
    fprintf(out,
            "\n  heapgauge help COMMAND     the options of a command\n"
            "  heapgauge --version\n\n"
            "Exit status: 0 all well, 1 a finding (a broken promise, a proven regression, a noisy\n"
            "A/A), 2 usage or environment.\n");
}

static const char *command_name(size_t index) {
    return index < COMMAND_COUNT ? commands[index].name : NULL;
}

static int run(const struct command *command, int argc, char **argv) {
    static char name[32]; /* what getopt_long begins its messages with */
    snprintf(name, sizeof name, "heapgauge %s", command->name);
    if (command->run)
        argv[0] = name;
    return command->run ? command->run(argc, argv) : hg_run_python(argv[0], NULL, argc, argv);
}

static int dispatch(int argc, char **argv) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, argv[0]) == 0)
            return run(&commands[i], argc, argv);
    const char *near = hg_nearest_command(argv[0]);
    fprintf(stderr, "heapgauge: unknown command '%s'", argv[0]);
    if (near)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "%s: heapgauge help\n", near ? " See" : "; see");
    return HG_EXIT_USAGE;
}

const char *hg_nearest_command(const char *word) {
    return hg_nearest_word(word, command_name);
}

static int help(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stdout);
        return HG_EXIT_OK;
    }
    char option[] = "--help";
    char *words[] = {argv[1], option, NULL};
    return dispatch(2, words);
}

int main(int argc, char **argv) {
    hg_backend_prepare_process(argv);
    if (argc < 2) {
        print_usage(stderr);
        return HG_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        printf("heapgauge %s\n", HG_VERSION);
        return HG_EXIT_OK;
    }
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(argc - 1, argv + 1);
    return dispatch(argc - 1, argv + 1);
}
