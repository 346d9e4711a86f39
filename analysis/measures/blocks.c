/* analysis/measures/blocks.c -- is the weight gathered in a few blocks?
 *
 * Math    B_IJ = sum of P over rows of block I and keys of block J. A block is valid
 *         when one of its entries is visible. For a coverage c:
 *         density: key blocks of each block row, largest mass first, until c of the
 *           row's mass is reached (force: the first key's and the diagonal block
 *           first), / valid blocks;
 *         rows: blocks that some row of theirs needs for its own minimal set of
 *         keys, / valid;
 *         inflation: visible entries inside these / sum_i keys_i(c), the price of
 *         blocks;
 *         max: blocks with an entry above epsilon, / valid blocks.
 * Oracle  F4, b = 2: masses 2, .75, 1.25; block-diagonal attention: n / b blocks at any
 *         c; one hot column: one block a row; inflation >= 1; masses at 2 b are sums of
 *         masses at b. A sum counts as reached when it is one unit of float32 short of
 *         c.
 * Source  card B14; ties by index.
 * Limits  the density of the coverage variant may fall below that of tokens, since it
 *         takes the mean over the rows of a block.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/measure.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_blocks;

typedef struct blocks_params {
    int64_t size, keys;
    int coverage;
    double epsilon;
    bool force;
} blocks_params;

static const atn_param params[] = {
    ATN_PARAM_I64(blocks_params, size, 64, 1, 1 << 20, "rows of a block"),
    ATN_PARAM_I64(blocks_params, keys, 0, 0, 1 << 20, "keys of a block; 0 = as many"),
    ATN_PARAM_CHOICE(blocks_params, coverage, 2, "0.5|0.8|0.9|0.95|0.99|0.999",
                     "share of the weight to be kept"),
    ATN_PARAM_F64(blocks_params, epsilon, 0.01, 0, 1,
                  "a block counts by its largest weight above this"),
    ATN_PARAM_BOOL(blocks_params, force, 0,
                   "keep the first and the diagonal block first"),
    ATN_PARAM_END,
};

enum { DENSITY, KEPT, ROWS, INFLATION, MAX, DIAGONAL, FIRST };

static void want(const void *p_, atn_row_stats_opts *opts)
{
    const blocks_params *p = p_;

    opts->block = p->size;
    opts->block_keys = p->keys > 0 ? p->keys : p->size;
}

typedef struct tally {
    double valid, kept, block_rows, by_rows, entries, by_max, diagonal, first, mass;
    double facing; /* mass of block rows that have a diagonal block */
} tally;

/* Visible entries of the rows of block a that count, by key block, into per
 * [across]. */
static void visible(const atn_head_stats *s, atn_idx a, double *per, atn_idx across)
{
    const atn_idx b = s->opts.block_keys;
    const atn_idx end = ATN_MIN((a + 1) * s->opts.block, s->nq);

    memset(per, 0, (size_t)across * sizeof *per);
    for (atn_idx i = a * s->opts.block; i < end; i++) {
        atn_idx lo, hi;

        if (!atn_row_counts(s, i)) continue;
        atn_sight_row(s->sight, i, &lo, &hi);
        for (atn_idx j = lo / b; j * b < hi; j++)
            per[j] += (double)(ATN_MIN(hi, (j + 1) * b) - ATN_MAX(lo, j * b));
    }
}

/* Blocks of one row until coverage c, masses [n] sorted in place; forced ones are kept
 * first. */
static double blocks_needed(double *mass, atn_idx n, double c, const atn_idx *forced,
                            int n_forced)
{
    double sum = 0, reached = 0, kept = 0;

    for (atn_idx j = 0; j < n; j++) sum += mass[j];
    if (sum <= 0) return 0;
    for (int f = 0; f < n_forced; f++) {
        reached += mass[forced[f]];
        mass[forced[f]] = 0;
        kept++;
    }
    atn_sort(mass, n);
    for (atn_idx j = n - 1; j >= 0 && reached < c * sum * ATN_REACHED; j--) {
        reached += mass[j];
        kept++;
    }
    return kept;
}

/* The key block that holds the last position of block row a that is a key's; -1 = none
 * is. */
