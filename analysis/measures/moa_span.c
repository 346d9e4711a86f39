/* analysis/measures/moa_span.c -- how far back a head must see, by what its entries
 * matter.
 *
 * Math    influence of every entry of P in blocks of 64 (approx/influence.h), and
 *         what elastic spans keep of it (approx/span_rules.h). The rule of a head is
 *         the one with the fewest blocks, at the captured length, that keeps `retain`
 *         of its influence; the plan gives the heads of a layer at most `rules`
 *         different rules so that their summed loss is smallest and their mean density
 *         at most `density`.
 * Oracle  uniform causal attention: see the card; a head that sees only itself keeps
 *         all with one block.
 * Source  Fu et al. (MoA), arXiv 2406.14909. The proxy is ours; with d_o in the capture
 *         the paper's influence is there too. The paper plans over several lengths with
 *         a solver; at one length, the best plan of at most two rules is found by
 *         trying every pair.
 * Cost    one pass, see approx/influence.h.
 * Limits  spans of other lengths than the captured one are those of the rule, not
 *         measured.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/layer_facts.h"
#include "approx/span_rules.h"

extern const atn_measure atn_measure_moa_span;

enum { POOL_MAX, POOL_NONE };

typedef struct moa_span_params {
    int pool;
    double retain, density;
    int64_t rules, shortest, profile, longest;
} moa_span_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        moa_span_params, pool, POOL_MAX, "max|none",
        "influence of the query heads of one KV head: the larger, or each"),
    ATN_PARAM_F64(moa_span_params, retain, 0.95, 1e-6, 1,
                  "share of the influence that a head's rule keeps"),
    ATN_PARAM_F64(moa_span_params, density, 0.5, 1e-6, 1,
                  "mean density of the plan at most"),
    ATN_PARAM_I64(moa_span_params, rules, 2, 1, 2,
                  "different rules in the plan of a layer at most"),
    ATN_PARAM_I64(moa_span_params, shortest, 2048, 1, 1 << 30,
                  "shortest length of the grid of rules, in tokens"),
    ATN_PARAM_I64(moa_span_params, profile, 8192, 1, 1 << 30,
                  "longest profiled length of the grid, in tokens"),
    ATN_PARAM_I64(moa_span_params, longest, 16384, 1, 1 << 30,
                  "longest length of the grid, in tokens"),
    ATN_PARAM_END,
};

/* Columns of one kind of influence, in the order of the list below. */
enum {
    FIRST,
    TOKENS_90,
    DENSITY_90,
    TOKENS_95,
    DENSITY_95,
    TOKENS_99,
    DENSITY_99,
    RULE_ALPHA,
    RULE_BETA,
    RULE_KEPT,
    RULE_DENSITY,
    PLAN_ALPHA,
    PLAN_BETA,
    PLAN_KEPT,
    PLAN_DENSITY,
    SIDE_COLS
};

#define SIDE(id, of)                                                                   \
    {id "_first_share", "", "[0, 1]", "share of the " of " in the first 64 keys",      \
     NULL},                                                                            \
        {id "_90_tokens", "tokens", ">= 64",                                           \
         "smallest span, in blocks of 64, that keeps 90 % of the " of, NULL},          \
        {id "_90_density", "", "[0, 1]", "share of blocks that this span keeps",       \
         NULL},                                                                        \
        {id "_95_tokens", "tokens", ">= 64", "the same for 95 %", NULL},               \
        {id "_95_density", "", "[0, 1]", "its density", NULL},                         \
        {id "_99_tokens", "tokens", ">= 64", "the same for 99 %", NULL},               \
        {id "_99_density", "", "[0, 1]", "its density", NULL},                         \
        {id "_rule_alpha_tokens", "tokens", "any",                                     \
         "alpha of the smallest elastic rule that keeps `retain` of the " of, NULL},   \
        {id "_rule_beta", "", "[0, 1]", "its beta", NULL},                             \
        {id "_rule_kept", "", "[0, 1]", "what it keeps of the " of, NULL},             \
        {id "_rule_density", "", "[0, 1]", "its density", NULL},                       \
        {id "_plan_alpha_tokens", "tokens", "any",                                     \
         "alpha of the head's rule in the layer's plan", NULL},                        \
        {id "_plan_beta", "", "[0, 1]", "its beta", NULL},                             \
        {id "_plan_kept", "", "[0, 1]", "what it keeps of the " of, NULL},             \
    {                                                                                  \
        id "_plan_density", "", "[0, 1]", "its density", NULL                          \
    }

