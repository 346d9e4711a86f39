/* V6 on captures: whole ones hold, P that something was done to is found, and where it
 * says nothing it says why. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "stored_model.h"

#include "analysis/experiments/checks.h"

extern const atn_experiment atn_experiment_log_rank;

enum { N = 40, D = 5, HEADS = 2 };

static atn_trial_model trial_of(const stored_model *m)
{
    return (atn_trial_model){m->capture, &m->selection, 0, 0, 1024};
}

static atn_checks judge(atn_ctx *cx, stored_model *m, const char *name)
{
    atn_checks c = {0};
    atn_trial_model t;

    store_model(cx, m, name);
    t = trial_of(m);
    CHECK_OK(atn_experiment_log_rank.model(cx, &t, &c));
    atn_checks_judge(&c);
    drop_stored(cx, m);
    return c;
}

/* P of q and k by definition. slope: a bias by distance; cap: of the logits. */
static float *softmax(const float *q, const float *k, bool causal, double slope,
                      double cap)
{
    float *p = calloc(HEADS * N * N, sizeof *p);

    for (int i = 0; i < HEADS * N; i++) {
        double z[N], sum = 0;
        const int head = i / N, last = causal ? i % N : N - 1;

        for (int j = 0; j <= last; j++) {
            z[j] = slope * (j - i % N);
            for (int e = 0; e < D; e++)
                z[j] += .4 * (double)q[i * D + e] * (double)k[(head * N + j) * D + e];
            if (cap > 0) z[j] = cap * tanh(z[j] / cap);
            sum += exp(z[j]);
        }
        for (int j = 0; j <= last; j++) p[i * N + j] = (float)(exp(z[j]) / sum);
    }
    return p;
}

static stored_model model_of(bool causal, const float *q, const float *k,
                             const float *p)
{
    return (stored_model){.layers = 1,
                          .layer = {{.heads = HEADS,
                                     .kv_heads = HEADS,
                                     .nq = N,
                                     .nk = N,
                                     .d = D,
                                     .scale = .4,
                                     .sight = {.causal = causal},
                                     .q = q,
                                     .k = k,
                                     .p = p}}};
}

static void whole(atn_ctx *cx)
{
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1);

    for (int causal = 0; causal < 2; causal++) {
        float *p = softmax(q, k, causal, 0, 0);
        stored_model m = model_of(causal, q, k, NULL), with = model_of(causal, q, k, p);
        atn_checks c = judge(cx, &m, "log_rank_qk");

        CHECK_EQ(c.n, HEADS);
        for (int h = 0; h < HEADS; h++) {
            CHECK_EQ(c.check[h].verdict, ATN_HOLDS);
            CHECK_LE(c.check[h].measured, 1e-12);
            CHECK_STR(c.check[h].variant, "P of q and k");
            CHECK_EQ(c.check[h].head, h);
            CHECK_EQ(c.check[h].at, 0);
        }
        atn_checks_release(cx, &c);
        c = judge(cx, &with, "log_rank_p");
        CHECK_EQ(c.check[1].verdict, ATN_HOLDS);
        CHECK_LE(c.check[1].measured, 2e-7);
        CHECK_LE(1e-12, c.check[1].measured); /* P has the digits of a float */
        CHECK_STR(c.check[1].variant, "P as stored");
        atn_checks_release(cx, &c);
        free(p);
    }
    free(q);
    free(k);
}

/* One weight of head 1 moved by a part in a thousand. */
static void tampered(atn_ctx *cx)
{
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1);

    for (int causal = 0; causal < 2; causal++) {
        float *p = softmax(q, k, causal, 0, 0);
        stored_model m = model_of(causal, q, k, p);
        atn_checks c;

        p[N * N + 30 * N + 7] *= .999f;
        c = judge(cx, &m, "log_rank_moved");
        CHECK_EQ(c.check[0].verdict, ATN_HOLDS);
        CHECK_EQ(c.check[1].verdict, ATN_VIOLATED);
        atn_checks_release(cx, &c);
        free(p);
    }
    free(q);
    free(k);
}

