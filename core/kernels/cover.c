/* core/kernels/cover.c -- how many of the largest weights of a row reach a share of its
 * mass.
 *
 * Math    weights are binned by the upper bits of their floats, counted from the
 *         largest weight down to where all smaller ones together are less than a
 *         thousandth of the mass, which no share needs. One 64-bit number a bin keeps
 *         count (upper 24 bits) and sum (lower 40: the share of the mass in units of
 *         2^-39). Only the bins where a share is reached are split further or sorted,
 *         so the counts are exact; sums are those of rounded integers, the same in
 *         every order.
 * Oracle  equal weights: ceil(c n) of n; 2^-k: 4, 5, 7, 10 keys for .9, .95, .99, .999.
 * Cost    about a scalar addition an entry, however the weights are spread.
 * Limits  rows of at most 2^22 weights, see core/row_values.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"
#include "core/row_values.h"

const double atn_cover_levels[ATN_COVER_LEVELS] = {.5, .8, .9, .95, .99, .999};
const double atn_span_levels[ATN_SPAN_LEVELS] = {.5, .9, .95};

enum {
    BINS = 1024, /* of long rows and of parts of rows */
    LONG = 2048, /* shorter rows have a quarter of the bins */
    BITS = 10,   /* log2 of BINS */
    GROUP = 8,   /* bins that are passed over at once */
    BLOCK = 256,
    SHORT = 48, /* shorter rows are sorted */
    LEVELS = ATN_COVER_LEVELS
};
static const uint64_t ONE = UINT64_C(1) << 40, UNITS = (UINT64_C(1) << 40) - 1;

/* Adding 2^52 to a double below it leaves its integer in the lower bits. */
ATN_PART uint64_t rounded(double x)
{
    uint64_t bits;

    x += 4503599627370496.0;
    memcpy(&bits, &x, sizeof bits);
    return bits - UINT64_C(0x4330000000000000);
}

/* A row, and a part of it: the weights of one bin, where some of the levels are
 * reached. */
typedef struct row {
    const float *w;
    atn_idx n;
    double scale; /* units of a weight */
    uint64_t need[LEVELS];
    uint16_t *bin;
    float *picked[2]; /* the weights of parts, and those of parts of parts */
    atn_cover *cover;
} row;

typedef struct part {
    row *row;
    const float *w;
    atn_idx n;
    uint32_t top;    /* bits of a float: bin 0 begins there */
    int bins, shift; /* a bin is 2^shift floats wide */
    int first, end;  /* levels */
    uint64_t sum;    /* what lies before the part */
    uint64_t before[LEVELS];
    int bin[LEVELS];
} part;

/* The bin of each weight, and what it adds there. */
ATN_CLONES static void bin_weights(const float *w, int n, uint32_t top, int shift,
                                   uint32_t last, double scale, uint16_t *bin,
                                   uint64_t *adds)
{
    for (int j = 0; j < n; j++) {
        const uint32_t b = (top - atn_float_bits(w[j] > 0 ? w[j] : 0)) >> shift;
        bin[j] = (uint16_t)(b < last ? b : last);
    }
    for (int j = 0; j < n; j++) adds[j] = rounded((double)w[j] * scale) + ONE;
}

/* Two tables: neighbours in one bin do not wait for each other. */
static void fill_table(const part *p, uint64_t table[2][BINS])
{
    uint64_t adds[BLOCK];

    for (int t = 0; t < 2; t++) memset(table[t], 0, (size_t)p->bins * sizeof **table);
    for (atn_idx at = 0; at < p->n; at += BLOCK) {
        const int m = (int)ATN_MIN((atn_idx)BLOCK, p->n - at);
        uint16_t *b = p->row->bin + at;
        int j = 0;

        bin_weights(p->w + at, m, p->top, p->shift, (uint32_t)p->bins - 1,
                    p->row->scale, b, adds);
        for (; j + 4 <= m; j += 4) {
            table[0][b[j]] += adds[j];
            table[1][b[j + 1]] += adds[j + 1];
            table[0][b[j + 2]] += adds[j + 2];
            table[1][b[j + 3]] += adds[j + 3];
        }
        for (; j < m; j++) table[0][b[j]] += adds[j];
    }
}

