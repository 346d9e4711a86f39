/* tests/approx/test_bytes.c -- what planning is said to take before it begins: no
 * method and no static pattern takes more, and none says far more than that.
 *
 * Math    the limit on memory holds for every allocation (core/ctx.h), so that a plan
 *         that is made below a limit never had more in use. Asked of heads without
 *         data, at two lengths and on two numbers of threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/contract_cases.h"
#include "tests/approx/contract_scene.h"

/* Of methods that store the weights, whose time is cubic, CUBIC_LONG is the long one;
 * at their defaults, which may take steps without end, they are tried at CUBIC_SHORT. */
enum { SHORT = 288, LONG = 1536, CUBIC_SHORT = 144, CUBIC_LONG = 384, MANY = 1 << 17 };
/* What a bound may be too large by. */
static const double TIMES = 8, ADDED = 0x1p20;

typedef struct setting {
    const char *id, *params;
    const atn_method *method; /* NULL = a static pattern */
} setting;

/* The heads as they are before data are there. */
static void strip(const scene *s, atn_head *head, atn_input *in)
{
    static const float some = 0;

    *in = s->z.in;
    for (atn_idx h = 0; h < in->heads; h++) {
        head[h] = s->z.head[h];
        head[h].q.data = head[h].k.data = NULL;
        head[h].v.data = &some;
    }
    in->head = head;
}

static atn_status plan_below(atn_ctx *cx, const scene *s, const atn_choice *c,
                             double bytes)
{
    atn_plan plans[ZOO_HEADS_MOST];
    atn_status st;

    cx->mem_limit = *cx->in_use + (size_t)bytes;
    st = atn_choice_plan(cx, c, &s->z.in, 0, plans);
    cx->mem_limit = 0;
    if (st == ATN_OK) zoo_release(cx, plans, atn_choice_heads(c, &s->z.in));
    return st;
}

static void say(const setting *x, const char *what, atn_idx n, double said,
                const char *error)
{
    print_error("%s:%s, %lld tokens: %.0f bytes are said, and %s: %s\n", x->id,
                x->params, (long long)n, said, what, error);
}

/* What is wrong at one length; all of it is said before the test fails. */
static int try_setting(atn_ctx *cx, const setting *x, atn_idx n, bool causal)
{
    const scene_size size = {n, n, SCENE_HEADS, SCENE_GROUP};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_head head[ZOO_HEADS_MOST];
    atn_input in;
    atn_status st;
    atn_choice c;
    int wrong = 1;
    double said;
    scene s;

    scene_make(&s, x->method, &size, causal, 5);
    CHECK_OK(atn_choice_read(cx, x->id, x->params, &c));
    strip(&s, head, &in);
    said = atn_choice_bytes(cx, &c, &in);
    st = plan_below(cx, &s, &c, said);
    if (st == ATN_MEMORY)
        say(x, "more are in use", n, said, cx->err.text);
    else if (st == ATN_OK && said > ADDED &&
             plan_below(cx, &s, &c, (said - ADDED) / TIMES) == ATN_OK)
        say(x, "an eighth would do", n, said, "");
    else
        wrong = 0;
    atn_err_clear(cx);
    scene_free(&s);
    atn_arena_rewind(cx, mark);
    return wrong;
}

static bool is_cubic(const setting *x)
{
    return (x->method->reads & ATN_READS_STORED) || strstr(x->params, "how=lapack");
}

static int try_both(atn_ctx *cx, const setting *x)
{
    const bool causal = (x->method->sides & ATN_CAUSAL) != 0, cubic = is_cubic(x);
    const atn_idx brief = cubic ? CUBIC_SHORT : SHORT;
    const atn_idx longer = !cubic ? LONG : x->params[0] ? CUBIC_LONG : 0;
    int wrong = 0;

    for (int threads = 1; threads <= 3; threads += 2) {
        cx->threads = threads;
        wrong += try_setting(cx, x, brief, causal);
        if (longer > 0) wrong += try_setting(cx, x, longer, causal);
    }
    return wrong;
}

/* At its defaults, and as the contracts have it. */
static int try_member(atn_ctx *cx, const char *id, const atn_method *m)
{
    setting x = {id, "", m};
    int wrong = try_both(cx, &x);

    for (size_t c = 0; c < ATN_LEN(contract_cases); c++) {
        if (strcmp(contract_cases[c].id, id) != 0) continue;
        x.params = contract_cases[c].params;
        wrong += try_both(cx, &x);
    }
    return wrong;
}

static void methods_keep_to_it(atn_ctx *cx)
{
    int wrong = 0;

    for (const atn_method *const *m = atn_methods; *m; m++)
        wrong += try_member(cx, (*m)->id, *m);
    CHECK_EQ(wrong, 0);
}

/* Patterns read no numbers, so that they are made for many tokens. */
static int try_pattern(atn_ctx *cx, const char *id, const char *params)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_head head = {.nq = MANY, .nk = MANY, .sight = {.causal = true}};
    const atn_input in = {.head = &head, .heads = 1, .group = 1};
    const setting x = {id, params, NULL};
    double said;
    atn_plan plan;
    atn_status st;
    atn_choice c;

    head.sight.key_last = MANY;
    CHECK_OK(atn_choice_read(cx, id, params, &c));
    said = atn_choice_bytes(cx, &c, &in);
    cx->mem_limit = *cx->in_use + (size_t)said;
    st = atn_choice_plan(cx, &c, &in, 0, &plan);
    if (st == ATN_MEMORY) say(&x, "more are in use", MANY, said, cx->err.text);
    if (st == ATN_OK) atn_plan_release(cx, &plan);
    cx->mem_limit = 0;
    atn_err_clear(cx);
    atn_arena_rewind(cx, mark);
    return st == ATN_MEMORY;
}

static void patterns_keep_to_it(atn_ctx *cx)
{
    int wrong = 0;

    for (const atn_generator *const *g = atn_generators; *g; g++) {
        wrong += try_pattern(cx, (*g)->id, "");
        for (size_t c = 0; c < ATN_LEN(contract_cases); c++)
            if (strcmp(contract_cases[c].id, (*g)->id) == 0)
                wrong += try_pattern(cx, (*g)->id, contract_cases[c].params);
    }
    CHECK_EQ(wrong, 0);
}

CHECK_MAIN({"methods keep to it", methods_keep_to_it},
           {"patterns keep to it", patterns_keep_to_it})
