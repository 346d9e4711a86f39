/* Tiles of any pattern, in every order of the tokens, against a count of all pairs. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern.h"
#include "simulators/tile_twin.h"

/* ---- random patterns ---- */

static atn_frame random_frame(uint64_t *r)
{
    const atn_idx nk = twin_draw(r, 1, 90), nq = twin_draw(r, 1, (int)nk);
    const atn_frame f = {nk, nq, nk - nq, twin_draw(r, 0, 1) ? 1 : twin_draw(r, 2, 9),
                         twin_draw(r, 0, 1) == 1};

    return f;
}

static atn_status random_shift(atn_ctx *cx, uint64_t *r, const atn_frame *f,
                               atn_pattern **out)
{
    atn_span o[4];
    const int n = twin_draw(r, 0, 4);

    for (int i = 0; i < n; i++) {
        o[i].lo = twin_draw(r, -30, 60);
        o[i].hi = o[i].lo + twin_draw(r, 1, twin_draw(r, 1, 60));
    }
    return atn_pattern_shift(cx, f, o, n, twin_draw(r, 0, 2) ? 0 : twin_draw(r, 0, 30),
                             out);
}

static atn_status random_boxes(atn_ctx *cx, uint64_t *r, const atn_frame *f,
                               atn_pattern **out)
{
    const int rows = (int)((f->first + f->nq - 1) / f->block + 1),
              cols = (int)((f->nk - 1) / f->block + 1), n = twin_draw(r, 1, 12);
    atn_slice s[12];

    for (int i = 0; i < n; i++) {
        s[i].rows.lo = twin_draw(r, 0, rows - 1);
        s[i].rows.hi = twin_draw(r, (int)s[i].rows.lo + 1, rows);
        s[i].keys.lo = twin_draw(r, 0, cols - 1);
        s[i].keys.hi = twin_draw(r, (int)s[i].keys.lo + 1, cols);
        s[i].cut = twin_draw(r, 0, 3);
    }
    return atn_pattern_slices(cx, f, s, n, out);
}

static atn_status random_phases(atn_ctx *cx, uint64_t *r, const atn_frame *f,
                                atn_pattern **out)
{
    const atn_idx period = twin_draw(r, 1, 9), width = twin_draw(r, 1, (int)period);
    const atn_idx phase = twin_draw(r, 0, (int)period - 1);
    atn_idx starts[4] = {0};

    switch (twin_draw(r, 0, 2)) {
    case 0:
        return atn_pattern_columns(cx, f, period, width, &phase, 1, out);
    case 1:
        return atn_pattern_residues(cx, f, twin_draw(r, (int)period, 40), period,
                                    &phase, 1, out);
    default:
        for (int i = 1; i < 4; i++) starts[i] = starts[i - 1] + twin_draw(r, 1, 30);
        return atn_pattern_segments(cx, f, starts, 4, out);
    }
}

static atn_pattern *random_single(atn_ctx *cx, uint64_t *r, const atn_frame *f)
{
    atn_pattern *p = NULL;

    switch (twin_draw(r, 0, 3)) {
    case 0:
        CHECK_OK(random_boxes(cx, r, f, &p));
        break;
    case 1:
        CHECK_OK(random_phases(cx, r, f, &p));
        break;
    default:
        CHECK_OK(random_shift(cx, r, f, &p));
    }
    return p;
}

static atn_pattern *random_pattern(atn_ctx *cx, uint64_t *r)
{
    const atn_frame f = random_frame(r);
    atn_pattern *p = random_single(cx, r, &f), *q, *joined = NULL;

    if (twin_draw(r, 0, 2)) return p;
    q = random_single(cx, r, &f);
    CHECK_OK(atn_pattern_union(cx, p, q, &joined));
    return joined;
}

/* ---- their twins ---- */

static void fill_mask(const atn_pattern *p, atn_idx head, twin *w)
{
    atn_span *room = calloc((size_t)p->room, sizeof *room);

    for (int i = 0; i < w->nq; i++) {
        const atn_idx n = atn_pattern_keys(p, head, p->frame.first + i, room);

        for (atn_idx s = 0; s < n; s++)
            memset(w->mask + i * w->nk + room[s].lo, 1,
                   (size_t)(room[s].hi - room[s].lo));
    }
    free(room);
}

