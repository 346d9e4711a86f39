/* Plans against dense attention: every number against loops of their own over dense
 * matrices in double, on heads of every kind. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx_twin.h"

enum { N = 29, TOP = 5 };

static const int compared[] = {ATN_APPROX_MASS,
                               ATN_APPROX_MASS_Q01,
                               ATN_APPROX_MASS_Q05,
                               ATN_APPROX_ERROR,
                               ATN_APPROX_ERROR_ABSOLUTE,
                               ATN_APPROX_ERROR_W_O,
                               ATN_APPROX_KL,
                               ATN_APPROX_ERROR_W_O_ABSOLUTE,
                               ATN_APPROX_RECALL,
                               ATN_APPROX_ROW_SUM,
                               ATN_APPROX_MATRIX,
                               ATN_APPROX_ENTROPY,
                               ATN_APPROX_ENTROPY_SHARE,
                               ATN_APPROX_BOUND,
                               ATN_APPROX_SLACK};

static void check_values(const double *got, const double *want, int kind)
{
    for (size_t k = 0; k < sizeof compared / sizeof *compared; k++) {
        const int v = compared[k];

        if (isnan(want[v]) && isnan(got[v])) continue;
        if (want[v] == got[v]) continue; /* infinite ones, too */
        if (!(fabs(got[v] - want[v]) <= 2e-5 * (1 + fabs(want[v]))))
            fail_msg("kind %d, value %d: %.9g, wanted %.9g", kind, v, got[v], want[v]);
    }
}

/* Keys at random, some rows empty. */
static bool *random_keys(const twin *t, int trial)
{
    atn_rng r = atn_rng_stream(1, "test/keys", trial, t->h.nq);
    bool *keep = calloc((size_t)(t->h.nq * t->h.nk + 1), sizeof *keep);

    for (atn_idx i = 0; i < t->h.nq; i++)
        for (atn_idx j = 0; j < t->h.nk; j++)
            keep[i * t->h.nk + j] =
                i % 7 != 3 && twin_sees(t, i, j) && atn_rng_uniform(&r) < .4;
    return keep;
}

static atn_pattern *pattern_of(atn_ctx *cx, const twin *t, const bool *keep)
{
    const atn_frame f = {t->h.nk, t->h.nq, ATN_MAX(t->h.sight.offset, 0), 1,
                         t->h.sight.causal};
    int64_t *ptr = atn_alloc(cx, t->h.nq + 1, sizeof *ptr);
    atn_span *spans = atn_alloc(cx, t->h.nq * t->h.nk, sizeof *spans);
    atn_pattern *p = NULL;
    int64_t n = 0;

    for (atn_idx i = 0; i < t->h.nq; i++) {
        /* lists go by positions, and padded queries stand before the first key */
        const atn_idx query = i + f.first - t->h.sight.offset;

        for (atn_idx j = 0; j < t->h.nk && query < t->h.nq; j++) {
            if (!keep[query * t->h.nk + j]) continue;
            if (n > ptr[i] && spans[n - 1].hi == j)
                spans[n - 1].hi++;
            else
                spans[n++] = (atn_span){j, j + 1};
        }
        ptr[i + 1] = n;
    }
    CHECK_OK(atn_pattern_rows(cx, &f, 1, ptr, spans, &p));
    return p;
}

/* Weights and outputs of rows whose entries weigh e [nq, nk] (0 = none), a sink in the
 * denominator. */
static void weigh(const twin *t, const double *e, double *b, double *o)
{
    const atn_idx nk = t->h.nk;

    for (atn_idx i = 0; i < t->h.nq; i++) {
        double sum = 1 / t->share[i] - 1; /* of the sink, where keys sum to 1 */

        if (!twin_counts(t, i)) sum = 0;
        for (atn_idx j = 0; j < nk; j++) sum += e[i * nk + j];
        for (atn_idx j = 0; j < nk; j++) {
            b[i * nk + j] = sum > 0 ? e[i * nk + j] / sum : 0;
            for (int c = 0; c < DENSE_DV; c++)
                o[i * DENSE_DV + c] +=
                    b[i * nk + j] * (double)t->h.v.data[j * DENSE_DV + c];
        }
    }
}

typedef struct compared_head {
    twin t;
    bool *keep;
    double *b, *o;
    float *out;
    atn_row_sample sample;
    bool sampled;
} compared_head;

