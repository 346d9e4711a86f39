/* analysis/field_tables.c -- receptive fields and patterns as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/field_tables.h"

#include <math.h>
#include <stdio.h>

#include "core/rows.h"

typedef struct table_col {
    const char *name, *unit, *text;
    atn_col_type type;
} table_col;

static atn_status add_cols(atn_ctx *cx, atn_table *t, const table_col *cols, int n,
                           int *col)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < n; i++)
        ATN_TRY(atn_table_add_col(cx, t, cols[i].name, cols[i].type, cols[i].unit,
                                  cols[i].text, &col[i]));
done:
    return st;
}

/* ---- the field ---- */

enum {
    DEPTH,
    REACHED,
    REACHED_TOKENS,
    BLOCKS,
    ACCURACY,
    COMPLETE,
    CONTIGUOUS,
    FIRST_UNREACHED,
    PAIRS_SHARE,
    ROWS_COMPLETE,
    ROW_LEAST,
    ROW_LEAST_AT,
    FIELD_COLS
};

static const table_col field_cols[FIELD_COLS] = {
    [DEPTH] = {"depth", "layers", "layers that the state has passed", ATN_COL_I64},
    [REACHED] = {"reached_blocks_last", "blocks",
                 "blocks that the state of the last token can depend on", ATN_COL_I64},
    [REACHED_TOKENS] = {"reached_tokens_last", "tokens", "tokens of these",
                        ATN_COL_I64},
    [BLOCKS] = {"blocks", "blocks", "all blocks", ATN_COL_I64},
    [ACCURACY] = {"accuracy_last", "",
                  "reached blocks / all: the best that the last token can do at "
                  "finding a passkey in a random block (PowerAttention)",
                  ATN_COL_F64},
    [COMPLETE] = {"complete_last", "", "the last token reaches all there is to see",
                  ATN_COL_BOOL},
    [CONTIGUOUS] = {"contiguous_blocks_last", "blocks",
                    "blocks on end from its own back that are reached", ATN_COL_I64},
    [FIRST_UNREACHED] = {"first_unreached_blocks_last", "blocks",
                         "least distance that is not reached; empty = none",
                         ATN_COL_I64},
    [PAIRS_SHARE] = {"pairs_share", "",
                     "share of all visible pairs of blocks that are reached",
                     ATN_COL_F64},
    [ROWS_COMPLETE] = {"rows_complete_share", "",
                       "share of the blocks whose tokens all reach all there is to see",
                       ATN_COL_F64},
    [ROW_LEAST] = {"row_least_share", "", "least reached / visible of a block",
                   ATN_COL_F64},
    [ROW_LEAST_AT] = {"row_least_block", "", "which block that is", ATN_COL_I64},
};

/* The columns that are there only where they say something. */
typedef struct extra_cols {
    int pattern, stack, step, rollout[3], flow, walks[2];
} extra_cols;

static atn_status add_keys(atn_ctx *cx, atn_table *t, unsigned columns, extra_cols *e)
{
    atn_status st = ATN_OK;

    e->pattern = e->stack = e->step = -1;
    if (columns & ATN_FIELD_STACK)
        ATN_TRY(atn_table_add_col(cx, t, "stack", ATN_COL_STR, "", "stack of layers",
                                  &e->stack));
    if (columns & ATN_FIELD_STEP)
        ATN_TRY(atn_table_add_col(cx, t, "step", ATN_COL_I64, "", "step of the capture",
                                  &e->step));
    if (columns & ATN_FIELD_PATTERN)
        ATN_TRY(atn_table_add_col(cx, t, "pattern", ATN_COL_STR, "",
                                  "patterns of the layers", &e->pattern));
done:
    return st;
}

