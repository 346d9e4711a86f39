/* tests/simulators/test_roofline.c -- roofs of the card, and kernels below them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/roofline.h"

typedef struct one {
    atn_device device;
    atn_kernel kernel;
    atn_sim_opts opts;
    atn_sim sim;
} one;

/* An H100 of the card, section 3: 132 SMs, 989 TFLOP/s, 1830 MHz, MUFU 16. The pattern
 * keeps 1/8 of the pairs: 8e12 flop in 20 ms, dense 64e12 in 100 ms. */
static void make(one *o, double head_dim)
{
    static const double numbers[][2] = {
        {ATN_DEVICE_SMS, 132},         {ATN_DEVICE_TFLOPS_16, 989},
        {ATN_DEVICE_TFLOPS_FP8, 1979}, {ATN_DEVICE_TFLOPS_TF32, 494.5},
        {ATN_DEVICE_HBM_GBS, 3350},    {ATN_DEVICE_ACHIEVABLE_16, 794.5},
        {ATN_DEVICE_CLOCK_MHZ, 1830},  {ATN_DEVICE_MUFU, 16}};

    memset(o, 0, sizeof *o);
    snprintf(o->device.id, sizeof o->device.id, "h100");
    snprintf(o->kernel.id, sizeof o->kernel.id, "fa3");
    for (size_t i = 0; i < ATN_LEN(numbers); i++)
        o->device.number[(int)numbers[i][0]].value = numbers[i][1];
    o->opts.device = &o->device;
    o->opts.kernel = &o->kernel;
    o->opts.shape.head_dim = (atn_idx)head_dim;
    o->opts.shape.bytes = 2;
    o->sim.bounds = (atn_tile_bounds){8, 4, 3};
    o->sim.flops = 8e12;
    o->sim.bytes = 1e9;
    o->sim.kernel_ms = 20;
    o->sim.dense_ms = 100;
}

static double roof(const atn_table *t, const char *name, const char *col)
{
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (strcmp(atn_table_get_str(t, r, atn_table_find_col(t, "name")), name) == 0)
            return atn_table_get_f64(t, r, atn_table_find_col(t, col));
    return NAN;
}

/* 132 SMs * 1.83 GHz * 16 exponentials * 512 flop = 1978.9 TFLOP/s at d 128; in turn
 * with 989: 1 / (1/989 + 1/1978.9) = 659.4; at d 64 half of that, 989.4. */
static void golden(atn_ctx *cx)
{
    atn_table *t = NULL;
    one o;

    make(&o, 128);
    CHECK_OK(atn_roofline_table(cx, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t));
    CHECK_EQ(atn_table_rows(t), 7);
    CHECK_NEAR(roof(t, "HBM", "hbm_gbs"), 3350, 0);
    CHECK(isnan(roof(t, "HBM", "tflops")));
    CHECK_NEAR(roof(t, "tensor peak", "tflops"), 989, 0);
    CHECK_NEAR(roof(t, "reachable with large products", "tflops"), 794.5, 0);
    CHECK_NEAR(roof(t, "exponentials, d 128", "tflops"), 1978.9, .1);
    CHECK_NEAR(roof(t, "tensor and exponentials in turn, d 128", "tflops"), 659.4, .1);
    CHECK_NEAR(roof(t, "p", "flop_per_byte"), 8000, 1e-9);
    CHECK_NEAR(roof(t, "p", "tflops"), 400, 1e-9);
    CHECK_NEAR(roof(t, "dense", "flop_per_byte"), 64000, 1e-9);
    CHECK_NEAR(roof(t, "dense", "tflops"), 640, 1e-9);
    CHECK_NEAR(atn_roof_exp(&o.device, &o.kernel, 64, ATN_PASS_FORWARD), 989.4, .1);
    CHECK_NEAR(atn_roof_exp(&o.device, &o.kernel, 64, ATN_PASS_BACKWARD), 2473.6, .1);
    atn_table_destroy(cx, t);
}

/* A kernel that overlaps all has no roof of both in turn; half of the exponentials
 * elsewhere doubles theirs; other numbers have other peaks. */
