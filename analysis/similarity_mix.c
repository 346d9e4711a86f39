/* analysis/similarity_mix.c -- distances between rows that no inner product gives.
 *
 * Math    JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2 in nats, TV(p, q) = sum
 *         |p - q| / 2, both of rows scaled to sum 1 and averaged over the rows that
 *         have weight in both. Smoothed rows are (1 - e) P + e / n over the n keys that
 *         the row sees.
 * Oracle  uniform over 4 against one-hot: 0.380396, smoothed by .001 0.377514; disjoint
 *         one-hots: ln 2; rows (.2 .3 .5) against thirds: 0.017251; equal rows: exactly
 *         0.
 * Source  Clark et al., arXiv 1906.04341, sum over rows; here it is a mean.
 * Cost    one logarithm a pair of heads and visible entry: m^2 / 2 times the row
 *         stream.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/similarity_internal.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum { SQRT_HALF = 0x3f3504f3 };

/* ln x for x > 0, relative error below 3e-7: the exponent times ln 2, and a polynomial
 * on [sqrt(1/2), sqrt(2)). Finite at 0, where the caller multiplies by 0. */
static inline float log_of(float x)
{
    uint32_t bits;
    int32_t exponent;
    float m, z, y;

    memcpy(&bits, &x, sizeof bits);
    exponent = (int32_t)(bits - SQRT_HALF) >> 23;
    bits -= (uint32_t)exponent << 23;
    memcpy(&m, &bits, sizeof m);
    m -= 1.0f;
    z = m * m;
    y = 7.0376836292e-2f;
    y = y * m - 1.1514610310e-1f;
    y = y * m + 1.1676998740e-1f;
    y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f;
    y = y * m - 1.6668057665e-1f;
    y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f;
    y = y * m + 3.3333331174e-1f;
    y = y * m * z - 2.12194440e-4f * (float)exponent - 0.5f * z;
    return m + y + 0.693359375f * (float)exponent;
}

/* Entropy of (x + y) / 2 in nats; *distance receives sum |x - y|. */
static ATN_CLONES double mix_rows(const float *x, const float *y, atn_idx n,
                                  double *distance)
{
    double h[ATN_LANES] = {0}, d[ATN_LANES] = {0}, entropy = 0, away = 0;

    for (atn_idx j = 0; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++) {
            const float a = x[j + l], b = y[j + l], w = 0.5f * (a + b);
            h[l] -= (double)(w * log_of(w));
            d[l] += (double)fabsf(a - b);
        }
    for (atn_idx j = n / ATN_LANES * ATN_LANES; j < n; j++) {
        const float w = 0.5f * (x[j] + y[j]);
        h[0] -= (double)(w * log_of(w));
        d[0] += (double)fabsf(x[j] - y[j]);
    }
    for (int l = 0; l < ATN_LANES; l++) {
        entropy += h[l];
        away += d[l];
    }
    *distance = away;
    return entropy;
}

typedef struct job {
    const atn_sim_set *set;
    atn_idx rows, first_tile, tiles, groups;
    double smooth;
    double *js, *tv, *count; /* [groups x m x m], lower triangles */
} job;

/* Scales a row of n keys to sum 1; it sees those in [lo, hi). */
static void normalise(float *row, atn_idx n, double smooth, atn_idx lo, atn_idx hi,
                      double *entropy)
{
    const double mass = atn_row_sum(row, n);
    double none;

    *entropy = -1; /* no weight */
    if (!(mass > 0)) return;
    atn_row_scale(row, n, (float)((1 - smooth) / mass));
    for (atn_idx c = lo; c < hi && smooth > 0; c++)
        row[c] += (float)(smooth / (double)(hi - lo));
    *entropy = mix_rows(row, row, n, &none);
}

