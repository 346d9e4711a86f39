/* Similarity between layers and heads: golden numbers of the EchoAtt card, properties,
 * refusal and failure; the dense twin is in test_similarity_twin.c. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "similarity_model.h"

/* ---- the card's numbers ---- */

static const float P3[] = {1, 0, 0, .5f, .5f, 0, .2f, .3f, .5f};
static const float U3[] = {1, 0, 0, .5f, .5f, 0, 1 / 3.f, 1 / 3.f, 1 / 3.f};
static const float V3[] = {1, 0, 0, 1, 2, 2};

static atn_problem given(int layer, const float *p, atn_idx n, const float *v)
{
    return (atn_problem){.layer = layer,
                         .heads = 1,
                         .kv_heads = 1,
                         .nq = n,
                         .nk = n,
                         .dv = 2,
                         .p = p,
                         .v = v,
                         .sight = {.causal = true, .key_last = n}};
}

/* <P,U> = 1 + .5 + 1/3, |P|^2 = 1 + .5 + .38, |U|^2 = 1 + .5 + 1/3; only the last row
 * differs: cos .333333 / sqrt(.38 / 3). Own outputs (1,0), (.5,.5), (1,1): |.|^2 = 3.5; the
 * leader's last row gives (1.2, 1.3): error sqrt(.13 / 3.5). */
static void golden_card(atn_ctx *cx)
{
    const atn_problem layers[] = {given(0, P3, 3, V3), given(1, U3, 3, V3)};
    const atn_similarity_opts o = {.copy_err = true};
    atn_similarity_part s;

    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK(s.aligned && s.copy_bare && !s.copy_why);
    CHECK_NEAR(s.cos_elem[1], 0.987511, 1e-6);
    CHECK_NEAR(s.cos_row[1], 0.978862, 1e-6);
    CHECK_NEAR(s.cos_avg[1], 0.987511, 1e-6);
    CHECK_NEAR(s.match[1], 0.987511, 1e-6);
    CHECK_NEAR(s.pearson[1], 0.936586, 1e-6);
    CHECK_NEAR(s.copy_err[1], 0.192725, 1e-6); /* leader 0 -> follower 1 */
    CHECK_NEAR(s.copy_err[0], 0, 0);
    CHECK_NEAR(s.head_elem[2], 0.987511, 1e-6);
    atn_similarity_part_release(cx, &s);
}

/* Without causality the structural zeros count: Pearson 0.973124. */
static void golden_pearson_with_zeros(atn_ctx *cx)
{
    atn_problem layers[] = {given(0, P3, 3, V3), given(1, U3, 3, V3)};
    const atn_similarity_opts o = {.copy_err = false};
    atn_similarity_part s;

    layers[0].sight.causal = layers[1].sight.causal = false;
    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.pearson[1], 0.973124, 1e-6);
    CHECK(!s.copy_err && !s.copy_why);
    atn_similarity_part_release(cx, &s);
}

/* Key 0 dropped: rows (-), (1), (.375 .625) against (-), (1), (.5 .5). */
static void golden_exclude_first(atn_ctx *cx)
{
    const atn_problem layers[] = {given(0, P3, 3, V3), given(1, U3, 3, V3)};
    const double pp = 1 + .375 * .375 + .625 * .625, uu = 1.5, pu = 1.5;
    const atn_similarity_opts o = {.exclude_first = 1, .copy_err = true};
    atn_similarity_part s;

    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.cos_elem[1], pu / sqrt(pp * uu), 1e-6);
    CHECK_NEAR(s.cos_row[1], (1 + .5 / sqrt((pp - 1) * .5)) / 2, 1e-6);
    CHECK_EQ(s.empty_rows, 2);
    /* own (0,1), (1,1.5); leader's last row (1.25, 1.625) */
    CHECK_NEAR(s.copy_err[1], sqrt((.25 * .25 + .125 * .125) / (1 + 1 + 2.25)), 1e-6);
    atn_similarity_part_release(cx, &s);
}

