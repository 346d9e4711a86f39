/* tests/approx/test_ksparse.c -- the largest entries, by ranks counted one by one. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/decomposed.h"

enum { N = 30 };

/* Entries that are larger, or equal and before: those of the row, or of all. */
static int before(const double *p, const atn_head *h, int i, int j, bool all)
{
    int n = 0;

    for (int a = all ? 0 : i; a < (all ? h->nq : i + 1); a++)
        for (int b = 0; b < h->nk; b++) {
            const double x = p[a * h->nk + b], y = p[i * h->nk + j];

            if (h->sight.causal && b > a + h->sight.offset) continue;
            n += x > y || (x == y && (a < i || (a == i && b < j)));
        }
    return n;
}

static void against_ranks(atn_ctx *cx)
{
    static const int ks[] = {1, 3, 7, 29, 1000};

    for (int kind = 0; kind < 3; kind++) /* causal, both ways, the last rows */
        for (size_t s = 0; s < ATN_LEN(ks); s++)
            for (int mode = 0; mode < 4; mode++) {
                const bool all = mode % 2 == 0, again = mode >= 2;
                const int nq = kind == 2 ? 11 : N;
                double p[N * N], w[N * N];
                char spec[80];
                zoo z;

                zoo_random(&z, 1, 1, nq, N, 40 + s);
                zoo_causal(&z, kind != 1);
                dense_rows(&z, p);
                snprintf(spec, sizeof spec, "ksparse:k=%d,level=%s,renormalise=%d",
                         ks[s], all ? "head" : "row", again);
                decompose(cx, &z, spec, w);
                for (int i = 0; i < nq; i++) {
                    double kept = 0;

                    for (int j = 0; j < N; j++)
                        kept += w[i * N + j] != 0 ? p[i * N + j] : 0;
                    for (int j = 0; j < N; j++) {
                        const bool in =
                            p[i * N + j] > 0 && before(p, &z.head[0], i, j, all) <
                                                    (all ? ks[s] * nq : ks[s]);
                        const double want = in ? p[i * N + j] / (again ? kept : 1) : 0;

                        CHECK_NEAR(w[i * N + j], want, 1e-6);
                        CHECK_EQ(w[i * N + j] != 0, in);
                    }
                }
                zoo_free(&z);
            }
}

/* Equal weights everywhere, two a row on average: the first rows keep all of theirs. */
static void ties_by_row_then_key(atn_ctx *cx)
{
    atn_plan plan[ZOO_HEADS_MOST];
    double w[16];
    zoo z;

    zoo_random(&z, 1, 1, 4, 4, 1);
    zoo_causal(&z, false);
    memset(z.q, 0, 4 * 8 * sizeof *z.q);
    decompose(cx, &z, "ksparse:k=2", w);
    for (int e = 0; e < 16; e++) CHECK_NEAR(w[e], e < 8 ? .25 : 0, 1e-7);
    zoo_plan(cx, &z, "ksparse:k=2", 0, plan);
    CHECK_EQ(plan[0].ties, 8);
    zoo_release(cx, plan, 1);
    zoo_free(&z);
}

static void spending(atn_ctx *cx)
{
    static const char *const params[] = {"k=3", "k=3,level=row"};
    zoo z;

    zoo_random(&z, 1, 1, 12, 12, 3);
    for (size_t s = 0; s < ATN_LEN(params); s++) {
        atn_plan plan[ZOO_HEADS_MOST];
        atn_spending spent;
        atn_cost cost;
        atn_choice c;
        char spec[64];

        CHECK_OK(atn_choice_read(cx, "ksparse", params[s], &c));
        CHECK(atn_choice_spends(&c, &z.in, 0, &spent));
        snprintf(spec, sizeof spec, "ksparse:%s", params[s]);
        zoo_plan(cx, &z, spec, 0, plan);
        CHECK_OK(atn_plan_cost(cx, &z.head[0], &plan[0], &cost));
        CHECK_NEAR(spent.executed, cost.executed, 0);
        /* of the head k a row on average, which are stated; of rows they are keys */
        CHECK_NEAR(spent.numbers, s == 0 ? 3 : 0, 0);
        CHECK_NEAR(plan[0].numbers, spent.numbers, 0);
        CHECK_NEAR(cost.numbers, cost.executed, 1e-9);
        zoo_release(cx, plan, 1);
    }
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, N, N, 2);
    zoo_failing(&z, "ksparse", "k=3");
    zoo_failing(&z, "ksparse", "k=3,level=row");
    zoo_free(&z);
}

/* Rows go one by one, of more tokens than a matrix is stored for. */
static void long_heads(atn_ctx *cx)
{
    enum { LONG = ATN_STORED_MOST + 1 };
    atn_choice c;
    zoo z;

    zoo_shape(&z, 1, 1, LONG, LONG, 1, 1);
    CHECK_OK(atn_choice_read(cx, "ksparse", "level=row", &c));
    CHECK_OK(atn_choice_check(cx, &c, &z.in));
    CHECK_OK(atn_choice_read(cx, "ksparse", "level=head", &c));
    CHECK_FAILS(atn_choice_check(cx, &c, &z.in), ATN_DATA,
                "stores the attention matrix");
    zoo_free(&z);
}

CHECK_MAIN({"against ranks", against_ranks},
           {"ties by row, then key", ties_by_row_then_key}, {"spending", spending},
           {"memory runs out", memory_runs_out}, {"long heads", long_heads})
