/* approx/features.c -- attention by features, see approx/features.h.
 *
 * The keys are cut at up to 32 places. Sums between two of them are taken in parallel
 * and then added up in order, so that the sum of the keys before each place is known;
 * rows go in groups from the nearest place before them, also in parallel. The places
 * depend on the shapes alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/features.h"

#include <math.h>
#include <string.h>

#include "approx/plain_head.h"
#include "core/linalg.h"
#include "core/rows.h"

enum { ROWS = 64, KEYS = 128, PLACES = 32, PLACE_LEAST = 256 };

/* One walk over all rows. */
typedef struct walk {
    const atn_head *h;
    const atn_features *f;
    bool absolute;        /* |phi| and |psi| in their place */
    atn_idx cols;         /* that are summed: of values, and 1 */
    bool prefixes;        /* every row sees the keys from `lo` on */
    atn_idx lo, hi;       /* all keys that are seen */
    atn_idx step, places; /* place p is key lo + p step, the last one hi */
    double *sum, *log;    /* [places + 1] states of the keys before each place */
    double *sums, *logs;  /* of rows, the result */
} walk;

/* Keys [.., end): sum [n, cols] = sum_j psi_j e^{k_j - decay (end - 1 - j) - log}
 * (key_j v_j, 1); log -inf where there is none. */
typedef struct state {
    atn_idx end;
    double log;
    double *sum;
} state;

static double key_log(const walk *w, atn_idx j)
{
    return w->f->log_k ? w->f->log_k[j] : 0;
}

/* e^(x - of), nothing where there is nothing. */
static double relative(double x, double of)
{
    return x == -INFINITY ? 0 : exp(x - of);
}

/* ---- blocks of features and values ---- */

/* Rows [from, from + n) of features x, or their absolute values in scratch. */
static const double *block(const walk *w, const double *x, atn_idx from, atn_idx n,
                           double *scratch)
{
    const atn_idx r = w->f->n;

    if (!w->absolute) return x + from * r;
    for (atn_idx e = 0; e < n * r; e++) scratch[e] = fabs(x[from * r + e]);
    return scratch;
}

/* out [n, cols] <- (key_j v_j, 1) of keys from .., each times weight [n], NULL = 1. */
static void fill_values(const walk *w, atn_idx from, atn_idx n, const double *weight,
                        double *out)
{
    const double *key = w->f->key;

    for (atn_idx j = 0; j < n; j++) {
        const double by = weight ? weight[j] : 1;
        double *row = out + j * w->cols;

        row[w->cols - 1] = by;
        for (atn_idx c = 0; c + 1 < w->cols; c++)
            row[c] =
                by * (key ? key[from + j] : 1) * (double)atn_crow(w->h->v, from + j)[c];
    }
}

/* ---- prefix sums ---- */

typedef struct chunk {
    double *value;   /* [KEYS, cols] */
    double *weight;  /* [KEYS] */
    double *scratch; /* [KEYS, n], NULL where none is needed */
} chunk;

static atn_status chunk_open(atn_ctx *cx, const walk *w, chunk *c)
{
    atn_status st = ATN_OK;

    *c = (chunk){0};
    ATN_TAKE(c->value, KEYS * w->cols);
    ATN_TAKE(c->weight, KEYS);
    if (w->absolute) ATN_TAKE(c->scratch, KEYS * w->f->n);
done:
    return st;
}

/* Adds keys up to `to`, KEYS at most. */
static void absorb_chunk(const walk *w, const chunk *c, state *s, atn_idx to)
{
    const atn_idx n = to - s->end, r = w->f->n;
    const double old = s->log - w->f->decay * (double)n;
    double top = old, kept;

    for (atn_idx j = 0; j < n; j++) {
        c->weight[j] = key_log(w, s->end + j) - w->f->decay * (double)(n - 1 - j);
        top = fmax(top, c->weight[j]);
    }
    for (atn_idx j = 0; j < n; j++) c->weight[j] = relative(c->weight[j], top);
    kept = relative(old, top);
    fill_values(w, s->end, n, c->weight, c->value);
    atn_gemm_wide(ATN_ATB, 1,
                  (atn_cwide){block(w, w->f->k, s->end, n, c->scratch), n, r, r},
                  (atn_cwide){c->value, n, w->cols, w->cols}, kept,
                  (atn_wide){s->sum, r, w->cols, w->cols});
    s->end = to;
    s->log = top;
}

