/* approx/h2o.c -- H2O: keep the keys that have collected most weight, and the latest.
 *
 * Math    decode: the prompt's rows are dense; score_j = sum over them of P_ij. Before
 *         row t the cache, when it holds more than heavy + recent keys, is cut to the
 *         keys t - recent .. t - 1 and the `heavy` best of the older ones by score; row
 *         t reads what is left and itself, P^S_t, and score_j += P^S_tj for those. What
 *         is cut never comes back. heavy, recent = int(ratio prompt), or counts.
 *         drop: the same with heavy 4 and recent 512.
 *         causal: with n keys and h = int(ratio n), the first h rows are dense and
 *         score; row i >= h reads the best h - 1 by score of what it inherits, and
 *         itself; their scores grow by the *dense* row's weights, all others are gone;
 *         beside them the band i - j <= recent, which scores nothing.
 *         global: the h best by sum_i P_ij over all rows, later ones too, and the band.
 * Oracle  equal logits: the first `heavy` keys are the heavy ones. heavy = 0: a window
 *         of recent + 1. Kept sets are nested: S_t+1 is within S_t and t + 1.
 * Source  Zhang et al. (H2O), arXiv 2306.14048, and its code: utils_hh (decode),
 *         utils_real_drop (drop), utils_lm_eval (causal, global).
 * Cost    the prompt's rows once; then 2 d flop a key kept; causal and global read all
 *         rows. Memory O(n).
 * Limits  per query head. As published: the last `recent` of decode are counted with
 *         the new token among them, so that key t - recent is hidden for the one row,
 *         and keeps its score.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/replay.h"
#include "core/row_values.h"

enum { DECODE, CAUSAL, GLOBAL, DROP };
enum { DROP_HEAVY = 4, DROP_RECENT = 512, STOP_ROWS = 256 };

typedef struct h2o {
    int mode;
    int64_t prompt, heavy, recent;
    double ratio;
} h2o;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(h2o, mode, DECODE, "decode|causal|global|drop",
                     "evict while decoding, in a causal or a global simulation, or "
                     "with fixed sizes"),
    ATN_PARAM_F64(h2o, ratio, 0.1, 0, 1,
                  "heavy and recent keys as a share of the prompt (causal, global: of "
                  "all keys; drop: not used)"),
    ATN_PARAM_I64(h2o, heavy, -1, -1, ATN_PATTERN_KEYS_MOST,
                  "heavy keys; -1: by ratio, drop 4"),
    ATN_PARAM_I64(h2o, recent, -1, -1, ATN_PATTERN_KEYS_MOST,
                  "latest keys; -1: by ratio, drop 512"),
    ATN_PARAM_I64(h2o, prompt, 0, 0, ATN_PATTERN_KEYS_MOST,
                  "tokens of the prompt; 0: as captured, else a quarter"),
    ATN_PARAM_END,
};

/* What is kept, keys ascending, and since which row. */
typedef struct replay {
    const atn_input *in;
    const atn_head *h;
    atn_idx head, prompt, last;
    atn_idx heavy, recent;
    bool published;
    atn_idx *key, *since;
    double *score, *w;
    atn_idx n;
    atn_idx *best;
    atn_lives lives;
    double flops, numbers;
    int64_t ties;
} replay;

static void set_sizes(const h2o *t, atn_idx of, replay *r)
{
    const bool drop = t->mode == DROP;
    const atn_idx share = (atn_idx)(t->ratio * (double)of);

    r->heavy = t->heavy >= 0 ? t->heavy : drop ? DROP_HEAVY : share;
    r->recent = t->recent >= 0 ? t->recent : drop ? DROP_RECENT : share;
}

/* The head with rows 0 .. rows - 1, which must be in one step. */
static atn_status whole(atn_ctx *cx, const replay *r, atn_idx rows, atn_head *out)
{
    const atn_head *of = atn_replay_rows(r->in, r->head, 0, rows);
    atn_status st = ATN_OK;

    if (!of || of->sight.offset != 0)
        ATN_FAIL(ATN_DATA,
                 "h2o sums the rows of tokens 0 to %lld, and no step of layer %d has "
                 "all of them (capture them in one step, or give prompt=N)",
                 (long long)rows - 1, r->h->layer);
    *out = *of;
    out->nq = out->q.rows = rows;
done:
    return st;
}

