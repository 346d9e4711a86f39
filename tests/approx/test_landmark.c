/* Landmark attention: rows of the cards, its weights once more from the definition. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/apply.h"
#include "tests/approx/block_cases.h"

static void golden(atn_ctx *cx)
{
    static const double want[] = {.009329, .009329, .187374, 0,
                                  .206032, .027883, .560053};
    atn_plan p;
    double w[8];
    zoo z;

    zoo_first(&z);
    zoo_row(cx, &z, "landmark:every=4", 0, 6, w);
    for (int j = 0; j < 7; j++) CHECK_NEAR(w[j], want[j], 1e-6);
    CHECK_NEAR(w[7], 0, 0);
    CHECK_NEAR(zoo_output(&z, 0, w), 4.707939, 1e-6);
    zoo_plan(cx, &z, "landmark:every=4", 0, &p);
    CHECK_NEAR(p.index_flops, 2 * 2 * 4, 0); /* rows 4 .. 7, one landmark */
    CHECK_EQ(p.branch[0].parts, 2);
    CHECK_EQ(p.virtuals, 0);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* All logits equal: card 12 (e). */
static void equal_logits(atn_ctx *cx)
{
    static const double third[] = {.125, .125, 0, .125, .125, 0, .25, .25, 0};
    static const double second[] = {1 / 3., 0, 1 / 3., 0, 1 / 3.};
    double w[9];
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 2);
    memset(z.k, 0, 72 * sizeof *z.k);
    for (int i = 7; i < 9; i++) { /* the landmark query 8 is like the one before */
        zoo_row(cx, &z, "landmark:every=3,k=9", 0, i, w);
        for (int j = 0; j < 9; j++) CHECK_NEAR(w[j], third[j], 1e-12);
    }
    zoo_row(cx, &z, "landmark:every=2,k=9", 0, 4, w);
    for (int j = 0; j < 5; j++) CHECK_NEAR(w[j], second[j], 1e-12);
    zoo_free(&z);
}

/* Landmarks whose logit is the log-sum-exp of their block: dense attention over
 * ordinary tokens. All queries equal (1, 0, ..), so that a key's logit is a number. */
static void consistent_landmarks_are_dense(atn_ctx *cx)
{
    uint8_t role[40] = {0};
    double w[40];
    zoo z;

    zoo_random(&z, 1, 1, 40, 40, 8);
    for (int i = 0; i < 40; i++)
        for (int c = 0; c < 8; c++) z.q[i * 8 + c] = c == 0;
    for (int j = 0, from = 0; j < 40; j++)
        if (j == 4 || j == 11 || j == 13 || j == 30) {
            double sum = 0;

            for (int l = from; l < j; l++) sum += exp(z.head[0].scale * z.k[l * 8]);
            z.k[j * 8] = (float)(log(sum) / z.head[0].scale);
            role[j] = ATN_ROLE_LANDMARK;
            from = j + 1;
        }
    role[20] = ATN_ROLE_GLOBAL;
    z.in.role = role;
    for (int i = 0; i < 40; i++) {
        double sum = 0;

        zoo_row(cx, &z, "landmark:k=9", 0, i, w);
        for (int j = 0; j <= i; j++)
            if (role[j] != ATN_ROLE_LANDMARK) sum += exp(z.head[0].scale * z.k[j * 8]);
        for (int j = 0; j < 40; j++)
            CHECK_NEAR(w[j],
                       j > i || role[j] == ATN_ROLE_LANDMARK
                           ? 0
                           : exp(z.head[0].scale * z.k[j * 8]) / sum,
                       1e-6);
    }
    zoo_free(&z);
}

