/* The runner of experiments: names, order, threads, some heads of many, what is left
 * out, and that a violation is found and can be repeated. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "kind_capture.h"

#include "analysis/bounds.h"

static const int kinds[] = {KIND_GQA, KIND_FULL, KIND_SINK};
enum { LAYERS = sizeof kinds / sizeof *kinds };

typedef struct setting {
    kind_layer *l[LAYERS];
    atn_capture *c;
    atn_selection sel;
} setting;

static void open_kinds(atn_ctx *cx, const char *name, const char *heads, setting *s)
{
    const atn_select_args args = {.heads = heads};

    for (int i = 0; i < LAYERS; i++) s->l[i] = make_kind(kinds[i], (uint64_t)(i + 1));
    s->c = kind_capture(cx, name, s->l, LAYERS, 0, NULL, NULL, NULL);
    CHECK_OK(atn_select(cx, s->c, &args, &s->sel));
}

static void close_kinds(atn_ctx *cx, setting *s)
{
    atn_selection_release(cx, &s->sel);
    atn_capture_close(cx, s->c);
    for (int i = 0; i < LAYERS; i++) free(s->l[i]);
}

static atn_bounds run(atn_ctx *cx, const setting *s, const atn_bounds_opts *o)
{
    atn_bounds b;

    CHECK_OK(atn_bounds_run(cx, s->c, &s->sel, o, &b));
    return b;
}

/* Checks come by experiment, then by head; every bound that was asked for and no
 * other. */
static void names(atn_ctx *cx)
{
    const atn_bounds_opts o = {.names = "B10,V1"};
    int dropped = 0, entropy = 0;
    setting s;
    atn_bounds b;

    open_kinds(cx, "bounds_names", NULL, &s);
    b = run(cx, &s, &o);
    for (atn_idx i = 0; i < b.checks.n; i++) {
        const atn_check *c = &b.checks.check[i];

        entropy += strcmp(c->bound->label, "B10") == 0;
        dropped += strcmp(c->experiment->label, "V1") == 0;
        CHECK(strcmp(c->bound->label, "B10") == 0 ||
              strcmp(c->experiment->label, "V1") == 0);
        CHECK(c->verdict == ATN_HOLDS || c->verdict == ATN_NOT_APPLICABLE);
        if (i == 0 || c[-1].experiment != c->experiment) continue;
        CHECK(c[-1].at < c->at || (c[-1].at == c->at && c[-1].head <= c->head));
    }
    CHECK(dropped > 0 && entropy > 0);
    CHECK_EQ(atn_bounds_count(&b, ATN_VIOLATED), 0);
    atn_bounds_release(cx, &b);
    CHECK_FAILS(atn_bounds_run(cx, s.c, &s.sel,
                               &(atn_bounds_opts){.names = "entropy_topk_uper"}, &b),
                ATN_USAGE, "did you mean entropy_topk_upper");
    atn_bounds_release(cx, &b);
    CHECK_FAILS(
        atn_bounds_run(cx, s.c, &s.sel, &(atn_bounds_opts){.names = "joint_flor"}, &b),
        ATN_USAGE, "did you mean joint_floor (attnscope list bounds and list");
    atn_bounds_release(cx, &b);
    CHECK_FAILS(
        atn_bounds_run(cx, s.c, &s.sel, &(atn_bounds_opts){.names = "B10,"}, &b),
        ATN_USAGE, "no bound or experiment ''");
    atn_bounds_release(cx, &b);
    close_kinds(cx, &s);
}

/* Bitwise the same on 1 and 4 threads. */
static void threads(atn_ctx *cx)
{
    const atn_bounds_opts o = {.names = "V1,V5,V8", .trials = 50};
    atn_bounds one, four;
    setting s;

    open_kinds(cx, "bounds_threads", NULL, &s);
    cx->threads = 1;
    one = run(cx, &s, &o);
    cx->threads = 4;
    four = run(cx, &s, &o);
    CHECK_EQ(one.checks.n, four.checks.n);
    for (atn_idx i = 0; i < one.checks.n; i++) {
        const atn_check *a = &one.checks.check[i], *b = &four.checks.check[i];

        CHECK(a->bound == b->bound && a->at == b->at && a->head == b->head);
        CHECK(memcmp(&a->predicted, &b->predicted, sizeof a->predicted) == 0);
        CHECK(memcmp(&a->measured, &b->measured, sizeof a->measured) == 0);
        CHECK_EQ(a->verdict, b->verdict);
    }
    atn_bounds_release(cx, &one);
    atn_bounds_release(cx, &four);
    close_kinds(cx, &s);
}

/* Heads on which an experiment for some heads ran. */
static atn_idx heads_of(const atn_bounds *b)
{
    CHECK_EQ(b->parts, 1);
    return b->part[0].heads;
}

