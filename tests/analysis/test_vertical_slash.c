/* tests/analysis/test_vertical_slash.c -- verticals and slashes: lists and retained mass. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "dense_heads.h"

#include "analysis/measure.h"
#include "analysis/vertical_slash.h"

static const float f4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};

static atn_head given(const float *p, atn_idx n)
{
    return (atn_head){
        .p = {p, n, n, n}, .nq = n, .nk = n, .sight = {.causal = true, .key_last = n}};
}

/* UC(4): 1 + 1/2 + 1/3 + 1/4 and so on, columns and diagonals alike. F4: the sums of its
 * columns are 1.8 .95 1 .25, so keys 0 2 1 3; of its diagonals 2.25 1.3 .35 .1. */
static void lists_by_hand(atn_ctx *cx)
{
    static const double uniform[] = {25 / 12., 13 / 12., 7 / 12., 1 / 4.};
    static const atn_idx key[] = {0, 2, 1, 3};
    static const double column[] = {1.8, 1, .95, .25},
                        diagonal[] = {2.25, 1.3, .35, .1};
    float zero[4] = {0};
    const atn_head uc = {.q = {zero, 4, 1, 1},
                         .k = {zero, 4, 1, 1},
                         .nq = 4,
                         .nk = 4,
                         .scale = 1,
                         .sight = {.causal = true, .key_last = 4}};
    const atn_head f = given(f4, 4);
    atn_slash_lists l;

    CHECK_OK(atn_slash_lists_make(cx, &uc, 0, 0, &l));
    CHECK_EQ(l.keys, 4);
    CHECK_EQ(l.slashes, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(l.key_sum[i], uniform[i], 1e-6);
        CHECK_NEAR(l.slash_sum[i], uniform[i], 1e-6);
        CHECK_EQ(l.key[i], i);
        CHECK_EQ(l.slash[i], i);
    }
    atn_slash_lists_release(cx, &l);
    CHECK_OK(atn_slash_lists_make(cx, &f, 0, 0, &l));
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(l.key_sum[i], column[i], 1e-6);
        CHECK_NEAR(l.slash_sum[i], diagonal[i], 1e-6);
        CHECK_EQ(l.key[i], key[i]);
        CHECK_EQ(l.rank[key[i]], i);
        CHECK_EQ(l.slash[i], i);
        CHECK_EQ(l.slash_rank[i], i);
    }
    atn_slash_lists_release(cx, &l);
    /* of the last two rows: columns .3 .45 1 .25, so 2 1 0 3, but key 0 is forced */
    CHECK_OK(atn_slash_lists_make(cx, &f, 2, 1, &l));
    CHECK_EQ(l.key[0], 0);
    CHECK_EQ(l.key[1], 2);
    CHECK_EQ(l.key[2], 1);
    /* diagonals .75 .8 .35 .1; distance 0 is forced */
    CHECK_EQ(l.slash[0], 0);
    CHECK_EQ(l.slash[1], 1);
    atn_slash_lists_release(cx, &l);
}

/* F4, key 0 and distance 0: rows keep 1; 1; .2 + .5; .1 + .25, (1 + 1 + .7 + .35) / 4 = .7625 of
 * 1 + 2 + 2 + 2 entries of 10. The best one, two, two, two keys: 1 + 1 + .8 + .75 over 4. */
static void retained_by_hand(atn_ctx *cx)
{
    const atn_head f = given(f4, 4);
    atn_slash_lists l;
    atn_slash_pattern p[2];

    CHECK_OK(atn_slash_lists_make(cx, &f, 0, 0, &l));
    p[0] =
        (atn_slash_pattern){.lists = &l, .verticals = 1, .slashes = 1, .oracle = true};
    /* the first key, and distances 0 and 1: 1; 1; 1; .85, 1 + 2 + 3 + 3 entries */
    p[1] = (atn_slash_pattern){.verticals = 1, .slashes = 1};
    CHECK_OK(atn_slash_retained(cx, &f, 0, p, 2));
    CHECK_NEAR(p[0].mass, .7625, 1e-6);
    CHECK_NEAR(p[0].oracle_mass, .8875, 1e-6);
    CHECK_NEAR(p[0].density, .7, 1e-12);
    CHECK_NEAR(p[1].mass, 3.85 / 4, 1e-6);
    CHECK_NEAR(p[1].density, .9, 1e-12);
    CHECK(isnan(p[1].oracle_mass));
    /* rows 2 and 3 alone */
    CHECK_OK(atn_slash_retained(cx, &f, 2, p, 1));
    CHECK_NEAR(p[0].mass, (.7 + .35) / 2, 1e-6);
    CHECK_NEAR(p[0].density, 4 / 7., 1e-12);
    atn_slash_lists_release(cx, &l);
}