/* Roles without a landmark, and landmarks beyond the text: ordinary attention. */
static void without_landmarks(atn_ctx *cx)
{
    const uint8_t none[24] = {0};
    double w[24], a[24];
    zoo z;

    zoo_second(&z);
    case_refused(cx, &z, "landmark", NULL, ATN_DATA, "landmark:every=N");
    z.in.role = none;
    for (int i = 0; i < 24; i++) {
        zoo_dense(&z, 0, i, a);
        zoo_row(cx, &z, "landmark", 0, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
        zoo_row(cx, &z, "landmark:every=25", 0, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-12);
    }
    zoo_free(&z);
}

/* Weights of row i by the definition; returns what is lost. */
static double by_definition(const zoo *z, atn_idx head, atn_idx i, const uint8_t *role,
                            int k, double *w)
{
    const atn_head *h = &z->head[head];
    const int nk = (int)h->nk, t = (int)(i + h->nk - h->nq);
    double s[ZOO_MOST], score[ZOO_MOST], sum0 = 0, lost = 0;
    bool keep[ZOO_MOST];
    int block[ZOO_MOST] = {0}, own;
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    for (int j = 0, b = 0; j < nk; j++) {
        double key[8];

        for (int c = 0; c < 8; c++) key[c] = (double)atn_crow(h->k, j)[c];
        s[j] = h->scale * case_dot(z, head, i, key) + h->alibi_slope * (j - t);
        block[j] = b;
        b += role[j] == ATN_ROLE_LANDMARK;
        w[j] = 0;
    }
    own = block[t];
    for (int j = 0; j < nk; j++)
        score[j] = role[j] == ATN_ROLE_LANDMARK && block[j] < own && j >= lo
                       ? s[j]
                       : -INFINITY;
    case_best(score, nk, k, keep);
    for (int j = (int)lo; j <= t; j++)
        if (keep[j] || (block[j] == own && role[j] != ATN_ROLE_LANDMARK))
            sum0 += exp(s[j]);
    for (int j = (int)lo; j <= t; j++)
        if (block[j] == own && role[j] != ATN_ROLE_LANDMARK) w[j] = exp(s[j]) / sum0;
    for (int m = 0; m < nk; m++) {
        double sum = 0;

        if (!keep[m]) continue;
        for (int j = (int)lo; j < m; j++)
            if (block[j] == block[m]) sum += exp(s[j]);
        if (sum == 0) lost += exp(s[m]) / sum0;
        for (int j = (int)lo; j < m; j++)
            if (block[j] == block[m]) w[j] = exp(s[m]) / sum0 * exp(s[j]) / sum;
    }
    return lost;
}

/* Places of landmarks: every third, or anywhere, the first token and neighbours too. */
static void place(int trial, int nk, uint8_t *role)
{
    uint64_t seed = (uint64_t)trial + 77;

    for (int j = 0; j < nk; j++) {
        role[j] = trial % 5 ? zoo_uniform(&seed) < .25 : j % 3 == 2;
        if (!role[j] && zoo_uniform(&seed) < .1) role[j] = ATN_ROLE_GLOBAL;
    }
    if (trial % 7 == 0) role[0] = ATN_ROLE_LANDMARK;
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 3 * CASES; trial++)
        for (int k = 1; k < 20; k += 1 + k) {
            uint8_t role[64];
            char spec[64];
            zoo z;

            case_layer(&z, trial);
            z.in.role = role;
            place(trial, (int)z.head[0].nk, role);
            snprintf(spec, sizeof spec, "landmark:k=%d", k);
            for (atn_idx h = 0; h < z.in.heads; h++) {
                atn_plan p;

                if (trial % 3 == 2) z.head[h].alibi_slope = -.25 * (double)(h + 1);
                zoo_plan(cx, &z, spec, h, &p);
                for (atn_idx i = 0; i < z.head[h].nq; i++) {
                    double w[ZOO_MOST], want[ZOO_MOST], sum = 0, lost;

                    CHECK_OK(atn_plan_rows(cx, &z.head[h], &p, i, 1, w));
                    lost = by_definition(&z, h, i, role, k, want);
                    for (atn_idx j = 0; j < z.head[h].nk; j++) {
                        if (fabs(w[j] - want[j]) > 1e-9)
                            fail_msg("trial %d, %s, row %lld, key %lld: %g, wanted %g",
                                     trial, spec, (long long)i, (long long)j, w[j],
                                     want[j]);
                        sum += w[j];
                    }
                    CHECK(sum == 0 || fabs(sum + lost - 1) < 1e-9);
                }
                atn_plan_release(cx, &p);
            }
            zoo_free(&z);
        }
}

