/* The comparisons asked for one by one: golden numbers, and a dense twin pair by pair. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "similarity_model.h"

enum { MAX = 48, MAX_KEYS = 12 };

typedef double dense[MAX][MAX];

/* One layer of `heads` heads with the rows given, every key visible. */
static atn_similarity_part given(atn_ctx *cx, const float *p, atn_idx heads, atn_idx nq,
                                 atn_idx nk, const atn_similarity_opts *o)
{
    const atn_problem layer = {.heads = heads,
                               .kv_heads = heads,
                               .nq = nq,
                               .nk = nk,
                               .p = p,
                               .sight = {.key_last = nk}};
    atn_similarity_part part;

    CHECK_OK(atn_similarity_compare(cx, &layer, 1, NULL, NULL, 0, o, &part));
    return part;
}

/* Uniform against one-hot, and two disjoint one-hots: in closed form with a = .99925, b =
 * .00025 for the hot key and the others. */
static void smoothed_by_hand(atn_ctx *cx)
{
    const float p[] = {.25f, .25f, .25f, .25f, 0, 0, 1, 0, 1, 0, 0, 0};
    const atn_similarity_opts o = {.smoothed = true};
    atn_similarity_part s = given(cx, p, 3, 1, 4, &o);

    CHECK_NEAR(s.head_extra[ATN_SIM_JS_SMOOTHED][1], .377514, 1e-6);
    CHECK_NEAR(s.head_extra[ATN_SIM_JS_SMOOTHED][5], .690477, 1e-6);
    CHECK_NEAR(s.head_extra[ATN_SIM_JS_SMOOTHED][4], 0, 0);
    CHECK(!s.head_js && !s.head_extra[ATN_SIM_JACCARD]);
    atn_similarity_part_release(cx, &s);
}

/* Rows .1 .4 .4 .1: of the best two keys {1 2}; .4 .1 .1 .4: {0 3}, and {1 2} against .3 .3
 * .3 .1, {0 1} by the tie: 1/3. The sum over rows of equal heads is 0. */
static void jaccard_by_hand(atn_ctx *cx)
{
    const float p[] = {.1f, .4f, .4f, .1f, .4f, .1f, .1f, .4f, .3f, .3f, .3f, .1f};
    const atn_similarity_opts two = {.jaccard = 2}, all = {.jaccard = 9};
    atn_similarity_part s = given(cx, p, 3, 1, 4, &two);

    CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][0], 1, 0);
    CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][1], 0, 0);
    CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][2], 1 / 3., 1e-15);
    CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][5], 1 / 3., 1e-15);
    atn_similarity_part_release(cx, &s);
    s = given(cx, p, 3, 1, 4, &all);
    for (int i = 0; i < 9; i++) CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][i], 1, 0);
    atn_similarity_part_release(cx, &s);
}

/* Column sums .3 .1 .2 .4 (ranks 2 0 1 3), .1 .3 .3 .3 (0 2 2 2) and uniform: d = .5 -1.5 -.5
 * 1.5 against -1.5 .5 .5 .5: -.75 -.75 -.25 +.75 = -1 over sqrt(5 * 3). */
static void spearman_by_hand(atn_ctx *cx)
{
    const float p[] = {.3f, .1f, .2f, .4f, .1f, .3f, .3f, .3f, .25f, .25f, .25f, .25f};
    const atn_similarity_opts o = {.spearman = true};
    atn_similarity_part s = given(cx, p, 3, 1, 4, &o);
    const double *x = s.head_extra[ATN_SIM_SPEARMAN];

    CHECK_NEAR(x[0], 1, 0);
    CHECK_NEAR(x[1], -1 / sqrt(15), 1e-12);
    CHECK_NEAR(x[3], x[1], 0);
    CHECK(isnan(x[2]) && isnan(x[8]));
    atn_similarity_part_release(cx, &s);
}

/* ---- the twin ---- */

