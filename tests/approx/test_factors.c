/* tests/approx/test_factors.c -- applying stored weights by prefix sums, against their
 * rows, in double. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/decomposed.h"

enum { N = 200, DV = 5, KINDS = 6 };

/* Causal, both ways, a sliding window of 20 and of 130, the last rows, left padding. */
static void make(zoo *z, int kind)
{
    const atn_idx nq = kind == 4 ? 37 : N;

    zoo_random(z, 1, 1, nq, N, 6);
    zoo_causal(z, kind != 1);
    if (kind == 2) z->head[0].sight.window = 20;
    if (kind == 3) z->head[0].sight.window = 130;
    if (kind == 5) {
        z->head[0].sight.key_first = 70;
        z->head[0].sight.pad_queries = true;
    }
}

static const char *const specs[] = {
    "svd:rank=7,how=random", "svd:rank=3,how=random,mask=0", "hodlr:rank=2,leaf=9",
    "cur:rank=6", "sparse_lowrank:numbers=12"};

static void apply_is_rows_times_values(atn_ctx *cx)
{
    static double w[N * N], o[N * DV], again[N * DV];

    for (int kind = 0; kind < KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(specs); s++) {
            atn_plan plan[ZOO_HEADS_MOST];
            const atn_head *h;
            zoo z;

            make(&z, kind);
            h = &z.head[0];
            zoo_plan(cx, &z, specs[s], 0, plan);
            CHECK(plan[0].op.kind != NULL);
            CHECK_OK(atn_plan_rows(cx, h, &plan[0], 0, h->nq, w));
            cx->threads = 4;
            CHECK_OK(
                plan[0].op.kind->apply(cx, h, plan[0].op.state, again, "applying"));
            cx->threads = 1;
            CHECK_OK(plan[0].op.kind->apply(cx, h, plan[0].op.state, o, "applying"));
            CHECK(memcmp(o, again, sizeof *o * (size_t)(h->nq * DV)) == 0);
            for (atn_idx i = 0; i < h->nq; i++) {
                double row[N];
                atn_idx lo, hi;

                atn_sight_row(&h->sight, i, &lo, &hi);
                CHECK_OK(atn_plan_rows(cx, h, &plan[0], i, 1, row));
                CHECK(memcmp(row, w + i * N, sizeof row) == 0);
                for (int c = 0; c < DV; c++) {
                    double want = 0, size = 0;

                    for (atn_idx j = 0; j < N; j++) {
                        const double v = (double)atn_crow(h->v, j)[c];

                        want += w[i * N + j] * v;
                        size += fabs(w[i * N + j] * v);
                        if (s != 1 || lo >= hi)
                            CHECK(w[i * N + j] == 0 || (j >= lo && j < hi));
                    }
                    CHECK_NEAR(o[i * DV + c], want, 1e-11 * size + 1e-13);
                }
            }
            zoo_release(cx, plan, 1);
            zoo_free(&z);
        }
}

static void memory_runs_out(atn_ctx *cx)
{
    static float out[N * DV];
    atn_plan plan[ZOO_HEADS_MOST];
    atn_status st = ATN_MEMORY;
    zoo z;

    make(&z, 0);
    zoo_plan(cx, &z, "hodlr:rank=2,leaf=9", 0, plan);
    for (long left = 0; st != ATN_OK; left++) {
        check_failing f = {left};
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.threads = 1;
        poor.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_plan_apply(&poor, &z.head[0], &plan[0], (atn_mat){out, N, DV, DV},
                            NULL, "applying");
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        CHECK_LE(left, 1000);
        atn_ctx_release(&poor);
    }
    zoo_release(cx, plan, 1);
    zoo_free(&z);
}

CHECK_MAIN({"apply is rows times values", apply_is_rows_times_values},
           {"memory runs out", memory_runs_out})
