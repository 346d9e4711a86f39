/* tests/core/test_pattern.c -- patterns against all pairs by their definitions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/pattern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/rng.h"

enum { MOST = 40 };

/* A pattern as a table: one bit a pair of a head. */
typedef struct dense {
    atn_frame f;
    atn_idx heads;
    bool at[2][MOST][MOST]; /* head, query, key */
} dense;

static atn_rng rng;
static atn_idx below(atn_idx n)
{
    return atn_rng_below(&rng, n);
}
static atn_idx between(atn_idx lo, atn_idx hi)
{
    return lo + below(hi - lo + 1);
}

static bool in_spans(const atn_span *s, atn_idx n, atn_idx x)
{
    bool in = false;

    for (atn_idx i = 0; i < n; i++) in |= s[i].lo <= x && x < s[i].hi;
    return in;
}

static atn_frame random_frame(bool square)
{
    const atn_idx nk = between(1, MOST), nq = square ? nk : between(1, MOST);
    const atn_idx first = square ? 0 : below(MOST);
    const atn_frame f = {nk, nq, first, between(1, 5), below(2) == 1};

    return f;
}

/* What one kind of pattern says of block row a and key block c. */
typedef struct made {
    int kind;
    atn_span spans[6];
    atn_box boxes[4];
    int cut[4];
    atn_idx starts[4], phase[2], prefix, n, period, width;
} made;

/* cards/analysis.md A17: of a part of q x k, entry (r, c) of type 1 iff k-1-c >= q-1-r,
 * of type 2 iff c >= r, of type 3 both. */
static bool slice_has(const atn_box *b, int type, atn_idx a, atn_idx j)
{
    const atn_idx q = b->rows.hi - b->rows.lo, k = b->keys.hi - b->keys.lo;
    const atn_idx r = a - b->rows.lo, c = j - b->keys.lo;

    if (r < 0 || r >= q || c < 0 || c >= k) return false;
    if (type % 2 == 1 && k - 1 - c < q - 1 - r) return false;
    return type < 2 || c >= r;
}

static bool says(const made *m, atn_idx h, atn_idx a, atn_idx c)
{
    bool in = false;

    switch (m->kind) {
    case 0:
        return c < m->prefix || in_spans(m->spans, m->n, a - c);
    case 1:
        for (atn_idx i = 0; i < m->n; i++)
            in |=
                in_spans(&m->boxes[i].rows, 1, a) && in_spans(&m->boxes[i].keys, 1, c);
        return in;
    case 2:
        for (atn_idx i = 0; i < m->n; i++)
            in |= a >= m->starts[i] && c >= m->starts[i] &&
                  (i + 1 == m->n || (a < m->starts[i + 1] && c < m->starts[i + 1]));
        return in;
    case 3:
        for (atn_idx i = 0; i < m->n; i++)
            in |= slice_has(&m->boxes[i], m->cut[i], a, c);
        return in;
    case 4:
        return ((c - m->phase[h]) % m->period + m->period) % m->period < m->width;
    default:
        return a / m->period == c / m->period &&
               a % m->period % m->width == m->phase[h] &&
               c % m->period % m->width == m->phase[h];
    }
}

static made random_made(void)
{
    made m = {.kind = (int)below(6), .n = between(1, 4)};

    for (int i = 0; i < 6; i++) {
        m.spans[i].lo = between(-12, 30);
        m.spans[i].hi = m.spans[i].lo + between(1, 6);
    }
    m.prefix = below(4) ? 0 : below(5);
    for (int i = 0; i < 4; i++) {
        m.boxes[i].rows.lo = below(30);
        m.boxes[i].rows.hi = m.boxes[i].rows.lo + between(1, 20);
        m.boxes[i].keys.lo = below(30);
        m.boxes[i].keys.hi = m.boxes[i].keys.lo + between(1, 20);
        m.cut[i] = (int)below(4);
        m.starts[i] = i ? m.starts[i - 1] + between(1, 9) : 0;
    }
    m.period = between(1, 9);
    m.width = between(1, m.period);
    for (int h = 0; h < 2; h++) {
        const atn_idx modulus = m.kind == 4 ? m.period : m.width;
        m.phase[h] = below(modulus);
    }
    return m;
}

