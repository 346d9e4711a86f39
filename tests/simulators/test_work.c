/* Work of a launch: splits, block ranges, orders, schedules. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/work.h"

static uint64_t state = 20260731;

static atn_idx pick(atn_idx lo, atn_idx hi)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return lo + (atn_idx)((state >> 33) % (uint64_t)(hi - lo + 1));
}

static atn_device device_of(double sms)
{
    atn_device d = {.id = "few"};

    d.number[ATN_DEVICE_SMS].value = sms;
    return d;
}

/* 48 CTAs on 108 SMs: 2 pieces fill 96 of 108 (0.89), 3 need two waves (0.67), 9 fill
 * all (1.0); 0.89 is the first of at least 0.85. FA2 counts 2 CTAs an SM: 54 SMs. */
static void splits_of_the_source(atn_ctx *cx)
{
    atn_split_case c = {ATN_SPLIT_FA3, 48, 108, 64, 1 << 20, true, 8};

    (void)cx;
    CHECK_EQ(atn_split_most(&c), 2);
    c.sms = 54;
    CHECK_EQ(atn_split_most(&c), 1); /* 48 of 54 are 0.8 and more */
    c.rule = ATN_SPLIT_FA2;
    CHECK_EQ(atn_split_most(&c), 2);
    c.rule = ATN_SPLIT_NONE;
    CHECK_EQ(atn_split_most(&c), 1);
    c = (atn_split_case){ATN_SPLIT_FA3, 48, 108, 4, 1 << 20, true, 8};
    CHECK_EQ(atn_split_most(&c), 1); /* 4 blocks are not cut */
    c.rule = ATN_SPLIT_FILL;
    CHECK_EQ(atn_split_most(&c), 2);
    c.ctas = 1;
    CHECK_EQ(atn_split_most(&c), 4);
}

/* One KV head of 101 MiB, 300 Q tiles, no mask: ceil(101 / 50) pieces for L2. */
static void splits_for_l2(atn_ctx *cx)
{
    atn_split_case c = {ATN_SPLIT_VARLEN, 300, 132, 900, 101 << 20, false, 300};

    (void)cx;
    CHECK_EQ(atn_split_most(&c), 3);
    c.causal = true;
    CHECK_EQ(atn_split_most(&c), 1);
    c.causal = false;
    c.m_blocks = 263;
    CHECK_EQ(atn_split_most(&c), 1);
}

static bool sees(const atn_window_rule *w, atn_idx q, atn_idx k)
{
    const atn_idx at = q + w->kv_len - w->q_len;

    return (w->left < 0 || k >= at - w->left) && (w->right < 0 || k <= at + w->right);
}

/* Tiles of Q tile m with an allowed pair, and those with a masked one as well. */
static void count_tiles(const atn_window_rule *w, atn_idx m, atn_idx *any,
                        atn_idx *partial)
{
    *any = *partial = 0;
    for (atn_idx t = 0; t * w->bn < w->kv_len; t++) {
        bool yes = false, no = false;

        for (atn_idx r = m * w->bm; r < (m + 1) * w->bm; r++)
            for (atn_idx k = t * w->bn; k < (t + 1) * w->bn && k < w->kv_len; k++) {
                if (r / w->pack >= w->q_len) continue;
                if (sees(w, r / w->pack, k))
                    yes = true;
                else
                    no = true;
            }
        *any += yes;
        *partial += yes && no;
    }
}

