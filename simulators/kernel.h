/* simulators/kernel.h -- an attention kernel described: its tiles, the order of its
 * CTAs, what it does to a mask, and coefficients fitted to measurements of it.
 *
 * A kernel is one file kernels/<id>.json, embedded at build; `attnscope calibrate -o`
 * writes one, and a user's own has the same form (docs/guide/kernel-files.md).
 *
 * Source  cards/simulators.md, sections 1.4, 2.1, 6.2, 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/param.h"
#include "simulators/device.h"

typedef enum atn_pass {
    ATN_PASS_FORWARD,
    ATN_PASS_BACKWARD,
    ATN_PASS_DECODE, /* one query a sequence */
    ATN_PASSES
} atn_pass;
extern const char *const atn_pass_names[ATN_PASSES];

/* Which visited tiles pay for a mask. */
typedef enum atn_mask_policy {
    ATN_MASK_SKIP,    /* none: the kernel computes whole tiles, skips empty ones */
    ATN_MASK_PARTIAL, /* those with a pair that is masked */
    ATN_MASK_ALL,     /* all of them, unless no visited tile has such a pair */
} atn_mask_policy;
extern const char *const atn_mask_policy_names[3];

typedef enum atn_cta_order {
    ATN_ORDER_FIRST,   /* Q tiles from the first on */
    ATN_ORDER_LAST,    /* the last one first: the longest of a causal mask */
    ATN_ORDER_LONGEST, /* by decreasing cost, stable */
} atn_cta_order;
extern const char *const atn_cta_order_names[3];

typedef enum atn_split_rule {
    ATN_SPLIT_NONE,
    ATN_SPLIT_FA2,    /* CTAs against 2 SMs */
    ATN_SPLIT_FA3,    /* fixed lengths */
    ATN_SPLIT_VARLEN, /* FA3, variable lengths: an upper bound, then its own */
    ATN_SPLIT_FILL,   /* decode: as many as fill the SMs */
} atn_split_rule;
extern const char *const atn_split_rule_names[5];

/* What a mask must be for the kernel to take it. */
enum {
    ATN_TAKES_FULL = 1,
    ATN_TAKES_CAUSAL = 2,
    ATN_TAKES_WINDOW = 4,
    ATN_TAKES_GRID = 8,    /* neighbourhoods on a grid */
    ATN_TAKES_BLOCKS = 16, /* any choice of blocks that its tiles divide */
    ATN_TAKES_ANY = 32,
};
extern const char *const atn_takes_names[6]; /* by bit */

typedef struct atn_kernel_tile {
    char architecture[ATN_DEVICE_ID]; /* it is used on; "" = all (see settle) */
    int head_dim;   /* serves head dims up to this one, above the next smaller row */
    atn_pass pass;  /* BACKWARD: k is stationary. DECODE, where there is none: that of
                       FORWARD */
    unsigned takes; /* ATN_TAKES_FULL, _CAUSAL, _WINDOW, .. that it is for */
    atn_list q, k;  /* of one rank, 1 to 3; a grid of rank r takes those of rank r */
    bool usual;     /* the first choice of its kind */
    double overlap; /* of the row; NaN = the kernel's */
    /* A row of rank 1 that stands for all boxes of powers of two of its sizes, of every
     * rank: those come after it, made by the reader. */
    bool factorised, made;
} atn_kernel_tile;

/* Terms of the models of card 6.3; times in us. */
typedef enum atn_term {
    ATN_TERM_T0,
    ATN_TERM_CTA,
    ATN_TERM_TILE,
    ATN_TERM_MASK,
    ATN_TERM_GQA,
    ATN_TERM_QO,
    ATN_TERM_SPLIT,
    ATN_TERM_PART,
    ATN_TERM_L2,
    ATN_TERM_KV, /* six nodes: cost of writing K and V, ns a token */
    ATN_TERM_CTA_MHA = ATN_TERM_KV + 6, /* this and the next of decode alone */
    ATN_TERM_WINDOW,
    ATN_TERM_BYTE, /* us a MB */
    ATN_TERM_SEQ,
    ATN_TERM_KV_TOKEN,
    ATN_TERMS
} atn_term;
extern const char *const atn_term_names[ATN_TERMS];
extern const double atn_kv_nodes[6]; /* kv heads * head dim: 64 .. 8192 */

