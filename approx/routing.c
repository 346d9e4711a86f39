/* approx/routing.c -- Routing Transformer: queries and keys are routed to clusters, and
 * attend within them.
 *
 * Math    unit queries and keys, k centroids mu. Every centroid takes the `window`
 *         queries with the largest q/|q| . mu and the `window` keys with the largest
 *         k/|k| . mu, lower index first; inside, ordinary logits and the mask. A row is
 *         the mean over the clusters that hold it and show it a key, 0 without one.
 *         `shared`: keys are q/|q|, one list for both; a query sees itself only where
 *         it sees nothing else. As published the mean divides by count + 1e-5.
 *         Centroids that are not given: spherical k-means of all unit vectors from the
 *         unit queries floor((2c + 1) n / 2k), ten rounds of Lloyd; an empty cluster
 *         stays.
 * Oracle  one cluster as long as the text: dense. Tight groups of `window` tokens:
 *         block-diagonal up to a permutation.
 * Source  Roy et al., arXiv 2003.05997; lucidrains/routing-transformer. Clusters of
 *         captured heads are a reading of ours.
 * Cost    index 2 k d flop a vector and round; entries k window^2.
 * Limits  which tokens a cluster takes is known at the end of the text only. `shared`
 *         needs the queries of all tokens.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/dots.h"
#include "approx/grouping.h"
#include "core/kernels/kernels.h"

typedef struct routing {
    int64_t clusters, window;
    bool shared;
} routing;

static const atn_param params[] = {
    ATN_PARAM_I64(routing, clusters, 0, 0, 1e6, "centroids, 0 = tokens / window"),
    ATN_PARAM_I64(routing, window, 128, 1, 1e9, "queries, and keys, of a cluster"),
    ATN_PARAM_BOOL(routing, shared, 0,
                   "keys are the queries at length 1, and nobody sees himself"),
    ATN_PARAM_END,
};

enum { ROUNDS = 10 };

typedef struct job {
    const atn_head *h;
    const routing *t;
    atn_idx k, points, d; /* points: queries, and keys unless they are shared */
    float *unit;          /* [points, d], queries first */
    float *centroid;      /* [k, d] */
    int32_t *label;       /* [points] */
    double *sum;          /* [k, d] */
    int64_t *count;       /* [k] */
    int rounds;           /* of Lloyd that were done */
    atn_idx of_q, of_k;   /* of a cluster */
    int32_t *q, *keys;    /* [k, of_q], [k, of_k] */
} job;

static atn_idx clusters_of(const routing *t, atn_idx n)
{
    return t->clusters > 0 ? t->clusters : ATN_MAX(n / t->window, 1);
}

static atn_status prepare(atn_ctx *cx, job *j)
{
    const atn_head *h = j->h;
    atn_status st = ATN_OK;

    if (j->t->shared && (h->nq != h->nk || h->sight.offset != 0))
        ATN_FAIL(
            ATN_DATA,
            "routing: shared=1 makes keys of the queries, and there are queries of "
            "%lld of the %lld tokens (capture the whole prefill, or give shared=0)",
            (long long)h->nq, (long long)h->nk);
    j->k = clusters_of(j->t, h->nk);
    if (j->k > h->nk)
        ATN_FAIL(ATN_USAGE,
                 "routing: %lld clusters of %lld tokens (give at most as many clusters "
                 "as there are tokens)",
                 (long long)j->k, (long long)h->nk);
    j->d = h->q.cols;
    j->points = h->nq + (j->t->shared ? 0 : h->nk);
    j->of_q = ATN_MIN(j->t->window, h->nq);
    j->of_k = ATN_MIN(j->t->window, h->nk);
    ATN_TAKE(j->unit, j->points * j->d);
    ATN_TAKE(j->centroid, j->k * j->d);
    atn_unit_rows(h->q, j->unit);
    if (!j->t->shared) atn_unit_rows(h->k, j->unit + h->nq * j->d);
done:
    return st;
}

/* ---- centroids ---- */

