/* CTAs of plans against counting pairs; fronts and hybrids against all choices. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "kind_capture.h"

#include <unistd.h>

#include "analysis/approx_tiles.h"
#include "analysis/tradeoff.h"
#include "simulators/simulate.h"

/* ---- CTAs of a plan ---- */

enum { N = 61, TRIALS = 60 };

static atn_head bare_head(atn_idx n, atn_idx d, bool causal)
{
    return (atn_head){.q = {NULL, n, d, d},
                      .k = {NULL, n, d, d},
                      .nq = n,
                      .nk = n,
                      .scale = 1,
                      .sight = {.causal = causal, .key_last = n}};
}

/* Rows of random intervals, few long or many short ones, which sees [N, N] has, too. */
static atn_pattern *random_rows(atn_ctx *cx, atn_rng *r, bool causal, bool many,
                                bool *sees)
{
    const int most = many ? 9 : 3, gap = many ? 4 : 20, length = many ? 4 : 30;
    const atn_frame f = atn_frame_square(N, 1, causal);
    int64_t *ptr = atn_alloc(cx, N + 1, sizeof *ptr);
    atn_span *spans = atn_alloc(cx, 9 * N, sizeof *spans);
    atn_pattern *p = NULL;
    int64_t n = 0;

    memset(sees, 0, N * N);
    for (atn_idx i = 0; i < N; i++) {
        const atn_idx end = causal ? i + 1 : N;
        atn_idx at = 0;

        for (int k = 0; k < most; k++) {
            const atn_idx lo = at + (atn_idx)(atn_rng_uniform(r) * gap);
            const atn_idx hi = lo + 1 + (atn_idx)(atn_rng_uniform(r) * length);

            if (hi > end) break;
            spans[n++] = (atn_span){lo, hi};
            for (atn_idx j = lo; j < hi; j++) sees[i * N + j] = true;
            at = hi + 1;
        }
        ptr[i + 1] = n;
    }
    CHECK_OK(atn_pattern_rows(cx, &f, 1, ptr, spans, &p));
    return p;
}

/* Row i of a packed tile is of query i / pack. */
static void count_tile(const bool *sees, atn_idx r0, atn_idx k0,
                       const atn_tile_shape *s, int *visits, int *masked)
{
    const atn_idx pack = s->pack > 1 ? s->pack : 1;
    bool any = false, all = true;

    for (atn_idx i = r0; i < r0 + s->bm && i < N * pack; i++)
        for (atn_idx j = k0; j < k0 + s->bn && j < N; j++) {
            any |= sees[i / pack * N + j];
            all &= sees[i / pack * N + j];
        }
    *visits += any;
    *masked += any && !all;
}

/* Runs of keys, of all queries. */
static int runs_of(const bool *sees)
{
    int runs = 0;

    for (atn_idx i = 0; i < N; i++)
        for (atn_idx j = 0; j < N; j++)
            runs += sees[i * N + j] && (j == 0 || !sees[i * N + j - 1]);
    return runs;
}

/* The runs are those of the pairs, CTA by CTA; scattered keys that are picked one by
 * one as well. */
static void check_runs(const bool *sees, const atn_tile_shape *s, const atn_cta_runs *r,
                       bool gathers)
{
    const atn_idx pack = s->pack > 1 ? s->pack : 1;
    atn_idx run = 0, ctas = 0;
    int64_t used = 0;
    double tiles = 0;

    gathers = gathers && pack == 1 && runs_of(sees) > 2 * N;
    for (atn_idx r0 = 0; r0 < N * pack; r0 += s->bm, used++) {
        int visits = 0, masked = 0;

        for (atn_idx k0 = 0; k0 < N; k0 += s->bn)
            count_tile(sees, r0, k0, s, &visits, &masked);
        if (used == r->run[run].count) {
            used = 0;
            run++;
        }
        CHECK(run < r->n);
        CHECK_EQ(r->run[run].visits, visits);
        CHECK_EQ(r->run[run].masked, masked);
    }
    for (atn_idx i = 0; i < r->n; i++) ctas += r->run[i].count;
    CHECK_EQ(ctas, (N * pack + s->bm - 1) / s->bm);
    CHECK(gathers == !isnan(r->gathered));
    for (atn_idx i = 0; i < N && gathers; i++) {
        int keys = 0;

        for (atn_idx j = 0; j < N; j++) keys += sees[i * N + j];
        tiles += ceil((double)keys / (double)s->bn);
    }
    if (gathers) CHECK_NEAR(r->gathered, tiles, 0);
}

static void ctas_of_masks(atn_ctx *cx)
{
    const atn_tile_shapes shapes = {.at = {{8, 16, 8, 1},
                                           {8, 2, 3, 0},
                                           {64, 16, 16, 0},
                                           {8, 7, 64, 0},
                                           {8, 16, 8, 3}},
                                    .n = 5};
    atn_rng r = atn_rng_stream(1, "tradeoff", 0, 0);
    bool *sees = malloc(N * N);

    for (int t = 0; t < TRIALS; t++) {
        const bool causal = t % 2, gathers = t % 3 == 0;
        const atn_head h = bare_head(N, 8, causal);
        atn_cta_runs runs[5] = {{0}};
        atn_plan p = {0};

        atn_plan_mask(&p, random_rows(cx, &r, causal, t % 4 < 2, sees), 0,
                      gathers ? 1 : 64, gathers ? 1 : 64);
        CHECK_OK(atn_plan_ctas(cx, &h, &p, &shapes, runs));
        for (int k = 0; k < 5; k++) {
            if (k == 2)
                CHECK_EQ(runs[k].n, 0); /* of another head dim */
            else
                check_runs(sees, &shapes.at[k], &runs[k], gathers);
            atn_cta_runs_release(cx, &runs[k]);
        }
        atn_plan_release(cx, &p);
    }
    free(sees);
}

