/* tests/approx/test_history.c -- methods with a history, and moa, take any parameters:
 * what is within its range plans, or is refused with a rule. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/apply.h"
#include "tests/approx/history.h"

enum { STEPS = 4 };
static const char *const ids[] = {"h2o",    "moa",     "recycled",    "rettention",
                                  "snapkv", "sparsed", "stream_cache"};

static uint64_t seed = 99;

static double some(double lo, double hi)
{
    return lo + (hi - lo) * zoo_uniform(&seed);
}

/* A bound, the default, or something small or in between. */
static double value_of(const atn_param *p)
{
    const double u = zoo_uniform(&seed);

    if (u < .15) return p->min;
    if (u < .3) return p->max;
    if (u < .5) return p->def;
    if (p->type == ATN_PARAM_F64_T) return some(p->min, p->max);
    return floor(some(p->min, fmin(p->max, p->min + 30)));
}

static void draw_params(const atn_param *table, char *out)
{
    *out = '\0';
    for (const atn_param *p = table; p->name; p++) {
        char *end = out + strlen(out);

        if (p->type == ATN_PARAM_TEXT_T || zoo_uniform(&seed) < .3) continue;
        if (end > out) *end++ = ',';
        if (p->type == ATN_PARAM_CHOICE_T) {
            char names[64], *rest, *name = NULL;
            int n = 1;

            snprintf(names, sizeof names, "%s", p->choices);
            for (const char *c = names; *c; c++) n += *c == '|';
            n = (int)some(0, n);
            for (name = strtok_r(names, "|", &rest); n-- > 0;)
                name = strtok_r(NULL, "|", &rest);
            sprintf(end, "%s=%s", p->name, name);
        } else if (p->type == ATN_PARAM_BOOL_T) {
            sprintf(end, "%s=%d", p->name, zoo_uniform(&seed) < .5);
        } else {
            sprintf(end, "%s=%.17g", p->name, value_of(p));
        }
    }
}

static void run(atn_ctx *cx, const zoo *z, const char *id, const char *params)
{
    atn_plan plans[ZOO_HEADS_MOST];
    atn_status st;
    atn_choice c;

    CHECK_OK(atn_choice_read(cx, id, params, &c));
    st = atn_choice_plan(cx, &c, &z->in, 0, plans);
    if (st != ATN_OK) {
        if (st != ATN_USAGE || strlen(cx->err.text) < 20)
            fail_msg("%s:%s: %s", id, params, cx->err.text);
        atn_err_clear(cx);
        return;
    }
    for (atn_idx k = 0; k < atn_choice_heads(&c, &z->in); k++) {
        float out[64 * 8];
        atn_cost cost;
        const atn_head *h = &z->head[k];

        CHECK_OK(atn_plan_check(cx, h, &plans[k]));
        CHECK_OK(atn_plan_cost(cx, h, &plans[k], &cost));
        CHECK_LE(cost.kept, cost.visible);
        CHECK(isfinite(cost.index_flops) && cost.index_bytes >= 0);
        CHECK_OK(atn_plan_apply(cx, h, &plans[k],
                                (atn_mat){out, h->nq, h->v.cols, h->v.cols}, NULL,
                                "test"));
        for (atn_idx e = 0; e < h->nq * h->v.cols; e++) CHECK(isfinite(out[e]));
    }
    zoo_release(cx, plans, atn_choice_heads(&c, &z->in));
}

static void any_parameters(atn_ctx *cx)
{
    static const atn_idx sizes[] = {1, 2, 3, 17, 64};
    const atn_list grid = {2, {2, 8}};
    char params[1024];

    for (size_t m = 0; m < ATN_LEN(ids); m++)
        for (int trial = 0; trial < 150; trial++) {
            const atn_idx n = sizes[trial % 5];
            atn_input in[STEPS];
            zoo z[STEPS], *at[STEPS];
            const atn_arena_mark mark = atn_arena_save(cx);
            atn_choice c;
            bool causal;

            CHECK_OK(atn_choice_read(cx, ids[m], NULL, &c));
            causal = c.method->sides & ATN_CAUSAL;
            for (int s = 0; s < STEPS; s++) {
                zoo_random(&z[s], 2, 2, n, n, seed + (uint64_t)s);
                zoo_causal(&z[s], causal);
                z[s].in.as_published = trial % 3 == 0;
                z[s].in.grid = n >= 16 ? &grid : NULL;
                at[s] = &z[s];
            }
            if (!causal) history_stack(at, in, STEPS);
            draw_params(c.params, params);
            if (!causal && n < 16 && strstr(params, "video=1"))
                strcpy(params, "video=0");
            run(cx, &z[STEPS - 1], ids[m], params);
            for (int s = 0; s < STEPS; s++) zoo_free(&z[s]);
            atn_arena_rewind(cx, mark);
        }
}

CHECK_MAIN({"any parameters", any_parameters})
