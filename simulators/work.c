/* simulators/work.c -- the CTAs of a launch in the kernel's order, and what the SM that
 * ends last has to do.
 *
 * Math    order: batch, head, Q tile; FA3 takes sections of heads whose keys fit in L2,
 *         then Q tiles, the heads of a section innermost; cut into s pieces: batch,
 *         head, piece, Q tile. Piece k of n visits takes [k p, (k + 1) p), p =
 *         ceil(n / s); the last one has the masked tiles. Empty pieces are run too.
 * Source  cards/simulators.md 2.1, 6.3; FlashAttention 3.
 * Cost    a heap step a CTA, or nothing where the mean is taken. CTAs that are given as
 *         runs are written out one by one for the first alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double mib = 1024.0 * 1024;

/* What is fixed before the first CTA is placed. */
typedef struct launch {
    const atn_work_case *c;
    const int64_t *const *times; /* NULL = one each */
    atn_cta_order order;
    bool longest;
    atn_idx heads; /* units that have a list each: query heads, or KV heads */
    atn_idx group; /* query heads of a KV head that have lists of their own */
    atn_idx tiles; /* most CTAs of a head */
    atn_idx section;
    int splits;
    atn_schedule *to;
} launch;

static const atn_cta_list *list_of(const launch *l, atn_idx head)
{
    return &l->c->lists[l->c->n_lists == 1 ? 0 : head];
}

static void place(const launch *l, atn_idx batch, atn_idx head, atn_idx tile)
{
    const atn_cta_list *list = list_of(l, head);

    if (tile >= list->n) return;
    atn_schedule_place(l->to,
                       &(atn_cta){(int32_t)(batch * l->heads + head), (int32_t)tile,
                                  list->visits[tile], list->masked[tile]});
}

static atn_idx tile_at(const launch *l, atn_idx i)
{
    return l->order == ATN_ORDER_LAST ? l->tiles - 1 - i : i;
}

static void place_head(const launch *l, atn_idx batch, atn_idx head)
{
    for (atn_idx i = 0; i < l->tiles; i++) place(l, batch, head, tile_at(l, i));
}

static void place_section(const launch *l, atn_idx batch, atn_idx first)
{
    const atn_idx end = ATN_MIN(first + l->section, l->heads);

    for (atn_idx i = 0; i < l->tiles; i++)
        for (atn_idx h = first; h < end; h++) place(l, batch, h, tile_at(l, i));
}

static void piece_of(const atn_cta_list *list, atn_idx tile, int splits, int piece,
                     atn_cta *out)
{
    const int32_t n = list->visits[tile], p = (n + splits - 1) / splits;
    const int32_t from = ATN_MIN((int32_t)piece * p, n), to = ATN_MIN(from + p, n);

    out->tile = (int32_t)tile;
    out->visits = to - from;
    out->masked = to == n ? ATN_MIN(list->masked[tile], to - from) : 0;
}

static void place_pieces(const launch *l, atn_idx batch, atn_idx head)
{
    const atn_cta_list *list = list_of(l, head);
    atn_cta c = {.head = (int32_t)(batch * l->heads + head)};

    for (int k = 0; k < l->splits; k++)
        for (atn_idx i = 0; i < l->tiles; i++) {
            if (tile_at(l, i) >= list->n) continue;
            piece_of(list, tile_at(l, i), l->splits, k, &c);
            atn_schedule_place(l->to, &c);
        }
}

/* ---- longest first ---- */

typedef struct entry {
    double cost;
    int32_t list, tile;
} entry;

static int by_cost(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    if (x->list != y->list) return x->list < y->list ? -1 : 1;
    return (x->tile > y->tile) - (x->tile < y->tile);
}

/* CTAs of one cost, in the order of batch, head, tile. */
static void place_equal(const launch *l, const entry *e, atn_idx n)
{
    const atn_idx all = l->c->n_lists == 1 ? l->heads : 1;

    for (atn_idx b = 0; b < l->c->launch->batch; b++)
        for (atn_idx h = 0; h < all; h++)
            for (atn_idx i = 0; i < n; i++) place(l, b, h + e[i].list, e[i].tile);
}