static compared_head open_head(atn_ctx *cx, int kind, atn_idx n, int trial,
                               bool sampled)
{
    compared_head c = {.t = twin_make((dense_kind)kind, n, trial), .sampled = sampled};
    const atn_head *h = &c.t.h;

    c.keep = random_keys(&c.t, trial);
    c.b = calloc((size_t)(h->nq * h->nk + 1), sizeof *c.b);
    c.o = calloc((size_t)(h->nq * DENSE_DV + 1), sizeof *c.o);
    c.out = calloc((size_t)(h->nq * DENSE_DV + 1), sizeof *c.out);
    if (sampled) CHECK_OK(atn_row_sample_draw(cx, h->nq, 0, 10, &c.sample));
    return c;
}

static void close_head(compared_head *c)
{
    twin_drop(&c->t);
    free(c->keep);
    free(c->b);
    free(c->o);
    free(c->out);
}

/* Compares, and checks every value. */
static void check_plan(atn_ctx *cx, compared_head *c, const atn_plan *p, bool mask,
                       int kind)
{
    const atn_head *h = &c->t.h;
    const atn_dense_opts opts = {c->sampled ? &c->sample : NULL, c->t.w_o, TWIN_WIDTH,
                                 TOP, true};
    const atn_mat out = {c->out, h->nq, DENSE_DV, DENSE_DV};
    double got[ATN_APPROX_VALUES], want[ATN_APPROX_VALUES];
    atn_dense d;

    for (int k = 0; k < ATN_APPROX_VALUES; k++) got[k] = NAN;
    CHECK_OK(atn_dense_make(cx, h, &opts, &d));
    CHECK(atn_plan_is_mask(p) == mask);
    CHECK_OK(atn_approx_compare(cx, h, &d, p, out, got));
    twin_values(&c->t, c->keep, c->b, c->o, mask, c->sampled ? c->sample.row : NULL,
                c->sampled ? c->sample.weight : NULL, c->sampled ? c->sample.n : h->nq,
                TOP, want);
    check_values(got, want, kind);
    atn_dense_release(cx, &d);
}

static void one_mask(atn_ctx *cx, int kind, int trial, bool sampled)
{
    compared_head c = open_head(cx, kind, N, trial, sampled);
    const atn_idx pairs = c.t.h.nq * c.t.h.nk;
    double *e = calloc((size_t)pairs + 1, sizeof *e);
    atn_plan p = {.tile_rows = 1, .tile_keys = 1};

    for (atn_idx k = 0; k < pairs; k++) e[k] = c.keep[k] ? c.t.a[k] : 0;
    weigh(&c.t, e, c.b, c.o);
    atn_plan_mask(&p, pattern_of(cx, &c.t, c.keep), 0, 1, 1);
    check_plan(cx, &c, &p, true, kind);
    atn_plan_release(cx, &p);
    free(e);
    close_head(&c);
}

static void masks(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_BLIND; kind++)
        for (int trial = 0; trial < 4; trial++) one_mask(cx, kind, trial, false);
}

static void sampled_rows(atn_ctx *cx)
{
    one_mask(cx, DENSE_CAUSAL, 0, true);
    one_mask(cx, DENSE_DECODING, 1, true);
    one_mask(cx, DENSE_SINK, 2, true);
}

/* Two parts: keys by a pattern, and every third key for all rows, twice, with log
 * weights of ln 1.5 and ln .25; half of it all, and the same residual for every row. */
