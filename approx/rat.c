/* approx/rat.c -- RAT: a short recurrence inside of chunks, softmax attention over what
 * the chunks end with.
 *
 * Math    chunks of L tokens; from zero at the start of each,
 *             K_t = g_t K_{t-1} + (1 - g_t) k_t,   V_t likewise,
 *         and row t is one softmax of scale q_t . K over the last states of earlier
 *         chunks and its own state K_t, of values V. Token j of a state that ends at e
 *         counts (1 - g_j) prod_{j<t<=e} g_t in it. g is a number for all, for every
 *         token, or for every token and channel; then the weight of a token is the
 *         mean over channels, and outputs are those of the channels.
 *         Under a sliding window the own state begins at its first key, and a chunk
 *         counts that is seen whole.
 * Oracle  L = 1, g = 0: dense attention. L >= n: the recurrence alone. Equal gates g:
 *         a state of l tokens sums to 1 - g^l. G8 rows.
 * Source  Wei et al., arXiv 2507.04416; CLAIRE-Labo/RAT, src/model/backbone/rat;
 *         cards/kernel-theory.md, card 13. A gate as a parameter is ours.
 * Cost    index: 3 (d + dv) flop a token, under a window of less than L its width
 *         times that; entries of a row: t / L + 1. Lists of the tokens of states, for
 *         the implied weights alone: n L / 2, by channels d times that in flop.
 * Limits  causal heads without position biases or a soft-cap: a state has no position.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/grouping.h"
#include "approx/plain_head.h"
#include "approx/token_gates.h"
#include "core/rows.h"

typedef struct rat {
    int64_t chunk;
    double gate;
} rat;

static const atn_param params[] = {
    ATN_PARAM_I64(rat, chunk, 16, 1, 1 << 30, "tokens of a chunk"),
    ATN_PARAM_F64(rat, gate, .5, 0, 1,
                  "what a state keeps of the one before, where no file says"),
    ATN_PARAM_END,
};

/* Tokens [from, to) of a state. */
typedef struct stretch {
    atn_idx from, to;
} stretch;

typedef struct job {
    const atn_head *h;
    const rat *t;
    double *gate; /* [nk] or [nk, channels] */
    atn_idx channels;
    atn_idx ends; /* states that end a chunk, then one of every row */
    stretch *of;  /* [ends + nq] */
    atn_idx states;
    atn_plan *out;
} job;

/* ---- which states there are ---- */

static atn_idx chunk_of(const job *j)
{
    return ATN_MIN(j->t->chunk, j->h->nk);
}

static stretch own_state(const job *j, atn_idx i)
{
    atn_idx lo, hi;

    atn_sight_row(&j->h->sight, i, &lo, &hi);
    if (lo >= hi) return (stretch){0, 0};
    return (stretch){ATN_MAX(lo, (hi - 1) / chunk_of(j) * chunk_of(j)), hi};
}

/* Chunks [*first, *last) of which row i sees the last state. */
static void chunks_seen(const job *j, atn_idx i, atn_idx *first, atn_idx *last)
{
    const atn_idx size = chunk_of(j);
    atn_idx lo, hi;

    atn_sight_row(&j->h->sight, i, &lo, &hi);
    *first = (lo + size - 1) / size;
    *last = lo < hi ? ATN_MAX((hi - 1) / size, *first) : *first;
}

static atn_status list_states(atn_ctx *cx, job *j)
{
    const atn_idx size = chunk_of(j);
    atn_status st = ATN_OK;

    j->ends = j->h->nk / size;
    j->states = j->ends + j->h->nq;
    if (j->states > INT32_MAX - j->h->nk)
        ATN_FAIL(ATN_MEMORY, "rat: %lld states are too many", (long long)j->states);
    ATN_TAKE(j->of, j->states);
    for (atn_idx c = 0; c < j->ends; c++)
        j->of[c] = (stretch){c * size, (c + 1) * size};
    for (atn_idx i = 0; i < j->h->nq; i++) j->of[j->ends + i] = own_state(j, i);
done:
    return st;
}

/* ---- what they are ---- */

/* The state of tokens [from, to), as far as it went. */
typedef struct running {
    stretch of;
    double *sums; /* [d + dv] */
} running;

/* x <- g x + (1 - g) token, of every channel. */
static void step(const double *gate, atn_idx channels, const float *token, atn_idx n,
                 double *x)
{
    for (atn_idx e = 0; e < n; e++) {
        const double g = gate[channels > 1 ? e : 0];

        x[e] = g * x[e] + (1 - g) * (double)token[e];
    }
}

