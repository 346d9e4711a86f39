/* analysis/similarity_assign.c -- the best one-to-one matching of heads.
 *
 * Math    max over permutations pi of sum_i gain[i][pi(i)], by shortest augmenting
 *         paths with dual prices u, v (Kuhn 1955, Munkres 1957; the O(n^3) form): rows
 *         enter one at a time, a path of least reduced cost -gain - u - v frees a
 *         column for each.
 * Oracle  equals brute force over all n! permutations.
 * Cost    O(n^3) time, 5 n numbers.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/similarity_internal.h"

#include <math.h>

typedef struct matching {
    const double *gain;
    atn_idx ld;
    int n;
    double *u, *v; /* prices of rows and columns, index 0 unused */
    int *row_of; /* [n + 1] row in column j, 0 = free; row_of[0] is the entering row */
    int *before; /* [n + 1] previous column on the path */
    double *slack; /* [n + 1] least reduced cost of reaching column j */
    bool *done;    /* [n + 1] columns on the tree */
} matching;

/* Grows the tree of the entering row by one column; returns that column. */
static int grow(matching *m, int at)
{
    const int row = m->row_of[at];
    double delta = INFINITY;
    int next = 0;

    m->done[at] = true;
    for (int j = 1; j <= m->n; j++) {
        double reduced;
        if (m->done[j]) continue;
        reduced = -m->gain[(row - 1) * m->ld + j - 1] - m->u[row] - m->v[j];
        if (reduced < m->slack[j]) {
            m->slack[j] = reduced;
            m->before[j] = at;
        }
        if (m->slack[j] < delta) {
            delta = m->slack[j];
            next = j;
        }
    }
    for (int j = 0; j <= m->n; j++) {
        if (m->done[j]) {
            m->u[m->row_of[j]] += delta;
            m->v[j] -= delta;
        } else {
            m->slack[j] -= delta;
        }
    }
    return next;
}

static void enter(matching *m, int row)
{
    int at = 0;

    m->row_of[0] = row;
    for (int j = 0; j <= m->n; j++) {
        m->slack[j] = INFINITY;
        m->done[j] = false;
    }
    while (m->row_of[at] != 0) at = grow(m, at);
    while (at != 0) {
        const int before = m->before[at];
        m->row_of[at] = m->row_of[before];
        at = before;
    }
}

atn_status atn_sim_assign(atn_ctx *cx, const double *gain, int n, atn_idx ld, int *pick,
                          double *best)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    matching m = {.gain = gain, .ld = ld, .n = n};

    ATN_TAKE(m.u, n + 1);
    ATN_TAKE(m.v, n + 1);
    ATN_TAKE(m.row_of, n + 1);
    ATN_TAKE(m.before, n + 1);
    ATN_TAKE(m.slack, n + 1);
    ATN_TAKE(m.done, n + 1);
    for (int j = 0; j <= n; j++) {
        m.u[j] = m.v[j] = 0;
        m.row_of[j] = m.before[j] = 0;
    }
    for (int row = 1; row <= n; row++) enter(&m, row);
    *best = 0;
    for (int j = 1; j <= n; j++) {
        const int row = m.row_of[j] - 1;
        *best += gain[row * ld + j - 1];
        if (pick) pick[row] = j - 1;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