static void one_weighted(atn_ctx *cx, int kind, bool sampled)
{
    compared_head c = open_head(cx, kind, N, 5, sampled);
    const atn_idx nq = c.t.h.nq, nk = c.t.h.nk, each = (nk + 2) / 3;
    double *e = calloc((size_t)(nq * nk) + 1, sizeof *e);
    atn_plan p = {.tile_rows = 1, .tile_keys = 1};
    atn_branch *b = &p.branch[0];
    atn_groups *g = &b->part[1].groups;

    b->part[0].pattern = pattern_of(cx, &c.t, c.keep);
    p.branches = 1;
    b->parts = 2;
    *g = (atn_groups){.n = 1,
                      .row_ptr = atn_alloc(cx, 2, 8),
                      .row = atn_alloc(cx, nq, 4),
                      .key_ptr = atn_alloc(cx, 2, 8),
                      .key = atn_alloc(cx, 2 * each, 4),
                      .log_weight = atn_alloc(cx, 2 * each, 4)};
    b->scale = atn_alloc(cx, nq, sizeof(float));
    p.residual = atn_alloc(cx, nq * DENSE_DV, sizeof(float));
    g->row_ptr[1] = nq;
    g->key_ptr[1] = 2 * each;
    for (atn_idx i = 0; i < nq; i++) g->row[i] = (int32_t)i;
    for (atn_idx k = 0; k < 2 * each; k++) {
        g->key[k] = (int32_t)(3 * (k / 2));
        g->log_weight[k] = logf(k % 2 ? 1.5f : .25f);
    }
    for (atn_idx i = 0; i < nq; i++)
        for (atn_idx j = 0; j < nk; j++) {
            const atn_idx at = i * nk + j;
            const bool third = j % 3 == 0 && twin_sees(&c.t, i, j);

            e[at] = (c.keep[at] ? c.t.a[at] : 0) + (third ? 1.75 * c.t.a[at] : 0);
            c.keep[at] = c.keep[at] || third;
        }
    weigh(&c.t, e, c.b, c.o);
    for (atn_idx i = 0; i < nq; i++) b->scale[i] = .5f;
    for (atn_idx k = 0; k < nq * nk; k++) c.b[k] *= .5;
    for (atn_idx k = 0; k < nq * DENSE_DV; k++) {
        p.residual[k] = .125f;
        c.o[k] = .5 * c.o[k] + .125;
    }
    check_plan(cx, &c, &p, false, kind);
    atn_plan_release(cx, &p);
    free(e);
    close_head(&c);
}

static void weighted(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_GIVEN; kind++) one_weighted(cx, kind, false);
    one_weighted(cx, DENSE_ONE, false);
    one_weighted(cx, DENSE_WINDOW, true);
}

/* ---- an operator: w_ij = sign of key j times its weight over all that is seen ---- */

typedef struct evens {
    double sign; /* of odd keys */
    double leak; /* weight of every key that is hidden */
} evens;

static double even_weight(const atn_head *h, double sign, atn_idx i, atn_idx j)
{
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    return j < lo || j >= hi ? 0 : (j % 2 ? sign : 1) / (double)(hi - lo);
}

static bool twin_hidden(const atn_head *h, atn_idx i, atn_idx j)
{
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    return j < lo || j >= hi;
}

static atn_status even_rows(atn_ctx *cx, const atn_head *h, const void *state,
                            atn_idx first, atn_idx n, double *w)
{
    const evens *e = state;

    (void)cx;
    for (atn_idx r = 0; r < n; r++)
        for (atn_idx j = 0; j < h->nk; j++)
            w[r * h->nk + j] = even_weight(h, e->sign, first + r, j) +
                               (twin_hidden(h, first + r, j) ? e->leak : 0);
    return ATN_OK;
}

static atn_status even_apply(atn_ctx *cx, const atn_head *h, const void *state,
                             double *o, const char *what)
{
    const evens *e = state;

    (void)cx, (void)what;
    for (atn_idx i = 0; i < h->nq; i++)
        for (atn_idx c = 0; c < h->v.cols; c++) {
            o[i * h->v.cols + c] = 0;
            for (atn_idx j = 0; j < h->nk; j++)
                o[i * h->v.cols + c] +=
                    even_weight(h, e->sign, i, j) * (double)atn_crow(h->v, j)[c];
        }
    return ATN_OK;
}

static void even_release(atn_ctx *cx, void *state)
{
    (void)cx, (void)state;
}

static const atn_operator_kind even_kind = {
    .id = "evens", .apply = even_apply, .rows = even_rows, .release = even_release};

/* It chooses no keys, so there are no masses; divergences only of what is not below 0.
 * The rest is as of any weights. */
