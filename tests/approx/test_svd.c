/* tests/approx/test_svd.c -- truncation against Jacobi's singular values. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/decomposed.h"

enum { N = 40 };

/* The G8 head: full P has sigma 1.1271832806, .1266933290, .0139690393 and squares
 * 1.2867905488 in all; causal P 1.5158533698, .6363326210, .3181686406 of
 * 2.8542568327. Without a mask what a rank leaves is what they leave. */
static void golden(atn_ctx *cx)
{
    static const double sigma[2][3] = {{1.1271832806, .1266933290, .0139690393},
                                       {1.5158533698, .6363326210, .3181686406}};
    static const double squares[2] = {1.2867905488, 2.8542568327};
    static const char *const hows[] = {"lapack", "random", "auto"};
    zoo z;

    zoo_shape(&z, 1, 1, 8, 8, 4, 4);
    for (int i = 0; i < 8; i++)
        for (int l = 0; l < 4; l++) {
            z.q[4 * i + l] = (float)sin(.1 * (i + 1) * (l + 1));
            z.k[4 * i + l] = (float)cos(.07 * (i + 1) * (l + 2));
            z.v[4 * i + l] = (float)sin(.05 * (i + 2) * (l + 3));
        }
    for (int causal = 0; causal < 2; causal++)
        for (size_t how = 0; how < ATN_LEN(hows); how++)
            for (int rank = 1; rank <= 3; rank++) {
                double p[64], w[64], left = squares[causal];
                char spec[64];

                zoo_causal(&z, causal);
                dense_rows(&z, p);
                for (int k = 0; k < rank; k++)
                    left -= sigma[causal][k] * sigma[causal][k];
                snprintf(spec, sizeof spec, "svd:rank=%d,how=%s,mask=0", rank,
                         hows[how]);
                CHECK_NEAR(decompose(cx, &z, spec, w), 2 * rank, 0);
                CHECK_NEAR(apart(p, w, 64) * apart(p, w, 64), left, 2e-6);
                spec[strlen(spec) - 1] = '1';
                decompose(cx, &z, spec, w);
                for (int i = 0; causal && i < 8; i++)
                    for (int j = i + 1; j < 8; j++) CHECK_NEAR(w[8 * i + j], 0, 0);
                CHECK_LE(apart(p, w, 64) * apart(p, w, 64), left + 2e-6);
                if (causal) CHECK_LE(apart(p, w, 64) * apart(p, w, 64), left - 1e-4);
            }
    zoo_free(&z);
}

/* Any rank, of a tall, a wide and a causal head. */
static void eckart_young(atn_ctx *cx)
{
    static const int sizes[][2] = {{N, N}, {N, 23}, {17, N}};

    for (size_t s = 0; s < ATN_LEN(sizes); s++)
        for (int rank = 1; rank < 50; rank += 5) {
            const int nq = sizes[s][0], nk = sizes[s][1];
            const int r = nq < nk ? nq : nk;
            double p[N * N], t[N * N], w[N * N], sigma[N], left = 0;
            char spec[64];
            zoo z;

            zoo_random(&z, 1, 1, nq, nk, s + 7);
            zoo_causal(&z, nq == nk);
            dense_rows(&z, p);
            for (int i = 0; i < nq; i++)
                for (int j = 0; j < nk; j++)
                    t[nq >= nk ? i * nk + j : j * nq + i] = p[i * nk + j];
            jacobi_values(t, nq >= nk ? nq : nk, r, sigma);
            for (int k = rank; k < r; k++) left += sigma[k] * sigma[k];
            snprintf(spec, sizeof spec, "svd:rank=%d,how=lapack,mask=0", rank);
            decompose(cx, &z, spec, w);
            CHECK_NEAR(apart(p, w, nq * nk), sqrt(left), 1e-9);
            snprintf(spec, sizeof spec, "svd:rank=%d,how=random,mask=0", rank);
            decompose(cx, &z, spec, w);
            CHECK_LE(apart(p, w, nq * nk), 1.02 * sqrt(left) + 1e-5);
            CHECK_LE(sqrt(left), apart(p, w, nq * nk) + 1e-9);
            zoo_free(&z);
        }
}

