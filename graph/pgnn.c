/* graph/pgnn.c -- p-Laplacian message passing, tile of rows by tile of rows.
 *
 * The state is kept as Y = F / sqrt d beside F, so that gradients are differences of
 * rows of Y and messages a product with it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/pgnn.h"

#include <math.h>
#include <string.h>

#include "core/linalg.h"
#include "core/rows.h"
#include "graph/pairs.h"

enum { TILE_ROWS = 32 };

const atn_pgnn_params atn_pgnn_defaults = {
    .p = 2, .mu = 0.1, .damping = 1, .iterations = 2};

typedef struct passing {
    const atn_pgnn_graph *g;
    const atn_pgnn_params *a;
    const atn_pgnn_watch *watch;
    int iteration;
    bool sums, moves; /* what this pass is for: sums of M and energy; the next F */
    double *root;     /* [n] 1 / sqrt d, 0 where d is */
    double *f, *next; /* (n, c) */
    atn_points y;     /* (n, c) F / sqrt d */
    double *sum;      /* [n] sum_j M_ij / d_i */
    double *alpha;    /* [n] */
    double *energy;   /* [n] */
    double floor;     /* of the energy, what is rounding */
} passing;

atn_status atn_pgnn_check(atn_ctx *cx, const atn_pgnn_params *a)
{
    return atn_pairs_check(cx, a->p, a->mu, a->snap, a->damping, a->iterations);
}

double atn_pgnn_bytes(const atn_ctx *cx, const atn_pgnn_graph *g)
{
    const double n = (double)g->n, c = (double)g->c;
    const double tile = TILE_ROWS * (2 * n + c) + 2 * n;

    return 8 * (n * (3 * c + 6) + (double)cx->threads * tile);
}

double atn_pgnn_response(double s, double mu, double damping, int iterations)
{
    const double x = 1 - damping + damping * s / (1 + mu);
    const double b = damping * mu / (1 + mu), far = pow(x, iterations);

    if (iterations < 0) return mu / (1 + mu - s);
    if (x == 1) return 1 + b * iterations;
    return far + b * (1 - far) / (1 - x);
}

/* ---- one tile ---- */

typedef struct tile {
    atn_idx first, rows;
    double *d2, *m;   /* [rows, n] */
    double *ln, *row; /* [n] */
    double *moved;    /* [rows, c] */
} tile;

/* M of row r, and what falls out of it. */
static void weigh_row(const passing *s, const tile *t, atn_idx r)
{
    const atn_idx n = s->g->n, i = t->first + r;
    const double *w = s->g->w + i * n;
    double *d2 = t->d2 + r * n, *m = t->m + r * n;

    atn_pairs_repair(&s->y, i, &s->y, 0, n, s->a->snap, d2);
    for (atn_idx j = 0; j < n; j++) m[j] = w[j] * d2[j];
    atn_pairs_power(m, n, (s->a->p - 2) / 2, t->ln, m);
    for (atn_idx j = 0; j < n; j++) m[j] *= w[j];
    if (!s->sums) return;
    s->energy[i] = atn_pairs_dot(m, d2, n) / 2;
    s->sum[i] = atn_pairs_sum(m, n) * s->root[i] * s->root[i];
    s->alpha[i] = 1 / (s->sum[i] + 2 * s->a->mu / s->a->p);
}

static double beta_of(const passing *s, atn_idx i)
{
    return s->sum[i] > 0 ? 2 * s->a->mu / s->a->p * s->alpha[i] : 1;
}

/* F of row r after the step; moved holds sum_j (a_j) M_ij F_j / sqrt d_j. */
static void move_row(const passing *s, const tile *t, atn_idx r)
{
    const atn_idx n = s->g->n, c = s->g->c, i = t->first + r;
    const bool code = s->a->alpha == ATN_ALPHA_CODE, any = s->sum[i] > 0;
    const double own = any ? (code ? 1 : s->alpha[i]) * s->root[i] : 0;
    const double beta = beta_of(s, i);

    for (atn_idx e = 0; e < c; e++) {
        const double f = s->f[i * c + e];
        const double to = own * t->moved[r * c + e] + beta * s->g->x[i * c + e];

        s->next[i * c + e] = f + s->a->damping * (to - f);
    }
    if (!s->watch || !s->watch->row) return;
    for (atn_idx j = 0; j < n; j++) t->row[j] = own * t->m[r * n + j] * s->root[j];
    s->watch->row(s->iteration + 1, i, t->row, beta, s->sum[i], t->ln, s->watch->state);
}

static atn_status one_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const passing *s = state;
    const atn_idx n = s->g->n, c = s->g->c;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    tile t = {.first = at * TILE_ROWS};

    t.rows = ATN_MIN((atn_idx)TILE_ROWS, n - t.first);
    ATN_TAKE(t.d2, t.rows * n);
    ATN_TAKE(t.m, t.rows * n);
    ATN_TAKE(t.ln, n);
    ATN_TAKE(t.row, n);
    ATN_TAKE(t.moved, t.rows * c);
    atn_pairs_distance(&s->y, t.first, t.rows, &s->y, 0, n, t.d2);
    for (atn_idx r = 0; r < t.rows; r++) weigh_row(s, &t, r);
    if (!s->moves) goto done;
    if (s->a->alpha == ATN_ALPHA_CODE)
        for (atn_idx r = 0; r < t.rows; r++)
            for (atn_idx j = 0; j < n; j++)
                t.m[r * n + j] *= s->sum[j] > 0 ? s->alpha[j] : 0;
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){t.m, t.rows, n, n},
                  (atn_cwide){s->y.x, n, c, c}, 0, (atn_wide){t.moved, t.rows, c, c});
    for (atn_idx r = 0; r < t.rows; r++) move_row(s, &t, r);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the iteration ---- */

