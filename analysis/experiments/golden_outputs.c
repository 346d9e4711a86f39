/* analysis/experiments/golden_outputs.c -- methods on the fixed inputs of 8 tokens,
 * against outputs that another implementation gave.
 *
 * Math    n = 8, d = dv = 4, scale 1/2, zero-based i, l:
 *             q_il = sin(.1 (i+1)(l+1)), k_il = cos(.07 (i+1)(l+2)),
 *             v_il = sin(.05 (i+2)(l+3))
 *         compared are o_00, o_31, o_73 and the Frobenius norm. Heads hold floats, so
 *         the two sides agree to 2e-5 and not to the digits of doubles.
 * Source  cards/kernel-theory.md, G8.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/experiments/method_run.h"
#include "analysis/experiments/worst.h"

extern const atn_experiment atn_experiment_golden_outputs;

enum { N = 8, D = 4 };
static const double FLOATS = 2e4; /* times 1e-9 of a check in double */

/* Rows of the table that need no random object. */
static const struct {
    const char *id, *params;
    bool causal;
    double first, middle, last, norm; /* o_00, o_31, o_73, Frobenius */
} rows[] = {
    {"topp", "p=1", false, .6358548731, .6640836118, .7938103550, 4.0211511133},
    {"topp", "p=1", true, .2955202067, .5822712292, .7938103550, 3.5731485139},
    {"linear", "", false, .6251505154, .7412891715, .7924843864, 4.2072240197},
    {"linear", "", true, .2955202067, .6116494002, .7924843864, 3.7090857030},
    {"lightning", "slope=.25", true, .2786701350, 3.7353423092, 2.6813885051,
     17.0391485186},
    {"cosformer", "m=8", false, .4806718020, .6561554434, .8460863485, 4.0259245193},
    {"cosformer", "m=8", true, .2955202067, .5969410573, .8460863485, 3.7290371137},
    {"flow", "", false, .4546854001, .5661677409, .5919985868, 3.1613634260},
    {"flow", "clamp=none", false, .4464314855, .5592565834, .5961238417, 3.1443292133},
    {"flow", "", true, .2160419489, .4542036930, .5410925965, 2.6803163399},
    {"flow", "clamp=10", true, .2160419489, .4542035419, .5410924427, 2.6803155657},
    {"combiner", "block=4,pool=max", true, .2955202067, .5822712292, .7810060785,
     3.7494546135},
    {"rat", "chunk=4,gate=.5", true, .1477601033, .6949934707, .7644059836,
     3.5799537943},
    {"titans", "eta=.5,theta=.1,alpha=.1,chunk=1", true, .0557340270, .8175789771,
     1.0826895399, 4.7729882317},
    {"titans", "eta=.5,theta=.1,alpha=.1,chunk=4", true, .0557340270, 1.4239902010,
     1.6762957385, 7.8143693880},
    {"aaren", "query=0", true, .2955202067, .6118334832, .7870938911, 3.7098891087},
    {"combiner", "form=logsparse,pool=max", true, .2955202067, .6285207685, .7526588726,
     3.7575018339},
};

typedef struct inputs {
    float q[N * D], k[N * D], v[N * D];
} inputs;

static atn_head make_head(inputs *x, bool causal)
{
    for (int i = 0; i < N; i++)
        for (int l = 0; l < D; l++) {
            x->q[i * D + l] = (float)sin(.1 * (i + 1) * (l + 1));
            x->k[i * D + l] = (float)cos(.07 * (i + 1) * (l + 2));
            x->v[i * D + l] = (float)sin(.05 * (i + 2) * (l + 3));
        }
    return (atn_head){.q = {x->q, N, D, D},
                      .k = {x->k, N, D, D},
                      .v = {x->v, N, D, D},
                      .nq = N,
                      .nk = N,
                      .scale = .5,
                      .sight = {.causal = causal, .key_last = N}};
}

static atn_status check_row(atn_ctx *cx, size_t r, atn_checks *out)
{
    char variant[ATN_CHECK_TEXT], refused[ATN_CHECK_TEXT];
    atn_status st = ATN_OK;
    double o[N * D], norm = 0;
    atn_worst worst = {0};
    atn_plan p = {0};
    atn_check c;
    inputs x;
    const atn_head h = make_head(&x, rows[r].causal);

    snprintf(variant, sizeof variant, "%s%s%s%s", rows[r].id,
             *rows[r].params ? ":" : "", rows[r].params,
             rows[r].causal ? " causal" : "");
    ATN_TRY(atn_method_try(cx, &h, rows[r].id, rows[r].params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, "golden", variant, refused));
        goto done;
    }
    ATN_TRY(atn_method_output(cx, &h, &p, o));
    for (int e = 0; e < N * D; e++) norm += o[e] * o[e];
    atn_worst_take(&worst, ATN_EQUAL, rows[r].first, o[0], FLOATS);
    atn_worst_take(&worst, ATN_EQUAL, rows[r].middle, o[3 * D + 1], FLOATS);
    atn_worst_take(&worst, ATN_EQUAL, rows[r].last, o[7 * D + 3], FLOATS);
    atn_worst_take(&worst, ATN_EQUAL, rows[r].norm, sqrt(norm), FLOATS);
    c = atn_worst_check(&worst, atn_bound_find("golden"), variant);
    snprintf(c.note, sizeof c.note, "heads hold floats: equal to 2e-5");
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_plan_release(cx, &p);
    return st;
}

static atn_status once(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    (void)t;
    for (size_t r = 0; r < ATN_LEN(rows); r++) ATN_TRY(check_row(cx, r, out));
done:
    return st;
}

const atn_experiment atn_experiment_golden_outputs = {
    .id = "golden_outputs",
    .label = "V21",
    .title = "Methods on fixed inputs",
    .text = "outputs of 8 tokens that formulas give, against those of another "
            "implementation",
    .source = "own computation",
    .sides = ATN_BOTH_WAYS,
    .once = once,
    .bounds = "golden",
};
