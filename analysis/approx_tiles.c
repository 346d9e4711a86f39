/* analysis/approx_tiles.c -- the CTAs of a plan. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_tiles.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulators/tiles.h"

/* ---- shapes ---- */

const atn_kernel_tile *atn_tile_of_choice(const atn_kernel *k, int head_dim)
{
    static const unsigned kinds[] = {ATN_TAKES_BLOCKS, ATN_TAKES_ANY, ATN_TAKES_CAUSAL,
                                     ATN_TAKES_FULL, ATN_TAKES_WINDOW};
    const atn_kernel_tile *t = NULL;

    for (size_t i = 0; !t && i < ATN_LEN(kinds); i++)
        t = atn_kernel_tile_of(k, head_dim, ATN_PASS_FORWARD, kinds[i], 1, 0);
    return t && t->q.n == 1 && t->k.n == 1 ? t : NULL;
}

void atn_tile_shape_column(const atn_tile_shape *s, char out[ATN_SHAPE_COLUMN])
{
    const int n = snprintf(out, ATN_SHAPE_COLUMN, "ctas_%lldx%lld", (long long)s->bm,
                           (long long)s->bn);

    if (s->pack > 1)
        snprintf(out + n, ATN_SHAPE_COLUMN - (size_t)n, "_packed_%lld",
                 (long long)s->pack);
}

static void add_shape(atn_tile_shapes *s, atn_idx d, const atn_kernel_tile *t,
                      atn_idx pack)
{
    const atn_tile_shape one = {d, t->q.at[0], t->k.at[0], pack};

    for (int i = 0; i < s->n; i++)
        if (s->at[i].d == one.d && s->at[i].bm == one.bm && s->at[i].bn == one.bn &&
            s->at[i].pack == pack)
            return;
    if (s->n < ATN_TILE_SHAPES)
        s->at[s->n++] = one;
    else
        s->left_out++;
}

/* By d, bm, bn, pack: the order of the columns of a table. */
static int by_shape(const void *a_, const void *b_)
{
    const atn_tile_shape *a = a_, *b = b_;

    if (a->d != b->d) return a->d < b->d ? -1 : 1;
    if (a->bm != b->bm) return a->bm < b->bm ? -1 : 1;
    if (a->bn != b->bn) return a->bn < b->bn ? -1 : 1;
    return (a->pack > b->pack) - (a->pack < b->pack);
}

static void add_tiles(const atn_kernel *k, const atn_capture *c,
                      const atn_selection *sel, atn_tile_shapes *out)
{
    for (int l = 0; l < sel->n; l++) {
        const atn_layer_info *i = atn_capture_layer(c, sel->at[l]);
        const atn_idx d = i->d, group = i->heads / ATN_MAX(i->kv_heads, 1);
        const atn_kernel_tile *t =
            d > 0 && d <= 65536 ? atn_tile_of_choice(k, (int)d) : NULL;

        if (t) add_shape(out, d, t, 1);
        if (t && k->packs_gqa && group > 1) add_shape(out, d, t, group);
    }
}

/* The tiles of a built-in kernel on one of its architectures. */
static atn_status add_kernel(atn_ctx *cx, const char *id, int architecture,
                             const atn_capture *c, const atn_selection *sel,
                             bool *there, atn_tile_shapes *out)
{
    atn_status st = ATN_OK;
    atn_kernel k = {0};

    *there = false;
    ATN_TRY(atn_kernel_read(cx, id, &k));
    if (architecture >= ATN_KERNEL_NAMES || !k.architectures[architecture][0])
        goto done;
    *there = true;
    atn_kernel_settle(&k, k.architectures[architecture]);
    add_tiles(&k, c, sel, out);
done:
    atn_kernel_release(cx, &k);
    return st;
}

