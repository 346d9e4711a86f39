/* InfiniteHiP: golden rows, a twin by definition, heads that share, limits, ties. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/selection.h"

#define SECOND                                                                         \
    "infinite_hip:sink=2,window=8,chunks=8x4x2,rows=4x2x1,keep=8x8,k=4,block_q=4"

/* Second fixture of the card. Row 23, p_0 = 20: C_0 = window, so w = 0 and chunks 2-9
 * and 10-17 are judged; one of them goes on. */
static void golden_rows(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, SECOND, 0, 19, "0-5,12-19", .674256, 10.017604);
    zoo_golden(cx, &z, SECOND, 0, 23, "0-5,16-23", .539996, 11.955085);
    zoo_free(&z);
}

/* ---- the stages once more, in double ---- */

enum { N_MOST = 128 };

typedef struct twin {
    long k, block_q, sink, window, chunk[3], keep[2], rows[3];
    int stages;
    bool share;
} twin;

/* What chunk [lo, hi) scores; -inf: the descent never began. */
static double twin_descent(const atn_head *h, const twin *t, int stage, long from,
                           long lo, long hi, long behind)
{
    double best = -INFINITY;
    int steps = 1;

    while ((1L << steps) < t->chunk[stage]) steps++;
    for (int s = 0; s < steps && lo < hi && lo <= behind; s++) {
        const long m = (lo + hi) / 2, key[2] = {(lo + m) / 2, (m + hi) / 2};
        double fit[2] = {-INFINITY, -INFINITY};

        for (long g = from; g < from + t->block_q; g += t->rows[stage]) {
            double mean[16] = {0};
            long n = 0;

            for (long p = g; p < g + t->rows[stage] && p < from + t->block_q; p++) {
                const long i = p - h->sight.offset;

                if (i < 0 || i >= h->nq) continue;
                for (long c = 0; c < h->q.cols; c++)
                    mean[c] += (double)atn_crow(h->q, i)[c];
                n++;
            }
            for (int side = 0; side < 2 && n > 0; side++) {
                double sum = 0;

                for (long c = 0; c < h->q.cols; c++)
                    sum += mean[c] / (double)n * (double)atn_crow(h->k, key[side])[c];
                fit[side] = fmax(fit[side], sum);
            }
        }
        if (fit[0] > fit[1]) {
            hi = m;
            best = fmax(best, fit[0]);
        } else {
            lo = m;
            best = fmax(best, fit[1]);
        }
    }
    return best;
}

/* Keys kept of the block of queries that begins at position `from`, for one head, or
 * for all of n. */
static void twin_block(const atn_head *heads, int n, const twin *t, long from,
                       uint8_t *keeps)
{
    const atn_head *h = &heads[0];
    const long nk = h->nk, size0 = t->chunk[0];
    const long w = t->window > size0 ? t->window - size0 : 0;
    const long p0 = from > h->sight.offset ? from : h->sight.offset;
    const long behind = p0 > w ? p0 - w : 0;
    long lo[4 * N_MOST], hi[4 * N_MOST], count = 0, seen = -1;

    for (long i = 0; i < h->nq; i++) {
        const long p = i + h->sight.offset;
        atn_idx l, r;

        if (p < from || p >= from + t->block_q || seen >= 0) continue;
        atn_sight_row(&h->sight, i, &l, &r);
        seen = l;
    }
    for (long i = 0; i * size0 < nk - t->sink - t->window; i++) {
        lo[count] = t->sink + i * size0;
        hi[count] = lo[count] + size0 < nk - w ? lo[count] + size0 : nk - w;
        count++;
    }
    for (int s = 0; s < t->stages; s++) {
        const long size = t->chunk[s];
        const long budget = s + 1 < t->stages ? t->keep[s] : t->k;
        long lo2[4 * N_MOST], hi2[4 * N_MOST], kept = 0;
        double score[4 * N_MOST];
        bool taken[4 * N_MOST] = {false};

        for (long e = 0; e < count; e++) {
            score[e] = -INFINITY;
            for (int m = 0; m < n && hi[e] > seen; m++)
                score[e] = fmax(score[e], twin_descent(&heads[m], t, s, from, lo[e],
                                                       hi[e], behind));
        }
        for (long left = (budget + size - 1) / size; left > 0; left--) {
            long best = -1;

            for (long e = 0; e < count; e++)
                if (!taken[e] && score[e] > -INFINITY &&
                    (best < 0 || score[e] > score[best]))
                    best = e;
            if (best >= 0) taken[best] = true;
        }
        for (long e = 0; e < count; e++) {
            if (!taken[e]) continue;
            if (s + 1 == t->stages)
                for (long j = lo[e] / size * size; j < lo[e] / size * size + size; j++)
                    if (j < nk) keeps[j] = 1;
            for (long x = lo[e]; s + 1 < t->stages && x < lo[e] + size;
                 x += t->chunk[s + 1]) {
                lo2[kept] = x;
                hi2[kept] = x + t->chunk[s + 1] < nk ? x + t->chunk[s + 1] : nk;
                kept++;
            }
        }
        count = kept;
        memcpy(lo, lo2, sizeof lo);
        memcpy(hi, hi2, sizeof hi);
    }
}

