/* approx/performer.c -- Performer, FAVOR+: softmax attention by random features.
 *
 * Math    approx/random_features.h: w_ij = phi(q_i) . phi(k_j) / sum_l phi(q_i) .
 *         phi(k_l). With eps, features are m^-1/2 (e^{u - h - max} + eps), max over
 *         the u of the query, and over those of all keys. Centred: keys less their
 *         mean, which leaves the softmax as it is. A bias of positions is a factor of
 *         the keys.
 * Oracle  relative variance of an entry, m draws, z = q' + k', delta = q' - k':
 *         positive (e^{|z|^2} - 1) / m, hyperbolic (cosh |z|^2 - 1) / m, trigonometric
 *         (cosh |delta|^2 - 1) / m. All keys equal: uniform, for any projections.
 *         G8: hyperbolic with 2 I, o_00 = .6699145805.
 * Source  Choromanski et al., arXiv 2009.14794; google-research/google-research,
 *         performer/fast_attention/jax: eps 1e-6 as published, no sign fix of the QR.
 * Cost    4 n m d flop for features, 4 n m (dv + 1) to apply; memory 2 n m doubles.
 * Limits  no soft-cap, no sink logit.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/random_features.h"
#include "core/kernels/kernels.h"

typedef struct performer {
    int64_t features, kind, norms;
    bool orthogonal, centre;
    double eps;
} performer;

enum { CHI, ROOT };

static const atn_param params[] = {
    ATN_PARAM_I64(performer, features, 256, 1, 1 << 16, "features"),
    ATN_PARAM_CHOICE(performer, kind, ATN_MAP_POSITIVE, "positive|hyperbolic|trig",
                     "e^u, pairs of e^u and e^-u, pairs of cos u and sin u"),
    ATN_PARAM_BOOL(performer, orthogonal, 1, "projections orthogonal in blocks of d"),
    ATN_PARAM_CHOICE(
        performer, norms, CHI, "chi|sqrt",
        "lengths of orthogonal projections: as of normal ones, or sqrt(d)"),
    ATN_PARAM_F64(performer, eps, 0, 0, 1, "added to every feature, exponentials only"),
    ATN_PARAM_BOOL(performer, centre, 0, "the mean of the keys is taken from them"),
    ATN_PARAM_END,
};

static double eps_of(const performer *t, bool as_published)
{
    if (t->kind == ATN_MAP_TRIGONOMETRIC) return 0;
    return t->eps == 0 && as_published ? 1e-6 : t->eps;
}

static atn_idx draws_of(const performer *t)
{
    return atn_random_draws((atn_map_kind)t->kind, t->features);
}

static atn_idx width_of(const performer *t)
{
    return atn_random_width((atn_map_kind)t->kind, draws_of(t));
}

/* Features with eps: e^{u - h - max} + eps, no logarithms left. */
static void add_eps(const atn_head *h, const atn_random_map *map, double eps,
                    atn_features *f)
{
    const double share = -log((double)f->n) / 2;
    double top = -INFINITY;

    for (atn_idx j = 0; j < h->nk; j++) {
        double square = 0;

        for (atn_idx c = 0; c < h->k.cols; c++)
            square +=
                pow((double)atn_crow(h->k, j)[c] - (map->mean ? map->mean[c] : 0), 2);
        top = fmax(top, f->log_k[j] - share + fabs(map->scale) * square / 2);
    }
    for (atn_idx i = 0; i < h->nq; i++) {
        const double half =
            fabs(map->scale) * atn_row_square(atn_crow(h->q, i), h->q.cols) / 2;

        for (atn_idx r = 0; r < f->n; r++)
            f->q[i * f->n + r] = f->q[i * f->n + r] * exp(-half) + eps;
        f->log_q[i] = 0;
    }
    for (atn_idx j = 0; j < h->nk; j++) {
        for (atn_idx r = 0; r < f->n; r++)
            f->k[j * f->n + r] =
                f->k[j * f->n + r] * exp(f->log_k[j] - share - top) + eps;
        f->log_k[j] = 0;
    }
}

static atn_status check(atn_ctx *cx, const atn_head *h, const performer *t, double eps)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_features_check(cx, "performer", h, eps == 0));
    if (t->eps > 0 && t->kind == ATN_MAP_TRIGONOMETRIC)
        ATN_FAIL(ATN_USAGE,
                 "performer: eps=%g is of exponentials, and kind=trig has none "
                 "(leave it out, or take kind=positive)",
                 t->eps);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const performer *t = params_;
    const atn_idx m = draws_of(t), d = h->q.cols;
    const double eps = eps_of(t, in->as_published), rows = (double)(h->nq + h->nk);
    const atn_projections projections = {"performer", m, d, t->orthogonal,
                                         t->norms == ROOT};
    atn_random_map map = {.kind = (atn_map_kind)t->kind, .scale = h->scale};
    const atn_arena_mark mark = atn_arena_save(cx);
    double *mean = NULL;
    float *omega = NULL;
    atn_features f = {0};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(check(cx, h, t, eps));
    ATN_TAKE(omega, m * d);
    ATN_TRY(atn_projections_make(cx, in, &projections, omega));
    map.omega = (atn_cmat){omega, m, d, d};
    if (t->centre) ATN_TAKE(mean, d);
    if (t->centre) atn_mat_mean(h->k, mean);
    map.mean = mean;
    ATN_TRY(atn_random_open(cx, &map, h, &f, "performer"));
    if (eps > 0) add_eps(h, &map, eps, &f);
    f.normalise = true;
    ATN_TRY(atn_features_plan(cx, h, &f, 0, out));
    out->index_flops = 2 * rows * (double)m * (double)d;
    out->index_bytes = ATN_COST_BYTES * rows * (double)(d + width_of(t));
done:
    atn_features_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const performer *t = params_;

    out->numbers = 2 * (double)width_of(t);
    out->executed = atn_features_executed(h, width_of(t));
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    (void)h;
    return width_of(params_);
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const performer *t = params_;

    return t->centre || eps_of(t, in->as_published) > 0 ? ATN_LOOKS_KEYS : 0;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const performer *t = params_;

    return atn_random_open_bytes(cx, &in->head[0], (atn_map_kind)t->kind, draws_of(t));
}

const atn_method atn_method_performer = {
    .id = "performer",
    .title = "Performer, FAVOR+",
    .family = "kernel",
    .source = "Choromanski et al. 2020, arXiv 2009.14794; "
              "google-research/google-research, performer",
    .text = "everything, by products of random features in place of the exponential",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BOTH_WAYS,
    .publishes = true,
    .params = params,
    .params_size = sizeof(performer),
    .budget = "features",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED,
    .rank = rank,
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
