/* Quest: rows of the cards, its choice once more by brute force, the bound. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/quest.h"
#include "tests/approx/block_cases.h"

static void golden(atn_ctx *cx)
{
    const float want[] = {3, 1, 3, 1};
    atn_span seen;
    atn_plan p;
    float u[4];
    zoo z;

    zoo_first(&z);
    CHECK_OK(atn_quest_bounds(cx, &z.head[0], 2, 7, u, &seen));
    CHECK(seen.lo == 0 && seen.hi == 4);
    for (int c = 0; c < 4; c++) CHECK_NEAR(u[c], want[c], 0);
    zoo_golden(cx, &z, "quest:block=2,k=4,min_pages=0,dense=0", 0, 7, "0,1,4,5",
               .880797, 3.158163);
    zoo_plan(cx, &z, "quest:block=2,k=4,min_pages=0,dense=0", 0, &p);
    /* 1 + 1 + 2 + 2 + 3 + 3 + 4 + 4 pages, two comparisons a number of a key */
    CHECK_NEAR(p.index_flops, 4 * 2 * 20 + 2 * 16, 0);
    /* keys, ranges, queries once; two vectors a page and row */
    CHECK_NEAR(p.index_bytes, 2 * (16 + 16 + 16 + 2 * 2 * 20), 0);
    CHECK(p.tile_rows == 1 && p.tile_keys == 2 && atn_plan_is_mask(&p));
    atn_plan_release(cx, &p);
    zoo_free(&z);
    zoo_second(&z);
    zoo_golden(cx, &z, "quest:block=4,k=8,min_pages=0,dense=0", 0, 23, "0-3,12-15",
               .395830, 7.675568);
    zoo_free(&z);
}

/* u_P >= q . k of all keys of the page that the row sees, with equality at B = 1. */
static void it_is_a_bound(atn_ctx *cx)
{
    for (int trial = 0; trial < 2 * CASES; trial++) {
        const int b = 1 + trial % 7;
        zoo z;

        case_layer(&z, trial);
        zoo_causal(&z, trial % 4 != 3);
        for (atn_idx i = 0; i < z.head[0].nq; i++) {
            float u[ZOO_MOST];
            atn_idx lo, hi;
            atn_span seen;

            CHECK_OK(atn_quest_bounds(cx, &z.head[0], b, i, u, &seen));
            atn_sight_row(&z.head[0].sight, i, &lo, &hi);
            CHECK(seen.lo == lo / b && seen.hi == (hi - 1) / b + 1);
            for (atn_idx j = lo; j < hi; j++) {
                double k[8], s;

                for (int c = 0; c < 8; c++) k[c] = (double)atn_crow(z.head[0].k, j)[c];
                s = case_dot(&z, 0, i, k);
                CHECK_LE(s, (double)u[j / b - seen.lo] + 1e-5);
                if (b == 1) CHECK_NEAR(s, u[j - seen.lo], 1e-5);
            }
        }
        zoo_free(&z);
    }
}

typedef struct rule {
    int block, pages;
} rule;

static void by_brute_force(const zoo *z, atn_idx head, atn_idx i, const void *p,
                           bool *want)
{
    const atn_head *h = &z->head[head];
    const int b = ((const rule *)p)->block, nk = (int)h->nk;
    const float *q = atn_crow(h->q, i);
    double u[ZOO_MOST];
    bool keep[ZOO_MOST];
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    for (int c = 0; c * b < nk; c++) {
        u[c] = -INFINITY;
        for (int t = 0; t < 8; t++) {
            double best = -INFINITY;

            for (int j = c * b; j < (c + 1) * b; j++)
                if (j >= lo && j < hi)
                    best = fmax(best, (double)q[t] * (double)atn_crow(h->k, j)[t]);
            if (best > -INFINITY) u[c] = (t ? u[c] : 0) + best;
        }
    }
    case_best(u, (nk + b - 1) / b, ((const rule *)p)->pages, keep);
    for (atn_idx j = lo; j < hi; j++) want[j] = keep[j / b];
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 2 * CASES; trial++)
        for (int b = 1; b <= 8; b = trial % 2 ? 2 * b : b + 2)
            for (int k = 1; k <= 4; k++) {
                const rule r = {b, k};
                char spec[96];
                zoo z;

                case_layer(&z, trial);
                zoo_causal(&z, trial % 4 != 3);
                if (trial % 3) /* a budget that is no whole number of pages */
                    snprintf(spec, sizeof spec,
                             "quest:dense=0,min_pages=1,block=%d,k=%d", b,
                             k * b + (b > 1));
                else
                    snprintf(spec, sizeof spec,
                             "quest:dense=0,min_pages=%d,block=%d,k=1", k, b);
                case_rows(cx, &z, spec, by_brute_force, &r);
                zoo_free(&z);
            }
}

