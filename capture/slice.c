/* capture/slice.c -- projections within tensors, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/slice.h"

#include <string.h>

static atn_slice slice_qkv(const atn_config *c, const atn_arch_names *n, int which)
{
    const char *const apart[] = {n->q, n->k, n->v};
    const atn_idx d = c->head_dim, q = c->heads * d, kv = c->kv_heads * d;
    atn_slice s = {.name = n->qkv ? n->qkv : apart[which],
                   .heads = which == 0 ? c->heads : c->kv_heads,
                   .d = d,
                   .step = d,
                   .outputs = which == 0 ? q : kv,
                   .pairs = c->arch->pairs && which < 2};

    if (c->arch->fused == ATN_FUSED_BLOCKS) {
        s.first = which == 0 ? 0 : q + (which - 1) * kv;
        s.outputs = q + 2 * kv;
    }
    if (c->arch->fused == ATN_FUSED_HEADS) {
        s.first = which * d;
        s.step = 3 * d;
        s.outputs = 3 * q;
    }
    return s;
}

atn_slice atn_slice_of(const atn_config *c, const atn_arch_names *n, atn_part part)
{
    const bool up = part == ATN_PART_UP;
    const char *apart = up ? n->up : n->gate;

    if (part <= ATN_PART_V) return slice_qkv(c, n, (int)part);
    return (atn_slice){.name = n->gate_up ? n->gate_up : apart,
                       .heads = 1,
                       .d = c->ffn,
                       .first = n->gate_up && up ? c->ffn : 0,
                       .step = c->ffn,
                       .outputs = n->gate_up ? 2 * c->ffn : c->ffn};
}

bool atn_slice_has(const atn_slice *s, atn_idx at, atn_idx *head, atn_idx *e)
{
    const atn_idx within = at - s->first;

    *head = within / s->step;
    *e = within % s->step;
    return within >= 0 && *head < s->heads && *e < s->d;
}

/* One head, output after output. */
static void copy_pairs(const atn_slice *s, const char *from, size_t row, char *to)
{
    const atn_idx half = s->d / 2;

    for (atn_idx e = 0; e < s->d; e++)
        memcpy(to + (size_t)e * row, from + (size_t)(2 * (e % half) + e / half) * row,
               row);
}

void atn_slice_copy(const atn_slice *s, const void *from, atn_dtype type,
                    atn_idx inputs, bool in_out, void *to)
{
    const atn_idx rows = in_out ? inputs : 1, unit = in_out ? 1 : inputs;
    const size_t piece = atn_dtype_bytes(type, s->d * unit);
    const char *at = from;
    char *next = to;

    for (atn_idx r = 0; r < rows; r++)
        for (atn_idx h = 0; h < s->heads; h++, next += piece) {
            const atn_idx first = r * s->outputs + s->first + h * s->step;

            const char *head = at + atn_dtype_bytes(type, first * unit);

            if (s->pairs)
                copy_pairs(s, head, atn_dtype_bytes(type, unit), next);
            else
                memcpy(next, head, piece);
        }
}
