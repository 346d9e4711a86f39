/* Titans: the token by token recurrence of the paper, written out here, gives its
 * golden rows and the weights of the method; limits; files of numbers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"
#include "tests/approx/operator_twin.h"

enum { MOST = 48, WIDE = 48 };

typedef struct rule {
    double eta, theta, alpha; /* theta 0 = calm */
    int chunk;
    bool unit;
    const float *etas, *thetas, *alphas; /* [n] instead of the numbers; NULL = none */
} rule;

/* One memory of `wide` channels over n tokens, as the paper has it: values v [n][wide];
 * out [n][wide] is what query t reads after token t. */
typedef struct run {
    int n, d, wide;
    double q[MOST][8], k[MOST][8], v[MOST][WIDE], out[MOST][WIDE];
    double w[WIDE][8], s[WIDE][8], start[WIDE][8];
} run;

static double step_of(const rule *r, const run *x, int t)
{
    double size = 0;

    if (r->thetas) return (double)r->thetas[t];
    if (r->theta > 0) return r->theta;
    for (int e = 0; e < x->d; e++) size += x->k[t][e] * x->k[t][e];
    return size > 0 ? 1 / (2 * size * r->chunk) : 0;
}

static void recur(run *x, const rule *r)
{
    memset(x->w, 0, sizeof x->w);
    memset(x->s, 0, sizeof x->s);
    for (int t = 0; t < x->n; t++) {
        const double eta = r->etas ? (double)r->etas[t] : r->eta;
        const double alpha = r->alphas ? (double)r->alphas[t] : r->alpha;

        if (t % r->chunk == 0) memcpy(x->start, x->w, sizeof x->w);
        for (int c = 0; c < x->wide; c++) {
            double miss = -x->v[t][c];

            for (int e = 0; e < x->d; e++) miss += x->start[c][e] * x->k[t][e];
            x->out[t][c] = 0;
            for (int e = 0; e < x->d; e++) {
                x->s[c][e] =
                    eta * x->s[c][e] - step_of(r, x, t) * 2 * miss * x->k[t][e];
                x->w[c][e] = (1 - alpha) * x->w[c][e] + x->s[c][e];
                x->out[t][c] += x->w[c][e] * x->q[t][e];
            }
        }
    }
}

static void to_unit(double *x, int d)
{
    double size = 0;

    for (int e = 0; e < d; e++) size += x[e] * x[e];
    for (int e = 0; e < d && size > 0; e++) x[e] /= sqrt(size);
}

static void golden_of_the_twin(atn_ctx *cx)
{
    static const struct {
        const char *name;
        rule r;
    } of[] = {{"titans token", {.eta = .5, .theta = .1, .alpha = .1, .chunk = 1}},
              {"titans chunk 4", {.eta = .5, .theta = .1, .alpha = .1, .chunk = 4}}};
    const g8 g = g8_exact();
    static run x;

    (void)cx;
    for (int k = 0; k < 2; k++) {
        double o[G8_N * G8_D];

        x = (run){.n = G8_N, .d = G8_D, .wide = G8_D};
        for (int i = 0; i < G8_N; i++)
            for (int e = 0; e < G8_D; e++) {
                x.q[i][e] = g.q[i][e];
                x.k[i][e] = g.k[i][e];
                x.v[i][e] = g.v[i][e];
            }
        recur(&x, &of[k].r);
        for (int e = 0; e < G8_N * G8_D; e++) o[e] = x.out[e / G8_D][e % G8_D];
        g8_check(of[k].name, o, 1e-9);
    }
}

