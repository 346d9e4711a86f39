/* tests/core/test_row_table.c -- what the row pass computes beyond the basic numbers, against
 * rows written out in double and against numbers known beforehand.
 *
 * Queries and keys are multiples of 1/16, so that float32 logits are exact and equal ones occur:
 * the twin starts from the very same logits. Counts and places agree exactly, except where the
 * twin finds the row within 1e-6 of a threshold; such rows are counted.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "core/row_values.h"

enum {
    NQ = 190,
    NK = 230,
    D = 6,
    BLOCK = 16,
    BLOCK_KEYS = 32,
    SKIP = 3,
    BQ = (NQ + BLOCK - 1) / BLOCK,
    BK = (NK + BLOCK_KEYS - 1) / BLOCK_KEYS,
    LEVELS = ATN_COVER_LEVELS
};
static const double covers[LEVELS] = {.5, .8, .9, .95, .99, .999};
static const double spans[] = {.5, .9, .95};

typedef struct example {
    float q[NQ * D], k[NK * D], given[NQ * NK];
    double s[NQ][NK], p[NQ][NK]; /* p -1 where not seen */
    atn_head h;
} example;

typedef struct results {
    int64_t seen[NQ];
    double value[ATN_ROW_FIELDS][NQ], columns[NK], diagonals[NQ + NK - 1],
        blocks[BQ * BK], logits[NQ + NK - 1];
    float block_max[BQ * BK];
    uint8_t needed[BQ * BK];
} results;

/* What the twin could not decide, of all. */
static int unsure, decided;

static bool sees(const atn_sight *g, int i, int j)
{
    const int t = i + (int)g->offset, w = (int)g->window;

    if (j < g->key_first || j >= g->key_last || (g->causal && j > t)) return false;
    return w == 0 || (g->causal ? t - j < w : abs(t - j) <= w);
}

static void make(example *x, atn_sight sight, double sink, double slope)
{
    atn_rng r = atn_rng_stream(3, "test/row_table", 0, 0);

    for (int i = 0; i < NQ * D; i++) x->q[i] = (float)(atn_rng_below(&r, 65) - 32) / 16;
    for (int i = 0; i < NK * D; i++) x->k[i] = (float)(atn_rng_below(&r, 65) - 32) / 16;
    x->h = (atn_head){.q = {x->q, NQ, D, D},
                      .k = {x->k, NK, D, D},
                      .nq = NQ,
                      .nk = NK,
                      .scale = .5,
                      .sight = sight,
                      .has_sink = sink != 0,
                      .sink = sink,
                      .alibi_slope = slope};
    for (int i = 0; i < NQ; i++) {
        double sum = sink != 0 ? exp(sink) : 0;

        for (int j = 0; j < NK; j++) {
            double s = 0;

            for (int c = 0; c < D; c++)
                s += (double)x->q[i * D + c] * (double)x->k[j * D + c];
            s = .5 * s + slope * (double)(j - i - sight.offset);
            if (sight.softcap > 0) s = sight.softcap * tanh(s / sight.softcap);
            x->s[i][j] = s;
            x->p[i][j] = sees(&sight, i, j) ? exp(s) : -1;
            if (x->p[i][j] > 0) sum += x->p[i][j];
        }
        for (int j = 0; j < NK; j++) {
            if (x->p[i][j] > 0) x->p[i][j] /= sum;
            x->given[i * NK + j] = (float)fmax(x->p[i][j], 0);
        }
    }
}

/* The same head as weights. */
static void as_given(example *x)
{
    x->h.p = (atn_cmat){x->given, NQ, NK, NK};
    x->h.q.data = x->h.k.data = NULL;
}