static atn_pattern *build(atn_ctx *cx, const atn_frame *f, const made *m, atn_idx heads)
{
    atn_pattern *p = NULL;
    atn_slice slices[4];

    switch (m->kind) {
    case 0:
        CHECK_OK(atn_pattern_shift(cx, f, m->spans, m->n, m->prefix, &p));
        break;
    case 1:
        CHECK_OK(atn_pattern_boxes(cx, f, m->boxes, m->n, &p));
        break;
    case 2:
        CHECK_OK(atn_pattern_segments(cx, f, m->starts, m->n, &p));
        break;
    case 3:
        for (int i = 0; i < 4; i++)
            slices[i] = (atn_slice){m->boxes[i].rows, m->boxes[i].keys, m->cut[i]};
        CHECK_OK(atn_pattern_slices(cx, f, slices, m->n, &p));
        break;
    case 4:
        CHECK_OK(atn_pattern_columns(cx, f, m->period, m->width, m->phase, heads, &p));
        break;
    default:
        CHECK_OK(atn_pattern_residues(cx, f, m->period, m->width, m->phase, heads, &p));
    }
    return p;
}

static void fill(dense *d, const atn_frame *f, const made *m, atn_idx heads)
{
    memset(d, 0, sizeof *d);
    d->f = *f;
    d->heads = heads;
    for (atn_idx h = 0; h < heads; h++)
        for (atn_idx q = 0; q < f->nq; q++)
            for (atn_idx j = 0; j < f->nk; j++) {
                const atn_idx i = f->first + q;

                d->at[h][q][j] =
                    says(m, h, i / f->block, j / f->block) && (!f->causal || j <= i);
            }
}

/* Rows as they are promised: sorted, disjoint, not touching, in range. */
static void check_spans(const atn_span *s, atn_idx n, atn_idx end)
{
    for (atn_idx i = 0; i < n; i++) {
        CHECK(s[i].lo < s[i].hi);
        CHECK(s[i].lo >= 0 && s[i].hi <= end);
        if (i) CHECK(s[i - 1].hi < s[i].lo);
    }
}

static void check_rows(const atn_pattern *p, const dense *d)
{
    atn_span *room = malloc((size_t)p->room * sizeof *room);

    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx q = 0; q < d->f.nq; q++) {
            const atn_idx i = d->f.first + q;
            atn_idx n = atn_pattern_row(p, h, i / p->frame.block, room);

            CHECK(n <= p->most);
            check_spans(room, n,
                        p->frame.causal ? ATN_MIN(i / p->frame.block + 1, p->cols)
                                        : p->cols);
            n = atn_pattern_keys(p, h, i, room);
            for (atn_idx j = 0; j < d->f.nk; j++)
                CHECK_EQ(in_spans(room, n, j), d->at[d->heads > 1 ? h : 0][q][j]);
        }
    free(room);
}

/* Rows from a block on; of all heads together; what they state of their repeating. */
static void check_stated(const atn_pattern *p)
{
    const atn_idx most = ATN_MAX(p->room, p->all_room);
    static bool see[3][2 * MOST][MOST]; /* the last one of all heads */
    atn_span *room = malloc((size_t)most * sizeof *room);
    const atn_repeat *r = &p->repeat;

    memset(see, 0, sizeof see);
    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx a = p->row0; a < p->row1; a++) {
            const atn_idx n = atn_pattern_row(p, h, a, room);

            for (atn_idx s = 0; s < n; s++)
                for (atn_idx c = room[s].lo; c < room[s].hi; c++)
                    see[h][a][c] = see[2][a][c] = true;
        }
    for (atn_idx h = p->all_room > 0 || p->heads == 1 ? ATN_HEADS_ALL : 0; h < p->heads;
         h++)
        for (atn_idx a = p->row0; a < p->row1; a++) {
            const atn_idx from = below(p->cols + 2);
            const atn_idx n = atn_pattern_row_from(p, h, a, from, room);

            if (h == ATN_HEADS_ALL && p->heads > 1) CHECK(n <= p->all_most);
            check_spans(room, n, p->cols);
            for (atn_idx c = 0; c < p->cols; c++)
                CHECK_EQ(in_spans(room, n, c),
                         c >= from && see[h == ATN_HEADS_ALL ? 2 : h][a][c]);
        }
    for (atn_idx h = 0; h < p->heads && r->step > 0; h++)
        for (atn_idx a = p->row0; a < p->row1; a++)
            for (atn_idx b = a - r->step; b >= p->row0; b -= r->step) {
                if (r->segment > 0 && a / r->segment != b / r->segment) break;
                for (atn_idx c = 0; c < ATN_MIN(b - r->reach, p->cols); c++)
                    CHECK_EQ(see[h][a][c], see[h][b][c]);
            }
    free(room);
}

