/* analysis/head_patterns.c -- patterns of captured heads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_patterns.h"

#include <stdio.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/row_values.h"

/* ---- what is taken ---- */

#define BLOCK                                                                          \
    ATN_PARAM_I64(atn_take, block, 1, 1, 1 << 20,                                      \
                  "tokens of a block of queries and of keys, 1 = single ones")

static const atn_param topk_params[] = {
    ATN_PARAM_I64(atn_take, k, 32, 1, 1 << 30, "keys, or blocks of keys, kept a row"),
    BLOCK, ATN_PARAM_END};
static const atn_param topp_params[] = {
    ATN_PARAM_F64(atn_take, p, .9, 0, 1, "share of the row's weight that is kept"),
    BLOCK, ATN_PARAM_END};
static const atn_param threshold_params[] = {
    ATN_PARAM_F64(atn_take, t, .01, 0, 1, "weight above which a key is kept"), BLOCK,
    ATN_PARAM_END};

static const struct {
    const char *id, *text;
    const atn_param *params;
} kinds[] = {
    [ATN_TAKE_TOPK] = {"topk", "the k largest weights of every row", topk_params},
    [ATN_TAKE_TOPP] = {"topp", "the fewest keys that hold a share of every row",
                       topp_params},
    [ATN_TAKE_THRESHOLD] = {"threshold", "weights above a threshold", threshold_params},
};

const char *atn_take_id(int i, const char **text, const atn_param **params)
{
    if (i < 0 || i >= (int)ATN_LEN(kinds)) return NULL;
    *text = kinds[i].text;
    *params = kinds[i].params;
    return kinds[i].id;
}

