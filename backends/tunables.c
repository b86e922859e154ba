#include "tunables.h"

#include "adapter.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the spec ---- */

static bool is_name_char(char c) {
    return islower((unsigned char)c) || isdigit((unsigned char)c) || c == '_';
}

static bool is_value_char(char c) {
    return isalnum((unsigned char)c) || strchr("_.-", c);
}

bool hg__has_settings(const char *spec) {
    const char *at = strchr(spec, ':');
    if (!at)
        return false;
    const char *name = ++at;
    while (*at && is_name_char(*at))
        at++;
    return at > name && *at == '=';
}

static const struct hg_tunable *find(const struct hg_tunable *list, const char *name) {
    for (; list->name; list++)
        if (strcmp(list->name, name) == 0)
            return list;
    return NULL;
}

static const struct hg_tunable *named_list; /* for name_at, which takes no context */

static const char *name_at(size_t index) {
    return named_list[index].name;
}

static enum hg_status refuse_name(const struct hg_adapter *adapter, const char *name, char *why,
                                  size_t why_size) {
    named_list = adapter->tunables->list;
    const char *near = hg_nearest_word(name, name_at);
    int used = snprintf(why, why_size, "%s has no tunable '%s'", adapter->name, name);
    if (near)
        snprintf(why + used, why_size - (size_t)used, " (did you mean '%s'?)", near);
    else
        snprintf(why + used, why_size - (size_t)used, "; see: heapgauge backends --tunables");
    return HG_ERR_USAGE;
}

/* One NAME=VALUE of `length` characters. */
static enum hg_status parse_one(const struct hg_adapter *adapter, const char *text, size_t length,
                                struct hg__settings *out, char *why, size_t why_size) {
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t)(equals - text) : 0;
    size_t value_length = equals ? length - name_length - 1 : 0;
    bool good = name_length > 0 && value_length > 0 && name_length < HG__SETTING_SIZE &&
                value_length < HG__SETTING_SIZE && out->count < HG__SETTINGS_MAX;
    for (size_t i = 0; good && i < value_length; i++)
        good = is_value_char(equals[1 + i]);
    if (!good) {
        snprintf(why, why_size, "%s:%.*s: expected NAME=VALUE, at most %d of them with ':' between",
                 adapter->name, (int)length, text, HG__SETTINGS_MAX);
        return HG_ERR_USAGE;
    }
    memcpy(out->at[out->count].name, text, name_length);
    out->at[out->count].name[name_length] = '\0';
    memcpy(out->at[out->count].value, equals + 1, value_length);
    out->at[out->count].value[value_length] = '\0';
    if (!find(adapter->tunables->list, out->at[out->count].name))
        return refuse_name(adapter, out->at[out->count].name, why, why_size);
    out->count++;
    return HG_OK;
}

enum hg_status hg__settings_parse(const struct hg_adapter *adapter, const char *text,
                                  struct hg__settings *out, char *why, size_t why_size) {
    *out = (struct hg__settings){0};
    if (!adapter->tunables) {
        snprintf(why, why_size, "%s has no tunables", adapter->name);
        return HG_ERR_USAGE;
    }
    enum hg_status status = HG_OK;
    for (const char *at = text; status == HG_OK; at++) {
        size_t length = strcspn(at, ":");
        status = parse_one(adapter, at, length, out, why, why_size);
        at += length;
        if (!*at)
            break;
    }
    return status;
}

/* ---- the environment ---- */

enum { VARIABLE_SIZE = 1024 };

struct variable {
    char name[2 * HG__SETTING_SIZE];
    char *before; /* NULL: it was not set */
};

static bool set_variable(struct variable *variable, const char *name, const char *value) {
    snprintf(variable->name, sizeof variable->name, "%s", name);
    const char *before = getenv(name);
    variable->before = before ? strdup(before) : NULL;
    return (!before || variable->before) && setenv(name, value, 1) == 0;
}

static void restore_variables(struct variable *variables, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (variables[i].before)
            setenv(variables[i].name, variables[i].before, 1);
        else
            unsetenv(variables[i].name);
        free(variables[i].before);
    }
}

/* One for all: the user's own stand first, and ours win. */
static size_t export_joined(const struct hg_tunable_set *set, const struct hg__settings *settings,
                            struct variable *variables) {
    char text[VARIABLE_SIZE];
    const char *before = getenv(set->variable);
    size_t used = (size_t)snprintf(text, sizeof text, "%s", before ? before : "");
    for (size_t i = 0; i < settings->count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s:%s", used ? "," : "",
                                 settings->at[i].name, settings->at[i].value);
    return used < sizeof text && set_variable(&variables[0], set->variable, text);
}

static size_t export_each(const struct hg_tunable_set *set, const struct hg__settings *settings,
                          struct variable *variables) {
    size_t count = 0;
    for (; count < settings->count; count++) {
        char name[2 * HG__SETTING_SIZE];
        size_t prefix =
            (size_t)snprintf(name, sizeof name, "%s%s", set->variable, settings->at[count].name);
        for (size_t i = 0; i < prefix; i++)
            name[i] = (char)toupper((unsigned char)name[i]);
        if (!set_variable(&variables[count], name, settings->at[count].value))
            break;
    }
    return count;
}

/* Returns how many variables were set. */
static size_t export_settings(const struct hg_tunable_set *set, const struct hg__settings *settings,
                              struct variable *variables) {
    if (settings->count == 0 || set->at_start)
        return 0;
    bool is_prefix = set->variable[strlen(set->variable) - 1] == '_';
    return is_prefix ? export_each(set, settings, variables)
                     : export_joined(set, settings, variables);
}

/* ---- what is in force ---- */