static void absorb(const walk *w, const chunk *c, state *s, atn_idx to)
{
    while (s->end < to) absorb_chunk(w, c, s, ATN_MIN(s->end + KEYS, to));
}

static atn_idx place(const walk *w, atn_idx p)
{
    return ATN_MIN(w->lo + p * w->step, w->hi);
}

static state state_at(const walk *w, atn_idx p)
{
    return (state){place(w, p), w->log[p], w->sum + p * w->f->n * w->cols};
}

/* The keys between places p and p + 1, by themselves. */
static atn_status sum_between(atn_ctx *cx, atn_idx p, void *w_)
{
    const walk *w = w_;
    const atn_arena_mark mark = atn_arena_save(cx);
    state s = state_at(w, p + 1);
    atn_status st = ATN_OK;
    chunk c;

    ATN_TRY(chunk_open(cx, w, &c));
    memset(s.sum, 0, (size_t)(w->f->n * w->cols) * sizeof *s.sum);
    s.log = -INFINITY;
    s.end = place(w, p);
    absorb(w, &c, &s, place(w, p + 1));
    w->log[p + 1] = s.log;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Sums between places become sums of all keys before them. */
static void add_up(const walk *w)
{
    const atn_idx size = w->f->n * w->cols;

    for (atn_idx p = 1; p <= w->places; p++) {
        const state a = state_at(w, p - 1), b = state_at(w, p);
        const double old = a.log - w->f->decay * (double)(b.end - a.end);
        const double top = fmax(old, b.log);
        const double by_a = relative(old, top), by_b = relative(b.log, top);

        for (atn_idx e = 0; e < size; e++) b.sum[e] = by_a * a.sum[e] + by_b * b.sum[e];
        w->log[p] = top;
    }
}

/* ---- rows ---- */

/* Rows [first, first + n) under work. */
typedef struct tile {
    atn_idx first, n;
    atn_idx from, to; /* keys that are not in the state, of some row */
    double top[ROWS];
    double *g;       /* [ROWS, KEYS] */
    double *scratch; /* [ROWS, n] */
} tile;

/* The keys of row i that are not in the state. */
static void row_rest(const walk *w, atn_idx i, const state *s, atn_idx *lo, atn_idx *hi)
{
    atn_sight_row(&w->h->sight, i, lo, hi);
    if (*lo < *hi) *lo = ATN_MAX(*lo, s->end);
}

static double pair_log(const walk *w, atn_idx i, atn_idx j)
{
    const double back = (double)(atn_sight_at(&w->h->sight, i) - j);

    return key_log(w, j) - (w->f->decay > 0 ? w->f->decay * back : 0);
}

/* What the state weighs in row i, as a logarithm. */
static double state_log(const walk *w, atn_idx i, const state *s)
{
    const double back = (double)(atn_sight_at(&w->h->sight, i) - (s->end - 1));

    return s->log - (w->f->decay > 0 ? w->f->decay * back : 0);
}

/* Row r: its keys into those of the tile, its largest logarithm. */
static void row_top(const walk *w, const state *s, tile *t, atn_idx r)
{
    const bool flat = !w->f->log_k && !(w->f->decay > 0);
    const atn_idx i = t->first + r;
    atn_idx lo, hi, all;

    t->top[r] = -INFINITY;
    atn_sight_row(&w->h->sight, i, &all, &hi);
    if (all >= hi) return;
    row_rest(w, i, s, &lo, &hi);
    t->top[r] = flat ? 0 : state_log(w, i, s);
    for (atn_idx j = lo; j < hi && !flat; j++)
        t->top[r] = fmax(t->top[r], pair_log(w, i, j));
    if (lo >= hi) return;
    t->from = ATN_MIN(t->from, lo);
    t->to = ATN_MAX(t->to, hi);
}

/* Products of the tile with keys [from, from + n), as weights in g. */
static void weigh(const walk *w, const state *s, const tile *t, atn_idx from, atn_idx n)
{
    const bool flat = !w->f->log_k && !(w->f->decay > 0);

    for (atn_idx r = 0; r < t->n; r++) {
        atn_idx lo, hi;

        row_rest(w, t->first + r, s, &lo, &hi);
        for (atn_idx j = from; j < from + n; j++) {
            double *g = &t->g[r * KEYS + j - from];

            if (j < lo || j >= hi)
                *g = 0;
            else if (!flat)
                *g *= relative(pair_log(w, t->first + r, j), t->top[r]);
        }
    }
}

/* The rows of t into the sums of the walk: the state, then the rest of the keys. */
static void tile_sums(const walk *w, const chunk *c, const state *s, tile *t)
{
    const atn_idx r = w->f->n, cols = w->cols;
    const atn_cwide phi = {block(w, w->f->q, t->first, t->n, t->scratch), t->n, r, r};
    const atn_wide out = {w->sums + t->first * cols, t->n, cols, cols};

    t->from = w->hi;
    t->to = w->lo;
    for (atn_idx k = 0; k < t->n; k++) row_top(w, s, t, k);
    if (s->log > -INFINITY)
        atn_gemm_wide(ATN_AB, 1, phi, (atn_cwide){s->sum, r, cols, cols}, 0, out);
    for (atn_idx k = 0; k < t->n; k++) {
        const double log = s->log > -INFINITY ? state_log(w, t->first + k, s) : s->log;
        const double by = t->top[k] > -INFINITY ? relative(log, t->top[k]) : 0;

        for (atn_idx e = 0; e < cols; e++)
            out.data[k * cols + e] = by > 0 ? by * out.data[k * cols + e] : 0;
        w->logs[t->first + k] = t->top[k];
    }
    for (atn_idx j = t->from; j < t->to; j += KEYS) {
        const atn_idx n = ATN_MIN((atn_idx)KEYS, t->to - j);
        const double *psi = block(w, w->f->k, j, n, c->scratch);

        atn_gemm_wide(ATN_ABT, 1, phi, (atn_cwide){psi, n, r, r}, 0,
                      (atn_wide){t->g, t->n, n, KEYS});
        weigh(w, s, t, j, n);
        fill_values(w, j, n, NULL, c->value);
        atn_gemm_wide(ATN_AB, 1, (atn_cwide){t->g, t->n, n, KEYS},
                      (atn_cwide){c->value, n, cols, cols}, 1, out);
    }
}

/* The keys that all rows of a tile see, where rows see prefixes: up to this one. */
static atn_idx tile_base(const walk *w, atn_idx first, atn_idx n)
{
    atn_idx lo, hi, base = -1;

    for (atn_idx r = 0; r < n; r++) {
        atn_sight_row(&w->h->sight, first + r, &lo, &hi);
        if (lo < hi) base = base < 0 ? hi : ATN_MIN(base, hi);
    }
    return base;
}

/* s becomes the state of the last place at or before key `base`. */
static void state_begin(const walk *w, state *s, atn_idx base)
{
    const atn_idx p = base >= w->hi ? w->places : (base - w->lo) / w->step;
    const state at = state_at(w, p);

    memcpy(s->sum, at.sum, (size_t)(w->f->n * w->cols) * sizeof *s->sum);
    s->end = at.end;
    s->log = at.log;
}

static atn_status sum_rows(atn_ctx *cx, atn_idx group, void *w_)
{
    const walk *w = w_;
    const atn_idx end = ATN_MIN((group + 1) * w->step, w->h->nq);
    const atn_arena_mark mark = atn_arena_save(cx);
    state s = {w->lo, -INFINITY, NULL};
    atn_status st = ATN_OK;
    tile t = {0};
    chunk c;

    ATN_TRY(chunk_open(cx, w, &c));
    ATN_TAKE(t.g, ROWS * KEYS);
    if (w->absolute) ATN_TAKE(t.scratch, ROWS * w->f->n);
    if (w->prefixes) ATN_TAKE(s.sum, w->f->n * w->cols);
    for (t.first = group * w->step; t.first < end; t.first += ROWS) {
        t.n = ATN_MIN((atn_idx)ROWS, end - t.first);
        if (w->prefixes) {
            const atn_idx base = tile_base(w, t.first, t.n);

            if (base >= 0 && s.log == -INFINITY) state_begin(w, &s, base);
            absorb(w, &c, &s, base);
        }
        tile_sums(w, &c, &s, &t);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the walk ---- */

/* Which keys are seen, and whether all rows see them from the first on. */
static void look(walk *w)
{
    bool any = false;

    w->prefixes = true;
    w->lo = w->hi = 0;
    for (atn_idx i = 0; i < w->h->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&w->h->sight, i, &lo, &hi);
        if (lo >= hi) continue;
        if (any && lo != w->lo) w->prefixes = false;
        w->lo = any ? ATN_MIN(w->lo, lo) : lo;
        w->hi = any ? ATN_MAX(w->hi, hi) : hi;
        any = true;
    }
}

static atn_idx step_of(const atn_head *h)
{
    const atn_idx n = (ATN_MAX(h->nq, h->nk) + PLACES - 1) / PLACES;

    return ATN_MAX((n + ROWS - 1) / ROWS * ROWS, (atn_idx)PLACE_LEAST);
}

static atn_status walk_run(atn_ctx *cx, walk *w, const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx size = w->f->n * w->cols;
    atn_status st = ATN_OK;

    look(w);
    w->step = step_of(w->h);
    w->places = w->prefixes ? (w->hi - w->lo + w->step - 1) / w->step : 0;
    ATN_TAKE(w->sum, (w->places + 1) * size);
    ATN_TAKE(w->log, w->places + 1);
    memset(w->sum, 0, (size_t)size * sizeof *w->sum);
    w->log[0] = -INFINITY;
    ATN_TRY(atn_parallel(cx, w->places, sum_between, w, what));
    add_up(w);
    ATN_TRY(atn_parallel(cx, (w->h->nq + w->step - 1) / w->step, sum_rows, w, what));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_features_sums(atn_ctx *cx, const atn_head *h, const atn_features *f,
                             bool values, double *sums, double *log, const char *what)
{
    walk w = {.h = h, .f = f, .sums = sums, .logs = log};

    w.cols = values ? h->v.cols + 1 : 1;
    return walk_run(cx, &w, what);
}

double atn_features_scratch(const atn_ctx *cx, const atn_head *h, atn_idx n,
                            bool values)
{
    const double r = (double)n, cols = values ? (double)h->v.cols + 1 : 1;
    const double states = PLACES + 2 + (double)cx->threads;
    const double thread = KEYS * (cols + 1 + r) + ROWS * (KEYS + r) + 8 * 8;

    return 8 * (states * (r * cols + 1) + (double)cx->threads * thread);
}

double atn_features_bytes(const atn_ctx *cx, const atn_head *h, atn_idx n)
{
    const double rows = (double)h->nq + (double)h->nk;

    return 8 * (rows * ((double)n + 1) + 3 * (double)h->nq) + 512 +
           atn_features_scratch(cx, h, n, false);
}

/* ---- the operator ---- */

/* What row i is multiplied with: its denominator is `sum` in units of e^(c_i + log). */
static double row_factor(const atn_features *f, atn_idx i, double sum, double log)
{
    const double shift = (f->log_q ? f->log_q[i] : 0) + log;
    const double row = f->row ? f->row[i] : 1;
    double den = sum;

    if (log == -INFINITY) return 0;
    if (!f->normalise) return row * exp(shift);
    if (f->eps > 0) den += f->eps * exp(-shift);
    if (f->floor > 0) den = fmax(den, f->floor * exp(-shift));
    return den == 0 ? 0 : row / den;
}

static atn_status apply(atn_ctx *cx, const atn_head *h, const void *f_, double *o,
                        const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = h->v.cols, cols = dv + 1;
    const atn_features *f = f_;
    double *sums = NULL, *log = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(sums, h->nq * cols);
    ATN_TAKE(log, h->nq);
    ATN_TRY(atn_features_sums(cx, h, f, true, sums, log, what));
    for (atn_idx i = 0; i < h->nq; i++) {
        const double by = row_factor(f, i, sums[i * cols + dv], log[i]);

        for (atn_idx e = 0; e < dv; e++)
            o[i * dv + e] = by == 0 ? 0 : by * sums[i * cols + e];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The weights of row i, one by one. */
static void plain_row(const atn_head *h, const atn_features *f, atn_idx i, double *w)
{
    const atn_idx at = atn_sight_at(&h->sight, i);
    double top = -INFINITY, sum = 0, by;
    atn_idx lo, hi;

    memset(w, 0, (size_t)h->nk * sizeof *w);
    atn_sight_row(&h->sight, i, &lo, &hi);
    for (atn_idx j = lo; j < hi; j++)
        top = fmax(top, (f->log_k ? f->log_k[j] : 0) - f->decay * (double)(at - j));
    for (atn_idx j = lo; j < hi; j++) {
        const double log =
            (f->log_k ? f->log_k[j] : 0) - f->decay * (double)(at - j) - top;

        for (atn_idx r = 0; r < f->n; r++)
            w[j] += f->q[i * f->n + r] * f->k[j * f->n + r];
        w[j] *= exp(log);
        sum += w[j];
    }
    by = row_factor(f, i, sum, top);
    for (atn_idx j = lo; j < hi; j++)
        w[j] = by == 0 ? 0 : w[j] * by * (f->key ? f->key[j] : 1);
}

static atn_status rows(atn_ctx *cx, const atn_head *h, const void *f, atn_idx first,
                       atn_idx n, double *w)
{
    (void)cx;
    for (atn_idx i = 0; i < n; i++) plain_row(h, f, first + i, w + i * h->nk);
    return ATN_OK;
}

static double bytes(const atn_ctx *cx, const atn_head *h, const void *f_)
{
    const double sums = (double)h->nq * (double)(h->v.cols + 2);
    const atn_features *f = f_;

    return 8 * sums + 128 + atn_features_scratch(cx, h, f->n, true);
}

atn_status atn_features_check(atn_ctx *cx, const char *method, const atn_head *h,
                              bool bias)
{
    return atn_bare_logits(cx, h, method, bias ? ATN_PLACE_BIAS : 0);
}

atn_status atn_features_open(atn_ctx *cx, const atn_head *h, atn_idx n, bool logs,
                             atn_features *f)
{
    atn_status st = ATN_OK;
    atn_idx of_q, of_k;

    *f = (atn_features){.n = n};
    if (!atn_mul(h->nq, n, &of_q) || !atn_mul(h->nk, n, &of_k))
        ATN_FAIL(ATN_MEMORY,
                 "%lld features of %lld tokens are too many (ask for fewer)",
                 (long long)n, (long long)ATN_MAX(h->nq, h->nk));
    ATN_NEW(f->q, of_q);
    ATN_NEW(f->k, of_k);
    if (logs) ATN_NEW(f->log_q, h->nq);
    if (logs) ATN_NEW(f->log_k, h->nk);
done:
    return st;
}

void atn_features_release(atn_ctx *cx, atn_features *f)
{
    atn_free(cx, f->q);
    atn_free(cx, f->k);
    atn_free(cx, f->log_q);
    atn_free(cx, f->log_k);
    atn_free(cx, f->row);
    atn_free(cx, f->key);
    *f = (atn_features){0};
}

static void release(atn_ctx *cx, void *f)
{
    if (f) atn_features_release(cx, f);
    atn_free(cx, f);
}

static const atn_operator_kind kind = {
    .id = "features",
    .apply = apply,
    .rows = rows,
    .bytes = bytes,
    .release = release,
};

/* ---- the plan ---- */

double atn_features_executed(const atn_head *h, atn_idx n)
{
    const double nq = (double)h->nq, nk = (double)h->nk, r = (double)n;
    const double dv = (double)h->v.cols, width = (double)h->q.cols + dv;
    const double pairs = atn_visible_pairs(h);
    const bool window = h->sight.window > 0 && h->sight.window < h->nk;
    double flops = 2 * (nq + nk) * r * (dv + 1);

    if (window)
        flops = 2 * pairs * (r + dv + 1);
    else if (h->sight.causal)
        flops += 2 * ATN_MIN(nq * ROWS, pairs) * (r + dv + 1);
    return flops / (2 * width);
}

static bool any_negative(const double *x, atn_idx n)
{
    for (atn_idx e = 0; e < n; e++)
        if (x[e] < 0) return true;
    return false;
}

static atn_status check_finite(atn_ctx *cx, const atn_head *h, const double *x,
                               atn_idx rows, atn_idx n, const char *what)
{
    for (atn_idx e = 0; x && e < rows * n; e++)
        if (!isfinite(x[e]))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "layer %d, head %d, %s %lld: a feature is NaN or infinite "
                            "(look for NaN in the model's weights or the imported "
                            "tensors)",
                            h->layer, h->head, what, (long long)(e / n));
    return ATN_OK;
}

static atn_status check_features(atn_ctx *cx, const atn_head *h, const atn_features *f)
{
    atn_status st = ATN_OK;

    ATN_TRY(check_finite(cx, h, f->q, h->nq, f->n, "query"));
    ATN_TRY(check_finite(cx, h, f->k, h->nk, f->n, "key"));
    ATN_TRY(check_finite(cx, h, f->log_q, h->nq, 1, "query"));
    ATN_TRY(check_finite(cx, h, f->log_k, h->nk, 1, "key"));
    ATN_TRY(check_finite(cx, h, f->row, h->nq, 1, "query"));
    ATN_TRY(check_finite(cx, h, f->key, h->nk, 1, "key"));
done:
    return st;
}

/* Rows whose denominator is nothing, beside the sum of its parts. */
static atn_status count_vanished(atn_ctx *cx, const atn_head *h, const atn_features *f,
                                 int64_t *out)
{
    const bool mixed =
        any_negative(f->q, h->nq * f->n) || any_negative(f->k, h->nk * f->n);
    const atn_arena_mark mark = atn_arena_save(cx);
    walk w = {.h = h, .f = f, .cols = 1, .absolute = mixed};
    double *sums = NULL;
    atn_status st = ATN_OK;

    *out = 0;
    ATN_TAKE(sums, h->nq);
    ATN_TAKE(w.sums, h->nq);
    ATN_TAKE(w.logs, h->nq);
    ATN_TRY(atn_features_sums(cx, h, f, false, sums, w.logs, "features"));
    if (mixed) ATN_TRY(walk_run(cx, &w, "features"));
    for (atn_idx i = 0; i < h->nq; i++)
        if (w.logs[i] > -INFINITY &&
            (mixed ? fabs(sums[i]) <= 1e-12 * w.sums[i] : sums[i] == 0))
            ++*out;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_features_plan(atn_ctx *cx, const atn_head *h, atn_features *f,
                             double numbers, atn_plan *p)
{
    atn_operator op = {.kind = &kind, .executed = atn_features_executed(h, f->n)};
    atn_features *own = NULL;
    atn_status st = ATN_OK;

    ATN_ASSERT(f->n >= 1 && f->decay >= 0 && (f->decay == 0 || h->sight.causal));
    ATN_TRY(check_features(cx, h, f));
    if (f->normalise) ATN_TRY(count_vanished(cx, h, f, &op.vanished));
    ATN_NEW(own, 1);
    *own = *f;
    *f = (atn_features){0};
    op.state = own;
    atn_plan_operator(p, &op, numbers > 0 ? numbers : 2 * (double)own->n);
done:
    if (st != ATN_OK) atn_features_release(cx, f);
    return st;
}
