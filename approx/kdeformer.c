/* approx/kdeformer.c -- KDEformer: exact within blocks of tokens that hash alike, keys
 * of large values sampled more often for the rest.
 *
 * Math    tokens are sorted by their hash (approx/plane_hash.h, by the published table)
 *         and cut into blocks of b keys, queries into as many. Of m slots of the sorted
 *         keys, drawn with replacement with
 *             p_j ~ |[v_j, 1]| / g + 1 / nk,   g the largest eigenvalue of
 *                                              [V, 1]' [V, 1],
 *         a row sees those outside its block, with log weight -ln(m p_j) for each time
 *         it was drawn, beside the keys of its block: one softmax over both.
 * Oracle  b >= nk: dense. The mean over the draws of one sample, weighed by p, of the
 *         un-normalised weights is e^z, every entry. All |v_j| equal: p = 1 / nk, as
 *         HyperAttention.
 * Source  Zandieh et al., arXiv 2302.02451; majid-daliri/kdeformer, KDEformer.py. The
 *         code divides by the eigenvalue of the Gram matrix, not by its root.
 * Cost    hash 2 n d r flop, Gram 2 nk (dv + 1)^2; entries n (b + m).
 * Limits  no causal form. The code has no scale, ours has the model's.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/grouping.h"
#include "approx/plane_hash.h"
#include "core/linalg.h"
#include "core/rng.h"

typedef struct kdeformer {
    int64_t projections, block, samples;
} kdeformer;

static const atn_param params[] = {
    ATN_PARAM_I64(kdeformer, projections, 7, 1, 24,
                  "hyperplanes that a token is hashed by"),
    ATN_PARAM_I64(kdeformer, block, 64, 1, 1e9, "keys of a block, in the order sorted"),
    ATN_PARAM_I64(kdeformer, samples, 256, 0, 1e6, "keys sampled outside of the block"),
    ATN_PARAM_END,
};

enum { GRAM_ROWS = 256 };

typedef struct job {
    const atn_head *h;
    const kdeformer *t;
    atn_plane_hash hash;
    int32_t *q, *k;  /* tokens in the order of their places */
    double *p;       /* [nk] of sorted keys */
    int32_t *slot;   /* [samples] */
    int32_t *count;  /* [nk] how often a slot was drawn */
    int32_t *unique; /* those that were, ascending */
    atn_idx drawn;
} job;

/* ---- probabilities ---- */

/* The largest eigenvalue of [V, 1]' [V, 1]. */
static atn_status largest(atn_ctx *cx, const atn_head *h, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx w = h->v.cols + 1;
    double *rows = NULL, *gram = NULL, *values = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(rows, GRAM_ROWS * w);
    ATN_TAKE(gram, w * w);
    ATN_TAKE(values, w);
    memset(gram, 0, (size_t)(w * w) * sizeof *gram);
    for (atn_idx j = 0; j < h->nk; j += GRAM_ROWS) {
        const atn_idx n = ATN_MIN((atn_idx)GRAM_ROWS, h->nk - j);

        for (atn_idx r = 0; r < n; r++) {
            for (atn_idx c = 0; c < h->v.cols; c++)
                rows[r * w + c] = (double)atn_crow(h->v, j + r)[c];
            rows[r * w + w - 1] = 1;
        }
        atn_gram_add(false, rows, n, w, gram);
    }
    for (atn_idx i = 0; i < w; i++)
        for (atn_idx c = i + 1; c < w; c++) gram[i * w + c] = gram[c * w + i];
    ATN_TRY(atn_eigenvalues(cx, gram, w, values));
    *out = values[w - 1];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status find_chances(atn_ctx *cx, job *j)
{
    const atn_head *h = j->h;
    double g = 1, sum = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(j->p, h->nk);
    ATN_TRY(largest(cx, h, &g));
    for (atn_idx s = 0; s < h->nk; s++) {
        const float *v = atn_crow(h->v, j->k[s]);
        double square = 1;

        for (atn_idx c = 0; c < h->v.cols; c++) square += (double)v[c] * (double)v[c];
        j->p[s] = sqrt(square) / g + 1 / (double)h->nk;
        sum += j->p[s];
    }
    for (atn_idx s = 0; s < h->nk; s++) j->p[s] /= sum;
done:
    return st;
}

/* The slot in which u lies, of cumulated probabilities. */
static int32_t slot_of(const double *upto, atn_idx n, double u)
{
    atn_idx lo = 0, hi = n - 1;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (upto[mid] > u)
            hi = mid;
        else
            lo = mid + 1;
    }
    return (int32_t)lo;
}

static atn_status draw_slots(atn_ctx *cx, const atn_input *in, job *j)
{
    const atn_head *h = j->h;
    const atn_idx m = j->t->samples, n = h->nk;
    const atn_draw what = {"samples", "kdeformer/samples", h->layer, h->head, m, 0};
    atn_rng r = atn_rng_stream(in->seed, "kdeformer/samples", h->layer, h->head);
    atn_status st = ATN_OK;
    double *upto = NULL;

    ATN_TAKE(j->slot, m);
    ATN_TAKE(j->count, n);
    ATN_TAKE(j->unique, ATN_MIN(m, n));
    memset(j->count, 0, (size_t)n * sizeof *j->count);
    if (m == 0) goto done;
    ATN_TRY(atn_draws_need(cx, in->draws, &what));
    ATN_TAKE(upto, n);
    for (atn_idx s = 0; s < n; s++) upto[s] = (s > 0 ? upto[s - 1] : 0) + j->p[s];
    for (atn_idx e = 0; e < m; e++)
        j->slot[e] = slot_of(upto, n, upto[n - 1] * atn_rng_uniform(&r));
    ATN_TRY(atn_draw_given_counts(cx, in->draws, &what, n, j->slot));
    for (atn_idx e = 0; e < m; e++) j->count[j->slot[e]]++;
    for (atn_idx s = 0; s < n; s++)
        if (j->count[s] > 0) j->unique[j->drawn++] = (int32_t)s;
done:
    return st;
}