static void block_range_is_exact(atn_ctx *cx)
{
    (void)cx;
    for (int trial = 0; trial < 4000; trial++) {
        const atn_idx q_len = pick(1, 40);
        const atn_window_rule w = {
            q_len,        pick(ATN_MAX(1, q_len - pick(0, 9)), 60),
            pick(-1, 20), pick(-1, 5),
            pick(1, 12),  pick(1, 12),
            pick(1, 5)};
        atn_idx any, partial;
        int32_t visits, masked;

        CHECK_EQ(atn_window_ctas(&w), (w.pack * w.q_len + w.bm - 1) / w.bm);
        for (atn_idx m = 0; m < atn_window_ctas(&w); m++) {
            count_tiles(&w, m, &any, &partial);
            atn_window_tiles(&w, m, &visits, &masked);
            CHECK_EQ(visits, any);
            CHECK_LE(partial, masked);
            CHECK_LE(masked, visits);
            atn_window_partial(&w, m, &visits, &masked);
            CHECK_EQ(visits, any);
            CHECK_EQ(masked, partial);
            if (w.left < 0 && w.right < 0) CHECK_EQ(masked, 0);
        }
    }
}

/* Causal, 4 queries a tile, 2 keys a tile, 10 queries: 2, 4, 5 tiles; each has the two
 * of the diagonal masked, the last, of 2 queries, by the rule of 4. */
static void causal_golden(atn_ctx *cx)
{
    const atn_window_rule w = {10, 10, -1, 0, 4, 2, 1};
    const int32_t want[3][2] = {{2, 2}, {4, 2}, {5, 1}};
    int32_t visits, masked;

    (void)cx;
    for (atn_idx m = 0; m < 3; m++) {
        atn_window_tiles(&w, m, &visits, &masked);
        CHECK_EQ(visits, want[m][0]);
        CHECK_EQ(masked, want[m][1]);
    }
}

/* ---- a twin of the schedule: items in order, SMs looked through one by one ---- */

enum { HEADS = 6, TILES = 9, ITEMS = 20000 };

typedef struct item {
    int head, tile, n, m;
} item;

typedef struct twin {
    item it[ITEMS];
    int n;
    double end[64], ctas[64], tiles[64], masked[64];
    atn_slot slot[ITEMS];
} twin;

static void twin_run(twin *w, int sms, const atn_schedule_rule *rule)
{
    memset(w->end, 0, sizeof w->end);
    memset(w->ctas, 0, sizeof w->ctas);
    memset(w->tiles, 0, sizeof w->tiles);
    memset(w->masked, 0, sizeof w->masked);
    for (int i = 0; i < w->n; i++) {
        int first = 0;

        for (int s = 1; s < sms; s++)
            if (w->end[s] < w->end[first]) first = s;
        w->slot[i] = (atn_slot){first,      w->it[i].head, w->it[i].tile,
                                w->it[i].n, w->it[i].m,    w->end[first],
                                0};
        w->end[first] += rule->cta + w->it[i].n + rule->mask * w->it[i].m;
        w->slot[i].end = w->end[first];
        w->ctas[first] += 1;
        w->tiles[first] += w->it[i].n;
        w->masked[first] += w->it[i].m;
    }
}

static int twin_critical(const twin *w, int sms)
{
    int last = 0;

    for (int s = 1; s < sms; s++)
        if (w->end[s] > w->end[last]) last = s;
    return last;
}

typedef struct lists {
    int32_t visits[HEADS][TILES], masked[HEADS][TILES];
    atn_cta_list list[HEADS];
} lists;

static void random_lists(lists *l, int n, bool even)
{
    for (int h = 0; h < n; h++) {
        l->list[h] =
            (atn_cta_list){even ? TILES : pick(1, TILES), l->visits[h], l->masked[h]};
        for (int t = 0; t < TILES; t++) {
            l->visits[h][t] = (int32_t)pick(0, 12);
            l->masked[h][t] = (int32_t)pick(0, l->visits[h][t]);
        }
    }
}

static void twin_add(twin *w, const lists *l, int n_lists, int batch, int heads,
                     int head, int tile)
{
    const atn_cta_list *list = &l->list[n_lists == 1 ? 0 : head];

    if (tile < list->n)
        w->it[w->n++] =
            (item){batch * heads + head, tile, list->visits[tile], list->masked[tile]};
}

