/* The planted faults: looked up by name, installed into a backend. */
#include "faults_private.h"

#include <stdio.h>

const hg_backend *hg__inner;

static const struct hg__fault_group *const groups[] = {
    &hg__faults_align,   &hg__faults_content, &hg__faults_realloc,     &hg__faults_size,
    &hg__faults_failure, &hg__faults_threads, &hg__faults_environment, &hg__faults_history,
    &hg__faults_narrow,  &hg__faults_native,  &hg__faults_edge,        &hg__faults_long,
};
enum { GROUP_COUNT = sizeof groups / sizeof *groups };

static const struct hg__planted *planted_at(size_t index) {
    for (size_t group = 0; group < GROUP_COUNT; group++) {
        if (index < groups[group]->count)
            return &groups[group]->rows[index];
        index -= groups[group]->count;
    }
    return NULL;
}

const struct hg_fault *hg_fault_at(size_t index) {
    const struct hg__planted *planted = planted_at(index);
    return planted ? &planted->fault : NULL;
}

static const char *fault_name(size_t index) {
    const struct hg_fault *fault = hg_fault_at(index);
    return fault ? fault->name : NULL;
}

enum hg_status hg__faulty_open(const char *fault, const hg_backend *wrapped, hg_backend *backend,
                               char *why, size_t why_size) {
    if (hg__inner) {
        snprintf(why, why_size, "only one fault can be planted in a process");
        return HG_ERR_USAGE;
    }
    const struct hg__planted *planted;
    for (size_t i = 0; (planted = planted_at(i)) != NULL; i++) {
        if (strcmp(planted->fault.name, fault) != 0)
            continue;
        hg__inner = wrapped;
        const struct hg_facts facts = backend->facts;
        *backend = *wrapped;
        backend->facts = facts;
        if (planted->install(backend))
            return HG_OK;
        snprintf(why, why_size, "cannot plant fault '%s'", fault);
        return HG_ERR_MEMORY;
    }
    const char *near = hg_nearest_word(fault, fault_name);
    snprintf(why, why_size, "unknown fault '%s'%s%s%s; see: heapgauge backends --faults", fault,
             near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    return HG_ERR_UNKNOWN;
}
