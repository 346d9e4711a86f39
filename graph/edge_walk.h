/* graph/edge_walk.h -- one walk over the rows of a head: sums over the edges of its
 * attention graph.
 *
 * Math    a weighted edge from query i to key j of weight P_ij; where queries and keys
 *         are the same tokens, t(i) is the key of query i (atn_sight_at) and the edge
 *         to it is a self edge. Of each row: its self edge; and of its other edges,
 *         mass, sum of squares, sum of P_ij g_j, the row of P F, ½ sum P_ij^(p/2)
 *         |x_t - x_j|^p. With labels (below 0 = none; edges with such an end do not
 *         count), again of edges that are not self: the mass that counts and the mass
 *         to a key of the query's own label, by row and by key, and by pairs of labels.
 * Oracle  F4: mass without self edges 0, .5, .5, .75; columns 0.8, .45, .5, 0.
 * Cost    the rows once, 2 nq nk r flop of P F, two additions an entry of labels, 3 d
 *         flop an entry of the energy.
 * Limits  P F is in float32; sums over keys and pairs are in fixed point of 2^-40, so
 *         that the order of the tiles does not show: at most 2^22 rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

enum { ATN_EDGE_ROWS_MOST = 1 << 22 };

typedef struct atn_edge_want {
    bool self;         /* queries and keys are the same tokens */
    atn_idx skip_rows; /* rows below are in no sum over keys or pairs of labels */
    atn_cmat f;        /* (nk, r), data NULL = no P F */
    const float *g;    /* [nk] or NULL */
    atn_cmat x;        /* (nk, d) for the energy, which needs self; data NULL = none */
    double power;      /* p of the energy, > 0 */
    const int32_t *query, *key; /* labels [nq], [nk]; NULL = none */
    atn_idx classes;            /* labels are below; for pairs */
} atn_edge_want;

/* The caller's arrays, overwritten; NULL = not wanted. */
typedef struct atn_edge_sums {
    double *self, *mass, *square, *dot, *energy; /* [nq]; dot with g, energy with x */
    float *pf;                                   /* (nq, r) with f */
    double *columns;                             /* [nk] mass by key */
    /* with labels: */
    double *counted, *same;         /* [nq] */
    double *key_counted, *key_same; /* [nk] */
    double *pairs;                  /* [classes, classes] query's label, key's label */
} atn_edge_sums;

/* Row i has weight, so it counts in means over rows. Needs self and mass. */
static inline bool atn_edge_row(const atn_edge_sums *s, atn_idx i)
{
    return s->mass[i] + s->self[i] > 0;
}

/* DATA with layer, head and row when a weight is no number. */
atn_status atn_edge_walk(atn_ctx *cx, const atn_head *h, const atn_edge_want *want,
                         const atn_edge_sums *out) ATN_WARN_UNUSED;
/* Bytes it takes beside these arrays. */
double atn_edge_walk_bytes(const atn_ctx *cx, const atn_head *h,
                           const atn_edge_want *want, const atn_edge_sums *out);
/* The key of query i, -1 where it has none among [0, nk). */
atn_idx atn_edge_own(const atn_head *h, bool self, atn_idx i);
