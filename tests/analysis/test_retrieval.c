/* tests/analysis/test_retrieval.c -- heads that look where the next token can be copied from. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "dense_heads.h"

#include "analysis/measure.h"

typedef struct retrieval_params {
    int64_t needle_first, needle_last, from;
} retrieval_params;

static void measure(atn_ctx *cx, const atn_head *h, const int32_t *tokens, atn_idx skip,
                    retrieval_params p, double out[4])
{
    const atn_measure *m = atn_measure_find("retrieval");
    const atn_row_stats_opts opts = {.needs = m->needs, .skip_rows = skip};
    atn_row_stats *s = NULL;
    atn_head_stats h_stats;

    for (int c = 0; c < 4; c++) out[c] = NAN;
    CHECK_OK(atn_row_stats_run(cx, h, 1, tokens, &opts, &s));
    h_stats = atn_row_stats_head(s, 0);
    m->compute(&h_stats, &p, out);
    atn_row_stats_destroy(cx, s);
}

/* The needle 5 6 7 stands at 2..4 and is said again at 8..10: rows 7, 8, 9 produce it. A head
 * that looks at 2, 3, 4 from there hits three times of three; one that looks a key too far,
 * never. Row 9's tie of keys 4 and 5 goes to 4. */
static void copy_head(atn_ctx *cx)
{
    enum { N = 12 };
    const int32_t tokens[N] = {1, 2, 5, 6, 7, 3, 4, 9, 5, 6, 7, 8};
    float p[N * N] = {0};
    const atn_head h = {
        .p = {p, N, N, N}, .nq = N, .nk = N, .sight = {.causal = true, .key_last = N}};
    double out[4];

    for (int i = 0; i < N; i++) p[i * N] = 1;
    for (int i = 7; i < 10; i++) {
        p[i * N] = .2f;
        p[i * N + i - 5] = .4f;
    }
    p[9 * N + 5] = .4f;
    p[9 * N] = 0;
    measure(cx, &h, tokens, 0, (retrieval_params){2, 4, -1}, out);
    CHECK_NEAR(out[0], 1, 0);
    CHECK_NEAR(out[1], 3, 0);
    CHECK_NEAR(out[2], 3 / 6., 1e-12); /* rows 5..10 */
    CHECK_NEAR(out[3], 6, 0);
    measure(cx, &h, tokens, 0, (retrieval_params){2, 4, 8}, out);
    CHECK_NEAR(out[0], 2 / 3., 1e-12);
    CHECK_NEAR(out[2], 2 / 3., 1e-12);
    measure(cx, &h, tokens, 0, (retrieval_params){2, 3, -1}, out); /* a shorter one */
    CHECK_NEAR(out[1], 2, 0);
    CHECK_NEAR(out[0], 1, 0);
    measure(cx, &h, tokens, 9, (retrieval_params){2, 4, -1}, out);
    CHECK_NEAR(out[1], 1, 0);
    /* without a needle: copies of all rows, no score */
    measure(cx, &h, tokens, 0, (retrieval_params){-1, -1, -1}, out);
    CHECK(isnan(out[0]) && isnan(out[1]));
    CHECK_NEAR(out[2], 3 / 11., 1e-12);
    measure(cx, &h, NULL, 0, (retrieval_params){2, 4, -1}, out);
    for (int c = 0; c < 4; c++) CHECK(isnan(out[c]));
}

/* A needle that is none, or not in a text of ten tokens, and an answer that no row gives. */
static void refused(atn_ctx *cx)
{
    static const struct {
        retrieval_params p;
        bool early; /* without the text */
        const char *why;
    } bad[] = {{{4, 2, -1}, true, "needle_first=4 is behind needle_last=2"},
               {{2, -1, -1}, true, "go together"},
               {{-1, 3, -1}, true, "go together"},
               {{2, 10, -1}, false, "needle_last=10, but the text has 10 tokens"},
               {{2, 10, 5}, false, "needle_last=10"},
               {{7, 9, -1}, false, "begins behind token 10"},
               {{7, 8, -1}, false, "begins behind token 9"},
               {{2, 4, 9}, false, "begins behind token 9"},
               {{-1, -1, 9}, false, "begins behind token 9"}};
    static const retrieval_params good[] = {{2, 4, -1},   {3, 3, 8},   {7, 7, -1},
                                            {-1, -1, -1}, {-1, -1, 8}, {9, 9, 0}};
    const atn_measure *m = atn_measure_find("retrieval");
    const int32_t tokens[10] = {0};
    const atn_head_stats s = {.nk = 10, .tokens = tokens}, other = {.nk = 3};

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        CHECK_FAILS(m->check(cx, &bad[i].p, &s), ATN_USAGE, bad[i].why);
        if (bad[i].early)
            CHECK_FAILS(m->check(cx, &bad[i].p, NULL), ATN_USAGE, bad[i].why);
        else
            CHECK_OK(m->check(cx, &bad[i].p, NULL));
    }
    for (size_t i = 0; i < ATN_LEN(good); i++) {
        CHECK_OK(m->check(cx, &good[i], NULL));
        CHECK_OK(m->check(cx, &good[i], &s));
        CHECK_OK(m->check(cx, &good[i], &other)); /* keys of another text */
    }
}

/* By definition, on heads of every kind with tokens that repeat often. */
static void against_the_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++)
        for (int trial = 0; trial < 3; trial++) {
            dense_head x = make_dense((dense_kind)kind, 40, trial);
            const atn_head *h = &x.h;
            const bool inside =
                h->sight.offset >= 0 && h->nq + h->sight.offset <= h->nk;
            const retrieval_params p = {6, 17, trial == 1 ? 3 : -1};
            atn_rng r = atn_rng_stream(10, "test/retrieval", kind, trial);
            double hits = 0, copies = 0, rows = 0, out[4];
            int32_t tokens[64];

            for (int j = 0; j < 64; j++) tokens[j] = (int32_t)atn_rng_below(&r, 3);
            for (atn_idx i = 2 * trial; i < h->nq; i++) {
                const atn_idx t = i + h->sight.offset;
                atn_idx best = -1;

                for (atn_idx j = 0; j < h->nk; j++)
                    if (x.sees[i * h->nk + j] &&
                        (best < 0 || x.p[i * h->nk + j] > x.p[i * h->nk + best]))
                        best = j;
                if (best < 0 || t + 1 >= h->nk || t < (trial == 1 ? 3 : 18)) continue;
                rows++;
                copies += tokens[best] == tokens[t + 1];
                hits += tokens[best] == tokens[t + 1] && best >= 6 && best <= 17;
            }
            measure(cx, h, tokens, 2 * trial, p, out);
            if (inside && kind != DENSE_ONE && rows > 0) {
                CHECK_NEAR(out[0], hits / 12, 1e-12);
                CHECK_NEAR(out[1], hits, 0);
                CHECK_NEAR(out[2], copies / rows, 1e-12);
                CHECK_NEAR(out[3], rows, 0);
                CHECK_LE(out[1], copies);
            } else {
                CHECK(isnan(out[0]) && isnan(out[2]));
            }
            drop_dense(&x);
        }
}

CHECK_MAIN({"copy head", copy_head}, {"refused", refused},
           {"against the twin", against_the_twin})