static const atn_measure_col cols[] = {SIDE("moa_span", "influence"),
                                       SIDE("moa_span_gradient", "gradient influence"),
                                       ATN_MEASURE_COLS_END};

/* What is known of the units (heads, or groups of them) of a layer by one kind of
 * influence. */
typedef struct side {
    double *kept;  /* [units, blocks] */
    double *total; /* [units] */
    double *first; /* [units] in the first block of keys */
} side;

typedef struct job {
    const atn_layer_facts *f;
    const moa_span_params *params;
    atn_idx heads, units; /* heads of a unit */
    atn_idx *unit;        /* [units] its first head */
    atn_idx blocks, n;    /* of keys; length */
    bool causal;
    atn_span_rule *rules; /* [n_rules] */
    atn_idx n_rules;
    float *d_o;
    side side[2]; /* proxy, gradient */
} job;

/* ---- influence ---- */

static void profile(const job *j, const atn_influence *x, const double *blocks,
                    atn_idx u, side *s)
{
    s->total[u] =
        atn_span_profile(blocks, x->rows, x->keys, j->causal, s->kept + u * j->blocks);
    s->first[u] = 0;
    for (atn_idx a = 0; a < x->rows; a++) s->first[u] += blocks[a * x->keys];
}

static atn_status run_unit(atn_ctx *cx, job *j, atn_idx u)
{
    const atn_problem *p = j->f->problem;
    const atn_idx first = j->unit[u];
    atn_status st = ATN_OK;
    atn_influence x = {0};

    ATN_TRY(atn_influence_run(cx, &j->f->head[first], j->heads,
                              j->d_o ? j->d_o + first * p->nq * p->dv : NULL, p->nq,
                              j->f->skip_rows, &x));
    ATN_ASSERT(ATN_MAX(x.rows, x.keys) <= j->blocks);
    profile(j, &x, x.proxy, u, &j->side[0]);
    if (x.gradient) profile(j, &x, x.gradient, u, &j->side[1]);
done:
    atn_influence_release(cx, &x);
    return st;
}

/* ---- columns ---- */

static double density(const job *j, atn_idx b)
{
    return (double)atn_span_kept(b, j->blocks, j->causal) / (double)j->blocks;
}

/* Blocks of a rule at the captured length. */
static atn_idx blocks_of(const job *j, const atn_span_rule *r)
{
    return ATN_MIN(atn_span_blocks(r, j->n), j->blocks);
}

static void put_rule(const job *j, const side *s, atn_idx u, const atn_span_rule *r,
                     double *out)
{
    const atn_idx b = blocks_of(j, r);

    out[0] = r->alpha;
    out[1] = r->beta;
    out[2] = s->kept[u * j->blocks + b - 1];
    out[3] = density(j, b);
}

static void unit_values(const job *j, const side *s, atn_idx u, double *out)
{
    static const double levels[] = {0.9, 0.95, 0.99};
    const double *kept = s->kept + u * j->blocks;
    const atn_span_rule *best = NULL;

    if (!(s->total[u] > 0)) return;
    out[FIRST] = s->first[u] / s->total[u];
    for (size_t l = 0; l < ATN_LEN(levels); l++) {
        atn_idx b = 1;

        while (b < j->blocks && kept[b - 1] < levels[l] - 1e-12) b++;
        out[TOKENS_90 + 2 * l] = (double)(b * ATN_SPAN_BLOCK);
        out[DENSITY_90 + 2 * l] = density(j, b);
    }
    for (atn_idx r = 0; r < j->n_rules; r++)
        if (kept[blocks_of(j, &j->rules[r]) - 1] >= j->params->retain - 1e-12 &&
            (!best || blocks_of(j, &j->rules[r]) < blocks_of(j, best)))
            best = &j->rules[r];
    if (best) put_rule(j, s, u, best, out + RULE_ALPHA);
}

