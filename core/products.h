/* core/products.h -- products with a matrix that is never held: M x and M'w, where M
 * comes in tiles of rows, as attention does.
 *
 * Math    y = M x (nq, r) and z = M'y (nk, r) in one walk, for the rows of M that give
 *         y are still there when z is summed; or z = M'w of given w (nq, r), beside
 *         y = M x where both are given.
 * Oracle  dense products; z of any batch and thread count is the same.
 * Cost    the rows once, 2 nq nk r flop for each of the products. Memory batches of
 *         rows of 64 MiB at most, z in double, y of a batch.
 * Limits  products of a batch in float32, at most 256 rows a sum; batches add in
 *         double. Batches depend on nk alone, so results do not depend on the number of
 *         threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

/* A matrix by its rows. */
typedef struct atn_row_source {
    atn_idx nq, nk;
    /* The columns that rows [first, first + rows) have, clipped to nq. */
    atn_tile (*tile)(const void *state, atn_idx first, atn_idx rows);
    /* Fills out (t->rows x t->keys; column c is key t->key0 + c). On any thread; may
     * write elsewhere only to what belongs to its rows. */
    atn_status (*fill)(atn_ctx *cx, const atn_tile *t, atn_mat out, void *state);
    void *state;
} atn_row_source;

/* P of a head, borrowed. */
atn_row_source atn_row_source_of(const atn_head *h);

typedef struct atn_product {
    atn_idx r;
    const float *x; /* (nk, r), or NULL */
    const float *w; /* (nq, r), or NULL: z is of y */
    bool ones;      /* z has one more column, M'1: the sums of columns */
    double *z;      /* (nk, r + ones), overwritten */
    float *y;       /* (nq, r) M x, with x; NULL = not wanted, with w a must */
} atn_product;

/* Progress is reported as `what`. */
atn_status atn_product_run(atn_ctx *cx, const atn_row_source *m, const atn_product *p,
                           const char *what) ATN_WARN_UNUSED;
/* Bytes that it takes beside x, w, z and y. */
double atn_product_bytes(const atn_row_source *m, atn_idx r);
