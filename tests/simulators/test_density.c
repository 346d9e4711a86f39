/* tests/simulators/test_density.c -- speed-up by density: T(rho) = a + rho b. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/density.h"

typedef struct one {
    atn_device device;
    atn_kernel kernel;
    atn_sim_opts opts;
    atn_sim sim;
} one;

/* a = 1 ms, b = 11 ms, dense 10 ms: break-even 9/11; the pattern visits 1/4 of the
 * tiles for 1/8 of the pairs. */
static void make(one *o)
{
    memset(o, 0, sizeof *o);
    snprintf(o->device.id, sizeof o->device.id, "gpu");
    snprintf(o->kernel.id, sizeof o->kernel.id, "kernel");
    o->opts.device = &o->device;
    o->opts.kernel = &o->kernel;
    o->sim.bounds = (atn_tile_bounds){8, 4, 3};
    o->sim.dense_ms = 10;
    o->sim.fixed_ms = 1;
    o->sim.tile_ms = 11;
    o->sim.time_ms = 4;
    o->sim.speedup = 2.5;
    o->sim.break_even_tiles = 9. / 11;
}

static double cell(const atn_table *t, atn_idx row, const char *name)
{
    const int col = atn_table_find_col(t, name);

    CHECK(col >= 0);
    return atn_table_get_f64(t, row, col);
}

/* Densities go up in equal factors to 1; the last row of a case is its pattern. */
static void golden(atn_ctx *cx)
{
    atn_table *t = NULL;
    atn_idx last;
    one o;

    make(&o);
    CHECK_OK(atn_density_table(cx, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t));
    last = atn_table_rows(t) - 1;
    CHECK_LE(20, last);
    CHECK_NEAR(cell(t, 0, "density"), 1. / 512, 1e-15);
    CHECK_NEAR(cell(t, last - 1, "density"), 1, 1e-15);
    for (atn_idx r = 0; r < last; r++) {
        const double rho = cell(t, r, "density");

        CHECK_NEAR(cell(t, r, "time_ms"), 1 + 11 * rho, 1e-12);
        CHECK_NEAR(cell(t, r, "speedup"), 10 / (1 + 11 * rho), 1e-12);
        CHECK_LE(cell(t, r, "speedup"), 10);
        CHECK_NEAR(cell(t, r, "bound_flop") * rho, 1, 1e-12);
        CHECK_NEAR(cell(t, r, "break_even_tile_density"), 9. / 11, 1e-15);
        CHECK_EQ(cell(t, r, "is_point"), 0);
        CHECK(isnan(cell(t, r, "density_pairs")));
        if (r > 0)
            CHECK_NEAR(cell(t, r, "density") / cell(t, r - 1, "density"),
                       cell(t, 1, "density") / cell(t, 0, "density"), 1e-12);
    }
    CHECK_EQ(cell(t, last, "is_point"), 1);
    CHECK_NEAR(cell(t, last, "density"), .25, 1e-15);
    CHECK_NEAR(cell(t, last, "density_pairs"), .125, 1e-15);
    CHECK_NEAR(cell(t, last, "speedup"), 2.5, 1e-15);
    CHECK_NEAR(cell(t, last, "bound_flop"), 8, 1e-15);
    CHECK_STR(atn_table_get_str(t, last, atn_table_find_col(t, "kernel")), "kernel");
    atn_table_destroy(cx, t);
}

/* Below 0.1 ms there is no ratio; a pattern that is launch bound has none; what never
 * pays has no break-even; a curve reaches below the density of its pattern. */
static void nothing_is_an_empty_cell(atn_ctx *cx)
{
    atn_table *t = NULL;
    atn_idx last;
    one o;

    make(&o);
    o.sim.bounds = (atn_tile_bounds){8192, 4096, 3};
    o.sim.fixed_ms = .01;
    o.sim.tile_ms = .9;
    o.sim.speedup = o.sim.break_even_tiles = NAN;
    CHECK_OK(atn_density_table(cx, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t));
    last = atn_table_rows(t) - 1;
    CHECK_NEAR(cell(t, 0, "density"), 1. / 8192, 1e-15);
    for (atn_idx r = 0; r < last; r++)
        CHECK_EQ(isnan(cell(t, r, "speedup")), cell(t, r, "time_ms") < .1);
    CHECK(isnan(cell(t, last, "speedup")));
    CHECK(isnan(cell(t, 0, "break_even_tile_density")));
    atn_table_destroy(cx, t);
}

/* Every allocation that fails is reported, and nothing leaks. */
static void allocations_may_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;
    one o;

    (void)cx;
    make(&o);
    for (long left = 0; st != ATN_OK && left < 2000; left++) {
        check_failing f = {left};
        atn_table *t = NULL;
        atn_ctx broken;

        atn_ctx_init(&broken);
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_density_table(&broken, &(atn_sim_case){"p", &o.opts, &o.sim}, 1, &t);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_table_destroy(&broken, t);
        atn_ctx_release(&broken);
    }
    CHECK(st == ATN_OK);
}

CHECK_MAIN({"golden", golden}, {"nothing is an empty cell", nothing_is_an_empty_cell},
           {"allocations may fail", allocations_may_fail})
