/* simulators/measure.c -- which launches are timed, and timing them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/measure.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/cuda/sparse_attention_cuda.h"
#include "core/mat.h"

/* ---- the launches ---- */

static const atn_idx lengths[] = {512, 1024, 2048, 4096, 8192, 16384};
static const atn_idx quick_lengths[] = {512, 2048, 8192};
static const atn_idx heads[][2] = {{4, 4}, {32, 8}, {16, 16}, {32, 32}, {64, 8}};
static const atn_idx batches[] = {1, 2, 8};
static const int head_dims[] = {64, 128};
/* What is computed: everything (0, 1), windows, shares of the tiles. */
static const struct {
    atn_idx window;
    double density;
    bool quick;
} masks[] = {{0, 1, true},     {128, 1, true}, {1024, 1, true}, {8192, 1, false},
             {0, 0.05, false}, {0, 0.1, true}, {0, 0.2, false}, {0, 0.5, true}};

enum { QUICK_HEADS = 2, QUICK_BATCHES = 1, WARM = 3 };

typedef struct grid {
    const atn_measure_plan *plan;
    const atn_idx *length;
    size_t lengths, heads, batches;
} grid;

static grid grid_of(const atn_measure_plan *plan)
{
    grid g = {plan, lengths, ATN_LEN(lengths), ATN_LEN(heads), ATN_LEN(batches)};

    if (plan->quick) {
        g.length = quick_lengths;
        g.lengths = ATN_LEN(quick_lengths);
        g.heads = QUICK_HEADS;
        g.batches = QUICK_BATCHES;
    }
    if (plan->tokens) {
        g.length = &plan->tokens;
        g.lengths = 1;
    }
    return g;
}

/* FNV-1a of the shape. */
static const char *split_of(const atn_timing *row)
{
    const atn_launch *s = &row->launch;
    uint32_t hash = 2166136261u;
    char text[160];

    snprintf(text, sizeof text, "%lld %lld %lld %lld %lld %lld %.3f",
             (long long)s->batch, (long long)s->q_len, (long long)s->heads,
             (long long)s->kv_heads, (long long)s->head_dim, (long long)row->window,
             row->density);
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    return (hash >> 16 ^ hash) & 1 ? "check" : "fit";
}

static atn_sight sight_of(const atn_timing *row)
{
    return (atn_sight){
        .causal = true, .window = row->window, .key_last = row->launch.kv_len};
}

static atn_sparse_launch launch_of(const atn_timing *row)
{
    const atn_launch *s = &row->launch;

    return (atn_sparse_launch){.heads = s->batch * s->heads,
                               .kv_heads = s->batch * s->kv_heads,
                               .nq = s->q_len,
                               .nk = s->kv_len,
                               .d = s->head_dim,
                               .scale = 1 / sqrt((double)s->head_dim),
                               .sight = sight_of(row)};
}

/* With its lists, all tiles of all heads at most. */
static double bytes_of(const atn_timing *row)
{
    const atn_sparse_launch l = launch_of(row);
    const double across = ceil((double)l.nk / ATN_SPARSE_KEYS),
                 tiles = ceil((double)l.nq / ATN_SPARSE_ROWS);
    const double lists = row->density < 1 ? (double)row->launch.heads : 1;

    return atn_sparse_bytes(&l) + lists * tiles * (4 * across + 8);
}

/* Adds the row where it is one that is timed; `to` NULL counts it alone. */
static void add(const grid *g, const atn_timing *row, bool quick, atn_timing *to,
                atn_idx *n)
{
    const atn_measure_plan *p = g->plan;

    if (p->quick && !quick) return;
    if (row->window >= row->launch.q_len) return;
    if (p->head_dim && p->head_dim != row->launch.head_dim) return;
    if (bytes_of(row) > p->bytes) return;
    if (to) {
        to[*n] = *row;
        snprintf(to[*n].gpu, sizeof to[*n].gpu, "%s", p->gpu);
        snprintf(to[*n].kernel, sizeof to[*n].kernel, "attnscope");
        snprintf(to[*n].split, sizeof to[*n].split, "%s", split_of(row));
    }
    ++*n;
}

static void add_shape(const grid *g, const atn_launch *s, atn_timing *to, atn_idx *n)
{
    for (size_t m = 0; m < ATN_LEN(masks); m++) {
        const atn_timing row = {.launch = *s,
                                .window = masks[m].window,
                                .window_given = masks[m].window,
                                .density = masks[m].density};

        add(g, &row, masks[m].quick, to, n);
    }
}

