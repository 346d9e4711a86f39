/* analysis/approx_layer.c -- a captured layer as methods see it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_layer.h"

#include <string.h>

#include "core/plan.h"

/* W_O, unless it holds no numbers, which is said. */
static atn_status load_w_o(atn_ctx *cx, const atn_capture *c, int at,
                           atn_approx_layer *l)
{
    const atn_problem *p = &l->step[l->at].problem;
    atn_idx shape[ATN_ST_MAX_RANK], count = 0;
    atn_status st = ATN_OK;
    float *w_o = NULL;
    int rank = 0;

    if (!p->v) return ATN_OK;
    ATN_TRY(atn_capture_tensor(cx, c, at, "w_o", &w_o, &rank, shape));
    if (!w_o) return ATN_OK;
    if (rank != 2 || shape[0] != p->heads * p->dv ||
        !atn_mul(shape[0], shape[1], &count))
        ATN_FAIL(ATN_DATA, "layer %d: \"w_o\" is not of rank 2 with %lld rows",
                 p->layer, (long long)(p->heads * p->dv));
    if (!atn_all_finite(w_o, ATN_F32, count)) {
        atn_log(cx, ATN_LOG_WARN,
                "layer %d: w_o holds NaN or infinity; errors behind it stay empty",
                p->layer);
        goto done;
    }
    l->w_o = w_o;
    l->width = shape[1];
    w_o = NULL;
done:
    atn_free(cx, w_o);
    return st;
}

/* ---- a step ---- */

bool atn_approx_reads_steps(const atn_approx_source *s)
{
    return s->reads & (ATN_READS_STEPS | ATN_READS_PAST);
}

bool atn_approx_same_layer(const atn_layer_info *a, const atn_layer_info *b)
{
    return a->layer == b->layer && strcmp(a->stack, b->stack) == 0;
}

/* What is asked for takes queries and keys. */
static atn_status check_step(atn_ctx *cx, const atn_approx_source *s,
                             const atn_layer_info *l)
{
    atn_status st = ATN_OK;

    if (l->has_qk) return ATN_OK;
    if (s->unmasked && (l->sight.causal || l->sight.window > 0))
        ATN_FAIL(ATN_DATA,
                 "--unmasked: %s has attention matrices alone, with the mask in "
                 "them (capture the model, or import --q and --k)",
                 atn_layer_name(l).text);
    if (s->warms)
        ATN_FAIL(ATN_DATA,
                 "--sweep temperature: %s has attention matrices alone, and no "
                 "logits to multiply (capture the model, or import --q and --k)",
                 atn_layer_name(l).text);
done:
    return st;
}

static void unmask(const atn_approx_source *s, atn_sight *sight)
{
    if (!s->unmasked) return;
    sight->causal = false;
    sight->window = 0;
}

/* Biases by relative position that a head has. */
static atn_idx bias_width(const atn_problem *p)
{
    return p->nq + p->nk - 1;
}

/* The heads of the step with logits times t. */
static void set_heads(atn_approx_step *step, double t)
{
    const atn_idx biases = step->problem.heads * bias_width(&step->problem);

    for (atn_idx e = 0; step->bias && e < biases; e++)
        step->bias[e] = (float)((double)step->problem.rel_bias[e] * t);
    for (atn_idx h = 0; h < step->problem.heads; h++) {
        const atn_head whole = atn_problem_head(&step->problem, h);
        atn_head *head = &step->head[h];

        *head = atn_head_trim(&whole, &step->first_row);
        head->scale *= t;
        head->alibi_slope *= t;
        if (step->bias) head->rel_bias = step->bias + h * bias_width(&step->problem);
        head->sight.softcap *= t;
        head->sink *= t;
    }
    step->first_key = ATN_MAX(step->problem.sight.key_first, 0);
}

void atn_approx_layer_warm(atn_approx_layer *l, double t)
{
    for (int i = 0; i <= l->at; i++) set_heads(&l->step[i], t);
}

static atn_status load_step(atn_ctx *cx, const atn_approx_source *s, int at,
                            atn_approx_step *out)
{
    const atn_idx heads = atn_capture_layer(s->capture, at)->heads;
    atn_status st = ATN_OK;

    ATN_NEW(out->bad, heads);
    ATN_NEW(out->head, heads);
    ATN_TRY(check_step(cx, s, atn_capture_layer(s->capture, at)));
    ATN_TRY(atn_capture_load_heads(cx, s->capture, at, &out->problem, out->bad));
    unmask(s, &out->problem.sight);
    if (s->warms && out->problem.rel_bias)
        ATN_NEW(out->bias, heads * bias_width(&out->problem));
    set_heads(out, 1);
done:
    return st;
}

