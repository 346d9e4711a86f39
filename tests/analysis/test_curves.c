/* tests/analysis/test_curves.c -- distance profiles, coverage curves and sink maps.
 *
 * Golden numbers: cards B2 to B4, worked out on F4 (the matrix of TransformerLens' head-detector
 * demo) and on uniform attention; the derivation stands beside each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure_value.h"

#include <jansson.h>

#include "analysis/curves.h"
#include "analysis/sums.h"
#include "core/rng.h"

enum { MOST = 80, ALL = ATN_CURVE_DISTANCE | ATN_CURVE_COVERAGE | ATN_CURVE_SINKS };

static const float f4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};

/* All curves of one head. */
typedef struct curves {
    int bins;
    double share[ATN_DISTANCE_BINS], counts[MOST + 1], a[MOST];
    double keys[ATN_COVER_LEVELS], part[ATN_COVER_LEVELS];
} curves;

static curves curves_of(atn_ctx *cx, const atn_head *h)
{
    const atn_row_stats_opts o = {.needs = atn_curves_needs(ALL)};
    atn_row_stats *stats = NULL;
    atn_head_stats s;
    curves c = {.bins = atn_distance_bins(h->nq, h->nk, &h->sight)};

    CHECK_OK(atn_row_stats_run(cx, h, 1, NULL, &o, &stats));
    s = atn_row_stats_head(stats, 0);
    atn_distance_shares(&s, c.bins, c.share);
    atn_sink_means(&s, h->sight.key_last - h->sight.key_first, c.counts, c.a);
    for (int i = 0; i < ATN_COVER_LEVELS; i++)
        atn_cover_means(&s, (atn_row_field)(ATN_ROW_KEYS_50 + i), &c.keys[i],
                        &c.part[i]);
    atn_row_stats_destroy(cx, stats);
    return c;
}

static atn_head given(const float *p, atn_idx n)
{
    return (atn_head){
        .p = {p, n, n, n}, .nq = n, .nk = n, .sight = {.causal = true, .key_last = n}};
}

static atn_head uniform(atn_idx n, bool causal)
{
    static const float zero[MOST];

    return (atn_head){.q = {zero, n, 1, 1},
                      .k = {zero, n, 1, 1},
                      .nq = n,
                      .nk = n,
                      .scale = 1,
                      .sight = {.causal = causal, .key_last = n}};
}

static void f4_by_hand(atn_ctx *cx)
{
    /* diagonals 2.25 1.3 .35 .1 of a mass of 4, the last two in one bin */
    static const double share[] = {2.25 / 4, 1.3 / 4, .45 / 4};
    /* columns 1.8 .95 1 .25 over the 4, 3, 2, 1 rows from the key on */
    static const double a[] = {.45, .95 / 3, .5, .25};
    /* rows (1), (.5 .5), (.5 .3 .2), (.5 .25 .15 .1): keys that hold .5 .8 .9 .95 .99 .999 */
    static const int keys[6][4] = {{1, 1, 1, 1}, {1, 2, 2, 3}, {1, 2, 3, 3},
                                   {1, 2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3, 4}};
    const atn_head h = given(f4, 4);
    const curves c = curves_of(cx, &h);

    CHECK_EQ(c.bins, 3);
    for (int b = 0; b < 3; b++) CHECK_NEAR(c.share[b], share[b], 1e-7);
    for (int k = 0; k < 4; k++) CHECK_NEAR(c.a[k], a[k], 1e-7);
    for (int i = 0; i < 6; i++) {
        double sum = 0, part = 0;

        for (int r = 0; r < 4; r++) {
            sum += keys[i][r];
            part += keys[i][r] / (r + 1.);
        }
        CHECK_NEAR(c.keys[i], sum / 4, 0);
        CHECK_NEAR(c.part[i], part / 4, 1e-12);
    }
}

/* H_n = 1 + 1/2 + .. + 1/n. */
static double harmonic(int n)
{
    double h = 0;

    for (int i = n; i > 0; i--) h += 1. / i;
    return h;
}

