/* tests/approx/test_pattern_golden.c -- the published and derived numbers of the static
 * patterns: rows, counts, densities, and how far the last block reaches. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern_dense.h"

/* ---- help: how far the last block sees, by walking ---- */

typedef struct walk {
    int n;            /* layers until nothing is added, 0 .. */
    long reached[24]; /* blocks after k layers */
    long near[24];    /* of these, on end from the last one back */
    uint8_t *at;      /* [cols] the last state */
} walk;

/* Heads are joined; self loops are there. */
static walk walk_from_last(const atn_pattern *p)
{
    const long nb = (long)p->cols;
    uint8_t **m = calloc((size_t)p->heads, sizeof *m);
    uint8_t *next = calloc((size_t)nb, 1);
    walk w = {.at = calloc((size_t)nb, 1)};

    for (atn_idx h = 0; h < p->heads; h++) m[h] = dense_blocks(p, h);
    w.at[nb - 1] = 1;
    for (w.n = 0; w.n < 24; w.n++) {
        for (long c = 0; c < nb; c++) w.reached[w.n] += w.at[c];
        while (w.near[w.n] < nb && w.at[nb - 1 - w.near[w.n]]) w.near[w.n]++;
        memcpy(next, w.at, (size_t)nb);
        for (long a = 0; a < nb; a++)
            for (atn_idx h = 0; w.at[a] && h < p->heads; h++)
                for (long c = 0; c < nb; c++) next[c] |= m[h][a * nb + c];
        if (memcmp(next, w.at, (size_t)nb) == 0) break;
        memcpy(w.at, next, (size_t)nb);
    }
    for (atn_idx h = 0; h < p->heads; h++) free(m[h]);
    free(m);
    free(next);
    return w;
}

/* Reached after 1, 2, .. layers; 0 ends the list, and growth must end there. */
static void check_reach(atn_ctx *cx, const char *id, const char *params, atn_idx n,
                        const long *wanted)
{
    atn_pattern *p = dense_square(cx, id, params, n);
    const walk w = walk_from_last(p);
    int k = 1;

    for (; wanted[k - 1]; k++) CHECK_EQ(w.reached[k], wanted[k - 1]);
    CHECK_EQ(w.n, k - 1);
    free(w.at);
    atn_pattern_destroy(cx, p);
}

#define CHECK_REACH(id, params, n, ...)                                                \
    check_reach(cx, id, params, n, (const long[]){__VA_ARGS__, 0})

static int64_t pairs_of(atn_ctx *cx, const char *id, const char *params, atn_idx n)
{
    atn_pattern *p = dense_square(cx, id, params, n);
    int64_t pairs = 0;

    CHECK_OK(atn_pattern_pairs(cx, p, 0, &pairs));
    atn_pattern_destroy(cx, p);
    return pairs;
}

static atn_pattern_counts counts_of(atn_ctx *cx, const char *id, const char *params,
                                    const atn_layout *l, atn_idx head)
{
    atn_pattern *p = dense_make(cx, id, params, l);
    atn_pattern_counts c;

    CHECK_OK(atn_pattern_count(cx, p, p->heads == 1 ? 0 : head, &c));
    atn_pattern_destroy(cx, p);
    return c;
}

/* "0 2 5-7": what the query at i sees. */
static void check_row(atn_ctx *cx, const char *id, const char *params, atn_idx n,
                      atn_idx i, const char *wanted)
{
    atn_pattern *p = dense_square(cx, id, params, n);
    atn_span *s = malloc((size_t)p->room * sizeof *s);
    const atn_idx m = atn_pattern_keys(p, 0, i, s);
    char text[256] = "";

    for (atn_idx k = 0; k < m; k++) {
        char *at = text + strlen(text);

        if (s[k].hi - s[k].lo == 1)
            sprintf(at, "%s%ld", k ? " " : "", (long)s[k].lo);
        else
            sprintf(at, "%s%ld-%ld", k ? " " : "", (long)s[k].lo, (long)s[k].hi - 1);
    }
    CHECK_STR(text, wanted);
    free(s);
    atn_pattern_destroy(cx, p);
}

