/* core/apply.c -- the executor: what a plan needs, and its branches one by one.
 *
 * Math    core/plan.h. Of a branch the groups go first, into a softmax of every row
 *         that is not normalised; then tiles of rows take what patterns give, on top of
 *         that, and write the output.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/apply_internal.h"

/* ---- what cannot be applied ---- */

static bool replaces(const atn_plan *p)
{
    bool any = p->virtuals > 0;

    for (int b = 0; b < p->branches; b++)
        for (int k = 0; k < p->branch[b].parts; k++)
            any |= p->branch[b].part[k].q || p->branch[b].part[k].k;
    return any;
}

static atn_status check_head(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                             atn_mat out)
{
    atn_status st = ATN_OK;

    ATN_ASSERT(h->nk + p->virtuals <= INT32_MAX && h->nq <= INT32_MAX);
    ATN_ASSERT(!out.data || (out.rows == h->nq && out.cols == h->v.cols));
    if (out.data && !h->v.data)
        ATN_FAIL(ATN_DATA,
                 "layer %d, head %d: there are no values, so there is no output "
                 "(capture with values, or ask for weights alone)",
                 h->layer, h->head);
    if (h->p.data && replaces(p))
        ATN_FAIL(ATN_DATA,
                 "layer %d, head %d: the plan has queries or keys of its own, and the "
                 "layer is given as weights alone (capture queries and keys)",
                 h->layer, h->head);
done:
    return st;
}

/* ---- branches ---- */

static atn_run run_of(const atn_head *h, const atn_plan *p, atn_mat out, double *lse)
{
    const atn_run run = {.h = h,
                         .plan = p,
                         .out = out,
                         .lse = lse,
                         .dv = out.data ? out.cols : 0,
                         .first = true};

    return run;
}

static double branch_bytes(const atn_ctx *cx, const atn_run *run)
{
    const double nq = (double)run->h->nq, dv = (double)run->dv;
    double bytes = atn_apply_tiles_bytes(cx, run);

    if (!atn_branch_grouped(run->branch)) return bytes;
    bytes = ATN_MAX(bytes, atn_apply_groups_bytes(cx, run));
    return bytes + nq * (sizeof(atn_soft) + dv * sizeof(double)) + 2 * 64;
}

/* ---- operators ---- */

static double operator_bytes(const atn_ctx *cx, const atn_head *h, const atn_plan *p)
{
    const double out = (double)h->nq * (double)h->v.cols * sizeof(double);

    return out + (p->op.kind->bytes ? p->op.kind->bytes(cx, h, p->op.state) : 0);
}

/* run->out <- o [nq, dv] as float32. */
static atn_status round_output(atn_ctx *cx, const atn_run *run, const double *o)
{
    const atn_operator_kind *kind = run->plan->op.kind;
    const atn_idx dv = run->dv;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < run->h->nq; i++)
        for (atn_idx e = 0; e < dv; e++) {
            const double x = o[i * dv + e];

            if (!(fabs(x) <= (double)FLT_MAX))
                ATN_FAIL(
                    ATN_DATA,
                    "layer %d, head %d, row %lld: the output of %s is %.3g, beyond "
                    "float32 (%s)",
                    run->h->layer, run->h->head, (long long)i, kind->id, x,
                    kind->remedy ? kind->remedy
                                 : "take heads without such values, or another "
                                   "method");
            atn_row(run->out, i)[e] = (float)x;
        }
done:
    return st;
}

static atn_status apply_operator(atn_ctx *cx, const atn_run *run)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_operator *op = &run->plan->op;
    const atn_idx nq = run->h->nq, dv = run->dv;
    atn_status st = ATN_OK;
    double *o = NULL;

    if (dv == 0) return ATN_OK;
    ATN_TAKE(o, nq * dv);
    ATN_TRY(op->kind->apply(cx, run->h, op->state, o, run->what));
    ATN_TRY(round_output(cx, run, o));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- */

double atn_plan_apply_bytes(const atn_ctx *cx, const atn_head *h, const atn_plan *p)
{
    const atn_mat out = {h->v.data ? (float *)(uintptr_t)h->v.data : NULL, h->nq,
                         h->v.cols, h->v.cols};
    atn_run run = run_of(h, p, out, NULL);
    double bytes = 0;

    if (p->op.kind) return ceil(operator_bytes(cx, h, p));
    for (int b = 0; b < p->branches; b++) {
        run.branch = &p->branch[b];
        bytes = ATN_MAX(bytes, branch_bytes(cx, &run));
    }
    return ceil(bytes);
}

static void report(void *user, const char *what, double done, double total)
{
    const atn_meter *m = user;

    if (!m->progress || !(total > 0)) return;
    m->progress(m->user, what, m->from + (m->to - m->from) * done / total, 1);
}

static atn_status apply_branch(atn_ctx *cx, atn_run *run)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double end = run->meter->to, half = (run->meter->from + end) / 2;
    const atn_idx nq = run->h->nq, dv = run->dv;
    atn_status st = ATN_OK;

    run->soft = NULL;
    run->sum = NULL;
    if (atn_branch_grouped(run->branch)) {
        ATN_TAKE(run->soft, nq);
        ATN_TAKE(run->sum, nq * dv);
        memset(run->soft, 0, (size_t)nq * sizeof *run->soft);
        memset(run->sum, 0, (size_t)(nq * dv) * sizeof *run->sum);
        run->meter->to = half;
        ATN_TRY(atn_apply_groups(cx, run));
        run->meter->from = half;
        run->meter->to = end;
    }
    ATN_TRY(atn_apply_tiles(cx, run));
    run->first = false;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* All branches, with progress over all of them. */
static atn_status apply_branches(atn_ctx *cx, atn_run *run)
{
    const double share = 1.0 / run->plan->branches;
    atn_meter meter = {.progress = cx->progress, .user = cx->progress_user};
    atn_status st = ATN_OK;

    run->meter = &meter;
    cx->progress = report;
    cx->progress_user = &meter;
    for (int b = 0; b < run->plan->branches && st == ATN_OK; b++) {
        run->branch = &run->plan->branch[b];
        meter.from = b * share;
        meter.to = (b + 1) * share;
        st = apply_branch(cx, run);
    }
    cx->progress = meter.progress;
    cx->progress_user = meter.user;
    return st;
}

/* Of a plan without branches. */
static void write_nothing(const atn_run *run)
{
    for (atn_idx i = 0; run->dv > 0 && i < run->h->nq; i++)
        for (atn_idx e = 0; e < run->dv; e++)
            atn_row(run->out, i)[e] =
                run->plan->residual ? run->plan->residual[i * run->dv + e] : 0;
}

atn_status atn_plan_apply(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                          atn_mat out, double *lse, const char *what)
{
    const double none = p->branches == 0 ? -(double)INFINITY : (double)NAN;
    atn_run run = run_of(h, p, out, lse);
    atn_status st = ATN_OK;

    run.what = what;
    ATN_TRY(check_head(cx, h, p, out));
    ATN_TRY(atn_mem_check(cx, atn_plan_apply_bytes(cx, h, p), what));
    for (atn_idx i = 0; lse && i < h->nq; i++) lse[i] = p->op.kind ? NAN : none;
    if (p->branches == 0) write_nothing(&run);
    ATN_TRY(p->op.kind ? apply_operator(cx, &run) : apply_branches(cx, &run));
done:
    return st;
}