/* ---- groups ---- */

/* Keys of block t, then the slots drawn outside of it. */
static atn_status block_keys(atn_ctx *cx, const job *j, atn_idx t, atn_grouping *to)
{
    const atn_idx b = j->t->block, first = t * b, end = ATN_MIN(first + b, j->h->nk);
    const double m = (double)j->t->samples;
    atn_status st = ATN_OK;

    ATN_TRY(atn_grouping_keys(cx, to, j->k + first, end - first, 0));
    for (atn_idx e = 0; e < j->drawn; e++) {
        const int32_t s = j->unique[e];

        if (s >= first && s < end) continue;
        ATN_TRY(atn_grouping_keys(cx, to, &j->k[s], 1,
                                  log((double)j->count[s] / (m * j->p[s]))));
    }
done:
    return st;
}

static atn_status group_all(atn_ctx *cx, const job *j, atn_branch *to)
{
    const atn_head *h = j->h;
    const atn_idx blocks = (h->nk - 1) / j->t->block + 1;
    const atn_idx rows =
        h->nq == h->nk ? j->t->block : ATN_MAX((h->nq + blocks - 1) / blocks, 1);
    const double most = (double)ATN_MIN(j->t->samples, h->nk);
    const atn_grouping_size size = {blocks, h->nq,
                                    h->nk + (atn_idx)((double)blocks * most), true};
    atn_status st = ATN_OK;
    atn_grouping g = {0};

    ATN_TRY(atn_grouping_open(cx, &size, "kdeformer: blocks and samples", &g));
    for (atn_idx t = 0; t * rows < h->nq; t++) {
        ATN_TRY(atn_grouping_begin(cx, &g));
        ATN_TRY(atn_grouping_rows(cx, &g, j->q + t * rows,
                                  ATN_MIN(rows, h->nq - t * rows)));
        ATN_TRY(block_keys(cx, j, t, &g));
    }
    atn_grouping_finish(cx, &g, to);
done:
    atn_grouping_release(cx, &g);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const atn_arena_mark mark = atn_arena_save(cx);
    const double tokens = (double)(h->nq + h->nk), d = (double)h->q.cols;
    const double wide = (double)h->v.cols + 1, nk = (double)h->nk;
    job j = {.h = h, .t = params_};
    atn_status st = ATN_OK;

    (void)n;
    out->branches = 1;
    if (j.t->block >= h->nk) {
        atn_plan_all(out);
        goto done;
    }
    if (!h->v.data)
        ATN_FAIL(ATN_DATA,
                 "kdeformer: layer %d has no values, and keys are sampled by their "
                 "lengths (capture with values)",
                 h->layer);
    ATN_TRY(atn_plane_hash_make(cx, in, h, "kdeformer/projections", j.t->projections,
                                true, &j.hash));
    ATN_TAKE(j.q, h->nq);
    ATN_TAKE(j.k, h->nk);
    ATN_TRY(atn_label_order(cx, j.hash.q, h->nq, j.q));
    ATN_TRY(atn_label_order(cx, j.hash.k, h->nk, j.k));
    ATN_TRY(find_chances(cx, &j));
    ATN_TRY(draw_slots(cx, in, &j));
    ATN_TRY(group_all(cx, &j, &out->branch[0]));
    out->index_flops = 2 * tokens * d * (double)j.t->projections +
                       2 * nk * wide * wide + 2 * nk * wide;
    out->index_bytes = ATN_COST_BYTES * (tokens * (d + 3) + nk * wide);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* So many draws, with replacement, leave out hardly any key. */
static double most(const void *params_, const atn_head *h)
{
    (void)params_;
    return 16 * (double)h->nk;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const kdeformer *t = params_;
    const atn_head *h = &in->head[0];
    const double nq = (double)h->nq, nk = (double)h->nk, wide = (double)h->v.cols + 1;
    const double blocks = ceil(nk / (double)t->block) + 1;

    if (h->nk <= t->block) return 0;
    return 24 * blocks + 4 * nq + 8 * (nk + blocks * ATN_MIN((double)t->samples, nk)) +
           40 * (nq + nk) + 4 * (double)t->samples +
           8 * (double)h->q.cols * (double)t->projections +
           sizeof(double) * wide * (GRAM_ROWS + wide + 1) +
           atn_eigenvalues_bytes((atn_idx)wide) +
           cx->threads * 4.0 * ATN_HASH_ROWS * (double)(h->q.cols + 32);
}

const atn_method atn_method_kdeformer = {
    .id = "kdeformer",
    .title = "KDEformer",
    .family = "hash",
    .source = "Zandieh et al., KDEformer, arXiv 2302.02451; majid-daliri/kdeformer",
    .text = "the block of keys that hash alike, and samples by the lengths of values",
    .reads = ATN_READS_QK | ATN_READS_V | ATN_READS_DRAWS,
    .sides = ATN_BIDIRECTIONAL,
    .params = params,
    .params_size = sizeof(kdeformer),
    .budget = "samples",
    .most = most,
    .weights = ATN_WEIGHTS_VALUES,
    .exact = "block=#",
    .dense = "texts up to `block` tokens stay dense (give a smaller block)",
    .plan = plan,
    .bytes = bytes,
};
