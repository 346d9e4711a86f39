/* analysis/token_set.c -- how alike the vectors of a set are, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/token_set.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"

enum { TILE_ROWS = 128 };

double atn_tokens_mean_norm(atn_cmat x)
{
    double sum = 0;

    for (atn_idx i = 0; i < x.rows; i++)
        sum += sqrt(atn_row_square(atn_crow(x, i), x.cols));
    return x.rows > 0 ? sum / (double)x.rows : (double)NAN;
}

atn_status atn_tokens_cosine(atn_ctx *cx, atn_cmat x, bool centred, double *cosine)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *mean = NULL, *sum = NULL, *row = NULL, units = 0, square = 0;

    *cosine = NAN;
    if (x.rows < 2) return ATN_OK;
    ATN_TAKE(mean, x.cols);
    ATN_TAKE(sum, x.cols);
    ATN_TAKE(row, x.cols);
    for (atn_idx c = 0; c < x.cols; c++) sum[c] = mean[c] = 0;
    if (centred) atn_mat_mean(x, mean);
    for (atn_idx i = 0; i < x.rows; i++) {
        const float *from = atn_crow(x, i);
        double length = 0;

        for (atn_idx c = 0; c < x.cols; c++) {
            row[c] = (double)from[c] - mean[c];
            length += row[c] * row[c];
        }
        if (!(length > 0)) continue;
        units++;
        for (atn_idx c = 0; c < x.cols; c++) sum[c] += row[c] / sqrt(length);
    }
    for (atn_idx c = 0; c < x.cols; c++) square += sum[c] * sum[c];
    *cosine = (square - units) / ((double)x.rows * ((double)x.rows - 1));
    *cosine = ATN_MAX(-1.0, ATN_MIN(*cosine, 1.0));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_tokens_effective_bytes(atn_cmat x)
{
    const atn_idx m = ATN_MIN(x.rows, x.cols);
    const double d = (double)x.cols, held = (double)ATN_MIN(x.rows, (atn_idx)TILE_ROWS);

    return (double)m * (double)m * (sizeof(double) + sizeof(float)) + 16 * d +
           4 * d * (x.rows < x.cols ? (double)x.rows : 2 * held) +
           atn_eigenvalues_bytes(m);
}

/* sum [d, d] <- X'X of centred rows, tile by tile; lower triangle. */
static atn_status scatter(atn_ctx *cx, atn_cmat x, const double *mean, double *sum)
{
    const atn_idx d = x.cols, held = ATN_MIN(x.rows, (atn_idx)TILE_ROWS);
    atn_status st = ATN_OK;
    float *rows = NULL, *turned = NULL, *part = NULL;

    ATN_TAKE(rows, held * d);
    ATN_TAKE(turned, held * d);
    ATN_TAKE(part, d * d);
    for (atn_idx at = 0; at < x.rows; at += held) {
        const atn_idx n = ATN_MIN(held, x.rows - at);

        atn_mat_centre(x, mean, at, n, rows);
        for (atn_idx i = 0; i < n; i++)
            for (atn_idx c = 0; c < d; c++) turned[c * n + i] = rows[i * d + c];
        atn_syrk(1, (atn_cmat){turned, d, n, n}, 0, (atn_mat){part, d, d, d});
        atn_mat_add_lower(part, d, sum);
    }
done:
    return st;
}

/* sum [n, n] <- X X' of centred rows, which has the same eigenvalues; lower
 * triangle. */
static atn_status inner(atn_ctx *cx, atn_cmat x, const double *mean, double *sum)
{
    const atn_idx n = x.rows;
    atn_status st = ATN_OK;
    float *rows = NULL, *part = NULL;

    ATN_TAKE(rows, n * x.cols);
    ATN_TAKE(part, n * n);
    atn_mat_centre(x, mean, 0, n, rows);
    atn_syrk(1, (atn_cmat){rows, n, x.cols, x.cols}, 0, (atn_mat){part, n, n, n});
    atn_mat_add_lower(part, n, sum);
done:
    return st;
}

static double entropy_count(const double *value, atn_idx n)
{
    double total = 0, entropy = 0;

    for (atn_idx i = 0; i < n; i++) total += ATN_MAX(value[i], 0.0);
    if (!(total > 0)) return NAN;
    for (atn_idx i = 0; i < n; i++)
        if (value[i] > 0) entropy -= value[i] / total * log(value[i] / total);
    return ATN_MAX(exp(entropy), 1.0);
}

atn_status atn_tokens_effective(atn_ctx *cx, atn_cmat x, double *count)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = ATN_MIN(x.rows, x.cols);
    atn_status st = ATN_OK;
    double *mean = NULL, *sum = NULL, *value = NULL;

    *count = NAN;
    if (m == 0) return ATN_OK;
    ATN_TRY(atn_mem_check(cx, atn_tokens_effective_bytes(x), "the spectrum of tokens"));
    ATN_TAKE(mean, x.cols);
    ATN_TAKE(sum, m * m);
    ATN_TAKE(value, m);
    atn_mat_mean(x, mean);
    memset(sum, 0, (size_t)(m * m) * sizeof *sum);
    ATN_TRY(x.rows < x.cols ? inner(cx, x, mean, sum) : scatter(cx, x, mean, sum));
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx j = 0; j < i; j++) sum[j * m + i] = sum[i * m + j];
    ATN_TRY(atn_eigenvalues(cx, sum, m, value));
    *count = entropy_count(value, m);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
