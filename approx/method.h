/* approx/method.h -- a method: an approximation of attention, chosen from the queries
 * and keys (and more) of a layer; the executor of core applies what it chose.
 *
 * A new method is one file approx/<id>.c and one line in methods.def; it gets its
 * parameters, its rows in `approx` (error, cost, look-ahead, budget), its pattern in
 * `plot` and `field --from`, its listing, help and contract tests from the table. Every
 * static pattern (approx/pattern.h) is a method of the same id.
 *
 * What a method may rely on (the driver sees to it): heads have queries and keys
 * (unless it does not read them), no padding, finite numbers; a method that is asked
 * for a unit of heads gets all of them. What it must keep: positions are absolute
 * (atn_sight_at), so that a chunk of queries plans the rows of the full prefill where
 * the card says so; candidates are the keys that a query sees (atn_sight_row), never
 * others; equal scores: the lower index first; plans do not depend on the number of
 * threads; index_flops and index_bytes are counted, of a choice of several heads an
 * even share in each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/pattern.h"
#include "core/draws.h"
#include "core/plan.h"

/* What a method needs beside the mask. */
enum {
    ATN_READS_QK = 1,
    ATN_READS_V = 2,
    ATN_READS_WEIGHTS = 4, /* dense attention, streamed: an oracle */
    ATN_READS_GRID = 8,    /* a grid of tokens */
    ATN_READS_STEPS = 16,  /* earlier steps of the same layer */
    ATN_READS_DRAWS = 32,  /* random numbers */
    ATN_READS_TURN = 64,   /* how the rotary embedding turns, if there is one */
    ATN_READS_PAST = 128,  /* earlier steps where there are any: none are fine */
    /* dense weights, stored whole in double: queries and keys up to ATN_STORED_MOST, and
     * asked for by name, for it is cubic */
    ATN_READS_STORED = 256,
    ATN_READS_GIVEN = 512, /* numbers of a file of draws that has them; it draws none */
    ATN_READS_PLACE = 1024, /* where queries stand among the keys: no other text */
};
#define ATN_STORED_MOST 4096
/* Masks it is defined for. */
enum { ATN_CAUSAL = 1, ATN_BIDIRECTIONAL = 2, ATN_BOTH_WAYS = 3 };
/* What the choice for a row may depend on beyond it: keys and values after the query,
 * queries of later rows. */
enum { ATN_LOOKS_KEYS = 1, ATN_LOOKS_QUERIES = 2 };
/* What its weights need not be. */
enum {
    ATN_WEIGHTS_SIGNED = 1, /* some may be below 0 */
    ATN_WEIGHTS_FREE = 2,   /* a row may sum to anything */
    ATN_WEIGHTS_VALUES = 4, /* they depend on the values */
};
/* Heads that are planned together. */
typedef enum atn_unit { ATN_UNIT_HEAD, ATN_UNIT_GROUP, ATN_UNIT_LAYER } atn_unit;

/* Bytes that any choice may take, and that no bound has to count. */
#define ATN_METHOD_LITTLE 0x1p16

/* The attention of one layer at one step, as a method sees it. All borrowed. */
typedef struct atn_input atn_input;
struct atn_input {
    const atn_head *head; /* [heads] of the layer */
    atn_idx heads, group; /* `group` heads in a row read the same keys */
    atn_idx prompt;       /* tokens of the prompt, 0 = unknown */
    const atn_list
        *grid; /* 1 to 3 axes, row-major, the tokens beyond it are text; NULL */
    atn_idx grid_first;    /* key where it begins, those before it are special tokens */
    const uint8_t *role;   /* [nk] of atn_role, NULL */
    const atn_input *step; /* steps of this layer, up to this one, step[at] */
    int steps, at;         /* how many there are in all; 0: only this one */
    const double *turn;    /* [rotary] radians a position, as atn_model_info; NULL */
    atn_idx rotary;        /* 0 = there is none, -1 = unknown */
    int layers;            /* of the model, 0 = unknown */
    uint64_t seed;
    atn_draws *draws;  /* NULL = draw, keep nothing */
    bool as_published; /* with the bugs of the reference code, which the card lists */
    bool unmasked;     /* causality and windows were taken off */
};

/* DATA where the grid of the layer does not begin with its first key, or is one of keys
 * alone: `method` cuts queries and keys from the first one on. */
atn_status atn_grid_check(atn_ctx *cx, const char *method,
                          const atn_input *in) ATN_WARN_UNUSED;

/* What a plan of a head will spend, known before it is made. */
typedef struct atn_spending {
    /* Stored for a row on average, as the plan says, and what a budget k=N is of; 0 =
     * entries are keys that each row chooses: k=N is min(N, visible) of them in every
     * row, and executed pairs count. */
    double numbers;
    double executed; /* pairs of all rows */
} atn_spending;

