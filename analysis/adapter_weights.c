/* analysis/adapter_weights.c -- the weights of a p-adapter. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/adapter_weights.h"

#include <math.h>
#include <stdio.h>

#include "core/rng.h"

void atn_adapter_weights_release(atn_ctx *cx, atn_adapter_weights *w)
{
    float *const all[] = {w->down, w->gate, w->up, w->down_b, w->gate_b, w->up_b};

    for (size_t i = 0; i < ATN_LEN(all); i++) atn_free(cx, all[i]);
    *w = (atn_adapter_weights){0};
}

/* ---- from a file ---- */

typedef struct reading {
    const atn_st *file;
    const char *path;
    int layer;
} reading;

/* The layer's own tensor, or the one of all layers. */
static const atn_st_tensor *find(const reading *r, const char *name)
{
    const atn_st_tensor *t;
    char own[64];

    snprintf(own, sizeof own, "layers.%d.%s", r->layer, name);
    t = atn_st_find(r->file, own);
    return t ? t : atn_st_find(r->file, name);
}

/* out stays NULL where the file has none. */
static atn_status read_tensor(atn_ctx *cx, const reading *r, const char *name,
                              atn_idx rows, atn_idx cols, float **out)
{
    const atn_st_tensor *t = find(r, name);
    const int rank = cols > 0 ? 2 : 1;
    atn_status st = ATN_OK;
    bool fits;

    if (!t) return ATN_OK;
    fits = t->rank == rank && t->shape[0] == rows && (rank == 1 || t->shape[1] == cols);
    if (!fits && rank == 2)
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" has rank %d and shape [%lld, %lld], not [%lld, %lld]",
                 r->path, t->name, t->rank, (long long)(t->rank > 0 ? t->shape[0] : 1),
                 (long long)(t->rank > 1 ? t->shape[1] : 1), (long long)rows,
                 (long long)cols);
    if (!fits)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" has %lld numbers and rank %d, not [%lld]",
                 r->path, t->name, (long long)t->count, t->rank, (long long)rows);
    if (!t->loadable || t->type == ATN_I32 || t->type == ATN_I64 || t->type == ATN_U8)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is of type %s, not F32, F16, BF16 or F64",
                 r->path, t->name, t->dtype);
    if (!atn_all_finite(t->data, t->type, t->count))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" holds NaN or infinity", r->path, t->name);
    ATN_NEW(*out, t->count);
    atn_widen(t->data, t->type, t->count, *out);
done:
    return st;
}

/* r, as the first tensor has it. */
static atn_status read_rank(atn_ctx *cx, const reading *r, atn_idx wanted, atn_idx *out)
{
    static const char *const needed[] = {"down.weight", "gate.weight", "up.weight"};
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(needed); i++)
        if (!find(r, needed[i]))
            ATN_FAIL(ATN_DATA,
                     "%s: no \"%s\" for layer %d (an adapter has down.weight, "
                     "gate.weight and up.weight, perhaps behind \"layers.%d.\")",
                     r->path, needed[i], r->layer, r->layer);
    *out = find(r, needed[0])->rank == 2 ? find(r, needed[0])->shape[0] : 0;
    if (*out < 1 || (wanted > 0 && *out != wanted))
        ATN_FAIL(
            ATN_DATA,
            "%s: \"down.weight\" of layer %d has %lld rows, not %lld numbers of an "
            "adapter",
            r->path, r->layer, (long long)*out, (long long)ATN_MAX(wanted, (atn_idx)1));
done:
    return st;
}

atn_status atn_adapter_weights_read(atn_ctx *cx, const atn_st *file, const char *path,
                                    int layer, atn_idx width, atn_idx rank,
                                    atn_adapter_weights *out)
{
    const reading r = {file, path, layer};
    atn_status st = ATN_OK;

    *out = (atn_adapter_weights){.width = width};
    ATN_TRY(read_rank(cx, &r, rank, &out->rank));
    ATN_TRY(read_tensor(cx, &r, "down.weight", out->rank, width, &out->down));
    ATN_TRY(read_tensor(cx, &r, "gate.weight", out->rank, width, &out->gate));
    ATN_TRY(read_tensor(cx, &r, "up.weight", width, out->rank, &out->up));
    ATN_TRY(read_tensor(cx, &r, "down.bias", out->rank, 0, &out->down_b));
    ATN_TRY(read_tensor(cx, &r, "gate.bias", out->rank, 0, &out->gate_b));
    ATN_TRY(read_tensor(cx, &r, "up.bias", width, 0, &out->up_b));
done:
    if (st != ATN_OK) atn_adapter_weights_release(cx, out);
    return st;
}

/* ---- random ---- */

static atn_status draw(atn_ctx *cx, atn_rng r, atn_idx rows, atn_idx cols, float **out)
{
    const double scale = 1 / sqrt((double)cols);
    atn_status st = ATN_OK;
    atn_idx count;

    if (!atn_mul(rows, cols, &count))
        ATN_FAIL(ATN_MEMORY, "adapter: %lld x %lld weights are too many",
                 (long long)rows, (long long)cols);
    ATN_NEW(*out, count);
    for (atn_idx i = 0; i < count; i++) (*out)[i] = (float)(scale * atn_rng_normal(&r));
done:
    return st;
}

atn_status atn_adapter_weights_draw(atn_ctx *cx, uint64_t seed, int layer,
                                    atn_idx width, atn_idx rank,
                                    atn_adapter_weights *out)
{
    atn_status st = ATN_OK;

    *out = (atn_adapter_weights){.width = width, .rank = rank};
    ATN_TRY(draw(cx, atn_rng_stream(seed, "adapter/down", layer, 0), rank, width,
                 &out->down));
    ATN_TRY(draw(cx, atn_rng_stream(seed, "adapter/gate", layer, 0), rank, width,
                 &out->gate));
    ATN_TRY(
        draw(cx, atn_rng_stream(seed, "adapter/up", layer, 0), width, rank, &out->up));
done:
    if (st != ATN_OK) atn_adapter_weights_release(cx, out);
    return st;
}
