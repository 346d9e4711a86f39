/* tests/analysis/test_token_redundancy.c -- redundancy of tokens and compaction. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

#include "analysis/kmeans.h"
#include "analysis/token_set.h"

enum { KEYS, VALUES = 3, HIDDEN = 6, COMPACT = 9, REGISTERS = 15, COLS };
static const atn_idx ratios[] = {2, 4, 8, 9, 16, 32};

static double cosine(atn_ctx *cx, const float *x, atn_idx n, atn_idx d, bool centred)
{
    double value;

    CHECK_OK(atn_tokens_cosine(cx, (atn_cmat){x, n, d, d}, centred, &value));
    return value;
}

static double effective(atn_ctx *cx, const float *x, atn_idx n, atn_idx d)
{
    double value;

    CHECK_OK(atn_tokens_effective(cx, (atn_cmat){x, n, d, d}, &value));
    return value;
}

/* Card A12: (1,0), (1,0), (0,1), of any lengths: (5 - 3) / 6. Corners of a square and a cross. */
static void golden(atn_ctx *cx)
{
    const float three[] = {2, 0, .5f, 0, 0, 3}, same[] = {3, 4, 3, 4, 6, 8};
    const float axes[] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, zero[] = {1, 0, 0, 0, 1, 0};
    const float cross[] = {1, 5, -1, 5, 0, 6, 0, 4}, line[] = {1, 1, 2, 2, 3, 3, 9, 9};
    const float wide[] = {1, 0, 0, 0, 0, -1, 0, 0, 0, 0};

    CHECK_NEAR(cosine(cx, three, 3, 2, false), 1. / 3, 1e-12);
    CHECK_NEAR(cosine(cx, axes, 3, 3, false), 0, 1e-12);
    CHECK_NEAR(cosine(cx, same, 3, 2, false), 1, 1e-12);
    CHECK_NEAR(cosine(cx, zero, 3, 2, false), 2. / 6, 1e-12);  /* (4 - 2) / 6 */
    CHECK_NEAR(cosine(cx, cross, 4, 2, true), -1. / 3, 1e-12); /* they sum to 0 */
    CHECK(isnan(cosine(cx, same, 1, 2, false)));
    CHECK_NEAR(effective(cx, cross, 4, 2), 2, 1e-6);
    CHECK_NEAR(effective(cx, line, 4, 2), 1, 1e-6);
    CHECK_NEAR(effective(cx, wide, 2, 5), 1, 1e-6);
    /* axes, centred: two equal eigenvalues and a 0 */
    CHECK_NEAR(effective(cx, axes, 3, 3), 2, 1e-6);
    CHECK(isnan(effective(cx, same, 2, 2)));
    CHECK(isnan(effective(cx, same, 1, 2)));
}

/* ---- twins by definition ---- */

static double dense_cosine(const float *x, atn_idx n, atn_idx d, bool centred)
{
    double mean[16] = {0}, sum = 0;

    for (atn_idx i = 0; i < n && centred; i++)
        for (atn_idx c = 0; c < d; c++) mean[c] += (double)x[i * d + c] / (double)n;
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < n; j++) {
            double ab = 0, aa = 0, bb = 0;

            for (atn_idx c = 0; c < d; c++) {
                const double a = (double)x[i * d + c] - mean[c];
                const double b = (double)x[j * d + c] - mean[c];
                ab += a * b;
                aa += a * a;
                bb += b * b;
            }
            if (i != j && aa * bb > 0) sum += ab / sqrt(aa * bb);
        }
    return sum / (double)(n * (n - 1));
}

