/* tests/analysis/test_head_patterns.c -- the keys that hold the weight, against sorting
 * dense rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_patterns.h"

#include "layer_model.h"

enum { KINDS_LEFT_OUT = 10 }; /* of layer_model: some rows only */

static bool sees(const atn_pattern *p, atn_idx h, atn_idx i, atn_idx j)
{
    atn_span *room = malloc((size_t)p->room * sizeof *room);
    const atn_idx n = atn_pattern_keys(p, h, i, room);
    bool in = false;

    for (atn_idx s = 0; s < n; s++) in |= room[s].lo <= j && j < room[s].hi;
    free(room);
    return in;
}

/* How many of the visible weights come before j: larger, or equal and lower. */
static atn_idx rank_of(const double *w, const bool *visible, atn_idx n, atn_idx j,
                       double *before)
{
    atn_idx rank = 0;

    *before = 0;
    for (atn_idx c = 0; c < n; c++) {
        if (!visible[c] || c == j || w[c] < w[j] || (w[c] == w[j] && c > j)) continue;
        rank++;
        *before += w[c];
    }
    return rank;
}

/* Is key j of the row taken? -1: too near to say in float32. */
static int taken(const atn_take *t, const double *w, const bool *visible, atn_idx n,
                 atn_idx j)
{
    double mass = 0, before;
    const atn_idx rank = rank_of(w, visible, n, j, &before);

    for (atn_idx c = 0; c < n; c++) mass += visible[c] ? w[c] : 0;
    if (!visible[j]) return 0;
    if (t->kind == ATN_TAKE_TOPK) return rank < t->k;
    if (t->kind == ATN_TAKE_THRESHOLD)
        return fabs(w[j] - t->t) < 1e-6 ? -1 : w[j] > t->t;
    return fabs(before - t->p * mass) < 1e-5 ? -1 : before < t->p * mass;
}

/* Every kind of layer, single tokens; then their union. */
static void against_sorting(atn_ctx *cx)
{
    static const char *const specs[] = {
        "topk:k=1",   "topk:k=5",        "topk:k=1000", "topp:p=.6",
        "topp:p=.95", "threshold:t=.04", "topp:p=0",    "threshold:t=.0005"};

    for (int kind = 0; kind < KINDS_LEFT_OUT; kind++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            layer_model m = layer_make(cx, kind);
            const atn_idx n = m.problem.nk, first = m.problem.sight.offset;
            atn_pattern *p, *joined;
            atn_take t;

            layer_facts(&m);
            m.keep[1] = false;
            CHECK_OK(atn_take_parse(cx, specs[s], &t));
            CHECK_OK(
                atn_heads_pattern(cx, m.head, m.problem.heads, m.keep, &t, false, &p));
            CHECK_OK(atn_heads_pattern(cx, m.head, m.problem.heads, m.keep, &t, true,
                                       &joined));
            CHECK_EQ(p->heads, LAYER_HEADS - 1);
            for (atn_idx i = 0; i < m.n; i++)
                for (atn_idx j = 0; j < n; j++) {
                    bool any = false, visible[LAYER_MOST];

                    for (atn_idx c = 0; c < n; c++) visible[c] = layer_sees(&m, i, c);
                    for (atn_idx h = 0, at = 0; h < LAYER_HEADS; h++) {
                        const int is =
                            taken(&t, m.p + (h * m.n + i) * n, visible, n, j);
                        const bool in = h != 1 && sees(p, at, first + i, j);

                        if (h == 1) continue;
                        at++;
                        if (is >= 0 && in != is)
                            fail_msg("%s, %s: head %lld, row %lld, key %lld",
                                     layer_kind_name(kind), specs[s], (long long)h,
                                     (long long)i, (long long)j);
                        any |= in;
                    }
                    CHECK_EQ(sees(joined, 0, first + i, j), any);
                }
            atn_pattern_destroy(cx, p);
            atn_pattern_destroy(cx, joined);
            layer_drop(&m);
        }
}

