/* approx/moa.c -- MoA: every head looks back as far as a rule of its own says.
 *
 * Math    head h keeps, of every row of blocks of 64, block 0 and the last b_h blocks
 *         up to the row's own, b_h = max(1, floor(floor(alpha / 64) + beta floor(N /
 *         64))) at N keys (approx/span_rules.h). Rules come from a file, or are planned
 *         from the layer itself: with E the influence of its entries
 *         (approx/influence.h) over the whole blocks, nb of them, minimise sum_h of the
 *         E that b_h loses, subject to sum_h min(nb, b_h + 1) <= floor(density H nb).
 *         Equal losses: the cheaper, then the shorter span in the earlier head.
 * Oracle  beta = 1, alpha = 0: dense; alpha = 64, beta = 0: the own block and the
 *         first. All plans of small layers, one by one.
 * Source  Fu et al., arXiv 2406.14909, and its code; influence without gradients and
 *         the plan at one length are ours.
 * Cost    nothing at run time. The profile: see approx/influence.h; the plan: H^2 nb
 *         density times the spans to choose from.
 * Limits  where no plan is that sparse, every head gets its shortest span. Texts below
 *         192 tokens leave nothing to choose.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/span_file.h"

enum { POOL_NONE, POOL_MAX, LENGTH_MOST = 1 << 24, CHOICE = 3 };

typedef struct moa {
    double density;
    int64_t rules, shortest, profile, longest;
    int pool;
    char plan[ATN_TEXT_MOST];
} moa;

static const atn_param params[] = {
    ATN_PARAM_F64(moa, density, 0.5, 1e-6, 1, "mean density of the plan at most"),
    ATN_PARAM_I64(moa, rules, 0, 0, 2,
                  "different rules in a layer at most; 0: any number"),
    ATN_PARAM_CHOICE(
        moa, pool, POOL_NONE, "none|max",
        "query heads of one KV head choose by their own influence, or the larger"),
    ATN_PARAM_I64(moa, shortest, 2048, 1, LENGTH_MOST,
                  "shortest length of the grid of rules, in tokens"),
    ATN_PARAM_I64(moa, profile, 8192, 1, LENGTH_MOST,
                  "longest profiled length of the grid, in tokens"),
    ATN_PARAM_I64(moa, longest, 16384, 1, LENGTH_MOST,
                  "longest length of the grid, in tokens"),
    ATN_PARAM_TEXT(moa, plan, "file with a rule for every head; the rest is not read"),
    ATN_PARAM_END,
};

typedef struct job {
    const moa *t;
    const atn_input *in;
    atn_idx heads, blocks; /* of a unit; whole ones */
    const atn_span_rule **choice;
    atn_span_task task;
} job;

static atn_idx blocks_of(const job *j, atn_idx c)
{
    return ATN_MIN(atn_span_blocks(j->choice[c], j->in->head[0].nk), j->blocks);
}

/* What each choice loses of the influence of unit u. */
static atn_status losses(atn_ctx *cx, const job *j, atn_idx u, double *loss)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *h = &j->in->head[u * j->heads];
    atn_status st = ATN_OK;
    atn_influence x = {0};
    double *whole = NULL, *kept = NULL, all;
    atn_idx rows, keys;

    ATN_TRY(atn_influence_run(cx, h, j->heads, NULL, 0, 0, &x));
    rows = ATN_MIN(x.rows, j->blocks);
    keys = ATN_MIN(x.keys, j->blocks);
    ATN_TAKE(kept, ATN_MAX(rows, keys));
    whole = x.proxy; /* in place */
    for (atn_idx a = 0; a < rows; a++)
        memmove(whole + a * keys, x.proxy + a * x.keys, (size_t)keys * sizeof *whole);
    all = atn_span_profile(whole, rows, keys, h->sight.causal, kept);
    for (atn_idx c = 0; c < j->task.choices; c++) {
        const atn_idx b = ATN_MIN(blocks_of(j, c), ATN_MAX(rows, keys));

        loss[c] = all > 0 ? all * (1 - kept[b - 1]) : 0;
    }
done:
    atn_influence_release(cx, &x);
    atn_arena_rewind(cx, mark);
    return st;
}

/* What choices cost; how many are left. All whole blocks but one are, with the first,
 * all of them: of the two the one stays that is dense in a short last block, too. */
static atn_idx costs(job *j, atn_idx *cost)
{
    const bool causal = j->in->head[0].sight.causal;
    atn_idx n = j->task.choices;

    for (atn_idx c = 0; c < n; c++)
        cost[c] = atn_span_kept(blocks_of(j, c), j->blocks, causal);
    if (n > 1 && cost[n - 2] == cost[n - 1]) {
        j->choice[n - 2] = j->choice[n - 1];
        n--;
    }
    return n;
}

/* Fills the task but for its limit and budget. */
static atn_status profile(atn_ctx *cx, job *j)
{
    double *loss = NULL;
    atn_idx *cost = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(cost, j->task.choices);
    j->task.choices = costs(j, cost);
    ATN_TAKE(loss, j->task.units * j->task.choices);
    for (atn_idx u = 0; u < j->task.units; u++)
        ATN_TRY(losses(cx, j, u, loss + u * j->task.choices));
    j->task.cost = cost;
    j->task.loss = loss;
done:
    return st;
}

