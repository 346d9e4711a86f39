/* analysis/spectrum.c -- singular values of an attention matrix, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/spectrum.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/products.h"
#include "core/rng.h"

enum { MORE_VECTORS = 8, TILE_ROWS = 64 };
/* Eigenvalues of a Gram matrix below this share of the largest are rounding. */
static const double NOISE = 1e-15;

void atn_spectrum_release(atn_ctx *cx, atn_spectrum *s)
{
    atn_free(cx, s->sigma);
    *s = (atn_spectrum){0};
}

static bool counts(const atn_row_info *info, atn_idx i, atn_idx skip)
{
    return i >= skip && info->hi > info->lo;
}

/* Takes ascending eigenvalues; those up to `noise` are 0. */
static atn_status set_values(atn_ctx *cx, const double *eigen, atn_idx n, atn_idx keep,
                             double noise, atn_spectrum *out)
{
    atn_status st = ATN_OK;

    out->n = ATN_MIN(n, keep);
    ATN_NEW(out->sigma, out->n);
    for (atn_idx i = 0; i < out->n; i++) {
        const double x = eigen[n - 1 - i];
        out->sigma[i] = x > noise ? sqrt(x) : 0;
    }
done:
    return st;
}

static void mirror(double *a, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
}

/* ---- all values ---- */

/* The Gram matrix of the keys (by_keys) or of the rows that count. */
typedef struct gram {
    bool by_keys;
    atn_idx side, rows; /* rows that count */
    double *g;          /* [side, side], lower triangle */
    double *columns;    /* [nk] sums of columns */
    double square;
} gram;

static bool keys_are_fewer(const atn_head *h)
{
    return h->nk <= h->nq;
}

/* Widens the rows of a tile that count into x [.., nk]; returns how many. */
static atn_idx widen(const atn_head *h, const atn_tile *t, const float *p,
                     const atn_row_info *info, atn_idx skip, double *x, gram *g)
{
    atn_idx rows = 0;

    for (atn_idx r = 0; r < t->rows; r++) {
        double *to = x + rows * h->nk;

        if (!counts(&info[r], t->first + r, skip)) continue;
        memset(to, 0, (size_t)h->nk * sizeof *to);
        for (atn_idx c = 0; c < t->keys; c++) {
            to[t->key0 + c] = (double)p[r * t->keys + c];
            g->columns[t->key0 + c] += to[t->key0 + c];
        }
        g->square += atn_row_square(p + r * t->keys, t->keys);
        rows++;
    }
    return rows;
}