static atn_status place_longest(atn_ctx *cx, const launch *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_schedule_rule *rule = l->to->rule;
    atn_idx n = 0, to;
    entry *e = NULL;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < l->c->n_lists; i++) n += l->c->lists[i].n;
    ATN_TAKE(e, n);
    n = 0;
    for (atn_idx i = 0; i < l->c->n_lists; i++) {
        const atn_cta_list *list = &l->c->lists[i];

        for (atn_idx t = 0; t < list->n; t++)
            e[n++] = (entry){list->visits[t] + rule->mask * list->masked[t], (int32_t)i,
                             (int32_t)t};
    }
    qsort(e, (size_t)n, sizeof *e, by_cost);
    for (atn_idx from = 0; from < n; from = to) {
        for (to = from + 1; to < n && e[to].cost == e[from].cost;) to++;
        place_equal(l, e + from, to - from);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status place_all(atn_ctx *cx, const launch *l)
{
    const atn_idx batch = l->c->launch->batch;

    if (l->splits == 1 && l->longest) return place_longest(cx, l);
    for (atn_idx b = 0; b < batch; b++)
        for (atn_idx h = 0; h<l->heads; h += l->splits> 1 ? 1 : l->section) {
            if (l->splits > 1)
                place_pieces(l, b, h);
            else if (l->section > 1)
                place_section(l, b, h);
            else
                place_head(l, b, h);
        }
    return ATN_OK;
}

/* ---- splits and sections ---- */

/* Most blocks of a CTA of any list. */
static atn_idx most_visits(const atn_work_case *c)
{
    atn_idx most = 0;

    for (atn_idx i = 0; i < c->n_lists; i++)
        for (atn_idx t = 0; t < c->lists[i].n; t++)
            most = ATN_MAX(most, c->lists[i].visits[t]);
    return most;
}

/* The kernel's rule looks at all keys, or at those of a window. A pattern that leaves
 * out others has its longest CTA in their place; of dense ones that sees all. */
static void find_splits(const launch *l, atn_work *out)
{
    const atn_work_case *c = l->c;
    const atn_launch *s = c->launch;
    const double sms = atn_device_get(c->device, ATN_DEVICE_SMS);
    const bool varlen = c->kernel->split == ATN_SPLIT_VARLEN;
    const bool window = c->left >= 0 && c->right >= 0;
    const double one = (double)l->heads * (double)l->tiles;
    const atn_idx all = atn_ceil_div(s->kv_len, c->bn);
    const atn_idx nk = window ? all : ATN_MIN(ATN_MAX(most_visits(c), 1), all);
    const atn_idx keys = ATN_MIN(s->kv_len, nk * c->bn);
    atn_idx seen = keys;
    atn_split_case split = {.rule = c->kernel->split,
                            .ctas = varlen ? one : one * (double)s->batch,
                            .sms = (atn_idx)sms,
                            .m_blocks = l->tiles};

    if (window) seen = ATN_MIN(seen, c->left + c->right + 1 + c->bm);
    split.blocks = atn_ceil_div(seen, c->bn);
    split.kv_bytes =
        (atn_idx)((double)keys * (double)(s->head_dim + s->value_dim) * s->bytes);
    split.causal = s->causal || c->left >= 0 || c->right >= 0;
    if (s->pass == ATN_PASS_BACKWARD) split.rule = ATN_SPLIT_NONE;
    if (split.rule == ATN_SPLIT_FILL && s->pass != ATN_PASS_DECODE)
        split.rule = ATN_SPLIT_NONE;
    out->splits = atn_split_most(&split);
    out->splits_taken = out->splits;
    if (varlen && out->splits > 1)
        out->splits_taken =
            atn_split_taken(&(atn_split_all){(double)s->batch, (double)l->tiles,
                                             (double)nk, (double)l->heads, sms},
                            out->splits);
}

/* KV heads whose keys and values stay in L2 together. */
static atn_idx section_of(const launch *l, const atn_work *w)
{
    const atn_launch *s = l->c->launch;
    const double row = (double)(s->head_dim + s->value_dim) * s->bytes;
    atn_idx heads = 1;

    if (!l->c->kernel->sections) return 1;
    if (l->c->kernel->split == ATN_SPLIT_VARLEN) {
        const atn_idx fit = (atn_idx)(8 * mib / ((double)l->c->bn * row));
        const atn_idx nk = atn_ceil_div(s->kv_len, l->c->bn);
        const atn_idx blocks = atn_ceil_div(nk, w->splits_taken);

        for (heads = 16; heads > 1 && heads * blocks > fit;) heads /= 2;
    } else {
        const double bytes = (double)s->kv_len * row;

        while (heads < 65536 && 2 * (double)heads * bytes <= 32 * mib) heads *= 2;
    }
    return ATN_MIN(heads, s->kv_heads) * l->group;
}

/* ---- */

/* n += times * x; false on overflow. */
static bool add_times(int64_t times, int64_t x, atn_idx *n)
{
    atn_idx more;

    if (!atn_mul(times, x, &more) || more > INT64_MAX - *n) return false;
    *n += more;
    return true;
}

static int64_t times_of(const launch *l, atn_idx list, atn_idx t)
{
    return l->times ? l->times[list][t] : 1;
}

static atn_status too_many(atn_ctx *cx, const atn_launch *s)
{
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "simulate: the tiles of %lld sequences of %lld heads are more than "
                    "can be counted (give less)",
                    (long long)s->batch, (long long)s->heads);
}