/* Groups of 5 x 20 and 9 x 3 in tiles of 4 x 8: 2 CTAs of 3 visits, 3 of 1; 16 rows to
 * a tile: 3 + 1 gathered. */
static void ctas_of_groups(atn_ctx *cx)
{
    const atn_tile_shapes shapes = {.at = {{8, 4, 8}, {8, 4, 8, 2}}, .n = 2};
    const atn_head h = bare_head(N, 8, true);
    atn_cta_runs both[2] = {{0}}, runs, back = {0};
    char *text = NULL;
    atn_plan p = {.branches = 1, .tile_rows = 16, .tile_keys = 16};
    atn_groups *g = &p.branch[0].part[0].groups;

    p.branch[0].parts = 1;
    g->n = 2;
    g->row_ptr = atn_alloc(cx, 3, sizeof *g->row_ptr);
    g->key_ptr = atn_alloc(cx, 3, sizeof *g->key_ptr);
    g->row = atn_alloc(cx, 14, sizeof *g->row);
    g->key = atn_alloc(cx, 23, sizeof *g->key);
    g->row_ptr[1] = 9;
    g->row_ptr[2] = 14;
    g->key_ptr[1] = 3;
    g->key_ptr[2] = 23;
    CHECK_OK(atn_plan_ctas(cx, &h, &p, &shapes, both));
    runs = both[0];
    CHECK_EQ(both[1].n, 0); /* heads choose groups each for itself */
    CHECK_OK(atn_cta_runs_print(cx, &runs, &text));
    CHECK_STR(text, "3/1*2 1/1*3 g4");
    CHECK_OK(atn_cta_runs_parse(cx, text, &back));
    CHECK(back.n == 2 && back.run[0].count == 2 && back.run[1].visits == 1);
    CHECK_NEAR(back.gathered, 4, 0);
    atn_cta_runs_release(cx, &back);
    atn_cta_runs_release(cx, &runs);
    atn_free(cx, text);
    atn_plan_release(cx, &p);
}

/* Groups that are a mask, rows 29 to 37 with keys 0 to 3 and rows 29 to 31 with 20, 21:
 * in tiles of 4 x 8 the CTA of rows 28 to 31 visits two tiles, those of 32 and 36 one,
 * all others none. A key that stands twice, or one that has a weight, is no mask. */
static void groups_as_a_mask(atn_ctx *cx)
{
    const atn_tile_shapes shapes = {.at = {{8, 4, 8}}, .n = 1};
    const atn_head h = bare_head(N, 8, true);
    float weight[42] = {0};

    for (int k = 0; k < 3; k++) {
        atn_cta_runs runs = {0}, back = {0};
        atn_plan p = {.branches = 1, .tile_rows = 16, .tile_keys = 16};
        atn_groups *g = &p.branch[0].part[0].groups;
        char *text = NULL;

        p.branch[0].parts = 1;
        g->n = 2;
        g->row_ptr = atn_alloc(cx, 3, sizeof *g->row_ptr);
        g->key_ptr = atn_alloc(cx, 3, sizeof *g->key_ptr);
        g->row = atn_alloc(cx, 12, sizeof *g->row);
        g->key = atn_alloc(cx, 6, sizeof *g->key);
        g->row_ptr[0] = g->key_ptr[0] = 0;
        g->row_ptr[1] = 9;
        g->row_ptr[2] = 12;
        g->key_ptr[1] = 4;
        g->key_ptr[2] = 6;
        for (int i = 0; i < 9; i++) g->row[i] = 29 + i;
        for (int i = 0; i < 3; i++) g->row[9 + i] = 29 + i;
        for (int i = 0; i < 4; i++) g->key[i] = i;
        g->key[4] = k == 1 ? 3 : 20;
        g->key[5] = 21;
        if (k == 2) {
            weight[3] = 1;
            g->log_weight = atn_alloc(cx, 6, sizeof *g->log_weight);
            memcpy(g->log_weight, weight, 6 * sizeof *g->log_weight);
        }
        CHECK_OK(atn_plan_ctas(cx, &h, &p, &shapes, &runs));
        CHECK(!runs.joint == (k > 0));
        CHECK_OK(atn_cta_runs_print(cx, &runs, &text));
        CHECK_STR(text, k == 0 ? "1/1*4 g2 u 0/0*7 2/2 1/1*2 0/0*6" : "1/1*4 g2");
        CHECK_OK(atn_cta_runs_parse(cx, text, &back));
        CHECK(!back.joint == (k > 0));
        if (k == 0) CHECK(back.joint->n == 4 && back.joint->run[1].visits == 2);
        atn_cta_runs_release(cx, &back);
        atn_cta_runs_release(cx, &runs);
        atn_free(cx, text);
        atn_plan_release(cx, &p);
    }
}

