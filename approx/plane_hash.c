/* approx/plane_hash.c -- hashes by random planes, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/plane_hash.h"

#include "core/kernels/kernels.h"
#include "core/rows.h"

typedef struct hashing {
    const atn_head *h;
    const float *planes; /* [r, d] */
    atn_idx r;
    bool table;
    const atn_plane_hash *out;
} hashing;

int32_t atn_gray_place(uint32_t word, bool table)
{
    if (table) return (int32_t)(word ^ word >> 1);
    for (int shift = 1; shift < 32; shift *= 2) word ^= word >> shift;
    return (int32_t)word;
}

static void hash_rows(const hashing *s, atn_cmat x, atn_idx first, int32_t *place)
{
    for (atn_idx i = first; i < ATN_MIN(first + ATN_HASH_ROWS, x.rows); i++) {
        uint32_t word = 0;

        for (atn_idx l = 0; l < s->r; l++)
            if (atn_row_dot(atn_crow(x, i), s->planes + l * x.cols, x.cols) > 0)
                word |= (uint32_t)1 << l;
        place[i] = atn_gray_place(word, s->table);
    }
}

static atn_status hash_tile(atn_ctx *cx, atn_idx t, void *state)
{
    const hashing *s = state;
    const atn_idx of_q = (s->h->nq + ATN_HASH_ROWS - 1) / ATN_HASH_ROWS;

    (void)cx;
    if (t < of_q)
        hash_rows(s, s->h->q, t * ATN_HASH_ROWS, s->out->q);
    else
        hash_rows(s, s->h->k, (t - of_q) * ATN_HASH_ROWS, s->out->k);
    return ATN_OK;
}

atn_status atn_plane_hash_make(atn_ctx *cx, const atn_input *in, const atn_head *h,
                               const char *purpose, atn_idx r, bool table,
                               atn_plane_hash *out)
{
    const atn_idx d = h->q.cols, tiles = (h->nq + ATN_HASH_ROWS - 1) / ATN_HASH_ROWS +
                                         (h->nk + ATN_HASH_ROWS - 1) / ATN_HASH_ROWS;
    const atn_draw what = {"projections", purpose, h->layer, -1, d, r};
    atn_status st = ATN_OK;
    float *g = NULL, *planes = NULL;
    hashing s = {h, NULL, r, table, out};

    ATN_TAKE(g, d * r);
    ATN_TAKE(planes, d * r);
    ATN_TRY(atn_draw_normal(cx, in->draws, in->seed, &what, g));
    for (atn_idx l = 0; l < r; l++)
        for (atn_idx c = 0; c < d; c++) planes[l * d + c] = g[c * r + l];
    s.planes = planes;
    ATN_TAKE(out->q, h->nq);
    ATN_TAKE(out->k, h->nk);
    ATN_TRY(atn_parallel(cx, tiles, hash_tile, &s, "hashes"));
done:
    return st;
}
