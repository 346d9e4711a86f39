/* Similarity against an independent dense twin in double: by definition, pair by pair. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "similarity_model.h"

enum { MAX = 64 };

typedef double dense[MAX][MAX];

static double flat_cos(dense a, dense b, atn_idx r0, atn_idx n, bool drop)
{
    double ab = 0, aa = 0, bb = 0;

    for (atn_idx i = r0; i < n; i++) {
        double ra = 0, rb = 0;
        for (atn_idx j = 0; j < n; j++) {
            ra += a[i][j];
            rb += b[i][j];
        }
        if (drop && (ra == 0 || rb == 0)) continue;
        for (atn_idx j = 0; j < n; j++) {
            ab += a[i][j] * b[i][j];
            aa += a[i][j] * a[i][j];
            bb += b[i][j] * b[i][j];
        }
    }
    return ab / sqrt(aa * bb);
}

static double row_cos(dense a, dense b, atn_idx r0, atn_idx n)
{
    double sum = 0;
    int rows = 0;

    for (atn_idx i = r0; i < n; i++) {
        double ab = 0, aa = 0, bb = 0;
        for (atn_idx j = 0; j < n; j++) {
            ab += a[i][j] * b[i][j];
            aa += a[i][j] * a[i][j];
            bb += b[i][j] * b[i][j];
        }
        if (aa == 0 || bb == 0) continue;
        sum += ab / sqrt(aa * bb);
        rows++;
    }
    return sum / rows;
}

/* Correlation over the entries that either row sees, in two passes. */
static double pearson(const atn_problem *p, const atn_problem *q, dense a, dense b,
                      const atn_similarity_opts *o)
{
    double n = 0, u = 0, v = 0, ab = 0, aa = 0, bb = 0;

    for (int pass = 0; pass < 2; pass++)
        for (atn_idx i = o->skip_rows; i < p->nq; i++)
            for (atn_idx j = o->exclude_first; j < p->nk; j++) {
                if (!sees(p, i, j) && !sees(q, i, j)) continue;
                if (pass == 0) {
                    n++;
                    u += a[i][j];
                    v += b[i][j];
                    continue;
                }
                ab += (a[i][j] - u / n) * (b[i][j] - v / n);
                aa += (a[i][j] - u / n) * (a[i][j] - u / n);
                bb += (b[i][j] - v / n) * (b[i][j] - v / n);
            }
    return ab / sqrt(aa * bb);
}

/* Mean over rows with weight in both of JS, by its definition with two divergences, and TV. */
static void row_distances(dense a, dense b, atn_idx r0, atn_idx n, double *js,
                          double *tv)
{
    int rows = 0;

    *js = *tv = 0;
    for (atn_idx i = r0; i < n; i++) {
        double sa = 0, sb = 0;
        for (atn_idx j = 0; j < n; j++) {
            sa += a[i][j];
            sb += b[i][j];
        }
        if (sa == 0 || sb == 0) continue;
        for (atn_idx j = 0; j < n; j++) {
            const double p = a[i][j] / sa, q = b[i][j] / sb, m = (p + q) / 2;
            if (p > 0) *js += p * log(p / m) / 2;
            if (q > 0) *js += q * log(q / m) / 2;
            *tv += fabs(p - q) / 2;
        }
        rows++;
    }
    *js /= rows;
    *tv /= rows;
}

static double best_match(dense *a, dense *b, atn_idx r0, atn_idx n, bool drop,
                         int heads, int at, unsigned used)
{
    double best = -1e9;

    if (at == heads) return 0;
    for (int h = 0; h < heads; h++) {
        double x;
        if (used >> h & 1) continue;
        x = flat_cos(a[at], b[h], r0, n, drop) +
            best_match(a, b, r0, n, drop, heads, at + 1, used | 1u << h);
        if (x > best) best = x;
    }
    return best;
}