typedef struct atn_method {
    const char *id, *title;
    const char *family; /* oracle, block, tree, hash, cluster, eviction, .. */
    const char *source; /* paper, arXiv id, code */
    const char *text;   /* what a row attends to, one line */
    unsigned reads;     /* ATN_READS_*, at most */
    unsigned (*reads_of)(const void *params); /* as it is set; NULL = the same */
    unsigned sides;                           /* ATN_CAUSAL, ATN_BIDIRECTIONAL */
    /* Does it choose by the attention that it approximates, or by rows that come later,
     * so that it says what could be had and is no choice? NULL = no. */
    bool (*oracle)(const void *params);
    atn_unit unit; /* the largest that it has */
    atn_unit (*unit_of)(const void *params, const atn_input *in); /* NULL = unit */
    bool publishes;          /* as_published makes a difference */
    const atn_param *params; /* NULL = none */
    size_t params_size;
    const atn_preset *presets; /* NULL = none */
    const char *budget;        /* the parameter that --budget fits; NULL = none */
    bool budget_falls;         /* a larger one keeps less */
    /* Spending by shapes alone, so that a budget is fitted without plans; false = known
     * for no such parameters. NULL = known by planning. */
    bool (*spends)(const void *params, const atn_head *h, atn_spending *out);
    /* The largest value of an integer budget parameter that a search tries: a larger one
     * makes no difference. NULL = the tokens of the head, or where spends knows all
     * values, as far as they spend more. */
    double (*most)(const void *params, const atn_head *h);
    unsigned weights; /* ATN_WEIGHTS_* that do not hold, however it is set */
    unsigned (*weights_of)(const void *params); /* as it is set; NULL = the same */
    /* The rank of the weights at most, on a head without a mask; -1 = of no bound. NULL =
     * of none. */
    atn_idx (*rank)(const void *params, const atn_head *h);
    /* Parameters with which it is dense attention: '#' stands for the number of keys.
     * NULL = none. */
    const char *exact;
    const char
        *dense; /* when it keeps everything, and the remedy; NULL = nothing special */
    /* ATN_LOOKS_*, on a causal head; NULL = nothing ahead. */
    unsigned (*looks)(const void *params, const atn_input *in);
    /* out [n], zeroed but for tiles of 1 x 1, are the plans of heads first ..
     * first + n - 1, a unit; the caller releases them, also on failure. USAGE names a
     * rule broken by the parameters on this layer, DATA what the layer lacks. Called on
     * one thread; goes parallel by itself. */
    atn_status (*plan)(atn_ctx *cx, const atn_input *in, const void *params,
                       atn_idx first, atn_idx n, atn_plan *out);
    /* Bytes at most that plan has in use at a time for a unit, its result among them;
     * of that also what is only known to be less than a bound, as lists of keys. It is
     * asked before data are there: heads have shapes (v.data not NULL where there are
     * values), the rest of the input is there but for tensors, draws and earlier steps,
     * whose heads stand for themselves. NULL = ATN_METHOD_LITTLE. */
    double (*bytes)(const atn_ctx *cx, const void *params, const atn_input *in);
} atn_method;

bool atn_always(const void *params); /* an oracle, however it is set */
/* The choice for a row depends on later keys and queries, however it is set. */
unsigned atn_looks_ahead(const void *params, const atn_input *in);

extern const atn_method *const atn_methods[]; /* by id, NULL-terminated; no patterns */

/* The i-th id that a spec may begin with: of methods, patterns and presets; NULL = no
 * more. */
const char *atn_method_id(int i);

/* A method, or a static pattern as one, with its parameters: what the rest of the
 * program handles. */
typedef struct atn_choice {
    const atn_method *method; /* or */
    const atn_generator *generator;
    const atn_preset *preset;
    const atn_param *params; /* never NULL */
    size_t params_size;
    void *values; /* in the arena of the context that read it */
} atn_choice;

/* By id of a method, a pattern or a preset of either. USAGE names an unknown id with
 * the nearest, or an unknown parameter with those that there are. */
atn_status atn_choice_read(atn_ctx *cx, const char *id, const char *params,
                           atn_choice *out) ATN_WARN_UNUSED;
const char *atn_choice_id(const atn_choice *c); /* of the preset, where it is one */
/* What the table says of it; a static pattern reads the mask, and draws at most. */
typedef struct atn_choice_facts {
    const char *title, *family, *text, *source;
    const char *exact; /* parameters with which it is dense attention, or NULL */
    unsigned reads, sides, weights;
    bool publishes, oracle;
} atn_choice_facts;
atn_choice_facts atn_choice_describe(const atn_choice *c);
/* The rank of its weights at most, on a head without a mask; -1 = of no bound. */
atn_idx atn_choice_rank(const atn_choice *c, const atn_head *h);
/* False where it is not known before planning. */
bool atn_choice_spends(const atn_choice *c, const atn_input *in, atn_idx head,
                       atn_spending *out);
/* Its budget parameter, NULL = none. */
const atn_param *atn_choice_budget(const atn_choice *c, bool *falls);
unsigned atn_choice_looks(const atn_choice *c, const atn_input *in);
/* Does it go by where queries stand among the keys? Static patterns mostly do. */
bool atn_choice_places(const atn_choice *c);
atn_unit atn_choice_unit(const atn_choice *c, const atn_input *in);
/* DATA says what the layer lacks for it and how to provide that; USAGE what the mask
 * forbids. */
atn_status atn_choice_check(atn_ctx *cx, const atn_choice *c,
                            const atn_input *in) ATN_WARN_UNUSED;
/* The plans of the unit that begins with head `first`: out [n] is zeroed first, and
 * released when it fails. n = atn_choice_heads. */
atn_status atn_choice_plan(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                           atn_idx first, atn_plan *out) ATN_WARN_UNUSED;
/* Bytes at most of that, as of a method; the unit's plans are among them. */
double atn_choice_bytes(const atn_ctx *cx, const atn_choice *c, const atn_input *in);
/* Heads of a unit of this layer. */
atn_idx atn_choice_heads(const atn_choice *c, const atn_input *in);
