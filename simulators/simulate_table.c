/* simulators/simulate_table.c -- simulations as tables: a row a case, and a row a step
 * of their waterfalls. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/simulate_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Cells in the order of the columns. */
typedef struct put {
    atn_ctx *cx;
    atn_table *table;
    int col;
} put;

typedef struct column {
    const char *name, *unit, *text;
    atn_col_type type;
} column;

#define F64(name, unit, text)                                                          \
    {                                                                                  \
        name, unit, text, ATN_COL_F64                                                  \
    }
#define I64(name, unit, text)                                                          \
    {                                                                                  \
        name, unit, text, ATN_COL_I64                                                  \
    }
#define STR(name, text)                                                                \
    {                                                                                  \
        name, "", text, ATN_COL_STR                                                    \
    }

/* In the order in which `case_row` fills them. */
static const column columns[] = {
    STR("pattern", "as it was asked for"),
    I64("tokens", "", "keys of a sequence"),
    STR("gpu", "device"),
    STR("kernel", "kernel of the pattern"),
    STR("pass", "forward, backward or decode"),
    I64("batch", "", "sequences"),
    I64("num_heads", "", "query heads"),
    I64("num_kv_heads", "", "heads of keys"),
    I64("head_dim", "", "numbers of a query"),
    STR("tile_q", "queries of a tile, along its axes"),
    STR("tile_k", "keys of a tile"),
    STR("layout", "order of the tokens that are cut into tiles"),
    I64("packed_heads", "", "query heads that share the rows of a tile; 1: none do"),
    F64("pairs", "", "allowed pairs of a head"),
    F64("density", "", "pairs over those of the dense mask"),
    F64("tile_density", "", "visited tiles over those of the dense mask"),
    F64("flops", "flop", "of the allowed pairs, all heads"),
    F64("bytes", "B", "that must move at least"),
    F64("intensity", "flop/B", "flops over bytes"),
    F64("visited_tiles", "", "of a head; of heads that share tiles, its part of them"),
    F64("full_tiles", "", "visited tiles without a masked pair"),
    F64("partial_tiles", "", "visited tiles with one"),
    F64("padding_tiles", "", "visits of tiles of padding"),
    F64("flex_full_tiles", "",
        "as FlexAttention has it: cells beyond an end are masked"),
    F64("flex_partial_tiles", "", "the others"),
    F64("max_tiles", "", "most visits of a CTA"),
    F64("ctas", "", "of a head, likewise"),
    F64("tile_waste", "", "cells of visited tiles over allowed pairs"),
    {"block_sparse", "", "no visited tile is partial", ATN_COL_BOOL},
    {"natten_sparse", "", "NATTEN's own rule for it", ATN_COL_BOOL},
    F64("bound_flop", "", "speed-up by pairs"),
    F64("bound_sum", "", "speed-up by visited tiles"),
    F64("bound_max", "", "speed-up by the longest CTA"),
    F64("kernel_ms", "ms", "the attention kernel"),
    F64("passes_ms", "ms", "index, permutation"),
    F64("time_ms", "ms", "both"),
    F64("time_low_ms", "ms", "low end of the interval"),
    F64("time_high_ms", "ms", "high end"),
    STR("dense_kernel", "kernel it is compared with"),
    STR("dense", "full or causal"),
    F64("dense_ms", "ms", "time of the dense launch"),
    F64("speedup", "", "over the dense launch; none below 0.1 ms"),
    F64("speedup_low", "", "low end"),
    F64("speedup_high", "", "high end"),
    F64("whole_ms", "ms", "end to end, attention and the rest"),
    F64("whole_speedup", "", "end to end"),
    F64("break_even_density", "", "pairs below which such a pattern is faster"),
    F64("break_even_sparsity", "", "1 - that"),
    F64("break_even_tile_density", "",
        "the same in visited tiles, masked as often as those of dense"),
    F64("waves", "", "of CTAs"),
    F64("occupancy", "", "share of their places that is filled"),
    I64("splits", "", "pieces of the keys"),
    STR("limited_by", "what the time is made of"),
    STR("model", "where the coefficients come from"),
    STR("note", ""),
};