/* Uniform causal, n = 64: at distance d lie the rows d .. 63 with 1/(i + 1) each, H_64 - H_d of a
 * mass of 64; a_k = (H_64 - H_k) / (64 - k). */
static void uniform_closed_forms(atn_ctx *cx)
{
    const atn_head h = uniform(64, true);
    const curves c = curves_of(cx, &h);

    CHECK_EQ(c.bins, 7);
    for (int b = 0; b < 7; b++) {
        double want = 0;

        for (int d = b ? 1 << (b - 1) : 0; d < (b ? 1 << b : 1); d++)
            want += (harmonic(64) - harmonic(d)) / 64;
        CHECK_NEAR(c.share[b], want, 1e-7);
    }
    CHECK_NEAR(c.a[0], .0741233, 1e-7);
    for (int k = 0; k < 64; k++)
        CHECK_NEAR(c.a[k], (harmonic(64) - harmonic(k)) / (64 - k), 1e-7);
    for (int i = 0; i < ATN_COVER_LEVELS; i++) {
        double keys = 0, part = 0;

        for (int n = 1; n <= 64; n++) {
            keys += ceil(atn_cover_levels[i] * n - 1e-9) / 64;
            part += ceil(atn_cover_levels[i] * n - 1e-9) / n / 64;
        }
        CHECK_NEAR(c.keys[i], keys, 1e-9);
        CHECK_NEAR(c.part[i], part, 1e-9);
    }
}

/* Uniform both ways, n = 5: every key has 1/5 of every row; distance d has 2 (5 - d) pairs. */
static void uniform_both_ways(atn_ctx *cx)
{
    const atn_head h = uniform(5, false);
    const curves c = curves_of(cx, &h);

    CHECK_EQ(c.bins, 4);
    for (int k = 0; k < 5; k++) CHECK_NEAR(c.a[k], .2, 1e-7);
    CHECK_NEAR(c.share[0], 5 / 25., 1e-7);
    CHECK_NEAR(c.share[1], 8 / 25., 1e-7);
    CHECK_NEAR(c.share[2], 10 / 25., 1e-7);
    CHECK_NEAR(c.share[3], 2 / 25., 1e-7);
}

/* A window of two over keys 0 .. 2, the others padding: row 3 sees key 2 alone, rows 4 and 5 see
 * none and are in no mean. Column 0 holds 1 + 1/2. */
static void rows_without_keys_leave_the_means(atn_ctx *cx)
{
    atn_head h = uniform(6, true);
    curves c;

    h.sight.window = 2;
    h.sight.key_last = 3;
    c = curves_of(cx, &h);
    CHECK_NEAR(c.counts[0], 4, 0);
    CHECK_NEAR(c.a[0], 1.5 / 4, 1e-7);
    CHECK_NEAR(c.a[2], 1.5 / 2, 1e-7);
    CHECK_NEAR(c.keys[5], (1 + 2 + 2 + 1) / 4., 0);
    CHECK_NEAR(c.share[0], (1 + .5 + .5) / 4, 1e-7);
}

/* F4 with row 1 empty: it sees two keys and has no weight. The others need 1, 3, 3 keys for .9 of
 * it, and 1, 3/3, 3/4 of what they see; so does the coverage measure say. */
static void rows_without_weight_leave_the_coverage(atn_ctx *cx)
{
    static const char *const level[ATN_COVER_LEVELS] = {"50", "80", "90",
                                                        "95", "99", "999"};
    float p[16] = {0};
    const atn_head h = given(p, 4);
    curves c;

    memcpy(p, f4, sizeof p);
    p[4] = p[5] = 0;
    c = curves_of(cx, &h);
    CHECK_NEAR(c.keys[2], (1 + 3 + 3) / 3., 0);
    CHECK_NEAR(c.part[2], (1 + 3 / 3. + 3 / 4.) / 3, 1e-12);
    for (int i = 0; i < ATN_COVER_LEVELS; i++) {
        char keys[64], share[64];

        snprintf(keys, sizeof keys, "coverage_%s_mean_keys", level[i]);
        snprintf(share, sizeof share, "coverage_%s_density", level[i]);
        CHECK_NEAR(c.keys[i], column_of(cx, &h, NULL, 0, "coverage", keys), 1e-12);
        CHECK_NEAR(c.part[i], column_of(cx, &h, NULL, 0, "coverage", share), 1e-12);
    }
    memset(p, 0, sizeof p);
    c = curves_of(cx, &h);
    CHECK(isnan(c.keys[0]) && isnan(c.part[0]));
}