ATN_CLONES static void add_tables(uint64_t table[2][BINS], int bins, uint64_t *groups)
{
    for (int g = 0; g < bins / GROUP; g++) {
        uint64_t sum = 0;

        for (int i = GROUP * g; i < GROUP * (g + 1); i++) {
            table[0][i] += table[1][i];
            sum += table[0][i];
        }
        groups[g] = sum;
    }
}

static void set_needs(uint64_t units, uint64_t need[LEVELS])
{
    for (int l = 0; l < LEVELS; l++)
        need[l] = (uint64_t)ceil(atn_cover_levels[l] * ATN_REACHED * (double)units);
}

/* How many of the first bins of a group lie before the one where `need` is reached;
 * *sum takes them in. Without a branch: nobody could foretell it. */
ATN_PART int passed(const uint64_t *bins, uint64_t need, uint64_t *sum)
{
    uint64_t all = *sum, before = *sum;
    int k = 0;

    for (int i = 0; i < GROUP - 1; i++) {
        const bool below = ((all += bins[i]) & UNITS) < need;

        k += below;
        before = below ? all : before;
    }
    *sum = before;
    return k;
}

/* Finds bin and before of each level of the part. */
static void find_bins(part *p, uint64_t table[2][BINS])
{
    const int n = p->bins / GROUP;
    uint64_t groups[BINS / GROUP], all = 0, sum = p->sum;
    int g = 0;

    add_tables(table, p->bins, groups);
    for (int i = 0; i < n; i++) all += groups[i];
    if (p->w == p->row->w) set_needs(all & UNITS, p->row->need);
    for (int l = p->first; l < p->end; l++) {
        const uint64_t need = p->row->need[l];

        while (g < n - 1 && ((sum + groups[g]) & UNITS) < need) sum += groups[g++];
        p->before[l] = sum;
        p->bin[l] = GROUP * g + passed(table[0] + GROUP * g, need, &p->before[l]);
    }
}

/* ---- inside the bins ---- */

/* Which of the n weights lie in one of the bins that are wanted. */
ATN_CLONES static void find_hits(const uint16_t *bin, int n,
                                 const uint16_t want[LEVELS], uint8_t *hit)
{
    const uint16_t a = want[0], b = want[1], c = want[2], d = want[3], e = want[4],
                   f = want[5];

    for (int j = 0; j < n; j++) {
        const uint16_t x = bin[j];
        hit[j] =
            (uint8_t)((x == a) | (x == b) | (x == c) | (x == d) | (x == e) | (x == f));
    }
}

/* The weights of the bins where the levels are, bin after bin; those of level l begin
 * at from[l] and end before to[l]. Weights that are no weights, negative or far above
 * the mass, may be counted wrongly, so no bin runs over. */
static void pick(const part *p, uint64_t table[2][BINS], float *picked,
                 atn_idx from[LEVELS], atn_idx to[LEVELS])
{
    uint8_t hit[BLOCK], slot[BINS];
    uint16_t want[LEVELS];
    const uint16_t *bin = p->row->bin;
    atn_idx end[LEVELS], sum = 0;

    for (int l = 0; l < LEVELS; l++) want[l] = (uint16_t)p->bin[p->first];
    for (int l = p->first; l < p->end; l++) {
        const int b = p->bin[l];

        want[l] = (uint16_t)b;
        from[l] = to[l] = sum;
        if (l > p->first && b == p->bin[l - 1]) continue;
        slot[b] = (uint8_t)l;
        sum = ATN_MIN(sum + (atn_idx)(table[0][b] >> 40), p->n);
        end[l] = sum;
    }
    for (atn_idx block = 0; block < p->n; block += BLOCK) {
        const int m = (int)ATN_MIN((atn_idx)BLOCK, p->n - block);

        find_hits(bin + block, m, want, hit);
        memset(hit + m, 0, (size_t)(BLOCK - m));
        for (int j = 0; j < m; j += 64)
            for (uint64_t mask = atn_mask64(hit + j); mask; mask &= mask - 1) {
                const atn_idx i = block + j + __builtin_ctzll(mask);
                const int l = slot[bin[i]];
                if (to[l] < end[l]) picked[to[l]++] = p->w[i];
            }
    }
}