static atn_idx walk(const grid *g, atn_timing *to)
{
    atn_idx n = 0;

    for (size_t d = 0; d < ATN_LEN(head_dims); d++)
        for (size_t i = 0; i < g->lengths; i++)
            for (size_t h = 0; h < g->heads; h++)
                for (size_t b = 0; b < g->batches; b++) {
                    const atn_launch s = {.pass = ATN_PASS_FORWARD,
                                          .batch = batches[b],
                                          .heads = heads[h][0],
                                          .kv_heads = heads[h][1],
                                          .head_dim = head_dims[d],
                                          .value_dim = head_dims[d],
                                          .q_len = g->length[i],
                                          .kv_len = g->length[i],
                                          .bytes = 2,
                                          .causal = true};

                    add_shape(g, &s, to, &n);
                }
    return n;
}

atn_status atn_measure_rows(atn_ctx *cx, const atn_measure_plan *plan, atn_timings *out)
{
    const grid g = grid_of(plan);
    atn_status st = ATN_OK;

    *out = (atn_timings){0};
    out->n = walk(&g, NULL);
    if (out->n == 0)
        ATN_FAIL(
            ATN_DATA,
            "no launch is left to time: head dims are 64 and 128, and the smallest "
            "shape must fit into %.0f MiB",
            plan->bytes / 1048576);
    ATN_NEW(out->row, out->n);
    walk(&g, out->row);
done:
    return st;
}

/* ---- timing ---- */

static atn_status make_list(atn_ctx *cx, const atn_timing *row, atn_tile_list *out)
{
    const atn_sight sight = sight_of(row);
    const atn_tile_sizes sizes = {row->launch.q_len, row->launch.kv_len,
                                  ATN_SPARSE_ROWS, ATN_SPARSE_KEYS};
    atn_tile_list all;
    atn_status st = ATN_OK;

    ATN_TRY(atn_tile_list_of_sight(cx, &sight, &sizes, &all));
    if (row->density >= 1) {
        *out = all;
        return ATN_OK;
    }
    st = atn_tile_list_thin(cx, &all, row->density, row->launch.heads, out);
    atn_tile_list_release(cx, &all);
done:
    return st;
}

static atn_status time_row(atn_ctx *cx, atn_timing *row, int reps, double *seconds)
{
    atn_sparse_launch l = launch_of(row);
    atn_status st = ATN_OK;

    ATN_TRY(make_list(cx, row, &l.list));
    ATN_TRY(atn_sparse_time(cx, &l, WARM, reps, seconds));
    atn_sort(seconds, reps);
    row->us = 1e6 * (seconds[(reps - 1) / 2] + seconds[reps / 2]) / 2;
done:
    atn_tile_list_release(cx, &l.list);
    return st;
}

/* Of a card that others use as well the memory may be gone: such a launch is left
 * out. */
static atn_status time_or_skip(atn_ctx *cx, atn_timing *row, int reps, double *seconds)
{
    const atn_launch *l = &row->launch;
    const atn_status st = time_row(cx, row, reps, seconds);

    if (st != ATN_MEMORY) return st;
    atn_log(cx, ATN_LOG_WARN, "left out: batch %lld, %lld heads, %lld tokens: %s",
            (long long)l->batch, (long long)l->heads, (long long)l->q_len,
            cx->err.text);
    atn_err_forgive(cx);
    row->us = 0;
    return ATN_OK;
}

atn_status atn_measure_run(atn_ctx *cx, atn_timings *rows, int reps)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *seconds = NULL;
    atn_idx kept = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(seconds, reps);
    for (atn_idx i = 0; i < rows->n; i++) {
        ATN_TRY(atn_progress(cx, "measure", (double)i, (double)rows->n));
        ATN_TRY(time_or_skip(cx, &rows->row[i], reps, seconds));
        if (rows->row[i].us > 0) rows->row[kept++] = rows->row[i];
    }
    ATN_TRY(atn_progress(cx, "measure", (double)rows->n, (double)rows->n));
    if (kept == 0)
        ATN_FAIL(ATN_MEMORY, "no launch was timed: none found memory for itself");
    rows->n = kept;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the table ---- */

typedef enum column {
    GPU,
    KERNEL,
    PHASE,
    BATCH,
    Q_LEN,
    KV_LEN,
    HEADS,
    KV_HEADS,
    HEAD_DIM,
    WINDOW,
    DENSITY,
    BLOCK,
    LATENCY,
    SPLIT,
    COLUMNS
} column;

