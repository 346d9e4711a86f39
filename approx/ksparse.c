/* approx/ksparse.c -- the best approximation of so many entries: the largest weights of
 * the whole head, or of every row.
 *
 * Math    level=head: the k nq largest weights of all pairs; level=row: the k largest of
 *         every row. Kept as they are, which is what is closest in every entry-wise
 *         norm, or with `renormalise` to rows of sum 1.
 * Oracle  |P - S|_F^2 = the sum of the discarded squares; no other set of as many
 *         entries leaves less. k >= visible keys: dense attention.
 * Source  card 24 of the kernel cards; own derivation.
 * Cost    level=head: the matrix in double, and one selection. level=row: a row at a
 *         time, of any number of tokens.
 * Limits  equal weights: the lower row, then the lower key. A row may keep nothing, and
 *         is 0 then.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/lowrank.h"
#include "approx/oracle.h"

typedef struct ksparse {
    int64_t k;
    int level;
    bool renormalise;
} ksparse;

enum { OF_HEAD, OF_ROW };

static const atn_param params[] = {
    ATN_PARAM_I64(ksparse, k, 32, 1, 1 << 30, "entries kept a row, on average"),
    ATN_PARAM_CHOICE(ksparse, level, OF_HEAD, "head|row",
                     "the largest of all pairs, or of every row"),
    ATN_PARAM_BOOL(ksparse, renormalise, 0, "rows sum to 1 again"),
    ATN_PARAM_END,
};

typedef struct choosing {
    const ksparse *t;
    atn_chosen *chosen;
    double *p, *scratch; /* [nq, nk]; of level=head */
    float *mass;         /* [nq] kept of every row */
    int64_t *ties;       /* [nq] */
} choosing;

static void weigh(const choosing *s, const atn_oracle *o, const atn_oracle_list *l,
                  atn_cut cut)
{
    const atn_idx i = l->from - o->head->sight.offset;
    double sum = 0;

    for (atn_idx j = 0; j < l->n; j++) {
        const bool tie = l->w[j] == cut.at && cut.ties > 0;

        cut.ties -= tie;
        if (l->w[j] > cut.at || tie) sum += l->w[j];
    }
    s->mass[i] = (float)sum;
}

static atn_status of_row(atn_ctx *cx, const atn_oracle *o, atn_oracle_list *l,
                         void *state)
{
    const choosing *s = state;
    const atn_idx i = l->from - o->head->sight.offset;
    const atn_cut cut = atn_cut_at_count(l->w, l->n, s->t->k, l->scratch, &s->ties[i]);

    weigh(s, o, l, cut);
    return atn_oracle_keep(cx, s->chosen, l, cut);
}

/* The places of what is seen, in order, moved to the front; how many. */
static atn_idx pack(const atn_head *h, double *p)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        for (atn_idx j = lo; j < hi; j++) p[n++] = p[i * h->nk + j];
    }
    return n;
}

static atn_status of_head(atn_ctx *cx, const atn_oracle *o, choosing *s)
{
    const atn_head *h = o->head;
    atn_status st = ATN_OK;
    atn_idx n, from = 0, most;
    atn_cut cut;

    ATN_TAKE(s->p, h->nq * h->nk);
    ATN_TAKE(s->scratch, h->nq * h->nk);
    ATN_TRY(atn_weights_store(cx, h, s->p));
    n = pack(h, s->p);
    if (!atn_mul(s->t->k, h->nq, &most)) most = n;
    cut = atn_cut_at_count(s->p, n, most, s->scratch, s->ties);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = atn_sight_at(&h->sight, i);
        atn_oracle_list l = {at, at, at + 1, 0, 0, s->p + from, 0, s->scratch};
        atn_idx equal = 0;

        atn_sight_row(&h->sight, i, &l.lo, &l.n);
        l.n -= l.lo;
        if (l.n <= 0) continue;
        weigh(s, o, &l, cut);
        ATN_TRY(atn_oracle_keep(cx, s->chosen, &l, cut));
        for (atn_idx j = 0; j < l.n; j++) equal += l.w[j] == cut.at;
        cut.ties -= ATN_MIN(equal, cut.ties);
        from += l.n;
    }
