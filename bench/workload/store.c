/* store: a key-value store: a table of chains, keys and values in blocks of their own, values that
 * are replaced, appended to, read into reply buffers, deleted. Stresses what in-memory databases
 * do: strings of production-like sizes that live long, between short-lived buffers. An iteration is
 * 1000 commands. */
#include "support.h"

enum { BUCKETS = 1 << 15, KEYS = 40000, COMMANDS = 1000, KEY_SIZE_MAX = 48, APPEND_MAX = 4096 };

struct entry {
    struct entry *next;
    uint64_t hash;
    char *key, *value;
    uint32_t key_size, value_size;
};

struct store {
    struct hg_program heap;
    struct hg_random random;
    struct hg_sizes sizes;
    struct entry **buckets;
    uint64_t live_bytes, wrong;
};

/* The text of key `index`, of a length of its own; returns its size. */
static uint32_t key_text(uint64_t index, char text[KEY_SIZE_MAX]) {
    struct hg_random letters = {index};
    uint32_t size = 8 + (uint32_t)(hg_random_next(&letters) % (KEY_SIZE_MAX - 8));
    for (uint32_t i = 0; i < size; i++)
        text[i] = (char)('a' + (index >> i % 4 * 4) % 16);
    return size;
}

static uint64_t hash_of(const char *text, uint32_t size) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Where the link to the entry is; it points to NULL if there is none. */
static struct entry **find(struct store *store, const char *key, uint32_t size, uint64_t hash) {
    struct entry **link = &store->buckets[hash % BUCKETS];
    while (*link && ((*link)->hash != hash || (*link)->key_size != size ||
                     memcmp((*link)->key, key, size) != 0))
        link = &(*link)->next;
    return link;
}

static struct entry *insert(struct store *store, struct entry **link, const char *key,
                            uint32_t size, uint64_t hash) {
    struct entry *entry = hg_program_alloc(&store->heap, sizeof *entry);
    *entry = (struct entry){.hash = hash, .key_size = size};
    entry->key = hg_program_alloc(&store->heap, size);
    memcpy(entry->key, key, size);
    store->live_bytes += sizeof *entry + size;
    return *link = entry;
}

static void set(struct store *store, struct entry **link, const char *key, uint32_t key_size,
                uint64_t hash) {
    struct entry *entry = *link ? *link : insert(store, link, key, key_size, hash);
    size_t size = hg_sizes_draw(&store->sizes, &store->random);
    char *value = hg_program_alloc(&store->heap, size);
    memset(value, key[0], size);
    if (entry->value)
        hg_program_free(&store->heap, entry->value);
    store->live_bytes += size - entry->value_size;
    entry->value = value;
    entry->value_size = (uint32_t)size;
}

static void get(struct store *store, const struct entry *entry) {
    char *reply = hg_program_alloc(&store->heap, entry->value_size + 16);
    memcpy(reply, "$ ", 2);
    memcpy(reply + 2, entry->value, entry->value_size);
    store->wrong += reply[2] != entry->key[0] || reply[1 + entry->value_size] != entry->key[0];
    hg_program_free(&store->heap, reply);
}

static void append(struct store *store, struct entry *entry) {
    uint32_t more = 16 + (uint32_t)hg_random_below(&store->random, 48);
    if (entry->value_size + more > APPEND_MAX)
        return;
    entry->value = hg_program_realloc(&store->heap, entry->value, entry->value_size + more);
    memset(entry->value + entry->value_size, entry->key[0], more);
    entry->value_size += more;
    store->live_bytes += more;
}

static void erase(struct store *store, struct entry **link) {
    struct entry *entry = *link;
    *link = entry->next;
    store->live_bytes -= sizeof *entry + entry->key_size + entry->value_size;
    hg_program_free(&store->heap, entry->value);
    hg_program_free(&store->heap, entry->key);
    hg_program_free(&store->heap, entry);
}

/* Of ten commands four set, three get, two append, one deletes. */
static void command(struct store *store) {
    char key[KEY_SIZE_MAX];
    uint32_t key_size = key_text(hg_random_below(&store->random, KEYS), key);
    uint64_t hash = hash_of(key, key_size);
    struct entry **link = find(store, key, key_size, hash);
    size_t word = hg_random_below(&store->random, 10);
    if (word < 4)
        set(store, link, key, key_size, hash);
    else if (!*link)
        return;
    else if (word < 7)
        get(store, *link);
    else if (word < 9)
        append(store, *link);
    else
        erase(store, link);
}

static struct store *store_open(const hg_state *state) {
    struct store *store = hg_workload_map(sizeof *store);
    store->heap = hg_program_of(state);
    store->random = hg_random_of(state, 19);
    hg_sizes_production(&store->sizes);
    store->buckets = hg_program_alloc(&store->heap, BUCKETS * sizeof *store->buckets);
    memset(store->buckets, 0, BUCKETS * sizeof *store->buckets);
    for (int i = 0; i < KEYS; i++)
        command(store);
    return store;
}

static void store_close(struct store *store) {
    for (size_t i = 0; i < BUCKETS; i++)
        while (store->buckets[i])
            erase(store, &store->buckets[i]);
    hg_program_free(&store->heap, store->buckets);
    hg_workload_unmap(store, sizeof *store);
}

static void serve(hg_state *state) {
    if (!hg_workload_needs_content(state))
        return;
    struct store *store = store_open(state);
    hg_workload_live(store->live_bytes + BUCKETS * sizeof *store->buckets);
    store->heap.calls = 0;
    HG_WORKLOAD_LOOP(state) {
        for (int i = 0; i < COMMANDS; i++)
            command(store);
    }
    hg_workload_done(state, store->heap.calls);
    if (store->wrong)
        hg_skip_with_error(state, "%llu values were not what was stored",
                           (unsigned long long)store->wrong);
    store_close(store);
}

static void configure(hg_benchmark *b) {
    (void)b;
}

const struct hg_workload hg__workload_store = {
    "store",
    "a program: a key-value store; strings that live long, between short-lived buffers",
    serve,
    configure,
};
