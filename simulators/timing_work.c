/* simulators/timing_work.c -- CTAs of a launch that was timed, by the kernel's tiles
 * and window rule; its predicted time.
 *
 * Math    a key that queries i - w < j <= i see is seen by queries [j, j + w): of the
 *         backward pass the rule is the same with queries and keys exchanged.
 * Source  cards/simulators.md 2.1, 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/timing_work.h"

#include <math.h>

#include "core/tile_list.h"

const atn_kernel_tile *atn_timing_tile(const atn_kernel *k, const atn_timing *row)
{
    const unsigned takes = row->window > 0 ? ATN_TAKES_WINDOW : ATN_TAKES_CAUSAL;
    const atn_pass pass =
        row->launch.pass == ATN_PASS_BACKWARD ? ATN_PASS_BACKWARD : ATN_PASS_FORWARD;

    const int dim = (int)row->launch.head_dim;

    /* A window that hides nothing is dense work, of the kernel that takes windows. */
    if (row->window_given > 0 &&
        !atn_kernel_tile_of(k, dim, pass, ATN_TAKES_WINDOW, 1, 0))
        return NULL;
    return atn_kernel_tile_of(k, dim, pass, takes, 1, 0);
}

bool atn_timing_counts(const atn_timing *row, atn_time_kind kind)
{
    if (row->launch.pass == ATN_PASS_DECODE) return true;
    if (kind != ATN_MODEL_FOUR) return row->launch.q_len >= 512;
    return row->launch.q_len >= 1024 && row->window_given < row->launch.q_len;
}

static atn_window_rule window_of(const atn_timing *row, const atn_kernel_tile *tile,
                                 atn_idx pack)
{
    const atn_launch *s = &row->launch;
    const atn_idx behind = row->window > 0 ? row->window - 1 : -1;
    atn_window_rule w = {s->q_len,      s->kv_len,     behind, 0,
                         tile->q.at[0], tile->k.at[0], pack};

    if (s->pass != ATN_PASS_BACKWARD) return w;
    return (atn_window_rule){s->kv_len, s->q_len, 0, behind, w.bn, w.bm, 1};
}

/* As the model of four coefficients sees a kernel. */
static void make_plain(atn_kernel *k)
{
    k->packs_gqa = false;
    k->sections = false;
    k->split = ATN_SPLIT_NONE;
}

/* Of the visits those that pay for a mask. */
static void apply_policy(atn_mask_policy policy, atn_idx n, const int32_t *visits,
                         int32_t *masked)
{
    bool any = false;

    for (atn_idx m = 0; m < n; m++) any = any || masked[m] > 0;
    for (atn_idx m = 0; m < n; m++) {
        if (policy == ATN_MASK_SKIP) masked[m] = 0;
        if (policy == ATN_MASK_ALL && any) masked[m] = visits[m];
    }
}

/* Of random blocks every CTA computes its share, the diagonal first. */
static void thin_out(double density, atn_idx n, int32_t *visits, int32_t *masked)
{
    for (atn_idx m = 0; m < n; m++) {
        visits[m] = (int32_t)atn_tiles_kept(density, visits[m]);
        masked[m] = ATN_MIN(masked[m], visits[m]);
    }
}

static atn_status find_lists(atn_ctx *cx, const atn_kernel *k, const atn_window_rule *w,
                             double density, atn_cta_list *out)
{
    int32_t *visits = NULL, *masked = NULL;
    atn_status st = ATN_OK;

    out->n = atn_window_ctas(w);
    ATN_TAKE(visits, out->n);
    ATN_TAKE(masked, out->n);
    for (atn_idx m = 0; m < out->n; m++) {
        if (k->window_rule)
            atn_window_tiles(w, m, &visits[m], &masked[m]);
        else
            atn_window_partial(w, m, &visits[m], &masked[m]);
    }
    if (!k->window_rule) apply_policy(k->policy, out->n, visits, masked);
    if (density < 1) thin_out(density, out->n, visits, masked);
    out->visits = visits;
    out->masked = masked;
done:
    return st;
}