/* |(A - B) W|_F / |B W|_F of follower f with the weights of leader l. */
static double dense_copy(const model *m, dense **w, int l, int f, atn_idx r0)
{
    const atn_problem *p = &m->p[f];
    double bad = 0, own = 0;

    for (atn_idx i = r0; i < p->nq; i++)
        for (atn_idx c = 0; c < m->width; c++) {
            double x = 0, y = 0;
            for (atn_idx h = 0; h < p->heads; h++) {
                const float *v = p->v + h / (p->heads / p->kv_heads) * p->nk * p->dv;
                for (atn_idx e = 0; e < p->dv; e++) {
                    const double o = (double)m->w[f][(h * p->dv + e) * m->width + c];
                    for (atn_idx j = 0; j < p->nk; j++) {
                        x += (w[l][h][i][j] - w[f][h][i][j]) *
                             (double)v[j * p->dv + e] * o;
                        y += w[f][h][i][j] * (double)v[j * p->dv + e] * o;
                    }
                }
            }
            bad += x * x;
            own += y * y;
        }
    return sqrt(bad / own);
}

static void check_twin(atn_ctx *cx, const model *m, const atn_similarity_opts *o)
{
    const atn_idx n = m->p[0].nq, r0 = o->skip_rows;
    const int heads = (int)m->p[0].heads;
    const bool drop = o->exclude_first > 0;
    dense *w[8], *mean[8];
    atn_similarity_part s;

    CHECK_OK(compare(cx, m, o, &s));
    for (int l = 0; l < m->n; l++) {
        w[l] = calloc((size_t)heads, sizeof(dense));
        mean[l] = calloc(1, sizeof(dense));
        for (int h = 0; h < heads; h++)
            for (atn_idx i = 0; i < n; i++) {
                dense_row(&m->p[l], h, i, o->exclude_first, w[l][h][i]);
                for (atn_idx j = 0; j < n; j++)
                    mean[l][0][i][j] += w[l][h][i][j] / heads;
            }
    }
    for (int a = 0; a < m->n; a++)
        for (int b = 0; b < m->n; b++) {
            double elem = 0, row = 0, cor = 0, js, tv;
            for (int h = 0; h < heads; h++) {
                elem += flat_cos(w[a][h], w[b][h], r0, n, drop) / heads;
                row += row_cos(w[a][h], w[b][h], r0, n) / heads;
                row_distances(w[a][h], w[b][h], r0, n, &js, &tv);
                CHECK_NEAR(s.head_js[(a * heads + h) * s.heads + b * heads + h], js,
                           2e-6);
                CHECK_NEAR(s.head_tv[(a * heads + h) * s.heads + b * heads + h], tv,
                           2e-6);
                cor += pearson(&m->p[a], &m->p[b], w[a][h], w[b][h], o) / heads;
                for (int g = 0; g < heads; g++)
                    CHECK_NEAR(s.head_elem[(a * heads + h) * s.heads + b * heads + g],
                               flat_cos(w[a][h], w[b][g], r0, n, drop), 2e-6);
            }
            CHECK_NEAR(s.cos_elem[a * m->n + b], elem, 2e-6);
            CHECK_NEAR(s.pearson[a * m->n + b], cor, 5e-6);
            CHECK_NEAR(s.cos_row[a * m->n + b], row, 2e-6);
            CHECK_NEAR(s.cos_avg[a * m->n + b],
                       flat_cos(mean[a][0], mean[b][0], r0, n, false), 2e-6);
            CHECK_NEAR(s.match[a * m->n + b],
                       best_match(w[a], w[b], r0, n, drop, heads, 0, 0) / heads, 2e-6);
            CHECK_NEAR(s.copy_err[a * m->n + b], dense_copy(m, w, a, b, r0), 1e-5);
        }
    for (int l = 0; l < m->n; l++) {
        free(w[l]);
        free(mean[l]);
    }
    atn_similarity_part_release(cx, &s);
}