static void operators(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_BLIND; kind++)
        for (int sign = -1; sign < 2; sign++) {
            compared_head c = open_head(cx, kind, N, 7, false);
            const atn_head *h = &c.t.h;
            const atn_mat out = {c.out, h->nq, DENSE_DV, DENSE_DV};
            const atn_dense_opts opts = {NULL, c.t.w_o, TWIN_WIDTH, TOP, false};
            bool negative = false;
            evens state = {sign, 0};
            const atn_operator op = {&even_kind, &state, 7, 3};
            atn_plan p = {.tile_rows = 1, .tile_keys = 1};
            double got[ATN_APPROX_VALUES], want[ATN_APPROX_VALUES];
            atn_cost cost;
            atn_dense d;

            for (int k = 0; k < ATN_APPROX_VALUES; k++) got[k] = NAN;
            for (atn_idx i = 0; i < h->nq; i++)
                for (atn_idx j = 0; j < h->nk; j++) {
                    c.b[i * h->nk + j] = even_weight(h, sign, i, j);
                    negative |= c.b[i * h->nk + j] < 0 && twin_counts(&c.t, i);
                    c.keep[i * h->nk + j] = c.b[i * h->nk + j] != 0;
                    for (int e = 0; e < DENSE_DV; e++)
                        c.o[i * DENSE_DV + e] +=
                            c.b[i * h->nk + j] * (double)atn_crow(h->v, j)[e];
                }
            atn_plan_operator(&p, &op, 4);
            CHECK_OK(atn_dense_make(cx, h, &opts, &d));
            CHECK_OK(atn_approx_compare(cx, h, &d, &p, out, got));
            CHECK_OK(atn_plan_cost(cx, h, &p, &cost));
            atn_approx_costs(h, &p, &cost, got);
            twin_values(&c.t, c.keep, c.b, c.o, false, NULL, NULL, h->nq, TOP, want);
            want[ATN_APPROX_MASS] = want[ATN_APPROX_MASS_Q01] = NAN;
            want[ATN_APPROX_MASS_Q05] = want[ATN_APPROX_RECALL] = NAN;
            if (negative) want[ATN_APPROX_KL] = NAN;
            check_values(got, want, kind);
            CHECK_NEAR(got[ATN_APPROX_NUMBERS], 4, 0);
            CHECK_NEAR(got[ATN_APPROX_VANISHED], 3, 0);
            atn_dense_release(cx, &d);
            atn_plan_release(cx, &p);
            close_head(&c);
        }
}
/* What a decomposition gives to hidden keys is in the sum of the row and in the error
 * of the weights: leak for each of them, 0 on the dense side. Divergences are infinite. */
static void leaks(atn_ctx *cx)
{
    static const dense_kind kinds[] = {DENSE_CAUSAL, DENSE_WINDOW, DENSE_DECODING};

    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        compared_head c = open_head(cx, kinds[k], N, 7, false);
        const atn_head *h = &c.t.h;
        const atn_mat out = {c.out, h->nq, DENSE_DV, DENSE_DV};
        const atn_dense_opts opts = {NULL, c.t.w_o, TWIN_WIDTH, TOP, false};
        evens state = {1, .125};
        const atn_operator op = {&even_kind, &state, 7, 0};
        atn_plan p = {.tile_rows = 1, .tile_keys = 1};
        double got[ATN_APPROX_VALUES], off = 0, size = 0, sum = 0, rows = 0;
        bool any = false;
        atn_dense d;

        for (int v = 0; v < ATN_APPROX_VALUES; v++) got[v] = NAN;
        for (atn_idx i = 0; i < h->nq; i++) {
            double all = 0;

            for (atn_idx j = 0; j < h->nk; j++) all += c.t.a[i * h->nk + j];
            if (!twin_counts(&c.t, i)) continue;
            rows++;
            for (atn_idx j = 0; j < h->nk; j++) {
                const bool hidden = twin_hidden(h, i, j);
                const double a = c.t.share[i] * c.t.a[i * h->nk + j] / all;
                const double w = hidden ? .125 : even_weight(h, 1, i, j);

                any |= hidden;
                sum += w;
                off += hidden ? w * w : (w - a) * (w - a);
                size += hidden ? 0 : a * a;
            }
        }
        atn_plan_operator(&p, &op, 4);
        CHECK_OK(atn_dense_make(cx, h, &opts, &d));
        CHECK_OK(atn_approx_compare(cx, h, &d, &p, out, got));
        CHECK_NEAR(got[ATN_APPROX_MATRIX], sqrt(off / size), 1e-5 * sqrt(off / size));
        CHECK_NEAR(got[ATN_APPROX_ROW_SUM], sum / rows, 1e-6 * sum / rows);
        CHECK(isnan(got[ATN_APPROX_KL]) == any);
        atn_dense_release(cx, &d);
        atn_plan_release(cx, &p);
        close_head(&c);
    }
}