static void no_lists_of_ctas(atn_ctx *cx)
{
    static const char *const bad[] = {"3",
                                      "3/4",
                                      "3/1*",
                                      "3/1*0",
                                      "g",
                                      "3/1 x",
                                      "3/1*2g",
                                      "-1/0",
                                      "/1",
                                      "3/1,4/1",
                                      "4294967296/0",
                                      "g5 3/1",
                                      "u 1/1",
                                      "1/1 u",
                                      "1/1 u ",
                                      "1/1 u g3",
                                      "1/1 u 1/1 u 1/1",
                                      "1/1 g3 2/1",
                                      "3/-1",
                                      "1/1*2e30",
                                      "9999999999999/1"};
    atn_cta_runs r;

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        CHECK(atn_cta_runs_parse(cx, bad[i], &r) == ATN_DATA);
        atn_err_clear(cx);
        CHECK(!r.run);
    }
}

/* ---- tables ---- */

enum { LAYERS = 3, CASES = 4 };

/* Error of a case on the heads of a layer, and what choosing takes: it has no tiles, so
 * that is all its time. */
typedef struct numbers {
    double error[CASES][LAYERS], index[CASES][LAYERS];
} numbers;

static void open_layers(atn_ctx *cx, const char *name, int kind, kind_layer **l,
                        atn_capture **c, atn_selection *sel)
{
    const atn_select_args all = {.heads = NULL};

    for (int i = 0; i < LAYERS; i++) l[i] = make_kind(kind, (uint64_t)i + 1);
    *c = kind_capture(cx, name, l, LAYERS, WITH_W_O, NULL, NULL, NULL);
    CHECK_OK(atn_select(cx, *c, &all, sel));
}

static atn_table *approx_table(atn_ctx *cx, const numbers *x)
{
    static const char *const names[] = {"method", "family",     "parameters",
                                        "budget", "budget_fit", "tile"};
    char method[16];
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "approx", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "", NULL));
    for (size_t k = 0; k < ATN_LEN(names); k++)
        CHECK_OK(atn_table_add_col(cx, t, names[k], ATN_COL_STR, "", "", NULL));
    CHECK_OK(
        atn_table_add_col(cx, t, "output_error_relative", ATN_COL_F64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "executed_tiles", ATN_COL_F64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "index_flops", ATN_COL_F64, "", "", NULL));
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < KIND_HEADS; h++)
            for (int c = 0; c < CASES; c++) {
                CHECK_OK(atn_table_add_row(cx, t));
                snprintf(method, sizeof method, "case%d", c);
                atn_table_set_i64(t, 0, l);
                atn_table_set_i64(t, 1, h);
                CHECK_OK(atn_table_set_str(cx, t, 2, method));
                CHECK_OK(atn_table_set_str(cx, t, 3, "made"));
                CHECK_OK(atn_table_set_str(cx, t, 4, "k=1"));
                CHECK_OK(atn_table_set_str(cx, t, 6, "fixed"));
                CHECK_OK(atn_table_set_str(cx, t, 7, "192x128"));
                atn_table_set_f64(t, 8, x->error[c][l]);
                atn_table_set_f64(t, 9, 0);
                atn_table_set_f64(t, 10, x->index[c][l]);
            }
    return t;
}

static double cell(const atn_table *t, atn_idx row, const char *name)
{
    const int col = atn_table_find_col(t, name);

    if (col < 0) fail_msg("no column %s", name);
    return atn_table_get_f64(t, row, col);
}

static const char *text(const atn_table *t, atn_idx row, const char *name)
{
    return atn_table_get_str(t, row, atn_table_find_col(t, name));
}

/* It errs by less than an output of 0, and is no launch that is mostly starting. */
static bool may_lead(const atn_table *t, atn_idx y)
{
    return y == 0 || (cell(t, y, "output_error_relative") < 1 &&
                      fmin(cell(t, y, "time_ms"), cell(t, y, "dense_ms")) >=
                          0.1 * cell(t, y, "layers"));
}

/* on_front is what comparing all pairs says, of equals the first. */
static void check_front(const atn_table *t)
{
    for (atn_idx y = 0; y < atn_table_rows(t); y++) {
        const double ty = cell(t, y, "time_ms"),
                     ey = fmax(cell(t, y, "output_error_relative"), 1e-6);
        bool front = true;

        CHECK_EQ(isnan(cell(t, y, "on_front")), !may_lead(t, y));
        if (!may_lead(t, y)) continue;
        for (atn_idx x = 0; x < atn_table_rows(t); x++) {
            const double tx = cell(t, x, "time_ms"),
                         ex = fmax(cell(t, x, "output_error_relative"), 1e-6);

            if (!may_lead(t, x)) continue;
            if (tx <= ty && ex <= ey && (tx < ty || ex < ey || x < y)) front = false;
        }
        CHECK_EQ(cell(t, y, "on_front"), front);
    }
}

/* Least mean error of all choices of a case (or dense, -1) a layer within the time. */
static double least_error(const double time[CASES + 1][LAYERS],
                          const double error[CASES + 1][LAYERS], double most)
{
    double least = INFINITY;

    for (int k = 0; k < (CASES + 1) * (CASES + 1) * (CASES + 1); k++) {
        const int of[LAYERS] = {k % (CASES + 1), k / (CASES + 1) % (CASES + 1),
                                k / (CASES + 1) / (CASES + 1)};
        double t = 0, e = 0;

        for (int l = 0; l < LAYERS; l++) {
            t += time[of[l]][l];
            if (error[of[l]][l] >= 1) e = INFINITY; /* a layer takes none such */
            e += error[of[l]][l] / LAYERS;
        }
        if (t <= most * (1 + 1e-12)) least = fmin(least, e);
    }
    return least;
}