static void check_counts(atn_ctx *cx, const atn_pattern *p, const dense *d, atn_idx h)
{
    const atn_idx hd = d->heads > 1 ? h : 0, b = p->frame.block;
    atn_idx most = 0, least = d->f.nk, empty = 0, blocks = 0, visible = 0;
    static bool hit[2 * MOST][MOST];
    atn_pattern_counts c;
    int64_t pairs = 0, closed;
    double mean = 0;

    memset(hit, 0, sizeof hit);
    for (atn_idx q = 0; q < d->f.nq; q++) {
        const atn_idx i = d->f.first + q;
        const atn_idx sees = p->frame.causal ? ATN_MIN(i + 1, d->f.nk) : d->f.nk;
        atn_idx keys = 0;

        for (atn_idx j = 0; j < d->f.nk; j++)
            if (d->at[hd][q][j]) {
                keys++;
                hit[i / b][j / b] = true;
            }
        pairs += keys;
        visible += sees;
        most = ATN_MAX(most, keys);
        least = ATN_MIN(least, keys);
        empty += keys == 0;
        mean += (double)keys / (double)sees;
    }
    for (int a = 0; a < 2 * MOST; a++)
        for (int k = 0; k < MOST; k++) blocks += hit[a][k];
    CHECK_OK(atn_pattern_count(cx, p, h, &c));
    CHECK_OK(atn_pattern_pairs(cx, p, h, &closed));
    CHECK_EQ(c.pairs, pairs);
    CHECK_EQ(closed, pairs);
    CHECK_EQ(c.row_most, most);
    CHECK_EQ(c.row_least, least);
    CHECK_EQ(c.empty_rows, empty);
    CHECK_EQ(c.blocks, blocks);
    CHECK_NEAR(c.full, (double)pairs / (double)(d->f.nq * d->f.nk), 1e-15);
    CHECK_NEAR(c.kv, (double)most / (double)d->f.nk, 1e-15);
    CHECK_NEAR(c.mean, mean / (double)d->f.nq, 1e-12);
    if (p->frame.causal) CHECK_NEAR(c.causal, (double)pairs / (double)visible, 1e-15);
    CHECK_EQ(isnan(c.causal), !p->frame.causal);
}

static void every_kind(atn_ctx *cx)
{
    static dense d;

    rng = atn_rng_stream(1, "test/pattern", 0, 0);
    for (int trial = 0; trial < 4000; trial++) {
        const atn_frame f = random_frame(trial & 1);
        const made m = random_made();
        const atn_idx heads = m.kind >= 4 ? 2 : 1;
        atn_pattern *p = build(cx, &f, &m, heads);

        fill(&d, &f, &m, heads);
        CHECK_EQ(p->heads, heads);
        CHECK_EQ(p->shift, m.kind == 0);
        check_rows(p, &d);
        check_stated(p);
        CHECK_EQ(p->repeat.step > 0, m.kind != 1 && m.kind != 3);
        for (atn_idx h = 0; h < heads; h++) check_counts(cx, p, &d, h);
        atn_pattern_destroy(cx, p);
    }
}

/* Against all pairs: what meets is found, with a place that both have, and the first
 * row of these two; what is disjoint is not. */
static void slices_meet(atn_ctx *cx)
{
    enum { SIDE = 24 };
    int apart = 0;

    rng = atn_rng_stream(6, "test/pattern", 0, 0);
    for (int trial = 0; trial < 20000; trial++) {
        const atn_idx n = between(0, 7), most = between(1, 9);
        int owner[SIDE][SIDE];
        atn_meeting m = {-1, -1, -1, -1};
        bool twice = false, meet;
        atn_slice s[7];

        memset(owner, -1, sizeof owner);
        for (int i = 0; i < n; i++) {
            s[i].rows.lo = below(12);
            s[i].rows.hi = s[i].rows.lo + between(0, most);
            s[i].keys.lo = below(12);
            s[i].keys.hi = s[i].keys.lo + between(0, most);
            s[i].cut = (int)below(4);
            for (int a = 0; a < SIDE; a++)
                for (int c = 0; c < SIDE; c++) {
                    const atn_box b = {s[i].rows, s[i].keys};

                    if (!slice_has(&b, s[i].cut, a, c)) continue;
                    twice |= owner[a][c] >= 0;
                    owner[a][c] = i;
                }
        }
        CHECK_OK(atn_slices_meet(cx, s, n, &meet, &m));
        CHECK_EQ(meet, twice);
        apart += n > 2 && !meet;
        if (!meet) continue;
        CHECK(m.one >= 0 && m.one < m.other && m.other < n);
        for (int a = 0; a <= m.row; a++)
            for (int c = 0; c < SIDE; c++) {
                const atn_box x = {s[m.one].rows, s[m.one].keys};
                const atn_box y = {s[m.other].rows, s[m.other].keys};
                const bool both = slice_has(&x, s[m.one].cut, a, c) &&
                                  slice_has(&y, s[m.other].cut, a, c);

                if (a < m.row) CHECK(!both);
                if (a == m.row && c == m.key) CHECK(both);
            }
    }
    CHECK(apart > 1000);
}