static void check_work(atn_ctx *cx, const atn_work_case *c,
                       const atn_schedule_rule *rule, twin *w)
{
    const int sms = (int)atn_device_get(c->device, ATN_DEVICE_SMS);
    double tiles = 0, masked = 0;
    atn_work got;
    int last;

    twin_run(w, sms, rule);
    last = twin_critical(w, sms);
    for (int i = 0; i < w->n; i++) {
        tiles += w->it[i].n;
        masked += w->it[i].m;
    }
    CHECK_OK(atn_work_make(cx, c, rule, &got));
    CHECK(!got.mean);
    CHECK_NEAR(got.ctas, w->n, 0);
    CHECK_NEAR(got.tiles, tiles, 0);
    CHECK_NEAR(got.masked, masked, 0);
    CHECK_NEAR(got.x_ctas, w->ctas[last], 0);
    CHECK_NEAR(got.x_tiles, w->tiles[last], 0);
    CHECK_NEAR(got.x_masked, w->masked[last], 0);
    CHECK_NEAR(got.waves, ceil((double)w->n / sms), 0);
    CHECK_EQ(got.slots, w->n);
    for (int i = 0; i < w->n; i++) {
        CHECK_EQ(got.slot[i].sm, w->slot[i].sm);
        CHECK_EQ(got.slot[i].head, w->slot[i].head);
        CHECK_EQ(got.slot[i].tile, w->slot[i].tile);
        CHECK_EQ(got.slot[i].visits, w->slot[i].visits);
        CHECK_EQ(got.slot[i].masked, w->slot[i].masked);
        CHECK_NEAR(got.slot[i].begin, w->slot[i].begin, 0);
        CHECK_NEAR(got.slot[i].end, w->slot[i].end, 0);
    }
    atn_work_release(cx, &got);
}

static atn_schedule_rule kept(double cta, double mask)
{
    return (atn_schedule_rule){
        .cta = cta, .mask = mask, .mean_from = INFINITY, .slots = true};
}

static void orders_and_schedule(atn_ctx *cx)
{
    twin *w = malloc(sizeof *w);
    lists l;

    CHECK(w != NULL);
    for (int trial = 0; trial < 300; trial++) {
        const int heads = (int)pick(1, HEADS), batch = (int)pick(1, 4);
        const int n_lists = pick(0, 1) ? heads : 1;
        const atn_launch s = {.batch = batch,
                              .heads = heads,
                              .kv_heads = heads,
                              .head_dim = 64,
                              .value_dim = 64,
                              .q_len = 100,
                              .kv_len = 100,
                              .bytes = 2};
        const atn_kernel k = {.order = (atn_cta_order)pick(0, 1), .ctas_per_sm = 1};
        const atn_device d = device_of((double)pick(1, 40));
        const atn_schedule_rule rule = kept(3.0, 0.1);
        const atn_work_case c = {&k, &d, &s, l.list, n_lists, 16, 16, -1, -1};

        random_lists(&l, n_lists, false);
        w->n = 0;
        for (int b = 0; b < batch; b++)
            for (int h = 0; h < heads; h++)
                for (int t = 0; t < TILES; t++)
                    twin_add(w, &l, n_lists, b, heads, h,
                             k.order == ATN_ORDER_LAST ? TILES - 1 - t : t);
        check_work(cx, &c, &rule, w);
    }
    free(w);
}

/* 3 KV heads of 1000 keys of 2 x 64 numbers of 2 bytes: tiles of 64 keys, 16 blocks;
 * 8 MiB hold 512 blocks, 16 heads would take 256: all three. Of 20,000
 * keys 313 blocks: one head. Group of 2, unpacked: two query heads a KV head. */
