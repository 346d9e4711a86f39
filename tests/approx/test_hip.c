/* HiP: golden rows, a twin by definition, the paper's search for a peak, ties, what a
 * search can miss, and what it costs. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/selection.h"

#define SECOND "hip:k=8,block_q=4,block=2,window=4"

/* Second fixture of the card. Row 19: its block has rows 16 .. 19, of which 17 and 19
 * score; 16 keys are before the window, 4 chunks of 2 blocks, halved once. */
static void golden_rows(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, SECOND, 0, 19, "0-3,6,7,10,11,16-19", .638113, 8.820159);
    zoo_golden(cx, &z, SECOND, 0, 23, "0,1,6,7,10,11,14,15,20-23", .624924, 11.914040);
    zoo_free(&z);
}

/* ---- the search once more, in double ---- */

typedef struct twin {
    long k, block_q, block, window, stride, refresh, prompt;
    bool centre, round;
} twin;

enum { N_MOST = 128 };

/* Keys of [lo, end) found by the queries in rows [n]. */
static void twin_search(const atn_head *h, const twin *t, const long *rows, long n,
                        long lo, long end, uint8_t *keeps)
{
    const long b0 = lo / t->block, nb = end > lo ? (end - 1) / t->block + 1 - b0 : 0;
    const long chunks = (t->k + t->block - 1) / t->block;
    long start[2 * N_MOST], size[2 * N_MOST], count = 0;

    if (nb <= chunks) {
        for (long j = lo; j < end; j++) keeps[j] = 1;
        return;
    }
    for (long i = 0; i <= chunks; i++) {
        const double place = (double)(nb * i) / (double)chunks;

        start[i] = (long)floor(t->round ? place + .5 : place + 1e-12);
        if (i > 0) size[i - 1] = start[i] - start[i - 1];
    }
    count = chunks;
    for (double g = (double)nb / (double)chunks; g > 1; g /= 2) {
        long s2[4 * N_MOST], n2[4 * N_MOST], all = 0;
        double score[4 * N_MOST];
        bool taken[4 * N_MOST] = {false};

        for (long i = 0; i < count; i++)
            for (int side = 0; side < 2; side++) {
                const long half = size[i] / 2;

                s2[all] = side ? start[i] + half : start[i];
                n2[all] = side ? size[i] - half : half;
                if (n2[all] > 0) all++;
            }
        for (long e = 0; e < all; e++) {
            const long rep = b0 + s2[e] + (t->centre ? (n2[e] - 1) / 2 : 0);

            score[e] = -INFINITY;
            for (long j = rep * t->block; j < (rep + 1) * t->block; j++)
                for (long r = 0; r < n && j >= lo && j < end; r++)
                    score[e] =
                        fmax(score[e], selection_dot(atn_crow(h->q, rows[r]),
                                                     atn_crow(h->k, j), h->k.cols));
        }
        for (long i = 0; i < chunks; i++) {
            long best = -1;

            for (long e = 0; e < all; e++)
                if (!taken[e] && (best < 0 || score[e] > score[best])) best = e;
            taken[best] = true;
        }
        count = 0;
        for (long e = 0; e < all; e++)
            if (taken[e]) {
                start[count] = s2[e];
                size[count++] = n2[e];
            }
    }
    for (long i = 0; i < count; i++) {
        CHECK_EQ(size[i], 1);
        for (long j = (b0 + start[i]) * t->block; j < (b0 + start[i] + 1) * t->block;
             j++)
            if (j >= lo && j < end) keeps[j] = 1;
    }
}

/* The queries at positions [from, to) that the head has, those that score first. */
static void twin_find(const atn_head *h, const twin *t, long from, long to,
                      uint8_t *keeps)
{
    long rows[N_MOST], n = 0, last = -1, lo = -1, hi = 0;

    for (long i = 0; i < h->nq; i++) {
        const long p = i + h->sight.offset;
        atn_idx l, r;

        if (p < from || p >= to) continue;
        last = i;
        if ((p - from) % t->stride == t->stride - 1) rows[n++] = i;
        atn_sight_row(&h->sight, i, &l, &r);
        if (lo < 0) lo = l;
        hi = r;
    }
    if (n == 0) rows[n++] = last;
    twin_search(h, t, rows, n, lo, hi - t->window > lo ? hi - t->window : lo, keeps);
}

static void twin_row(const atn_head *h, const twin *t, long i, uint8_t *out)
{
    const long p = i + h->sight.offset, prompt = t->prompt > 0 ? t->prompt : 1000000;
    uint8_t found[N_MOST] = {0};
    atn_idx lo, hi;

    if (p < prompt) {
        const long from = p / t->block_q * t->block_q, to = from + t->block_q;

        twin_find(h, t, from, to < prompt ? to : prompt, found);
    } else {
        long at = prompt + (p - prompt) / t->refresh * t->refresh;

        if (at < h->sight.offset) at = h->sight.offset;
        twin_find(h, t, at, at + 1, found);
    }
    atn_sight_row(&h->sight, i, &lo, &hi);
    for (long j = 0; j < h->nk; j++)
        out[j] = j >= lo && j < hi && (found[j] || p - j < t->window);
}

