/* simulators/parallel_table.c -- context parallelism as a table. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "simulators/parallel.h"

enum {
    PATTERN,
    TOKENS,
    GPU,
    KERNEL,
    PASS,
    BATCH,
    HEADS,
    KV_HEADS,
    HEAD_DIM,
    GPUS,
    SCHEME,
    ORDER,
    ULYSSES,
    BALANCE,
    REDUNDANT,
    VOLUME,
    OUTER,
    COMPUTE,
    EXPOSED,
    TIME,
    TIME_LOW,
    TIME_HIGH,
    SINGLE,
    EFFICIENCY,
    SPEEDUP,
    HIDDEN,
    LIMIT,
    MEMORY,
    FITS,
    SINGLE_FITS,
    MODEL,
    NOTE,
    COLUMNS
};

static const struct {
    const char *name;
    atn_col_type type;
    const char *unit, *text;
} columns[COLUMNS] = {
    {"pattern", ATN_COL_STR, "", "the pattern"},
    {"tokens", ATN_COL_I64, "", "of the sequence"},
    {"gpu", ATN_COL_STR, "", "the device"},
    {"kernel", ATN_COL_STR, "", "that runs on each; not of linear attention"},
    {"pass", ATN_COL_STR, "", "forward, or forward+backward"},
    {"batch", ATN_COL_I64, "", "sequences"},
    {"num_heads", ATN_COL_I64, "", "query heads"},
    {"num_kv_heads", ATN_COL_I64, "", "heads of keys"},
    {"head_dim", ATN_COL_I64, "", "numbers of a query"},
    {"gpus", ATN_COL_I64, "", "that share the sequence"},
    {"scheme", ATN_COL_STR, "", "what is sent to whom"},
    {"order", ATN_COL_STR, "", "which tokens a GPU has"},
    {"ulysses", ATN_COL_I64, "", "GPUs of a group that deals out heads; 1 = none"},
    {"balance", ATN_COL_F64, "", "mean work over that of the slowest, by pairs"},
    {"redundant_share", ATN_COL_F64, "", "of the keys received that no query sees"},
    {"volume_gb", ATN_COL_F64, "GB", "that a GPU sends in a layer"},
    {"volume_outer_gb", ATN_COL_F64, "GB", "of it to another node, by a double ring"},
    {"compute_ms", ATN_COL_F64, "ms",
     "attention and merging, slowest GPU of each step"},
    {"exposed_ms", ATN_COL_F64, "ms", "transfers that nothing hides"},
    {"time_ms", ATN_COL_F64, "ms", "of the layer's attention"},
    {"time_low_ms", ATN_COL_F64, "ms",
     "5 % of the measurements of the kernel's model are below, what is exposed as it "
     "is"},
    {"time_high_ms", ATN_COL_F64, "ms", "95 % are below"},
    {"single_ms", ATN_COL_F64, "ms", "the same on one GPU, were its memory enough"},
    {"efficiency", ATN_COL_F64, "", "single_ms / gpus / time_ms"},
    {"speedup", ATN_COL_F64, "", "single_ms / time_ms"},
    {"tokens_per_gpu_hidden", ATN_COL_F64, "",
     "from so many tokens a GPU on the ring's transfers are hidden"},
    {"limited_by", ATN_COL_STR, "",
     "the largest loss: link, network, balance, merge, launches; attention = none"},
    {"memory_gb", ATN_COL_F64, "GB", "of a GPU for one layer's attention"},
    {"fits", ATN_COL_BOOL, "", "that is in its memory"},
    {"single_fits", ATN_COL_BOOL, "", "all of it is in one GPU's"},
    {"model", ATN_COL_STR, "", "where the kernel's times come from, and what to know"},
    {"note", ATN_COL_STR, "", "why a scheme is not possible"},
};

static void set(atn_table *t, int col, double x)
{
    if (!isnan(x)) atn_table_set_f64(t, col, x);
}

static void set_numbers(atn_table *t, const atn_cp_result *r)
{
    const bool two = atn_cp_schemes[r->scheme].kind == ATN_CP_DOUBLE_RING;

    set(t, BALANCE, r->balance);
    set(t, REDUNDANT, r->redundant);
    set(t, VOLUME, r->volume.total / 1e9);
    if (two) set(t, OUTER, r->volume.outer / 1e9);
    set(t, COMPUTE, r->compute_ms);
    set(t, EXPOSED, r->exposed_ms);
    set(t, TIME, r->time_ms);
    set(t, TIME_LOW, r->time_low_ms);
    set(t, TIME_HIGH, r->time_high_ms);
    set(t, SINGLE, r->single_ms);
    set(t, EFFICIENCY, r->efficiency);
    set(t, SPEEDUP, r->speedup);
    set(t, HIDDEN, r->hidden_tokens);
    set(t, MEMORY, r->memory_gb);
    atn_table_set_bool(t, FITS, r->fits);
    atn_table_set_bool(t, SINGLE_FITS, r->single_fits);
}

static bool is_linear(const atn_cp_result *r)
{
    const atn_cp_kind kind = atn_cp_schemes[r->scheme].kind;

    return kind == ATN_CP_LASP || kind == ATN_CP_LASP2;
}

/* What is simulated. */
static atn_status set_case(atn_ctx *cx, atn_table *t, const atn_cp_case *c, bool linear)
{
    const atn_launch *l = &c->sim->shape;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_set_str(cx, t, PATTERN, c->pattern));
    atn_table_set_i64(t, TOKENS, c->tokens);
    ATN_TRY(atn_table_set_str(cx, t, GPU, c->sim->device->id));
    if (!linear) ATN_TRY(atn_table_set_str(cx, t, KERNEL, c->sim->kernel->id));
    ATN_TRY(atn_table_set_str(cx, t, PASS,
                              c->opts->backward ? "forward+backward" : "forward"));
    atn_table_set_i64(t, BATCH, l->batch);
    atn_table_set_i64(t, HEADS, l->heads);
    atn_table_set_i64(t, KV_HEADS, l->kv_heads > 0 ? l->kv_heads : l->heads);
    atn_table_set_i64(t, HEAD_DIM, l->head_dim);