static void sections(atn_ctx *cx)
{
    twin *w = malloc(sizeof *w);
    lists l;

    CHECK(w != NULL);
    for (int trial = 0; trial < 60; trial++) {
        const bool packs = pick(0, 1), far = pick(0, 1);
        const int kv = 3, heads = packs ? kv : 2 * kv, batch = (int)pick(1, 3);
        const int section = (far ? 1 : kv) * (heads / kv);
        const atn_launch s = {.batch = batch,
                              .heads = 2 * kv,
                              .kv_heads = kv,
                              .head_dim = 64,
                              .value_dim = 64,
                              .q_len = 1000,
                              .kv_len = far ? 20000 : 1000,
                              .bytes = 2,
                              .causal = true};
        const atn_kernel k = {.order = ATN_ORDER_LAST,
                              .ctas_per_sm = 1,
                              .packs_gqa = packs,
                              .sections = true,
                              .split = ATN_SPLIT_VARLEN};
        const atn_device d = device_of(7);
        const atn_schedule_rule rule = kept(3.0, 0.1);
        const atn_work_case c = {&k, &d, &s, l.list, heads, 64, 64, -1, -1};

        random_lists(&l, heads, true);
        w->n = 0;
        for (int b = 0; b < batch; b++)
            for (int from = 0; from < heads; from += section)
                for (int t = TILES - 1; t >= 0; t--)
                    for (int h = from; h < from + section; h++)
                        twin_add(w, &l, heads, b, heads, h, t);
        check_work(cx, &c, &rule, w);
    }
    free(w);
}

/* One head of 9 tiles on 40 SMs, 64 blocks: 9 s / 40 fills best, 0.9, at s = 4. Two
 * sequences: ceil(1.1 * 2 * 9 * 64 / 40) = 32 blocks an SM, 2 pieces. */
static void pieces(atn_ctx *cx)
{
    const atn_launch s = {.batch = 2,
                          .heads = 1,
                          .kv_heads = 1,
                          .head_dim = 64,
                          .value_dim = 64,
                          .q_len = 144,
                          .kv_len = 1024,
                          .bytes = 2,
                          .causal = true};
    const atn_kernel k = {.order = ATN_ORDER_LAST,
                          .ctas_per_sm = 1,
                          .packs_gqa = true,
                          .sections = true,
                          .split = ATN_SPLIT_VARLEN};
    const atn_device d = device_of(40);
    const atn_schedule_rule rule = kept(3.0, 0.1);
    twin *w = malloc(sizeof *w);
    lists l;
    const atn_work_case c = {&k, &d, &s, l.list, 1, 16, 16, -1, -1};
    atn_work got;

    CHECK(w != NULL);
    random_lists(&l, 1, true);
    l.visits[0][4] = 64;
    w->n = 0;
    for (int b = 0; b < 2; b++)
        for (int part = 0; part < 2; part++)
            for (int t = TILES - 1; t >= 0; t--) {
                const int n = l.visits[0][t], half = (n + 1) / 2;
                const int mine = part == 0 ? half : n - half;
                const bool last = part == 0 ? half == n : true;

                w->it[w->n++] =
                    (item){b, t, mine, last ? ATN_MIN(l.masked[0][t], mine) : 0};
            }
    check_work(cx, &c, &rule, w);
    CHECK_OK(atn_work_make(cx, &c, &rule, &got));
    CHECK_EQ(got.splits, 4);
    CHECK_EQ(got.splits_taken, 2);
    atn_work_release(cx, &got);
    free(w);
}

/* The same launch. Of a pattern that is no window the longest CTA says how many blocks
 * there are to cut: with 3 of the 64 none are, as of any mask of at most 4; with 5, s =
 * 4, and ceil(1.1 * 2 * 9 * 5 / 40) = 3 blocks an SM make 2 pieces. A window of 101
 * keys has by the kernel's own rule ceil(117 / 16) = 8 blocks, of 64 an SM has 32: 4,
 * 2. */
