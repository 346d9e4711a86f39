/* approx/topp.c -- the fewest keys that hold a share of every row, or of the head.
 *
 * Math    weights A_ij of what i sees, largest first (equal ones: the lower key first),
 *         c_m the sum of the first m over the mass of the row:
 *             least   the smallest m >= 1 with c_m >= p - s
 *             over    the number of c_m <= p + s, and one more
 *             under   the number of c_m <= p + s
 *         s = 1e-10; of given weights, which are float32 numbers, 2^-23 p. level=head:
 *         all entries of all rows in one order, equal ones by row, then key, and the
 *         mass is that of all rows. Blocks: the sums of approx/oracle.h.
 * Oracle  uniform row of m keys: ceil(p m), floor(p m) + 1, floor(p m). Where one
 *         weight holds the share, p = 0 included: 1, 1 (or 2, hit exactly), 0.
 * Source  nucleus sampling's rule (Holtzman et al., arXiv 1904.09751) on attention;
 *         over is FlexPrefill's (arXiv 2502.20766).
 * Cost    dense logits and one exp an entry, in double, and a selection; memory a few
 *         rows a thread, level=head all entries, of blocks where there are blocks.
 * Limits  an oracle, not a speed-up. level=head: at most 4096^2 entries.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include <math.h>

#include "approx/oracle.h"

#define SLACK       1e-10
#define SLACK_GIVEN 0x1p-23

enum { LEAST, OVER, UNDER };
enum { OF_ROW, OF_HEAD };
enum { ENTRIES_MOST = 1 << 24 };

typedef struct topp {
    double p;
    int64_t block;
    int variant, level;
} topp;

static const atn_param params[] = {
    ATN_PARAM_F64(topp, p, .9, 0, 1, "share of the weight that is kept"),
    ATN_PARAM_I64(topp, block, 1, 1, 1 << 20,
                  "tokens of a block of queries and of keys, 1 = single ones"),
    ATN_PARAM_CHOICE(topp, variant, LEAST, "least|over|under",
                     "the key that reaches the share: kept, kept also where it is hit, "
                     "or left out"),
    ATN_PARAM_CHOICE(topp, level, OF_ROW, "row|head",
                     "the share of every row, or of all rows at once"),
    ATN_PARAM_END,
};

/* ---- one order of weights ---- */

static atn_cut cut_of(const topp *t, bool given, const double *w, atn_idx n,
                      double mass, double *scratch)
{
    const double slack = given ? SLACK_GIVEN * t->p : SLACK;
    const double least = mass * (t->p - slack);

    if (t->variant == LEAST && least <= 0)
        return atn_cut_at_count(w, n, 1, scratch, NULL);
    if (t->variant == LEAST) return atn_cut_at_sum(w, n, least, false, scratch);
    if (t->variant == OVER)
        return atn_cut_at_sum(w, n, mass * (t->p + slack), true, scratch);
    return atn_cut_below_sum(w, n, mass * (t->p + slack), scratch);
}

typedef struct choosing {
    const topp *t;
    atn_chosen *chosen;
    /* of all rows: the entries of list first + r are w [at[r], at[r + 1]) */
    double *w, *mass;
    atn_oracle_list *lists;
    const int64_t *at;
    atn_idx first;
} choosing;

static atn_status choose(atn_ctx *cx, const atn_oracle *o, atn_oracle_list *l,
                         void *state)
{
    const choosing *s = state;
    const bool given = o->head->p.data != NULL;

    return atn_oracle_keep(cx, s->chosen, l,
                           cut_of(s->t, given, l->w, l->n, l->mass, l->scratch));
}

/* ---- one order for all rows ---- */

static atn_status store(atn_ctx *cx, const atn_oracle *o, atn_oracle_list *l,
                        void *state)
{
    const choosing *s = state;
    const atn_idx r = l->r - s->first;

    (void)cx, (void)o;
    ATN_ASSERT(s->at[r + 1] - s->at[r] == l->n);
    memcpy(s->w + s->at[r], l->w, (size_t)l->n * sizeof *l->w);
    s->lists[r] = *l;
    s->lists[r].w = s->w + s->at[r];
    return ATN_OK;
}

