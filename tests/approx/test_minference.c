/* tests/approx/test_minference.c -- MInference against the card's fixture, against its
 * rules written out, and as published against the kernel's loop. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/lines_twin.h"

#include "approx/shape_file.h"

#define FIXTURE                                                                        \
    "minference:form=vertical_slash,v=4,s=4,last=8,v_first=1,s_first=1,v_least=0,"     \
    "s_least=0"

static void golden(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, FIXTURE, 0, 20, "0,2,4,13,15,17,20", .530423, 8.801671);
    zoo_golden(cx, &z, FIXTURE, 0, 23, "0,2,7,13,15,18,20,23", .332198, 13.104833);
    zoo_golden(cx, &z, "minference:form=block,k=2,block=4", 0, 19, "4-7,16-19", .367494,
               11.648161);
    zoo_golden(cx, &z, "minference:form=block,k=2,block=4", 0, 23, "0-3,12-15", .395830,
               7.675568);
    zoo_free(&z);
}

static void want_lines(const lines_twin *t, atn_idx v, atn_idx s, atn_idx v_first,
                       atn_idx s_first, bool *want)
{
    bool column[LINES_N], diagonal[LINES_N];
    atn_idx key0 = 0;

    while (!lines_sees(t, 0, key0)) key0++; /* no query sees what is before */
    lines_best(t->column + key0, t->nk - key0, v, ATN_MAX(v_first - key0, 0),
               column + key0);
    lines_best(t->diagonal,
               t->z.head[0].sight.window ? t->z.head[0].sight.window : t->nk, s,
               s_first, diagonal);
    for (atn_idx i = 0; i < t->nq; i++)
        for (atn_idx j = 0; j < t->nk; j++)
            want[i * t->nk + j] =
                lines_sees(t, i, j) && (column[j] || diagonal[t->first + i - j]);
}

static void lines_by_the_rule(atn_ctx *cx)
{
    static const int shapes[][3] = {/* nq, nk, window */
                                    {1, 1, 0},
                                    {5, 5, 0},
                                    {90, 90, 0},
                                    {31, 150, 0},
                                    {150, 150, 40}};
    static const int sizes[][4] = {
        {3, 5, 0, 1}, {20, 7, 4, 2}, {0, 3, 2, 2}, {1000, 2, 3, 3}};

    for (size_t s = 0; s < ATN_LEN(shapes); s++)
        for (size_t k = 0; k < ATN_LEN(sizes); k++) {
            const int *const z = sizes[k];
            lines_twin t;
            char spec[160];
            bool *want;

            lines_make(&t, shapes[s][0], shapes[s][1], shapes[s][2], 5 + s);
            want = malloc((size_t)(t.nq * t.nk));
            lines_sum(&t, 16);
            want_lines(&t, z[0], z[1], z[2], z[3], want);
            snprintf(spec, sizeof spec,
                     "minference:form=vertical_slash,v=%d,s=%d,v_first=%d,s_first=%d,"
                     "last=16,v_least=0,s_least=0",
                     z[0], z[1], z[2], z[3]);
            lines_check(cx, &t, spec, false, want);
            free(want);
            lines_free(&t);
        }
}

/* At least 30 columns and 50 diagonals, the first 30 of both; v = 1 asks for less. */
static void least_sizes(atn_ctx *cx)
{
    lines_twin t;
    bool *want;

    lines_make(&t, 200, 200, 0, 9);
    want = malloc(200 * 200);
    lines_sum(&t, 64);
    want_lines(&t, 30, 50, 30, 30, want);
    lines_check(cx, &t, "minference:form=vertical_slash,v=1,s=1", false, want);
    want_lines(&t, 40, 60, 30, 30, want);
    lines_check(cx, &t, "minference:form=vertical_slash,v=160,s=241,ratio=.25", false,
                want);
    free(want);
    lines_free(&t);
}

/* Blocks of b, the k best products of means for each block row. */
static void want_blocks(const lines_twin *t, atn_idx b, atn_idx k, bool *want)
{
    const atn_head *h = &t->z.head[0];
    const atn_idx d = h->q.cols, base = t->first / b, nb = (t->nk + b - 1) / b;
    static double q[LINES_N * 8], mean[LINES_N * 8];

    lines_means(h->q, t->first, b, q);
    lines_means(h->k, 0, b, mean);
    for (atn_idx i = 0; i < t->nq; i++) {
        const atn_idx a = (t->first + i) / b;
        double z[LINES_N];
        bool kept[LINES_N];
        atn_idx lo = nb, hi = 0;

        for (atn_idx r = 0; r < t->nq; r++) /* what the block row sees */
            for (atn_idx j = 0; j < t->nk; j++)
                if ((t->first + r) / b == a && lines_sees(t, r, j)) {
                    lo = ATN_MIN(lo, j / b);
                    hi = ATN_MAX(hi, j / b + 1);
                }
        for (atn_idx c = lo; c < hi; c++) {
            z[c] = 0;
            for (atn_idx x = 0; x < d; x++)
                z[c] += q[(a - base) * d + x] * mean[c * d + x];
        }
        lines_best(z + lo, hi - lo, k, 0, kept + lo);
        for (atn_idx j = 0; j < t->nk; j++)
            want[i * t->nk + j] = j / b >= lo && j / b < hi && kept[j / b];
    }
}

