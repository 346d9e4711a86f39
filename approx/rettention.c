/* approx/rettention.c -- Re-ttention: a static mask whose lost mass is remembered from
 * an earlier denoising step.
 *
 * Math    M: |i - j| <= floor(w / 2), w = int(ratio n). Steps t < t0 are dense, and so
 *         are refresh steps, t mod refresh = 0; step t between them goes back to the
 *         last refresh step r: rho_i the mass of dense row i of r within M, R = O -
 *         rho (A^M V) of r, and
 *             O_t = (rho + lambda (t - r - 1)) A^M V + R
 *         with A^M, the softmax over M, and V of step t.
 *         video: the tokens of a grid F x h x w have a place in their frame, and M is
 *         the same window over places in every frame, w = int(ratio h w); tokens beyond
 *         the grid are text, which sees and is seen by all.
 * Oracle  frozen Q, K and V, lambda = 0: exact. ratio = 2, M all: rho = 1, R = 0. R =
 *         the part of A V outside M.
 * Source  Chen et al., arXiv 2505.22918, and its code. What the window of a video is
 *         counted in is our reading.
 * Cost    a sparse step: the pairs of M and 2 dv flop a row; a refresh step the pairs
 *         of M once more. State dv + 1 numbers a row.
 * Limits  rho is not clamped: it may exceed 1, as in the code.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/replay.h"
#include "core/apply.h"
#include "core/rows.h"

typedef struct rettention {
    double ratio, lambda;
    int64_t t0, refresh;
    bool video;
} rettention;

static const atn_param params[] = {
    ATN_PARAM_F64(rettention, ratio, 0.03125, 0, 2,
                  "width of the window as a share of the tokens (video: of a frame)"),
    ATN_PARAM_F64(rettention, lambda, 0.04, -1, 1,
                  "what rho grows by from one sparse step to the next"),
    ATN_PARAM_I64(rettention, t0, 5, 0, 1 << 20, "first steps, dense"),
    ATN_PARAM_I64(rettention, refresh, 5, 1, 1 << 20,
                  "steps from one refresh step to the next"),
    ATN_PARAM_BOOL(rettention, video, 0,
                   "the window lies in every frame of a grid, text sees all"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"rettention_hunyuan", "t0=10,video=yes", "the paper's setting for HunyuanVideo"},
    {"rettention_cogvideo", "t0=15,video=yes", "the paper's setting for CogVideoX"},
    {NULL, NULL, NULL},
};

/* ---- the mask ---- */

typedef struct video {
    atn_chosen *rows;
    const atn_head *h;
    atn_idx frames, places, half, first;
} video;

