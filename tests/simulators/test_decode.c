/* Time of a decode step: by hand, against a twin in whole numbers, and its shape. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/model.h"

#define TILE(dim, masks, rows, keys)                                                   \
    {                                                                                  \
        .head_dim = dim, .takes = masks, .q = {1, {rows}}, .k = {1, {keys}},           \
        .usual = true, .overlap = NAN                                                  \
    }
enum { BOTH = ATN_TAKES_CAUSAL | ATN_TAKES_WINDOW };

static atn_kernel fa3(void)
{
    static atn_kernel_tile tiles[] = {TILE(128, BOTH, 128, 128),
                                      TILE(256, ATN_TAKES_CAUSAL, 128, 80),
                                      TILE(256, ATN_TAKES_WINDOW, 128, 64)};

    return (atn_kernel){.id = "packed",
                        .packs_gqa = true,
                        .split = ATN_SPLIT_VARLEN,
                        .tile = tiles,
                        .tiles = ATN_LEN(tiles)};
}

static atn_kernel fill(void)
{
    static atn_kernel_tile tiles[] = {TILE(256, BOTH, 128, 128)};

    return (atn_kernel){
        .id = "filled", .split = ATN_SPLIT_FILL, .tile = tiles, .tiles = 1};
}

static atn_device sms(double n)
{
    atn_device d = {.id = "some"};

    d.number[ATN_DEVICE_SMS].value = n;
    return d;
}

static atn_launch step(atn_idx batch, atn_idx heads, atn_idx kv_heads, atn_idx dim,
                       atn_idx kv_len)
{
    return (atn_launch){.pass = ATN_PASS_DECODE,
                        .batch = batch,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = dim,
                        .value_dim = dim,
                        .q_len = 1,
                        .kv_len = kv_len,
                        .bytes = 2,
                        .causal = true};
}

static atn_regressors regress(const atn_kernel *k, const atn_device *d,
                              const atn_launch *s, atn_idx window)
{
    atn_decode_case c;
    atn_regressors x;

    CHECK(atn_decode_case_of(k, s, window, &c));
    atn_decode_regressors(k, d, s, &c, &x);
    return x;
}

/* 8 KV heads of 32, 8192 keys on 132 SMs: n = 64 tiles of 128; 8 CTAs. Of s <= 64, 33
 * fills two waves exactly, so 0.85 is wanted: 15 pieces have 120 / 132 = 0.909, 14
 * have 0.848. A piece takes ceil(1.1 * 64 * 8 / 132) = 5 tiles: 13 pieces, one wave of
 * 104 CTAs, 5 tiles each. */
static void golden_split(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_device d = sms(132);
    const atn_launch s = step(1, 32, 8, 128, 8192);
    const atn_regressors x = regress(&k, &d, &s, 0);

    (void)cx;
    CHECK_NEAR(x.x[ATN_TERM_T0], 1, 0);
    CHECK_NEAR(x.x[ATN_TERM_CTA], 1, 0);
    CHECK_NEAR(x.x[ATN_TERM_TILE], 5, 0);
    CHECK_NEAR(x.x[ATN_TERM_SPLIT], 1, 0);
    CHECK_NEAR(x.x[ATN_TERM_PART], 32 * 128 * 13 / 1e6, 1e-15);
    CHECK_NEAR(x.x[ATN_TERM_BYTE], (4. * 8 * 8192 * 128 + 4. * 32 * 128) / 1e6, 1e-12);
    CHECK_NEAR(x.x[ATN_TERM_CTA_MHA], 0, 0);
    CHECK_NEAR(x.x[ATN_TERM_WINDOW], 0, 0);
    /* 1024 elements lie a third of the way from 512 to 2048 */
    CHECK_NEAR(x.x[ATN_TERM_KV + 3], 0.001 * 2 / 3, 1e-15);
    CHECK_NEAR(x.x[ATN_TERM_KV + 4], 0.001 / 3, 1e-15);
}

/* A window of 1024 of 8200 keys at d 256: tiles of 64; the last tile is 129 of ceil
 * (8200 / 64), the first floor(7176 / 64) = 112: 17 tiles. */
static void golden_window(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_launch s = step(3, 8, 8, 256, 8200);
    atn_decode_case c;

    (void)cx;
    CHECK(atn_decode_case_of(&k, &s, 1024, &c));
    CHECK(c.window);
    CHECK_EQ(c.bn, 64);
    CHECK_EQ(c.blocks, 17);
    CHECK_EQ(c.seen, 1024);
    CHECK(atn_decode_case_of(&k, &s, 8200, &c));
    CHECK(!c.window);
    CHECK_EQ(c.bn, 80);
    CHECK_EQ(c.blocks, 103);
}