/* ---- sparse card 2 and card A5: PowerAttention and what it is compared with ---- */

static void power_and_baselines_reach(atn_ctx *cx)
{
    const atn_idx b = 256;

    CHECK_REACH("power", NULL, 128 * b, 10, 35, 75, 110, 126, 128);
    CHECK_REACH("power", NULL, 256 * b, 11, 44, 109, 184, 235, 254, 256);
    CHECK_REACH("power", NULL, 512 * b, 12, 54, 152, 292, 418, 488, 510, 512);
    CHECK_REACH("power_sliding", NULL, 128 * b, 10, 18, 26, 34, 42, 50, 58, 66, 74, 82,
                90, 98, 106, 114, 122, 128);
    CHECK_REACH("power_slash", NULL, 128 * b, 10, 30, 50, 70, 90, 110, 126, 128);
    CHECK_REACH("power_dilated", NULL, 128 * b, 10, 19, 28, 37, 46, 55, 64);
}

/* Stuck at half and at 80 of 128 blocks. */
static void power_baselines_stay(atn_ctx *cx)
{
    atn_pattern *p = dense_square(cx, "power_longnet", NULL, 128 * 256);
    const walk w = walk_from_last(p);

    CHECK_EQ(w.reached[w.n], 80);
    free(w.at);
    atn_pattern_destroy(cx, p);
}

/* Blocks of the triangle, whole blocks of the square, tokens of the square and of the
 * triangle, as printed. */
static void power_densities(atn_ctx *cx)
{
    static const struct {
        const char *id;
        double density[4];
    } rows[] = {
        {"power", {.13820, .06964, .06575, .13150}},
        {"power_sliding", {.14959, .07538, .07149, .14297}},
        {"power_slash", {.12888, .06494, .06105, .12210}},
        {"power_dilated", {.14414, .07263, .06874, .13748}},
        {"power_longnet", {.09884, .04980, .04591, .09182}},
    };
    const atn_layout l = atn_layout_square(128 * 256, 1, 0);

    for (size_t i = 0; i < ATN_LEN(rows); i++) {
        const atn_pattern_counts c = counts_of(cx, rows[i].id, NULL, &l, 0);

        CHECK_NEAR(c.block_causal, rows[i].density[0], 5e-6);
        CHECK_NEAR(c.block_full, rows[i].density[1], 5e-6);
        CHECK_NEAR(c.full, rows[i].density[2], 5e-6);
        CHECK_NEAR(c.causal, rows[i].density[3], 5e-6);
    }
}

/* w + the powers in [w, nb) + the first block, once where it is at a power. */
static void power_last_row(atn_ctx *cx)
{
    for (long nb = 6; nb < 140; nb++) {
        atn_pattern *p = dense_square(cx, "power", "block=3", 3 * nb);
        uint8_t *m = dense_blocks(p, 0);
        long wanted = 5 + ((nb - 1) & (nb - 2) ? 1 : 0), got = 0;

        for (long o = 8; o < nb; o *= 2) wanted++;
        if (nb - 1 < 5) wanted--;
        for (long c = 0; c < nb; c++) got += m[(nb - 1) * nb + c];
        CHECK_EQ(got, wanted);
        free(m);
        atn_pattern_destroy(cx, p);
    }
    CHECK_EQ(pairs_of(cx, "power", "block=4,window=16", 64), 64 * 65 / 2);
}

/* Theorem B.1 with its slip mended: out-degree ceil(log2 n) besides the self loop, and
 * a distance takes as many layers as it has binary ones. */