static void run(atn_ctx *cx, const example *x, unsigned needs, results *r)
{
    atn_row_out out = {.seen = r->seen,
                       .columns = r->columns,
                       .diagonals = r->diagonals,
                       .blocks = r->blocks,
                       .block_max = r->block_max,
                       .needed = r->needed,
                       .logit_diagonals = r->logits};
    const atn_row_want want = {.needs = needs,
                               .top_k = 3,
                               .block = BLOCK,
                               .block_keys = BLOCK_KEYS,
                               .skip_rows = SKIP};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = r->value[f];
    CHECK_OK(atn_row_values(cx, &x->h, 1, &want, &out));
}

enum {
    ALL = ATN_NEED_MOMENTS | ATN_NEED_FIRST | ATN_NEED_LOCAL | ATN_NEED_TOPK |
          ATN_NEED_SUMS | ATN_NEED_MAX | ATN_NEED_COVER | ATN_NEED_SPAN |
          ATN_NEED_GINI | ATN_NEED_SMOOTHED | ATN_NEED_LOGITS | ATN_NEED_NEEDED
};

/* ---- one row of the twin ---- */

typedef struct entry {
    double p;
    int j;
} entry;

static int largest_first(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->j - y->j;
}

/* The seen entries, largest first; returns how many. */
static int sorted_row(const double *p, entry *e)
{
    int n = 0;

    for (int j = 0; j < NK; j++)
        if (p[j] >= 0) e[n++] = (entry){p[j], j};
    qsort(e, (size_t)n, sizeof *e, largest_first);
    return n;
}

/* Number of leading sums below `enough`; -1 when one is within 1e-6 of it. */
static int reach(const double *x, int n, double enough)
{
    double sum = 0;
    int k = 0;

    for (int i = 0; i < n; i++) {
        if (sum < enough - 1e-12) k = i + 1;
        sum += x[i];
        if (fabs(sum - enough) < 1e-6) return -1;
    }
    return k;
}

static void check_cover(const results *r, int i, const entry *e, int n, double mass,
                        int *count)
{
    double x[NK];

    for (int k = 0; k < n; k++) x[k] = e[k].p;
    for (int l = 0; l < LEVELS; l++) {
        count[l] = n > 0 ? reach(x, n, covers[l] * mass) : 0;
        /* float32 may take two neighbours in the other order */
        if (count[l] > 0 && count[l] < n && x[count[l] - 1] != x[count[l]] &&
            x[count[l] - 1] < x[count[l]] * (1 + 1e-6))
            count[l] = -1;
        if (count[l] < 0) unsure++;
        if (count[l] < 0) continue;
        decided++;
        CHECK_EQ(r->value[ATN_ROW_KEYS_50 + l][i], count[l]);
    }
}

static void check_span(const results *r, int i, int t, const double *p, double mass)
{
    double x[NQ + NK + 300] = {0};

    for (int j = 0; j < NK; j++)
        if (p[j] > 0) x[abs(t - j)] += p[j];
    for (int l = 0; l < 3; l++) {
        const int k = reach(x, (int)ATN_LEN(x), spans[l] * mass);
        if (k < 0) unsure++;
        if (k < 0) continue;
        decided++;
        CHECK_EQ(r->value[ATN_ROW_SPAN_50 + l][i], ATN_MAX(k - 1, 0));
    }
}

static void check_max(const results *r, int i, const entry *e, int n,
                      const atn_sight *g)
{
    double rest = 0, inner = 0;

    for (int k = 0; k < n; k++) {
        if (e[k].j != g->key_first) rest = fmax(rest, e[k].p);
        if (e[k].j != g->key_last - 1) inner = fmax(inner, e[k].p);
    }
    CHECK_NEAR(r->value[ATN_ROW_MAX][i], n > 0 ? e[0].p : 0, 1e-6);
    CHECK_NEAR(r->value[ATN_ROW_MAX_REST][i], rest, 1e-6);
    CHECK_NEAR(r->value[ATN_ROW_MAX_INNER][i], inner, 1e-6);
    if (n > 1 && e[0].p != e[1].p && e[0].p < e[1].p * (1 + 1e-6)) {
        unsure++;
        return;
    }
    CHECK_EQ(r->value[ATN_ROW_MAX_AT][i], n > 0 ? e[0].j : -1);
}

