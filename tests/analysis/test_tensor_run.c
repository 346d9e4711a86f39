/* tests/analysis/test_tensor_run.c -- what the table says of given tensors. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/tensor_run.h"
#include "core/rng.h"
#include "theory/polynomial.h"

enum { N = 14, D = 3, DV = 2 };
static double x[5][N * D];

static atn_tensor make(uint64_t seed)
{
    atn_tensor t = {.keys = 2, .nq = N, .nk = N, .d = D, .dv = DV, .scale = .4};
    atn_rng r = atn_rng_stream(seed, "test", 0, 0);

    for (int k = 0; k < 5; k++)
        for (int i = 0; i < N * D; i++) x[k][i] = 2 * atn_rng_uniform(&r) - 1;
    t.q.wide = x[0];
    for (int k = 0; k < 2; k++) {
        t.k[k].wide = x[1 + k];
        t.v[k].wide = x[3 + k];
    }
    return t;
}

static double cell(const atn_table *t, const char *name)
{
    const int col = atn_table_find_col(t, name);

    if (col < 0) fail_msg("no column %s", name);
    return atn_table_get_f64(t, atn_table_rows(t) - 1, col);
}

/* Errors are those of the two outputs, and below their bound; with little to spend the
 * exact way is left out, and the largest logit becomes a bound. */
static void errors(atn_ctx *cx)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        const atn_tensor t = make(seed);
        double exact[N * DV], o[N * DV], most = 0, x_max, bound;
        atn_tensor_opts opts;
        atn_table *table = NULL;

        atn_tensor_defaults(&opts);
        CHECK_OK(atn_tensor_table(cx, &table));
        CHECK_OK(atn_tensor_run(cx, &t, &opts, &(atn_tensor_out){.o = exact}, table));
        CHECK(isnan(cell(table, "degree")) && isnan(cell(table, "features")));
        opts.degree = 4;
        CHECK_OK(atn_tensor_run(cx, &t, &opts, &(atn_tensor_out){.o = o}, table));
        for (int i = 0; i < N * DV; i++) most = fmax(most, fabs(o[i] - exact[i]));
        CHECK_NEAR(cell(table, "output_error_max"), most, 1e-15);
        x_max = cell(table, "x_max");
        CHECK_LE(most, cell(table, "error_bound_max"));
        CHECK_NEAR(cell(table, "features"), 35, 0); /* C(7, 4) */
        /* 2 n^3 5 against 6 n 70 + 140 + 140 n = 560 n + 140: 5120 and 4620 at 8, 3430
         * and 4060 at 7 */
        CHECK_NEAR(cell(table, "break_even_tokens"), 8, 0);
        CHECK_NEAR(cell(table, "exact_flops"), 2.0 * N * N * N * (D + DV), 1e-6);
        CHECK_NEAR(cell(table, "features_flops"),
                   6.0 * N * 35 * DV + 2 * 35 * DV + 4 * N * 35, 1e-6);
        opts.exact_most = 10;
        CHECK_OK(atn_tensor_run(cx, &t, &opts, &(atn_tensor_out){.o = exact}, table));
        CHECK(memcmp(o, exact, sizeof o) == 0);
        CHECK(isnan(cell(table, "output_error_max")));
        bound = cell(table, "x_max");
        CHECK_LE(x_max, bound);
        CHECK_STR(atn_table_get_str(table, 2, atn_table_find_col(table, "x_max_kind")),
                  "bound");
        atn_table_destroy(cx, table);
    }
}

static double loop_flops(const atn_tensor *t)
{
    double tuples = 0;

    for (atn_idx i = 0; i < t->nq; i++) {
        double of_query = 1;

        for (int k = 0; k < t->keys; k++)
            of_query *=
                (double)(t->causal ? ATN_MAX(0, ATN_MIN(t->offset + i + 1, t->nk))
                                   : t->nk);
        tuples += of_query;
    }
    return 2 * tuples * (double)(t->d + t->dv);
}

/* Causal work is counted as such, whatever the offset; break-even is where the two
 * counts cross, and the largest have no end to search for. */
