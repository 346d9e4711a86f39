/* analysis/measures/massive.c -- the few huge numbers in the input of a layer, and the
 * heads that look at the tokens that have them.
 *
 * Math    of the layer's input h, over the tokens that are no padding:
 *         analysis/massive.h.
 *         persistence: share of the part's other layers whose largest |x| is in the
 *         same channel. Of a head: mean over rows of the weight on massive tokens;
 *         correlation over keys of a_k (the mean weight on key k) with max_c |x_kc|.
 * Oracle  one entry planted in every layer: its place, persistence 1; a head that looks
 *         at that token alone: weight 1, correlation 1.
 * Source  card B16; Sun et al., arXiv 2402.17762.
 * Cost    three walks over h; one over the rows of the heads.
 * Limits  the output of the last layer is no layer's input. Heads whose queries are not
 *         the tokens of the keys have no weight and correlation.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/massive.h"
#include "analysis/measure.h"
#include "analysis/sums.h"

extern const atn_measure atn_measure_massive;

enum { PERSISTENCE = 9, MASS, CORRELATION, COLS };

typedef struct massive_params {
    double least, ratio;
} massive_params;

static const atn_param params[] = {
    ATN_PARAM_F64(massive_params, least, 100, 0, 1e30, "least |x| that is massive"),
    ATN_PARAM_F64(massive_params, ratio, 1000, 0, 1e30,
                  "and least multiple of the median"),
    ATN_PARAM_END,
};

static const atn_measure_col cols[COLS + 1] = {
    {"massive_max", "", ">= 0", "largest |x| in the layer's input", NULL},
    {"massive_second", "", ">= 0", "second largest", NULL},
    {"massive_third", "", ">= 0", "third largest", NULL},
    {"massive_median", "", ">= 0", "median of |x|", NULL},
    {"massive_max_ratio", "", ">= 1", "largest over median", NULL},
    {"massive_max_position", "", ">= 0", "token of the largest", NULL},
    {"massive_max_channel", "", ">= 0", "channel of the largest", NULL},
    {"massive_count", "", ">= 0", "entries that are massive by both criteria", NULL},
    {"massive_tokens", "", ">= 0", "tokens that have one", NULL},
    [PERSISTENCE] = {"massive_persistence", "", "[0, 1]",
                     "share of the other layers with the largest in the same channel",
                     NULL},
    [MASS] = {"massive_mass", "", "[0, 1]",
              "the head's mean weight on tokens with a massive entry", NULL},
    [CORRELATION] = {"massive_correlation", "", "[-1, 1]",
                     "over keys, of mean weight and largest |x|", NULL},
    ATN_MEASURE_COLS_END,
};

/* offset: position of row 0. */
static void put_layer(const atn_massive *m, atn_idx offset, double *out)
{
    for (int i = 0; i < ATN_MASSIVE_TOP; i++) *out++ = m->top[i];
    *out++ = m->median;
    *out++ = m->median > 0 ? m->top[0] / m->median : NAN;
    *out++ = m->row[0] >= 0 ? (double)(m->row[0] + offset) : NAN;
    *out++ = m->channel[0] >= 0 ? (double)m->channel[0] : NAN;
    *out++ = (double)m->entries;
    *out++ = (double)m->rows;
}

/* Largest |x| of a row. */
static double row_top(atn_cmat x, atn_idx i)
{
    double top = 0;

    for (atn_idx c = 0; c < x.cols; c++)
        top = ATN_MAX(top, fabs((double)atn_crow(x, i)[c]));
    return top;
}

/* One head against the tokens' largest entries, top[nk]. */
static void put_head(const atn_head_stats *s, const atn_massive *m, const double *top,
                     double *out)
{
    double n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0, mass = 0, rows = 0;

    for (int pass = 0; pass < 2; pass++)
        for (atn_idx k = s->sight->key_first; k < s->sight->key_last; k++) {
            const double x = atn_column_mean(s, k), y = top[k];

            if (isnan(x)) continue;
            if (pass == 0) {
                n++;
                a += x;
                b += y;
                mass += m->massive_row[k] ? s->columns[k] : 0;
                continue;
            }
            aa += (x - a / n) * (x - a / n);
            bb += (y - b / n) * (y - b / n);
            ab += (x - a / n) * (y - b / n);
        }
    for (atn_idx i = 0; i < s->nq; i++) rows += atn_row_counts(s, i);
    out[MASS] = rows > 0 && m->rows > 0 ? mass / rows : NAN;
    out[CORRELATION] = aa > 0 && bb > 0 ? ab / sqrt(aa) / sqrt(bb) : NAN;
}