static void one_row(const job *j, atn_idx g, const float *x, atn_idx ld, atn_idx keys,
                    const double *entropy)
{
    const atn_idx m = j->set->m;

    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b < a; b++) {
            const atn_idx at = g * m * m + a * m + b;
            double far, mixed;

            if (entropy[a] < 0 || entropy[b] < 0) continue;
            mixed = mix_rows(x + a * ld, x + b * ld, keys, &far);
            j->js[at] += ATN_MAX(mixed - (entropy[a] + entropy[b]) / 2, 0.0);
            j->tv[at] += far / 2;
            j->count[at]++;
        }
}

static atn_status one_group(atn_ctx *cx, atn_idx g, void *state)
{
    const job *j = state;
    const atn_idx m = j->set->m, nk = j->set->head[0].nk,
                  skip = j->set->opts->skip_rows, exclude = j->set->opts->exclude_first;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *x = NULL;
    double *entropy = NULL, *square = NULL, total;
    atn_row_info *info = NULL;

    ATN_TAKE(x, m * j->rows * nk);
    ATN_TAKE(entropy, j->rows * m);
    ATN_TAKE(square, j->rows);
    ATN_TAKE(info, j->rows);
    for (atn_idx at = j->first_tile + g; at < j->tiles; at += j->groups) {
        const atn_idx begin = ATN_MAX(at * j->rows, skip);
        const atn_tile t = atn_sim_tile(j->set, begin, (at + 1) * j->rows - begin);
        const atn_idx ld = t.rows * t.keys;

        for (atn_idx a = 0; a < m; a++) {
            ATN_TRY(atn_sim_fill(cx, &j->set->head[a], &t, exclude, x + a * ld, t.keys,
                                 info, square, &total));
            for (atn_idx r = 0; r < t.rows; r++)
                normalise(x + a * ld + r * t.keys, t.keys, j->smooth,
                          ATN_MAX(info[r].lo, exclude) - t.key0, info[r].hi - t.key0,
                          &entropy[r * m + a]);
        }
        for (atn_idx r = 0; r < t.rows; r++)
            one_row(j, g, x + r * t.keys, ld, t.keys, entropy + r * m);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Both halves of a symmetric matrix; NULL = not wanted. */
static void put(double *x, atn_idx m, atn_idx a, atn_idx b, double value)
{
    if (x) x[a * m + b] = x[b * m + a] = value;
}

static void finish(const job *j, const atn_sim_mix *out)
{
    const atn_idx m = j->set->m;

    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b < a; b++) {
            double s = 0, t = 0, n = 0;

            for (atn_idx g = 0; g < j->groups; g++) {
                const atn_idx at = g * m * m + a * m + b;
                s += j->js[at];
                t += j->tv[at];
                n += j->count[at];
            }
            put(out->js, m, a, b, n > 0 ? s / n : NAN);
            put(out->tv, m, a, b, n > 0 ? t / n : NAN);
            put(out->js_sum, m, a, b, n > 0 ? s : NAN);
        }
}

atn_status atn_sim_mix_run(atn_ctx *cx, const atn_sim_set *set, const atn_sim_mix *out)
{
    const atn_idx m = set->m, nq = set->head[0].nq, rows = atn_sim_gram_rows(set);
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    job j = {.set = set,
             .rows = rows,
             .tiles = (nq + rows - 1) / rows,
             .smooth = out->smooth};

    j.first_tile = set->opts->skip_rows / rows;
    j.groups = atn_sim_groups(set);
    ATN_NEW(j.js, j.groups * m * m);
    ATN_NEW(j.tv, j.groups * m * m);
    ATN_NEW(j.count, j.groups * m * m);
    cx->threads = atn_sim_threads(cx, atn_sim_tile_bytes(set));
    st = atn_parallel(cx, j.groups, one_group, &j, "row distances");
    cx->threads = threads;
    ATN_TRY(st);
    finish(&j, out);
done:
    atn_free(cx, j.js);
    atn_free(cx, j.tv);
    atn_free(cx, j.count);
    return st;
}