ATN_CLONES static int count_equal(const float *w, atn_idx n, float value)
{
    int count = 0;

    for (atn_idx j = 0; j < n; j++) count += w[j] == value;
    return count;
}

/* The place of the k-th weight that equals value, k >= 1. */
static atn_idx place_of(const float *w, atn_idx n, float value, atn_idx k)
{
    atn_idx at = 0;

    for (; at + BLOCK <= n; at += BLOCK) {
        const int here = count_equal(w + at, BLOCK, value);
        if (here >= k) break;
        k -= here;
    }
    for (; at < n; at++)
        if (w[at] == value && --k == 0) return at;
    return n;
}

/* Level l is reached among the m weights of `sorted`, before which `before` lies. */
static void reach(const row *r, int l, uint64_t before, const float *sorted, atn_idx m)
{
    atn_cover *c = r->cover;
    uint64_t sum = before & UNITS;
    atn_idx k = 0, first, end;

    while (k < m && sum < r->need[l]) sum += rounded((double)sorted[k++] * r->scale);
    c->count[l] = (atn_idx)(before >> 40) + k;
    if (k == 0) return;
    c->least[l] = sorted[k - 1];
    c->last[l] = r->n;
    for (first = k - 1; first > 0 && sorted[first - 1] == sorted[k - 1];) first--;
    for (end = k; end < m && sorted[end] == sorted[k - 1];) end++;
    if (end > k) c->last[l] = place_of(r->w, r->n, c->least[l], k - first);
}

/* The same among m weights that are all equal. */
static void reach_equal(const row *r, int l, uint64_t before, float value, atn_idx m)
{
    atn_cover *c = r->cover;
    const uint64_t sum = before & UNITS, each = rounded((double)value * r->scale);
    const uint64_t missing = r->need[l] > sum ? r->need[l] - sum : 0;
    const atn_idx k = each > 0 ? (atn_idx)((missing + each - 1) / each) : 0;

    c->count[l] = (atn_idx)(before >> 40) + ATN_MIN(k, m);
    if (k == 0) return;
    c->least[l] = value;
    c->last[l] = k < m ? place_of(r->w, r->n, value, k) : r->n;
}

/* Levels first .. end are reached among m weights of `seg`, bin b of part p. */
static void split(part *p);
static void finish(const part *p, int first, int end, float *seg, atn_idx m)
{
    const int b = p->bin[first];
    float sorted[ATN_FEW];

    if (m > ATN_FEW) {
        part next = {.row = p->row,
                     .w = seg,
                     .n = m,
                     .top = p->top - ((uint32_t)b << p->shift),
                     .bins = BINS,
                     .shift = ATN_MAX(p->shift - BITS, 0),
                     .first = first,
                     .end = end,
                     .sum = p->before[first]};
        split(&next);
    } else {
        atn_row_sort_few(seg, (int)m, sorted);
        for (int l = first; l < end; l++) reach(p->row, l, p->before[l], sorted, m);
    }
}