/* CTAs of the list; -1 = more than can be counted. */
static atn_idx ctas_of(const launch *l, atn_idx list)
{
    const atn_idx entries = l->c->lists[list].n;
    atn_idx n = 0;

    if (!l->times) return entries;
    for (atn_idx t = 0; t < entries; t++)
        if (!add_times(l->times[list][t], 1, &n)) return -1;
    return n;
}

static atn_status add_totals(atn_ctx *cx, const launch *l, atn_work *out)
{
    const atn_work_case *c = l->c;
    const atn_idx alike = c->n_lists == 1 ? l->heads : 1;
    atn_idx times, ctas = 0, tiles = 0, masked = 0;
    atn_status st = ATN_OK;
    bool fits = true;

    for (atn_idx i = 0; i < c->n_lists; i++) {
        const atn_cta_list *list = &c->lists[i];

        for (atn_idx t = 0; t < list->n; t++) {
            const int64_t alike_t = times_of(l, i, t);
            atn_cta last = {0};

            fits = fits && add_times(alike_t, 1, &ctas) &&
                   add_times(alike_t, list->visits[t], &tiles);
            if (out->splits_taken == 1) {
                fits = fits && add_times(alike_t, list->masked[t], &masked);
                continue;
            }
            for (int k = 0; k < out->splits_taken; k++) {
                piece_of(list, t, out->splits_taken, k, &last);
                fits = fits && add_times(alike_t, last.masked, &masked);
            }
        }
    }
    if (!fits || !atn_mul(c->launch->batch, alike, &times) ||
        !atn_mul(ctas, times, &ctas) || !atn_mul(ctas, out->splits_taken, &ctas) ||
        !atn_mul(tiles, times, &tiles) || !atn_mul(masked, times, &masked))
        ATN_TRY(too_many(cx, c->launch));
    out->ctas = (double)ctas;
    out->tiles = (double)tiles;
    out->masked = (double)masked;
done:
    return st;
}

/* CTA by CTA, as they are placed. */
static atn_status one_by_one(atn_ctx *cx, const launch *l, atn_work_case *c)
{
    atn_cta_list *to = NULL;
    double ctas = 0;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < c->n_lists; i++) ctas += (double)ctas_of(l, i);
    ATN_TRY(atn_mem_check(cx, 2 * sizeof(int32_t) * ctas, "the CTAs of a launch"));
    ATN_TAKE(to, c->n_lists);
    for (atn_idx i = 0; i < c->n_lists; i++) {
        const atn_cta_list *from = &c->lists[i];
        const atn_idx n = ctas_of(l, i);
        int32_t *visits = NULL, *masked = NULL;
        atn_idx at = 0;

        ATN_TAKE(visits, ATN_MAX(n, 1));
        ATN_TAKE(masked, ATN_MAX(n, 1));
        for (atn_idx t = 0; t < from->n; t++)
            for (int64_t k = 0; k < l->times[i][t]; k++, at++) {
                visits[at] = from->visits[t];
                masked[at] = from->masked[t];
            }
        to[i] = (atn_cta_list){n, visits, masked};
    }
    c->lists = to;