/* The place of a position among [first, first + n), by residue and then position. */
static int place_of(int position, int first, int n, int stride)
{
    int place = 0;

    for (int x = first; x < first + n; x++)
        place += x % stride < position % stride ||
                 (x % stride == position % stride && x < position);
    return place;
}

static void fill_sizes(const atn_tiling *t, int rows, int nk, twin *w)
{
    w->bm = w->bn = 1;
    for (int i = 0; i < t->q.n; i++) {
        w->bm *= (int)t->q.at[i];
        w->bn *= (int)t->k.at[i];
    }
    w->q_tiles = (rows + w->bm - 1) / w->bm;
    w->k_tiles = (nk + w->bn - 1) / w->bn;
}

static void fill_tiles(const atn_pattern *p, const atn_tiling *t, twin *w)
{
    const int first = (int)p->frame.first, nq = w->nq, nk = w->nk;
    const int stride = t->layout == ATN_LAYOUT_STRIDE ? (int)t->stride : 1;

    fill_sizes(t, nq * w->pack, nk, w);
    for (int i = 0; i < nq; i++)
        for (int g = 0; g < w->pack; g++)
            w->q_of[i * w->pack + g] =
                (place_of(first + i, first, nq, stride) * w->pack + g) / w->bm;
    for (int j = 0; j < nk; j++) w->k_of[j] = place_of(j, 0, nk, stride) / w->bn;
}

/* What a failing trial was. */
static void tell(int trial, const atn_pattern *p, const atn_tiling *t)
{
    const atn_frame *f = &p->frame;

    print_message(
        "trial %d: nk %d nq %d first %d block %d causal %d, shift %d prefix %d "
        "repeat %d, tile %d %d pack %d layout %d stride %d backward %d\n",
        trial, (int)f->nk, (int)f->nq, (int)f->first, (int)f->block, f->causal,
        p->shift, (int)p->prefix, (int)p->repeat.step, (int)t->q.at[0], (int)t->k.at[0],
        (int)t->pack, t->layout, (int)t->stride, t->backward);
}

static int compare(atn_ctx *cx, int trial, const atn_pattern *p, atn_tiling *t,
                   const twin *w)
{
    int bad = 0;

    for (int backward = 0; backward < 2; backward++) {
        atn_tiles c;
        bool same;

        t->backward = backward;
        CHECK_OK(atn_tiles_count(cx, p, 0, t, &c));
        same = twin_same(w, &c, backward) && c.natten_sparse == -1;
        if (!same) tell(trial, p, t);
        bad += !same;
        atn_tiles_release(cx, &c);
    }
    return bad;
}

static void random_rows(atn_ctx *cx)
{
    uint64_t r = 3;
    int bad = 0;

    for (int trial = 0; trial < 10000 && bad < 10; trial++) {
        atn_pattern *p = random_pattern(cx, &r);
        atn_tiling t = {.q = {1, {twin_draw(&r, 1, 24)}},
                        .k = {1, {twin_draw(&r, 1, 24)}},
                        .pack = twin_draw(&r, 0, 2) ? 0 : twin_draw(&r, 1, 7)};
        twin w;

        if (twin_draw(&r, 0, 3) == 0) {
            t.layout = ATN_LAYOUT_STRIDE;
            t.stride = twin_draw(&r, 1, (int)p->frame.nk);
        }
        twin_open(&w, (int)p->frame.nq, (int)p->frame.nk, t.pack > 1 ? (int)t.pack : 1);
        fill_mask(p, 0, &w);
        fill_tiles(p, &t, &w);
        bad += compare(cx, trial, p, &t, &w);
        twin_close(&w);
        atn_pattern_destroy(cx, p);
    }
    CHECK_EQ(bad, 0);
}

