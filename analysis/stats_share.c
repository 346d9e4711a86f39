/* analysis/stats_share.c -- a run of measures in parts: what a part notes of its heads,
 * and a run made of the notes of all.
 *
 * Three kinds of notes: the values of a head; those of a measure of the whole model,
 * which one part computes for all heads; and that a measure of a layer met bad data,
 * which empties it for all heads of the layer, whichever part they are in.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/shares.h"
#include "analysis/stats_internal.h"

enum { OF_HEAD = 1, OF_MODEL, LEFT_OUT };

atn_status atn_stats_share(atn_ctx *cx, atn_stats *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_share_heads(cx, s->shard, s->capture, s->selection, &s->from, &s->to));
    for (atn_idx i = 0; i < s->n && atn_shard_is_part(s->shard); i++)
        s->row[i].other = s->row[i].done = i < s->from || i >= s->to;
done:
    return st;
}

atn_status atn_stats_note_model(atn_ctx *cx, atn_stats *s, int m, const double *out)
{
    const atn_idx n = s->n * atn_measure_n_cols(s->plan.measure[m]);
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    if (!atn_shard_is_part(s->shard)) return ATN_OK;
    ATN_TRY(atn_bytes_i64(cx, &b, out == NULL));
    if (out) ATN_TRY(atn_bytes_add(cx, &b, out, (size_t)n * sizeof *out));
    ATN_TRY(atn_shard_note(cx, s->shard, OF_MODEL, m, &b));
done:
    atn_bytes_release(cx, &b);
    return st;
}

atn_status atn_stats_note_left_out(atn_ctx *cx, atn_stats *s, atn_idx first, int m)
{
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    if (!atn_shard_is_part(s->shard)) return ATN_OK;
    ATN_TRY(atn_bytes_i64(cx, &b, m));
    ATN_TRY(atn_shard_note(cx, s->shard, LEFT_OUT, first, &b));
done:
    atn_bytes_release(cx, &b);
    return st;
}

atn_status atn_stats_note_heads(atn_ctx *cx, atn_stats *s)
{
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    for (atn_idx i = s->from; i < s->to && atn_shard_is_part(s->shard); i++) {
        if (!s->row[i].done) continue;
        b.size = 0;
        ATN_TRY(atn_bytes_i64(cx, &b, s->row[i].failed));
        ATN_TRY(atn_bytes_i64(cx, &b, s->row[i].empty));
        ATN_TRY(atn_bytes_add(cx, &b, atn_stats_values(s, i),
                              (size_t)s->plan.n_slots * sizeof(double)));
        ATN_TRY(atn_shard_note(cx, s->shard, OF_HEAD, i, &b));
    }
done:
    atn_bytes_release(cx, &b);
    return st;
}

/* ---- putting together ---- */

static atn_status found_head(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    atn_stats *s = user;
    stats_row *row;

    (void)cx;
    if (unit < 0 || unit >= s->n) {
        r->bad = true;
        return ATN_OK;
    }
    row = &s->row[unit];
    row->failed = atn_read_within(r, 0, 1);
    row->empty = atn_read_within(r, 0, row->info->nq);
    atn_read_bytes(r, atn_stats_values(s, unit),
                   (size_t)s->plan.n_slots * sizeof(double));
    row->done = true;
    return ATN_OK;
}

static atn_status found_left_out(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    atn_stats *s = user;
    const int m = (int)atn_read_within(r, 0, s->plan.n - 1);
    atn_idx first = unit;

    (void)cx;
    r->bad |= unit < 0 || unit >= s->n || !s->plan.measure[m]->layer;
    if (r->bad) return ATN_OK;
    while (first > 0 && s->row[first - 1].info == s->row[unit].info) first--;
    for (atn_idx i = first; i < atn_stats_layer_end(s, first); i++) {
        s->row[i].failed = true;
        for (int c = 0; c < atn_measure_n_cols(s->plan.measure[m]); c++)
            atn_stats_values(s, i)[atn_stats_plan_slot(&s->plan, m, c)] = NAN;
    }
    return ATN_OK;
}

static atn_status found_model(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_stats *s = user;
    const bool failed = atn_read_within(r, 0, 1);
    atn_status st = ATN_OK;
    double *out = NULL;
    atn_idx n;

    r->bad |= unit < 0 || unit >= s->plan.n || !s->plan.measure[unit]->model;
    for (atn_idx i = 0; i < s->n && failed; i++) s->row[i].failed = true;
    if (r->bad || failed) goto done;
    n = s->n * atn_measure_n_cols(s->plan.measure[unit]);
    ATN_TAKE(out, n);
    atn_read_bytes(r, out, (size_t)n * sizeof *out);
    if (!r->bad) atn_stats_put(s, (int)unit, NULL, s->n, 0, out);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_stats_merge(atn_ctx *cx, atn_stats *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_shard_each(cx, s->shard, OF_HEAD, found_head, s));
    ATN_TRY(atn_shard_each(cx, s->shard, LEFT_OUT, found_left_out, s));
    ATN_TRY(atn_shard_each(cx, s->shard, OF_MODEL, found_model, s));
    if (atn_stats_left(s) > 0)
        ATN_FAIL(ATN_DATA, "stats: %lld heads are in no part (run the shards again)",
                 (long long)atn_stats_left(s));
done:
    return st;
}
