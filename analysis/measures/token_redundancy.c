/* analysis/measures/token_redundancy.c -- how many different tokens does a layer hold?
 *
 * Math    of keys, values and the layer's input, padding aside: mean cosine of all
 *         pairs, as they are and centred, and effective count (analysis/token_set.h).
 *         compaction  M = floor(m / r) clusters of the m keys (analysis/kmeans.h) stand
 *                     in for them (analysis/compaction.h); relative error of the
 *                     output, r = 2 .. 32.
 *         registers   keys whose column sum is above 3 times that of uniform attention
 *                     and whose value's norm is below half or above twice the mean
 *                     norm.
 * Oracle  unit vectors (1,0), (1,0), (0,1): 1/3; duplicates within their clusters:
 *         error 0.
 * Source  after Zhang et al., arXiv 2501.16297 (FALCON): 64 registers for 576 patches,
 *         a ninth; the paper shows redundancy in pictures, the numbers are derived.
 * Cost    O(n d) for cosines, n d^2 for counts; clusters 2 n M d flop a round, up to
 *         50, and n M (d + dv) products in double a head: minutes beyond some thousand
 *         keys, so max_keys (4096) bounds them. Registers: one pass, a head at a time.
 * Limits  labels come from all keys, so a causal row's clusters look ahead. Clusters of
 *         rotated keys mix content with position. No compaction without Q and K, no
 *         registers on sampled rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/compaction.h"
#include "analysis/kmeans.h"
#include "analysis/layer_facts.h"
#include "analysis/token_set.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

extern const atn_measure atn_measure_token_redundancy;

enum { KEYS, VALUES, HIDDEN, SETS };
enum { COSINE, CENTRED, COUNT, EACH };
enum { COMPACTION = SETS * EACH, RATIOS = 6, REGISTERS = COMPACTION + RATIOS, N_COLS };
static const atn_idx ratios[RATIOS] = {2, 4, 8, 9, 16, 32};

typedef struct token_params {
    int64_t max_keys, rounds;
} token_params;

static const atn_param params[] = {
    ATN_PARAM_I64(token_params, max_keys, 4096, 0, 1 << 20,
                  "keys up to which clusters are made"),
    ATN_PARAM_I64(token_params, rounds, 50, 1, 10000, "rounds of Lloyd's method"),
    ATN_PARAM_END,
};

typedef struct job {
    const atn_layer_facts *f;
    const token_params *p;
    atn_idx *first; /* [groups] first head of every KV head with a head asked for */
    atn_idx *size;  /* [groups] its heads */
    atn_idx groups;
    atn_cmat hidden; /* tokens that are no padding; data NULL = none */
    double *out;
} job;

/* ---- sets of tokens ---- */

/* Rows [from, to) of m. */
static atn_cmat some_rows(atn_cmat m, atn_idx from, atn_idx to)
{
    return (atn_cmat){m.data ? atn_crow(m, from) : NULL, ATN_MAX(to - from, 0), m.cols,
                      m.ld};
}

/* Set number i: keys and values of the groups, then the hidden states. */
static atn_cmat set_of(const job *j, atn_idx i)
{
    const atn_head *h = &j->f->head[j->first[i / HIDDEN < j->groups ? i / HIDDEN : 0]];

    if (i == HIDDEN * j->groups) return j->hidden;
    return some_rows(i % HIDDEN == KEYS ? h->k : h->v, h->sight.key_first,
                     h->sight.key_last);
}

static atn_status one_set(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_cmat x = set_of(j, i);
    const bool hidden = i == HIDDEN * j->groups;
    const atn_idx first = hidden ? 0 : j->first[i / HIDDEN];
    const atn_idx n = hidden ? j->f->heads : j->size[i / HIDDEN];
    const int set = hidden ? HIDDEN : (int)(i % HIDDEN);
    atn_status st = ATN_OK;
    double value[EACH];

    if (!x.data || x.cols == 0) return ATN_OK;
    ATN_TRY(atn_tokens_cosine(cx, x, false, &value[COSINE]));
    ATN_TRY(atn_tokens_cosine(cx, x, true, &value[CENTRED]));
    ATN_TRY(atn_tokens_effective(cx, x, &value[COUNT]));
    for (atn_idx h = first; h < first + n; h++)
        memcpy(j->out + h * N_COLS + set * EACH, value, sizeof value);
done:
    return st;
}

/* ---- compaction ---- */

