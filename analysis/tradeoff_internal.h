/* analysis/tradeoff_internal.h -- a trade-off, as its files share it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_tiles.h"
#include "analysis/tradeoff.h"
#include "simulators/launch.h"

/* Means over the heads of a layer. */
enum {
    TRADE_ERROR,
    TRADE_ERROR_W_O,
    TRADE_MASS,
    TRADE_KL,
    TRADE_EXECUTED,
    TRADE_MEANS
};
/* Sums over them. */
enum {
    TRADE_FLOPS,
    TRADE_BYTES,
    TRADE_INDEX_FLOPS,
    TRADE_INDEX_BYTES,
    TRADE_TILES, /* executed, of the plan's own shape */
    TRADE_SUMS
};

typedef enum trade_source {
    TRADE_EXACT,
    TRADE_UNION,    /* of groups, as one mask */
    TRADE_GATHERED, /* of them, 16 rows to a tile of which one counts */
    TRADE_MEAN,
    TRADE_MEAN_GATHERED,
    TRADE_OPERATOR,
    TRADE_SOURCES
} trade_source;
extern const char *const atn_trade_sources[TRADE_SOURCES];

typedef struct trade_time {
    double ms, low, high, index, visited;
    double cells; /* of the visited tiles */
    atn_limit limit;
} trade_time;

/* A head of the tables. */
typedef struct trade_head {
    bool there;
    int input;                 /* that it is of */
    atn_cta_runs runs, packed; /* packed: empty = not to be had */
} trade_head;

/* How budgets were met, the worst of all heads. */
typedef enum trade_fit {
    TRADE_UNFITTED,
    TRADE_FIXED,
    TRADE_MET,
    TRADE_MOST,
    TRADE_LEAST,
    TRADE_FITS
} trade_fit;
extern const char *const atn_trade_fits[TRADE_FITS];

/* A case on a layer. */
typedef struct trade_cell {
    bool done;                                      /* all selected heads are there */
    atn_idx heads;                                  /* of the tables */
    double mean[TRADE_MEANS], counted[TRADE_MEANS]; /* sums, then means */
    double sum[TRADE_SUMS];
    atn_idx tile_rows, tile_keys;
    bool chosen; /* keys are picked for what is in them: not a static pattern */
    trade_fit fit;
    trade_source source;
    trade_head *head; /* [heads of the layer], until the times are there */
    trade_time time;
    double saved_flops, saved_bytes; /* of projections, by sharing */
    int of;                          /* hybrids: the case taken; -1 = none */
} trade_cell;

typedef enum trade_kind {
    TRADE_DENSE,
    TRADE_METHOD,
    TRADE_SHARED,
    TRADE_HYBRID
} trade_kind;

typedef struct trade_case {
    trade_kind kind;
    char *method, *family, *parameters, *budget;
    char *key;        /* what makes it the same case on other heads */
    double lo, hi;    /* of the fitted parameter; NaN = none */
    char *fitted;     /* its name */
    int input;        /* in which it was met first */
    const char *from; /* its name; borrowed, while inputs are read */
    int said, filled; /* the last input that was said to have it, too, or more of it */
    bool oracle;
    trade_cell *cell; /* [layers] */
    /* of the layers that are done */
    int layers;
    trade_cell all;
    double dense_ms, dense_cells;
    bool front;
} trade_case;

typedef struct trade_layer {
    const atn_layer_info *info;
    int place;     /* of the selection */
    atn_idx heads; /* selected */
    atn_launch launch;
    atn_idx
        pack; /* heads of a group that the kernel of what is chosen packs; 1 = not */
    const atn_kernel_tile *tile, *dense_tile;
    atn_time_model model, dense_model;
    /* Of its other products, and of those a follower saves: flop, bytes of their
     * weights; NaN = unknown. */
    double linear_flops, linear_bytes, projections, projection_bytes;
} trade_layer;

struct atn_tradeoff {
    const atn_capture *capture;
    const atn_selection *selection;
    atn_tradeoff_opts opts;
    /* Shallow copies for the GPU, which own nothing. Of what is chosen no groups are
     * packed (sparse), as heads of a group choose each for itself, but where all of
     * them have the same static pattern (packed). */
    atn_kernel sparse, packed, dense;
    trade_layer *layer; /* [layers] */
    int layers;
    trade_case *at; /* [n]; the first is dense */
    int n, room;
    double linear_flops, linear_bytes; /* NaN = unknown */
};

/* tradeoff.c: a new case with cells for all layers; texts are copied, NULL = "". */
typedef struct trade_words {
    const char *method, *family, *parameters, *budget;
} trade_words;
atn_status atn_trade_add(atn_ctx *cx, atn_tradeoff *t, trade_kind kind,
                         const trade_words *w, trade_case **out) ATN_WARN_UNUSED;

/* tradeoff_read.c: the cases of one input. */
atn_status atn_trade_read(atn_ctx *cx, atn_tradeoff *t, const atn_tradeoff_input *in,
                          int input) ATN_WARN_UNUSED;

/* tradeoff_time.c: the launch of a layer, dense or of a cell. */
atn_status atn_trade_dense_time(atn_ctx *cx, const atn_tradeoff *t,
                                const trade_layer *l, trade_time *out) ATN_WARN_UNUSED;
atn_status atn_trade_cell_time(atn_ctx *cx, const atn_tradeoff *t, const trade_layer *l,
                               trade_cell *cell) ATN_WARN_UNUSED;
/* Sums of times of `layers` layers are mostly those of starting, on one of the
 * sides. */
bool atn_trade_starts(const trade_time *x, double dense_ms, int layers);
/* The case may be on the front. */
bool atn_trade_may_lead(const atn_tradeoff *t, const trade_case *c);
/* us of products and bytes, and a launch. */
trade_time atn_trade_pass(const atn_tradeoff *t, double flops, double bytes);

/* tradeoff_share.c: plans of sharing. tradeoff_mix.c: hybrids. */
atn_status atn_trade_share(atn_ctx *cx, atn_tradeoff *t,
                           const atn_similarity *s) ATN_WARN_UNUSED;
atn_status atn_trade_mix(atn_ctx *cx, atn_tradeoff *t) ATN_WARN_UNUSED;
