/* Tiles of grids in closed form: the oracle rows, and 10,000 random grids against a
 * count of all pairs. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/tile_twin.h"

/* ---- oracle rows: cards/simulators.md 1.5 ---- */

typedef struct oracle {
    int rank;
    int length[3], window[3], stride[3], q[3], k[3];
    long long visited;
    int max;
    double flop, sum, most;
} oracle;

static const oracle oracles[] = {
    {3,
     {30, 48, 80},
     {18, 24, 24},
     {1, 1, 1},
     {2, 8, 8},
     {2, 8, 8},
     148896,
     250,
     11.11,
     5.44,
     3.60},
    {3,
     {30, 48, 80},
     {18, 24, 24},
     {16, 8, 8},
     {2, 8, 8},
     {2, 8, 8},
     72900,
     81,
     11.11,
     11.11,
     11.11},
    {3,
     {30, 48, 80},
     {18, 24, 24},
     {16, 8, 8},
     {4, 8, 8},
     {2, 8, 8},
     38880,
     81,
     11.11,
     10.42,
     11.11},
    {2, {256, 256}, {80, 80}, {1, 1}, {16, 8}, {16, 8}, 34884, 77, 10.24, 7.51, 6.65},
    {2,
     {256, 256},
     {80, 80},
     {16, 16},
     {16, 8},
     {16, 8},
     25600,
     50,
     10.24,
     10.24,
     10.24},
    {2,
     {256, 256},
     {80, 80},
     {16, 16},
     {16, 16},
     {16, 8},
     12800,
     50,
     10.24,
     10.24,
     10.24},
    {1, {32768}, {2048}, {1}, {128}, {128}, 4336, 17, 16, 15.11, 15.06},
    {1, {32768}, {2048}, {256}, {128}, {128}, 4096, 16, 16, 16, 16},
    {1, {32768}, {2048}, {256}, {256}, {128}, 2048, 16, 16, 16, 16},
    {1, {32768}, {2048}, {2048}, {128}, {128}, 4096, 16, 16, 16, 16},
};

static atn_tiling tiling_of(const oracle *o)
{
    atn_tiling t = {.layout = ATN_LAYOUT_GRID};

    t.q.n = t.k.n = o->rank;
    for (int i = 0; i < o->rank; i++) {
        t.q.at[i] = o->q[i];
        t.k.at[i] = o->k[i];
    }
    return t;
}

static atn_pattern *pattern_of(atn_ctx *cx, const oracle *o)
{
    atn_axes g = {.rank = o->rank};
    atn_pattern *p = NULL;

    for (int i = 0; i < o->rank; i++)
        g.at[i] = (atn_axis){o->length[i], o->window[i], o->stride[i], 1, false};
    CHECK_OK(atn_pattern_axes(cx, &g, &p));
    return p;
}

static void oracle_rows(atn_ctx *cx)
{
    for (size_t i = 0; i < ATN_LEN(oracles); i++) {
        const oracle *o = &oracles[i];
        atn_pattern *p = pattern_of(cx, o);
        const atn_tiling t = tiling_of(o);
        atn_tile_bounds b;
        atn_tiles c;

        CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
        b = atn_tiles_bounds(p, &t, &c, false);
        CHECK_EQ(c.visited, o->visited);
        CHECK_EQ(c.max, o->max);
        CHECK_NEAR(b.flop, o->flop, 0.00501);
        CHECK_NEAR(b.sum, o->sum, 0.00501);
        CHECK_NEAR(b.max, o->most, 0.00501);
        CHECK_EQ(c.padding, 0);
        CHECK_EQ(c.sparse, o->stride[0] > 1);
        CHECK_EQ(c.natten_sparse, o->stride[0] > 1);
        atn_tiles_release(cx, &c);
        atn_pattern_destroy(cx, p);
    }
}

/* Rows 11 and 12: fully block-sparse at the multiples of 256 and nowhere else. */
static void sparse_strides(atn_ctx *cx)
{
    const atn_tiling tilings[] = {{.q = {1, {128}}, .k = {1, {128}}},
                                  {.q = {1, {256}}, .k = {1, {128}}}};

    for (int t = 0; t < 2; t++)
        for (int s = 1; s <= 2048; s++) {
            const atn_axes g = {1, {{32768, 2048, s, 1, false}}};
            atn_pattern *p = NULL;
            atn_tiles c;

            CHECK_OK(atn_pattern_axes(cx, &g, &p));
            CHECK_OK(atn_tiles_count(cx, p, 0, &tilings[t], &c));
            CHECK_EQ(c.sparse, s % 256 == 0);
            CHECK_EQ(c.natten_sparse, s % 256 == 0);
            atn_tiles_release(cx, &c);
            atn_pattern_destroy(cx, p);
        }
}

