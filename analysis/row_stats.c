/* analysis/row_stats.c -- the row-statistics pass, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/row_stats.h"

#include <string.h>

struct atn_row_stats {
    atn_idx n_heads, nq, nk;
    atn_sight sight;
    atn_row_stats_opts opts; /* defaults filled in */
    const int32_t *tokens;   /* borrowed; NULL = unknown */
    bool *repeated;          /* [nq], NULL without tokens */
    int64_t *earlier_count;  /* [nq], NULL without tokens */
    atn_idx period;
    int64_t *counted; /* [nq + 1]; the same for every head, for they see the same */
    double *scratch;
    atn_row_out *out; /* [n_heads], every array its own */
};

typedef struct place {
    int32_t token;
    int64_t at;
} place;

/* Puts n places into the order of some bits of their tokens; what is equal keeps its order. */
enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };
static void sort_by_digit(const place *from, atn_idx n, int shift, place *to)
{
    atn_idx begins[DIGITS] = {0}, sum = 0;

    for (atn_idx i = 0; i < n; i++)
        begins[(uint32_t)from[i].token >> shift & (DIGITS - 1)]++;
    for (int d = 0; d < DIGITS; d++) {
        const atn_idx here = begins[d];
        begins[d] = sum;
        sum += here;
    }
    for (atn_idx i = 0; i < n; i++)
        to[begins[(uint32_t)from[i].token >> shift & (DIGITS - 1)]++] = from[i];
}

/* earlier[j] = the nearest place before j with the same token, by sorting the
 * places. */
static atn_status find_earlier(atn_ctx *cx, const int32_t *tokens, atn_idx n,
                               int64_t *earlier)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    place *places = NULL, *spare = NULL;

    ATN_TAKE(places, n);
    ATN_TAKE(spare, n);
    for (atn_idx j = 0; j < n; j++) places[j] = (place){tokens[j], j};
    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        place *const last = places;

        sort_by_digit(places, n, shift, spare);
        places = spare;
        spare = last;
    }
    for (atn_idx j = 0; j < n; j++)
        earlier[places[j].at] =
            j > 0 && places[j - 1].token == places[j].token ? places[j - 1].at : -1;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* How often the token of each row occurred before. */
