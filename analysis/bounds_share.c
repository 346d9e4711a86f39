/* analysis/bounds_share.c -- experiments in parts: what a part notes of them, and a run
 * made of the notes of all.
 *
 * Notes are what an experiment came to in one part (how many heads it ran on, why not
 * on others), and its checks; those of the whole model, which one part does, apart from
 * those of heads. Parts are stretches of heads in their order, so that the checks of
 * all parts one after another, behind those of the model, are in the order of a single
 * run.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/bounds.h"

enum {
    OF_EXPERIMENT = 1,
    OF_CHECK,
    OF_RUN,
    OF_MODEL = 16 /* and one of the first two */
};

/* ---- notes of a part ---- */

static atn_status put_check(atn_ctx *cx, const atn_check *c, atn_bytes *b)
{
    const double numbers[] = {c->predicted, c->measured, c->scale,
                              c->statistic, c->lo,       c->hi};
    const int64_t counts[] = {c->trials,   c->only_report, c->not_here, c->cases,
                              c->failures, c->at,          c->head};
    atn_status st = ATN_OK;

    ATN_TRY(atn_bytes_text(cx, b, c->bound->id));
    ATN_TRY(atn_bytes_text(cx, b, c->variant));
    ATN_TRY(atn_bytes_text(cx, b, c->note));
    ATN_TRY(atn_bytes_add(cx, b, numbers, sizeof numbers));
    ATN_TRY(atn_bytes_add(cx, b, counts, sizeof counts));
done:
    return st;
}

static int part_of(const atn_bounds *b, const atn_experiment *e)
{
    int m = 0;

    while (b->part[m].of != e) m++;
    return m;
}

atn_status atn_bounds_note(atn_ctx *cx, const atn_bounds *bounds, atn_idx first,
                           bool model, atn_shard *s)
{
    const int of = model ? OF_MODEL : 0;
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    if (!model) {
        ATN_TRY(atn_bytes_i64(cx, &b, bounds->failed));
        ATN_TRY(atn_shard_note(cx, s, OF_RUN, 0, &b));
    }
    for (int m = 0; m < bounds->parts; m++) {
        b.size = 0;
        ATN_TRY(atn_bytes_i64(cx, &b, bounds->part[m].heads));
        ATN_TRY(atn_bytes_text(cx, &b, bounds->part[m].left_out));
        ATN_TRY(atn_shard_note(cx, s, of | OF_EXPERIMENT, m, &b));
    }
    for (atn_idx i = first; i < bounds->checks.n; i++) {
        const atn_check *c = &bounds->checks.check[i];

        b.size = 0;
        ATN_TRY(put_check(cx, c, &b));
        ATN_TRY(
            atn_shard_note(cx, s, of | OF_CHECK, part_of(bounds, c->experiment), &b));
    }
done:
    atn_bytes_release(cx, &b);
    return st;
}

/* ---- putting together ---- */

static atn_status found_run(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    atn_bounds *b = user;

    (void)cx;
    (void)unit;
    b->failed += atn_read_within(r, 0, b->selection->n_heads);
    return ATN_OK;
}

static atn_status found_experiment(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    atn_bounds *b = user;
    const atn_idx heads = atn_read_within(r, 0, b->selection->n_heads);
    const char *why = atn_read_text(r);
    atn_bounds_part *p;

    r->bad |= unit < 0 || unit >= b->parts;
    if (r->bad) return ATN_OK;
    p = &b->part[unit];
    p->heads += heads;
    if (!why || p->left_out) return ATN_OK;
    p->left_out = atn_strdup(cx, why);
    return p->left_out ? ATN_OK : cx->err.code;
}

static void get_text(atn_reader *r, char out[ATN_CHECK_TEXT])
{
    const char *text = atn_read_text(r);

    r->bad |= !text || strlen(text) >= ATN_CHECK_TEXT;
    snprintf(out, ATN_CHECK_TEXT, "%s", r->bad ? "" : text);
}

static const atn_bound *get_bound(atn_reader *r)
{
    const char *id = atn_read_text(r);
    const atn_bound *b = id ? atn_bound_find(id) : NULL;

    r->bad |= !b;
    return b;
}

static atn_status found_check(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    atn_bounds *b = user;
    atn_check c = {.bound = get_bound(r)};
    int heads = 0;

    get_text(r, c.variant);
    get_text(r, c.note);
    c.predicted = atn_read_f64(r);
    c.measured = atn_read_f64(r);
    c.scale = atn_read_f64(r);
    c.statistic = atn_read_f64(r);
    c.lo = atn_read_f64(r);
    c.hi = atn_read_f64(r);
    c.trials = atn_read_within(r, 0, INT64_MAX);
    c.only_report = atn_read_within(r, 0, 1);
    c.not_here = atn_read_within(r, 0, 1);
    c.cases = atn_read_i64(r);
    c.failures = atn_read_i64(r);
    c.at = (int)atn_read_within(r, -1, atn_capture_layers(b->capture) - 1);
    if (c.at >= 0) heads = (int)atn_capture_layer(b->capture, c.at)->heads;
    c.head = (int)atn_read_within(r, -1, heads - 1);
    r->bad |= unit < 0 || unit >= b->parts;
    if (r->bad) return ATN_OK;
    c.experiment = b->part[unit].of;
    return atn_checks_add(cx, &b->checks, &c);
}

atn_status atn_bounds_merge(atn_ctx *cx, atn_bounds *b, const atn_shard *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_shard_each(cx, s, OF_RUN, found_run, b));
    ATN_TRY(atn_shard_each(cx, s, OF_MODEL | OF_EXPERIMENT, found_experiment, b));
    ATN_TRY(atn_shard_each(cx, s, OF_MODEL | OF_CHECK, found_check, b));
    ATN_TRY(atn_shard_each(cx, s, OF_EXPERIMENT, found_experiment, b));
    ATN_TRY(atn_shard_each(cx, s, OF_CHECK, found_check, b));
done:
    return st;
}
