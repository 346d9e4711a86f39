/* core/kernels/tiles.c -- sums over the columns and diagonals of a tile, block maxima
 * of a row.
 *
 * Math    see core/kernels/kernels.h; double sums, the rows of the tile one after the
 *         other.
 * Cost    one load, one conversion and one addition an entry, in vectors; the sums of
 *         CHUNK columns or diagonals stay in registers while all rows pass.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

enum { CHUNK = 64, VECTORS = CHUNK / 8 };

/* Adds rows that begin `step` apart to sum[0 .. 8 vectors). */
ATN_PART void sum_chunk(const float *p, atn_idx step, atn_idx rows, int vectors,
                        double *sum)
{
    atn_double8 sums[VECTORS];

    memcpy(sums, sum, (size_t)vectors * sizeof *sums);
    for (atn_idx r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            atn_double8 x;

            atn_widen8(p + r * step + 8 * v, &x);
            sums[v] += x;
        }
    memcpy(sum, sums, (size_t)vectors * sizeof *sums);
}

ATN_CLONES void atn_tile_columns(const float *p, atn_idx ld, atn_idx rows, atn_idx cols,
                                 double *sum)
{
    atn_idx c = 0;

    for (; c + CHUNK <= cols; c += CHUNK) sum_chunk(p + c, ld, rows, VECTORS, sum + c);
    for (; c + 8 <= cols; c += 8) sum_chunk(p + c, ld, rows, 1, sum + c);
    for (atn_idx r = 0; r < rows; r++)
        for (atn_idx e = c; e < cols; e++) sum[e] += (double)p[r * ld + e];
}

/* Diagonals from .. to, each cut off where the tile ends. */
ATN_PART void short_diagonals(const float *p, atn_idx ld, atn_idx rows, atn_idx cols,
                              atn_idx from, atn_idx to, double *sum)
{
    for (atn_idx r = 0; r < rows; r++) {
        const atn_idx shift = r - (rows - 1); /* column minus diagonal */
        const atn_idx first = ATN_MAX(from, -shift), end = ATN_MIN(to, cols - shift);

        for (atn_idx e = first; e < end; e++) sum[e] += (double)p[r * ld + e + shift];
    }
}

ATN_CLONES void atn_tile_diagonals(const float *p, atn_idx ld, atn_idx rows,
                                   atn_idx cols, double *sum)
{
    const atn_idx last = rows - 1, n = cols + last; /* whole ones: last .. cols */
    atn_idx e = ATN_MIN(last, n);

    short_diagonals(p, ld, rows, cols, 0, e, sum);
    for (; e + CHUNK <= cols; e += CHUNK)
        sum_chunk(p + e - last, ld + 1, rows, VECTORS, sum + e);
    for (; e + 8 <= cols; e += 8) sum_chunk(p + e - last, ld + 1, rows, 1, sum + e);
    short_diagonals(p, ld, rows, cols, e, n, sum);
}

ATN_CLONES void atn_fixed_add(uint64_t *to, const double *x, atn_idx n, double unit)
{
    for (atn_idx i = 0; i < n; i++) {
        const double y = x[i] * unit + 6755399441055744.0; /* 1.5 2^52 */
        uint64_t bits;

        memcpy(&bits, &y, sizeof bits);
        to[i] += bits - UINT64_C(0x4338000000000000);
    }
}

/* y[i] = the larger of x[2 i] and x[2 i + 1] */
ATN_PART void pair_up(const float *restrict x, int n, float *restrict y)
{
    for (int i = 0; i < n; i++)
        y[i] = x[2 * i] > x[2 * i + 1] ? x[2 * i] : x[2 * i + 1];
}

/* max[b] = the larger of it and the maximum of the b-th `edge` elements, a multiple of
 * 16. */
ATN_PART void whole_blocks(const float *x, atn_idx blocks, atn_idx edge, float *max)
{
    enum { MOST = 64 };
    float m[MOST * 16], half[MOST * 8];

    for (atn_idx at = 0; at < blocks; at += MOST) {
        const int n = (int)ATN_MIN((atn_idx)MOST, blocks - at);

        for (int b = 0; b < n; b++) {
            const float *y = x + (at + b) * edge;
            atn_float16 lanes;

            memcpy(&lanes, y, sizeof lanes);
            for (atn_idx j = 16; j < edge; j += 16) atn_max16(y + j, &lanes);
            memcpy(m + 16 * b, &lanes, sizeof lanes);
        }
        pair_up(m, 8 * n, half);
        pair_up(half, 4 * n, m);
        pair_up(m, 2 * n, half);
        pair_up(half, n, m);
        for (int b = 0; b < n; b++)
            max[at + b] = m[b] > max[at + b] ? m[b] : max[at + b];
    }
}

ATN_CLONES void atn_row_block_max(const float *x, atn_idx n, atn_idx before,
                                  atn_idx edge, float *max)
{
    atn_idx j = 0, b = 0;

    while (j < n) {
        const atn_idx end = ATN_MIN((b + 1) * edge - before, n),
                      whole = edge % 16 == 0 && end - j == edge ? (n - j) / edge : 0;

        if (whole > 0) {
            if (edge == 64)
                whole_blocks(x + j, whole, 64, max + b);
            else
                whole_blocks(x + j, whole, edge, max + b);
            b += whole;
            j += whole * edge;
            continue;
        }
        for (; j < end; j++) max[b] = x[j] > max[b] ? x[j] : max[b];
        b++;
    }
}

ATN_CLONES void atn_vec_max(float *to, const float *x, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++) to[i] = x[i] > to[i] ? x[i] : to[i];
}

ATN_CLONES void atn_vec_mark(const float *x, atn_idx n, float least, atn_idx end,
                             uint8_t bit, uint8_t *to)
{
    for (atn_idx i = 0; i < end; i++) to[i] |= x[i] >= least ? bit : 0;
    for (atn_idx i = end; i < n; i++) to[i] |= x[i] > least ? bit : 0;
}
