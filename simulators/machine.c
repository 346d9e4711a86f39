/* simulators/machine.c -- what a tile, a CTA and a launch cost by the data sheet.
 *
 * Math    MMA: flop of the two products (five of the backward pass) at the tensor rate
 *         of an SM, of whole matrix instructions: a tile of fewer rows than one has
 *         takes as long as one of so many. Shared memory: each group of rows that one
 *         instruction has (128 of sm100, 64 of sm90, 32 of a warp before) reads its
 *         rows and all keys, values.
 *         L2: the keys and values of a tile, at an SM's share. These three feed the
 *         tensor cores and run beside each other: phase A is the longest of them;
 *         phase B is the exponentials. A tile takes max(A, B) + (1 - o) min(A, B).
 * Oracle  FA3 on H200, 128 x 128 at d 128: 1.119 + 0.560 us; measured 0.95 to 0.99 of
 *         the sum for d 64 to 256. exp / MMA = F / (64 d).
 * Source  cards/simulators.md 2.1, 6.1. Of the card: a launch takes 8 us at least (the
 *         least of its floors, 8 to 14), usable HBM is 0.8 of the peak (0.73 to 0.88
 *         measured), a pass over memory takes 3 us beside its bytes (2.3). Estimates of
 *         this file: L2 5120 bytes a clock, half a microsecond to fill a CTA's
 *         pipeline, two operations a score to mask it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/machine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double launch_us = 8, fill_us = 0.5;
static const double l2_bytes_clock = 5120;  /* of all SMs together */
static const double alu_lanes = 128;        /* fp32 operations a clock and SM */
static const double reach_otherwise = 0.75; /* of the peak, where it was not measured */
/* What FlashAttention-2 reaches on sm80 over sm90, and Block-Sparse-Attention, too: how
 * far a reach can be off on an architecture that it was not measured on. */
static const double reach_spread = 1.55;
static const double number_bytes = 2;

/* Per us. */
static double clock_us(const atn_device *d)
{
    return atn_device_get(d, ATN_DEVICE_CLOCK_MHZ);
}

double atn_machine_tensor(const atn_device *d)
{
    const double sheet = atn_device_get(d, ATN_DEVICE_TFLOPS_16) * 1e6 /
                         atn_device_get(d, ATN_DEVICE_SMS);
    const double own = atn_architecture_flop(d->architecture) * clock_us(d);

    return own > 0 ? fmin(own, sheet) : sheet;
}

/* Rows of one matrix instruction. */
static double rows_at_once(const char *architecture)
{
    if (strncmp(architecture, "sm10", 4) == 0) return 128;
    return strncmp(architecture, "sm9", 3) == 0 ? 64 : 32;
}

static double smem_bytes(const atn_device *d, int head_dim, atn_pass pass, double bm,
                         double bn)
{
    const double rows = rows_at_once(d->architecture), groups = ceil(bm / rows);
    const double two = groups * (fmin(rows, bm) + 2 * bn) * head_dim * number_bytes;

    return pass == ATN_PASS_BACKWARD ? 2.5 * two : two;
}

/* Of the backward pass Q and dO come in and a sum in fp32 goes out and in. */
static double l2_bytes(int head_dim, atn_pass pass, double bm, double bn)
{
    return pass == ATN_PASS_BACKWARD ? bm * head_dim * (2 * number_bytes + 8)
                                     : bn * head_dim * 2 * number_bytes;
}

static double combine(double a, double b, double overlap)
{
    return fmax(a, b) + (1 - overlap) * fmin(a, b);
}

static double feed(const atn_tile_times *t)
{
    return fmax(t->mma, fmax(t->smem, t->l2));
}

/* Scores of a tile that are computed: rows come as many as a matrix instruction has,
 * keys by 8. Of a backward tile either side may be the rows. */
static double scores(const atn_device *d, atn_pass pass, double bm, double bn)
{
    const double rows = rows_at_once(d->architecture);
    const double one = ceil(bm / rows) * rows * ceil(bn / 8) * 8;
    const double other = ceil(bm / 8) * 8 * ceil(bn / rows) * rows;

    return pass == ATN_PASS_BACKWARD ? fmin(one, other) : one;
}