static atn_status head_values(atn_ctx *cx, const atn_model_facts *f, int i, atn_cmat x,
                              const atn_massive *m, double *out)
{
    const bool *keep = f->selection->heads + i * f->selection->max_heads;
    const atn_row_stats_opts opts = {.needs = ATN_NEED_COLUMNS,
                                     .skip_rows = f->skip_rows};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;
    atn_problem p = {0};
    double *top = NULL;

    ATN_TRY(atn_capture_load(cx, f->capture, f->selection->at[i], &p));
    ATN_TAKE(top, p.nk);
    for (atn_idx k = 0; k < p.nk; k++) top[k] = row_top(x, k);
    for (atn_idx h = 0; h < p.heads; h++) {
        const atn_head head = atn_problem_head(&p, h);
        atn_head_stats s;

        if (!keep[h]) continue;
        ATN_TRY(atn_row_stats_run(cx, &head, 1, NULL, &opts, &stats));
        s = atn_row_stats_head(stats, 0);
        put_head(&s, m, top, out);
        out += COLS;
        atn_row_stats_destroy(cx, stats);
        stats = NULL;
    }
done:
    atn_row_stats_destroy(cx, stats);
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of layer i of the selection; heads: how many of it are selected. */
static atn_status one_layer(atn_ctx *cx, const atn_model_facts *f, int i,
                            const massive_params *p, atn_idx heads, double *out)
{
    const atn_layer_info *info = atn_capture_layer(f->capture, f->selection->at[i]);
    const bool self = info->nq == info->nk && info->sight.offset == 0 &&
                      strcmp(info->stack, "cross") != 0;
    const atn_idx first = self ? info->sight.key_first : 0;
    const atn_idx last = self ? ATN_MIN(info->sight.key_last, info->nk) : info->nq;
    atn_idx shape[ATN_ST_MAX_RANK] = {0};
    atn_status st = ATN_OK;
    atn_massive m = {0};
    float *h = NULL;
    int rank = 0;

    ATN_TRY(
        atn_capture_tensor(cx, f->capture, f->selection->at[i], "h", &h, &rank, shape));
    if (!h) {
        atn_log(cx, ATN_LOG_WARN,
                "%s: massive is left out, the capture has no layer inputs (h; "
                "capture with --save h)",
                atn_layer_name(info).text);
        goto done;
    }
    if (rank != 2 || shape[0] != info->nq)
        ATN_FAIL(ATN_DATA, "%s: h has rank %d and %lld rows, not rank 2 and %lld",
                 atn_layer_name(info).text, rank, (long long)shape[0],
                 (long long)info->nq);
    {
        const atn_cmat x = {h, shape[0], shape[1], shape[1]};

        ATN_TRY(atn_massive_find(cx, x, first, last, p->least, p->ratio, &m));
        for (atn_idx k = 0; k < heads; k++)
            put_layer(&m, info->sight.offset, out + k * COLS);
        if (self && f->skip_rows < info->nq) ATN_TRY(head_values(cx, f, i, x, &m, out));
    }
done:
    atn_massive_release(cx, &m);
    atn_free(cx, h);
    return st;
}

/* Rows [first, end) of the part's layers, start[i] the first of layer i. */
static void put_persistence(int first, int end, const atn_idx *start, double *out)
{
    enum { CHANNEL = 6 };

    for (int i = first; i < end; i++) {
        double same = 0, others = 0;

        for (int k = first; k < end; k++) {
            const double a = out[start[i] * COLS + CHANNEL];
            const double b = out[start[k] * COLS + CHANNEL];

            if (k == i || isnan(a) || isnan(b)) continue;
            others++;
            same += a == b;
        }
        for (atn_idx r = start[i]; r < start[i + 1]; r++)
            out[r * COLS + PERSISTENCE] = others > 0 ? same / others : NAN;
    }
}

static atn_status model(atn_ctx *cx, const atn_model_facts *f, const void *params_,
                        double *out)
{
    const atn_selection *s = f->selection;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx *start = NULL;

    ATN_TAKE(start, s->n + 1);
    start[0] = 0;
    for (int i = 0; i < s->n; i++) {
        start[i + 1] = start[i];
        for (atn_idx h = 0; h < s->max_heads; h++)
            start[i + 1] += s->heads[i * s->max_heads + h];
        ATN_TRY(atn_progress(cx, "massive", i, s->n));
        ATN_TRY(one_layer(cx, f, i, params_, start[i + 1] - start[i],
                          out + start[i] * COLS));
    }
    for (int first = 0, end; first < s->n; first = end) {
        end = atn_selection_part(f->capture, s, first);
        put_persistence(first, end, start, out);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_measure atn_measure_massive = {
    .id = "massive",
    .title = "Massive activations",
    .source = "huge entries of the hidden state, Sun et al. 2024",
    .named = true,
    .passes = 1,
    .params = params,
    .params_size = sizeof(massive_params),
    .cols = cols,
    .model = model,
};