static void fronts_and_hybrids(atn_ctx *cx)
{
    const char *name = "test-tradeoff";
    kind_layer *l[LAYERS];
    atn_capture *c = NULL;
    atn_selection sel;
    atn_device device;
    atn_kernel kernel;
    atn_rng r = atn_rng_stream(2, "tradeoff", 0, 0);

    open_layers(cx, name, KIND_CAUSAL, l, &c, &sel);
    CHECK_OK(atn_device_read(cx, "h200", &device));
    CHECK_OK(atn_kernel_read(cx, "fa3", &kernel));
    for (int trial = 0; trial < 20; trial++) {
        const atn_tradeoff_opts o = {
            .device = &device, .kernel = &kernel, .batch = 100000};
        double time[CASES + 1][LAYERS], error[CASES + 1][LAYERS];
        atn_tradeoff_input in = {.name = "made"};
        atn_table *t = NULL, *layers = NULL, *made;
        int hybrids = 0, seen[LAYERS] = {0};
        atn_tradeoff *trade = NULL;
        numbers x;

        for (int k = 0; k < CASES; k++)
            for (int i = 0; i < LAYERS; i++) {
                x.error[k][i] = trial ? 1.3 * atn_rng_uniform(&r) : .5;
                x.index[k][i] = (1 + floor(9 * atn_rng_uniform(&r))) * 3e6;
            }
        in.approx = made = approx_table(cx, &x);
        CHECK_OK(atn_tradeoff_run(cx, c, &sel, &in, 1, NULL, &o, &trade));
        CHECK_OK(atn_tradeoff_table(cx, trade, ATN_KEYS_MODEL, &t));
        CHECK_OK(atn_tradeoff_table(cx, trade, ATN_KEYS_LAYER, &layers));
        check_front(t);
        CHECK_STR(text(t, 0, "method"), "dense");
        for (atn_idx i = 0; i < atn_table_rows(layers); i++) {
            const int layer = (int)cell(layers, i, "layer"), k = seen[layer]++;

            if (k > CASES) continue; /* hybrids come last */
            time[k][layer] = cell(layers, i, "time_ms");
            error[k][layer] = cell(layers, i, "output_error_relative");
            if (k > 0) CHECK_NEAR(error[k][layer], x.error[k - 1][layer], 1e-12);
        }
        for (atn_idx i = 0; i < atn_table_rows(t); i++) {
            if (strcmp(text(t, i, "method"), "hybrid") != 0) continue;
            hybrids++;
            /* of the cases nothing is known, of dense layers all */
            CHECK(isnan(cell(t, i, "retained_mass_mean")));
            CHECK_NEAR(cell(t, i, "output_error_relative"),
                       least_error(time, error, cell(t, i, "time_ms")), 1e-12);
        }
        CHECK(hybrids > 0 || trial == 0);
        atn_table_destroy(cx, t);
        atn_table_destroy(cx, layers);
        atn_table_destroy(cx, made);
        atn_tradeoff_destroy(cx, trade);
    }
    atn_kernel_release(cx, &kernel);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    for (int i = 0; i < LAYERS; i++) free(l[i]);
}

/* Of few tokens the other products take as long as reading their weights takes: of each
 * of three layers the four projections and 2 x 2e9 x 16 numbers of a feed-forward, and
 * 16 x 1000 of an output layer, at 0.8 of 4.8 TB/s. */
static void the_whole_reads_its_weights(atn_ctx *cx)
{
    const double width = 16, ffn = 2e9, vocab = 1000;
    json_t *model =
        json_pack("{s:i, s:i, s:i}", "width", 16, "ffn", 2000000000, "vocab", 1000);
    numbers x = {{{0}}, {{0}}};
    atn_tradeoff_input in = {.name = "made"};
    atn_tradeoff_opts o = {.batch = 1};
    const atn_select_args all = {.heads = NULL};
    double weights = width * vocab;
    atn_tradeoff *trade = NULL;
    kind_layer *l[LAYERS];
    atn_capture *c = NULL;
    atn_table *t = NULL, *made;
    atn_device device;
    atn_kernel kernel;
    atn_selection sel;

    for (int i = 0; i < LAYERS; i++) l[i] = make_kind(KIND_CAUSAL, (uint64_t)i + 1);
    c = kind_capture(cx, "test-tradeoff", l, LAYERS, WITH_W_O, model, NULL, NULL);
    CHECK_OK(atn_select(cx, c, &all, &sel));
    CHECK_OK(atn_device_read(cx, "h200", &device));
    CHECK_OK(atn_kernel_read(cx, "fa3", &kernel));
    o.device = &device;
    o.kernel = &kernel;
    x.index[0][0] = 1e11;
    in.approx = made = approx_table(cx, &x);
    CHECK_OK(atn_tradeoff_run(cx, c, &sel, &in, 1, NULL, &o, &trade));
    CHECK_OK(atn_tradeoff_table(cx, trade, ATN_KEYS_MODEL, &t));
    for (int i = 0; i < LAYERS; i++) {
        const atn_layer_info *info = atn_capture_layer(c, i);
        const double dims = (double)info->d + (double)info->dv;

        weights += width * ((double)(info->heads + info->kv_heads) * dims + 2 * ffn);
    }
    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        const double rest = .003 + 2 * weights / (.8 * 4.8e9);

        CHECK_NEAR(cell(t, i, "whole_speedup"),
                   (rest + cell(t, i, "dense_ms")) / (rest + cell(t, i, "time_ms")),
                   1e-9);
    }
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, made);
    atn_tradeoff_destroy(cx, trade);
    atn_kernel_release(cx, &kernel);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    for (int i = 0; i < LAYERS; i++) free(l[i]);
}