/* Work on row t: only that of this step counts. */
static void count(replay *r, atn_idx t, double flops, double numbers)
{
    if (t < r->h->sight.offset) return;
    r->flops += flops;
    r->numbers += numbers;
}

/* score [nk] <- sum of P over rows [0, rows). */
static atn_status column_sums(atn_ctx *cx, replay *r, atn_idx rows, double *score)
{
    const atn_row_want want = {.needs = ATN_NEED_COLUMNS};
    atn_row_out out = {.columns = score};
    atn_status st = ATN_OK;
    atn_head h;

    ATN_TRY(whole(cx, r, rows, &h));
    count(r, rows - 1, atn_visible_pairs(&h), atn_visible_pairs(&h) + (double)rows);
    ATN_TRY(atn_row_values(cx, &h, 1, &want, &out));
done:
    return st;
}

/* ---- the cache ---- */

/* Entry e is not read from row t on. */
static atn_status end_life(atn_ctx *cx, replay *r, atn_idx e, atn_idx t)
{
    const atn_slice s = {{r->since[e], t}, {r->key[e], r->key[e] + 1}, 0};

    return atn_lives_add(cx, &r->lives, s);
}

static void close_gap(replay *r, atn_idx from, atn_idx to)
{
    const size_t after = (size_t)(r->n - to);

    memmove(r->key + from, r->key + to, after * sizeof *r->key);
    memmove(r->since + from, r->since + to, after * sizeof *r->since);
    memmove(r->score + from, r->score + to, after * sizeof *r->score);
    r->n -= to - from;
}

/* Takes out the entries [from, to), which row t does not read. */
static atn_status take_out(atn_ctx *cx, replay *r, atn_idx from, atn_idx to, atn_idx t)
{
    atn_status st = ATN_OK;

    for (atn_idx e = from; e < to; e++) ATN_TRY(end_life(cx, r, e, t));
    close_gap(r, from, to);
done:
    return st;
}

/* Cuts the first `older` entries to the `keep` best; row t does not read the rest. */
static atn_status cut(atn_ctx *cx, replay *r, atn_idx older, atn_idx keep, atn_idx t)
{
    atn_status st = ATN_OK;
    atn_idx kept, next = 0;

    count(r, t, (double)older, 0);
    if (older <= keep) return ATN_OK;
    if (older == keep + 1) {
        const atn_idx e = atn_worst_wide(r->score, older, &r->ties);

        return take_out(cx, r, e, e + 1, t);
    }
    kept = atn_best_wide(r->score, older, keep, r->best, &r->ties);
    for (atn_idx e = 0; e < older; e++) {
        if (next == kept || r->best[next] != e) {
            ATN_TRY(end_life(cx, r, e, t));
            continue;
        }
        r->key[next] = r->key[e];
        r->since[next] = r->since[e];
        r->score[next++] = r->score[e];
    }
    close_gap(r, next, older);
done:
    return st;
}

/* Keys that row t does not see any more. */
static atn_status leave_sight(atn_ctx *cx, replay *r, atn_idx t)
{
    atn_idx lo, hi, gone = 0;

    atn_replay_sees(r->h, t, &lo, &hi);
    while (gone < r->n && r->key[gone] < lo) gone++;
    return gone ? take_out(cx, r, 0, gone, t) : ATN_OK;
}

static void put(replay *r, atn_idx key, atn_idx row, double score)
{
    r->key[r->n] = key;
    r->since[r->n] = row;
    r->score[r->n++] = score;
}