static void kernels_and_numbers(atn_ctx *cx)
{
    atn_table *t = NULL;
    one o;

    make(&o, 128);
    o.kernel.overlap = 1;
    o.kernel.offload = .5;
    o.opts.shape.bytes = 1;
    CHECK_OK(atn_roofline_table(cx, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t));
    CHECK(isnan(roof(t, "tensor and exponentials in turn, d 128", "tflops")));
    CHECK_NEAR(roof(t, "exponentials, d 128", "tflops"), 2 * 1978.9, .1);
    CHECK_NEAR(roof(t, "tensor peak, fp8", "tflops"), 1979, 0);
    CHECK(isnan(roof(t, "reachable with large products", "tflops")));
    atn_table_destroy(cx, t);
    o.opts.shape.bytes = 4;
    CHECK_OK(atn_roofline_table(cx, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t));
    CHECK_NEAR(roof(t, "tensor peak, tf32", "tflops"), 494.5, 0);
    atn_table_destroy(cx, t);
}

/* What cases share stands there once; what is missing of a device not at all; a dense
 * pattern has no twin. */
static void roofs_once(atn_ctx *cx)
{
    atn_table *t = NULL;
    one a, b;

    make(&a, 128);
    make(&b, 64);
    b.device.number[ATN_DEVICE_ACHIEVABLE_16].value = NAN;
    a.sim.bounds.flop = b.sim.bounds.flop = 1;
    CHECK_OK(atn_roofline_table(
        cx, (const atn_sim_case[]){{"p", &b.opts, &b.sim}, {"q", &a.opts, &a.sim}}, 2,
        &t));
    CHECK_EQ(atn_table_rows(t), 7 + 2);
    CHECK_NEAR(roof(t, "exponentials, d 64", "tflops"), 989.4, .1);
    atn_table_destroy(cx, t);
}

/* Dense attention of cases that differ in the pattern alone stands there once; of two
 * lengths twice, each beside its pattern. A step of decoding reads all keys and values
 * where it is dense: 2 bytes * (1 * 1000 + 32) rows * 256 numbers = 528,384, while the
 * pattern reads its own. */
static void dense_ones(atn_ctx *cx)
{
    atn_table *t = NULL;
    one a, b, c;

    make(&a, 128);
    make(&b, 128);
    make(&c, 128);
    b.sim.flops = 4e12; /* half of the pairs of a */
    b.sim.bounds.flop = 16;
    CHECK_OK(atn_roofline_table(
        cx, (const atn_sim_case[]){{"p", &a.opts, &a.sim}, {"q", &b.opts, &b.sim}}, 2,
        &t));
    CHECK_EQ(atn_table_rows(t), 5 + 3);
    CHECK_NEAR(roof(t, "dense", "flop_per_byte"), 64000, 1e-9);
    atn_table_destroy(cx, t);
    c.sim.dense_ms = 50;
    CHECK_OK(atn_roofline_table(
        cx, (const atn_sim_case[]){{"p", &a.opts, &a.sim}, {"q", &c.opts, &c.sim}}, 2,
        &t));
    CHECK_EQ(atn_table_rows(t), 5 + 4);
    CHECK_NEAR(roof(t, "dense beside q", "time_ms"), 50, 0);
    atn_table_destroy(cx, t);
    a.sim.shape = (atn_launch){.pass = ATN_PASS_DECODE,
                               .batch = 1,
                               .heads = 32,
                               .kv_heads = 1,
                               .q_len = 1,
                               .kv_len = 1000,
                               .head_dim = 128,
                               .value_dim = 128,
                               .bytes = 2};
    CHECK_OK(atn_roofline_table(cx, &(atn_sim_case){"p", &a.opts, &a.sim}, 1, &t));
    CHECK_NEAR(roof(t, "dense", "flop_per_byte"), 64e12 / 528384, 1);
    CHECK_NEAR(roof(t, "p", "flop_per_byte"), 8000, 1e-9);
    atn_table_destroy(cx, t);
}

static void allocations_may_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;
    one o;

    (void)cx;
    make(&o, 128);
    for (long left = 0; st != ATN_OK && left < 2000; left++) {
        check_failing f = {left};
        atn_table *t = NULL;
        atn_ctx broken;

        atn_ctx_init(&broken);
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_roofline_table(&broken, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_table_destroy(&broken, t);
        atn_ctx_release(&broken);
    }
    CHECK(st == ATN_OK);
}

CHECK_MAIN({"golden", golden}, {"kernels and numbers", kernels_and_numbers},
           {"roofs once", roofs_once}, {"dense ones", dense_ones},
           {"allocations may fail", allocations_may_fail})
