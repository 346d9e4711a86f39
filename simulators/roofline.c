/* simulators/roofline.c -- roofs and kernels below them, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/roofline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KIND, NAME, GPU, KERNEL, HEAD_DIM, INTENSITY, TFLOPS, HBM, TIME, COLUMNS };

static const struct {
    const char *name;
    atn_col_type type;
    const char *unit, *text;
} columns[COLUMNS] = {
    {"kind", ATN_COL_STR, "", "roof of a device, or a simulated kernel"},
    {"name", ATN_COL_STR, "", "what the roof is of, or the pattern"},
    {"gpu", ATN_COL_STR, "", "device"},
    {"kernel", ATN_COL_STR, "", "kernel"},
    {"head_dim", ATN_COL_I64, "", "numbers of a query"},
    {"flop_per_byte", ATN_COL_F64, "flop/byte",
     "flop of the allowed pairs over compulsory bytes"},
    {"tflops", ATN_COL_F64, "TFLOP/s", "flop of the allowed pairs over time"},
    {"hbm_gbs", ATN_COL_F64, "GB/s", "of a roof that rises: bytes a second"},
    {"time_ms", ATN_COL_F64, "ms", "of the kernel"},
};

double atn_roof_exp(const atn_device *d, const atn_kernel *k, double head_dim,
                    atn_pass pass)
{
    const double rate = atn_device_get(d, ATN_DEVICE_MUFU) *
                        atn_device_get(d, ATN_DEVICE_CLOCK_MHZ) * 1e6 *
                        atn_device_get(d, ATN_DEVICE_SMS);
    const double flop = (pass == ATN_PASS_BACKWARD ? 10 : 4) * head_dim;

    return rate * flop / (1 - fmin(k->offload, 0.999)) / 1e12;
}

/* Of two that run one after the other, as far as they do not overlap. */
static double in_turn(double a, double b, double overlap)
{
    const double x = 1 / a, y = 1 / b;

    return 1 / (fmax(x, y) + (1 - overlap) * fmin(x, y));
}

static void set(atn_table *t, int col, double v)
{
    if (isfinite(v)) atn_table_set_f64(t, col, v);
}

static atn_status add_row(atn_ctx *cx, const char *kind, const char *name,
                          const atn_sim_case *c, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, KIND, kind));
    ATN_TRY(atn_table_set_str(cx, t, NAME, name));
    ATN_TRY(atn_table_set_str(cx, t, GPU, c->opts->device->id));
    ATN_TRY(atn_table_set_str(cx, t, KERNEL, c->opts->kernel->id));
    atn_table_set_i64(t, HEAD_DIM, c->opts->shape.head_dim);
done:
    return st;
}

static bool is_text(const atn_table *t, atn_idx r, int col, const char *text)
{
    return strcmp(atn_table_get_str(t, r, col), text) == 0;
}

/* Is there this roof of this device already? */
static bool has_roof(const atn_table *t, const char *name, const char *gpu, int col,
                     double v)
{
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (is_text(t, r, NAME, name) && is_text(t, r, GPU, gpu) &&
            atn_table_get_f64(t, r, col) == v)
            return true;
    return false;
}

/* One that is flat at v, or rises by v. */
static atn_status add_roof(atn_ctx *cx, const char *name, int col, double v,
                           const atn_sim_case *c, atn_table *t)
{
    atn_status st = ATN_OK;

    if (!isfinite(v) || has_roof(t, name, c->opts->device->id, col, v)) return ATN_OK;
    ATN_TRY(add_row(cx, "roof", name, c, t));
    atn_table_set_f64(t, col, v);
done:
    return st;
}

/* The peak of tensor products in numbers of so many bytes. */
static double peak_of(const atn_device *d, double bytes, const char **name)
{
    const atn_device_number at = bytes == 1   ? ATN_DEVICE_TFLOPS_FP8
                                 : bytes == 4 ? ATN_DEVICE_TFLOPS_TF32
                                              : ATN_DEVICE_TFLOPS_16;

    *name = bytes == 1   ? "tensor peak, fp8"
            : bytes == 4 ? "tensor peak, tf32"
                         : "tensor peak";
    return atn_device_get(d, at);
}