static atn_idx diagonal_of(const atn_head_stats *s, atn_idx a)
{
    const atn_idx last = ATN_MIN((a + 1) * s->opts.block, s->nq) - 1;
    const atn_idx begin = a * s->opts.block + s->sight->offset;
    const atn_idx at = ATN_MIN(last + s->sight->offset, s->nk - 1);

    return at >= 0 && begin < s->nk ? at / s->opts.block_keys : -1;
}

static void block_row(const atn_head_stats *s, const blocks_params *p, atn_idx a,
                      tally *t)
{
    const atn_idx across = (s->nk - 1) / s->opts.block_keys + 1;
    const atn_idx diagonal = diagonal_of(s, a);
    const atn_idx first = s->sight->key_first / s->opts.block_keys;
    const double *mass = s->blocks + a * across;
    double *per = s->scratch;
    atn_idx forced[2];
    int n_forced = 0;
    bool any = false;

    visible(s, a, per, across);
    for (atn_idx j = 0; j < across; j++) {
        if (per[j] == 0) continue;
        any = true;
        t->valid++;
        t->mass += mass[j];
        if (j == first) t->first += mass[j];
        if (j == diagonal) t->diagonal += mass[j];
        if (diagonal >= 0) t->facing += mass[j];
        if ((double)s->block_max[a * across + j] > p->epsilon) t->by_max++;
        if (p->force && (j == first || j == diagonal)) forced[n_forced++] = j;
        if (!(s->needed[a * across + j] >> p->coverage & 1)) continue;
        t->by_rows++;
        t->entries += per[j];
    }
    if (!any) return;
    memcpy(per, mass, (size_t)across * sizeof *per);
    t->kept +=
        blocks_needed(per, across, atn_cover_levels[p->coverage], forced, n_forced);
    t->block_rows++;
}

static double keys_needed(const atn_head_stats *s, int level)
{
    const double *keys = s->value[ATN_ROW_KEYS_50 + level];
    double sum = 0;

    for (atn_idx i = 0; i < s->nq; i++)
        if (atn_row_counts(s, i)) sum += keys[i];
    return sum;
}

static void compute(const atn_head_stats *s, const void *params_, double *out)
{
    const blocks_params *p = params_;
    double keys;
    tally t = {0};

    for (atn_idx a = 0; a * s->opts.block < s->nq; a++) block_row(s, p, a, &t);
    if (t.valid == 0) return;
    keys = keys_needed(s, p->coverage);
    out[DENSITY] = t.kept / t.valid;
    out[KEPT] = t.kept / t.block_rows;
    out[ROWS] = t.by_rows / t.valid;
    if (keys > 0) out[INFLATION] = t.entries / keys;
    out[MAX] = t.by_max / t.valid;
    if (t.facing > 0) out[DIAGONAL] = fmin(t.diagonal / t.facing, 1);
    if (t.mass > 0) out[FIRST] = fmin(t.first / t.mass, 1);
}

static const atn_measure_col cols[] = {
    {"blocks_density", "", "[0, 1]",
     "share of the valid blocks that hold 90 % (coverage) of each block row's weight",
     NULL},
    {"blocks_kept_mean_blocks", "blocks", "[0, ceil(nk / keys)]",
     "mean number of these blocks a block row", NULL},
    {"blocks_rows_density", "", "[0, 1]",
     "share of the valid blocks that a row of theirs needs for its own coverage", NULL},
    {"blocks_inflation", "", ">= 1",
     "visible entries inside these blocks / keys that the rows need", NULL},
    {"blocks_max_density", "", "[0, 1]",
     "share of the valid blocks with a weight above epsilon (0.01)", NULL},
    {"blocks_diagonal_share", "", "[0, 1]",
     "share of the weight in the diagonal blocks, block rows that have one", NULL},
    {"blocks_first_share", "", "[0, 1]", "share of the weight in the first key block",
     NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_blocks = {
    .id = "blocks",
    .title = "Block sparsity",
    .source = "block masses, largest first; rows of a block together",
    .needs = ATN_NEED_BLOCKS | ATN_NEED_COVER | ATN_NEED_NEEDED,
    .params = params,
    .params_size = sizeof(blocks_params),
    .cols = cols,
    .by_place = ATN_COL_BIT(DIAGONAL),
    .want = want,
    .compute = compute,
};