static void check_shape(const results *r, int i, const entry *e, int n, double mass)
{
    double gini = 0, smoothed = 0;

    for (int k = 0; k < n; k++) { /* place n - k of the ascending order */
        const double q = .9999 * e[k].p / mass + .0001 / n;
        gini += (2 * (n - k) - n - 1) * e[k].p / (n * mass);
        smoothed -= q * log(q);
    }
    CHECK_NEAR(r->value[ATN_ROW_GINI][i], gini, 1e-6);
    CHECK_NEAR(r->value[ATN_ROW_SMOOTHED][i], smoothed, 1e-5);
}

static void check_logits(const results *r, int i, int t, const example *x, double mass,
                         double *diagonals)
{
    double sum[2] = {0}, square[2] = {0}, near_square = 0;

    for (int j = 0; j < NK; j++) {
        const double p = x->p[i][j], z = log(p / mass);
        const bool near = abs(t - j) <= NK / 2;

        if (p < 0) continue;
        sum[0] += z;
        square[0] += z * z;
        if (near) {
            sum[1] += z;
            square[1] += z * z;
            near_square += p * p;
        }
        if (i >= SKIP) diagonals[i - j + NK - 1] += z;
    }
    CHECK_NEAR(r->value[ATN_ROW_LOGIT][i], sum[0], 1e-6 * (1 + fabs(sum[0])));
    CHECK_NEAR(r->value[ATN_ROW_LOGIT_SQUARE][i], square[0], 1e-6 * (1 + square[0]));
    CHECK_NEAR(r->value[ATN_ROW_LOGIT_NEAR][i], sum[1], 1e-6 * (1 + fabs(sum[1])));
    CHECK_NEAR(r->value[ATN_ROW_LOGIT_SQUARE_NEAR][i], square[1],
               1e-6 * (1 + square[1]));
    CHECK_NEAR(r->value[ATN_ROW_SQUARE_NEAR][i], near_square, 1e-6);
}

/* ---- the whole table ---- */

typedef struct sums {
    double columns[NK], diagonals[NQ + NK - 1], blocks[BQ * BK], most[BQ * BK],
        logits[NQ + NK - 1];
    unsigned needed[BQ * BK], unsure[BQ];
} sums;

static void add_sums(const double *p, int i, const entry *e, const int *count, sums *s)
{
    for (int j = 0; j < NK; j++) {
        const int cell = i / BLOCK * BK + j / BLOCK_KEYS;

        if (p[j] < 0) continue;
        s->columns[j] += p[j];
        s->diagonals[i - j + NK - 1] += p[j];
        s->blocks[cell] += p[j];
        s->most[cell] = fmax(s->most[cell], p[j]);
    }
    for (int l = 0; l < LEVELS; l++) {
        if (count[l] < 0) s->unsure[i / BLOCK] |= 1U << l;
        for (int k = 0; k < count[l]; k++)
            s->needed[i / BLOCK * BK + e[k].j / BLOCK_KEYS] |= 1U << l;
    }
}

static void check_sums(const results *r, const sums *s)
{
    for (int j = 0; j < NK; j++) CHECK_NEAR(r->columns[j], s->columns[j], 1e-5);
    for (int e = 0; e < NQ + NK - 1; e++) {
        CHECK_NEAR(r->diagonals[e], s->diagonals[e], 1e-5);
        CHECK_NEAR(r->logits[e], s->logits[e], 1e-6 * (1 + fabs(s->logits[e])));
    }
    for (int b = 0; b < BQ * BK; b++) {
        CHECK_NEAR(r->blocks[b], s->blocks[b], 1e-5);
        CHECK_NEAR(r->block_max[b], s->most[b], 1e-6);
        CHECK_EQ(r->needed[b] & ~s->unsure[b / BK], s->needed[b] & ~s->unsure[b / BK]);
    }
}