static void pieces_of_what_is_seen(atn_ctx *cx)
{
    static const struct {
        int32_t visits;
        atn_idx left, right;
        int splits, taken;
    } cases[] = {
        {3, -1, -1, 1, 1}, {5, -1, 0, 4, 2}, {64, -1, 0, 4, 2}, {3, 100, 0, 4, 2}};
    const atn_launch s = {.batch = 2,
                          .heads = 1,
                          .kv_heads = 1,
                          .head_dim = 64,
                          .value_dim = 64,
                          .q_len = 144,
                          .kv_len = 1024,
                          .bytes = 2,
                          .causal = true};
    const atn_kernel k = {.ctas_per_sm = 1, .split = ATN_SPLIT_VARLEN};
    const atn_device d = device_of(40);
    const atn_schedule_rule rule = kept(3.0, 0.1);

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const int32_t most = cases[i].visits;
        const int32_t visits[TILES] = {1, 2, 1, 3, most, 2, 1, 1, 3},
                      masked[TILES] = {0};
        const atn_cta_list list = {TILES, visits, masked};
        const atn_work_case c = {
            &k, &d, &s, &list, 1, 16, 16, cases[i].left, cases[i].right};
        atn_work got;

        CHECK_OK(atn_work_make(cx, &c, &rule, &got));
        CHECK_EQ(got.splits, cases[i].splits);
        CHECK_EQ(got.splits_taken, cases[i].taken);
        atn_work_release(cx, &got);
    }
}

static int longer(const void *a, const void *b)
{
    const item *x = a, *y = b;

    if (x->n != y->n) return y->n - x->n;
    if (x->head != y->head) return x->head - y->head;
    return x->tile - y->tile;
}

static void longest_first(atn_ctx *cx)
{
    twin *w = malloc(sizeof *w);
    lists l;

    CHECK(w != NULL);
    for (int trial = 0; trial < 100; trial++) {
        const int heads = (int)pick(1, HEADS), batch = (int)pick(1, 4);
        const int n_lists = pick(0, 1) ? heads : 1;
        const atn_launch s = {.batch = batch,
                              .heads = heads,
                              .kv_heads = heads,
                              .head_dim = 64,
                              .value_dim = 64,
                              .q_len = 100,
                              .kv_len = 100,
                              .bytes = 2};
        const atn_kernel k = {.order = ATN_ORDER_FIRST, .ctas_per_sm = 1};
        const atn_device d = device_of((double)pick(1, 40));
        atn_schedule_rule rule = kept(2.5, 0);
        const atn_work_case c = {&k, &d, &s, l.list, n_lists, 16, 16, -1, -1};

        rule.longest_first = true;
        random_lists(&l, n_lists, false);
        w->n = 0;
        for (int b = 0; b < batch; b++)
            for (int h = 0; h < heads; h++)
                for (int t = 0; t < TILES; t++)
                    twin_add(w, &l, n_lists, b, heads, h, t);
        qsort(w->it, (size_t)w->n, sizeof w->it[0], longer);
        check_work(cx, &c, &rule, w);
    }
    free(w);
}

