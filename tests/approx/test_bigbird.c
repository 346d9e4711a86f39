/* tests/approx/test_bigbird.c -- the random blocks of bigbird as draws: what is drawn
 * goes out, and what a file gives comes in and is looked at. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/zoo_draws.h"

/* Keys of the plans of all heads: has [heads, nq, nk]. */
static void keys_of(atn_ctx *cx, const zoo *z, const char *spec, bool *has)
{
    const atn_idx nq = z->head[0].nq, nk = z->head[0].nk;

    for (atn_idx h = 0; h < z->in.heads; h++)
        for (atn_idx i = 0; i < nq; i++) {
            double w[ZOO_MOST];

            zoo_row(cx, z, spec, h, i, w);
            for (atn_idx j = 0; j < nk; j++) has[(h * nq + i) * nk + j] = w[j] != 0;
        }
}

/* Of 7 blocks, global 1, window 3: row 3 may draw 1 and 5, row 1 may draw 3, 4, 5. */
static void given_blocks_are_taken(atn_ctx *cx)
{
    static const int32_t blocks[7][2] = {{-1, -1}, {5, 3},  {-1, 4}, {-1, -1},
                                         {2, 1},   {3, -1}, {-1, -1}};
    const atn_st_out out[] = {
        {"blocks.layer-000.head-000", ATN_I32, 2, {7, 2}, blocks}};
    static const char *const rows[] = {"0-6", "0-3,5,6", "0-4,6", "0,2-4,6",
                                       "0-6", "0,3-6",   "0-6"};
    zoo z;

    zoo_random(&z, 1, 1, 7, 7, 1);
    zoo_causal(&z, false);
    zoo_draws(cx, &z, "bigbird-given", out, 1);
    for (atn_idx i = 0; i < 7; i++) {
        double w[ZOO_MOST];

        zoo_row(cx, &z, "bigbird:block=1,random=2", 0, i, w);
        zoo_check_set(&z, 0, w, rows[i]);
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* Kept or not, the same seed draws the same; a file of it gives the same under another
 * seed; chunks too. */
static void round_trip(atn_ctx *cx)
{
    static const char *const specs[] = {
        "bigbird:block=4,random=2", "bigbird:block=1,random=3,form=causal",
        "bigbird:block=2,random=2,form=plain", "bigbird:block=3,random=4096"};
    enum { N = 37, HEADS = 3 };

    for (size_t e = 0; e < ATN_LEN(specs); e++)
        for (int chunk = 0; chunk < 2; chunk++) {
            static bool plain[HEADS * N * N], kept[HEADS * N * N], back[HEADS * N * N];
            const size_t bytes = (size_t)(HEADS * (chunk ? 9 : N) * N);
            char path[600];
            atn_st *f = NULL;
            zoo z;

            zoo_random(&z, HEADS, 1, chunk ? 9 : N, N, 1);
            snprintf(path, sizeof path, "%s/d.safetensors", check_scratch("bigbird"));
            z.in.seed = 5;
            keys_of(cx, &z, specs[e], plain);
            CHECK_OK(atn_draws_open(cx, NULL, &z.in.draws));
            keys_of(cx, &z, specs[e], kept);
            CHECK(memcmp(plain, kept, bytes) == 0);
            CHECK_OK(atn_draws_save(cx, z.in.draws, path, true));
            atn_draws_close(cx, z.in.draws);
            CHECK_OK(atn_st_open(cx, path, &f));
            CHECK_EQ(atn_st_count(f), HEADS);
            CHECK_STR(atn_st_find(f, "blocks.layer-000.head-002")->dtype, "I32");
            atn_st_close(cx, f);

            z.in.seed = 6;
            CHECK_OK(atn_draws_open(cx, path, &z.in.draws));
            keys_of(cx, &z, specs[e], back);
            CHECK(memcmp(plain, back, bytes) == 0);
            zoo_draws_end(&z, cx);
            if (e != 3) { /* which has all there are */
                keys_of(cx, &z, specs[e], back);
                CHECK(memcmp(plain, back, bytes) != 0);
            }
            zoo_free(&z);
        }
}

/* Only the head that is planned is drawn for the dump: the others may be at other
 * parameters. */
static void heads_draw_apart(atn_ctx *cx)
{
    atn_plan plan;
    zoo z;

    zoo_random(&z, 2, 1, 40, 40, 1);
    CHECK_OK(atn_draws_open(cx, NULL, &z.in.draws));
    CHECK_EQ(zoo_plan(cx, &z, "bigbird:block=2,random=1", 0, &plan), 1);
    atn_plan_release(cx, &plan);
    CHECK_EQ(zoo_plan(cx, &z, "bigbird:block=2,random=3", 1, &plan), 1);
    atn_plan_release(cx, &plan);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

static void refused(atn_ctx *cx)
{
    static const struct {
        const char *params, *part;
        int32_t blocks[7][2];
    } cases[] = {
        {"",
         "twice",
         {{-1, -1}, {3, 3}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}},
        {"",
         "row 3 of blocks the block 4", /* of the window */
         {{-1, -1}, {3, 4}, {-1, -1}, {4, -1}, {-1, -1}, {-1, -1}, {-1, -1}}},
        {"",
         "the block 6", /* global */
         {{-1, -1}, {-1, 6}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}},
        {"",
         "row 0 of blocks", /* a global row */
         {{-1, 2}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}},
        {"",
         "number 1 is 7, all must be in -1..6",
         {{-1, 7}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}},
        {",form=causal",
         "row 2 of blocks the block 4", /* ahead */
         {{-1, -1}, {-1, -1}, {-1, 4}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}},
        {",form=plain",
         "row 4 of blocks the block 2", /* of the window 4, 3, 2 */
         {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {1, 2}, {-1, -1}, {-1, -1}}},
        {",global=0", "shape [7, 2], needed is [7, 1]", {{0, 0}}},
    };

    for (size_t e = 0; e < ATN_LEN(cases); e++) {
        const atn_st_out out[] = {
            {"blocks.layer-000.head-000", ATN_I32, 2, {7, 2}, cases[e].blocks}};
        const bool last = e + 1 == ATN_LEN(cases);
        char params[100];
        atn_choice c;
        atn_plan p;
        zoo z;

        snprintf(params, sizeof params, "block=1,random=%d%s", last ? 1 : 2,
                 cases[e].params);
        zoo_random(&z, 1, 1, 7, 7, 1);
        zoo_draws(cx, &z, "bigbird-refused", out, 1);
        CHECK_OK(atn_choice_read(cx, "bigbird", params, &c));
        CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, cases[e].part);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

static void says_that_it_draws(atn_ctx *cx)
{
    atn_choice c;

    CHECK_OK(atn_choice_read(cx, "bigbird", NULL, &c));
    CHECK_EQ(atn_choice_describe(&c).reads, ATN_READS_DRAWS);
    CHECK_OK(atn_choice_read(cx, "window", NULL, &c));
    CHECK_EQ(atn_choice_describe(&c).reads, 0);
}

static void memory_runs_out(atn_ctx *cx)
{
    bool done = false;
    zoo z;

    (void)cx;
    zoo_random(&z, 2, 1, 30, 30, 2);
    for (long k = 0; !done; k++) {
        check_failing failing = {k};
        atn_plan plan = {0};
        atn_choice c;
        atn_ctx mine;

        atn_ctx_init(&mine);
        mine.alloc = (atn_allocator){check_failing_resize, &failing};
        done = atn_draws_open(&mine, NULL, &z.in.draws) == ATN_OK &&
               atn_choice_read(&mine, "bigbird", "block=2", &c) == ATN_OK &&
               atn_choice_plan(&mine, &c, &z.in, 1, &plan) == ATN_OK;
        atn_plan_release(&mine, &plan);
        atn_draws_close(&mine, z.in.draws);
        z.in.draws = NULL;
        atn_ctx_release(&mine);
    }
    zoo_free(&z);
}

CHECK_MAIN({"given blocks are taken", given_blocks_are_taken},
           {"round trip", round_trip}, {"heads draw apart", heads_draw_apart},
           {"refused", refused}, {"says that it draws", says_that_it_draws},
           {"memory runs out", memory_runs_out})