static atn_status add_rest(atn_ctx *cx, atn_table *t, unsigned columns, extra_cols *e)
{
    static const char *const rollout[][3] = {
        {"rollout_reached_mass", "",
         "share of the last token's rollout over the model's own attention that comes "
         "from reached tokens"},
        {"rollout_tokens_90", "tokens", "fewest tokens that hold 90 % of that rollout"},
        {"rollout_distance_mean_tokens", "tokens", "mean distance of that rollout"}};
    atn_status st = ATN_OK;

    for (int i = 0; i < 2; i++) e->walks[i] = -1;
    for (int i = 0; i < 3; i++) e->rollout[i] = -1;
    e->flow = -1;
    if (columns & ATN_FIELD_WALKS) {
        ATN_TRY(atn_table_add_col(cx, t, "walks_last_log10", ATN_COL_F64, "",
                                  "log10 of the walks of as many steps from the last "
                                  "block, staying in place among them",
                                  &e->walks[0]));
        ATN_TRY(atn_table_add_col(cx, t, "walks_last_first_log10", ATN_COL_F64, "",
                                  "the same of those that end at the first block",
                                  &e->walks[1]));
    }
    for (int i = 0; i < 3 && (columns & ATN_FIELD_ROLLOUT); i++)
        ATN_TRY(atn_table_add_col(cx, t, rollout[i][0], ATN_COL_F64, rollout[i][1],
                                  rollout[i][2], &e->rollout[i]));
    if (columns & ATN_FIELD_FLOW)
        ATN_TRY(atn_table_add_col(cx, t, "flow_reached_mass", ATN_COL_F64, "",
                                  "share of the last token's attention flow that comes "
                                  "from reached tokens",
                                  &e->flow));
done:
    return st;
}

static void set_number(atn_table *t, int col, double x)
{
    if (col >= 0 && isfinite(x)) atn_table_set_f64(t, col, x);
}

static void set_field(atn_table *t, const int *col, const atn_field *f,
                      const atn_field_at *a)
{
    atn_table_set_i64(t, col[DEPTH], a->depth);
    atn_table_set_i64(t, col[REACHED], a->reached);
    atn_table_set_i64(t, col[REACHED_TOKENS], a->reached_tokens);
    atn_table_set_i64(t, col[BLOCKS], f->nodes);
    atn_table_set_f64(t, col[ACCURACY], a->accuracy);
    atn_table_set_bool(t, col[COMPLETE], a->complete);
    atn_table_set_i64(t, col[CONTIGUOUS], a->contiguous);
    if (a->first_missing >= 0)
        atn_table_set_i64(t, col[FIRST_UNREACHED], a->first_missing);
    set_number(t, col[PAIRS_SHARE], a->pairs_share);
    set_number(t, col[ROWS_COMPLETE], a->rows_complete);
    set_number(t, col[ROW_LEAST], a->least_share);
    if (a->least_row >= 0) atn_table_set_i64(t, col[ROW_LEAST_AT], a->least_row);
}

static atn_status set_case(atn_ctx *cx, atn_table *t, const extra_cols *e,
                           const atn_field_case *c, int k)
{
    const double *const rollout[] = {c->rollout_reached_mass, c->rollout_tokens_90,
                                     c->rollout_distance};
    atn_status st = ATN_OK;

    if (e->stack >= 0)
        ATN_TRY(atn_table_set_str(cx, t, e->stack, c->stack ? c->stack : ""));
    if (e->step >= 0) atn_table_set_i64(t, e->step, c->step);
    if (e->pattern >= 0) ATN_TRY(atn_table_set_str(cx, t, e->pattern, c->pattern));
    set_number(t, e->walks[0], c->field->at[k].walks_log10);
    set_number(t, e->walks[1], c->field->at[k].walks_first_log10);
    for (int i = 0; i < 3; i++)
        if (rollout[i]) set_number(t, e->rollout[i], rollout[i][k]);
    if (c->flow_reached_mass) set_number(t, e->flow, c->flow_reached_mass[k]);
done:
    return st;
}

/* "32768 tokens in blocks of 256", behind the pattern where there is one alone; cases
 * that differ in their tokens have none. */
static atn_status set_subtitle(atn_ctx *cx, atn_table *t, const atn_field_case *cases,
                               int n)
{
    char tokens[64], blocks[64] = "", *text = NULL;
    const atn_field *f = n > 0 ? cases[0].field : NULL;
    atn_status st = ATN_OK;

    for (int i = 0; i < n; i++)
        if (cases[i].field->tokens != f->tokens) return ATN_OK;
    if (!f) return ATN_OK;
    snprintf(tokens, sizeof tokens, "%lld token%s", (long long)f->tokens,
             f->tokens == 1 ? "" : "s");
    if (f->block > 1)
        snprintf(blocks, sizeof blocks, " in blocks of %lld", (long long)f->block);
    for (int i = 1; i < n; i++)
        if (cases[i].field->block != f->block) *blocks = '\0';
    text = atn_strfmt(cx, "%s%s%s%s", n == 1 ? cases[0].pattern : "",
                      n == 1 ? ", " : "", tokens, blocks);
    if (!text) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_set_meta(cx, t, "subtitle", text));
done:
    atn_free(cx, text);
    return st;
}

