/* approx/sparsed.c -- SparseD: a diffusion model's pattern is chosen once and kept for
 * the steps that follow.
 *
 * Math    T steps, e = int(T skip) + 1: steps 0 .. e are dense. In step e, for a block
 *         a of queries, I_ac = sum of P over its rows and the keys of block c. K1 = the
 *         int(nb ratio) + 1 best of the nb blocks, of which those from block g on are
 *         dropped; K2 = the int((nb - g) ratio) + 1 best of the blocks from g on by P',
 *         a softmax over these keys alone. Later steps keep K1 and K2. g = the first
 *         block without a token of the prompt, or the last block.
 * Oracle  ratio = 1, or one block: dense. Every block of queries keeps a block of the
 *         generation. Equal Q and K in all steps: the same rows in all of them.
 * Source  Wang et al., arXiv 2509.24014, and its code, whose mean over a zero-padded
 *         block ranks as the sum does.
 * Cost    one dense pass, in double, which the steps after e share. Memory a tile of
 *         rows a thread.
 * Limits  needs the step e of the same layer. As published (the LLaDA path) the logits
 *         that choose are scaled by 1 / sqrt(heads).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/replay.h"
#include "core/wide_rows.h"

typedef struct sparsed {
    double skip, ratio;
    int64_t block, prompt;
} sparsed;

static const atn_param params[] = {
    ATN_PARAM_F64(sparsed, ratio, 0.3, 0, 1,
                  "blocks kept, as a share of all and of those generated"),
    ATN_PARAM_I64(sparsed, block, 128, 1, 1 << 20, "tokens of a block"),
    ATN_PARAM_F64(sparsed, skip, 0.2, 0, 1, "share of the steps that begin dense"),
    ATN_PARAM_I64(sparsed, prompt, 0, 0, ATN_PATTERN_KEYS_MOST,
                  "tokens of the prompt; 0: as captured, else a quarter"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"sparsed_short", "ratio=0.5,block=32", "the paper's setting for short texts"},
    {NULL, NULL, NULL},
};

typedef struct job {
    const sparsed *t;
    atn_head h; /* of the step that chooses */
    atn_idx blocks, cut;
    atn_idx most, most_new; /* blocks kept of all, and of those from cut on */
    atn_chosen *rows;
    atn_idx first;
    int64_t *ties; /* [lists] */
} job;

/* Of one list; what a row sees is [lo, hi). */
typedef struct scores {
    double *all, *late; /* [blocks] */
    double *z, *row;    /* logits of a tile; of one row */
    atn_idx *best;
} scores;

/* Adds the weights x of some keys to the sums of their blocks. */
static void add_blocks(const job *j, const double *x, atn_span keys, double *sums)
{
    const atn_idx b = j->t->block;

    for (atn_idx k = keys.lo; k < keys.hi;) {
        const atn_idx end = ATN_MIN((k / b + 1) * b, keys.hi), c = k / b;
        double sum = 0;

        for (; k < end; k++) sum += x[k - keys.lo];
        sums[c] = ATN_MAX(sums[c], 0.0) + sum; /* -inf: no one saw it before */
    }
}

/* Row i, whose logits with the keys that it sees are z. */
static atn_status add_row(atn_ctx *cx, const job *j, atn_idx i, atn_span keys,
                          const double *z, scores *s)
{
    const atn_span late = {ATN_MAX(keys.lo, j->cut * j->t->block), keys.hi};
    atn_status st = ATN_OK;
    double mass;

    memcpy(s->row, z, (size_t)(keys.hi - keys.lo) * sizeof *z);
    ATN_TRY(atn_wide_softmax(cx, &j->h, i, s->row, keys.hi - keys.lo, &mass));
    add_blocks(j, s->row, keys, s->all);
    if (late.lo >= late.hi) goto done;
    memcpy(s->row, z + (late.lo - keys.lo), (size_t)(late.hi - late.lo) * sizeof *z);
    ATN_TRY(atn_wide_softmax(cx, &j->h, i, s->row, late.hi - late.lo, &mass));
    add_blocks(j, s->row, late, s->late);
done:
    return st;
}

static atn_status add_rows(atn_ctx *cx, const job *j, atn_idx first, atn_idx end,
                           scores *s)
{
    const atn_idx rows = ATN_MIN(atn_wide_rows(&j->h), j->t->block);
    atn_status st = ATN_OK;

    for (atn_idx i = first; i < end; i += rows) {
        const atn_tile t = atn_tile_of(&j->h, i, ATN_MIN(rows, end - i));

        ATN_TRY(atn_stopped(cx, "sparsed"));
        ATN_TRY(atn_wide_logits(cx, &j->h, &t, s->z));
        for (atn_idx r = 0; r < t.rows; r++) {
            atn_span keys;

            atn_sight_row(&j->h.sight, i + r, &keys.lo, &keys.hi);
            if (keys.lo >= keys.hi) continue;
            ATN_TRY(
                add_row(cx, j, i + r, keys, s->z + r * t.keys + (keys.lo - t.key0), s));
        }
    }
done:
    return st;
}

static atn_status take_scores(atn_ctx *cx, const job *j, scores *s)
{
    const atn_idx rows = ATN_MIN(atn_wide_rows(&j->h), j->t->block);
    atn_status st = ATN_OK;

    ATN_TAKE(s->all, j->blocks);
    ATN_TAKE(s->late, j->blocks);
    ATN_TAKE(s->z, rows * j->h.nk);
    ATN_TAKE(s->row, j->h.nk);
    ATN_TAKE(s->best, 2 * j->blocks);
    for (atn_idx c = 0; c < j->blocks; c++) s->all[c] = s->late[c] = -INFINITY;
done:
    return st;
}