/* Row r of the first is [r, r + 3); the one between it and the last goes after row 1,
 * and key 6 is of both in row 4. */
static void slices_meet_later(atn_ctx *cx)
{
    const atn_slice s[] = {{{0, 6}, {6, 7}, 0},
                           {{0, 2}, {4, 5}, 0},
                           {{0, 6}, {0, 8}, ATN_SLICE_ENDS | ATN_SLICE_BEGINS}};
    atn_meeting m = {0};
    bool meet;

    CHECK_OK(atn_slices_meet(cx, s, 3, &meet, &m));
    CHECK(meet);
    CHECK(m.one == 0 && m.other == 2 && m.row == 4 && m.key == 6);
}

/* A band of parallel diagonals fills one box without meeting; one key more, and it is
 * found. A row asks for its own slices alone. */
static void many_slices(atn_ctx *cx)
{
    enum { N = 20000 };
    const atn_frame f = atn_frame_square(1 << 20, 1, false);
    atn_slice *s = malloc((N + 1) * sizeof *s);
    atn_pattern *p;
    atn_meeting m;
    atn_span row[1];
    bool meet;

    for (int i = 0; i < N; i++)
        s[(i * 7919) % N] =
            (atn_slice){{0, 5}, {i, i + 5}, ATN_SLICE_ENDS | ATN_SLICE_BEGINS};
    CHECK_OK(atn_slices_meet(cx, s, N, &meet, &m));
    CHECK(!meet);
    s[N] = (atn_slice){{3, 9}, {N + 2, N + 3}, 0}; /* key N - 1 + 3 of row 3 */
    CHECK_OK(atn_slices_meet(cx, s, N + 1, &meet, &m));
    CHECK(meet);
    CHECK_EQ(m.other, N);
    CHECK_EQ(m.row, 3);
    CHECK_EQ(m.key, N + 2);
    for (int i = 0; i < N; i++)
        s[i] = (atn_slice){{50 * i, 50 * i + 50}, {i, i + 9}, 0};
    CHECK_OK(atn_pattern_slices(cx, &f, s, N, &p));
    CHECK_EQ(p->room, 1); /* however many there are elsewhere */
    CHECK_EQ(atn_pattern_row(p, 0, 50 * 777 + 49, row), 1);
    CHECK_EQ(row[0].lo, 777);
    atn_pattern_destroy(cx, p);
    free(s);
}

/* Operands of other blocks and other causality meet exactly. */
static void algebra(atn_ctx *cx)
{
    static atn_status (*const ops[])(atn_ctx *, atn_pattern *, atn_pattern *,
                                     atn_pattern **) = {
        atn_pattern_union, atn_pattern_intersection, atn_pattern_difference};
    static dense a, b, both;

    rng = atn_rng_stream(2, "test/pattern", 0, 0);
    for (int trial = 0; trial < 6000; trial++) {
        const int op = trial % 3;
        const made ma = random_made(), mb = random_made();
        const atn_idx ha = ma.kind >= 4 ? 2 : 1, hb = mb.kind >= 4 ? 2 : 1;
        const atn_frame f = random_frame(below(2));
        atn_frame g = f;
        atn_pattern *p = NULL;

        if (below(2)) g.block = between(1, 6);
        if (below(3) == 0) g.causal = !f.causal;
        fill(&a, &f, &ma, ha);
        fill(&b, &g, &mb, hb);
        CHECK_OK(ops[op](cx, build(cx, &f, &ma, ha), build(cx, &g, &mb, hb), &p));
        for (int h = 0; h < 2; h++)
            for (atn_idx q = 0; q < f.nq; q++)
                for (atn_idx j = 0; j < f.nk; j++) {
                    const bool x = a.at[ha > 1 ? h : 0][q][j];
                    const bool y = b.at[hb > 1 ? h : 0][q][j];

                    both.at[h][q][j] = op == 0 ? x || y : op == 1 ? x && y : x && !y;
                }
        both.f = f;
        both.heads = p->heads;
        check_rows(p, &both);
        check_stated(p);
        for (atn_idx h = 0; h < p->heads; h++) check_counts(cx, p, &both, h);
        atn_pattern_destroy(cx, p);
    }
}