done:
    return st;
}

/* Entries of level=head, which are shared out over all rows: a row is not held to what
 * it sees. */
static double kept_of(const ksparse *t, const atn_head *h)
{
    return ATN_MIN((double)t->k * (double)h->nq, atn_visible_pairs(h));
}

static double numbers_of(const atn_head *h, double kept)
{
    return kept / (double)ATN_MAX(h->nq, (atn_idx)1);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const ksparse *t = params_;
    const atn_head *h = &in->head[first];
    const atn_oracle o = {h, 1, ATN_SCORE_SUM, false};
    const atn_arena_mark mark = atn_arena_save(cx);
    choosing s = {.t = t};
    atn_status st = ATN_OK;

    (void)n;
    if (t->level == OF_HEAD)
        ATN_TRY(atn_mem_check(cx,
                              atn_weights_store_bytes(cx, h) +
                                  sizeof(double) * (double)h->nq * (double)h->nk,
                              "ksparse: all entries"));
    ATN_NEW(s.mass, h->nq);
    ATN_TAKE(s.ties, h->nq);
    for (atn_idx i = 0; i < h->nq; i++) s.ties[i] = 0;
    ATN_TRY(atn_oracle_open(cx, &o, &s.chosen));
    if (t->level == OF_HEAD)
        ATN_TRY(of_head(cx, &o, &s));
    else
        ATN_TRY(atn_oracle_run(cx, &o, of_row, &s, "ranking keys"));
    st = atn_oracle_finish(cx, &o, s.chosen, out);
    s.chosen = NULL;
    ATN_TRY(st);
    for (atn_idx i = 0; i < h->nq; i++) out->ties += s.ties[i];
    if (t->level == OF_HEAD) out->numbers = numbers_of(h, kept_of(t, h));
    if (!t->renormalise) {
        out->branch[0].scale = s.mass;
        s.mass = NULL;
    }
done:
    atn_free(cx, s.mass);
    atn_chosen_abandon(cx, s.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const ksparse *t = params_;
    double kept = kept_of(t, h);

    if (t->level == OF_ROW) {
        kept = 0;
        for (atn_idx i = 0; i < h->nq; i++) {
            atn_idx lo, hi;

            atn_sight_row(&h->sight, i, &lo, &hi);
            kept += (double)ATN_MIN(ATN_MAX(hi - lo, 0), t->k);
        }
    }
    out->executed = kept;
    out->numbers = t->level == OF_HEAD ? numbers_of(h, kept) : 0;
    return true;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const ksparse *t = params_;

    (void)in;
    return t->level == OF_HEAD ? ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES : 0;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const ksparse *t = params_;
    const atn_head *h = &in->head[0];
    const atn_oracle o = {h, 1, ATN_SCORE_SUM, false};
    const double own = 16 * (double)h->nq + ATN_METHOD_LITTLE;

    if (t->level == OF_ROW) return own + atn_oracle_bytes(cx, &o, (double)t->k);
    return own + atn_oracle_bytes(cx, &o, INFINITY) + atn_weights_store_bytes(cx, h) +
           sizeof(double) * (double)h->nq * (double)h->nk;
}

/* Rows come one by one, and the matrix is stored for a choice among all of it. */
static unsigned reads_of(const void *params_)
{
    const ksparse *t = params_;

    return ATN_READS_WEIGHTS | (t->level == OF_HEAD ? ATN_READS_STORED : 0);
}

const atn_method atn_method_ksparse = {
    .id = "ksparse",
    .title = "Best of so many entries (oracle)",
    .family = "oracle",
    .source = "own derivation",
    .text = "the largest weights of the head, or of every row",
    .reads = ATN_READS_WEIGHTS | ATN_READS_STORED,
    .reads_of = reads_of,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(ksparse),
    .budget = "k",
    .spends = spends,
    .weights = ATN_WEIGHTS_FREE,
    .exact = "k=#",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