/* ---- groups of heads ---- */

/* A case on all heads of layers of 6 heads on 2 KV heads, with these CTAs a head and a
 * group; head 4 alone met its budget in the way of `fit`. */
static void grouped_tables(atn_ctx *cx, const char *family, const char *fit,
                           const char *ctas, const char *packed, atn_table **approx,
                           atn_table **tiles)
{
    static const char *const names[] = {"method", "family", "parameters", "budget",
                                        "budget_fit"};
    atn_table *t = NULL, *b = NULL;

    CHECK_OK(atn_table_create(cx, "approx", &t));
    CHECK_OK(atn_table_create(cx, "approx_tiles", &b));
    for (int k = 0; k < 2; k++) {
        CHECK_OK(atn_table_add_col(cx, k ? b : t, "layer", ATN_COL_I64, "", "", NULL));
        CHECK_OK(atn_table_add_col(cx, k ? b : t, "head", ATN_COL_I64, "", "", NULL));
    }
    for (size_t k = 0; k < ATN_LEN(names); k++)
        CHECK_OK(atn_table_add_col(cx, t, names[k], ATN_COL_STR, "", "", NULL));
    CHECK_OK(
        atn_table_add_col(cx, t, "output_error_relative", ATN_COL_F64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, b, "method", ATN_COL_STR, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, b, "ctas_192x128", ATN_COL_STR, "", "", NULL));
    CHECK_OK(
        atn_table_add_col(cx, b, "ctas_192x128_packed_3", ATN_COL_STR, "", "", NULL));
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < KIND_HEADS; h++) {
            CHECK_OK(atn_table_add_row(cx, t));
            CHECK_OK(atn_table_add_row(cx, b));
            for (int k = 0; k < 2; k++) {
                atn_table_set_i64(k ? b : t, 0, l);
                atn_table_set_i64(k ? b : t, 1, h);
            }
            CHECK_OK(atn_table_set_str(cx, t, 2, "causal"));
            CHECK_OK(atn_table_set_str(cx, t, 3, family));
            CHECK_OK(atn_table_set_str(cx, t, 5, "10%"));
            CHECK_OK(atn_table_set_str(cx, t, 6, h == 4 ? fit : "met"));
            atn_table_set_f64(t, 7, .25);
            CHECK_OK(atn_table_set_str(cx, b, 2, "causal"));
            CHECK_OK(atn_table_set_str(cx, b, 3, ctas));
            CHECK_OK(atn_table_set_str(cx, b, 4, packed));
        }
    *approx = t;
    *tiles = b;
}

typedef struct grouped {
    kind_layer *l[LAYERS];
    atn_capture *c;
    atn_selection sel;
    atn_device device;
    atn_kernel kernel;
} grouped;

static void open_grouped(atn_ctx *cx, const char *name, grouped *g)
{
    memset(g, 0, sizeof *g);
    open_layers(cx, name, KIND_GQA, g->l, &g->c, &g->sel);
    CHECK_OK(atn_device_read(cx, "h200", &g->device));
    CHECK_OK(atn_kernel_read(cx, "fa3", &g->kernel));
}

static void close_grouped(atn_ctx *cx, grouped *g)
{
    atn_kernel_release(cx, &g->kernel);
    atn_selection_release(cx, &g->sel);
    atn_capture_close(cx, g->c);
    for (int i = 0; i < LAYERS; i++) free(g->l[i]);
}

/* The status, and the table of the model where it is OK. */
static atn_status trade_grouped(atn_ctx *cx, const grouped *g, const atn_table *approx,
                                const atn_table *tiles, atn_table **out)
{
    const atn_tradeoff_opts o = {
        .device = &g->device, .kernel = &g->kernel, .batch = 100000};
    const atn_tradeoff_input in = {approx, tiles, "made"};
    atn_tradeoff *trade = NULL;
    atn_status st;

    st = atn_tradeoff_run(cx, g->c, &g->sel, &in, 1, NULL, &o, &trade);
    if (st == ATN_OK) st = atn_tradeoff_table(cx, trade, ATN_KEYS_MODEL, out);
    atn_tradeoff_destroy(cx, trade);
    return st;
}

/* 40 queries: a group of 3 heads is one CTA of 120 rows, of one tile. A static pattern
 * that runs what dense attention does takes its time; what is chosen runs a CTA a head,
 * with scattered keys 24 tiles a head of 16 rows where that is faster, and has 3 times
 * the cells. */