static atn_status count_earlier(atn_ctx *cx, atn_row_stats *s, const int64_t *earlier)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int64_t *count = NULL;

    ATN_TAKE(count, s->nk);
    for (atn_idx j = 0; j < s->nk; j++)
        count[j] = earlier[j] >= 0 ? count[earlier[j]] + 1 : 0;
    for (atn_idx i = 0; i < s->nq; i++) {
        s->earlier_count[i] = count[atn_sight_at(&s->sight, i)];
        s->repeated[i] = s->earlier_count[i] > 0;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The smallest r >= 2 such that token i is token i - r for all i >= r + 1 (a first
 * token of its own may stand before) and at least half of the tokens repeat; 0 = none.
 * The periods of the others are their number less the lengths of what is both their
 * beginning and their end (Knuth, Morris and Pratt). */
static atn_status find_period(atn_ctx *cx, const int32_t *tokens, atn_idx n,
                              atn_idx *period)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx others = n - 1;
    atn_status st = ATN_OK;
    atn_idx *border = NULL; /* of the first i others */
    atn_idx b;

    *period = 0;
    if (n < 4) return ATN_OK;
    tokens++;
    ATN_TAKE(border, others + 1);
    border[0] = -1;
    for (atn_idx i = 0; i < others; i++) {
        for (b = border[i]; b >= 0 && tokens[b] != tokens[i]; b = border[b]) {
        }
        border[i + 1] = b + 1;
    }
    b = border[others];
    if (others - b == 1) b = border[b];
    if (b >= 0 && 2 * (others - b) <= n) *period = others - b;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool has_field(unsigned needs, atn_row_field f)
{
    const unsigned all = atn_row_field_needs(f);

    return (needs & all) == all;
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

    if (o.needs & ATN_NEED_NEEDED) o.needs |= ATN_NEED_BLOCKS | ATN_NEED_COVER;
    if (o.top_k <= 0) o.top_k = TOP_K;
    if (o.block <= 0) o.block = BLOCK;
    if (o.block_keys <= 0) o.block_keys = o.block;
    return o;
}

static double blocks_of(const atn_head *h, const atn_row_stats_opts *o)
{
    return (double)((h->nq - 1) / o->block + 1) *
           (double)((h->nk - 1) / o->block_keys + 1);
}

/* A query without a place among the keys (cross-attention) has no token there. */
static bool all_inside(const atn_head *h)
{
    return h->nq > 0 && atn_sight_at(&h->sight, 0) >= 0 &&
           atn_sight_at(&h->sight, h->nq - 1) < h->nk;
}

static double bytes_a_head(const atn_head *h, const atn_row_stats_opts *o)
{
    const double lines = (double)h->nq + (double)h->nk;
    double each = (double)h->nq * (n_fields(o->needs) + 1);

    if (o->needs & ATN_NEED_COLUMNS) each += (double)h->nk;
    if (o->needs & ATN_NEED_DIAGONALS) each += lines;
    if (o->needs & ATN_NEED_LOGITS) each += lines;
    if (o->needs & ATN_NEED_BLOCKS) each += 2 * blocks_of(h, o);
    return each * sizeof(double) + sizeof(atn_row_out);
}

/* What all heads have in common: counted and scratch; with tokens the repeats of the
 * rows, and in the arena the earlier places and what they are found by. */
static double bytes_shared(const atn_head *h, bool has_tokens)
{
    const double nq = (double)h->nq, nk = (double)h->nk;
    const double bytes =
        sizeof(atn_row_stats) + (nq + 1) * sizeof(int64_t) + (nq + nk) * sizeof(double);

    if (!has_tokens) return bytes;
    return bytes + nq * (sizeof(bool) + sizeof(int64_t)) +
           nk * (sizeof(int64_t) + sizeof(place));
}

double atn_row_stats_bytes(const atn_head *h, atn_idx n_heads,
                           const atn_row_stats_opts *opts)
{
    const atn_row_stats_opts o = with_defaults(opts);

    return bytes_a_head(h, &o) * (double)n_heads + bytes_shared(h, all_inside(h));
}

atn_idx atn_row_stats_batch(const atn_ctx *cx, const atn_head *h,
                            const atn_row_stats_opts *opts)
{
    const double most_bytes = 0x1p26, most_pairs = 0x1p24;
    const double shared = atn_row_stats_bytes(h, 0, opts);
    const double each = atn_row_stats_bytes(h, 1, opts) - shared;
    const double room = ATN_MIN(most_bytes, (atn_mem_left(cx) - shared) / 2);
    const double pairs = (double)h->nq * (double)h->nk;

    return (atn_idx)ATN_MAX(ATN_MIN(room / each, most_pairs / ATN_MAX(pairs, 1.0)),
                            1.0);
}

/* The arrays of one head that `needs` asks for. */
static atn_status take_arrays(atn_ctx *cx, const atn_head *h,
                              const atn_row_stats_opts *o, atn_row_out *out)
{
    atn_status st = ATN_OK;
    atn_idx blocks;

    ATN_NEW(out->seen, h->nq);
    for (int f = 0; f < ATN_ROW_FIELDS; f++)
        if (has_field(o->needs, (atn_row_field)f)) ATN_NEW(out->value[f], h->nq);
    if (o->needs & ATN_NEED_COLUMNS) ATN_NEW(out->columns, h->nk);
    if (o->needs & ATN_NEED_DIAGONALS) ATN_NEW(out->diagonals, h->nq + h->nk - 1);
    if ((o->needs & ATN_NEED_LOGITS) && !h->sight.rows)
        ATN_NEW(out->logit_diagonals, h->nq + h->nk - 1);
    if (!(o->needs & ATN_NEED_BLOCKS)) goto done;
    blocks = (atn_idx)blocks_of(h, o);
    ATN_NEW(out->blocks, blocks);
    ATN_NEW(out->block_max, blocks);
    if (o->needs & ATN_NEED_NEEDED) ATN_NEW(out->needed, blocks);
done:
    return st;
}

/* Sums over columns, diagonals and blocks are of whole heads only. */
static unsigned possible_needs(const atn_head *h, unsigned needs, bool has_tokens)
{
    enum { SUMS = ATN_NEED_SUMS | ATN_NEED_NEEDED };

    if (!has_tokens) needs &= ~(unsigned)ATN_NEED_TOKENS;
    if (h->sight.rows) needs &= ~(unsigned)SUMS;
    return needs;
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
    s->opts.needs = possible_needs(h, s->opts.needs, has_tokens);
    ATN_TRY(atn_mem_check(
        cx, bytes_a_head(h, &s->opts) * (double)n_heads + bytes_shared(h, has_tokens),
        "row statistics"));
    ATN_NEW(s->out, n_heads);
    for (atn_idx i = 0; i < n_heads; i++)
        ATN_TRY(take_arrays(cx, h, &s->opts, &s->out[i]));
    if (has_tokens) ATN_NEW(s->repeated, h->nq);
    if (has_tokens) ATN_NEW(s->earlier_count, h->nq);
    ATN_NEW(s->counted, h->nq + 1);
    ATN_NEW(s->scratch, h->nq + h->nk);
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
    const bool inside = n_heads > 0 && all_inside(&heads[0]);

    ATN_ASSERT(n_heads > 0);
    ATN_TRY(create(cx, heads, n_heads, opts, tokens && inside, &s));
    if (s->repeated) {
        s->tokens = tokens;
        ATN_TAKE(earlier, heads[0].nk);
        ATN_TRY(find_earlier(cx, tokens, heads[0].nk, earlier));
        ATN_TRY(count_earlier(cx, s, earlier));
        ATN_TRY(find_period(cx, tokens + s->sight.key_first,
                            s->sight.key_last - s->sight.key_first, &s->period));
    }
    want = (atn_row_want){.needs = s->opts.needs,
                          .top_k = s->opts.top_k,
                          .block = s->opts.block,
                          .block_keys = s->opts.block_keys,
                          .skip_rows = s->opts.skip_rows,
                          .tokens = tokens,
                          .earlier = earlier};
    ATN_TRY(atn_row_values(cx, heads, n_heads, &want, s->out));
    for (atn_idx i = 0; i < s->nq; i++)
        s->counted[i + 1] =
            s->counted[i] + (i >= s->opts.skip_rows && s->out[0].seen[i] > 0);
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
        atn_free(cx, o->block_max);
        atn_free(cx, o->needed);
        atn_free(cx, o->logit_diagonals);
    }
    atn_free(cx, s->out);
    atn_free(cx, s->repeated);
    atn_free(cx, s->earlier_count);
    atn_free(cx, s->counted);
    atn_free(cx, s->scratch);
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
                        .earlier_count = s->earlier_count,
                        .period = s->period,
                        .counted = s->counted,
                        .scratch = s->scratch,
                        .columns = o->columns,
                        .diagonals = o->diagonals,
                        .blocks = o->blocks,
                        .block_max = o->block_max,
                        .needed = o->needed,
                        .logit_diagonals = o->logit_diagonals};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) h.value[f] = o->value[f];
    return h;
}
