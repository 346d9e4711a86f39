/* RAT: golden rows, the recurrence and the softmax written out here, limits, gates of
 * tokens and of channels. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"
#include "tests/approx/operator_twin.h"

typedef struct rule {
    int chunk;
    double gate;
    const double *gates; /* [nk], or [nk, d] of channels; NULL = the number */
    bool channels;
} rule;

static double gate_of(const rule *r, int t, int c)
{
    return !r->gates ? r->gate : r->channels ? r->gates[t * 4 + c] : r->gates[t];
}

/* Outputs of G8 token by token, as the card has it. */
static void outputs(const g8 *x, const rule *r, double *o)
{
    double key[G8_N + 1][4] = {{0}}, value[G8_N + 1][4] = {{0}};
    int ends = 0;

    memset(o, 0, G8_N * 4 * sizeof *o);
    for (int i = 0; i < G8_N; i++) {
        double weight[G8_N + 1], sum = 0;

        if (i % r->chunk == 0) {
            ends += i > 0;
            memset(key[ends], 0, sizeof key[ends]);
            memset(value[ends], 0, sizeof value[ends]);
        }
        for (int c = 0; c < 4; c++) {
            const double g = gate_of(r, i, c);

            key[ends][c] = g * key[ends][c] + (1 - g) * x->k[i][c];
            value[ends][c] = g * value[ends][c] + (1 - g) * x->v[i][c];
        }
        for (int s = 0; s <= ends; s++) {
            double z = 0;

            for (int c = 0; c < 4; c++) z += x->q[i][c] * key[s][c];
            sum += weight[s] = exp(G8_SCALE * z);
        }
        for (int s = 0; s <= ends; s++)
            for (int c = 0; c < 4; c++) o[i * 4 + c] += weight[s] / sum * value[s][c];
    }
}