static int best_of(const double *row, const bool *visible, atn_idx n, int k, bool *in)
{
    int taken = 0;

    memset(in, 0, (size_t)n * sizeof *in);
    for (; taken < k; taken++) {
        atn_idx best = -1;
        for (atn_idx j = 0; j < n; j++)
            if (visible[j] && !in[j] && (best < 0 || row[j] > row[best])) best = j;
        if (best < 0) break;
        in[best] = true;
    }
    return taken;
}

static double twin_jaccard(const atn_problem *p, const atn_problem *q, dense a, dense b,
                           const atn_similarity_opts *o)
{
    double sum = 0, rows = 0;

    for (atn_idx i = o->skip_rows; i < p->nq; i++) {
        bool va[MAX], vb[MAX], ka[MAX], kb[MAX];
        double sa = 0, sb = 0, both = 0, either = 0;

        for (atn_idx j = 0; j < p->nk; j++) {
            va[j] = sees(p, i, j) && j >= o->exclude_first;
            vb[j] = sees(q, i, j) && j >= o->exclude_first;
            sa += a[i][j];
            sb += b[i][j];
        }
        if (sa == 0 || sb == 0) continue;
        best_of(a[i], va, p->nk, (int)o->jaccard, ka);
        best_of(b[i], vb, p->nk, (int)o->jaccard, kb);
        for (atn_idx j = 0; j < p->nk; j++) {
            both += ka[j] && kb[j];
            either += ka[j] || kb[j];
        }
        sum += both / either;
        rows++;
    }
    return sum / rows;
}

static double twin_smoothed(const atn_problem *p, const atn_problem *q, dense a,
                            dense b, const atn_similarity_opts *o, double *total)
{
    double rows = 0;

    *total = 0;
    for (atn_idx i = o->skip_rows; i < p->nq; i++) {
        double sa = 0, sb = 0, na = 0, nb = 0;

        for (atn_idx j = 0; j < p->nk; j++) {
            na += sees(p, i, j) && j >= o->exclude_first;
            nb += sees(q, i, j) && j >= o->exclude_first;
            sa += a[i][j];
            sb += b[i][j];
        }
        if (sa == 0 || sb == 0) continue;
        rows++;
        for (atn_idx j = o->exclude_first; j < p->nk; j++) {
            const double x = sees(p, i, j) ? .999 * a[i][j] / sa + .001 / na : 0;
            const double y = sees(q, i, j) ? .999 * b[i][j] / sb + .001 / nb : 0;
            if (x > 0) *total += x * log(2 * x / (x + y)) / 2;
            if (y > 0) *total += y * log(2 * y / (x + y)) / 2;
        }
    }
    return *total / rows;
}

/* Ranks by counting. */
static void ranks(dense a, const atn_similarity_opts *o, atn_idx nq, atn_idx first,
                  atn_idx last, double *rank)
{
    double sum[MAX] = {0};

    for (atn_idx i = o->skip_rows; i < nq; i++)
        for (atn_idx j = 0; j < last; j++) sum[j] += a[i][j];
    for (atn_idx j = first; j < last; j++) {
        rank[j] = 0;
        for (atn_idx k = first; k < last; k++)
            rank[j] += fabs(sum[k] - sum[j]) < 1e-12 ? (k != j) / 2. : sum[k] < sum[j];
    }
}

static double twin_spearman(dense a, dense b, const atn_similarity_opts *o, atn_idx nq,
                            atn_idx first, atn_idx last)
{
    double x[MAX], y[MAX], xy = 0, xx = 0, yy = 0;
    const double mid = (double)(last - first - 1) / 2;

    ranks(a, o, nq, first, last, x);
    ranks(b, o, nq, first, last, y);
    for (atn_idx j = first; j < last; j++) {
        xy += (x[j] - mid) * (y[j] - mid);
        xx += (x[j] - mid) * (x[j] - mid);
        yy += (y[j] - mid) * (y[j] - mid);
    }
    return xy / sqrt(xx * yy);
}

