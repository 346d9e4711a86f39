/* Runs over captures of every kind of layer: what the tables say, against sets of keys
 * and sums of its own. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "kind_capture.h"

#include <unistd.h>

#include "analysis/approx.h"

enum { TOP = 4, WINDOW = 5, BEST = 3 };

static const int kinds[] = {KIND_GQA,  KIND_WINDOW, KIND_PADDED, KIND_SINK,
                            KIND_FULL, KIND_DECODE, KIND_ONE};
enum { LAYERS = sizeof kinds / sizeof *kinds };

typedef struct setting {
    kind_layer *l[LAYERS];
    atn_capture *c;
    atn_selection sel;
} setting;

static void open_kinds(atn_ctx *cx, const char *name, const int *kind, int n,
                       unsigned with, const char *heads, setting *s)
{
    const atn_select_args args = {.heads = heads};

    memset(s, 0, sizeof *s);
    for (int i = 0; i < n; i++) s->l[i] = make_kind(kind[i], (uint64_t)(i + 1));
    s->c = kind_capture(cx, name, s->l, n, with, NULL, NULL, NULL);
    CHECK_OK(atn_select(cx, s->c, &args, &s->sel));
}

static void close_kinds(atn_ctx *cx, setting *s)
{
    atn_selection_release(cx, &s->sel);
    atn_capture_close(cx, s->c);
    for (int i = 0; i < LAYERS; i++) free(s->l[i]);
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

/* ---- sums of its own ---- */

typedef struct sums {
    double mass, error2, size2, error2_w, size2_w, recall, kept, kv, mean, rows;
    double empty, visible, pairs;
} sums;

/* Key j is among the k largest of p. */
static bool among(const double *p, const bool *sees, atn_idx nk, atn_idx j, atn_idx k)
{
    atn_idx before = 0;

    for (atn_idx i = 0; i < nk; i++)
        before += sees[i] && (p[i] > p[j] || (p[i] == p[j] && i < j));
    return sees[j] && before < k;
}

static void behind(const kind_layer *l, atn_idx h, const double *x, double *square)
{
    for (int e = 0; e < KIND_WIDTH; e++) {
        double y = 0;

        for (int c = 0; c < KIND_DV; c++)
            y += x[c] * (double)l->w_o[(h * KIND_DV + c) * KIND_WIDTH + e];
        *square += y * y;
    }
}

/* Which keys: that many best ones where it is above 0, else the last WINDOW of each row
 * or as many best ones as these are. */
enum { LAST = 0, AS_MANY = -1 };

static bool is_last(const atn_head *a, const bool *sees, atn_idx i, atn_idx j)
{
    return sees[j] && j > i + a->sight.offset - WINDOW && j <= i + a->sight.offset;
}

static sums sum_up(const kind_layer *l, atn_idx h, atn_idx keys)
{
    const atn_head *a = &l->head[h];
    sums s = {0};

    for (atn_idx i = 0; i < a->nq; i++) {
        double logit[KIND_N], p[KIND_N], m = 0, all = 0, o[KIND_DV] = {0};
        double dense[KIND_DV] = {0}, off[KIND_DV];
        bool sees[KIND_N];
        atn_idx kept = 0, hits = 0, top = 0;
        const int seen = kind_row(a, i, logit, p, sees);
        atn_idx best = keys;
        double rest;

        if (seen == 0) continue;
        if (keys == AS_MANY) best = 0;
        for (atn_idx j = 0; j < a->nk && keys == AS_MANY; j++)
            best += is_last(a, sees, i, j);
        for (atn_idx j = 0; j < a->nk; j++) {
            const bool in =
                keys == LAST ? is_last(a, sees, i, j) : among(p, sees, a->nk, j, best);

            all += p[j];
            if (among(p, sees, a->nk, j, TOP)) {
                top++;
                hits += in;
            }
            for (int c = 0; c < KIND_DV; c++) {
                dense[c] += p[j] * (double)atn_crow(a->v, j)[c];
                if (in) o[c] += p[j] * (double)atn_crow(a->v, j)[c];
            }
            if (!in) continue;
            m += p[j];
            kept++;
        }
        rest = 1 - all;
        for (int c = 0; c < KIND_DV; c++) {
            off[c] = dense[c] - (m > 0 ? o[c] / (m + rest) : 0);
            s.error2 += off[c] * off[c];
            s.size2 += dense[c] * dense[c];
        }
        behind(l, h, off, &s.error2_w);
        behind(l, h, dense, &s.size2_w);
        s.mass += m / all;
        s.recall += (double)hits / (double)top;
        s.kept += (double)kept;
        s.kv = fmax(s.kv, (double)kept);
        s.mean += (double)kept / (double)seen;
        s.empty += kept == 0;
        s.visible += seen;
        s.rows++;
    }
    return s;
}

