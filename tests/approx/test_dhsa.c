/* DHSA in fixed blocks: golden rows, a twin by definition, what the published choice
 * does to rows, limits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/selection.h"

#define SECOND "dhsa:density=.5,block=4"

/* Second fixture of the card: 3 of 6 blocks, the own one among them. */
static void golden_rows(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, SECOND, 0, 19, "4-7,12-19", .575673, 12.433158);
    zoo_golden(cx, &z, SECOND, 0, 23, "0-3,12-15,20-23", .552243, 11.696853);
    zoo_free(&z);
}

/* ---- twin ---- */

enum { N_MOST = 128 };

/* Sum over a block and its length, of rows at positions [from, from + block). */
static long twin_mean(atn_cmat x, long offset, long from, long block, double *mean)
{
    long n = 0;

    for (long c = 0; c < x.cols; c++) mean[c] = 0;
    for (long i = 0; i < x.rows; i++) {
        const long p = i + offset;

        if (p < from || p >= from + block) continue;
        for (long c = 0; c < x.cols; c++) mean[c] += (double)atn_crow(x, i)[c];
        n++;
    }
    for (long c = 0; c < x.cols; c++) mean[c] /= (double)n;
    return n;
}

static void twin_row(const atn_head *h, double density, long block, bool published,
                     long i, uint8_t *out)
{
    const long p = i + h->sight.offset, a = p / block, nb = (h->nk + block - 1) / block;
    long k = (long)(density * (double)nb), first = -1;
    bool taken[N_MOST] = {false};
    double q[16], score[N_MOST];
    atn_idx lo, hi;

    if (k < 1) k = 1;
    for (long r = 0; r < h->nq && first < 0; r++)
        if ((r + h->sight.offset) / block == a) {
            atn_sight_row(&h->sight, r, &lo, &hi);
            first = lo / block;
        }
    twin_mean(h->q, h->sight.offset, a * block, block, q);
    for (long c = 0; c < nb; c++) {
        double key[16];

        twin_mean(h->k, 0, c * block, block, key);
        score[c] = 0;
        for (long e = 0; e < h->k.cols; e++) score[c] += q[e] * key[e];
    }
    if (!published) {
        taken[a] = true;
        k--;
    }
    for (; k > 0; k--) {
        long best = -1;

        for (long c = published ? 0 : first; c < (published ? nb : a); c++)
            if (!taken[c] && (best < 0 || score[c] > score[best])) best = c;
        if (best >= 0) taken[best] = true;
    }
    atn_sight_row(&h->sight, i, &lo, &hi);
    for (long j = 0; j < h->nk; j++) out[j] = j >= lo && j < hi && taken[j / block];
}

static long draw(uint64_t *seed, long lo, long hi)
{
    return lo + (long)(zoo_uniform(seed) * (double)(hi - lo + 1));
}

static void twin_of_the_choice(atn_ctx *cx)
{
    uint64_t seed = 31;

    for (int trial = 0; trial < 200; trial++) {
        const long nk = draw(&seed, 1, 110), nq = trial % 3 ? nk : draw(&seed, 1, nk);
        const long block = draw(&seed, 1, 9);
        const double density = (double)draw(&seed, 0, 20) / 20;
        char spec[128];
        zoo z;

        zoo_random(&z, 4, 2, nq, nk, seed);
        if (trial % 6 == 1) selection_window(&z, draw(&seed, 1, 40));
        z.in.as_published = trial % 4 == 2;
        snprintf(spec, sizeof spec, "dhsa:density=%.17g,block=%ld", density, block);
        for (atn_idx h = 0; h < 4; h += 3) {
            uint8_t *got = selection_of(cx, &z, spec, h);
            uint8_t *wanted = malloc((size_t)(nq * nk) + 1);

            for (long i = 0; i < nq; i++)
                twin_row(&z.head[h], density, block, z.in.as_published, i,
                         wanted + i * nk);
            selection_same(spec, &z, h, got, wanted);
            free(got);
            free(wanted);
        }
        zoo_free(&z);
    }
}

/* ---- derived ---- */

