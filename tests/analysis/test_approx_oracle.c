/* The best keys of every row, as many as several methods have there, against a search of
 * its own; how many these are, pair by pair; and no mask keeps more mass. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx_twin.h"

#include "analysis/approx_oracle.h"

/* Error and mass of the k_i best keys of every row. */
static void best(const twin *t, const int32_t *k, double *error, double *mass)
{
    double off2 = 0, size2 = 0, rows = 0;

    *mass = 0;
    for (atn_idx i = 0; i < t->h.nq; i++) {
        const double *a = t->a + i * t->h.nk;
        double m = 0, o[DENSE_DV] = {0}, rest = 1 / t->share[i] - 1;

        if (!twin_counts(t, i)) continue;
        rows++;
        for (atn_idx j = 0; j < t->h.nk; j++) {
            if (!twin_top(t, i, j, k[i])) continue;
            m += a[j];
            for (int c = 0; c < DENSE_DV; c++)
                o[c] += a[j] * (double)t->h.v.data[j * DENSE_DV + c];
        }
        *mass += m;
        for (int c = 0; c < DENSE_DV; c++) {
            const double dense = t->o[i * DENSE_DV + c];

            off2 += pow(dense - (m > 0 ? o[c] / (m + rest) : 0), 2);
            size2 += dense * dense;
        }
    }
    *mass /= rows;
    *error = sqrt(off2 / size2);
}

enum { KS = 9 };

/* The same in all rows, and numbers of their own in every row, some of them equal. */
static int32_t *some_keys(atn_idx nq)
{
    static const int32_t same[KS] = {0, 1, 2, 5, 17, 29, 1000, -1, -1};
    int32_t *k = malloc((size_t)(KS * nq + 1) * sizeof *k);

    for (int s = 0; s < KS; s++)
        for (atn_idx i = 0; i < nq; i++)
            k[s * nq + i] = same[s] >= 0 ? same[s]
                            : s == 7     ? (int32_t)(i * 7 % 11)
                                         : (int32_t)((i % 3) * (i % 5));
    return k;
}

static void every_kind(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_BLIND; kind++) {
        twin t = twin_make((dense_kind)kind, 29, 7);
        const atn_dense_opts opts = {NULL, NULL, 0, 4, false};
        int32_t *k = some_keys(t.h.nq);
        double error[KS], mass[KS];
        atn_dense d;

        CHECK_OK(atn_dense_make(cx, &t.h, &opts, &d));
        CHECK_OK(atn_approx_oracle(cx, &d, k, KS, error, mass));
        for (int s = 0; s < KS; s++) {
            double e, m;

            best(&t, k + s * t.h.nq, &e, &m);
            CHECK_NEAR(error[s], e, 2e-5);
            CHECK_NEAR(mass[s], m, 1e-6);
        }
        CHECK_NEAR(error[0], 1, 0);
        CHECK_NEAR(error[6], 0, 0);
        CHECK_NEAR(mass[6], 1, 1e-12);
        atn_dense_release(cx, &d);
        twin_drop(&t);
        free(k);
    }
}

/* ---- how many keys ---- */

static atn_idx seen_of(const twin *t, atn_idx i)
{
    atn_idx n = 0;

    for (atn_idx j = 0; j < t->h.nk; j++) n += twin_sees(t, i, j);
    return n;
}

/* Pairs handed out one by one, round by round. */
static void hand_out(const twin *t, atn_idx pairs, int64_t *keys)
{
    bool any = true;

    while (pairs > 0 && any) {
        any = false;
        for (atn_idx i = 0; i < t->h.nq && pairs > 0; i++) {
            if (keys[i] >= seen_of(t, i)) continue;
            keys[i]++;
            pairs--;
            any = true;
        }
    }
}

static void how_many(atn_ctx *cx)
{
    for (int kind = 0; kind <= DENSE_BLIND; kind++)
        for (int trial = 0; trial < 6; trial++) {
            twin t = twin_make((dense_kind)kind, 23, trial);
            atn_rng r = atn_rng_stream(3, "test/how-many", trial, kind);
            const atn_idx more = (atn_idx)atn_rng_below(&r, 40 << trial);
            int64_t got[64] = {0}, want[64] = {0};
            double executed = (double)more;

            for (atn_idx i = 0; i < t.h.nq; i++) {
                const atn_idx seen = seen_of(&t, i);

                if (trial % 3 > 0) got[i] = (int64_t)atn_rng_below(&r, seen + 1);
                want[i] = got[i];
                executed += (double)got[i];
            }
            hand_out(&t, more, want);
            atn_approx_oracle_keys(&t.h, executed, got);
            for (atn_idx i = 0; i < t.h.nq; i++) CHECK_EQ(got[i], want[i]);
            twin_drop(&t);
        }
    (void)cx;
}

/* By hand: rows that see 1, 2, 3, 4 keys keep 1, 0, 3, 1 of them and execute 9 pairs. Of
 * the 4 beside, a round gives rows 1 and 3 one each, the next one as well. */