static void check_row(const setting *s, const atn_table *t, atn_idx row)
{
    const int layer = (int)cell(t, row, "layer");
    const atn_idx h = (atn_idx)cell(t, row, "head");
    const kind_layer *l = s->l[layer];
    const bool best = strcmp(text(t, row, "method"), "topk") == 0;
    const sums w = sum_up(l, h, best ? BEST : LAST);
    const sums o = sum_up(l, h, best ? BEST : AS_MANY);
    const atn_head *a = &l->head[h];
    const double real = (double)(a->sight.key_last - a->sight.key_first);

    CHECK_NEAR(cell(t, row, "retained_mass_mean"), w.mass / w.rows, 1e-5);
    CHECK_NEAR(cell(t, row, "output_error_relative"), sqrt(w.error2 / w.size2), 2e-5);
    CHECK_NEAR(cell(t, row, "output_error_w_o_relative"), sqrt(w.error2_w / w.size2_w),
               2e-5);
    CHECK_NEAR(cell(t, row, "topk_recall"), w.recall / w.rows, 1e-12);
    CHECK_NEAR(cell(t, row, "kept"), w.kept, 0);
    CHECK_NEAR(cell(t, row, "executed_share"), w.kept / w.visible, 1e-12);
    CHECK_NEAR(cell(t, row, "density_kv"), w.kv / real, 1e-12);
    CHECK_NEAR(cell(t, row, "density_mean"), w.mean / w.rows, 1e-12);
    CHECK_NEAR(cell(t, row, "empty_rows"), w.empty, 0);
    if (a->sight.causal)
        CHECK_NEAR(cell(t, row, "density_causal"), w.kept / w.visible, 1e-12);
    else
        CHECK(isnan(cell(t, row, "density_causal")));
    CHECK_STR(text(t, row, "tile"), "1x1");
    if (a->sight.causal)
        CHECK_STR(text(t, row, "lookahead"), "none");
    else
        CHECK(text(t, row, "lookahead") == NULL);
    CHECK(cell(t, row, "ssa_bound_slack_least") >= 0);
    CHECK_NEAR(o.kept, w.kept, 0);
    CHECK_NEAR(cell(t, row, "oracle_retained_mass"), o.mass / o.rows, 1e-5);
    CHECK_NEAR(cell(t, row, "oracle_error_relative"), sqrt(o.error2 / o.size2), 2e-5);
}

static void every_layer(atn_ctx *cx)
{
    const atn_approx_opts o = {.methods = "window:window=5,topk:k=3", .top_k = TOP};
    atn_approx *a = NULL;
    atn_table *t = NULL;
    setting s;

    open_kinds(cx, "approx_every", kinds, LAYERS, WITH_W_O, NULL, &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &t));
    CHECK_EQ(atn_table_rows(t), 2 * LAYERS * KIND_HEADS);
    CHECK_EQ(atn_approx_failed(a), 0);
    for (atn_idx r = 0; r < atn_table_rows(t); r++) check_row(&s, t, r);
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* Means of heads, of layers; the other tables say the same. */
static void means(atn_ctx *cx)
{
    const atn_approx_opts o = {.methods = "window,topk,moba:block=4",
                               .budgets = "30%,k=4"};
    double layer_sum = 0;
    atn_approx *a = NULL;
    atn_table *t[5] = {NULL};
    setting s;

    open_kinds(cx, "approx_means", kinds, 3, WITH_W_O, "0.1,0.2,1.3,2.0,2.5", &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &t[0]));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_LAYER, &t[1]));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_MODEL, &t[2]));
    CHECK_OK(atn_approx_pareto(cx, a, &t[3]));
    CHECK_OK(atn_approx_best(cx, a, &t[4]));
    CHECK_EQ(atn_table_rows(t[0]), 5 * 6);
    CHECK_EQ(atn_table_rows(t[1]), 3 * 6);
    CHECK_EQ(atn_table_rows(t[2]), 6);
    CHECK_EQ(atn_table_rows(t[3]), 6);
    CHECK_EQ(atn_table_rows(t[4]), 5 * 2);
    CHECK_STR(text(t[0], 0, "budget"), "30%");
    CHECK_STR(text(t[0], 1, "budget"), "k=4");
    for (int c = 0; c < 6; c++) {
        static const char *const name = "output_error_relative";
        const double first = (cell(t[0], c, name) + cell(t[0], 6 + c, name)) / 2;

        CHECK_NEAR(cell(t[1], c, name), first, 1e-12);
        CHECK_NEAR(
            cell(t[2], c, name),
            (cell(t[1], c, name) + cell(t[1], 6 + c, name) + cell(t[1], 12 + c, name)) /
                3,
            1e-12);
        CHECK_NEAR(cell(t[3], c, name), cell(t[2], c, name), 0);
        CHECK_NEAR(cell(t[3], c, "heads"), 5, 0);
        layer_sum += cell(t[1], c, "executed_share");
        CHECK_LE(cell(t[0], c, "executed_share"), c % 2 ? .3 : .3 + 1e-12);
    }
    CHECK(layer_sum > 0);
    /* the best of the first head at the first budget, oracles apart */
    {
        double least = INFINITY;

        for (int c = 0; c < 6; c += 2)
            if (strcmp(text(t[0], c, "budget_fit"), "least") != 0 &&
                strcmp(text(t[0], c, "family"), "oracle") != 0)
                least = fmin(least, cell(t[0], c, "output_error_relative"));
        CHECK_NEAR(cell(t[4], 0, "output_error_relative"), least, 0);
        CHECK(!(cell(t[4], 0, "gain") < 0));
        CHECK_NEAR(cell(t[4], 0, "second_error_relative") - least,
                   cell(t[4], 0, "gain"), 1e-15);
    }
    for (int i = 0; i < 5; i++) atn_table_destroy(cx, t[i]);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* The estimate of sea is the true mass, and borders of dhsa_v1 need later rows. */