/* Landmarks at 0 and 3, 4: row 0 is empty; row 5 gives weight to token 0's and token
 * 4's blocks, which have no other token, and it is lost. */
static void what_is_lost(atn_ctx *cx)
{
    const uint8_t role[6] = {1, 0, 0, 1, 1, 0};
    double w[6], sum = 0;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 6, 6, 3);
    memset(z.k, 0, 48 * sizeof *z.k);
    z.in.role = role;
    zoo_row(cx, &z, "landmark", 0, 0, w);
    zoo_check_set(&z, 0, w, "");
    zoo_row(cx, &z, "landmark", 0, 5, w);
    zoo_check_set(&z, 0, w, "1,2,5");
    for (int j = 0; j < 6; j++) sum += w[j];
    CHECK_NEAR(sum, .5, 1e-12); /* of p_0 = (1, 1, 1, 1) / 4 */
    CHECK_NEAR(w[1], .125, 1e-12);
    zoo_plan(cx, &z, "landmark", 0, &p);
    CHECK_EQ(p.virtuals, 1);
    CHECK_EQ(p.expand_ptr[1], 0);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* Every token a landmark: no block has an ordinary one, so all weight is lost, and
 * rows are empty, as those are that keep landmarks alone of a capture's roles. */
static void lost_rows_are_empty(atn_ctx *cx)
{
    const uint8_t role[6] = {0, 1, 1, 1, 0, 1};
    int64_t kept[6];
    double w[6];
    atn_cost c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 6, 6, 3);
    zoo_plan(cx, &z, "landmark:every=1", 0, &p);
    for (int i = 0; i < 6; i++) {
        CHECK_OK(atn_plan_rows(cx, &z.head[0], &p, i, 1, w));
        zoo_check_set(&z, 0, w, "");
    }
    CHECK_OK(atn_plan_cost(cx, &z.head[0], &p, &c));
    CHECK_NEAR(c.kept, 0, 0);
    CHECK_NEAR(c.mean, 0, 0);
    CHECK_EQ(c.empty_rows, 6);
    atn_plan_release(cx, &p);
    /* rows 0 and 1 see token 0; 2 and 3 its block, and lose what 2 gets; 4 and 5 also
     * token 4 */
    z.in.role = role;
    zoo_plan(cx, &z, "landmark", 0, &p);
    CHECK_OK(atn_plan_kept(cx, &z.head[0], &p, kept));
    for (int i = 0; i < 6; i++) {
        const int want[] = {1, 1, 1, 1, 2, 2};

        CHECK_EQ(kept[i], want[i]);
    }
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

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
        zoo_row(cx, &z, "landmark:every=7,k=4", 0, 170 + i, w);
        zoo_row(cx, &chunk, "landmark:every=7,k=4", 0, i, part);
        CHECK(memcmp(w, part, sizeof w) == 0);
    }
    case_threads(cx, &z, "landmark:every=7,k=4");
    zoo_free(&z);
    zoo_free(&chunk);
}

static void failures(atn_ctx *cx)
{
    const uint8_t role[24] = {1, 0, 1, 1};
    double w[24];
    zoo z;

    zoo_second(&z);
    z.in.role = role;
    zoo_failing(&z, "landmark", "k=2");
    zoo_row(cx, &z, "landmark:every=1", 0, 23, w); /* nothing but landmarks */
    zoo_check_set(&z, 0, w, "");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"equal logits", equal_logits},
           {"consistent landmarks", consistent_landmarks_are_dense},
           {"without landmarks", without_landmarks}, {"twin", twin},
           {"what is lost", what_is_lost}, {"lost rows are empty", lost_rows_are_empty},
           {"chunks", chunks_are_parts}, {"failures", failures})
