/* analysis/row_stats.c -- the row-statistics pass, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/row_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct atn_row_stats {
    atn_idx n_heads, nq;
    atn_head_rows common; /* what all heads share; its array pointers are unused */
    int64_t *seen;        /* [n_heads * nq] */
    double *values;       /* [ATN_ROW_FIELDS][n_heads * nq] */
    bool *repeated;       /* [nq], NULL without tokens */
    unsigned needs;
};

static double *field_of(const atn_row_stats *s, atn_row_field f, atn_idx head)
{
    return s->values + ((atn_idx)f * s->n_heads + head) * s->nq;
}

typedef struct place {
    int32_t token;
    int64_t at;
} place;

static int by_token_then_place(const void *a, const void *b)
{
    const place *x = a, *y = b;

    if (x->token != y->token) return x->token < y->token ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* earlier[j] = the nearest place before j with the same token, by sorting the places. */
static atn_status find_earlier(atn_ctx *cx, const int32_t *tokens, atn_idx n,
                               int64_t *earlier)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    place *places = NULL;

    ATN_TAKE(places, n);
    for (atn_idx j = 0; j < n; j++) places[j] = (place){tokens[j], j};
    qsort(places, (size_t)n, sizeof *places, by_token_then_place);
    for (atn_idx j = 0; j < n; j++)
        earlier[places[j].at] =
            j > 0 && places[j - 1].token == places[j].token ? places[j - 1].at : -1;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status create(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                         const atn_row_stats_opts *opts, bool has_tokens,
                         atn_row_stats **out)
{
    const atn_head *h = &heads[0];
    atn_status st = ATN_OK;
    atn_row_stats *s = NULL;
    atn_idx rows = 0;

    ATN_NEW(s, 1);
    s->n_heads = n_heads;
    s->nq = h->nq;
    s->needs = opts->needs ? opts->needs : ATN_NEED_ALL;
    if (!has_tokens) s->needs &= ~(unsigned)ATN_NEED_TOKENS;
    s->common = (atn_head_rows){.nq = h->nq,
                                .offset = h->sight.offset,
                                .skip_rows = opts->skip_rows,
                                .top_k = ATN_MAX(opts->top_k, 1),
                                .first_key = h->sight.key_first};
    ATN_TRY(atn_mem_check(cx, atn_row_stats_bytes(n_heads, h->nq), "row statistics"));
    if (!atn_mul(n_heads, h->nq, &rows) || !atn_mul(rows, ATN_ROW_FIELDS, &rows))
        ATN_FAIL(ATN_MEMORY, "row statistics: %lld heads of %lld rows overflow",
                 (long long)n_heads, (long long)h->nq);
    ATN_NEW(s->seen, n_heads * h->nq);
    ATN_NEW(s->values, rows);
    if (has_tokens) ATN_NEW(s->repeated, h->nq);
    *out = s;
    s = NULL;
done:
    atn_row_stats_destroy(cx, s);
    return st;
}

/* Sets out the arrays of every head and walks. */
static atn_status walk(atn_ctx *cx, const atn_head *heads, const int32_t *tokens,
                       const int64_t *earlier, atn_row_stats *s)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_row_want want = {.needs = s->needs,
                               .top_k = s->common.top_k,
                               .tokens = tokens,
                               .earlier = earlier};
    atn_status st = ATN_OK;
    atn_row_out *out = NULL;

    ATN_TAKE(out, s->n_heads);
    for (atn_idx h = 0; h < s->n_heads; h++) {
        out[h] = (atn_row_out){.seen = s->seen + h * s->nq};
        for (int f = 0; f < ATN_ROW_FIELDS; f++)
            out[h].value[f] = field_of(s, (atn_row_field)f, h);
    }
    ATN_TRY(atn_row_values(cx, heads, s->n_heads, &want, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_row_stats_run(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const int32_t *tokens, const atn_row_stats_opts *opts,
                             atn_row_stats **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int64_t *earlier = NULL;
    atn_row_stats *s = NULL;
    /* a query without a place among the keys (cross-attention) has no token there */
    const bool inside = n_heads > 0 && heads[0].sight.offset >= 0 &&
                        heads[0].nq + heads[0].sight.offset <= heads[0].nk;

    ATN_ASSERT(n_heads > 0);
    ATN_TRY(create(cx, heads, n_heads, opts, tokens && inside, &s));
    if (s->repeated) {
        ATN_TAKE(earlier, heads[0].nk);
        ATN_TRY(find_earlier(cx, tokens, heads[0].nk, earlier));
        for (atn_idx i = 0; i < s->nq; i++)
            s->repeated[i] = earlier[i + s->common.offset] >= 0;
    }
    ATN_TRY(walk(cx, heads, tokens, earlier, s));
    *out = s;
    s = NULL;
done:
    atn_row_stats_destroy(cx, s);
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_row_stats_destroy(atn_ctx *cx, atn_row_stats *s)
{
    if (!s) return;
    atn_free(cx, s->seen);
    atn_free(cx, s->values);
    atn_free(cx, s->repeated);
    atn_free(cx, s);
}

atn_head_rows atn_row_stats_head(const atn_row_stats *s, atn_idx i)
{
    const bool moments = s->needs & ATN_NEED_MOMENTS, first = s->needs & ATN_NEED_FIRST;
    const bool local = s->needs & ATN_NEED_LOCAL, topk = s->needs & ATN_NEED_TOPK;
    const bool tokens = s->needs & ATN_NEED_TOKENS;
    atn_head_rows r = s->common;

    r.seen = s->seen + i * s->nq;
    r.entropy = field_of(s, ATN_ROW_ENTROPY, i);
    r.mass = field_of(s, ATN_ROW_MASS, i);
    r.square = moments ? field_of(s, ATN_ROW_SQUARE, i) : NULL;
    r.distance = moments ? field_of(s, ATN_ROW_DISTANCE, i) : NULL;
    r.first = first ? field_of(s, ATN_ROW_FIRST, i) : NULL;
    r.first4 = first ? field_of(s, ATN_ROW_FIRST4, i) : NULL;
    r.rest = first ? field_of(s, ATN_ROW_REST, i) : NULL;
    r.rest_distance = first && moments ? field_of(s, ATN_ROW_REST_DISTANCE, i) : NULL;
    r.diagonal = local ? field_of(s, ATN_ROW_DIAGONAL, i) : NULL;
    r.previous = local ? field_of(s, ATN_ROW_PREVIOUS, i) : NULL;
    r.topk = topk ? field_of(s, ATN_ROW_TOPK, i) : NULL;
    r.induction = tokens ? field_of(s, ATN_ROW_INDUCTION, i) : NULL;
    r.duplicate = tokens ? field_of(s, ATN_ROW_DUPLICATE, i) : NULL;
    r.repeated = s->repeated;
    return r;
}

double atn_row_stats_bytes(atn_idx n_heads, atn_idx nq)
{
    return (double)n_heads * (double)nq *
           (ATN_ROW_FIELDS * sizeof(double) + sizeof(int64_t));
}

double atn_rows_mean(const atn_head_rows *r, const double *x)
{
    double sum = 0;
    atn_idx n = 0;

    for (atn_idx i = r->skip_rows; i < r->nq; i++)
        if (r->seen[i] > 0) {
            sum += x[i];
            n++;
        }
    return n > 0 ? sum / (double)n : NAN;
}
