/* tests/simulators/tile_twin.h -- tiles counted pair by pair, for tests. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"
#include "simulators/tiles.h"

/* Tokens of both sides, each in one tile, and the mask. */
typedef struct twin {
    int nq, nk, q_tiles, k_tiles;
    int bm, bn;             /* cells of a tile */
    int pack;               /* rows of a query; a query may then be in several tiles */
    int *q_of, *k_of;       /* [nq * pack] tile of a row, [nk] tile of a key */
    unsigned char *mask;    /* [nq * nk] */
    unsigned char *visited; /* [q_tiles * k_tiles] what padding rows visit beside */
} twin;

static inline uint64_t twin_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* lo .. hi, both. */
static inline int twin_draw(uint64_t *state, int lo, int hi)
{
    return lo + (int)(twin_next(state) % (uint64_t)(hi - lo + 1));
}

static inline void twin_open(twin *w, int nq, int nk, int pack)
{
    w->nq = nq;
    w->nk = nk;
    w->pack = pack;
    w->q_of = calloc((size_t)(nq * pack), sizeof *w->q_of);
    w->k_of = calloc((size_t)nk, sizeof *w->k_of);
    w->mask = calloc((size_t)nq * (size_t)nk, 1);
    w->visited = NULL;
}

static inline void twin_close(twin *w)
{
    free(w->q_of);
    free(w->k_of);
    free(w->mask);
    free(w->visited);
}

/* All counts of c against those of the twin; false at the first that differs. */
static inline bool twin_same(const twin *w, const atn_tiles *c, bool backward)
{
    const int tq = w->q_tiles, tk = w->k_tiles;
    const size_t cells = (size_t)tq * (size_t)tk;
    int *pairs = calloc(cells, sizeof *pairs);
    int *rows = calloc((size_t)tq, sizeof *rows),
        *keys = calloc((size_t)tk, sizeof *keys);
    long long visited = 0, full = 0, flex = 0, padding = 0, all = 0;
    int max = 0, different = 0;

    for (int r = 0; r < w->nq * w->pack; r++) {
        rows[w->q_of[r]]++;
        for (int k = 0; k < w->nk; k++)
            pairs[w->q_of[r] * tk + w->k_of[k]] += w->mask[r / w->pack * w->nk + k];
    }
    for (int k = 0; k < w->nk; k++) keys[w->k_of[k]]++;
    for (int i = 0; i < w->nq * w->nk; i++) all += w->mask[i];
    for (int x = 0; x < (backward ? tk : tq); x++) {
        int seen = 0, masked = 0;

        for (int y = 0; y < (backward ? tq : tk); y++) {
            const int q = backward ? y : x, k = backward ? x : y;
            const int at = q * tk + k;
            const bool real = rows[q] > 0 && keys[k] > 0;
            const bool here =
                pairs[at] > 0 || (!backward && w->visited && w->visited[at]);
            const bool whole = real && pairs[at] == rows[q] * keys[k];

            seen += here;
            if (here && rows[q] == 0) padding++;
            if (!here || rows[q] == 0) continue;
            masked += !whole;
            full += whole;
            flex += whole && rows[q] == w->bm && keys[k] == w->bn;
        }
        visited += seen;
        max = seen > max ? seen : max;
        if (x >= c->ctas || c->visits[x] != seen || c->masked[x] != masked) different++;
    }
    free(pairs);
    free(rows);
    free(keys);
    return different == 0 && c->ctas == (backward ? tk : tq) &&
           c->other == (backward ? tq : tk) && c->visited == visited &&
           c->full == full && c->partial == visited - full - padding &&
           c->padding == padding && c->flex_full == flex &&
           c->flex_partial == visited - padding - flex && c->max == max &&
           c->pairs == all && c->sparse == (visited - full - padding == 0);
}
