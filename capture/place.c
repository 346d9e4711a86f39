/* capture/place.c -- the attentions of a run, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/place.h"

#include <math.h>
#include <string.h>

static atn_idx steps(const atn_input *in)
{
    return ATN_MAX(in->steps, 1);
}

int atn_model_stacks(const atn_model *m, const atn_input *in)
{
    return in->n_target > 0 ? m->config.n_stacks : 1;
}

bool atn_model_reaches_head(const atn_model *m, const atn_input *in)
{
    return m->has_head && atn_model_stacks(m, in) == m->config.n_stacks;
}

atn_idx atn_model_tokens(const atn_model *m, const atn_input *in)
{
    return m->config.patch > 0 ? m->config.max_positions : in->n;
}

atn_idx atn_model_tokens_most(const atn_model *m, const atn_input *in)
{
    const atn_idx n = atn_model_tokens(m, in);

    return atn_model_stacks(m, in) > 1 ? ATN_MAX(n, in->n_target) : n;
}

void atn_model_decoder_ids(const atn_model *m, const atn_input *in, int32_t *out)
{
    if (in->n_target < 1) return;
    out[0] = (int32_t)m->config.decoder_start;
    memcpy(out + 1, in->target, (size_t)(in->n_target - 1) * sizeof *out);
}

atn_arch_names atn_place_names(const atn_place *p)
{
    return atn_stack_names(p->of, p->cross);
}

/* Self-attention of layer l of stack s. */
static atn_place layer_place(const atn_model *m, const atn_input *in, int s, atn_idx l)
{
    const atn_config *c = &m->config;
    const atn_stack *of = &c->stacks[s];
    const atn_idx n = s > 0 ? in->n_target : atn_model_tokens(m, in);

    return (atn_place){.stack = atn_model_stacks(m, in) > 1 ? of->name : "",
                       .of = of,
                       .last = !of->names.cross_q,
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
                       .rel = of->rel,
                       .sight = {.causal = of->causal,
                                 .window = s > 0 ? 0 : c->window[l],
                                 .key_last = n,
                                 .softcap = c->attn_softcap}};
}

/* Attention of the same layer to the rows of the first stack. */
static atn_place cross_place(const atn_model *m, const atn_input *in,
                             const atn_place *self)
{
    atn_place p = *self;

    p.stack = "cross";
    p.cross = p.last = true;
    p.nk = atn_model_tokens(m, in);
    p.sight = (atn_sight){.key_last = p.nk};
    p.rel = (atn_rel_rule){0};
    return p;
}

/* The heads up to the largest power of two have a geometric sequence; the others
 * take every second member of the one for twice as many. */
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
    const int stacks = atn_model_stacks(m, in);
    const atn_stack *of = m->config.stacks;
    atn_status st = ATN_OK;
    atn_idx at = 0;

    *out = NULL;
    *n = 0;
    for (int s = 0; s < stacks; s++) *n += of[s].layers * (of[s].names.cross_q ? 2 : 1);
    if (!atn_mul(*n, steps(in), n))
        ATN_FAIL(ATN_DATA, "%lld steps are too many", (long long)steps(in));
    ATN_NEW(*out, *n);
    for (atn_idx step = 0; step < steps(in); step++)
        for (int s = 0; s < stacks; s++)
            for (atn_idx l = 0; l < of[s].layers; l++) {
                atn_place self = layer_place(m, in, s, l);

                self.step = step;
                (*out)[at++] = self;
                if (!self.last) (*out)[at++] = cross_place(m, in, &self);
            }
done:
    return st;
}

/* Of one step beside the layers' projections: patches, timestep and class. An embedder
 * that all layers share counts once. */
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

double atn_place_values(const atn_place *p, atn_idx width)
{
    const double heads = (double)p->heads, kv = (double)p->kv_heads, d = (double)p->d,
                 dv = (double)p->dv;

    return (double)p->nq * heads * d + (double)p->nk * kv * (d + dv) +
           heads * dv * (double)width +
           heads * ((double)p->rel.buckets + p->has_sink + p->has_alibi);
}

static double place_flops(const atn_config *c, const atn_place *p)
{
    const atn_head h = {.nq = p->nq, .nk = p->nk, .sight = p->sight};
    const double width = (double)c->width, q = (double)(p->heads * p->d),
                 kv = (double)(p->kv_heads * p->d), nq = (double)p->nq;
    const double dense = (c->gated ? 3 : 2) * width * (double)c->ffn,
                 experts =
                     width * (double)c->experts + (double)c->experts_per_token * dense;
    const double mlp = !p->last ? 0 : c->experts > 0 ? experts : dense;

    return 2 * (width * (2 * q * nq + 2 * kv * (double)p->nk) + mlp * nq) +
           4 * q * atn_visible_pairs(&h);
}

double atn_model_flops(const atn_model *m, const atn_input *in)
{
    const int stacks = atn_model_stacks(m, in);
    const atn_config *c = &m->config;
    const double map = 2 * (double)c->embed_width * (double)c->width;
    double flops = patch_flops(c) +
                   (atn_config_maps(c) ? map * (double)atn_model_tokens(m, in) : 0);

    for (int s = 0; s < stacks; s++)
        for (atn_idx l = 0; l < c->stacks[s].layers; l++) {
            const atn_place self = layer_place(m, in, s, l);
            const atn_place cross = cross_place(m, in, &self);

            flops += place_flops(c, &self) + (self.last ? 0 : place_flops(c, &cross));
        }
    return (double)steps(in) * flops;
}