/* Short segments are near, long ones are segments; blocks of 3 hold 3 of tokens and one
 * more that is near; no step above the bound is stated. */
static void repeats(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(9000, 1, true);
    const atn_frame g = atn_frame_square(9000, 3, true);
    const atn_idx phase = 0, starts[] = {0, 600, 900, 1800};
    atn_pattern *p, *q;

    CHECK_OK(atn_pattern_residues(cx, &g, 64, 4, &phase, 1, &p));
    CHECK_EQ(p->repeat.step, 4);
    CHECK_EQ(p->repeat.segment, 0);
    CHECK_EQ(p->repeat.reach, 63);
    CHECK_OK(atn_pattern_segments(cx, &f, starts, 4, &q));
    CHECK_EQ(q->repeat.step, 1);
    CHECK_EQ(q->repeat.segment, 300);
    CHECK_EQ(q->repeat.reach, 0);
    CHECK_OK(atn_pattern_union(cx, p, q, &p));
    CHECK_EQ(p->repeat.step, 12);
    CHECK_EQ(p->repeat.segment, 300);
    CHECK_EQ(p->repeat.reach, 192);
    for (atn_idx a = 12; a < 9000; a++) {
        const bool fresh = atn_repeat_fresh(&p->repeat, a);
        atn_span x[512], y[512];
        atn_idx m, n;

        CHECK(p->room <= 512);
        CHECK_EQ(fresh, a % 300 < 12);
        if (fresh) continue;
        m = atn_pattern_row(p, 0, a, x);
        n = atn_pattern_row(p, 0, a - 12, y);
        for (atn_idx c = 0; c < a - 12 - 192; c++)
            CHECK_EQ(in_spans(x, m, c), in_spans(y, n, c));
    }
    atn_pattern_destroy(cx, p);
    CHECK_OK(atn_pattern_residues(cx, &f, 9000, 4097, &phase, 1, &p));
    CHECK_EQ(p->repeat.step, 0);
    atn_pattern_destroy(cx, p);
}

/* What both state of their shift is stated of the result. */
static void shift_is_kept(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(64, 1, true);
    const atn_span window = {0, 5}, step = {8, 9}, far[] = {{40, 41}, {16, 17}};
    atn_pattern *a, *b, *p;

    CHECK_OK(atn_pattern_shift(cx, &f, &window, 1, 2, &a));
    CHECK_OK(atn_pattern_shift(cx, &f, far, 2, 0, &b));
    CHECK_OK(atn_pattern_union(cx, a, b, &p));
    CHECK(p->shift);
    CHECK_EQ(p->n_offsets, 3);
    CHECK_EQ(p->offsets[2].lo, 40);
    CHECK_EQ(p->prefix, 2);
    CHECK_OK(atn_pattern_shift(cx, &f, &step, 1, 0, &b));
    CHECK_OK(atn_pattern_difference(cx, p, b, &p));
    CHECK(!p->shift); /* the first keys are no offsets */
    atn_pattern_destroy(cx, p);
}

/* ---- grids ---- */

/* NATTEN's mask from its definition: what x sees of y on one axis. */
static bool axis_sees(const atn_axis *a, atn_idx x, atn_idx y)
{
    const atn_idx d = a->dilation, g = x % d, i = x / d, j = y / d;
    atn_idx n = 0, e, left, start;

    if (y % d != g) return false;
    for (atn_idx z = g; z < a->length; z += d) n++;
    if (a->causal) {
        e = i / a->stride * a->stride + a->stride - 1;
        if (e > n - 1) e = n - 1;
        start = e - (a->window - 1) > 0 ? e - (a->window - 1) : 0;
        return start <= j && j <= i;
    }
    e = i / a->stride * a->stride + a->stride / 2;
    if (e > n - 1) e = n - 1;
    left = a->window / 2;
    start = e - left > 0 ? e - left : 0;
    if (e + (a->window - 1 - left) >= n) start = n - a->window;
    return start <= j && j < start + a->window;
}

static atn_axis random_axis(atn_idx most)
{
    atn_axis a = {.length = between(1, most)};

    a.dilation = between(1, ATN_MIN(3, a.length));
    a.window = between(1, a.length / a.dilation);
    a.stride = between(1, a.window);
    a.causal = below(2);
    return a;
}

