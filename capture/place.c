/* capture/place.c -- the attentions of a run, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/place.h"

#include <math.h>
#include <string.h>

atn_idx atn_model_tokens(const atn_model *m, const atn_input *in)
{
    return m->config.patch > 0 ? m->config.max_positions : in->n;
}

static atn_idx steps(const atn_input *in)
{
    return ATN_MAX(in->steps, 1);
}

static atn_place layer_place(const atn_model *m, const atn_input *in, atn_idx step,
                             atn_idx l)
{
    const atn_config *c = &m->config;
    const atn_idx n = atn_model_tokens(m, in);

    return (atn_place){
        .stack = "",
        .layer = l,
        .step = step,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .d = c->head_dim,
        .dv = c->head_dim,
        .nq = n,
        .nk = n,
        .scale = c->scale / (c->scale_by_layer ? (double)(l + 1) : 1),
        .has_alibi = c->arch->alibi,
        .sight = {.causal = c->arch->causal, .window = c->window[l], .key_last = n}};
}

/* The heads up to the largest power of two have a geometric sequence; the others take every
 * second member of the one for twice as many. */
double atn_alibi_slope(atn_idx h, atn_idx heads)
{
    double power = 1;

    while (2 * power <= (double)heads) power *= 2;
    return (double)h < power ? pow(2, -8 * ((double)h + 1) / power)
                             : pow(2, -4 * (2 * ((double)h - power) + 1) / power);
}

atn_status atn_model_places(atn_ctx *cx, const atn_model *m, const atn_input *in,
                            atn_place **out, atn_idx *n)
{
    const atn_idx layers = m->config.layers;
    atn_status st = ATN_OK;

    *out = NULL;
    *n = 0;
    if (!atn_mul(layers, steps(in), n))
        ATN_FAIL(ATN_DATA, "%lld layers at %lld steps are too many", (long long)layers,
                 (long long)steps(in));
    ATN_NEW(*out, *n);
    for (atn_idx i = 0; i < *n; i++)
        (*out)[i] = layer_place(m, in, i / layers, i % layers);
done:
    return st;
}

/* Of one step beside the layers' projections: patches, timestep and class. An embedder that all
 * layers share counts once. */
static double patch_flops(const atn_config *c)
{
    const atn_arch_names *n = &c->arch->names;
    const double width = (double)c->width, layers = (double)c->layers,
                 patches = (double)(c->max_positions - c->specials),
                 values = (double)(c->channels * c->patch * c->patch);
    const bool own = n->time_in && strstr(n->time_in, "%d") != NULL;
    double flops = 0;

    if (c->patch > 0) flops = 2 * patches * values * width;
    if (n->time_in)
        flops += 2 * (own ? layers : 1) * width * (ATN_TIME_FEATURES + width);
    if (n->modulation) flops += 2 * layers * 6 * width * width;
    return flops;
}

double atn_model_flops(const atn_model *m, const atn_input *in)
{
    const atn_config *c = &m->config;
    const double tokens = (double)atn_model_tokens(m, in), width = (double)c->width;
    const double q = (double)(c->heads * c->head_dim),
                 kv = (double)(c->kv_heads * c->head_dim);
    const double linear =
        width * (2 * q + 2 * kv) + (c->gated ? 3 : 2) * width * (double)c->ffn;
    double flops =
        patch_flops(c) +
        (atn_config_maps(c) ? 2 * tokens * (double)c->embed_width * width : 0);

    for (atn_idx l = 0; l < c->layers; l++) {
        const atn_place at = layer_place(m, in, 0, l);
        const atn_head h = {.nq = at.nq, .nk = at.nk, .sight = at.sight};

        flops += 2 * linear * tokens + 4 * q * atn_visible_pairs(&h);
    }
    return (double)steps(in) * flops;
}
