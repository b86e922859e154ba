/* A backend's tunables: "jemalloc:dirty_decay_ms=0:narenas=1" opens it with these settings. Private to
 * backends/. */
#ifndef HG_TUNABLES_H
#define HG_TUNABLES_H

#include "heapgauge/backend.h"

struct hg_adapter;

/* What an allocator reads from the environment when it starts. */
struct hg_tunable_set {
    const struct hg_tunable *list; /* up to a name that is NULL */
    /* Ends in '_': a variable for each, with the name in capitals behind it. Else one for all, of
     * NAME:VALUE,NAME:VALUE. */
    const char *variable;
    /* The value in force, as text. False: the library doesn't tell. NULL: it tells none. */
    bool (*read)(const char *name, char *text, size_t text_size);
    /* Read when the program starts: hg_backend_prepare_process() sees to it. */
    bool at_start;
};

enum { HG__SETTINGS_MAX = 8, HG__SETTING_SIZE = 64 };
struct hg__settings {
    size_t count;
    struct {
        char name[HG__SETTING_SIZE], value[HG__SETTING_SIZE];
    } at[HG__SETTINGS_MAX];
};

/* True iff what follows the first colon of a spec is a setting (NAME=VALUE), not a backend. */
bool hg__has_settings(const char *spec);

/* Parses "NAME=VALUE:NAME=VALUE" for an adapter. An unknown name, a value with odd characters or too
 * many of them are HG_ERR_USAGE, with `why`. */
HG_WARN_UNUSED enum hg_status hg__settings_parse(const struct hg_adapter *adapter, const char *text,
                                                 struct hg__settings *out, char *why,
                                                 size_t why_size);

/* Opens an adapter with these settings (none: count 0): puts them into the environment while the library
 * loads, holds what is in force against what was asked, and notes it in facts.tunables. */
HG_WARN_UNUSED enum hg_status hg__open_tuned(const struct hg_adapter *adapter,
                                             const struct hg__settings *settings,
                                             hg_backend *backend, char *why, size_t why_size);

/* GLIBC_TUNABLES that the backends named in argv ask of the C library ("system:tcache_count=0"), each
 * with a ':' before it. False: two of them ask for different ones; nothing is written then. */
/* "" or as many of them as hg_backend_prepare_process() added to GLIBC_TUNABLES. */
#define HG__TUNED_VARIABLE "HEAPGAUGE_TUNED"

bool hg__tunables_at_start(char **argv, char *text, size_t text_size);

#endif