static void grids(atn_ctx *cx)
{
    rng = atn_rng_stream(3, "test/pattern", 0, 0);
    for (int trial = 0; trial < 3000; trial++) {
        atn_axes g = {.rank = 1 + trial % 3};
        atn_pattern *p;
        atn_span *room;
        int64_t pairs = 0, closed;
        atn_idx n;

        for (int i = 0; i < g.rank; i++)
            g.at[i] = random_axis(g.rank == 1 ? 40 : g.rank == 2 ? 10 : 5);
        CHECK_OK(atn_pattern_axes(cx, &g, &p));
        n = atn_axes_tokens(&g);
        room = malloc((size_t)p->room * sizeof *room);
        for (atn_idx q = 0; q < n; q++) {
            const atn_idx spans = atn_pattern_keys(p, 0, q, room);
            atn_idx keys = 0;

            check_spans(room, spans, n);
            for (atn_idx k = 0; k < n; k++) {
                bool sees = true;

                for (atn_idx i = g.rank - 1, x = q, y = k; i >= 0; i--) {
                    sees &= axis_sees(&g.at[i], x % g.at[i].length, y % g.at[i].length);
                    x /= g.at[i].length;
                    y /= g.at[i].length;
                }
                CHECK_EQ(in_spans(room, spans, k), sees);
                keys += sees;
            }
            CHECK(keys >= 1);
            CHECK(in_spans(room, spans, q));
            pairs += keys;
        }
        CHECK_OK(atn_pattern_pairs(cx, p, 0, &closed));
        CHECK_EQ(closed, pairs);
        free(room);
        atn_pattern_destroy(cx, p);
    }
}

/* cards/sparse.md 15 (e): L = 8. */
static void grid_oracles(atn_ctx *cx)
{
    static const struct {
        atn_axis a;
        atn_idx start[8];
    } rows[] = {{{8, 3, 1, 1, false}, {0, 0, 1, 2, 3, 4, 5, 5}},
                {{8, 4, 1, 1, false}, {0, 0, 0, 1, 2, 3, 4, 4}},
                {{8, 4, 2, 1, false}, {0, 0, 1, 1, 3, 3, 4, 4}},
                {{8, 4, 4, 1, false}, {0, 0, 0, 0, 4, 4, 4, 4}},
                {{8, 3, 3, 1, false}, {0, 0, 0, 3, 3, 3, 5, 5}},
                {{8, 8, 1, 1, false}, {0, 0, 0, 0, 0, 0, 0, 0}},
                {{8, 3, 1, 1, true}, {0, 0, 0, 1, 2, 3, 4, 5}},
                {{8, 4, 2, 1, true}, {0, 0, 0, 0, 2, 2, 4, 4}}};

    (void)cx;
    for (size_t r = 0; r < ATN_LEN(rows); r++)
        for (atn_idx i = 0; i < 8; i++) {
            atn_idx lo, hi;

            atn_axis_window(&rows[r].a, 8, i, &lo, &hi);
            CHECK_EQ(lo, rows[r].start[i]);
            CHECK_EQ(hi, rows[r].a.causal ? i + 1 : lo + rows[r].a.window);
        }
}

static void grid_rules(atn_ctx *cx)
{
    static const atn_axis bad[] = {{8, 9, 1, 1, false}, {8, 4, 5, 1, false},
                                   {8, 0, 1, 1, false}, {8, 4, 1, 3, false},
                                   {8, 4, 0, 1, true},  {0, 1, 1, 1, false}};
    static const char *const rule[] = {"above the length", "above the window",
                                       "at least 1",       "above the length",
                                       "at least 1",       "not in 1.."};

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        const atn_axes g = {2, {{4, 2, 1, 1, false}, bad[i], {0, 0, 0, 0, false}}};
        atn_pattern *p;

        CHECK_FAILS(atn_pattern_axes(cx, &g, &p), ATN_USAGE, rule[i]);
        CHECK(p == NULL);
    }
}

/* ---- layers, images, heads ---- */