static void blocks_by_the_rule(atn_ctx *cx)
{
    static const int shapes[][3] = {{1, 1, 0}, {50, 50, 0}, {31, 90, 0}, {90, 90, 20}};

    for (size_t s = 0; s < ATN_LEN(shapes); s++) {
        lines_twin t;
        bool *want;

        lines_make(&t, shapes[s][0], shapes[s][1], shapes[s][2], 7 + s);
        want = malloc((size_t)(t.nq * t.nk));
        want_blocks(&t, 8, 3, want);
        lines_check(cx, &t, "minference:form=block,block=8,k=3", false, want);
        free(want);
        lines_free(&t);
    }
}

/* As published k is cut to floor(n / block): 60 tokens, blocks of 8, 7 of the 8 blocks
 * of the last row; with 8 asked for, ours is dense. */
static void published_blocks(atn_ctx *cx)
{
    lines_twin t;
    bool *want;

    lines_make(&t, 60, 60, 0, 11);
    want = malloc(60 * 60);
    want_blocks(&t, 8, 7, want);
    lines_check(cx, &t, "minference:form=block,block=8,k=8", true, want);
    memset(want, 1, 60 * 60);
    lines_check(cx, &t, "minference:form=block,block=8,k=8", false, want);
    free(want);
    lines_free(&t);
}

/* ---- a_shape and tri ---- */

static void bands(atn_ctx *cx)
{
    lines_twin t;
    bool *want;

    lines_make(&t, 100, 130, 0, 2);
    want = malloc(100 * 130);
    for (atn_idx i = 0; i < 100; i++)
        for (atn_idx j = 0; j < 130; j++)
            want[i * 130 + j] = j < 4 || t.first + i - j < 9;
    lines_check(cx, &t, "minference:form=a_shape,sink=4,window=9", false, want);
    for (atn_idx i = 90; i < 100; i++)
        for (atn_idx j = 0; j < 130; j++) want[i * 130 + j] = true;
    lines_check(cx, &t, "tri_shape:sink=4,window=9,tail=10", false, want);
    memset(want, 0, 100 * 130);
    lines_check(cx, &t, "minference:form=a_shape,sink=4,window=9,ratio=0", false, want);
    free(want);
    lines_free(&t);
}

/* ---- search ---- */

/* With ratio .01: bands (1, 8), lines (0, 8), (1, 7), (5, 7), (35, 1), one block of
 * 32. */
static void want_candidate(const lines_twin *t, int c, atn_idx wider, bool *want)
{
    static const int lines[][2] = {{0, 8}, {1, 7}, {5, 7}, {35, 1}};

    if (c > 0 && c < 5) {
        want_lines(t, lines[c - 1][0], lines[c - 1][1], 1, 1, want);
        return;
    }
    if (c == 5) {
        want_blocks(t, 32, 1, want);
        return;
    }
    for (atn_idx i = 0; i < t->nq; i++)
        for (atn_idx j = 0; j < t->nk; j++)
            want[i * t->nk + j] = j < 1 || t->first + i - j < 8 + wider;
}

/* The candidate that keeps most of the rows i for which looked[i] says so. */
static int want_search(const lines_twin *t, const bool *looked, atn_idx wider,
                       bool *want)
{
    double best = -1;
    int which = 0;

    for (int c = 0; c < 6; c++) {
        double sum = 0;

        want_candidate(t, c, wider, want);
        for (atn_idx i = 0; i < t->nq; i++)
            for (atn_idx j = 0; j < t->nk; j++)
                if (looked[i] && want[i * t->nk + j]) sum += t->p[i * t->nk + j];
        if (sum > best) {
            best = sum;
            which = c;
        }
    }
    want_candidate(t, which, 0, want);
    return which;
}