static void heads_of_a_group(atn_ctx *cx)
{
    atn_table *approx, *tiles, *t = NULL;
    grouped g;

    open_grouped(cx, "test-tradeoff-groups", &g);
    for (int k = 0; k < 3; k++) {
        grouped_tables(cx, k == 0 ? "static" : "block", k == 2 ? "most" : "least",
                       k == 2 ? "1/1 g1" : "1/1", k == 2 ? "" : "1/1", &approx, &tiles);
        CHECK_OK(trade_grouped(cx, &g, approx, tiles, &t));
        CHECK_STR(text(t, 1, "budget_fit"), k == 2 ? "most" : "least");
        CHECK(!text(t, 0, "budget_fit"));
        CHECK_STR(text(t, 1, "tiles"), k == 2 ? "gathered" : "exact");
        if (k == 0) {
            CHECK_NEAR(cell(t, 1, "time_ms"), cell(t, 1, "dense_ms"), 0);
            CHECK_NEAR(cell(t, 1, "speedup"), 1, 0);
        }
        CHECK_NEAR(cell(t, 1, "tile_density"),
                   k == 0   ? 1
                   : k == 1 ? 3
                            : 3 * 16. / 192,
                   1e-12);
        atn_table_destroy(cx, t);
        atn_table_destroy(cx, approx);
        atn_table_destroy(cx, tiles);
    }
    close_grouped(cx, &g);
}

/* Texts that are none, and more CTAs or tiles than there are rows and keys. */
static void hostile_ctas(atn_ctx *cx)
{
    static const char *const bad[] = {"1/2",  "1/1*1000000000000",         "200/1",
                                      "1/1,", "1/1 1/1*99999999999999999", "x"};
    atn_table *approx, *tiles, *t = NULL;
    grouped g;

    open_grouped(cx, "test-tradeoff-hostile", &g);
    for (size_t k = 0; k < ATN_LEN(bad); k++) {
        grouped_tables(cx, "static", "met", bad[k], "", &approx, &tiles);
        CHECK_FAILS(trade_grouped(cx, &g, approx, tiles, &t), ATN_DATA,
                    "row 1 of the table of its CTAs, ctas_192x128:");
        atn_table_destroy(cx, approx);
        atn_table_destroy(cx, tiles);
        grouped_tables(cx, "static", "met", "1/1", bad[k], &approx, &tiles);
        CHECK_FAILS(trade_grouped(cx, &g, approx, tiles, &t), ATN_DATA,
                    "ctas_192x128_packed_3");
        atn_table_destroy(cx, approx);
        atn_table_destroy(cx, tiles);
    }
    close_grouped(cx, &g);
}

/* The allocations fail one after another; 1 and 4 threads give one table. */
static void memory_and_threads(atn_ctx *cx)
{
    atn_table *approx, *tiles, *t[2] = {NULL, NULL};
    atn_status st = ATN_MEMORY;
    grouped g;

    open_grouped(cx, "test-tradeoff-memory", &g);
    grouped_tables(cx, "static", "met", "1/1", "1/1", &approx, &tiles);
    for (atn_idx left = 0; st != ATN_OK && left < 4000; left++) {
        check_failing f = {left};
        atn_table *none = NULL;
        atn_ctx broken;

        atn_ctx_init(&broken);
        broken.log_level = ATN_LOG_ERROR;
        broken.threads = 1;
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = trade_grouped(&broken, &g, approx, tiles, &none);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_table_destroy(&broken, none);
        atn_ctx_release(&broken);
    }
    CHECK(st == ATN_OK);
    for (int k = 0; k < 2; k++) {
        cx->threads = k ? 4 : 1;
        CHECK_OK(trade_grouped(cx, &g, approx, tiles, &t[k]));
    }
    for (atn_idx r = 0; r < atn_table_rows(t[0]); r++)
        for (int c = 0; c < atn_table_cols(t[0]); c++) {
            const double x = atn_table_get_f64(t[0], r, c),
                         y = atn_table_get_f64(t[1], r, c);

            if (atn_table_col_type(t[0], c) != ATN_COL_STR)
                CHECK(memcmp(&x, &y, sizeof x) == 0);
        }
    for (int k = 0; k < 2; k++) atn_table_destroy(cx, t[k]);
    atn_table_destroy(cx, approx);
    atn_table_destroy(cx, tiles);
    close_grouped(cx, &g);
}

/* One sequence is a launch of a few us: no ratio, and dense alone on the front. Beside
 * products that take at least nine times as long the
 * ratio of the whole is near 1 and said. */
