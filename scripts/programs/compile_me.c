/* A source for gcc's cc1 to work on: an interpreter for arithmetic, with enough variants to keep the
 * optimiser busy. It is compiled, never linked. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, VARIABLE, NEGATE, ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, CALL };

struct node {
    enum kind kind;
    double value;
    char name[16];
    struct node *left, *right;
};

struct parser {
    const char *at;
    const char *why;
};

static struct node *sum(struct parser *p);

static struct node *make(enum kind kind, struct node *left, struct node *right) {
    struct node *n = calloc(1, sizeof *n);
    if (n) {
        n->kind = kind;
        n->left = left;
        n->right = right;
    }
    return n;
}

static void skip(struct parser *p) {
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static int eat(struct parser *p, char c) {
    skip(p);
    if (*p->at != c)
        return 0;
    p->at++;
    return 1;
}

static struct node *atom(struct parser *p) {
    skip(p);
    if (eat(p, '(')) {
        struct node *inner = sum(p);
        if (!eat(p, ')'))
            p->why = "a parenthesis is not closed";
        return inner;
    }
    if (eat(p, '-'))
        return make(NEGATE, atom(p), NULL);
    if (isdigit((unsigned char)*p->at)) {
        char *end;
        struct node *n = make(NUMBER, NULL, NULL);
        if (n)
            n->value = strtod(p->at, &end), p->at = end;
        return n;
    }
    if (isalpha((unsigned char)*p->at)) {
        struct node *n = make(VARIABLE, NULL, NULL);
        size_t length = 0;
        while (isalnum((unsigned char)*p->at) && n && length + 1 < sizeof n->name)
            n->name[length++] = *p->at++;
        if (n && eat(p, '(')) {
            n->kind = CALL;
            n->left = sum(p);
            if (!eat(p, ')'))
                p->why = "a call is not closed";
        }
        return n;
    }
    p->why = "a number, a name or a parenthesis was expected";
    return NULL;
}

static struct node *power(struct parser *p) {
    struct node *base = atom(p);
    return eat(p, '^') ? make(POWER, base, power(p)) : base;
}

static struct node *product(struct parser *p) {
    struct node *n = power(p);
    for (;;) {
        if (eat(p, '*'))
            n = make(MULTIPLY, n, power(p));
        else if (eat(p, '/'))
            n = make(DIVIDE, n, power(p));
        else
            return n;
    }
}

static struct node *sum(struct parser *p) {
    struct node *n = product(p);
    for (;;) {
        if (eat(p, '+'))
            n = make(ADD, n, product(p));
        else if (eat(p, '-'))
            n = make(SUBTRACT, n, product(p));
        else
            return n;
    }
}

static const struct {
    const char *name;
    double (*function)(double);
} functions[] = {
    {"sin", sin}, {"cos", cos}, {"tan", tan}, {"sqrt", sqrt}, {"exp", exp}, {"log", log}, {"floor", floor}, {"fabs", fabs},
};

static double call(const char *name, double x) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(functions[i].name, name))
            return functions[i].function(x);
    errno = EDOM;
    return 0;
}

static double value(const struct node *n, double x) {
    switch (n ? n->kind : NUMBER) {
    case NUMBER:
        return n ? n->value : 0;
    case VARIABLE:
        return x;
    case NEGATE:
        return -value(n->left, x);
    case ADD:
        return value(n->left, x) + value(n->right, x);
    case SUBTRACT:
        return value(n->left, x) - value(n->right, x);
    case MULTIPLY:
        return value(n->left, x) * value(n->right, x);
    case DIVIDE:
        return value(n->left, x) / value(n->right, x);
    case POWER:
        return pow(value(n->left, x), value(n->right, x));
    case CALL:
        return call(n->name, value(n->left, x));
    }
    return 0;
}

#define TABULATE(NAME, STEP, FUNCTION)                                                                \
    double NAME(const struct node *n, double from, double to) {                                       \
        double total = 0;                                                                             \
        for (double x = from; x < to; x += (STEP))                                                    \
            total += FUNCTION(value(n, x)) * (STEP);                                                  \
        return total;                                                                                 \
    }
/* Ten of each: the compiler has as much to do as in a source of a few thousand lines. */
#define TEN(NAME, FUNCTION)                                                                           \
    TABULATE(NAME, 0.001, FUNCTION)                                                                   \
    TABULATE(NAME##_2, 0.002, FUNCTION)                                                               \
    TABULATE(NAME##_3, 0.003, FUNCTION)                                                               \
    TABULATE(NAME##_4, 0.004, FUNCTION)                                                               \
    TABULATE(NAME##_5, 0.005, FUNCTION)                                                               \
    TABULATE(NAME##_6, 0.006, FUNCTION)                                                               \
    TABULATE(NAME##_7, 0.007, FUNCTION)                                                               \
    TABULATE(NAME##_8, 0.008, FUNCTION)                                                               \
    TABULATE(NAME##_9, 0.009, FUNCTION)                                                               \
    TABULATE(NAME##_10, 0.01, FUNCTION)
TEN(area, +)
TEN(area_of_roots, sqrt)
TEN(area_of_sizes, fabs)
TEN(area_of_waves, sin)
TEN(area_of_powers, exp)

static void release(struct node *n) {
    if (n) {
        release(n->left);
        release(n->right);
        free(n);
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct parser p = {argv[i], NULL};
        struct node *n = sum(&p);
        if (p.why)
            fprintf(stderr, "%s: %s\n", argv[i], p.why);
        else
            printf("%g %g %g %g %g\n", area(n, 0, 1), area_of_roots(n, 0, 1), area_of_sizes(n, 0, 1),
                   area_of_waves(n, 0, 1), area_of_powers(n, 0, 1));
        release(n);
    }
    return 0;
}
