/* tests/approx/low_rank.h -- what is asked of every method that sees queries and keys as
 * a whole: apply and rows agree, threads, failing memory, heads at their worst, what it
 * cannot express. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/g8.h"
#include "tests/approx/selection.h"

static inline double *low_doubles(atn_idx n)
{
    double *x = malloc((size_t)n * sizeof *x + 1);

    if (!x) fail_msg("no memory");
    return x;
}

/* Output and weights of head 0 agree; both to `tolerance` of the terms of a sum. */
static inline void low_agree(atn_ctx *cx, const zoo *z, const char *spec,
                             double tolerance)
{
    const atn_head *h = &z->head[0];
    double *o = low_doubles(h->nq * h->v.cols), *w = low_doubles(h->nq * h->nk);

    g8_run(cx, z, spec, o, w);
    g8_same(z, w, o, tolerance);
    free(o);
    free(w);
}

/* An operator's own output, which is not rounded, against its rows to 1e-9 of the
 * terms. */
static inline void low_exactly(atn_ctx *cx, const zoo *z, const char *spec)
{
    const atn_head *h = &z->head[0];
    double *o = low_doubles(h->nq * h->v.cols), *w = low_doubles(h->nq * h->nk);
    atn_plan plans[ZOO_HEADS_MOST];
    const atn_idx n = zoo_plan(cx, z, spec, 0, plans);

    CHECK(plans[0].op.kind);
    CHECK_OK(plans[0].op.kind->apply(cx, h, plans[0].op.state, o, "test"));
    CHECK_OK(atn_plan_rows(cx, h, &plans[0], 0, h->nq, w));
    g8_same(z, w, o, 1e-9);
    zoo_release(cx, plans, n);
    free(o);
    free(w);
}

/* The same bits of the output on one thread and on four. */
static inline void low_threads(atn_ctx *cx, const zoo *z, const char *spec)
{
    const atn_head *h = &z->head[0];
    const atn_idx n = h->nq * h->v.cols;
    double *o[2];

    selection_threads(cx, z, spec);
    for (int t = 0; t < 2; t++) {
        cx->threads = t == 0 ? 1 : 4;
        o[t] = low_doubles(n);
        g8_run(cx, z, spec, o[t], NULL);
    }
    CHECK(memcmp(o[0], o[1], (size_t)n * sizeof **o) == 0);
    free(o[0]);
    free(o[1]);
}

/* Heads at their worst: all is finite, and apply agrees with rows. */
static inline void low_worst(atn_ctx *cx, const char *spec)
{
    static const int sizes[][2] = {{1, 1}, {2, 2}, {1, 9}, {7, 24}, {24, 24}};

    for (size_t s = 0; s < ATN_LEN(sizes); s++)
        for (int kind = 0; kind < 5; kind++) {
            const atn_idx nq = sizes[s][0], nk = sizes[s][1];
            zoo z;

            zoo_random(&z, 1, 1, nq, nk, 3);
            zoo_causal(&z, false);
            for (atn_idx e = 0; e < nq * 8; e++)
                z.q[e] = kind == 0 ? 0 : kind == 2 ? 80 * z.q[e] : z.q[e];
            for (atn_idx e = 0; e < nk * 8; e++)
                z.k[e] = kind == 1   ? z.k[e % 8]
                         : kind == 2 ? 80 * z.k[e]
                         : kind == 3 ? (float)(e % 8 == e / 8 % 8)
                                     : z.k[e];
            for (atn_idx e = 0; kind == 4 && e < nk * 5; e++) z.v[e] = 0;
            low_agree(cx, &z, spec, 1e-5);
            zoo_free(&z);
        }
}

/* What is no plain head is refused by name. */
static inline void low_refuses(atn_ctx *cx, const char *spec, bool sink)
{
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 4);
    selection_fails(cx, &z, spec, ATN_DATA, "bidirectional");
    zoo_causal(&z, false);
    z.head[0].sight.window = 3;
    selection_fails(cx, &z, spec, ATN_DATA, "a mask that hides keys");
    z.head[0].sight.window = 9;
    low_agree(cx, &z, spec, 1e-5);
    z.head[0].alibi_slope = .1;
    selection_fails(cx, &z, spec, ATN_DATA, "a position bias");
    z.head[0].alibi_slope = 0;
    z.head[0].sight.softcap = 30;
    selection_fails(cx, &z, spec, ATN_DATA, "a soft-cap");
    z.head[0].sight.softcap = 0;
    z.head[0].has_sink = true;
    z.head[0].sink = .5;
    if (sink)
        low_agree(cx, &z, spec, 1e-5);
    else
        selection_fails(cx, &z, spec, ATN_DATA, "a sink logit");
    zoo_free(&z);
}

/* The last queries of a head alone have the outputs that rows say; heads of a group. */
static inline void low_chunk(atn_ctx *cx, const char *spec)
{
    zoo z;

    zoo_random(&z, 4, 2, 300, 700, 6);
    zoo_causal(&z, false);
    low_agree(cx, &z, spec, 1e-5);
    zoo_free(&z);
}

/* What was drawn, given back from the file that it was written to, plans the same. */
static inline void low_round_trip(atn_ctx *cx, const char *id, const char *spec)
{
    char path[600];
    double *o[2];
    zoo z;

    zoo_random(&z, 1, 1, 40, 40, 8);
    zoo_causal(&z, false);
    snprintf(path, sizeof path, "%s/drawn.safetensors", check_scratch(id));
    for (int t = 0; t < 2; t++) {
        z.in.seed = 11 + (uint64_t)t;
        o[t] = low_doubles(40 * 5);
        CHECK_OK(atn_draws_open(cx, t ? path : NULL, &z.in.draws));
        g8_run(cx, &z, spec, o[t], NULL);
        if (t == 0) CHECK_OK(atn_draws_save(cx, z.in.draws, path, true));
        zoo_draws_end(&z, cx);
    }
    CHECK(memcmp(o[0], o[1], 40 * 5 * sizeof **o) == 0);
    z.in.seed = 12;
    g8_run(cx, &z, spec, o[1], NULL);
    CHECK(memcmp(o[0], o[1], 40 * 5 * sizeof **o) != 0);
    free(o[0]);
    free(o[1]);
    zoo_free(&z);
}