static void pure_powers(atn_ctx *cx)
{
    atn_pattern *p = dense_square(cx, "powers", NULL, 1024);
    const long near[] = {1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1024};
    const walk w = walk_from_last(p);

    CHECK_REACH("powers", NULL, 16, 5, 11, 15, 16);
    CHECK_REACH("powers", NULL, 1024, 11, 56, 176, 386, 638, 848, 968, 1013, 1023,
                1024);
    CHECK_REACH("powers", NULL, 128, 8, 29, 64, 99, 120, 127, 128);
    for (int d = 0; d < 11; d++) CHECK_EQ(w.near[d], near[d]);
    free(w.at);
    atn_pattern_destroy(cx, p);
    for (long n = 2; n < 300; n++) {
        const atn_layout l = atn_layout_square(n, 1, 0);
        long bits = 0;

        while (1L << bits < n) bits++;
        CHECK_EQ(counts_of(cx, "powers", NULL, &l, 0).row_most, bits + 1);
    }
}

/* Contiguous from the last block back, card A5. */
static void power_contiguous(atn_ctx *cx)
{
    const long wanted[] = {1, 5, 13, 29, 61, 125, 128};
    atn_pattern *p = dense_square(cx, "power", "block=1", 128);
    const walk w = walk_from_last(p);

    for (int k = 0; k < 7; k++) CHECK_EQ(w.near[k], wanted[k]);
    free(w.at);
    atn_pattern_destroy(cx, p);
}

static void reach_of_card_a5(atn_ctx *cx)
{
    CHECK_REACH("window", "window=10", 128, 10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100,
                109, 118, 127, 128);
    CHECK_REACH("dilated", "window=10", 128, 10, 19, 28, 37, 46, 55, 64);
    CHECK_REACH("vertical_slash", "window=5,sink=0,diagonals=55x11x33x22x44", 128, 10,
                39, 82, 116, 128);
    CHECK_REACH("strided", "stride=11", 128, 22, 128);
    CHECK_REACH("longnet", "segments=8x32x128,dilations=1x4x16,phase=zero", 128, 8, 14,
                29, 38, 56);
}

/* All phases: 16 heads joined. */
static void longnet_phases(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(128, 16, 0);
    const long wanted[] = {1, 20, 92, 128};
    atn_pattern *p =
        dense_make(cx, "longnet", "segments=8x32x128,dilations=1x4x16", &l);
    const walk w = walk_from_last(p);

    for (int k = 0; k < 4; k++) CHECK_EQ(w.reached[k], wanted[k]);
    CHECK_EQ(w.n, 3);
    free(w.at);
    atn_pattern_destroy(cx, p);
}

/* Share of all pairs j <= i that k layers reach: m is one layer, r is k of them. */
static void check_fractions(atn_ctx *cx, const char *id, const char *params,
                            const double *wanted, int layers)
{
    enum { N = 128 };
    atn_pattern *p = dense_square(cx, id, params, N);
    uint8_t *m = dense_blocks(p, 0), *r = calloc(N, N), *next = calloc(N, N);

    for (long a = 0; a < N; a++) m[a * N + a] = r[a * N + a] = 1;
    for (int k = 0; k < layers; k++) {
        long pairs = 0;

        memset(next, 0, (size_t)N * N);
        for (long a = 0; a < N; a++)
            for (long b = 0; b < N; b++)
                for (long c = 0; m[a * N + b] && c < N; c++)
                    next[a * N + c] |= r[b * N + c];
        memcpy(r, next, (size_t)N * N);
        for (long x = 0; x < (long)N * N; x++) pairs += r[x];
        if (wanted[k] > 0)
            CHECK_NEAR((double)pairs / (N * (N + 1) / 2.0), wanted[k], 5e-5);
    }
    free(m);
    free(r);
    free(next);
    atn_pattern_destroy(cx, p);
}

static void fractions_of_card_a5(atn_ctx *cx)
{
    const double sliding[] = {.1496, .2739, .3883, .4930, .5878, .6728, 0, .8135};
    const double power[] = {.1382, .4140, .7517, .9524, .9996, 1};

    check_fractions(cx, "window", "window=10", sliding, 8);
    check_fractions(cx, "power", "block=1", power, 6);
}

/* Card A5: mean reach 1, 10, 55.2 (sd 4.0), 108.6 (7.8), 123.4 (4.2); 300 seeds here,
 * five standard errors. */