static atn_status plan(atn_ctx *cx, const job *j, const side *s, int base, double *out)
{
    const int n_cols = (int)ATN_LEN(cols) - 1;
    const atn_idx g = j->heads;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    const atn_span_rule **choice = NULL;
    atn_idx *cost = NULL, *pick = NULL;
    double *loss = NULL;
    atn_span_task t = {.units = j->units, .limit = (int)j->params->rules};
    bool found = false;

    ATN_TAKE(choice, j->blocks);
    t.choices = atn_span_choices(j->rules, j->n_rules, j->n, j->blocks, choice);
    ATN_TAKE(cost, t.choices);
    ATN_TAKE(loss, j->units * t.choices);
    ATN_TAKE(pick, j->units);
    for (atn_idx c = 0; c < t.choices; c++) {
        const atn_idx b = blocks_of(j, choice[c]);

        cost[c] = atn_span_kept(b, j->blocks, j->causal);
        for (atn_idx u = 0; u < j->units; u++)
            loss[u * t.choices + c] =
                s->total[u] > 0 ? s->total[u] * (1 - s->kept[u * j->blocks + b - 1])
                                : 0;
    }
    t.loss = loss;
    t.cost = cost;
    t.budget = j->params->density * (double)(j->blocks * j->units);
    ATN_TRY(atn_span_plan(cx, &t, pick, &found));
    for (atn_idx h = 0; found && h < j->units * g; h++)
        if (s->total[h / g] > 0)
            put_rule(j, s, h / g, choice[pick[h / g]],
                     out + (j->unit[h / g] + h % g) * n_cols + base + PLAN_ALPHA);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the layer ---- */

static atn_span_grid grid_of(const moa_span_params *p)
{
    return (atn_span_grid){(double)p->shortest, (double)p->profile, (double)p->longest};
}

/* The lengths of the grid ascend, and some rule fits all of them. */
static atn_status check(atn_ctx *cx, const void *params_, const atn_head_stats *s)
{
    const atn_span_grid grid = grid_of(params_);

    (void)s;
    return atn_span_grid_check(cx, "moa_span", &grid);
}

/* Units with a head that is asked for. */
static atn_status choose_units(atn_ctx *cx, job *j)
{
    const atn_layer_facts *f = j->f;
    atn_status st = ATN_OK;

    j->heads = j->params->pool == POOL_MAX ? f->heads / f->problem->kv_heads : 1;
    ATN_TAKE(j->unit, f->heads / j->heads);
    for (atn_idx h = 0; h < f->heads; h += j->heads) {
        bool wanted = false;

        for (atn_idx i = h; i < h + j->heads; i++) wanted |= !f->keep || f->keep[i];
        if (wanted) j->unit[j->units++] = h;
    }
done:
    return st;
}

static atn_status prepare(atn_ctx *cx, job *j)
{
    const atn_head *h = &j->f->head[0];
    const atn_span_grid grid = grid_of(j->params);
    const atn_idx end = ATN_MAX(atn_sight_at(&h->sight, h->nq - 1) + 1, h->nk);
    atn_status st = ATN_OK;

    j->n = h->nk;
    j->causal = h->sight.causal;
    j->blocks = (end + ATN_SPAN_BLOCK - 1) / ATN_SPAN_BLOCK;
    ATN_TRY(choose_units(cx, j));
    ATN_TRY(atn_span_rules(cx, &grid, &j->rules, &j->n_rules));
    ATN_TRY(atn_layer_gradient(cx, j->f, &j->d_o));
    for (int i = 0; i < (j->d_o ? 2 : 1); i++) {
        ATN_TAKE(j->side[i].kept, j->units * j->blocks);
        ATN_TAKE(j->side[i].total, j->units);
        ATN_TAKE(j->side[i].first, j->units);
    }
done:
    return st;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const int n_cols = (int)ATN_LEN(cols) - 1;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    job j = {.f = f, .params = params_};

    if (!f->problem->v || !atn_layer_is_self(f)) goto done;
    ATN_TRY(prepare(cx, &j));
    for (atn_idx u = 0; u < j.units; u++) ATN_TRY(run_unit(cx, &j, u));
    for (int i = 0; i < (j.d_o ? 2 : 1); i++) {
        const side *s = &j.side[i];

        for (atn_idx u = 0; u < j.units; u++)
            for (atn_idx h = j.unit[u]; h < j.unit[u] + j.heads; h++)
                unit_values(&j, s, u, out + h * n_cols + i * SIDE_COLS);
        ATN_TRY(plan(cx, &j, s, i * SIDE_COLS, out));
    }
done:
    atn_free(cx, j.rules);
    atn_free(cx, j.d_o);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_measure atn_measure_moa_span = {
    .id = "moa_span",
    .title = "Influence by blocks and elastic spans (MoA)",
    .source = "Fu et al. 2024 (MoA), arXiv 2406.14909; the gradient-free proxy is ours",
    .wants = ATN_WANT_V,
    .named = true,
    .passes = 1,
    .params = params,
    .params_size = sizeof(moa_span_params),
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
    .mixes = atn_measure_mixes,
    .check = check,
    .layer = layer,
};