/* CKA through n x n Gram matrices of the rows in `rows`. */
static double twin_cka(double x[MAX][8], double y[MAX][8], int n, int d, bool debiased)
{
    static double k[MAX][MAX], l[MAX][MAX];
    double s[3] = {0}; /* HSIC of kl, kk, ll */

    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            k[i][j] = l[i][j] = 0;
            for (int c = 0; c < d && !(debiased && i == j); c++) {
                k[i][j] += x[i][c] * x[j][c];
                l[i][j] += y[i][c] * y[j][c];
            }
        }
    for (int which = 0; which < 3; which++) {
        double(*a)[MAX] = which == 2 ? l : k, (*b)[MAX] = which == 1 ? k : l;
        double tr = 0, sa = 0, sb = 0, ab = 0;

        for (int i = 0; i < n; i++) {
            double ra = 0, rb = 0;
            for (int j = 0; j < n; j++) {
                tr += a[i][j] * b[i][j];
                ra += a[i][j];
                rb += b[i][j];
            }
            sa += ra;
            sb += rb;
            ab += ra * rb;
        }
        s[which] = debiased ? tr + sa * sb / ((n - 1.) * (n - 2)) - 2 * ab / (n - 2)
                            : tr - 2 * ab / n + sa * sb / n / n; /* tr K H L H */
    }
    return s[0] / sqrt(s[1] * s[2]);
}

static int outputs(const model *m, dense *w, int layer, atn_idx head, const bool *kept,
                   double out[MAX][8])
{
    const atn_problem *p = &m->p[layer];
    const float *v = p->v + head / (p->heads / p->kv_heads) * p->nk * p->dv;
    int n = 0;

    for (atn_idx i = 0; i < p->nq; i++) {
        if (!kept[i]) continue;
        for (atn_idx c = 0; c < p->dv; c++) {
            out[n][c] = 0;
            for (atn_idx j = 0; j < p->nk; j++)
                out[n][c] += w[head][i][j] * (double)v[j * p->dv + c];
        }
        n++;
    }
    return n;
}

static void check_twin(atn_ctx *cx, const model *m, const atn_similarity_opts *o)
{
    const atn_idx n = m->p[0].nq, heads = m->p[0].heads;
    atn_idx first = n, last = 0;
    atn_similarity_part s;
    bool kept[MAX];
    dense *w[8];

    CHECK_OK(compare(cx, m, o, &s));
    for (atn_idx i = 0; i < n; i++) kept[i] = i >= o->skip_rows;
    for (int l = 0; l < m->n; l++) {
        w[l] = calloc((size_t)heads, sizeof(dense));
        first = ATN_MIN(first, m->p[l].sight.key_first);
        last = ATN_MAX(last, m->p[l].sight.key_last);
        for (atn_idx h = 0; h < heads; h++)
            for (atn_idx i = 0; i < n; i++)
                if (!dense_row(&m->p[l], h, i, o->exclude_first, w[l][h][i]))
                    kept[i] = false;
    }
    first = ATN_MAX(first, o->exclude_first);
    for (atn_idx a = 0; a < s.heads; a++)
        for (atn_idx b = 0; b < s.heads; b++) {
            const int k = (int)(a / heads), l = (int)(b / heads);
            dense *x = &w[k][a % heads], *y = &w[l][b % heads];
            const atn_idx ab = a * s.heads + b;
            double ox[MAX][8], oy[MAX][8], total, mean;
            int rows;

            if (a == b) continue;
            CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][ab],
                       twin_jaccard(&m->p[k], &m->p[l], *x, *y, o), 1e-12);
            mean = twin_smoothed(&m->p[k], &m->p[l], *x, *y, o, &total);
            CHECK_NEAR(s.head_extra[ATN_SIM_JS_SMOOTHED][ab], mean, 2e-6);
            CHECK_NEAR(s.head_extra[ATN_SIM_JS_SMOOTHED_SUM][ab], total, 5e-5);
            CHECK_NEAR(s.head_extra[ATN_SIM_SPEARMAN][ab],
                       twin_spearman(*x, *y, o, n, first, last), 1e-12);
            rows = outputs(m, w[k], k, a % heads, kept, ox);
            outputs(m, w[l], l, b % heads, kept, oy);
            CHECK_NEAR(s.head_extra[ATN_SIM_CKA][ab],
                       twin_cka(ox, oy, rows, (int)m->p[0].dv, false), 1e-5);
            CHECK_NEAR(s.head_extra[ATN_SIM_CKA_DEBIASED][ab],
                       twin_cka(ox, oy, rows, (int)m->p[0].dv, true), 1e-5);
        }
    for (int e = 0; e < ATN_SIM_EXTRAS; e++)
        for (int k = 0; k < m->n; k++)
            for (int l = 0; l < m->n; l++) {
                double mean = 0;
                for (atn_idx h = 0; h < heads; h++)
                    mean += s.head_extra[e][(k * heads + h) * s.heads + l * heads + h];
                CHECK_NEAR(s.extra[e][k * m->n + l], mean / (double)heads, 1e-12);
            }
    for (int l = 0; l < m->n; l++) free(w[l]);
    atn_similarity_part_release(cx, &s);
}

