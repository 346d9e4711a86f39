/* tests/approx/test_flexprefill.c -- FlexPrefill against the card's fixture and against
 * its rules written out. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/lines_twin.h"

#define FIXTURE "flexprefill:gamma=.6,block=4,min_budget=4,tau="

/* The divergence of the head is .058687: a tau above it chooses by entries. */
static void golden(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, FIXTURE "0", 0, 23, "0-7,12-23", .840178, 11.720234);
    zoo_golden(cx, &z, FIXTURE ".058686", 0, 23, "0-7,12-23", .840178, 11.720234);
    zoo_golden(cx, &z, FIXTURE ".058688", 0, 23, "0-3,20-23", .355741, 10.470788);
    zoo_golden(cx, &z, FIXTURE "2", 0, 23, "0-3,20-23", .355741, 10.470788);
    zoo_free(&z);
}

typedef struct rule {
    double gamma, tau;
    int block, least, most; /* tokens; most = 0: none */
    bool published;
} rule;

static int blocks(int tokens, int block)
{
    return (tokens + block - 1) / block;
}

/* How many of x [n], largest first, sum to at most goal. */
static int covered(const double *x, int n, double goal)
{
    double sorted[LINES_N], sum = 0;
    int count = 0;

    memcpy(sorted, x, (size_t)n * sizeof *x);
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && sorted[j] > sorted[j - 1]; j--) {
            const double swap = sorted[j];

            sorted[j] = sorted[j - 1];
            sorted[j - 1] = swap;
        }
    for (int i = 0; i < n; i++) {
        sum += sorted[i];
        count += sum <= goal;
    }
    return count;
}

static int budget(const rule *r, const double *x, int n, int nb)
{
    const int m = covered(x, n, r->gamma + (r->published ? 0 : 1e-10)) + 1;
    int k = m / (r->published ? 128 : r->block) + 1;

    k = ATN_MAX(k, blocks(r->least, r->block));
    return ATN_MIN(k, r->most ? ATN_MIN(blocks(r->most, r->block), nb) : nb);
}

static double softmax(double *x, int n)
{
    double max = -INFINITY, sum = 0;

    for (int j = 0; j < n; j++) max = fmax(max, x[j]);
    for (int j = 0; j < n; j++) sum += x[j] = exp(x[j] - max);
    for (int j = 0; j < n; j++) x[j] /= sum;
    return sum;
}

/* sqrt of the divergence of what the mean of the last queries gives to the blocks and
 * v [nb]. */
static double divergence(const lines_twin *t, const rule *r, const double *v, int nb)
{
    static double mean[LINES_N * 8];
    const atn_head *h = &t->z.head[0];
    double q[8] = {0}, a[LINES_N], sum = 0;
    const atn_idx rows = ATN_MIN(r->block, t->nq);

    lines_means(h->k, 0, r->block, mean);
    for (atn_idx i = t->nq - rows; i < t->nq; i++)
        for (int c = 0; c < 8; c++) q[c] += (double)atn_crow(h->q, i)[c] / (double)rows;
    for (int b = 0; b < nb; b++) {
        a[b] = 0;
        for (int c = 0; c < 8; c++) a[b] += h->scale * q[c] * mean[b * 8 + c];
    }
    softmax(a, nb);
    for (int b = 0; b < nb; b++) {
        const double m = (a[b] + v[b]) / 2;

        if (r->published && ((float)a[b] == 0 || (float)v[b] == 0)) return NAN;
        if (a[b] > 0) sum += a[b] * log(a[b] / m) / 2;
        if (v[b] > 0) sum += v[b] * log(v[b] / m) / 2;
    }
    return sqrt(sum);
}

/* Entries of the softmax of block means by rows, the largest while they sum to at most
 * gamma times the rows: kept [rows, nb]. */
static void by_entries(const lines_twin *t, const rule *r, int nb, bool *kept)
{
    static double q[LINES_N * 8], k[LINES_N * 8], x[LINES_N * LINES_N];
    const atn_head *h = &t->z.head[0];
    const int base = (int)t->first / r->block, rows = nb - base;
    const double goal = r->gamma * rows + (r->published ? 0 : 1e-10);
    int n = 0;

    lines_means(h->q, t->first, r->block, q);
    lines_means(h->k, 0, r->block, k);
    for (int a = 0; a < rows; a++) {
        for (int b = 0; b <= base + a; b++) {
            x[n + b] = 0;
            for (int c = 0; c < 8; c++)
                x[n + b] += h->scale * q[a * 8 + c] * k[b * 8 + c];
        }
        softmax(x + n, base + a + 1);
        n += base + a + 1;
    }
    memset(kept, 0, (size_t)(rows * nb));
    for (int a = 0, at = 0; a < rows; at += base + a + 1, a++)
        for (int b = 0; b <= base + a; b++) {
            const double mine = x[at + b];
            double sum = mine;

            for (int e = 0; e < n; e++)
                if (x[e] > mine || (x[e] == mine && e < at + b)) sum += x[e];
            kept[a * nb + b] = sum <= goal && mine > 0;
        }
}