/* 96 heads on 2 KV heads: 48 a group, more than 32, so keys are read by each head. */
static void golden_filled(atn_ctx *cx)
{
    const atn_kernel k = fill();
    const atn_device d = sms(132);
    const atn_launch s = step(2, 96, 2, 128, 1000), few = step(1, 32, 8, 128, 1000);
    atn_regressors x = regress(&k, &d, &s, 0);

    (void)cx;
    CHECK_NEAR(x.x[ATN_TERM_CTA], 2, 0); /* ceil(192 / 132) */
    CHECK_NEAR(x.x[ATN_TERM_CTA_MHA], 2, 0);
    CHECK_NEAR(x.x[ATN_TERM_TILE], 16, 0);
    CHECK_NEAR(x.x[ATN_TERM_SPLIT], 0, 0);
    CHECK_NEAR(x.x[ATN_TERM_BYTE], 4. * 2 * 96 * 1001 * 128 / 1e6, 1e-12);
    CHECK_NEAR(x.x[ATN_TERM_KV_TOKEN], 2. * 2 * 128 / 1e6, 1e-15);
    x = regress(&k, &d, &few, 0); /* floor(132 / 8) = 16, but only 8 tiles */
    CHECK_NEAR(x.x[ATN_TERM_CTA], 1, 0);
    CHECK_NEAR(x.x[ATN_TERM_TILE], 1, 0);
    CHECK_NEAR(x.x[ATN_TERM_CTA_MHA], 0, 0);
    CHECK_NEAR(x.x[ATN_TERM_PART], 32. * 128 * 8 / 1e6, 1e-15);
}

/* Bytes alone: 8 us + 4.1 MB; and work of 5 beside bytes of 12: 17, 13, 12 as P is 1,
 * 2, large. */
static void golden_sum(atn_ctx *cx)
{
    const atn_kernel k = fill();
    const atn_device d = sms(132);
    const atn_launch s = step(1, 8, 8, 128, 1000);
    atn_time_fit f = {.model = ATN_MODEL_FULL, .power = 1};
    atn_regressors x = {{0}};
    atn_decode_case c;

    (void)cx;
    f.c[ATN_TERM_T0] = 8;
    f.c[ATN_TERM_BYTE] = 1;
    CHECK(atn_decode_case_of(&k, &s, 0, &c));
    CHECK_NEAR(atn_decode_time(&k, &d, &f, &s, &c, false), 12.100096, 1e-9);
    f.model = ATN_MODEL_FOUR;
    f.c[ATN_TERM_CTA] = 99;
    CHECK_NEAR(atn_decode_time(&k, &d, &f, &s, &c, false), 12.100096, 1e-9);
    f = (atn_time_fit){.model = ATN_MODEL_FULL, .power = 1};
    f.c[ATN_TERM_BYTE] = 3, f.c[ATN_TERM_TILE] = 5;
    x.x[ATN_TERM_BYTE] = 4, x.x[ATN_TERM_TILE] = 1;
    CHECK_NEAR(atn_decode_sum(&f, &x, false), 17, 1e-12);
    f.power = 2;
    CHECK_NEAR(atn_decode_sum(&f, &x, false), 13, 1e-12);
    f.power = 500;
    CHECK_NEAR(atn_decode_sum(&f, &x, false), 12, 1e-9);
}

/* ---- the twin: whole numbers, its own loops ---- */

static long up(long a, long b)
{
    return a / b + (a % b != 0);
}

static long twin_most(long ctas, long blocks, long n_sms)
{
    double best = 0;

    if (10 * ctas >= 8 * n_sms || blocks <= 4) return 1;
    for (int round = 0; round < 2; round++)
        for (long s = 1; s <= 128 && s <= n_sms && s <= blocks; s++) {
            const double e = (double)(ctas * s) / (double)(n_sms * up(ctas * s, n_sms));

            if (round && e >= 0.85 * best) return s;
            if (e > best) best = e;
        }
    return 1;
}