static long draw(uint64_t *seed, long lo, long hi)
{
    return lo + (long)(zoo_uniform(seed) * (double)(hi - lo + 1));
}

static void twin_of_the_search(atn_ctx *cx)
{
    uint64_t seed = 11;

    for (int trial = 0; trial < 300; trial++) {
        const long nk = draw(&seed, 1, 90), nq = trial % 3 ? nk : draw(&seed, 1, nk);
        const twin t = {.k = draw(&seed, 1, 24),
                        .block_q = draw(&seed, 1, 9),
                        .block = draw(&seed, 1, 5),
                        .window = draw(&seed, 0, 12),
                        .stride = draw(&seed, 1, 4),
                        .refresh = draw(&seed, 1, 5),
                        .prompt = trial % 4 ? 0 : draw(&seed, 1, nk + 2),
                        .centre = trial % 5 == 0,
                        .round = trial % 7 == 0};
        char spec[256];
        zoo z;

        zoo_random(&z, 4, 2, nq, nk, seed);
        if (trial % 2) selection_round(&z);
        if (trial % 6 == 1) selection_window(&z, draw(&seed, 1, 40));
        if (trial % 8) z.in.prompt = t.prompt;
        snprintf(spec, sizeof spec,
                 "hip:k=%ld,block_q=%ld,block=%ld,window=%ld,stride=%ld,refresh=%ld,"
                 "representative=%s,borders=%s,prompt=%ld",
                 t.k, t.block_q, t.block, t.window, t.stride, t.refresh,
                 t.centre ? "centre" : "first", t.round ? "round" : "floor",
                 trial % 8 ? 0 : t.prompt);
        for (atn_idx h = 0; h < 4; h += 3) {
            uint8_t *got = selection_of(cx, &z, spec, h);
            uint8_t *wanted = malloc((size_t)(nq * nk) + 1);

            for (long i = 0; i < nq; i++) twin_row(&z.head[h], &t, i, wanted + i * nk);
            selection_same(spec, &z, h, got, wanted);
            free(got);
            free(wanted);
        }
        zoo_free(&z);
    }
}

/* ---- derived ---- */

/* One query, the last of n tokens, that scores key j as f(j). */
static void score_line(zoo *z, long n, double (*f)(long j, long at), long at)
{
    zoo_shape(z, 1, 1, 1, n, 1, 1);
    z->q[0] = 1;
    for (long j = 0; j < n; j++) {
        z->k[j] = (float)f(j, at);
        z->v[j] = 1;
    }
}

static double tent(long j, long at)
{
    return -fabs((double)(j - at));
}

static double spike(long j, long at)
{
    return j == at;
}

/* The paper's search with one chunk climbs to the peak of a tent wherever it is. */
static void a_peak_is_found(atn_ctx *cx)
{
    for (long n = 1; n <= 130; n++)
        for (long at = 0; at<n; at += n> 70 ? 3 : 1) {
            uint8_t *got;
            zoo z;

            score_line(&z, n, tent, at);
            got = selection_of(cx, &z, "hip_paper:k=1", 0);
            for (long j = 0; j < n; j++) CHECK_EQ(got[j], j == at);
            free(got);
            if (n == 64 && n > 2) {
                got = selection_of(cx, &z, "hip_paper:k=2", 0);
                CHECK_EQ(got[at], 1);
                free(got);
            }
            zoo_free(&z);
        }
}

/* 64 keys of which one scores 1 and the others 0: the blocks asked about are 0 and 32,
 * then 16, 8, 4, 2, 1, for the lower half wins a tie. */
static void a_spike_between_is_missed(atn_ctx *cx)
{
    const char *spec = "hip:k=1,block_q=1,block=1,window=0,stride=1";
    uint8_t *got;
    zoo z;

    score_line(&z, 64, spike, 37);
    got = selection_of(cx, &z, spec, 0);
    for (long j = 0; j < 64; j++) CHECK_EQ(got[j], j == 0);
    free(got);
    zoo_free(&z);
    score_line(&z, 64, spike, 4);
    got = selection_of(cx, &z, spec, 0);
    for (long j = 0; j < 64; j++) CHECK_EQ(got[j], j == 4);
    free(got);
    zoo_free(&z);
}

/* Equal keys of numbers that do not add up exactly: the lowest blocks, and the window;
 * how many, too. 1000 rows, blocks of 2, 24 of them, the last window of 16. */