/* Eigenvalues by Jacobi's rotations of the covariance. */
static double dense_effective(const float *x, atn_idx n, atn_idx d)
{
    double a[16][16] = {{0}}, mean[16] = {0}, total = 0, entropy = 0;

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < d; c++) mean[c] += (double)x[i * d + c] / (double)n;
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < d; c++)
            for (atn_idx e = 0; e < d; e++)
                a[c][e] +=
                    ((double)x[i * d + c] - mean[c]) * ((double)x[i * d + e] - mean[e]);
    for (int sweep = 0; sweep < 60; sweep++)
        for (atn_idx p = 0; p < d; p++)
            for (atn_idx q = p + 1; q < d; q++) {
                const double t = .5 * atan2(2 * a[p][q], a[q][q] - a[p][p]);
                const double c = cos(t), s = sin(t);

                for (atn_idx k = 0; k < d; k++) {
                    const double u = a[k][p], v = a[k][q];
                    a[k][p] = c * u - s * v;
                    a[k][q] = s * u + c * v;
                }
                for (atn_idx k = 0; k < d; k++) {
                    const double u = a[p][k], v = a[q][k];
                    a[p][k] = c * u - s * v;
                    a[q][k] = s * u + c * v;
                }
            }
    for (atn_idx c = 0; c < d; c++) total += a[c][c];
    for (atn_idx c = 0; c < d; c++)
        if (a[c][c] > 1e-14 * total) entropy -= a[c][c] / total * log(a[c][c] / total);
    return exp(entropy);
}

static void check_set(const double *o, const float *x, atn_idx n, atn_idx d)
{
    if (n < 2) {
        CHECK(isnan(o[0]) && isnan(o[1]) && isnan(o[2]));
        return;
    }
    CHECK_NEAR(o[0], dense_cosine(x, n, d, false), 1e-6);
    CHECK_NEAR(o[1], dense_cosine(x, n, d, true), 1e-6);
    CHECK_NEAR(o[2], dense_effective(x, n, d), 1e-5);
}

/* Output of row i over clusters, from scratch; label of the keys that are no padding. */
static void cluster_row(const layer_model *m, atn_idx h, atn_idx i,
                        const int32_t *label, double *y)
{
    const atn_problem *p = &m->problem;
    const atn_idx kv = h / (p->heads / p->kv_heads), at = layer_at(m, i);
    const float *q = m->q + (h * p->nq + (m->rows ? m->rows[i] : i)) * p->d;
    double z = m->sink ? exp((double)m->sink[h]) : 0;

    for (atn_idx c = 0; c < p->dv; c++) y[c] = 0;
    for (int k = 0; k < p->nk; k++) {
        double key[16] = {0}, value[16] = {0}, n = 0, place = 0, s = 0;

        for (atn_idx j = p->sight.key_first; j < p->sight.key_last; j++) {
            if (label[j] != k || !layer_sees(m, i, j)) continue;
            n++;
            place += (double)j;
            for (atn_idx c = 0; c < p->d; c++)
                key[c] += (double)m->k[(kv * p->nk + j) * p->d + c];
            for (atn_idx c = 0; c < p->dv; c++)
                value[c] += (double)m->v[(kv * p->nk + j) * p->dv + c];
        }
        if (n == 0) continue;
        for (atn_idx c = 0; c < p->d; c++) s += (double)q[c] * key[c] / n * p->scale;
        if (m->slope) s += (double)m->slope[h] * (place / n - (double)at);
        if (m->rel) /* at the mean position, rounded */
            s += (double)m->rel[h * (p->nq + p->nk - 1) + p->nq - 1 +
                                (atn_idx)floor(place / n - (double)at + .5)];
        if (p->sight.softcap > 0) s = p->sight.softcap * tanh(s / p->sight.softcap);
        z += n * exp(s);
        for (atn_idx c = 0; c < p->dv; c++) y[c] += exp(s) * value[c];
    }
    for (atn_idx c = 0; c < p->dv; c++) y[c] /= z;
}

