/* approx/random_features.c -- random features, see approx/random_features.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/random_features.h"

#include <math.h>
#include <stdio.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/wide_rows.h"

enum { ROWS = 64, NAME = 64 };

/* ---- projections ---- */

/* Gram-Schmidt gives the factor whose R has a positive diagonal. */
atn_status atn_projections_turn(atn_ctx *cx, atn_idx m, atn_idx d, const float *lengths,
                                float *x, const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *q = NULL;

    ATN_TAKE(q, d * d);
    for (atn_idx first = 0; first < m; first += d) {
        const atn_idx rows = ATN_MIN(d, m - first);

        ATN_TRY(atn_stopped(cx, what));
        for (atn_idx e = 0; e < rows * d; e++) q[e] = (double)x[first * d + e];
        atn_orthonormalise(q, rows, d);
        for (atn_idx r = 0; r < rows; r++) {
            const double square =
                lengths ? atn_row_square(lengths + (first + r) * d, d) : (double)d;

            for (atn_idx c = 0; c < d; c++)
                x[(first + r) * d + c] = (float)(sqrt(square) * q[r * d + c]);
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_projections_make(atn_ctx *cx, const atn_input *in,
                                const atn_projections *p, float *omega)
{
    const int layer = in->head[0].layer;
    const atn_arena_mark mark = atn_arena_save(cx);
    char of_rows[NAME], of_lengths[NAME];
    const atn_draw w = {"projections", of_rows, layer, -1, p->m, p->d};
    const atn_draw l = {"lengths", of_lengths, layer, -1, p->m, p->d};
    atn_status st = ATN_OK;
    float *lengths = NULL;

    snprintf(of_rows, sizeof of_rows, "%s/projections", p->method);
    snprintf(of_lengths, sizeof of_lengths, "%s/lengths", p->method);
    ATN_TRY(atn_draws_need(cx, in->draws, &w));
    if (!atn_draws_have(in->draws, &w)) {
        ATN_TRY(atn_draw_normal(cx, NULL, in->seed, &w, omega));
        if (p->orthogonal && !p->root) {
            ATN_TAKE(lengths, p->m * p->d);
            ATN_TRY(atn_draw_normal(cx, NULL, in->seed, &l, lengths));
        }
        if (p->orthogonal)
            ATN_TRY(atn_projections_turn(cx, p->m, p->d, lengths, omega, p->method));
    }
    ATN_TRY(atn_draw_given(cx, in->draws, &w, omega));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- features ---- */

static bool twofold(atn_map_kind kind)
{
    return kind != ATN_MAP_POSITIVE;
}

atn_idx atn_random_width(atn_map_kind kind, atn_idx m)
{
    return twofold(kind) ? 2 * m : m;
}

atn_idx atn_random_draws(atn_map_kind kind, atn_idx features)
{
    return ATN_MAX(twofold(kind) ? features / 2 : features, 1);
}

atn_status atn_random_exponents(atn_ctx *cx, const atn_random_map *f, atn_cmat x,
                                double *u, double *half)
{
    const double root = copysign(sqrt(fabs(f->scale)), f->scale);
    const atn_idx m = f->omega.rows, d = x.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *off = NULL;

    ATN_TRY(atn_wide_product(cx, x, f->omega, root, u, m));
    for (atn_idx r = 0; r < x.rows; r++) {
        double square = 0;

        for (atn_idx c = 0; c < d && f->mean; c++) {
            const double part = (double)atn_crow(x, r)[c] - f->mean[c];

            square += part * part;
        }
        if (!f->mean) square = atn_row_square(atn_crow(x, r), d);
        half[r] = fabs(f->scale) * square / 2;
    }
    if (!f->mean) goto done;
    ATN_TAKE(off, m);
    for (atn_idx c = 0; c < m; c++) {
        off[c] = 0;
        for (atn_idx e = 0; e < d; e++)
            off[c] += (double)atn_crow(f->omega, c)[e] * f->mean[e];
    }
    for (atn_idx r = 0; r < x.rows; r++)
        for (atn_idx c = 0; c < m; c++) u[r * m + c] -= root * off[c];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A row of m exponents u, into out [width]; its logarithm. */
static double map_row(atn_map_kind kind, const double *u, double half, atn_idx m,
                      double *out)
{
    const double share = -log((double)m) / 2;
    double top = -INFINITY;

    switch (kind) {
    case ATN_MAP_POSITIVE:
        for (atn_idx r = 0; r < m; r++) top = fmax(top, u[r]);
        for (atn_idx r = 0; r < m; r++) out[r] = exp(u[r] - top);
        return top - half + share;
    case ATN_MAP_HYPERBOLIC:
        for (atn_idx r = 0; r < m; r++) top = fmax(top, fabs(u[r]));
        for (atn_idx r = 0; r < m; r++) {
            out[r] = exp(u[r] - top);
            out[m + r] = exp(-u[r] - top);
        }
        return top - half + share - log(2) / 2;
    default:
        for (atn_idx r = 0; r < m; r++) {
            out[r] = cos(u[r]);
            out[m + r] = sin(u[r]);
        }
        return (kind == ATN_MAP_TRIGONOMETRIC ? half : 0) + share;
    }
}

typedef struct mapping {
    const atn_random_map *f;
    atn_cmat x;
    double *out, *log;
} mapping;

static atn_status map_tile(atn_ctx *cx, atn_idx task, void *state)
{
    const mapping *w = state;
    const atn_idx first = task * ROWS, m = w->f->omega.rows;
    const atn_idx width = atn_random_width(w->f->kind, m);
    const atn_cmat x = {atn_crow(w->x, first),
                        ATN_MIN((atn_idx)ROWS, w->x.rows - first), w->x.cols, w->x.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    double *u = NULL, *half = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(u, x.rows * m);
    ATN_TAKE(half, x.rows);
    ATN_TRY(atn_random_exponents(cx, w->f, x, u, half));
    for (atn_idx r = 0; r < x.rows; r++)
        w->log[first + r] =
            map_row(w->f->kind, u + r * m, half[r], m, w->out + (first + r) * width);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_random_features(atn_ctx *cx, const atn_random_map *f, atn_cmat x,
                               double *out, double *log, const char *what)
{
    mapping w = {f, x, out, log};

    return atn_parallel(cx, (x.rows + ROWS - 1) / ROWS, map_tile, &w, what);
}

atn_status atn_random_open(atn_ctx *cx, const atn_random_map *map, const atn_head *h,
                           atn_features *f, const char *what)
{
    const atn_idx width = atn_random_width(map->kind, map->omega.rows);
    atn_random_map of_queries = *map, of_keys = *map;
    atn_status st = ATN_OK;

    of_queries.mean = NULL;
    of_keys.scale = fabs(map->scale);
    ATN_TRY(atn_features_open(cx, h, width, true, f));
    ATN_TRY(atn_random_features(cx, &of_queries, h->q, f->q, f->log_q, what));
    ATN_TRY(atn_random_features(cx, &of_keys, h->k, f->k, f->log_k, what));
    for (atn_idx j = 0; j < h->nk; j++) f->log_k[j] += h->alibi_slope * (double)j;
done:
    return st;
}

double atn_random_open_bytes(const atn_ctx *cx, const atn_head *h, atn_map_kind kind,
                             atn_idx m)
{
    const double d = (double)h->q.cols, draws = (double)m;
    const double panels = (double)(ATN_MIN(m, 256) + ATN_PANEL) * d;
    const double thread = 8 * (draws * (ROWS + 1) + ROWS + panels + 32);

    return 8 * draws * d + 8 * d * (d + 1) + 512 + (double)cx->threads * thread +
           atn_features_bytes(cx, h, atn_random_width(kind, m));
}
