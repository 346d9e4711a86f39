/* graph/field_internal.h -- what the engines of graph/field share.
 *
 * Math    B the block, nodes 0..N-1 of B tokens, the last may be short. Claim: of the
 *         field of token i in node a, what lies in a node c != a is nothing or all of
 *         c, and the same for every token of a; what lies in a itself is {i}, or the
 *         tokens of a up to i, or all of a. By induction: an edge a -> c, c != a, joins
 *         every token of a with every token of c (the tokens of c together reach all of
 *         whatever one of them reaches); the edge a -> a of a layer gives all of a, of
 *         a causal layer the tokens up to i; without it only the residual stays. A way
 *         through another node back gives all of a. So fields of nodes are fields of
 *         tokens but for a flag of the node itself. `own`, of the last token, for which
 *         "up to i" is all of its node: any layer so far had the edge a -> a, or a way
 *         led back. `whole`, of any node: every token reaches what it may see of its
 *         node. In a plan of causal layers, where no way leads back, it says that a
 *         layer had the edge a -> a; else that one that is not causal had it, or a way
 *         led back. A node of one token is whole at once.
 *         While R stays the same through a list of layers, these flags are settled too:
 *         they come from the edges of the layers and from R.
 *         A layer that is dense (all that is visible) is dense in blocks of any size,
 *         so it has no say in B.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "graph/field.h"

typedef struct atn_field_plan {
    const atn_pattern *const *layers; /* [n], borrowed */
    int n;
    atn_idx tokens, block, nodes;
    bool causal; /* every layer is */
} atn_field_plan;

/* USAGE naming the layer whose pattern is not square or not as long as the first. */
atn_status atn_field_plan_make(atn_ctx *cx, const atn_pattern *const *layers, int n,
                               atn_field_plan *out) ATN_WARN_UNUSED;
/* The pattern of layer k = 1, 2, .. */
static inline const atn_pattern *atn_field_layer(const atn_field_plan *p, int k)
{
    return p->layers[(k - 1) % p->n];
}
/* Whether the layer at `index` of the list is not there before. */
bool atn_field_first(const atn_field_plan *p, int index);
/* It states that every row sees all that is visible. */
bool atn_field_dense(const atn_pattern *p);
/* Nodes that node a can see at best. */
static inline atn_idx atn_field_visible(const atn_field_plan *p, atn_idx a)
{
    return p->causal ? a + 1 : p->nodes;
}

/* Whether node a has one token. */
static inline bool atn_field_single(const atn_field_plan *p, atn_idx a)
{
    return p->block == 1 || a * p->block == p->tokens - 1;
}

/* ---- rows in nodes: heads joined, the residual not added ---- */

typedef struct atn_field_reader {
    const atn_field_plan *plan;
    const atn_pattern *p;
    bool dense;
    atn_idx factor;        /* nodes in a block of p */
    atn_repeat repeat;     /* of nodes */
    atn_span *raw, *of[3]; /* of one head; of heads joined twice; in nodes */
    const atn_span *held;  /* block row `row` of p from block `from` on, joined */
    atn_idx row, n_held;   /* row -1: none */
    atn_idx from;
    int64_t read; /* intervals so far; a caller may set it to 0 */
} atn_field_reader;

/* In the arena, with room for every layer of the plan. */
atn_status atn_field_reader_open(atn_ctx *cx, const atn_field_plan *plan,
                                 atn_field_reader *out) ATN_WARN_UNUSED;
double atn_field_reader_bytes(const atn_field_plan *plan);
void atn_field_reader_set(atn_field_reader *r, const atn_pattern *p);
/* Where a reader has read as many intervals, or a scan has seen as many nodes, its
 * owner looks whether to stop. */
enum { ATN_FIELD_READ_MOST = 1 << 20 };
/* Of a scan over all nodes, which has just seen node a. */
static inline atn_status atn_field_scanned(atn_ctx *cx, atn_idx a, atn_idx nodes)
{
    if ((a + 1) % ATN_FIELD_READ_MOST != 0) return ATN_OK;
    return atn_progress(cx, "field: nodes", (double)a + 1, (double)nodes);
}
/* What the layer states of its rows, in nodes; step 0 where it does not help. */
atn_repeat atn_field_repeat(const atn_field_plan *plan, const atn_pattern *p);
/* The nodes that node a sees: sorted intervals that do not touch; valid until the next
 * call. */
atn_idx atn_field_row(atn_field_reader *r, atn_idx a, const atn_span **spans);
/* The same of nodes from `from` on alone. */
atn_idx atn_field_row_from(atn_field_reader *r, atn_idx a, atn_idx from,
                           const atn_span **spans);

/* What has to be read of row a where the row `step` before it is known: row a is held
 * nodes, all below `near`, and the rest. The held nodes are those of row a - step, none
 * where `fresh`, and of [from, near) those that the row has. Where nothing is stated of
 * the rows, nothing is held: near = 0. */
typedef struct atn_field_news {
    bool fresh;
    atn_idx from, near;
    atn_idx place; /* a mod step: where what is held may be kept */
} atn_field_news;
/* first: the row before it is not known, whatever is stated. */
atn_field_news atn_field_news_of(const atn_field_reader *r, atn_idx a, bool first);
/* Places of the step; 1 where nothing is stated. */
static inline atn_idx atn_field_places(const atn_field_reader *r)
{
    return ATN_MAX(r->repeat.step, 1);
}
/* True when the row with its residual is one interval, which goes to *out. */
bool atn_field_interval(atn_field_reader *r, atn_idx a, atn_span *out);