/* Time with all coefficients the same for all terms, by the formulas of the card. */
static double twin(bool packs, long n_sms, const atn_launch *s, long w, const double *c,
                   const double *kv, double power)
{
    const long b = s->batch, h = s->heads, hk0 = s->kv_heads, d = s->head_dim;
    const long len = s->kv_len, g = h / hk0, seen = w ? w : len;
    const long bm = 128, bn = packs && d > 128 ? (w ? 64 : 80) : 128;
    const long hk = !packs && g > 32 ? h : hk0, mb = packs ? up(g, bm) : 1;
    const long n = up(len, bn) - (len - seen) / bn;
    long most, taken;
    double waves, m, bytes, sum;

    if (packs) {
        const long reach = w && w + bm < len ? w + bm : len;
        const long nk = up(len, bn);
        const double share = 1.1 * (double)(b * mb * nk * hk) / (double)n_sms;
        long each = (long)share;

        if ((double)each < share) each++;
        most = twin_most(hk * mb, up(reach, bn), n_sms);
        taken = up(nk, each);
        if (taken > most) taken = most;
    } else {
        taken = n_sms / (b * hk);
        if (taken > n) taken = n;
        if (taken < 1) taken = 1;
        most = taken;
    }
    waves = (double)up(b * hk * mb * taken, n_sms);
    m = c[1] * waves + c[2] * waves * (double)up(n, taken);
    if (!packs && (g == 1 || g > 32)) m += c[7] * waves;
    bytes = c[3] * (double)(4 * b * hk * seen * d + 4 * b * h * d) / 1e6;
    sum = c[0] + (w ? c[6] : 0) + pow(pow(m, power) + pow(bytes, power), 1 / power);
    if (most > 1) sum += c[4] + c[5] * (double)(b * h * d * taken) / 1e6;
    sum += (c[8] * (double)b) / 1000 + c[9] * (double)(b * h * d) / 1e6 +
           c[10] * (double)(b * hk0 * d) / 1e6;
    for (int i = 0; i < 6; i++) {
        static const double at[] = {64, 128, 256, 512, 2048, 8192};
        const double x = fmin(fmax((double)(hk0 * d), 64), 8192);
        double hat = 0;

        if (x == at[i])
            hat = 1;
        else if (i > 0 && x > at[i - 1] && x < at[i])
            hat = (x - at[i - 1]) / (at[i] - at[i - 1]);
        else if (i < 5 && x > at[i] && x < at[i + 1])
            hat = (at[i + 1] - x) / (at[i + 1] - at[i]);
        sum += kv[i] * hat * (double)b / 1000;
    }
    return sum;
}

static const atn_term order[] = {
    ATN_TERM_T0,    ATN_TERM_CTA,  ATN_TERM_TILE,     ATN_TERM_BYTE,
    ATN_TERM_SPLIT, ATN_TERM_PART, ATN_TERM_WINDOW,   ATN_TERM_CTA_MHA,
    ATN_TERM_SEQ,   ATN_TERM_QO,   ATN_TERM_KV_TOKEN,
};

static void agrees_with_twin(atn_ctx *cx)
{
    static const double c[] = {9.1, 1.3, 0.7, 0.2, 2.2, 3.1, 1.9, 0.4, 7.7, 2.6, 11.3};
    static const double kv[] = {0.7, 1.1, 2.1, 5.8, 7.6, 28.1};
    static const double powers[] = {1, 1.5, 2, 4, 8};
    static const atn_idx dims[] = {64, 128, 192, 256};
    const atn_kernel kernels[] = {fill(), fa3()};
    unsigned r = 7;

    (void)cx;
    for (int trial = 0; trial < 20000; trial++) {
        unsigned draw[8];
        atn_time_fit f = {.model = ATN_MODEL_FULL};
        atn_decode_case at;
        atn_launch s;
        atn_device d;
        atn_idx w;
        bool packs;

        for (int i = 0; i < 8; i++) draw[i] = (r = r * 1664525u + 1013904223u) >> 8;
        packs = draw[0] & 1;
        d = sms(draw[0] & 2 ? 132 : 148);
        s = step(1 + draw[1] % 130, 0, 1 + draw[2] % 12, dims[draw[3] % 4],
                 1 + draw[4] % (draw[0] & 4 ? 300 : 40000));
        s.heads = s.kv_heads * (1 + draw[5] % (draw[0] & 8 ? 4 : 50));
        w = draw[6] % 3 ? 0 : 1 + draw[6] % 1100;
        f.power = powers[draw[7] % 5];
        for (int i = 0; i < 11; i++) f.c[order[i]] = c[i];
        for (int i = 0; i < 6; i++) f.c[ATN_TERM_KV + i] = kv[i];
        CHECK(atn_decode_case_of(&kernels[packs], &s, w, &at));
        {
            const double us = atn_decode_time(&kernels[packs], &d, &f, &s, &at, false);
            const double want = twin(packs, draw[0] & 2 ? 132 : 148, &s,
                                     w < s.kv_len ? w : 0, c, kv, f.power);

            CHECK_NEAR(us / want, 1, 1e-12);
        }
    }
}

