/* analysis/experiments/alpha.c -- HyperAttention's alpha: of the whole head, without
 * its first keys, of more and more tokens, of the blocks that its causal form samples.
 *
 * Math    alpha = n max_j |P e_j|^2, n columns. The first n / 8, n / 4, n / 2, n tokens
 *         each have their own softmax. Blocks: [a, b) is cut at its middle m, rows
 *         [m, b) meet keys [a, m), and where the head is not causal rows [a, m) the
 *         keys [m, b), again with a softmax over the block; then both halves, down to
 *         LEAF tokens.
 * Oracle  identity: n; equal logits, not causal: 1 in every variant.
 * Source  HyperAttention (arXiv 2310.05869), which cuts causal attention in this way.
 * Cost    n^2 exponentials for every variant.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "approx/method.h"

extern const atn_experiment atn_experiment_alpha;

enum { FIRST = 32, LEAF = 32, DEPTHS = 16, PREFIXES = 4 };

/* A rectangle of a head, with a softmax over the keys that are in it. */
typedef struct piece {
    atn_idx row, rows, key, keys;
    atn_idx skipped; /* first keys that count for no maximum */
} piece;

typedef struct asking {
    const atn_head_facts *f;
    double *column;       /* [nk] */
    double alpha[DEPTHS]; /* the largest, by depth, with its keys, of so many blocks */
    atn_idx keys[DEPTHS], blocks[DEPTHS];
} asking;

/* alpha, and the column that has it; *fewest keys that a row with any sees. */
static double alpha_of(const asking *s, const piece *b, atn_idx *column,
                       atn_idx *fewest)
{
    double most = 0;

    memset(s->column, 0, (size_t)b->keys * sizeof *s->column);
    *fewest = 0;
    *column = 0;
    for (atn_idx i = b->row; i < b->row + b->rows; i++) {
        const double *z = s->f->s + i * s->f->nk + b->key;
        double max = -INFINITY, sum = 0;
        atn_idx seen = 0;

        for (atn_idx j = 0; j < b->keys; j++) {
            max = fmax(max, z[j]);
            seen += z[j] > -INFINITY;
        }
        if (seen == 0) continue;
        if (*fewest == 0 || seen < *fewest) *fewest = seen;
        for (atn_idx j = 0; j < b->keys; j++) sum += exp(z[j] - max);
        for (atn_idx j = 0; j < b->keys; j++) {
            const double p = exp(z[j] - max) / sum;

            s->column[j] += p * p;
        }
    }
    for (atn_idx j = b->skipped; j < b->keys; j++)
        if (s->column[j] > most) {
            most = s->column[j];
            *column = b->key + j;
        }
    return most * (double)b->keys;
}

static atn_status add_check(atn_ctx *cx, const asking *s, const piece *b,
                            const char *variant, atn_checks *out)
{
    const bool whole = b->skipped == 0 && s->f->head.sight.causal;
    atn_idx column, fewest;
    const double alpha = alpha_of(s, b, &column, &fewest);
    const atn_quantities q = {.x = {(double)b->keys, (double)fewest}};
    atn_check c = {.bound = whole ? &atn_bound_alpha_causal : &atn_bound_alpha_growth,
                   .measured = alpha};

    c.predicted = atn_bound_predict(c.bound, &q);
    snprintf(c.variant, sizeof c.variant, "%s", variant);
    snprintf(c.note, sizeof c.note, "largest at key %lld, alpha / n = %.4g",
             (long long)column, b->keys > 0 ? alpha / (double)b->keys : 0);
    return atn_checks_add(cx, out, &c);
}

/* The first n tokens, whole and without the first keys. */
static atn_status add_prefix(atn_ctx *cx, const asking *s, atn_idx n, atn_checks *out)
{
    piece b = {0, 0, 0, n, 0};
    atn_status st = ATN_OK;
    char text[64];

    while (b.rows < s->f->nq &&
           (n == s->f->nk || atn_sight_at(&s->f->head.sight, b.rows) < n))
        b.rows++;
    snprintf(text, sizeof text, "first %lld tokens", (long long)n);
    ATN_TRY(add_check(cx, s, &b, n == s->f->nk ? "all keys" : text, out));
    if (n <= FIRST) goto done;
    b.skipped = FIRST;
    snprintf(text, sizeof text, "first %lld tokens, but %d keys", (long long)n, FIRST);
    if (n == s->f->nk) snprintf(text, sizeof text, "all but the first %d keys", FIRST);
    ATN_TRY(add_check(cx, s, &b, text, out));
done:
    return st;
}

static void take_block(asking *s, int depth, const piece *b)
{
    atn_idx column, fewest;
    const double alpha = alpha_of(s, b, &column, &fewest);

    s->blocks[depth]++;
    if (alpha <= s->alpha[depth]) return;
    s->alpha[depth] = alpha;
    s->keys[depth] = b->keys;
}

/* Blocks off the diagonal of [a, b), and of its halves. */
static void take_blocks(asking *s, int depth, atn_idx a, atn_idx b)
{
    const atn_idx m = a + (b - a) / 2;

    if (b - a <= LEAF || depth >= DEPTHS) return;
    take_block(s, depth, &(piece){m, b - m, a, m - a, 0});
    if (!s->f->head.sight.causal) take_block(s, depth, &(piece){a, m - a, m, b - m, 0});
    take_blocks(s, depth + 1, a, m);
    take_blocks(s, depth + 1, m, b);
}

static atn_status add_blocks(atn_ctx *cx, asking *s, atn_checks *out)
{
    const atn_bound *b = &atn_bound_alpha_growth;
    atn_status st = ATN_OK;

    take_blocks(s, 0, 0, s->f->nk);
    for (int d = 0; d < DEPTHS && s->blocks[d] > 0; d++) {
        const atn_quantities q = {.x = {(double)s->keys[d]}};
        atn_check c = {.bound = b,
                       .predicted = atn_bound_predict(b, &q),
                       .measured = s->alpha[d],
                       .cases = s->blocks[d]};

        snprintf(c.variant, sizeof c.variant, "blocks of %lld keys off the diagonal",
                 (long long)(s->f->nk >> (d + 1)));
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    asking s = {.f = f};
    atn_status st = ATN_OK;

    ATN_TAKE(s.column, f->nk + 1);
    for (int k = 0; k < PREFIXES; k++) {
        const atn_idx n = f->nk >> (PREFIXES - 1 - k);

        if (n > 0) ATN_TRY(add_prefix(cx, &s, n, out));
    }
    if (f->nq == f->nk && f->head.sight.offset == 0) ATN_TRY(add_blocks(cx, &s, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_alpha = {
    .id = "alpha",
    .label = "V7",
    .title = "Are all columns small?",
    .text = "HyperAttention's alpha: of all keys, without the first ones, of more and "
            "more tokens, of blocks off the diagonal",
    .source = "HyperAttention (arXiv 2310.05869)",
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "alpha_causal alpha_growth",
};