static void compare(atn_ctx *cx, const example *x)
{
    static results r;
    static sums s;

    memset(&s, 0, sizeof s);
    memset(&r, 0x7f, sizeof r);
    run(cx, x, ALL, &r);
    for (int i = 0; i < NQ; i++) {
        const int t = i + (int)x->h.sight.offset;
        double mass = 0;
        int count[LEVELS];
        entry e[NK];
        const int n = sorted_row(x->p[i], e);

        for (int k = 0; k < n; k++) mass += e[k].p;
        CHECK_EQ(r.seen[i], n);
        check_cover(&r, i, e, n, mass, count);
        check_span(&r, i, t, x->p[i], mass);
        check_max(&r, i, e, n, &x->h.sight);
        check_shape(&r, i, e, n, mass);
        check_logits(&r, i, t, x, mass, s.logits);
        if (i >= SKIP) add_sums(x->p[i], i, e, count, &s);
    }
    check_sums(&r, &s);
}

static void every_mask(atn_ctx *cx)
{
    static example x;
    const struct {
        atn_sight sight;
        double sink, slope;
    } all[] = {
        {{.causal = true, .key_last = NK}, 0, 0},
        {{.causal = true, .offset = NK - NQ, .key_last = NK}, 0, .125},
        {{.causal = true, .window = 40, .key_first = 7, .key_last = 170}, .7, 0},
        {{.key_last = NK}, 2, 0},
        {{.window = 25, .key_first = 20, .key_last = NK - 9}, 0, -.25},
        {{.causal = true, .offset = -30, .key_last = NK, .softcap = 3}, 0, 0},
        {{.causal = true, .offset = 150, .key_first = 1, .key_last = NK}, 0, 0},
        {{.offset = 270, .key_last = NK - 1}, 0, .0625}, /* positions beyond the keys */
    };

    unsure = decided = 0;
    for (size_t m = 0; m < ATN_LEN(all); m++) {
        make(&x, all[m].sight, all[m].sink, all[m].slope);
        compare(cx, &x);
        as_given(&x);
        compare(cx, &x);
    }
    print_message("%d numbers agree, %d lie at a threshold\n", decided, unsure);
    CHECK_LE(unsure, decided / 50);
}

/* Nothing depends on the number of threads, on what else is wanted, or on the other rows. */
static void threads_agree(atn_ctx *cx)
{
    static example x;
    static results one, four;

    make(&x, (atn_sight){.causal = true, .offset = 9, .key_last = NK}, 0, .125);
    memset(&one, 0, sizeof one);
    memset(&four, 0, sizeof four);
    cx->threads = 1;
    run(cx, &x, ALL, &one);
    cx->threads = 4;
    run(cx, &x, ALL, &four);
    CHECK_EQ(memcmp(&one, &four, sizeof one), 0);
    memset(&four, 0, sizeof four);
    for (unsigned need = 1; need <= ATN_NEED_NEEDED; need *= 2)
        if (need & ALL & ~(unsigned)(ATN_NEED_FIRST | ATN_NEED_MOMENTS))
            run(cx, &x, need, &four);
    run(cx, &x, ATN_NEED_FIRST | ATN_NEED_MOMENTS, &four);
    CHECK_EQ(memcmp(&one, &four, sizeof one), 0);
}

/* Some rows of a head have the numbers they have among all. */
static void sampled_rows(atn_ctx *cx)
{
    static example x;
    static results all, some;
    const atn_idx rows[] = {0, 1, 5, 17, 18, 19, 64, 100, 101, 144, 180, NQ - 1};
    const unsigned needs = ALL & ~(unsigned)(ATN_NEED_SUMS | ATN_NEED_NEEDED);
    const atn_row_want want = {.needs = needs, .top_k = 3};
    atn_row_out out = {.seen = some.seen};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = some.value[f];
    for (int trial = 0; trial < 4; trial++) {
        atn_head h;

        make(&x,
             (atn_sight){.causal = true,
                         .offset = trial & 1 ? 20 : 0,
                         .window = trial & 1 ? 30 : 0,
                         .key_last = NK},
             0, .125);
        if (trial & 2) as_given(&x);
        run(cx, &x, needs | ATN_NEED_LOGITS, &all);
        CHECK_OK(atn_head_sample(cx, &x.h, rows, ATN_LEN(rows), &h));
        CHECK_OK(atn_row_values(cx, &h, 1, &want, &out));
        for (int i = 0; i < (int)ATN_LEN(rows); i++) {
            CHECK_EQ(some.seen[i], all.seen[rows[i]]);
            for (int f = 0; f < ATN_ROW_FIELDS; f++)
                if (atn_row_field_needs((atn_row_field)f) != ATN_NEED_TOKENS)
                    CHECK_NEAR(some.value[f][i], all.value[f][rows[i]],
                               1e-6 * (1 + fabs(all.value[f][rows[i]])));
        }
    }
}