static atn_status one_compaction(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_layer_facts *f = j->f;
    const atn_idx first = j->first[i / RATIOS], n = j->size[i / RATIOS];
    const atn_head *h = &f->head[first];
    const atn_idx from = h->sight.key_first, keys = h->sight.key_last - from;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_compaction by = {.clusters = ATN_MAX(keys / ratios[i % RATIOS], (atn_idx)1)};
    atn_status st = ATN_OK;
    int32_t *label = NULL;
    double *error = NULL;

    ATN_TAKE(label, h->nk);
    ATN_TAKE(error, n);
    ATN_TRY(atn_kmeans(cx, some_rows(h->k, from, from + keys), by.clusters,
                       (int)j->p->rounds, label + from));
    by.label = label;
    by.first_row = atn_layer_first_row(f);
    ATN_TRY(atn_compaction_errors(cx, h, n, f->out + first * h->nq * h->v.cols, &by,
                                  error));
    for (atn_idx a = 0; a < n; a++)
        j->out[(first + a) * N_COLS + COMPACTION + i % RATIOS] = error[a];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status compact(atn_ctx *cx, const job *j)
{
    const atn_head *h = &j->f->head[0];
    const atn_idx keys = h->sight.key_last - h->sight.key_first;
    const atn_idx most = ATN_MAX(keys / ratios[0], (atn_idx)1);
    atn_status st = ATN_OK;

    if (!j->f->problem->k || !j->f->out || keys < 1) goto done;
    if (keys > j->p->max_keys) {
        atn_log(
            cx, ATN_LOG_WARN,
            "layer %d: no compaction of %lld keys: clusters of so many take minutes to "
            "hours (give token_redundancy:max_keys=%lld)",
            j->f->problem->layer, (long long)keys, (long long)keys);
        goto done;
    }
    ATN_TRY(
        atn_mem_check(cx,
                      cx->threads * (atn_kmeans_bytes(keys, h->k.cols, most) +
                                     atn_compaction_bytes(h, most) + 4 * (double)h->nk),
                      "token_redundancy"));
    ATN_TRY(
        atn_parallel(cx, j->groups * RATIOS, one_compaction, (void *)j, "compaction"));
done:
    return st;
}

/* ---- registers ---- */

/* sum[nk] <- sums over columns of uniform attention, rows that count; sum holds
 * nk + 1. */
static void uniform_columns(const atn_head_stats *s, double *sum)
{
    for (atn_idx k = 0; k <= s->nk; k++) sum[k] = 0;
    for (atn_idx i = 0; i < s->nq; i++) {
        atn_idx lo, hi;

        if (!atn_row_counts(s, i)) continue;
        atn_sight_row(s->sight, i, &lo, &hi);
        sum[lo] += 1 / (double)(hi - lo);
        sum[hi] -= 1 / (double)(hi - lo);
    }
    for (atn_idx k = 1; k <= s->nk; k++) sum[k] += sum[k - 1];
}

static double count_registers(const atn_head *h, const atn_head_stats *s,
                              const double *uniform)
{
    const atn_idx from = h->sight.key_first, to = h->sight.key_last;
    const double mean = atn_tokens_mean_norm(some_rows(h->v, from, to));
    double n = 0;

    for (atn_idx k = from; k < to; k++) {
        const double norm = sqrt(atn_row_square(atn_crow(h->v, k), h->v.cols));

        if (s->columns[k] > 3 * uniform[k] && (norm < mean / 2 || norm > 2 * mean)) n++;
    }
    return n;
}

static atn_status registers(atn_ctx *cx, const job *j, const atn_head *h, double *to)
{
    const atn_row_stats_opts opts = {.needs = ATN_NEED_COLUMNS,
                                     .skip_rows = j->f->skip_rows};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;
    atn_head_stats s;
    double *uniform = NULL;

    ATN_TAKE(uniform, h->nk + 1);
    ATN_TRY(atn_row_stats_run(cx, h, 1, NULL, &opts, &stats));
    s = atn_row_stats_head(stats, 0);
    uniform_columns(&s, uniform);
    *to = count_registers(h, &s, uniform);
done:
    atn_row_stats_destroy(cx, stats);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the layer ---- */

static atn_status find_groups(atn_ctx *cx, job *j)
{
    const atn_layer_facts *f = j->f;
    atn_status st = ATN_OK;

    ATN_TAKE(j->first, f->heads);
    ATN_TAKE(j->size, f->heads);
    for (atn_idx h = 0, end; h < f->heads; h = end) {
        bool any = false;

        for (end = h; end < f->heads && f->head[end].kv_head == f->head[h].kv_head;
             end++)
            any = any || f->keep[end];
        if (!any) continue;
        j->first[j->groups] = h;
        j->size[j->groups++] = end - h;
    }
done:
    return st;
}

/* The rows of the layer's input that are tokens: padding has no place among them. */
static void set_hidden(job *j, const float *hidden, atn_idx width)
{
    const atn_problem *p = j->f->problem;
    atn_idx from = 0, to = p->nq;

    if (atn_layer_is_self(j->f)) {
        from = ATN_MIN(ATN_MAX(p->sight.key_first - p->sight.offset, 0), p->nq);
        to = ATN_MIN(ATN_MAX(p->sight.key_last - p->sight.offset, from), p->nq);
    }
    j->hidden = some_rows((atn_cmat){hidden, p->nq, width, width}, from, to);
}

static atn_status run_sets(atn_ctx *cx, const job *j)
{
    atn_status st = ATN_OK;
    double most = 0;

    for (atn_idx i = 0; i <= HIDDEN * j->groups; i++) {
        const atn_cmat x = set_of(j, i);
        if (x.data) most = ATN_MAX(most, atn_tokens_effective_bytes(x));
    }
    ATN_TRY(atn_mem_check(cx, most * cx->threads, "token_redundancy"));
    ATN_TRY(atn_parallel(cx, HIDDEN * j->groups + 1, one_set, (void *)j, "tokens"));
done:
    return st;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const float *loaded = NULL;
    atn_status st = ATN_OK;
    job j = {.f = f, .p = params_, .out = out};
    atn_idx width = f->hidden_width;

    ATN_TRY(find_groups(cx, &j));
    if (j.groups == 0) goto done;
    if (!f->hidden && f->capture)
        ATN_TRY(atn_layer_tensor(cx, f, "h", f->problem->nq, &loaded, &width));
    set_hidden(&j, f->hidden ? f->hidden : loaded, width);
    ATN_TRY(run_sets(cx, &j));
    ATN_TRY(compact(cx, &j));
    for (atn_idx h = 0; h < f->heads; h++)
        if (f->keep[h] && !f->head[h].sight.rows)
            ATN_TRY(registers(cx, &j, &f->head[h], &out[h * N_COLS + REGISTERS]));
done:
    atn_free(cx, (void *)loaded);
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    {"token_redundancy_key_cosine", "", "[-1, 1]", "mean cosine of all pairs of keys",
     NULL},
    {"token_redundancy_key_centred_cosine", "", "[-1, 1]", "the same of key - mean key",
     NULL},
    {"token_redundancy_key_effective", "tokens", ">= 1",
     "effective number of directions that the keys spread over", NULL},
    {"token_redundancy_value_cosine", "", "[-1, 1]",
     "mean cosine of all pairs of values", NULL},
    {"token_redundancy_value_centred_cosine", "", "[-1, 1]",
     "the same of value - mean value", NULL},
    {"token_redundancy_value_effective", "tokens", ">= 1",
     "effective number of directions of the values", NULL},
    {"token_redundancy_hidden_cosine", "", "[-1, 1]",
     "mean cosine of all pairs of the layer's input tokens", NULL},
    {"token_redundancy_hidden_centred_cosine", "", "[-1, 1]",
     "the same of token - mean token", NULL},
    {"token_redundancy_hidden_effective", "tokens", ">= 1",
     "effective number of directions of the layer's input", NULL},
    {"token_redundancy_compact_2_error", "", ">= 0",
     "relative output error with half as many clusters as keys", NULL},
    {"token_redundancy_compact_4_error", "", ">= 0", "with a quarter", NULL},
    {"token_redundancy_compact_8_error", "", ">= 0", "with an eighth", NULL},
    {"token_redundancy_compact_9_error", "", ">= 0", "with a ninth, as FALCON has",
     NULL},
    {"token_redundancy_compact_16_error", "", ">= 0", "with a sixteenth", NULL},
    {"token_redundancy_compact_32_error", "", ">= 0", "with a thirty-second", NULL},
    {"token_redundancy_registers", "keys", "[0, nk]",
     "keys of much weight and a value of unusual norm", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_token_redundancy = {
    .id = "token_redundancy",
    .title = "Redundancy of tokens",
    .source = "after Zhang et al., arXiv 2501.16297 (FALCON); numbers derived",
    .wants = ATN_WANT_OUT,
    .named = true,
    .passes = 1,
    .params = params,
    .params_size = sizeof(token_params),
    .cols = cols,
    .layer = layer,
};