/* ---- the twin: dense, in double, from the logits ---- */

static bool sees(const atn_sight *s, atn_idx i, atn_idx j)
{
    const atn_idx t = i + s->offset;

    if (j < s->key_first || j >= s->key_last) return false;
    if (s->causal && j > t) return false;
    if (s->window == 0) return true;
    return s->causal ? t - j < s->window : llabs(t - j) <= s->window;
}

static void dense_row(const atn_head *h, atn_idx i, double *p)
{
    double z[MOST], most = -INFINITY, sum = 0;

    for (atn_idx j = 0; j < h->nk; j++) {
        float dot = 0;

        for (atn_idx c = 0; c < h->q.cols; c++)
            dot += atn_crow(h->q, i)[c] * atn_crow(h->k, j)[c];
        z[j] = sees(&h->sight, i, j) ? h->scale * (double)dot : -INFINITY;
        most = fmax(most, z[j]);
    }
    for (atn_idx j = 0; j < h->nk; j++) {
        p[j] = isfinite(most) ? exp(z[j] - most) : 0;
        sum += p[j];
    }
    for (atn_idx j = 0; j < h->nk; j++) p[j] = sum > 0 ? p[j] / sum : 0;
}

static void against_dense_heads(atn_ctx *cx)
{
    for (int trial = 0; trial < 24; trial++) {
        float q[MOST * 4], k[MOST * 4];
        const atn_idx nk = 30 + trial, nq = nk - trial % 4 * 7;
        atn_rng r = atn_rng_stream(3, "test/curves", trial, 0);
        atn_head h = {
            .q = {q, nq, 4, 4}, .k = {k, nk, 4, 4}, .nq = nq, .nk = nk, .scale = .5};
        double share[ATN_DISTANCE_BINS] = {0}, column[MOST] = {0}, rows = 0, one = 0;
        atn_idx from[MOST] = {0};
        curves c;

        for (atn_idx i = 0; i < nk * 4; i++) {
            q[i] = (float)(2 * atn_rng_normal(&r));
            k[i] = (float)atn_rng_normal(&r);
        }
        h.sight = (atn_sight){.causal = trial % 3 > 0,
                              .offset = trial % 2 ? nk - nq : 0,
                              .window = trial % 5 == 4 ? 9 : 0,
                              .key_first = trial % 4 == 3 ? 5 : 0,
                              .key_last = nk};
        c = curves_of(cx, &h);
        for (atn_idx i = 0; i < nq; i++) {
            double p[MOST], mass = 0;

            dense_row(&h, i, p);
            for (atn_idx j = 0; j < nk; j++) {
                const atn_idx d = llabs(i + h.sight.offset - j);
                int b = 0;

                while (d >= (atn_idx)1 << b) b++;
                share[b] += p[j];
                column[j] += p[j];
                mass += p[j];
            }
            if (mass == 0) continue;
            rows++;
            for (atn_idx j = 0; j < nk; j++)
                from[j] += !h.sight.causal || j <= i + h.sight.offset;
        }
        for (int b = 0; b < ATN_DISTANCE_BINS; b++) {
            if (b >= c.bins) CHECK_NEAR(share[b], 0, 0);
            if (b < c.bins) CHECK_NEAR(c.share[b], share[b] / rows, 1e-6);
            if (b < c.bins) one += c.share[b];
        }
        CHECK_NEAR(one, 1, 1e-9);
        for (atn_idx j = h.sight.key_first; j < nk; j++) {
            const double a = c.a[j - h.sight.key_first];

            CHECK(from[j] > 0 || isnan(a));
            if (from[j] > 0) CHECK_NEAR(a, column[j] / (double)from[j], 1e-6);
        }
    }
}