static void bigbird_reach(atn_ctx *cx)
{
    const double wanted[] = {1, 10, 55.2, 108.6, 123.4}, sd[] = {0, 0, 4, 7.8, 4.2};
    double mean[5] = {0};

    for (int seed = 0; seed < 300; seed++) {
        const atn_layout l = atn_layout_square(128, 1, (uint64_t)seed);
        atn_pattern *p = dense_make(
            cx, "bigbird", "form=plain,window=3,global=1,random=6,block=1", &l);
        const walk w = walk_from_last(p);

        for (int k = 0; k < 5; k++) mean[k] += (double)w.reached[ATN_MIN(k, w.n)] / 300;
        free(w.at);
        atn_pattern_destroy(cx, p);
    }
    for (int k = 0; k < 5; k++)
        CHECK_NEAR(mean[k], wanted[k], 1e-9 + .06 + 5 * sd[k] / sqrt(300));
}

/* ---- sparse card 1: S2-Attention ---- */

/* Blocks of a head, and of all heads together. */
static long s2_union(atn_ctx *cx, long heads, long stride, const char *homo,
                     long *of_head)
{
    const atn_layout l = atn_layout_square(64 * 64, heads, 0);
    uint8_t *all = calloc(64, 64);
    char params[64];
    atn_pattern *p;
    long sum = 0;

    sprintf(params, "stride=%ld,homo=%s", stride, homo);
    p = dense_make(cx, "s2", params, &l);
    for (atn_idx h = 0; h < p->heads; h++) {
        uint8_t *m = dense_blocks(p, h);

        of_head[h] = 0;
        for (int x = 0; x < 64 * 64; x++) of_head[h] += m[x];
        for (int x = 0; x < 64 * 64; x++) all[x] |= m[x];
        free(m);
    }
    for (int x = 0; x < 64 * 64; x++) sum += all[x];
    CHECK_EQ(p->heads, strcmp(homo, "yes") == 0 ? 1 : heads);
    free(all);
    atn_pattern_destroy(cx, p);
    return sum;
}

static void s2_shards(atn_ctx *cx)
{
    static const long turn[] = {685, 700, 715, 730};
    long of[32];

    CHECK_EQ(s2_union(cx, 8, 4, "no", of), 2080);
    for (int h = 0; h < 8; h++) CHECK_EQ(of[h], turn[h % 4]);
    CHECK_EQ(s2_union(cx, 4, 4, "no", of), 2080);
    CHECK_EQ(s2_union(cx, 32, 8, "no", of), 2080);
    CHECK_EQ(s2_union(cx, 4, 8, "no", of), 1150);
    CHECK_EQ(s2_union(cx, 2, 3, "no", of), 1450);
    CHECK_EQ(s2_union(cx, 8, 4, "yes", of), 685);
    CHECK_EQ(s2_union(cx, 1, 1, "no", of), 2080);
    /* the heads together see everything where there are as many as columns */
    for (long heads = 1; heads <= 8; heads++)
        for (long v = 1; v <= 8; v++)
            CHECK((heads >= v) == (s2_union(cx, heads, v, "no", of) == 2080));
    CHECK_EQ(pairs_of(cx, "s2", "local=64", 4096), 4096 * 4097 / 2);
}

/* ---- sparse card 15: neighbourhood attention ---- */

static void check_starts(atn_ctx *cx, const char *params, const char *wanted)
{
    atn_pattern *p = dense_square(cx, "gna", params, 8);
    char text[128] = "";
    atn_span s;

    for (atn_idx i = 0; i < 8; i++) {
        CHECK_EQ(atn_pattern_keys(p, 0, i, &s), 1);
        if (p->frame.causal)
            sprintf(text + strlen(text), "[%ld,%ld)", (long)s.lo, (long)s.hi);
        else
            sprintf(text + strlen(text), "%s%ld", i ? " " : "", (long)s.lo);
    }
    CHECK_STR(text, wanted);
    atn_pattern_destroy(cx, p);
}