static bool is_oracle(const atn_table *t, atn_idx row)
{
    static const char *const ids[] = {"topk", "sea", "dhsa_v1"};
    bool is = false;

    for (size_t i = 0; i < ATN_LEN(ids); i++)
        is |= strcmp(text(t, row, "method"), ids[i]) == 0 &&
              !strstr(text(t, row, "parameters"), "performer");
    return is;
}

/* No point of the front is bettered, and what is not on it is; oracles stand apart. */
static void the_front(atn_ctx *cx)
{
    const atn_approx_opts o = {
        .methods = "window,topk,stream,strided,dhsa_v1:block=4,local=1,global=0,w=1,"
                   "sea:columns=32,sea:columns=32,estimate=performer",
        .budgets = "10%,40%"};
    atn_approx *a = NULL;
    atn_table *t = NULL;
    setting s;

    open_kinds(cx, "approx_front", kinds, 1, WITH_W_O, NULL, &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_pareto(cx, a, &t));
    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        bool beaten = false;

        if (is_oracle(t, i)) {
            CHECK(!atn_table_has(t, i, atn_table_find_col(t, "on_front")));
            continue;
        }
        for (atn_idx j = 0; j < atn_table_rows(t); j++) {
            const double dx =
                cell(t, i, "executed_share") - cell(t, j, "executed_share");
            const double dy = cell(t, i, "output_error_relative") -
                              cell(t, j, "output_error_relative");

            beaten |= !is_oracle(t, j) && dx >= 0 && dy >= 0 && dx + dy > 0;
        }
        CHECK_EQ(cell(t, i, "on_front") != 0, !beaten);
    }
    atn_table_destroy(cx, t);
    CHECK_OK(atn_approx_best(cx, a, &t));
    for (atn_idx i = 0; i < atn_table_rows(t); i++) CHECK(!is_oracle(t, i));
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* The best of a head keeps to the budget by itself: sea shares one out over heads, and
 * among oracles alone it may be chosen. */
static void each_head_within(atn_ctx *cx)
{
    const atn_approx_opts o = {.methods = "sea:columns=32,threshold:t=1",
                               .budgets = "20%,40%"};
    atn_table *t = NULL, *all = NULL;
    atn_approx *a = NULL;
    bool more = false;
    setting s;

    open_kinds(cx, "approx_within", kinds, 1, 0, NULL, &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &all));
    for (atn_idx i = 0; i < atn_table_rows(all); i++)
        more |=
            cell(all, i, "executed_share") > atof(text(all, i, "budget")) / 100 + 1e-9;
    CHECK(more); /* some head of sea does execute more than its part */
    CHECK_OK(atn_approx_best(cx, a, &t));
    CHECK_EQ(atn_table_rows(t), 2 * KIND_HEADS);
    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        CHECK(cell(t, i, "executed_share") <= atof(text(t, i, "budget")) / 100 + 1e-9);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, all);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* No weight is above 1: that plan executes nothing and errs by 1, and is neither on the
 * front nor the best; nor does it push off what errs as much or more. */