static void twin_row(const zoo *z, long head, const twin *t, long i, uint8_t *out)
{
    const atn_head *h = &z->head[head];
    const long p = i + h->sight.offset, from = p / t->block_q * t->block_q;
    uint8_t found[N_MOST + 64] = {0};
    atn_idx lo, hi;

    if (t->share)
        twin_block(z->head, (int)z->in.heads, t, from, found);
    else
        twin_block(h, 1, t, from, found);
    atn_sight_row(&h->sight, i, &lo, &hi);
    for (long j = 0; j < h->nk; j++)
        out[j] = j >= lo && j < hi && (found[j] || p - j < t->window || j < t->sink);
}

static long draw(uint64_t *seed, long lo, long hi)
{
    return lo + (long)(zoo_uniform(seed) * (double)(hi - lo + 1));
}

static void spec_of(const twin *t, bool say, char *spec, size_t size)
{
    char chunks[64], keep[64] = "", rows[64];

    snprintf(chunks, sizeof chunks, "%ld", t->chunk[0]);
    snprintf(rows, sizeof rows, "%ld", t->rows[0]);
    for (int s = 1; s < t->stages; s++) {
        const size_t a = strlen(chunks), b = strlen(rows), c = strlen(keep);

        snprintf(chunks + a, sizeof chunks - a, "x%ld", t->chunk[s]);
        snprintf(rows + b, sizeof rows - b, "x%ld", t->rows[s]);
        snprintf(keep + c, sizeof keep - c, "%s%ld", s > 1 ? "x" : "", t->keep[s - 1]);
    }
    snprintf(spec, size,
             "infinite_hip:sink=%ld,window=%ld,chunks=%s,rows=%s,keep=%s,k=%ld,"
             "block_q=%ld%s",
             t->sink, t->window, chunks, rows, keep, t->k, t->block_q,
             t->share && say ? ",share=heads" : "");
}

static void twin_of_the_stages(atn_ctx *cx)
{
    uint64_t seed = 21;

    for (int trial = 0; trial < 240; trial++) {
        const long nk = draw(&seed, 1, 100), nq = trial % 3 ? nk : draw(&seed, 1, nk);
        twin t = {.k = draw(&seed, 1, 20),
                  .block_q = draw(&seed, 1, 9),
                  .sink = draw(&seed, 0, 9),
                  .window = draw(&seed, 0, 30),
                  .stages = (int)draw(&seed, 1, 3),
                  .share = trial % 4 == 1};
        char spec[256];
        zoo z;

        t.chunk[2] = draw(&seed, 1, 3);
        t.chunk[1] = t.chunk[2] * draw(&seed, 1, 3);
        t.chunk[0] = t.chunk[1] * draw(&seed, 1, 4);
        for (int s = 0; s < 3; s++) t.rows[s] = draw(&seed, 1, 4);
        for (int s = 0; s < 2; s++) t.keep[s] = draw(&seed, 1, 60);
        zoo_random(&z, 4, 2, nq, nk, seed);
        if (trial % 6 == 1) selection_window(&z, draw(&seed, 1, 40));
        z.in.as_published = t.share && trial % 8 == 1;
        spec_of(&t, !z.in.as_published, spec, sizeof spec);
        for (atn_idx h = 0; h < 4; h += 3) {
            uint8_t *got = selection_of(cx, &z, spec, h);
            uint8_t *wanted = malloc((size_t)(nq * nk) + 1);

            for (long i = 0; i < nq; i++) twin_row(&z, h, &t, i, wanted + i * nk);
            selection_same(spec, &z, h, got, wanted);
            free(got);
            free(wanted);
        }
        zoo_free(&z);
    }
}

