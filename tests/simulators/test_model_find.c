/* Where the coefficients of a kernel on a GPU come from, and what is scaled. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/machine.h"
#include "simulators/model.h"

static atn_kernel_tile tile(int head_dim, atn_idx bm, atn_idx bn)
{
    return (atn_kernel_tile){.head_dim = head_dim,
                             .takes = ATN_TAKES_CAUSAL | ATN_TAKES_WINDOW,
                             .q = {1, {bm}},
                             .k = {1, {bn}},
                             .usual = true,
                             .overlap = NAN};
}

static atn_time_fit fit(const char *gpu, const char *architecture, int head_dim,
                        atn_pass pass)
{
    atn_time_fit f = {.model = ATN_MODEL_FULL,
                      .head_dim = head_dim,
                      .pass = pass,
                      .power = 2,
                      .low = 0.9,
                      .high = 1.2,
                      .slow = 0.15,
                      .theta_ms = 8};

    snprintf(f.gpu, sizeof f.gpu, "%s", gpu);
    snprintf(f.architecture, sizeof f.architecture, "%s", architecture);
    for (int i = 0; i < ATN_TERMS; i++) f.c[i] = 1 + 0.1 * i;
    return f;
}

static atn_kernel kernel(atn_time_fit *fits, int n)
{
    static atn_kernel_tile tiles[2];

    tiles[0] = tile(64, 192, 128);
    tiles[1] = tile(128, 128, 128);
    return (atn_kernel){
        .id = "mine", .fit = fits, .fits = n, .tile = tiles, .tiles = 2};
}

static atn_device gpu(atn_ctx *cx, const char *id)
{
    atn_device d;

    CHECK_OK(atn_device_read(cx, id, &d));
    return d;
}

static atn_time_model find(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                           int head_dim, atn_pass pass, const atn_kernel_tile *t)
{
    const atn_launch l = {.pass = pass,
                          .batch = 1,
                          .heads = 8,
                          .kv_heads = 8,
                          .head_dim = head_dim,
                          .value_dim = head_dim,
                          .q_len = pass == ATN_PASS_DECODE ? 1 : 4096,
                          .kv_len = 4096,
                          .bytes = 2,
                          .causal = true};
    atn_time_model m;

    CHECK_OK(atn_time_model_find(cx, k, d, &l, t, &m));
    return m;
}

/* The fit of this GPU and head dim is taken as it is, whatever stands before it. */
static void own_fit_is_not_touched(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("h100", "sm90", 128, ATN_PASS_FORWARD),
                           fit("h200", "sm90", 256, ATN_PASS_FORWARD),
                           fit("h200", "sm90", 128, ATN_PASS_DECODE),
                           fit("h200", "sm90", 128, ATN_PASS_FORWARD),
                           fit("h200", "sm90", 128, ATN_PASS_FORWARD),
                           fit("b200", "sm100", 128, ATN_PASS_FORWARD)};
    atn_kernel k = kernel(fits, ATN_LEN(fits));
    atn_time_model m;

    fits[4].model = ATN_MODEL_FOUR; /* of two the full model */
    for (int i = 0; i < 6; i++) fits[i].c[ATN_TERM_T0] = i;
    k.mask_factor[0] = 9; /* a fit of rank 1 has its own */
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK(m.calibrated);
    CHECK(memcmp(m.fit.c, fits[3].c, sizeof m.fit.c) == 0);
    CHECK_STR(m.how, "coefficients of mine fitted on h200");
    CHECK_STR(m.fit.gpu, "h200");
    m = find(cx, &k, &d, 128, ATN_PASS_DECODE, NULL);
    CHECK_NEAR(m.fit.c[ATN_TERM_T0], 2, 0);
    m = find(cx, &k, &d, 96, ATN_PASS_FORWARD, NULL);
    CHECK_NEAR(m.fit.c[ATN_TERM_T0], 3, 0); /* 128 before 256 */
    /* a launch that does not say its numbers has those that were timed */
    CHECK_OK(atn_time_model_find(
        cx, &k, &d, &(atn_launch){.pass = ATN_PASS_DECODE, .head_dim = 128}, NULL, &m));
    CHECK(memcmp(m.fit.c, fits[2].c, sizeof m.fit.c) == 0);
}