done:
    return st;
}

static atn_status run_schedule(atn_ctx *cx, launch *l, const atn_schedule_rule *rule,
                               atn_work *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double sms = atn_device_get(l->c->device, ATN_DEVICE_SMS);
    const atn_work_case *const whole = l->c;
    atn_work_case each = *whole;
    const atn_sm *last;
    atn_schedule to;
    atn_status st = ATN_OK;

    if (rule->slots && out->ctas > INT32_MAX)
        ATN_FAIL(ATN_MEMORY, "simulate: a schedule of %.3g CTAs is too long to keep",
                 out->ctas);
    if (l->times) ATN_TRY(one_by_one(cx, l, &each));
    l->c = &each;
    ATN_TRY(atn_schedule_begin(cx, rule, (atn_idx)sms, &to));
    if (rule->slots) {
        out->slots = (atn_idx)out->ctas;
        ATN_NEW(out->slot, out->slots);
        to.slot = out->slot;
    }
    l->to = &to;
    ATN_TRY(place_all(cx, l));
    last = atn_schedule_critical(&to);
    out->x_ctas = last->ctas;
    out->x_tiles = last->tiles;
    out->x_masked = last->masked;
done:
    l->c = whole;
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_work_make(atn_ctx *cx, const atn_work_case *c,
                         const atn_schedule_rule *rule, atn_work *out)
{
    return atn_work_make_runs(cx, c, NULL, rule, out);
}

atn_status atn_work_make_runs(atn_ctx *cx, const atn_work_case *c,
                              const int64_t *const *times,
                              const atn_schedule_rule *rule, atn_work *out)
{
    const atn_kernel *k = c->kernel;
    const atn_launch *s = c->launch;
    const double sms = atn_device_get(c->device, ATN_DEVICE_SMS);
    const double places = sms * ATN_MAX(k->ctas_per_sm, 1);
    const atn_idx group = s->heads / s->kv_heads;
    launch l = {.c = c,
                .times = times,
                .order = k->order,
                .longest = rule->longest_first || k->order == ATN_ORDER_LONGEST,
                .heads = k->packs_gqa ? s->kv_heads : s->heads,
                .group = k->packs_gqa ? 1 : group};
    atn_status st = ATN_OK;

    ATN_ASSERT(sms >= 1 && s->batch > 0 && s->kv_heads > 0 && c->n_lists > 0);
    ATN_ASSERT(c->n_lists == 1 || c->n_lists == l.heads);
    *out = (atn_work){.splits = 1, .splits_taken = 1};
    for (atn_idx i = 0; i < c->n_lists; i++) {
        const atn_idx n = ctas_of(&l, i);

        if (n < 0) ATN_TRY(too_many(cx, s));
        l.tiles = ATN_MAX(l.tiles, n);
    }
    find_splits(&l, out);
    l.splits = out->splits_taken;
    l.section = section_of(&l, out);
    ATN_TRY(add_totals(cx, &l, out));
    out->waves = ceil(out->ctas / places);
    out->occupancy = out->waves > 0 ? out->ctas / (places * out->waves) : 0;
    out->mean = out->ctas > rule->mean_from * sms;
    if (!out->mean || rule->slots) ATN_TRY(run_schedule(cx, &l, rule, out));
    if (out->mean) {
        out->x_ctas = out->ctas / sms;
        out->x_tiles = out->tiles / sms;
        out->x_masked = out->masked / sms;
    }
done:
    if (st != ATN_OK) atn_work_release(cx, out);
    return st;
}

void atn_work_release(atn_ctx *cx, atn_work *w)
{
    atn_free(cx, w->slot);
    w->slot = NULL;
    w->slots = 0;
}