typedef enum atn_time_kind {
    ATN_MODEL_FOUR,    /* t0, cta, tile, mask (card 6.3, baseline) */
    ATN_MODEL_FULL,    /* the recommended one */
    ATN_MODEL_MACHINE, /* of the data sheet, not fitted: machine.h */
} atn_time_kind;
extern const char *const atn_time_kind_names[];

typedef struct atn_time_fit {
    atn_time_kind model;
    char gpu[ATN_DEVICE_ID];          /* a device's id */
    char architecture[ATN_DEVICE_ID]; /* of that device; "" = unknown */
    int head_dim;
    atn_pass pass;
    double c[ATN_TERMS];
    double slow, theta_ms; /* a and theta of the clock */
    double power;          /* P of decode */
    double low, high;      /* 5 % and 95 % of measured / predicted on the rows fitted */
    int64_t rows;          /* that it was fitted to */
    double mape;           /* on them */
    char source[ATN_DEVICE_TEXT];
} atn_time_fit;

enum {
    ATN_KERNEL_TILES = 64,   /* rows of a file */
    ATN_KERNEL_BOXES = 8192, /* with what factorised ones stand for */
    ATN_KERNEL_FITS = 256,
    ATN_KERNEL_NAMES = 8
};

/* What a kernel's file gives a source for, each on its own. */
typedef enum atn_kernel_topic {
    ATN_TOPIC_TILES,
    ATN_TOPIC_ORDER, /* order, sections, packed groups */
    ATN_TOPIC_MASK,  /* policy, window rule, factors */
    ATN_TOPIC_SPLIT,
    ATN_TOPIC_OVERLAP,
    ATN_TOPIC_LIKE,
    ATN_TOPIC_REACH,
    ATN_TOPICS
} atn_kernel_topic;
extern const char *const atn_kernel_topic_names[ATN_TOPICS];

/* Of an architecture: the share of the machine model's speed that was measured. */
typedef struct atn_kernel_share {
    char architecture[ATN_DEVICE_ID]; /* "" ends */
    double share;
} atn_kernel_share;

typedef struct atn_kernel {
    char id[ATN_DEVICE_ID], title[ATN_DEVICE_TEXT], source[ATN_DEVICE_TEXT];
    char architectures[ATN_KERNEL_NAMES][ATN_DEVICE_ID]; /* it runs on; "" ends */
    char timings[ATN_KERNEL_NAMES][ATN_DEVICE_ID]; /* its names in files of timings:
                      the whole name, or one of its pieces between '-' */
    unsigned takes, passes;                        /* ATN_TAKES_*; 1 << atn_pass */
    atn_mask_policy policy;
    /* Masked tiles of a window are counted by the kernel's own rule, which may mask a
     * tile that need not be (card 2.1). */
    bool window_rule;
    atn_cta_order order;
    bool packs_gqa; /* query heads of a group are rows of one Q tile */
    bool sections;  /* heads in sections whose keys fit in L2 (FA3) */
    bool by_name;   /* taken only where it is named, never as what suits a GPU */
    bool bare; /* files of timings hold the kernel alone: no writing of a KV cache */
    bool permutes; /* a grid's tokens are brought into tiles, and back: extra passes */
    atn_split_rule split;
    int ctas_per_sm;
    /* How much of the shorter of two resources hides behind the longer one, 0 to 1;
     * share of the exponentials that run on other units. */
    double overlap, offload;
    atn_kernel_share reach[ATN_KERNEL_NAMES];
    /* Cost of a masked tile over that of a plain one, by rank of the grid (card 1.6);
     * 0 = the coefficient alone. */
    double mask_factor[3];
    /* Where it has no fit of its own: that kernel's on the same architecture; "" = the
     * machine model. And by what factor predictions were off where that was checked. */
    char like[ATN_DEVICE_ID];
    double like_low, like_high;
    char sources[ATN_TOPICS][ATN_DEVICE_TEXT]; /* "" = none is given */
    atn_kernel_tile *tile;                     /* [tiles] owned */
    int tiles;
    atn_time_fit *fit; /* [fits] owned */
    int fits;
} atn_kernel;

