/* tests/analysis/test_head_patterns.c -- what methods keep of layers of every kind,
 * padding and all, against sorting dense rows. */
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

/* A method by its number, as the specs below write it. */
typedef struct taking {
    const char *spec;
    char kind; /* k, p or t */
    double x;
} taking;

/* Is key j of the row taken? -1: too near to say in float32. */
static int taken(const taking *t, const double *w, const bool *visible, atn_idx n,
                 atn_idx j)
{
    double mass = 0, before;
    const atn_idx rank = rank_of(w, visible, n, j, &before);

    for (atn_idx c = 0; c < n; c++) mass += visible[c] ? w[c] : 0;
    if (!visible[j]) return 0;
    if (t->kind == 'k') return (double)rank < t->x;
    if (t->kind == 't') return fabs(w[j] - t->x) < 1e-6 ? -1 : w[j] > t->x;
    return fabs(before - t->x * mass) < 1e-5 ? -1 : before < t->x * mass;
}

/* The pattern of the first n heads of a layer that `keep` names. */
static atn_status kept_by(atn_ctx *cx, const layer_model *m, const char *spec,
                          atn_idx n, const bool *keep, bool joined, atn_pattern **out)
{
    atn_input in = {.heads = n, .group = 1};
    atn_head plain[LAYER_HEADS];
    atn_status st = ATN_OK;
    atn_from c;
    atn_idx row0;

    *out = NULL;
    for (atn_idx h = 0; h < n; h++) plain[h] = atn_head_trim(&m->head[h], &row0);
    in.head = plain;
    ATN_TRY(atn_from_read(cx, spec, &c));
    ATN_TRY(atn_heads_pattern(cx, &c.method, &in, keep, joined, &m->head[0], out));
done:
    return st;
}

