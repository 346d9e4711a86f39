/* approx/grouping.c -- groups of a plan, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/grouping.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels/kernels.h"

atn_status atn_grouping_open(atn_ctx *cx, const atn_grouping_size *s, const char *what,
                             atn_grouping *out)
{
    const double bytes = 16 * (double)s->groups + 4 * (double)s->rows +
                         (s->weighted ? 8 : 4) * (double)s->keys;
    atn_status st = ATN_OK;

    *out = (atn_grouping){0};
    ATN_TRY(atn_mem_check(cx, bytes, what));
    ATN_NEW(out->g.row_ptr, s->groups + 1);
    ATN_NEW(out->g.key_ptr, s->groups + 1);
    ATN_NEW(out->g.row, s->rows);
    ATN_NEW(out->g.key, s->keys);
    if (s->weighted) ATN_NEW(out->g.log_weight, s->keys);
    out->room = s->groups;
    out->row_room = s->rows;
    out->key_room = s->keys;
done:
    if (st != ATN_OK) atn_grouping_release(cx, out);
    return st;
}

void atn_grouping_release(atn_ctx *cx, atn_grouping *g)
{
    atn_free(cx, g->g.row_ptr);
    atn_free(cx, g->g.key_ptr);
    atn_free(cx, g->g.row);
    atn_free(cx, g->g.key);
    atn_free(cx, g->g.log_weight);
    *g = (atn_grouping){0};
}

/* At least `need` of `size` bytes each at *ptr. */
static atn_status grow(atn_ctx *cx, void **ptr, atn_idx need, size_t size)
{
    void *more = atn_realloc(cx, *ptr, need, size);

    if (!more) return cx->err.code;
    *ptr = more;
    return ATN_OK;
}

atn_status atn_grouping_begin(atn_ctx *cx, atn_grouping *g)
{
    atn_groups *to = &g->g;
    atn_status st = ATN_OK;

    if (to->n == g->room) {
        const atn_idx room = 2 * g->room + 8;

        ATN_TRY(grow(cx, (void **)&to->row_ptr, room + 1, sizeof *to->row_ptr));
        ATN_TRY(grow(cx, (void **)&to->key_ptr, room + 1, sizeof *to->key_ptr));
        g->room = room;
    }
    to->n++;
    to->row_ptr[to->n] = to->row_ptr[to->n - 1];
    to->key_ptr[to->n] = to->key_ptr[to->n - 1];
done:
    return st;
}

atn_status atn_grouping_rows(atn_ctx *cx, atn_grouping *g, const int32_t *rows,
                             atn_idx n)
{
    atn_groups *to = &g->g;
    const int64_t at = to->row_ptr[to->n];
    atn_status st = ATN_OK;

    ATN_ASSERT(to->n > 0);
    if (at + n > g->row_room) {
        const atn_idx room = ATN_MAX(at + n, 2 * g->row_room);

        ATN_TRY(grow(cx, (void **)&to->row, room, sizeof *to->row));
        g->row_room = room;
    }
    if (n > 0) memcpy(to->row + at, rows, (size_t)n * sizeof *rows);
    to->row_ptr[to->n] = at + n;
done:
    return st;
}

atn_status atn_grouping_keys(atn_ctx *cx, atn_grouping *g, const int32_t *keys,
                             atn_idx n, double log_weight)
{
    atn_groups *to = &g->g;
    const int64_t at = to->key_ptr[to->n];
    atn_status st = ATN_OK;

    ATN_ASSERT(to->n > 0 && (to->log_weight || log_weight == 0));
    if (at + n > g->key_room) {
        const atn_idx room = ATN_MAX(at + n, 2 * g->key_room);

        ATN_TRY(grow(cx, (void **)&to->key, room, sizeof *to->key));
        if (to->log_weight)
            ATN_TRY(grow(cx, (void **)&to->log_weight, room, sizeof *to->log_weight));
        g->key_room = room;
    }
    if (n > 0) memcpy(to->key + at, keys, (size_t)n * sizeof *keys);
    for (atn_idx e = 0; to->log_weight && e < n; e++)
        to->log_weight[at + e] = (float)log_weight;
    to->key_ptr[to->n] = at + n;
done:
    return st;
}

void atn_grouping_finish(atn_ctx *cx, atn_grouping *g, atn_branch *to)
{
    if (g->g.n == 0) {
        atn_grouping_release(cx, g);
        return;
    }
    ATN_ASSERT(to->parts < ATN_PARTS_MOST);
    to->part[to->parts++].groups = g->g;
    *g = (atn_grouping){0};
}

/* ---- orders ---- */

static int by_value(const void *a_, const void *b_)
{
    const int64_t a = *(const int64_t *)a_, b = *(const int64_t *)b_;

    return (a > b) - (a < b);
}

atn_status atn_label_order(atn_ctx *cx, const int32_t *label, atn_idx n, int32_t *order)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int64_t *both = NULL;

    ATN_TAKE(both, n);
    for (atn_idx i = 0; i < n; i++) both[i] = ((int64_t)label[i] << 32) + i;
    if (n > 1) qsort(both, (size_t)n, sizeof *both, by_value);
    for (atn_idx i = 0; i < n; i++) order[i] = (int32_t)(both[i] & 0xffffffff);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_unit_rows(atn_cmat x, float *out)
{
    for (atn_idx i = 0; i < x.rows; i++) {
        const float *row = atn_crow(x, i);
        const double length = sqrt(atn_row_square(row, x.cols));

        for (atn_idx c = 0; c < x.cols; c++)
            out[i * x.cols + c] = length > 0 ? (float)((double)row[c] / length) : 0;
    }
}

int32_t atn_gray_place(uint32_t word, bool published)
{
    if (published) return (int32_t)(word ^ word >> 1);
    for (int shift = 1; shift < 32; shift *= 2) word ^= word >> shift;
    return (int32_t)word;
}