static void gna_windows(atn_ctx *cx)
{
    check_starts(cx, "window=3", "0 0 1 2 3 4 5 5");
    check_starts(cx, "window=4", "0 0 0 1 2 3 4 4");
    check_starts(cx, "window=4,stride=2", "0 0 1 1 3 3 4 4");
    check_starts(cx, "window=4,stride=4", "0 0 0 0 4 4 4 4");
    check_starts(cx, "window=3,stride=3", "0 0 0 3 3 3 5 5");
    check_starts(cx, "window=8", "0 0 0 0 0 0 0 0");
    check_starts(cx, "window=3,causal=1", "[0,1)[0,2)[0,3)[1,4)[2,5)[3,6)[4,7)[5,8)");
    check_starts(cx, "window=4,stride=2,causal=1",
                 "[0,1)[0,2)[0,3)[0,4)[2,5)[2,6)[4,7)[4,8)");
    CHECK_EQ(pairs_of(cx, "gna", "window=1", 70), 70);
    CHECK_EQ(pairs_of(cx, "gna_hunyuan", NULL, 115200), 115200LL * 18 * 24 * 24);
    CHECK_EQ(pairs_of(cx, "gna_flux", NULL, 65536), 65536LL * 6400);
    CHECK_EQ(pairs_of(cx, "gna", "shape=16x44x80,window=16x24x16,stride=1x8x16", 56320),
             56320LL * 16 * 24 * 16);
}

static void grid_says_its_tokens(atn_ctx *cx)
{
    atn_idx n = -1;

    CHECK_OK(atn_pattern_tokens(cx, "gna", "shape=16x44x80", &n));
    CHECK_EQ(n, 56320);
    CHECK_OK(atn_pattern_tokens(cx, "gna_hunyuan", NULL, &n));
    CHECK_EQ(n, 115200);
    CHECK_OK(atn_pattern_tokens(cx, "gna", NULL, &n));
    CHECK_EQ(n, 0);
    CHECK_OK(atn_pattern_tokens(cx, "documents", "lengths=3x9x4,block=2", &n));
    CHECK_EQ(n, 32);
    CHECK_OK(atn_pattern_tokens(cx, "documents", "lengths=7", &n));
    CHECK_EQ(n, 0);
    CHECK_OK(atn_pattern_tokens(cx, "power", NULL, &n));
    CHECK_EQ(n, 0);
}

/* ---- sparse cards 17 and 25 (b): sink and window ---- */

static void stream_counts(atn_ctx *cx)
{
    const atn_layout l = atn_layout_square(8192, 1, 0);
    const atn_pattern_counts c = counts_of(cx, "stream", "sink=4,window=1024", &l, 0);

    CHECK_EQ(pairs_of(cx, "stream", "sink=2,window=4", 16), 81);
    CHECK_EQ(c.pairs, 7893498);
    CHECK_NEAR(c.causal, .2352158592891798, 1e-15);
    CHECK_NEAR(c.kv, .1254883, 5e-8);
    CHECK_EQ(pairs_of(cx, "stream", "sink=0,window=1", 40), 40);
    CHECK_EQ(pairs_of(cx, "stream", "sink=0,window=40", 40), 40 * 41 / 2);
    check_row(cx, "stream", "sink=2,window=4", 16, 9, "0-1 6-9");
    /* keys below 100 or less than 800 back, so 900 in the later rows */
    CHECK_EQ(pairs_of(cx, "a_shape", NULL, 2000), 900 * 901 / 2 + 1100 * 900);
}

/* ---- sparse card 18: BigBird ---- */