static void two_layers(atn_ctx *cx)
{
    static dense a, b;

    rng = atn_rng_stream(4, "test/pattern", 0, 0);
    for (int trial = 0; trial < 400; trial++) {
        made ma = random_made(), mb = random_made();
        atn_frame f = random_frame(true), g = f;
        atn_pattern *up, *low, *p;
        atn_span *room;

        ma.kind %= 4;
        mb.kind %= 4;
        g.block = between(1, 4);
        g.causal = below(2);
        fill(&a, &f, &ma, 1);
        fill(&b, &g, &mb, 1);
        up = build(cx, &f, &ma, 1);
        low = build(cx, &g, &mb, 1);
        CHECK_OK(atn_pattern_compose(cx, up, low, &p));
        room = malloc((size_t)p->room * sizeof *room);
        for (atn_idx i = 0; i < f.nk; i++) {
            const atn_idx n = atn_pattern_keys(p, 0, i, room);

            for (atn_idx k = 0; k < f.nk; k++) {
                bool sees = false;

                for (atn_idx j = 0; j < f.nk; j++)
                    sees |= a.at[0][i][j] && b.at[0][j][k];
                CHECK_EQ(in_spans(room, n, k), sees);
            }
        }
        free(room);
        atn_pattern_destroy(cx, p);
        atn_pattern_destroy(cx, up);
        atn_pattern_destroy(cx, low);
    }
}

static void image(atn_ctx *cx)
{
    static dense d;

    rng = atn_rng_stream(5, "test/pattern", 0, 0);
    for (int trial = 0; trial < 300; trial++) {
        const atn_frame f = random_frame(false);
        const made m = random_made();
        const atn_idx rows = between(1, ATN_MIN(f.nq, 7));
        const atn_idx cols = between(1, ATN_MIN(f.nk, 7));
        atn_pattern *p = build(cx, &f, &m, m.kind >= 4 ? 2 : 1);
        float cells[49];
        const atn_mat out = {cells, rows, cols, cols};

        fill(&d, &f, &m, p->heads);
        CHECK_OK(atn_pattern_image(cx, p, p->heads - 1, out));
        for (atn_idx r = 0; r < rows; r++)
            for (atn_idx c = 0; c < cols; c++) {
                double kept = 0, seen = 0;

                for (atn_idx q = 0; q < f.nq; q++)
                    for (atn_idx j = 0; j < f.nk; j++) {
                        if (q < r * f.nq / rows || q >= (r + 1) * f.nq / rows) continue;
                        if (j < c * f.nk / cols || j >= (c + 1) * f.nk / cols) continue;
                        seen += !f.causal || j <= f.first + q;
                        kept += d.at[p->heads - 1][q][j];
                    }
                if (seen > 0)
                    CHECK_NEAR(cells[r * cols + c], kept / seen, 1e-6);
                else
                    CHECK(isnan(cells[r * cols + c]));
            }
        atn_pattern_destroy(cx, p);
    }
}

/* Some heads of a pattern, against the rows of these heads one by one. */
static void some_heads(atn_ctx *cx)
{
    enum { N = MOST, HEADS = 5 };
    atn_idx phase[HEADS];

    for (int trial = 0; trial < 200; trial++) {
        const atn_frame f = atn_frame_square(N, 1 + below(4), below(2) == 0);
        const atn_idx first = below(HEADS), n = 1 + below(HEADS + 2);
        static bool see[N][N];
        atn_pattern *p, *q;
        atn_span *room;

        for (int h = 0; h < HEADS; h++) phase[h] = below(7);
        CHECK_OK(atn_pattern_columns(cx, &f, 7, 1 + below(2), phase, HEADS, &p));
        CHECK_OK(atn_pattern_together(cx, p, first, n, &q));
        room = malloc((size_t)(p->room + q->room) * sizeof *room);
        memset(see, 0, sizeof see);
        for (atn_idx h = first; h < first + n; h++)
            for (atn_idx a = p->row0; a < p->row1; a++) {
                const atn_idx k = atn_pattern_row(p, h % HEADS, a, room);

                for (atn_idx s = 0; s < k; s++)
                    for (atn_idx c = room[s].lo; c < room[s].hi; c++) see[a][c] = true;
            }
        atn_pattern_destroy(cx, p); /* q keeps it */
        CHECK_EQ(q->heads, 1);
        for (atn_idx a = q->row0; a < q->row1; a++) {
            const atn_idx k = atn_pattern_row(q, 0, a, room);

            CHECK_LE((double)k, (double)q->most);
            check_spans(room, k, f.causal ? ATN_MIN(a + 1, q->cols) : q->cols);
            for (atn_idx c = 0; c < q->cols; c++)
                CHECK_EQ(in_spans(room, k, c), see[a][c]);
        }
        check_stated(q);
        free(room);
        atn_pattern_destroy(cx, q);
    }
}

