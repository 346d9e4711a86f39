/* analysis/tensor_run.c -- tensor attention of given tensors, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/tensor_run.h"

#include <math.h>
#include <stdio.h>

#include "theory/polynomial.h"

typedef enum col {
    ORDER,
    QUERIES,
    KEYS,
    D,
    D_V,
    SCALE,
    CAUSAL,
    X_MAX,
    X_MAX_KIND,
    DEGREE,
    FEATURES,
    ERROR_MAX,
    ERROR_RELATIVE,
    ERROR_BOUND,
    VANISHED,
    EXACT_FLOPS,
    EXACT_TIME,
    FEATURES_FLOPS,
    FEATURES_TIME,
    BREAK_EVEN,
    COLS
} col;

static const struct {
    const char *name;
    atn_col_type type;
    const char *unit, *text;
} cols[COLS] = {
    {"order", ATN_COL_I64, "", "a query and order - 1 key tensors"},
    {"queries", ATN_COL_I64, "", "rows of Q"},
    {"keys", ATN_COL_I64, "", "rows of every key tensor"},
    {"d", ATN_COL_I64, "", "numbers of a query or key"},
    {"d_v", ATN_COL_I64, "", "numbers of a value"},
    {"scale", ATN_COL_F64, "", "factor of the product of a query and keys"},
    {"causal", ATN_COL_BOOL, "", "a query sees tuples of itself and what is before it"},
    {"x_max", ATN_COL_F64, "", "largest |logit|"},
    {"x_max_kind", ATN_COL_STR, "", "exact, or a bound that no logit is above"},
    {"degree", ATN_COL_I64, "", "of the polynomial of Taylor in place of e^x"},
    {"features", ATN_COL_F64, "", "monomials up to this degree, C(d + g, g)"},
    {"output_error_max", ATN_COL_F64, "", "largest difference from the exact output"},
    {"output_error_relative", ATN_COL_F64, "",
     "length of the difference / length of the exact output"},
    {"error_bound_max", ATN_COL_F64, "",
     "what x_max and degree say of output_error_max; empty where they say nothing"},
    {"vanished_rows", ATN_COL_I64, "rows",
     "rows whose denominator is rounding: what they give means nothing"},
    {"exact_flops", ATN_COL_F64, "flop", "of the exact way"},
    {"exact_time_s", ATN_COL_F64, "s", "that it took"},
    {"features_flops", ATN_COL_F64, "flop", "by features"},
    {"features_time_s", ATN_COL_F64, "s", "that they took"},
    {"break_even_tokens", ATN_COL_F64, "tokens",
     "from this many keys on features cost less"},
};

void atn_tensor_defaults(atn_tensor_opts *o)
{
    *o = (atn_tensor_opts){.degree = -1, .features_most = 0x1p20, .exact_most = 1e12};
}

static bool is_exact_wanted(const atn_tensor *t, const atn_tensor_opts *o,
                            const atn_tensor_out *out)
{
    return o->degree < 0 || (out && out->marginal) ||
           atn_tensor_exact_flops(t) <= o->exact_most;
}

atn_status atn_tensor_check(atn_ctx *cx, const atn_tensor *t, const atn_tensor_opts *o,
                            const atn_tensor_beside *beside)
{
    const double n =
        o->degree < 0 ? 0 : atn_polynomial_features((double)t->d, o->degree);
    const bool exact = beside->marginals || is_exact_wanted(t, o, NULL);
    double bytes = exact ? atn_tensor_exact_bytes(cx, t) : 0;
    atn_status st = ATN_OK;

    if (n > o->features_most)
        ATN_FAIL(
            ATN_USAGE,
            "tensor: d = %lld and degree %d make C(%lld, %d) = %.0f features, above "
            "the limit of %.0f (give a smaller --degree, fewer columns, or "
            "--max-features)",
            (long long)t->d, o->degree, (long long)t->d + o->degree, o->degree, n,
            o->features_most);
    if (o->degree >= 0 && t->d > ATN_MONOMIALS_WIDE)
        ATN_FAIL(ATN_USAGE, "tensor: d = %lld is above %d, the most for --degree",
                 (long long)t->d, ATN_MONOMIALS_WIDE);
    if (o->degree >= 0) {
        /* one way after the other; the exact output is kept, to compare with */
        bytes = fmax(bytes, atn_tensor_features_bytes(cx, t));
        if (exact) bytes += 8.0 * (double)t->nq * (double)t->dv;
    }
    bytes += beside->bytes;
    ATN_TRY(atn_mem_check(cx, bytes, "tensor attention"));
done:
    return st;
}