/* Heads whose weight lies near, on few columns, or anywhere. */
static void shape_head(lines_twin *t, int kind)
{
    const atn_idx d = t->z.head[0].q.cols;

    for (atn_idx j = 0; j < t->nk; j++) {
        if (kind == 1) t->z.head[0].alibi_slope = .5;
        if (kind == 2 && j % 37 == 5) /* all queries like these keys */
            for (atn_idx c = 0; c < d; c++) t->z.k[j * d + c] = 3;
    }
    for (atn_idx e = 0; kind == 2 && e < t->nq * d; e++)
        t->z.q[e] = fabsf(t->z.q[e]) + .5f;
    for (atn_idx i = 0; i < t->nq; i++) {
        double *p = t->p + i * t->nk, sum = 0;

        zoo_dense(&t->z, 0, i, p);
        for (atn_idx j = 0; j < t->nk; j++) {
            p[j] *= exp(t->z.head[0].alibi_slope * (double)(j - t->first - i));
            sum += p[j];
        }
        for (atn_idx j = 0; j < t->nk; j++) p[j] /= sum;
    }
}

static void search_by_the_rule(atn_ctx *cx)
{
    static const char *const spec =
        "minference:ratio=.01,last=16,v_first=1,s_first=1,skip=100";
    bool found[6] = {false};

    for (int kind = 0; kind < 3; kind++)
        for (int s = 0; s < 4; s++) {
            const atn_idx nk = s == 3 ? 120 : 200, nq = s == 2 ? 80 : nk;
            lines_twin t;
            bool *want, looked[LINES_N] = {false};

            lines_make(&t, nq, nk, 0, 31 + (uint64_t)s);
            shape_head(&t, kind);
            lines_sum(&t, 16);
            want = malloc((size_t)(nq * nk));
            for (atn_idx i = 0; i < nq; i++)
                looked[i] = t.first + i >= ATN_MIN(100, nk / 2);
            found[want_search(&t, looked, 0, want)] = true;
            lines_check(cx, &t, spec, false, want);
            free(want);
            lines_free(&t);
        }
    CHECK(found[0] + found[1] + found[2] + found[3] + found[4] + found[5] >= 3);
}

/* 7 of 100 rows: those that end the seven parts of equal length. */
static void search_over_some_rows(atn_ctx *cx)
{
    for (int kind = 0; kind < 3; kind++) {
        lines_twin t;
        bool *want, looked[LINES_N] = {false};

        lines_make(&t, 200, 200, 0, 3);
        shape_head(&t, kind);
        lines_sum(&t, 16);
        want = malloc(200 * 200);
        for (int r = 0; r < 7; r++) looked[199 - r * 100 / 7] = true;
        want_search(&t, looked, 0, want);
        lines_check(cx, &t,
                    "minference:ratio=.01,last=16,v_first=1,s_first=1,skip=100,rows=7",
                    false, want);
        free(want);
        lines_free(&t);
    }
}

/* ---- as published ---- */

/* The loop of vertical_slash_index.cu for the queries up to `end`: marks the keys that
 * are attended. Columns ascending, distances descending. */
static void kernel_row(const int *v, int nv, const int *g, int ng, int end, bool *out)
{
    int a = 0, s = 0, at_v = nv > 0 ? v[a++] : end + 64, at_s = ng > 0 ? g[s++] : -1;
    int from, to;

    memset(out, 0, LINES_N);
    while (at_s >= end && s < ng) at_s = g[s++];
    at_s = at_s >= end ? end + 64 : ATN_MAX(end - at_s, 64);
    from = at_s - 64;
    to = at_s;
    for (;;) {
        bool fresh = false;

        if (at_v < to) {
            if (at_v < from) out[at_v] = true;
            at_v = a < nv ? v[a++] : end + 64;
            continue;
        }
        if (s >= ng) break;
        at_s = ATN_MAX(end - g[s], 64);
        s++;
        fresh = at_s > to + 64;
        if (fresh || at_s > to) {
            for (int j = from; j < ATN_MIN(to, LINES_N); j++) out[j] = true;
            from = fresh ? at_s - 64 : from;
            to = fresh ? at_s : to + 64;
        }
    }
    for (int j = from; j < ATN_MIN(to, LINES_N); j++) out[j] = true;
}

static void want_kernel(const lines_twin *t, int v, int s, int v_first, int s_first,
                        bool *want)
{
    bool column[LINES_N], diagonal[LINES_N], row[LINES_N];
    int vs[LINES_N], gs[LINES_N], nv = 0, ng = 0;

    lines_best(t->column, t->nk, v, v_first, column);
    lines_best(t->diagonal, t->nk, s, s_first, diagonal);
    for (int j = 0; j < t->nk; j++)
        if (column[j]) vs[nv++] = j;
    for (int g = (int)t->nk; g-- > 0;)
        if (diagonal[g]) gs[ng++] = g;
    for (atn_idx i = 0; i < t->nq; i++) {
        kernel_row(vs, nv, gs, ng, (int)((t->first + i) / 64 + 1) * 64, row);
        memcpy(want + i * t->nk, row, (size_t)t->nk);
    }
}

