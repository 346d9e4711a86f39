/* analysis/approx.h -- approximations of the attention of captured heads, side by side:
 * error, retained mass, cost, look-ahead, bound, and the best possible at the same
 * cost.
 *
 * A run holds the values of every method and budget (a case) on every selected head, at
 * every temperature t: all final logits of a head times t, dense side and methods. Bias
 * and soft-cap are within them (c tanh(s/c) times t is t c tanh(t s / (t c))), and so
 * is the logit of a sink. Tables are made from them.
 *
 * Cost    dense attention of a head twice (once for itself, once for the oracle), and
 *         for every case what fitting, planning and applying take. Memory: a layer, the
 *         dense side of its selected heads, a number for each of their rows and cases,
 *         a plan.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_compare.h"
#include "analysis/approx_layer.h"
#include "analysis/keys.h"
#include "core/run.h"
#include "core/shard.h"
#include "simulators/kernel.h"

typedef struct atn_approx_opts {
    const char *methods; /* "a,b:k=64,c", "all", families */
    const char *budgets; /* "10%,k=256"; NULL = none */
    const char *draws;   /* file of random objects, or a dump; NULL = draw */
    const atn_list *grid;
    atn_idx prompt;
    atn_idx top_k;  /* keys of recall, 0 = 32 */
    atn_idx sample; /* rows that are compared; 0 = all */
    /* "temperature=0.25:8", "budget=8:128" (analysis/approx_sweep.h); NULL = none.
     * Temperatures have a budget of k=32 where none is given. */
    const char *sweep;
    bool matrix;   /* errors of the weights of masks, too; every sweep has them */
    bool unmasked; /* no query is kept from a key but by padding */
    bool as_published;
    bool timings;     /* seconds, which no two runs share */
    bool people;      /* pareto and best are read as text */
    const char *dump; /* directory; NULL = none */
    bool force;       /* an existing dump is replaced */
    bool tiles;       /* the CTAs of every plan are kept, for atn_approx_tiles */
    const atn_kernel *kernel; /* with tiles: of its tiles, too, settled; NULL = none */
    const atn_run *run;       /* for the dump; may be NULL */
    atn_shard *shard; /* the part that is done and noted, or all to put together; NULL =
                         all is done; no dump goes with it */
} atn_approx_opts;

typedef struct atn_approx atn_approx;

/* A method that was named by itself and cannot run is an error; of a family it is left
 * out and said so. A head that holds NaN or infinity is named in the log and left out.
 * USAGE, DATA, CANTCREATE. */
atn_status atn_approx_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_approx_opts *opts,
                          atn_approx **out) ATN_WARN_UNUSED;
void atn_approx_destroy(atn_ctx *cx, atn_approx *a);
atn_idx atn_approx_failed(const atn_approx *a); /* heads that were left out */

/* The table "approx": a row a case and head, or means of heads, of layers. */
atn_status atn_approx_table(atn_ctx *cx, const atn_approx *a, atn_keys_of per,
                            atn_table **out) ATN_WARN_UNUSED;
/* The table "pareto": a row a case, means over the selected heads; on_front: no other
 * case of as many heads executes and errs no more, and one of both less. Here and in
 * best, errors below 1e-6 are rounding and equal, and what keeps nothing in any row
 * counts for nothing. */
atn_status atn_approx_pareto(atn_ctx *cx, const atn_approx *a,
                             atn_table **out) ATN_WARN_UNUSED;
/* The table "best": for every head and budget the method of least error among those
 * that keep to it, and the second. */
atn_status atn_approx_best(atn_ctx *cx, const atn_approx *a,
                           atn_table **out) ATN_WARN_UNUSED;

/* The table "approx_tiles", of a run with `tiles`: a row a case and head, those of
 * "approx" in the same order. Columns ctas_BMxBN, for the tiles of all kernels, and
 * ctas_BMxBN_packed_G of those that pack groups: the CTAs of its plan
 * (analysis/approx_tiles.h), empty where the head dim has no such tile and
 * for operators. What tradeoff reads. */
atn_status atn_approx_tiles(atn_ctx *cx, const atn_approx *a,
                            atn_table **out) ATN_WARN_UNUSED;

/* What a run would take: bytes at most, which it asks for before it begins; flop of
 * dense attention and of applying the cases at their budget (at all pairs without one),
 * not those of choosing. */
typedef struct atn_approx_cost {
    double bytes, flops;
    double in_use; /* bytes beside, the capture and the run's own lists among them */
    atn_idx heads, cases;
} atn_approx_cost;
atn_status atn_approx_estimate(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel, const atn_approx_opts *opts,
                               atn_approx_cost *out) ATN_WARN_UNUSED;