/* ---- derived ---- */

/* Everything may be kept, and the window reaches over the first chunk and the block. */
static void large_k_is_dense(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 1, 60, 100, 5);
    selection_is_dense(cx, &z,
                       "infinite_hip:k=100,keep=100x100,chunks=16x8x4,block_q=16,"
                       "window=16,sink=3",
                       1);
    selection_is_dense(cx, &z, "infinite_hip", 0);
    selection_is_dense(cx, &z, "infinite_hip:sink=1m,window=0,k=1", 0);
    selection_is_dense(cx, &z, "infinite_hip:sink=0,window=0,k=1,dense_layers=2", 1);
    selection_is_dense(cx, &z,
                       "infinite_hip:window=1m,sink=0,k=1,block_q=1m,rows=1mx1mx1m", 1);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 1, 1, 5);
    selection_is_dense(cx, &z, "infinite_hip", 0);
    zoo_free(&z);
}

/* Equal keys: the lowest chunks, whatever the numbers are. 400 rows in blocks of 8;
 * before p_0 - 16 + 16 the chunks of 16 keys from key 4 on; 24 keys of them. */
static void equal_keys_go_to_the_lowest(atn_ctx *cx)
{
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 400, 400, 3);
    for (long j = 1; j < 400; j++) memcpy(z.k + 8 * j, z.k, 8 * sizeof *z.k);
    got = selection_of(cx, &z,
                       "infinite_hip:k=24,chunks=16x4,keep=64,rows=4x1,block_q=8,"
                       "window=16,sink=4",
                       0);
    for (long i = 100; i < 400; i++)
        for (long j = 0; j < 400; j++)
            CHECK_EQ(got[i * 400 + j], j <= i && (j < 28 || i - j < 16));
    free(got);
    zoo_free(&z);
}

/* The last of 17 queries, chunks of 8 keys. In the first one keys 2 and 6 tie at 1, so
 * the descent goes right, where key 7 scores 5; the second has 3 throughout. */
static void a_tie_goes_right(atn_ctx *cx)
{
    const float fits[17] = {0, 0, 1, 0, 0, 0, 1, 5, 3, 3, 3, 3, 3, 3, 3, 3, 0};
    uint8_t *got;
    zoo z;

    zoo_shape(&z, 1, 1, 1, 17, 1, 1);
    z.q[0] = 1;
    for (int j = 0; j < 17; j++) {
        z.k[j] = fits[j];
        z.v[j] = 1;
    }
    got = selection_of(
        cx, &z, "infinite_hip:k=8,chunks=8,keep=,rows=1,block_q=1,window=0,sink=0", 0);
    for (long j = 0; j < 17; j++) CHECK_EQ(got[j], j < 8);
    free(got);
    zoo_free(&z);
}

/* Only what is shared is planned together. */
static void a_unit_is_what_shares(atn_ctx *cx)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_input in = {.heads = 6, .group = 2};
    atn_choice c;

    CHECK_OK(atn_choice_read(cx, "infinite_hip", NULL, &c));
    CHECK_EQ(atn_choice_heads(&c, &in), 1);
    in.as_published = true;
    CHECK_EQ(atn_choice_heads(&c, &in), 6);
    in.as_published = false;
    CHECK_OK(atn_choice_read(cx, "infinite_hip", "share=heads", &c));
    CHECK_EQ(atn_choice_heads(&c, &in), 6);
    atn_arena_rewind(cx, mark);
}

/* With a share, both heads keep the same keys, and half of the search is counted in
 * each. */
static void shared_heads_are_alike(atn_ctx *cx)
{
    uint8_t *one, *other;
    atn_plan plans[2];
    zoo z;

    zoo_random(&z, 2, 1, 80, 80, 9);
    one = selection_of(cx, &z, SECOND ",share=heads", 0);
    other = selection_of(cx, &z, SECOND ",share=heads", 1);
    CHECK(memcmp(one, other, 80 * 80) == 0);
    free(one);
    free(other);
    one = selection_of(cx, &z, SECOND, 0);
    other = selection_of(cx, &z, SECOND, 1);
    CHECK(memcmp(one, other, 80 * 80) != 0);
    free(one);
    free(other);
    CHECK_EQ(zoo_plan(cx, &z, SECOND ",share=heads", 0, plans), 2);
    CHECK(plans[0].index_flops > 0 && plans[0].index_bytes > 0);
    CHECK(plans[1].index_flops == plans[0].index_flops);
    CHECK(plans[1].index_bytes == plans[0].index_bytes);
    CHECK_EQ(plans[1].ties, plans[0].ties);
    CHECK_EQ(plans[0].tile_rows, 4);
    CHECK_EQ(plans[1].tile_keys, 2);
    zoo_release(cx, plans, 2);
    zoo_free(&z);
}

