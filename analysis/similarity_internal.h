/* analysis/similarity_internal.h -- what the sources of similarity share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/keys.h"
#include "analysis/similarity.h"
#include "core/rows.h"

/* The heads under comparison, in order of layer: views of the problems. */
typedef struct atn_sim_set {
    atn_head *head;       /* [m] */
    int *slot;            /* [m] layer of each, 0..layers - 1 */
    atn_idx m, per_layer; /* per_layer: heads a layer when all have as many, else 0 */
    int layers;
    const atn_similarity_opts *opts;
    double
        tile_most; /* floats that one tile may take, from --mem-limit; 0 = no limit */
} atn_sim_set;

/* Inner products of all heads. */
typedef struct atn_sim_gram {
    double *raw,
        *unit;    /* [m x m] of P, and of rows scaled to length 1; both triangles */
    double *sum;  /* [m] of all entries of P */
    double *rows; /* [m] rows with a weight */
    double *lost_square,
        *lost_rows; /* [m x m]: over rows of a that b has no weight in */
} atn_sim_gram;

/* Fills one head's tile into x at row stride ld: column c is key key0 + c, columns that
 * the head does not see are 0; skips nothing but applies exclude_first. square[r] is
 * the squared length of each row (0 = no weight), total its sum. */
atn_status atn_sim_fill(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                        atn_idx exclude, float *x, atn_idx ld, atn_row_info *info,
                        double *square, double *total) ATN_WARN_UNUSED;
/* The rows [first, first + rows) against the keys that any of the heads sees. */
atn_tile atn_sim_tile(const atn_sim_set *set, atn_idx first, atn_idx rows);

atn_idx atn_sim_gram_rows(const atn_sim_set *set);
/* Groups that tiles are dealt to, and what the tile of one thread takes. */
atn_idx atn_sim_groups(const atn_sim_set *set);
double atn_sim_tile_bytes(const atn_sim_set *set);
double atn_sim_gram_bytes(const atn_ctx *cx, const atn_sim_set *set);
/* All fields of g are allocated by the caller, zeroed. */
atn_status atn_sim_gram_run(atn_ctx *cx, const atn_sim_set *set,
                            atn_sim_gram *g) ATN_WARN_UNUSED;

/* What the distances of rows leave, [m x m] each; NULL = not wanted. */
typedef struct atn_sim_mix {
    double smooth; /* share of every row that is spread over the keys it sees */
    double *js, *tv, *js_sum;
} atn_sim_mix;
/* Mean Jensen-Shannon divergence, its sum over rows, and mean total variation of all
 * pairs; the diagonal is left alone. */
atn_status atn_sim_mix_run(atn_ctx *cx, const atn_sim_set *set,
                           const atn_sim_mix *out) ATN_WARN_UNUSED;

/* The extras asked for, into x [ATN_SIM_EXTRAS] of [m x m], NULL where not asked for.
 * Warns where there can be none. */
atn_status atn_sim_extra_run(atn_ctx *cx, const atn_sim_set *set,
                             double *const *x) ATN_WARN_UNUSED;
bool atn_sim_extra_wanted(const atn_similarity_opts *opts, atn_sim_extra which);
double atn_sim_extra_bytes(const atn_ctx *cx, const atn_sim_set *set);

atn_idx atn_sim_copy_rows(const atn_sim_set *set);
double atn_sim_copy_bytes(const atn_ctx *cx, const atn_sim_set *set, atn_idx width);
/* err [L x L], rows leaders; w_o[l] (per_layer dv, width), NULL = identity for all. */
atn_status atn_sim_copy_run(atn_ctx *cx, const atn_sim_set *set, const atn_cmat *w_o,
                            double *err) ATN_WARN_UNUSED;

/* Largest sum of gain[i * n + pick[i]] over permutations; gain is row-major n x n with
 * row stride ld. pick may be NULL. */
atn_status atn_sim_assign(atn_ctx *cx, const double *gain, int n, atn_idx ld, int *pick,
                          double *best) ATN_WARN_UNUSED;

/* Rows of a tile that takes `row` floats a row: about `wanted` floats, fewer under a
 * limit. A function of shape and limit alone, never of threads. */
atn_idx atn_sim_rows(const atn_sim_set *set, double row, double wanted, atn_idx least,
                     atn_idx most);
/* Threads that may run at once when each takes `each` bytes. */
int atn_sim_threads(const atn_ctx *cx, double each);

/* ---- tables ---- */

/* Key columns that stand first where the capture has several stacks or steps;
 * -1 = not. */
typedef struct atn_sim_keys {
    int stack, step, pattern; /* column, -1 = absent */
} atn_sim_keys;

/* Adds the column that says which pattern of attention the layers are; last of a
 * table. */
atn_status atn_sim_add_pattern(atn_ctx *cx, atn_table *t,
                               atn_sim_keys *k) ATN_WARN_UNUSED;

atn_status atn_sim_add_keys(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                            atn_sim_keys *k) ATN_WARN_UNUSED;
atn_status atn_sim_add_number(atn_ctx *cx, atn_table *t, const char *name,
                              const char *unit, const char *text,
                              int *col) ATN_WARN_UNUSED;
atn_status atn_sim_add_index(atn_ctx *cx, atn_table *t, const char *name,
                             const char *text, int *col) ATN_WARN_UNUSED;
/* A row with its keys. */
atn_status atn_sim_add_row(atn_ctx *cx, const atn_similarity_part *p,
                           const atn_sim_keys *k, atn_table *t) ATN_WARN_UNUSED;
/* A cell stays missing where there is no number. */
void atn_sim_put(atn_table *t, int col, double x);
/* Title, and what was left out. */
/* "cross layers, step 2": what the one part is, where the capture has more; "" of
 * several parts. Returns out. */
const char *atn_sim_words(const atn_similarity *s, char out[ATN_PART_WORDS]);
atn_status atn_sim_caption(atn_ctx *cx, const atn_similarity *s, const char *title,
                           atn_table *t) ATN_WARN_UNUSED;