static void golden(atn_ctx *cx)
{
    const g8 exact = g8_exact();
    double o[G8_N * G8_D], w[G8_N * G8_N];
    zoo z;

    outputs(&exact, &(rule){.chunk = 4, .gate = .5}, o);
    g8_check("rat chunk 4 gate .5", o, 1e-9);
    g8_zoo(&z, true);
    g8_run(cx, &z, "rat:chunk=4,gate=.5", o, w);
    g8_check("rat chunk 4 gate .5", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    /* token 5 of chunk [4, 8): its state alone is key 4 at .25, key 5 at .5 */
    CHECK_NEAR(w[5 * 8 + 4] / w[5 * 8 + 5], .5, 1e-6);
    /* chunk 0 ends with 1/16 1/8 1/4 1/2 */
    for (int j = 1; j < 4; j++) CHECK_NEAR(w[7 * 8 + j] / w[7 * 8 + j - 1], 2, 1e-6);
    zoo_free(&z);
}

static void set_gates(atn_ctx *cx, zoo *z, const float *gates, bool channels)
{
    const atn_st_out t = {.name = channels ? "channel_gates.layer-000.head-000"
                                           : "gates.layer-000.head-000",
                          .type = ATN_F32,
                          .rank = channels ? 2 : 1,
                          .shape = {G8_N, G8_D},
                          .data = gates};

    zoo_draws(cx, z, "rat", &t, 1);
}

/* Gates g_i = (i + 1) / 10; then of token and channel. */
static void gates_of_files(atn_ctx *cx)
{
    const g8 exact = g8_exact();
    double o[G8_N * G8_D], want[G8_N * G8_D], w[G8_N * G8_N], wide[G8_N * G8_D];
    float gates[G8_N * G8_D];
    rule r = {.chunk = 3, .gates = wide};
    zoo z;

    for (int i = 0; i < G8_N; i++) gates[i] = (float)(wide[i] = (i + 1) / 10.);
    outputs(&exact, &r, o);
    g8_check("rat chunk 3 gate i", o, 1e-9);
    g8_zoo(&z, true);
    set_gates(cx, &z, gates, false);
    g8_run(cx, &z, "rat:chunk=3", o, w);
    g8_check("rat chunk 3 gate i", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    zoo_draws_end(&z, cx);
    for (int e = 0; e < G8_N * G8_D; e++)
        gates[e] = (float)(wide[e] = (7 * e % 11) / 11.);
    r.channels = true;
    outputs(&exact, &r, want);
    set_gates(cx, &z, gates, true);
    g8_run(cx, &z, "rat:chunk=3", o, w);
    for (int e = 0; e < G8_N * G8_D; e++) CHECK_NEAR(o[e], want[e], 2e-5);
    /* row 0: its own state of one token, 1 - g of the mean channel */
    CHECK_NEAR(w[0], 1 - (wide[0] + wide[1] + wide[2] + wide[3]) / 4, 1e-6);
    zoo_draws_end(&z, cx);
    gates[2] = 1.5F;
    set_gates(cx, &z, gates, true);
    {
        atn_choice c;
        atn_plan p;

        CHECK_OK(atn_choice_read(cx, "rat", "", &c));
        CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
                    "rat: channel_gates of token 0 in layer 0, head 0 is 1.5");
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* The weights of a state over tokens [from, to), and its key. */
static void state_of(const atn_head *h, double g, atn_idx from, atn_idx to,
                     double *share, double *key)
{
    memset(key, 0, 8 * sizeof *key);
    for (atn_idx t = from; t < to; t++) {
        for (atn_idx e = from; e < t; e++) share[e] *= g;
        share[t] = 1 - g;
        for (int c = 0; c < 8; c++)
            key[c] = g * key[c] + (1 - g) * (double)atn_crow(h->k, t)[c];
    }
}

static void by_softmax(const zoo *z, atn_idx head, const void *p, double *w)
{
    const atn_head *h = &z->head[head];
    const rule *r = p;

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = i + h->sight.offset, own = at / r->chunk * r->chunk;
        const atn_idx window = h->sight.window, lo = window ? at - window + 1 : 0;
        double share[64], key[8], weight[64], sum = 0, *row = w + i * h->nk;

        for (int pass = 0; pass < 2; pass++)
            for (atn_idx from = 0; from <= own; from += r->chunk) {
                const atn_idx first = from == own && lo > own ? lo : from;
                const atn_idx end = from == own ? at + 1 : from + r->chunk;
                double s = 0;

                if (from < own && from < lo) continue;
                state_of(h, r->gate, first, end, share, key);
                for (int c = 0; c < 8; c++) s += (double)atn_crow(h->q, i)[c] * key[c];
                weight[from] = exp(h->scale * s);
                if (pass == 0) sum += weight[from];
                for (atn_idx t = first; pass == 1 && t < end; t++)
                    row[t] = weight[from] / sum * share[t];
            }
    }
}

static void twin(atn_ctx *cx)
{
    static const rule rules[] = {{.chunk = 1, .gate = 0},   {.chunk = 4, .gate = .5},
                                 {.chunk = 3, .gate = .9},  {.chunk = 7, .gate = 0},
                                 {.chunk = 99, .gate = .3}, {.chunk = 2, .gate = 1}};

    for (int trial = 0; trial < CASES; trial++) {
        const rule *r = &rules[trial % (int)ATN_LEN(rules)];
        char spec[64];
        zoo z;

        case_layer(&z, trial);
        snprintf(spec, sizeof spec, "rat:chunk=%d,gate=%g", r->chunk, r->gate);
        twin_layer(cx, &z, spec, by_softmax, r, 2e-6); /* states are floats */
        zoo_free(&z);
    }
}

static void limits(atn_ctx *cx)
{
    double w[24], a[24];
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 4);
    for (int i = 0; i < 24; i++) {
        double g = 1;

        zoo_row(cx, &z, "rat:chunk=1,gate=0", 0, i, w);
        zoo_dense(&z, 0, i, a);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-6);
        zoo_row(cx, &z, "rat:chunk=24,gate=.75", 0, i, w);
        for (int j = i; j >= 0; j--, g *= .75) CHECK_NEAR(w[j], .25 * g, 1e-6);
    }
    zoo_free(&z);
}

/* What it says that it spends is what it executes. */
static void spending(atn_ctx *cx)
{
    for (int trial = 0; trial < CASES; trial++) {
        atn_spending told;
        atn_cost cost;
        atn_choice c;
        atn_plan p[1];
        zoo z;

        case_layer(&z, trial);
        CHECK_OK(atn_choice_read(cx, "rat", trial % 2 ? "chunk=3" : "chunk=5", &c));
        CHECK(atn_choice_spends(&c, &z.in, 0, &told));
        CHECK_OK(atn_choice_plan(cx, &c, &z.in, 0, p));
        CHECK_OK(atn_plan_cost(cx, &z.head[0], p, &cost));
        CHECK_NEAR(told.executed, cost.executed, 0);
        CHECK(told.numbers == 0 && p[0].numbers == 0); /* states weigh as keys */
        zoo_release(cx, p, 1);
        zoo_free(&z);
    }
}

static void properties(atn_ctx *cx)
{
    static const char *const settings[] = {"", "chunk=1,gate=0", "chunk=4,gate=1"};
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 33, 33, 8);
    twin_threads(cx, &z, "rat:chunk=5");
    twin_causal(cx, &z, "rat:chunk=5");
    zoo_failing(&z, "rat", "chunk=4");
    z.head[0].alibi_slope = .1;
    CHECK_OK(atn_choice_read(cx, "rat", "", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "a position bias");
    zoo_free(&z);
    for (int k = 0; k < 3; k++) twin_degenerate(cx, "rat", settings[k], true);
}

CHECK_MAIN({"golden", golden}, {"gates of files", gates_of_files}, {"twin", twin},
           {"limits", limits}, {"spending", spending}, {"properties", properties})
