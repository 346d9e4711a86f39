/* graph/field.c -- from a list of layers to the table of depths, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "graph/field_bits.h"

/* Beyond the depth asked for: layers at most, and work, about nanoseconds. */
enum { LAYERS_MOST = 65536 };
static const double WORK_MOST = 2147483648.;

static const atn_field_engine *const engines[] = {
    &atn_field_shift, &atn_field_axes,     &atn_field_intervals,
    &atn_field_bits,  &atn_field_frontier,
};

/* Layers that each look back by the same offsets everywhere, in blocks of different
 * sizes: then the offsets of two layers do not add up. */
static bool blocks_differ(const atn_field_plan *p)
{
    bool differ = false;

    for (int i = 0; i < p->n; i++) {
        if (!p->layers[i]->shift || !p->causal) return false;
        differ |= p->layers[i]->frame.block != p->block;
    }
    return differ;
}

static atn_status warn_of_memory(atn_ctx *cx, const atn_field_plan *p)
{
    atn_status st = ATN_OK;
    double bytes, limit;

    ATN_TRY(atn_field_bits_fit(cx, p, &bytes, &limit));
    atn_log(cx, ATN_LOG_WARN,
            "field: the fields of all %lld nodes need %.3g MiB, above %.3g: only that "
            "of the last token is computed (%s)",
            (long long)p->nodes, bytes / 1048576, limit / 1048576,
            blocks_differ(p) ? "give all layers blocks of one size, which needs no "
                               "more than a bit a distance, or raise --mem-limit"
                             : "raise --mem-limit, or give the pattern larger blocks");
done:
    return st;
}

atn_status atn_field_choose(atn_ctx *cx, const atn_field_plan *p, bool every,
                            const atn_field_engine **out)
{
    atn_status st = ATN_OK;

    *out = NULL;
    for (size_t i = 0; i < ATN_LEN(engines) && !*out; i++) {
        bool fits = false;

        if (engines[i] == &atn_field_bits && !every) continue;
        ATN_TRY(engines[i]->fits(cx, p, &fits));
        if (fits) *out = engines[i];
    }
done:
    return st;
}

/* ---- a run ---- */

typedef struct run {
    const atn_field_plan *plan;
    const atn_field_engine *engine;
    void *state;
    uint8_t *reached; /* [nodes] of the last one */
    bool every;
    /* the sizes before, and the last depth that changed them */
    atn_idx tokens;
    int64_t pairs; /* beyond the depth asked for: growth of atn_field_peek */
    int tokens_at, pairs_at;
    atn_field *out;
} run;

static atn_idx tokens_of(const atn_field_plan *p, atn_idx reached, bool own)
{
    return (reached - 1) * p->block + (own ? p->tokens - (p->nodes - 1) * p->block : 1);
}

static atn_status look_last(atn_ctx *cx, run *r, atn_field_at *at)
{
    const atn_field_plan *p = r->plan;
    const atn_idx last = p->nodes - 1;
    atn_status st = ATN_OK;
    atn_idx j = -1; /* the last one that is not reached */
    bool own;

    ATN_TRY(r->engine->mark(cx, r->state, last, r->reached, &own));
    for (atn_idx i = 0; i < p->nodes; i++) {
        at->reached += r->reached[i];
        if (!r->reached[i]) j = i;
        ATN_TRY(atn_field_scanned(cx, i, p->nodes));
    }
    at->contiguous = last - j;
    at->first_missing = j < 0 ? -1 : last - j;
    at->accuracy = (double)at->reached / (double)p->nodes;
    at->reached_tokens = tokens_of(p, at->reached, own);
    at->complete = at->reached_tokens == p->tokens;
done:
    return st;
}

static atn_status look_every(atn_ctx *cx, run *r, atn_field_at *at, bool *all)
{
    const double nodes = (double)r->plan->nodes;
    atn_field_tally t = {0};
    atn_status st = ATN_OK;

    ATN_TRY(r->engine->tally(cx, r->state, &t));
    at->pairs_share =
        (double)t.pairs / (r->plan->causal ? nodes * (nodes + 1) / 2 : nodes * nodes);
    at->rows_complete = (double)t.complete / nodes;
    at->least_share = (double)t.least / (double)t.visible;
    at->least_row = t.row;
    if (t.pairs != r->pairs) r->pairs_at = at->depth;
    r->pairs = t.pairs;
    *all = t.complete == r->plan->nodes;
done:
    return st;
}

/* What depth k says of the depths at which all is reached. */
static void conclude(run *r, int k, atn_idx tokens, bool all)
{
    atn_field *f = r->out;

    if (tokens != r->tokens) r->tokens_at = k;
    r->tokens = tokens;
    if (f->complete == -2 && tokens == r->plan->tokens)
        f->complete = k;
    else if (f->complete == -2 && k - r->tokens_at >= r->plan->n)
        f->complete = -1;
    if (!r->every || f->diameter != -2) return;
    if (all)
        f->diameter = k;
    else if (k - r->pairs_at >= r->plan->n)
        f->diameter = -1;
}

/* The numbers of depth k, of which R_k is there. */
static atn_status look(atn_ctx *cx, run *r, int k, atn_field_at *at)
{
    atn_status st = ATN_OK;
    bool all = false;

    *at = (atn_field_at){.depth = k,
                         .walks_log10 = NAN,
                         .walks_first_log10 = NAN,
                         .pairs_share = NAN,
                         .rows_complete = NAN,
                         .least_share = NAN,
                         .least_row = -1};
    ATN_TRY(look_last(cx, r, at));
    if (r->every) ATN_TRY(look_every(cx, r, at, &all));
    conclude(r, k, at->reached_tokens, all);
done:
    return st;
}