/* Long rows that repeat: every generator of the registry that does so. */
static void repeating_rows(atn_ctx *cx)
{
    static const char *const ids[][2] = {
        {"s2", "block=4,stride=3"},  {"s2", "block=8,stride=5,local=1"},
        {"longnet", NULL},           {"documents", "lengths=77"},
        {"strided", "stride=9"},     {"fixed", NULL},
        {"power", "block=8"},        {"stream", "window=20"},
        {"gna", "window=9,stride=4"}};
    int bad = 0;

    for (size_t i = 0; i < ATN_LEN(ids); i++)
        for (int k = 0; k < 24; k++) {
            const atn_layout l = atn_layout_square(300 + 17 * (k % 12), 1, 0);
            atn_tiling t = {.q = {1, {4 << k % 3}},
                            .k = {1, {5 + k % 12}},
                            .pack = k < 12 ? 1 : 2 + k % 4};
            atn_pattern *p = NULL;
            twin w;

            CHECK_OK(atn_pattern_make(cx, ids[i][0], ids[i][1], &l, &p));
            twin_open(&w, (int)p->frame.nq, (int)p->frame.nk, (int)t.pack);
            fill_mask(p, 0, &w);
            fill_tiles(p, &t, &w);
            if (!p->axes) bad += compare(cx, k, p, &t, &w);
            twin_close(&w);
            atn_pattern_destroy(cx, p);
        }
    CHECK_EQ(bad, 0);
}

/* The same by residues, of which classes are long, short, or many in a tile. */
static void repeating_residues(atn_ctx *cx)
{
    static const char *const ids[][2] = {
        {"s2", "block=4,stride=3"},  {"s2", "block=8,stride=5,local=1"},
        {"longnet", NULL},           {"longnet", "segments=48,dilations=4"},
        {"fixed", "stride=16"},      {"fixed", "stride=8,block=4"},
        {"strided", "stride=9"},     {"strided", "stride=3,block=8,sink=1"},
        {"dilated", NULL},           {"bigbird", "block=4"},
        {"documents", "lengths=77"}, {"power", "block=8"}};
    static const int strides[] = {1, 2, 4, 5, 8, 16, 24, 64, 150};
    int bad = 0;

    for (size_t i = 0; i < ATN_LEN(ids); i++)
        for (size_t k = 0; k < ATN_LEN(strides); k++) {
            const atn_layout l = atn_layout_square(400 + 17 * (int)k, 1, 0);
            atn_tiling t = {.q = {1, {4 << k % 3}},
                            .k = {1, {5 + (int)k}},
                            .pack = k % 4 == 3 ? 3 : 1,
                            .layout = ATN_LAYOUT_STRIDE,
                            .stride = strides[k]};
            atn_pattern *p = NULL;
            twin w;

            CHECK_OK(atn_pattern_make(cx, ids[i][0], ids[i][1], &l, &p));
            twin_open(&w, (int)p->frame.nq, (int)p->frame.nk, (int)t.pack);
            fill_mask(p, 0, &w);
            fill_tiles(p, &t, &w);
            bad += compare(cx, (int)(100 * i + k), p, &t, &w);
            twin_close(&w);
            atn_pattern_destroy(cx, p);
        }
    CHECK_EQ(bad, 0);
}

/* Shifts whose blocks divide the stride, or are divided by it. */
static void shifts_by_residues(atn_ctx *cx)
{
    uint64_t r = 21;
    int bad = 0;

    for (int trial = 0; trial < 4000 && bad < 10; trial++) {
        const int small = twin_draw(&r, 1, 6), large = small * twin_draw(&r, 1, 6);
        const bool blocks = twin_draw(&r, 0, 1);
        atn_frame f = random_frame(&r);
        atn_tiling t = {.q = {1, {twin_draw(&r, 1, 12)}},
                        .k = {1, {twin_draw(&r, 1, 9)}},
                        .pack = twin_draw(&r, 0, 3) ? 1 : 3,
                        .layout = ATN_LAYOUT_STRIDE};
        atn_pattern *p = NULL;
        twin w;

        f.block = blocks ? large : small;
        t.stride = ATN_MIN(blocks ? small : large, f.nk);
        CHECK_OK(random_shift(cx, &r, &f, &p));
        twin_open(&w, (int)f.nq, (int)f.nk, (int)t.pack);
        fill_mask(p, 0, &w);
        fill_tiles(p, &t, &w);
        bad += compare(cx, trial, p, &t, &w);
        twin_close(&w);
        atn_pattern_destroy(cx, p);
    }
    CHECK_EQ(bad, 0);
}