static void what_keeps_nothing(atn_ctx *cx)
{
    static const int full[] = {KIND_FULL};
    const atn_approx_opts o = {.methods = "threshold:t=1,topk:k=1,topk:k=3"},
                          alone = {.methods = "threshold:t=1"};
    atn_approx *a = NULL;
    atn_table *t = NULL;
    setting s;

    open_kinds(cx, "approx_nothing", full, 1, 0, NULL, &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_pareto(cx, a, &t));
    CHECK_NEAR(cell(t, 0, "executed_share"), 0, 0);
    CHECK_NEAR(cell(t, 0, "output_error_relative"), 1, 1e-6);
    CHECK(cell(t, 0, "on_front") == 0);
    CHECK(cell(t, 1, "output_error_relative") > 1);
    CHECK(cell(t, 1, "on_front") == 1 && cell(t, 2, "on_front") == 1);
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &alone, &a));
    CHECK_OK(atn_approx_best(cx, a, &t));
    CHECK_EQ(atn_table_rows(t), 0);
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* Gates of the last head are of a wrong size: ssa is left out of a family with the heads
 * that it was done with, here and in the dump, at any number of threads. */
static void nothing_by_halves(atn_ctx *cx)
{
    static float gate[KIND_N];
    char file[700], dir[700], name[64];
    atn_approx_opts o = {.methods = "block", .draws = file, .dump = dir};
    atn_st_out t = {name, ATN_F32, 1, {KIND_N - 1}, gate};
    setting s;

    open_kinds(cx, "approx_halves", kinds, 1, 0, NULL, &s);
    snprintf(name, sizeof name, "gates.layer-000.head-%03d", KIND_HEADS - 1);
    snprintf(file, sizeof file, "%s/g.safetensors",
             check_scratch("approx_halves_file"));
    CHECK_OK(atn_st_save(cx, file, &t, 1, NULL, true, NULL));
    for (int i = 0; i < 2; i++) {
        atn_table *table = NULL;
        atn_approx *a = NULL;
        char path[800];

        cx->threads = i ? 4 : 1;
        snprintf(dir, sizeof dir, "%s/out", check_scratch("approx_halves_dump"));
        CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
        CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &table));
        CHECK(atn_table_rows(table) > 0);
        for (atn_idx r = 0; r < atn_table_rows(table); r++)
            CHECK(strcmp(text(table, r, "method"), "ssa") != 0);
        snprintf(path, sizeof path, "%s/ssa", dir);
        CHECK(!atn_dir_exists(path));
        snprintf(path, sizeof path, "%s/moba/plan.json", dir);
        CHECK(atn_file_exists(path));
        atn_table_destroy(cx, table);
        atn_approx_destroy(cx, a);
    }
    cx->threads = 1;
    close_kinds(cx, &s);
}