/* The blocks of list r: rows [r block, (r + 1) block). */
static atn_status choose(atn_ctx *cx, atn_idx n, void *state)
{
    const job *j = state;
    const atn_idx r = j->first + n, b = j->t->block, offset = j->h.sight.offset;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx kept, late;
    scores s = {0};

    ATN_TRY(take_scores(cx, j, &s));
    ATN_TRY(add_rows(cx, j, ATN_MAX(r * b - offset, 0),
                     ATN_MIN((r + 1) * b - offset, j->h.nq), &s));
    kept = atn_best_wide(s.all, j->blocks, j->most, s.best, &j->ties[n]);
    while (kept > 0 && s.best[kept - 1] >= j->cut) kept--;
    late = atn_best_wide(s.late, j->blocks, j->most_new, s.best + kept, &j->ties[n]);
    ATN_TRY(atn_chosen_put_blocks(cx, j->rows, r, s.best, kept + late));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Blocks of a share of n, one more than it has. */
static atn_idx share_of(double ratio, atn_idx n)
{
    return ATN_MIN((atn_idx)((double)n * ratio) + 1, n);
}

/* One dense pass and the comparisons, shared by the steps that keep the pattern. */
static void count(const job *j, double steps, atn_plan *out)
{
    const double pairs = atn_visible_pairs(&j->h), d = (double)j->h.q.cols;
    const double lists = ceil((double)j->h.nq / (double)j->t->block);
    const double blocks = lists * (double)j->blocks;

    out->index_flops = (pairs * (2 * d + 2) + 2 * blocks) / steps;
    out->index_bytes = ATN_COST_BYTES *
                       (d * ((double)j->h.nq + lists * (double)j->h.nk) + blocks) /
                       steps;
}

static atn_status run(atn_ctx *cx, job *j, atn_plan *out)
{
    const atn_frame f = atn_head_frame(&j->h, j->t->block);
    atn_pattern *pattern = NULL;
    atn_status st = ATN_OK;
    atn_idx end;

    ATN_TRY(atn_chosen_open(cx, &f, j->t->block, &j->rows));
    atn_chosen_lists(j->rows, &j->first, &end);
    ATN_TAKE(j->ties, end - j->first);
    memset(j->ties, 0, (size_t)(end - j->first) * sizeof *j->ties);
    ATN_TRY(atn_parallel(cx, end - j->first, choose, j, "sparsed"));
    st = atn_chosen_finish(cx, j->rows, &pattern);
    j->rows = NULL;
    if (st != ATN_OK) goto done;
    atn_plan_mask(out, pattern, 0, j->t->block, j->t->block);
    for (atn_idx n = 0; n < end - j->first; n++) out->ties += j->ties[n];
done:
    atn_chosen_abandon(cx, j->rows);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const sparsed *t = params_;
    const atn_idx prompt = atn_replay_prompt(in, t->prompt), nk = in->head[first].nk;
    const int at = (int)((double)in->steps * t->skip) + 1;
    atn_status st = ATN_OK;
    job j = {.t = t, .blocks = (nk - 1) / t->block + 1};

    ATN_ASSERT(n == 1);
    if (in->at <= at) {
        atn_plan_all(out);
        return ATN_OK;
    }
    ATN_TRY(atn_step_check(cx, "sparsed", in, at));
    j.h = in->step[at].head[first];
    if (in->as_published) j.h.scale = 1 / sqrt((double)in->heads);
    j.cut = ATN_MIN((prompt - 1) / t->block + 1, j.blocks - 1);
    j.most = share_of(t->ratio, j.blocks);
    j.most_new = share_of(t->ratio, j.blocks - j.cut);
    ATN_TRY(run(cx, &j, out));
    count(&j, (double)(in->steps - 1 - at), out);
done:
    return st;
}

/* The lists, and scores of a tile and of blocks on every thread. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const sparsed *t = params_;
    const atn_head *h = &in->head[0];
    const atn_idx blocks = (h->nk - 1) / t->block + 1;
    const double lists = (double)(h->nq / t->block) + 2;
    const double most = 2 * (double)share_of(t->ratio, blocks);

    if (in->at <= (int)((double)in->steps * t->skip) + 1) return 0;
    return atn_chosen_bytes(cx, h, t->block, t->block, most) + sizeof(int64_t) * lists +
           ATN_MIN(cx->threads, lists) *
               (atn_wide_bytes(h) + 8 * (double)h->nk + 64 * (double)blocks);
}

const atn_method atn_method_sparsed = {
    .id = "sparsed",
    .title = "A pattern kept over denoising steps (SparseD)",
    .family = "block",
    .source = "Wang et al., SparseD, arXiv 2509.24014; code INV-WZQ/SparseD",
    .text =
        "the blocks that weighed most in an early step, prompt and generation apart",
    .reads = ATN_READS_QK | ATN_READS_WEIGHTS | ATN_READS_STEPS,
    .sides = ATN_BIDIRECTIONAL,
    .unit = ATN_UNIT_HEAD,
    .publishes = true,
    .params = params,
    .params_size = sizeof(sparsed),
    .presets = presets,
    .budget = "ratio",
    .plan = plan,
    .bytes = bytes,
};