static void check_compaction(atn_ctx *cx, const layer_model *m, atn_idx h,
                             const double *o)
{
    const atn_problem *p = &m->problem;
    const atn_idx kv = h / (p->heads / p->kv_heads), from = p->sight.key_first;
    const atn_idx keys = p->sight.key_last - from;

    for (int r = 0; r < 6; r++) {
        const atn_idx clusters = keys / ratios[r] > 1 ? keys / ratios[r] : 1;
        const atn_cmat x = {m->k + (kv * p->nk + from) * p->d, keys, p->d, p->d};
        int32_t label[LAYER_MOST];
        double part = 0, whole = 0, y[16];

        CHECK_OK(atn_kmeans(cx, x, clusters, 50, label + from));
        for (atn_idx i = 0; i < m->n; i++) {
            if (!layer_counts(m, i)) continue;
            cluster_row(m, h, i, label, y);
            for (atn_idx c = 0; c < p->dv; c++) {
                const double own = m->out[(h * m->n + i) * p->dv + c];
                part += (y[c] - own) * (y[c] - own);
                whole += own * own;
            }
        }
        CHECK_NEAR(o[r], sqrt(part / whole), 3e-6);
    }
}

static double dense_registers(const layer_model *m, atn_idx h)
{
    const atn_problem *p = &m->problem;
    const float *v = m->v + h / (p->heads / p->kv_heads) * p->nk * p->dv;
    double norm[LAYER_MOST] = {0}, mean = 0, n = 0;

    for (atn_idx k = p->sight.key_first; k < p->sight.key_last; k++) {
        for (atn_idx c = 0; c < p->dv; c++)
            norm[k] += (double)v[k * p->dv + c] * (double)v[k * p->dv + c];
        norm[k] = sqrt(norm[k]);
        mean += norm[k] / (double)(p->sight.key_last - p->sight.key_first);
    }
    for (atn_idx k = p->sight.key_first; k < p->sight.key_last; k++) {
        double own = 0, uniform = 0;

        for (atn_idx i = 0; i < m->n; i++) {
            double seen = 0;

            if (!layer_counts(m, i) || !layer_sees(m, i, k)) continue;
            for (atn_idx j = 0; j < p->nk; j++) seen += layer_sees(m, i, j);
            uniform += 1 / seen;
            own += m->p[(h * m->n + i) * p->nk + k];
        }
        n += own > 3 * uniform && (norm[k] < mean / 2 || norm[k] > 2 * mean);
    }
    return n;
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_problem *p = &m.problem;
        const atn_layer_facts *f = layer_facts(&m);
        const atn_idx from = p->sight.key_first, keys = p->sight.key_last - from;
        /* queries are keys but in cross-attention; those of a continuation are the last */
        const atn_idx tokens = kind == 3 || kind == 4 ? p->nq : keys;
        double out[LAYER_HEADS * COLS];

        print_message("%s\n", layer_kind_name(kind));
        m.facts.skip_rows = kind == 0 || kind == 10 ? 3 : 0;
        m.keep[3] = kind != 2;
        layer_measure(cx, f, "token_redundancy", "", out);
        for (atn_idx h = 0; h < LAYER_HEADS; h++) {
            const atn_idx kv = h / (p->heads / p->kv_heads);
            const double *o = out + h * COLS;

            if (!m.keep[h]) {
                CHECK(isnan(o[KEYS]) && isnan(o[COMPACT]) && isnan(o[REGISTERS]));
                continue;
            }
            check_set(o + VALUES, m.v + (kv * p->nk + from) * p->dv, keys, p->dv);
            check_set(o + HIDDEN,
                      m.hidden + (kind == 3 ? 0 : from) * m.facts.hidden_width, tokens,
                      m.facts.hidden_width);
            if (kind == 10)
                CHECK(isnan(o[REGISTERS]));
            else
                CHECK_NEAR(o[REGISTERS], dense_registers(&m, h), 0);
            if (kind == 8) {
                CHECK(isnan(o[KEYS]) && isnan(o[KEYS + 2]) && isnan(o[COMPACT]));
                continue;
            }
            check_set(o + KEYS, m.k + (kv * p->nk + from) * p->d, keys, p->d);
            check_compaction(cx, &m, h, o + COMPACT);
        }
        layer_drop(&m);
    }
}

/* Keys in four shapes only, ten of each in a row: four clusters hold them all, whatever the
 * values. */