static void split(part *p)
{
    uint64_t table[2][BINS];
    atn_idx from[LEVELS], to[LEVELS];
    float *picked = p->row->picked[p->w != p->row->w];

    fill_table(p, table);
    find_bins(p, table);
    if (p->shift == 0) {
        for (int l = p->first; l < p->end; l++)
            reach_equal(p->row, l, p->before[l],
                        atn_bits_float(p->top - (uint32_t)p->bin[l]),
                        (atn_idx)(table[0][p->bin[l]] >> 40));
        return;
    }
    pick(p, table, picked, from, to);
    for (int l = p->first, next; l < p->end; l = next) {
        for (next = l + 1; next < p->end && p->bin[next] == p->bin[l];) next++;
        finish(p, l, next, picked + from[l], to[l] - from[l]);
    }
}

/* The bits that are left over when floats from max down to least have 2^bits bins. */
static int shift_of(float max, double least, int bits)
{
    const uint32_t range = atn_float_bits(max) - atn_float_bits((float)least);
    int shift = 0;

    while (range >> shift >= 1U << bits) shift++;
    return shift;
}

/* The largest weight is that of all. */
static bool all_equal(const float *w, atn_idx n, float max)
{
    for (atn_idx at = 0; at < n; at += BLOCK) {
        const int m = (int)ATN_MIN((atn_idx)BLOCK, n - at);
        if (count_equal(w + at, m, max) < m) return false;
    }
    return true;
}

void atn_row_cover(const float *w, atn_idx n, float max, double mass,
                   const atn_cover_scratch *s, atn_cover *c)
{
    row r = {.w = w,
             .n = n,
             .scale = (double)(ONE / 2) / mass,
             .bin = s->bin,
             .picked = {s->picked, s->spare},
             .cover = c};
    const bool is_long = n >= LONG;
    float sorted[SHORT];
    uint64_t sum = 0;

    for (int l = 0; l < LEVELS; l++) {
        c->count[l] = 0;
        c->least[l] = INFINITY;
        c->last[l] = -1;
    }
    if (!(mass > 0) || !isfinite(r.scale)) return;
    if (all_equal(w, n, max)) {
        set_needs((uint64_t)n * rounded((double)max * r.scale), r.need);
        for (int l = 0; l < LEVELS; l++) reach_equal(&r, l, 0, max, n);
    } else if (n <= SHORT) {
        for (atn_idx j = 0; j < n; j++) sum += rounded((double)w[j] * r.scale);
        set_needs(sum, r.need);
        atn_row_sort_few(w, (int)n, sorted);
        for (int l = 0; l < LEVELS; l++) reach(&r, l, 0, sorted, n);
    } else {
        part whole = {
            .row = &r,
            .w = w,
            .n = n,
            .top = atn_float_bits(max),
            .bins = is_long ? BINS : BINS / 4,
            .shift = shift_of(max, mass / (double)n * 5e-4, is_long ? BITS : BITS - 2),
            .end = LEVELS};
        split(&whole);
    }
}

/* ---- spans and shapes ---- */

enum { RING = 256, STEP = 16 }; /* distances that are looked at together */

/* Sum of the weights at distances from .. from + RING of `at`, on both sides;
 * from >= 1. */
ATN_PART double ring(const float *w, atn_idx n, atn_idx at, atn_idx from)
{
    const atn_idx left = ATN_MAX(at - from - RING + 1, (atn_idx)0),
                  left_end = ATN_MIN(at - from + 1, n),
                  right = ATN_MAX(at + from, (atn_idx)0),
                  right_end = ATN_MIN(at + from + RING, n);
    double sum = 0;

    if (left < left_end) sum += atn_sum_lanes(w + left, left_end - left);
    if (right < right_end) sum += atn_sum_lanes(w + right, right_end - right);
    return sum;
}

