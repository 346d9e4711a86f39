/* analysis/clusters_table.c -- the tree and the map of the heads of a comparison, as a
 * table. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/clusters.h"
#include "analysis/similarity_internal.h"

typedef struct columns {
    atn_sim_keys key;
    int node, layer, head, left, right, height, size, cluster, order, x, y;
} columns;

typedef struct total_columns {
    atn_sim_keys key;
    int heads, clusters, cut, cophenetic, stress, apart;
} total_columns;

/* What is known of the heads of one part. */
typedef struct grouping {
    atn_cluster_tree tree;
    double *distance, *xy;
    atn_idx *cluster; /* of a leaf */
    atn_idx clusters;
    double cut, cophenetic, stress;
    atn_idx apart; /* pairs that cannot be compared */
} grouping;

static const char *const distance_name[] = {"sqrt(JS)", "1 - cos_elem"};

static atn_status add_columns(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                              columns *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_keys(cx, s, t, &c->key));
    ATN_TRY(
        atn_sim_add_index(cx, t, "node", "node of the tree, leaves first", &c->node));
    ATN_TRY(atn_sim_add_index(cx, t, "layer", "layer of a leaf, from 0", &c->layer));
    ATN_TRY(atn_sim_add_index(cx, t, "head", "head of a leaf, from 0", &c->head));
    ATN_TRY(atn_sim_add_index(cx, t, "left", "node of a merge, with its first leaf",
                              &c->left));
    ATN_TRY(atn_sim_add_index(cx, t, "right", "other node of a merge", &c->right));
    ATN_TRY(atn_sim_add_number(cx, t, "height", "", "mean distance of the two nodes",
                               &c->height));
    ATN_TRY(atn_sim_add_index(cx, t, "size", "leaves of the node", &c->size));
    ATN_TRY(
        atn_sim_add_index(cx, t, "cluster", "group of the node, from 0", &c->cluster));
    ATN_TRY(atn_sim_add_index(cx, t, "order", "place of a leaf when drawn", &c->order));
    ATN_TRY(
        atn_sim_add_number(cx, t, "mds_x", "", "place of a leaf on the map", &c->x));
    ATN_TRY(
        atn_sim_add_number(cx, t, "mds_y", "", "place of a leaf on the map", &c->y));
    ATN_TRY(atn_sim_add_pattern(cx, t, &c->key));
done:
    return st;
}

static atn_status add_total_columns(atn_ctx *cx, const atn_similarity *s, atn_table *t,
                                    total_columns *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_keys(cx, s, t, &c->key));
    ATN_TRY(atn_sim_add_index(cx, t, "heads", "leaves of the tree", &c->heads));
    ATN_TRY(atn_sim_add_index(cx, t, "clusters", "groups", &c->clusters));
    ATN_TRY(
        atn_sim_add_number(cx, t, "cut", "", "height of the cut, a distance", &c->cut));
    ATN_TRY(atn_sim_add_number(cx, t, "cophenetic", "",
                               "correlation of distances and heights over the pairs",
                               &c->cophenetic));
    ATN_TRY(atn_sim_add_number(cx, t, "mds_stress", "",
                               "relative error of the distances on the map",
                               &c->stress));
    ATN_TRY(atn_sim_add_index(cx, t, "apart", "pairs of heads that have no row in both",
                              &c->apart));
done:
    return st;
}

static atn_status total_row(atn_ctx *cx, const atn_similarity_part *p,
                            const grouping *g, const total_columns *c, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
    atn_table_set_i64(t, c->heads, g->tree.n);
    atn_table_set_i64(t, c->clusters, g->clusters);
    atn_sim_put(t, c->cut, g->cut);
    atn_sim_put(t, c->cophenetic, g->cophenetic);
    atn_sim_put(t, c->stress, g->stress);
    atn_table_set_i64(t, c->apart, g->apart);
done:
    return st;
}

/* Distances of the heads of a part; those that cannot be compared are farthest
 * apart. */
