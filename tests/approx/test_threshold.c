/* tests/approx/test_threshold.c -- keys above a weight, against dense rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/oracle_twin.h"

/* Weights of row 7 of the first fixture: .173175 .173175 .008622 .063708 .063708
 * .470739 .023437 .023437, so above .06 are 0, 1, 3, 4, 5. */
static void golden(atn_ctx *cx)
{
    zoo z;

    zoo_first(&z);
    zoo_golden(cx, &z, "threshold:t=.06", 0, 7, "0,1,3-5", .944505, 3.147495);
    zoo_golden(cx, &z, "threshold:t=.4", 0, 7, "5", .470739, 5);
    zoo_golden(cx, &z, "threshold:t=.5", 0, 7, "", 0, 0);
    zoo_golden(cx, &z, "threshold:t=0", 0, 7, "0-7", 1, 3.294745);
    zoo_free(&z);
}

static void against_rows(atn_ctx *cx)
{
    static const double ts[] = {0, .0005, .04, .3, 1};
    static const int blocks[] = {1, 4};

    for (int kind = 0; kind < TWIN_KINDS; kind++)
        for (size_t s = 0; s < ATN_LEN(ts) * ATN_LEN(blocks); s++) {
            const double threshold = ts[s / ATN_LEN(blocks)];
            const atn_idx b = blocks[s % ATN_LEN(blocks)];
            twin t;
            const atn_idx nq = twin_make(&t, kind, 21), nk = t.z.head[0].nk;
            const atn_idx first = t.z.head[0].sight.offset;
            bool *keep = malloc((size_t)(nq * nk));
            char spec[64];

            snprintf(spec, sizeof spec, "threshold:t=%g,block=%d", threshold, (int)b);
            twin_kept(cx, &t, spec, keep);
            for (atn_idx i = 0; i < nq; i++) {
                const atn_idx from = (i + first) / b * b - first;
                double x[TWIN_N];

                twin_blocks(&t, ATN_MAX(from, 0), ATN_MIN(from + b, nq), b, "sum", x);
                for (atn_idx j = 0; j < nk; j++) {
                    if (fabs(x[j / b] - threshold) < 1e-12) continue;
                    CHECK_EQ(keep[i * nk + j],
                             t.s[i * nk + j] > -INFINITY && x[j / b] > threshold);
                }
            }
            free(keep);
            twin_free(&t);
        }
}

static void it_falls(atn_ctx *cx)
{
    atn_choice c;
    bool falls;

    CHECK_OK(atn_choice_read(cx, "threshold", NULL, &c));
    CHECK_STR(atn_choice_budget(&c, &falls)->name, "t");
    CHECK(falls);
}

CHECK_MAIN({"golden", golden}, {"against rows", against_rows}, {"it falls", it_falls})
