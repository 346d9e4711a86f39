/* tests/analysis/test_measures_twin.c -- every column of the head measures against its
 * definition, written down a second time over dense rows in double.
 *
 * Means and masses agree to 1e-6 of the column's range. Counts, keys and distances are exact
 * unless a row, block or key lies within 1e-6 of the threshold that decides it: such a cell is
 * unsure, is not compared, and there are few of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "measure_twin_rows.h"

/* ---- columns and diagonals ---- */

static double column_sum(const twin *t, atn_idx k)
{
    double sum = 0;

    for (atn_idx i = 0; i < t->nq; i++) sum += t->counts[i] ? t->p[i][k] : 0;
    return sum;
}

/* a_k: over the rows at key k or after it; over all where every row may see every key. */
static double column_mean(const twin *t, atn_idx k)
{
    double rows = 0;

    for (atn_idx i = 0; i < t->nq; i++)
        rows += t->counts[i] && (!t->causal || i + t->offset >= k);
    return rows > 0 ? column_sum(t, k) / rows : NAN;
}

static double diagonal_sum(const twin *t, atn_idx delta)
{
    double sum = 0;

    for (atn_idx i = 0; i < t->nq; i++)
        if (t->counts[i]) sum += weight(t, i, i + t->offset - delta);
    return sum;
}

/* Over the rows whose key at that distance is there and no padding. */
static double diagonal_mean(const twin *t, atn_idx delta)
{
    double rows = 0;

    for (atn_idx i = 0; i < t->nq; i++) {
        const atn_idx key = i + t->offset - delta;
        rows += t->counts[i] && key >= t->first && key < t->last;
    }
    return rows > 0 ? diagonal_sum(t, delta) / rows : NAN;
}

typedef struct winner {
    atn_idx at;
    double value;
    bool unsure; /* another comes within 1e-6 of it */
} winner;

/* The largest of x[from..to], NaN passed over, of equal ones the first. */
static winner largest(const double *x, atn_idx from, atn_idx to, atn_idx without)
{
    winner w = {-1, NAN, false};

    for (atn_idx k = from; k <= to; k++)
        if (k != without && !isnan(x[k]) && (w.at < 0 || x[k] > w.value))
            w = (winner){k, x[k], false};
    for (atn_idx k = from; k <= to; k++)
        if (k != without && k != w.at && !isnan(x[k]) && w.value - x[k] < NEAR)
            w.unsure = true;
    return w;
}

static void put_winner(cells *c, const char *at, const char *value, winner w,
                       double mass)
{
    put(c, at, w.at >= 0 ? (double)w.at : NAN, 1, w.unsure);
    put(c, value, w.at >= 0 ? mass : NAN, 1, w.unsure);
}

static double gini_of(const double *x, atn_idx n)
{
    double apart = 0, sum = 0;

    for (atn_idx a = 0; a < n; a++) {
        sum += x[a];
        for (atn_idx b = 0; b < n; b++) apart += fabs(x[a] - x[b]);
    }
    return sum > 0 ? apart / (2 * (double)n * sum) : NAN;
}