/* Rows of attention alone; and without values errors stay empty. */
static void less_than_all(atn_ctx *cx)
{
    static const int weights[] = {KIND_WEIGHTS}, causal[] = {KIND_GQA};
    atn_approx_opts o = {.methods = "window:window=5,topk:k=3,block"};
    atn_approx *a = NULL;
    atn_table *t = NULL;
    setting s;

    open_kinds(cx, "approx_p", weights, 1, 0, NULL, &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &t));
    CHECK_EQ(atn_table_rows(t), 2 * KIND_HEADS); /* those of blocks read queries */
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const bool best = strcmp(text(t, r, "method"), "topk") == 0;
        const sums w = sum_up(s.l[0], (atn_idx)cell(t, r, "head"), best ? BEST : LAST);

        CHECK_NEAR(cell(t, r, "retained_mass_mean"), w.mass / w.rows, 1e-5);
        CHECK(cell(t, r, "output_error_relative") > 0);
    }
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    o.methods = "moba";
    CHECK_FAILS(atn_approx_run(cx, s.c, &s.sel, &o, &a), ATN_DATA,
                "moba reads queries and keys");
    close_kinds(cx, &s);
    open_kinds(cx, "approx_no_v", causal, 1, WITHOUT_V, NULL, &s);
    o.methods = "window,topk:k=3,moba:block=8";
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &t));
    CHECK_EQ(atn_table_rows(t), 3 * KIND_HEADS);
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        CHECK(isnan(cell(t, r, "output_error_relative")));
        CHECK(isnan(cell(t, r, "oracle_error_relative")));
        CHECK(isnan(cell(t, r, "ssa_bound_mean")));
        CHECK(cell(t, r, "retained_mass_mean") > 0);
        CHECK(cell(t, r, "oracle_retained_mass") > 0);
    }
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* A sample of rows is near all of them, and what is counted stays. */
static void a_sample(atn_ctx *cx)
{
    atn_approx_opts o = {.methods = "topk:k=3,combiner"};
    atn_table *t[2] = {NULL, NULL};
    setting s;

    open_kinds(cx, "approx_sample", kinds, 1, WITH_W_O, NULL, &s);
    for (int i = 0; i < 2; i++) {
        atn_approx *a = NULL;

        o.sample = i ? 20 : 0;
        CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
        CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_MODEL, &t[i]));
        atn_approx_destroy(cx, a);
    }
    for (atn_idx r = 0; r < 2; r++) {
        CHECK_NEAR(cell(t[0], r, "kept"), cell(t[1], r, "kept"), 0);
        CHECK_NEAR(cell(t[0], r, "kl_mean_nats"), cell(t[1], r, "kl_mean_nats"), .5);
    }
    CHECK_NEAR(cell(t[0], 0, "retained_mass_mean"), cell(t[1], 0, "retained_mass_mean"),
               .1);
    CHECK(cell(t[0], 0, "retained_mass_mean") != cell(t[1], 0, "retained_mass_mean"));
    /* summaries of segments stand for everything, which is no choice */
    for (int i = 0; i < 2; i++) CHECK(isnan(cell(t[i], 1, "retained_mass_mean")));
    /* the best three keys of the rows drawn are those of these rows */
    for (int i = 0; i < 2; i++)
        CHECK_NEAR(cell(t[i], 0, "oracle_retained_mass"),
                   cell(t[i], 0, "retained_mass_mean"), 1e-6);
    for (int i = 0; i < 2; i++) atn_table_destroy(cx, t[i]);
    o.sample = 2;
    {
        atn_approx *a = NULL;

        CHECK_FAILS(atn_approx_run(cx, s.c, &s.sel, &o, &a), ATN_USAGE, "too small");
    }
    close_kinds(cx, &s);
}

/* Outputs and plans in files: a window on a layer with padding, and groups of keys. */
static void a_dump(atn_ctx *cx)
{
    static const int padded[] = {KIND_PADDED};
    atn_approx_opts o = {.methods = "window:window=5,combiner,window:window=2"};
    const atn_st_tensor *t;
    char dir[700], path[800];
    atn_approx *a = NULL;
    const json_t *layer, *head, *rows;
    json_t *plan = NULL;
    atn_st *f = NULL;
    setting s;

    open_kinds(cx, "approx_dump", padded, 1, WITH_W_O, "1,4", &s);
    snprintf(dir, sizeof dir, "%s/out", check_scratch("approx_dump_out"));
    o.dump = dir;
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    atn_approx_destroy(cx, a);
    snprintf(path, sizeof path, "%s/window/layer-000.safetensors", dir);
    CHECK_OK(atn_st_open(cx, path, &f));
    t = atn_st_find(f, "o");
    CHECK(t && t->rank == 3 && t->shape[0] == 2 && t->shape[1] == KIND_N &&
          t->shape[2] == KIND_DV);
    for (int place = 0; place < 2; place++)
        for (atn_idx i = 0; i < KIND_N; i++) {
            const atn_head *h = &s.l[0]->head[place ? 4 : 1];
            double logit[KIND_N], p[KIND_N], m = 0, want[KIND_DV] = {0};
            bool sees[KIND_N];

            kind_row(h, i, logit, p, sees);
            for (atn_idx j = ATN_MAX(i - 4, 0); j <= i; j++) m += p[j];
            for (atn_idx j = ATN_MAX(i - 4, 0); j <= i; j++)
                for (int c = 0; c < KIND_DV && m > 0; c++)
                    want[c] += p[j] / m * (double)atn_crow(h->v, j)[c];
            for (int c = 0; c < KIND_DV; c++) {
                float got;

                memcpy(&got,
                       (const char *)t->data + 4 * ((place * KIND_N + i) * KIND_DV + c),
                       4);
                CHECK_NEAR(got, want[c], 1e-5);
            }
        }
    atn_st_close(cx, f);
    snprintf(path, sizeof path, "%s/window-2/plan.json", dir);
    CHECK_OK(atn_json_load(cx, path, false, &plan));
    CHECK_STR(json_string_value(json_object_get(plan, "method")), "window");
    layer = json_array_get(json_object_get(plan, "layers"), 0);
    CHECK_EQ(json_integer_value(json_object_get(layer, "first_key")), 5);
    head = json_array_get(json_object_get(layer, "heads"), 1);
    CHECK_EQ(json_integer_value(json_object_get(head, "head")), 4);
    head = json_array_get(json_object_get(head, "branches"), 0);
    head = json_array_get(json_object_get(head, "parts"), 0);
    head = json_object_get(head, "pattern");
    CHECK_EQ(json_integer_value(json_object_get(head, "keys")), KIND_N - 5);
    head = json_array_get(json_object_get(head, "heads"), 0);
    rows = json_array_get(json_object_get(head, "rows"), 9);
    CHECK_EQ(json_integer_value(json_array_get(json_array_get(rows, 0), 0)), 8);
    CHECK_EQ(json_integer_value(json_array_get(json_array_get(rows, 0), 1)), 10);
    json_decref(plan);
    snprintf(path, sizeof path, "%s/combiner/plan.json", dir);
    CHECK_OK(atn_json_load(cx, path, false, &plan));
    json_decref(plan);
    /* once more: refused, then replaced, then nothing of it is left by a failure */
    CHECK_FAILS(atn_approx_run(cx, s.c, &s.sel, &o, &a), ATN_CANTCREATE, "--force");
    o.methods = "causal";
    o.force = true;
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    atn_approx_destroy(cx, a);
    CHECK(!atn_file_exists(path));
    snprintf(path, sizeof path, "%s/causal/plan.json", dir);
    CHECK(atn_file_exists(path));
    o.methods = "window,gna:shape=2x2";
    CHECK_FAILS(atn_approx_run(cx, s.c, &s.sel, &o, &a), ATN_USAGE, "gna");
    CHECK(atn_file_exists(path));
    close_kinds(cx, &s);
}