static void twin_causal(atn_ctx *cx)
{
    model m = make_model(cx, 3, 4, 2, 37);

    check_twin(cx, &m, &(atn_similarity_opts){.copy_err = true, .distances = true});
    check_twin(
        cx, &m,
        &(atn_similarity_opts){.copy_err = true, .distances = true, .skip_rows = 5});
    check_twin(cx, &m,
               &(atn_similarity_opts){
                   .copy_err = true, .distances = true, .exclude_first = 3});
    drop_model(&m);
}

/* Layers with and without a window, a soft-cap, sink logits, padding; small tiles. */
static void twin_windows(atn_ctx *cx)
{
    const float sink[] = {.5f, -1, 2, 0};
    model m = make_model(cx, 4, 4, 4, 41);

    m.p[1].sight.window = 7;
    m.p[2].sight.softcap = 2;
    m.p[2].sink = sink;
    m.p[3].sight.window = 3;
    check_twin(
        cx, &m,
        &(atn_similarity_opts){.copy_err = true, .distances = true, .tile_rows = 5});
    check_twin(
        cx, &m,
        &(atn_similarity_opts){
            .copy_err = true, .distances = true, .tile_rows = 8, .skip_rows = 13});
    m.p[0].sight.window = m.p[2].sight.window = 6; /* tiles that begin behind key 0 */
    check_twin(
        cx, &m,
        &(atn_similarity_opts){.copy_err = true, .distances = true, .tile_rows = 5});
    m.p[0].sight.causal = m.p[1].sight.causal = false;
    m.p[0].sight.window = m.p[1].sight.window = 0;
    m.p[0].sight.key_first = 4;
    m.p[1].sight.key_last = 30;
    check_twin(
        cx, &m,
        &(atn_similarity_opts){.copy_err = true, .distances = true, .tile_rows = 7});
    drop_model(&m);
}

/* One layer pads from key 20 on and sees 5 keys back: from row 24 on it has no weight, so
 * the cosines are those of the rows kept in both; to copy, such a row is all zeros. */
static void check_lost_rows(atn_ctx *cx, int full, int cut)
{
    const atn_similarity_opts o = {
        .exclude_first = 6, .tile_rows = 4, .copy_err = true};
    model m = make_model(cx, 2, 2, 1, 40);
    atn_similarity_part s;
    dense *w[2];

    m.p[cut].sight.window = 5;
    m.p[cut].sight.key_last = 20;
    CHECK_OK(compare(cx, &m, &o, &s));
    for (int l = 0; l < 2; l++) {
        w[l] = calloc(2, sizeof(dense));
        for (int h = 0; h < 2; h++)
            for (atn_idx i = 0; i < 40; i++) dense_row(&m.p[l], h, i, 6, w[l][h][i]);
    }
    CHECK_EQ(s.empty_rows, 2 * 6 + 2 * (6 + 16));
    for (int h = 0; h < 2; h++)
        for (int g = 0; g < 2; g++) {
            const int hg = h * 4 + 2 + g, gh = (2 + g) * 4 + h;
            CHECK_NEAR(s.head_elem[hg], flat_cos(w[0][h], w[1][g], 0, 40, true), 2e-6);
            CHECK_NEAR(s.head_row[hg], row_cos(w[0][h], w[1][g], 0, 40), 2e-6);
            CHECK_NEAR(s.head_row[gh], s.head_row[hg], 0);
            CHECK(isnan(s.head_pearson[hg]));
        }
    CHECK_NEAR(s.copy_err[full * 2 + cut], dense_copy(&m, w, full, cut, 0), 1e-5);
    CHECK_NEAR(s.copy_err[cut * 2 + full], dense_copy(&m, w, cut, full, 0), 1e-5);
    free(w[0]);
    free(w[1]);
    atn_similarity_part_release(cx, &s);
    drop_model(&m);
}

static void twin_lost_rows(atn_ctx *cx)
{
    check_lost_rows(cx, 0, 1);
    check_lost_rows(cx, 1, 0);
}

CHECK_MAIN({"causal", twin_causal}, {"windows", twin_windows},
           {"lost rows", twin_lost_rows})