static void f64(put *p, double x)
{
    const int col = p->col++;

    if (isfinite(x)) atn_table_set_f64(p->table, col, x);
}

/* Below 0: missing. */
static void i64(put *p, int64_t x)
{
    const int col = p->col++;

    if (x >= 0) atn_table_set_i64(p->table, col, x);
}

/* Neither 0 nor 1: missing. */
static void yes(put *p, int x)
{
    const int col = p->col++;

    if (x == 0 || x == 1) atn_table_set_bool(p->table, col, x == 1);
}

static atn_status str(put *p, const char *x)
{
    const int col = p->col++;

    return *x ? atn_table_set_str(p->cx, p->table, col, x) : ATN_OK;
}

static atn_status list(put *p, const atn_list *l)
{
    char text[128];

    atn_list_text(l, text, sizeof text);
    return str(p, text);
}

static const char *layout_name(const atn_tiling *t, char *room, size_t size)
{
    if (t->layout == ATN_LAYOUT_GRID) return "grid";
    if (t->layout == ATN_LAYOUT_PLAIN) return "plain";
    snprintf(room, size, "stride %lld", (long long)t->stride);
    return room;
}

static atn_status launch_cells(put *p, const atn_sim_case *c)
{
    const atn_sim_opts *o = c->opts;
    const atn_launch *s = &c->sim->shape;
    char room[64];
    atn_ctx *cx = p->cx;
    atn_status st = ATN_OK;

    ATN_TRY(str(p, c->pattern));
    i64(p, s->kv_len);
    ATN_TRY(str(p, o->device->id));
    ATN_TRY(str(p, o->kernel->id));
    ATN_TRY(str(p, atn_pass_names[s->pass]));
    i64(p, s->batch);
    i64(p, s->heads);
    i64(p, s->kv_heads);
    i64(p, s->head_dim);
    ATN_TRY(list(p, &c->sim->tiling.q));
    ATN_TRY(list(p, &c->sim->tiling.k));
    ATN_TRY(str(p, layout_name(&c->sim->tiling, room, sizeof room)));
done:
    return st;
}

static void count_cells(put *p, const atn_sim *s)
{
    i64(p, s->packed > 0 ? s->packed : -1);
    f64(p, s->pairs);
    f64(p, 1 / s->bounds.flop);
    f64(p, 1 / s->bounds.sum);
    f64(p, s->flops);
    f64(p, s->bytes);
    f64(p, s->intensity);
    f64(p, s->visited);
    f64(p, s->full);
    f64(p, s->partial);
    f64(p, s->padding);
    f64(p, s->flex_full);
    f64(p, s->flex_partial);
    f64(p, s->max);
    f64(p, s->ctas);
    f64(p, s->waste);
    yes(p, s->partial == 0);
    yes(p, s->tiles.natten_sparse);
    f64(p, s->bounds.flop);
    f64(p, s->bounds.sum);
    f64(p, s->bounds.max);
}

static atn_status time_cells(put *p, const atn_sim_case *c)
{
    const atn_sim *s = c->sim;
    const bool decode = s->shape.pass == ATN_PASS_DECODE;
    atn_ctx *cx = p->cx;
    atn_status st = ATN_OK;

    f64(p, s->kernel_ms);
    f64(p, s->passes_ms);
    f64(p, s->time_ms);
    f64(p, s->low_ms);
    f64(p, s->high_ms);
    ATN_TRY(str(p, c->opts->dense ? c->opts->dense->id : c->opts->kernel->id));
    ATN_TRY(str(p, s->causal && !decode ? "causal" : "full"));
    f64(p, s->dense_ms);
    f64(p, s->speedup);
    f64(p, s->speedup_low);
    f64(p, s->speedup_high);
    f64(p, s->whole_ms);
    f64(p, s->whole_speedup);
    f64(p, s->break_even);
    f64(p, 1 - s->break_even);
    f64(p, s->break_even_tiles);
    f64(p, s->work.waves);
    f64(p, s->work.occupancy);
    i64(p, decode ? -1 : s->work.splits_taken);
    ATN_TRY(str(p, atn_limit_names[s->limit]));
    ATN_TRY(str(p, s->model.how));
    ATN_TRY(str(p, s->note));
done:
    return st;
}