/* ---- bins and buckets ---- */

static void bins_and_buckets(atn_ctx *cx)
{
    static const atn_idx d[][2] = {
        {0, 0}, {1, 1}, {2, 2},       {3, 2},       {4, 3},
        {7, 3}, {8, 4}, {131071, 17}, {131072, 18}, {((atn_idx)1 << 40) - 1, 40}};
    double counts[301], a[300];
    float row[70];

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(d); i++)
        CHECK_EQ(atn_distance_bin(d[i][0]), (int)d[i][1]);
    CHECK_EQ(atn_distance_bins(1, 1, &(atn_sight){.causal = true}), 1);
    /* a window of 8 keys back: distances 0 .. 7; both ways 0 .. 8 */
    CHECK_EQ(atn_distance_bins(99, 99, &(atn_sight){.causal = true, .window = 8}), 4);
    CHECK_EQ(atn_distance_bins(99, 99, &(atn_sight){.window = 8}), 5);
    /* one query behind 32 keys; 3 queries before 33 keys that they see all */
    CHECK_EQ(atn_distance_bins(1, 33, &(atn_sight){.causal = true, .offset = 32}), 7);
    CHECK_EQ(atn_distance_bins(3, 33, &(atn_sight){0}), 7);
    CHECK_EQ(atn_sink_columns(1), 1);
    CHECK_EQ(atn_sink_columns(64), 64);
    CHECK_EQ(atn_sink_columns(65), 65);
    CHECK_EQ(atn_sink_columns(128), 65);
    CHECK_EQ(atn_sink_columns(129), 66);
    CHECK_EQ(atn_sink_columns(131072), 75);
    /* a causal head of 300 rows: a bucket looks at keys up to 150 */
    for (int k = 0; k < 300; k++) {
        counts[k] = 300 - k;
        a[k] = k == 70 ? 1 : k / 1000.;
    }
    counts[300] = 0;
    atn_sink_row(counts, a, 300, atn_sink_columns(300), row);
    CHECK_NEAR(row[0], 0, 0);
    CHECK_NEAR(row[63], .063, 1e-7);
    CHECK_NEAR(row[64], 1, 0);
    CHECK_NEAR(row[65], .150, 1e-7);
    CHECK(isnan(row[66]));
    /* fewer keys than another layer: what is beyond has no value */
    atn_sink_row(counts, a, 3, 5, row);
    CHECK(isnan(row[3]) && isnan(row[4]) && row[2] == .002f);
    /* of 40 rows 20 come after key 20 and 19 after key 21, which is no sink whatever it holds */
    for (int k = 0; k <= 40; k++) counts[k] = 40 - k;
    a[21] = a[39] = 1;
    atn_sink_row(counts, a, 40, 40, row);
    CHECK_NEAR(row[20], .020, 1e-7);
    CHECK(isnan(row[21]) && isnan(row[39]));
}

/* ---- tables of a capture ---- */

/* A capture of given matrices, causal: layer l has heads[l] heads of n[l] rows. */
static atn_capture *store(atn_ctx *cx, const char *name, int layers,
                          const atn_idx *heads, const atn_idx *n, float *const *p)
{
    json_t *list = json_array(), *manifest;
    atn_capture_writer *out = NULL;
    atn_capture *c = NULL;
    char path[600];

    for (int l = 0; l < layers; l++)
        json_array_append_new(
            list,
            json_pack("{s:i, s:i, s:s, s:i, s:i, s:i, s:i, s:[s], s:o}", "index", l,
                      "step", 0, "mask", "causal", "heads", (int)heads[l], "kv_heads",
                      (int)heads[l], "n_q", (int)n[l], "n_k", (int)n[l], "tensors", "p",
                      "file", json_sprintf("layer-%03d.safetensors", l)));
    manifest = json_pack("{s:s, s:{s:s}, s:o}", "schema", "attnscope/capture/1",
                         "model", "name", "given", "layers", list);
    snprintf(path, sizeof path, "%s/run", check_scratch(name));
    CHECK_OK(atn_capture_begin(cx, path, manifest, "00", false, &out));
    for (int l = 0; l < layers; l++) {
        const atn_st_out t = {"p", ATN_F32, 3, {heads[l], n[l], n[l]}, p[l]};

        CHECK_OK(atn_capture_put(cx, out, l, &t, 1));
    }
    CHECK_OK(atn_capture_finish(cx, out, NULL));
    json_decref(manifest);
    CHECK_OK(atn_capture_open(cx, path, &c));
    return c;
}