static const atn_similarity_opts everything = {
    .jaccard = 5, .spearman = true, .cka = true, .smoothed = true};

static void twin_causal(atn_ctx *cx)
{
    model m = make_model(cx, 2, 4, 2, 37);
    atn_similarity_opts o = everything;

    check_twin(cx, &m, &o);
    o.skip_rows = 5;
    o.tile_rows = 8;
    check_twin(cx, &m, &o);
    o.exclude_first = 3;
    check_twin(cx, &m, &o);
    drop_model(&m);
}

/* Windows, a soft-cap, sink logits, padding, rows without weight, bidirectional layers. */
static void twin_windows(atn_ctx *cx)
{
    const float sink[] = {.5f, -1, 2, 0};
    model m = make_model(cx, 4, 4, 4, 41);
    atn_similarity_opts o = everything;

    m.p[1].sight.window = 7;
    m.p[2].sight.softcap = 2;
    m.p[2].sink = sink;
    m.p[3].sight.window = 3;
    o.tile_rows = 5;
    check_twin(cx, &m, &o);
    m.p[0].sight.causal = m.p[1].sight.causal = false;
    m.p[1].sight.window = 0;
    m.p[0].sight.key_first = 4;
    m.p[1].sight.key_last = 30;
    m.p[3].sight.window = 9;
    m.p[3].sight.key_first = 3;
    check_twin(cx, &m, &o);
    drop_model(&m);
}

