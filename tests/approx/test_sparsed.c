/* tests/approx/test_sparsed.c -- a pattern chosen in one step and kept in later
 * ones. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/history.h"

enum { STEPS = 6 };

/* Steps 0 .. of the second fixture, bidirectional; step 1 chooses, step 2 keeps. */
static void golden(atn_ctx *cx)
{
    static const char spec[] = "sparsed:ratio=.3,block=4,prompt=15";
    double w[24];
    atn_input in[3];
    zoo z[3], *at[3];

    for (int s = 0; s < 3; s++) {
        zoo_second(&z[s]);
        zoo_causal(&z[s], false);
        at[s] = &z[s];
    }
    memset(z[0].k, 0, 96 * sizeof *z[0].k); /* no one reads step 0, */
    memset(z[2].q, 0, 96 * sizeof *z[2].q); /* and step 2 chooses nothing */
    history_stack(at, in, 3);
    zoo_row(cx, &z[1], spec, 0, 2, w);
    zoo_check_set(&z[1], 0, w, "0-23");
    zoo_row(cx, &z[2], spec, 0, 2, w);
    zoo_check_set(&z[2], 0, w, "0-3,8-11,20-23");
    zoo_row(cx, &z[2], spec, 0, 23, w);
    zoo_check_set(&z[2], 0, w, "0-3,12-19");
    memcpy(z[2].q, z[1].q, 96 * sizeof *z[2].q);
    zoo_golden(cx, &z[2], spec, 0, 2, "0-3,8-11,20-23", .576230, 12.579025);
    zoo_golden(cx, &z[2], spec, 0, 23, "0-3,12-19", .538246, 10.373840);
    for (int s = 0; s < 3; s++) zoo_free(&z[s]);
}

/* ---- a twin ---- */

typedef struct sizes {
    const zoo *chooses;
    long block, prompt;
    double ratio;
    bool published;
} sizes;

/* 1 at the `most` best of n scores, NaN is no candidate. */
static void best(const double *score, long n, long most, bool *out)
{
    for (long c = 0; c < n; c++) {
        long beaten = 0;

        for (long l = 0; l < n; l++)
            beaten += score[l] > score[c] || (score[l] == score[c] && l < c);
        out[c] = !isnan(score[c]) && beaten < most;
    }
}

/* Weights of row i over keys >= from. */
static void late_row(const zoo *z, atn_idx head, atn_idx i, atn_idx from, double *w)
{
    double sum = 0;

    zoo_dense(z, head, i, w);
    for (atn_idx j = 0; j < z->head[head].nk; j++) sum += j >= from ? w[j] : 0;
    for (atn_idx j = 0; j < z->head[head].nk; j++)
        w[j] = j >= from && sum > 0 ? w[j] / sum : 0;
}

static void twin_sets(const zoo *z, atn_idx head, bool *sets, const void *arg)
{
    const sizes *s = arg;
    const long n = (long)z->head[head].nk, B = s->block, nb = (n + B - 1) / B;
    const long g = n - s->prompt;
    zoo c = *s->chooses;
    long cut = nb - 1;

    if (s->published)
        for (int h = 0; h < (int)z->in.heads; h++)
            c.head[h].scale = 1 / sqrt((double)z->in.heads);
    for (long b = nb - 1; b >= 0; b--)
        if (n - b * B <= g) cut = b;
    for (long a = 0; a < nb; a++) {
        double all[ZOO_MOST], late[ZOO_MOST], w[ZOO_MOST];
        bool keep[ZOO_MOST], keep_late[ZOO_MOST];

        for (long b = 0; b < nb; b++) all[b] = late[b] = NAN;
        for (long i = a * B; i < (a + 1) * B && i < n; i++)
            for (int side = 0; side < 2; side++) {
                atn_idx lo, hi;

                atn_sight_row(&c.head[head].sight, i, &lo, &hi);
                if (side)
                    late_row(&c, head, i, cut * B, w);
                else
                    zoo_dense(&c, head, i, w);
                for (long j = side ? cut * B : 0; j < n; j++)
                    if (j >= lo && j < hi) {
                        double *to = side ? late : all;

                        to[j / B] = (isnan(to[j / B]) ? 0 : to[j / B]) + w[j];
                    }
            }
        best(all, nb, (long)((double)nb * s->ratio) + 1, keep);
        best(late, nb, (long)((double)(nb - cut) * s->ratio) + 1, keep_late);
        for (long i = a * B; i < (a + 1) * B && i < n; i++)
            for (long j = 0; j < n; j++) {
                atn_idx lo, hi;

                atn_sight_row(&z->head[head].sight, i, &lo, &hi);
                sets[i * n + j] = j >= lo && j < hi &&
                                  (keep_late[j / B] || (keep[j / B] && j / B < cut));
            }
    }
}