atn_status atn_field_table(atn_ctx *cx, const atn_field_case *cases, int n,
                           unsigned columns, atn_table **out)
{
    int col[FIELD_COLS];
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    extra_cols e;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "field", &t));
    ATN_TRY(add_keys(cx, t, columns, &e));
    ATN_TRY(add_cols(cx, t, field_cols, FIELD_COLS, col));
    ATN_TRY(add_rest(cx, t, columns, &e));
    for (int i = 0; i < n; i++)
        for (int k = 0; k <= cases[i].field->depth; k++) {
            ATN_TRY(atn_table_add_row(cx, t));
            set_field(t, col, cases[i].field, &cases[i].field->at[k]);
            ATN_TRY(set_case(cx, t, &e, &cases[i], k));
        }
    ATN_TRY(set_subtitle(cx, t, cases, n));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- patterns ---- */

enum {
    PATTERN,
    LAYERS,
    HEAD,
    TOKENS,
    BLOCK,
    PAIRS,
    KEPT_BLOCKS,
    ROW_MOST,
    ROW_LEAST_KEYS,
    EMPTY_ROWS,
    FULL,
    CAUSAL,
    BLOCK_FULL,
    BLOCK_CAUSAL,
    KV,
    MEAN,
    COMPLETE_DEPTH,
    COMPLETE_STATE,
    DIAMETER,
    DIAMETER_STATE,
    METHOD,
    PATTERN_COLS
};

static const table_col pattern_cols[PATTERN_COLS] = {
    [PATTERN] = {"pattern", "", "which keys a query sees", ATN_COL_STR},
    [LAYERS] = {"layers", "", "layers that have it", ATN_COL_STR},
    [HEAD] = {"head", "", "head; empty = alike in all", ATN_COL_I64},
    [TOKENS] = {"tokens", "tokens", "keys", ATN_COL_I64},
    [BLOCK] = {"block", "tokens", "tokens of a block", ATN_COL_I64},
    [PAIRS] = {"pairs", "", "pairs (query, key) kept", ATN_COL_I64},
    [KEPT_BLOCKS] = {"kept_blocks", "", "pairs of blocks with a kept pair",
                     ATN_COL_I64},
    [ROW_MOST] = {"row_most_keys", "keys", "most keys of a row", ATN_COL_I64},
    [ROW_LEAST_KEYS] = {"row_least_keys", "keys", "fewest keys of a row", ATN_COL_I64},
    [EMPTY_ROWS] = {"empty_rows", "", "rows without a key", ATN_COL_I64},
    [FULL] = {"density_full", "", "pairs / (queries x keys)", ATN_COL_F64},
    [CAUSAL] = {"density_causal", "", "pairs / causal pairs", ATN_COL_F64},
    [BLOCK_FULL] = {"density_block_full", "", "kept blocks / all", ATN_COL_F64},
    [BLOCK_CAUSAL] = {"density_block_causal", "", "kept blocks / causal blocks",
                      ATN_COL_F64},
    [KV] = {"density_kv", "", "most keys of a row / keys: the cache", ATN_COL_F64},
    [MEAN] = {"density_mean", "", "mean over rows of keys / visible keys", ATN_COL_F64},
    [COMPLETE_DEPTH] = {"complete_depth_last", "layers",
                        "layers until the last token reaches all, where that is known",
                        ATN_COL_I64},
    [COMPLETE_STATE] = {"complete_state_last", "",
                        "reached; never, however many layers; or unknown, as far as "
                        "was looked",
                        ATN_COL_STR},
    [DIAMETER] = {"diameter", "layers",
                  "layers until every token reaches all, where that is known",
                  ATN_COL_I64},
    [DIAMETER_STATE] = {"diameter_state", "",
                        "reached, never or unknown, as of the last token", ATN_COL_STR},
    [METHOD] = {"method", "", "how the fields were computed", ATN_COL_STR},
};

static atn_status begin_patterns(atn_ctx *cx, int *col, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_table_create(cx, "pattern", &t));
    ATN_TRY(add_cols(cx, t, pattern_cols, PATTERN_COLS, col));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

