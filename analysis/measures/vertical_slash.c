/* analysis/measures/vertical_slash.c -- how much of a head its best columns and
 * diagonals hold.
 *
 * Math    the V keys and the S distances with the largest sums over all rows; retained
 *         mass = mean over rows of the share of the row's mass on them;
 *         density = entries kept of those visible; goodness = retained mass over that
 *         of as many best keys of each row, the most that any pattern of this density
 *         by rows can keep. `last`: the lists from the last 64 rows, the first 30 keys
 *         and distances 0 .. 29 within the budgets, as MInference estimates them.
 *         Candidates: its budgets, from the full lists; a_shape: the first 100 keys and
 *         |t - j| <= 800.
 * Oracle  one vertical and one slash planted: found, retained 1. F4 at V = S = 1:
 *         .7625.
 * Source  card B15; analysis/vertical_slash.h.
 * Cost    two walks, and one of 64 rows.
 * Limits  sampled rows have no diagonal sums: empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

#include "analysis/vertical_slash.h"

extern const atn_measure atn_measure_vertical_slash;

enum {
    LAST_ROWS = 64,
    FORCED = 30,
    A_SHAPE_FIRST = 100,
    A_SHAPE_NEAR = 800,
    CANDIDATES = 4,
    /* the patterns of one walk */
    ASKED = 0,
    QUARTER,
    HALF,
    DOUBLE,
    LAST,
    CANDIDATE,
    A_SHAPE = CANDIDATE + CANDIDATES,
    PATTERNS,
};

static const atn_idx candidate[CANDIDATES][2] = {
    {30, 800}, {100, 750}, {500, 700}, {3500, 100}};

typedef struct slash_params {
    int64_t verticals, slashes;
} slash_params;

static const atn_param params[] = {
    ATN_PARAM_I64(slash_params, verticals, 32, 0, 1 << 30, "keys kept by all rows"),
    ATN_PARAM_I64(slash_params, slashes, 32, 0, 1 << 30, "distances kept by all rows"),
    ATN_PARAM_END,
};

static const atn_measure_col cols[] = {
    {"vertical_slash_mass", "", "[0, 1]",
     "mean share of a row on V verticals and S slashes", NULL},
    {"vertical_slash_density", "", "[0, 1]", "share of visible entries that these are",
     NULL},
    {"vertical_slash_oracle_mass", "", "[0, 1]",
     "mean share of a row on as many of its best keys", NULL},
    {"vertical_slash_goodness", "", "[0, 1]", "mass over oracle mass", NULL},
    {"vertical_slash_quarter_mass", "", "[0, 1]", "mass with V/4 and S/4", NULL},
    {"vertical_slash_half_mass", "", "[0, 1]", "mass with V/2 and S/2", NULL},
    {"vertical_slash_double_mass", "", "[0, 1]", "mass with 2V and 2S", NULL},
    {"vertical_slash_last_mass", "", "[0, 1]",
     "mass with V and S estimated from the last 64 rows", NULL},
    {"vertical_slash_last_keys", "", "[0, 1]",
     "share of the V verticals that the estimate finds", NULL},
    {"vertical_slash_last_slashes", "", "[0, 1]",
     "share of the S slashes that the estimate finds", NULL},
    {"vertical_slash_30_800_mass", "", "[0, 1]", "mass with V = 30, S = 800", NULL},
    {"vertical_slash_30_800_density", "", "[0, 1]", "its density", NULL},
    {"vertical_slash_100_750_mass", "", "[0, 1]", "mass with V = 100, S = 750", NULL},
    {"vertical_slash_100_750_density", "", "[0, 1]", "its density", NULL},
    {"vertical_slash_500_700_mass", "", "[0, 1]", "mass with V = 500, S = 700", NULL},
    {"vertical_slash_500_700_density", "", "[0, 1]", "its density", NULL},
    {"vertical_slash_3500_100_mass", "", "[0, 1]", "mass with V = 3500, S = 100", NULL},
    {"vertical_slash_3500_100_density", "", "[0, 1]", "its density", NULL},
    {"vertical_slash_a_shape_mass", "", "[0, 1]",
     "mean share of a row on the first 100 keys and those up to 800 away", NULL},
    {"vertical_slash_a_shape_density", "", "[0, 1]", "its density", NULL},
    {"vertical_slash_best_key", "", ">= 0", "key of the largest column sum", NULL},
    {"vertical_slash_best_slash_tokens", "tokens", "",
     "distance of the largest diagonal sum", NULL},
    ATN_MEASURE_COLS_END,
};

