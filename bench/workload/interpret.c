/* interpret: a small Lisp: reads a program's text into cells, evaluates it by walking the tree,
 * with every number and pair a counted block that is freed with its last reference. Stresses what
 * interpreters do to an allocator: blocks of 32 bytes by the million, most dead within a few calls,
 * freed in cascades. An iteration reads and runs the program once. */
#include "support.h"

#include <ctype.h>
#include <stdlib.h>

static const char program_text[] =
    "(define fib (lambda (n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))))"
    "(define range (lambda (a b) (if (< a b) (cons a (range (+ a 1) b)) (quote ()))))"
    "(define map (lambda (f l) (if (null l) l (cons (f (car l)) (map f (cdr l))))))"
    "(define sum (lambda (l) (if (null l) 0 (+ (car l) (sum (cdr l))))))"
    "(define square (lambda (x) (* x x)))"
    "(define adder (lambda (k) (lambda (x) (+ x k))))"
    "(+ (fib 11) (sum (map (adder 3) (map square (range 0 100)))))";
/* fib(11) + sum of squares below 100 + 3 for each of the 100. */
enum { PROGRAM_RESULT = 89 + 328350 + 300 };

enum kind { NUMBER, SYMBOL, PAIR, CLOSURE };

/* The two links of a pair: head and tail. Of a closure: its lambda form, its environment. */
struct cell {
    enum kind kind;
    uint32_t references;
    union {
        int64_t number;
        char symbol[16];
        struct {
            struct cell *first, *second;
        };
    };
};

/* The empty list is NULL. */
struct lisp {
    struct hg_program heap;
    const char *at;       /* the reader's place */
    struct cell *globals; /* ((name . value) ...) */
};

static struct cell *keep(struct cell *cell) {
    if (cell)
        cell->references++;
    return cell;
}

static void drop(struct lisp *lisp, struct cell *cell) {
    while (cell && --cell->references == 0) {
        struct cell *rest = NULL;
        if (cell->kind == PAIR || cell->kind == CLOSURE) {
            drop(lisp, cell->first);
            rest = cell->second;
        }
        hg_program_free(&lisp->heap, cell);
        cell = rest;
    }
}

static struct cell *cell_new(struct lisp *lisp, enum kind kind) {
    struct cell *cell = hg_program_alloc(&lisp->heap, sizeof *cell);
    cell->kind = kind;
    cell->references = 1;
    return cell;
}

static struct cell *number(struct lisp *lisp, int64_t value) {
    struct cell *cell = cell_new(lisp, NUMBER);
    cell->number = value;
    return cell;
}

/* Takes over both references. */
static struct cell *link_cells(struct lisp *lisp, enum kind kind, struct cell *first,
                               struct cell *second) {
    struct cell *cell = cell_new(lisp, kind);
    cell->first = first;
    cell->second = second;
    return cell;
}

static struct cell *cons(struct lisp *lisp, struct cell *head, struct cell *tail) {
    return link_cells(lisp, PAIR, head, tail);
}

/* ---- reading ---- */

static struct cell *read_form(struct lisp *lisp);

static void skip_space(struct lisp *lisp) {
    while (isspace((unsigned char)*lisp->at))
        lisp->at++;
}

static struct cell *read_list(struct lisp *lisp) {
    skip_space(lisp);
    if (*lisp->at == ')') {
        lisp->at++;
        return NULL;
    }
    struct cell *head = read_form(lisp);
    return cons(lisp, head, read_list(lisp));
}

static struct cell *read_form(struct lisp *lisp) {
    skip_space(lisp);
    if (*lisp->at == '(') {
        lisp->at++;
        return read_list(lisp);
    }
    if (isdigit((unsigned char)*lisp->at)) {
        char *end;
        long long value = strtoll(lisp->at, &end, 10);
        lisp->at = end;
        return number(lisp, value);
    }
    struct cell *cell = cell_new(lisp, SYMBOL);
    size_t length = 0;
    for (; *lisp->at && !isspace((unsigned char)*lisp->at) && !strchr("()", *lisp->at); lisp->at++)
        if (length < sizeof cell->symbol - 1)
            cell->symbol[length++] = *lisp->at;
    cell->symbol[length] = '\0';
    return cell;
}

/* ---- evaluating: each function returns a reference that is the caller's ---- */

static struct cell *eval(struct lisp *lisp, struct cell *form, struct cell *environment);

static bool is(const struct cell *cell, const char *name) {
    return cell && cell->kind == SYMBOL && strcmp(cell->symbol, name) == 0;
}

static struct cell *nth(struct cell *list, size_t n) {
    while (n-- > 0)
        list = list->second;
    return list->first;
}

static struct cell *look_up(struct lisp *lisp, const struct cell *name, struct cell *environment) {
    for (; environment; environment = environment->second)
        if (is(environment->first->first, name->symbol))
            return environment->first->second;
    for (struct cell *global = lisp->globals; global; global = global->second)
        if (is(global->first->first, name->symbol))
            return global->first->second;
    return NULL;
}