static atn_status add_roofs(atn_ctx *cx, const atn_sim_case *c, atn_table *t)
{
    const atn_device *d = c->opts->device;
    const atn_launch *l = &c->opts->shape;
    const char *peak_name;
    const double peak = peak_of(d, l->bytes, &peak_name);
    const double exps = atn_roof_exp(d, c->opts->kernel, (double)l->head_dim, l->pass);
    atn_status st = ATN_OK;
    char name[64];

    ATN_TRY(add_roof(cx, "HBM", HBM, atn_device_get(d, ATN_DEVICE_HBM_GBS), c, t));
    ATN_TRY(add_roof(cx, peak_name, TFLOPS, peak, c, t));
    if (l->bytes == 2)
        ATN_TRY(add_roof(cx, "reachable with large products", TFLOPS,
                         atn_device_get(d, ATN_DEVICE_ACHIEVABLE_16), c, t));
    snprintf(name, sizeof name, "exponentials, d %lld", (long long)l->head_dim);
    ATN_TRY(add_roof(cx, name, TFLOPS, exps, c, t));
    snprintf(name, sizeof name, "tensor and exponentials in turn, d %lld",
             (long long)l->head_dim);
    if (c->opts->kernel->overlap < 1)
        ATN_TRY(add_roof(cx, name, TFLOPS,
                         in_turn(peak, exps, c->opts->kernel->overlap), c, t));
done:
    return st;
}

static atn_status add_kernel(atn_ctx *cx, const char *name, const atn_sim_case *c,
                             const double v[3], atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(add_row(cx, "kernel", name, c, t));
    set(t, INTENSITY, v[0] / v[1]);
    set(t, TFLOPS, v[0] / (v[2] * 1e-3) / 1e12);
    set(t, TIME, v[2]);
done:
    return st;
}

/* ---- dense attention over the same tokens ---- */

typedef struct point {
    const char *kernel;
    double v[3]; /* flop, bytes, ms */
} point;

/* Where a step reads what it needs of keys and values, dense attention reads them all;
 * the other passes read everything once. */
static point dense_of(const atn_sim_case *c)
{
    const atn_sim *s = c->sim;
    const atn_launch *l = &s->shape;
    const double rows = (double)l->kv_heads * (double)l->kv_len + (double)l->heads;
    const double bytes =
        l->bytes * (double)l->batch * rows * (double)(l->head_dim + l->value_dim);

    return (point){(c->opts->dense ? c->opts->dense : c->opts->kernel)->id,
                   {s->flops * s->bounds.flop,
                    l->pass == ATN_PASS_DECODE ? bytes : s->bytes, s->dense_ms}};
}

static bool is_dense(const atn_sim_case *c)
{
    return c->sim->bounds.flop <= 1;
}

/* On one place; sums of other orders differ by their rounding. */
static bool coincide(const point *a, const point *b)
{
    for (int k = 0; k < 3; k++)
        if (fabs(a->v[k] - b->v[k]) > 1e-9 * fabs(a->v[k])) return false;
    return true;
}

static bool same_names(const atn_sim_case *a, const atn_sim_case *b)
{
    return strcmp(a->opts->device->id, b->opts->device->id) == 0 &&
           strcmp(dense_of(a).kernel, dense_of(b).kernel) == 0 &&
           a->opts->shape.head_dim == b->opts->shape.head_dim;
}

/* Once where several cases have the same; "dense" where there is no other one of this
 * GPU, kernel and head dim. */
static atn_status add_dense(atn_ctx *cx, const atn_sim_case *c, int n, int i,
                            atn_table *t)
{
    const point own = dense_of(&c[i]);
    atn_status st = ATN_OK;
    bool alone = true;
    char name[512];

    if (is_dense(&c[i])) return ATN_OK;
    for (int k = 0; k < n; k++) {
        const point other = dense_of(&c[k]);

        if (is_dense(&c[k]) || !same_names(&c[i], &c[k])) continue;
        if (!coincide(&own, &other))
            alone = false;
        else if (k < i)
            return ATN_OK;
    }
    snprintf(name, sizeof name, "dense%s%s", alone ? "" : " beside ",
             alone ? "" : c[i].pattern);
    ATN_TRY(add_kernel(cx, name, &c[i], own.v, t));
    ATN_TRY(atn_table_set_str(cx, t, KERNEL, own.kernel));
done:
    return st;
}

static atn_status add_kernels(atn_ctx *cx, const atn_sim_case *c, int n, atn_table *t)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < n; i++) {
        const atn_sim *s = c[i].sim;
        const double own[3] = {s->flops, s->bytes, s->kernel_ms};

        ATN_TRY(add_kernel(cx, c[i].pattern, &c[i], own, t));
        ATN_TRY(add_dense(cx, c, n, i, t));
    }
done:
    return st;
}

atn_status atn_roofline_table(atn_ctx *cx, const atn_sim_case *c, int n,
                              atn_table **out)
{
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "roofline", &t));
    for (int k = 0; k < COLUMNS; k++)
        ATN_TRY(atn_table_add_col(cx, t, columns[k].name, columns[k].type,
                                  columns[k].unit, columns[k].text, NULL));
    for (int i = 0; i < n; i++) ATN_TRY(add_roofs(cx, &c[i], t));
    ATN_TRY(add_kernels(cx, c, n, t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