/* Share of the first k keys of the full list that are among the first k of the
 * other. */
static double shared_keys(const atn_slash_lists *full, const atn_slash_lists *last,
                          atn_idx k)
{
    const atn_idx take = ATN_MIN(k, full->keys);
    double both = 0;

    for (atn_idx a = 0; a < take; a++)
        both += last->rank[full->key[a]] < ATN_MIN(k, last->keys);
    return take > 0 ? both / (double)take : NAN;
}

static double shared_slashes(const atn_slash_lists *full, const atn_slash_lists *last,
                             atn_idx k)
{
    const atn_idx take = ATN_MIN(k, full->slashes);
    double both = 0;

    for (atn_idx a = 0; a < take; a++) {
        const atn_idx at = full->slash[a] - last->near;
        both += at >= 0 && at < last->slashes && last->slash_rank[at] < k;
    }
    return take > 0 ? both / (double)take : NAN;
}

static atn_slash_pattern keep(const atn_slash_lists *lists, atn_idx v, atn_idx s)
{
    return (atn_slash_pattern){.lists = lists, .verticals = v, .slashes = s};
}

static void set_patterns(const slash_params *p, const atn_slash_lists *full,
                         const atn_slash_lists *last, atn_slash_pattern *pattern)
{
    const atn_idx v = p->verticals, s = p->slashes;

    pattern[ASKED] = keep(full, v, s);
    pattern[ASKED].oracle = true;
    pattern[QUARTER] = keep(full, v / 4, s / 4);
    pattern[HALF] = keep(full, v / 2, s / 2);
    pattern[DOUBLE] = keep(full, 2 * v, 2 * s);
    pattern[LAST] = keep(last, v, s);
    for (int c = 0; c < CANDIDATES; c++)
        pattern[CANDIDATE + c] = keep(full, candidate[c][0], candidate[c][1]);
    pattern[A_SHAPE] = keep(NULL, A_SHAPE_FIRST, A_SHAPE_NEAR);
}

static void put(const slash_params *p, const atn_slash_lists *full,
                const atn_slash_lists *last, const atn_slash_pattern *pattern,
                double *out)
{
    const atn_slash_pattern *asked = &pattern[ASKED];

    *out++ = asked->mass;
    *out++ = asked->density;
    *out++ = asked->oracle_mass;
    *out++ = asked->oracle_mass > 0 ? ATN_MIN(asked->mass / asked->oracle_mass, 1.0)
                                    : (double)NAN;
    for (int a = QUARTER; a <= LAST; a++) *out++ = pattern[a].mass;
    *out++ = shared_keys(full, last, p->verticals);
    *out++ = shared_slashes(full, last, p->slashes);
    for (int a = CANDIDATE; a <= A_SHAPE; a++) {
        *out++ = pattern[a].mass;
        *out++ = pattern[a].density;
    }
    *out++ = full->keys > 0 ? (double)full->key[0] : NAN;
    *out++ = full->slashes > 0 ? (double)full->slash[0] : NAN;
}

static atn_status one_head(atn_ctx *cx, const atn_layer_facts *f, const atn_head *h,
                           const slash_params *p, double *out)
{
    const atn_idx tail = ATN_MAX(h->nq - LAST_ROWS, f->skip_rows);
    atn_slash_pattern pattern[PATTERNS];
    atn_slash_lists full = {0}, last = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_slash_lists_make(cx, h, f->skip_rows, 0, &full));
    ATN_TRY(atn_slash_lists_make(cx, h, tail, FORCED, &last));
    set_patterns(p, &full, &last, pattern);
    ATN_TRY(atn_slash_retained(cx, h, f->skip_rows, pattern, PATTERNS));
    put(p, &full, &last, pattern, out);
done:
    atn_slash_lists_release(cx, &full);
    atn_slash_lists_release(cx, &last);
    return st;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const int n = atn_measure_n_cols(&atn_measure_vertical_slash);
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < f->heads; h++) {
        if (!f->keep[h] || f->head[h].sight.rows || f->head[h].nq <= f->skip_rows)
            continue;
        ATN_TRY(one_head(cx, f, &f->head[h], params_, out + h * n));
    }
done:
    return st;
}

const atn_measure atn_measure_vertical_slash = {
    .id = "vertical_slash",
    .title = "Verticals and slashes",
    .source = "mass kept by the best columns and diagonals, after MInference",
    .named = true,
    .passes = 3,
    .params = params,
    .params_size = sizeof(slash_params),
    .cols = cols,
    .layer = layer,
    .by_head = true,
};
