/* tests/core/test_panels.c -- products in panels: right, and the same wherever the
 * vectors stand. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/kernels/kernels.h"
#include "core/rng.h"

enum { ROWS_MOST = 9, N_MOST = 50, D_MOST = 70 };

typedef struct product {
    int rows, n, d, ld;
    float q[ROWS_MOST * (D_MOST + 3)], x[N_MOST * (D_MOST + 3)];
    float panels[(N_MOST + ATN_PANEL) * D_MOST];
    float out[ROWS_MOST * (N_MOST + ATN_PANEL)];
    int out_ld;
} product;

static void fill(product *p, int rows, int n, int d)
{
    atn_rng r = atn_rng_stream(3, "test/panels", rows * 100 + n, d);

    p->rows = rows;
    p->n = n;
    p->d = d;
    p->ld = d + rows % 3;
    p->out_ld = (n + ATN_PANEL - 1) / ATN_PANEL * ATN_PANEL + n % 2;
    for (int e = 0; e < rows * p->ld; e++) p->q[e] = (float)atn_rng_normal(&r);
    for (int e = 0; e < n * p->ld; e++) p->x[e] = (float)atn_rng_normal(&r);
}

static void multiply(product *p)
{
    atn_panels_pack(p->x, p->ld, p->n, p->d, p->panels);
    atn_panels_dot(p->q, p->ld, p->rows, p->panels, (p->n + ATN_PANEL - 1) / ATN_PANEL,
                   p->d, p->out, p->out_ld);
}

/* [1 2 3] . [4 5 6] = 32, [1 2 3] . [-1 0 2] = 5; what is beyond is 0. */
static void golden(atn_ctx *cx)
{
    const float q[] = {1, 2, 3}, x[] = {4, 5, 6, -1, 0, 2};
    float panels[3 * ATN_PANEL], out[ATN_PANEL];

    (void)cx;
    atn_panels_pack(x, 3, 2, 3, panels);
    atn_panels_dot(q, 3, 1, panels, 1, 3, out, ATN_PANEL);
    CHECK_NEAR(out[0], 32, 0);
    CHECK_NEAR(out[1], 5, 0);
    CHECK_NEAR(out[2], 0, 0);
    CHECK_NEAR(out[15], 0, 0);
}

static void against_double(atn_ctx *cx)
{
    static product p;

    (void)cx;
    for (int rows = 1; rows <= ROWS_MOST; rows++)
        for (int n = 1; n <= N_MOST; n += 7)
            for (int d = 1; d <= D_MOST; d += 23) {
                fill(&p, rows, n, d);
                multiply(&p);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < n; c++) {
                        double want = 0;

                        for (int t = 0; t < d; t++)
                            want +=
                                (double)p.q[r * p.ld + t] * (double)p.x[c * p.ld + t];
                        CHECK_NEAR(p.out[r * p.out_ld + c], want, 2e-5);
                    }
            }
}

/* All vectors equal, all queries equal: one number, bit by bit. */
static void place_does_not_matter(atn_ctx *cx)
{
    static product p;

    (void)cx;
    for (int d = 1; d <= D_MOST; d++) {
        fill(&p, ROWS_MOST, N_MOST, d);
        for (int r = 1; r < p.rows; r++)
            memcpy(p.q + r * p.ld, p.q, (size_t)d * sizeof *p.q);
        for (int c = 1; c < p.n; c++)
            memcpy(p.x + c * p.ld, p.x, (size_t)d * sizeof *p.x);
        multiply(&p);
        for (int r = 0; r < p.rows; r++)
            for (int c = 0; c < p.n; c++) CHECK(p.out[r * p.out_ld + c] == p.out[0]);
    }
}

static void wide_dot_against_loop(atn_ctx *cx)
{
    double x[67], y[67];
    atn_rng r = atn_rng_stream(5, "test/panels", 0, 0);

    (void)cx;
    for (int n = 0; n <= 67; n++) {
        double want = 0;

        for (int j = 0; j < n; j++) {
            x[j] = atn_rng_normal(&r);
            y[j] = atn_rng_normal(&r);
            want += x[j] * y[j];
        }
        CHECK_NEAR(atn_wide_dot(x, y, n), want, 1e-13);
    }
    CHECK_NEAR(atn_wide_dot((double[]){3, -1}, (double[]){2, 4}, 2), 2, 0);
}

CHECK_MAIN({"golden", golden}, {"against double", against_double},
           {"place does not matter", place_does_not_matter},
           {"wide dot", wide_dot_against_loop})