atn_status atn_tile_shapes_of(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_kernel *own,
                              atn_tile_shapes *out)
{
    atn_status st = ATN_OK;
    bool there;

    *out = (atn_tile_shapes){.n = 0};
    if (own) add_tiles(own, c, sel, out);
    for (int i = 0; atn_kernel_id(i); i++) {
        there = true;
        for (int a = 0; there; a++)
            ATN_TRY(add_kernel(cx, atn_kernel_id(i), a, c, sel, &there, out));
    }
    qsort(out->at, (size_t)out->n, sizeof *out->at, by_shape);
    if (out->left_out > 0)
        atn_log(cx, ATN_LOG_WARN,
                "more than %d tiles of kernels at the head dims of these layers: "
                "CTAs in %d others are not counted (select layers of fewer head dims)",
                ATN_TILE_SHAPES, out->left_out);
done:
    return st;
}

/* ---- runs ---- */

void atn_cta_runs_release(atn_ctx *cx, atn_cta_runs *r)
{
    if (r->joint) atn_cta_runs_release(cx, r->joint);
    atn_free(cx, r->joint);
    atn_free(cx, r->run);
    *r = (atn_cta_runs){.gathered = NAN};
}

atn_status atn_cta_runs_add(atn_ctx *cx, atn_cta_runs *r, int32_t visits,
                            int32_t masked, int64_t count)
{
    atn_cta_run *last = r->n > 0 ? &r->run[r->n - 1] : NULL, *more;

    if (last && last->visits == visits && last->masked == masked) {
        last->count += count;
        return ATN_OK;
    }
    if (r->n == r->room) {
        const atn_idx room = r->room > 0 ? 2 * r->room : 16;

        more = atn_realloc(cx, r->run, room, sizeof *more);
        if (!more) return cx->err.code;
        r->run = more;
        r->room = room;
    }
    r->run[r->n++] = (atn_cta_run){visits, masked, count};
    return ATN_OK;
}

/* Longest first, and equal ones together. */
static int by_visits(const void *a_, const void *b_)
{
    const atn_cta_run *a = a_, *b = b_;

    if (a->visits != b->visits) return a->visits > b->visits ? -1 : 1;
    return (a->masked < b->masked) - (a->masked > b->masked);
}

static void sort_from(atn_cta_runs *r, atn_idx first)
{
    atn_idx n = first;

    if (r->n == first) return;
    qsort(r->run + first, (size_t)(r->n - first), sizeof *r->run, by_visits);
    for (atn_idx i = first; i < r->n; i++) {
        if (n > first && by_visits(&r->run[n - 1], &r->run[i]) == 0)
            r->run[n - 1].count += r->run[i].count;
        else
            r->run[n++] = r->run[i];
    }
    r->n = n;
}

/* ---- a plan ---- */

/* Runs of keys of a query, on the mean, up to which nothing is gained by gathering. */
enum { RUNS_PLAIN = 2 };

static bool has_groups(const atn_plan *p)
{
    for (int b = 0; b < p->branches; b++)
        for (int i = 0; i < p->branch[b].parts; i++)
            if (p->branch[b].part[i].groups.n > 0) return true;
    return false;
}

/* The parts of the branch that are patterns, alone; false where it has none. The result
 * borrows everything. */
static bool patterns_of(const atn_branch *b, atn_plan *out)
{
    atn_branch *to = &out->branch[0];

    *out = (atn_plan){.branches = 1};
    to->merge = b->merge;
    for (int i = 0; i < b->parts; i++)
        if (b->part[i].all || b->part[i].pattern) to->part[to->parts++] = b->part[i];
    return to->parts > 0;
}

static bool is_packed(const atn_tile_shape *s)
{
    return s->pack > 1;
}

