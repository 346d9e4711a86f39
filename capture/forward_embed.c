/* capture/forward_embed.c -- the rows that enter the first layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <math.h>
#include <stdio.h>

enum { EMBED_ROWS = 64 };

/* A table of embeddings, and which of its rows stands at which position. */
typedef struct table {
    const atn_pass *ps;
    const atn_st_tensor *t;
    const char *what; /* whose number the row has: "token id"; NULL = nothing's */
    const int32_t *rows;
    atn_idx width;
} table;

static atn_status bad_row(atn_ctx *cx, const table *b, int32_t row)
{
    char who[60] = "";

    if (b->what) snprintf(who, sizeof who, ", %s %d", b->what, row);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: weight \"%s\" holds NaN or infinity in row %d%s", b->t->path,
                    b->t->name, row, who);
}

/* Of EMBED_ROWS positions: a row with NaN or infinity is named. */
static atn_status check_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const table *b = state;
    const atn_idx first = piece * EMBED_ROWS;
    const size_t row = atn_dtype_bytes(b->t->type, b->width);
    atn_status st = ATN_OK;

    for (atn_idx i = first; i < ATN_MIN(first + EMBED_ROWS, b->ps->n); i++)
        if (!atn_all_finite((const char *)b->t->data + (size_t)b->rows[i] * row,
                            b->t->type, b->width))
            ATN_TRY(bad_row(cx, b, b->rows[i]));
done:
    return st;
}

/* x = rows of the table `name`, or x += them; no name, no table. */
static atn_status embed_table(atn_ctx *cx, atn_pass *ps, const char *name,
                              const char *what, const int32_t *rows, atn_buf x)
{
    const atn_idx n = ps->n;
    const bool add = rows != ps->ids;
    table b = {ps, name ? atn_model_tensor(ps->m, name, 0, false) : NULL, what, rows,
               x.count / n};
    atn_status st = ATN_OK;

    if (!b.t) return ATN_OK;
    ATN_TRY(atn_parallel(cx, (n + EMBED_ROWS - 1) / EMBED_ROWS, check_rows, &b,
                         "embedding"));
    ATN_TRY(cx->backend->embed(cx, b.t->data, b.t->type, rows, n, b.width, add, x));
done:
    return st;
}

/* The row of the position table of each token. */
static void find_positions(const atn_pass *ps, int32_t *rows)
{
    const atn_config *c = ps->c;
    const atn_arch *a = c->arch;
    int32_t rank = 0;

    for (atn_idx i = 0; i < ps->n; i++) {
        const bool padding =
            a->position_rule == ATN_POSITION_PAD && ps->ids[i] == c->pad;

        rows[i] = (int32_t)i;
        if (a->position_rule == ATN_POSITION_SKIP) rows[i] += (int32_t)a->position_skip;
        if (a->position_rule == ATN_POSITION_PAD)
            rows[i] = (int32_t)c->pad + (padding ? 0 : ++rank);
    }
}

/* ps->x = e W^T (+ b) for embeddings e of their own width. */
static atn_status map_embeddings(atn_ctx *cx, atn_pass *ps, atn_buf e)
{
    const atn_config *c = ps->c;
    const bool bias = c->arch->embed_map == ATN_MAP_ALL;
    atn_status st = ATN_OK;
    atn_buf w = {0}, b = {0};

    ATN_TRY(atn_pass_load_map(cx, ps, c->arch->names.embed_map, &w, bias ? &b : NULL));
    ATN_TRY(cx->backend->linear(cx, e, w, b, false, false, ps->n, c->width,
                                c->embed_width, ps->x));
done:
    cx->backend->release(cx, &w);
    cx->backend->release(cx, &b);
    return st;
}

/* Only the rows that are needed are read from the file. Token types are all 0. */
atn_status atn_pass_embed(atn_ctx *cx, atn_pass *ps)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_config *c = ps->c;
    const atn_arch_names *names = &ps->stack->names;
    const bool maps = atn_config_maps(c), words = c->arch->embed_map == ATN_MAP_WORDS;
    const char *place =
        c->arch->position_rule == ATN_POSITION_PLAIN ? "position" : NULL;
    const atn_idx n = ps->n;
    atn_status st = ATN_OK;
    atn_buf e = {0}, x = atn_buf_at(ps->x, 0, n * c->width);
    int32_t *rows = NULL, *types = NULL;

    ATN_TAKE(rows, n);
    ATN_TAKE(types, n);
    for (atn_idx i = 0; i < n; i++) types[i] = 0;
    find_positions(ps, rows);
    if (maps) {
        ATN_TRY(cx->backend->alloc(cx, ATN_F32, n * c->embed_width, &e));
        x = e;
    }
    ATN_TRY(embed_table(cx, ps, names->embed, "token id", ps->ids, x));
    if (c->arch->scaled_embed)
        ATN_TRY(
            atn_pass_map(cx, x, x.count, atn_host_scale, sqrt((double)(x.count / n))));
    if (maps && words) {
        ATN_TRY(map_embeddings(cx, ps, e));
        x = atn_buf_at(ps->x, 0, n * c->width);
    }
    ATN_TRY(embed_table(cx, ps, names->type, "token type", types, x));
    ATN_TRY(embed_table(cx, ps, names->position, place, rows, x));
    if (names->embed_norm) {
        ATN_TRY(atn_pass_load_norm(cx, ps, names->embed_norm));
        ATN_TRY(cx->backend->norm(cx, c->arch->norm, x, ps->norm1_w, ps->norm1_b,
                                  (float)c->eps, c->arch->norm_offset, n, x.count / n,
                                  x));
    }
    if (maps && !words) ATN_TRY(map_embeddings(cx, ps, e));
done:
    cx->backend->release(cx, &e);
    atn_arena_rewind(cx, mark);
    return st;
}