/* Every kind of layer, single tokens; then their union. */
static void against_sorting(atn_ctx *cx)
{
    static const taking specs[] = {
        {"topk:k=1", 'k', 1},       {"topk:k=5", 'k', 5},
        {"topk:k=1000", 'k', 1000}, {"topp:p=.6", 'p', .6},
        {"topp:p=.95", 'p', .95},   {"threshold:t=.04", 't', .04},
        {"topp:p=0", 'p', 0},       {"threshold:t=.0005", 't', .0005}};

    for (int kind = 0; kind < KINDS_LEFT_OUT; kind++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            layer_model m = layer_make(cx, kind);
            const atn_idx n = m.problem.nk, first = m.problem.sight.offset;
            atn_pattern *p, *joined;
            const taking *t = &specs[s];

            layer_facts(&m);
            m.keep[1] = false;
            CHECK_OK(kept_by(cx, &m, t->spec, LAYER_HEADS, m.keep, false, &p));
            CHECK_OK(kept_by(cx, &m, t->spec, LAYER_HEADS, m.keep, true, &joined));
            CHECK_EQ(p->heads, LAYER_HEADS - 1);
            for (atn_idx i = 0; i < m.n; i++)
                for (atn_idx j = 0; j < n; j++) {
                    bool any = false, visible[LAYER_MOST];

                    for (atn_idx c = 0; c < n; c++) visible[c] = layer_sees(&m, i, c);
                    for (atn_idx h = 0, at = 0; h < LAYER_HEADS; h++) {
                        const int is = taken(t, m.p + (h * m.n + i) * n, visible, n, j);
                        const bool in = h != 1 && sees(p, at, first + i, j);

                        if (h == 1) continue;
                        at++;
                        if (is >= 0 && in != is)
                            fail_msg("%s, %s: head %lld, row %lld, key %lld",
                                     layer_kind_name(kind), t->spec, (long long)h,
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

/* Blocks by the mean over their rows of what they give; those of keys begin behind the
 * padding. */
static void blocks_against_sorting(atn_ctx *cx)
{
    static const taking specs[] = {{"topk:k=2,block=4", 'k', 2},
                                   {"topp:p=.8,block=4", 'p', .8},
                                   {"threshold:t=.1,block=4", 't', .1}};

    for (int kind = 0; kind < 3; kind++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            layer_model m = layer_make(cx, kind);
            const atn_idx key0 = ATN_MAX(m.problem.sight.key_first, 0), b = 4;
            const atn_idx n = m.problem.nk - key0, nb = (n - 1) / b + 1;
            atn_pattern *p;
            const taking *t = &specs[s];

            layer_facts(&m);
            CHECK_OK(kept_by(cx, &m, t->spec, 1, NULL, false, &p));
            for (atn_idx a = 0; a < (m.n - 1) / b + 1; a++) {
                const atn_idx rows = ATN_MIN(m.n - a * b, b);
                double w[LAYER_MOST] = {0};
                bool visible[LAYER_MOST] = {false};

                for (atn_idx i = a * b; i < a * b + rows; i++)
                    for (atn_idx j = 0; j < n; j++) {
                        w[j / b] += m.p[i * m.problem.nk + key0 + j] / (double)rows;
                        visible[j / b] |= layer_sees(&m, i, key0 + j);
                    }
                for (atn_idx c = 0; c < nb; c++) {
                    const int is = taken(t, w, visible, nb, c);
                    const atn_idx i = a * b + rows - 1;
                    const bool in = sees(p, 0, i, key0 + c * b);

                    /* of a block that is kept, what the mask shows */
                    if (is >= 0) CHECK_EQ(in, is && layer_sees(&m, i, key0 + c * b));
                }
            }
            atn_pattern_destroy(cx, p);
            layer_drop(&m);
        }
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

/* Any method of the registry: a static one is itself as far as the mask goes, and
 * heads of several shapes end in tokens. */
static void any_method(atn_ctx *cx)
{
    static const char *const specs[] = {"window:window=3", "stream:sink=1,window=2",
                                        "minference:form=a_shape,sink=1,window=2",
                                        "moba:k=1,block=4"};

    for (int kind = 0; kind < KINDS_LEFT_OUT; kind++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            layer_model m = layer_make(cx, kind);
            const atn_idx n = m.problem.nk, first = m.problem.sight.offset;
            const bool causal = m.problem.sight.causal;
            const atn_idx key0 = ATN_MAX(m.problem.sight.key_first, 0);
            /* queries whose positions nothing asks for begin at the first key */
            const atn_idx at0 = causal || m.problem.sight.window
                                    ? first - key0
                                    : ATN_MAX(first - key0, 0);
            atn_pattern *p;

            layer_facts(&m);
            if (s > 1 && (!causal || m.problem.p)) { /* they say what they need */
                CHECK_FAILS(kept_by(cx, &m, specs[s], LAYER_HEADS, NULL, true, &p),
                            ATN_DATA, causal ? "queries and keys" : "causal");
                layer_drop(&m);
                continue;
            }
            CHECK_OK(kept_by(cx, &m, specs[s], LAYER_HEADS, NULL, true, &p));
            for (atn_idx i = 0; i < m.n; i++)
                for (atn_idx j = 0; j < n; j++) {
                    const atn_idx away = at0 + i - (j - key0);
                    const bool near = away >= 0 && away < (s == 0 ? 3 : 2);

                    if (s < 3)
                        CHECK_EQ(sees(p, 0, first + i, j),
                                 layer_sees(&m, i, j) &&
                                     (near || (s > 0 && j == key0)));
                    else if (away == 0 && layer_sees(&m, i, j))
                        CHECK(sees(p, 0, first + i, j));
                }
            atn_pattern_destroy(cx, p);
            layer_drop(&m);
        }
}

static void specs(atn_ctx *cx)
{
    atn_from c;

    CHECK_OK(atn_from_read(cx, "topk:k=3,block=64", &c));
    CHECK_STR(atn_choice_id(&c.method), "topk");
    CHECK(c.grid.n == 0 && c.prompt == 0);
    CHECK_FAILS(atn_from_read(cx, "", &c), ATN_USAGE, "topk:k=32");
    CHECK_FAILS(atn_from_read(cx, "topq:k=3", &c), ATN_USAGE, "topk");
    CHECK_FAILS(atn_from_read(cx, "topk:k=0", &c), ATN_USAGE, "minimum");
    CHECK_FAILS(atn_from_read(cx, "topp:p=1.5", &c), ATN_USAGE, "maximum");
    CHECK_FAILS(atn_from_read(cx, "topk:k=3,topp:p=.5", &c), ATN_USAGE, "one method");
}

static void memory_runs_out(atn_ctx *cx)
{
    static const char *const specs[] = {"topk:k=3", "moba:k=1,block=4"};
    layer_model m = layer_make(cx, 0);

    layer_facts(&m);
    for (size_t s = 0; s < 2 * ATN_LEN(specs); s++) {
        bool done = false;

        for (long k = 0; !done; k += 1 + k / 30) {
            check_failing failing = {k};
            atn_pattern *p = NULL;
            atn_ctx mine;

            atn_ctx_init(&mine);
            mine.threads = 1;
            mine.alloc = (atn_allocator){check_failing_resize, &failing};
            done = kept_by(&mine, &m, specs[s / 2], 2, NULL, s % 2, &p) == ATN_OK;
            CHECK_EQ(p != NULL, done);
            atn_pattern_destroy(&mine, p);
            atn_ctx_release(&mine);
        }
    }
    layer_drop(&m);
}

CHECK_MAIN({"against sorting", against_sorting},
           {"blocks against sorting", blocks_against_sorting},
           {"any method", any_method}, {"the mask itself", the_mask_itself},
           {"specs", specs}, {"memory runs out", memory_runs_out})
