/* analysis/kmeans.c -- Lloyd's clusters, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/kmeans.h"

#include <math.h>

#include "core/kernels/kernels.h"

enum { TILE_FLOATS = 1 << 18, ROWS_MAX = 64 };

typedef struct job {
    atn_cmat x;
    atn_idx m, rows;
    double *mean;   /* [d] of x: products are taken of what differs from it */
    float *near;    /* [n, d] x - mean */
    double *centre; /* [m, d] */
    float *narrow;  /* [m, d] centre - mean */
    double *half;   /* [m] half its squared length */
    double longest; /* of them */
    float *product; /* [rows, m] */
    double *count;  /* [m] */
} job;

static atn_idx tile_rows(atn_idx m)
{
    return ATN_MAX(ATN_MIN(TILE_FLOATS / m, (atn_idx)ROWS_MAX), (atn_idx)1);
}

double atn_kmeans_bytes(atn_idx n, atn_idx d, atn_idx m)
{
    return 4 * (double)n * (double)d + 12 * (double)m * (double)d + 16 * (double)m +
           4 * (double)tile_rows(m) * (double)m + 8 * (double)d;
}

static atn_status start(atn_ctx *cx, job *j)
{
    const atn_idx n = j->x.rows, d = j->x.cols;
    atn_status st = ATN_OK;

    ATN_TAKE(j->mean, d);
    ATN_TAKE(j->near, n * d);
    ATN_TAKE(j->centre, j->m * d);
    ATN_TAKE(j->narrow, j->m * d);
    ATN_TAKE(j->half, j->m);
    ATN_TAKE(j->count, j->m);
    ATN_TAKE(j->product, j->rows * j->m);
    for (atn_idx c = 0; c < d; c++) j->mean[c] = 0;
    for (atn_idx i = 0; i < n; i++)
        atn_row_add(atn_crow(j->x, i), d, 1 / (double)n, j->mean);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < d; c++)
            j->near[i * d + c] = (float)((double)atn_crow(j->x, i)[c] - j->mean[c]);
    for (atn_idx k = 0; k < j->m; k++)
        for (atn_idx c = 0; c < d; c++)
            j->centre[k * d + c] =
                (double)atn_crow(j->x, (2 * k + 1) * n / (2 * j->m))[c];
done:
    return st;
}

static void measure_centres(job *j)
{
    const atn_idx d = j->x.cols;

    j->longest = 0;
    for (atn_idx k = 0; k < j->m; k++) {
        double square = 0;

        for (atn_idx c = 0; c < d; c++) {
            const double gap = j->centre[k * d + c] - j->mean[c];

            j->narrow[k * d + c] = (float)gap;
            square += gap * gap;
        }
        j->half[k] = square / 2;
        j->longest = ATN_MAX(j->longest, sqrt(square));
    }
}

static double distance(const job *j, const float *x, atn_idx k)
{
    double sum = 0;

    for (atn_idx c = 0; c < j->x.cols; c++) {
        const double gap = (double)x[c] - j->centre[k * j->x.cols + c];
        sum += gap * gap;
    }
    return sum;
}

/* The centre nearest to vector i, given the products with all: with what differs from
 * the mean, x . c - |c|^2 / 2 is largest there. */
static atn_idx nearest(const job *j, atn_idx i, const float *product)
{
    const double length = sqrt(atn_row_square(j->near + i * j->x.cols, j->x.cols));
    const double slip = ((double)j->x.cols + 6) * 0x1p-23 * j->longest *
                        (length + j->longest); /* of a product, twice over */
    double most = -INFINITY, least = INFINITY;
    atn_idx best = 0;

    for (atn_idx k = 0; k < j->m; k++)
        most = ATN_MAX(most, (double)product[k] - j->half[k]);
    for (atn_idx k = 0; k < j->m; k++) {
        double far;

        if (!((double)product[k] - j->half[k] >= most - slip)) continue;
        far = distance(j, atn_crow(j->x, i), k);
        if (!(far < least)) continue;
        least = far;
        best = k;
    }
    return best;
}

/* *moved: some label changed. One round is minutes of many vectors, so the clock is
 * asked within it. */
static atn_status assign(atn_ctx *cx, job *j, int32_t *label, bool *moved)
{
    const atn_idx n = j->x.rows, d = j->x.cols;
    const atn_cmat centres = {j->narrow, j->m, d, d};
    atn_status st = ATN_OK;

    *moved = false;
    for (atn_idx at = 0; at < n; at += j->rows) {
        const atn_idx rows = ATN_MIN(j->rows, n - at);

        ATN_TRY(atn_stopped(cx, "clusters"));
        atn_gemm(true, 1, (atn_cmat){j->near + at * d, rows, d, d}, centres, 0,
                 (atn_mat){j->product, rows, j->m, j->m});
        for (atn_idx r = 0; r < rows; r++) {
            const int32_t to = (int32_t)nearest(j, at + r, j->product + r * j->m);

            *moved = *moved || label[at + r] != to;
            label[at + r] = to;
        }
    }
done:
    return st;
}

static void move_centres(job *j, const int32_t *label)
{
    const atn_idx d = j->x.cols;

    for (atn_idx k = 0; k < j->m; k++) j->count[k] = 0;
    for (atn_idx i = 0; i < j->x.rows; i++) j->count[label[i]]++;
    for (atn_idx k = 0; k < j->m; k++)
        for (atn_idx c = 0; c < d && j->count[k] > 0; c++) j->centre[k * d + c] = 0;
    for (atn_idx i = 0; i < j->x.rows; i++)
        atn_row_add(atn_crow(j->x, i), d, 1, j->centre + label[i] * d);
    for (atn_idx k = 0; k < j->m; k++)
        for (atn_idx c = 0; c < d && j->count[k] > 0; c++)
            j->centre[k * d + c] /= j->count[k];
}

atn_status atn_kmeans(atn_ctx *cx, atn_cmat x, atn_idx m, int rounds, int32_t *label)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    job j = {.x = x, .m = m, .rows = tile_rows(m)};

    bool moved = false;

    ATN_ASSERT(m >= 1 && m <= x.rows && m <= INT32_MAX);
    ATN_TRY(start(cx, &j));
    for (atn_idx i = 0; i < x.rows; i++) label[i] = -1;
    for (int round = 0; round < rounds; round++) {
        measure_centres(&j);
        ATN_TRY(assign(cx, &j, label, &moved));
        if (!moved) break;
        move_centres(&j, label);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