/* A row without weight, given as it is: outputs (1,1), (0,0) against (1,1), (2,2), so the
 * difference is sqrt 8 over sqrt 10 of the second and over sqrt 2 of the first. */
static void golden_empty_row(atn_ctx *cx)
{
    const float p0[] = {1, 0, 0, 0}, p1[] = {1, 0, .5f, .5f}, v[] = {1, 1, 3, 3};
    const atn_problem layers[] = {given(0, p0, 2, v), given(1, p1, 2, v)};
    const atn_similarity_opts o = {.copy_err = true};
    atn_similarity_part s;

    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.copy_err[1], sqrt(8. / 10), 1e-6);
    CHECK_NEAR(s.copy_err[2], 2, 1e-6);
    CHECK_EQ(s.empty_rows, 1);
    atn_similarity_part_release(cx, &s);
}

static void golden_skip_rows(atn_ctx *cx)
{
    const atn_problem layers[] = {given(0, P3, 3, V3), given(1, U3, 3, V3)};
    const atn_similarity_opts o = {.skip_rows = 2, .copy_err = true};
    atn_similarity_part s;

    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.cos_elem[1], (1 / 3.) / sqrt(.38 / 3), 1e-6);
    CHECK_NEAR(s.cos_row[1], s.cos_elem[1], 1e-6);
    CHECK_NEAR(s.copy_err[1], sqrt((.04 + .09) / 2), 1e-6);
    atn_similarity_part_release(cx, &s);
}

/* One-hot rows with disjoint targets have nothing in common. */
static void golden_disjoint(atn_ctx *cx)
{
    const float a[] = {0, 1, 0, 1, 0, 0, 0, 0, 1}, b[] = {1, 0, 0, 0, 0, 1, 0, 1, 0};
    atn_problem layers[] = {given(0, a, 3, V3), given(1, b, 3, V3)};
    const atn_similarity_opts o = {.copy_err = true};
    atn_similarity_part s;

    layers[0].sight.causal = layers[1].sight.causal = false;
    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.cos_elem[1], 0, 0);
    CHECK_NEAR(s.cos_row[1], 0, 0);
    CHECK_NEAR(s.match[1], 0, 0);
    CHECK_NEAR(s.cos_elem[3], 1, 1e-12);
    CHECK_NEAR(s.pearson[1], -.5, 1e-6);
    atn_similarity_part_release(cx, &s);
}

/* Rows of the card: JS 0, 0, .017251; TV 0, 0, (.1333 + .0333 + .1667) / 2. */
static void golden_distances(atn_ctx *cx)
{
    const float u4[] = {.25f, .25f, .25f, .25f}, hot[] = {0, 0, 1, 0},
                other[] = {1, 0, 0, 0};
    const atn_similarity_opts o = {.distances = true};
    const atn_problem layers[] = {given(0, P3, 3, V3), given(1, U3, 3, V3)};
    atn_problem rows[3] = {{0}};
    atn_similarity_part s;

    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.js[1], .005750, 1e-6);
    CHECK_NEAR(s.tv[1], .0555556, 1e-6);
    CHECK_NEAR(s.js[0], 0, 0);
    atn_similarity_part_release(cx, &s);
    for (int l = 0; l < 3; l++) {
        rows[l] = given(l, l == 0 ? u4 : l == 1 ? hot : other, 4, NULL);
        rows[l].nq = 1;
        rows[l].sight.causal = false;
    }
    CHECK_OK(atn_similarity_compare(cx, rows, 3, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.head_js[1], .380396, 1e-6);
    CHECK_NEAR(s.head_js[5], log(2.), 1e-6);
    CHECK_NEAR(s.head_tv[1], .75, 1e-6);
    CHECK_NEAR(s.head_tv[5], 1, 1e-6);
    CHECK_NEAR(s.head_js[7], s.head_js[5], 0);
    atn_similarity_part_release(cx, &s);
}

/* ---- properties ---- */

