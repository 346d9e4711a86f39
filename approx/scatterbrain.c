/* approx/scatterbrain.c -- Scatterbrain: exact weights on a support, random features
 * everywhere else.
 *
 * Math    a_ij = e^{s_ij} where j is in the support of row i, else phi(q_i) . phi(k_j)
 *         (approx/random_features.h); w_ij = a_ij / sum_l a_il over what the mask shows.
 *         Local: -(w div 2) <= j - i < (w + 1) div 2. LSH (SMYRF): with M_q, M_k the
 *         largest squared norms, F(q) = (q, 0, (M_q + M_k - |q|^2)^1/2) and
 *         G(k) = (k, (M_q + M_k - |k|^2)^1/2, 0), so that |F - G|^2 falls as q . k
 *         rises. A round sorts both by a normal direction; keys are cut in clusters of
 *         w div rounds, queries in as many; the support is the pairs that share a
 *         cluster in some round. Applying takes the sums of all features, less those
 *         of the support, and adds what is exact, by logarithms; a row in which that
 *         would cancel four digits or more is summed key by key.
 * Oracle  everything in the support: dense attention. Nothing: FAVOR+. G8: hyperbolic
 *         with 2 I and a window of 3, o_00 = .6362239488.
 * Source  Chen et al., arXiv 2110.15343; HazyResearch/fly, src/models/attention. The
 *         causal form is our own: all sums over j <= i. cards/kernel-theory.md, card 1.
 * Cost    of features of width m, 2 n m d for making and 4 n m (dv + 1) for applying
 *         them; 2 n w (d + m + dv) for the support.
 * Limits  no soft-cap. The reference divides a pair that t rounds show by t: that is
 *         the same weights.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "approx/features.h"
#include "approx/random_features.h"
#include "core/rows.h"
#include "core/wide_rows.h"

typedef struct scatterbrain {
    int64_t numbers, window, features, rounds, support, kind, norms;
    bool orthogonal;
} scatterbrain;

enum { LOCAL, LSH };
enum { CHI, ROOT };
enum { TASK_ROWS = 64 };
static const double CANCELS = 1e4;

static const atn_param params[] = {
    ATN_PARAM_I64(scatterbrain, numbers, 128, 4, 1 << 18,
                  "numbers stored for a row: half of them window, a quarter features, "
                  "which count twice"),
    ATN_PARAM_I64(scatterbrain, window, -1, -1, 1 << 24,
                  "keys of the support of a row; -1 = half of numbers"),
    ATN_PARAM_I64(scatterbrain, features, 0, 0, 1 << 16,
                  "features; 0 = what numbers leaves"),
    ATN_PARAM_CHOICE(scatterbrain, support, LOCAL, "local|lsh",
                     "near keys, or those that hash to the same cluster"),
    ATN_PARAM_I64(scatterbrain, rounds, 2, 1, 64,
                  "of hashing, each with its share of the window"),
    ATN_PARAM_CHOICE(scatterbrain, kind, ATN_MAP_HYPERBOLIC, "positive|hyperbolic",
                     "e^u, or pairs of e^u and e^-u"),
    ATN_PARAM_BOOL(scatterbrain, orthogonal, 1,
                   "projections orthogonal in blocks of d"),
    ATN_PARAM_CHOICE(
        scatterbrain, norms, CHI, "chi|sqrt",
        "lengths of orthogonal projections: as of normal ones, or sqrt(d)"),
    ATN_PARAM_END,
};

/* Numbers of the support, as they are asked for. */
static atn_idx window_of(const scatterbrain *t)
{
    const atn_idx w = t->window >= 0 ? t->window : t->numbers / 2;

    if (t->support == LOCAL || w == 0) return w;
    return ATN_MAX(w / t->rounds, 1) * t->rounds;
}

static atn_idx draws_of(const scatterbrain *t)
{
    const atn_idx w = t->window >= 0 ? t->window : t->numbers / 2;
    const atn_idx left = ATN_MAX((t->numbers - w) / 2, 1);

    return atn_random_draws((atn_map_kind)t->kind,
                            t->features > 0 ? t->features : left);
}

static atn_idx width_of(const scatterbrain *t)
{
    return atn_random_width((atn_map_kind)t->kind, draws_of(t));
}

/* ---- the support ---- */

typedef struct state {
    atn_features f;
    bool lsh;
    atn_idx window, rounds;
    atn_idx cluster; /* keys of one */
    int32_t *order;  /* [rounds, nk] keys as sorted */
    int32_t *member; /* [rounds, nq] the cluster of a query */
} state;

