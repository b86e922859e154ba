/* factor: splits numbers of 98 bits into their two primes by Pollard's rho, on big integers that
 * are never changed: each result is a block of its own. Stresses tiny blocks with the shortest of
 * lives, allocated and freed nearly in order. An iteration factors one number. */
#include "support.h"

static const char *const composites[] = {
    "135732038616950952985026238711", "167852371388805479632332522623",
    "178968385507306231294971222823", "192013116066716248691303608033",
    "134363476316504240053305349469", "138051332386680282445113272897",
    "158728699597451516494002190607", "155335181830451771554659899323",
};
enum { COMPOSITES = sizeof composites / sizeof *composites };

/* Limbs of 32 bits, the lowest first; the highest is not 0. Zero has none. */
struct big {
    uint32_t count;
    uint32_t limb[];
};

static struct big *big_new(struct hg_program *heap, uint32_t count) {
    struct big *big = hg_program_alloc(heap, sizeof *big + count * sizeof *big->limb);
    big->count = count;
    return big;
}

static void big_free(struct hg_program *heap, struct big *big) {
    hg_program_free(heap, big);
}

static struct big *trim(struct big *big) {
    while (big->count > 0 && big->limb[big->count - 1] == 0)
        big->count--;
    return big;
}

/* a * factor + term */
static struct big *scale(struct hg_program *heap, const struct big *a, uint32_t factor,
                         uint32_t term) {
    struct big *result = big_new(heap, a->count + 1);
    uint64_t carry = term;
    for (uint32_t i = 0; i < a->count; i++, carry >>= 32) {
        carry += (uint64_t)a->limb[i] * factor;
        result->limb[i] = (uint32_t)carry;
    }
    result->limb[a->count] = (uint32_t)carry;
    return trim(result);
}

static struct big *parse(struct hg_program *heap, const char *digits) {
    struct big *number = big_new(heap, 0);
    for (; *digits; digits++) {
        struct big *more = scale(heap, number, 10, (uint32_t)(*digits - '0'));
        big_free(heap, number);
        number = more;
    }
    return number;
}

static int compare(const struct big *a, const struct big *b) {
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (uint32_t i = a->count; i-- > 0;)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* a - b, where a >= b */
static struct big *subtract(struct hg_program *heap, const struct big *a, const struct big *b) {
    struct big *result = big_new(heap, a->count);
    int64_t borrow = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        borrow += (int64_t)a->limb[i] - (i < b->count ? b->limb[i] : 0);
        result->limb[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    return trim(result);
}

static struct big *multiply(struct hg_program *heap, const struct big *a, const struct big *b) {
    struct big *result = big_new(heap, a->count + b->count);
    memset(result->limb, 0, result->count * sizeof *result->limb);
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < b->count; j++, carry >>= 32) {
            carry += (uint64_t)a->limb[i] * b->limb[j] + result->limb[i + j];
            result->limb[i + j] = (uint32_t)carry;
        }
        result->limb[i + b->count] = (uint32_t)carry;
    }
    return trim(result);
}