/* ---- numbers known beforehand ---- */

static void small(atn_ctx *cx, const float *p, int nq, int nk, atn_sight sight,
                  results *r)
{
    const atn_head h = {.p = {p, nq, nk, nk}, .nq = nq, .nk = nk, .sight = sight};
    atn_row_out out = {.seen = r->seen,
                       .blocks = r->blocks,
                       .needed = r->needed,
                       .block_max = r->block_max,
                       .logit_diagonals = r->logits};
    const atn_row_want want = {.needs = ATN_NEED_COVER | ATN_NEED_MAX | ATN_NEED_GINI |
                                        ATN_NEED_NEEDED | ATN_NEED_SPAN |
                                        ATN_NEED_LOGITS,
                               .top_k = 1,
                               .block = 2};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = r->value[f];
    CHECK_OK(atn_row_values(cx, &h, 1, &want, &out));
}

/* Fixture F4 of the cards: keys for 90 % of the mass 1, 2, 3, 3, for 95 % 1, 2, 3, 4; largest
 * weights 1, .5, .5, .5. Weights above the diagonal are not seen. */
static void golden_four_rows(atn_ctx *cx)
{
    static results r;
    const float p[16] = {1,   9,   9,   9, .5F, .5F,  9,   9,
                         .2F, .3F, .5F, 9, .1F, .15F, .5F, .25F};
    const int keys90[] = {1, 2, 3, 3}, keys95[] = {1, 2, 3, 4}, at[] = {0, 0, 2, 2};

    small(cx, p, 4, 4, (atn_sight){.causal = true, .key_last = 4}, &r);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(r.value[ATN_ROW_KEYS_90][i], keys90[i]);
        CHECK_EQ(r.value[ATN_ROW_KEYS_95][i], keys95[i]);
        CHECK_EQ(r.value[ATN_ROW_MAX_AT][i], at[i]);
    }
    CHECK_NEAR(r.value[ATN_ROW_MAX_REST][0], 0, 0);
    CHECK_NEAR(r.value[ATN_ROW_MAX_REST][1], .5, 1e-7);
    CHECK_NEAR(r.value[ATN_ROW_MAX_INNER][3], .5, 1e-7);
    /* row 1: one key for half of the mass, and of two equal ones it is the first; row 3: key 2
     * has half of the mass, 90 % need keys 1 to 3 */
    CHECK_EQ(r.needed[0] & 1, 1);
    CHECK_EQ(r.needed[2] & 1, 0); /* rows 2, 3: key 2 has half of the mass */
    CHECK_EQ(r.needed[3] & 1, 1);
    CHECK_NEAR(r.block_max[0], 1, 0);
    CHECK_EQ(r.needed[1], 0);
    /* row 2 (.2 .3 .5): 1/3 (-2 .2 + 0 .3 + 2 .5) = .2 */
    CHECK_NEAR(r.value[ATN_ROW_GINI][2], .2, 1e-7);
    CHECK_EQ(r.value[ATN_ROW_SPAN_50][3], 1); /* .25 + .5 */
    CHECK_EQ(r.value[ATN_ROW_SPAN_90][3], 2); /* .9 of 1 */
    CHECK_EQ(r.value[ATN_ROW_SPAN_95][3], 3);
    CHECK_EQ(r.value[ATN_ROW_SPAN_50][0], 0);
}