static void launches(atn_ctx *cx)
{
    static const char *const ratios[] = {"speedup", "speedup_low", "speedup_high",
                                         "whole_speedup", "on_front"};
    atn_table *approx, *tiles, *t[2];
    grouped g;

    open_grouped(cx, "test-tradeoff-launches", &g);
    grouped_tables(cx, "static", "met", "1/1", "1/1", &approx, &tiles);
    for (int large = 0; large < 2; large++) {
        const atn_tradeoff_opts o = {.device = &g.device, .kernel = &g.kernel};
        const atn_tradeoff_input in = {approx, tiles, "made"};
        atn_model_info *m = (atn_model_info *)(uintptr_t)atn_capture_model(g.c);
        atn_tradeoff *trade = NULL;

        m->width = large ? 8192 : 64;
        m->ffn = large ? 1 << 19 : 64;
        CHECK_OK(atn_tradeoff_run(cx, g.c, &g.sel, &in, 1, NULL, &o, &trade));
        CHECK_OK(atn_tradeoff_table(cx, trade, ATN_KEYS_MODEL, &t[0]));
        CHECK_OK(atn_tradeoff_front(cx, trade, &t[1]));
        CHECK_STR(text(t[0], 1, "limited_by"), "launch");
        for (size_t k = 0; k < ATN_LEN(ratios); k++)
            CHECK_EQ(isnan(cell(t[0], 1, ratios[k])), !(large && k == 3));
        if (large) CHECK_NEAR(cell(t[0], 1, "whole_speedup"), 1, .1);
        CHECK_EQ(atn_table_rows(t[1]), 1);
        CHECK_STR(text(t[1], 0, "method"), "dense");
        for (int k = 0; k < 2; k++) atn_table_destroy(cx, t[k]);
        atn_tradeoff_destroy(cx, trade);
    }
    atn_table_destroy(cx, approx);
    atn_table_destroy(cx, tiles);
    close_grouped(cx, &g);
}

/* A batch that does not fit, a table without heads. */
static void refused(atn_ctx *cx)
{
    kind_layer *l[LAYERS];
    atn_capture *c = NULL;
    atn_selection sel;
    atn_device device;
    atn_kernel kernel;
    atn_tradeoff *trade = NULL;
    atn_table *empty = NULL;
    atn_tradeoff_opts o = {.device = &device, .kernel = &kernel, .batch = 1};
    atn_tradeoff_input in = {.name = "made"};

    open_layers(cx, "test-tradeoff-refused", KIND_CAUSAL, l, &c, &sel);
    CHECK_OK(atn_device_read(cx, "h200", &device));
    CHECK_OK(atn_kernel_read(cx, "fa3", &kernel));
    CHECK_OK(atn_table_create(cx, "approx", &empty));
    in.approx = empty;
    CHECK_FAILS(atn_tradeoff_run(cx, c, &sel, &in, 1, NULL, &o, &trade), ATN_DATA,
                "no rows of heads");
    o.batch = 1000000000;
    CHECK_FAILS(atn_tradeoff_run(cx, c, &sel, &in, 1, NULL, &o, &trade), ATN_DATA,
                "smaller --batch");
    atn_table_destroy(cx, empty);
    atn_kernel_release(cx, &kernel);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    for (int i = 0; i < LAYERS; i++) free(l[i]);
}

/* ---- against simulate ---- */

enum { LONG = 1500, BIG = 64, HEADS = 6 };

/* Six heads of dim 64, in groups of three or not, causal or not. */
static atn_capture *long_capture(atn_ctx *cx, const char *name, int kind)
{
    float *x = calloc((size_t)HEADS * LONG * BIG, sizeof *x);
    kind_layer *l = make_kind(kind, 1);
    atn_problem *p = &l->p;
    atn_capture *c;

    p->q = p->k = p->v = x;
    p->p = NULL;
    p->nq = p->nk = p->sight.key_last = LONG;
    p->d = p->dv = BIG;
    CHECK_EQ(p->heads, HEADS);
    c = kind_capture(cx, name, &l, 1, 0, NULL, NULL, NULL);
    free(l);
    free(x);
    return c;
}

/* A method that keeps all that the mask shows, in tiles of bm x bn: its table, and that
 * of its CTAs. */
static void all_kept(atn_ctx *cx, bool causal, const atn_kernel_tile *tile,
                     atn_table **approx, atn_table **tiles)
{
    const atn_idx bm = tile->q.at[0], bn = tile->k.at[0];
    char list[8192] = "", name[64];

    for (atn_idx r = 0; r < LONG; r += bm) {
        const atn_idx last = ATN_MIN(r + bm, LONG) - 1;
        int visits = 0, masked = 0;

        for (atn_idx k = 0; k < LONG; k += bn) {
            visits += !causal || k <= last;
            masked += causal && k <= last && ATN_MIN(k + bn, LONG) - 1 > r;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%d/%d",
                 r ? " " : "", visits, masked);
    }
    snprintf(name, sizeof name, "ctas_%lldx%lld", (long long)bm, (long long)bn);
    for (int i = 0; i < 2; i++) {
        atn_table **t = i ? tiles : approx;

        CHECK_OK(atn_table_create(cx, i ? "approx_tiles" : "approx", t));
        CHECK_OK(atn_table_add_col(cx, *t, "layer", ATN_COL_I64, "", "", NULL));
        CHECK_OK(atn_table_add_col(cx, *t, "head", ATN_COL_I64, "", "", NULL));
        CHECK_OK(atn_table_add_col(cx, *t, "method", ATN_COL_STR, "", "", NULL));
        if (i) CHECK_OK(atn_table_add_col(cx, *t, name, ATN_COL_STR, "", "", NULL));
        for (int h = 0; h < HEADS; h++) {
            CHECK_OK(atn_table_add_row(cx, *t));
            atn_table_set_i64(*t, 0, 0);
            atn_table_set_i64(*t, 1, h);
            CHECK_OK(atn_table_set_str(cx, *t, 2, "all"));
            if (i) CHECK_OK(atn_table_set_str(cx, *t, 3, list));
        }
    }
}

