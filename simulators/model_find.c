/* simulators/model_find.c -- which coefficients a kernel has on a GPU.
 *
 * Math    first of: a fit of this GPU; of another GPU of its architecture, with CTAs by
 *         the ratio of the clocks, tiles and masks by that of the tensor rates of an SM
 *         (of decode by the clocks), bytes and the last two nodes of the KV write by
 *         that of HBM; the same of the kernel that it is like; the data sheet. Of
 *         several fits that of the head dim, else of the next larger one:
 *         a tile then costs as its MMA and exponentials do, max + (1 - o) min with the
 *         overlap o; so with a tile that the fitted kernel does not have. Backward from
 *         forward coefficients: five products against two, so 2.5 times the tiles.
 *         Numbers of 1 or 4 bytes: the tile of machine.h with their rate and size over
 *         that of 2. Decode without a fit: 8 us + bytes / (0.73 of the HBM peak).
 * Oracle  the same clock and head dim change nothing; half the clock doubles a tile.
 * Source  cards/simulators.md 1.6 (masks by rank), 2.1 (decode, backward), 4, 6.3.
 * Limits  nothing else of a fit is scaled: t0, splits, L2, the clock's drop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/machine.h"
#include "simulators/model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double backward_tiles = 2.5;
/* Decode by bytes alone, and what it was off by: bytes at the 90th percentile of what
 * H200 reached over the median; 95th percentile of measured / predicted over 2278 rows
 * of H200 and B200 with at most 32 query heads a KV head, most of them short. */
static const double decode_floor_us = 8, decode_share = 0.73;
static const double decode_low = 0.83, decode_high = 5.4;

typedef struct seek {
    const atn_kernel *kernel; /* whose fits */
    const atn_device *device;
    const atn_launch *launch;
    const atn_kernel_tile *tile; /* of the launch; may be NULL */
} seek;

__attribute__((format(printf, 2, 3))) static void say(atn_time_model *m,
                                                      const char *fmt, ...)
{
    const size_t used = strlen(m->how);
    va_list args;

    va_start(args, fmt);
    vsnprintf(m->how + used, sizeof m->how - used, fmt, args);
    va_end(args);
}

/* Smaller is better; negative = of no use. */
static double distance(const seek *s, const atn_time_fit *f, atn_pass pass)
{
    const bool here = strcmp(f->gpu, s->device->id) == 0;

    if (f->pass != pass || f->model == ATN_MODEL_MACHINE) return -1;
    if (f->head_dim < s->launch->head_dim) return -1;
    if (f->architecture[0] ? strcmp(f->architecture, s->device->architecture) != 0
                           : !here)
        return -1;
    return (here ? 0 : 1e9) + 2 * (double)(f->head_dim - s->launch->head_dim) +
           (f->model == ATN_MODEL_FULL ? 0 : 1);
}

static const atn_time_fit *nearest(const seek *s, atn_pass pass)
{
    const atn_time_fit *best = NULL;
    double least = INFINITY;

    for (int i = 0; i < s->kernel->fits; i++) {
        const double at = distance(s, &s->kernel->fit[i], pass);

        if (at < 0 || at >= least) continue;
        least = at;
        best = &s->kernel->fit[i];
    }
    return best;
}

/* MMA and exponentials of a forward tile, in any unit. */
static double tile_cost(const seek *s, int head_dim, atn_idx bm, atn_idx bn)
{
    const atn_tile_times t =
        atn_machine_tile(s->kernel, s->device, head_dim, ATN_PASS_FORWARD, bm, bn);
    const double overlap = atn_kernel_overlap(s->kernel, head_dim, ATN_PASS_FORWARD);

    return fmax(t.mma, t.exp) + (1 - overlap) * fmin(t.mma, t.exp);
}

