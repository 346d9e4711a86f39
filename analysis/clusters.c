/* analysis/clusters.c -- average linkage, its cuts, and how well it tells the
 * distances.
 *
 * Math    a group is known by its smallest member. After A and B merge, the distance to
 *         a group K is d(A, K) + |B| / (|A| + |B|) (d(B, K) - d(A, K)): the mean over
 *         all pairs. Every group keeps the nearest of the groups behind it; means that
 *         differ by less than 1e-12 of their size tie.
 * Oracle  k planted groups of equal members give k clusters; the twin averages all
 *         pairs of members at every step.
 * Source  Sokal and Michener 1958; Sokal and Rohlf 1962 (cophenetic correlation).
 * Cost    about n^2 steps, n^3 where all distances tie.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/clusters.h"

#include <math.h>
#include <string.h>

typedef struct linkage {
    atn_idx n;
    double *d;            /* [n x n] between groups, by smallest member */
    atn_idx *near;        /* [n] nearest group behind; n = none is left */
    atn_idx *size, *node; /* [n] of the group, 0 = merged into another */
} linkage;

static double between(const linkage *l, atn_idx a, atn_idx b)
{
    return l->d[a * l->n + b];
}

/* Means that differ by rounding alone tie. */
static bool nearer(double x, double y)
{
    return x < y * (1 - 1e-12);
}

static void find_near(linkage *l, atn_idx a)
{
    l->near[a] = l->n;
    for (atn_idx b = a + 1; b < l->n; b++)
        if (l->size[b] > 0 &&
            (l->near[a] == l->n || nearer(between(l, a, b), between(l, a, l->near[a]))))
            l->near[a] = b;
}

/* The group whose pair with its nearest is the first of the nearest pairs. */
static atn_idx nearest_pair(const linkage *l)
{
    atn_idx best = l->n;

    for (atn_idx a = 0; a < l->n; a++) {
        if (l->size[a] == 0 || l->near[a] == l->n) continue;
        if (best == l->n ||
            nearer(between(l, a, l->near[a]), between(l, best, l->near[best])))
            best = a;
    }
    return best;
}

static void join(linkage *l, atn_idx a, atn_idx b)
{
    const double share = (double)l->size[b] / (double)(l->size[a] + l->size[b]);

    for (atn_idx k = 0; k < l->n; k++) {
        const double before = between(l, a, k);
        const double now = before + share * (between(l, b, k) - before);

        l->d[a * l->n + k] = l->d[k * l->n + a] = now;
    }
    l->size[a] += l->size[b];
    l->size[b] = 0;
    for (atn_idx k = 0; k < b; k++) {
        if (l->size[k] == 0) continue;
        if (k == a || l->near[k] == a || l->near[k] == b)
            find_near(l, k);
        else if (k < a) {
            const double far = between(l, k, l->near[k]), now = between(l, k, a);
            if (nearer(now, far) || (!nearer(far, now) && a < l->near[k]))
                l->near[k] = a;
        }
    }
}

/* The smallest member of a node, which is its leftmost leaf. */
static atn_idx first_leaf(const atn_cluster_tree *t, atn_idx node)
{
    while (node >= t->n) node = t->left[node - t->n];
    return node;
}