atn_status atn_take_parse(atn_ctx *cx, const char *spec, atn_take *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char *copy = NULL, *rest, *id, *params, *more, *more_params, known[160];
    const char *ids[ATN_LEN(kinds)];
    atn_status st = ATN_OK;

    *out = (atn_take){.kind = -1};
    ATN_TAKE(copy, strlen(spec) + 1);
    rest = strcpy(copy, spec);
    for (size_t i = 0; i < ATN_LEN(kinds); i++) ids[i] = kinds[i].id;
    if (!atn_spec_next(&rest, &id, &params))
        ATN_FAIL(ATN_USAGE, "--from is empty (give for example topk:k=32)");
    for (size_t i = 0; i < ATN_LEN(kinds); i++)
        if (strcmp(kinds[i].id, id) == 0) out->kind = (int)i;
    atn_known(id, ids, (int)ATN_LEN(kinds), known, sizeof known);
    if (out->kind < 0)
        ATN_FAIL(ATN_USAGE, "--from: nothing is taken by '%.60s' %s", id, known);
    if (atn_spec_next(&rest, &more, &more_params))
        ATN_FAIL(ATN_USAGE, "--from takes one way, not '%.60s' too", more);
    atn_param_defaults(kinds[out->kind].params, out);
    ATN_TRY(atn_param_parse(cx, id, kinds[out->kind].params, params, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- one row ---- */

/* Weights above `cut` are kept, and the first `ties` of those equal to it. */
typedef struct cut {
    double at;
    atn_idx ties;
} cut;

/* Weights of n that are above x. */
static atn_idx above(const float *w, atn_idx n, float x)
{
    atn_idx count = 0;

    for (atn_idx j = 0; j < n; j++) count += w[j] > x;
    return count;
}

/* The k largest of more; few of them are picked, many sorted. */
static cut cut_at_k(const float *w, atn_idx n, atn_idx k, float *sorted, float *spare)
{
    enum { PART = 8 }; /* of the row, up to which picking pays */
    float least;

    if (k < n / PART) {
        least = atn_row_kth(w, n, k, spare);
    } else {
        memcpy(sorted, w, (size_t)n * sizeof *w);
        atn_row_sort(sorted, n, spare);
        least = sorted[k - 1];
    }
    return (cut){(double)least, k - above(w, n, least)};
}

/* The fewest whose sum reaches p of the mass. */
static cut cut_at_share(const float *w, atn_idx n, double goal, float *sorted,
                        float *spare)
{
    double sum = 0;
    atn_idx k = 0;

    memcpy(sorted, w, (size_t)n * sizeof *w);
    atn_row_sort(sorted, n, spare);
    while (k < n && sum < goal) sum += (double)sorted[k++];
    if (k == 0) return (cut){2, 0};
    return (cut){(double)sorted[k - 1], k - above(w, n, sorted[k - 1])};
}

/* sorted and spare [n] are scratch. */
static cut cut_of(const atn_take *t, const float *w, atn_idx n, double mass,
                  float *sorted, float *spare)
{
    switch ((atn_take_kind)t->kind) {
    case ATN_TAKE_TOPK:
        return t->k < n ? cut_at_k(w, n, t->k, sorted, spare) : (cut){-1, 0};
    case ATN_TAKE_TOPP:
        return cut_at_share(w, n, t->p * mass * ATN_REACHED, sorted, spare);
    case ATN_TAKE_THRESHOLD:
        break;
    }
    return (cut){t->t, 0};
}

/* The intervals of what is kept, keys counted from key0; out may be NULL: how many. */
static atn_idx kept_spans(const float *w, atn_idx n, atn_idx key0, cut c, atn_span *out)
{
    atn_idx spans = 0, end = -1;

    for (atn_idx j = 0; j < n; j++) {
        const double x = (double)w[j];

        if (!(x > c.at) && !(x == c.at && c.ties > 0)) continue;
        c.ties -= x == c.at;
        if (j == end) {
            if (out) out[spans - 1].hi++;
        } else {
            if (out) out[spans] = (atn_span){key0 + j, key0 + j + 1};
            spans++;
        }
        end = j + 1;
    }
    return spans;
}

/* ---- the rows of one head ---- */

typedef struct row {
    atn_span *at;
    atn_idx n;
} row;

typedef struct taking {
    const atn_take *take;
    row *rows;
} taking;

/* Puts what w [n], weights of the keys from key0 on, keeps into *r. */
static atn_status take_row(atn_ctx *cx, const atn_take *t, const float *w, atn_idx n,
                           atn_idx key0, double mass, row *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *sorted = NULL, *spare = NULL;
    cut c;

    ATN_TAKE(sorted, n);
    ATN_TAKE(spare, n);
    c = cut_of(t, w, n, mass, sorted, spare);
    r->n = kept_spans(w, n, key0, c, NULL);
    ATN_NEW(r->at, r->n);
    kept_spans(w, n, key0, c, r->at);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *tile,
                        atn_cmat p, const atn_row_info *info, void *state)
{
    const taking *t = state;
    atn_status st = ATN_OK;

    (void)h;
    for (atn_idx r = 0; r < tile->rows; r++) {
        const atn_idx lo = info[r].lo, n = info[r].hi - lo;

        if (n > 0)
            ATN_TRY(take_row(cx, t->take, atn_crow(p, r) + (lo - tile->key0), n, lo,
                             info[r].mass, &t->rows[tile->first + r]));
    }
done:
    return st;
}

/* What block row a sees at all, in blocks. */
static void block_sight(const atn_head *h, atn_idx block, atn_idx a, atn_idx *lo,
                        atn_idx *hi)
{
    const atn_idx end = ATN_MIN((a + 1) * block, h->nq);

    *lo = h->nk;
    *hi = 0;
    for (atn_idx i = a * block; i < end; i++) {
        atn_idx from, to;

        atn_sight_row(&h->sight, i, &from, &to);
        if (from >= to) continue;
        *lo = ATN_MIN(*lo, from / block);
        *hi = ATN_MAX(*hi, (to - 1) / block + 1);
    }
}

static atn_status take_blocks(atn_ctx *cx, const atn_head *h, const atn_take *t,
                              row *rows)
{
    const atn_idx b = t->block, nr = (h->nq - 1) / b + 1, nc = (h->nk - 1) / b + 1;
    const atn_row_want want = {
        .needs = ATN_NEED_BLOCKS, .top_k = 1, .block = b, .block_keys = b};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_row_out out = {0};
    atn_status st = ATN_OK;
    atn_idx cells = 0;
    float *w = NULL;

    if (!atn_mul(nr, nc, &cells))
        ATN_FAIL(ATN_MEMORY, "--from: too many blocks (give larger ones)");
    ATN_TRY(atn_mem_check(cx, 8 * (double)cells, "the weights of blocks"));
    ATN_NEW(out.blocks, cells);
    ATN_TAKE(w, nc);
    ATN_TRY(atn_row_values(cx, h, 1, &want, &out));
    for (atn_idx a = 0; a < nr; a++) {
        const double count = (double)(ATN_MIN((a + 1) * b, h->nq) - a * b);
        atn_idx lo, hi;
        double mass = 0;

        block_sight(h, b, a, &lo, &hi);
        for (atn_idx c = lo; c < hi; c++) {
            w[c - lo] = (float)(out.blocks[a * nc + c] / count);
            mass += (double)w[c - lo];
        }
        ATN_TRY(take_row(cx, t, w, ATN_MAX(hi - lo, 0), lo, mass, &rows[a]));
    }
done:
    atn_free(cx, out.blocks);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- rows to a pattern ---- */

static void free_rows(atn_ctx *cx, row *rows, atn_idx n)
{
    for (atn_idx i = 0; rows && i < n; i++) atn_free(cx, rows[i].at);
    atn_free(cx, rows);
}

/* to <- union of both; from is emptied. */
static atn_status join_rows(atn_ctx *cx, row *to, row *from, atn_idx n)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < n; i++) {
        const atn_idx na = to[i].n, nb = from[i].n;
        atn_span *both;
        atn_idx a = 0, b = 0, m = 0;

        ATN_NEW(both, na + nb);
        while (a < na || b < nb) {
            const bool first =
                b >= nb || (a < na && to[i].at[a].lo <= from[i].at[b].lo);
            const atn_span x = first ? to[i].at[a++] : from[i].at[b++];

            if (m > 0 && x.lo <= both[m - 1].hi)
                both[m - 1].hi = ATN_MAX(both[m - 1].hi, x.hi);
            else
                both[m++] = x;
        }
        atn_free(cx, to[i].at);
        atn_free(cx, from[i].at);
        from[i] = (row){NULL, 0};
        to[i] = (row){both, m};
    }
done:
    return st;
}

static atn_status rows_pattern(atn_ctx *cx, const atn_frame *f, atn_idx heads,
                               const row *rows, atn_idx n, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    int64_t *ptr = NULL;

    ATN_NEW(ptr, n + 1);
    for (atn_idx i = 0; i < n; i++) ptr[i + 1] = ptr[i] + rows[i].n;
    ATN_NEW(spans, ptr[n]);
    for (atn_idx i = 0; i < n; i++)
        if (rows[i].n > 0)
            memcpy(spans + ptr[i], rows[i].at, (size_t)rows[i].n * sizeof *spans);
    st = atn_pattern_rows(cx, f, heads, ptr, spans, out);
    ptr = NULL;
    spans = NULL;
    ATN_TRY(st);
done:
    atn_free(cx, ptr);
    atn_free(cx, spans);
    return st;
}

static atn_status frame_of(atn_ctx *cx, const atn_head *h, atn_idx block, atn_frame *f)
{
    atn_status st = ATN_OK;

    *f = (atn_frame){h->nk, h->nq, h->sight.offset, block, h->sight.causal};
    if (f->first < 0)
        ATN_FAIL(ATN_USAGE,
                 "layer %d: its first query stands before the first key, so it has no "
                 "pattern over the positions of the keys",
                 h->layer);
    if (block > 1 && f->first != 0)
        ATN_FAIL(ATN_USAGE,
                 "layer %d: its queries begin at position %lld, so they have no blocks "
                 "of %lld in common with the keys (leave block= out)",
                 h->layer, (long long)f->first, (long long)block);
done:
    return st;
}

atn_status atn_heads_pattern(atn_ctx *cx, const atn_head *heads, atn_idx n,
                             const bool *keep, const atn_take *t, bool joined,
                             atn_pattern **out)
{
    atn_idx kept = 0, nr = 0, sets = 0;
    atn_status st = ATN_OK;
    row *rows = NULL, *one = NULL;
    atn_frame f;

    *out = NULL;
    ATN_TRY(frame_of(cx, &heads[0], t->block, &f));
    for (atn_idx h = 0; h < n; h++) kept += !keep || keep[h];
    nr = (f.nq - 1) / t->block + 1;
    sets = joined ? 1 : kept;
    ATN_NEW(rows, sets * nr);
    ATN_NEW(one, nr);
    for (atn_idx h = 0, at = 0; h < n; h++) {
        taking state = {t, joined ? one : rows + at * nr};

        if (keep && !keep[h]) continue;
        at++;
        if (t->block > 1)
            ATN_TRY(take_blocks(cx, &heads[h], t, state.rows));
        else
            ATN_TRY(atn_rows_stream(cx, &heads[h], 1, visit, &state,
                                    "taking patterns of heads"));
        if (joined) ATN_TRY(join_rows(cx, rows, one, nr));
    }
    ATN_TRY(rows_pattern(cx, &f, sets, rows, sets * nr, out));
done:
    free_rows(cx, rows, sets * nr);
    free_rows(cx, one, nr);
    return st;
}

/* ---- the mask itself ---- */

atn_status atn_sight_pattern(atn_ctx *cx, const atn_head *h, atn_pattern **out)
{
    const atn_sight *s = &h->sight;
    const bool padded = s->key_first > 0 || s->key_last < h->nk;
    const atn_idx w = s->window;
    atn_status st = ATN_OK;
    row *rows = NULL;
    atn_span *at = NULL;
    atn_frame f;

    *out = NULL;
    ATN_TRY(frame_of(cx, h, 1, &f));
    if (!padded) {
        const atn_span causal = {0, w ? w : f.first + h->nq};
        const atn_span both = {w ? -w : -h->nk, w ? w + 1 : f.first + h->nq};

        ATN_TRY(atn_pattern_shift(cx, &f, s->causal ? &causal : &both, 1, 0, out));
        goto done;
    }
    ATN_NEW(rows, h->nq);
    ATN_NEW(at, h->nq);
    for (atn_idx i = 0; i < h->nq; i++) {
        atn_sight_row(s, i, &at[i].lo, &at[i].hi);
        rows[i] = (row){&at[i], at[i].lo < at[i].hi};
    }
    ATN_TRY(rows_pattern(cx, &f, 1, rows, h->nq, out));
done:
    atn_free(cx, rows);
    atn_free(cx, at);
    return st;
}