/* The environment with the parameters bound to the values of the arguments. */
static struct cell *bind(struct lisp *lisp, struct cell *parameters, struct cell *arguments,
                         struct cell *inner, struct cell *outer) {
    struct cell *bound = keep(inner);
    for (; parameters; parameters = parameters->second, arguments = arguments->second) {
        struct cell *value = eval(lisp, arguments->first, outer);
        bound = cons(lisp, cons(lisp, keep(parameters->first), value), bound);
    }
    return bound;
}

static struct cell *call(struct lisp *lisp, struct cell *form, struct cell *environment) {
    struct cell *closure = eval(lisp, form->first, environment);
    struct cell *lambda = closure->first;
    struct cell *bound = bind(lisp, nth(lambda, 1), form->second, closure->second, environment);
    struct cell *result = eval(lisp, nth(lambda, 2), bound);
    drop(lisp, bound);
    drop(lisp, closure);
    return result;
}

static struct cell *arithmetic(struct lisp *lisp, char operator, struct cell * form,
                               struct cell *environment) {
    struct cell *a = eval(lisp, nth(form, 1), environment);
    struct cell *b = eval(lisp, nth(form, 2), environment);
    int64_t value = operator== '+' ? a->number + b->number :
                    operator== '-' ? a->number - b->number
                    :
                    operator== '*' ? a->number * b->number
                                   : a->number<b->number;
    drop(lisp, a);
    drop(lisp, b);
    return number(lisp, value);
}

static struct cell *part_of(struct lisp *lisp, bool head, struct cell *form,
                            struct cell *environment) {
    struct cell *pair = eval(lisp, nth(form, 1), environment);
    struct cell *part = keep(head ? pair->first : pair->second);
    drop(lisp, pair);
    return part;
}

static struct cell *eval_if(struct lisp *lisp, struct cell *form, struct cell *environment) {
    struct cell *test = eval(lisp, nth(form, 1), environment);
    bool yes = test->number != 0;
    drop(lisp, test);
    return eval(lisp, nth(form, yes ? 2 : 3), environment);
}

static struct cell *is_empty(struct lisp *lisp, struct cell *form, struct cell *environment) {
    struct cell *list = eval(lisp, nth(form, 1), environment);
    struct cell *answer = number(lisp, list == NULL);
    drop(lisp, list);
    return answer;
}

static struct cell *define(struct lisp *lisp, struct cell *form, struct cell *environment) {
    struct cell *value = eval(lisp, nth(form, 2), environment);
    lisp->globals = cons(lisp, cons(lisp, keep(nth(form, 1)), value), lisp->globals);
    return NULL;
}

static struct cell *eval(struct lisp *lisp, struct cell *form, struct cell *environment) {
    if (!form || form->kind == NUMBER)
        return keep(form);
    if (form->kind == SYMBOL)
        return keep(look_up(lisp, form, environment));
    struct cell *word = form->first;
    if (word->kind == SYMBOL && strchr("+-*<", word->symbol[0]))
        return arithmetic(lisp, word->symbol[0], form, environment);
    if (is(word, "if"))
        return eval_if(lisp, form, environment);
    if (is(word, "quote"))
        return keep(nth(form, 1));
    if (is(word, "lambda"))
        return link_cells(lisp, CLOSURE, keep(form), keep(environment));
    if (is(word, "cons")) {
        struct cell *head = eval(lisp, nth(form, 1), environment);
        return cons(lisp, head, eval(lisp, nth(form, 2), environment));
    }
    if (is(word, "car") || is(word, "cdr"))
        return part_of(lisp, is(word, "car"), form, environment);
    if (is(word, "null"))
        return is_empty(lisp, form, environment);
    if (is(word, "define"))
        return define(lisp, form, environment);
    return call(lisp, form, environment);
}

static int64_t run_program(struct lisp *lisp) {
    int64_t result = 0;
    lisp->at = program_text;
    while (*lisp->at) {
        struct cell *form = read_form(lisp);
        struct cell *value = eval(lisp, form, NULL);
        result = value && value->kind == NUMBER ? value->number : 0;
        drop(lisp, value);
        drop(lisp, form);
    }
    drop(lisp, lisp->globals);
    lisp->globals = NULL;
    return result;
}

static void interpret(hg_state *state) {
    if (!hg_workload_needs_content(state))
        return;
    struct lisp lisp = {.heap = hg_program_of(state)};
    HG_WORKLOAD_LOOP(state) {
        if (run_program(&lisp) != PROGRAM_RESULT)
            hg_skip_with_error(state, "the program gave a wrong result");
    }
    hg_workload_done(state, lisp.heap.calls);
}

static void configure(hg_benchmark *b) {
    (void)b;
}

const struct hg_workload hg__workload_interpret = {
    "interpret",
    "a program: a Lisp with counted references; small blocks that die young, in cascades",
    interpret,
    configure,
};
