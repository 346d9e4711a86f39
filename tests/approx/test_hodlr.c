/* tests/approx/test_hodlr.c -- hierarchical blocks against singular values of every
 * block. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/decomposed.h"

enum { N = 37 };

typedef struct walk {
    const double *p;
    int first, nq, nk; /* position of the first query */
    int rank, leaf;
    double left, numbers; /* squares discarded, numbers stored */
    bool causal;
} walk;

static void block(walk *s, int a, int b, int c, int d)
{
    double x[N * N], sigma[N];
    int m, n;
    bool any = false;

    a = a < s->first ? 0 : a - s->first;
    b = b - s->first > s->nq ? s->nq : b - s->first;
    d = d > s->nk ? s->nk : d;
    m = b - a;
    n = d - c;
    if (m <= 0 || n <= 0) return;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            const double y = s->p[(a + i) * s->nk + c + j];

            any |= !s->causal || c + j <= a + i + s->first;
            x[m >= n ? i * n + j : j * m + i] = y;
        }
    if (!any) return;
    jacobi_values(x, m >= n ? m : n, m >= n ? n : m, sigma);
    for (int k = s->rank; k < (m < n ? m : n); k++) s->left += sigma[k] * sigma[k];
    s->numbers += (m + n) * fmin(s->rank, fmin(m, n));
}

static void halves(walk *s, int a, int b)
{
    const int m = (a + b) / 2;

    if (b - a <= s->leaf) {
        for (int i = a; i < b; i++)
            for (int j = a; j < b && j < s->nk; j++)
                s->numbers +=
                    i >= s->first && i - s->first < s->nq && (!s->causal || j <= i);
        return;
    }
    block(s, a, m, m, b);
    block(s, m, b, a, m);
    halves(s, a, m);
    halves(s, m, b);
}

static void error_is_what_is_discarded(atn_ctx *cx)
{
    static const int leaves[] = {1, 3, 8, 40}, ranks[] = {1, 2, 5};

    for (int kind = 0; kind < 4; kind++)
        for (size_t l = 0; l < ATN_LEN(leaves); l++)
            for (size_t r = 0; r < ATN_LEN(ranks); r++) {
                const int nq = kind == 1 ? 14 : N, nk = kind == 3 ? 22 : N;
                double p[N * N], w[N * N], numbers;
                char spec[64];
                walk s;
                zoo z;

                zoo_random(&z, 1, 1, nq, nk, 3 + l);
                zoo_causal(&z, kind < 2); /* causal, its last rows, both ways, cross */
                if (kind == 3) z.head[0].sight.offset = 0;
                dense_rows(&z, p);
                s = (walk){.p = p,
                           .first = kind == 1 ? N - 14 : 0,
                           .nq = nq,
                           .nk = nk,
                           .rank = ranks[r],
                           .leaf = leaves[l],
                           .causal = kind < 2};
                halves(&s, 0, N);
                snprintf(spec, sizeof spec, "hodlr:rank=%d,leaf=%d", ranks[r],
                         leaves[l]);
                numbers = decompose(cx, &z, spec, w);
                CHECK_NEAR(numbers * nq, s.numbers, 1e-9);
                CHECK_NEAR(apart(p, w, nq * nk), sqrt(s.left), 1e-9);
                zoo_free(&z);
            }
}

/* n a power of two: r n log2(n / leaf) and half a leaf more of a causal head. */
static void numbers_of_the_card(atn_ctx *cx)
{
    double w[32 * 32];
    zoo z;

    zoo_random(&z, 1, 1, 32, 32, 3);
    CHECK_NEAR(decompose(cx, &z, "hodlr:rank=2,leaf=4", w), 2 * 3 + 2.5, 1e-9);
    zoo_causal(&z, false);
    CHECK_NEAR(decompose(cx, &z, "hodlr:rank=2,leaf=4", w), 4 * 3 + 4, 1e-9);
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, N, N, 2);
    zoo_failing(&z, "hodlr", "rank=1,leaf=5");
    zoo_free(&z);
}

CHECK_MAIN({"error is what is discarded", error_is_what_is_discarded},
           {"numbers of the card", numbers_of_the_card},
           {"memory runs out", memory_runs_out})