/* A device of one's own with the id of a built-in one is scaled by what its numbers
 * differ, here half the clock and a third of the HBM; the same numbers change nothing;
 * of another architecture it has no coefficients. */
static void same_id_other_numbers(atn_ctx *cx)
{
    const atn_device h200 = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("h200", "sm90", 128, ATN_PASS_FORWARD),
                           fit("mine", "sm90", 128, ATN_PASS_FORWARD)};
    const atn_kernel k = kernel(fits, 1), own = kernel(fits + 1, 1);
    atn_device d = h200, other;
    atn_time_model m, n;

    d.number[ATN_DEVICE_CLOCK_MHZ].value /= 2;
    d.number[ATN_DEVICE_HBM_GBS].value /= 3;
    other = d;
    snprintf(other.id, sizeof other.id, "other");
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);
    n = find(cx, &k, &other, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK(memcmp(m.fit.c, n.fit.c, sizeof m.fit.c) == 0);
    CHECK_NEAR(m.fit.c[ATN_TERM_CTA], 2 * fits[0].c[ATN_TERM_CTA], 1e-12);
    CHECK(strstr(m.how, "scaled to this h200 by"));
    snprintf(other.id, sizeof other.id, "mine"); /* fitted on itself */
    n = find(cx, &own, &other, 128, ATN_PASS_FORWARD, &own.tile[1]);
    CHECK(memcmp(n.fit.c, fits[1].c, sizeof n.fit.c) == 0);
    d = h200;
    snprintf(d.architecture, sizeof d.architecture, "sm100");
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK(!m.calibrated);
}

/* From H200 to another of its architecture: half the clock doubles CTA, tile, mask;
 * a third of the HBM trebles bytes and the last two KV nodes. */
static void other_gpu_is_scaled(atn_ctx *cx)
{
    atn_device d = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("h200", "sm90", 128, ATN_PASS_FORWARD)};
    const atn_kernel k = kernel(fits, 1);
    const atn_device h100 = gpu(cx, "h100"), b200 = gpu(cx, "b200"),
                     pcie = gpu(cx, "h100-pcie");
    atn_time_model m;

    snprintf(d.id, sizeof d.id, "half");
    d.number[ATN_DEVICE_CLOCK_MHZ].value /= 2;
    d.number[ATN_DEVICE_HBM_GBS].value /= 3;
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);
    for (int i = 0; i < ATN_TERMS; i++) {
        double by = 1;

        if (i == ATN_TERM_CTA || i == ATN_TERM_CTA_MHA) by = 2;
        if (i == ATN_TERM_TILE || i == ATN_TERM_MASK) by = 989e6 / 132 / (4096 * 915);
        if (i == ATN_TERM_KV + 4 || i == ATN_TERM_KV + 5 || i == ATN_TERM_BYTE) by = 3;
        CHECK_NEAR(m.fit.c[i], by * fits[0].c[i], 1e-12);
    }
    CHECK(strstr(m.how, "scaled to half by clock (times 2.00) and HBM (times 3.00)"));
    /* the card: H200 and H100 have one clock, 4800 and 3350 GB/s */
    m = find(cx, &k, &h100, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK_NEAR(m.fit.c[ATN_TERM_TILE], fits[0].c[ATN_TERM_TILE], 1e-12);
    CHECK_NEAR(m.fit.c[ATN_TERM_BYTE], fits[0].c[ATN_TERM_BYTE] * 4800 / 3350, 1e-12);
    /* of PCIe the sheet allows less than 4096 flop a clock: 756 TFLOP/s of 114 SMs */
    m = find(cx, &k, &pcie, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK_NEAR(m.fit.c[ATN_TERM_TILE] / fits[0].c[ATN_TERM_TILE],
               (989. / 132) / (756. / 114), 1e-9);
    CHECK_NEAR(m.fit.c[ATN_TERM_CTA] / fits[0].c[ATN_TERM_CTA], 1830. / 1755, 1e-9);
    CHECK(strstr(m.how, "by tensor rate (times 1.13), clock (times 1.04) and HBM"));
    /* of another architecture nothing is taken */
    m = find(cx, &k, &b200, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK(!m.calibrated);
    CHECK_EQ(m.fit.model, ATN_MODEL_MACHINE);
    CHECK(strstr(m.how, "not fitted"));
}

/* A fit of a device that only its user knows is taken as it is. */
static void unknown_gpu(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("lab", "sm90", 128, ATN_PASS_FORWARD)};
    const atn_kernel k = kernel(fits, 1);
    const atn_time_model m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);

    CHECK(memcmp(m.fit.c, fits[0].c, sizeof m.fit.c) == 0);
    CHECK(strstr(m.how, "lab") && strstr(m.how, "as they are"));
}