static void limits(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 1, 60, 90, 5);
    selection_is_dense(cx, &z, "dhsa:density=1,block=7", 1);
    selection_is_dense(cx, &z, "dhsa:density=0,block=90", 0);
    selection_is_dense(cx, &z, "dhsa:density=0,block=1m", 0);
    selection_is_dense(cx, &z, "dhsa", 0);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 1, 1, 5);
    selection_is_dense(cx, &z, "dhsa", 0);
    zoo_free(&z);
}

/* Equal keys: the lowest blocks and the own one. */
static void equal_keys_go_to_the_lowest(atn_ctx *cx)
{
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 300, 300, 3);
    for (long j = 1; j < 300; j++) memcpy(z.k + 8 * j, z.k, 8 * sizeof *z.k);
    got = selection_of(cx, &z, "dhsa:density=.1,block=4", 0); /* 7 of 75 blocks */
    for (long i = 0; i < 300; i++)
        for (long j = 0; j < 300; j++)
            CHECK_EQ(got[i * 300 + j], j <= i && (j < 24 || j / 4 == i / 4));
    free(got);
    zoo_free(&z);
}

/* Keys that score the more the later they stand. As published the last block is the
 * best of every row: all rows but its own are empty. */
static void published_rows_may_be_empty(atn_ctx *cx)
{
    uint8_t *got;
    zoo z;

    zoo_shape(&z, 1, 1, 16, 16, 1, 1);
    for (int i = 0; i < 16; i++) {
        z.q[i] = z.v[i] = 1;
        z.k[i] = (float)i;
    }
    z.in.as_published = true;
    got = selection_of(cx, &z, "dhsa:density=.25,block=4", 0);
    for (long i = 0; i < 16; i++)
        for (long j = 0; j < 16; j++)
            CHECK_EQ(got[i * 16 + j], j <= i && i >= 12 && j >= 12);
    free(got);
    zoo_free(&z);
}

/* 16 tokens of one number in blocks of 4: 32 additions for the means, and 0 + 1 + 2 + 3
 * pairs of blocks of 2 flop. Read: 16 queries and 16 keys, and a mean a pair. */
static void cost_counts_means_and_pairs(atn_ctx *cx)
{
    atn_plan plan;
    zoo z;

    zoo_shape(&z, 1, 1, 16, 16, 1, 1);
    for (int i = 0; i < 16; i++) z.q[i] = z.k[i] = z.v[i] = 1;
    zoo_plan(cx, &z, SECOND, 0, &plan);
    CHECK(plan.index_flops == 32 + 2 * 6 && plan.index_bytes == 2 * (16 + 16 + 6));
    CHECK_EQ(plan.tile_rows, 4);
    CHECK_EQ(plan.tile_keys, 4);
    CHECK_EQ(plan.ties, 0 + 0 + 1 + 2); /* 2 blocks, one of them the own */
    zoo_release(cx, &plan, 1);
    zoo_free(&z);
}

static void looks_ahead_as_it_says(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 2);
    CHECK_EQ(selection_looks(cx, &z, "dhsa"), ATN_LOOKS_QUERIES);
    CHECK_EQ(selection_looks(cx, &z, "dhsa:block=1"), 0);
    z.in.as_published = true;
    CHECK_EQ(selection_looks(cx, &z, "dhsa"), ATN_LOOKS_QUERIES | ATN_LOOKS_KEYS);
    zoo_causal(&z, false);
    selection_fails(cx, &z, "dhsa", ATN_DATA, "for causal heads");
    selection_fails(cx, &z, "dhsa:density=1.5", ATN_USAGE, "density");
    zoo_free(&z);
}

static void threads_and_memory(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 300, 300, 13);
    selection_threads(cx, &z, SECOND);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 30, 30, 13);
    selection_failing(&z, SECOND);
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden_rows}, {"twin", twin_of_the_choice},
           {"limits", limits}, {"equal keys", equal_keys_go_to_the_lowest},
           {"published rows", published_rows_may_be_empty},
           {"cost", cost_counts_means_and_pairs},
           {"looks ahead", looks_ahead_as_it_says},
           {"threads and memory", threads_and_memory})