static void published_kernel(atn_ctx *cx)
{
    static const int sizes[][4] = {
        {4, 3, 1, 1}, {20, 12, 5, 4}, {9, 1, 0, 1}, {9, 0, 0, 0}, {9, 2, 0, 0}};

    for (size_t k = 0; k < 2 * ATN_LEN(sizes); k++) {
        const int *const z = sizes[k / 2];
        const atn_idx nq = k % 2 ? 150 : 300;
        lines_twin t;
        char spec[160];
        bool *want;

        lines_make(&t, nq, 300, 0, 40 + k);
        want = malloc((size_t)(nq * 300));
        lines_sum(&t, 64);
        want_kernel(&t, z[0], z[1], z[2], z[3], want);
        snprintf(spec, sizeof spec,
                 "minference:form=vertical_slash,v=%d,s=%d,v_first=%d,s_first=%d,"
                 "v_least=0,s_least=0",
                 z[0], z[1], z[2], z[3]);
        lines_check(cx, &t, spec, true, want);
        free(want);
        lines_free(&t);
    }
}

/* Bands become lines (1, 8), blocks and short texts (10, 60), all at least (2, 3). */
static void published_search(atn_ctx *cx)
{
    static const int lines[][2] = {{2, 8}, {2, 8}, {2, 7}, {5, 7}, {35, 3}, {10, 60}};

    for (int kind = 0; kind < 3; kind++)
        for (int s = 0; s < 3; s++) {
            const atn_idx n = s == 2 ? 100 : 300; /* not beyond what is skipped */
            bool *want, looked[LINES_N] = {false};
            lines_twin t;
            int c;

            lines_make(&t, n, n, 0, 50 + (uint64_t)s);
            shape_head(&t, kind);
            lines_sum(&t, 16);
            want = malloc((size_t)(n * n));
            for (atn_idx i = 100; i < n; i++) looked[i] = true;
            c = s == 2 ? 5 : want_search(&t, looked, 1, want);
            want_kernel(&t, lines[c][0], lines[c][1], 1, 1, want);
            lines_check(cx, &t,
                        "minference:ratio=.01,last=16,v_first=1,s_first=1,skip=100,"
                        "v_least=2,s_least=3",
                        true, want);
            free(want);
            lines_free(&t);
        }
}

/* ---- properties ---- */

/* Dense as soon as columns, diagonals or blocks are all there. */
static void dense_limits(atn_ctx *cx)
{
    static const char *const specs[] = {"minference:form=vertical_slash,v=130",
                                        "minference:form=vertical_slash,s=130",
                                        "minference:form=block,k=3",
                                        "minference:form=a_shape,window=130",
                                        "minference:form=tri,tail=130",
                                        "minference"};
    bool *want = malloc(130 * 130);
    lines_twin t;

    memset(want, 1, 130 * 130);
    lines_make(&t, 130, 130, 0, 6);
    for (size_t s = 0; s < ATN_LEN(specs); s++)
        lines_check(cx, &t, specs[s], false, want);
    free(want);
    lines_free(&t);
}

/* All weight on column 77: one column beside those that are forced holds all of it. */
static void one_column(atn_ctx *cx)
{
    atn_plan plan;
    double w[200];
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 8);
    for (int e = 0; e < 200 * 8; e++) z.q[e] = 1;
    for (int c = 0; c < 8; c++) z.k[77 * 8 + c] = 100;
    zoo_plan(cx, &z, "minference:form=vertical_slash,v=31", 0, &plan);
    for (atn_idx i = 77; i < 200; i += 40) {
        CHECK_OK(atn_plan_rows(cx, &z.head[0], &plan, i, 1, w));
        CHECK_NEAR(w[77], 1, 1e-9);
    }
    atn_plan_release(cx, &plan);
    zoo_free(&z);
}

/* 64 rows and all keys: 2 d flop a visible pair and 2 to add it; tiles of the
 * kernels. */
