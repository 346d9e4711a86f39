/* Aaren: the golden row, dense attention of the one query over every prefix, biases. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"
#include "tests/approx/operator_twin.h"

/* The scan of the card, one key after another. */
static void scan(const g8 *x, double *o)
{
    double m = -INFINITY, u = 0, w[4] = {0};

    for (int t = 0; t < G8_N; t++) {
        double s = 0, last, old, now;

        for (int c = 0; c < 4; c++) s += G8_SCALE * x->q[0][c] * x->k[t][c];
        last = m;
        m = fmax(m, s);
        old = exp(last - m);
        now = exp(s - m);
        u = u * old + now;
        for (int c = 0; c < 4; c++) {
            w[c] = w[c] * old + now * x->v[t][c];
            o[t * 4 + c] = w[c] / u;
        }
    }
}

static void golden(atn_ctx *cx)
{
    const g8 exact = g8_exact();
    double o[G8_N * G8_D], w[G8_N * G8_N];
    zoo z;

    scan(&exact, o);
    g8_check("aaren", o, 1e-9);
    g8_zoo(&z, true);
    g8_run(cx, &z, "aaren", o, w);
    g8_check("aaren", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    zoo_free(&z);
}

/* Softmax of the query of a token over what each row sees; of a bias slope (j - t). */
static void by_softmax(const zoo *z, atn_idx head, const void *p, double *w)
{
    const atn_head *h = &z->head[head];
    const atn_idx query = *(const atn_idx *)p - h->sight.offset;

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = i + h->sight.offset;
        const atn_idx lo = h->sight.window ? at - h->sight.window + 1 : 0;
        double sum = 0;

        for (int pass = 0; pass < 2; pass++)
            for (atn_idx j = lo > 0 ? lo : 0; j <= at; j++) {
                double s =
                    h->scale * twin_dot(atn_crow(h->q, query), atn_crow(h->k, j), 8);

                s += h->alibi_slope * (double)(j - at);
                if (h->sight.softcap > 0)
                    s = h->sight.softcap * tanh(s / h->sight.softcap);
                if (pass == 0) sum += exp(s);
                if (pass == 1) w[i * h->nk + j] = exp(s) / sum;
            }
    }
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < CASES; trial++) {
        atn_idx query;
        char spec[64];
        zoo z;

        case_layer(&z, trial);
        query = z.head[0].sight.offset + trial % z.head[0].nq;
        for (int h = 0; h < z.in.heads; h++) {
            if (trial % 4 == 1) z.head[h].alibi_slope = .1 * (h + 1);
            if (trial % 4 == 2) z.head[h].sight.softcap = 1.5;
        }
        snprintf(spec, sizeof spec, "aaren:query=%lld", (long long)query);
        twin_layer(cx, &z, spec, by_softmax, &query, 1e-9);
        zoo_free(&z);
    }
}

static void refusals(atn_ctx *cx)
{
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 5, 20, 7);
    CHECK_OK(atn_choice_read(cx, "aaren", "", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
                "token 0 has no query among the 5 of layer 0, which begin at token 15");
    CHECK_OK(atn_choice_read(cx, "aaren", "query=15", &c));
    z.head[0].has_sink = true;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "a sink logit");
    z.head[0].has_sink = false;
    z.head[0].alibi_slope = -.1;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "biases that rise");
    z.head[0].alibi_slope = .1;
    z.head[0].sight.softcap = 3;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "under a soft-cap");
    zoo_free(&z);
}

static void properties(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 8);
    twin_threads(cx, &z, "aaren");
    twin_causal(cx, &z, "aaren");
    zoo_free(&z);
    zoo_random(&z, 1, 1, 20, 20, 8);
    zoo_failing(&z, "aaren", "");
    zoo_free(&z);
    twin_degenerate(cx, "aaren", "", true);
}

CHECK_MAIN({"golden", golden}, {"twin", twin}, {"refusals", refusals},
           {"properties", properties})