static void set_counts(atn_table *t, const int *col, const atn_pattern_counts *n)
{
    atn_table_set_i64(t, col[PAIRS], n->pairs);
    atn_table_set_i64(t, col[KEPT_BLOCKS], n->blocks);
    atn_table_set_i64(t, col[ROW_MOST], n->row_most);
    atn_table_set_i64(t, col[ROW_LEAST_KEYS], n->row_least);
    atn_table_set_i64(t, col[EMPTY_ROWS], n->empty_rows);
    set_number(t, col[FULL], n->full);
    set_number(t, col[CAUSAL], n->causal);
    set_number(t, col[BLOCK_FULL], n->block_full);
    set_number(t, col[BLOCK_CAUSAL], n->block_causal);
    set_number(t, col[KV], n->kv);
    set_number(t, col[MEAN], n->mean);
}

/* A depth of atn_field, in words. */
static const char *state_of(int depth)
{
    return depth >= 0 ? "reached" : depth == -1 ? "never" : "unknown";
}

static atn_status set_ends(atn_ctx *cx, atn_table *t, const int *col,
                           const atn_field *f)
{
    atn_status st = ATN_OK;

    if (f->complete >= 0) atn_table_set_i64(t, col[COMPLETE_DEPTH], f->complete);
    if (f->diameter >= 0) atn_table_set_i64(t, col[DIAMETER], f->diameter);
    ATN_TRY(atn_table_set_str(cx, t, col[COMPLETE_STATE], state_of(f->complete)));
    ATN_TRY(atn_table_set_str(cx, t, col[DIAMETER_STATE], state_of(f->diameter)));
    ATN_TRY(atn_table_set_str(cx, t, col[METHOD], f->method));
done:
    return st;
}

/* A row of the table. */
typedef struct counted {
    const atn_pattern_case *c;
    atn_idx head;
    atn_pattern_counts n;
} counted;

static atn_status add_pattern(atn_ctx *cx, atn_table *t, const int *col,
                              const counted *k)
{
    const atn_pattern_case *c = k->c;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, col[PATTERN], c->pattern));
    if (c->layers) ATN_TRY(atn_table_set_str(cx, t, col[LAYERS], c->layers));
    if (c->p->heads > 1) atn_table_set_i64(t, col[HEAD], k->head);
    atn_table_set_i64(t, col[TOKENS], c->p->frame.nk);
    atn_table_set_i64(t, col[BLOCK], c->p->frame.block);
    set_counts(t, col, &k->n);
    if (c->field) ATN_TRY(set_ends(cx, t, col, c->field));
done:
    return st;
}

static atn_status count_one(atn_ctx *cx, atn_idx i, void *state)
{
    counted *k = (counted *)state + i;

    return atn_pattern_count(cx, k->c->p, k->head, &k->n);
}

/* The heads of all cases, counted; *out in the arena. */
static atn_status count_all(atn_ctx *cx, const atn_pattern_case *cases, int n,
                            counted **out, atn_idx *rows)
{
    atn_status st = ATN_OK;
    atn_idx at = 0;

    *rows = 0;
    for (int i = 0; i < n; i++) *rows += cases[i].p->heads;
    ATN_TAKE(*out, *rows);
    for (int i = 0; i < n; i++)
        for (atn_idx h = 0; h < cases[i].p->heads; h++)
            (*out)[at++] = (counted){.c = &cases[i], .head = h};
    ATN_TRY(atn_parallel(cx, *rows, count_one, *out, "counting"));
done:
    return st;
}

atn_status atn_pattern_table(atn_ctx *cx, const atn_pattern_case *cases, int n,
                             atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    int col[PATTERN_COLS];
    atn_status st = ATN_OK;
    counted *rows = NULL;
    atn_table *t = NULL;
    atn_idx n_rows = 0;

    *out = NULL;
    ATN_TRY(begin_patterns(cx, col, &t));
    ATN_TRY(count_all(cx, cases, n, &rows, &n_rows));
    for (atn_idx i = 0; i < n_rows; i++) ATN_TRY(add_pattern(cx, t, col, &rows[i]));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- pictures ---- */

static atn_status set_title(atn_ctx *cx, atn_table *t, const char *title,
                            const char *subtitle)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_set_meta(cx, t, "title", title));
    ATN_TRY(atn_table_set_meta(cx, t, "subtitle", subtitle));
done:
    return st;
}

static atn_status set_number_meta(atn_ctx *cx, atn_table *t, const char *key, double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.17g", x);
    return atn_table_set_meta(cx, t, key, text);
}