/* ---- brute force ---- */

typedef struct axis {
    int length, window, stride, dilation, causal, tq, tk;
} axis;

/* Does member i of a group of n (or padding behind it) see member j: card 1.1. */
static bool sees(const axis *a, int n, int i, int j)
{
    const int group = i / a->stride * a->stride;
    int leader, start;

    if (a->causal) {
        leader = group + a->stride - 1;
        if (leader > n - 1) leader = n - 1;
        start = leader - (a->window - 1);
        if (start < 0) start = 0;
        return j >= start && j <= i && j < n;
    }
    leader = group + a->stride / 2;
    if (leader > n - 1) leader = n - 1;
    start = leader - a->window / 2;
    if (start < 0) start = 0;
    if (start > n - a->window) start = n - a->window;
    return j >= start && j < start + a->window;
}

static int members(const axis *a, int group)
{
    int n = 0;

    for (int x = 0; x < a->length; x++) n += x % a->dilation == group;
    return n;
}

/* Tiles along the axis of one group: padded to a multiple of side * dilation. */
static int tiles_along(const axis *a, int side)
{
    int tiles = 0;

    while (tiles * side * a->dilation < a->length) tiles++;
    return tiles;
}

/* Splits a number by `of`, the last fastest. */
static void split(int x, const int *of, int rank, int *out)
{
    for (int i = rank - 1; i >= 0; i--) {
        out[i] = x % of[i];
        x /= of[i];
    }
}

typedef struct grid {
    int rank, tokens;
    axis a[3];
    int length[3], group[3], tq[3], tk[3]; /* groups, tiles along the axes */
} grid;

static int tile_of(const grid *g, const int *at, bool q)
{
    int group = 0, tile = 0;

    for (int i = 0; i < g->rank; i++) {
        const axis *a = &g->a[i];
        const int member = at[i] / a->dilation;

        group = group * a->dilation + at[i] % a->dilation;
        tile = tile * (q ? g->tq[i] : g->tk[i]) + member / (q ? a->tq : a->tk);
    }
    for (int i = 0; i < g->rank; i++) group *= q ? g->tq[i] : g->tk[i];
    return group + tile;
}

/* Q tile q (its padding rows, too) visits KV tile k. */
static bool visits(const grid *g, int q, int k)
{
    int tq[6], tk[6], n_q[6], n_k[6];

    for (int i = 0; i < g->rank; i++) {
        n_q[i] = n_k[i] = g->group[i];
        n_q[g->rank + i] = g->tq[i];
        n_k[g->rank + i] = g->tk[i];
    }
    split(q, n_q, 2 * g->rank, tq);
    split(k, n_k, 2 * g->rank, tk);
    for (int i = 0; i < g->rank; i++) {
        const axis *a = &g->a[i];
        const int n = members(a, tq[i]), t = tq[g->rank + i], u = tk[g->rank + i];
        bool any = false;

        if (tq[i] != tk[i]) return false;
        for (int x = t * a->tq; x < (t + 1) * a->tq && !any; x++)
            for (int y = u * a->tk; y < (u + 1) * a->tk && y < n && !any; y++)
                any = sees(a, n, x, y);
        if (!any) return false;
    }
    return true;
}

static void random_axis(uint64_t *r, axis *a, int most)
{
    a->length = twin_draw(r, 1, most);
    a->dilation = twin_draw(r, 0, 2) ? 1 : twin_draw(r, 1, a->length);
    a->window = twin_draw(r, 1, a->length / a->dilation);
    a->stride = twin_draw(r, 1, a->window);
    a->causal = twin_draw(r, 0, 2) == 0;
    a->tq = twin_draw(r, 1, 8);
    a->tk = twin_draw(r, 1, 8);
}