/* More keys never take less time where the number of pieces stays; and bytes alone are
 * linear in them. */
static void grows_with_keys(atn_ctx *cx)
{
    atn_kernel k = fa3();
    const atn_device d = sms(132);
    atn_time_fit f = {.model = ATN_MODEL_FULL, .power = 2}, base = {0};
    double last = 0, first = 0;

    (void)cx;
    for (int i = 0; i < 11; i++) f.c[order[i]] = 1;
    base.c[ATN_TERM_BYTE] = 1;
    k.split = ATN_SPLIT_NONE;
    for (atn_idx len = 1; len < 5000; len += 13) {
        const atn_launch s = step(4, 32, 8, 128, len);
        atn_decode_case c;
        double us;

        CHECK(atn_decode_case_of(&k, &s, 0, &c));
        us = atn_decode_time(&k, &d, &f, &s, &c, false);
        CHECK_LE(last, us);
        last = us;
        us = atn_decode_time(&k, &d, &base, &s, &c, false);
        if (len == 1) first = us;
        CHECK_NEAR(us - first, 4. * 4 * 8 * 128 * (double)(len - 1) / 1e6, 1e-9);
    }
}

/* A bare kernel does not write the new keys. */
static void bare_leaves_the_write_out(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_device d = sms(132);
    const atn_launch s = step(10, 8, 4, 128, 500); /* 512 elements: the fourth node */
    atn_time_fit f = {.model = ATN_MODEL_FULL, .power = 1};
    atn_decode_case c;

    (void)cx;
    f.c[ATN_TERM_T0] = 9;
    f.c[ATN_TERM_KV + 3] = 5;
    f.c[ATN_TERM_KV_TOKEN] = 1000;
    CHECK(atn_decode_case_of(&k, &s, 0, &c));
    CHECK_NEAR(atn_decode_time(&k, &d, &f, &s, &c, true), 9, 1e-12);
    CHECK_NEAR(atn_decode_time(&k, &d, &f, &s, &c, false), 9 + 0.05 + 5.12, 1e-12);
}

static void hostile_shapes(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_idx most = INT64_MAX;
    const atn_launch bad[] = {step(0, 8, 8, 128, 100), step(1, 8, 0, 128, 100),
                              step(1, 4, 8, 128, 100), step(-1, 8, 8, 128, 100),
                              step(1, 8, 8, 128, 0)};
    const atn_device d = sms(132), none = sms(0);
    atn_decode_case c = {.seen = 100, .blocks = 1, .bn = 128, .bm = 128};
    atn_time_fit f = {.model = ATN_MODEL_FULL, .power = 2};
    atn_launch s;

    (void)cx;
    for (int i = 0; i < 11; i++) f.c[order[i]] = 1;
    for (size_t i = 0; i < ATN_LEN(bad); i++)
        CHECK(isnan(atn_decode_time(&k, &d, &f, &bad[i], &c, false)));
    s = step(1, 8, 8, 128, 100);
    CHECK(isnan(atn_decode_time(&k, &none, &f, &s, &c, false)));
    CHECK(isfinite(atn_decode_time(&k, &d, &f, &s, &c, false)));
    c.seen = 101; /* more than there are */
    CHECK(isnan(atn_decode_time(&k, &d, &f, &s, &c, false)));
    s = step(1, 8, 8, 320, 100);
    CHECK(!atn_decode_case_of(&k, &s, 0, &c)); /* no tile */
    s = step(most, most, 1, 128, most);
    CHECK(atn_decode_case_of(&k, &s, 0, &c));
    CHECK(isfinite(atn_decode_time(&k, &d, &f, &s, &c, false)));
    CHECK(atn_decode_case_of(&k, &s, most - 1, &c));
    CHECK(isfinite(atn_decode_time(&k, &d, &f, &s, &c, false)));
}

CHECK_MAIN({"golden: splits", golden_split}, {"golden: a window", golden_window},
           {"golden: filled", golden_filled}, {"golden: the sum", golden_sum},
           {"agrees with twin", agrees_with_twin}, {"grows with keys", grows_with_keys},
           {"bare leaves the write out", bare_leaves_the_write_out},
           {"hostile shapes", hostile_shapes})