static atn_idx fill_distances(const atn_similarity_part *p, int kind, double *d)
{
    const double *from = kind == ATN_CLUSTER_JS ? p->head_js : p->head_elem;
    atn_idx apart = 0;

    for (atn_idx a = 0; a < p->heads; a++) {
        d[a * p->heads + a] = 0;
        for (atn_idx b = 0; b < a; b++) {
            const double x = from[a * p->heads + b];
            double far = kind == ATN_CLUSTER_JS ? sqrt(x) : 1 - x;

            if (isnan(x)) {
                far = kind == ATN_CLUSTER_JS ? sqrt(log(2)) : 1;
                apart++;
            }
            d[a * p->heads + b] = d[b * p->heads + a] = ATN_MAX(far, 0.0);
        }
    }
    return apart;
}

static void drop_grouping(atn_ctx *cx, grouping *g)
{
    atn_cluster_release(cx, &g->tree);
    atn_free(cx, g->distance);
    atn_free(cx, g->xy);
    atn_free(cx, g->cluster);
}

static atn_status group(atn_ctx *cx, const atn_similarity_part *p,
                        const atn_cluster_opts *o, grouping *g)
{
    const atn_idx n = p->heads;
    atn_status st = ATN_OK;

    if (o->k < 0 || o->k > n)
        ATN_FAIL(ATN_USAGE,
                 "clusters: %lld are wanted of %lld heads (give 1 to %lld, or auto)",
                 (long long)o->k, (long long)n, (long long)n);
    ATN_TRY(atn_mem_check(cx, 16 * (double)n * (double)n, "clusters"));
    ATN_NEW(g->distance, n * n);
    ATN_NEW(g->xy, 2 * n);
    ATN_NEW(g->cluster, n);
    g->apart = fill_distances(p, o->distance, g->distance);
    ATN_TRY(atn_cluster_link(cx, g->distance, n, &g->tree));
    ATN_TRY(atn_cluster_map(cx, g->distance, n, g->xy, &g->stress));
    g->cophenetic = atn_cluster_cophenetic(&g->tree, g->distance);
    g->cut = atn_cluster_half(&g->tree);
    if (o->k == 0)
        g->clusters = atn_cluster_cut(&g->tree, g->cut, g->cluster);
    else {
        g->clusters = atn_cluster_cut_into(&g->tree, o->k, g->cluster);
        g->cut = o->k < n ? g->tree.height[n - 1 - o->k] : 0;
    }
done:
    return st;
}

static atn_status leaf_row(atn_ctx *cx, const atn_similarity_part *p, const grouping *g,
                           atn_idx i, const columns *c, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
    atn_table_set_i64(t, c->node, i);
    atn_table_set_i64(t, c->layer, p->head_layer[i]);
    atn_table_set_i64(t, c->head, p->head[i]);
    atn_table_set_i64(t, c->size, 1);
    atn_table_set_i64(t, c->cluster, g->cluster[i]);
    atn_table_set_i64(t, c->order, g->tree.order[i]);
    atn_sim_put(t, c->x, g->xy[2 * i]);
    atn_sim_put(t, c->y, g->xy[2 * i + 1]);
done:
    return st;
}

static atn_status merge_row(atn_ctx *cx, const atn_similarity_part *p,
                            const grouping *g, atn_idx i, const columns *c,
                            atn_table *t)
{
    const atn_cluster_tree *tree = &g->tree;
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_add_row(cx, p, &c->key, t));
    atn_table_set_i64(t, c->node, tree->n + i);
    atn_table_set_i64(t, c->left, tree->left[i]);
    atn_table_set_i64(t, c->right, tree->right[i]);
    atn_table_set_i64(t, c->size, tree->size[i]);
    atn_sim_put(t, c->height, tree->height[i]);
    if (i < tree->n - g->clusters) {
        atn_idx leaf = tree->left[i];

        while (leaf >= tree->n) leaf = tree->left[leaf - tree->n];
        atn_table_set_i64(t, c->cluster, g->cluster[leaf]);
    }
done:
    return st;
}

static atn_status set_number(atn_ctx *cx, atn_table *t, const char *key, double x)
{
    char text[40];

    if (isnan(x)) return ATN_OK;
    snprintf(text, sizeof text, "%.9g", x);
    return atn_table_set_meta(cx, t, key, text);
}