static atn_status case_row(atn_ctx *cx, atn_table *t, const atn_sim_case *c)
{
    put p = {.cx = cx, .table = t};
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(launch_cells(&p, c));
    count_cells(&p, c->sim);
    ATN_TRY(time_cells(&p, c));
    ATN_ASSERT(p.col == (int)ATN_LEN(columns));
done:
    return st;
}

typedef struct head {
    const char *kind, *title;
    const column *columns;
    int n;
} head;

static const head cases_head = {"simulate", "Simulated attention", columns,
                                (int)ATN_LEN(columns)};

static atn_status begin(atn_ctx *cx, const head *h, atn_table **out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, h->kind, out));
    ATN_TRY(atn_table_set_meta(cx, *out, "title", h->title));
    for (int i = 0; i < h->n; i++) {
        const column *c = &h->columns[i];

        ATN_TRY(atn_table_add_col(cx, *out, c->name, c->type, c->unit, c->text, NULL));
    }
done:
    return st;
}

static void drop(atn_ctx *cx, atn_table **t)
{
    atn_table_destroy(cx, *t);
    *t = NULL;
}

atn_status atn_sim_table(atn_ctx *cx, const atn_sim_case *c, int n, atn_table **out)
{
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TRY(begin(cx, &cases_head, out));
    for (int i = 0; i < n; i++) ATN_TRY(case_row(cx, *out, &c[i]));
done:
    if (st != ATN_OK) drop(cx, out);
    return st;
}

static const column steps[] = {
    STR("pattern", "as it was asked for"),
    STR("gpu", "device"),
    STR("kernel", "kernel of the pattern"),
    I64("step", "", "place in the waterfall"),
    STR("id", "the step"),
    STR("text", "what is taken into account, too"),
    F64("time_ms", "ms", "time with it; of the last step that of everything"),
    F64("speedup", "", "over the dense launch; none below 0.1 ms"),
    F64("ratio", "", "speed-up over that of the step before"),
    STR("limited_by", "what the time is made of"),
};

static const head steps_head = {"waterfall", "Where the gain goes", steps,
                                (int)ATN_LEN(steps)};

static atn_status step_row(atn_ctx *cx, atn_table *t, const atn_sim_case *c, int i)
{
    const atn_sim_step *s = &c->sim->step[i];
    put p = {.cx = cx, .table = t};
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(str(&p, c->pattern));
    ATN_TRY(str(&p, c->opts->device->id));
    ATN_TRY(str(&p, c->opts->kernel->id));
    i64(&p, i);
    ATN_TRY(str(&p, s->id));
    ATN_TRY(str(&p, s->text));
    f64(&p, s->time_ms);
    f64(&p, s->speedup);
    f64(&p, i > 0 ? s->speedup / s[-1].speedup : 1);
    ATN_TRY(str(&p, atn_limit_names[c->sim->limit]));
done:
    return st;
}

atn_status atn_sim_waterfall(atn_ctx *cx, const atn_sim_case *c, int n, atn_table **out)
{
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TRY(begin(cx, &steps_head, out));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c[i].sim->steps; k++) ATN_TRY(step_row(cx, *out, &c[i], k));
done:
    if (st != ATN_OK) drop(cx, out);
    return st;
}
