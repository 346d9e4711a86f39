/* tests/approx/test_topk.c -- the best keys, by the card's fixtures and against ranks
 * by definition. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/oracle_twin.h"

/* Row 7 of the first fixture has logits 1 1 -2 0 0 2 -1 -1, row 6 -1 -1 2 0 0 -2 1: of
 * equal ones the lower key. The block row 20 .. 23 of the second has block sums .8264
 * .6751 .6289 .8271 .6632 .3792. */
static void golden(atn_ctx *cx)
{
    zoo z;

    zoo_first(&z);
    zoo_golden(cx, &z, "topk:k=3", 0, 7, "0,1,5", .817089, 3.092526);
    zoo_golden(cx, &z, "topk:k=3", 0, 6, "2,3,6", .855830, 3.068944);
    zoo_golden(cx, &z, "topk:k=1", 0, 7, "5", .470739, 5);
    zoo_golden(cx, &z, "topk:k=8", 0, 7, "0-7", 1, 3.294745);
    zoo_free(&z);
    zoo_second(&z);
    zoo_golden(cx, &z, "topk:k=2,block=4", 0, 23, "0-3,12-15", .395830, 7.675568);
    zoo_free(&z);
}

static void against_ranks(atn_ctx *cx)
{
    static const int ks[] = {1, 2, 5, 22, 1000};

    for (int kind = 0; kind < TWIN_KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(ks); s++) {
            twin t;
            const atn_idx nq = twin_make(&t, kind, 77 + (uint64_t)s),
                          nk = t.z.head[0].nk;
            bool *keep = malloc((size_t)(nq * nk));
            char spec[32];

            snprintf(spec, sizeof spec, "topk:k=%d", ks[s]);
            twin_kept(cx, &t, spec, keep);
            for (atn_idx i = 0; i < nq; i++)
                for (atn_idx j = 0; j < nk; j++) {
                    const double *x = t.s + i * nk;
                    double before;

                    if (keep[i * nk + j] !=
                        (x[j] > -INFINITY &&
                         twin_rank(x, t.w + i * nk, nk, j, &before) < ks[s]))
                        fail_msg("kind %d, k %d, row %lld, key %lld", kind, ks[s],
                                 (long long)i, (long long)j);
                }
            free(keep);
            twin_free(&t);
        }
}

/* Blocks of 4 keys for blocks of 4 rows at absolute positions. */
static void blocks_against_ranks(atn_ctx *cx)
{
    static const char *const scores[] = {"sum", "max", "mean"};
    enum { B = 4, K = 2 };

    for (int kind = 0; kind < TWIN_KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(scores); s++) {
            twin t;
            const atn_idx nq = twin_make(&t, kind, 5), nk = t.z.head[0].nk;
            const atn_idx first = t.z.head[0].sight.offset;
            bool *keep = malloc((size_t)(nq * nk));
            char spec[64];

            snprintf(spec, sizeof spec, "topk:k=%d,block=%d,score=%s", K, B, scores[s]);
            twin_kept(cx, &t, spec, keep);
            for (atn_idx i = 0; i < nq; i++) {
                const atn_idx from = (i + first) / B * B - first;
                double x[TWIN_N], before;

                twin_blocks(&t, ATN_MAX(from, 0), ATN_MIN(from + B, nq), B, scores[s],
                            x);
                for (atn_idx j = 0; j < nk; j++)
                    CHECK_EQ(keep[i * nk + j],
                             t.s[i * nk + j] > -INFINITY &&
                                 twin_rank(x, x, (nk + B - 1) / B, j / B, &before) < K);
            }
            free(keep);
            twin_free(&t);
        }
}

/* Four keys of row 20: its own and the one before, the first, and the best of the
 * rest; then the nearest alone where two are too few for what is always kept. */