static atn_status describe(atn_ctx *cx, const grouping *g, const char *words,
                           atn_table *t)
{
    atn_status st = ATN_OK;
    char text[160 + ATN_PART_WORDS];

    ATN_TRY(set_number(cx, t, "cut", g->cut));
    ATN_TRY(set_number(cx, t, "clusters", (double)g->clusters));
    ATN_TRY(set_number(cx, t, "cophenetic", g->cophenetic));
    ATN_TRY(set_number(cx, t, "mds_stress", g->stress));
    snprintf(text, sizeof text,
             "%s%s%lld clusters of %lld heads, cut at %.4g, cophenetic correlation "
             "%.3f",
             words, *words ? "; " : "", (long long)g->clusters, (long long)g->tree.n,
             g->cut, g->cophenetic);
    ATN_TRY(atn_table_set_meta(cx, t, "subtitle", text));
done:
    return st;
}

/* only: what the table says of its one part; NULL = there are several. */
static atn_status part_rows(atn_ctx *cx, const atn_similarity_part *p,
                            const grouping *g, const char *only, const columns *c,
                            atn_table *t)
{
    atn_status st = ATN_OK;

    if (g->apart > 0)
        atn_log(cx, ATN_LOG_WARN,
                "clusters: %lld pairs of heads have no row with weight in both; they "
                "count as farthest apart",
                (long long)g->apart);
    for (atn_idx i = 0; i < p->heads; i++) ATN_TRY(leaf_row(cx, p, g, i, c, t));
    for (atn_idx i = 0; i + 1 < p->heads; i++) ATN_TRY(merge_row(cx, p, g, i, c, t));
    if (only) ATN_TRY(describe(cx, g, only, t));
done:
    return st;
}

static atn_status add_part(atn_ctx *cx, const atn_similarity *s,
                           const atn_similarity_part *p, const atn_cluster_opts *o,
                           const columns *c, const total_columns *tc, atn_table *t,
                           atn_table *totals)
{
    atn_status st = ATN_OK;
    char words[ATN_PART_WORDS];
    grouping g = {0};

    ATN_TRY(group(cx, p, o, &g));
    atn_sim_words(s, words);
    ATN_TRY(part_rows(cx, p, &g, s->parts == 1 ? words : NULL, c, t));
    if (totals) ATN_TRY(total_row(cx, p, &g, tc, totals));
done:
    drop_grouping(cx, &g);
    return st;
}

atn_status atn_clusters_table(atn_ctx *cx, const atn_similarity *s,
                              const atn_cluster_opts *opts, atn_table **out,
                              atn_table **totals)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL, *sum = NULL;
    columns c = {0};
    total_columns tc = {0};

    *out = NULL;
    if (totals) *totals = NULL;
    if (opts->distance == ATN_CLUSTER_JS && !s->opts.distances)
        ATN_FAIL(ATN_USAGE, "clusters: the comparison has no Jensen-Shannon "
                            "divergences (ask for distances, or cluster by cosine)");
    ATN_TRY(atn_table_create(cx, "clusters", &t));
    ATN_TRY(add_columns(cx, s, t, &c));
    ATN_TRY(atn_sim_caption(cx, s, "Clusters of heads", t));
    ATN_TRY(atn_table_set_meta(cx, t, "distance", distance_name[opts->distance]));
    if (totals) {
        ATN_TRY(atn_table_create(cx, "clusters_totals", &sum));
        ATN_TRY(add_total_columns(cx, s, sum, &tc));
        ATN_TRY(atn_sim_caption(cx, s, "Cut, tree and map of the heads", sum));
        ATN_TRY(atn_table_set_meta(cx, sum, "distance", distance_name[opts->distance]));
    }
    for (int i = 0; i < s->parts; i++)
        ATN_TRY(add_part(cx, s, &s->part[i], opts, &c, &tc, t, sum));
    *out = t;
    if (totals) *totals = sum;
    t = sum = NULL;
done:
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, sum);
    return st;
}