static void equal_keys_go_to_the_lowest(atn_ctx *cx)
{
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 1000, 1000, 3);
    for (long j = 1; j < 1000; j++) memcpy(z.k + 8 * j, z.k, 8 * sizeof *z.k);
    got = selection_of(cx, &z, "hip:k=48,block_q=8,block=2,window=16", 0);
    for (long i = 0; i < 1000; i++)
        for (long j = 0; j < 1000; j++)
            CHECK_EQ(got[i * 1000 + j], j <= i && (j < 48 || i - j < 16));
    free(got);
    zoo_free(&z);
}

static void large_k_is_dense(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 1, 50, 70, 5);
    selection_is_dense(cx, &z, "hip:k=70,block_q=8,window=3", 1);
    selection_is_dense(cx, &z, "hip:k=1m,block_q=1m,block=1m,window=1m,stride=1m", 0);
    selection_is_dense(cx, &z, "hip:k=1,window=70", 0);
    selection_is_dense(cx, &z, "hip:k=1,window=0,block=1,dense_layers=1", 0);
    selection_window(&z, 9);
    selection_is_dense(cx, &z, "hip:k=70,block_q=8,window=3", 0);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 1, 1, 5);
    selection_is_dense(cx, &z, "hip", 0);
    zoo_free(&z);
}

/* Queries from a border of blocks on plan what they do in the whole. */
static void chunks_plan_rows_of_the_whole(atn_ctx *cx)
{
    const char *spec = "hip:k=8,block_q=6,block=2,window=3";
    uint8_t *whole, *part;
    zoo z;

    zoo_random(&z, 1, 1, 90, 90, 8);
    whole = selection_of(cx, &z, spec, 0);
    z.head[0].q = (atn_cmat){z.q + 48 * 8, 42, 8, 8};
    z.head[0].nq = 42;
    z.head[0].sight.offset = 48;
    part = selection_of(cx, &z, spec, 0);
    CHECK(memcmp(part, whole + 48 * 90, 42 * 90) == 0);
    free(whole);
    free(part);
    zoo_free(&z);
}

/* One query and 8 keys of one number, one chunk: two halves are scored, then one new
 * one in each of two halvings, so 4 pairs of 2 flop, and 4 keys and a query of 2
 * bytes. Four chunks of two in 8 keys: 8 halves. */
static void cost_counts_what_was_scored(atn_ctx *cx)
{
    atn_plan plan;
    zoo z;

    score_line(&z, 8, tent, 3);
    zoo_plan(cx, &z, "hip:k=1,block_q=1,block=1,window=0,stride=1", 0, &plan);
    CHECK(plan.index_flops == 2 * 4 && plan.index_bytes == 2 * (4 + 1));
    CHECK_EQ(plan.tile_rows, 1);
    CHECK_EQ(plan.tile_keys, 1);
    CHECK_EQ(plan.ties, 0);
    zoo_release(cx, &plan, 1);
    zoo_plan(cx, &z, "hip:k=4,block_q=1,block=1,window=0,stride=1", 0, &plan);
    CHECK(plan.index_flops == 2 * 8 && plan.index_bytes == 2 * (8 + 1));
    CHECK_EQ(plan.ties, 1); /* keys 1 and 5 score -2; 3, 2, 4 and 1 are kept */
    zoo_release(cx, &plan, 1);
    zoo_free(&z);
}

static void looks_ahead_as_it_says(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 2);
    CHECK_EQ(selection_looks(cx, &z, "hip"), ATN_LOOKS_QUERIES);
    CHECK_EQ(selection_looks(cx, &z, "hip:window=30"),
             ATN_LOOKS_QUERIES | ATN_LOOKS_KEYS);
    CHECK_EQ(selection_looks(cx, &z, "hip:window=31"), ATN_LOOKS_QUERIES);
    CHECK_EQ(selection_looks(cx, &z, "hip_paper"), 0);
    CHECK_EQ(selection_looks(cx, &z, "hip:dense_layers=1"), 0);
    zoo_causal(&z, false);
    selection_fails(cx, &z, "hip", ATN_DATA, "for causal heads");
    selection_fails(cx, &z, "hip:k=0", ATN_USAGE, "k");
    zoo_free(&z);
}

static void threads_and_memory(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 13);
    z.in.prompt = 150;
    selection_threads(cx, &z, SECOND);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 30, 30, 13);
    z.in.prompt = 20;
    selection_failing(&z, SECOND);
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden_rows}, {"twin", twin_of_the_search},
           {"a peak is found", a_peak_is_found},
           {"a spike between is missed", a_spike_between_is_missed},
           {"equal keys", equal_keys_go_to_the_lowest}, {"large k", large_k_is_dense},
           {"chunks", chunks_plan_rows_of_the_whole},
           {"cost", cost_counts_what_was_scored},
           {"looks ahead", looks_ahead_as_it_says},
           {"threads and memory", threads_and_memory})