static void by_hand(atn_ctx *cx)
{
    const atn_head h = {.nq = 4, .nk = 4, .sight = {.causal = true, .key_last = 4}};
    int64_t keys[4] = {1, 0, 3, 1}, more[4] = {1, 0, 3, 1}, none[4] = {0};

    atn_approx_oracle_keys(&h, 9, keys);
    CHECK(keys[0] == 1 && keys[1] == 2 && keys[2] == 3 && keys[3] == 3);
    atn_approx_oracle_keys(&h, 8, more);
    CHECK(more[0] == 1 && more[1] == 2 && more[2] == 3 && more[3] == 2);
    atn_approx_oracle_keys(&h, 5,
                           none); /* one each, and one more to the first it can */
    CHECK(none[0] == 1 && none[1] == 2 && none[2] == 1 && none[3] == 1);
    (void)cx;
}

/* Invariant 3 of cards/sparse.md: in every row a set of keys weighs at most what the
 * best keys do, as many of them. Each row by itself: the others have no key. */
static void no_mask_keeps_more(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_BLIND; kind++) {
        twin t = twin_make((dense_kind)kind, 29, 3);
        atn_rng r = atn_rng_stream(5, "test/more", 0, kind);
        const atn_idx nq = t.h.nq, nk = t.h.nk;
        const atn_dense_opts opts = {NULL, NULL, 0, 4, false};
        int32_t *k = calloc((size_t)(nq * nq + 1), sizeof *k);
        double *error = calloc((size_t)nq, sizeof *error), mine[64] = {0}, rows = 0;
        double *mass = calloc((size_t)nq, sizeof *mass);
        int64_t keys[64] = {0};
        double kept = 0;
        atn_dense d;

        for (atn_idx i = 0; i < nq; i++) {
            for (atn_idx j = 0; j < nk; j++) {
                if (!twin_sees(&t, i, j) || atn_rng_uniform(&r) < .6) continue;
                keys[i]++;
                mine[i] += t.a[i * nk + j];
            }
            kept += (double)keys[i];
            rows += twin_counts(&t, i);
        }
        atn_approx_oracle_keys(&t.h, kept, keys); /* nothing beside */
        for (atn_idx i = 0; i < nq; i++) k[i * nq + i] = (int32_t)keys[i];
        CHECK_OK(atn_dense_make(cx, &t.h, &opts, &d));
        CHECK_OK(atn_approx_oracle(cx, &d, k, (int)nq, error, mass));
        for (atn_idx i = 0; i < nq; i++) CHECK_LE(mine[i], mass[i] * rows + 1e-6);
        atn_dense_release(cx, &d);
        twin_drop(&t);
        free(k);
        free(error);
        free(mass);
    }
}

/* Weights .25 .25 .25 .25 of one row, values 1 2 4 8: ties go to the lower key, so k =
 * 1 gives 1, k = 2 gives 1.5, k = 3 gives 7/3; dense 3.75. */
static void ties(atn_ctx *cx)
{
    const float q[1] = {0}, key[4] = {1, 2, 3, 4}, v[4] = {1, 2, 4, 8};
    const atn_head h = {.q = {q, 1, 1, 1},
                        .k = {key, 4, 1, 1},
                        .v = {v, 4, 1, 1},
                        .nq = 1,
                        .nk = 4,
                        .scale = 1,
                        .sight = {.key_last = 4}};
    static const int32_t k[] = {1, 2, 3};
    const atn_dense_opts opts = {NULL, NULL, 0, 2, false};
    double error[3], mass[3];
    atn_dense d;

    CHECK_OK(atn_dense_make(cx, &h, &opts, &d));
    CHECK_EQ(d.top[0], 0);
    CHECK_EQ(d.top[1], 1);
    CHECK_OK(atn_approx_oracle(cx, &d, k, 3, error, mass));
    CHECK_NEAR(error[0], 2.75 / 3.75, 1e-6);
    CHECK_NEAR(error[1], 2.25 / 3.75, 1e-6);
    CHECK_NEAR(error[2], (3.75 - 7. / 3) / 3.75, 1e-6);
    CHECK_NEAR(mass[2], .75, 1e-7);
    atn_dense_release(cx, &d);
}

static void threads(atn_ctx *cx)
{
    twin t = twin_make(DENSE_CAUSAL, 300, 1);
    const atn_dense_opts opts = {NULL, NULL, 0, 4, false};
    int32_t *k = some_keys(t.h.nq);
    double error[2][KS], mass[2][KS];

    for (int run = 0; run < 2; run++) {
        atn_dense d;

        cx->threads = run ? 4 : 1;
        CHECK_OK(atn_dense_make(cx, &t.h, &opts, &d));
        CHECK_OK(atn_approx_oracle(cx, &d, k, KS, error[run], mass[run]));
        atn_dense_release(cx, &d);
    }
    CHECK(memcmp(error[0], error[1], sizeof error[0]) == 0);
    CHECK(memcmp(mass[0], mass[1], sizeof mass[0]) == 0);
    twin_drop(&t);
    free(k);
}

CHECK_MAIN({"every kind", every_kind}, {"how many", how_many}, {"by hand", by_hand},
           {"no mask keeps more", no_mask_keeps_more}, {"ties", ties},
           {"threads", threads})