atn_tile_times atn_machine_tile(const atn_kernel *k, const atn_device *d, int head_dim,
                                atn_pass pass, atn_idx bm_, atn_idx bn_)
{
    const double bm = (double)bm_, bn = (double)bn_, clock = clock_us(d);
    const double products = pass == ATN_PASS_BACKWARD ? 5 : 2;
    const double sms = atn_device_get(d, ATN_DEVICE_SMS);
    const double area = scores(d, pass, bm, bn);
    atn_tile_times t;

    t.mma = 2 * products * area * head_dim / atn_machine_tensor(d);
    t.exp = area * (1 - k->offload) / (atn_device_get(d, ATN_DEVICE_MUFU) * clock);
    t.smem = smem_bytes(d, head_dim, pass, bm, bn) /
             (atn_device_get(d, ATN_DEVICE_SMEM_BYTES) * clock);
    t.l2 = l2_bytes(head_dim, pass, bm, bn) * sms / (l2_bytes_clock * clock);
    t.all = combine(feed(&t), t.exp, atn_kernel_overlap(k, head_dim, pass));
    return t;
}

double atn_machine_rate(const atn_device *d, double bytes)
{
    const atn_device_number at = bytes < 2   ? ATN_DEVICE_TFLOPS_FP8
                                 : bytes > 2 ? ATN_DEVICE_TFLOPS_TF32
                                             : ATN_DEVICE_TFLOPS_16;

    return atn_device_get(d, at) / atn_device_get(d, ATN_DEVICE_TFLOPS_16);
}

atn_tile_times atn_machine_retype(const atn_tile_times *t, double rate, double bytes,
                                  double overlap)
{
    const double size = bytes / number_bytes;
    atn_tile_times r = {t->mma / rate, t->exp, t->smem * size, t->l2 * size, 0};

    r.all = combine(feed(&r), r.exp, overlap);
    return r;
}

double atn_machine_launch(void)
{
    return launch_us;
}

double atn_machine_hbm(const atn_device *d, double bytes)
{
    return bytes / (ATN_HBM_SHARE * atn_device_get(d, ATN_DEVICE_HBM_GBS) * 1e3);
}

double atn_machine_pass(const atn_device *d, double launches, double flops,
                        double bytes)
{
    const double rate =
        atn_device_get(d, ATN_DEVICE_TFLOPS_16) * 1e6 * atn_machine_reach(d);

    return ATN_PASS_US * launches + fmax(flops / rate, atn_machine_hbm(d, bytes));
}

double atn_machine_reach(const atn_device *d)
{
    const double measured = atn_device_get(d, ATN_DEVICE_ACHIEVABLE_16);

    return measured > 0 ? fmin(1, measured / atn_device_get(d, ATN_DEVICE_TFLOPS_16))
                        : reach_otherwise;
}

/* Loads its rows and stores as many, at an SM's share of HBM; backward: loads keys and
 * values, stores their gradients. */
static double cta_us(const atn_device *d, int head_dim, atn_pass pass, double bm,
                     double bn)
{
    const double bytes =
        number_bytes * head_dim * (pass == ATN_PASS_BACKWARD ? 4 * bn : 2 * bm);

    return fill_us + atn_machine_hbm(d, bytes * atn_device_get(d, ATN_DEVICE_SMS));
}

void atn_machine_fit(const atn_kernel *k, const atn_device *d, int head_dim,
                     atn_pass pass, atn_idx bm, atn_idx bn, atn_time_fit *out)
{
    const atn_tile_times t = atn_machine_tile(k, d, head_dim, pass, bm, bn);
    const atn_reach r = atn_kernel_reach(k, d->architecture);
    const double reach = r.share;
    atn_tile_times slow = t;

    memset(out, 0, sizeof *out);
    out->model = ATN_MODEL_MACHINE;
    snprintf(out->gpu, sizeof out->gpu, "%s", d->id);
    out->head_dim = head_dim;
    out->pass = pass;
    out->c[ATN_TERM_T0] = launch_us;
    out->c[ATN_TERM_CTA] = cta_us(d, head_dim, pass, (double)bm, (double)bn);
    out->c[ATN_TERM_TILE] = t.all / reach;
    out->c[ATN_TERM_MASK] =
        2 * scores(d, pass, (double)bm, (double)bn) / (alu_lanes * clock_us(d) * reach);
    out->c[ATN_TERM_BYTE] = atn_machine_hbm(d, 1e6);
    out->theta_ms = 1;
    out->power = 8; /* of decode: the longer of tiles and bytes, nearly */
    slow.mma /= atn_machine_reach(d);
    out->low = combine(feed(&t), t.exp, 1) / t.all;
    out->high = combine(feed(&slow), t.exp, 0) / t.all;
    if (!r.here) {
        out->low *= fmax(reach, 1 / reach_spread);
        out->high *= reach_spread;
    }
    snprintf(out->source, sizeof out->source,
             "data sheet of %s; from everything hidden (overlap 1) to nothing hidden "
             "at %.0f %% of the tensor peak%s",
             d->id, 100 * atn_machine_reach(d),
             r.here ? "" : "; the kernel was not measured on this architecture");
}