static atn_idx older_than(const replay *r, atn_idx key)
{
    atn_idx lo = 0, hi = r->n;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (r->key[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static atn_status close_all(atn_ctx *cx, replay *r)
{
    return take_out(cx, r, 0, r->n, r->last + 1);
}

/* ---- decoding ---- */

/* As published, key t - recent is not read by row t; its entry, or -1. */
static atn_status hide(atn_ctx *cx, replay *r, atn_idx t, atn_idx *hidden)
{
    const atn_idx e = older_than(r, t - r->recent);
    atn_status st = ATN_OK;

    *hidden = -1;
    if (!r->published || r->recent == 0 || t <= r->heavy + r->recent) return ATN_OK;
    if (e == r->n || r->key[e] != t - r->recent) return ATN_OK;
    ATN_TRY(end_life(cx, r, e, t));
    r->since[e] = t + 1;
    *hidden = e;
done:
    return st;
}

/* Row t reads the cache, and itself if it is to stay, and adds to the scores. */
static atn_status read_row(atn_ctx *cx, replay *r, atn_idx t)
{
    const float *q = atn_replay_query(r->in, r->head, t);
    atn_status st = ATN_OK;
    atn_idx hidden = -1, n;

    ATN_TRY(hide(cx, r, t, &hidden));
    /* without recent keys the published mask hides the new one, for good */
    if (t < r->h->nk &&
        !(r->published && r->recent == 0 && r->heavy > 0 && t > r->heavy))
        put(r, t, t, 0);
    memcpy(r->best, r->key, (size_t)r->n * sizeof *r->best);
    n = r->n;
    if (hidden >= 0) {
        memmove(r->best + hidden, r->best + hidden + 1,
                (size_t)(n - hidden - 1) * sizeof *r->best);
        n--;
    }
    atn_kept_weights(r->h, q, t, r->best, n, r->w);
    for (atn_idx e = 0, from = 0; e < r->n; e++)
        if (e != hidden) r->score[e] += r->w[from++];
    count(r, t, (double)n, 3 * (double)n); /* weights, scores before and after */
done:
    return st;
}

static atn_status decode(atn_ctx *cx, replay *r)
{
    atn_status st = ATN_OK;
    double *sums = NULL;

    ATN_TRY(atn_lives_prompt(cx, &r->lives, r->prompt));
    if (r->prompt > r->last) goto done;
    ATN_TAKE(sums, r->h->nk);
    ATN_TRY(column_sums(cx, r, r->prompt, sums));
    for (atn_idx j = 0; j < r->prompt; j++) put(r, j, r->prompt, sums[j]);
    for (atn_idx t = r->prompt; t <= r->last; t++) {
        if (t % STOP_ROWS == 0) ATN_TRY(atn_stopped(cx, "h2o"));
        ATN_TRY(leave_sight(cx, r, t));
        if (r->n > r->heavy + r->recent)
            ATN_TRY(cut(cx, r, older_than(r, t - r->recent), r->heavy, t));
        ATN_TRY(read_row(cx, r, t));
    }
    ATN_TRY(close_all(cx, r));
done:
    return st;
}

/* ---- the simulations ---- */

/* Every row reads the keys i - recent .. i. */
static atn_status add_band(atn_ctx *cx, replay *r)
{
    const atn_idx end = r->last + 1, w = ATN_MIN(r->recent, end);
    atn_status st = ATN_OK;

    ATN_TRY(atn_lives_prompt(cx, &r->lives, w));
    ATN_TRY(atn_lives_add(
        cx, &r->lives,
        (atn_slice){{w, end}, {0, end}, ATN_SLICE_BEGINS | ATN_SLICE_ENDS}));
done:
    return st;
}

static atn_status keep_lse(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                           atn_cmat p, const atn_row_info *info, void *state)
{
    double *lse = state;

    (void)cx;
    (void)h;
    (void)p;
    for (atn_idx i = 0; i < t->rows; i++) lse[t->first + i] = info[i].lse;
    return ATN_OK;
}

/* The dense weights of row t at the keys kept, its logarithm of the sum known. */
static void score_row(replay *r, atn_idx t, double lse)
{
    const float *q = atn_replay_query(r->in, r->head, t);
    const atn_head *h = r->h;
    const double sink = h->has_sink ? exp(h->sink - lse) : 0;

    for (atn_idx e = 0; e < r->n; e++)
        r->score[e] += exp(atn_key_logit(h, q, t, r->key[e]) - lse) / (1 + sink);
    count(r, t, (double)r->n, 3 * (double)r->n);
}

static atn_status causal(atn_ctx *cx, replay *r)
{
    const atn_idx dense = ATN_MIN(r->heavy, r->last + 1);
    atn_status st = ATN_OK;
    double *sums = NULL, *lse = NULL;
    atn_head h;

    ATN_TRY(add_band(cx, r));
    ATN_TRY(atn_lives_prompt(cx, &r->lives, dense));
    if (dense < 1 || dense > r->last) goto done;
    ATN_TAKE(sums, r->h->nk);
    ATN_TRY(column_sums(cx, r, dense, sums));
    ATN_TAKE(lse, r->last + 1);
    ATN_TRY(whole(cx, r, r->last + 1, &h));
    ATN_TRY(atn_rows_stream(cx, &h, 1, keep_lse, lse, "h2o"));
    count(r, r->last, 2 * (double)h.q.cols * atn_visible_pairs(&h), 0);
    for (atn_idx j = 0; j < dense; j++) put(r, j, dense, sums[j]);
    for (atn_idx t = dense; t <= r->last; t++) {
        if (t % STOP_ROWS == 0) ATN_TRY(atn_stopped(cx, "h2o"));
        ATN_TRY(leave_sight(cx, r, t));
        ATN_TRY(cut(cx, r, r->n, r->heavy - 1, t));
        if (t < r->h->nk) put(r, t, t, 0);
        score_row(r, t, lse[t]);
    }
    ATN_TRY(close_all(cx, r));
done:
    return st;
}

static atn_status global(atn_ctx *cx, replay *r)
{
    const atn_idx end = r->last + 1;
    atn_status st = ATN_OK;
    double *sums = NULL;
    atn_idx n;

    ATN_TAKE(sums, r->h->nk);
    ATN_TRY(add_band(cx, r));
    ATN_TRY(column_sums(cx, r, end, sums));
    count(r, r->last, 2 * (double)r->h->q.cols * atn_visible_pairs(r->h), 0);
    n = atn_best_wide(sums, ATN_MIN(end, r->h->nk), r->heavy, r->best, &r->ties);
    for (atn_idx b = 0; b < n; b++) {
        const atn_idx j = r->best[b];

        ATN_TRY(atn_lives_add(cx, &r->lives, (atn_slice){{j, end}, {j, j + 1}, 0}));
    }
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const h2o *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx room = h->nk + 1;
    const bool simulated = t->mode == CAUSAL || t->mode == GLOBAL;
    atn_status st = ATN_OK;
    replay r = {.in = in, .h = h, .head = first, .last = atn_replay_last(in)};

    ATN_ASSERT(n == 1);
    r.prompt = atn_replay_prompt(in, t->prompt);
    r.published = in->as_published && t->mode == DECODE;
    set_sizes(t, simulated ? h->nk : r.prompt, &r);
    ATN_TRY(atn_replay_check(cx, "h2o", in, 0));
    ATN_TAKE(r.key, room);
    ATN_TAKE(r.since, room);
    ATN_TAKE(r.score, room);
    ATN_TAKE(r.w, room);
    ATN_TAKE(r.best, room);
    if (t->mode == CAUSAL)
        ATN_TRY(causal(cx, &r));
    else if (t->mode == GLOBAL)
        ATN_TRY(global(cx, &r));
    else
        ATN_TRY(decode(cx, &r));
    ATN_TRY(atn_lives_plan(cx, &r.lives, h, out));
    out->index_flops = r.flops;
    out->index_bytes = ATN_COST_BYTES * r.numbers;
    out->ties = r.ties;
done:
    atn_lives_release(cx, &r.lives);
    return st;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const h2o *t = params_;

    (void)in;
    return t->mode == GLOBAL ? ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES : 0;
}

/* Keys, rows since which, scores, weights, candidates; what was kept when, as it grows
 * and as the plan has it; a dense pass. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)params_;
    return (10 * 8 + 7 * sizeof(atn_slice)) * (double)(h->nk + 1) +
           atn_rows_stream_bytes(cx, h, 1) + 24 * (double)(h->nq + h->nk);
}

const atn_method atn_method_h2o = {
    .id = "h2o",
    .title = "Heavy hitters (H2O)",
    .family = "eviction",
    .source = "Zhang et al., H2O, arXiv 2306.14048; code FMInference/H2O",
    .text = "the keys that collected most weight so far, and the latest",
    .reads = ATN_READS_QK | ATN_READS_WEIGHTS | ATN_READS_PAST,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_HEAD,
    .publishes = true,
    .params = params,
    .params_size = sizeof(h2o),
    .budget = "ratio",
    .looks = looks,
    .dense = "all rows are those of the prompt, or ratios hold the whole text (give "
             "--prompt N, or smaller ones)",
    .plan = plan,
    .bytes = bytes,
};