static void duplicates_compact_exactly(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 1);
    const atn_problem *p = &m.problem;
    const atn_layer_facts *f = layer_facts(&m);
    double out[LAYER_HEADS * COLS];

    for (atn_idx kv = 0; kv < p->kv_heads; kv++)
        for (atn_idx j = 0; j < p->nk; j++)
            memcpy(m.k + (kv * p->nk + j) * p->d,
                   m.k + (kv * p->nk + j / 10 * 10) * p->d, (size_t)p->d * sizeof *m.k);
    layer_dense(&m);
    layer_measure(cx, f, "token_redundancy", "", out);
    for (int h = 0; h < LAYER_HEADS; h++) {
        /* 18, 9 and 4 first centres evenly over the keys are of all four shapes */
        CHECK_NEAR(out[h * COLS + COMPACT], 0, 1e-6);
        CHECK_NEAR(out[h * COLS + COMPACT + 1], 0, 1e-6);
        CHECK_NEAR(out[h * COLS + COMPACT + 2], 0, 1e-6);
        CHECK_LE(.01, out[h * COLS + COMPACT + 5]);
    }
    layer_drop(&m);
}

/* A key that takes most of the weight and has almost no value is one; with a value as the
 * others have it is none. */
static void a_register_is_counted(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 8);
    const atn_layer_facts *f = layer_facts(&m);
    const atn_idx n = m.n, dv = m.problem.dv;
    double out[LAYER_HEADS * COLS];

    for (atn_idx i = 0; i < LAYER_HEADS * n * n; i++) m.given[i] = 0;
    for (atn_idx h = 0; h < LAYER_HEADS; h++)
        for (atn_idx i = 0; i < n; i++) m.given[(h * n + i) * n + (i < 5 ? i : 5)] = 1;
    for (atn_idx i = 0; i < LAYER_HEADS * n * dv; i++) m.v[i] = 1;
    for (atn_idx c = 0; c < dv; c++) m.v[5 * dv + c] = .01f;
    for (atn_idx c = 0; c < dv; c++) m.v[(n + 5) * dv + c] = 5;
    layer_measure(cx, f, "token_redundancy", "", out);
    CHECK_NEAR(out[REGISTERS], 1, 0);
    CHECK_NEAR(out[COLS + REGISTERS], 1, 0);
    CHECK_NEAR(out[2 * COLS + REGISTERS], 0, 0);
    layer_drop(&m);
}

/* Too many keys for clusters: the rest is there. No outputs: likewise. */
static void what_is_left_out(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_layer_facts *f = layer_facts(&m);
    double out[LAYER_HEADS * COLS];

    layer_measure(cx, f, "token_redundancy", "max_keys=36", out);
    CHECK(isnan(out[COMPACT]) && !isnan(out[KEYS]) && !isnan(out[REGISTERS]));
    layer_measure(cx, f, "token_redundancy", "max_keys=37", out);
    CHECK(!isnan(out[COMPACT]));
    m.facts.out = NULL;
    m.facts.hidden = NULL;
    layer_measure(cx, f, "token_redundancy", "", out);
    CHECK(isnan(out[COMPACT]) && isnan(out[HIDDEN]) && !isnan(out[KEYS]));
    cx->mem_limit = 2000;
    CHECK_FAILS(atn_measure_find("token_redundancy")
                    ->layer(cx, f, &(struct { int64_t a, b; }){4096, 50}, out),
                ATN_MEMORY, "");
    layer_drop(&m);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 1);
    const atn_layer_facts *f = layer_facts(&m);
    double one[LAYER_HEADS * COLS], four[LAYER_HEADS * COLS];

    cx->threads = 1;
    layer_measure(cx, f, "token_redundancy", "", one);
    cx->threads = 4;
    layer_measure(cx, f, "token_redundancy", "", four);
    CHECK(memcmp(one, four, sizeof one) == 0);
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"duplicates compact exactly", duplicates_compact_exactly},
           {"a register is counted", a_register_is_counted},
           {"what is left out", what_is_left_out},
           {"threads do not matter", threads_do_not_matter})
