/* tests/approx/test_snapkv.c -- keys of the prompt that its last rows vote for. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/history.h"

/* Votes of rows 6 and 7 of the first fixture: .202 .202 .578 .141 .141 .481. */
static void golden(atn_ctx *cx)
{
    double w[8];
    zoo z;

    zoo_first(&z);
    /* all eight rows are prompt: nothing is cut */
    zoo_row(cx, &z, "snapkv:prompt=8,window=2,kernel=1,k=3", 0, 7, w);
    zoo_check_set(&z, 0, w, "0-7");
    zoo_free(&z);
    zoo_second(&z);
    zoo_golden(cx, &z, "snapkv:prompt=20,window=4,k=5,kernel=3", 0, 23,
               "1,4,5,12,14,16-23", .535862, 14.454212);
    zoo_free(&z);
}

/* The first fixture with a ninth token, the prompt the eight of the card: {0 2 5 6
 * 7} of them stay. */
static void golden_votes(atn_ctx *cx)
{
    double w[9];
    zoo z, first;

    zoo_first(&first);
    zoo_shape(&z, 1, 1, 9, 9, 2, 1);
    memcpy(z.q, first.q, 16 * sizeof *z.q);
    memcpy(z.k, first.k, 16 * sizeof *z.k);
    z.q[16] = z.q[17] = z.k[16] = z.k[17] = z.v[8] = 1;
    z.head[0].scale = 1;
    zoo_row(cx, &z, "snapkv:prompt=8,window=2,kernel=1,k=3", 0, 8, w);
    zoo_check_set(&z, 0, w, "0,2,5-8");
    zoo_free(&first);
    zoo_free(&z);
}

/* One key of the prompt takes the votes, the others have e^-80 of one each. With a sum
 * over three its neighbours follow; at an end the zero beyond counts, so a third key is
 * the first of those with three small votes. */
static void pooling(atn_ctx *cx)
{
    static const char *const want[] = {"0-2,6-11", "0-2,6-11", "1-3,6-11",
                                       "2-4,6-11", "3-5,6-11", "1,4-11"};
    double w[12];
    zoo z;

    for (int p = 0; p < 6; p++) {
        zoo_shape(&z, 1, 1, 12, 12, 1, 1);
        for (int i = 0; i < 12; i++) {
            z.q[i] = 1;
            z.k[i] = i == p ? 80.0f : 0.0f;
            z.v[i] = 0;
        }
        zoo_row(cx, &z, "snapkv:prompt=8,window=2,kernel=3,k=3", 0, 11, w);
        zoo_check_set(&z, 0, w, want[p]);
        zoo_free(&z);
    }
}

/* ---- a twin ---- */

typedef struct sizes {
    long prompt, k, window, kernel;
    bool max;
} sizes;

static void twin_sets(const zoo *z, atn_idx head, bool *sets, const void *arg)
{
    const sizes *s = arg;
    const atn_head *h = &z->head[head];
    const long n = (long)h->nk, w = s->window < s->prompt ? s->window : s->prompt;
    const long voted = s->prompt - w;
    const long lo = h->sight.window ? s->prompt - (long)h->sight.window : 0;
    double vote[ZOO_MOST] = {0}, pooled[ZOO_MOST], a[ZOO_MOST];

    for (long i = voted; i < s->prompt; i++) {
        zoo_dense(z, head, i, a);
        for (long j = 0; j < voted; j++) vote[j] += a[j];
    }
    for (long j = 0; j < voted; j++) {
        pooled[j] = 0;
        for (long e = j - s->kernel / 2; e <= j + s->kernel / 2; e++) {
            const double x = e >= 0 && e < voted ? vote[e] : 0;

            if (s->max)
                pooled[j] = fmax(pooled[j], x);
            else
                pooled[j] += x / (double)s->kernel;
        }
    }
    for (long t = 0; t < n; t++)
        for (long j = 0; j <= t; j++) {
            bool sees = t < s->prompt || j >= voted;
            long beaten = 0;

            for (long l = lo > 0 ? lo : 0; !sees && l < voted; l++)
                beaten += pooled[l] > pooled[j] + 1e-13 ||
                          (l < j && pooled[l] > pooled[j] - 1e-13);
            sees |= j >= lo && beaten < s->k;
            if (h->sight.window && t - j >= h->sight.window) sees = false;
            sets[t * n + j] = sees;
        }
}

