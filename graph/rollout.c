/* graph/rollout.c -- the step matrix of a layer, row by row, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/rollout.h"

#include <string.h>

#include "core/kernels/kernels.h"
#include "core/products.h"

enum { TILE_ROWS = 16 };

/* Rows of the step matrix less its diagonal part, which goes to `self`. */
typedef struct step_rows {
    const atn_rollout_layer *layer;
    double *self; /* [n] */
} step_rows;

static void combine(float *x, atn_idx n, const float *y, bool max)
{
    for (atn_idx j = 0; j < n; j++)
        x[j] = max ? (y[j] > x[j] ? y[j] : x[j]) : x[j] + y[j];
}

/* One row of combined weights becomes that of the step matrix; returns the part of the
 * token itself. */
static double finish_row(const atn_rollout_layer *l, float *row, atn_idx keys)
{
    const double sum = atn_row_sum(row, keys);
    double mass = sum / (double)l->n_heads, whole;

    if (l->combine == ATN_ROLLOUT_MAX) mass = 1;
    if (!(sum > 0)) return 1;
    whole = (1 - l->rho) * mass + l->rho;
    atn_row_scale(row, keys, (float)((1 - l->rho) * mass / sum / whole));
    return l->rho / whole;
}

static atn_tile tile_of(const void *state, atn_idx first, atn_idx rows)
{
    return atn_tile_of(((const step_rows *)state)->layer->heads, first, rows);
}

static atn_status fill(atn_ctx *cx, const atn_tile *t, atn_mat out, void *state)
{
    const step_rows *s = state;
    const atn_rollout_layer *l = s->layer;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_row_info *info = NULL;
    float *x = NULL;

    ATN_TAKE(info, t->rows);
    ATN_TAKE(x, t->rows * t->keys);
    ATN_TRY(atn_rows_fill(cx, &l->heads[0], t, out, info));
    for (atn_idx h = 1; h < l->n_heads; h++) {
        ATN_TRY(atn_rows_fill(cx, &l->heads[h], t,
                              (atn_mat){x, t->rows, t->keys, t->keys}, info));
        for (atn_idx r = 0; r < t->rows; r++)
            combine(atn_row(out, r), t->keys, x + r * t->keys,
                    l->combine == ATN_ROLLOUT_MAX);
    }
    for (atn_idx r = 0; r < t->rows; r++)
        s->self[t->first + r] = finish_row(l, atn_row(out, r), t->keys);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_row_source source_of(step_rows *s)
{
    const atn_head *h = &s->layer->heads[0];

    ATN_ASSERT(s->layer->n_heads > 0 && h->nq == h->nk && !h->sight.rows);
    return (atn_row_source){h->nq, h->nk, tile_of, fill, s};
}

double atn_rollout_bytes(const atn_ctx *cx, const atn_rollout_layer *l, atn_idx r)
{
    const double n = (double)l->heads[0].nk;
    const atn_row_source m = {.nq = l->heads[0].nq, .nk = l->heads[0].nk};

    return atn_product_bytes(&m, r) + n * (12 * (double)r + 8) +
           cx->threads * TILE_ROWS * (4 * n + sizeof(atn_row_info));
}

atn_status atn_rollout_step(atn_ctx *cx, const atn_rollout_layer *l, atn_idx r,
                            double *w)
{
    const atn_idx n = l->heads[0].nk;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    step_rows s = {.layer = l};
    const atn_row_source m = source_of(&s);
    float *x = NULL;
    double *z = NULL;

    ATN_TRY(atn_mem_check(cx, atn_rollout_bytes(cx, l, r), "rollout"));
    ATN_TAKE(s.self, n);
    ATN_TAKE(x, n * r);
    ATN_TAKE(z, n * r);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx a = 0; a < r; a++) x[i * r + a] = (float)w[a * n + i];
    ATN_TRY(atn_product_run(cx, &m, &(atn_product){.r = r, .w = x, .z = z}, "rollout"));
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx a = 0; a < r; a++)
            w[a * n + i] = s.self[i] * w[a * n + i] + z[i * r + a];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Adds the rows of a tile to the row of their block. */
static void add_tile(const atn_tile *t, const float *x, const double *self,
                     atn_idx block, atn_idx n, double *s)
{
    const atn_idx blocks = (n + block - 1) / block;

    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r, b = i / block;
        const double rows = (double)(ATN_MIN((b + 1) * block, n) - b * block);
        double *to = s + b * blocks;

        for (atn_idx c = 0; c < t->keys; c++)
            to[(t->key0 + c) / block] += (double)x[r * t->keys + c] / rows;
        to[b] += self[i] / rows;
    }
}

atn_status atn_rollout_matrix(atn_ctx *cx, const atn_rollout_layer *l, atn_idx block,
                              double *s)
{
    const atn_idx n = l->heads[0].nk, blocks = (n + block - 1) / block;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    step_rows rows = {.layer = l};
    const atn_row_source m = source_of(&rows);
    float *x = NULL;

    ATN_TAKE(rows.self, n);
    ATN_TAKE(x, TILE_ROWS * n);
    memset(s, 0, (size_t)(blocks * blocks) * sizeof *s);
    for (atn_idx first = 0; first < n; first += TILE_ROWS) {
        const atn_tile t = m.tile(m.state, first, TILE_ROWS);

        ATN_TRY(m.fill(cx, &t, (atn_mat){x, t.rows, t.keys, t.keys}, m.state));
        add_tile(&t, x, rows.self, block, n, s);
        ATN_TRY(atn_progress(cx, "step matrix", (double)(first + t.rows), (double)n));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