/* Gates of a trained model, here 1/4 for all rows of head 1: its output is a quarter. A
 * budget is fitted all the same, though the file has nothing else. */
static void given_gates(atn_ctx *cx)
{
    static float gate[KIND_N];
    const atn_st_out t = {"gates.layer-000.head-001", ATN_F32, 1, {KIND_N}, gate};
    atn_approx_opts o = {.methods = "ssa:block=4", .budgets = "60%", .dump = NULL};
    char file[700], dir[2][700], path[1500];
    atn_approx *a = NULL;
    atn_st *f[2] = {NULL, NULL};
    const float *x[2];
    setting s;

    for (int i = 0; i < KIND_N; i++) gate[i] = .25f;
    open_kinds(cx, "approx_gates", kinds, 1, 0, "0,1", &s);
    snprintf(file, sizeof file, "%s/g.safetensors", check_scratch("approx_gates_file"));
    CHECK_OK(atn_st_save(cx, file, &t, 1, NULL, true, NULL));
    for (int i = 0; i < 2; i++) {
        snprintf(dir[i], sizeof dir[i], "%s/out",
                 check_scratch(i ? "approx_gates_b" : "approx_gates_a"));
        o.dump = dir[i];
        o.draws = i ? file : NULL;
        CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
        atn_approx_destroy(cx, a);
        snprintf(path, sizeof path, "%s/ssa/layer-000.safetensors", dir[i]);
        CHECK_OK(atn_st_open(cx, path, &f[i]));
        x[i] = atn_st_find(f[i], "o")->data;
    }
    for (atn_idx e = 0; e < 2 * KIND_N * KIND_DV; e++) {
        float without, with;

        memcpy(&without, (const char *)x[0] + 4 * e, 4);
        memcpy(&with, (const char *)x[1] + 4 * e, 4);
        CHECK_NEAR(with, e < KIND_N * KIND_DV ? without : .25 * without, 1e-7);
    }
    for (int i = 0; i < 2; i++) atn_st_close(cx, f[i]);
    close_kinds(cx, &s);
}

/* ---- temperatures, masks ---- */

static const int warmed[] = {KIND_SINK, KIND_ALIBI, KIND_WINDOW, KIND_FULL,
                             KIND_DECODE};
enum { WARMED = sizeof warmed / sizeof *warmed };

/* Mean over the rows of the entropy of P^t, shared out over the keys. */
static double entropy_at(const kind_layer *l, atn_idx h, double t)
{
    const atn_head *a = &l->head[h];
    double all = 0, rows = 0;

    for (atn_idx i = 0; i < a->nq; i++) {
        double logit[KIND_N], p[KIND_N], sum = 0, entropy = 0;
        bool sees[KIND_N];

        if (kind_row(a, i, logit, p, sees) == 0) continue;
        for (atn_idx j = 0; j < a->nk; j++) sum += sees[j] ? pow(p[j], t) : 0;
        for (atn_idx j = 0; j < a->nk; j++)
            if (sees[j] && p[j] > 0)
                entropy -= pow(p[j], t) / sum * log(pow(p[j], t) / sum);
        all += entropy;
        rows++;
    }
    return all / rows;
}