static void bigbird_rows(atn_ctx *cx)
{
    enum { NB = 20, R = 3 };
    const atn_layout l = atn_layout_square(NB * 16, 4, 77);
    atn_pattern *p = dense_make(cx, "bigbird", NULL, &l);
    uint8_t *m[4];

    CHECK_EQ(p->heads, 4);
    for (int h = 0; h < 4; h++) {
        m[h] = dense_blocks(p, h);
        for (int a = 0; a < NB; a++) {
            const bool edge = a == 1 || a == NB - 2, all = a == 0 || a == NB - 1;
            const uint8_t *row = m[h] + a * NB;
            int n = 0;

            for (int c = 0; c < NB; c++) n += row[c];
            CHECK_EQ(n, all ? NB : edge ? 4 + R : 5 + R);
            CHECK(row[0] && row[NB - 1] && row[a] && row[ATN_MAX(a - 1, 0)] &&
                  row[ATN_MIN(a + 1, NB - 1)]);
        }
    }
    CHECK(memcmp(m[0], m[1], NB * NB) != 0); /* other blocks in other heads */
    for (int h = 0; h < 4; h++) free(m[h]);
    atn_pattern_destroy(cx, p);
    CHECK_EQ(pairs_of(cx, "bigbird", "block=1,random=5", 9), 81); /* nb <= 5 + r - 1 */
    check_row(cx, "bigbird", "block=1,random=0", 9, 4, "0 3-5 8");
}

/* Every candidate is drawn equally often: 3 of the 15 of row 10, 4000 seeds. */
static void bigbird_draws_evenly(atn_ctx *cx)
{
    enum { NB = 20, SEEDS = 4000 };
    int drawn[NB] = {0};

    for (int seed = 0; seed < SEEDS; seed++) {
        const atn_layout l = {
            .nk = NB, .nq = 1, .first = 10, .heads = 1, .seed = (uint64_t)seed};
        atn_pattern *p = dense_make(cx, "bigbird", "block=1", &l);
        uint8_t *m = dense_tokens(p, 0);

        for (int c = 0; c < NB; c++) drawn[c] += m[c];
        free(m);
        atn_pattern_destroy(cx, p);
    }
    for (int c = 0; c < NB; c++) { /* sd of a count 25.3; five of them */
        if (c == 0 || c == NB - 1 || (c >= 9 && c <= 11))
            CHECK_EQ(drawn[c], SEEDS);
        else
            CHECK_NEAR(drawn[c], SEEDS * .2, 5 * 25.3);
    }
}

/* ---- sparse card 19: Longformer ---- */

static void longformer_limits(atn_ctx *cx)
{
    atn_pattern *p = dense_square(cx, "longformer", "window=3,dilation=2", 33);
    const walk w = walk_from_last(p);

    for (int c = 0; c < 33; c++) CHECK_EQ(w.at[c], (32 - c) % 2 == 0);
    free(w.at);
    atn_pattern_destroy(cx, p);
    CHECK_EQ(pairs_of(cx, "longformer", "window=32", 33), 33 * 33);
    /* n (2 w + 1) - w (w + 1) and, for a global token, its row and column besides */
    CHECK_EQ(pairs_of(cx, "longformer", "window=2", 33), 33 * 5 - 6);
    CHECK_EQ(pairs_of(cx, "longformer", "window=2,global=9", 33),
             33 * 5 - 6 + 2 * 33 - 1 - 9);
    check_row(cx, "longformer", "window=2,dilation=3,global=19x4", 33, 10,
              "4 7 10 13 16 19");
    check_row(cx, "longformer", "window=2,dilation=3,global=19x4,causal=yes", 33, 10,
              "4 7 10");
}

/* After k layers the middle token sees 1 + 2 k w. */
static void longformer_reach(atn_ctx *cx)
{
    atn_pattern *p = dense_square(cx, "longformer", "window=3", 101);
    uint8_t *m = dense_blocks(p, 0), at[101] = {0}, next[101];

    at[50] = 1;
    for (int k = 1; k <= 16; k++) {
        int n = 0;

        memcpy(next, at, sizeof at);
        for (int a = 0; a < 101; a++)
            for (int c = 0; at[a] && c < 101; c++) next[c] |= m[a * 101 + c];
        memcpy(at, next, sizeof at);
        for (int c = 0; c < 101; c++) n += at[c];
        CHECK_EQ(n, 1 + 2 * k * 3);
    }
    free(m);
    atn_pattern_destroy(cx, p);
}

/* ---- sparse cards 20 and 21: LogSparse, Sparse Transformer ---- */