static int by_index(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* The most keys of a support. */
static atn_idx most_keys(const state *s, const atn_head *h)
{
    if (!s->lsh) return ATN_MIN(s->window, h->nk);
    return s->rounds * ATN_MIN(s->cluster, h->nk);
}

/* The keys of row i's support, ascending, into keys [most_keys]; how many. Of keys that
 * it sees: [lo, hi). */
static atn_idx support_of(const state *s, const atn_head *h, atn_idx i, atn_idx lo,
                          atn_idx hi, int32_t *keys)
{
    const atn_idx at = atn_sight_at(&h->sight, i);
    atn_idx n = 0, unique = 0;

    if (!s->lsh) {
        const atn_idx end = ATN_MIN(hi, at + (s->window + 1) / 2);

        for (atn_idx j = ATN_MAX(lo, at - s->window / 2); j < end; j++)
            keys[n++] = (int32_t)j;
        return n;
    }
    for (atn_idx r = 0; r < s->rounds && s->window > 0; r++) {
        const atn_idx first = s->member[r * h->nq + i] * s->cluster;
        const int32_t *order = s->order + r * h->nk;

        for (atn_idx e = first; e < ATN_MIN(first + s->cluster, h->nk); e++)
            if (order[e] >= lo && order[e] < hi) keys[n++] = order[e];
    }
    qsort(keys, (size_t)n, sizeof *keys, by_index);
    for (atn_idx e = 0; e < n; e++)
        if (e == 0 || keys[e] != keys[e - 1]) keys[unique++] = keys[e];
    return unique;
}

typedef struct place {
    double x;
    int32_t i;
} place;

static int by_place(const void *a, const void *b)
{
    const place *p = a, *q = b;

    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return p->i - q->i;
}

/* |x_i|^2 of the rows of x, and the largest. */
static double squares(atn_cmat x, double *out)
{
    double most = 0;

    for (atn_idx i = 0; i < x.rows; i++) {
        out[i] = 0;
        for (atn_idx c = 0; c < x.cols; c++)
            out[i] += (double)atn_crow(x, i)[c] * (double)atn_crow(x, i)[c];
        most = fmax(most, out[i]);
    }
    return most;
}

/* Rows of x in the order of their places along the direction g, and g_last for what
 * makes all of them of squared length `all`. */
static void sort_rows(atn_cmat x, const double *square, double all, const float *g,
                      double g_last, place *out)
{
    for (atn_idx i = 0; i < x.rows; i++) {
        double sum = g_last * sqrt(fmax(all - square[i], 0));

        for (atn_idx c = 0; c < x.cols; c++)
            sum += (double)atn_crow(x, i)[c] * (double)g[c];
        out[i] = (place){sum, (int32_t)i};
    }
    qsort(out, (size_t)x.rows, sizeof *out, by_place);
}

static atn_status make_clusters(atn_ctx *cx, const atn_input *in, const atn_head *h,
                                state *s)
{
    const atn_idx nq = h->nq, nk = h->nk, d = h->q.cols, rounds = s->rounds;
    const atn_idx clusters = (nk + s->cluster - 1) / s->cluster;
    const atn_idx of_q = (nq + clusters - 1) / clusters;
    const atn_draw what = {
        "directions", "scatterbrain/directions", h->layer, -1, rounds, d + 2};
    const atn_arena_mark mark = atn_arena_save(cx);
    float *g = NULL;
    double *square = NULL, all;
    place *at = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(g, rounds * (d + 2));
    ATN_TAKE(square, nq + nk);
    ATN_TAKE(at, ATN_MAX(nq, nk));
    ATN_NEW(s->order, rounds * nk);
    ATN_NEW(s->member, rounds * nq);
    ATN_TRY(atn_draw_normal(cx, in->draws, in->seed, &what, g));
    all = squares(h->q, square) + squares(h->k, square + nq);
    for (atn_idx r = 0; r < rounds; r++) {
        const float *row = g + r * (d + 2);

        ATN_TRY(atn_stopped(cx, "scatterbrain"));
        sort_rows(h->q, square, all, row, (double)row[d + 1], at);
        for (atn_idx e = 0; e < nq; e++)
            s->member[r * nq + at[e].i] = (int32_t)(e / of_q);
        sort_rows(h->k, square + nq, all, row, (double)row[d], at);
        for (atn_idx e = 0; e < nk; e++) s->order[r * nk + e] = at[e].i;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- weights ---- */

static double logit_of(const atn_head *h, atn_idx i, atn_idx j)
{
    const float *q = atn_crow(h->q, i), *k = atn_crow(h->k, j);
    double sum = 0;

    for (atn_idx c = 0; c < h->q.cols; c++) sum += (double)q[c] * (double)k[c];
    return atn_wide_logit(h, sum * h->scale, atn_sight_at(&h->sight, i), j);
}

/* ln phi(q_i) . phi(k_j), -inf where that is nothing. */
static double feature_log(const atn_features *f, atn_idx i, atn_idx j)
{
    const double *q = f->q + i * f->n, *k = f->k + j * f->n;
    double sum = 0;

    for (atn_idx r = 0; r < f->n; r++) sum += q[r] * k[r];
    return sum > 0 ? log(sum) + f->log_q[i] + f->log_k[j] : -INFINITY;
}

static double share(double x, double top)
{
    return x == -INFINITY ? 0 : exp(x - top);
}

static void add_value(const atn_head *h, atn_idx j, double w, double *o)
{
    const float *v = atn_crow(h->v, j);

    for (atn_idx c = 0; c < h->v.cols; c++) o[c] += w * (double)v[c];
}

/* One row under work. */
typedef struct row {
    atn_idx i, lo, hi, n; /* n keys are in the support */
    const double *sums;   /* [dv + 1] of all features, */
    double log;           /* in units of e^log */
    int32_t *keys;
    double *exact, *feature; /* [n] logarithms */
} row;

/* All of the row key by key. */
static void plain_sum(const state *s, const atn_head *h, const row *r, double top,
                      double *all, double *o)
{
    atn_idx e = 0;

    memset(o, 0, (size_t)h->v.cols * sizeof *o);
    *all = 0;
    for (atn_idx j = r->lo; j < r->hi; j++) {
        const bool in = e < r->n && r->keys[e] == j;
        const double w = share(in ? r->exact[e++] : feature_log(&s->f, r->i, j), top);

        *all += w;
        add_value(h, j, w, o);
    }
}

/* o [dv] <- the output of a row. */
static void merge_row(const state *s, const atn_head *h, const row *r, double *o)
{
    const atn_idx dv = h->v.cols;
    const double sink = h->has_sink ? h->sink : -INFINITY;
    const double ones = r->sums[dv];
    double low = ones > 0 && r->n < r->hi - r->lo
                     ? log(ones) + r->log + s->f.log_q[r->i]
                     : -INFINITY;
    double top = fmax(low, sink), exact = 0, taken = 0, all;

    for (atn_idx e = 0; e < r->n; e++) top = fmax(top, r->exact[e]);
    memset(o, 0, (size_t)dv * sizeof *o);
    if (top == -INFINITY) return;
    low = share(low, top);
    for (atn_idx c = 0; c < dv && low > 0; c++) o[c] = r->sums[c] / ones * low;
    for (atn_idx e = 0; e < r->n; e++) {
        const double w = share(r->exact[e], top);
        const double g = low > 0 ? share(r->feature[e], top) : 0;

        exact += w;
        taken += g;
        add_value(h, r->keys[e], w - g, o);
    }
    all = exact + fmax(low - taken, 0);
    if (low > CANCELS * all) plain_sum(s, h, r, top, &all, o);
    all += share(sink, top);
    for (atn_idx c = 0; c < dv; c++) o[c] = all > 0 ? o[c] / all : 0;
}

typedef struct job {
    const atn_head *h;
    const state *s;
    double *sums, *log, *o;
} job;

static atn_status apply_task(atn_ctx *cx, atn_idx task, void *state_)
{
    const job *j = state_;
    const atn_head *h = j->h;
    const atn_idx most = most_keys(j->s, h), dv = h->v.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    row r = {0};
    atn_status st = ATN_OK;

    ATN_TAKE(r.keys, most);
    ATN_TAKE(r.exact, most);
    ATN_TAKE(r.feature, most);
    for (r.i = task * TASK_ROWS; r.i < ATN_MIN((task + 1) * TASK_ROWS, h->nq); r.i++) {
        atn_sight_row(&h->sight, r.i, &r.lo, &r.hi);
        r.n = support_of(j->s, h, r.i, r.lo, r.hi, r.keys);
        r.sums = j->sums + r.i * (dv + 1);
        r.log = j->log[r.i];
        for (atn_idx e = 0; e < r.n; e++) {
            r.exact[e] = logit_of(h, r.i, r.keys[e]);
            r.feature[e] = feature_log(&j->s->f, r.i, r.keys[e]);
        }
        merge_row(j->s, h, &r, j->o + r.i * dv);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status apply(atn_ctx *cx, const atn_head *h, const void *state_, double *o,
                        const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.h = h, .s = state_, .o = o};
    atn_status st = ATN_OK;

    ATN_TAKE(j.sums, h->nq * (h->v.cols + 1));
    ATN_TAKE(j.log, h->nq);
    ATN_TRY(atn_features_sums(cx, h, &j.s->f, true, j.sums, j.log, what));
    ATN_TRY(
        atn_parallel(cx, (h->nq + TASK_ROWS - 1) / TASK_ROWS, apply_task, &j, what));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Entry by entry: logarithms, then one softmax. */
static atn_status rows(atn_ctx *cx, const atn_head *h, const void *state_,
                       atn_idx first, atn_idx n, double *w)
{
    const state *s = state_;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int32_t *keys = NULL;

    ATN_TAKE(keys, most_keys(s, h));
    for (atn_idx i = first; i < first + n; i++) {
        double *x = w + (i - first) * h->nk, top, sum;
        atn_idx lo, hi, kept, e = 0;

        memset(x, 0, (size_t)h->nk * sizeof *x);
        atn_sight_row(&h->sight, i, &lo, &hi);
        kept = support_of(s, h, i, lo, hi, keys);
        top = h->has_sink ? h->sink : -INFINITY;
        for (atn_idx j = lo; j < hi; j++) {
            const bool in = e < kept && keys[e] == j;

            e += in;
            x[j] = in ? logit_of(h, i, j) : feature_log(&s->f, i, j);
            top = fmax(top, x[j]);
        }
        sum = h->has_sink ? exp(h->sink - top) : 0;
        for (atn_idx j = lo; j < hi; j++) sum += x[j] = share(x[j], top);
        for (atn_idx j = lo; j < hi && sum > 0; j++) x[j] /= sum;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes_of(const atn_ctx *cx, const atn_head *h, const void *state_)
{
    const state *s = state_;

    return 8 * (double)h->nq * (double)(h->v.cols + 2) +
           atn_features_scratch(cx, h, s->f.n, true) +
           20 * (double)most_keys(s, h) * cx->threads + 512;
}

static void release(atn_ctx *cx, void *state_)
{
    state *s = state_;

    if (!s) return;
    atn_features_release(cx, &s->f);
    atn_free(cx, s->order);
    atn_free(cx, s->member);
    atn_free(cx, s);
}

static const atn_operator_kind kind = {
    .id = "scatterbrain",
    .apply = apply,
    .rows = rows,
    .bytes = bytes_of,
    .release = release,
};

/* ---- the plan ---- */

/* Pairs of the support, of LSH at most. */
static double support_pairs(const scatterbrain *t, const atn_head *h)
{
    const atn_idx w = window_of(t);
    double pairs = 0;

    if (t->support == LSH) return (double)h->nq * (double)ATN_MIN(w, t->rounds * h->nk);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = atn_sight_at(&h->sight, i);
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        lo = ATN_MAX(lo, at - w / 2);
        hi = ATN_MIN(hi, at + (w + 1) / 2);
        pairs += (double)ATN_MAX(hi - lo, 0);
    }
    return pairs;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const scatterbrain *t = params_;
    const double m = (double)width_of(t), d = (double)h->q.cols;
    const double dv = (double)h->v.cols;

    out->numbers = (double)window_of(t) + 2 * m;
    out->executed = atn_features_executed(h, width_of(t)) +
                    support_pairs(t, h) * (d + m + dv) / (d + dv);
    return true;
}

/* Logarithms hold the squared norms, so that they tell what is no number. */
static atn_status check_logs(atn_ctx *cx, const atn_head *h, const double *log,
                             atn_idx n, const char *what)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < n; i++)
        if (!isfinite(log[i]))
            ATN_FAIL(ATN_DATA,
                     "scatterbrain: layer %d, head %d: %s %lld has a NaN or infinite "
                     "norm (look for NaN in the model's weights or the imported "
                     "tensors)",
                     h->layer, h->head, what, (long long)i);
done:
    return st;
}

static atn_status make_features(atn_ctx *cx, const atn_input *in, const atn_head *h,
                                const scatterbrain *t, atn_features *f)
{
    const atn_idx m = draws_of(t), d = h->q.cols;
    const atn_projections p = {"scatterbrain", m, d, t->orthogonal, t->norms == ROOT};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_random_map map = {.kind = (atn_map_kind)t->kind, .scale = h->scale};
    float *omega = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(omega, m * d);
    ATN_TRY(atn_projections_make(cx, in, &p, omega));
    map.omega = (atn_cmat){omega, m, d, d};
    ATN_TRY(atn_random_open(cx, &map, h, f, "scatterbrain"));
    ATN_TRY(check_logs(cx, h, f->log_q, h->nq, "query"));
    ATN_TRY(check_logs(cx, h, f->log_k, h->nk, "key"));
    /* a bias of positions is among the keys; here it has to be as in the logits */
    for (atn_idx i = 0; i < h->nq; i++)
        f->log_q[i] -= h->alibi_slope * (double)atn_sight_at(&h->sight, i);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check(atn_ctx *cx, const atn_head *h)
{
    atn_status st = ATN_OK;

    if (h->sight.softcap > 0)
        ATN_FAIL(
            ATN_DATA,
            "scatterbrain: layer %d has a soft-cap, which its features do not know "
            "(choose layers without one, or another method)",
            h->layer);
    if (h->rel_bias)
        ATN_FAIL(ATN_DATA,
                 "scatterbrain: layer %d has a bias by relative position, which its "
                 "features do not know (choose layers without one, or another method)",
                 h->layer);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const scatterbrain *t = params_;
    const double rows_all = (double)(h->nq + h->nk), d = (double)h->q.cols;
    atn_operator op = {.kind = &kind};
    atn_spending spent;
    state *s = NULL;
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(check(cx, h));
    ATN_NEW(s, 1);
    s->lsh = t->support == LSH;
    s->window = window_of(t);
    s->rounds = t->rounds;
    s->cluster = ATN_MAX(ATN_MIN(s->window / t->rounds, h->nk), 1);
    ATN_TRY(make_features(cx, in, h, t, &s->f));
    out->index_flops = 2 * rows_all * (double)draws_of(t) * d;
    out->index_bytes = ATN_COST_BYTES * rows_all * (d + (double)s->f.n);
    if (s->lsh && s->window > 0) {
        ATN_TRY(make_clusters(cx, in, h, s));
        out->index_flops += 2 * rows_all * (double)t->rounds * (d + 2);
        out->index_bytes += ATN_COST_BYTES * rows_all * (d + 2 * (double)t->rounds);
    }
    (void)spends(t, h, &spent);
    op.executed = spent.executed;
    op.state = s;
    s = NULL;
    atn_plan_operator(out, &op, spent.numbers);
done:
    release(cx, s);
    return st;
}

/* A hash sorts all queries and keys. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const scatterbrain *t = params_;

    (void)in;
    return t->support == LSH && window_of(t) > 0 ? ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES
                                                 : 0;
}

/* Where the support of a row is all keys: it is half of the numbers, and half of a
 * window lies on each side. */
static double most(const void *params_, const atn_head *h)
{
    const scatterbrain *t = params_;
    const double n = (double)ATN_MAX(h->nq, h->nk);

    if (t->window >= 0) return INFINITY;
    return t->support == LSH ? 2 * (double)t->rounds * (n + 1) : 4 * n;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const scatterbrain *t = params_;
    const atn_head *h = &in->head[0];
    const double tokens = (double)(h->nq + h->nk), r = (double)t->rounds;
    double sum = atn_random_open_bytes(cx, h, (atn_map_kind)t->kind, draws_of(t));

    if (t->support == LSH)
        sum += tokens * (4 * r + 8 + sizeof(place)) + 4 * r * (double)(h->q.cols + 2);
    return sum + 4096;
}

/* The support of near keys goes by places. */
static unsigned reads_of(const void *params_)
{
    const scatterbrain *t = params_;

    return ATN_READS_QK | ATN_READS_DRAWS | (t->support == LOCAL ? ATN_READS_PLACE : 0);
}

const atn_method atn_method_scatterbrain = {
    .id = "scatterbrain",
    .title = "Scatterbrain",
    .family = "kernel",
    .source = "Chen et al. 2021, arXiv 2110.15343; HazyResearch/fly, "
              "src/models/attention",
    .text =
        "near keys, or those of its clusters, exactly; all others by random features",
    .reads = ATN_READS_QK | ATN_READS_DRAWS | ATN_READS_PLACE,
    .reads_of = reads_of,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(scatterbrain),
    .budget = "numbers",
    .spends = spends,
    .most = most,
    .exact = "support=lsh,rounds=1,window=#",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