static atn_status build_gram(atn_ctx *cx, const atn_head *h, atn_idx skip, gram *g)
{
    const atn_idx step = ATN_MIN((atn_idx)TILE_ROWS, h->nq);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *p = NULL;
    double *x = NULL;
    atn_row_info *info = NULL;

    ATN_TAKE(p, step * h->nk);
    ATN_TAKE(info, step);
    ATN_TAKE(x, (g->by_keys ? step : h->nq) * h->nk);
    memset(g->g, 0, (size_t)(g->side * g->side) * sizeof *g->g);
    memset(g->columns, 0, (size_t)h->nk * sizeof *g->columns);
    for (atn_idx first = 0; first < h->nq; first += step) {
        const atn_tile t = atn_tile_of(h, first, step);
        double *at = g->by_keys ? x : x + g->rows * h->nk;
        atn_idx rows;

        ATN_TRY(atn_rows_fill(cx, h, &t, (atn_mat){p, t.rows, t.keys, t.keys}, info));
        rows = widen(h, &t, p, info, skip, at, g);
        if (g->by_keys) atn_gram_add(false, x, rows, h->nk, g->g);
        g->rows += rows;
    }
    if (!g->by_keys) {
        g->side = g->rows;
        atn_gram_add(true, x, h->nk, g->rows, g->g);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The Gram matrix of the centred matrix, in c. */
static void centre(const gram *g, double *c)
{
    const atn_idx n = g->side;
    const double rows = (double)g->rows;
    double all = 0;

    if (g->by_keys) {
        for (atn_idx i = 0; i < n; i++)
            for (atn_idx j = 0; j <= i; j++)
                c[i * n + j] = g->g[i * n + j] - g->columns[i] * g->columns[j] / rows;
        return;
    }
    /* means of the rows of the symmetric matrix, on the diagonal until the end */
    for (atn_idx i = 0; i < n; i++) {
        double sum = 0;
        for (atn_idx j = 0; j < n; j++)
            sum += j <= i ? g->g[i * n + j] : g->g[j * n + i];
        c[i * n + i] = sum / rows;
        all += sum / rows / rows;
    }
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < i; j++)
            c[i * n + j] = g->g[i * n + j] - c[i * n + i] - c[j * n + j] + all;
    for (atn_idx i = 0; i < n; i++)
        c[i * n + i] = g->g[i * n + i] - 2 * c[i * n + i] + all;
}

static double centred_square(double square, const double *columns, atn_idx nk,
                             double rows)
{
    double sum = 0;

    for (atn_idx j = 0; j < nk; j++) sum += columns[j] * columns[j];
    sum = square - sum / ATN_MAX(rows, 1.0);
    return sum > 1e-14 * square ? sum : 0;
}

static atn_status run_dense(atn_ctx *cx, const atn_head *h, const atn_spectrum_opts *o,
                            atn_spectrum *plain, atn_spectrum *centred)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    gram g = {.by_keys = keys_are_fewer(h), .side = ATN_MIN(h->nq, h->nk)};
    double *c = NULL, *eigen = NULL, noise;

    ATN_TAKE(g.g, g.side * g.side);
    ATN_TAKE(c, g.side * g.side);
    ATN_TAKE(g.columns, h->nk);
    ATN_TAKE(eigen, g.side);
    ATN_TRY(build_gram(cx, h, o->skip_rows, &g));
    if (g.rows == 0) goto done;
    plain->square = g.square;
    centred->square = centred_square(g.square, g.columns, h->nk, (double)g.rows);
    plain->most = centred->most = (double)g.side;
    centre(&g, c);
    mirror(g.g, g.side);
    mirror(c, g.side);
    ATN_TRY(atn_eigenvalues(cx, g.g, g.side, eigen));
    noise = NOISE * (g.side > 0 ? eigen[g.side - 1] : 0);
    ATN_TRY(set_values(cx, eigen, g.side, g.side, noise, plain));
    ATN_TRY(atn_eigenvalues(cx, c, g.side, eigen));
    ATN_TRY(set_values(cx, eigen, g.side, g.side, noise, centred));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the largest values ---- */

/* The rows of a head as a source; the square of each is left in `square`, -1 where it
 * does not count. */
typedef struct head_rows {
    const atn_head *h;
    atn_idx skip;
    double *square; /* [nq] */
} head_rows;

static atn_tile tile_of(const void *state, atn_idx first, atn_idx rows)
{
    return atn_tile_of(((const head_rows *)state)->h, first, rows);
}

static atn_status fill_rows(atn_ctx *cx, const atn_tile *t, atn_mat out, void *state)
{
    const head_rows *s = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_row_info *info = NULL;

    ATN_TAKE(info, t->rows);
    ATN_TRY(atn_rows_fill(cx, s->h, t, out, info));
    for (atn_idx r = 0; r < t->rows; r++) {
        float *row = atn_row(out, r);

        s->square[t->first + r] = -1;
        if (counts(&info[r], t->first + r, s->skip))
            s->square[t->first + r] = atn_row_square(row, t->keys);
        else
            memset(row, 0, (size_t)t->keys * sizeof *row);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A block of vectors, which serves the matrix and the centred one. */
typedef struct iteration {
    atn_idx n, r, rows;
    double *q;       /* [r][n] orthonormal */
    float *x;        /* (n, r) the same */
    double *z;       /* (n, r + 1) P'(P q), and the sums of columns */
    double *columns; /* [n] */
    double *small;   /* [r, r] */
    double *along;   /* [r] q'columns */
    double *eigen;   /* [r] */
} iteration;

static atn_status take_iteration(atn_ctx *cx, atn_idx n, atn_idx r, iteration *it)
{
    atn_status st = ATN_OK;

    *it = (iteration){.n = n, .r = r};
    ATN_TAKE(it->q, r * n);
    ATN_TAKE(it->x, n * r);
    ATN_TAKE(it->z, n * (r + 1));
    ATN_TAKE(it->columns, n);
    ATN_TAKE(it->small, r * r);
    ATN_TAKE(it->along, r);
    ATN_TAKE(it->eigen, r);
done:
    return st;
}

static void start(const atn_ctx *cx, const atn_head *h, iteration *it)
{
    atn_rng r = atn_rng_stream(cx->seed, "rank/start", h->layer, h->head);

    for (atn_idx i = 0; i < it->r * it->n; i++) it->q[i] = atn_rng_normal(&r);
    atn_orthonormalise(it->q, it->r, it->n);
}

/* The vectors as the columns of x. */
static void lay_out(iteration *it)
{
    for (atn_idx j = 0; j < it->n; j++)
        for (atn_idx a = 0; a < it->r; a++)
            it->x[j * it->r + a] = (float)it->q[a * it->n + j];
}

/* Arena memory: the vectors of the next step, not yet orthonormal, a vector a row. */
static atn_status take_next(atn_ctx *cx, const iteration *it, double **next)
{
    atn_status st = ATN_OK;

    ATN_TAKE(*next, it->r * it->n);
    for (atn_idx a = 0; a < it->r; a++)
        for (atn_idx j = 0; j < it->n; j++)
            (*next)[a * it->n + j] = it->z[j * (it->r + 1) + a];
done:
    return st;
}

/* The last vector is c, for the largest directions of the centred matrix lean on it. */
static atn_status advance(atn_ctx *cx, iteration *it)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *next = NULL;

    ATN_TRY(take_next(cx, it, &next));
    memcpy(it->q, next, (size_t)(it->r * it->n) * sizeof *next);
    if (it->r < it->n)
        memcpy(it->q + (it->r - 1) * it->n, it->columns,
               (size_t)it->n * sizeof *it->columns);
    atn_orthonormalise(it->q, it->r, it->n);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Ritz values: of q'P'P q, or less (q'c)(q'c)' / rows, which is that of the centred
 * matrix. */
static atn_status ritz(atn_ctx *cx, iteration *it, bool centred)
{
    const atn_idx n = it->n, r = it->r;
    const atn_arena_mark mark = atn_arena_save(cx);
    const double each = centred ? 1 / (double)it->rows : 0;
    atn_status st = ATN_OK;
    double *next = NULL;

    ATN_TRY(take_next(cx, it, &next));
    for (atn_idx a = 0; a < r; a++)
        it->along[a] = atn_wide_dot(it->q + a * n, it->columns, n);
    for (atn_idx a = 0; a < r; a++)
        for (atn_idx b = 0; b <= a; b++)
            it->small[a * r + b] = (atn_wide_dot(it->q + a * n, next + b * n, n) +
                                    atn_wide_dot(it->q + b * n, next + a * n, n)) /
                                       2 -
                                   each * it->along[a] * it->along[b];
    mirror(it->small, r);
    ATN_TRY(atn_eigenvalues(cx, it->small, r, it->eigen));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void add_up(const head_rows *s, iteration *it, double *square)
{
    *square = 0;
    it->rows = 0;
    for (atn_idx i = 0; i < s->h->nq; i++) {
        if (s->square[i] < 0) continue;
        *square += s->square[i];
        it->rows++;
    }
    for (atn_idx j = 0; j < it->n; j++) it->columns[j] = it->z[j * (it->r + 1) + it->r];
}

static atn_idx vectors_of(const atn_head *h, const atn_spectrum_opts *o)
{
    return ATN_MIN(o->values + MORE_VECTORS, ATN_MIN(h->nq, h->nk));
}

static atn_status run_large(atn_ctx *cx, const atn_head *h, const atn_spectrum_opts *o,
                            atn_spectrum *plain, atn_spectrum *centred)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    iteration it;
    head_rows s = {.h = h, .skip = o->skip_rows};
    const atn_row_source m = {h->nq, h->nk, tile_of, fill_rows, &s};
    double most;
    atn_idx keep;

    ATN_TAKE(s.square, h->nq);
    ATN_TRY(take_iteration(cx, h->nk, vectors_of(h, o), &it));
    start(cx, h, &it);
    for (int walk = 0; walk < ATN_SPECTRUM_WALKS; walk++) {
        if (walk > 0) ATN_TRY(advance(cx, &it));
        lay_out(&it);
        ATN_TRY(atn_product_run(
            cx, &m, &(atn_product){.r = it.r, .x = it.x, .ones = true, .z = it.z},
            "singular values"));
        add_up(&s, &it, &plain->square);
        if (it.rows == 0) goto done;
    }
    most = (double)ATN_MIN(it.rows, h->nk);
    keep = ATN_MIN(o->values, (atn_idx)most);
    centred->square = centred_square(plain->square, it.columns, h->nk, (double)it.rows);
    plain->most = centred->most = most;
    ATN_TRY(ritz(cx, &it, false));
    ATN_TRY(set_values(cx, it.eigen, it.r, keep, 0, plain));
    ATN_TRY(ritz(cx, &it, true));
    ATN_TRY(set_values(cx, it.eigen, it.r, keep, 0, centred));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

bool atn_spectrum_is_exact(const atn_head *h, const atn_spectrum_opts *o)
{
    return ATN_MIN(h->nq, h->nk) <= o->dense &&
           (keys_are_fewer(h) ||
            (double)h->nq * (double)h->nk <= (double)o->dense * (double)o->dense);
}

double atn_spectrum_bytes(const atn_head *h, const atn_spectrum_opts *o)
{
    const double nq = (double)h->nq, nk = (double)h->nk;

    if (atn_spectrum_is_exact(h, o)) {
        const double side = ATN_MIN(nq, nk), step = ATN_MIN(nq, (double)TILE_ROWS);
        return 8 * (2 * side * side + (keys_are_fewer(h) ? step : nq) * nk + nk +
                    side) +
               step * (4 * nk + sizeof(atn_row_info)) +
               atn_eigenvalues_bytes((atn_idx)side);
    }
    {
        const double r = (double)vectors_of(h, o);
        const atn_row_source m = {.nq = h->nq, .nk = h->nk};
        return nk * (3 * r * 8 + 2 * r * 4 + (2 * r + 1) * 8 + 8) + 8 * nq + 8 * r * r +
               atn_product_bytes(&m, 2 * (atn_idx)r);
    }
}

atn_status atn_spectrum_run(atn_ctx *cx, const atn_head *h, const atn_spectrum_opts *o,
                            atn_spectrum *plain, atn_spectrum *centred)
{
    atn_status st = ATN_OK;

    *plain = *centred = (atn_spectrum){0};
    ATN_TRY(atn_mem_check(cx, atn_spectrum_bytes(h, o), "singular values"));
    if (atn_spectrum_is_exact(h, o))
        ATN_TRY(run_dense(cx, h, o, plain, centred));
    else
        ATN_TRY(run_large(cx, h, o, plain, centred));
done:
    if (st != ATN_OK) {
        atn_spectrum_release(cx, plain);
        atn_spectrum_release(cx, centred);
    }
    return st;
}

/* ---- logits ---- */

/* Of the rows of x that are taken; NULL = all. */
static atn_status gram_of(atn_ctx *cx, atn_cmat x, const bool *take, double *g)
{
    const atn_idx d = x.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *rows = NULL;

    ATN_TAKE(rows, TILE_ROWS * d);
    memset(g, 0, (size_t)(d * d) * sizeof *g);
    for (atn_idx first = 0; first < x.rows; first += TILE_ROWS) {
        const atn_idx end = ATN_MIN(first + TILE_ROWS, x.rows);
        double *to = rows;

        for (atn_idx i = first; i < end; i++)
            for (atn_idx c = 0; c < d && (!take || take[i]); c++)
                *to++ = (double)atn_crow(x, i)[c];
        atn_gram_add(false, rows, (to - rows) / d, d, g);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Rows that count; returns how many. */
static atn_idx mark_rows(const atn_head *h, atn_idx skip, bool *take)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        atn_row_info info = {0};

        atn_sight_row(&h->sight, i, &info.lo, &info.hi);
        take[i] = counts(&info, i, skip);
        n += take[i];
    }
    return n;
}

/* The values of q k' are those of R_q R_k', whose Gram matrix is L' K L with Q'Q = L
 * L'. */
atn_status atn_spectrum_logits(atn_ctx *cx, const atn_head *h, atn_idx skip_rows,
                               atn_spectrum *out)
{
    const atn_idx d = h->q.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *l = NULL, *k = NULL, *kl = NULL, *eigen = NULL;
    bool *take = NULL;
    atn_idx n;

    *out = (atn_spectrum){0};
    ATN_TAKE(take, h->nq);
    n = ATN_MIN(mark_rows(h, skip_rows, take), ATN_MIN(d, h->nk));
    if (n == 0) goto done;
    ATN_TAKE(l, d * d);
    ATN_TAKE(k, d * d);
    ATN_TAKE(kl, d * d);
    ATN_TAKE(eigen, d);
    ATN_TRY(gram_of(cx, h->q, take, l));
    ATN_TRY(gram_of(cx, h->k, NULL, k));
    atn_cholesky_half(l, d);
    for (atn_idx i = 0; i < d; i++)
        for (atn_idx j = 0; j < d; j++) {
            kl[i * d + j] = 0;
            for (atn_idx c = 0; c < d; c++)
                kl[i * d + j] += (c <= i ? k[i * d + c] : k[c * d + i]) * l[c * d + j];
        }
    for (atn_idx i = 0; i < d; i++)
        for (atn_idx j = 0; j <= i; j++) {
            double sum = 0;
            for (atn_idx c = 0; c < d; c++) sum += l[c * d + i] * kl[c * d + j];
            k[i * d + j] = sum * h->scale * h->scale;
        }
    for (atn_idx i = 0; i < d; i++) out->square += k[i * d + i];
    mirror(k, d);
    ATN_TRY(atn_eigenvalues(cx, k, d, eigen));
    out->most = (double)n;
    ATN_TRY(set_values(cx, eigen, d, n, NOISE * eigen[d - 1], out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- what is made of them ---- */

static bool none(const atn_spectrum *s)
{
    return s->n == 0 || !(s->sigma[0] > 0) || !(s->square > 0);
}

static double known_square(const atn_spectrum *s)
{
    double sum = 0;

    for (atn_idx i = 0; i < s->n; i++) sum += s->sigma[i] * s->sigma[i];
    return sum;
}

/* The square that is in values not known. */
static double tail_square(const atn_spectrum *s)
{
    return (double)s->n < s->most ? ATN_MAX(s->square - known_square(s), 0.0) : 0;
}

double atn_spectrum_tail(const atn_spectrum *s)
{
    return none(s) ? NAN : tail_square(s) / s->square;
}

double atn_spectrum_stable(const atn_spectrum *s)
{
    return none(s) ? NAN : ATN_MAX(s->square / (s->sigma[0] * s->sigma[0]), 1.0);
}

double atn_spectrum_participation(const atn_spectrum *s)
{
    double fourth = 0, square;

    if (none(s)) return NAN;
    for (atn_idx i = 0; i < s->n; i++)
        fourth += s->sigma[i] * s->sigma[i] * s->sigma[i] * s->sigma[i];
    fourth += tail_square(s) * s->sigma[s->n - 1] * s->sigma[s->n - 1];
    square = tail_square(s) > 0 ? s->square : known_square(s);
    return square * square / fourth;
}

double atn_spectrum_above(const atn_spectrum *s, double eps)
{
    atn_idx n = 0;

    if (none(s)) return NAN;
    while (n < s->n && s->sigma[n] >= eps * s->sigma[0]) n++;
    return (double)n;
}

static double plogp(double p)
{
    return p > 0 ? p * log(p) : 0;
}

double atn_spectrum_effective(const atn_spectrum *s, double *most)
{
    double sum = 0, entropy = 0, tail, lambda, best, more;

    if (most) *most = NAN;
    if (none(s)) return NAN;
    for (atn_idx i = 0; i < s->n; i++) sum += s->sigma[i];
    for (atn_idx i = 0; i < s->n; i++) entropy -= plogp(s->sigma[i] / sum);
    tail = tail_square(s);
    if (!(tail > 0) || !(s->sigma[s->n - 1] > 0)) {
        if (most) *most = exp(entropy);
        return exp(entropy);
    }
    more = s->most - (double)s->n;
    lambda = sqrt(more * tail);
    lambda /= lambda + sum;
    best = ATN_MIN(lambda, more / (more + exp(entropy)));
    if (most)
        *most = exp(-plogp(best) - plogp(1 - best) + (1 - best) * entropy +
                    best * log(more));
    lambda = tail / s->sigma[s->n - 1];
    lambda /= lambda + sum;
    return exp(-log(1 - lambda) + (1 - lambda) * entropy +
               lambda * log(sum / s->sigma[s->n - 1]));
}
