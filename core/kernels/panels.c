/* core/kernels/panels.c -- dot products of every pair in one order of summation.
 *
 * Math    see core/kernels/kernels.h. A panel holds 16 vectors, coordinate by
 *         coordinate: a lane of a register adds the products of one pair, so that no
 *         sum depends on its neighbours. In double the products are exact, too.
 * Cost    one multiplication and one addition a pair and coordinate, not fused; four
 *         rows of queries at a time. At d = 64 no slower than an SGEMM.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

enum { ROWS = 4 };

void atn_panels_pack(const float *x, atn_idx ld, atn_idx n, atn_idx d, float *panels)
{
    for (atn_idx first = 0; first < n; first += ATN_PANEL) {
        float *to = panels + first * d;
        const atn_idx end = ATN_MIN(n - first, (atn_idx)ATN_PANEL);

        memset(to, 0, (size_t)(ATN_PANEL * d) * sizeof *to);
        for (atn_idx c = 0; c < end; c++)
            for (atn_idx t = 0; t < d; t++)
                to[t * ATN_PANEL + c] = x[(first + c) * ld + t];
    }
}

/* `rows` is a constant where it is called. */
ATN_PART void panel_dot(const float *q, atn_idx ld, int rows, const float *x, atn_idx d,
                        float *out, atn_idx out_ld)
{
    atn_float16 sums[ROWS] = {{0}};

    for (atn_idx t = 0; t < d; t++) {
        atn_float16 lanes;

        memcpy(&lanes, x + t * ATN_PANEL, sizeof lanes);
        for (int r = 0; r < rows; r++) {
            const atn_float16 product = q[r * ld + t] * lanes;

            sums[r] += product;
        }
    }
    for (int r = 0; r < rows; r++) memcpy(out + r * out_ld, &sums[r], sizeof sums[r]);
}

ATN_CLONES void atn_panels_dot(const float *q, atn_idx ld, atn_idx rows,
                               const float *panels, atn_idx n, atn_idx d, float *out,
                               atn_idx out_ld)
{
    for (atn_idx p = 0; p < n; p++) {
        const float *x = panels + p * d * ATN_PANEL;
        float *to = out + p * ATN_PANEL;
        atn_idx r = 0;

        for (; r + ROWS <= rows; r += ROWS)
            panel_dot(q + r * ld, ld, ROWS, x, d, to + r * out_ld, out_ld);
        for (; r < rows; r++)
            panel_dot(q + r * ld, ld, 1, x, d, to + r * out_ld, out_ld);
    }
}

/* ---- in double ---- */

enum { VECTORS = ATN_PANEL / 8 };

void atn_panels_pack_wide(const float *x, atn_idx ld, atn_idx n, atn_idx d,
                          double *panels)
{
    for (atn_idx first = 0; first < n; first += ATN_PANEL) {
        double *to = panels + first * d;
        const atn_idx end = ATN_MIN(n - first, (atn_idx)ATN_PANEL);

        memset(to, 0, (size_t)(ATN_PANEL * d) * sizeof *to);
        for (atn_idx c = 0; c < end; c++)
            for (atn_idx t = 0; t < d; t++)
                to[t * ATN_PANEL + c] = (double)x[(first + c) * ld + t];
    }
}

/* `rows` queries against the first n vectors of one panel; rows is a constant where it
 * is called. */
ATN_PART void panel_dot_wide(const float *q, atn_idx ld, int rows, const double *x,
                             atn_idx n, atn_idx d, double scale, double *out,
                             atn_idx out_ld)
{
    atn_double8 sums[ROWS][VECTORS] = {{{0}}};
    double flat[ROWS][ATN_PANEL];

    for (atn_idx t = 0; t < d; t++) {
        atn_double8 lanes[VECTORS];

        memcpy(lanes, x + t * ATN_PANEL, sizeof lanes);
        for (int r = 0; r < rows; r++) {
            const double y = (double)q[r * ld + t];

            for (int v = 0; v < VECTORS; v++) sums[r][v] += y * lanes[v];
        }
    }
    memcpy(flat, sums, sizeof flat);
    for (int r = 0; r < rows; r++)
        for (atn_idx c = 0; c < n; c++) out[r * out_ld + c] = scale * flat[r][c];
}

ATN_CLONES void atn_panels_dot_wide(const float *q, atn_idx ld, atn_idx rows,
                                    const double *panels, atn_idx n, atn_idx d,
                                    double scale, double *out, atn_idx out_ld)
{
    for (atn_idx c = 0; c < n; c += ATN_PANEL) {
        const double *x = panels + c * d;
        const atn_idx some = ATN_MIN(n - c, (atn_idx)ATN_PANEL);
        atn_idx r = 0;

        for (; r + ROWS <= rows; r += ROWS)
            panel_dot_wide(q + r * ld, ld, ROWS, x, some, d, scale,
                           out + r * out_ld + c, out_ld);
        for (; r < rows; r++)
            panel_dot_wide(q + r * ld, ld, 1, x, some, d, scale, out + r * out_ld + c,
                           out_ld);
    }
}

ATN_CLONES double atn_wide_dot(const double *x, const double *y, atn_idx n)
{
    atn_double8 sums[2] = {{0}};
    double lanes[16];
    atn_idx j = 0;

    for (; j + 16 <= n; j += 16)
        for (int h = 0; h < 2; h++) {
            atn_double8 a, b;

            memcpy(&a, x + j + 8 * h, sizeof a);
            memcpy(&b, y + j + 8 * h, sizeof b);
            sums[h] += a * b;
        }
    memcpy(lanes, sums, sizeof lanes);
    for (int l = 0; j < n; j++, l++) lanes[l] += x[j] * y[j];
    return atn_fold16(lanes);
}