/* Every centroid becomes the direction of the mean of its vectors, if it has one. */
static void move_centroids(job *j)
{
    memset(j->sum, 0, (size_t)(j->k * j->d) * sizeof *j->sum);
    memset(j->count, 0, (size_t)j->k * sizeof *j->count);
    for (atn_idx i = 0; i < j->points; i++) {
        atn_row_add(j->unit + i * j->d, j->d, 1, j->sum + j->label[i] * j->d);
        j->count[j->label[i]]++;
    }
    for (atn_idx c = 0; c < j->k; c++) {
        const double *mean = j->sum + c * j->d;
        double square = 0;

        for (atn_idx e = 0; e < j->d; e++) square += mean[e] * mean[e];
        for (atn_idx e = 0; e < j->d && j->count[c] > 0 && square > 0; e++)
            j->centroid[c * j->d + e] = (float)(mean[e] / sqrt(square));
    }
}

static atn_status cluster(atn_ctx *cx, job *j)
{
    const atn_cmat points = {j->unit, j->points, j->d, j->d};
    const atn_cmat centroids = {j->centroid, j->k, j->d, j->d};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int32_t *before = NULL;

    ATN_TAKE(j->label, j->points);
    ATN_TAKE(before, j->points);
    ATN_TAKE(j->sum, j->k * j->d);
    ATN_TAKE(j->count, j->k);
    for (atn_idx c = 0; c < j->k; c++)
        memcpy(j->centroid + c * j->d,
               j->unit + (2 * c + 1) * j->h->nq / (2 * j->k) * j->d,
               (size_t)j->d * sizeof *j->centroid);
    for (atn_idx i = 0; i < j->points; i++) before[i] = -1;
    for (; j->rounds < ROUNDS; j->rounds++) {
        ATN_TRY(atn_dots_nearest(cx, points, centroids, false, j->label, "clusters"));
        if (memcmp(before, j->label, (size_t)j->points * sizeof *before) == 0) {
            j->rounds++;
            break;
        }
        move_centroids(j);
        memcpy(before, j->label, (size_t)j->points * sizeof *before);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status find_centroids(atn_ctx *cx, const atn_input *in, job *j)
{
    const atn_draw what = {
        "centroids", "routing/centroids", j->h->layer, j->h->head, j->k, j->d};
    atn_status st = ATN_OK;

    if (!atn_draws_have(in->draws, &what)) ATN_TRY(cluster(cx, j));
    ATN_TRY(atn_draw_given(cx, in->draws, &what, j->centroid));
done:
    return st;
}

/* ---- groups ---- */

static atn_status fill_clusters(atn_ctx *cx, job *j, int64_t *ties)
{
    const atn_idx nq = j->h->nq, nk = j->h->nk, d = j->d;
    const atn_cmat centroids = {j->centroid, j->k, d, d};
    atn_status st = ATN_OK;
    int64_t *left = NULL;
    atn_idx all = 0;

    if (!atn_mul(j->k, j->of_q + j->of_k, &all))
        ATN_FAIL(ATN_MEMORY, "routing: %lld clusters of %lld tokens are too much",
                 (long long)j->k, (long long)j->of_k);
    ATN_TAKE(left, j->k);
    ATN_TAKE(j->q, j->k * j->of_q);
    ATN_TRY(atn_dots_best(cx, (atn_cmat){j->unit, nq, d, d}, centroids,
                          &(atn_dots_list){j->of_q, j->q, left}, "clusters"));
    for (atn_idx c = 0; c < j->k; c++) *ties += left[c];
    j->keys = j->q;
    if (j->t->shared) goto done;
    ATN_TAKE(j->keys, j->k * j->of_k);
    ATN_TRY(atn_dots_best(cx, (atn_cmat){j->unit + nq * d, nk, d, d}, centroids,
                          &(atn_dots_list){j->of_k, j->keys, left}, "clusters"));
    for (atn_idx c = 0; c < j->k; c++) *ties += left[c];
done:
    return st;
}

static atn_status group_clusters(atn_ctx *cx, const job *j, atn_branch *to)
{
    atn_status st = ATN_OK;
    atn_grouping g = {0};

    ATN_TRY(atn_grouping_open(
        cx, &(atn_grouping_size){j->k, j->k * j->of_q, j->k * j->of_k, false},
        "routing: clusters", &g));
    for (atn_idx c = 0; c < j->k; c++) {
        ATN_TRY(atn_grouping_begin(cx, &g));
        ATN_TRY(atn_grouping_rows(cx, &g, j->q + c * j->of_q, j->of_q));
        ATN_TRY(atn_grouping_keys(cx, &g, j->keys + c * j->of_k, j->of_k, 0));
    }
    atn_grouping_finish(cx, &g, to);
done:
    atn_grouping_release(cx, &g);
    return st;
}

/* Is one of n ascending keys seen by row i? */
static bool shows(const atn_head *h, atn_idx i, const int32_t *keys, atn_idx n)
{
    atn_idx lo, hi, a = 0, b = n;

    atn_sight_row(&h->sight, i, &lo, &hi);
    while (a < b) {
        const atn_idx mid = a + (b - a) / 2;

        if (keys[mid] < lo)
            a = mid + 1;
        else
            b = mid;
    }
    return a < n && keys[a] < hi;
}

/* count / (count + 1e-5) of every row, as the published mean has it. */
static atn_status scale_rows(atn_ctx *cx, const job *j, atn_branch *to)
{
    atn_status st = ATN_OK;

    ATN_NEW(to->scale, j->h->nq);
    for (atn_idx c = 0; c < j->k; c++)
        for (atn_idx e = 0; e < j->of_q; e++) {
            const int32_t i = j->q[c * j->of_q + e];

            to->scale[i] += shows(j->h, i, j->keys + c * j->of_k, j->of_k) ? 1 : 0;
        }
    for (atn_idx i = 0; i < j->h->nq; i++)
        to->scale[i] = (float)((double)to->scale[i] / ((double)to->scale[i] + 1e-5));
done:
    return st;
}

static atn_status share_keys(atn_ctx *cx, const job *j, atn_part *part)
{
    atn_status st = ATN_OK;

    ATN_NEW(part->k, j->points * j->d);
    memcpy(part->k, j->unit, (size_t)(j->points * j->d) * sizeof *part->k);
    part->self_last = true;
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.h = &in->head[first], .t = params_};
    atn_branch *b = &out->branch[0];
    double passes, points, k, d;
    atn_status st = ATN_OK;

    (void)n;
    out->branches = 1;
    b->merge = ATN_MERGE_MEAN;
    ATN_TRY(prepare(cx, &j));
    ATN_TRY(find_centroids(cx, in, &j));
    ATN_TRY(fill_clusters(cx, &j, &out->ties));
    ATN_TRY(group_clusters(cx, &j, b));
    if (j.t->shared) ATN_TRY(share_keys(cx, &j, &b->part[0]));
    if (in->as_published) ATN_TRY(scale_rows(cx, &j, b));
    passes = j.rounds + 1;
    points = (double)j.points;
    k = (double)j.k;
    d = (double)j.d;
    out->index_flops = 2 * passes * points * k * d;
    /* vectors and centroids of every pass; the scores that the best are chosen from */
    out->index_bytes = ATN_COST_BYTES * (passes * (points + k) * d + 2 * points * k);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const routing *t = params_;
    const atn_head *h = &in->head[0];
    const double n = (double)(h->nq + h->nk), d = (double)h->q.cols;
    const double k = (double)clusters_of(t, h->nk);
    const double w = (double)ATN_MIN(t->window, ATN_MAX(h->nq, h->nk));

    return atn_dots_bytes(cx, (atn_idx)n, (atn_idx)w) + 4 * n * d + 8 * n + 12 * k * d +
           8 * k * (w + 2) + 64 * n;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const routing *t = params_;

    (void)in;
    return t->shared ? ATN_LOOKS_QUERIES : ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES;
}

const atn_method atn_method_routing = {
    .id = "routing",
    .title = "Routing Transformer",
    .family = "cluster",
    .source = "Roy et al., Routing Transformer, arXiv 2003.05997; "
              "lucidrains/routing-transformer",
    .text = "the keys that are nearest to the centroids that the query is nearest to",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BOTH_WAYS,
    .publishes = true,
    .params = params,
    .params_size = sizeof(routing),
    .budget = "window",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