/* The keys of the query at the position of list first + n. */
static atn_status video_row(atn_ctx *cx, atn_idx n, void *state)
{
    const video *v = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx at = v->first + n, grid = v->frames * v->places;
    const atn_idx place = at % v->places;
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    atn_idx used = 0;

    ATN_TAKE(spans, v->frames + 1);
    if (at >= grid) {
        spans[used++] = (atn_span){0, v->h->nk};
    } else {
        const atn_idx lo = ATN_MAX(place - v->half, 0);
        const atn_idx hi = ATN_MIN(place + v->half + 1, v->places);

        for (atn_idx f = 0; f < v->frames; f++)
            spans[used++] = (atn_span){f * v->places + lo, f * v->places + hi};
        spans[used++] = (atn_span){grid, v->h->nk};
    }
    ATN_TRY(atn_chosen_put(cx, v->rows, at, spans, used));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status video_mask(atn_ctx *cx, const rettention *t, const atn_input *in,
                             const atn_head *h, atn_pattern **out)
{
    const atn_list *g = in->grid;
    const atn_frame f = atn_head_frame(h, 1);
    atn_status st = ATN_OK;
    video v = {.h = h, .places = 1};
    atn_idx end, grid;

    if (!g || g->n < 2)
        ATN_FAIL(ATN_DATA,
                 "rettention:video=yes reads the frames of a grid, and the capture "
                 "names none (give --grid FRAMESxROWSxCOLUMNS)");
    ATN_TRY(atn_grid_check(cx, "rettention", in));
    v.frames = (atn_idx)g->at[0];
    for (int a = 1; a < g->n; a++)
        if (!atn_mul(v.places, (atn_idx)g->at[a], &v.places)) v.places = 0;
    if (v.places < 1 || !atn_mul(v.frames, v.places, &grid) || grid > h->nk)
        ATN_FAIL(ATN_DATA,
                 "rettention: a grid of %lld frames has more than the %lld tokens of "
                 "layer %d",
                 (long long)v.frames, (long long)h->nk, h->layer);
    v.half = (atn_idx)(t->ratio * (double)v.places) / 2;
    ATN_TRY(atn_chosen_open(cx, &f, 1, &v.rows));
    atn_chosen_lists(v.rows, &v.first, &end);
    ATN_TRY(atn_parallel(cx, end - v.first, video_row, &v, "rettention"));
    st = atn_chosen_finish(cx, v.rows, out);
    v.rows = NULL;
done:
    atn_chosen_abandon(cx, v.rows);
    return st;
}

static atn_status make_mask(atn_ctx *cx, const rettention *t, const atn_input *in,
                            const atn_head *h, atn_pattern **out)
{
    const atn_frame f = atn_head_frame(h, 1);
    const atn_idx half = (atn_idx)(t->ratio * (double)h->nk) / 2;

    if (t->video) return video_mask(cx, t, in, h, out);
    return atn_pattern_shift(cx, &f, &(atn_span){-half, half + 1}, 1, 0, out);
}

/* ---- what a refresh step leaves ---- */

typedef struct refreshed {
    float *o, *masked; /* [nq, dv] */
    double *lse, *lse_masked;
} refreshed;

/* ln(e^lse + e^sink) */
static double with_sink(const atn_head *h, double lse)
{
    const double max = ATN_MAX(lse, h->sink), min = ATN_MIN(lse, h->sink);

    return h->has_sink ? max + log1p(exp(min - max)) : lse;
}

/* scale [nq] <- rho + more, residual [nq, dv] <- O - rho A^M V of head h. */
static atn_status refresh(atn_ctx *cx, const atn_head *h, const atn_plan *mask,
                          double more, float *scale, float *residual)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx nq = h->nq, dv = h->v.cols;
    atn_plan dense = {.tile_rows = 1, .tile_keys = 1};
    atn_status st = ATN_OK;
    refreshed r = {0};

    atn_plan_all(&dense);
    ATN_TAKE(r.o, nq * dv);
    ATN_TAKE(r.masked, nq * dv);
    ATN_TAKE(r.lse, nq);
    ATN_TAKE(r.lse_masked, nq);
    ATN_TRY(
        atn_plan_apply(cx, h, &dense, (atn_mat){r.o, nq, dv, dv}, r.lse, "rettention"));
    ATN_TRY(atn_plan_apply(cx, h, mask, (atn_mat){r.masked, nq, dv, dv}, r.lse_masked,
                           "rettention"));
    for (atn_idx i = 0; i < nq; i++) {
        const double all = with_sink(h, r.lse[i]);
        const double rho =
            all > -INFINITY ? exp(with_sink(h, r.lse_masked[i]) - all) : 0;

        scale[i] = (float)(rho + more);
        for (atn_idx e = i * dv; e < (i + 1) * dv; e++)
            residual[e] = (float)((double)r.o[e] - rho * (double)r.masked[e]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A step that is dense; if it refreshes for a sparse one, the mask is run, too. */
static atn_status plan_dense(atn_ctx *cx, const rettention *t, const atn_input *in,
                             const atn_head *h, atn_plan *out)
{
    const int64_t sparse = ATN_MAX((int64_t)in->at + 1, t->t0); /* the first one */
    const bool refreshes =
        in->at % t->refresh == 0 && sparse < in->steps && sparse < in->at + t->refresh;
    const double nq = (double)h->nq, dv = (double)h->v.cols;
    atn_plan mask = {0};
    atn_status st = ATN_OK;
    atn_cost cost;

    atn_plan_all(out);
    if (!refreshes) return ATN_OK;
    ATN_TRY(make_mask(cx, t, in, h, &mask.branch[0].part[0].pattern));
    atn_plan_mask(&mask, mask.branch[0].part[0].pattern, 0, 1, 1);
    ATN_TRY(atn_plan_cost(cx, h, &mask, &cost));
    out->index_flops = cost.flops + 3 * nq * dv;
    out->index_bytes = cost.bytes + ATN_COST_BYTES * nq * (2 * dv + 1);
done:
    atn_plan_release(cx, &mask);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const rettention *t = params_;
    const atn_head *h = &in->head[first];
    const int last = (int)(in->at - in->at % t->refresh);
    const double nq = (double)h->nq, dv = (double)h->v.cols;
    atn_pattern *pattern = NULL;
    float *scale = NULL, *residual = NULL;
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    if (in->at < t->t0 || in->at == last) return plan_dense(cx, t, in, h, out);
    ATN_TRY(atn_step_check(cx, "rettention", in, last));
    ATN_TRY(make_mask(cx, t, in, h, &pattern));
    atn_plan_mask(out, pattern, 0, 1, 1);
    ATN_NEW(scale, h->nq);
    ATN_NEW(residual, h->nq * h->v.cols);
    ATN_TRY(refresh(cx, &in->step[last].head[first], out,
                    t->lambda * (double)(in->at - last - 1), scale, residual));
    out->branch[0].scale = scale;
    out->residual = residual;
    scale = residual = NULL;
    out->index_flops = 2 * nq * dv;
    out->index_bytes = ATN_COST_BYTES * nq * (dv + 1);
done:
    atn_free(cx, scale);
    atn_free(cx, residual);
    return st;
}

/* The mask, two outputs and two logarithms a row, and applying; then scale and rest. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const rettention *t = params_;
    const atn_head *h = &in->head[0];
    const double frames = t->video && in->grid ? (double)in->grid->at[0] + 1 : 1;
    atn_plan dense = {.tile_rows = 1, .tile_keys = 1};
    const double mask = t->video ? atn_chosen_bytes(cx, h, 1, 1, frames) : 4096;

    if (in->at < t->t0 || in->at % t->refresh == 0) return mask;
    atn_plan_all(&dense);
    return (12 * (double)h->v.cols + 24) * (double)h->nq + mask +
           2 * atn_plan_apply_bytes(cx, h, &dense);
}

const atn_method atn_method_rettention = {
    .id = "rettention",
    .title = "A mask with remembered mass (Re-ttention)",
    .family = "recycled",
    .source = "Chen et al., Re-ttention, arXiv 2505.22918; code cccrrrccc/Re-ttention",
    .text = "the nearest keys, scaled by the mass that they had in an earlier step",
    .reads = ATN_READS_QK | ATN_READS_V | ATN_READS_STEPS,
    .sides = ATN_BIDIRECTIONAL,
    .weights = ATN_WEIGHTS_FREE,
    .unit = ATN_UNIT_HEAD,
    .params = params,
    .params_size = sizeof(rettention),
    .presets = presets,
    .budget = "ratio",
    .plan = plan,
    .bytes = bytes,
};
