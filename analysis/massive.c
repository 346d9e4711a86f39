/* analysis/massive.c -- the largest entries and the median of a hidden state. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/massive.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum { BINS = 1 << 16 };

/* Of |x|: ordered as the numbers are. */
static uint32_t bits_of(float x)
{
    return atn_float_bits(x) & 0x7fffffffu;
}

/* Counts |x| by their upper bits, or by the lower ones where the upper ones are
 * `prefix`. */
static void count(atn_cmat x, atn_idx first, atn_idx last, int64_t prefix, int64_t *bin)
{
    memset(bin, 0, BINS * sizeof *bin);
    for (atn_idx i = first; i < last; i++)
        for (atn_idx c = 0; c < x.cols; c++) {
            const uint32_t b = bits_of(atn_crow(x, i)[c]);

            if (prefix < 0)
                bin[b >> 16]++;
            else if (b >> 16 == (uint32_t)prefix)
                bin[b & 0xffff]++;
        }
}

/* The bin that holds the k-th (from 0); *k becomes its place in the bin. */
static uint32_t bin_of(const int64_t *bin, int64_t *k)
{
    uint32_t b = 0;

    while (b + 1 < BINS && *k >= bin[b]) *k -= bin[b++];
    return b;
}

static double kth(atn_cmat x, atn_idx first, atn_idx last, int64_t k, int64_t *bin)
{
    uint32_t high;

    count(x, first, last, -1, bin);
    high = bin_of(bin, &k);
    count(x, first, last, high, bin);
    return (double)atn_bits_float(high << 16 | bin_of(bin, &k));
}

static double median(atn_cmat x, atn_idx first, atn_idx last, int64_t *bin)
{
    const int64_t n = (last - first) * x.cols;
    double high;

    if (n == 0) return NAN;
    high = kth(x, first, last, n / 2, bin);
    return n % 2 ? high : (high + kth(x, first, last, n / 2 - 1, bin)) / 2;
}

/* Keeps the largest in descending order, the first of equal ones. */
static void keep(atn_massive *m, double x, atn_idx row, atn_idx channel)
{
    int at = ATN_MASSIVE_TOP;

    while (at > 0 && !(m->top[at - 1] >= x)) at--;
    if (at == ATN_MASSIVE_TOP) return;
    for (int i = ATN_MASSIVE_TOP - 1; i > at; i--) {
        m->top[i] = m->top[i - 1];
        m->row[i] = m->row[i - 1];
        m->channel[i] = m->channel[i - 1];
    }
    m->top[at] = x;
    m->row[at] = row;
    m->channel[at] = channel;
}

static atn_status find_top(atn_ctx *cx, atn_cmat x, atn_idx first, atn_idx last,
                           atn_massive *m)
{
    for (int i = 0; i < ATN_MASSIVE_TOP; i++) {
        m->top[i] = NAN;
        m->row[i] = m->channel[i] = -1;
    }
    for (atn_idx i = first; i < last; i++)
        for (atn_idx c = 0; c < x.cols; c++) {
            const double v = fabs((double)atn_crow(x, i)[c]);

            if (!isfinite(v))
                return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                "hidden state: row %lld, channel %lld is NaN or "
                                "infinite (was it stored as F16?)",
                                (long long)i, (long long)c);
            if (!(m->top[ATN_MASSIVE_TOP - 1] >= v)) keep(m, v, i, c);
        }
    return ATN_OK;
}

atn_status atn_massive_find(atn_ctx *cx, atn_cmat x, atn_idx first, atn_idx last,
                            double least, double ratio, atn_massive *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int64_t *bin = NULL;
    bool *channel = NULL;
    double bound;

    *out = (atn_massive){0};
    ATN_TAKE(bin, BINS);
    ATN_TAKE(channel, x.cols);
    ATN_NEW(out->massive_row, x.rows);
    memset(channel, 0, (size_t)x.cols * sizeof *channel);
    ATN_TRY(find_top(cx, x, first, last, out));
    out->median = median(x, first, last, bin);
    bound = ATN_MAX(least, ratio * out->median);
    for (atn_idx i = first; i < last; i++)
        for (atn_idx c = 0; c < x.cols; c++) {
            if (!(fabs((double)atn_crow(x, i)[c]) >= bound)) continue;
            out->entries++;
            out->rows += !out->massive_row[i];
            out->channels += !channel[c];
            out->massive_row[i] = channel[c] = true;
        }
done:
    if (st != ATN_OK) atn_massive_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_massive_release(atn_ctx *cx, atn_massive *m)
{
    atn_free(cx, m->massive_row);
    m->massive_row = NULL;
}