/* Layer 0: F4, a head of NaN, F4 again; layer 1: one head of 3 rows, all on the first key. */
static void tables_of_a_capture(atn_ctx *cx)
{
    float p0[48], p1[9] = {1, 0, 0, 1, 0, 0, 1, 0, 0};
    const atn_idx heads[] = {3, 1}, n[] = {4, 3};
    atn_capture *c;
    atn_selection sel;
    atn_curves t;
    atn_cmat m;

    memcpy(p0, f4, sizeof f4);
    for (int i = 0; i < 16; i++) p0[16 + i] = NAN;
    memcpy(p0 + 32, f4, sizeof f4);
    cx->log_level = ATN_LOG_ERROR;
    c = store(cx, "curves", 2, heads, n, (float *const[]){p0, p1});
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    CHECK_OK(atn_curves_run(cx, c, &sel, ALL, &t));
    /* distances up to 3 and up to 2: three bins a head in both layers */
    CHECK_EQ(atn_table_rows(t.distance), 12);
    CHECK_EQ(atn_table_get_i64(t.distance, 2, 3), 2);
    CHECK_EQ(atn_table_get_i64(t.distance, 2, 4), 3);
    CHECK_NEAR(atn_table_get_f64(t.distance, 1, 5), .325, 1e-7);
    CHECK(!atn_table_has(t.distance, 4, 5)); /* head 0.1 */
    CHECK_NEAR(atn_table_get_f64(t.distance, 7, 5), .325, 1e-7);
    CHECK_NEAR(atn_table_get_f64(t.distance, 11, 5), 1 / 3., 1e-7);
    CHECK_EQ(atn_table_rows(t.coverage), 4 * 6);
    CHECK_NEAR(atn_table_get_f64(t.coverage, 2, 3), .9, 0);
    CHECK_NEAR(atn_table_get_f64(t.coverage, 2, 4), 2.25, 0);
    CHECK(!atn_table_has(t.coverage, 8, 4));
    CHECK_NEAR(atn_table_get_f64(t.coverage, 23, 4), 1, 0);
    m = atn_table_get_matrix(t.sinks);
    CHECK_EQ(m.rows, 4);
    CHECK_EQ(m.cols, 4);
    CHECK_NEAR(atn_crow(m, 2)[1], .95 / 3, 1e-7);
    CHECK(isnan(atn_crow(m, 1)[0]) && isnan(atn_crow(m, 3)[3]));
    CHECK_NEAR(atn_crow(m, 3)[0], 1, 0);
    CHECK_NEAR(atn_crow(m, 3)[1], 0, 0);
    CHECK(isnan(atn_crow(m, 3)[2])); /* one row of three comes after it */
    CHECK_EQ(atn_table_get_i64(t.sinks, 2, 1), 2);
    CHECK_STR(atn_table_get_meta(t.sinks, "single"), "64");
    atn_curves_release(cx, &t);
    /* what is not asked for is not made */
    CHECK_OK(atn_curves_run(cx, c, &sel, ATN_CURVE_SINKS, &t));
    CHECK(t.sinks && !t.distance && !t.coverage);
    atn_curves_release(cx, &t);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
}

/* 130 rows that look at themselves: keys up to 65 have half of the rows after them, so the bucket
 * [128, 130) has no column. The mean on key k is 1 / (130 - k). */