/* What a tile of the launch costs over one that was fitted. */
static double tile_ratio(const seek *s, const atn_time_fit *f)
{
    static const unsigned fitted[] = {ATN_TAKES_CAUSAL, ATN_TAKES_WINDOW};
    const int dim = (int)s->launch->head_dim;
    const atn_kernel_tile *first = NULL;
    atn_idx bm, bn;

    for (size_t i = 0; i < ATN_LEN(fitted); i++) {
        const atn_kernel_tile *t =
            atn_kernel_tile_of(s->kernel, f->head_dim, f->pass, fitted[i], 1, 0);

        if (!t) continue;
        if (!first) first = t;
        if (s->tile && f->head_dim == dim &&
            atn_list_product(&t->q) == atn_list_product(&s->tile->q) &&
            atn_list_product(&t->k) == atn_list_product(&s->tile->k))
            return 1;
    }
    if (!first) return 1;
    bm = atn_list_product(s->tile ? &s->tile->q : &first->q);
    bn = atn_list_product(s->tile ? &s->tile->k : &first->k);
    if (f->pass == ATN_PASS_DECODE)
        return (double)bn * dim / ((double)atn_list_product(&first->k) * f->head_dim);
    return tile_cost(s, dim, bm, bn) / tile_cost(s, f->head_dim,
                                                 atn_list_product(&first->q),
                                                 atn_list_product(&first->k));
}

static bool built_in(const char *id)
{
    for (int i = 0; atn_device_id(i); i++)
        if (strcmp(atn_device_id(i), id) == 0) return true;
    return false;
}

static double ratio(const atn_device *a, const atn_device *b, atn_device_number n)
{
    const double r = atn_device_get(a, n) / atn_device_get(b, n);

    return isfinite(r) && r > 0 ? r : 1;
}

/* Coefficients of another GPU of the architecture become those of this one; so do those
 * of a built-in one, of a device that has its id and other numbers. */
static atn_status move_gpu(atn_ctx *cx, const seek *s, atn_time_model *m)
{
    static const atn_term clocked[] = {ATN_TERM_CTA, ATN_TERM_CTA_MHA};
    static const atn_term computed[] = {ATN_TERM_TILE, ATN_TERM_MASK};
    static const atn_term streamed[] = {ATN_TERM_KV + 4, ATN_TERM_KV + 5,
                                        ATN_TERM_BYTE};
    const bool here = strcmp(m->fit.gpu, s->device->id) == 0;
    atn_device from;
    double clock, hbm, tensor;
    atn_status st = ATN_OK;

    if (!built_in(m->fit.gpu)) {
        if (!here) say(m, ", taken as they are");
        goto done;
    }
    ATN_TRY(atn_device_read(cx, m->fit.gpu, &from));
    clock = ratio(&from, s->device, ATN_DEVICE_CLOCK_MHZ);
    hbm = ratio(&from, s->device, ATN_DEVICE_HBM_GBS);
    /* A tile waits for the tensor cores; of a decode step for the keys. */
    tensor = m->fit.pass == ATN_PASS_DECODE
                 ? clock
                 : atn_machine_tensor(&from) / atn_machine_tensor(s->device);
    if (here && clock == 1 && hbm == 1 && tensor == 1) goto done;
    for (size_t i = 0; i < ATN_LEN(clocked); i++) m->fit.c[clocked[i]] *= clock;
    for (size_t i = 0; i < ATN_LEN(computed); i++) m->fit.c[computed[i]] *= tensor;
    for (size_t i = 0; i < ATN_LEN(streamed); i++) m->fit.c[streamed[i]] *= hbm;
    say(m, ", scaled to %s%s by", here ? "this " : "", s->device->id);
    if (fabs(tensor - clock) >= 0.005) say(m, " tensor rate (times %.2f),", tensor);
    say(m, " clock (times %.2f) and HBM (times %.2f)", clock, hbm);
done:
    return st;
}