/* Where the entries of the lists lie. */
static atn_status place(atn_ctx *cx, const atn_oracle *o, choosing *s, atn_idx lists)
{
    atn_status st = ATN_OK;
    int64_t *at = NULL;

    ATN_TAKE(at, lists + 1);
    at[0] = 0;
    for (atn_idx r = 0; r < lists; r++) {
        const atn_idx from = (s->first + r) * o->block;
        atn_idx lo, hi;

        atn_head_hull(o->head, from, from + o->block, &lo, &hi);
        at[r + 1] = at[r] + (lo < hi ? (hi - 1) / o->block - lo / o->block + 1 : 0);
        if (at[r + 1] > ENTRIES_MOST)
            ATN_FAIL(ATN_USAGE,
                     "topp: level=head puts all entries in one order, and %lld queries "
                     "see more than %d of them (give larger blocks, or level=row)",
                     (long long)o->head->nq, ENTRIES_MOST);
    }
    s->at = at;
    ATN_TAKE(s->lists, lists);
    memset(s->lists, 0, (size_t)lists * sizeof *s->lists);
done:
    return st;
}

static atn_status choose_of_all(atn_ctx *cx, const atn_oracle *o, choosing *s,
                                atn_idx lists)
{
    double *scratch = NULL, mass = 0;
    atn_status st = ATN_OK;
    atn_idx n;
    atn_cut cut;

    ATN_TRY(place(cx, o, s, lists));
    n = s->at[lists];
    ATN_TRY(atn_mem_check(cx, 2.0 * sizeof(double) * (double)n, "topp: all entries"));
    ATN_TAKE(s->w, n);
    ATN_TAKE(scratch, n);
    ATN_TRY(atn_oracle_run(cx, o, store, s, "summing weights"));
    for (atn_idx r = 0; r < lists; r++) mass += s->lists[r].mass;
    cut = cut_of(s->t, o->head->p.data != NULL, s->w, n, mass, scratch);
    for (atn_idx r = 0; r < lists; r++) {
        const atn_oracle_list *l = &s->lists[r];
        atn_idx equal = 0;

        if (l->n == 0) continue;
        ATN_TRY(atn_oracle_keep(cx, s->chosen, l, cut));
        for (atn_idx j = 0; j < l->n; j++) equal += l->w[j] == cut.at;
        cut.ties -= ATN_MIN(equal, cut.ties);
    }
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const topp *t = params_;
    const atn_oracle o = {&in->head[first], t->block, ATN_SCORE_SUM, false};
    const atn_arena_mark mark = atn_arena_save(cx);
    choosing s = {.t = t};
    atn_status st = ATN_OK;
    atn_idx end;

    (void)n;
    ATN_TRY(atn_oracle_open(cx, &o, &s.chosen));
    atn_chosen_lists(s.chosen, &s.first, &end);
    if (t->level == OF_HEAD)
        ATN_TRY(choose_of_all(cx, &o, &s, end - s.first));
    else
        ATN_TRY(atn_oracle_run(cx, &o, choose, &s, "summing weights"));
    st = atn_oracle_finish(cx, &o, s.chosen, out);
    s.chosen = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, s.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Rows of a block, or all of them, choose together. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const topp *t = params_;

    (void)in;
    return t->block > 1 || t->level == OF_HEAD ? ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES : 0;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const topp *t = params_;
    const atn_head *h = &in->head[0];
    const atn_oracle o = {h, t->block, ATN_SCORE_SUM, false};
    const double blocks = (double)h->nk / (double)t->block + 2;
    const double lists = (double)h->nq / (double)t->block + 2;
    double all = 0;

    if (t->level == OF_HEAD) {
        /* of a causal head a little more than half of the pairs */
        all = t->block == 1 ? atn_visible_pairs(h) : lists * blocks;
        if (t->block > 1 && h->sight.causal && h->nq == h->nk)
            all = lists * (lists + 1) / 2;
        all = sizeof(double) * 2 * all + lists * (sizeof(atn_oracle_list) + 8);
    }
    return all + atn_oracle_bytes(cx, &o, INFINITY);
}

const atn_method atn_method_topp = {
    .id = "topp",
    .title = "Share of the weight (oracle)",
    .family = "oracle",
    .source = "Holtzman et al., arXiv 1904.09751, on attention",
    .text = "the fewest keys that hold a share of the weight",
    .reads = ATN_READS_WEIGHTS,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(topp),
    .budget = "p",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