/* Tiles of 16 x bn of a query each; *scattered where the keys are. */
static atn_status gathered_of(atn_ctx *cx, const atn_pattern *p,
                              const atn_tile_shapes *s, atn_idx d, atn_cta_runs *out,
                              bool *scattered)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *row = NULL;
    double runs = 0;

    ATN_TAKE(row, p->room);
    for (int k = 0; k < s->n; k++)
        if (s->at[k].d == d && !is_packed(&s->at[k]) && isnan(out[k].gathered))
            out[k].gathered = 0;
    for (atn_idx i = 0; i < p->frame.nq; i++) {
        const atn_idx n = atn_pattern_keys(p, 0, p->frame.first + i, row);
        atn_idx keys = 0;

        for (atn_idx x = 0; x < n; x++) {
            keys += row[x].hi - row[x].lo;
            runs += x == 0 || row[x].lo > row[x - 1].hi;
        }
        for (int k = 0; k < s->n; k++)
            if (s->at[k].d == d && !is_packed(&s->at[k]))
                out[k].gathered += (double)atn_ceil_div(keys, s->at[k].bn);
    }
    if (runs > RUNS_PLAIN * (double)p->frame.nq) *scattered = true;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status count_pattern(atn_ctx *cx, const atn_pattern *p,
                                const atn_tile_shape *s, atn_cta_runs *out)
{
    const atn_tiling how = {
        .q = {1, {s->bm}}, .k = {1, {s->bn}}, .pack = ATN_MAX(s->pack, 1)};
    atn_status st = ATN_OK;
    atn_tiles t = {0};

    ATN_TRY(atn_tiles_count(cx, p, 0, &how, &t));
    for (atn_idx i = 0; i < t.ctas; i++)
        ATN_TRY(atn_cta_runs_add(cx, out, t.visits[i], t.masked[i], 1));
done:
    atn_tiles_release(cx, &t);
    return st;
}

static atn_status add_patterns(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                               const atn_branch *b, const atn_tile_shapes *s,
                               atn_cta_runs *out, bool *scattered)
{
    const bool groups = has_groups(p);
    const bool gathers = groups || (p->tile_rows == 1 && p->tile_keys == 1);
    atn_status st = ATN_OK;
    atn_pattern *of = NULL; /* of one head */
    atn_plan only;

    if (!patterns_of(b, &only)) return ATN_OK;
    ATN_TRY(atn_plan_pattern(cx, h, &only, &of));
    for (int k = 0; k < s->n; k++)
        if (s->at[k].d == h->q.cols && !(groups && is_packed(&s->at[k])))
            ATN_TRY(count_pattern(cx, of, &s->at[k], &out[k]));
    if (gathers) ATN_TRY(gathered_of(cx, of, s, h->q.cols, out, scattered));
done:
    atn_pattern_destroy(cx, of);
    return st;
}

static atn_status add_group(atn_ctx *cx, const atn_head *h, atn_idx rows, atn_idx keys,
                            const atn_tile_shape *s, atn_cta_runs *out)
{
    const atn_idx visits = atn_ceil_div(keys, s->bn);

    if (rows == 0 || keys == 0) return ATN_OK;
    if (isnan(out->gathered)) out->gathered = 0;
    out->gathered += (double)(atn_ceil_div(rows, 16) * visits);
    return atn_cta_runs_add(cx, out, (int32_t)visits, h->sight.causal,
                            atn_ceil_div(rows, s->bm));
}

static atn_status add_groups(atn_ctx *cx, const atn_head *h, const atn_groups *g,
                             const atn_tile_shapes *s, atn_cta_runs *out)
{
    atn_status st = ATN_OK;

    for (int k = 0; k < s->n; k++) {
        const atn_idx first = out[k].n;

        if (s->at[k].d != h->q.cols || is_packed(&s->at[k])) continue;
        for (atn_idx i = 0; i < g->n; i++)
            ATN_TRY(add_group(cx, h, g->row_ptr[i + 1] - g->row_ptr[i],
                              g->key_ptr[i + 1] - g->key_ptr[i], &s->at[k], &out[k]));
        sort_from(&out[k], first);
    }
done:
    return st;
}

/* ---- groups as one mask ---- */

static bool has_weights(const atn_groups *g)
{
    if (g->logit) return true;
    for (int64_t e = 0; g->log_weight && e < g->key_ptr[g->n]; e++)
        if (g->log_weight[e] != 0) return true;
    return false;
}

/* One softmax of the head's own logits; what is kept of how many pairs aside. */
static bool is_one_softmax(const atn_plan *p)
{
    const atn_branch *b = &p->branch[0];
    int patterns = 0;

    if (p->branches != 1 || b->merge != ATN_MERGE_LSE || b->scale || p->residual ||
        p->op.kind)
        return false;
    for (int i = 0; i < b->parts; i++) {
        const atn_part *part = &b->part[i];

        if (part->q || part->k || part->self_last || has_weights(&part->groups))
            return false;
        patterns += part->all || part->pattern;
    }
    return patterns <= 1;
}

