/* tests/approx/selection.h -- which keys a plan keeps, as a matrix of yes and no, and
 * what must hold of every plan of a method, for tests against a twin. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

/* Kept keys of a head, [nq, nk] bytes from malloc: those with a weight. */
static inline uint8_t *selection_of(atn_ctx *cx, const zoo *z, const char *spec,
                                    atn_idx head)
{
    const atn_head *h = &z->head[head];
    uint8_t *keeps = calloc((size_t)(h->nq * h->nk) + 1, 1);
    double *w = malloc((size_t)(h->nq * h->nk + 1) * sizeof *w);
    atn_plan plans[ZOO_HEADS_MOST];
    atn_idx n = zoo_plan(cx, z, spec, 0, plans);
    const atn_idx first = head / n * n;

    assert_non_null(keeps);
    assert_non_null(w);
    if (first > 0) {
        zoo_release(cx, plans, n);
        n = zoo_plan(cx, z, spec, first, plans);
    }
    CHECK_OK(atn_plan_rows(cx, h, &plans[head - first], 0, h->nq, w));
    for (atn_idx e = 0; e < h->nq * h->nk; e++) keeps[e] = w[e] != 0;
    zoo_release(cx, plans, n);
    free(w);
    return keeps;
}

static inline void selection_same(const char *what, const zoo *z, atn_idx head,
                                  const uint8_t *got, const uint8_t *wanted)
{
    const atn_head *h = &z->head[head];

    for (atn_idx i = 0; i < h->nq; i++)
        for (atn_idx j = 0; j < h->nk; j++)
            if (got[i * h->nk + j] != wanted[i * h->nk + j])
                fail_msg("%s: head %lld, row %lld %s key %lld", what, (long long)head,
                         (long long)i, got[i * h->nk + j] ? "keeps" : "lacks",
                         (long long)j);
}

/* All that the mask shows is kept. */
static inline void selection_is_dense(atn_ctx *cx, const zoo *z, const char *spec,
                                      atn_idx head)
{
    const atn_head *h = &z->head[head];
    uint8_t *got = selection_of(cx, z, spec, head);

    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        for (atn_idx j = 0; j < h->nk; j++)
            CHECK_EQ(got[i * h->nk + j], j >= lo && j < hi);
    }
    free(got);
}

/* Keys and counts are the same on one thread and on four. */
static inline void selection_threads(atn_ctx *cx, const zoo *z, const char *spec)
{
    atn_plan plans[2][ZOO_HEADS_MOST];
    atn_idx n = 0;

    for (int t = 0; t < 2; t++) {
        cx->threads = t == 0 ? 1 : 4;
        n = zoo_plan(cx, z, spec, 0, plans[t]);
    }
    for (atn_idx k = 0; k < n; k++) {
        const atn_head *h = &z->head[k];
        double *w[2];

        for (int t = 0; t < 2; t++) {
            w[t] = malloc((size_t)(h->nq * h->nk) * sizeof **w);
            assert_non_null(w[t]);
            CHECK_OK(atn_plan_rows(cx, h, &plans[t][k], 0, h->nq, w[t]));
        }
        CHECK(memcmp(w[0], w[1], (size_t)(h->nq * h->nk) * sizeof **w) == 0);
        CHECK(plans[0][k].index_flops == plans[1][k].index_flops);
        CHECK(plans[0][k].index_bytes == plans[1][k].index_bytes);
        CHECK_EQ(plans[0][k].ties, plans[1][k].ties);
        free(w[0]);
        free(w[1]);
    }
    zoo_release(cx, plans[0], n);
    zoo_release(cx, plans[1], n);
}

/* zoo_failing of "id:params". */
static inline void selection_failing(const zoo *z, const char *spec)
{
    char text[512], *params;

    snprintf(text, sizeof text, "%s", spec);
    params = strchr(text, ':');
    if (params) *params++ = '\0';
    zoo_failing(z, text, params);
}

/* Planning fails with this status, and the message contains `part`. */
static inline void selection_fails(atn_ctx *cx, const zoo *z, const char *spec,
                                   atn_status code, const char *part)
{
    atn_plan plans[ZOO_HEADS_MOST];
    char text[512], *params;
    atn_status st;
    atn_choice c;

    snprintf(text, sizeof text, "%s", spec);
    params = strchr(text, ':');
    if (params) *params++ = '\0';
    st = atn_choice_read(cx, text, params, &c);
    if (st == ATN_OK) st = atn_choice_check(cx, &c, &z->in);
    if (st == ATN_OK) st = atn_choice_plan(cx, &c, &z->in, 0, plans);
    CHECK_FAILS(st, code, part);
}

static inline unsigned selection_looks(atn_ctx *cx, const zoo *z, const char *spec)
{
    char text[512], *params;
    atn_choice c;

    snprintf(text, sizeof text, "%s", spec);
    params = strchr(text, ':');
    if (params) *params++ = '\0';
    CHECK_OK(atn_choice_read(cx, text, params, &c));
    return atn_choice_looks(&c, &z->in);
}

/* Queries and keys become multiples of 1/4, so that sums are exact and there are
 * ties. */
static inline void selection_round(zoo *z)
{
    const atn_head *h = &z->head[0];
    const atn_idx kv = z->in.heads / z->in.group;

    for (atn_idx e = 0; e < z->in.heads * h->nq * h->q.cols; e++)
        z->q[e] = roundf(4 * z->q[e]) / 4;
    for (atn_idx e = 0; e < kv * h->nk * h->k.cols; e++)
        z->k[e] = roundf(4 * z->k[e]) / 4;
}

static inline void selection_window(zoo *z, atn_idx window)
{
    for (atn_idx h = 0; h < z->in.heads; h++) z->head[h].sight.window = window;
}

static inline double selection_dot(const float *x, const float *y, atn_idx d)
{
    double sum = 0;

    for (atn_idx c = 0; c < d; c++) sum += (double)x[c] * (double)y[c];
    return sum;
}
