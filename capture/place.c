/* capture/place.c -- the attentions of a run, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/place.h"

#include <math.h>

atn_idx atn_model_tokens(const atn_model *m, const atn_input *in)
{
    (void)m;
    return in->n;
}

static atn_place layer_place(const atn_model *m, const atn_input *in, atn_idx l)
{
    const atn_config *c = &m->config;
    const atn_idx n = atn_model_tokens(m, in);

    return (atn_place){.stack = "",
                       .layer = l,
                       .heads = c->heads,
                       .kv_heads = c->kv_heads,
                       .d = c->head_dim,
                       .dv = c->head_dim,
                       .nq = n,
                       .nk = n,
                       .scale = c->scale / (c->scale_by_layer ? (double)(l + 1) : 1),
                       .has_alibi = c->arch->alibi,
                       .has_sink = c->arch->names.sinks != NULL,
                       .sight = {.causal = c->arch->causal,
                                 .window = c->window[l],
                                 .key_last = n,
                                 .softcap = c->attn_softcap}};
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
    atn_status st = ATN_OK;

    *out = NULL;
    *n = m->config.layers;
    ATN_NEW(*out, *n);
    for (atn_idx l = 0; l < *n; l++) (*out)[l] = layer_place(m, in, l);
done:
    return st;
}

double atn_model_flops(const atn_model *m, const atn_input *in)
{
    const atn_config *c = &m->config;
    const double tokens = (double)atn_model_tokens(m, in), width = (double)c->width;
    const double q = (double)(c->heads * c->head_dim),
                 kv = (double)(c->kv_heads * c->head_dim);
    const double mlp = (c->gated ? 3 : 2) * width * (double)c->ffn;
    const double experts =
        width * (double)c->experts + (double)c->experts_per_token * mlp;
    const double linear =
        width * (2 * q + 2 * kv) + (c->arch->names.router ? experts : mlp);
    double flops = atn_config_maps(c) ? 2 * tokens * (double)c->embed_width * width : 0;

    for (atn_idx l = 0; l < c->layers; l++) {
        const atn_place at = layer_place(m, in, l);
        const atn_head h = {.nq = at.nq, .nk = at.nk, .sight = at.sight};

        flops += 2 * linear * tokens + 4 * q * atn_visible_pairs(&h);
    }
    return flops;
}
