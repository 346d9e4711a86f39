/* core/plan.c -- plans: what they hold, and what must hold of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/plan.h"

static void release_part(atn_ctx *cx, atn_part *p)
{
    atn_pattern_destroy(cx, p->pattern);
    atn_free(cx, p->groups.row_ptr);
    atn_free(cx, p->groups.row);
    atn_free(cx, p->groups.key_ptr);
    atn_free(cx, p->groups.key);
    atn_free(cx, p->groups.log_weight);
    atn_free(cx, p->groups.logit);
    atn_free(cx, p->q);
    atn_free(cx, p->k);
}

void atn_plan_release(atn_ctx *cx, atn_plan *p)
{
    for (int b = 0; b < ATN_BRANCHES_MOST; b++) {
        for (int k = 0; k < ATN_PARTS_MOST; k++)
            release_part(cx, &p->branch[b].part[k]);
        atn_free(cx, p->branch[b].scale);
    }
    atn_free(cx, p->vk);
    atn_free(cx, p->vv);
    atn_free(cx, p->expand_ptr);
    atn_free(cx, p->expand);
    atn_free(cx, p->expand_weight);
    atn_free(cx, p->residual);
    if (p->op.kind) p->op.kind->release(cx, p->op.state);
    *p = (atn_plan){0};
}

void atn_plan_mask(atn_plan *p, atn_pattern *pattern, atn_idx head, atn_idx tile_rows,
                   atn_idx tile_keys)
{
    ATN_ASSERT(tile_rows >= 1 && tile_keys >= 1);
    p->branches = p->branch[0].parts = 1;
    p->branch[0].part[0].pattern = pattern;
    p->branch[0].part[0].pattern_head = head;
    p->tile_rows = tile_rows;
    p->tile_keys = tile_keys;
}

void atn_plan_all(atn_plan *p)
{
    p->branches = p->branch[0].parts = 1;
    p->branch[0].part[0].all = true;
    p->tile_rows = ATN_MAX(p->tile_rows, 1);
    p->tile_keys = ATN_MAX(p->tile_keys, 1);
}

void atn_plan_operator(atn_plan *p, const atn_operator *op, double numbers)
{
    atn_plan_all(p);
    p->op = *op;
    p->numbers = numbers;
}

bool atn_plan_is_mask(const atn_plan *p)
{
    const atn_part *part = &p->branch[0].part[0];

    return p->branches == 1 && p->branch[0].parts == 1 && !p->branch[0].scale &&
           !p->residual && !p->op.kind && !part->q && !part->k && !part->self_last &&
           (part->all || part->pattern);
}

atn_head atn_head_trim(const atn_head *h, atn_idx *first_row)
{
    const atn_idx from = ATN_MAX(h->sight.key_first, 0);
    const atn_idx to = ATN_MAX(ATN_MIN(h->sight.key_last, h->nk), from);
    atn_idx row0 = 0, row1 = h->nq;
    atn_head t = *h;

    ATN_ASSERT(!h->sight.rows);
    if (h->sight.pad_queries) { /* query i stands at i + offset */
        row0 = ATN_MIN(ATN_MAX(from - h->sight.offset, 0), h->nq);
        row1 = ATN_MAX(ATN_MIN(to - h->sight.offset, h->nq), row0);
    }
    t.nk = to - from;
    t.nq = row1 - row0;
    t.sight.key_first = 0;
    t.sight.key_last = t.nk;
    t.sight.offset = h->sight.offset + row0 - from;
    t.sight.pad_queries = false;
    /* where queries go first, positions mean nothing unless something asks for them */
    if (!t.sight.causal && t.sight.window == 0 && !atn_head_has_bias(&t))
        t.sight.offset = ATN_MAX(t.sight.offset, 0);
    if (t.q.data) t.q = (atn_cmat){atn_crow(h->q, row0), t.nq, h->q.cols, h->q.ld};
    if (t.k.data) t.k = (atn_cmat){atn_crow(h->k, from), t.nk, h->k.cols, h->k.ld};
    if (t.v.data) t.v = (atn_cmat){atn_crow(h->v, from), t.nk, h->v.cols, h->v.ld};
    if (t.p.data) t.p = (atn_cmat){atn_crow(h->p, row0) + from, t.nq, t.nk, h->p.ld};
    *first_row = row0;
    return t;
}

