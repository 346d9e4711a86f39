/* capture/rope.c -- the angles of the rotary position embedding, all scalings.
 *
 * Math    f_i = theta^(-2i/dim). linear: f / factor. dynamic: theta' = theta (factor n
 *         / M - (factor - 1))^(dim/(dim-2)) once n > M. llama3: wavelengths above
 *         M0/low divided by factor, below M0/high kept, between them mixed. yarn: a
 *         ramp over the dimensions between the rotations beta_fast and beta_slow.
 *         longrope: divided by a list. proportional: f / factor for the first `turned`
 *         pairs, 0 beyond.
 * Oracle  llama3 theta 5e5, dim 64, factor 32, low 1, high 4, M0 8192: f_15 =
 *         .00129054793; yarn theta 1e6, dim 128, factor 4, M0 32768: f_24 =
 *         .00537532149.
 * Source  Hugging Face modeling_rope_utils.py; Peng et al. (YaRN), arXiv 2309.00071.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/config.h"

#include <math.h>

static const double TWO_PI = 6.283185307179586476925;

static void llama3(const atn_rope *r, double *f)
{
    for (atn_idx i = 0; i < r->dim / 2; i++) {
        const double wave = TWO_PI / f[i];
        const double mix = (r->original / wave - r->low) / (r->high - r->low);

        if (wave > r->original / r->low)
            f[i] /= r->factor;
        else if (wave >= r->original / r->high)
            f[i] = mix * f[i] + (1 - mix) * f[i] / r->factor;
    }
}

/* The dimension that makes `turns` rotations over the original positions. */
static double yarn_dimension(const atn_rope *r, double turns)
{
    return (double)r->dim * log(r->original / (TWO_PI * turns)) / (2 * log(r->theta));
}

static void yarn(const atn_rope *r, double *f)
{
    double low = yarn_dimension(r, r->beta_fast),
           high = yarn_dimension(r, r->beta_slow);

    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)r->dim - 1);
    if (low == high) high += 0.001;
    for (atn_idx i = 0; i < r->dim / 2; i++) {
        const double ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);

        f[i] = (1 - ramp) * f[i] + ramp * f[i] / r->factor;
    }
}

void atn_rope_frequencies(const atn_rope *r, double max_positions, atn_idx n, double *f)
{
    const double dim = (double)r->dim, positions = (double)n;
    const json_t *list = positions > r->original ? r->long_factor : r->short_factor;
    double theta = r->theta;

    if (r->kind == ATN_ROPE_DYNAMIC && positions > max_positions && dim > 2)
        theta *= pow(r->factor * positions / max_positions - (r->factor - 1),
                     dim / (dim - 2));
    for (atn_idx i = 0; i < r->dim / 2; i++) {
        f[i] = pow(theta, -2 * (double)i / dim);
        if (r->kind == ATN_ROPE_LINEAR) f[i] /= r->factor;
        if (r->kind == ATN_ROPE_LONGROPE)
            f[i] /= json_number_value(json_array_get(list, (size_t)i));
        if (r->kind == ATN_ROPE_PROPORTIONAL)
            f[i] = i < r->turned ? f[i] / r->factor : 0;
    }
    if (r->kind == ATN_ROPE_LLAMA3) llama3(r, f);
    if (r->kind == ATN_ROPE_YARN) yarn(r, f);
}

const atn_rope *atn_config_rope(const atn_config *c, atn_idx layer)
{
    return c->two_ropes && c->window[layer] > 0 ? &c->local_rope : &c->rope;
}

atn_status atn_rope_tables(atn_ctx *cx, const atn_rope *r, double max_positions,
                           atn_idx n, float *cosine, float *sine)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx half = r->dim / 2;
    atn_status st = ATN_OK;
    double *f = NULL;

    ATN_TAKE(f, half);
    atn_rope_frequencies(r, max_positions, n, f);
    for (atn_idx t = 0; t < n; t++)
        for (atn_idx i = 0; i < half; i++) {
            const double angle = (double)t * f[i];

            cosine[t * half + i] = (float)(cos(angle) * r->attention_factor);
            sine[t * half + i] = (float)(sin(angle) * r->attention_factor);
        }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