/* Of head h. */
static const atn_check *find(const atn_checks *c, const char *id, int h)
{
    for (atn_idx i = 0; i < c->n; i++)
        if (strcmp(c->check[i].bound->id, id) == 0 && c->check[i].head == h)
            return &c->check[i];
    fail_msg("no check %s of head %d", id, h);
    return NULL;
}

/* A part in 20 thousand of one weight is above rounding, and below 1e-6 of the first
 * value: the softmax of q and k finds it, and the rank against rounding shows it. */
static void little_tampered(atn_ctx *cx)
{
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1), *p = softmax(q, k, false, 0, 0);
    stored_model m = model_of(false, q, k, p);
    atn_checks c;

    p[N * N + 30 * N + 7] *= 1.00005f;
    c = judge(cx, &m, "log_rank_little");
    CHECK_EQ(find(&c, "log_rank", 1)->verdict, ATN_HOLDS);
    CHECK_EQ(find(&c, "log_rank_rounding", 1)->verdict, ATN_REPORTED);
    CHECK_LE(find(&c, "log_rank_rounding", 0)->measured,
             find(&c, "log_rank_rounding", 0)->predicted);
    CHECK_LE(find(&c, "log_rank_rounding", 0)->measured * 3,
             find(&c, "log_rank_rounding", 1)->measured);
    atn_checks_release(cx, &c);
    free(q);
    free(k);
    free(p);
}

/* Weights that are those of others, or do not sum to 1. */
static void stored_weights(atn_ctx *cx)
{
    static const double by[] = {1, 1.0001, .6};
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1), *p = softmax(q, k, true, 0, 0);

    for (int way = 0; way < 3; way++)
        for (int alone = 0; alone < 2; alone++) {
            stored_model m = model_of(true, alone ? NULL : q, alone ? NULL : k, p);
            atn_checks c;

            for (int i = 20 * N; i < 21 * N; i++) p[i] *= (float)by[way];
            c = judge(cx, &m, "log_rank_rows");
            CHECK_EQ(find(&c, "stored_rows", 1)->verdict, ATN_HOLDS);
            CHECK_EQ(find(&c, "stored_rows", 0)->verdict, way == 0 ? ATN_HOLDS
                                                          : way == 2 && alone == 1
                                                              ? ATN_REPORTED
                                                              : ATN_VIOLATED);
            if (!alone) {
                CHECK_EQ(find(&c, "stored_softmax", 1)->verdict, ATN_HOLDS);
                CHECK_EQ(find(&c, "stored_softmax", 0)->verdict,
                         way == 0 ? ATN_HOLDS : ATN_VIOLATED);
            }
            for (int i = 20 * N; i < 21 * N; i++) p[i] /= (float)by[way];
            atn_checks_release(cx, &c);
        }
    free(q);
    free(k);
    free(p);
}

/* Logits that were bent by a cap, or have a bias, which the capture does not tell
 * of. */
static void bent(atn_ctx *cx)
{
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1);
    float *capped = softmax(q, k, false, 0, 2), *biased = softmax(q, k, false, .1, 0);
    stored_model m = model_of(false, q, k, capped), b = model_of(false, q, k, biased);
    atn_checks c = judge(cx, &m, "log_rank_cap");

    CHECK_EQ(c.check[0].verdict, ATN_VIOLATED);
    atn_checks_release(cx, &c);
    c = judge(cx, &b, "log_rank_bias");
    CHECK_EQ(c.check[0].verdict, ATN_VIOLATED);
    atn_checks_release(cx, &c);
    free(q);
    free(k);
    free(capped);
    free(biased);
}

