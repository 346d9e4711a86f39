/* capture/forward_embed.c -- the rows that enter the first layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <math.h>

enum { EMBED_ROWS = 64 };

/* A table of embeddings, and which of its rows stands at which position. */
typedef struct table {
    const atn_pass *ps;
    const atn_st_tensor *t;
    const char *what; /* that a row belongs to: "token id" */
    const int32_t *rows;
} table;

/* Of EMBED_ROWS positions: a row with NaN or infinity is named. */
static atn_status check_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const table *b = state;
    const atn_idx width = b->ps->c->width, first = piece * EMBED_ROWS;
    const size_t row = atn_dtype_bytes(b->t->type, width);
    atn_status st = ATN_OK;

    for (atn_idx i = first; i < ATN_MIN(first + EMBED_ROWS, b->ps->n); i++)
        if (!atn_all_finite((const char *)b->t->data + (size_t)b->rows[i] * row,
                            b->t->type, width))
            ATN_FAIL(ATN_DATA,
                     "%s: weight \"%s\" holds NaN or infinity in row %d, %s %d",
                     b->t->path, b->t->name, b->rows[i], b->what, b->rows[i]);
done:
    return st;
}

/* x = rows of the table `name`, or x += them; no name, no table. */
static atn_status embed_table(atn_ctx *cx, atn_pass *ps, const char *name,
                              const char *what, const int32_t *rows, bool add)
{
    const atn_idx n = ps->n, width = ps->c->width;
    table b = {ps, name ? atn_model_tensor(ps->m, name, 0, false) : NULL, what, rows};
    atn_status st = ATN_OK;

    if (!b.t) return ATN_OK;
    ATN_TRY(atn_parallel(cx, (n + EMBED_ROWS - 1) / EMBED_ROWS, check_rows, &b,
                         "embedding"));
    ATN_TRY(cx->backend->embed(cx, b.t->data, b.t->type, rows, n, width, add,
                               atn_buf_at(ps->x, 0, n * width)));
done:
    return st;
}

/* Only the rows that are needed are read from the file. Token types are all 0. */
atn_status atn_pass_embed(atn_ctx *cx, atn_pass *ps)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_arch_names *names = &ps->c->arch->names;
    const atn_idx width = ps->c->width, n = ps->n;
    atn_status st = ATN_OK;
    int32_t *places = NULL, *types = NULL;

    ATN_TAKE(places, n);
    ATN_TAKE(types, n);
    for (atn_idx i = 0; i < n; i++) {
        places[i] = (int32_t)i;
        types[i] = 0;
    }
    ATN_TRY(embed_table(cx, ps, names->embed, "token id", ps->args->input.ids, false));
    if (ps->c->arch->scaled_embed)
        ATN_TRY(
            atn_pass_map(cx, ps->x, n * width, atn_host_scale, sqrt((double)width)));
    ATN_TRY(embed_table(cx, ps, names->type, "token type", types, true));
    ATN_TRY(embed_table(cx, ps, names->position, "position", places, true));
    if (names->embed_norm) {
        ATN_TRY(atn_pass_load_norm(cx, ps, names->embed_norm));
        ATN_TRY(atn_pass_norm(cx, ps, ps->x, ps->norm1_w, ps->norm1_b, ps->x));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
