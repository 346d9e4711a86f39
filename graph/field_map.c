/* graph/field_map.c -- the first depth at which queries reach keys, pooled. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "core/rows.h"
#include "graph/field_internal.h"

typedef struct map {
    const atn_field_plan *plan;
    const atn_field_engine *engine;
    const void *state;
    int depth; /* of the state; -1: cells are given their first values */
    int most;
    atn_mat out;
} map;

static atn_span cell(atn_idx at, atn_idx cells, atn_idx nodes)
{
    return (atn_span){at * nodes / cells, (at + 1) * nodes / cells};
}

/* One row of cells. */
static atn_status map_row(atn_ctx *cx, atn_idx i, void *state)
{
    const map *m = state;
    const atn_span rows = cell(i, m->out.rows, m->plan->nodes);
    float *out = atn_row(m->out, i);

    (void)cx;
    for (atn_idx j = 0; j < m->out.cols; j++) {
        const atn_span keys = cell(j, m->out.cols, m->plan->nodes);
        const bool visible = !m->plan->causal || keys.lo < rows.hi;

        if (m->depth < 0)
            out[j] = visible ? (float)(m->most + 1) : NAN;
        else if (out[j] > (float)m->most && m->engine->meets(m->state, rows, keys))
            out[j] = (float)m->depth;
    }
    return ATN_OK;
}

static atn_status check_engine(atn_ctx *cx, const map *m)
{
    atn_status st = ATN_OK;

    ATN_ASSERT(m->out.rows >= 1 && m->out.rows <= m->plan->nodes);
    ATN_ASSERT(m->out.cols >= 1 && m->out.cols <= m->plan->nodes);
    if (!m->engine->every)
        ATN_FAIL(ATN_MEMORY,
                 "field: the map of a pattern without structure needs a bit for every "
                 "pair of its %lld nodes, too much here (give the pattern larger "
                 "blocks, fewer tokens, or raise --mem-limit)",
                 (long long)m->plan->nodes);
done:
    return st;
}

atn_status atn_field_map_by(atn_ctx *cx, const atn_field_plan *p,
                            const atn_field_engine *e, int depth, atn_mat out)
{
    map m = {.plan = p, .engine = e, .depth = -1, .most = depth, .out = out};
    atn_status st = ATN_OK;
    void *state = NULL;

    ATN_TRY(check_engine(cx, &m));
    ATN_TRY(e->open(cx, p, p->nodes - 1, &state));
    m.state = state;
    ATN_TRY(atn_parallel(cx, out.rows, map_row, &m, "reach map"));
    for (int k = 0; k <= depth; k++) {
        m.depth = k;
        if (k > 0) ATN_TRY(e->step(cx, state, k));
        ATN_TRY(atn_parallel(cx, out.rows, map_row, &m, "reach map"));
    }
done:
    e->close(cx, state);
    return st;
}

atn_status atn_field_map(atn_ctx *cx, const atn_pattern *const *layers, int n,
                         int depth, atn_mat out)
{
    const atn_field_engine *e = NULL;
    atn_status st = ATN_OK;
    atn_field_plan p;

    ATN_ASSERT(depth >= 0);
    ATN_TRY(atn_field_plan_make(cx, layers, n, &p));
    ATN_TRY(atn_field_choose(cx, &p, true, &e));
    ATN_TRY(atn_field_map_by(cx, &p, e, depth, out));
done:
    return st;
}