static void break_even(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(5, "test", 0, 0);
    atn_tensor t = {.keys = 2, .nq = 16, .nk = 16, .d = 4, .dv = 4, .causal = true};

    (void)cx;
    for (int n = 0; n < 400; n++) {
        atn_tensor any = {.keys = 1 + n % 5,
                          .nq = 1 + (atn_idx)(atn_rng_uniform(&r) * 9),
                          .nk = 1 + (atn_idx)(atn_rng_uniform(&r) * 9),
                          .d = 2,
                          .dv = 3,
                          .causal = n % 2,
                          .offset = (atn_idx)(atn_rng_uniform(&r) * 40) - 20};

        if (!any.causal) any.offset = 0;
        CHECK_NEAR(atn_tensor_exact_flops(&any), loop_flops(&any), 1e-6);
    }
    CHECK_NEAR(atn_tensor_exact_flops(&t), 23936, 0);
    CHECK_NEAR(atn_tensor_break_even(&t, 70), 19, 0); /* see the regime's oracle */
    for (int keys = 1; keys <= 5; keys++)
        for (int causal = 0; causal < 2; causal++) {
            double even;

            t.keys = keys, t.causal = causal, t.nq = t.nk = 16;
            even = atn_tensor_break_even(&t, 5e4);
            t.nq = t.nk = (atn_idx)even;
            CHECK(atn_tensor_features_flops(&t, 5e4) < loop_flops(&t));
            t.nq = t.nk = (atn_idx)even - 1;
            CHECK(atn_tensor_features_flops(&t, 5e4) >= loop_flops(&t));
            even = atn_tensor_break_even(&t, 1e90);
            CHECK_NEAR(pow(even, keys),
                       (causal ? keys + 1 : 1) * 1e90 * ((keys + 1) * 4 + 2) / 8,
                       1e90 * 1e-9);
        }
    CHECK(isinf(atn_tensor_break_even(&t, INFINITY)));
}

static void limits(atn_ctx *cx)
{
    atn_tensor_beside beside = {0};
    atn_tensor t = make(1);
    atn_tensor_opts opts;

    atn_tensor_defaults(&opts);
    CHECK_OK(atn_tensor_check(cx, &t, &opts, &beside));
    opts.degree = 30;
    opts.features_most = 5455; /* C(33, 30) = 5456 */
    CHECK_FAILS(atn_tensor_check(cx, &t, &opts, &beside), ATN_USAGE, "= 5456 features");
    opts.features_most = 5456;
    CHECK_OK(atn_tensor_check(cx, &t, &opts, &beside));
    t.d = 70000;
    opts.degree = 1;
    opts.features_most = 1e9;
    CHECK_FAILS(atn_tensor_check(cx, &t, &opts, &beside), ATN_USAGE,
                "70000 is above 65535");
    t.d = D;
    cx->mem_limit = 1 << 12;
    CHECK_FAILS(atn_tensor_check(cx, &t, &opts, &beside), ATN_MEMORY,
                "tensor attention");
    cx->mem_limit = 1 << 28;
    CHECK_OK(atn_tensor_check(cx, &t, &opts, &beside));
    beside.bytes = 1 << 28;
    CHECK_FAILS(atn_tensor_check(cx, &t, &opts, &beside), ATN_MEMORY,
                "tensor attention");
    cx->mem_limit = 0;
}

/* What is said to be enough memory is. */
static void memory(atn_ctx *cx)
{
    for (int way = 0; way < 4; way++) {
        atn_tensor t = make(2);
        atn_tensor_opts opts;
        atn_table *table = NULL;
        double o[N * DV], need;

        t.causal = way & 1;
        atn_tensor_defaults(&opts);
        opts.degree = way & 2 ? 4 : -1;
        need = opts.degree < 0 ? atn_tensor_exact_bytes(cx, &t)
                               : fmax(atn_tensor_exact_bytes(cx, &t),
                                      atn_tensor_features_bytes(cx, &t)) +
                                     8 * N * DV;
        CHECK_OK(atn_tensor_table(cx, &table));
        CHECK_OK(atn_tensor_run(cx, &t, &opts, &(atn_tensor_out){.o = o}, table));
        cx->mem_limit = *cx->in_use + (size_t)need + (1 << 19);
        CHECK_OK(atn_tensor_run(cx, &t, &opts, &(atn_tensor_out){.o = o}, table));
        cx->mem_limit = 0;
        atn_table_destroy(cx, table);
    }
}

/* More queries than keys: features are of both. */
static void costs(atn_ctx *cx)
{
    (void)cx;
    for (int keys = 1; keys < 4; keys++) {
        const atn_tensor t = {.keys = keys, .nq = 90, .nk = 30, .d = 3, .dv = 5};
        const double reads = 2 * 90.0 * 5, writes = 2 * keys * 30.0 * 5;

        CHECK_NEAR(atn_tensor_features_flops(&t, 7),
                   7 * (reads + writes + keys * 5.0 + 4 * 90), 1e-6);
        /* three queries a key: 2 n^k 8 against R (2 (1 + k / 3) 5 + 4) for each */
        CHECK_NEAR(pow(atn_tensor_break_even(&t, 1e90), keys),
                   1e90 * ((1 + keys / 3.0) * 5 + 2) / 8, 1e81);
        for (int off = 0; off < 2; off++) {
            atn_tensor at = t;

            at.nk = (atn_idx)atn_tensor_break_even(&t, 5e4) - off;
            at.nq = 3 * at.nk;
            CHECK((atn_tensor_features_flops(&at, 5e4) < loop_flops(&at)) == !off);
        }
    }
}

CHECK_MAIN({"errors", errors}, {"break-even", break_even}, {"limits", limits},
           {"memory", memory}, {"costs", costs})