/* By id of a built-in one or a file, as atn_device_read. Release it. */
atn_status atn_kernel_read(atn_ctx *cx, const char *name,
                           atn_kernel *out) ATN_WARN_UNUSED;
atn_status atn_kernel_parse(atn_ctx *cx, const char *what, const char *text,
                            size_t size, atn_kernel *out) ATN_WARN_UNUSED;
/* Writes a kernel file, atomically; CANTCREATE when it is there and !force, DATA where
 * it could not be read. */
atn_status atn_kernel_save(atn_ctx *cx, const atn_kernel *k, const char *path,
                           bool force) ATN_WARN_UNUSED;
void atn_kernel_release(atn_ctx *cx, atn_kernel *k);
const char *atn_kernel_id(int i); /* built-in, sorted; NULL = no more */

bool atn_kernel_runs_on(const atn_kernel *k, const char *architecture);
/* Some tile belongs to one architecture, so that it must be settled. */
bool atn_kernel_has_own_tiles(const atn_kernel *k);
/* Keeps the tiles that it has on this architecture. Once after reading, wherever a
 * device is known; twice is fine. */
void atn_kernel_settle(atn_kernel *k, const char *architecture);
/* to <- the tiles of from. */
atn_status atn_kernel_copy_tiles(atn_ctx *cx, atn_kernel *to,
                                 const atn_kernel *from) ATN_WARN_UNUSED;
/* On this architecture, for this head dim and pass alone, the tile's q and k (of one
 * size each) instead of what the kernel takes for causal masks and windows, and for the
 * masks that share their rows. Not for a settled one. USAGE where it has no such rows;
 * DATA where a file holds no more; the kernel may have rows more then. */
atn_status atn_kernel_put_tile(atn_ctx *cx, atn_kernel *k, const char *architecture,
                               const atn_kernel_tile *tile) ATN_WARN_UNUSED;
/* Share of the machine model's speed that it was measured at: on this architecture,
 * else on the nearest one (of as many generations, then numbers, between them; of
 * equals the first), else ATN_REACH_OTHERWISE. */
typedef struct atn_reach {
    double share;
    const char *measured; /* the architecture, of the kernel; NULL = nowhere */
    bool here;            /* it is that which was asked for */
} atn_reach;
#define ATN_REACH_OTHERWISE 0.75
atn_reach atn_kernel_reach(const atn_kernel *k, const char *architecture);
/* Overlap at a head dim: of its tiles, else the kernel's. */
double atn_kernel_overlap(const atn_kernel *k, int head_dim, atn_pass pass);
/* `piece` is the whole of name, or stands in it between '-'. */
bool atn_kernel_name_holds(const char *name, const char *piece);
/* The kernel is called so in a file of timings. */
bool atn_kernel_is_called(const atn_kernel *k, const char *name);
/* The usual tile (index 0), or the index-th; NULL = no more. takes: one of
 * ATN_TAKES_FULL, _CAUSAL, _WINDOW, _GRID, ..; rank of the tile. */
const atn_kernel_tile *atn_kernel_tile_of(const atn_kernel *k, int head_dim,
                                          atn_pass pass, unsigned takes, int rank,
                                          int index);
/* There are tiles for it in this pass (those of its own or a larger head dim); else
 * *nearest <- the nearest head dim that there is, 0 = the pass has no tiles. */
bool atn_kernel_has_head_dim(const atn_kernel *k, int head_dim, atn_pass pass,
                             int *nearest);