static double column(const double *out, const char *name)
{
    const atn_measure *m = atn_measure_find("vertical_slash");

    for (int c = 0; m->cols[c].name; c++)
        if (strcmp(m->cols[c].name, name) == 0) return out[c];
    fail_msg("no column %s", name);
    return 0;
}

typedef struct slash_params {
    int64_t verticals, slashes;
} slash_params;

static void measure(atn_ctx *cx, const atn_head *h, atn_idx skip, atn_idx v, atn_idx s,
                    double *out)
{
    const atn_measure *m = atn_measure_find("vertical_slash");
    const bool keep = true;
    const slash_params params = {v, s};
    const atn_layer_facts f = {.head = h, .heads = 1, .keep = &keep, .skip_rows = skip};

    for (int c = 0; c < atn_measure_n_cols(m); c++) out[c] = NAN;
    CHECK_OK(m->layer(cx, &f, &params, out));
}

/* Key 5 and distance 9 hold all weight: both are found, nothing is lost, and nothing less
 * keeps as much. */
static void planted(atn_ctx *cx)
{
    enum { N = 90 };
    static float p[N * N];
    const atn_head h = given(p, N);
    double out[64];

    for (int i = 0; i < N; i++) {
        p[i * N + (i >= 5 ? 5 : i)] = i >= 9 ? .4f : 1;
        if (i >= 9 && i != 14) p[i * N + i - 9] = .6f;
        if (i == 14) p[i * N + 5] = 1;
    }
    measure(cx, &h, 9, 1, 1, out);
    CHECK_NEAR(column(out, "vertical_slash_best_key"), 5, 0);
    CHECK_NEAR(column(out, "vertical_slash_best_slash_tokens"), 9, 0);
    CHECK_NEAR(column(out, "vertical_slash_mass"), 1, 1e-6);
    CHECK_NEAR(column(out, "vertical_slash_goodness"), 1, 1e-6);
    CHECK_NEAR(column(out, "vertical_slash_quarter_mass"), 0, 0);
    /* one of either is forced to key 0 and distance 0 in the estimate, which keeps .6 of row
     * 9, whose slash ends there, of 81 rows */
    CHECK_NEAR(column(out, "vertical_slash_last_mass"), .6 / 81, 1e-6);
    CHECK_NEAR(column(out, "vertical_slash_last_keys"), 0, 0);
    measure(cx, &h, 9, 31, 31, out);
    CHECK_NEAR(column(out, "vertical_slash_last_mass"), 1, 1e-6);
    CHECK_LE(30 / 31., column(out, "vertical_slash_last_keys"));
}

/* ---- the twin ---- */

enum { MOST = 80 };

/* The k best of n sums by index, ties to the first of `order`. */
static void best(const double *sum, const int *order, int n, int k, bool *in)
{
    for (int i = 0; i < n; i++) in[i] = false;
    for (int taken = 0; taken < k && taken < n; taken++) {
        int at = -1;
        for (int o = 0; o < n; o++)
            if (!in[order[o]] && (at < 0 || sum[order[o]] > sum[at])) at = order[o];
        in[at] = true;
    }
}

typedef struct twin {
    bool key[MOST], slash[3 * MOST]; /* distance d at d + MOST */
} twin;

