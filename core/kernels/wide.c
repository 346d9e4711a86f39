/* core/kernels/wide.c -- products of float rows in double, each summed in the order of
 * the columns.
 *
 * Math    a product of two floats is exact in double, so the sum is the same with and
 *         without fused operations, on any processor and at any place of a tile.
 * Cost    PANEL keys lie side by side; ROWS queries pass over them while the sums stay
 *         in registers.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

enum { PANEL = ATN_WIDE_PANEL, VECTORS = PANEL / 8, ROWS = 4 };

void atn_wide_pack(const float *x, atn_idx ld, atn_idx rows, atn_idx d, double *panels)
{
    for (atn_idx first = 0; first < rows; first += PANEL, panels += PANEL * d)
        for (atn_idx c = 0; c < d; c++)
            for (atn_idx j = 0; j < PANEL; j++)
                panels[c * PANEL + j] =
                    first + j < rows ? (double)x[(first + j) * ld + c] : 0;
}

/* `rows` queries against one panel into sums [rows][VECTORS]. */
ATN_PART void sum_panel(const float *q, atn_idx ld, int rows, const double *panel,
                        atn_idx d, atn_double8 sums[ROWS][VECTORS])
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) sums[r][v] = (atn_double8){0};
    for (atn_idx c = 0; c < d; c++) {
        atn_double8 k[VECTORS];

        memcpy(k, panel + c * PANEL, sizeof k);
        for (int r = 0; r < rows; r++) {
            const double x = (double)q[r * ld + c];

            for (int v = 0; v < VECTORS; v++) sums[r][v] += x * k[v];
        }
    }
}

ATN_CLONES void atn_wide_dots(const float *q, atn_idx ld, atn_idx rows,
                              const double *panels, atn_idx keys, atn_idx d,
                              double scale, double *out, atn_idx ld_out)
{
    for (atn_idx j = 0; j < keys; j += PANEL, panels += PANEL * d)
        for (atn_idx r = 0; r < rows; r += ROWS) {
            const int n = (int)ATN_MIN((atn_idx)ROWS, rows - r);
            const atn_idx m = ATN_MIN((atn_idx)PANEL, keys - j);
            atn_double8 sums[ROWS][VECTORS];
            double flat[ROWS][PANEL];

            if (n == ROWS)
                sum_panel(q + r * ld, ld, ROWS, panels, d, sums);
            else
                sum_panel(q + r * ld, ld, n, panels, d, sums);
            memcpy(flat, sums, sizeof flat);
            for (int s = 0; s < n; s++)
                for (atn_idx c = 0; c < m; c++)
                    out[(r + s) * ld_out + j + c] = scale * flat[s][c];
        }
}