static void random_grid(uint64_t *r, grid *g, atn_axes *axes, atn_tiling *t)
{
    static const int most[] = {64, 14, 7};

    *axes = (atn_axes){0};
    *t = (atn_tiling){.layout = ATN_LAYOUT_GRID};
    axes->rank = g->rank = t->q.n = t->k.n = twin_draw(r, 1, 3);
    g->tokens = 1;
    for (int i = 0; i < g->rank; i++) {
        axis *a = &g->a[i];

        random_axis(r, a, most[g->rank - 1]);
        axes->at[i] =
            (atn_axis){a->length, a->window, a->stride, a->dilation, a->causal != 0};
        t->q.at[i] = a->tq;
        t->k.at[i] = a->tk;
        g->length[i] = a->length;
        g->group[i] = a->dilation;
        g->tq[i] = tiles_along(a, a->tq);
        g->tk[i] = tiles_along(a, a->tk);
        g->tokens *= a->length;
    }
}

static void fill_twin(const grid *g, twin *w)
{
    twin_open(w, g->tokens, g->tokens, 1);
    w->q_tiles = w->k_tiles = w->bm = w->bn = 1;
    for (int i = 0; i < g->rank; i++) {
        w->q_tiles *= g->tq[i] * g->group[i];
        w->k_tiles *= g->tk[i] * g->group[i];
        w->bm *= g->a[i].tq;
        w->bn *= g->a[i].tk;
    }
    for (int q = 0; q < g->tokens; q++) {
        int x[3], y[3];

        split(q, g->length, g->rank, x);
        w->q_of[q] = tile_of(g, x, true);
        w->k_of[q] = tile_of(g, x, false);
        for (int k = 0; k < g->tokens; k++) {
            bool all = true;

            split(k, g->length, g->rank, y);
            for (int i = 0; i < g->rank && all; i++) {
                const axis *a = &g->a[i];
                const int group = x[i] % a->dilation;

                all =
                    y[i] % a->dilation == group &&
                    sees(a, members(a, group), x[i] / a->dilation, y[i] / a->dilation);
            }
            w->mask[q * g->tokens + k] = all;
        }
    }
    w->visited = calloc((size_t)w->q_tiles * (size_t)w->k_tiles, 1);
    for (int q = 0; q < w->q_tiles; q++)
        for (int k = 0; k < w->k_tiles; k++)
            w->visited[q * w->k_tiles + k] = visits(g, q, k);
}

static bool power_of_two(int x)
{
    return (x & (x - 1)) == 0;
}

/* NATTEN's flag may be true where tiles are partial, but with sides that are powers of
 * two only where a Q tile has side 1 and the stride is odd. */
static void judge_flag(const grid *g, const atn_tiles *c, int *wrong, int *missed)
{
    bool narrow = false, causal = false, usual = true;

    for (int i = 0; i < g->rank; i++) {
        narrow |= g->a[i].tq == 1 && g->a[i].stride % 2;
        usual &= power_of_two(g->a[i].tq) && power_of_two(g->a[i].tk);
        causal |= g->a[i].causal != 0;
    }
    if (c->natten_sparse == 1 && !c->sparse) {
        ++*wrong;
        CHECK(narrow || !usual);
    }
    if (c->natten_sparse == 0 && c->sparse && !causal) ++*missed;
    if (causal) CHECK_EQ(c->natten_sparse, 0);
}

static void random_grids(atn_ctx *cx)
{
    uint64_t r = 20;
    int bad = 0, wrong = 0, missed = 0;

    for (int trial = 0; trial < 10000; trial++) {
        atn_pattern *p = NULL;
        atn_tiling t;
        atn_axes axes;
        atn_tiles c, b;
        grid g;
        twin w;

        random_grid(&r, &g, &axes, &t);
        CHECK_OK(atn_pattern_axes(cx, &axes, &p));
        fill_twin(&g, &w);
        if (axes.rank == 1 && axes.at[0].dilation == 1 && trial % 2)
            t.layout = ATN_LAYOUT_PLAIN;
        CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
        bad += !twin_same(&w, &c, false);
        CHECK(c.natten_sparse >= 0);
        judge_flag(&g, &c, &wrong, &missed);
        t.backward = true;
        CHECK_OK(atn_tiles_count(cx, p, 0, &t, &b));
        bad += !twin_same(&w, &b, true);
        CHECK_EQ(b.full, c.full);
        CHECK_EQ(b.visited, c.full + c.partial);
        atn_tiles_release(cx, &b);
        atn_tiles_release(cx, &c);
        twin_close(&w);
        atn_pattern_destroy(cx, p);
    }
    CHECK_EQ(bad, 0);
    print_message("NATTEN's flag: %d wrongly true, %d wrongly false (causal aside)\n",
                  wrong, missed);
}

CHECK_MAIN({"oracle rows", oracle_rows}, {"sparse strides", sparse_strides},
           {"random grids", random_grids})
