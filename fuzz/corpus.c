/* A campaign's inputs, in memory and on disk. */
#define _GNU_SOURCE
#include "campaign.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void hg__corpus_keep(struct hg_fuzz_cell *cell, const uint8_t *data, size_t size) {
    if (cell->corpus_count == CORPUS_MAX || size > INPUT_BYTES)
        return;
    struct hg_fuzz_entry *entry =
        &cell->corpus[cell->corpus_count]; /* the rarest features come last */
    entry->size = (uint32_t)size;
    memcpy(entry->data, data, size);
    cell->corpus_count++; /* last: a kill before leaves the corpus sound */
}

void hg__corpus_save(struct hg_fuzz_cell *cell) {
    char path[600];
    snprintf(path, sizeof path, "%s/corpus", cell->options->directory);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/corpus/%s", cell->options->directory, cell->target->name);
    mkdir(path, 0777);
    for (; cell->corpus_saved < cell->corpus_count; cell->corpus_saved++) {
        const struct hg_fuzz_entry *entry = &cell->corpus[cell->corpus_saved];
        snprintf(path, sizeof path, "%s/corpus/%s/%016" PRIx64, cell->options->directory,
                 cell->target->name, hg__hash_of(entry->data, entry->size));
        if (access(path, F_OK) == 0 || hg__write_bytes(path, entry->data, entry->size))
            continue;
        if (!cell->corpus_unwritten)
            hg__complain_unless(path);
        cell->corpus_unwritten = true;
        unlink(path); /* no half input */
    }
}

static void load_folder(struct hg_fuzz_cell *cell, const char *folder) {
    char path[1000];
    static uint8_t data[INPUT_BYTES];
    snprintf(path, sizeof path, "%.600s/%s", folder, cell->target->name);
    DIR *entries = opendir(path);
    for (const struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%.600s/%s/%.250s", folder, cell->target->name, entry->d_name);
        FILE *file = fopen(path, "rbe");
        size_t size = file ? fread(data, 1, sizeof data, file) : 0;
        if (size > 0)
            hg__corpus_keep(cell, data, size);
        if (file)
            fclose(file);
    }
    if (entries)
        closedir(entries);
}

/* The user's inputs, then those of the campaign that this one goes on with. */
void hg__corpus_load(struct hg_fuzz_cell *cell) {
    char own[600];
    snprintf(own, sizeof own, "%.580s/corpus", cell->options->directory);
    if (cell->options->corpus)
        load_folder(cell, cell->options->corpus);
    load_folder(cell, own);
    cell->corpus_saved = cell->corpus_count;
}