/* Layers, prompt, budgets below a page, budgets above the text. */
static void limits(atn_ctx *cx)
{
    double w[24], a[24];
    zoo z;

    zoo_second(&z);
    for (int i = 0; i < 24; i++) {
        zoo_dense(&z, 0, i, a);
        zoo_row(cx, &z, "quest:block=4,k=4", 0, i, w); /* layer 0 */
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "quest:dense=0", 0, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "quest:dense=0,block=4,k=3,min_pages=0", 0, i, w);
        zoo_check_set(&z, 0, w, "");
    }
    z.in.prompt = 20;
    zoo_golden(cx, &z, "quest:block=4,k=8,min_pages=0,dense=0,dense_prompt=true", 0, 23,
               "0-3,12-15", .395830, 7.675568);
    zoo_row(cx, &z, "quest:block=4,k=4,min_pages=0,dense=0,dense_prompt=true", 0, 19,
            w);
    zoo_check_set(&z, 0, w, "0-19");
    zoo_row(cx, &z, "quest:block=4,k=4,min_pages=1,dense=0", 0, 19, w);
    CHECK(w[0] == 0 || w[19] == 0);
    zoo_row(cx, &z, "quest:block=4,k=4,dense=0,dense_prompt=true,prompt=5", 0, 4, w);
    zoo_check_set(&z, 0, w, "0-4");
    z.head[0].layer = 1;
    zoo_row(cx, &z, "quest:block=4,k=4", 0, 23, w);
    zoo_check_set(&z, 0, w, "0-23");
    z.head[0].layer = 2;
    zoo_golden(cx, &z, "quest:block=4,k=8,min_pages=0", 0, 23, "0-3,12-15", .395830,
               7.675568);
    z.in.prompt = 0;
    case_refused(cx, &z, "quest", "dense_prompt=true", ATN_DATA, "quest:prompt=N");
    zoo_free(&z);
}

/* Row 21 of 22 keys, budget 24, pages of 4: the code takes floor(22 / 4) = 5 of 6. */
static void as_published_short_rows_lose_a_page(atn_ctx *cx)
{
    double w[24];
    int kept = 0;
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "quest:dense=0,block=4,k=24", 0, 21, w);
    zoo_check_set(&z, 0, w, "0-21");
    z.in.as_published = true;
    zoo_row(cx, &z, "quest:dense=0,block=4,k=24", 0, 21, w);
    for (int j = 0; j < 24; j++) kept += w[j] != 0;
    CHECK(kept == 18 || kept == 20);
    zoo_row(cx, &z, "quest:dense=0,block=4,k=24", 0, 23, w);
    zoo_check_set(&z, 0, w, "0-23");
    zoo_free(&z);
}

/* More rows than a tile, in one piece and in a chunk that begins within a page. */
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
        zoo_row(cx, &z, "quest:block=7,k=30,dense=0", 0, 170 + i, w);
        zoo_row(cx, &chunk, "quest:block=7,k=30,dense=0", 0, i, part);
        CHECK(memcmp(w, part, sizeof w) == 0);
    }
    z.head[0].sight.window = 100;
    case_threads(cx, &z, "quest:block=7,k=30,dense=0");
    zoo_free(&z);
    zoo_free(&chunk);
}

static void failures(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_second(&z);
    zoo_failing(&z, "quest", "block=4,k=8,dense=0");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"bound", it_is_a_bound}, {"twin", twin},
           {"limits", limits}, {"as published", as_published_short_rows_lose_a_page},
           {"chunks", chunks_are_parts}, {"failures", failures})