static const struct {
    const char *name;
    atn_col_type type;
    const char *unit;
} columns[COLUMNS] = {
    [GPU] = {"gpu", ATN_COL_STR, ""},
    [KERNEL] = {"kernel", ATN_COL_STR, ""},
    [PHASE] = {"phase", ATN_COL_STR, ""},
    [BATCH] = {"batch", ATN_COL_I64, ""},
    [Q_LEN] = {"q_len", ATN_COL_I64, "tokens"},
    [KV_LEN] = {"kv_len", ATN_COL_I64, "tokens"},
    [HEADS] = {"heads", ATN_COL_I64, ""},
    [KV_HEADS] = {"kv_heads", ATN_COL_I64, ""},
    [HEAD_DIM] = {"head_dim", ATN_COL_I64, ""},
    [WINDOW] = {"window", ATN_COL_I64, "tokens"},
    [DENSITY] = {"density", ATN_COL_F64, ""},
    [BLOCK] = {"block", ATN_COL_STR, ""},
    [LATENCY] = {"latency_ms", ATN_COL_F64, "ms"},
    [SPLIT] = {"split", ATN_COL_STR, ""},
};

static atn_status fill_row(atn_ctx *cx, atn_table *t, const atn_timing *row)
{
    const atn_launch *s = &row->launch;
    char block[32];
    atn_status st = ATN_OK;

    snprintf(block, sizeof block, "%dx%d", ATN_SPARSE_ROWS, ATN_SPARSE_KEYS);
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, GPU, row->gpu));
    ATN_TRY(atn_table_set_str(cx, t, KERNEL, row->kernel));
    ATN_TRY(atn_table_set_str(cx, t, PHASE, "context"));
    ATN_TRY(atn_table_set_str(cx, t, BLOCK, block));
    ATN_TRY(atn_table_set_str(cx, t, SPLIT, row->split));
    atn_table_set_i64(t, BATCH, s->batch);
    atn_table_set_i64(t, Q_LEN, s->q_len);
    atn_table_set_i64(t, KV_LEN, s->kv_len);
    atn_table_set_i64(t, HEADS, s->heads);
    atn_table_set_i64(t, KV_HEADS, s->kv_heads);
    atn_table_set_i64(t, HEAD_DIM, s->head_dim);
    atn_table_set_i64(t, WINDOW, row->window);
    atn_table_set_f64(t, DENSITY, row->density);
    if (row->us > 0) atn_table_set_f64(t, LATENCY, row->us / 1000);
done:
    return st;
}

atn_status atn_measure_table(atn_ctx *cx, const atn_timings *rows, atn_table **out)
{
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "timings", &t));
    for (int c = 0; c < COLUMNS; c++)
        ATN_TRY(atn_table_add_col(cx, t, columns[c].name, columns[c].type,
                                  columns[c].unit, NULL, NULL));
    for (atn_idx i = 0; i < rows->n; i++) ATN_TRY(fill_row(cx, t, &rows->row[i]));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- the name of a GPU ---- */

/* The piece [from, from + n) stands in the name as whole words, spaces and hyphens
 * passed over: rtx4090 in "RTX 4090". */
static bool has_words(const char *name, const char *piece, size_t n)
{
    for (const char *at = name; *at; at++) {
        const char *c = at;
        size_t i = 0;

        if (!isalnum((unsigned char)*at) ||
            (at > name && isalnum((unsigned char)at[-1])))
            continue;
        for (; i < n && *c; c++) {
            if (!isalnum((unsigned char)*c)) continue;
            if (tolower((unsigned char)*c) != piece[i]) break;
            i++;
        }
        if (i == n && !isalnum((unsigned char)*c)) return true;
    }
    return false;
}

/* Pieces of the id, all of them words of the name; 0 = one is not. */
static int pieces_in(const char *name, const char *id)
{
    int n = 0;

    for (const char *at = id;; n++) {
        const size_t size = strcspn(at, "-");

        if (size == 0 || !has_words(name, at, size)) return 0;
        at += size;
        if (!*at++) return n + 1;
    }
}

const char *atn_measure_device(const char *name)
{
    const char *best = NULL, *id;
    int most = 0;

    for (int i = 0; (id = atn_device_id(i)) != NULL; i++) {
        const int n = pieces_in(name, id);

        if (n > most) {
            most = n;
            best = id;
        }
    }
    return best;
}