static void sink_columns(const twin *t, const settings *set, cells *c)
{
    double sum[TWIN_MOST], mean[TWIN_MOST];
    const atn_idx half = ATN_MIN(t->first + (t->last - t->first) / 2, t->last - 1);
    bool unsure = false;
    int count = 0;
    winner top, best;

    for (atn_idx k = 0; k < t->nk; k++) {
        sum[k] = column_sum(t, k);
        mean[k] = column_mean(t, k);
        if (k < t->first || k > half || isnan(mean[k])) continue;
        count += mean[k] > set->sink_above;
        if (fabs(mean[k] - set->sink_above) < NEAR) unsure = true;
    }
    top = largest(sum, t->first, t->last - 1, -1);
    best = largest(mean, t->first, half, -1);
    put(c, "sink_columns_first", column_mean(t, t->first), 1, false);
    put_winner(c, "sink_columns_top_key", "sink_columns_top_mass", top, mean[top.at]);
    put_winner(c, "sink_columns_best_key", "sink_columns_best_mass", best, best.value);
    put(c, "sink_columns_count", count, 1, unsure);
    put(c, "sink_columns_gini", gini_of(sum + t->first, t->last - t->first), 1, false);
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

static double eight_largest(double *x, atn_idx n)
{
    double sum = 0;

    qsort(x, (size_t)n, sizeof *x, descending);
    for (atn_idx i = 0; i < n && i < 8; i++) sum += x[i];
    return sum;
}

static double total(const twin *t)
{
    double sum = 0;

    for (atn_idx i = 0; i < t->nq; i++) sum += t->counts[i] ? t->mass[i] : 0;
    return sum;
}

static void stripes(const twin *t, cells *c)
{
    double mean[2 * TWIN_MOST], sum[2 * TWIN_MOST];
    const double all = total(t);
    const atn_idx farthest = ATN_MAX(t->nq + t->offset, t->nk);
    winner w;
    atn_idx n = 0;

    for (atn_idx k = 0; k < t->nk; k++) {
        mean[k] = column_mean(t, k);
        if (k != t->first) sum[n++] = column_sum(t, k);
    }
    w = largest(mean, t->first,
                ATN_MIN(t->first + (t->last - t->first) / 2, t->last - 1), t->first);
    put_winner(c, "stripes_key", "stripes_key_mass", w, w.value);
    put(c, "stripes_key_share", all > 0 ? eight_largest(sum, n) / all : NAN, 1, false);
    n = 0;
    for (atn_idx d = 2; d <= farthest; d++) {
        mean[d] = diagonal_mean(t, d);
        sum[n++] = diagonal_sum(t, d);
    }
    w = largest(mean, 2, t->nk / 2, -1);
    put_winner(c, "stripes_offset_tokens", "stripes_offset_mass", w, w.value);
    put(c, "stripes_offset_share", all > 0 ? eight_largest(sum, n) / all : NAN, 1,
        false);
}

static void span_shares(const twin *t, cells *c)
{
    static const char *const names[] = {
        "span_share_0",   "span_share_1",   "span_share_2",  "span_share_4",
        "span_share_8",   "span_share_16",  "span_share_32", "span_share_64",
        "span_share_128", "span_share_256", "span_share_512"};
    const double all = total(t);

    for (int b = 0; b < 11; b++) {
        const double lo = b == 0 ? 0 : ldexp(1, b - 1), hi = ldexp(1, b) - 1;
        double sum = 0;

        for (atn_idx i = 0; i < t->nq; i++)
            for (atn_idx j = 0; j < t->nk && t->counts[i]; j++)
                if (away(t, i, j) >= lo && away(t, i, j) <= hi) sum += t->p[i][j];
        put(c, names[b], all > 0 ? sum / all : NAN, 1, false);
    }
    put(c, "span_share_1024", all > 0 ? 0 : NAN, 1, false);
}

/* ---- detection matrices ---- */

typedef enum pattern { PREVIOUS, DUPLICATE, INDUCTION } pattern;

static double detected(const twin *t, pattern what, atn_idx i, atn_idx j)
{
    const atn_idx at = i + t->offset;

    switch (what) {
    case PREVIOUS:
        return j == at - 1;
    case DUPLICATE:
        return j < at && t->token[j] == t->token[at];
    default:
        return j >= 1 && j <= at && t->token[j - 1] == t->token[at];
    }
}

static void detect(const twin *t, const settings *set, pattern what, const char *mul,
                   const char *abs, cells *c)
{
    double both = 0, kept = 0, apart = 0, rows = 0;
    const bool known = what == PREVIOUS || t->has_tokens;

    for (atn_idx i = 0; i < t->nq && known; i++) {
        rows += t->counts[i];
        for (atn_idx j = 0; j < t->nk && t->counts[i]; j++) {
            const bool out = (set->no_first && j == t->first) ||
                             (set->no_current && j == i + t->offset);
            const double d = detected(t, what, i, j), p = out ? 0 : t->p[i][j];

            both += p * d;
            kept += p;
            apart += fabs(t->p[i][j] - d);
        }
    }
    put(c, mul,
        rows == 0  ? NAN
        : kept > 0 ? both / kept
                   : 0,
        1, kept > 0 && kept < 1e-3 * total(t));
    put(c, abs, rows > 0 ? 1 - apart / rows : NAN, fmax(apart / rows, 1), false);
}

/* The smallest r >= 2 that repeats to the end, at least once, from the second token on. */
static atn_idx period_of(const twin *t)
{
    for (atn_idx r = 2; t->has_tokens && 2 * r <= t->last - t->first; r++) {
        bool repeats = true;

        for (atn_idx j = t->first + r + 1; j < t->last; j++)
            if (t->token[j] != t->token[j - r]) repeats = false;
        if (repeats) return r;
    }
    return 0;
}

static double stripe(const twin *t, atn_idx r, atn_idx start)
{
    double sum = 0, rows = 0;

    for (atn_idx i = 0; i < t->nq && r >= 2; i++) {
        const atn_idx at = i + t->offset, key = at - (r - 1);

        if (!t->counts[i] || at < start || key < t->first || key >= t->last) continue;
        sum += t->p[i][key];
        rows++;
    }
    return rows > 0 ? sum / rows : NAN;
}

static void detector(const twin *t, const settings *set, cells *c)
{
    const atn_idx r = set->repeat > 0 ? set->repeat : period_of(t);

    detect(t, set, PREVIOUS, "detector_previous_mul", "detector_previous_abs", c);
    detect(t, set, DUPLICATE, "detector_duplicate_mul", "detector_duplicate_abs", c);
    detect(t, set, INDUCTION, "detector_induction_mul", "detector_induction_abs", c);
    put(c, "detector_stripe", stripe(t, r, t->first + r), 1, false);
    put(c, "detector_stripe_all", stripe(t, r, t->first + r - 1), 1, false);
}

/* ---- blocks ---- */

typedef struct block {
    double mass, most, entries; /* entries: visible, of rows that count */
    bool needed;
} block;

typedef struct grid {
    block at[TWIN_MOST][TWIN_MOST];
    atn_idx rows, across;
    bool unsure; /* which keys a row needs */
    double keys;
} grid;

static void fill_grid(const twin *t, const settings *set, grid *g)
{
    const atn_idx b = set->size, bk = set->keys > 0 ? set->keys : set->size;
    keyed key[TWIN_MOST];

    memset(g, 0, sizeof *g);
    g->rows = (t->nq + b - 1) / b;
    g->across = (t->nk + bk - 1) / bk;
    for (atn_idx i = 0; i < t->nq; i++) {
        atn_idx n, needs;

        if (!t->counts[i]) continue;
        for (atn_idx j = 0; j < t->nk; j++) {
            block *at = &g->at[i / b][j / bk];

            at->mass += t->p[i][j];
            at->most = fmax(at->most, t->p[i][j]);
            at->entries += t->sees[i][j];
        }
        n = ranked(t, i, key);
        needs = enough(t, i, key, n, levels[set->coverage], &g->unsure);
        g->keys += (double)needs;
        for (atn_idx k = 0; k < needs; k++) g->at[i / b][key[k].key / bk].needed = true;
    }
}

/* Key block of the last position of block row a, -1 where there is none. */
static atn_idx own_block(const twin *t, const settings *set, atn_idx a)
{
    atn_idx own = -1; /* the last row of the block whose position is a key's */

    for (atn_idx i = a * set->size; i < (a + 1) * set->size && i < t->nq; i++)
        if (i + t->offset >= 0 && i + t->offset < t->nk) own = i + t->offset;
    return own < 0 ? -1 : own / (set->keys > 0 ? set->keys : set->size);
}

/* Blocks of row a that hold the coverage; forced ones first. */
static double kept_blocks(const twin *t, const settings *set, const grid *g, atn_idx a,
                          bool *unsure)
{
    const atn_idx bk = set->keys > 0 ? set->keys : set->size;
    double mass[TWIN_MOST], sum = 0, so_far = 0, kept = 0;
    atn_idx n = 0;

    for (atn_idx j = 0; j < g->across; j++) sum += g->at[a][j].mass;
    if (sum <= 0) return 0;
    for (atn_idx j = 0; j < g->across; j++) {
        const bool forced = j == t->first / bk || j == own_block(t, set, a);

        if (set->force && forced && g->at[a][j].entries > 0) {
            so_far += g->at[a][j].mass / sum;
            kept++;
        } else
            mass[n++] = g->at[a][j].mass / sum;
    }
    qsort(mass, (size_t)n, sizeof *mass, descending);
    for (atn_idx j = 0; j < n && !reached(so_far, levels[set->coverage], unsure); j++) {
        so_far += mass[j];
        kept++;
    }
    return kept;
}

static void blocks(const twin *t, const settings *set, cells *c)
{
    static grid g;
    double valid = 0, kept = 0, rows = 0, needed = 0, inside = 0, above = 0, own = 0,
           facing = 0, first = 0;
    const double all = total(t);
    bool unsure_kept = false, unsure_max = false;

    fill_grid(t, set, &g);
    for (atn_idx a = 0; a < g.rows; a++) {
        double any = 0;

        for (atn_idx j = 0; j < g.across; j++) {
            const block *at = &g.at[a][j];

            if (at->entries == 0) continue;
            any++;
            needed += at->needed;
            inside += at->needed ? at->entries : 0;
            above += at->most > set->max_above;
            if (fabs(at->most - set->max_above) < NEAR) unsure_max = true;
            if (own_block(t, set, a) >= 0) facing += at->mass;
            if (j == own_block(t, set, a)) own += at->mass;
            if (j == t->first / (set->keys > 0 ? set->keys : set->size))
                first += at->mass;
        }
        valid += any;
        rows += any > 0;
        if (any > 0) kept += kept_blocks(t, set, &g, a, &unsure_kept);
    }
    put(c, "blocks_density", kept / valid, 1, unsure_kept);
    put(c, "blocks_kept_mean_blocks", kept / rows, 1, unsure_kept);
    put(c, "blocks_rows_density", needed / valid, 1, g.unsure);
    put(c, "blocks_inflation", g.keys > 0 ? inside / g.keys : NAN, 1, g.unsure);
    put(c, "blocks_max_density", above / valid, 1, unsure_max);
    put(c, "blocks_diagonal_share", facing > 0 ? own / facing : NAN, 1, false);
    put(c, "blocks_first_share", all > 0 ? first / all : NAN, 1, false);
}

/* ---- both sides ---- */

#define MEASURES                                                                       \
    "distance,entropy,uniformity,local,sink,missing,induction,coverage,span,gini,"     \
    "smoothed,"                                                                        \
    "confidence,stripes,topk:k=%d,sink_columns:epsilon=%g,"                            \
    "detector:exclude_first=%d,exclude_current=%d,repeat=%d,"                          \
    "blocks:size=%d,keys=%d,coverage=%g,epsilon=%g,force=%d"

static int n_cells, n_unsure;

static void compare(const atn_stats_plan *plan, const double *values, const cells *c)
{
    int found = 0;

    for (int m = 0; m < plan->n; m++)
        for (int k = 0; plan->measure[m]->cols[k].name; k++) {
            const char *name = plan->measure[m]->cols[k].name;
            const double got = values[atn_stats_plan_slot(plan, m, k)];
            const cell *want = NULL;

            for (int i = 0; i < c->n; i++)
                if (strcmp(c->at[i].name, name) == 0) want = &c->at[i];
            if (!want) fail_msg("no twin of %s", name);
            found++;
            n_cells++;
            n_unsure += want->unsure;
            if (want->unsure || (isnan(got) && isnan(want->value))) continue;
            if (!(fabs(got - want->value) <= NEAR * want->range))
                fail_msg("%s: %.17g, by definition %.17g", name, got, want->value);
        }
    CHECK_EQ(found, c->n);
}

static void one_head(atn_ctx *cx, const twin_head *h, const settings *set)
{
    static cells c;
    char specs[512];
    const atn_stats_plan_opts opts = {.measures = specs, .skip_rows = h->t.skip};
    atn_stats_plan plan;
    atn_row_stats *s = NULL;
    atn_head_stats rows;
    double values[CELLS];

    c.n = 0;
    row_measures(&h->t, set, &c);
    sink_columns(&h->t, set, &c);
    stripes(&h->t, &c);
    span_shares(&h->t, &c);
    detector(&h->t, set, &c);
    blocks(&h->t, set, &c);
    snprintf(specs, sizeof specs, MEASURES, (int)set->k, set->sink_above, set->no_first,
             set->no_current, (int)set->repeat, (int)set->size, (int)set->keys,
             levels[set->coverage], set->max_above, set->force);
    CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
    CHECK_LE(plan.n_slots, CELLS);
    CHECK_OK(atn_row_stats_run(cx, &h->head, 1, h->t.token, &plan.rows, &s));
    rows = atn_row_stats_head(s, 0);
    for (int i = 0; i < plan.n_slots; i++) values[i] = NAN;
    CHECK_OK(atn_stats_plan_values(cx, &plan, &rows, NULL, values));
    compare(&plan, values, &c);
    atn_row_stats_destroy(cx, s);
    atn_stats_plan_release(cx, &plan);
}

static void against_definitions(atn_ctx *cx, const double *scales, int draws)
{
    static twin_head h;
    const settings sets[] = {
        {8, 0, 4, 0, 2, .02, .1, false, false, false},
        {8, 4, 1, 0, 0, .2, .3, true, true, false},
        {4, 8, 7, 6, 4, .1, .05, true, false, true},
        {16, 0, 500, 3, 5, .01, .02, false, true, true},
        {1, 1, 2, 0, 1, .3, .2, false, false, false},
        {64, 0, 8, 0, 3, .05, .3, true, false, false},
    };

    for (size_t k = 0; k < sizeof twin_kinds / sizeof *twin_kinds; k++)
        for (int draw = 0; draw < draws; draw++) {
            const settings *set = &sets[draw % 6];

            print_message("%s, %d\n", twin_kinds[k].name, draw);
            twin_make(&twin_kinds[k], draw, scales[draw % 3], &h);
            one_head(cx, &h, set);
        }
}

static void random_heads(atn_ctx *cx)
{
    static const double scales[] = {0.25, 1, 4};

    n_cells = n_unsure = 0;
    against_definitions(cx, scales, 12);
    print_message("%d cells, %d unsure\n", n_cells, n_unsure);
    CHECK_LE(n_unsure, 0.01 * n_cells);
}

/* Every logit is 0: equal weights, so that ties decide. A cell that ties make unsure is one
 * whose winner is not unique; the goldens look at those. */
static void uniform_heads(atn_ctx *cx)
{
    static const double scales[] = {0, 0, 0};

    against_definitions(cx, scales, 6);
}

CHECK_MAIN({"random heads", random_heads}, {"uniform heads", uniform_heads})