static atn_status choose(atn_ctx *cx, const moa *t, const atn_input *in,
                         atn_span_rule *out)
{
    const atn_span_grid grid = {(double)t->shortest, (double)t->profile,
                                (double)t->longest};
    job j = {.t = t, .in = in, .heads = t->pool == POOL_MAX ? in->group : 1};
    atn_span_rule *rules = NULL;
    atn_idx *pick = NULL, n = 0;
    atn_status st = ATN_OK;
    bool found = false;

    ATN_TRY(atn_span_grid_check(cx, "moa", &grid));
    ATN_TRY(atn_span_rules(cx, &grid, &rules, &n));
    j.blocks = in->head[0].nk / ATN_SPAN_BLOCK;
    j.task.units = in->heads / j.heads;
    j.task.limit = (int)t->rules;
    j.task.budget =
        floor(t->density * (double)j.task.units * (double)ATN_MAX(j.blocks, 0));
    for (atn_idx h = 0; h < in->heads; h++) out[h] = (atn_span_rule){0, 1};
    if (j.blocks == 0) goto done;
    if (!in->head[0].v.data)
        ATN_FAIL(ATN_DATA,
                 "moa reads values to plan, and layer %d has none (import --v, or give "
                 "plan=FILE)",
                 in->head[0].layer);
    ATN_TAKE(j.choice, j.blocks);
    ATN_TAKE(pick, j.task.units);
    j.task.choices = atn_span_choices(rules, n, in->head[0].nk, j.blocks, j.choice);
    ATN_TRY(profile(cx, &j));
    ATN_TRY(atn_span_plan(cx, &j.task, pick, &found));
    for (atn_idx h = 0; h < in->heads; h++)
        out[h] = *j.choice[found ? pick[h / j.heads] : 0];
done:
    atn_free(cx, rules);
    return st;
}

static atn_draw rules_of(const atn_input *in)
{
    return (atn_draw){.what = "rules",
                      .purpose = "moa/rules",
                      .layer = in->head[0].layer,
                      .head = -1,
                      .rows = in->heads,
                      .cols = 2};
}

/* The rules as numbers "rules.layer-LLL" [heads, 2], or those of a file of draws. */
static atn_status exchange(atn_ctx *cx, const atn_input *in, atn_span_rule *rules)
{
    const atn_draw w = rules_of(in);
    atn_status st = ATN_OK;
    float *numbers = NULL;

    ATN_TAKE(numbers, 2 * in->heads);
    for (atn_idx h = 0; h < in->heads; h++) {
        numbers[2 * h] = (float)rules[h].alpha;
        numbers[2 * h + 1] = (float)rules[h].beta;
    }
    ATN_TRY(atn_draw_given(cx, in->draws, &w, numbers));
    if (!atn_draws_have(in->draws, &w)) goto done;
    for (atn_idx h = 0; h < in->heads; h++) {
        rules[h] = (atn_span_rule){(double)numbers[2 * h], (double)numbers[2 * h + 1]};
        if (!(fabs(rules[h].alpha) <= ATN_SPAN_ALPHA_MOST) || !(rules[h].beta >= 0) ||
            !(rules[h].beta <= 1))
            ATN_FAIL(ATN_DATA,
                     "moa: rule %lld of the draws of layer %d is %g + %g N (0 <= beta "
                     "<= 1)",
                     (long long)h, in->head[0].layer, rules[h].alpha, rules[h].beta);
    }
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const moa *t = params_;
    const atn_frame f = atn_head_frame(&in->head[0], ATN_SPAN_BLOCK);
    atn_status st = ATN_OK;
    atn_span_rule *rules = NULL;

    ATN_ASSERT(first == 0 && n == in->heads);
    ATN_TAKE(rules, n);
    if (t->plan[0])
        ATN_TRY(
            atn_span_file_read(cx, t->plan, in->head[0].layer, n, in->layers, rules));
    else
        ATN_TRY(choose(cx, t, in, rules));
    ATN_TRY(exchange(cx, in, rules));
    for (atn_idx h = 0; h < n; h++) {
        const atn_span near = {0, atn_span_blocks(&rules[h], in->head[h].nk)};
        atn_pattern *p = NULL;

        ATN_TRY(atn_pattern_shift(cx, &f, &near, 1, 1, &p));
        atn_plan_mask(&out[h], p, 0, ATN_SPAN_BLOCK, ATN_SPAN_BLOCK);
    }
done:
    return st;
}

/* Of fewer whole blocks than CHOICE all are the first or the last one: there is nothing
 * to choose. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const atn_draw w = rules_of(in);
    const moa *t = params_;

    if (t->plan[0] || atn_draws_have(in->draws, &w)) return 0;
    if (in->head[0].nk / ATN_SPAN_BLOCK < CHOICE) return 0;
    return ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES;
}

/* The influence of a unit; rules, and losses of a choice a block and unit; the table of
 * the cheapest. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const moa *t = params_;
    const atn_head *h = &in->head[0];
    const atn_idx heads = t->pool == POOL_MAX ? in->group : 1;
    const double units = (double)(in->heads / heads);
    const double blocks = (double)(h->nk / ATN_SPAN_BLOCK) + 1;
    const double spent = (t->density * units + 1) * blocks;
    const double plans = 512 * (double)in->heads;

    if (t->plan[0]) return plans + 0x1p16;
    return plans + atn_span_rules_bytes((double)t->shortest, (double)t->profile) +
           units * blocks * sizeof(double) + 4 * blocks * sizeof(double) +
           ATN_MAX(atn_influence_bytes(cx, h, heads),
                   sizeof(double) * (units + 1) * (spent + 1));
}

const atn_method atn_method_moa = {
    .id = "moa",
    .title = "Spans that grow with the text (MoA)",
    .family = "static",
    .source = "Fu et al., MoA, arXiv 2406.14909; code thu-nics/MoA",
    .text = "the first block, and the last ones as far back as the head's rule says",
    .reads = ATN_READS_QK | ATN_READS_WEIGHTS | ATN_READS_DRAWS,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_LAYER,
    .params = params,
    .params_size = sizeof(moa),
    .budget = "density",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