/* One query of one number and 8 keys, no window: a chunk of 8 is judged in three steps
 * of two keys, its two halves of 4 in two, the 4 chunks of one key in one: 6 + 8 + 8
 * pairs of 2 flop; as many keys and 3 times a query are read. */
static void cost_counts_what_was_scored(atn_ctx *cx)
{
    atn_plan plan, plans[2];
    zoo z;

    zoo_shape(&z, 1, 1, 1, 8, 1, 1);
    z.q[0] = 1;
    for (int j = 0; j < 8; j++) z.k[j] = z.v[j] = (float)(3 * j % 8);
    zoo_plan(
        cx, &z,
        "infinite_hip:k=2,chunks=8x4x1,keep=8x4,rows=1x1x1,block_q=1,window=0,sink=0",
        0, &plan);
    CHECK(plan.index_flops == 2 * 22 && plan.index_bytes == 2 * (22 + 3));
    zoo_release(cx, &plan, 1);
    zoo_free(&z);
    /* two heads that share: twice as much, half of it in each */
    zoo_shape(&z, 2, 1, 1, 8, 1, 1);
    z.q[0] = z.q[1] = 1;
    for (int j = 0; j < 16; j++) z.k[j] = z.v[j] = (float)(3 * j % 8);
    CHECK_EQ(zoo_plan(cx, &z,
                      "infinite_hip:k=2,chunks=8x4x1,keep=8x4,rows=1x1x1,block_q=1,"
                      "window=0,sink=0,share=heads",
                      0, plans),
             2);
    for (int h = 0; h < 2; h++)
        CHECK(plans[h].index_flops == 2 * 22 && plans[h].index_bytes == 2 * (22 + 3));
    zoo_release(cx, plans, 2);
    zoo_free(&z);
}

static void rules_and_looks(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 2, 20, 20, 2);
    selection_fails(cx, &z, "infinite_hip:chunks=8x4", ATN_USAGE,
                    "chunks names 2 stages, keep 2 numbers and rows 3");
    selection_fails(cx, &z, "infinite_hip:chunks=8x4x3", ATN_USAGE,
                    "chunks of 4 keys cannot be cut into chunks of 3");
    selection_fails(cx, &z, "infinite_hip:chunks=8x16x16", ATN_USAGE, "cannot be cut");
    selection_fails(cx, &z, "infinite_hip:chunks=,keep=,rows=", ATN_USAGE, "0 stages");
    CHECK_EQ(selection_looks(cx, &z, "infinite_hip"), ATN_LOOKS_QUERIES);
    CHECK_EQ(selection_looks(cx, &z, "infinite_hip:window=510"),
             ATN_LOOKS_QUERIES | ATN_LOOKS_KEYS);
    CHECK_EQ(selection_looks(cx, &z, "infinite_hip:window=511,block_q=1"), 0);
    zoo_causal(&z, false);
    selection_fails(cx, &z, "infinite_hip", ATN_DATA, "for causal heads");
    zoo_free(&z);
}

static void threads_and_memory(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 2, 150, 150, 13);
    selection_threads(cx, &z, SECOND);
    selection_threads(cx, &z, SECOND ",share=heads");
    zoo_free(&z);
    zoo_random(&z, 2, 2, 26, 26, 13);
    selection_failing(&z, SECOND);
    selection_failing(&z, SECOND ",share=heads");
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden_rows}, {"twin", twin_of_the_stages},
           {"large k", large_k_is_dense}, {"equal keys", equal_keys_go_to_the_lowest},
           {"a tie goes right", a_tie_goes_right}, {"a unit", a_unit_is_what_shares},
           {"shared heads", shared_heads_are_alike},
           {"cost", cost_counts_what_was_scored}, {"rules and looks", rules_and_looks},
           {"threads and memory", threads_and_memory})