atn_status atn_tensor_table(atn_ctx *cx, atn_table **out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "tensor", out));
    for (int c = 0; c < COLS; c++)
        ATN_TRY(atn_table_add_col(cx, *out, cols[c].name, cols[c].type, cols[c].unit,
                                  cols[c].text, NULL));
done:
    return st;
}

static void put(atn_table *t, int c, double v)
{
    if (isfinite(v)) atn_table_set_f64(t, c, v);
}

/* The widest range that a column of products of values may have, by the ranges of its
 * factors. */
static double value_range(const atn_tensor *t)
{
    double widest = 0;

    for (atn_idx l = 0; l < t->dv; l++) {
        double lo = 1, hi = 1;

        for (int k = 0; k < t->keys; k++) {
            double a = INFINITY, b = -INFINITY, ends[4];

            for (atn_idx i = 0; i < t->nk; i++) {
                a = fmin(a, atn_real_at(t->v[k], i * t->dv + l));
                b = fmax(b, atn_real_at(t->v[k], i * t->dv + l));
            }
            ends[0] = lo * a, ends[1] = lo * b, ends[2] = hi * a, ends[3] = hi * b;
            lo = fmin(fmin(ends[0], ends[1]), fmin(ends[2], ends[3]));
            hi = fmax(fmax(ends[0], ends[1]), fmax(ends[2], ends[3]));
        }
        widest = fmax(widest, hi - lo);
    }
    return widest;
}

static void put_errors(const atn_tensor *t, const double *o, const double *exact,
                       atn_table *to)
{
    double most = 0, square = 0, all = 0;

    for (atn_idx i = 0; i < t->nq * t->dv; i++) {
        const double off = o[i] - exact[i];

        most = fmax(most, fabs(off));
        square += off * off;
        all += exact[i] * exact[i];
    }
    put(to, ERROR_MAX, most);
    put(to, ERROR_RELATIVE, sqrt(square / all));
}

static atn_status put_shape(atn_ctx *cx, const atn_tensor *t, atn_table *to)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, to));
    atn_table_set_i64(to, ORDER, t->keys + 1);
    atn_table_set_i64(to, QUERIES, t->nq);
    atn_table_set_i64(to, KEYS, t->nk);
    atn_table_set_i64(to, D, t->d);
    atn_table_set_i64(to, D_V, t->dv);
    put(to, SCALE, t->scale);
    atn_table_set_bool(to, CAUSAL, t->causal);
    put(to, EXACT_FLOPS, atn_tensor_exact_flops(t));
done:
    return st;
}

static atn_status by_features(atn_ctx *cx, const atn_tensor *t,
                              const atn_tensor_opts *o, double x_max, double *out,
                              atn_table *to)
{
    const double n = atn_polynomial_features((double)t->d, o->degree);
    const double e = atn_taylor_error(o->degree, x_max), start = atn_seconds();
    int64_t vanished = 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_tensor_features(cx, t, o->degree, out, &vanished));
    put(to, FEATURES_TIME, atn_seconds() - start);
    atn_table_set_i64(to, DEGREE, o->degree);
    put(to, FEATURES, n);
    atn_table_set_i64(to, VANISHED, vanished);
    put(to, FEATURES_FLOPS, atn_tensor_features_flops(t, n));
    put(to, BREAK_EVEN, atn_tensor_break_even(t, n));
    if (e < 1) put(to, ERROR_BOUND, e / (1 + sqrt(1 - e * e)) * value_range(t));
done:
    return st;
}

atn_status atn_tensor_run(atn_ctx *cx, const atn_tensor *t, const atn_tensor_opts *o,
                          const atn_tensor_out *out, atn_table *to)
{
    const bool exact = is_exact_wanted(t, o, out);
    double *other = NULL, x_max = atn_tensor_bound(t), start = atn_seconds();
    atn_tensor_out run = {.o = out->o, .marginal = out->marginal, .x_max = &x_max};
    atn_status st = ATN_OK;

    ATN_TRY(put_shape(cx, t, to));
    if (exact) {
        if (o->degree >= 0) {
            ATN_NEW(other, t->nq * t->dv);
            run.o = other;
        }
        ATN_TRY(atn_tensor_exact(cx, t, &run));
        put(to, EXACT_TIME, atn_seconds() - start);
    }
    put(to, X_MAX, x_max);
    ATN_TRY(atn_table_set_str(cx, to, X_MAX_KIND, exact ? "exact" : "bound"));
    if (o->degree < 0) goto done;
    ATN_TRY(by_features(cx, t, o, x_max, out->o, to));
    if (exact) put_errors(t, out->o, other, to);
done:
    atn_free(cx, other);
    return st;
}