atn_status atn_pattern_image_table(atn_ctx *cx, const atn_pattern_case *c, atn_idx head,
                                   atn_idx cells, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx rows = ATN_MIN(cells, c->p->frame.nq);
    const atn_idx cols = ATN_MIN(cells, c->p->frame.nk);
    counted row = {.c = c, .head = head};
    int col[PATTERN_COLS];
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    float *data = NULL;
    atn_mat m;

    *out = NULL;
    ATN_TAKE(data, rows * cols);
    m = (atn_mat){data, rows, cols, cols};
    ATN_TRY(begin_patterns(cx, col, &t));
    ATN_TRY(atn_pattern_count(cx, c->p, head, &row.n));
    ATN_TRY(add_pattern(cx, t, col, &row));
    ATN_TRY(atn_pattern_image(cx, c->p, head, m));
    ATN_TRY(
        atn_table_set_matrix(cx, t, atn_const(m), "query (tokens)", "key (tokens)"));
    ATN_TRY(set_title(cx, t, "Which keys a query sees", c->pattern));
    ATN_TRY(set_number_meta(cx, t, "queries", (double)c->p->frame.nq));
    ATN_TRY(set_number_meta(cx, t, "keys", (double)c->p->frame.nk));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the reach map ---- */

enum { REACH_PATTERN, REACH_TOKENS, REACH_BLOCK, REACH_SHARE, REACH_COLS };

static const struct {
    const char *name, *unit, *text;
    atn_col_type type;
} reach_cols[REACH_COLS] = {
    [REACH_PATTERN] = {"pattern", "", "patterns of the layers", ATN_COL_STR},
    [REACH_TOKENS] = {"tokens", "tokens", "keys", ATN_COL_I64},
    [REACH_BLOCK] = {"block", "tokens", "tokens of a block", ATN_COL_I64},
    [REACH_SHARE] = {"pairs_share", "",
                     "share of all visible pairs of blocks that are reached",
                     ATN_COL_F64},
};

/* Its one row: a cell of the map shows the first depth of any of its pairs, the share
 * is of all pairs. */
static atn_status add_reach_row(atn_ctx *cx, atn_table *t, const char *name,
                                const atn_field *f)
{
    atn_status st = ATN_OK;
    int col[REACH_COLS];

    for (int i = 0; i < REACH_COLS; i++)
        ATN_TRY(atn_table_add_col(cx, t, reach_cols[i].name, reach_cols[i].type,
                                  reach_cols[i].unit, reach_cols[i].text, &col[i]));
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, col[REACH_PATTERN], name));
    atn_table_set_i64(t, col[REACH_TOKENS], f->tokens);
    atn_table_set_i64(t, col[REACH_BLOCK], f->block);
    set_number(t, col[REACH_SHARE], f->at[f->depth].pairs_share);
done:
    return st;
}

/* Where the map is, and how many tokens a cell has; of the last block there may be
 * only a part. */
static atn_status set_reach_meta(atn_ctx *cx, atn_table *t, const char *name,
                                 const atn_field *f, atn_idx side)
{
    const double tokens = (double)f->tokens;
    atn_status st = ATN_OK;

    ATN_TRY(set_title(cx, t, "The first layer at which a key is reached", name));
    ATN_TRY(set_number_meta(cx, t, "depth", f->depth));
    ATN_TRY(set_number_meta(cx, t, "queries", tokens));
    ATN_TRY(set_number_meta(cx, t, "keys", tokens));
    ATN_TRY(set_number_meta(cx, t, "tokens_per_cell",
                            (double)f->block * (double)f->nodes / (double)side));
done:
    return st;
}

atn_status atn_reach_table(atn_ctx *cx, const char *name,
                           const atn_pattern *const *layers, int n, int depth,
                           atn_idx cells, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_idx block = 0, nodes = 0, side = 0;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_field f = {0};
    float *data = NULL;
    atn_mat m;

    *out = NULL;
    ATN_TRY(atn_field_nodes(cx, layers, n, &block, &nodes));
    side = ATN_MIN(cells, nodes);
    ATN_TAKE(data, side * side);
    m = (atn_mat){data, side, side, side};
    ATN_TRY(atn_field_map(cx, layers, n, depth, m));
    ATN_TRY(atn_field_run(cx, layers, n, &(atn_field_opts){depth, .every = true}, &f));
    ATN_TRY(atn_table_create(cx, "reach", &t));
    ATN_TRY(add_reach_row(cx, t, name, &f));
    ATN_TRY(
        atn_table_set_matrix(cx, t, atn_const(m), "query (tokens)", "key (tokens)"));
    ATN_TRY(set_reach_meta(cx, t, name, &f, side));
    *out = t;
    t = NULL;
done:
    atn_field_release(cx, &f);
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}
