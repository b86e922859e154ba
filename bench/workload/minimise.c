/* minimise: a two-level logic minimiser (Quine and McCluskey, then a greedy cover) over cubes that
 * are strings in blocks of their own, in sets of chained nodes. Stresses many equal small blocks,
 * allocated level by level and freed a level at a time. An iteration minimises one function of
 * eight variables. */
#include "support.h"

enum { VARIABLES = 8, POINTS = 1 << VARIABLES, BUCKETS = 256 };

struct node {
    struct node *next;
    char *cube; /* VARIABLES of '0' '1' '-' */
    bool merged;
};

struct set {
    size_t count;
    struct node *buckets[BUCKETS];
};

static size_t bucket_of(const char *cube) {
    size_t hash = 0;
    for (int i = 0; i < VARIABLES; i++)
        hash = hash * 3 + (size_t)(cube[i] - '-');
    return hash * 31 / 7 % BUCKETS;
}

static struct node *find(const struct set *set, const char *cube) {
    struct node *node = set->buckets[bucket_of(cube)];
    while (node && memcmp(node->cube, cube, VARIABLES) != 0)
        node = node->next;
    return node;
}

static char *copy(struct hg_program *heap, const char *cube) {
    char *result = hg_program_alloc(heap, VARIABLES);
    return memcpy(result, cube, VARIABLES);
}

/* Takes over the cube. */
static void add(struct hg_program *heap, struct set *set, char *cube) {
    if (find(set, cube)) {
        hg_program_free(heap, cube);
        return;
    }
    struct node *node = hg_program_alloc(heap, sizeof *node);
    struct node **bucket = &set->buckets[bucket_of(cube)];
    *node = (struct node){*bucket, cube, false};
    *bucket = node;
    set->count++;
}

static struct set *set_new(struct hg_program *heap) {
    struct set *set = hg_program_alloc(heap, sizeof *set);
    return memset(set, 0, sizeof *set);
}

static void set_free(struct hg_program *heap, struct set *set) {
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct node *node = set->buckets[i], *next; node; node = next) {
            next = node->next;
            hg_program_free(heap, node->cube);
            hg_program_free(heap, node);
        }
    }
    hg_program_free(heap, set);
}

static void merge_node(struct hg_program *heap, struct set *level, struct set *above,
                       struct node *node) {
    for (int i = 0; i < VARIABLES; i++) {
        if (node->cube[i] == '-')
            continue;
        char *other = copy(heap, node->cube);
        other[i] = node->cube[i] == '0' ? '1' : '0';
        struct node *partner = find(level, other);
        if (!partner) {
            hg_program_free(heap, other);
            continue;
        }
        node->merged = partner->merged = true;
        other[i] = '-';
        add(heap, above, other);
    }
}

/* Merges a level into the one above; what merged with nothing is prime. */
static struct set *merge(struct hg_program *heap, struct set *level, struct set *primes) {
    struct set *above = set_new(heap);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct node *node = level->buckets[i]; node; node = node->next)
            merge_node(heap, level, above, node);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct node *node = level->buckets[i]; node; node = node->next)
            if (!node->merged)
                add(heap, primes, copy(heap, node->cube));
    set_free(heap, level);
    return above;
}

static bool covers(const char *cube, unsigned point) {
    for (int i = 0; i < VARIABLES; i++)
        if (cube[i] != '-' && cube[i] != (char)('0' + (point >> i & 1)))
            return false;
    return true;
}

static size_t new_points(const char *cube, const bool *open) {
    size_t count = 0;
    for (unsigned point = 0; point < POINTS; point++)
        count += open[point] && covers(cube, point);
    return count;
}

/* Closes the points that a cube covers. */
static void close_points(const char *cube, bool *open) {
    for (unsigned point = 0; point < POINTS; point++)
        if (covers(cube, point))
            open[point] = false;
}

/* The primes that a greedy choice leaves; false iff they don't cover the function. */
static bool cover(struct hg_program *heap, const struct set *primes, const bool *function,
                  struct set *chosen) {
    bool *open = hg_program_alloc(heap, POINTS);
    memcpy(open, function, POINTS);
    bool complete = true;
    for (unsigned point = 0; point < POINTS; point++) {
        const struct node *best = NULL;
        size_t best_count = 0;
        for (size_t i = 0; open[point] && i < BUCKETS; i++) {
            for (const struct node *node = primes->buckets[i]; node; node = node->next) {
                size_t count = covers(node->cube, point) ? new_points(node->cube, open) : 0;
                if (count > best_count) {
                    best = node;
                    best_count = count;
                }
            }
        }
        complete = complete && (best || !open[point]);
        if (!best)
            continue;
        close_points(best->cube, open);
        add(heap, chosen, copy(heap, best->cube));
    }
    hg_program_free(heap, open);
    return complete;
}

/* No chosen cube covers a point where the function is 0. */
static bool is_within(const struct set *chosen, const bool *function) {
    for (unsigned point = 0; point < POINTS; point++)
        for (size_t i = 0; !function[point] && i < BUCKETS; i++)
            for (const struct node *node = chosen->buckets[i]; node; node = node->next)
                if (covers(node->cube, point))
                    return false;
    return true;
}

static bool minimise_one(struct hg_program *heap, struct hg_random *random) {
    bool function[POINTS];
    struct set *level = set_new(heap), *primes = set_new(heap), *chosen = set_new(heap);
    for (unsigned point = 0; point < POINTS; point++) {
        function[point] = hg_random_below(random, 3) > 0;
        char cube[VARIABLES];
        for (int i = 0; i < VARIABLES; i++)
            cube[i] = (char)('0' + (point >> i & 1));
        if (function[point])
            add(heap, level, copy(heap, cube));
    }
    while (level->count > 0)
        level = merge(heap, level, primes);
    bool good = cover(heap, primes, function, chosen) && is_within(chosen, function);
    set_free(heap, level);
    set_free(heap, primes);
    set_free(heap, chosen);
    return good;
}

static void minimise(hg_state *state) {
    if (!hg_workload_needs_content(state))
        return;
    struct hg_program heap = hg_program_of(state);
    struct hg_random random = hg_random_of(state, 20);
    HG_WORKLOAD_LOOP(state) {
        if (!minimise_one(&heap, &random))
            hg_skip_with_error(state, "the cover is not the function");
    }
    hg_workload_done(state, heap.calls);
}

static void configure(hg_benchmark *b) {
    (void)b;
}

const struct hg_workload hg__workload_minimise = {
    "minimise",
    "a program: a logic minimiser over sets of small strings; built and freed a level at a time",
    minimise,
    configure,
};