static void golden(atn_ctx *cx)
{
    double o[G8_N * G8_D], w[G8_N * G8_N];
    zoo z;

    g8_zoo(&z, true);
    g8_run(cx, &z, "titans:eta=.5,theta=.1,alpha=.1,chunk=1", o, w);
    g8_check("titans token", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    g8_run(cx, &z, "titans:eta=.5,theta=.1,alpha=.1,chunk=4", o, w);
    g8_check("titans chunk 4", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    zoo_free(&z);
}

/* eta_i = .9 / (i + 1), theta = .1, alpha_i = .05 i. */
static void golden_of_files(atn_ctx *cx)
{
    double o[G8_N * G8_D], w[G8_N * G8_N];
    float eta[G8_N], alpha[G8_N];
    const atn_st_out t[] = {{.name = "alpha.layer-000.head-000",
                             .type = ATN_F32,
                             .rank = 1,
                             .shape = {G8_N},
                             .data = alpha},
                            {.name = "eta.layer-000.head-000",
                             .type = ATN_F32,
                             .rank = 1,
                             .shape = {G8_N},
                             .data = eta}};
    zoo z;

    for (int i = 0; i < G8_N; i++) {
        eta[i] = (float)(.9 / (i + 1));
        alpha[i] = (float)(.05 * i);
    }
    g8_zoo(&z, true);
    zoo_draws(cx, &z, "titans", t, 2);
    g8_run(cx, &z, "titans:theta=.1,chunk=3", o, w);
    g8_check("titans chunk 3 steps", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    zoo_draws_end(&z, cx);
    eta[5] = -.5F;
    zoo_draws(cx, &z, "titans", t, 2);
    {
        atn_choice c;
        atn_plan p;

        CHECK_OK(atn_choice_read(cx, "titans", "", &c));
        CHECK_FAILS(
            atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
            "titans: eta of token 5 in layer 0, head 0 is -0.5 (give numbers in "
            "0..1)");
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* Unit values, one channel a token, give the weights of all. */
static void by_recurrence(const zoo *z, atn_idx head, const void *p, double *w)
{
    const atn_head *h = &z->head[head];
    const rule *r = p;
    static run x;

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = i + h->sight.offset;

        x = (run){.n = (int)h->nk, .d = 8, .wide = (int)h->nk};
        for (int t = 0; t < x.n; t++) {
            x.v[t][t] = 1;
            for (int e = 0; e < 8; e++) {
                x.q[t][e] = (double)atn_crow(h->q, i)[e];
                x.k[t][e] = (double)atn_crow(h->k, t)[e];
            }
            if (r->unit) to_unit(x.q[t], 8);
            if (r->unit) to_unit(x.k[t], 8);
        }
        recur(&x, r);
        for (int t = 0; t < x.n; t++) w[i * h->nk + t] = x.out[at][t];
    }
}

static void twin(atn_ctx *cx)
{
    static const rule rules[] = {
        {.eta = .5, .theta = .02, .alpha = .1, .chunk = 1},
        {.eta = .9, .chunk = 4},
        {.theta = .01, .alpha = .3, .chunk = 5},
        {.eta = .3, .theta = .4, .alpha = .05, .chunk = 3, .unit = true},
        {.eta = 1, .alpha = 1, .chunk = 2},
        {.eta = .5, .theta = .01, .alpha = .01, .chunk = 100},
        {.chunk = 7, .unit = true}};

    for (int trial = 0; trial < CASES; trial++) {
        const rule *r = &rules[trial % (int)ATN_LEN(rules)];
        char spec[128];
        zoo z;

        case_layer(&z, trial);
        for (int h = 0; h < z.in.heads; h++) z.head[h].sight.window = 0;
        snprintf(spec, sizeof spec, "titans:eta=%g,theta=%g,alpha=%g,chunk=%d,unit=%s",
                 r->eta, r->theta, r->alpha, r->chunk, r->unit ? "yes" : "no");
        twin_layer(cx, &z, spec, by_recurrence, r, 1e-9);
        zoo_free(&z);
    }
}

/* One chunk, eta = alpha = 0, theta = 1/2: w_ij = q_i . k_j. */
static void limit_is_linear(atn_ctx *cx)
{
    double w[20 * 20];
    atn_plan p[1];
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 5);
    zoo_plan(cx, &z, "titans:eta=0,alpha=0,theta=.5,chunk=99", 0, p);
    CHECK_OK(atn_plan_rows(cx, &z.head[0], p, 0, 20, w));
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < 20; j++)
            CHECK_NEAR(
                w[i * 20 + j],
                j <= i ? twin_dot(atn_crow(z.head[0].q, i), atn_crow(z.head[0].k, j), 8)
                       : 0,
                1e-12);
    zoo_release(cx, p, 1);
    zoo_free(&z);
}

/* chunk 1, the calm step (1 / 2 of unit keys), nothing kept or forgotten: asked with
 * its own key, the memory gives the value just written. */
static void writes_exactly(atn_ctx *cx)
{
    double o[15 * 5];
    atn_plan p[1];
    zoo z;

    zoo_random(&z, 1, 1, 15, 15, 6);
    memcpy(z.q, z.k, 15 * 8 * sizeof *z.q);
    zoo_plan(cx, &z, "titans:eta=0,alpha=0,chunk=1", 0, p);
    twin_apply(cx, &z.head[0], p, o);
    for (int e = 0; e < 15 * 5; e++) CHECK_NEAR(o[e], z.v[e], 1e-10);
    zoo_release(cx, p, 1);
    zoo_free(&z);
}

static void refusals(atn_ctx *cx)
{
    double w[40 * 40];
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 40, 40, 7);
    CHECK_OK(atn_choice_read(cx, "titans", "", &c));
    z.head[0].sight.window = 5;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "sliding window of 5");
    z.head[0].sight.window = 40;
    z.head[0].has_sink = true;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "a sink logit");
    z.head[0].has_sink = false;
    for (int e = 0; e < 40 * 8; e++) z.k[e] *= 1e6F;
    CHECK_OK(atn_choice_read(cx, "titans", "theta=1,chunk=1", &c));
    CHECK_OK(atn_choice_plan(cx, &c, &z.in, 0, &p));
    CHECK_FAILS(atn_plan_rows(cx, &z.head[0], &p, 0, 40, w), ATN_DATA,
                "grows beyond float32");
    CHECK_FAILS(p.op.kind->apply(cx, &z.head[0], p.op.state, w, "test"), ATN_DATA,
                "grows beyond float32");
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

static void properties(atn_ctx *cx)
{
    static const char *const settings[] = {"", "chunk=1", "eta=1,alpha=0,theta=.01",
                                           "unit=yes,theta=.5,chunk=4"};
    zoo z;

    zoo_random(&z, 1, 1, 33, 33, 8);
    twin_threads(cx, &z, "titans:chunk=5");
    twin_causal(cx, &z, "titans:chunk=5");
    zoo_failing(&z, "titans", "chunk=4");
    zoo_free(&z);
    for (int k = 0; k < 4; k++) twin_degenerate(cx, "titans", settings[k], true);
}

CHECK_MAIN({"golden of the twin", golden_of_the_twin}, {"golden", golden},
           {"golden of files", golden_of_files}, {"twin", twin},
           {"limit is linear", limit_is_linear}, {"writes exactly", writes_exactly},
           {"refusals", refusals}, {"properties", properties})