/* Blocks by the mean over their rows of what they give. */
static void blocks_against_sorting(atn_ctx *cx)
{
    static const char *const specs[] = {"topk:k=2,block=4", "topp:p=.8,block=4",
                                        "threshold:t=.1,block=4"};

    for (int kind = 0; kind < 3; kind++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            layer_model m = layer_make(cx, kind);
            const atn_idx n = m.problem.nk, b = 4, nb = (n - 1) / b + 1;
            atn_pattern *p;
            atn_take t;

            layer_facts(&m);
            CHECK_OK(atn_take_parse(cx, specs[s], &t));
            CHECK_OK(atn_heads_pattern(cx, m.head, 1, NULL, &t, false, &p));
            for (atn_idx a = 0; a < nb; a++) {
                const atn_idx rows = ATN_MIN(n - a * b, b);
                double w[LAYER_MOST] = {0};
                bool visible[LAYER_MOST] = {false};

                for (atn_idx i = a * b; i < a * b + rows; i++)
                    for (atn_idx j = 0; j < n; j++) {
                        w[j / b] += m.p[i * n + j] / (double)rows;
                        visible[j / b] |= layer_sees(&m, i, j);
                    }
                for (atn_idx c = 0; c < nb; c++) {
                    const int is = taken(&t, w, visible, nb, c);
                    const atn_idx i = a * b + rows - 1;
                    const bool in = sees(p, 0, i, c * b);

                    if (is >= 0) CHECK_EQ(in, is);
                }
            }
            atn_pattern_destroy(cx, p);
            layer_drop(&m);
        }
}

/* Ties: the lower key; a uniform row of m keys and .5: half of them, rounded up. */
static void equal_weights(atn_ctx *cx)
{
    const float zero[10] = {0};
    const atn_problem p = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 10,
                           .nk = 10,
                           .d = 1,
                           .q = zero,
                           .k = zero,
                           .scale = 1,
                           .sight = {.causal = true, .key_last = 10}};
    const atn_head h = atn_problem_head(&p, 0);
    atn_pattern *half, *three;
    atn_take t;

    CHECK_OK(atn_take_parse(cx, "topp:p=.5", &t));
    CHECK_OK(atn_heads_pattern(cx, &h, 1, NULL, &t, true, &half));
    CHECK_OK(atn_take_parse(cx, "topk:k=3", &t));
    CHECK_OK(atn_heads_pattern(cx, &h, 1, NULL, &t, true, &three));
    for (atn_idx i = 0; i < 10; i++)
        for (atn_idx j = 0; j < 10; j++) {
            CHECK_EQ(sees(half, 0, i, j), j < (i + 2) / 2);
            CHECK_EQ(sees(three, 0, i, j), j < 3 && j <= i);
        }
    atn_pattern_destroy(cx, half);
    atn_pattern_destroy(cx, three);
}

static void the_mask_itself(atn_ctx *cx)
{
    for (int kind = 0; kind < KINDS_LEFT_OUT; kind++) {
        layer_model m = layer_make(cx, kind);
        atn_pattern *p;

        layer_facts(&m);
        CHECK_OK(atn_sight_pattern(cx, &m.head[0], &p));
        for (atn_idx i = 0; i < m.n; i++)
            for (atn_idx j = 0; j < m.problem.nk; j++)
                CHECK_EQ(sees(p, 0, m.problem.sight.offset + i, j),
                         layer_sees(&m, i, j));
        atn_pattern_destroy(cx, p);
        layer_drop(&m);
    }
}

static void specs(atn_ctx *cx)
{
    atn_take t;

    CHECK_OK(atn_take_parse(cx, "topk", &t));
    CHECK_EQ(t.k, 32);
    CHECK_EQ(t.block, 1);
    CHECK_FAILS(atn_take_parse(cx, "", &t), ATN_USAGE, "topk:k=32");
    CHECK_FAILS(atn_take_parse(cx, "topq:k=3", &t), ATN_USAGE, "topk");
    CHECK_FAILS(atn_take_parse(cx, "topk:k=0", &t), ATN_USAGE, "minimum");
    CHECK_FAILS(atn_take_parse(cx, "topp:p=1.5", &t), ATN_USAGE, "maximum");
    CHECK_FAILS(atn_take_parse(cx, "topk:k=3,topp:p=.5", &t), ATN_USAGE, "one way");
}

static void memory_runs_out(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    bool done = false;
    atn_take t;

    layer_facts(&m);
    CHECK_OK(atn_take_parse(cx, "topk:k=3", &t));
    for (long k = 0; !done; k += 1 + k / 3) {
        check_failing failing = {k};
        atn_pattern *p = NULL;
        atn_ctx mine;

        atn_ctx_init(&mine);
        mine.threads = 1;
        mine.alloc = (atn_allocator){check_failing_resize, &failing};
        done = atn_heads_pattern(&mine, m.head, 2, NULL, &t, true, &p) == ATN_OK;
        CHECK_EQ(p != NULL, done);
        atn_pattern_destroy(&mine, p);
        atn_ctx_release(&mine);
    }
    layer_drop(&m);
}

CHECK_MAIN({"against sorting", against_sorting},
           {"blocks against sorting", blocks_against_sorting},
           {"equal weights", equal_weights}, {"the mask itself", the_mask_itself},
           {"specs", specs}, {"memory runs out", memory_runs_out})