static void twin_lists(const dense_head *x, int first, int forced, int v, int s,
                       twin *t)
{
    const int nq = (int)x->h.nq, nk = (int)x->h.nk, off = (int)x->h.sight.offset;
    double column_sum[MOST] = {0}, slash_sum[3 * MOST] = {0};
    int keys[MOST], slashes[3 * MOST], n_keys = 0, n_slashes = 0;

    memset(t, 0, sizeof *t);
    for (int i = first; i < nq; i++)
        for (int j = 0; j < nk; j++) {
            column_sum[j] += x->p[i * nk + j];
            slash_sum[i + off - j + MOST] += x->p[i * nk + j];
        }
    for (int j = 0; j < forced && j < nk; j++) column_sum[j] = 1e9;
    for (int d = 0; d < forced; d++) slash_sum[d + MOST] = 1e9;
    for (int j = 0; j < nk; j++) {
        bool seen = false;
        for (int i = first; i < nq; i++) seen |= x->sees[i * nk + j];
        if (seen) keys[n_keys++] = j;
    }
    /* nearest first, the negative one of two */
    for (int d = 0; d < MOST; d++)
        for (int sign = -1; sign <= 1; sign += 2) {
            bool seen = false;
            for (int i = first; i < nq; i++) {
                const int j = i + off - sign * d;
                seen |= j >= 0 && j < nk && x->sees[i * nk + j];
            }
            if (seen && (d > 0 || sign > 0)) slashes[n_slashes++] = sign * d + MOST;
        }
    best(column_sum, keys, n_keys, v, t->key);
    {
        bool in[3 * MOST] = {false};
        for (int taken = 0; taken < s && taken < n_slashes; taken++) {
            int at = -1;
            for (int o = 0; o < n_slashes; o++)
                if (!in[slashes[o]] &&
                    (at < 0 || slash_sum[slashes[o]] > slash_sum[at]))
                    at = slashes[o];
            in[at] = true;
        }
        memcpy(t->slash, in, sizeof in);
    }
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* Mean share, density, and mean share of as many best keys. */
static void twin_retained(const dense_head *x, int skip, const twin *t, double out[3])
{
    const int nq = (int)x->h.nq, nk = (int)x->h.nk, off = (int)x->h.sight.offset;
    double rows = 0, kept = 0, seen = 0, mass = 0, top = 0;

    for (int i = skip; i < nq; i++) {
        double row[MOST], own = 0;
        int count = 0;

        if (dense_mass(x, i) == 0) continue;
        for (int j = 0; j < nk; j++) {
            row[j] = x->p[i * nk + j];
            seen += x->sees[i * nk + j];
            if (!x->sees[i * nk + j] || !(t->key[j] || t->slash[i + off - j + MOST]))
                continue;
            own += row[j];
            count++;
        }
        kept += count;
        mass += own / dense_mass(x, i);
        qsort(row, (size_t)nk, sizeof *row, descending);
        for (int j = 0; j < count; j++) top += row[j] / dense_mass(x, i);
        rows++;
    }
    out[0] = mass / rows;
    out[1] = kept / seen;
    out[2] = top / rows;
}

static double agreement(const bool *a, const bool *b, int n)
{
    double both = 0, all = 0;

    for (int i = 0; i < n; i++) {
        both += a[i] && b[i];
        all += a[i];
    }
    return both / all;
}

static void twin_shape(const dense_head *x, int skip, double out[2])
{
    double rows = 0, mass = 0, kept = 0, seen = 0;

    for (atn_idx i = skip; i < x->h.nq; i++) {
        if (dense_mass(x, i) == 0) continue;
        rows++;
        for (atn_idx j = 0; j < x->h.nk; j++) {
            if (!x->sees[i * x->h.nk + j]) continue;
            seen++;
            if (j >= x->h.sight.key_first + 100 &&
                labs((long)(i + x->h.sight.offset - j)) > 800)
                continue;
            mass += x->p[i * x->h.nk + j] / dense_mass(x, i);
            kept++;
        }
    }
    out[0] = mass / rows;
    out[1] = kept / seen;
}

static void check_head(atn_ctx *cx, const dense_head *x, int skip, int v, int s)
{
    const int nq = (int)x->h.nq;
    const int tail = nq - 64 > skip ? nq - 64 : skip;
    double out[64], want[3], shape[2];
    twin full, last;

    measure(cx, &x->h, skip, v, s, out);
    twin_lists(x, skip, 0, v, s, &full);
    twin_lists(x, tail, 30, v, s, &last);
    twin_retained(x, skip, &full, want);
    CHECK_NEAR(column(out, "vertical_slash_mass"), want[0], 2e-6);
    CHECK_NEAR(column(out, "vertical_slash_density"), want[1], 1e-12);
    CHECK_NEAR(column(out, "vertical_slash_oracle_mass"), want[2], 2e-6);
    CHECK_LE(column(out, "vertical_slash_goodness"), 1);
    CHECK_NEAR(column(out, "vertical_slash_goodness"), want[0] / want[2], 5e-6);
    CHECK_NEAR(column(out, "vertical_slash_last_keys"),
               agreement(full.key, last.key, MOST), 1e-12);
    CHECK_NEAR(column(out, "vertical_slash_last_slashes"),
               agreement(full.slash, last.slash, 3 * MOST), 1e-12);
    twin_retained(x, skip, &last, want);
    CHECK_NEAR(column(out, "vertical_slash_last_mass"), want[0], 2e-6);
    twin_lists(x, skip, 0, v / 2, s / 2, &full);
    twin_retained(x, skip, &full, want);
    CHECK_NEAR(column(out, "vertical_slash_half_mass"), want[0], 2e-6);
    twin_lists(x, skip, 0, 30, 800, &full);
    twin_retained(x, skip, &full, want);
    CHECK_NEAR(column(out, "vertical_slash_30_800_mass"), want[0], 2e-6);
    CHECK_NEAR(column(out, "vertical_slash_30_800_density"), want[1], 1e-12);
    twin_shape(x, skip, shape);
    CHECK_NEAR(column(out, "vertical_slash_a_shape_mass"), shape[0], 2e-6);
    CHECK_NEAR(column(out, "vertical_slash_a_shape_density"), shape[1], 1e-12);
}

static void against_the_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++)
        for (int trial = 0; trial < 3; trial++) {
            dense_head x = make_dense((dense_kind)kind, trial == 2 ? 64 : 40, trial);

            if (kind == DENSE_BLIND || kind == DENSE_ONE) {
                drop_dense(&x);
                continue;
            }
            check_head(cx, &x, 5 * trial, 3 + trial, 2 + 3 * trial);
            drop_dense(&x);
        }
}