/* Rows that see nothing, constant keys, logits of 1e4, one token. */
static void degenerate(atn_ctx *cx)
{
    static const char *const specs[] = {"svd:rank=3,how=lapack",
                                        "svd:rank=3,how=random",
                                        "svd:rank=3,how=random,mask=0"};

    for (size_t s = 0; s < ATN_LEN(specs); s++)
        for (int kind = 0; kind < 5; kind++) {
            const atn_idx n = kind == 4 ? 1 : 12;
            double w[144], p[144];
            zoo z;

            zoo_random(&z, 1, 1, n, n, 3);
            if (kind == 0) memset(z.q, 0, 12 * 8 * sizeof *z.q);
            for (int e = 8; kind == 1 && e < 96; e++) z.k[e] = z.k[e % 8];
            for (int e = 0; kind == 2 && e < 96; e++) z.q[e] *= 1e4f;
            if (kind == 3) z.head[0].sight.window = 2;
            dense_rows(&z, p);
            decompose(cx, &z, specs[s], w);
            for (int e = 0; e < n * n; e++) CHECK(isfinite(w[e]));
            if (n == 1) CHECK_NEAR(w[0], 1, 1e-6);
            zoo_free(&z);
        }
}

/* The same directions from a file give the same weights; others by another seed. */
static void directions_can_be_given(atn_ctx *cx)
{
    const char *const dir = check_scratch("svd_draws");
    double one[N * N], two[N * N], three[N * N];
    char path[600];
    zoo z;

    snprintf(path, sizeof path, "%s/draws.safetensors", dir);
    zoo_random(&z, 1, 1, N, N, 4);
    z.in.seed = 5;
    CHECK_OK(atn_draws_open(cx, NULL, &z.in.draws));
    decompose(cx, &z, "svd:rank=5,how=random", one);
    CHECK_OK(atn_draws_save(cx, z.in.draws, path, true));
    atn_draws_close(cx, z.in.draws);
    z.in.draws = NULL;
    z.in.seed = 6;
    decompose(cx, &z, "svd:rank=5,how=random", two);
    CHECK(apart(one, two, N * N) > 1e-9);
    CHECK_OK(atn_draws_open(cx, path, &z.in.draws));
    decompose(cx, &z, "svd:rank=5,how=random", three);
    CHECK(memcmp(one, three, sizeof one) == 0);
    atn_draws_close(cx, z.in.draws);
    zoo_free(&z);
}

static void spending(atn_ctx *cx)
{
    atn_spending s;
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 12, 30, 3); /* d 8, dv 5 */
    CHECK_OK(atn_choice_read(cx, "svd", "rank=4", &c));
    CHECK(atn_choice_spends(&c, &z.in, 0, &s));
    CHECK_NEAR(s.numbers, 4 * 42. / 12, 1e-12);
    CHECK_NEAR(s.executed, 4 * 42. * 5 / 13, 1e-9);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 1, 5000, 3);
    CHECK_OK(atn_choice_read(cx, "svd", "how=lapack", &c));
    {
        atn_plan plan[ZOO_HEADS_MOST];

        CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, plan), ATN_USAGE, "how=random");
        atn_err_clear(cx);
    }
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, N, N, 2);
    zoo_failing(&z, "svd", "rank=3,how=lapack");
    zoo_failing(&z, "svd", "rank=3,how=random");
    zoo_free(&z);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    static const char *const specs[] = {"svd:rank=5,how=random",
                                        "sparse_lowrank:numbers=12,how=random",
                                        "sparse_lowrank:numbers=12",
                                        "hodlr:rank=2,leaf=4",
                                        "cur:rank=6",
                                        "ksparse:k=3",
                                        "rpca:steps=20"};
    enum { LONG = 150 };

    for (size_t s = 0; s < ATN_LEN(specs); s++) {
        static double one[LONG * LONG], four[LONG * LONG];
        zoo z;

        zoo_random(&z, 1, 1, LONG, LONG, 9);
        cx->threads = 1;
        decompose(cx, &z, specs[s], one);
        cx->threads = 4;
        decompose(cx, &z, specs[s], four);
        CHECK(memcmp(one, four, sizeof one) == 0);
        zoo_free(&z);
    }
}

CHECK_MAIN({"golden", golden}, {"Eckart and Young", eckart_young},
           {"degenerate", degenerate}, {"directions given", directions_can_be_given},
           {"spending", spending}, {"memory runs out", memory_runs_out},
           {"threads do not matter", threads_do_not_matter})