/* The same mask row by row: no window that FA3 would count by its own range. */
static atn_pattern *rows_of_mask(atn_ctx *cx, bool causal)
{
    const atn_frame f = atn_frame_square(LONG, 1, causal);
    int64_t *ptr = atn_alloc(cx, LONG + 1, sizeof *ptr);
    atn_span *spans = atn_alloc(cx, LONG, sizeof *spans);
    atn_pattern *p = NULL;

    ptr[0] = 0;
    for (atn_idx i = 0; i < LONG; i++) {
        spans[i] = (atn_span){0, causal ? i + 1 : LONG};
        ptr[i + 1] = i + 1;
    }
    CHECK_OK(atn_pattern_rows(cx, &f, 1, ptr, spans, &p));
    return p;
}

/* Times of layer 0: dense, and all of it kept, are those of atn_simulate. */
static void check_simulated(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                            const atn_kernel *k, const atn_device *d)
{
    const atn_layer_info *i = atn_capture_layer(c, 0);
    const atn_tradeoff_opts o = {.device = d, .kernel = k, .batch = 50};
    atn_kernel settled = *k; /* shallow */
    const atn_kernel_tile *tile;
    atn_tradeoff_input in = {.name = "made"};
    atn_table *approx = NULL, *tiles = NULL, *t = NULL;
    atn_tradeoff *trade = NULL;
    atn_pattern *p = rows_of_mask(cx, i->sight.causal);
    const atn_pattern *const all[] = {p};
    atn_sim_opts so;
    atn_sim sim;

    settled.packs_gqa = false;
    tile = atn_tile_of_choice(&settled, BIG);
    CHECK(tile != NULL);
    all_kept(cx, i->sight.causal, tile, &approx, &tiles);
    in.approx = approx;
    in.tiles = tiles;
    CHECK_OK(atn_tradeoff_run(cx, c, sel, &in, 1, NULL, &o, &trade));
    CHECK_OK(atn_tradeoff_table(cx, trade, ATN_KEYS_LAYER, &t));
    atn_sim_defaults(&so);
    so.device = d;
    so.kernel = k;
    so.bare = true;
    so.shape.batch = 50;
    so.shape.heads = i->heads;
    so.shape.kv_heads = i->kv_heads;
    so.shape.head_dim = BIG;
    CHECK_OK(atn_simulate(cx, all, 1, &so, &sim));
    CHECK_STR(text(t, 0, "method"), "dense");
    CHECK_NEAR(cell(t, 0, "time_ms"), sim.dense_ms, 1e-12);
    CHECK_NEAR(cell(t, 1, "dense_ms"), sim.dense_ms, 1e-12);
    atn_sim_release(cx, &sim);
    so.kernel = so.dense = &settled;
    so.tiling = (atn_tiling){.q = tile->q, .k = tile->k};
    CHECK_OK(atn_simulate(cx, all, 1, &so, &sim));
    CHECK_STR(text(t, 1, "tiles"), "exact");
    CHECK_NEAR(cell(t, 1, "time_ms"), sim.time_ms, 1e-12);
    CHECK_NEAR(cell(t, 1, "visited_tiles"), sim.work.tiles, 0);
    CHECK_STR(text(t, 1, "limited_by"), atn_limit_names[sim.limit]);
    atn_sim_release(cx, &sim);
    atn_pattern_destroy(cx, p);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, tiles);
    atn_table_destroy(cx, approx);
    atn_tradeoff_destroy(cx, trade);
}

/* Every built-in kernel on the devices that it runs on; the masks that the kernel pays
 * for, fits of four coefficients, the machine model. */
static void as_simulated(atn_ctx *cx)
{
    static const int kinds[] = {KIND_CAUSAL, KIND_GQA, KIND_FULL};
    const atn_select_args all = {.heads = NULL};

    for (size_t m = 0; m < ATN_LEN(kinds); m++) {
        atn_capture *c = long_capture(cx, "test-tradeoff-simulated", kinds[m]);
        atn_selection sel;

        CHECK_OK(atn_select(cx, c, &all, &sel));
        for (int i = 0; atn_kernel_id(i); i++)
            for (int g = 0, ran = 0; atn_device_id(g); g++) {
                atn_device d;
                atn_kernel k;

                CHECK_OK(atn_device_read(cx, atn_device_id(g), &d));
                CHECK_OK(atn_kernel_read(cx, atn_kernel_id(i), &k));
                if (atn_kernel_runs_on(&k, d.architecture)) {
                    ran++;
                    atn_kernel_settle(&k, d.architecture);
                    if (atn_tile_of_choice(&k, BIG))
                        check_simulated(cx, c, &sel, &k, &d);
                }
                atn_kernel_release(cx, &k);
                CHECK(ran > 0 || atn_device_id(g + 1));
            }
        atn_selection_release(cx, &sel);
        atn_capture_close(cx, c);
    }
}

CHECK_MAIN({"times are those of simulate", as_simulated},
           {"CTAs of masks are those of their pairs", ctas_of_masks},
           {"CTAs of groups", ctas_of_groups}, {"groups as a mask", groups_as_a_mask},
           {"what is no list of CTAs", no_lists_of_ctas},
           {"fronts and hybrids against all choices", fronts_and_hybrids},
           {"the whole reads its weights", the_whole_reads_its_weights},
           {"heads of a group", heads_of_a_group},
           {"CTAs of a hostile file", hostile_ctas},
           {"memory and threads", memory_and_threads},
           {"launches have no ratio", launches}, {"what is refused", refused})