/* 2^-1 .. 2^-30 in a mixed order: 4, 5, 7, 10 keys; sums of 1 - 2^-k. */
static void golden_geometric(atn_ctx *cx)
{
    static results r;
    float p[30];

    for (int k = 0; k < 30; k++) p[k] = ldexpf(1, -1 - k * 7 % 30);
    small(cx, p, 1, 30, (atn_sight){.key_last = 30}, &r);
    CHECK_EQ(r.value[ATN_ROW_KEYS_50][0], 1);
    CHECK_EQ(r.value[ATN_ROW_KEYS_90][0], 4);
    CHECK_EQ(r.value[ATN_ROW_KEYS_95][0], 5);
    CHECK_EQ(r.value[ATN_ROW_KEYS_99][0], 7);
    CHECK_EQ(r.value[ATN_ROW_KEYS_999][0], 10);
}

/* Equal weights: ceil(c n) keys, the first ones; as many on either side for the span. */
static void golden_uniform(atn_ctx *cx)
{
    enum { MOST = 200 };
    static results r;
    static float q[MOST], k[MOST];
    const int num[LEVELS] = {500, 800, 900, 950, 990, 999};

    for (int n = 1; n <= MOST; n++) {
        const atn_head h = {.q = {q, 1, 1, 1},
                            .k = {k, n, 1, 1},
                            .nq = 1,
                            .nk = n,
                            .scale = 1,
                            .sight = {.offset = n - 1, .key_last = n}};
        atn_row_out out = {.seen = r.seen, .blocks = r.blocks, .needed = r.needed};
        const atn_row_want want = {.needs =
                                       ATN_NEED_NEEDED | ATN_NEED_SPAN | ATN_NEED_GINI,
                                   .top_k = 1,
                                   .block = 1,
                                   .block_keys = 4};

        for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = r.value[f];
        CHECK_OK(atn_row_values(cx, &h, 1, &want, &out));
        for (int l = 0; l < LEVELS; l++) {
            const int keys = (num[l] * n + 999) / 1000;

            CHECK_EQ(r.value[ATN_ROW_KEYS_50 + l][0], keys);
            for (int b = 0; b < (n + 3) / 4; b++)
                CHECK_EQ(r.needed[b] >> l & 1, 4 * b < keys);
        }
        CHECK_EQ(r.value[ATN_ROW_SPAN_90][0], (900 * n + 999) / 1000 - 1);
        CHECK_NEAR(r.value[ATN_ROW_GINI][0], 0, 1e-12);
    }
}

/* z = -(i - j) / 2 on 6 positions lies on diagonals alone: the share that their means explain,
 * 1 - (sum z^2 - sum_d N_d b_d^2) / (sum z^2 - N z^2), is 1, before and after the shift of each
 * row by its log-sum-exp is taken back. */
static void golden_toeplitz(atn_ctx *cx)
{
    enum { N = 6 };
    const float zero[N] = {0};
    const atn_head h = {.q = {zero, N, 1, 1},
                        .k = {zero, N, 1, 1},
                        .nq = N,
                        .nk = N,
                        .scale = 1,
                        .sight = {.causal = true, .key_last = N},
                        .alibi_slope = .5};
    static results r;
    atn_row_out out = {.seen = r.seen, .logit_diagonals = r.logits};
    const atn_row_want want = {.needs = ATN_NEED_LOGITS, .top_k = 1};
    double square = 0, mean = 0, on_diagonals = 0;

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = r.value[f];
    CHECK_OK(atn_row_values(cx, &h, 1, &want, &out));
    for (int i = 0; i < N; i++) {
        double lse = 0;

        for (int j = 0; j <= i; j++) lse += exp(-.5 * (i - j));
        lse = log(lse); /* sum (z + lse)^2 from sums of z */
        square += r.value[ATN_ROW_LOGIT_SQUARE][i] +
                  2 * lse * r.value[ATN_ROW_LOGIT][i] + (i + 1) * lse * lse;
        mean += r.value[ATN_ROW_LOGIT][i] + (i + 1) * lse;
        for (int j = 0; j <= i; j++) r.logits[i - j + N - 1] += lse;
    }
    for (int d = 0; d < N; d++) {
        const double b = r.logits[d + N - 1] / (N - d);
        CHECK_NEAR(b, -.5 * d, 1e-6);
        on_diagonals += (N - d) * b * b;
    }
    CHECK_NEAR(1 - (square - on_diagonals) / (square - mean * mean / 21), 1, 1e-6);
}