/* Heads that differ, one by one, and what any of them sees. */
static void heads(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(230, 3, 0);

    for (int trial = 0; trial < 24; trial++) {
        atn_tiling t = {.q = {1, {6 + trial}},
                        .k = {1, {4 << trial % 3}},
                        .layout = trial % 4 == 3 ? ATN_LAYOUT_STRIDE : ATN_LAYOUT_PLAIN,
                        .stride = 4};
        const char *id = trial % 2 ? "s2_sharded" : "longnet";
        const char *params = trial % 2 ? "block=4,stride=5,local=2" : NULL;
        atn_pattern *p = NULL;
        atn_tiles c;
        twin w;

        CHECK_OK(atn_pattern_make(cx, id, params, &l, &p));
        for (atn_idx h = 0; h < p->heads; h++) {
            twin_open(&w, 230, 230, 1);
            fill_mask(p, h, &w);
            fill_tiles(p, &t, &w);
            CHECK_OK(atn_tiles_count(cx, p, h, &t, &c));
            CHECK(twin_same(&w, &c, false));
            atn_tiles_release(cx, &c);
            twin_close(&w);
        }
        if (p->heads > 1 && p->all_room > 0) {
            twin_open(&w, 230, 230, 1);
            for (atn_idx h = 0; h < p->heads; h++) fill_mask(p, h, &w);
            fill_tiles(p, &t, &w);
            CHECK_OK(atn_tiles_count(cx, p, ATN_HEADS_ALL, &t, &c));
            CHECK(twin_same(&w, &c, false));
            atn_tiles_release(cx, &c);
            twin_close(&w);
        }
        atn_pattern_destroy(cx, p);
    }
}

/* ---- boxes of another grid ---- */

static int box_of(const atn_list *grid, const atn_list *side, int x, int *tiles)
{
    int at[3], box = 0;

    *tiles = 1;
    for (int i = grid->n - 1; i >= 0; i--) {
        at[i] = x % (int)grid->at[i];
        x /= (int)grid->at[i];
    }
    for (int i = 0; i < grid->n; i++) {
        const int along = (int)((grid->at[i] + side->at[i] - 1) / side->at[i]);

        box = box * along + at[i] / (int)side->at[i];
        *tiles *= along;
    }
    return box;
}

static atn_pattern *random_on_grid(atn_ctx *cx, uint64_t *r, atn_idx n)
{
    const atn_frame f = atn_frame_square(n, twin_draw(r, 0, 1) ? 1 : twin_draw(r, 2, 9),
                                         twin_draw(r, 0, 1) == 1);
    atn_axes g = {1, {{n, 1, 1, 1, false}}};
    atn_pattern *p = NULL;

    if (twin_draw(r, 0, 2)) return random_single(cx, r, &f);
    g.at[0].window = twin_draw(r, 1, (int)n);
    g.at[0].stride = twin_draw(r, 1, (int)g.at[0].window);
    CHECK_OK(atn_pattern_axes(cx, &g, &p));
    return p;
}

static void random_boxes_of_grids(atn_ctx *cx)
{
    uint64_t r = 77;
    int bad = 0;

    for (int trial = 0; trial < 2000 && bad < 10; trial++) {
        atn_tiling t = {.layout = ATN_LAYOUT_GRID};
        atn_idx n = 1;
        atn_pattern *p;
        twin w;

        t.q.n = t.k.n = t.grid.n = twin_draw(&r, 2, 3);
        for (int i = 0; i < t.grid.n; i++) {
            t.grid.at[i] = twin_draw(&r, 1, t.grid.n == 2 ? 11 : 6);
            t.q.at[i] = twin_draw(&r, 1, 5);
            t.k.at[i] = twin_draw(&r, 1, 5);
            n *= t.grid.at[i];
        }
        p = random_on_grid(cx, &r, n);
        twin_open(&w, (int)n, (int)n, 1);
        fill_mask(p, 0, &w);
        fill_sizes(&t, (int)n, (int)n, &w);
        for (int i = 0; i < n; i++) {
            w.q_of[i] = box_of(&t.grid, &t.q, i, &w.q_tiles);
            w.k_of[i] = box_of(&t.grid, &t.k, i, &w.k_tiles);
        }
        bad += compare(cx, trial, p, &t, &w);
        twin_close(&w);
        atn_pattern_destroy(cx, p);
    }
    CHECK_EQ(bad, 0);
}

CHECK_MAIN({"random rows", random_rows}, {"repeating rows", repeating_rows},
           {"repeating residues", repeating_residues},
           {"shifts by residues", shifts_by_residues}, {"heads", heads},
           {"random boxes of grids", random_boxes_of_grids})