/* Head dim 96 from 128 with the same tile: MMA is in proportion to d, exponentials are
 * not. F = 4096: at 128 they are as 2 : 1 (card 2.1), at 96 as 1.5 : 1, so 2.5 / 3. */
static void other_head_dim(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("h200", "sm90", 128, ATN_PASS_FORWARD),
                           fit("h200", "sm90", 128, ATN_PASS_DECODE)};
    const atn_kernel k = kernel(fits, 2);
    const atn_kernel_tile wide = tile(128, 128, 176), small = tile(128, 16, 16);
    atn_time_model m = find(cx, &k, &d, 96, ATN_PASS_FORWARD, &k.tile[1]);

    CHECK_NEAR(m.fit.c[ATN_TERM_TILE] / fits[0].c[ATN_TERM_TILE], 2.5 / 3, 0.02);
    CHECK_NEAR(m.fit.c[ATN_TERM_CTA], fits[0].c[ATN_TERM_CTA], 0);
    CHECK(strstr(m.how, "at head dim 128"));
    CHECK_EQ(m.fit.head_dim, 96);
    /* a tile of another size costs by its scores */
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &wide);
    CHECK_NEAR(m.fit.c[ATN_TERM_TILE] / fits[0].c[ATN_TERM_TILE], 176. / 128, 1e-9);
    CHECK_NEAR(m.fit.c[ATN_TERM_MASK] / fits[0].c[ATN_TERM_MASK], 176. / 128, 1e-9);
    /* one smaller than an instruction, of 64 rows, by that */
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &small);
    CHECK_NEAR(m.fit.c[ATN_TERM_TILE] / fits[0].c[ATN_TERM_TILE], 64. * 16 / 16384,
               1e-9);
    /* a decode tile by its bytes */
    m = find(cx, &k, &d, 96, ATN_PASS_DECODE, &k.tile[1]);
    CHECK_NEAR(m.fit.c[ATN_TERM_TILE] / fits[1].c[ATN_TERM_TILE], 0.75, 1e-12);
    CHECK_NEAR(m.fit.c[ATN_TERM_BYTE], fits[1].c[ATN_TERM_BYTE], 0);
    /* beyond the largest fit there is none */
    m = find(cx, &k, &d, 256, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK(!m.calibrated);
}

/* Five products against two; keys are not written. A fit of its own comes before. */
static void backward(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("h200", "sm90", 128, ATN_PASS_FORWARD),
                           fit("h200", "sm90", 128, ATN_PASS_BACKWARD)};
    atn_kernel k = kernel(fits, 1);
    atn_time_model m = find(cx, &k, &d, 128, ATN_PASS_BACKWARD, &k.tile[1]);

    CHECK_NEAR(m.fit.c[ATN_TERM_TILE], 2.5 * fits[0].c[ATN_TERM_TILE], 1e-12);
    CHECK_NEAR(m.fit.c[ATN_TERM_MASK], 2.5 * fits[0].c[ATN_TERM_MASK], 1e-12);
    CHECK_NEAR(m.fit.c[ATN_TERM_T0], fits[0].c[ATN_TERM_T0], 0);
    for (int i = 0; i < 6; i++) CHECK_NEAR(m.fit.c[ATN_TERM_KV + i], 0, 0);
    CHECK_EQ(m.fit.pass, ATN_PASS_BACKWARD);
    CHECK(strstr(m.how, "backward tile taken as 2.5"));
    k.fits = 2;
    m = find(cx, &k, &d, 128, ATN_PASS_BACKWARD, &k.tile[1]);
    CHECK(memcmp(m.fit.c, fits[1].c, sizeof m.fit.c) == 0);
}