/* Lists as runs of 1 to 4 alike are the lists written out, scheduled or on the mean. */
static void runs_are_lists(atn_ctx *cx)
{
    enum { RUNS = 12, MOST = 4 * RUNS };

    for (int trial = 0; trial < 200; trial++) {
        const int heads = (int)pick(1, HEADS), n_lists = pick(0, 1) ? heads : 1;
        const atn_launch s = {.batch = pick(1, 3),
                              .heads = heads,
                              .kv_heads = heads,
                              .head_dim = 64,
                              .value_dim = 64,
                              .q_len = 1000,
                              .kv_len = 1000,
                              .bytes = 2};
        const atn_kernel k = {.order = trial % 3 ? ATN_ORDER_LAST : ATN_ORDER_LONGEST,
                              .ctas_per_sm = 1,
                              .split = trial % 2 ? ATN_SPLIT_VARLEN : ATN_SPLIT_NONE};
        const atn_device d = device_of((double)pick(1, 200));
        const atn_schedule_rule rule = {3, .1, .mean_from = (double)pick(0, 3)};
        int32_t v[HEADS][RUNS], m[HEADS][RUNS], vs[HEADS][MOST], ms[HEADS][MOST];
        int64_t t[HEADS][RUNS];
        const int64_t *times[HEADS];
        atn_cta_list few[HEADS], all[HEADS];
        atn_work x, y;

        for (int h = 0; h < n_lists; h++) {
            int n = 0;

            for (int r = 0; r < RUNS; r++) {
                v[h][r] = (int32_t)pick(0, 12);
                m[h][r] = (int32_t)pick(0, v[h][r]);
                t[h][r] = pick(1, 4);
                for (int i = 0; i < t[h][r]; i++, n++) {
                    vs[h][n] = v[h][r];
                    ms[h][n] = m[h][r];
                }
            }
            times[h] = t[h];
            few[h] = (atn_cta_list){RUNS, v[h], m[h]};
            all[h] = (atn_cta_list){n, vs[h], ms[h]};
        }
        {
            const atn_work_case a = {&k, &d, &s, few, n_lists, 16, 16, -1, -1};
            const atn_work_case b = {&k, &d, &s, all, n_lists, 16, 16, -1, -1};

            CHECK_OK(atn_work_make_runs(cx, &a, times, &rule, &x));
            CHECK_OK(atn_work_make(cx, &b, &rule, &y));
        }
        CHECK(x.mean == y.mean && x.splits_taken == y.splits_taken);
        CHECK(x.ctas == y.ctas && x.tiles == y.tiles && x.masked == y.masked);
        CHECK(x.x_ctas == y.x_ctas && x.x_tiles == y.x_tiles);
        CHECK(x.x_masked == y.x_masked && x.waves == y.waves);
    }
}

/* 2^30 CTAs take no memory; 2^62 and 2 of them are more than can be counted. */
static void long_runs(atn_ctx *cx)
{
    const atn_launch s = {.batch = 1,
                          .heads = 1,
                          .kv_heads = 1,
                          .head_dim = 64,
                          .value_dim = 64,
                          .q_len = 8,
                          .kv_len = 8,
                          .bytes = 2};
    const atn_kernel k = {.order = ATN_ORDER_FIRST, .ctas_per_sm = 1};
    const atn_device d = device_of(8);
    const int32_t visits[] = {3, 2}, masked[] = {1, 0};
    const int64_t much[] = {1 << 30, 1}, more[] = {INT64_MAX / 2, INT64_MAX / 2 + 2};
    const int64_t *times[] = {much};
    const atn_cta_list list = {2, visits, masked};
    const atn_work_case c = {&k, &d, &s, &list, 1, 16, 16, -1, -1};
    atn_work w;

    CHECK_OK(atn_work_make_runs(cx, &c, times, &atn_schedule_full, &w));
    CHECK_NEAR(w.ctas, 1073741825, 0);
    CHECK_NEAR(w.tiles, 3221225474, 0);
    CHECK_NEAR(w.x_masked, 1073741824 / 8., 0);
    times[0] = more;
    CHECK_FAILS(atn_work_make_runs(cx, &c, times, &atn_schedule_full, &w), ATN_USAGE,
                "more than can be counted");
}

/* P Q tiles of one head on P SMs, 2 m + 1 units each (a half block on the diagonal, in
 * halves): P^2 of P (2 P - 1) units are work. */
static void causal_imbalance(atn_ctx *cx)
{
    const atn_launch s = {.batch = 1,
                          .heads = 1,
                          .kv_heads = 1,
                          .head_dim = 64,
                          .value_dim = 64,
                          .q_len = 8,
                          .kv_len = 8,
                          .bytes = 2};
    const atn_kernel k = {.order = ATN_ORDER_FIRST, .ctas_per_sm = 1};
    const atn_schedule_rule rule = {.mean_from = INFINITY};
    const atn_device d = device_of(8);
    int32_t visits[8], masked[8] = {0};
    const atn_cta_list list = {8, visits, masked};
    const atn_work_case c = {&k, &d, &s, &list, 1, 1, 1, -1, -1};
    atn_work w;

    for (int i = 0; i < 8; i++) visits[i] = 2 * i + 1;
    CHECK_OK(atn_work_make(cx, &c, &rule, &w));
    CHECK_NEAR(w.tiles / 8 / w.x_tiles, 8.0 / 15, 1e-15);
}