/* A given weight of 0 has no logarithm. */
static void no_logarithm(atn_ctx *cx)
{
    static results r;
    const float p[] = {1, 0, .5F, .5F};

    small(cx, p, 2, 2, (atn_sight){.key_last = 2}, &r);
    CHECK(isnan(r.value[ATN_ROW_LOGIT][0]) && isnan(r.value[ATN_ROW_LOGIT_SQUARE][0]));
    CHECK_NEAR(r.value[ATN_ROW_LOGIT][1], 2 * log(.5), 1e-6);
    for (int e = 0; e < 3; e++) CHECK(isnan(r.logits[e]));
    CHECK_EQ(r.value[ATN_ROW_KEYS_999][0], 1);
}

/* Nor has one below 0: not a number on the diagonal in the middle, with numbers after it. */
static void no_number(atn_ctx *cx)
{
    static results r;
    const float p[] = {.5F, .5F, .5F, .5F, -.1F, .5F, .5F, .5F, .5F};

    small(cx, p, 3, 3, (atn_sight){.key_last = 3}, &r);
    for (int e = 0; e < 5; e++) CHECK(isnan(r.logits[e]));
}

/* A row that sees nothing, and one whose sink takes all. */
static void nothing_seen(atn_ctx *cx)
{
    static results r;
    const float one[2] = {1, 1};
    const atn_head h = {.q = {one, 2, 1, 1},
                        .k = {one, 2, 1, 1},
                        .nq = 2,
                        .nk = 2,
                        .scale = 1,
                        .sight = {.causal = true, .key_first = 1, .key_last = 2},
                        .has_sink = true,
                        .sink = 1000};
    atn_row_out out = {.seen = r.seen,
                       .blocks = r.blocks,
                       .needed = r.needed,
                       .block_max = r.block_max,
                       .logit_diagonals = r.logits,
                       .columns = r.columns,
                       .diagonals = r.diagonals};
    const atn_row_want want = {.needs = ALL, .top_k = 1, .block = 1};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = r.value[f];
    CHECK_OK(atn_row_values(cx, &h, 1, &want, &out));
    CHECK_EQ(r.value[ATN_ROW_MAX_AT][0], -1);
    CHECK_EQ(r.value[ATN_ROW_MAX_AT][1], 1);
    CHECK_EQ(r.value[ATN_ROW_LOGIT][1], 0);
    for (int i = 0; i < 2; i++)
        for (int f = 0; f < ATN_ROW_FIELDS; f++)
            CHECK(!isnan(r.value[f][i]) || f == ATN_ROW_INDUCTION ||
                  f == ATN_ROW_DUPLICATE);
    CHECK_EQ(r.value[ATN_ROW_KEYS_999][1], 0);
    CHECK_EQ(r.needed[0] | r.needed[1] | r.needed[2] | r.needed[3], 0);
}

CHECK_MAIN({"every mask", every_mask}, {"threads agree", threads_agree},
           {"sampled rows", sampled_rows}, {"golden: four rows", golden_four_rows},
           {"golden: geometric", golden_geometric}, {"golden: uniform", golden_uniform},
           {"golden: Toeplitz", golden_toeplitz}, {"no logarithm", no_logarithm},
           {"no number", no_number}, {"nothing seen", nothing_seen})
