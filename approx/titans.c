/* approx/titans.c -- Titans with a linear memory: a matrix that learns while it reads.
 *
 * Math    a chunk of tokens takes gradients at the weights W of its start; token by
 *         token, M = W and S = its momentum at first,
 *             u_t = 2 (W k_t - v_t) k_t'
 *             S_t = eta_t S_{t-1} - theta_t u_t,   M_t = (1 - alpha_t) M_{t-1} + S_t
 *             o_t = M_t q_t
 *         from W = S = 0 before the first token. In closed form, inside of a chunk,
 *             o_t = beta_t W q_t + f_t S q_t
 *                   - sum_{j<=t} 2 G_tj (k_j . q_t)(W k_j - v_j)
 *         with beta, f and G by recurrences over t, never by quotients of products.
 *         Weights are those of o_t in v_j: linear, for the keys alone make the memory.
 *         `rows` goes backwards from q_t: the vectors that M and S are applied to.
 * Oracle  eta = alpha = 0, theta = 1/2, one chunk: linear attention sum (q . k_j) v_j.
 *         eta = alpha = 0, chunk 1, |k| = 1, theta = 1/2: W_t k_t = v_t. G8 rows.
 * Source  Behrouz, Zhong, Mirrokni, arXiv 2501.00663, eqs 8 to 18; cards/
 *         kernel-theory.md, card 14. The closed form and the way back are ours.
 * Cost    10 d dv flop a token and 2 (d + dv) chunk / 2 more inside of chunks; memory
 *         2 d numbers a channel. Rows: 8 d flop a pair.
 * Limits  causal heads without a window. A memory that is taught too fast grows without
 *         bound: that is said.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <string.h>

#include "approx/token_gates.h"
#include "approx/widen.h"
#include "core/rows.h"

typedef struct titans {
    double eta, theta, alpha;
    int64_t chunk;
    bool unit;
} titans;

static const atn_param params[] = {
    ATN_PARAM_F64(titans, eta, .5, 0, 1, "what is left of the momentum a token"),
    ATN_PARAM_F64(
        titans, theta, 0, 0, 1,
        "step of learning, 0 = 1 / (2 chunk |k|^2) of every key, which is calm"),
    ATN_PARAM_F64(titans, alpha, .1, 0, 1, "part of the memory forgotten a token"),
    ATN_PARAM_I64(titans, chunk, 16, 1, 1 << 30,
                  "tokens whose gradients are taken at the same weights"),
    ATN_PARAM_BOOL(titans, unit, 0, "scale queries and keys to length 1, as the paper"),
    ATN_PARAM_END,
};

/* All owned. */
typedef struct memory {
    atn_idx n, nq, d, chunk;
    double *q, *k;               /* [nq, d], [n, d] */
    double *eta, *theta, *alpha; /* [n] */
    atn_idx *at; /* [nq] the last token that a row has read, -1 = none */
} memory;

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * y[e];
    return sum;
}

static bool fits(double x)
{
    return fabs(x) <= (double)FLT_MAX;
}

static atn_status says_diverged(atn_ctx *cx, const atn_head *h)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "titans: the memory of layer %d, head %d grows beyond float32 "
                    "(give a smaller theta, theta=0, or unit=yes)",
                    h->layer, h->head);
}

/* ---- the plain way ---- */

/* Weights w [n] of the row; p, r, b [d] are scratch: o = M p + S r + b of the chunk. */
static void weigh_row(const memory *m, const double *q, atn_idx at, double *scratch,
                      double *w)
{
    const atn_idx d = m->d;
    double *p = scratch, *r = p + d, *b = r + d;

    memcpy(p, q, (size_t)d * sizeof *p);
    memset(r, 0, (size_t)(2 * d) * sizeof *r);
    for (atn_idx t = at; t >= 0; t--) {
        const double *k = m->k + t * d;
        double g = 0;

        for (atn_idx e = 0; e < d; e++) r[e] += p[e];
        g = 2 * m->theta[t] * dot(k, r, d);
        w[t] = g;
        for (atn_idx e = 0; e < d; e++) {
            b[e] -= g * k[e];
            p[e] *= 1 - m->alpha[t];
            r[e] *= m->eta[t];
        }
        if (t % m->chunk != 0) continue;
        for (atn_idx e = 0; e < d; e++) p[e] += b[e];
        memset(b, 0, (size_t)d * sizeof *b);
    }
}