/* Where nothing is seen all cells are empty; n = 1 keeps all. */
static void nothing_to_see(atn_ctx *cx)
{
    dense_head blind = make_dense(DENSE_BLIND, 12, 0),
               one = make_dense(DENSE_ONE, 1, 0);
    const atn_idx rows[] = {0, 3};
    double out[64];
    atn_head h;

    measure(cx, &blind.h, 0, 2, 2, out);
    for (int c = 0; c < 22; c++) CHECK(isnan(out[c]));
    measure(cx, &one.h, 0, 1, 1, out);
    CHECK_NEAR(column(out, "vertical_slash_mass"), 1, 1e-6);
    CHECK_NEAR(column(out, "vertical_slash_density"), 1, 0);
    measure(cx, &one.h, 0, 0, 0, out);
    CHECK_NEAR(column(out, "vertical_slash_mass"), 0, 0);
    CHECK(isnan(column(out, "vertical_slash_goodness")));
    h = blind.h; /* sampled rows have no sums */
    h.sight.rows = rows;
    measure(cx, &h, 0, 2, 2, out);
    CHECK(isnan(out[0]));
    drop_dense(&blind);
    drop_dense(&one);
}

/* More is kept with more, all with all; the oracle is never below. */
static void order(atn_ctx *cx)
{
    dense_head x = make_dense(DENSE_CAUSAL, 60, 9);
    double before = 0, out[64];

    for (int k = 1; k <= 64; k *= 2) {
        measure(cx, &x.h, 0, k, k, out);
        CHECK_LE(before, column(out, "vertical_slash_mass"));
        CHECK_LE(column(out, "vertical_slash_mass"),
                 column(out, "vertical_slash_oracle_mass") + 1e-6);
        CHECK_LE(column(out, "vertical_slash_quarter_mass"),
                 column(out, "vertical_slash_half_mass"));
        CHECK_LE(column(out, "vertical_slash_mass"),
                 column(out, "vertical_slash_double_mass"));
        before = column(out, "vertical_slash_mass");
    }
    CHECK_NEAR(before, 1, 1e-6);
    drop_dense(&x);
}

static void allocations_may_fail(atn_ctx *cx)
{
    dense_head x = make_dense(DENSE_CAUSAL, 20, 0);
    atn_status st = ATN_MEMORY;

    (void)cx;
    for (long k = 0; st != ATN_OK; k++) {
        const atn_measure *m = atn_measure_find("vertical_slash");
        const bool keep = true;
        const slash_params params = {2, 2};
        const atn_layer_facts f = {.head = &x.h, .heads = 1, .keep = &keep};
        check_failing fail = {k};
        double out[64];
        atn_ctx c;

        CHECK(k < 1000);
        atn_ctx_init(&c);
        c.threads = 1;
        c.alloc = (atn_allocator){check_failing_resize, &fail};
        st = m->layer(&c, &f, &params, out);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        fail.left = 1 << 20;
        atn_ctx_release(&c);
    }
    drop_dense(&x);
}

CHECK_MAIN({"lists by hand", lists_by_hand}, {"retained by hand", retained_by_hand},
           {"planted", planted}, {"against the twin", against_the_twin},
           {"nothing to see", nothing_to_see}, {"order", order},
           {"allocations may fail", allocations_may_fail})