/* Pairs of the groups that the mask shows, as often as they stand there; -1 = some key
 * is virtual. */
static double pairs_of(const atn_head *h, const atn_groups *g)
{
    double pairs = 0;

    for (atn_idx i = 0; i < g->n; i++)
        for (int64_t r = g->row_ptr[i]; r < g->row_ptr[i + 1]; r++) {
            atn_idx lo, hi;

            atn_sight_row(&h->sight, g->row[r], &lo, &hi);
            for (int64_t e = g->key_ptr[i]; e < g->key_ptr[i + 1]; e++) {
                if (g->key[e] >= h->nk) return -1;
                pairs += g->key[e] >= lo && g->key[e] < hi;
            }
        }
    return pairs;
}

static atn_status pattern_pairs(atn_ctx *cx, const atn_pattern *p, double *pairs)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *row = NULL;

    ATN_TAKE(row, p->room);
    for (atn_idx i = 0; i < p->frame.nq; i++) {
        const atn_idx n = atn_pattern_keys(p, 0, p->frame.first + i, row);

        for (atn_idx x = 0; x < n; x++) *pairs += (double)(row[x].hi - row[x].lo);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Entries of all parts, as often as they are there; -1 as above. */
static atn_status entries_of(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                             double *out)
{
    const atn_branch *b = &p->branch[0];
    atn_pattern *of = NULL;
    atn_status st = ATN_OK;
    atn_plan only;

    *out = 0;
    if (patterns_of(b, &only)) {
        ATN_TRY(atn_plan_pattern(cx, h, &only, &of));
        ATN_TRY(pattern_pairs(cx, of, out));
    }
    for (int i = 0; i < b->parts && *out >= 0; i++) {
        const double more = pairs_of(h, &b->part[i].groups);

        *out = more < 0 ? -1 : *out + more;
    }
done:
    atn_pattern_destroy(cx, of);
    return st;
}

/* The CTAs of the union, where no pair stands there twice. */
static atn_status add_joint(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                            const atn_tile_shapes *s, atn_cta_runs *out)
{
    atn_pattern *all = NULL;
    double entries, pairs = 0;
    atn_status st = ATN_OK;

    ATN_TRY(entries_of(cx, h, p, &entries));
    if (entries < 0) goto done;
    ATN_TRY(atn_plan_pattern(cx, h, p, &all));
    ATN_TRY(pattern_pairs(cx, all, &pairs));
    if (pairs != entries) goto done;
    for (int k = 0; k < s->n; k++) {
        if (s->at[k].d != h->q.cols || is_packed(&s->at[k])) continue;
        ATN_NEW(out[k].joint, 1);
        *out[k].joint = (atn_cta_runs){.gathered = NAN};
        ATN_TRY(count_pattern(cx, all, &s->at[k], out[k].joint));
    }
done:
    atn_pattern_destroy(cx, all);
    return st;
}

/* ---- */

atn_status atn_plan_ctas(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         const atn_tile_shapes *s, atn_cta_runs *out)
{
    atn_status st = ATN_OK;
    bool scattered = has_groups(p);

    for (int k = 0; k < s->n; k++) out[k] = (atn_cta_runs){.gathered = NAN};
    if (p->op.kind) return ATN_OK;
    for (int b = 0; b < p->branches; b++) {
        ATN_TRY(add_patterns(cx, h, p, &p->branch[b], s, out, &scattered));
        for (int i = 0; i < p->branch[b].parts; i++)
            ATN_TRY(add_groups(cx, h, &p->branch[b].part[i].groups, s, out));
    }
    for (int k = 0; k < s->n && !scattered; k++) out[k].gathered = NAN;
    if (has_groups(p) && is_one_softmax(p)) ATN_TRY(add_joint(cx, h, p, s, out));
done:
    return st;
}

/* ---- as text ---- */

enum { RUN_TEXT = 48 };

static size_t print_runs(const atn_cta_runs *r, char *text, size_t room)
{
    size_t at = 0;

    text[0] = '\0';
    for (atn_idx i = 0; i < r->n; i++) {
        const atn_cta_run *one = &r->run[i];

        at += (size_t)snprintf(text + at, room - at, "%s%" PRId32 "/%" PRId32,
                               i ? " " : "", one->visits, one->masked);
        if (one->count > 1)
            at += (size_t)snprintf(text + at, room - at, "*%" PRId64, one->count);
    }
    if (!isnan(r->gathered))
        at += (size_t)snprintf(text + at, room - at, "%sg%.0f", at ? " " : "",
                               r->gathered);
    return at;
}

atn_status atn_cta_runs_print(atn_ctx *cx, const atn_cta_runs *r, char **out)
{
    const atn_idx runs = r->n + (r->joint ? r->joint->n + 2 : 0) + 1;
    const size_t room = (size_t)runs * RUN_TEXT;
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t at;

    *out = NULL;
    ATN_NEW(text, runs * RUN_TEXT);
    at = print_runs(r, text, room);
    if (r->joint) {
        at += (size_t)snprintf(text + at, room - at, "%su ", at ? " " : "");
        print_runs(r->joint, text + at, room - at);
    }
    *out = text;
    text = NULL;
done:
    atn_free(cx, text);
    return st;
}

/* A count in [0, most] at *at, which moves behind it; -1 = none. */
static int64_t count_at(const char **at, int64_t most)
{
    char *end;
    long long x;

    if (**at < '0' || **at > '9') return -1;
    x = strtoll(*at, &end, 10);
    *at = end;
    return x <= most ? x : -1;
}

/* Times behind '*', 1 where there is none. */
static int64_t times_at(const char **at)
{
    if (**at != '*') return 1;
    ++*at;
    return count_at(at, (int64_t)1 << 40);
}

static bool one_at(const char **at, atn_cta_run *out)
{
    const int64_t visits = count_at(at, INT32_MAX);
    int64_t masked;

    if (visits < 0 || **at != '/') return false;
    ++*at;
    masked = count_at(at, visits);
    out->count = times_at(at);
    out->visits = (int32_t)visits;
    out->masked = (int32_t)masked;
    return masked >= 0 && out->count > 0;
}

/* The list up to its end or that of the union, which stays; DATA. */
static atn_status parse_runs(atn_ctx *cx, const char **at, atn_cta_runs *out)
{
    atn_status st = ATN_OK;

    while (**at && **at != 'u') {
        const char *from = *at;
        atn_cta_run one = {0};

        if (!isnan(out->gathered) || (**at != 'g' && (!one_at(at, &one))))
            ATN_FAIL(ATN_DATA, "'%.40s' is no list of CTAs, as \"3/1*16 4/2\"", from);
        if (*from == 'g') {
            const int64_t n = (++*at, count_at(at, INT64_MAX / 2));

            if (n < 0) ATN_FAIL(ATN_DATA, "'%.40s' is no list of CTAs", from);
            out->gathered = (double)n;
        } else {
            ATN_TRY(atn_cta_runs_add(cx, out, one.visits, one.masked, one.count));
        }
        if (**at && **at != ' ') ATN_FAIL(ATN_DATA, "'%.40s' is no list of CTAs", from);
        *at += **at == ' ';
    }
done:
    return st;
}

atn_status atn_cta_runs_parse(atn_ctx *cx, const char *text, atn_cta_runs *out)
{
    const char *at = text;
    atn_status st = ATN_OK;

    *out = (atn_cta_runs){.gathered = NAN};
    ATN_TRY(parse_runs(cx, &at, out));
    if (!*at) goto done;
    if (out->n == 0 || strncmp(at, "u ", 2) != 0)
        ATN_FAIL(ATN_DATA, "'%.40s' is no list of CTAs", at);
    at += 2;
    ATN_NEW(out->joint, 1);
    *out->joint = (atn_cta_runs){.gathered = NAN};
    ATN_TRY(parse_runs(cx, &at, out->joint));
    if (*at || out->joint->n == 0 || !isnan(out->joint->gathered))
        ATN_FAIL(ATN_DATA, "'%.40s' is no list of CTAs", text);
done:
    if (st != ATN_OK) atn_cta_runs_release(cx, out);
    return st;
}