/* rest[at ..] -= quotient * b; true iff that went below 0. */
static bool subtract_scaled(uint32_t *rest, const struct big *b, uint64_t quotient) {
    uint64_t carry = 0;
    int64_t borrow = 0;
    for (uint32_t i = 0; i <= b->count; i++, carry >>= 32) {
        carry += i < b->count ? quotient * b->limb[i] : 0;
        borrow += (int64_t)rest[i] - (uint32_t)carry;
        rest[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    return borrow < 0;
}

static void add_back(uint32_t *rest, const struct big *b) {
    uint64_t carry = 0;
    for (uint32_t i = 0; i <= b->count; i++, carry >>= 32) {
        carry += (uint64_t)rest[i] + (i < b->count ? b->limb[i] : 0);
        rest[i] = (uint32_t)carry;
    }
}

/* a shifted left by `bits` < 32, into one limb more. */
static struct big *shift_left(struct hg_program *heap, const struct big *a, int bits) {
    struct big *result = big_new(heap, a->count + 1);
    uint64_t carry = 0;
    for (uint32_t i = 0; i < a->count; i++, carry >>= 32) {
        carry |= (uint64_t)a->limb[i] << bits;
        result->limb[i] = (uint32_t)carry;
    }
    result->limb[a->count] = (uint32_t)carry;
    return result;
}

static struct big *shift_right(struct hg_program *heap, const struct big *a, int bits) {
    struct big *result = big_new(heap, a->count);
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t pair = a->limb[i] | (uint64_t)(i + 1 < a->count ? a->limb[i + 1] : 0) << 32;
        result->limb[i] = (uint32_t)(pair >> bits);
    }
    return trim(result);
}

/* a mod b, b > 0: long division (Knuth's algorithm D), of which the remainder is kept. */
static struct big *modulo(struct hg_program *heap, const struct big *a, const struct big *b) {
    int bits = __builtin_clz(b->limb[b->count - 1]);
    struct big *rest = shift_left(heap, a, bits);
    struct big *divisor = trim(shift_left(heap, b, bits));
    uint32_t n = divisor->count;
    uint64_t top = divisor->limb[n - 1];
    for (uint32_t at = rest->count > n ? rest->count - n : 0; at-- > 0;) {
        uint64_t head = (uint64_t)rest->limb[at + n] << 32 | rest->limb[at + n - 1];
        uint64_t quotient = head / top;
        if (quotient > UINT32_MAX)
            quotient = UINT32_MAX;
        /* At most two too large: the divisor's highest bit is set. */
        if (subtract_scaled(&rest->limb[at], divisor, quotient)) {
            do
                add_back(&rest->limb[at], divisor);
            while (rest->limb[at + n] != 0);
        }
    }
    trim(rest);
    struct big *result = shift_right(heap, rest, bits);
    big_free(heap, divisor);
    big_free(heap, rest);
    return result;
}

/* Takes over a and b. */
static struct big *common_divisor(struct hg_program *heap, struct big *a, struct big *b) {
    while (b->count > 0) {
        struct big *rest = modulo(heap, a, b);
        big_free(heap, a);
        a = b;
        b = rest;
    }
    big_free(heap, b);
    return a;
}

/* x * x + 1 mod n; takes over x. */
static struct big *step(struct hg_program *heap, struct big *x, const struct big *n) {
    static const uint32_t one = 1;
    struct big *square = multiply(heap, x, x);
    struct big *next = scale(heap, square, one, 1);
    struct big *result = modulo(heap, next, n);
    big_free(heap, x);
    big_free(heap, square);
    big_free(heap, next);
    return result;
}

/* product * |x - y| mod n; takes over the product. */
static struct big *gather(struct hg_program *heap, struct big *product, const struct big *x,
                          const struct big *y, const struct big *n) {
    struct big *distance = compare(x, y) >= 0 ? subtract(heap, x, y) : subtract(heap, y, x);
    struct big *more = multiply(heap, product, distance);
    struct big *result = modulo(heap, more, n);
    big_free(heap, product);
    big_free(heap, distance);
    big_free(heap, more);
    return result;
}

/* A factor of n, which may be 1 or n where the walk had no luck. */
static struct big *walk(struct hg_program *heap, const struct big *n) {
    enum { BETWEEN_DIVISORS = 64, STEPS_MAX = 1 << 14 };
    struct big *x = parse(heap, "2"), *y = parse(heap, "2"), *product = parse(heap, "1");
    struct big *divisor = parse(heap, "1");
    for (int i = 1; i <= STEPS_MAX && divisor->count == 1 && divisor->limb[0] == 1; i++) {
        x = step(heap, x, n);
        y = step(heap, step(heap, y, n), n);
        product = gather(heap, product, x, y, n);
        if (i % BETWEEN_DIVISORS != 0)
            continue;
        big_free(heap, divisor);
        divisor = common_divisor(heap, scale(heap, n, 1, 0), scale(heap, product, 1, 0));
    }
    big_free(heap, x);
    big_free(heap, y);
    big_free(heap, product);
    return divisor;
}

static bool factor_one(struct hg_program *heap, const char *digits) {
    struct big *n = parse(heap, digits), *factor = walk(heap, n);
    struct big *rest = modulo(heap, n, factor);
    bool good = rest->count == 0 && compare(factor, n) < 0 && factor->limb[0] != 1;
    big_free(heap, rest);
    big_free(heap, factor);
    big_free(heap, n);
    return good;
}

static void factor(hg_state *state) {
    if (!hg_workload_needs_content(state))
        return;
    struct hg_program heap = hg_program_of(state);
    size_t next = 0;
    HG_WORKLOAD_LOOP(state) {
        if (!factor_one(&heap, composites[next]))
            hg_skip_with_error(state, "%s was not factored", composites[next]);
        next = (next + 1) % COMPOSITES;
    }
    hg_workload_done(state, heap.calls);
}

static void configure(hg_benchmark *b) {
    (void)b;
}

const struct hg_workload hg__workload_factor = {
    "factor",
    "a program: Pollard's rho on big integers; tiny blocks with the shortest of lives",
    factor,
    configure,
};