/* x[d] = the weights at distance from + d, step[i] the sum of STEP of them. */
ATN_PART void spread_ring(const float *w, atn_idx n, atn_idx at, atn_idx from,
                          double *x, double *step)
{
    const atn_idx left = ATN_MIN(ATN_MAX(at - from - n + 1, (atn_idx)0), (atn_idx)RING),
                  left_end = ATN_MIN(ATN_MAX(at - from + 1, left), (atn_idx)RING),
                  right = ATN_MIN(ATN_MAX(-at - from, (atn_idx)0), (atn_idx)RING),
                  right_end = ATN_MIN(ATN_MAX(n - at - from, right), (atn_idx)RING);
    double pairs[RING / 2], fours[RING / 4], eights[RING / 8];

    memset(x, 0, RING * sizeof *x);
    for (atn_idx d = left; d < left_end; d++) x[d] = (double)w[at - from - d];
    for (atn_idx d = right; d < right_end; d++) x[d] += (double)w[at + from + d];
    for (int i = 0; i < RING / 2; i++) pairs[i] = x[2 * i] + x[2 * i + 1];
    for (int i = 0; i < RING / 4; i++) fours[i] = pairs[2 * i] + pairs[2 * i + 1];
    for (int i = 0; i < RING / 8; i++) eights[i] = fours[2 * i] + fours[2 * i + 1];
    for (int i = 0; i < RING / STEP; i++) step[i] = eights[2 * i] + eights[2 * i + 1];
}

/* How many of x[0..n) are passed before sums from *sum on reach `enough`; *sum is
 * theirs. */
ATN_PART int steps_below(const double *x, int n, double enough, double *sum)
{
    double all = *sum;
    int k = 0;

    for (int i = 0; i < n; i++) {
        const bool below = (all += x[i]) < enough;

        k += below;
        *sum = below ? all : *sum;
    }
    return k;
}

/* Grows ring by ring from the nearest weight on; the one where a share is reached is
 * looked at in steps, and the step weight by weight. */
ATN_CLONES void atn_row_span(const float *w, atn_idx n, atn_idx at, double mass,
                             double *span)
{
    const atn_idx nearest = ATN_MAX(ATN_MAX(-at, at - n + 1), (atn_idx)1),
                  farthest = ATN_MAX(at, n - 1 - at);
    double x[RING], step[RING / STEP] = {0}, more = 0;
    double sum = at >= 0 && at < n ? (double)w[at] : 0; /* at distances below `next` */
    atn_idx next = nearest, known = 0, have = 0;

    for (int l = 0; l < ATN_SPAN_LEVELS; l++) {
        const double enough = atn_span_levels[l] * mass * ATN_REACHED;
        double here;
        int k;

        span[l] = 0;
        if (n == 0 || !(mass > 0) || sum >= enough) {
            if (next > nearest) span[l] = (double)(next - 1);
            continue;
        }
        for (; next <= farthest; sum += more, next += RING) {
            if (known != next) more = ring(w, n, at, next);
            known = next;
            if (sum + more >= enough) break;
        }
        if (next > farthest) {
            span[l] = (double)farthest;
            continue;
        }
        if (have != next) spread_ring(w, n, at, next, x, step);
        have = next;
        here = sum;
        k = STEP * steps_below(step, RING / STEP - 1, enough, &here);
        k += steps_below(x + k, STEP - 1, enough, &here);
        span[l] = (double)ATN_MIN(next + k, farthest);
    }
}

double atn_row_gini(const float *sorted, atn_idx n)
{
    double sum = 0, mass = 0;

    for (atn_idx k = 0; k < n; k++) { /* place n - k of the ascending order */
        mass += (double)sorted[k];
        sum += (double)(n - 1 - 2 * k) * (double)sorted[k];
    }
    return mass > 0 ? sum / ((double)n * mass) : 0;
}

double atn_row_smoothed(const float *w, atn_idx n, double mass)
{
    const double floor = 1e-4 / (double)n, scale = mass > 0 ? .9999 / mass : 0;
    double sum = 0;

    for (atn_idx j = 0; j < n; j++) {
        const double q = scale * (double)w[j] + floor;
        sum -= q * log(q);
    }
    return sum;
}
