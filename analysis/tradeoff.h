/* analysis/tradeoff.h -- error on captured heads against predicted time on a GPU: every
 * case of approx, layers that share attention, and layers that each take another case.
 *
 * Math    the selected heads of a layer are one launch: the CTAs of all its heads
 *         (analysis/approx_tiles.h) on the SMs of the GPU (simulators/work.h), then the
 *         model of time of the kernel (simulators/model.h); what choosing costs is
 *         launches of their own. A model is the sum over its layers, its error the
 *         plain mean of theirs, a layer's the plain mean of its heads'. Against it
 *         stand all layers dense, under the same masks, in the dense kernel.
 *         operator     max(flop / reachable rate, bytes / reachable HBM) and a launch
 *         index        the same of index_flops and index_bytes, and a launch
 *         packed       heads of a group that have one static pattern, where the kernel
 *                      packs: rows of one tile, as those of dense attention
 *         gathered     scattered keys (more than two runs a query) and groups: the
 *                      tiles of their union, or 16 rows to a tile of which one counts,
 *                      whichever is faster; densities are of cells
 *         shared       EchoAtt: a leader writes the tiles of P that it visits,
 *                      followers read them in place of scores and softmax; where the
 *                      bytes take longer than computing anew, followers do that
 *         hybrid       each layer takes one case of those, or dense: least mean error
 *                      at its time, by the lower convex hulls of the layers (every
 *                      Lagrange multiplier once)
 *         whole        attention, and all other products of the model at the reachable
 *                      rate, or the bytes of their weights where those take longer;
 *                      where one side is below 0.1 ms a launch there is no ratio, of
 *                      the whole only if the rest takes nine times as much
 * Oracle  tiles by brute force over the plans; the front, and hybrids against all
 *         choices, by brute force.
 * Source  cards/simulators.md 2.1, 5, 6; arXiv 2409.14595 (sharing), 2406.14909
 *         (spans).
 * Cost    CTAs of all heads and cases, once.
 * Limits  times are predictions; of the length that was captured.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/keys.h"
#include "analysis/similarity.h"
#include "simulators/kernel.h"

typedef struct atn_tradeoff_opts {
    const atn_device *device;
    const atn_kernel *kernel; /* of what is chosen */
    const atn_kernel *dense;  /* NULL = the same */
    atn_idx batch;
    bool no_hybrids;
} atn_tradeoff_opts;

/* Tables of approx: rows of heads, and their CTAs; tiles NULL: means are made of what
 * the first table counts. */
typedef struct atn_tradeoff_input {
    const atn_table *approx, *tiles;
    const char *name; /* for messages */
} atn_tradeoff_input;

typedef struct atn_tradeoff atn_tradeoff;

/* similar: of the same layers, with copy_err; NULL = no sharing. Heads of a case that
 * come in several inputs are taken from the first that has them, and the log says so.
 * DATA: a table that is none of heads of this capture, heads without head dim, what
 * does not fit in the memory of the device. */
atn_status atn_tradeoff_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                            const atn_tradeoff_input *in, int n,
                            const atn_similarity *similar, const atn_tradeoff_opts *o,
                            atn_tradeoff **out) ATN_WARN_UNUSED;
/* What is refused before anything is read: see above. */
atn_status atn_tradeoff_check(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel,
                              const atn_tradeoff_opts *o) ATN_WARN_UNUSED;
void atn_tradeoff_destroy(atn_ctx *cx, atn_tradeoff *t);

/* "tradeoff": a row a case, of the model or (per ATN_KEYS_LAYER) of every layer. */
atn_status atn_tradeoff_table(atn_ctx *cx, const atn_tradeoff *t, atn_keys_of per,
                              atn_table **out) ATN_WARN_UNUSED;
/* "front": those that no other is better than in both, the fastest first; of equals the
 * first alone; oracles, and cases that some layer lacks, that err by 1 or more or have
 * no speed-up are none of it. Dense attention always may be. */
atn_status atn_tradeoff_front(atn_ctx *cx, const atn_tradeoff *t,
                              atn_table **out) ATN_WARN_UNUSED;

/* x takes and errs no more than y, and one of both less; errors below 1e-6 are
 * rounding. */
bool atn_tradeoff_beats(double x_time, double x_error, double y_time, double y_error);