/* Goes on to the end of s where r is its beginning, else from zero. */
static void run_to(const job *j, const stretch *s, running *r)
{
    const atn_head *h = j->h;
    const atn_idx d = h->k.cols, dv = h->v.data ? h->v.cols : 0;

    if (r->of.from != s->from || r->of.to > s->to) {
        memset(r->sums, 0, (size_t)(d + dv) * sizeof *r->sums);
        r->of.to = s->from;
    }
    for (atn_idx t = r->of.to; t < s->to; t++) {
        const double *gate = j->gate + t * j->channels;

        step(gate, j->channels, atn_crow(h->k, t), d, r->sums);
        if (dv > 0) step(gate, j->channels, atn_crow(h->v, t), dv, r->sums + d);
    }
    r->of = *s;
}

/* w [tokens] <- what each counts in a state; left [channels] is scratch. */
static void weigh(const job *j, const stretch *s, float *w, double *left)
{
    const atn_idx n = j->channels;

    for (atn_idx c = 0; c < n; c++) left[c] = 1;
    for (atn_idx t = s->to - 1; t >= s->from; t--) {
        const double *gate = j->gate + t * n;
        double mean = 0;

        for (atn_idx c = 0; c < n; c++) {
            mean += left[c] * (1 - gate[c]) / (double)n;
            left[c] *= gate[c];
        }
        w[t - s->from] = (float)mean;
    }
}

/* Beginning again at the first state of a task is little beside a chunk of rows. */
enum { STATES_LEAST = 64, STATES_MOST = 1024 };

static atn_idx states_of_task(const job *j)
{
    return ATN_MAX((atn_idx)STATES_LEAST, ATN_MIN(chunk_of(j), (atn_idx)STATES_MOST));
}

static atn_status fill_states(atn_ctx *cx, atn_idx task, void *state)
{
    const job *j = state;
    const atn_idx d = j->h->k.cols, dv = j->h->v.data ? j->h->v.cols : 0;
    const atn_idx size = states_of_task(j), first = task * size;
    const atn_arena_mark mark = atn_arena_save(cx);
    running r = {.of = {-1, -1}};
    atn_plan *out = j->out;
    atn_status st = ATN_OK;
    double *left = NULL;

    ATN_TAKE(r.sums, d + dv);
    ATN_TAKE(left, j->channels);
    for (atn_idx v = first; v < ATN_MIN(first + size, j->states); v++) {
        const stretch *s = &j->of[v];

        run_to(j, s, &r);
        weigh(j, s, out->expand_weight + out->expand_ptr[v], left);
        for (atn_idx t = s->from; t < s->to; t++)
            out->expand[out->expand_ptr[v] + t - s->from] = (int32_t)t;
        for (atn_idx e = 0; e < d; e++) out->vk[v * d + e] = (float)r.sums[e];
        for (atn_idx e = 0; e < dv; e++) out->vv[v * dv + e] = (float)r.sums[d + e];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status make_states(atn_ctx *cx, job *j)
{
    const atn_idx d = j->h->k.cols, dv = j->h->v.data ? j->h->v.cols : 0;
    atn_idx members = 0, numbers = 0;
    atn_plan *out = j->out;
    atn_status st = ATN_OK;

    for (atn_idx v = 0; v < j->states; v++) members += j->of[v].to - j->of[v].from;
    if (!atn_mul(j->states, d + dv, &numbers))
        ATN_FAIL(ATN_MEMORY, "rat: %lld states are too many", (long long)j->states);
    ATN_TRY(atn_mem_check(
        cx, 8 * (double)members + 4 * (double)numbers + 8 * (double)j->states,
        "rat: states (give a smaller chunk)"));
    out->virtuals = j->states;
    ATN_NEW(out->vk, j->states * d);
    if (j->h->v.data) ATN_NEW(out->vv, j->states * dv);
    ATN_NEW(out->expand_ptr, j->states + 1);
    for (atn_idx v = 0; v < j->states; v++)
        out->expand_ptr[v + 1] = out->expand_ptr[v] + j->of[v].to - j->of[v].from;
    ATN_NEW(out->expand, members);
    ATN_NEW(out->expand_weight, members);
    ATN_TRY(atn_parallel(cx, (j->states + states_of_task(j) - 1) / states_of_task(j),
                         fill_states, j, "states"));
    /* every key is read, every state written */
    out->index_flops = 3 * (double)j->h->nk * (double)(d + dv);
    out->index_bytes = ATN_COST_BYTES * 2 * (double)j->h->nk * (double)(d + dv);
done:
    return st;
}

/* ---- who reads what ---- */

/* Rows of the same chunks in one group. */
static atn_status group_ends(atn_ctx *cx, const job *j, atn_grouping *g)
{
    atn_idx first = -1, last = -1;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < j->h->nq; i++) {
        const int32_t row = (int32_t)i;
        atn_idx from, to;

        chunks_seen(j, i, &from, &to);
        if (from == to) continue;
        if (from != first || to != last) {
            ATN_TRY(atn_grouping_begin(cx, g));
            for (atn_idx c = from; c < to; c++) {
                const int32_t key = (int32_t)(j->h->nk + c);

                ATN_TRY(atn_grouping_keys(cx, g, &key, 1, 0));
            }
        }
        first = from;
        last = to;
        ATN_TRY(atn_grouping_rows(cx, g, &row, 1));
    }
done:
    return st;
}

static atn_status group_own(atn_ctx *cx, const job *j, atn_grouping *g)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < j->h->nq; i++) {
        const int32_t row = (int32_t)i, key = (int32_t)(j->h->nk + j->ends + i);
        const stretch *s = &j->of[j->ends + i];

        if (s->from >= s->to) continue;
        ATN_TRY(atn_grouping_begin(cx, g));
        ATN_TRY(atn_grouping_rows(cx, g, &row, 1));
        ATN_TRY(atn_grouping_keys(cx, g, &key, 1, 0));
    }
