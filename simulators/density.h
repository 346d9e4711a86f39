/* simulators/density.h -- the speed-up of a kernel at any density, from one simulation.
 *
 * Math    T(rho) = a + rho b: a is what does not shrink (fixed_ms), b what all tiles
 *         of the dense mask cost (tile_ms), rho the share of them that is visited, so
 *         the break-even is that of tiles (break_even_tiles). Speed-up: T_dense /
 *         T(rho); below 0.1 ms, where the launch decides, there is none.
 * Oracle  at break-even below 1 the speed-up is 1; it never exceeds T_dense / a.
 * Source  cards/simulators.md 6.1.
 * Limits  rho is a share of the dense tiles; what the pattern's own CTAs gain or lose
 *         by the order in which they run is in its point, not in the curve.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/simulate.h"

/* The table "density": of every case the curve, densities ascending to 1, and the
 * pattern itself (is_point). Columns pattern, kernel, gpu, is_point, density,
 * density_pairs, time_ms, speedup, bound_flop, dense_ms, break_even_tile_density. */
atn_status atn_density_table(atn_ctx *cx, const atn_sim_case *c, int n,
                             atn_table **out) ATN_WARN_UNUSED;