static void against_the_twin(atn_ctx *cx)
{
    uint64_t seed = 8;

    for (int trial = 0; trial < 200; trial++) {
        const atn_idx n = 1 + (atn_idx)(34 * zoo_uniform(&seed));
        const sizes s = {.prompt = 1 + (long)((double)n * zoo_uniform(&seed)),
                         .k = 1 + (long)(9 * zoo_uniform(&seed)),
                         .window = 1 + (long)(6 * zoo_uniform(&seed)),
                         .kernel = 1 + 2 * (long)(3 * zoo_uniform(&seed)),
                         .max = trial % 3 == 0};
        char spec[128];
        zoo z;

        snprintf(spec, sizeof spec,
                 "snapkv:prompt=%ld,k=%ld,window=%ld,kernel=%ld,pool=%s", s.prompt, s.k,
                 s.window, s.kernel, s.max ? "max" : "avg");
        zoo_random(&z, 2, 2, n, n, seed);
        if (trial % 2 == 0)
            for (int h = 0; h < 2; h++) z.head[h].sight.window = 1 + trial % 23;
        history_twin(cx, &z, spec, twin_sets, &s);
        zoo_free(&z);
    }
}

/* Sink, cap and slope are in the votes: a strong slope keeps the nearest. */
static void slopes_count(atn_ctx *cx)
{
    double w[24];
    zoo z;

    zoo_second(&z);
    z.head[0].alibi_slope = 40;
    zoo_row(cx, &z, "snapkv:prompt=12,window=1,kernel=1,k=2", 0, 23, w);
    for (int j = 0; j < 9; j++) CHECK_EQ(w[j] != 0, false);
    zoo_free(&z);
}

/* The last rows of the prompt are enough, wherever they come from. */
static void chunks_and_steps(atn_ctx *cx)
{
    static const char spec[] = "snapkv:prompt=12,window=3,kernel=3,k=4";
    const atn_idx cuts[] = {12, 15, 24};
    double a[24], b[24];
    atn_plan whole, plan;
    atn_choice c;
    zoo z, part;

    zoo_second(&z);
    history_steps(cx, &z, spec, cuts, 3);
    history_cut(&z, 9, 24, &part);
    zoo_plan(cx, &z, spec, 0, &whole);
    zoo_plan(cx, &part, spec, 0, &plan);
    for (int i = 9; i < 24; i++) {
        CHECK_OK(atn_plan_rows(cx, &z.head[0], &whole, i, 1, a));
        CHECK_OK(atn_plan_rows(cx, &part.head[0], &plan, i - 9, 1, b));
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
    zoo_release(cx, &whole, 1);
    zoo_release(cx, &plan, 1);
    history_cut(&z, 10, 24, &part);
    CHECK_OK(atn_choice_read(cx, "snapkv", strchr(spec, ':') + 1, &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &part.in, 0, &plan), ATN_DATA,
                "snapkv replays decoding from token 9 on, and layer 0 has no query of "
                "token 9");
    zoo_free(&z);
}

static void limits(atn_ctx *cx)
{
    atn_plan p;
    atn_choice c;
    double w[24];
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "snapkv:prompt=12", 0, 23, w); /* the prompt fits */
    zoo_check_set(&z, 0, w, "0-23");
    zoo_row(cx, &z, "snapkv:prompt=12,window=4,k=8", 0, 23, w);
    zoo_check_set(&z, 0, w, "0-23");
    zoo_row(cx, &z, "snapkv_small", 0, 23, w);
    zoo_check_set(&z, 0, w, "0-23");
    CHECK_OK(atn_choice_read(cx, "snapkv", "kernel=4", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE,
                "kernel=4 is even, and pooling would have no middle (give kernel=5)");
    /* 3 rows vote over 9 + 3 keys of 4 numbers; then 9 are pooled and ranked */
    zoo_plan(cx, &z, "snapkv:prompt=12,window=3,kernel=3,k=4", 0, &p);
    CHECK_NEAR(p.index_flops, 3 * 12 * 9 + 9 * 4, 0);
    CHECK_NEAR(p.index_bytes, 2 * (4 * (9 + 6) + 18), 0);
    zoo_release(cx, &p, 1);
    zoo_free(&z);
}

static void robust(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 2500, 2500, 3);
    z.head[0].q.data += 2300 * 8; /* 200 rows over many chunks of keys */
    z.head[0].nq = z.head[0].q.rows = 200;
    z.head[0].sight.offset = 2300;
    history_robust(cx, &z, "snapkv:prompt=2400,k=90,window=20");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"golden votes", golden_votes}, {"pooling", pooling},
           {"against the twin", against_the_twin}, {"slopes count", slopes_count},
           {"chunks and steps", chunks_and_steps}, {"limits", limits},
           {"robust", robust})
