/* analysis/row_stats.c -- the row-statistics pass, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/row_stats.h"

#include <stdlib.h>
#include <string.h>

struct atn_row_stats {
    atn_idx n_heads, nq, nk;
    atn_sight sight;
    atn_row_stats_opts opts; /* defaults filled in */
    const int32_t *tokens;   /* borrowed; NULL = unknown */
    bool *repeated;          /* [nq], NULL without tokens */
    atn_row_out *out;        /* [n_heads], every array its own */
};

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

/* Which fields a need brings; entropy and mass come with every pass. */
static const struct {
    unsigned needs; /* all of them */
    atn_row_field first, last;
} brings[] = {
    {0, ATN_ROW_ENTROPY, ATN_ROW_MASS},
    {ATN_NEED_MOMENTS, ATN_ROW_SQUARE, ATN_ROW_DISTANCE},
    {ATN_NEED_FIRST, ATN_ROW_FIRST, ATN_ROW_REST},
    {ATN_NEED_FIRST | ATN_NEED_MOMENTS, ATN_ROW_REST_DISTANCE, ATN_ROW_REST_DISTANCE},
    {ATN_NEED_LOCAL, ATN_ROW_DIAGONAL, ATN_ROW_PREVIOUS},
    {ATN_NEED_TOPK, ATN_ROW_TOPK, ATN_ROW_TOPK},
    {ATN_NEED_TOKENS, ATN_ROW_INDUCTION, ATN_ROW_DUPLICATE},
};

static bool has_field(unsigned needs, atn_row_field f)
{
    for (size_t i = 0; i < ATN_LEN(brings); i++)
        if ((needs & brings[i].needs) == brings[i].needs && f >= brings[i].first &&
            f <= brings[i].last)
            return true;
    return false;
}

static int n_fields(unsigned needs)
{
    int n = 0;

    for (int f = 0; f < ATN_ROW_FIELDS; f++) n += has_field(needs, (atn_row_field)f);
    return n;
}

static atn_row_stats_opts with_defaults(const atn_row_stats_opts *opts)
{
    enum { TOP_K = 8, BLOCK = 64 };
    atn_row_stats_opts o = *opts;

    if (o.top_k <= 0) o.top_k = TOP_K;
    if (o.block <= 0) o.block = BLOCK;
    if (o.block_keys <= 0) o.block_keys = o.block;
    return o;
}

/* Doubles that each sum over entries takes for one head. */
static double blocks_of(const atn_head *h, const atn_row_stats_opts *o)
{
    return (double)((h->nq - 1) / o->block + 1) *
           (double)((h->nk - 1) / o->block_keys + 1);
}

double atn_row_stats_bytes(const atn_head *h, atn_idx n_heads,
                           const atn_row_stats_opts *opts)
{
    const atn_row_stats_opts o = with_defaults(opts);
    double each = (double)h->nq * (n_fields(o.needs) + 1);

    if (o.needs & ATN_NEED_COLUMNS) each += (double)h->nk;
    if (o.needs & ATN_NEED_DIAGONALS) each += (double)h->nq + (double)h->nk;
    if (o.needs & ATN_NEED_BLOCKS) each += blocks_of(h, &o);
    return each * sizeof(double) * (double)n_heads;
}

/* The arrays of one head that `needs` asks for. */
static atn_status take_arrays(atn_ctx *cx, const atn_head *h,
                              const atn_row_stats_opts *o, atn_row_out *out)
{
    atn_status st = ATN_OK;

    ATN_NEW(out->seen, h->nq);
    for (int f = 0; f < ATN_ROW_FIELDS; f++)
        if (has_field(o->needs, (atn_row_field)f)) ATN_NEW(out->value[f], h->nq);
    if (o->needs & ATN_NEED_COLUMNS) ATN_NEW(out->columns, h->nk);
    if (o->needs & ATN_NEED_DIAGONALS) ATN_NEW(out->diagonals, h->nq + h->nk - 1);
    if (o->needs & ATN_NEED_BLOCKS) ATN_NEW(out->blocks, (atn_idx)blocks_of(h, o));
done:
    return st;
}

static atn_status create(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                         const atn_row_stats_opts *opts, bool has_tokens,
                         atn_row_stats **out)
{
    const atn_head *h = &heads[0];
    atn_status st = ATN_OK;
    atn_row_stats *s = NULL;

    ATN_NEW(s, 1);
    s->n_heads = n_heads;
    s->opts = with_defaults(opts);
    s->nq = h->nq;
    s->nk = h->nk;
    s->sight = h->sight;
    if (!has_tokens) s->opts.needs &= ~(unsigned)ATN_NEED_TOKENS;
    ATN_TRY(
        atn_mem_check(cx, atn_row_stats_bytes(h, n_heads, &s->opts), "row statistics"));
    ATN_NEW(s->out, n_heads);
    for (atn_idx i = 0; i < n_heads; i++)
        ATN_TRY(take_arrays(cx, h, &s->opts, &s->out[i]));
    if (has_tokens) ATN_NEW(s->repeated, h->nq);
    *out = s;
    s = NULL;
done:
    atn_row_stats_destroy(cx, s);
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
    atn_row_want want = {0};
    /* a query without a place among the keys (cross-attention) has no token there */
    const bool inside = n_heads > 0 && heads[0].nq > 0 &&
                        atn_sight_at(&heads[0].sight, 0) >= 0 &&
                        atn_sight_at(&heads[0].sight, heads[0].nq - 1) < heads[0].nk;

    ATN_ASSERT(n_heads > 0);
    ATN_TRY(create(cx, heads, n_heads, opts, tokens && inside, &s));
    if (s->repeated) {
        s->tokens = tokens;
        ATN_TAKE(earlier, heads[0].nk);
        ATN_TRY(find_earlier(cx, tokens, heads[0].nk, earlier));
        for (atn_idx i = 0; i < s->nq; i++)
            s->repeated[i] = earlier[atn_sight_at(&s->sight, i)] >= 0;
    }
    want = (atn_row_want){.needs = s->opts.needs,
                          .top_k = s->opts.top_k,
                          .block = s->opts.block,
                          .tokens = tokens,
                          .earlier = earlier};
    ATN_TRY(atn_row_values(cx, heads, n_heads, &want, s->out));
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
    for (atn_idx i = 0; s->out && i < s->n_heads; i++) {
        atn_row_out *o = &s->out[i];

        atn_free(cx, o->seen);
        for (int f = 0; f < ATN_ROW_FIELDS; f++) atn_free(cx, o->value[f]);
        atn_free(cx, o->columns);
        atn_free(cx, o->diagonals);
        atn_free(cx, o->blocks);
    }
    atn_free(cx, s->out);
    atn_free(cx, s->repeated);
    atn_free(cx, s);
}

atn_head_stats atn_row_stats_head(const atn_row_stats *s, atn_idx i)
{
    const atn_row_out *o = &s->out[i];
    atn_head_stats h = {.nq = s->nq,
                        .nk = s->nk,
                        .sight = &s->sight,
                        .opts = s->opts,
                        .seen = o->seen,
                        .tokens = s->tokens,
                        .repeated = s->repeated,
                        .columns = o->columns,
                        .diagonals = o->diagonals,
                        .blocks = o->blocks};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) h.value[f] = o->value[f];
    return h;
}