static atn_status run_tiles(atn_ctx *cx, passing *s, bool sums, bool moves)
{
    const atn_idx tiles = (s->g->n + TILE_ROWS - 1) / TILE_ROWS;

    s->sums = sums;
    s->moves = moves;
    return atn_parallel(cx, tiles, one_tile, s, "message passing");
}

static void scale_state(const passing *s)
{
    const atn_idx c = s->g->c;

    for (atn_idx i = 0; i < s->g->n; i++)
        for (atn_idx e = 0; e < c; e++)
            ((double *)s->y.x)[i * c + e] = s->f[i * c + e] * s->root[i];
    atn_points_measure(&s->y);
}

static double energy_of(const passing *s)
{
    double apart = 0, sum = 0;

    for (atn_idx i = 0; i < s->g->n; i++)
        for (atn_idx e = 0; e < s->g->ruling; e++) {
            const double d = s->f[i * s->g->c + e] - s->g->x[i * s->g->c + e];

            apart += d * d;
        }
    for (atn_idx i = 0; i < s->g->n; i++) sum += s->energy[i];
    return sum + s->a->mu * apart;
}

/* What iteration s->iteration was like, and the next; *more: go on with that. */
static atn_status one_iteration(atn_ctx *cx, passing *s, double *energy, bool *more)
{
    const bool code = s->a->alpha == ATN_ALPHA_CODE;
    const bool last = s->iteration == s->a->iterations;
    atn_status st = ATN_OK;

    scale_state(s);
    if (s->watch && s->watch->step) s->watch->step(s->iteration, s->f, s->watch->state);
    /* the code's messages need the sums of all rows first */
    if (code && !last) ATN_TRY(run_tiles(cx, s, true, false));
    ATN_TRY(run_tiles(cx, s, !code || last, !last));
    energy[s->iteration] = energy_of(s);
    *more = !last;
    if (s->a->stop && s->iteration > 0 &&
        atn_energy_rose(energy[s->iteration - 1], energy[s->iteration], s->floor))
        *more = false;
done:
    return st;
}

static void degrees(const passing *s)
{
    for (atn_idx i = 0; i < s->g->n; i++) {
        const double d = atn_pairs_sum(s->g->w + i * s->g->n, s->g->n);

        s->root[i] = d > 0 ? 1 / sqrt(d) : 0;
    }
}

static atn_status take_room(atn_ctx *cx, passing *s)
{
    const atn_idx n = s->g->n, c = s->g->c;
    atn_status st = ATN_OK;
    atn_idx size;
    double *y = NULL;

    if (!atn_mul(n, n, &size) || !atn_mul(n, c, &size))
        ATN_FAIL(ATN_MEMORY, "message passing: %lld nodes of %lld numbers are too many",
                 (long long)n, (long long)c);
    ATN_TRY(atn_mem_check(cx, atn_pgnn_bytes(cx, s->g), "message passing"));
    ATN_TAKE(s->root, n);
    ATN_TAKE(s->next, size);
    ATN_TAKE(y, size);
    ATN_TAKE(s->sum, n);
    ATN_TAKE(s->alpha, n);
    ATN_TAKE(s->energy, n);
    s->y = (atn_points){.x = y, .n = n, .c = s->g->ruling, .ld = c};
    ATN_TAKE(s->y.square, n);
done:
    return st;
}

double atn_pgnn_floor(const atn_pgnn_graph *g, double p)
{
    const atn_points x = {.x = g->x, .n = g->n, .c = g->ruling, .ld = g->c};

    return atn_energy_floor(&x, p);
}

atn_status atn_pgnn_run(atn_ctx *cx, const atn_pgnn_graph *g, const atn_pgnn_params *a,
                        const atn_pgnn_watch *watch, double *f, double *energy,
                        int *done)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    passing s = {.g = g, .a = a, .watch = watch, .f = f};
    atn_status st = ATN_OK;
    bool more = true;

    ATN_ASSERT(g->n >= 0 && g->ruling >= 1 && g->ruling <= g->c);
    ATN_TRY(atn_pgnn_check(cx, a));
    ATN_TRY(take_room(cx, &s));
    degrees(&s);
    s.floor = atn_pgnn_floor(g, a->p);
    memcpy(f, g->x, (size_t)(g->n * g->c) * sizeof *f);
    for (;; s.iteration++) {
        ATN_TRY(one_iteration(cx, &s, energy, &more));
        if (!more) break;
        memcpy(f, s.next, (size_t)(g->n * g->c) * sizeof *f);
    }
    if (done) *done = s.iteration;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