static void always_kept(atn_ctx *cx)
{
    twin t;
    bool keep[TWIN_N * TWIN_N];
    atn_idx best = 1;
    const double *x;

    twin_make(&t, TWIN_CAUSAL, 3);
    x = t.s + 20 * TWIN_N;
    for (atn_idx j = 2; j < 19; j++) best = x[j] > x[best] ? j : best;
    twin_kept(cx, &t, "topk:k=4,sink=1,window=2", keep);
    for (atn_idx j = 0; j < TWIN_N; j++)
        CHECK_EQ(keep[20 * TWIN_N + j], j == 0 || j == 19 || j == 20 || j == best);
    twin_kept(cx, &t, "topk:k=2,sink=5,window=3", keep);
    for (atn_idx j = 0; j < TWIN_N; j++)
        CHECK_EQ(keep[20 * TWIN_N + j], j == 19 || j == 20);
    twin_kept(cx, &t, "topk:k=3,sink=5", keep);
    for (atn_idx j = 0; j < TWIN_N; j++) CHECK_EQ(keep[20 * TWIN_N + j], j < 3);
    /* blocks of 4: the window of row 20, the first of block 5, begins in block 4 */
    twin_kept(cx, &t, "topk:k=3,block=4,window=2,sink=1", keep);
    for (atn_idx j = 0; j <= 20; j++) CHECK_EQ(keep[20 * TWIN_N + j], j < 4 || j >= 16);
    twin_free(&t);
}

/* To both sides: of row 10 the keys 9, 10, 11 and no other. */
static void window_to_both_sides(atn_ctx *cx)
{
    twin t;
    bool keep[TWIN_N * TWIN_N];

    twin_make(&t, TWIN_BOTH, 3);
    twin_kept(cx, &t, "topk:k=3,window=2", keep);
    for (atn_idx j = 0; j < TWIN_N; j++)
        CHECK_EQ(keep[10 * TWIN_N + j], j >= 9 && j <= 11);
    twin_free(&t);
}

/* Equal logits everywhere: the first k keys, and as many ties as the row has more. */
static void ties_are_counted(atn_ctx *cx)
{
    atn_plan plan;
    zoo z;

    zoo_random(&z, 1, 1, 10, 10, 1);
    memset(z.q, 0, 10 * 8 * sizeof *z.q);
    zoo_plan(cx, &z, "topk:k=3", 0, &plan);
    CHECK_EQ(plan.ties, 1 + 2 + 3 + 4 + 5 + 6 + 7);
    CHECK_NEAR(plan.index_flops, 2 * 8 * 55, 0);
    atn_plan_release(cx, &plan);
    zoo_free(&z);
}

/* The last rows of a text choose what they choose within all of it, bit by bit. */
static void a_chunk_is_part_of_the_whole(atn_ctx *cx)
{
    enum { N = 300, CHUNK = 77 };

    for (int kind = 0; kind < 2; kind++) {
        const char *const spec = kind ? "topk:k=3,block=4" : "topk:k=9";
        static double whole[N], part[N];
        atn_idx first = N - CHUNK;
        zoo z, c;

        if (kind) first -= first % 4; /* whole blocks of rows */
        zoo_random(&z, 1, 1, N, N, 8);
        c = z;
        c.in.head = c.head;
        c.head[0].q = (atn_cmat){atn_crow(z.head[0].q, first), N - first, 8, 8};
        c.head[0].nq = N - first;
        c.head[0].sight.offset = first;
        for (atn_idx i = first; i < N; i += 13) {
            zoo_row(cx, &z, spec, 0, i, whole);
            zoo_row(cx, &c, spec, 0, i - first, part);
            CHECK(memcmp(whole, part, sizeof whole) == 0);
        }
        zoo_free(&z);
    }
}

static void specs(atn_ctx *cx)
{
    atn_choice c;
    bool falls;

    CHECK_OK(atn_choice_read(cx, "block_topk", "k=5", &c));
    CHECK_STR(atn_choice_id(&c), "block_topk");
    CHECK_STR(atn_choice_budget(&c, &falls)->name, "k");
    CHECK(!falls);
    CHECK_FAILS(atn_choice_read(cx, "topk", "k=0", &c), ATN_USAGE, "minimum");
    CHECK_FAILS(atn_choice_read(cx, "topk", "score=median", &c), ATN_USAGE, "mean");
}

static void memory_runs_out(atn_ctx *cx)
{
    static const char *const params[] = {"k=3", "k=2,block=4,window=3"};
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 40, 40, 2);
    for (size_t s = 0; s < ATN_LEN(params); s++) zoo_failing(&z, "topk", params[s]);
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"against ranks", against_ranks},
           {"blocks against ranks", blocks_against_ranks}, {"always kept", always_kept},
           {"window to both sides", window_to_both_sides},
           {"ties are counted", ties_are_counted},
           {"a chunk is part of the whole", a_chunk_is_part_of_the_whole},
           {"specs", specs}, {"memory runs out", memory_runs_out})