static atn_status rows(atn_ctx *cx, const atn_head *h, const void *state, atn_idx first,
                       atn_idx n, double *w)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const memory *m = state;
    atn_status st = ATN_OK;
    double *scratch = NULL;

    ATN_TAKE(scratch, 3 * m->d);
    memset(w, 0, (size_t)(n * m->n) * sizeof *w);
    for (atn_idx i = 0; i < n; i++) {
        double *row = w + i * m->n;

        weigh_row(m, m->q + (first + i) * m->d, m->at[first + i], scratch, row);
        for (atn_idx j = 0; j < m->n; j++)
            if (!fits(row[j])) ATN_TRY(says_diverged(cx, h));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the fast way: chunks, some channels of the values a task ---- */

enum { SLICE = 16 };

typedef struct applying {
    const atn_head *h;
    const memory *m;
    double *o;
} applying;

/* Of one task. */
typedef struct slice {
    atn_idx e0, width;
    double *w, *s;           /* [width, d] weights and momentum at the chunk's start */
    double *left;            /* [chunk, width] W k_j - v_j */
    double *g, *eta;         /* [chunk] G_tj; product of eta after j */
    double beta, f, all_eta; /* of the chunk up to token t */
} slice;

static void open_chunk(const applying *a, slice *x, atn_idx first, atn_idx n)
{
    const atn_idx d = a->m->d;

    for (atn_idx j = 0; j < n; j++) {
        const float *v = atn_crow(a->h->v, first + j) + x->e0;

        for (atn_idx c = 0; c < x->width; c++)
            x->left[j * x->width + c] =
                dot(x->w + c * d, a->m->k + (first + j) * d, d) - (double)v[c];
    }
    x->beta = x->all_eta = 1;
    x->f = 0;
}

/* Takes token t in, number j of the chunk. */
static void step(const memory *m, slice *x, atn_idx t, atn_idx j)
{
    const double keep = 1 - m->alpha[t], eta = m->eta[t];

    for (atn_idx i = 0; i < j; i++) {
        x->eta[i] *= eta;
        x->g[i] = keep * x->g[i] + m->theta[t - j + i] * x->eta[i];
    }
    x->eta[j] = 1;
    x->g[j] = m->theta[t];
    x->beta *= keep;
    x->all_eta *= eta;
    x->f = keep * x->f + x->all_eta;
}

/* Reads row i when tokens first .. first + n - 1 of its chunk are in. */
static void read_row(const applying *a, const slice *x, atn_idx i, atn_idx first,
                     atn_idx n)
{
    const atn_idx d = a->m->d;
    const double *q = a->m->q + i * d;
    double *o = a->o + i * a->h->v.cols + x->e0;

    for (atn_idx c = 0; c < x->width; c++)
        o[c] = x->beta * dot(x->w + c * d, q, d) + x->f * dot(x->s + c * d, q, d);
    for (atn_idx j = 0; j < n; j++) {
        const double g = 2 * x->g[j] * dot(a->m->k + (first + j) * d, q, d);

        for (atn_idx c = 0; c < x->width; c++) o[c] -= g * x->left[j * x->width + c];
    }
}

/* Weights and momentum after the chunk. */
static void close_chunk(const memory *m, slice *x, atn_idx first, atn_idx n)
{
    const atn_idx d = m->d;

    for (atn_idx e = 0; e < x->width * d; e++) {
        x->w[e] = x->beta * x->w[e] + x->f * x->s[e];
        x->s[e] *= x->all_eta;
    }
    for (atn_idx j = 0; j < n; j++) {
        const double *k = m->k + (first + j) * d;
        const double into_s = 2 * m->theta[first + j] * x->eta[j];

        for (atn_idx c = 0; c < x->width; c++) {
            const double left = x->left[j * x->width + c];

            for (atn_idx e = 0; e < d; e++) {
                x->w[c * d + e] -= 2 * x->g[j] * left * k[e];
                x->s[c * d + e] -= into_s * left * k[e];
            }
        }
    }
}

static atn_status open_slice(atn_ctx *cx, const applying *a, atn_idx at, slice *x)
{
    const memory *m = a->m;
    const atn_idx chunk = ATN_MIN(m->chunk, m->n);
    atn_status st = ATN_OK;

    x->e0 = at * SLICE;
    x->width = ATN_MIN(SLICE, a->h->v.cols - x->e0);
    ATN_TAKE(x->w, x->width * m->d);
    ATN_TAKE(x->s, x->width * m->d);
    ATN_TAKE(x->left, chunk * x->width);
    ATN_TAKE(x->g, chunk);
    ATN_TAKE(x->eta, chunk);
    memset(x->w, 0, (size_t)(x->width * m->d) * sizeof *x->w);
    memset(x->s, 0, (size_t)(x->width * m->d) * sizeof *x->s);
done:
    return st;
}

static atn_status apply_slice(atn_ctx *cx, atn_idx at, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const applying *a = state;
    const memory *m = a->m;
    atn_status st = ATN_OK;
    atn_idx i = 0;
    slice x = {0};

    ATN_TRY(open_slice(cx, a, at, &x));
    for (; i < m->nq && m->at[i] < 0; i++)
        memset(a->o + i * a->h->v.cols + x.e0, 0, (size_t)x.width * sizeof *a->o);
    for (atn_idx first = 0; first < m->n; first += m->chunk) {
        const atn_idx n = ATN_MIN(m->chunk, m->n - first);

        ATN_TRY(atn_stopped(cx, "titans"));
        open_chunk(a, &x, first, n);
        for (atn_idx j = 0; j < n; j++) {
            step(m, &x, first + j, j);
            for (; i < m->nq && m->at[i] == first + j; i++)
                read_row(a, &x, i, first, j + 1);
        }
        close_chunk(m, &x, first, n);
    }
    for (i = 0; i < m->nq; i++)
        for (atn_idx c = 0; c < x.width; c++)
            if (!fits(a->o[i * a->h->v.cols + x.e0 + c]))
                ATN_TRY(says_diverged(cx, a->h));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status apply(atn_ctx *cx, const atn_head *h, const void *state, double *o,
                        const char *what)
{
    applying a = {h, state, o};

    return atn_parallel(cx, (h->v.cols + SLICE - 1) / SLICE, apply_slice, &a, what);
}

static double apply_bytes(const atn_ctx *cx, const atn_head *h, const void *state)
{
    const memory *m = state;
    const double width = (double)ATN_MIN(SLICE, h->v.cols);
    const double a_task = 2 * width * (double)m->d +
                          (double)ATN_MIN(m->chunk, m->n) * (width + 2) + 5 * 8;

    return (double)sizeof(double) * (a_task + 3 * (double)m->d) * (double)cx->threads;
}

static void release(atn_ctx *cx, void *state)
{
    memory *m = state;

    if (!m) return;
    atn_free(cx, m->q);
    atn_free(cx, m->k);
    atn_free(cx, m->eta);
    atn_free(cx, m->theta);
    atn_free(cx, m->alpha);
    atn_free(cx, m->at);
    atn_free(cx, m);
}

static const atn_operator_kind memory_kind = {
    .id = "linear_memory",
    .apply = apply,
    .rows = rows,
    .bytes = apply_bytes,
    .release = release,
    .remedy = "give a smaller theta, theta=0, or unit=yes",
};

/* ---- planning ---- */

static void to_unit_rows(double *x, atn_idx rows, atn_idx cols)
{
    for (atn_idx i = 0; i < rows; i++) {
        double *row = x + i * cols;
        const double size = sqrt(dot(row, row, cols));

        for (atn_idx e = 0; e < cols && size > 0; e++) row[e] /= size;
    }
}

static atn_status read_numbers(atn_ctx *cx, const atn_input *in, const atn_head *h,
                               const titans *t, memory *m)
{
    const struct {
        const char *what;
        double *to, of;
    } lists[] = {{"eta", m->eta, t->eta},
                 {"theta", m->theta, t->theta},
                 {"alpha", m->alpha, t->alpha}};
    atn_status st = ATN_OK;

    for (size_t l = 0; l < ATN_LEN(lists); l++) {
        const atn_gates g = {"titans", lists[l].what, h, 0, 1};
        const bool is_calm = lists[l].to == m->theta && t->theta == 0;
        bool found = false;

        ATN_TRY(atn_gates_read(cx, in, &g, lists[l].to, &found));
        for (atn_idx j = 0; !found && j < m->n; j++) {
            const double *k = m->k + j * m->d;
            const double size = is_calm ? dot(k, k, m->d) : 1;

            lists[l].to[j] = lists[l].of;
            if (is_calm && size > 0) lists[l].to[j] = .5 / (size * (double)m->chunk);
        }
    }
done:
    return st;
}

/* Positions of rows: the last token that each has seen. */
static void place_rows(const atn_head *h, memory *m)
{
    for (atn_idx i = 0; i < m->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        m->at[i] = lo < hi ? hi - 1 : -1;
    }
}

static atn_status make_memory(atn_ctx *cx, const atn_input *in, const atn_head *h,
                              const titans *t, memory *m)
{
    const double numbers = (double)(h->nq + h->nk) * (double)h->k.cols;
    atn_status st = ATN_OK;

    *m = (memory){.n = h->nk, .nq = h->nq, .d = h->k.cols, .chunk = t->chunk};
    ATN_TRY(atn_mem_check(cx, 8 * (numbers + 3 * (double)h->nk + (double)h->nq),
                          "titans: queries and keys"));
    ATN_TRY(atn_widen_rows(cx, "titans", h, h->q, 1, &m->q));
    ATN_TRY(atn_widen_rows(cx, "titans", h, h->k, 1, &m->k));
    if (t->unit) to_unit_rows(m->q, m->nq, m->d);
    if (t->unit) to_unit_rows(m->k, m->n, m->d);
    ATN_NEW(m->eta, m->n);
    ATN_NEW(m->theta, m->n);
    ATN_NEW(m->alpha, m->n);
    ATN_NEW(m->at, m->nq);
    ATN_TRY(read_numbers(cx, in, h, t, m));
    place_rows(h, m);
done:
    return st;
}

static atn_status refuse(atn_ctx *cx, const atn_head *h)
{
    const char *what = h->has_sink            ? "a sink logit"
                       : atn_head_has_bias(h) ? "position biases"
                       : h->sight.softcap > 0 ? "a soft-cap"
                                              : NULL;
    atn_status st = ATN_OK;

    if (h->sight.window > 0 && h->sight.window < h->nk)
        ATN_FAIL(
            ATN_DATA,
            "titans: a memory forgets by alpha, and cannot drop the tokens that "
            "leave the sliding window of %lld in layer %d (take layers without one)",
            (long long)h->sight.window, h->layer);
    if (what)
        ATN_FAIL(ATN_DATA,
                 "titans: a memory has no place for %s of layer %d, head %d "
                 "(take heads without)",
                 what, h->layer, h->head);
done:
    return st;
}

static double spent(const atn_head *h)
{
    const double d = (double)h->k.cols, dv = (double)h->v.cols;

    return 10 * (double)h->nk * d * dv / (2 * (d + dv));
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    (void)params_;
    out->numbers = 2 * (double)h->k.cols;
    out->executed = spent(h);
    return true;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    atn_status st = ATN_OK;
    atn_operator op = {.kind = &memory_kind, .executed = spent(h)};
    memory *m = NULL;

    ATN_ASSERT(n == 1);
    ATN_TRY(refuse(cx, h));
    ATN_NEW(m, 1);
    op.state = m;
    ATN_TRY(make_memory(cx, in, h, params_, m));
    atn_plan_operator(out, &op, 2 * (double)h->k.cols);
    m = NULL;
done:
    release(cx, m);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)cx, (void)params_;
    return 8 * ((double)(h->nq + h->nk) * (double)(h->k.cols + 1) + 5 * (double)h->nk) +
           ATN_METHOD_LITTLE;
}

const atn_method atn_method_titans = {
    .id = "titans",
    .title = "Titans, linear memory",
    .family = "recurrent",
    .source = "Behrouz et al., arXiv 2501.00663",
    .text = "a matrix that learns values from keys as it reads",
    .reads = ATN_READS_QK | ATN_READS_GIVEN,
    .sides = ATN_CAUSAL,
    .params = params,
    .params_size = sizeof(titans),
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .plan = plan,
    .bytes = bytes,
};