static void a_pattern_a_head(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(12, 1, true),
                    other = atn_frame_square(12, 2, true);
    const atn_span near = {0, 2}, all = {0, 12};
    atn_pattern *of[2], *p;
    atn_pattern_counts c;

    CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &of[0]));
    CHECK_OK(atn_pattern_shift(cx, &f, &all, 1, 0, &of[1]));
    CHECK_OK(atn_pattern_heads(cx, of, 2, &p));
    CHECK_EQ(p->heads, 2);
    CHECK_OK(atn_pattern_count(cx, p, 0, &c));
    CHECK_EQ(c.pairs, 23);
    CHECK_OK(atn_pattern_count(cx, p, 1, &c));
    CHECK_EQ(c.pairs, 78);
    CHECK_NEAR(c.causal, 1, 0);
    atn_pattern_destroy(cx, p);

    CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &of[0]));
    CHECK_OK(atn_pattern_shift(cx, &other, &all, 1, 0, &of[1]));
    CHECK_FAILS(atn_pattern_heads(cx, of, 2, &p), ATN_USAGE, "");
}

/* ---- refusals ---- */

static void rules_are_named(atn_ctx *cx)
{
    const atn_span s = {0, 1};
    atn_frame f = atn_frame_square(8, 0, false);
    atn_pattern *p, *q, *r;

    CHECK_FAILS(atn_pattern_shift(cx, &f, &s, 1, 0, &p), ATN_USAGE, "block 0");
    f = atn_frame_square(0, 1, false);
    CHECK_FAILS(atn_pattern_shift(cx, &f, &s, 1, 0, &p), ATN_USAGE, "");
    f = atn_frame_square(8, 1, false);
    CHECK_OK(atn_pattern_shift(cx, &f, &s, 1, 0, &p));
    f = atn_frame_square(9, 1, false);
    CHECK_OK(atn_pattern_shift(cx, &f, &s, 1, 0, &q));
    CHECK_FAILS(atn_pattern_union(cx, p, q, &r), ATN_USAGE, "different sizes");
}

/* Every allocation fails in turn; nothing is lost and nothing crashes. */
static void memory_runs_out(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(20, 2, true);
    const atn_span s[] = {{0, 2}, {4, 5}};
    const atn_slice cut[] = {{{3, 9}, {0, 4}, ATN_SLICE_ENDS}, {{0, 9}, {7, 9}, 0}};
    const atn_idx starts[] = {0, 4}, phase[] = {0, 1};
    bool done = false, meet;

    (void)cx;
    for (long k = 0; !done; k++) {
        check_failing failing = {k};
        atn_pattern *a = NULL, *b = NULL, *c = NULL, *d = NULL, *p = NULL;
        atn_meeting m;
        atn_ctx mine;

        atn_ctx_init(&mine);
        mine.alloc = (atn_allocator){check_failing_resize, &failing};
        if (atn_slices_meet(&mine, cut, 2, &meet, &m) == ATN_OK &&
            atn_pattern_slices(&mine, &f, cut, 2, &d) == ATN_OK &&
            atn_pattern_shift(&mine, &f, s, 2, 1, &a) == ATN_OK &&
            atn_pattern_segments(&mine, &f, starts, 2, &b) == ATN_OK &&
            atn_pattern_columns(&mine, &f, 4, 1, phase, 2, &c) == ATN_OK) {
            const bool met = atn_pattern_intersection(&mine, a, b, &p) == ATN_OK;

            a = b = NULL;
            if (met && atn_pattern_compose(&mine, p, p, &a) == ATN_OK) {
                done = atn_pattern_union(&mine, p, c, &b) == ATN_OK;
                p = c = NULL;
            }
        }
        atn_pattern_destroy(&mine, a);
        atn_pattern_destroy(&mine, b);
        atn_pattern_destroy(&mine, c);
        atn_pattern_destroy(&mine, d);
        atn_pattern_destroy(&mine, p);
        atn_ctx_release(&mine);
    }
}

CHECK_MAIN({"every kind", every_kind}, {"slices meet", slices_meet},
           {"slices meet later", slices_meet_later}, {"many slices", many_slices},
           {"algebra", algebra}, {"shift is kept", shift_is_kept}, {"repeats", repeats},
           {"grids", grids}, {"grid oracles", grid_oracles}, {"grid rules", grid_rules},
           {"two layers", two_layers}, {"image", image},
           {"a pattern a head", a_pattern_a_head}, {"some heads", some_heads},
           {"rules are named", rules_are_named}, {"memory runs out", memory_runs_out})