/* The same without what is read: heads of these shapes, and where there are values or
 * weights, no numbers behind them. */
static atn_status shape_step(atn_ctx *cx, const atn_approx_source *s, int at,
                             atn_approx_step *out)
{
    static const float some = 0;
    const atn_layer_info *l = atn_capture_layer(s->capture, at);
    atn_status st = ATN_OK;

    out->problem = (atn_problem){.layer = l->layer,
                                 .heads = l->heads,
                                 .kv_heads = l->kv_heads,
                                 .nq = l->nq,
                                 .nk = l->nk,
                                 .d = l->d,
                                 .dv = l->dv,
                                 .scale = l->scale,
                                 .sight = l->sight};
    ATN_TRY(check_step(cx, s, l));
    unmask(s, &out->problem.sight);
    ATN_NEW(out->head, l->heads);
    set_heads(out, 1);
    for (atn_idx h = 0; h < l->heads; h++) {
        if (l->has_v) out->head[h].v.data = &some;
        if (!l->has_qk) out->head[h].p.data = &some;
    }
done:
    return st;
}

static void release_step(atn_ctx *cx, atn_approx_step *s)
{
    atn_capture_unload(cx, &s->problem);
    atn_free(cx, s->head);
    atn_free(cx, s->bias);
    atn_free(cx, s->bad);
}

/* Index of the next step of the same layer after i, -1 to begin with; -1 = none. */
static int next_step(const atn_approx_source *s, int at, int i)
{
    const atn_layer_info *l = atn_capture_layer(s->capture, at);

    if (!atn_approx_reads_steps(s)) return i < 0 ? at : -1;
    for (i++; i < atn_capture_layers(s->capture); i++)
        if (atn_approx_same_layer(atn_capture_layer(s->capture, i), l)) return i;
    return -1;
}

static bool grid_fits(const atn_list *g, atn_idx first, const atn_head *h)
{
    const atn_idx room = h->nk - first;
    atn_idx tokens = 1;

    for (int a = 0; a < g->n; a++)
        if (g->at[a] < 1 || !atn_mul(tokens, g->at[a], &tokens) || tokens > room)
            return false;
    return g->n <= 3;
}

static atn_status set_input(atn_ctx *cx, const atn_approx_source *s,
                            atn_approx_layer *l, int i)
{
    const atn_layer_info *info = atn_capture_layer(s->capture, l->first);
    const atn_approx_step *step = &l->step[i];
    const atn_problem *p = &step->problem;
    const atn_idx prompt = s->prompt > 0 ? s->prompt : atn_capture_prompt(s->capture);
    const atn_list *grid = s->grid ? s->grid : atn_capture_grid(s->capture);
    const uint8_t *role = atn_capture_roles(s->capture);
    const atn_idx capture_first =
        s->grid || !grid ? 0 : atn_capture_grid_first(s->capture);
    const atn_idx grid_first = ATN_MAX(capture_first - step->first_key, (atn_idx)0);
    atn_status st = ATN_OK;

    if (s->prompt > p->nk)
        ATN_FAIL(
            ATN_USAGE,
            "--prompt %lld is beyond the %lld keys of layer %d (give the tokens of "
            "the prompt, or leave it out)",
            (long long)s->prompt, (long long)p->nk, p->layer);
    if (grid) l->grid = *grid;
    /* that of the capture may be of another stack */
    if (!s->grid && !grid_fits(&l->grid, grid_first, &step->head[0])) l->grid.n = 0;
    if (l->grid.n > 0 && !grid_fits(&l->grid, grid_first, &step->head[0]))
        ATN_FAIL(ATN_USAGE,
                 "--grid has more places than layer %d has keys, %lld, or more than 3 "
                 "axes (give a smaller one)",
                 p->layer, (long long)step->head[0].nk);
    l->in[i] = (atn_input){.head = step->head,
                           .heads = p->heads,
                           .group = p->heads / ATN_MAX(p->kv_heads, 1),
                           .prompt = ATN_MAX(prompt - step->first_key, 0),
                           .grid = l->grid.n > 0 ? &l->grid : NULL,
                           .grid_first = l->grid.n > 0 ? grid_first : 0,
                           .role = role ? role + step->first_key : NULL,
                           .step = l->steps > 1 ? l->in : NULL,
                           .steps = l->steps > 1 ? l->steps : 0,
                           .at = i,
                           .turn = info->rotary > 0 ? info->turn : NULL,
                           .rotary = info->rotary,
                           .layers = (int)atn_capture_model(s->capture)->layers,
                           .seed = s->seed,
                           .as_published = s->as_published,
                           .unmasked = s->unmasked};
done:
    return st;
}