static void against_the_twin(atn_ctx *cx)
{
    uint64_t seed = 31;

    for (int trial = 0; trial < 100; trial++) {
        const atn_idx n = 1 + (atn_idx)(40 * zoo_uniform(&seed));
        const int steps = 3 + trial % 4;
        atn_input in[STEPS];
        zoo z[STEPS], *at[STEPS];
        sizes s = {.block = 1 + (long)(8 * zoo_uniform(&seed)),
                   .prompt = 1 + (long)((double)n * zoo_uniform(&seed)),
                   .ratio = zoo_uniform(&seed),
                   .published = trial % 3 == 0};
        char spec[128];

        for (int k = 0; k < steps; k++) {
            zoo_random(&z[k], 2, 2, n, n, seed + (uint64_t)k);
            zoo_causal(&z[k], false);
            z[k].in.as_published = s.published;
            if (trial % 5 == 0)
                for (int h = 0; h < 2; h++) z[k].head[h].sight.window = 1 + trial % 7;
            at[k] = &z[k];
        }
        history_stack(at, in, steps);
        s.chooses = &z[(int)(.2 * steps) + 1];
        snprintf(spec, sizeof spec, "sparsed:ratio=%.17g,block=%ld,prompt=%ld", s.ratio,
                 s.block, s.prompt);
        history_twin(cx, &z[steps - 1], spec, twin_sets, &s);
        for (int k = 0; k < steps; k++) zoo_free(&z[k]);
    }
}

/* ---- limits ---- */

static void limits(atn_ctx *cx)
{
    atn_input in[4];
    atn_choice c;
    atn_plan p;
    double w[24];
    zoo z[4], *at[4];

    for (int s = 0; s < 4; s++) {
        zoo_second(&z[s]);
        zoo_causal(&z[s], false);
        at[s] = &z[s];
    }
    history_stack(at, in, 4);
    zoo_row(cx, &z[3], "sparsed:ratio=1,block=5", 0, 7, w);
    zoo_check_set(&z[3], 0, w, "0-23");
    zoo_row(cx, &z[3], "sparsed:ratio=0", 0, 7, w); /* one block of 128 */
    zoo_check_set(&z[3], 0, w, "0-23");
    zoo_row(cx, &z[3], "sparsed:ratio=0,block=4,skip=.5", 0, 7, w); /* e = 3 */
    zoo_check_set(&z[3], 0, w, "0-23");
    zoo_row(cx, &z[3], "sparsed_short:skip=1", 0, 7, w);
    zoo_check_set(&z[3], 0, w, "0-23");
    /* 576 pairs of 4 numbers, 36 pairs of blocks, for the two steps after 1 */
    zoo_plan(cx, &z[3], "sparsed:block=4", 0, &p);
    CHECK_NEAR(p.index_flops, (576 * 10 + 2 * 36) / 2., 0);
    CHECK_NEAR(p.index_bytes, 2 * (4 * (24 + 6 * 24) + 36) / 2., 0);
    CHECK(p.tile_rows == 4 && p.tile_keys == 4);
    zoo_release(cx, &p, 1);
    CHECK_OK(atn_choice_read(cx, "sparsed", "block=4", &c));
    z[3].in.steps = 1;
    CHECK_FAILS(atn_choice_check(cx, &c, &z[3].in), ATN_DATA,
                "reads several steps of a layer, and the capture has one (import "
                "--steps)");
    z[3].in.steps = 4;
    z[1].head[0].nk = z[1].head[0].nq = 23;
    CHECK_FAILS(
        atn_choice_plan(cx, &c, &z[3].in, 0, &p), ATN_DATA,
        "sparsed goes from step 1 to step 3 of layer 0, which have 2 heads of 23 "
        "x 23 and 2 of 24 x 24 (import steps of one shape)");
    for (int s = 0; s < 4; s++) zoo_free(&z[s]);
}

/* Equal keys: the lower block wins, whatever the last one's length. */
static void ties(atn_ctx *cx)
{
    atn_input in[3];
    atn_plan p;
    double w[22];
    zoo z[3], *at[3];

    for (int s = 0; s < 3; s++) {
        zoo_random(&z[s], 1, 1, 22, 22, 1);
        zoo_causal(&z[s], false);
        for (int j = 1; j < 22; j++) memcpy(z[s].k + 8 * j, z[s].k, 8 * sizeof *z[s].k);
        at[s] = &z[s];
    }
    history_stack(at, in, 3);
    zoo_row(cx, &z[2], "sparsed:block=4,ratio=.4,prompt=12", 0, 9, w);
    zoo_check_set(&z[2], 0, w, "0-19"); /* 0, 1, 2 of six; 3, 4 of three */
    zoo_plan(cx, &z[2], "sparsed:block=4,ratio=.4,prompt=12", 0, &p);
    CHECK_EQ(p.ties, 6 * 2); /* 3 and 4 of all, in every list; 5 has less */
    zoo_release(cx, &p, 1);
    for (int s = 0; s < 3; s++) zoo_free(&z[s]);
}

static void robust(atn_ctx *cx)
{
    atn_input in[3];
    zoo z[3], *at[3];

    for (int s = 0; s < 3; s++) {
        zoo_random(&z[s], 1, 1, 150, 150, 1 + (uint64_t)s);
        zoo_causal(&z[s], false);
        at[s] = &z[s];
    }
    history_stack(at, in, 3);
    history_robust(cx, &z[2], "sparsed:block=8,prompt=70");
    for (int s = 0; s < 3; s++) zoo_free(&z[s]);
}

CHECK_MAIN({"golden", golden}, {"against the twin", against_the_twin},
           {"limits", limits}, {"ties", ties}, {"robust", robust})