/* The fit f of s->kernel, brought to the launch. */
static atn_status take(atn_ctx *cx, const seek *s, const atn_time_fit *f,
                       atn_time_model *m)
{
    const double tiles = tile_ratio(s, f);
    atn_status st = ATN_OK;

    m->fit = *f;
    m->calibrated = true;
    say(m, "coefficients of %s fitted on %s", s->kernel->id, f->gpu);
    ATN_TRY(move_gpu(cx, s, m));
    m->fit.c[ATN_TERM_TILE] *= tiles;
    m->fit.c[ATN_TERM_MASK] *= tiles;
    if (f->head_dim != s->launch->head_dim)
        say(m, ", at head dim %d: a tile times %.2f", f->head_dim, tiles);
    else if (fabs(tiles - 1) > 1e-9)
        say(m, ", a tile of this size times %.2f", tiles);
    m->fit.head_dim = (int)s->launch->head_dim;
    if (f->pass == s->launch->pass) goto done;
    m->fit.pass = s->launch->pass;
    m->fit.c[ATN_TERM_TILE] *= backward_tiles;
    m->fit.c[ATN_TERM_MASK] *= backward_tiles;
    for (int i = 0; i < 6; i++) m->fit.c[ATN_TERM_KV + i] = 0;
    say(m, ", forward: a backward tile taken as %.1f of them", backward_tiles);
done:
    return st;
}

/* *found: a fit of s->kernel could be used. */
static atn_status take_nearest(atn_ctx *cx, const seek *s, atn_time_model *m,
                               bool *found)
{
    const atn_time_fit *f = nearest(s, s->launch->pass);
    atn_status st = ATN_OK;

    if (!f && s->launch->pass == ATN_PASS_BACKWARD) f = nearest(s, ATN_PASS_FORWARD);
    *found = f != NULL;
    if (f) ATN_TRY(take(cx, s, f, m));
done:
    return st;
}

/* The kernel that k is like. */
static atn_status take_like(atn_ctx *cx, const seek *own, atn_time_model *m,
                            bool *found)
{
    const atn_kernel *k = own->kernel;
    atn_kernel like = {0};
    seek s = *own;
    atn_status st = ATN_OK;

    *found = false;
    if (!k->like[0] || strcmp(k->like, k->id) == 0) goto done;
    ATN_TRY(atn_kernel_read(cx, k->like, &like));
    atn_kernel_settle(&like, own->device->architecture);
    s.kernel = &like;
    ATN_TRY(take_nearest(cx, &s, m, found));
    if (*found && k->like_low > 0) m->fit.low *= k->like_low;
    if (*found && k->like_high > 0) m->fit.high *= k->like_high;
done:
    atn_kernel_release(cx, &like);
    return st;
}

static void say_reach(const seek *s, atn_time_model *m)
{
    const atn_reach r = atn_kernel_reach(s->kernel, s->device->architecture);

    if (r.here && r.share != 1)
        say(m, "; %s was measured at %.2f of its speed on %s", s->kernel->id, r.share,
            r.measured);
    else if (!r.here && r.measured)
        say(m, "; %s was not measured on %s: %.2f of its speed, as on %s",
            s->kernel->id, s->device->architecture, r.share, r.measured);
    else if (!r.here)
        say(m, "; %s was not measured: %.2f of its speed is assumed", s->kernel->id,
            r.share);
}