/* The same, where the engine needs not look at all nodes. */
static atn_status look_beyond(atn_ctx *cx, run *r, int k)
{
    const atn_field_engine *e = r->engine;
    atn_status st = ATN_OK;
    atn_field_peek now;
    atn_field_at at;

    if (!e->peek) {
        ATN_TRY(e->step(cx, r->state, k));
        return look(cx, r, k, &at);
    }
    ATN_TRY(e->beyond ? e->beyond(cx, r->state, k) : e->step(cx, r->state, k));
    e->peek(r->state, &now);
    if (now.growth != r->pairs) r->pairs_at = k;
    r->pairs = now.growth;
    conclude(r, k, tokens_of(r->plan, now.reached, now.own), now.all);
done:
    return st;
}

/* Goes on until both depths are known. */
static atn_status go_on(atn_ctx *cx, run *r)
{
    const double work = r->engine->work(r->plan);
    atn_status st = ATN_OK;
    atn_field_peek now = {0};

    if (r->engine->peek) r->engine->peek(r->state, &now);
    if (r->engine->peek) r->pairs = now.growth;
    for (int k = r->out->depth + 1; k <= LAYERS_MOST && k * work <= WORK_MOST; k++) {
        if (r->out->complete != -2 && (r->out->diameter != -2 || !r->every)) break;
        ATN_TRY(look_beyond(cx, r, k));
        ATN_TRY(atn_stopped(cx, "field"));
    }
done:
    return st;
}

atn_status atn_field_run_by(atn_ctx *cx, const atn_field_plan *p,
                            const atn_field_engine *e, const atn_field_opts *o,
                            atn_field *out)
{
    run r = {.plan = p, .engine = e, .out = out};
    atn_status st = ATN_OK;

    ATN_ASSERT(o->depth >= 0);
    *out = (atn_field){p->tokens, p->block, p->nodes, o->depth, .method = e->id};
    out->every = o->every && e->every;
    out->diameter = out->complete = -2;
    r.every = out->every;
    ATN_NEW(out->at, o->depth + 1);
    ATN_NEW(r.reached, p->nodes);
    ATN_TRY(e->open(cx, p, p->nodes - 1, &r.state));
    for (int k = 0; k <= o->depth; k++) {
        if (k > 0) ATN_TRY(e->step(cx, r.state, k));
        ATN_TRY(look(cx, &r, k, &out->at[k]));
        ATN_TRY(atn_progress(cx, "field", k, o->depth + 1));
    }
    if (o->diameter) ATN_TRY(go_on(cx, &r));
    e->close(cx, r.state);
    r.state = NULL;
    if (o->walks) ATN_TRY(atn_field_walks(cx, p, o->depth, out->at));
done:
    e->close(cx, r.state);
    atn_free(cx, r.reached);
    if (st != ATN_OK) atn_field_release(cx, out);
    return st;
}

atn_status atn_field_run(atn_ctx *cx, const atn_pattern *const *layers, int n,
                         const atn_field_opts *o, atn_field *out)
{
    const atn_field_engine *e = NULL;
    atn_status st = ATN_OK;
    atn_field_plan p;

    *out = (atn_field){0};
    ATN_TRY(atn_field_plan_make(cx, layers, n, &p));
    ATN_TRY(atn_field_choose(cx, &p, o->every, &e));
    if (o->every && !e->every) ATN_TRY(warn_of_memory(cx, &p));
    ATN_TRY(atn_field_run_by(cx, &p, e, o, out));
done:
    return st;
}

void atn_field_release(atn_ctx *cx, atn_field *f)
{
    atn_free(cx, f->at);
    *f = (atn_field){0};
}

atn_status atn_field_plan_of(atn_ctx *cx, const atn_field_plan *p, int depth,
                             atn_idx row, uint8_t *reached)
{
    const atn_field_engine *e = NULL;
    atn_status st = ATN_OK;
    void *state = NULL;
    int first = 1, by = 1;
    bool own;

    ATN_ASSERT(depth >= 0 && row >= 0 && row < p->nodes);
    ATN_TRY(atn_field_choose(cx, p, false, &e));
    ATN_TRY(e->open(cx, p, row, &state));
    if (!e->every && depth > 0) { /* it has a set for every depth modulo n */
        first = (depth - 1) % p->n + 1;
        by = p->n;
    }
    for (int k = first; k <= depth; k += by) ATN_TRY(e->step(cx, state, k));
    ATN_TRY(e->mark(cx, state, row, reached, &own));
done:
    if (e) e->close(cx, state);
    return st;
}

atn_status atn_field_nodes(atn_ctx *cx, const atn_pattern *const *layers, int n,
                           atn_idx *block, atn_idx *nodes)
{
    atn_status st = ATN_OK;
    atn_field_plan p;

    ATN_TRY(atn_field_plan_make(cx, layers, n, &p));
    *block = p.block;
    *nodes = p.nodes;
done:
    return st;
}

atn_status atn_field_of(atn_ctx *cx, const atn_pattern *const *layers, int n, int depth,
                        atn_idx row, uint8_t *reached)
{
    atn_status st = ATN_OK;
    atn_field_plan p;

    ATN_TRY(atn_field_plan_make(cx, layers, n, &p));
    ATN_TRY(atn_field_plan_of(cx, &p, depth, row, reached));
done:
    return st;
}
