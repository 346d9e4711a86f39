/* graph/flow.c -- largest flows through layers, Dinic's algorithm on dense layers.
 *
 * Nodes are (level, i), level `layers` the top. Searches go down along edges that have
 * room left and up along edges that carry flow; each phase blocks all shortest paths.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/flow.h"

#include <math.h>
#include <string.h>

#include "core/rows.h"

static const double EPS = 1e-12;

typedef struct net {
    int layers;
    atn_idx n, source, sink;
    const double *const *s;
    double *used;   /* [layers][n][n] flow on edge (l + 1, i) -> (l, j) */
    double *in;     /* [(layers + 1) n] flow from above */
    int32_t *depth; /* [(layers + 1) n], -1 = not reached */
    atn_idx *next;  /* [(layers + 1) n] edge to try next: down 0..n-1, up n..2n-1 */
    atn_idx *queue; /* [(layers + 1) n] */
    atn_idx *path;  /* nodes of the path being built */
} net;

static double *used(const net *g, int level, atn_idx i, atn_idx j)
{
    return &g->used[((atn_idx)level * g->n + i) * g->n + j];
}

/* What edge e of node v can still carry, and the node it leads to. */
static double room(const net *g, atn_idx v, atn_idx e, atn_idx *to)
{
    const int level = (int)(v / g->n);
    const atn_idx i = v % g->n, j = e % g->n;

    if (e < g->n) { /* down */
        if (level == 0) return 0;
        *to = (level - 1) * g->n + j;
        return g->s[level - 1][i * g->n + j] - *used(g, level - 1, i, j);
    }
    if (level == g->layers) return 0;
    *to = (level + 1) * g->n + j; /* take back what comes from above */
    return *used(g, level, j, i);
}

/* Edges of v worth a look: those up carry nothing back where nothing comes down. */
static atn_idx edges_of(const net *g, atn_idx v)
{
    return g->in[v] > EPS ? 2 * g->n : g->n;
}

/* Distances from the source; false when the sink is out of reach. */
static bool search(net *g)
{
    const atn_idx nodes = (g->layers + 1) * g->n;
    atn_idx head = 0, tail = 0;

    for (atn_idx v = 0; v < nodes; v++) g->depth[v] = -1;
    g->depth[g->source] = 0;
    g->queue[tail++] = g->source;
    while (head < tail && g->depth[g->sink] < 0) {
        const atn_idx v = g->queue[head++];

        for (atn_idx e = 0; e < edges_of(g, v); e++) {
            atn_idx to = 0;

            if (!(room(g, v, e, &to) > EPS) || g->depth[to] >= 0) continue;
            g->depth[to] = g->depth[v] + 1;
            g->queue[tail++] = to;
        }
    }
    return g->depth[g->sink] >= 0;
}

/* Goes to the next edge of v on a shortest path; false when there is none. */
static bool advance(net *g, atn_idx v, atn_idx *to)
{
    for (; g->next[v] < edges_of(g, v); g->next[v]++) {
        const double can = room(g, v, g->next[v], to);
        if (can > EPS && g->depth[*to] == g->depth[v] + 1) return true;
    }
    return false;
}

static void push(net *g, atn_idx v, double amount)
{
    const int level = (int)(v / g->n);
    const atn_idx i = v % g->n, j = g->next[v] % g->n;

    if (g->next[v] < g->n) {
        *used(g, level - 1, i, j) += amount;
        g->in[(level - 1) * g->n + j] += amount;
    } else {
        *used(g, level, j, i) -= amount;
        g->in[v] -= amount;
    }
}

/* Fills all shortest paths; returns the flow added. */
static double block_paths(net *g)
{
    const atn_idx nodes = (g->layers + 1) * g->n;
    double total = 0;
    atn_idx length = 0;

    for (atn_idx v = 0; v < nodes; v++) g->next[v] = 0;
    g->path[0] = g->source;
    for (;;) {
        const atn_idx v = g->path[length];
        atn_idx to = 0;
        double least = INFINITY;

        if (v != g->sink) {
            if (advance(g, v, &to)) {
                g->path[++length] = to;
                continue;
            }
            if (length == 0) return total;
            g->next[g->path[--length]]++; /* a dead end */
            continue;
        }
        for (atn_idx k = 0; k < length; k++) {
            const double can = room(g, g->path[k], g->next[g->path[k]], &to);
            least = ATN_MIN(least, can);
        }
        for (atn_idx k = 0; k < length; k++) push(g, g->path[k], least);
        total += least;
        length = 0; /* the full edges are passed over from the source on */
    }
}

typedef struct job {
    const double *const *s;
    int layers;
    atn_idx n, source;
    double *flow;
} job;

static atn_status one_sink(atn_ctx *cx, atn_idx sink, void *state)
{
    const job *j = state;
    const atn_idx nodes = (j->layers + 1) * j->n;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    net g = {.layers = j->layers,
             .n = j->n,
             .source = j->layers * j->n + j->source,
             .sink = sink,
             .s = j->s};

    ATN_TAKE(g.used, j->layers * j->n * j->n);
    ATN_TAKE(g.in, nodes);
    ATN_TAKE(g.depth, nodes);
    ATN_TAKE(g.next, nodes);
    ATN_TAKE(g.queue, nodes);
    ATN_TAKE(g.path, nodes);
    memset(g.used, 0, (size_t)(j->layers * j->n * j->n) * sizeof *g.used);
    memset(g.in, 0, (size_t)nodes * sizeof *g.in);
    j->flow[sink] = 0;
    while (search(&g)) {
        ATN_TRY(atn_stopped(cx, "flow"));
        j->flow[sink] += block_paths(&g);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_flow_bytes(const atn_ctx *cx, int layers, atn_idx n)
{
    return cx->threads * ((double)layers * (double)n * (double)n * 8 +
                          ((double)layers + 1) * (double)n * 36);
}

atn_status atn_flow(atn_ctx *cx, const double *const *s, int layers, atn_idx n,
                    atn_idx source, double *flow)
{
    job j = {s, layers, n, source, flow};
    atn_status st = ATN_OK;

    ATN_ASSERT(layers > 0 && source >= 0 && source < n);
    if (n > ATN_FLOW_NODES_MAX)
        ATN_FAIL(ATN_USAGE,
                 "flow: %lld nodes a layer are above %d (average tokens to blocks)",
                 (long long)n, ATN_FLOW_NODES_MAX);
    ATN_TRY(atn_mem_check(cx, atn_flow_bytes(cx, layers, n), "flow"));
    ATN_TRY(atn_parallel(cx, n, one_sink, &j, "flow"));
done:
    return st;
}