/* The news of all rows of one layer. An interval is held or part of the rest. */
typedef struct atn_field_table {
    const atn_pattern *p;
    atn_repeat repeat;
    int64_t *ptr;   /* [nodes + 1] */
    int32_t *spans; /* pairs lo, hi */
} atn_field_table;
/* Replaces what is in `t`; nodes <= INT32_MAX. */
atn_status atn_field_table_fill(atn_ctx *cx, const atn_field_plan *plan,
                                const atn_pattern *p,
                                atn_field_table *t) ATN_WARN_UNUSED;
void atn_field_table_release(atn_ctx *cx, atn_field_table *t);
/* Intervals of the largest layer. */
atn_status atn_field_table_most(atn_ctx *cx, const atn_field_plan *plan,
                                int64_t *most) ATN_WARN_UNUSED;

/* ---- structure ---- */

/* Offsets lo + t step + u, t < count, u < length. */
typedef struct atn_group {
    atn_idx lo, length, step, count;
} atn_group;
/* The longest group that begins at span `at` of n; returns the span after it. */
atn_idx atn_next_group(const atn_span *s, atn_idx n, atn_idx at, atn_group *g);
/* The grid of the first layer that has one, or NULL. */
const atn_axes *atn_field_grid(const atn_field_plan *p);

/* Bytes that an engine may take: what --mem-limit leaves, or without one 2 GiB. */
static inline double atn_field_room(const atn_ctx *cx)
{
    return cx->mem_limit ? atn_mem_left(cx) : 2147483648.;
}

/* ---- engines ---- */

/* Over all nodes. */
typedef struct atn_field_tally {
    int64_t pairs;
    atn_idx complete; /* every token of the node reaches all that it can see */
    atn_idx least, visible, row; /* the least reached / visible, and its node */
} atn_field_tally;
/* whole: see above. */
static inline void atn_field_count(atn_field_tally *t, const atn_field_plan *p,
                                   atn_idx row, atn_idx reached, bool whole)
{
    const atn_idx visible = atn_field_visible(p, row);

    t->pairs += reached;
    t->complete += reached == visible && (whole || atn_field_single(p, row));
    if (row > 0 && reached * t->visible >= t->least * visible) return;
    t->least = reached;
    t->visible = visible;
    t->row = row;
}

/* What says whether to go on beyond the depth asked for. */
typedef struct atn_field_peek {
    atn_idx reached; /* by the last node, and its flag `own` */
    bool own;
    int64_t growth; /* the same through a whole list of layers, and not `all`: there is
                       a row that stays short of what it can see for good */
    bool all;       /* every token reaches all it can see */
} atn_field_peek;

typedef struct atn_field_engine {
    const char *id;
    bool every; /* holds the fields of all nodes, else of the row it was opened for */
    /* Whether it can compute this plan, here. */
    atn_status (*fits)(atn_ctx *cx, const atn_field_plan *p, bool *fits);
    /* Of one layer beyond the depth asked for, about nanoseconds. */
    double (*work)(const atn_field_plan *p);
    /* *state <- R_0; the plan is borrowed. Checks its memory first. */
    atn_status (*open)(atn_ctx *cx, const atn_field_plan *p, atn_idx row, void **state);
    atn_status (*step)(atn_ctx *cx, void *state, int k); /* R_k from R_k-1 */
    /* reached [nodes] of node `row`; own as above, of the last node. */
    atn_status (*mark)(atn_ctx *cx, const void *state, atn_idx row, uint8_t *reached,
                       bool *own);
    /* Whether a row of `rows` reaches a key of `keys`. */
    bool (*meets)(const void *state, atn_span rows, atn_span keys);
    atn_status (*tally)(atn_ctx *cx, const void *state, atn_field_tally *out);
    /* Beyond the depth asked for: as step, after which only peek and close are called.
     * NULL: step does it. */
    atn_status (*beyond)(atn_ctx *cx, void *state, int k);
    void (*peek)(const void *state, atn_field_peek *out); /* NULL: all is looked at */
    void (*close)(atn_ctx *cx, void *state);              /* NULL is fine */
} atn_field_engine;

extern const atn_field_engine atn_field_shift, atn_field_axes, atn_field_intervals,
    atn_field_bits, atn_field_frontier;

/* atn_field_run by the engine given, which fits; for tests too. */
atn_status atn_field_run_by(atn_ctx *cx, const atn_field_plan *p,
                            const atn_field_engine *e, const atn_field_opts *o,
                            atn_field *out) ATN_WARN_UNUSED;
/* The first engine that fits, in the order of the list above. */
atn_status atn_field_choose(atn_ctx *cx, const atn_field_plan *p, bool every,
                            const atn_field_engine **out) ATN_WARN_UNUSED;

/* atn_field_of. */
atn_status atn_field_plan_of(atn_ctx *cx, const atn_field_plan *p, int depth,
                             atn_idx row, uint8_t *reached) ATN_WARN_UNUSED;

/* walks_log10 and walks_first_log10 of at[0..depth]. */
atn_status atn_field_walks(atn_ctx *cx, const atn_field_plan *p, int depth,
                           atn_field_at *at) ATN_WARN_UNUSED;
/* The same row by row, whatever the structure; for tests too. */
atn_status atn_field_walks_rows(atn_ctx *cx, const atn_field_plan *p, int depth,
                                atn_field_at *at) ATN_WARN_UNUSED;
/* atn_field_map by the engine given. */
atn_status atn_field_map_by(atn_ctx *cx, const atn_field_plan *p,
                            const atn_field_engine *e, int depth,
                            atn_mat out) ATN_WARN_UNUSED;