/* A bias that the capture tells of has rank 1 more, and no more. */
static void alibi(atn_ctx *cx)
{
    const float slopes[HEADS] = {.1f, .1f};
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1);
    float *p = softmax(q, k, true, (double)slopes[0], 0);

    for (int stored = 0; stored < 2; stored++) {
        stored_model m = model_of(true, q, k, stored ? p : NULL);
        atn_checks c;

        m.layer[0].alibi = slopes;
        c = judge(cx, &m, "log_rank_alibi");
        CHECK_EQ(c.check[0].verdict, ATN_HOLDS);
        CHECK_EQ(c.check[1].verdict, ATN_HOLDS);
        atn_checks_release(cx, &c);
    }
    p[N * N + 30 * N + 7] *= .999f;
    {
        stored_model m = model_of(true, q, k, p);
        atn_checks c;

        m.layer[0].alibi = slopes;
        c = judge(cx, &m, "log_rank_alibi_moved");
        CHECK_EQ(c.check[1].verdict, ATN_VIOLATED);
        atn_checks_release(cx, &c);
    }
    free(q);
    free(k);
    free(p);
}

static void says_nothing(atn_ctx *cx, stored_model *m, const char *why)
{
    atn_checks c = judge(cx, m, "log_rank_none");

    for (int h = 0; h < HEADS; h++) {
        CHECK_EQ(c.check[h].verdict, ATN_NOT_APPLICABLE);
        if (!strstr(c.check[h].note, why)) fail_msg("'%s'", c.check[h].note);
    }
    atn_checks_release(cx, &c);
}

static void not_applicable(atn_ctx *cx)
{
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1);
    float *p = softmax(q, k, false, 0, 0);
    stored_model given = model_of(false, NULL, NULL, p), short_one = given,
                 zero = given;

    says_nothing(cx, &given, "how long keys are");
    zero = model_of(false, q, k, NULL);
    zero.layer[0].softcap = 3;
    says_nothing(cx, &zero, "soft-capped at 3");
    short_one = model_of(true, q, k, NULL); /* 10 rows: 5 are seen whole */
    short_one.layer[0].nq = short_one.layer[0].nk = 10;
    says_nothing(cx, &short_one, "are seen whole");
    zero = model_of(false, q, k, p);
    for (int i = 0; i < HEADS * N * N; i++) {
        uint32_t bits;

        memcpy(&bits, p + i, sizeof bits);
        bits &= 0xffff0000u;
        memcpy(p + i, &bits, sizeof bits);
    }
    says_nothing(cx, &zero, "too few digits");
    p[0] = p[N * N] = 0;
    p[1] = p[N * N + 1] = .1f;
    says_nothing(cx, &zero, "weights of 0");
    free(q);
    free(k);
    free(p);
}

static void failing(atn_ctx *cx)
{
    float *q = stored_noise(HEADS * N * D, 1, 1),
          *k = stored_noise(HEADS * N * D, 2, 1);
    float *p = softmax(q, k, false, 0, 0);
    stored_model m = model_of(false, q, k, p);
    atn_status st = ATN_MEMORY;
    atn_trial_model t;

    store_model(cx, &m, "log_rank_failing");
    t = trial_of(&m);
    for (long allowed = 0; st == ATN_MEMORY; allowed++) {
        check_failing f = {allowed};
        atn_checks c = {0};
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.threads = 1;
        poor.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_experiment_log_rank.model(&poor, &t, &c);
        atn_checks_release(&poor, &c);
        atn_ctx_release(&poor);
        CHECK(allowed < 100000);
    }
    CHECK_EQ(st, ATN_OK);
    drop_stored(cx, &m);
    free(q);
    free(k);
    free(p);
}

CHECK_MAIN({"whole", whole}, {"tampered", tampered},
           {"little tampered", little_tampered}, {"stored weights", stored_weights},
           {"bent", bent}, {"alibi", alibi}, {"not applicable", not_applicable},
           {"failing", failing})