/* Room for all steps of the layer, unless it is there. */
static atn_status open_layer(atn_ctx *cx, const atn_approx_source *s, int at,
                             atn_approx_layer *l)
{
    const int first = next_step(s, at, -1);
    atn_status st = ATN_OK;

    if (l->step && l->first == first) return ATN_OK;
    atn_approx_layer_release(cx, l);
    l->first = first;
    for (int i = first; i >= 0; i = next_step(s, at, i)) l->steps++;
    ATN_NEW(l->step, l->steps);
    ATN_NEW(l->in, l->steps);
done:
    return st;
}

typedef atn_status make_step(atn_ctx *cx, const atn_approx_source *s, int at,
                             atn_approx_step *out);

/* The steps up to this one, and their inputs. */
static atn_status make_steps(atn_ctx *cx, const atn_approx_source *s, int at,
                             make_step *make, atn_approx_layer *l)
{
    const atn_idx heads = atn_capture_layer(s->capture, at)->heads;
    atn_status st = ATN_OK;
    int n = 0;

    ATN_TRY(open_layer(cx, s, at, l));
    for (int i = l->first; i >= 0 && i <= at; i = next_step(s, at, i)) {
        if (atn_capture_layer(s->capture, i)->heads != heads)
            ATN_FAIL(ATN_DATA, "%s has other heads in step %d",
                     atn_layer_name(atn_capture_layer(s->capture, i)).text,
                     atn_capture_layer(s->capture, i)->step);
        l->at = n++;
        if (n <= l->loaded) continue;
        l->loaded = n;
        ATN_TRY(make(cx, s, i, &l->step[l->at]));
    }
    for (int i = 0; i < n; i++) ATN_TRY(set_input(cx, s, l, i));
done:
    return st;
}

atn_status atn_approx_layer_load(atn_ctx *cx, const atn_approx_source *s, int at,
                                 atn_approx_layer *l)
{
    const atn_idx heads = atn_capture_layer(s->capture, at)->heads;
    atn_status st = ATN_OK;

    ATN_TRY(make_steps(cx, s, at, load_step, l));
    atn_free(cx, l->bad);
    l->bad = NULL;
    ATN_NEW(l->bad, heads);
    for (int i = 0; i <= l->at; i++)
        for (atn_idx h = 0; h < heads; h++) l->bad[h] |= l->step[i].bad[h];
    atn_free(cx, l->w_o);
    l->w_o = NULL;
    ATN_TRY(load_w_o(cx, s->capture, at, l));
done:
    return st;
}

atn_status atn_approx_layer_shape(atn_ctx *cx, const atn_approx_source *s, int at,
                                  atn_approx_layer *l)
{
    return make_steps(cx, s, at, shape_step, l);
}

void atn_approx_layer_release(atn_ctx *cx, atn_approx_layer *l)
{
    for (int i = 0; i < l->loaded; i++) release_step(cx, &l->step[i]);
    atn_free(cx, l->step);
    atn_free(cx, l->in);
    atn_free(cx, l->bad);
    atn_free(cx, l->w_o);
    *l = (atn_approx_layer){0};
}

const atn_input *atn_approx_layer_input(atn_approx_layer *l, atn_draws *draws)
{
    for (int i = 0; i <= l->at; i++) l->in[i].draws = draws;
    return &l->in[l->at];
}

static double step_bytes(const atn_layer_info *l)
{
    const double heads = (double)l->heads, kv = (double)l->kv_heads;
    const double nq = (double)l->nq, nk = (double)l->nk;
    double numbers = 0;

    if (l->has_qk) numbers += (heads * nq + kv * nk) * (double)l->d;
    if (l->has_v) numbers += kv * nk * (double)l->dv;
    if (l->has_p) numbers += heads * nq * nk;
    if (l->rel.buckets > 0) numbers += 2 * heads * (nq + nk);
    return numbers * sizeof(float);
}

double atn_approx_layer_bytes(const atn_approx_source *s, int at)
{
    const atn_layer_info *l = atn_capture_layer(s->capture, at);
    const double width = (double)atn_capture_model(s->capture)->width;
    double bytes = 0;

    for (int i = next_step(s, at, -1); i >= 0 && i <= at; i = next_step(s, at, i))
        bytes += step_bytes(atn_capture_layer(s->capture, i));
    if (l->has_w_o) bytes += (double)l->heads * (double)l->dv * width * sizeof(float);
    return bytes;
}