static void empty_buckets_are_left_out(atn_ctx *cx)
{
    const atn_idx heads[] = {1}, n[] = {130};
    float *p = calloc(130 * 130, sizeof *p);
    atn_selection sel;
    atn_capture *c;
    atn_curves t;
    atn_cmat m;

    for (int i = 0; i < 130; i++) p[i * 130 + i] = 1;
    c = store(cx, "curves_buckets", 1, heads, n, &p);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    CHECK_OK(atn_curves_run(cx, c, &sel, ATN_CURVE_SINKS, &t));
    m = atn_table_get_matrix(t.sinks);
    CHECK_EQ(m.cols, 65);
    CHECK_NEAR(m.data[63], 1 / 67., 1e-7);
    CHECK_NEAR(m.data[64], 1 / 65., 1e-7);
    CHECK_STR(atn_table_get_meta(t.sinks, "keys"), "130");
    atn_curves_release(cx, &t);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    free(p);
}

/* 64 heads of 128 rows, whose coverage takes 576 KiB together: beside the 4 MiB of their weights
 * 400 KiB are room enough for a few at a time. */
static void memory_limit_makes_batches_smaller(atn_ctx *cx)
{
    enum { HEADS = 64, ROWS = 128 };
    const atn_idx heads[] = {HEADS}, n[] = {ROWS};
    const size_t bytes = sizeof(float) * HEADS * ROWS * ROWS;
    float *p = calloc(1, bytes);
    atn_selection sel;
    atn_capture *c;
    atn_curves t;

    for (int i = 0; i < HEADS * ROWS; i++) p[i * ROWS + i % ROWS] = 1;
    c = store(cx, "curves_limit", 1, heads, n, &p);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    cx->threads = 1;
    cx->mem_limit = *cx->in_use + bytes + (400 << 10);
    CHECK_OK(atn_curves_run(cx, c, &sel, ATN_CURVE_COVERAGE, &t));
    cx->mem_limit = 0;
    CHECK_EQ(atn_table_rows(t.coverage), HEADS * ATN_COVER_LEVELS);
    CHECK_NEAR(atn_table_get_f64(t.coverage, HEADS * ATN_COVER_LEVELS - 1, 4), 1, 0);
    atn_curves_release(cx, &t);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    free(p);
}

/* The k-th allocation fails, k = 0, 1, ...: MEMORY each time, nothing leaks (ASan). */
static void allocations_may_fail(atn_ctx *cx)
{
    float p[16];
    const atn_idx heads[] = {1}, n[] = {4};
    atn_status st = ATN_MEMORY;
    atn_selection sel;
    atn_capture *c;
    int k = 0;

    memcpy(p, f4, sizeof f4);
    c = store(cx, "curves_memory", 1, heads, n, (float *const[]){p});
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    for (; st != ATN_OK; k++) {
        check_failing f = {k};
        atn_curves t;
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.threads = cx->threads;
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_curves_run(&frail, c, &sel, ALL, &t);
        CHECK(st == ATN_OK || (st == ATN_MEMORY && !t.sinks && !t.distance));
        f.left = 1 << 20;
        atn_curves_release(&frail, &t);
        atn_ctx_release(&frail);
        CHECK_LE(k, 1000);
    }
    CHECK_LE(20, k);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
}

CHECK_MAIN({"F4 by hand", f4_by_hand}, {"uniform closed forms", uniform_closed_forms},
           {"uniform both ways", uniform_both_ways},
           {"rows without keys leave the means", rows_without_keys_leave_the_means},
           {"rows without weight leave the coverage",
            rows_without_weight_leave_the_coverage},
           {"against dense heads", against_dense_heads},
           {"bins and buckets", bins_and_buckets},
           {"tables of a capture", tables_of_a_capture},
           {"empty buckets are left out", empty_buckets_are_left_out},
           {"memory limit makes batches smaller", memory_limit_makes_batches_smaller},
           {"allocations may fail", allocations_may_fail})