/* Twice the logits are those of a capture with twice the scale, slope, cap and sink. */
static void temperatures(atn_ctx *cx)
{
    const atn_approx_opts sweep = {.methods = "window:window=5,topk",
                                   .budgets = "k=3",
                                   .sweep = "temperature=.5,2,1"};
    const atn_approx_opts plain = {
        .methods = "window:window=5,topk", .budgets = "k=3", .matrix = true};
    atn_table *t = NULL, *u = NULL;
    atn_approx *a = NULL, *b = NULL;
    setting s, hot;
    int from;

    open_kinds(cx, "approx_warm", warmed, WARMED, WITH_W_O, NULL, &s);
    memset(&hot, 0, sizeof hot);
    for (int i = 0; i < WARMED; i++) {
        hot.l[i] = make_kind(warmed[i], (uint64_t)(i + 1));
        hot.l[i]->p.scale *= 2;
        hot.l[i]->p.sight.softcap *= 2;
        for (int h = 0; h < KIND_HEADS; h++) {
            hot.l[i]->sink[h] *= 2;
            hot.l[i]->slope[h] *= 2;
        }
    }
    hot.c = kind_capture(cx, "approx_hot", hot.l, WARMED, WITH_W_O, NULL, NULL, NULL);
    CHECK_OK(atn_select(cx, hot.c, &(atn_select_args){0}, &hot.sel));
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &sweep, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &t));
    CHECK_OK(atn_approx_run(cx, hot.c, &hot.sel, &plain, &b));
    CHECK_OK(atn_approx_table(cx, b, ATN_KEYS_HEAD, &u));
    from = atn_table_find_col(t, "retained_mass_mean");
    CHECK_EQ(atn_table_rows(t), 3 * atn_table_rows(u));
    CHECK_EQ(atn_table_find_col(u, "temperature"), -1);
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double at = cell(t, r, "temperature");
        const kind_layer *l = s.l[(int)cell(t, r, "layer")];
        const atn_idx same = r / 6 * 2 + r % 2;

        CHECK_NEAR(cell(t, r, "row_entropy_mean_nats"),
                   entropy_at(l, (atn_idx)cell(t, r, "head"), at), 1e-5);
        CHECK(at == (r % 6 < 2 ? .5 : r % 6 < 4 ? 2 : 1));
        for (int c = from; at == 2 && c < atn_table_cols(t); c++) {
            const double x = atn_table_get_f64(t, r, c);
            const double y = atn_table_get_f64(u, same, c - 1);

            if (atn_table_col_type(t, c) != ATN_COL_F64) continue;
            if (!(x == y || (isnan(x) && isnan(y))))
                fail_msg("row %d, %s: %.9g, wanted %.9g", (int)r,
                         atn_table_col_name(t, c), x, y);
        }
    }
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, u);
    atn_approx_destroy(cx, a);
    atn_approx_destroy(cx, b);
    close_kinds(cx, &s);
    close_kinds(cx, &hot);
}

/* Without a mask every row sees all keys but padding. */
static void masks_taken_off(atn_ctx *cx)
{
    const atn_approx_opts o = {.methods = "topk:k=3", .unmasked = true};
    atn_approx *a = NULL;
    atn_table *t = NULL;
    setting s;

    open_kinds(cx, "approx_unmasked", kinds, LAYERS, WITH_W_O, NULL, &s);
    CHECK_OK(atn_approx_run(cx, s.c, &s.sel, &o, &a));
    CHECK_OK(atn_approx_table(cx, a, ATN_KEYS_HEAD, &t));
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const kind_layer *l = s.l[(int)cell(t, r, "layer")];
        const atn_sight *sight = &l->p.sight;
        const double nk = (double)(sight->key_last - sight->key_first);

        CHECK(isnan(cell(t, r, "density_causal")));
        CHECK(text(t, r, "lookahead") == NULL);
        CHECK_NEAR(cell(t, r, "density_mean"), fmin(3, nk) / nk, 1e-12);
        CHECK_NEAR(cell(t, r, "density_full"), fmin(3, nk) / nk, 1e-12);
    }
    atn_table_destroy(cx, t);
    atn_approx_destroy(cx, a);
    close_kinds(cx, &s);
}