/* ---- what must hold of a plan ---- */

static atn_status check_groups(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                               const atn_groups *g)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int32_t *seen = NULL;

    ATN_TAKE(seen, h->nq);
    for (atn_idx i = 0; i < h->nq; i++) seen[i] = -1;
    for (atn_idx k = 0; k < g->n; k++) {
        for (int64_t e = g->row_ptr[k]; e < g->row_ptr[k + 1]; e++) {
            if (g->row[e] < 0 || g->row[e] >= h->nq)
                ATN_FAIL(ATN_INTERNAL, "plan: group %lld has row %d of %lld",
                         (long long)k, g->row[e], (long long)h->nq);
            if (seen[g->row[e]] == k)
                ATN_FAIL(ATN_INTERNAL, "plan: group %lld has row %d twice",
                         (long long)k, g->row[e]);
            seen[g->row[e]] = (int32_t)k;
        }
        for (int64_t e = g->key_ptr[k]; e < g->key_ptr[k + 1]; e++)
            if (g->key[e] < 0 || g->key[e] >= h->nk + p->virtuals)
                ATN_FAIL(ATN_INTERNAL, "plan: group %lld has key %d of %lld",
                         (long long)k, g->key[e], (long long)(h->nk + p->virtuals));
        if (g->logit && (g->logit[k] < -1 || g->logit[k] >= h->nk + p->virtuals))
            ATN_FAIL(ATN_INTERNAL, "plan: group %lld has the logit of key %d",
                     (long long)k, g->logit[k]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_expansion(atn_ctx *cx, const atn_head *h, const atn_plan *p)
{
    atn_status st = ATN_OK;

    for (int64_t e = 0; p->virtuals > 0 && e < p->expand_ptr[p->virtuals]; e++)
        if (p->expand[e] < 0 || p->expand[e] >= h->nk)
            ATN_FAIL(ATN_INTERNAL, "plan: a virtual key stands for key %d of %lld",
                     p->expand[e], (long long)h->nk);
done:
    return st;
}

atn_status atn_plan_check(atn_ctx *cx, const atn_head *h, const atn_plan *p)
{
    atn_status st = ATN_OK;

    if (p->op.kind && (p->branches != 1 || p->branch[0].parts != 1 ||
                       !p->branch[0].part[0].all || !(p->op.executed >= 0)))
        ATN_FAIL(ATN_INTERNAL, "plan: an operator beside other parts");
    if (p->branches < 1 || p->branches > ATN_BRANCHES_MOST || p->tile_rows < 1 ||
        p->tile_keys < 1 || !(p->index_flops >= 0) || !(p->index_bytes >= 0))
        ATN_FAIL(ATN_INTERNAL, "plan: %d branches, tiles of %lld x %lld, index %g flop",
                 p->branches, (long long)p->tile_rows, (long long)p->tile_keys,
                 p->index_flops);
    ATN_TRY(check_expansion(cx, h, p));
    for (int b = 0; b < p->branches; b++)
        for (int k = 0; k < p->branch[b].parts; k++) {
            const atn_part *part = &p->branch[b].part[k];
            const atn_pattern *of = part->pattern;

            if ((part->all ? 1 : 0) + (of ? 1 : 0) + (part->groups.n > 0 ? 1 : 0) > 1)
                ATN_FAIL(ATN_INTERNAL, "plan: a part is of two kinds");
            if (of && (of->frame.nk != h->nk || part->pattern_head < 0 ||
                       (of->heads > 1 && part->pattern_head >= of->heads)))
                ATN_FAIL(ATN_INTERNAL, "plan: a pattern of %lld keys and %lld heads",
                         (long long)of->frame.nk, (long long)of->heads);
            ATN_TRY(check_groups(cx, h, p, &part->groups));
        }
done:
    return st;
}