done:
    return st;
}

static atn_status add_row(atn_ctx *cx, atn_table *t, const atn_cp_case *c,
                          const atn_cp_result *r)
{
    const bool linear = is_linear(r);
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(set_case(cx, t, c, linear));
    atn_table_set_i64(t, GPUS, c->opts->gpus);
    ATN_TRY(atn_table_set_str(cx, t, SCHEME, atn_cp_schemes[r->scheme].name));
    ATN_TRY(atn_table_set_str(cx, t, ORDER, atn_cp_order_names[r->order]));
    atn_table_set_i64(t, ULYSSES, r->ulysses);
    if (*r->note) {
        ATN_TRY(atn_table_set_str(cx, t, NOTE, r->note));
    } else {
        set_numbers(t, r);
        ATN_TRY(atn_table_set_str(cx, t, LIMIT, r->limited_by));
        ATN_TRY(atn_table_set_str(cx, t, MODEL,
                                  linear ? "linear attention, a roofline of the data "
                                           "sheet"
                                         : c->cp->model));
    }
done:
    return st;
}

atn_status atn_cp_table(atn_ctx *cx, const atn_cp_case *c, int n, atn_table **out)
{
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "context_parallel", &t));
    for (int i = 0; i < COLUMNS; i++)
        ATN_TRY(atn_table_add_col(cx, t, columns[i].name, columns[i].type,
                                  columns[i].unit, columns[i].text, NULL));
    ATN_TRY(atn_table_set_meta(cx, t, "title", "Context parallelism"));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c[i].cp->n; k++)
            ATN_TRY(add_row(cx, t, &c[i], &c[i].cp->result[k]));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
