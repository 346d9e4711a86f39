/* analysis/measures/horizon.c -- how far back weight gets through the layers so far.
 *
 * Math    model: the recurrence of graph/horizon.h over the layers, each with its own
 *         window and residual. Measured: the shares of the last token's rollout
 *         (analysis/attribution.h, the same residual) by distance. Closed: W ln
 *         eps / ln (1 - a) of this layer. Both after this layer; reachable: sum of
 *         (W - 1), how far weight could get.
 * Oracle  one layer of weights on the previous token, a = .5: half at distance 1.
 * Source  card B17.
 * Cost    one walk over the rows of all heads; one more for a measured residual.
 * Limits  a layer without window has no model, nor have those above, unless `window` is
 *         given. The same number stands for every head of a layer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/attribution.h"
#include "graph/horizon.h"

extern const atn_measure atn_measure_horizon;

enum { MOST = 1 << 24 /* length of the model's distribution */ };

typedef struct horizon_params {
    atn_attribution_opts o;
    int64_t window;
    double eps;
} horizon_params;

static const atn_param params[] = {
    ATN_ATTRIBUTION_PARAMS(horizon_params),
    ATN_PARAM_I64(horizon_params, window, 0, 0, 1 << 24,
                  "window of every layer, 0 = the layer's own"),
    ATN_PARAM_F64(horizon_params, eps, 0.01, 1e-12, 0.5,
                  "weight that may lie beyond the horizon"),
    ATN_PARAM_END,
};

enum { COLS = 13 };
static const atn_measure_col cols[COLS + 1] = {
    {"horizon_window_tokens", "tokens", ">= 1", "window of the layer", NULL},
    {"horizon_residual", "", "[0, 1]", "weight of the residual in the layer", NULL},
    {"horizon_mean_tokens", "tokens", ">= 0", "mean distance, by the model", NULL},
    {"horizon_sigma_tokens", "tokens", ">= 0", "its standard deviation", NULL},
    {"horizon_reach_tokens", "tokens", ">= 0",
     "distance within which all but eps of the weight lies", NULL},
    {"horizon_beyond", "", "[0, 1]", "weight at a window's distance or more", NULL},
    {"horizon_closed_tokens", "tokens", ">= 0",
     "the closed form W ln eps / ln(1 - residual)", NULL},
    {"horizon_reachable_tokens", "tokens", ">= 0", "distance that can be reached",
     NULL},
    {"horizon_measured_mean_tokens", "tokens", ">= 0",
     "mean distance, by the token's rollout", NULL},
    {"horizon_measured_sigma_tokens", "tokens", ">= 0", "its standard deviation", NULL},
    {"horizon_measured_reach_tokens", "tokens", ">= 0",
     "distance within which all but eps of the weight lies", NULL},
    {"horizon_measured_beyond", "", "[0, 1]", "weight at a window's distance or more",
     NULL},
    {"horizon_measured_closed_mass", "", "[0, 1]",
     "weight within the distance of the closed form", NULL},
    ATN_MEASURE_COLS_END,
};

/* The model's distribution as it grows through the layers of a part. */
typedef struct stack {
    double *p, *q;
    atn_idx n, room;
    double reachable;
    bool known;
} stack;

static atn_idx window_of(const horizon_params *p, const atn_layer_info *l)
{
    return p->window > 0 ? (atn_idx)p->window : l->sight.window;
}

/* Arena memory for the longest that the part needs. */
static atn_status start(atn_ctx *cx, const atn_model_facts *m, int first, int end,
                        const horizon_params *p, stack *s)
{
    atn_status st = ATN_OK;
    double room = 1;

    *s = (stack){.n = 1, .known = true};
    for (int i = first; i < end; i++) {
        const atn_idx window = window_of(p, atn_model_layer(m, i));
        room += (double)ATN_MAX(window - 1, 0);
    }
    s->room = (atn_idx)ATN_MIN(room, (double)MOST);
    ATN_TRY(atn_mem_check(cx, 16.0 * (double)s->room, "horizon"));
    ATN_TAKE(s->p, s->room);
    ATN_TAKE(s->q, s->room);
    memset(s->p, 0, (size_t)s->room * sizeof *s->p);
    s->p[0] = 1;
done:
    return st;
}

static void put_model(stack *s, atn_idx window, double rho, double eps, double *out)
{
    atn_horizon_facts f;

    out[1] = rho;
    s->known &= window > 0;
    if (window == 0) return;
    out[0] = (double)window;
    out[6] = atn_horizon_closed((double)window, rho, eps);
    if (!s->known) return;
    s->reachable += (double)(window - 1);
    s->n = ATN_MIN(s->n + window - 1, s->room);
    atn_horizon_step(s->p, s->q, s->n, window, rho);
    f = atn_horizon_of(s->p, s->n, window, eps);
    out[2] = f.mean;
    out[3] = f.deviation;
    out[4] = f.reach;
    out[5] = f.beyond;
    out[7] = s->reachable;
}

/* The weights of the rollout by distance back from the token; later tokens count as
 * near as earlier ones. */
static atn_status put_measured(atn_ctx *cx, const atn_attribution *a, int layer,
                               atn_idx window, double eps, double *out)
{
    const double *w = a->w + layer * a->n;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_horizon_facts f;
    double *p = NULL, within = 0;

    ATN_TAKE(p, a->n);
    memset(p, 0, (size_t)a->n * sizeof *p);
    for (atn_idx j = 0; j < a->n; j++)
        p[j <= a->token ? a->token - j : j - a->token] += w[j];
    f = atn_horizon_of(p, a->n, window, eps);
    out[8] = f.mean;
    out[9] = f.deviation;
    out[10] = f.reach;
    out[11] = f.beyond;
    for (atn_idx d = 0; d < a->n && (double)d <= out[6]; d++) within += p[d];
    if (!isnan(out[6])) out[12] = ATN_MIN(within, 1.0);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status one_part(atn_ctx *cx, const atn_model_facts *m, int first, int end,
                           const horizon_params *p, double **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_attribution a = {0};
    stack s;

    ATN_TRY(atn_attribution_rollout(cx, m, first, end, &p->o, &a));
    ATN_TRY(start(cx, m, first, end, p, &s));
    for (int i = first; i < end; i++) {
        const atn_idx heads = atn_selection_heads(m->selection, i);
        const atn_idx window = window_of(p, atn_model_layer(m, i));

        if (a.layers > 0) {
            put_model(&s, window, a.rho[i - first], p->eps, *out);
            ATN_TRY(put_measured(cx, &a, i - first, window, p->eps, *out));
        }
        for (atn_idx h = 1; h < heads; h++)
            memcpy(*out + h * COLS, *out, COLS * sizeof **out);
        *out += heads * COLS;
    }
done:
    atn_attribution_release(cx, &a);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status model(atn_ctx *cx, const atn_model_facts *m, const void *params_,
                        double *out)
{
    atn_status st = ATN_OK;

    for (int first = 0, end; first < m->selection->n; first = end) {
        end = atn_selection_part(m->capture, m->selection, first);
        ATN_TRY(one_part(cx, m, first, end, params_, &out));
    }
done:
    return st;
}

const atn_measure atn_measure_horizon = {
    .id = "horizon",
    .title = "Effective horizon",
    .source = "how far weight gets through stacked windows, own check of a 2025 note",
    .named = true,
    .passes = 2,
    .params = params,
    .params_size = sizeof(horizon_params),
    .cols = cols,
    .model = model,
};