done:
    return st;
}

static atn_status group_all(atn_ctx *cx, const job *j)
{
    const double ends = (double)j->ends;
    const atn_grouping_size size = {j->ends + j->h->nq, 2 * j->h->nq,
                                    (atn_idx)(ends * ends / 2) + j->h->nq, false};
    atn_grouping g = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_grouping_open(cx, &size, "rat: who reads what", &g));
    ATN_TRY(group_ends(cx, j, &g));
    ATN_TRY(group_own(cx, j, &g));
    j->out->branches = 1;
    j->out->tile_rows = j->out->tile_keys = 1;
    atn_grouping_finish(cx, &g, &j->out->branch[0]);
done:
    atn_grouping_release(cx, &g);
    return st;
}

/* ---- planning ---- */

/* Of every token and channel, of every token, or the parameter. */
static atn_status read_gates(atn_ctx *cx, const atn_input *in, job *j)
{
    const atn_head *h = j->h;
    const atn_idx d = h->k.cols;
    const atn_gates by_channel = {"rat", "channel_gates", h, d, 1};
    const atn_gates by_token = {"rat", "gates", h, 0, 1};
    atn_status st = ATN_OK;
    bool found = false;
    atn_idx room = 0;

    if (!atn_mul(h->nk, d, &room))
        ATN_FAIL(ATN_MEMORY, "rat: %lld keys are too many", (long long)h->nk);
    j->channels = 1;
    ATN_TAKE(j->gate, in->draws ? room : h->nk);
    if (in->draws) ATN_TRY(atn_gates_read(cx, in, &by_channel, j->gate, &found));
    if (found) j->channels = d;
    if (found && h->v.data && h->v.cols != d)
        ATN_FAIL(
            ATN_DATA,
            "rat: gates of channels need values as wide as keys, and those of layer "
            "%d are %lld and %lld (give gates of tokens)",
            h->layer, (long long)h->v.cols, (long long)d);
    if (!found) ATN_TRY(atn_gates_read(cx, in, &by_token, j->gate, &found));
    for (atn_idx t = 0; !found && t < h->nk; t++) j->gate[t] = j->t->gate;
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.h = &in->head[first], .t = params_, .out = out};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(atn_bare_logits(cx, j.h, "rat", ATN_PLACE_SINK));
    ATN_TRY(read_gates(cx, in, &j));
    ATN_TRY(list_states(cx, &j));
    ATN_TRY(make_states(cx, &j));
    ATN_TRY(group_all(cx, &j));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const job j = {.h = h, .t = params_};

    *out = (atn_spending){0};
    for (atn_idx i = 0; i < h->nq; i++) {
        const stretch s = own_state(&j, i);
        atn_idx from, to;

        chunks_seen(&j, i, &from, &to);
        out->executed += (double)(to - from + (s.from < s.to));
    }
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    const job j = {.h = h, .t = params_};
    const double size = (double)chunk_of(&j), nk = (double)h->nk, nq = (double)h->nq;
    const double ends = floor(nk / size), states = ends + nq;
    const double width = (double)(h->k.cols + h->v.cols);
    const double members = ends * size + nq * size;
    const double groups = 8 * 2 * states + 4 * 2 * nq + 4 * (ends * ends + 2 * nq);

    return 8 * nk * (in->draws ? (double)h->k.cols * 1.5 : 1) + 16 * states +
           8 * members + states * (4 * width + 8) + 2 * groups +
           (double)cx->threads * 16 * (width + 16) + ATN_METHOD_LITTLE;
}

const atn_method atn_method_rat = {
    .id = "rat",
    .title = "RAT",
    .family = "recurrent",
    .source = "Wei et al., arXiv 2507.04416, CLAIRE-Labo/RAT",
    .text = "the state of its own chunk, and the last ones of earlier chunks",
    .reads = ATN_READS_QK | ATN_READS_GIVEN,
    .sides = ATN_CAUSAL,
    .params = params,
    .params_size = sizeof(rat),
    .budget = "chunk",
    .budget_falls = true,
    .spends = spends,
    .weights = ATN_WEIGHTS_FREE,
    .exact = "chunk=1,gate=0",
    .plan = plan,
    .bytes = bytes,
};