/* Numbers are compared as numbers, true and false are 1 and 0. */
static bool is_same(const char *a, const char *b) {
    const char *texts[2] = {a, b};
    double values[2];
    for (int i = 0; i < 2; i++) {
        char *end;
        values[i] = strtod(texts[i], &end);
        if (strcmp(texts[i], "true") == 0 || strcmp(texts[i], "false") == 0)
            values[i] = texts[i][0] == 't';
        else if (end == texts[i] || *end)
            return strcmp(a, b) == 0;
    }
    return values[0] == values[1];
}

static enum hg_status hold_against(const struct hg_adapter *adapter,
                                   const struct hg__settings *settings, char *why,
                                   size_t why_size) {
    char in_force[HG__SETTING_SIZE];
    for (size_t i = 0; i < settings->count; i++) {
        const char *name = settings->at[i].name, *value = settings->at[i].value;
        if (!adapter->tunables->read || !adapter->tunables->read(name, in_force, sizeof in_force) ||
            is_same(in_force, value))
            continue;
        snprintf(why, why_size, "%s did not take %s=%s: in force is %s", adapter->name, name, value,
                 in_force);
        return HG_ERR_USAGE;
    }
    return HG_OK;
}

/* "dirty_decay_ms=0:narenas=8": what the library says, else what it was asked for. */
static const char *describe(const struct hg_tunable_set *set, const struct hg__settings *settings) {
    char text[VARIABLE_SIZE] = "", value[HG__SETTING_SIZE];
    size_t used = 0;
    for (const struct hg_tunable *tunable = set->list; tunable->name; tunable++) {
        bool known = set->read && set->read(tunable->name, value, sizeof value);
        for (size_t i = 0; !known && i < settings->count; i++) {
            known = strcmp(settings->at[i].name, tunable->name) == 0;
            snprintf(value, sizeof value, "%s", settings->at[i].value);
        }
        if (known && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s=%s", used ? ":" : "",
                                     tunable->name, value);
    }
    return *text ? strdup(text) : NULL; /* as backends themselves, never freed */
}

/* The C library's own are there since the start, or not: are they those asked for? */
static enum hg_status check_start(const struct hg_adapter *adapter,
                                  const struct hg__settings *settings, char *why, size_t why_size) {
    char wanted[VARIABLE_SIZE] = "";
    const char *there = getenv(HG__TUNED_VARIABLE);
    size_t used = 0;
    for (size_t i = 0; i < settings->count; i++) {
        char *end;
        strtoull(settings->at[i].value, &end, 0);
        if (*end || settings->at[i].value[0] == '-') {
            snprintf(why, why_size, "%s:%s=%s: expected a number", adapter->name,
                     settings->at[i].name, settings->at[i].value);
            return HG_ERR_USAGE;
        }
        used += (size_t)snprintf(wanted + used, sizeof wanted - used, ":glibc.malloc.%s=%s",
                                 settings->at[i].name, settings->at[i].value);
    }
    if (strcmp(there ? there : "", wanted) == 0)
        return HG_OK;
    snprintf(why, why_size,
             "%s has one setting a process, and this one was started with '%s': one run for each, "
             "or heapgauge compare, which gives each a process of its own",
             adapter->name, there && *there ? there + 1 : "its defaults");
    return HG_ERR_USAGE;
}

enum hg_status hg__open_tuned(const struct hg_adapter *adapter, const struct hg__settings *settings,
                              hg_backend *backend, char *why, size_t why_size) {
    struct variable variables[HG__SETTINGS_MAX];
    if (!adapter->tunables)
        return adapter->open(backend, why, why_size);
    enum hg_status status = HG_OK;
    if (adapter->tunables->at_start)
        status = check_start(adapter, settings, why, why_size);
    if (status != HG_OK)
        return status;
    size_t count = export_settings(adapter->tunables, settings, variables);
    status = adapter->open(backend, why, why_size);
    restore_variables(variables, count);
    if (status == HG_OK)
        status = hold_against(adapter, settings, why, why_size);
    if (status == HG_OK && !adapter->tunables->at_start)
        backend->facts.tunables = describe(adapter->tunables, settings);
    return status;
}

/* ---- what must be there at the start ---- */

/* The settings of the C library's malloc in "A,count:system:tcache_count=0,B", up to the comma; NULL if
 * there are none. Sets *next behind what was looked at. */
static const char *settings_of_system(const char *word, const char **next) {
    static const char name[] = "system:";
    const char *at = strstr(word, name);
    if (!at) {
        *next = NULL;
        return NULL;
    }
    *next = at + strlen(name);
    bool starts = at == word || strchr("=,:", at[-1]);
    return starts && hg__has_settings(at) ? *next : NULL;
}

static size_t put_settings(const char *settings, char *text, size_t text_size) {
    size_t used = 0, length = strcspn(settings, ",");
    for (size_t begin = 0; begin < length; begin += strcspn(settings + begin, ":,") + 1)
        used += (size_t)snprintf(text + used, used < text_size ? text_size - used : 0,
                                 ":glibc.malloc.%.*s", (int)strcspn(settings + begin, ":,"),
                                 settings + begin);
    return used;
}

bool hg__tunables_at_start(char **argv, char *text, size_t text_size) {
    char found[VARIABLE_SIZE] = "";
    for (; *argv; argv++) {
        for (const char *at = *argv; at;) {
            char mine[VARIABLE_SIZE] = "";
            const char *settings = settings_of_system(at, &at);
            if (!settings)
                continue;
            if (put_settings(settings, mine, sizeof mine) >= sizeof mine ||
                (*found && strcmp(found, mine) != 0))
                return false;
            memcpy(found, mine, sizeof found);
        }
    }
    return snprintf(text, text_size, "%s", found) < (int)text_size;
}