/* An experiment for a few heads takes them from all over the model, or all of them. */
static void some_heads(atn_ctx *cx)
{
    atn_bounds_opts o = {.names = "V4"};
    atn_idx all;
    setting s;
    atn_bounds b;

    open_kinds(cx, "bounds_some", NULL, &s);
    b = run(cx, &s, &o);
    CHECK_EQ(heads_of(&b), b.part[0].of->heads);
    CHECK(b.checks.check[b.checks.n - 1].at > 0);
    atn_bounds_release(cx, &b);
    o.all_heads = true;
    b = run(cx, &s, &o);
    all = heads_of(&b);
    CHECK_EQ(all, s.sel.n_heads);
    atn_bounds_release(cx, &b);
    close_kinds(cx, &s);
}

/* Layers of which nobody takes a head are not read: a NaN there is not met. */
static void what_is_read(atn_ctx *cx)
{
    const atn_select_args args = {0};
    atn_bounds_opts o = {.names = "projection_claim", .trials = 50};
    setting s;
    atn_bounds b;

    for (int i = 0; i < LAYERS; i++) s.l[i] = make_kind(kinds[i], (uint64_t)(i + 1));
    s.l[1]->q[0] = NAN;
    s.c = kind_capture(cx, "bounds_read", s.l, LAYERS, 0, NULL, NULL, NULL);
    CHECK_OK(atn_select(cx, s.c, &args, &s.sel));
    b = run(cx, &s, &o);
    CHECK_EQ(b.failed, 0);
    CHECK_EQ(b.checks.n, 2);
    atn_bounds_release(cx, &b);
    o.names = "V5";
    b = run(cx, &s, &o);
    CHECK_EQ(b.failed, 1);
    atn_bounds_release(cx, &b);
    close_kinds(cx, &s);
}

/* Experiments that take different numbers of tokens, in any order, find what they find
 * alone. */
static void fewer_tokens_first(atn_ctx *cx)
{
    static const char *const alone[] = {"V3", "V4", "V5"};
    atn_bounds_opts o = {.names = "V3,V4,V5"};
    atn_idx at = 0;
    setting s;
    atn_bounds all, one;

    open_kinds(cx, "bounds_fewer", "0,1", &s);
    all = run(cx, &s, &o);
    for (int k = 0; k < 3; k++) {
        o.names = alone[k];
        one = run(cx, &s, &o);
        for (atn_idx i = 0; i < one.checks.n; i++, at++) {
            const atn_check *a = &all.checks.check[at], *b = &one.checks.check[i];

            CHECK(at < all.checks.n && a->bound == b->bound && a->head == b->head);
            CHECK(memcmp(&a->measured, &b->measured, sizeof a->measured) == 0);
        }
        atn_bounds_release(cx, &one);
    }
    CHECK_EQ(at, all.checks.n);
    atn_bounds_release(cx, &all);
    close_kinds(cx, &s);
}

/* Tables: a row a check, and sums of them by bound. */
static void tables(atn_ctx *cx)
{
    const atn_bounds_opts o = {.names = "V1", .most = 20};
    atn_table *checks, *verdicts;
    const char *again;
    int64_t sum = 0;
    setting s;
    atn_bounds b;

    open_kinds(cx, "bounds' tables", "0", &s); /* a path that a shell would split */
    b = run(cx, &s, &o);
    b.checks.check[0].measured += 1;
    atn_checks_judge(&b.checks);
    CHECK_EQ(b.checks.check[0].verdict, ATN_VIOLATED);
    CHECK_OK(atn_bounds_table(cx, &b, &checks));
    CHECK_OK(atn_bounds_verdicts(cx, &b, &verdicts));
    CHECK_EQ(atn_table_rows(checks), b.checks.n);
    CHECK_STR(atn_table_get_str(checks, 0, atn_table_find_col(checks, "verdict")),
              "violated");
    again = atn_table_get_str(checks, 0, atn_table_find_col(checks, "reproduce"));
    CHECK(strstr(again, b.checks.check[0].bound->id));
    CHECK(strstr(again, "bounds '"));
    CHECK(strstr(again, "bounds'\\'' tables"));
    CHECK(strstr(again, "--heads 0.0"));
    CHECK(strstr(again, "--tokens 20"));
    CHECK(!strstr(again, "--trials"));
    CHECK(!atn_table_has(checks, 1, atn_table_find_col(checks, "reproduce")));
    for (atn_idx i = 0; i < atn_table_rows(verdicts); i++)
        sum += atn_table_get_i64(verdicts, i, atn_table_find_col(verdicts, "checks"));
    CHECK_EQ(sum, b.checks.n);
    atn_table_destroy(cx, checks);
    atn_table_destroy(cx, verdicts);
    atn_bounds_release(cx, &b);
    close_kinds(cx, &s);
}

CHECK_MAIN({"names", names}, {"threads", threads}, {"some heads", some_heads},
           {"what is read", what_is_read}, {"fewer tokens first", fewer_tokens_first},
           {"tables", tables})