static void want_flex(lines_twin *t, const rule *r, bool *want)
{
    const int b = r->block, n = (int)t->nk, nb = blocks(n, b);
    const int base = (int)t->first / b;
    double column[LINES_N] = {0}, diagonal[LINES_N] = {0};
    bool v[LINES_N], g[LINES_N], *kept = calloc((size_t)(nb * nb), 1);
    int n_v, n_g;
    bool entries;

    lines_sum(t, b);
    for (int j = 0; j < n; j++) {
        t->column[j] /= (double)ATN_MIN(b, t->nq);
        t->diagonal[j] /= (double)ATN_MIN(b, t->nq);
        column[j / b] += t->column[j];
        diagonal[r->published ? nb - 1 - (n - 1 - j) / b : j / b] += t->diagonal[j];
    }
    entries = divergence(t, r, column, nb) < r->tau;
    n_v = entries ? ATN_MIN(blocks(r->least, b), nb) : budget(r, t->column, n, nb);
    n_g = entries ? n_v : budget(r, t->diagonal, n, nb);
    lines_best(column, nb, n_v, 1, v);
    lines_best(diagonal, nb, n_g, 1, g);
    if (entries) by_entries(t, r, nb, kept);
    for (atn_idx i = 0; i < t->nq; i++)
        for (atn_idx j = 0; j < n; j++) {
            const atn_idx a = (t->first + i) / b, c = j / b;

            want[i * n + j] = c <= a && (v[c] || g[a - c] || kept[(a - base) * nb + c]);
        }
    free(kept);
}

static void check_rule(atn_ctx *cx, lines_twin *t, const rule *r)
{
    bool *want = malloc((size_t)(t->nq * t->nk));
    char spec[160];

    want_flex(t, r, want);
    snprintf(spec, sizeof spec,
             "flexprefill:gamma=%g,tau=%g,block=%d,min_budget=%d,max_budget=%d",
             r->gamma, r->tau, r->block, r->least, r->most);
    lines_check(cx, t, spec, r->published, want);
    free(want);
}

static void by_the_rule(atn_ctx *cx)
{
    static const rule rules[] = {{.6, 0, 8, 8, 0, false},   {.3, 9, 8, 8, 0, false},
                                 {.9, 0, 8, 0, 24, false},  {.8, .08, 4, 8, 0, false},
                                 {.5, 9, 16, 16, 0, false}, {0, 0, 8, 8, 0, false},
                                 {.7, 9, 8, 0, 0, false}};
    static const int shapes[][2] = {{100, 100}, {96, 96}, {39, 100}, {2, 70}};

    for (size_t s = 0; s < ATN_LEN(shapes); s++)
        for (size_t k = 0; k < 2 * ATN_LEN(rules); k++) {
            rule r = rules[k / 2];
            lines_twin t;

            r.published = k % 2;
            lines_make(&t, shapes[s][0], shapes[s][1], 0, 60 + s);
            check_rule(cx, &t, &r);
            lines_free(&t);
        }
}

/* A key far below the others leaves a block without a share: as published the
 * divergence is no number, so that tau = 9 changes nothing. */
static void published_zero(atn_ctx *cx)
{
    for (int published = 0; published < 2; published++) {
        rule r = {.5, 9, 8, 8, 0, published};
        lines_twin t;

        lines_make(&t, 64, 64, 0, 70);
        for (int e = 0; e < 64 * 8; e++) t.z.q[e] = fabsf(t.z.q[e]) + .1f;
        for (int e = 24 * 8; e < 32 * 8; e++) t.z.k[e] = -900;
        for (atn_idx i = 0; i < 64; i++) zoo_dense(&t.z, 0, i, t.p + i * 64);
        check_rule(cx, &t, &r);
        lines_free(&t);
    }
}

/* gamma = 1: dense. Short texts, single queries: dense, and nothing is planned. */
static void dense_limits(atn_ctx *cx)
{
    static const struct {
        int nq, nk;
        const char *spec;
    } cases[] = {{100, 100, "flexprefill:gamma=1,tau=0,block=8,min_budget=0"},
                 {100, 100, "flexprefill:gamma=1,tau=9,block=8,min_budget=0"},
                 {16, 16, "flexprefill:gamma=0,block=8,min_budget=0"},
                 {100, 100, "flexprefill:gamma=0,block=8,min_budget=97"},
                 {1, 100, "flexprefill:gamma=0,block=8,min_budget=0"},
                 {1, 1, "flexprefill"}};

    for (size_t c = 0; c < ATN_LEN(cases); c++) {
        bool *want = malloc(100 * 100);
        lines_twin t;

        memset(want, 1, 100 * 100);
        lines_make(&t, cases[c].nq, cases[c].nk, 0, 3);
        lines_check(cx, &t, cases[c].spec, false, want);
        free(want);
        lines_free(&t);
    }
}

/* Two last queries that see all alike: 12 columns hold .1890 of the weight, 13 hold
 * .2047, so gamma .2 counts 13 and takes 13 / 8 + 1 = 2 blocks; of equal ones the
 * first. Distances likewise. */
static void uniform_attention(atn_ctx *cx)
{
    bool want[2 * 64];
    lines_twin t;

    lines_make(&t, 2, 64, 0, 3);
    memset(t.z.q, 0, 2 * 8 * sizeof *t.z.q);
    for (int e = 0; e < 2 * 64; e++) want[e] = e % 64 < 16 || e % 64 >= 48;
    lines_check(cx, &t, "flexprefill:gamma=.2,tau=0,block=8,min_budget=0", false, want);
    lines_free(&t);
}

static void memory_runs_out(atn_ctx *cx)
{
    static const char *const params[] = {"gamma=.5,tau=0,block=8,min_budget=8",
                                         "gamma=.5,tau=9,block=8,min_budget=8"};
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 70, 70, 2);
    for (size_t s = 0; s < ATN_LEN(params); s++)
        zoo_failing(&z, "flexprefill", params[s]);
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"by the rule", by_the_rule},
           {"published zero", published_zero}, {"dense limits", dense_limits},
           {"uniform attention", uniform_attention},
           {"memory runs out", memory_runs_out})