/* No fit: bytes of a decode step, else the data sheet. */
static void from_device(const seek *s, atn_time_model *m)
{
    const atn_kernel_tile *t = s->tile;
    const double gbs = atn_device_get(s->device, ATN_DEVICE_HBM_GBS);

    if (s->launch->pass != ATN_PASS_DECODE) {
        if (!t)
            t = atn_kernel_tile_of(s->kernel, (int)s->launch->head_dim, s->launch->pass,
                                   ATN_TAKES_CAUSAL, 1, 0);
        atn_machine_fit(s->kernel, s->device, (int)s->launch->head_dim, s->launch->pass,
                        t ? atn_list_product(&t->q) : 128,
                        t ? atn_list_product(&t->k) : 128, &m->fit);
        say(m, "machine model of the data sheet of %s, not fitted", s->device->id);
        say_reach(s, m);
        return;
    }
    m->fit = (atn_time_fit){.model = ATN_MODEL_MACHINE,
                            .head_dim = (int)s->launch->head_dim,
                            .pass = ATN_PASS_DECODE,
                            .power = 1,
                            .low = decode_low,
                            .high = decode_high};
    m->fit.c[ATN_TERM_T0] = decode_floor_us;
    m->fit.c[ATN_TERM_BYTE] = 1e3 / (decode_share * gbs);
    snprintf(m->fit.gpu, sizeof m->fit.gpu, "%s", s->device->id);
    say(m,
        "memory model of a decode step: %.0f us and the bytes at %.0f %% of the HBM "
        "peak of %s, not fitted",
        decode_floor_us, 100 * decode_share, s->device->id);
}

/* The kernel's own price of a mask, by rank of the grid. */
static void price_mask(const seek *s, bool own, atn_time_model *m)
{
    const int rank = s->tile ? s->tile->q.n : 1;
    double factor;

    if (rank < 1 || rank > 3 || (own && rank == 1)) return;
    if (s->launch->pass == ATN_PASS_DECODE) return;
    factor = s->kernel->mask_factor[rank - 1];
    if (!(factor > 0)) return;
    m->fit.c[ATN_TERM_MASK] = (factor - 1) * m->fit.c[ATN_TERM_TILE];
    say(m, ", a masked tile times %.2f", factor);
}

/* Numbers of another size than those that were timed. */
static atn_status price_numbers(atn_ctx *cx, const seek *s, atn_time_model *m)
{
    const double bytes = s->launch->bytes, rate = atn_machine_rate(s->device, bytes);
    const char *name = bytes < 2 ? "fp8" : "tf32";
    const int dim = (int)s->launch->head_dim;
    const atn_idx bm = s->tile ? atn_list_product(&s->tile->q) : 128,
                  bn = s->tile ? atn_list_product(&s->tile->k) : 128;
    atn_status st = ATN_OK;
    atn_tile_times was, now;
    double factor = bytes / 2;

    if (bytes == 2 || bytes == 0) goto done; /* as timed, or not said */
    if (isnan(rate))
        ATN_FAIL(
            ATN_USAGE,
            "%s states no rate of %s products (give --dtype bf16, or a device file "
            "with tflops_%s)",
            s->device->id, name, name);
    if (s->launch->pass != ATN_PASS_DECODE) {
        was = atn_machine_tile(s->kernel, s->device, dim, s->launch->pass, bm, bn);
        now = atn_machine_retype(&was, rate, bytes,
                                 atn_kernel_overlap(s->kernel, dim, s->launch->pass));
        factor = now.all / was.all;
    }
    m->fit.c[ATN_TERM_TILE] *= factor;
    m->fit.c[ATN_TERM_MASK] *= factor;
    say(m, ", of %s numbers: a tile times %.2f by the data sheet", name, factor);
done:
    return st;
}

atn_status atn_time_model_find(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                               const atn_launch *l, const atn_kernel_tile *tile,
                               atn_time_model *out)
{
    const seek s = {.kernel = k, .device = d, .launch = l, .tile = tile};
    bool own = false, found = false;
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    if (l->head_dim < 1 || l->head_dim > INT32_MAX)
        ATN_FAIL(ATN_USAGE,
                 "head dim %lld is below 1 or beyond all kernels (give one "
                 "from 1 to 512)",
                 (long long)l->head_dim);
    ATN_TRY(take_nearest(cx, &s, out, &own));
    if (!own) ATN_TRY(take_like(cx, &s, out, &found));
    if (!own && !found) from_device(&s, out);
    price_mask(&s, own, out);
    ATN_TRY(price_numbers(cx, &s, out));
done:
    return st;
}