static void costs(atn_ctx *cx)
{
    const double pairs = 64 * 200 - 64 * 63 / 2;
    atn_plan plan;
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 8);
    zoo_plan(cx, &z, "minference:form=vertical_slash,v=31", 0, &plan);
    CHECK_NEAR(plan.index_flops, (2 * 8 + 2) * pairs, 0);
    CHECK_NEAR(plan.index_bytes, 2 * (8 * 264 + pairs), 0);
    CHECK_EQ(plan.tile_rows, 64);
    CHECK_EQ(plan.tile_keys, 1);
    atn_plan_release(cx, &plan);
    zoo_plan(cx, &z, "minference:form=block,k=1", 0, &plan);
    CHECK_NEAR(plan.index_flops, 8 * 400 + 2 * 8 * 10, 0);
    CHECK_EQ(plan.tile_keys, 64);
    atn_plan_release(cx, &plan);
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    static const char *const params[] = {
        "ratio=.01,skip=10,v_first=1,s_first=1", "form=tri,sink=2,window=3,tail=4",
        "form=vertical_slash,v=3,s=3,v_least=0,s_least=0", "form=block,block=8,k=2"};
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 70, 70, 2);
    for (size_t s = 0; s < 2 * ATN_LEN(params); s++) {
        z.in.as_published = s % 2;
        zoo_failing(&z, "minference", params[s / 2]);
    }
    zoo_free(&z);
}

static const char *shapes(const char *text)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/shapes.json", check_scratch("minference"));
    f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

static void rule_is(atn_ctx *cx, int layer, int head, int type, atn_idx v, atn_idx s)
{
    char path[600];
    atn_shape_rule r;

    snprintf(path, sizeof path, "%s",
             shapes("[{\"0\": [\"vertical_and_slash\", 7, 5, 0.5], \"2\": "
                    "[\"stream_llm\", 3, 4]}, {\"0\": [\"block_sparse\", 8, 1, 1]}]"));
    CHECK_OK(atn_shape_file_read(cx, path, layer, head, 2, &r));
    CHECK((int)r.type == type && r.v == v && r.s == s);
}

static void shapes_of_a_file(atn_ctx *cx)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{}", "is no list of layers"},
        {"[{}]", "has shapes for 1 layers, and the model has 2"},
        {"[{}, [1]]", "entry 1, a layer, is no object"},
        {"[{}, {\"0\": [\"vertical_and_slash\", 1]}]",
         "layer 1, head 0 is no [type, columns, diagonals, share]"},
        {"[{}, {\"0\": [\"tri\", 1, 2, 3]}]", "type \"tri\" is not"},
        {"[{}, {\"0\": [3, 1, 2, 3]}]", "type \"\" is not"},
        {"[{}, {\"0\": [\"stream_llm\", 1.5, 2, 3]}]", "whole numbers from 0"},
        {"[{}, {\"0\": [\"stream_llm\", -1, 2, 3]}]", "whole numbers from 0"},
        {"[{}, {\"0\": [\"stream_llm\", 1, 1073741825, 3]}]", "whole numbers from 0"}};
    atn_shape_rule r;

    rule_is(cx, 0, 0, ATN_SHAPE_LINES, 7, 5);
    rule_is(cx, 0, 2, ATN_SHAPE_BAND, 3, 4);
    rule_is(cx, 1, 0, ATN_SHAPE_BLOCKS, 8, 1);
    rule_is(cx, 1, 1, ATN_SHAPE_LINES, 1000, 6096); /* not there */
    for (size_t i = 0; i < ATN_LEN(cases); i++)
        CHECK_FAILS(atn_shape_file_read(cx, shapes(cases[i].text), 1, 0, 2, &r),
                    ATN_DATA, cases[i].message);
}

/* Of Llama 3.1 8B: 32 layers of 32 heads, of lines alone. */
static void published_shapes(atn_ctx *cx)
{
    const char *path = check_shared("patterns/minference-llama-3.1-8b.json");
    atn_shape_rule r;

    for (int h = 0; h < 32; h++) {
        CHECK_OK(atn_shape_file_read(cx, path, 31, h, 32, &r));
        CHECK(r.type == ATN_SHAPE_LINES && r.v > 0 && r.s > 0);
    }
    CHECK_OK(atn_shape_file_read(cx, path, 0, 0, 32, &r));
    CHECK(r.v == 1000 && r.s == 6096);
}

CHECK_MAIN({"golden", golden}, {"lines by the rule", lines_by_the_rule},
           {"least sizes", least_sizes}, {"blocks by the rule", blocks_by_the_rule},
           {"published blocks", published_blocks}, {"bands", bands},
           {"search by the rule", search_by_the_rule},
           {"search over some rows", search_over_some_rows},
           {"published kernel", published_kernel},
           {"published search", published_search}, {"dense limits", dense_limits},
           {"one column", one_column}, {"costs", costs},
           {"shapes of a file", shapes_of_a_file},
           {"published shapes", published_shapes}, {"memory runs out", memory_runs_out})
