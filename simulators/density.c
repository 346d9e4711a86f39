/* simulators/density.c -- speed-up by density, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/density.h"

#include <math.h>

enum { STEPS = 48 };                  /* of a curve */
static const double LEAST = 1. / 512; /* density that a curve begins at, or below */
enum {
    PATTERN,
    KERNEL,
    GPU,
    IS_POINT,
    DENSITY,
    DENSITY_PAIRS,
    TIME,
    SPEEDUP,
    BOUND,
    DENSE,
    BREAK_EVEN,
    COLUMNS
};

static const struct {
    const char *name;
    atn_col_type type;
    const char *unit, *text;
} columns[COLUMNS] = {
    {"pattern", ATN_COL_STR, "", "what is simulated"},
    {"kernel", ATN_COL_STR, "", "kernel of the pattern"},
    {"gpu", ATN_COL_STR, "", "device"},
    {"is_point", ATN_COL_BOOL, "", "the pattern itself; else a density at large"},
    {"density", ATN_COL_F64, "", "share of the dense tiles that is visited"},
    {"density_pairs", ATN_COL_F64, "", "share of the dense pairs, of the pattern"},
    {"time_ms", ATN_COL_F64, "ms", "time at this density"},
    {"speedup", ATN_COL_F64, "", "over dense; none below 0.1 ms"},
    {"bound_flop", ATN_COL_F64, "", "speed-up of the FLOPs: 1 / density"},
    {"dense_ms", ATN_COL_F64, "ms", "time of the dense kernel"},
    {"break_even_tile_density", ATN_COL_F64, "",
     "share of the dense tiles below which it is faster"},
};

static void set(atn_table *t, int col, double v)
{
    if (isfinite(v)) atn_table_set_f64(t, col, v);
}

/* A row, as far as it is alike for curve and point. */
static atn_status add_row(atn_ctx *cx, const atn_sim_case *c, double density,
                          double time_ms, double speedup, atn_table *t)
{
    const atn_sim *s = c->sim;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, PATTERN, c->pattern));
    ATN_TRY(atn_table_set_str(cx, t, KERNEL, c->opts->kernel->id));
    ATN_TRY(atn_table_set_str(cx, t, GPU, c->opts->device->id));
    atn_table_set_bool(t, IS_POINT, false);
    set(t, DENSITY, density);
    set(t, TIME, time_ms);
    set(t, SPEEDUP, speedup);
    set(t, BOUND, 1 / density);
    set(t, DENSE, s->dense_ms);
    set(t, BREAK_EVEN, s->break_even_tiles);
done:
    return st;
}

/* Densities to 1 in equal factors; the pattern's own is among them. */
static atn_status add_case(atn_ctx *cx, const atn_sim_case *c, atn_table *t)
{
    const atn_sim *s = c->sim;
    const double tiles = 1 / s->bounds.sum, pairs = 1 / s->bounds.flop;
    const double least = fmin(LEAST, isfinite(tiles) && tiles > 0 ? tiles / 2 : 1);
    atn_status st = ATN_OK;

    for (int i = 0; i <= STEPS; i++) {
        const double rho = pow(least, 1 - (double)i / STEPS);
        const double ms = s->fixed_ms + rho * s->tile_ms;

        ATN_TRY(
            add_row(cx, c, rho, ms, ms >= ATN_RATIO_MS ? s->dense_ms / ms : NAN, t));
    }
    ATN_TRY(add_row(cx, c, tiles, s->time_ms, s->speedup, t));
    atn_table_set_bool(t, IS_POINT, true);
    set(t, DENSITY_PAIRS, pairs);
    set(t, BOUND, s->bounds.flop);
done:
    return st;
}

atn_status atn_density_table(atn_ctx *cx, const atn_sim_case *c, int n, atn_table **out)
{
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "density", &t));
    for (int k = 0; k < COLUMNS; k++)
        ATN_TRY(atn_table_add_col(cx, t, columns[k].name, columns[k].type,
                                  columns[k].unit, columns[k].text, NULL));
    for (int i = 0; i < n; i++) ATN_TRY(add_case(cx, &c[i], t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