static void logsparse_rows(atn_ctx *cx)
{
    atn_pattern *p = dense_square(cx, "logsparse", NULL, 600);
    atn_span s[64];

    check_row(cx, "logsparse", NULL, 8, 7, "3 5-7");
    check_row(cx, "logsparse", "window=3", 40, 37, "5 21 29 33 35-37");
    check_row(cx, "logsparse", "window=3,restart=16", 40, 37, "33 35-37");
    for (long i = 0; i < 600; i++) {
        const atn_idx n = atn_pattern_keys(p, 0, i, s);
        long keys = 0, wanted = i ? 2 : 1;

        for (atn_idx k = 0; k < n; k++) keys += (long)(s[k].hi - s[k].lo);
        for (long x = i; x > 1; x /= 2) wanted++;
        CHECK_EQ(keys, wanted);
    }
    CHECK_REACH("logsparse", NULL, 16, 5, 11, 15, 16);
    atn_pattern_destroy(cx, p);
}

/* Every pair j <= i is at most two layers away. */
static void check_two_hops(atn_ctx *cx, const char *id, const char *params, atn_idx n)
{
    atn_pattern *p = dense_square(cx, id, params, n);
    uint8_t *m = dense_blocks(p, 0);

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j <= i; j++) {
            bool found = false;

            for (atn_idx k = j; k <= i && !found; k++)
                found = m[i * n + k] && m[k * n + j];
            if (!found) fail_msg("%s:%s: %ld -> %ld", id, params, (long)i, (long)j);
        }
    free(m);
    atn_pattern_destroy(cx, p);
}

static void sparse_transformer_takes_two_layers(atn_ctx *cx)
{
    char params[64];

    for (int l = 1; l <= 20; l++) {
        sprintf(params, "stride=%d", l);
        check_two_hops(cx, "strided", params, 67);
        for (int c = 1; c <= l; c += 3) {
            sprintf(params, "stride=%d,summary=%d", l, c);
            check_two_hops(cx, "fixed", params, 67);
        }
    }
    CHECK_EQ(pairs_of(cx, "strided", "stride=1", 67), 67 * 68 / 2);
    CHECK_EQ(pairs_of(cx, "strided", "stride=67", 67), 67 * 68 / 2);
    CHECK_EQ(pairs_of(cx, "fixed", "stride=67", 67), 67 * 68 / 2);
    /* m (l (l + 1) / 2) + c l m (m - 1) / 2 with m = 8, l = 16, c = 3 */
    CHECK_EQ(pairs_of(cx, "fixed", "stride=16,summary=3", 128),
             8 * 16 * 17 / 2 + 3 * 16 * 8 * 7 / 2);
    check_row(cx, "fixed", "stride=8,summary=2", 40, 27, "6-7 14-15 22-27");
    check_row(cx, "strided", "stride=8", 40, 27, "3 11 19-27");
}

/* ---- card A17: masks of the long-context benchmark ---- */

static void areas_of_card_a17(atn_ctx *cx)
{
    const atn_idx n = 8192;

    CHECK_EQ(pairs_of(cx, "full", NULL, n), 67108864);
    CHECK_EQ(pairs_of(cx, "causal", NULL, n), 33558528);
    /* its window of 1024 has the query's own key besides */
    CHECK_EQ(pairs_of(cx, "window", "window=1025", n), 7872000);
    CHECK_EQ(pairs_of(cx, "window", "window=1025,two_sided=yes", n), 15735808);
    CHECK_EQ(pairs_of(cx, "documents", "kind=full,lengths=900x7000x292", n),
             900LL * 900 + 7000LL * 7000 + 292LL * 292);
    CHECK_EQ(pairs_of(cx, "documents", "lengths=900x7000x292", n),
             900LL * 901 / 2 + 7000LL * 7001 / 2 + 292LL * 293 / 2);
    CHECK_EQ(pairs_of(cx, "prefix_lm", "prefix=300", n), 33558528 + 300LL * 299 / 2);
    CHECK_EQ(pairs_of(cx, "block_diagonal", NULL, n), 128LL * 64 * 64);
}