/* Everything kept: nothing is lost. */
static void everything(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_BLIND; kind++) {
        compared_head c = open_head(cx, kind, N, 2, false);
        const atn_mat out = {c.out, c.t.h.nq, DENSE_DV, DENSE_DV};
        const atn_dense_opts opts = {NULL, c.t.w_o, TWIN_WIDTH, TOP, true};
        atn_plan p = {.branches = 1, .tile_rows = 1, .tile_keys = 1};
        double v[ATN_APPROX_VALUES];
        atn_dense d;

        p.branch[0].parts = 1;
        p.branch[0].part[0].all = true;
        CHECK_OK(atn_dense_make(cx, &c.t.h, &opts, &d));
        CHECK_OK(atn_approx_compare(cx, &c.t.h, &d, &p, out, v));
        CHECK_NEAR(v[ATN_APPROX_MASS], 1, 1e-6);
        CHECK_NEAR(v[ATN_APPROX_MASS_Q01], 1, 1e-6);
        CHECK_NEAR(v[ATN_APPROX_KL], 0, 1e-6);
        CHECK_NEAR(v[ATN_APPROX_ERROR], 0, 1e-6);
        CHECK_NEAR(v[ATN_APPROX_ERROR_W_O], 0, 1e-6);
        CHECK_NEAR(v[ATN_APPROX_RECALL], 1, 0);
        CHECK_NEAR(v[ATN_APPROX_MATRIX], 0, 1e-6);
        CHECK_NEAR(v[ATN_APPROX_BOUND], 0, 1e-5);
        atn_dense_release(cx, &d);
        atn_plan_release(cx, &p);
        close_head(&c);
    }
}

/* Numbers do not depend on threads. */
static void threads(atn_ctx *cx)
{
    double v[2][ATN_APPROX_VALUES];

    for (int k = 0; k < 2; k++) {
        compared_head c = open_head(cx, DENSE_CAUSAL, 100, 3, false);
        const atn_mat out = {c.out, c.t.h.nq, DENSE_DV, DENSE_DV};
        const atn_dense_opts opts = {NULL, c.t.w_o, TWIN_WIDTH, TOP, true};
        atn_plan p = {.tile_rows = 1, .tile_keys = 1};
        atn_dense d;

        cx->threads = k ? 4 : 1;
        memset(v[k], 0, sizeof v[k]);
        atn_plan_mask(&p, pattern_of(cx, &c.t, c.keep), 0, 1, 1);
        CHECK_OK(atn_dense_make(cx, &c.t.h, &opts, &d));
        CHECK_OK(atn_approx_compare(cx, &c.t.h, &d, &p, out, v[k]));
        atn_dense_release(cx, &d);
        atn_plan_release(cx, &p);
        close_head(&c);
    }
    CHECK(memcmp(v[0], v[1], sizeof v[0]) == 0);
}

static void without_memory(atn_ctx *cx)
{
    compared_head c = open_head(cx, DENSE_CAUSAL, 12, 3, false);
    const atn_mat out = {c.out, 12, DENSE_DV, DENSE_DV};
    const atn_dense_opts opts = {NULL, c.t.w_o, TWIN_WIDTH, TOP, true};
    const atn_allocator whole = cx->alloc;
    atn_plan p = {.tile_rows = 1, .tile_keys = 1};
    double v[ATN_APPROX_VALUES];
    atn_status st = ATN_MEMORY;

    atn_plan_mask(&p, pattern_of(cx, &c.t, c.keep), 0, 1, 1);
    cx->threads = 1;
    for (long left = 0; st != ATN_OK && left < 500; left++) {
        check_failing f = {left};
        atn_ctx broken;
        atn_dense d;

        atn_ctx_init(&broken);
        broken.threads = 1;
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_dense_make(&broken, &c.t.h, &opts, &d);
        if (st == ATN_OK) st = atn_approx_compare(&broken, &c.t.h, &d, &p, out, v);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_dense_release(&broken, &d);
        atn_ctx_release(&broken);
    }
    CHECK(st == ATN_OK);
    cx->alloc = whole;
    atn_plan_release(cx, &p);
    close_head(&c);
}

CHECK_MAIN({"masks", masks}, {"sampled rows", sampled_rows}, {"weighted", weighted},
           {"operators", operators}, {"leaks", leaks}, {"everything", everything},
           {"threads", threads}, {"without memory", without_memory})