/* Weights alone have no logits, and their mask is in them. */
static void of_weights_alone(atn_ctx *cx)
{
    const int weights = KIND_WEIGHTS;
    atn_approx_opts o = {.methods = "topk:k=3", .sweep = "temperature=1:2"};
    atn_approx *a = NULL;
    setting s;

    open_kinds(cx, "approx_weights", &weights, 1, 0, NULL, &s);
    CHECK_FAILS(atn_approx_run(cx, s.c, &s.sel, &o, &a), ATN_DATA,
                "no logits to multiply");
    o.sweep = NULL;
    o.unmasked = true;
    CHECK_FAILS(atn_approx_run(cx, s.c, &s.sel, &o, &a), ATN_DATA, "with the mask in");
    close_kinds(cx, &s);
}

static void run_without(const atn_approx_opts *o, const setting *s)
{
    atn_status st = ATN_MEMORY;

    for (long left = 0; st != ATN_OK && left < 40000; left += 1 + left / 8) {
        check_failing f = {left};
        atn_approx *a = NULL;
        atn_ctx broken;

        atn_ctx_init(&broken);
        broken.threads = 1;
        broken.log_level = ATN_LOG_ERROR;
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_approx_run(&broken, s->c, &s->sel, o, &a);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_approx_destroy(&broken, a);
        atn_ctx_release(&broken);
    }
    CHECK(st == ATN_OK);
}

/* Also with draws that are kept, and with those of a dump. */
static void without_memory(atn_ctx *cx)
{
    atn_approx_opts o = {.methods = "window:window=5,topk:k=3", .budgets = "20%"};
    char dir[2][700];
    setting s;

    for (int i = 0; i < 2; i++)
        snprintf(dir[i], sizeof dir[i], "%s/out",
                 check_scratch(i ? "approx_memory_b" : "approx_memory_a"));
    open_kinds(cx, "approx_memory", kinds, 1, WITH_W_O, "0", &s);
    run_without(&o, &s);
    o.sweep = "temperature=1:2";
    run_without(&o, &s);
    o.sweep = NULL;
    o.methods = "reformer:bucket=2,n_hashes=2";
    o.budgets = "60%";
    o.force = true;
    o.dump = dir[0];
    run_without(&o, &s);
    o.draws = dir[0];
    o.dump = dir[1];
    run_without(&o, &s);
    close_kinds(cx, &s);
}

/* ---- what is stated ---- */

/* A run below the limit that it states goes through; below less it does not begin, and
 * makes no dump. */
static void keeps_to_stated(atn_ctx *cx, const setting *s, const atn_approx_opts *o)
{
    atn_approx_cost cost;
    atn_approx *a = NULL;

    CHECK_OK(atn_approx_estimate(cx, s->c, &s->sel, o, &cost));
    CHECK_LE(*cx->in_use, cost.in_use);
    cx->mem_limit = (size_t)(cost.bytes + cost.in_use) - 1;
    CHECK(atn_approx_run(cx, s->c, &s->sel, o, &a) == ATN_MEMORY);
    CHECK(!o->dump || access(o->dump, F_OK) != 0);
    atn_err_clear(cx);
    cx->mem_limit = (size_t)ceil(cost.bytes + cost.in_use);
    CHECK_OK(atn_approx_run(cx, s->c, &s->sel, o, &a));
    cx->mem_limit = 0;
    atn_approx_destroy(cx, a);
}

static void stated_memory(atn_ctx *cx)
{
    char dump[600];
    const atn_approx_opts o[] = {
        {.methods = "all"},
        {.methods = "all", .budgets = "20%,k=3"},
        {.methods = "all", .budgets = "50%", .dump = dump},
        {.methods = "all", .sweep = "temperature=.5:4"},
        {.methods = "all", .sweep = "budget=2:8", .unmasked = true},
        {.methods = "oracle,kernel", .budgets = "k=6,30%", .unmasked = true},
        {.methods = "oracle,kernel,low_rank,recurrent"},
    };
    setting s;

    snprintf(dump, sizeof dump, "%s/out", check_scratch("approx_stated"));
    open_kinds(cx, "approx_stated_run", kinds, LAYERS, WITH_W_O, NULL, &s);
    cx->log_level = ATN_LOG_ERROR;
    for (size_t k = 0; k < ATN_LEN(o); k++) keeps_to_stated(cx, &s, &o[k]);
    close_kinds(cx, &s);
}

CHECK_MAIN({"every layer", every_layer}, {"means", means}, {"the front", the_front},
           {"each head within", each_head_within},
           {"what keeps nothing", what_keeps_nothing},
           {"nothing by halves", nothing_by_halves}, {"less than all", less_than_all},
           {"a sample", a_sample}, {"a dump", a_dump}, {"given gates", given_gates},
           {"temperatures", temperatures}, {"masks taken off", masks_taken_off},
           {"of weights alone", of_weights_alone}, {"without memory", without_memory},
           {"stated memory", stated_memory})