/* Card 1.6: a masked tile of a 3-D grid costs 1.66 plain ones. */
static void grid_masks(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    atn_time_fit fits[] = {fit("h200", "sm90", 128, ATN_PASS_FORWARD)};
    atn_kernel k = kernel(fits, 1);
    atn_kernel_tile t = k.tile[1];
    atn_time_model m;

    k.mask_factor[2] = 1.66;
    t.q = t.k = (atn_list){3, {2, 8, 8}};
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &t);
    CHECK_NEAR(m.fit.c[ATN_TERM_TILE], fits[0].c[ATN_TERM_TILE], 0);
    CHECK_NEAR(m.fit.c[ATN_TERM_MASK], 0.66 * fits[0].c[ATN_TERM_TILE], 1e-12);
    CHECK(strstr(m.how, "masked tile times 1.66"));
}

/* Decode without a fit: 8 us and bytes at 73 % of 2039 GB/s on A100. */
static void decode_by_bytes(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "a100");
    const atn_kernel k = kernel(NULL, 0);
    const atn_time_model m = find(cx, &k, &d, 128, ATN_PASS_DECODE, NULL);

    CHECK(!m.calibrated);
    CHECK_NEAR(m.fit.c[ATN_TERM_T0], 8, 0);
    CHECK_NEAR(m.fit.c[ATN_TERM_BYTE], 1e6 / (0.73 * 2039e9) * 1e6, 1e-12);
    CHECK_LE(m.fit.low, 1);
    CHECK_LE(1, m.fit.high);
    CHECK(strstr(m.how, "memory model") && strstr(m.how, "a100"));
}

/* What a kernel like FA3 gets is FA3's, off by what was seen. */
static void like_another(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    atn_kernel k = kernel(NULL, 0), other;
    atn_time_model m, want;

    snprintf(k.like, sizeof k.like, "fa3");
    k.like_low = 0.5, k.like_high = 3;
    CHECK_OK(atn_kernel_read(cx, "fa3", &other));
    atn_kernel_settle(&other, d.architecture);
    want = find(cx, &other, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);
    m = find(cx, &k, &d, 128, ATN_PASS_FORWARD, &k.tile[1]);
    CHECK_EQ(m.calibrated, want.calibrated);
    if (want.calibrated) {
        CHECK(memcmp(m.fit.c, want.fit.c, sizeof m.fit.c) == 0);
        CHECK_NEAR(m.fit.low, 0.5 * want.fit.low, 1e-12);
        CHECK_NEAR(m.fit.high, 3 * want.fit.high, 1e-12);
        CHECK(strstr(m.how, "fa3 fitted on h200"));
    }
    atn_kernel_release(cx, &other);
}

static void hostile(atn_ctx *cx)
{
    const atn_device d = gpu(cx, "h200");
    const atn_kernel k = kernel(NULL, 0);
    const atn_launch none = {.pass = ATN_PASS_FORWARD, .head_dim = 0};
    const atn_launch much = {.pass = ATN_PASS_FORWARD, .head_dim = INT64_MAX};
    atn_time_model m;

    CHECK_FAILS(atn_time_model_find(cx, &k, &d, &none, NULL, &m), ATN_USAGE,
                "head dim");
    CHECK_FAILS(atn_time_model_find(cx, &k, &d, &much, NULL, &m), ATN_USAGE,
                "head dim");
}

CHECK_MAIN({"own fit is not touched", own_fit_is_not_touched},
           {"same id, other numbers", same_id_other_numbers},
           {"other GPU is scaled", other_gpu_is_scaled}, {"unknown GPU", unknown_gpu},
           {"other head dim", other_head_dim}, {"backward", backward},
           {"grid masks", grid_masks}, {"decode by bytes", decode_by_bytes},
           {"like another", like_another}, {"hostile", hostile})