atn_status atn_timing_work(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                           atn_time_kind kind, const atn_timing *row, atn_work *work,
                           atn_regressors *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool four = kind == ATN_MODEL_FOUR;
    const atn_kernel_tile *tile = atn_timing_tile(k, row);
    const atn_launch *s = &row->launch;
    const bool packs = k->packs_gqa && !four && s->pass != ATN_PASS_BACKWARD;
    atn_window_rule window;
    atn_kernel *as = NULL;
    atn_cta_list list = {0};
    atn_work w = {0};
    atn_status st = ATN_OK;

    if (!tile)
        ATN_FAIL(ATN_USAGE, "calibrate: %s has no tile for %s of head_dim %lld", k->id,
                 row->window > 0 ? "a window" : "a causal mask",
                 (long long)s->head_dim);
    ATN_TAKE(as, 1);
    *as = *k;
    if (four) make_plain(as);
    if (s->pass == ATN_PASS_BACKWARD) as->packs_gqa = false;
    window = window_of(row, tile, packs ? s->heads / s->kv_heads : 1);
    ATN_TRY(find_lists(cx, k, &window, row->density, &list));
    ATN_TRY(atn_work_make(cx,
                          &(atn_work_case){as, d, s, &list, 1, window.bm, window.bn,
                                           row->window > 0 ? row->window - 1 : -1, 0},
                          four ? &atn_schedule_four : &atn_schedule_full, &w));
    atn_prefill_regressors(as, d, s, &w, out);
    if (work) *work = w;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool same_shape(const atn_timing *a, const atn_timing *b)
{
    const atn_launch *x = &a->launch, *y = &b->launch;

    return x->pass == y->pass && x->batch == y->batch && x->heads == y->heads &&
           x->kv_heads == y->kv_heads && x->head_dim == y->head_dim &&
           x->q_len == y->q_len && x->kv_len == y->kv_len && a->window == b->window &&
           a->density == b->density;
}

atn_idx atn_timing_shapes(const atn_timing *const *row, atn_idx n, atn_time_kind kind,
                          atn_idx most)
{
    const atn_timing *seen[ATN_SHAPES_MOST];
    atn_idx shapes = 0;

    ATN_ASSERT(most <= ATN_SHAPES_MOST);
    for (atn_idx i = 0; i < n && shapes < most; i++) {
        bool known = !atn_timing_counts(row[i], kind);

        for (atn_idx k = 0; k < shapes && !known; k++)
            known = same_shape(row[i], seen[k]);
        if (!known) seen[shapes++] = row[i];
    }
    return shapes;
}

atn_status atn_fit_check(atn_ctx *cx, const atn_time_fit *f)
{
    const double others[] = {f->slow, f->theta_ms, f->power, f->low, f->high, f->mape};
    atn_status st = ATN_OK;
    bool fine = true;

    for (int i = 0; i < ATN_TERMS; i++) fine &= f->c[i] >= 0 && f->c[i] <= 1e9;
    for (size_t i = 0; i < ATN_LEN(others); i++) fine &= isfinite(others[i]);
    if (!fine)
        ATN_FAIL(
            ATN_DATA,
            "calibrate: the fit of head_dim %d, %s is not finite: some timings are "
            "far from all others (are all of them in milliseconds?)",
            f->head_dim, atn_pass_names[f->pass]);
done:
    return st;
}

static atn_status predict_decode(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                                 const atn_time_fit *f, const atn_timing *row,
                                 double *us)
{
    atn_decode_case c;
    atn_status st = ATN_OK;

    if (!atn_decode_case_of(k, &row->launch, row->window, &c))
        ATN_FAIL(ATN_USAGE, "calibrate: %s has no tile for head_dim %lld", k->id,
                 (long long)row->launch.head_dim);
    *us = atn_decode_time(k, d, f, &row->launch, &c, false);
done:
    return st;
}

atn_status atn_timing_predict(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                              const atn_time_fit *f, const atn_timing *row, double *us)
{
    atn_regressors x;
    atn_status st = ATN_OK;

    if (row->launch.pass == ATN_PASS_DECODE)
        return predict_decode(cx, k, d, f, row, us);
    ATN_TRY(atn_timing_work(cx, k, d, f->model, row, NULL, &x));
    *us = atn_prefill_time(f, &x, false);
done:
    return st;
}
