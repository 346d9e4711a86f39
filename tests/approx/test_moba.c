/* MoBA: rows of the cards, and its choice once more by brute force. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/block_cases.h"

/* Gates of row 7: 1, -1, 1 of the past blocks; the tie goes to block 0. */
static void golden(atn_ctx *cx)
{
    atn_plan p;
    zoo z;

    zoo_first(&z);
    zoo_golden(cx, &z, "moba:block=2,k=2", 0, 7, "0,1,6,7", .393224, 1.215218);
    CHECK_EQ(zoo_plan(cx, &z, "moba:block=2,k=2", 0, &p), 1);
    /* 0 + 0 + 1 + 1 + 2 + 2 + 3 + 3 gates, means of 8 keys of 2 numbers */
    CHECK_NEAR(p.index_flops, 2 * 2 * 12 + 8 * 2, 0);
    /* keys, queries, 4 means and 12 gates written and read */
    CHECK_NEAR(p.index_bytes, 2 * (16 + 16 + 2 * 8 + 2 * 12), 0);
    CHECK(p.tile_rows == 1 && p.tile_keys == 2);
    CHECK(atn_plan_is_mask(&p));
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* k = 1: block-diagonal; k >= blocks: dense. */
static void limits(atn_ctx *cx)
{
    double w[24], a[24];
    zoo z;

    zoo_second(&z);
    for (int i = 0; i < 24; i++) {
        zoo_row(cx, &z, "moba:block=5,k=1", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK((w[j] != 0) == (j <= i && j / 5 == i / 5));
        zoo_dense(&z, 1, i, a);
        zoo_row(cx, &z, "moba:block=5,k=5", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "moba", 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
    }
    zoo_free(&z);
}

typedef struct rule {
    int block, k;
} rule;

static void by_brute_force(const zoo *z, atn_idx head, atn_idx i, const void *p,
                           bool *want)
{
    const atn_head *h = &z->head[head];
    const int b = ((const rule *)p)->block, nk = (int)h->nk;
    const int t = (int)(i + h->nk - h->nq);
    double score[ZOO_MOST], mean[64];
    bool keep[ZOO_MOST];

    for (int c = 0; c * b < nk; c++) {
        const int end = (c + 1) * b < nk ? (c + 1) * b : nk;
        bool seen = c * b <= t;

        if (h->sight.window > 0 && end - 1 <= t - (int)h->sight.window) seen = false;
        case_mean(z, head, c * b, end, mean);
        score[c] = seen ? case_dot(z, head, i, mean) : -INFINITY;
        if (c == t / b) score[c] = INFINITY;
    }
    case_best(score, (nk + b - 1) / b, ((const rule *)p)->k, keep);
    for (int j = 0; j <= t; j++)
        want[j] = keep[j / b] && (h->sight.window == 0 || j > t - h->sight.window);
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < CASES; trial++)
        for (int b = 1; b <= 8; b = trial % 2 ? 2 * b : b + 2)
            for (int k = 1; k <= 4; k++) {
                const rule r = {b, k};
                char spec[64];
                zoo z;

                case_layer(&z, trial);
                snprintf(spec, sizeof spec, "moba:block=%d,k=%d", b, k);
                case_rows(cx, &z, spec, by_brute_force, &r);
                zoo_free(&z);
            }
}

/* All keys equal: every gate ties, and of equal blocks the first are kept. */
static void ties_go_to_the_first(atn_ctx *cx)
{
    double w[200];
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 4);
    for (int j = 1; j < 200; j++) memcpy(z.k + j * 8, z.k, 8 * sizeof *z.k);
    zoo_row(cx, &z, "moba:block=2,k=5", 0, 199, w);
    for (int j = 0; j < 200; j++) CHECK((w[j] != 0) == (j < 8 || j >= 198));
    zoo_plan(cx, &z, "moba:block=2,k=5", 0, &p);
    for (int i = 0, past = 0; i < 200; i++) { /* past blocks beyond the four kept */
        past = i / 2;
        p.ties -= past > 4 ? past - 4 : 0;
    }
    CHECK_EQ(p.ties, 0);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* The rows of a chunk are those of the whole, to the bit; more rows than a tile. */
static void chunks_are_parts(atn_ctx *cx)
{
    double w[300], part[300];
    zoo z, chunk;

    zoo_random(&z, 1, 1, 300, 300, 7);
    zoo_shape(&chunk, 1, 1, 130, 300, 8, 5);
    memcpy(chunk.q, z.q + 170 * 8, 130 * 8 * sizeof *z.q);
    memcpy(chunk.k, z.k, 300 * 8 * sizeof *z.k);
    memcpy(chunk.v, z.v, 300 * 5 * sizeof *z.v);
    for (int i = 0; i < 130; i += 7) {
        zoo_row(cx, &z, "moba:block=7,k=4", 0, 170 + i, w);
        zoo_row(cx, &chunk, "moba:block=7,k=4", 0, i, part);
        CHECK(memcmp(w, part, sizeof w) == 0);
    }
    case_threads(cx, &z, "moba:block=7,k=4");
    zoo_free(&z);
    zoo_free(&chunk);
}

static void failures(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_failing(&z, "moba", "block=4,k=2");
    CHECK_FAILS(atn_choice_read(cx, "moba", "k=0", &(atn_choice){0}), ATN_USAGE, "k");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"limits", limits}, {"twin", twin},
           {"ties", ties_go_to_the_first}, {"chunks", chunks_are_parts},
           {"failures", failures})