/* 2048 sequences of 96 heads: nothing is scheduled, nothing is stored. */
static void many_take_the_mean(atn_ctx *cx)
{
    const atn_launch s = {.batch = 2048,
                          .heads = 96,
                          .kv_heads = 96,
                          .head_dim = 64,
                          .value_dim = 64,
                          .q_len = 384,
                          .kv_len = 384,
                          .bytes = 2};
    const atn_kernel k = {.order = ATN_ORDER_LAST, .ctas_per_sm = 2};
    const atn_device d = device_of(132);
    const int32_t visits[3] = {1, 3, 2}, masked[3] = {1, 0, 1};
    const atn_cta_list list = {3, visits, masked};
    const atn_work_case c = {&k, &d, &s, &list, 1, 128, 128, -1, -1};
    const double launches = 2048.0 * 96;
    atn_launch huge = s;
    atn_work_case of_huge = c;
    atn_work w;

    CHECK_OK(atn_work_make(cx, &c, &atn_schedule_full, &w));
    CHECK(w.mean && w.slots == 0);
    CHECK_NEAR(w.x_ctas, 3 * launches / 132, 1e-9);
    CHECK_NEAR(w.x_tiles, 6 * launches / 132, 1e-9);
    CHECK_NEAR(w.x_masked, 2 * launches / 132, 1e-9);
    CHECK_NEAR(w.waves, ceil(3 * launches / 264), 0);
    CHECK_LE(w.occupancy, 1);
    huge.batch = INT64_MAX / 64;
    of_huge.launch = &huge;
    CHECK_FAILS(atn_work_make(cx, &of_huge, &atn_schedule_full, &w), ATN_USAGE,
                "more than can be counted");
}

static void memory_runs_out(atn_ctx *cx)
{
    const atn_launch s = {.batch = 1,
                          .heads = 2,
                          .kv_heads = 2,
                          .head_dim = 64,
                          .value_dim = 64,
                          .q_len = 3,
                          .kv_len = 3,
                          .bytes = 2};
    const atn_kernel k = {.order = ATN_ORDER_LONGEST, .ctas_per_sm = 1};
    const atn_device d = device_of(5);
    const atn_schedule_rule rule = kept(3, 0);
    const int32_t visits[3] = {1, 3, 2}, masked[3] = {1, 0, 1};
    const atn_cta_list list = {3, visits, masked};
    const atn_work_case c = {&k, &d, &s, &list, 1, 1, 1, -1, -1};
    atn_work w;

    for (long left = 0;; left++) {
        check_failing f = {left};
        atn_ctx failing;
        atn_status st;

        atn_ctx_init(&failing);
        failing.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_work_make(&failing, &c, &rule, &w);
        if (st == ATN_OK) atn_work_release(&failing, &w);
        atn_ctx_release(&failing);
        if (st == ATN_OK) break;
        CHECK_EQ(st, ATN_MEMORY);
        CHECK_LE(left, 20);
    }
    (void)cx;
}

CHECK_MAIN({"splits of the source", splits_of_the_source},
           {"splits for L2", splits_for_l2}, {"causal golden", causal_golden},
           {"block range is exact", block_range_is_exact},
           {"orders and schedule", orders_and_schedule}, {"sections", sections},
           {"pieces", pieces}, {"pieces of what is seen", pieces_of_what_is_seen},
           {"longest first", longest_first}, {"runs are lists", runs_are_lists},
           {"long runs", long_runs}, {"causal imbalance", causal_imbalance},
           {"many take the mean", many_take_the_mean},
           {"memory runs out", memory_runs_out})