/* Equal heads: overlap, ranks and CKA 1, divergence 0; no column is there unasked. */
static void equal_heads(atn_ctx *cx)
{
    model m = make_model(cx, 2, 2, 2, 20);
    const atn_similarity_opts none = {0};
    atn_similarity_part s;

    m.p[1] = m.p[0];
    m.p[1].layer = 1;
    CHECK_OK(compare(cx, &m, &everything, &s));
    for (int a = 0; a < 2; a++) {
        const int at = a * 4 + 2 + a;
        CHECK_NEAR(s.head_extra[ATN_SIM_JACCARD][at], 1, 0);
        CHECK_NEAR(s.head_extra[ATN_SIM_SPEARMAN][at], 1, 1e-12);
        CHECK_NEAR(s.head_extra[ATN_SIM_CKA][at], 1, 1e-6);
        CHECK_NEAR(s.head_extra[ATN_SIM_CKA_DEBIASED][at], 1, 1e-6);
        CHECK_NEAR(s.head_extra[ATN_SIM_JS_SMOOTHED_SUM][at], 0, 0);
    }
    atn_similarity_part_release(cx, &s);
    CHECK_OK(compare(cx, &m, &none, &s));
    for (int e = 0; e < ATN_SIM_EXTRAS; e++) CHECK(!s.head_extra[e] && !s.extra[e]);
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

static void quiet(void *user, atn_log_level level, const char *text)
{
    if (level == ATN_LOG_WARN && strstr(text, "no values")) *(int *)user += 1;
}

static void without_values(atn_ctx *cx)
{
    model m = make_model(cx, 1, 2, 1, 12);
    atn_similarity s = {.opts = everything, .parts = 1};
    atn_similarity_part part;
    atn_table *t = NULL;
    int warned = 0;

    m.p[0].v = NULL;
    cx->log_sink = quiet;
    cx->log_user = &warned;
    CHECK_OK(compare(cx, &m, &everything, &part));
    CHECK_EQ(warned, 1);
    CHECK(isnan(part.head_extra[ATN_SIM_CKA][1]));
    CHECK(!isnan(part.head_extra[ATN_SIM_SPEARMAN][1]));
    s.part = &part;
    CHECK_OK(atn_similarity_heads_table(cx, &s, &t));
    CHECK_STR(atn_table_col_name(t, 7), "jaccard");
    CHECK_STR(atn_table_col_name(t, 8), "spearman_columns");
    CHECK_STR(atn_table_col_name(t, 9), "cka");
    CHECK_STR(atn_table_col_name(t, 10), "cka_debiased");
    CHECK_STR(atn_table_col_name(t, 11), "js_smoothed_nats");
    CHECK_STR(atn_table_col_name(t, 12), "js_smoothed_sum_nats");
    CHECK_NEAR(atn_table_get_f64(t, 1, 7), part.head_extra[ATN_SIM_JACCARD][1], 0);
    CHECK(isnan(atn_table_get_f64(t, 1, 9)));
    atn_table_destroy(cx, t);
    atn_similarity_part_release(cx, &part);
    drop_model(&m);
}

/* Bitwise the same on one thread and two. */
static void threads_agree(atn_ctx *cx)
{
    model m = make_model(cx, 2, 3, 3, 45);
    atn_similarity_opts o = everything;
    atn_similarity_part a, b;

    o.tile_rows = 4;
    CHECK_OK(compare(cx, &m, &o, &a));
    cx->threads = 1;
    CHECK_OK(compare(cx, &m, &o, &b));
    for (int e = 0; e < ATN_SIM_EXTRAS; e++)
        CHECK(memcmp(a.head_extra[e], b.head_extra[e], 36 * sizeof(double)) == 0);
    atn_similarity_part_release(cx, &a);
    atn_similarity_part_release(cx, &b);
    drop_model(&m);
}

static void allocations_may_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;

    (void)cx;
    for (long k = 0; st != ATN_OK; k++) {
        check_failing f = {k};
        atn_similarity_part part;
        atn_ctx c;
        model m;

        CHECK(k < 1000);
        atn_ctx_init(&c);
        m = make_model(&c, 2, 2, 1, 8);
        c.threads = 1;
        c.alloc = (atn_allocator){check_failing_resize, &f};
        st = compare(&c, &m, &everything, &part);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        f.left = 1 << 20;
        atn_similarity_part_release(&c, &part);
        atn_ctx_release(&c);
        drop_model(&m);
    }
}

CHECK_MAIN({"smoothed by hand", smoothed_by_hand}, {"jaccard by hand", jaccard_by_hand},
           {"spearman by hand", spearman_by_hand}, {"twin, causal", twin_causal},
           {"twin, windows", twin_windows}, {"equal heads", equal_heads},
           {"without values", without_values}, {"threads agree", threads_agree},
           {"allocations may fail", allocations_may_fail})
