/* simulators/roofline.h -- what a GPU can reach, and where simulated kernels lie below.
 *
 * Math    at I flop a byte: min(HBM I, roof). Roofs: the tensor peak; the reachable
 *         one; that of the exponentials, 4 d flop (10 d of the backward pass) of both
 *         products for each of MUFU clock SMs a second; and both in turn, as far as
 *         the kernel does not overlap them: 1 / (max + (1 - o) min) of the times of a
 *         flop. A kernel: flop of the allowed pairs over its time, against flop over
 *         compulsory bytes.
 * Oracle  H100, d 128: 989 from 295 flop a byte on; exponentials 1979 (1.83 GHz), in
 *         turn 659.
 * Source  cards/simulators.md 2.1, 3; Williams et al., CACM 52(4), 2009.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/simulate.h"

/* TFLOP/s that the exponentials allow. */
double atn_roof_exp(const atn_device *d, const atn_kernel *k, double head_dim,
                    atn_pass pass);

/* The table "roofline": a row a roof of every device, head dim and kernel among the
 * cases (kind "roof": tflops, or hbm_gbs of what rises), and a row a kernel (kind
 * "kernel": flop_per_byte, tflops), dense attention beside them, once where it is the
 * same. */
atn_status atn_roofline_table(atn_ctx *cx, const atn_sim_case *c, int n,
                              atn_table **out) ATN_WARN_UNUSED;