/* Parts [q range, k range, type] as its file lists them: type 1 is causal, aligned at
 * the lower right. */
typedef struct part {
    int q0, q1, k0, k1, type;
} part;

static void check_parts(atn_ctx *cx, const char *id, const char *params, int n,
                        const part *parts, int count)
{
    atn_pattern *p = dense_square(cx, id, params, n);
    uint8_t *m = dense_tokens(p, 0);

    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            int seen = 0;

            for (int s = 0; s < count; s++) {
                const part *x = &parts[s];

                if (i < x->q0 || i >= x->q1 || j < x->k0 || j >= x->k1) continue;
                seen += x->type == 0 || x->k1 - 1 - j >= x->q1 - 1 - i;
            }
            if (m[i * n + j] != seen)
                fail_msg("%s:%s: query %d, key %d: %d", id, params, i, j, seen);
        }
    free(m);
    atn_pattern_destroy(cx, p);
}

#define CHECK_PARTS(id, params, n, ...)                                                \
    check_parts(cx, id, params, n, (const part[]){__VA_ARGS__},                        \
                (int)(sizeof((const part[]){__VA_ARGS__}) / sizeof(part)))

static void parts_of_card_a17(atn_ctx *cx)
{
    CHECK_PARTS("documents", "lengths=9x30x21", 60, {0, 9, 0, 9, 1}, {9, 39, 9, 39, 1},
                {39, 60, 39, 60, 1});
    CHECK_PARTS("documents", "lengths=9x30x21,kind=last_sees_all", 60, {0, 9, 0, 9, 1},
                {9, 39, 9, 39, 1}, {39, 60, 0, 60, 1});
    CHECK_PARTS("documents", "lengths=9x30x10x11,kind=shared_question", 60,
                {0, 39, 0, 39, 1}, {39, 49, 39, 49, 1}, {39, 49, 0, 9, 0},
                {49, 60, 49, 60, 1}, {49, 60, 0, 9, 0});
    CHECK_PARTS("prefix_lm", "prefix=17", 60, {0, 17, 0, 17, 0}, {17, 60, 0, 60, 1});
    CHECK_PARTS("prefix_lm", "prefix=60", 60, {0, 60, 0, 60, 0});
    /* the second is no longer than the prefix, and causal */
    CHECK_PARTS("prefix_lm", "prefix=11,lengths=20x11x29", 60, {0, 11, 0, 11, 0},
                {11, 20, 0, 20, 1}, {20, 31, 20, 31, 1}, {31, 42, 31, 42, 0},
                {42, 60, 31, 60, 1});
    /* blocks of 4, documents of 3 and 2 blocks */
    CHECK_PARTS("documents", "block=4,lengths=3x2,kind=block_causal", 20,
                {0, 4, 0, 4, 0}, {4, 8, 0, 8, 0}, {8, 12, 0, 12, 0},
                {12, 16, 12, 16, 0}, {16, 20, 12, 20, 0});
}

CHECK_MAIN({"power and baselines reach", power_and_baselines_reach},
           {"power baselines stay", power_baselines_stay},
           {"power densities", power_densities}, {"power last row", power_last_row},
           {"pure powers", pure_powers}, {"power contiguous", power_contiguous},
           {"reach of card A5", reach_of_card_a5}, {"longnet phases", longnet_phases},
           {"fractions of card A5", fractions_of_card_a5},
           {"bigbird reach", bigbird_reach}, {"S2 shards", s2_shards},
           {"gna windows", gna_windows}, {"grid says its tokens", grid_says_its_tokens},
           {"stream counts", stream_counts}, {"bigbird rows", bigbird_rows},
           {"bigbird draws evenly", bigbird_draws_evenly},
           {"longformer limits", longformer_limits},
           {"longformer reach", longformer_reach}, {"logsparse rows", logsparse_rows},
           {"Sparse Transformer takes two layers", sparse_transformer_takes_two_layers},
           {"areas of card A17", areas_of_card_a17},
           {"parts of card A17", parts_of_card_a17})
