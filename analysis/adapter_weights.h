/* analysis/adapter_weights.h -- the weights of a p-adapter: given in a file, or random.
 *
 * Layout  down.weight [r, D], gate.weight [r, D], up.weight [D, r], each with an
 *         optional .bias; y = W x + b. A layer has its own where the names begin with
 *         "layers.<layer>.". F32, F16, BF16 or F64.
 * Math    random ones are normal, of deviation 1 / sqrt(inputs), without biases, drawn
 *         from the seed and the layer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/safetensors.h"

typedef struct atn_adapter_weights {
    atn_idx width, rank;           /* D, r */
    float *down, *gate, *up;       /* [r, D], [r, D], [D, r] */
    float *down_b, *gate_b, *up_b; /* [r], [r], [D]; NULL = none */
} atn_adapter_weights;

/* Those of `layer` from the file, for states of `width` numbers; rank 0 = that of the
 * file. DATA: the file, tensor, shape found and wanted. */
atn_status atn_adapter_weights_read(atn_ctx *cx, const atn_st *file, const char *path,
                                    int layer, atn_idx width, atn_idx rank,
                                    atn_adapter_weights *out) ATN_WARN_UNUSED;
atn_status atn_adapter_weights_draw(atn_ctx *cx, uint64_t seed, int layer,
                                    atn_idx width, atn_idx rank,
                                    atn_adapter_weights *out) ATN_WARN_UNUSED;
void atn_adapter_weights_release(atn_ctx *cx, atn_adapter_weights *w);