static void properties(atn_ctx *cx)
{
    const atn_similarity_opts o = {.copy_err = true};
    model m = make_model(cx, 4, 6, 3, 50);
    atn_similarity_part s;
    const double *all[4];

    CHECK_OK(compare(cx, &m, &o, &s));
    all[0] = s.cos_elem, all[1] = s.cos_row, all[2] = s.cos_avg, all[3] = s.match;
    for (int k = 0; k < 4; k++)
        for (int a = 0; a < 4; a++) {
            CHECK_NEAR(all[k][a * 4 + a], 1, 1e-12);
            for (int b = 0; b < 4; b++) {
                CHECK_NEAR(all[k][a * 4 + b], all[k][b * 4 + a], 0);
                CHECK(all[k][a * 4 + b] >= 0 && all[k][a * 4 + b] <= 1);
                CHECK_LE(s.cos_elem[a * 4 + b], s.match[a * 4 + b]);
            }
        }
    CHECK(s.copy_err[1] != s.copy_err[4]); /* directed */
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

static void identical_layers(atn_ctx *cx)
{
    const atn_similarity_opts o = {.copy_err = true};
    model m = make_model(cx, 3, 4, 2, 50);
    atn_similarity_part s;

    m.p[2].q = m.p[0].q;
    m.p[2].k = m.p[0].k;
    CHECK_OK(compare(cx, &m, &o, &s));
    CHECK_NEAR(s.cos_elem[2], 1, 1e-6);
    CHECK_NEAR(s.cos_row[2], 1, 1e-6);
    CHECK_NEAR(s.cos_avg[2], 1, 1e-6);
    CHECK_NEAR(s.pearson[2], 1, 1e-6);
    CHECK_NEAR(s.copy_err[2], 0, 0);
    CHECK_NEAR(s.copy_err[6], 0, 0);
    CHECK(s.cos_elem[1] < 0.99 && s.copy_err[1] > 0.01);
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

/* The second layer has the first one's heads in another order. */
static void permuted_heads(atn_ctx *cx)
{
    static const int order[] = {3, 0, 4, 1, 2};
    const atn_similarity_opts o = {.copy_err = false};
    model m = make_model(cx, 2, 5, 5, 30);
    const atn_idx plane = 30 * 6;
    atn_similarity_part s;

    for (int h = 0; h < 5; h++) {
        memcpy(m.q[1] + h * plane, m.q[0] + order[h] * plane,
               (size_t)plane * sizeof(float));
        memcpy(m.k[1] + h * plane, m.k[0] + order[h] * plane,
               (size_t)plane * sizeof(float));
    }
    CHECK_OK(compare(cx, &m, &o, &s));
    CHECK_NEAR(s.match[1], 1, 1e-6);
    CHECK_NEAR(s.cos_avg[1], 1, 1e-6);
    CHECK(s.cos_elem[1] < 0.95);
    CHECK_NEAR(s.head_elem[0 * 10 + 5 + 1], 1, 1e-6);
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

static void same_bits_at_any_thread_count(atn_ctx *cx)
{
    const atn_similarity_opts o = {.copy_err = true, .distances = true, .tile_rows = 3};
    model m = make_model(cx, 3, 4, 2, 61);
    atn_similarity_part one, four;

    m.p[1].sight.window = 9;
    cx->threads = 1;
    CHECK_OK(compare(cx, &m, &o, &one));
    cx->threads = 4;
    CHECK_OK(compare(cx, &m, &o, &four));
    CHECK_EQ(cx->threads, 4);
    CHECK(memcmp(one.head_elem, four.head_elem, 144 * sizeof(double)) == 0);
    CHECK(memcmp(one.head_row, four.head_row, 144 * sizeof(double)) == 0);
    CHECK(memcmp(one.head_js, four.head_js, 144 * sizeof(double)) == 0);
    CHECK(memcmp(one.head_tv, four.head_tv, 144 * sizeof(double)) == 0);
    CHECK(memcmp(one.cos_avg, four.cos_avg, 9 * sizeof(double)) == 0);
    CHECK(memcmp(one.copy_err, four.copy_err, 9 * sizeof(double)) == 0);
    atn_similarity_part_release(cx, &one);
    atn_similarity_part_release(cx, &four);
    drop_model(&m);
}

static void tile_height_does_not_matter(atn_ctx *cx)
{
    model m = make_model(cx, 3, 4, 2, 63);
    atn_similarity_part ref, s;

    CHECK_OK(compare(cx, &m, &(atn_similarity_opts){.copy_err = true}, &ref));
    for (atn_idx rows = 1; rows < 70; rows += 13) {
        CHECK_OK(compare(
            cx, &m, &(atn_similarity_opts){.copy_err = true, .tile_rows = rows}, &s));
        for (int i = 0; i < 9; i++) {
            CHECK_NEAR(s.cos_elem[i], ref.cos_elem[i], 1e-6);
            CHECK_NEAR(s.cos_row[i], ref.cos_row[i], 1e-6);
            CHECK_NEAR(s.copy_err[i], ref.copy_err[i], 1e-6);
        }
        atn_similarity_part_release(cx, &s);
    }
    atn_similarity_part_release(cx, &ref);
    drop_model(&m);
}

static void selected_heads(atn_ctx *cx)
{
    const bool same[] = {false, true, true, false, true, true};
    const bool mixed[] = {true, false, false, false, true, true};
    const atn_similarity_opts o = {.copy_err = true};
    model m = make_model(cx, 2, 3, 3, 20);
    atn_similarity_part all, s;

    CHECK_OK(compare(cx, &m, &o, &all));
    CHECK_OK(atn_similarity_compare(cx, m.p, 2, same, (const float *const *)m.w,
                                    m.width, &o, &s));
    CHECK_EQ(s.heads, 4);
    CHECK_EQ(s.head[2], 1);
    CHECK_NEAR(s.cos_elem[1], (all.head_elem[1 * 6 + 4] + all.head_elem[2 * 6 + 5]) / 2,
               1e-6);
    CHECK(s.copy_err && s.copy_err[1] > 0);
    atn_similarity_part_release(cx, &s);
    CHECK_OK(atn_similarity_compare(cx, m.p, 2, mixed, (const float *const *)m.w,
                                    m.width, &o, &s));
    CHECK(!s.aligned && !s.cos_elem && !s.copy_err && s.copy_why);
    CHECK_NEAR(s.head_elem[1], all.head_elem[0 * 6 + 4], 1e-6);
    atn_similarity_part_release(cx, &s);
    atn_similarity_part_release(cx, &all);
    drop_model(&m);
}

static void single_row(atn_ctx *cx)
{
    const float one[] = {1};
    const atn_problem layers[] = {given(0, one, 1, V3), given(1, one, 1, V3)};
    const atn_similarity_opts o = {.copy_err = true};
    atn_similarity_part s;

    CHECK_OK(atn_similarity_compare(cx, layers, 2, NULL, NULL, 0, &o, &s));
    CHECK_NEAR(s.cos_elem[1], 1, 1e-12);
    CHECK_NEAR(s.copy_err[1], 0, 0);
    CHECK(isnan(s.pearson[1])); /* one number has no correlation */
    atn_similarity_part_release(cx, &s);
}

/* A limit makes tiles lower before it refuses. */
static void fits_under_a_limit(atn_ctx *cx)
{
    model m = make_model(cx, 3, 4, 2, 600);
    const atn_similarity_opts o = {.copy_err = true};
    double free_bytes, tight_bytes;
    atn_similarity_part ref, s;

    CHECK_OK(atn_similarity_bytes(cx, m.p, 3, NULL, m.width, &o, &free_bytes));
    CHECK_OK(compare(cx, &m, &o, &ref));
    cx->mem_limit = 1 << 20;
    CHECK_OK(atn_similarity_bytes(cx, m.p, 3, NULL, m.width, &o, &tight_bytes));
    CHECK_LE(tight_bytes, 1 << 20);
    CHECK_LE(2 * tight_bytes, free_bytes);
    CHECK_OK(compare(cx, &m, &o, &s));
    CHECK_NEAR(s.cos_elem[1], ref.cos_elem[1], 1e-6);
    CHECK_NEAR(s.copy_err[1], ref.copy_err[1], 1e-6);
    atn_similarity_part_release(cx, &ref);
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

/* ---- refusal and failure ---- */

static void quiet(void *user, atn_log_level level, const char *text)
{
    (void)level;
    snprintf(user, 200, "%s", text);
}

static void refuses(atn_ctx *cx)
{
    const atn_similarity_opts o = {.copy_err = true};
    model m = make_model(cx, 2, 2, 2, 20);
    atn_similarity_part s;
    char text[200] = "";

    cx->log_sink = quiet;
    cx->log_user = text;
    CHECK_FAILS(compare(cx, &m, &(atn_similarity_opts){.skip_rows = 20}, &s), ATN_USAGE,
                "--skip-rows 20");
    CHECK_FAILS(compare(cx, &m, &(atn_similarity_opts){.exclude_first = 20}, &s),
                ATN_USAGE, "--exclude-first 20");
    CHECK_FAILS(atn_similarity_compare(cx, m.p, 0, NULL, NULL, 0, &o, &s), ATN_USAGE,
                "no layer");
    CHECK_FAILS(
        atn_similarity_compare(cx, m.p, 2, (const bool[4]){false}, NULL, 0, &o, &s),
        ATN_USAGE, "no head");
    cx->mem_limit = 1000;
    CHECK_FAILS(compare(cx, &m, &o, &s), ATN_MEMORY, "--mem-limit");
    cx->mem_limit = 0;
    m.q[1][45] = NAN;
    CHECK_FAILS(compare(cx, &m, &o, &s), ATN_DATA, "layer 1, head 0, row 7");
    m.q[1][45] = 0;
    m.p[1].v = NULL;
    m.p[1].dv = 0;
    CHECK_OK(compare(cx, &m, &o, &s));
    CHECK(!s.copy_err && strstr(s.copy_why, "no values") && strstr(text, "no values"));
    atn_similarity_part_release(cx, &s);
    m.p[1].nq = 19;
    CHECK_FAILS(compare(cx, &m, &o, &s), ATN_DATA, "layer 1 has 19 queries");
    drop_model(&m);
}

static int countdown;

static void *resize_failing(void *user, void *ptr, size_t size)
{
    int left;

    (void)user;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
#pragma omp atomic capture
    left = --countdown;
    return left < 0 ? NULL : realloc(ptr, size);
}

static void survives_failed_allocations(atn_ctx *cx)
{
    const atn_similarity_opts o = {.copy_err = true, .distances = true};
    const atn_allocator real = cx->alloc;
    model m = make_model(cx, 2, 2, 1, 9);
    atn_status st = ATN_MEMORY;
    atn_similarity_part s;

    for (int k = 0; st != ATN_OK; k++) {
        countdown = k;
        cx->alloc.resize = resize_failing;
        st = compare(cx, &m, &o, &s);
        cx->alloc = real;
        if (st != ATN_OK) CHECK_EQ(st, ATN_MEMORY);
        CHECK_LE(k, 200);
    }
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

CHECK_MAIN({"golden card", golden_card},
           {"golden pearson with zeros", golden_pearson_with_zeros},
           {"golden exclude first", golden_exclude_first},
           {"golden empty row", golden_empty_row},
           {"golden skip rows", golden_skip_rows}, {"golden disjoint", golden_disjoint},
           {"golden distances", golden_distances}, {"properties", properties},
           {"identical layers", identical_layers}, {"permuted heads", permuted_heads},
           {"same bits at any thread count", same_bits_at_any_thread_count},
           {"tile height does not matter", tile_height_does_not_matter},
           {"selected heads", selected_heads}, {"single row", single_row},
           {"fits under a limit", fits_under_a_limit}, {"refuses", refuses},
           {"survives failed allocations", survives_failed_allocations})