/* Places of the leaves, left before right. */
static atn_status lay_out(atn_ctx *cx, atn_cluster_tree *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx *start = NULL;

    ATN_TAKE(start, 2 * t->n - 1);
    start[2 * t->n - 2] = 0;
    for (atn_idx i = t->n - 2; i >= 0; i--) {
        const atn_idx l = t->left[i], at = start[t->n + i];

        start[l] = at;
        start[t->right[i]] = at + (l < t->n ? 1 : t->size[l - t->n]);
    }
    for (atn_idx i = 0; i < t->n; i++) {
        t->order[i] = start[i];
        t->drawn[start[i]] = i;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void build(linkage *l, atn_cluster_tree *t)
{
    for (atn_idx a = 0; a < l->n; a++) {
        l->size[a] = 1;
        l->node[a] = a;
    }
    for (atn_idx a = 0; a < l->n; a++) find_near(l, a);
    for (atn_idx i = 0; i + 1 < l->n; i++) {
        const atn_idx a = nearest_pair(l), b = l->near[a];
        const double height = between(l, a, b);

        /* an average may round below its smallest term */
        t->height[i] = i > 0 ? ATN_MAX(height, t->height[i - 1]) : height;
        t->left[i] = l->node[a];
        t->right[i] = l->node[b];
        t->size[i] = l->size[a] + l->size[b];
        l->node[a] = l->n + i;
        join(l, a, b);
    }
}

atn_status atn_cluster_link(atn_ctx *cx, const double *distance, atn_idx n,
                            atn_cluster_tree *tree)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    linkage l = {.n = n};

    *tree = (atn_cluster_tree){.n = n};
    ATN_ASSERT(n >= 1);
    ATN_TRY(atn_mem_check(cx, 8 * (double)n * ((double)n + 9), "clusters"));
    ATN_NEW(tree->left, n - 1);
    ATN_NEW(tree->right, n - 1);
    ATN_NEW(tree->size, n - 1);
    ATN_NEW(tree->height, n - 1);
    ATN_NEW(tree->order, n);
    ATN_NEW(tree->drawn, n);
    ATN_TAKE(l.d, n * n);
    ATN_TAKE(l.near, n);
    ATN_TAKE(l.size, n);
    ATN_TAKE(l.node, n);
    memcpy(l.d, distance, (size_t)(n * n) * sizeof *l.d);
    build(&l, tree);
    ATN_TRY(lay_out(cx, tree));
done:
    if (st != ATN_OK) atn_cluster_release(cx, tree);
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_cluster_release(atn_ctx *cx, atn_cluster_tree *tree)
{
    atn_free(cx, tree->left);
    atn_free(cx, tree->right);
    atn_free(cx, tree->size);
    atn_free(cx, tree->height);
    atn_free(cx, tree->order);
    atn_free(cx, tree->drawn);
    *tree = (atn_cluster_tree){0};
}

double atn_cluster_half(const atn_cluster_tree *tree)
{
    return tree->n > 1 ? tree->height[tree->n - 2] / 2 : 0;
}

/* Makes the first `merges` merges, each group named by its smallest member, then
 * numbered. */
static atn_idx number(const atn_cluster_tree *t, atn_idx merges, atn_idx *cluster)
{
    atn_idx count = 0;

    for (atn_idx i = 0; i < t->n; i++) cluster[i] = i;
    for (atn_idx i = 0; i < merges; i++) {
        const atn_idx first = first_leaf(t, t->left[i]);
        const atn_idx at = t->order[first];

        for (atn_idx p = at; p < at + t->size[i]; p++) cluster[t->drawn[p]] = first;
    }
    for (atn_idx i = 0; i < t->n; i++)
        cluster[i] = cluster[i] == i ? count++ : cluster[cluster[i]];
    return count;
}

atn_idx atn_cluster_cut(const atn_cluster_tree *tree, double height, atn_idx *cluster)
{
    atn_idx merges = 0;

    while (merges + 1 < tree->n && tree->height[merges] <= height) merges++;
    return number(tree, merges, cluster);
}

atn_idx atn_cluster_cut_into(const atn_cluster_tree *tree, atn_idx k, atn_idx *cluster)
{
    return number(tree, tree->n - ATN_MIN(ATN_MAX(k, (atn_idx)1), tree->n), cluster);
}

typedef struct moments {
    double mean_d, mean_h; /* of the distances, of the heights */
    double dd, hh, dh;
} moments;

/* Adds the pairs that meet in merge i. */
static void add_merge(const atn_cluster_tree *t, const double *distance, atn_idx i,
                      moments *m)
{
    const atn_idx left = t->left[i], right = t->right[i];
    const atn_idx begin = t->order[first_leaf(t, left)], end = begin + t->size[i];
    const atn_idx middle = t->order[first_leaf(t, right)];
    const double h = t->height[i] - m->mean_h;

    for (atn_idx a = begin; a < middle; a++)
        for (atn_idx b = middle; b < end; b++) {
            const double d = distance[t->drawn[a] * t->n + t->drawn[b]] - m->mean_d;

            m->dd += d * d;
            m->dh += d * h;
            m->hh += h * h;
        }
}

double atn_cluster_cophenetic(const atn_cluster_tree *tree, const double *distance)
{
    const double pairs = (double)tree->n * (double)(tree->n - 1) / 2;
    moments m = {0};

    for (atn_idx a = 0; a < tree->n; a++)
        for (atn_idx b = 0; b < a; b++) m.mean_d += distance[a * tree->n + b];
    for (atn_idx i = 0; i + 1 < tree->n; i++) {
        const atn_idx l = tree->left[i];
        const double in_left = l < tree->n ? 1 : (double)tree->size[l - tree->n];

        m.mean_h += tree->height[i] * in_left * ((double)tree->size[i] - in_left);
    }
    m.mean_d /= pairs;
    m.mean_h /= pairs;
    for (atn_idx i = 0; i + 1 < tree->n; i++) add_merge(tree, distance, i, &m);
    /* what rounding leaves of a constant is no variation */
    if (!(m.dd > 1e-24 * pairs * m.mean_d * m.mean_d) ||
        !(m.hh > 1e-24 * pairs * m.mean_h * m.mean_h))
        return NAN;
    return m.dh / sqrt(m.dd) / sqrt(m.hh);
}
