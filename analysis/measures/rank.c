/* analysis/measures/rank.c -- how many directions a head's matrix has.
 *
 * Math    singular values of P, of P less its column means (a head that attends alike
 *         from everywhere has one direction, which says nothing of the rows), and of
 *         the logits; stable rank, effective rank, participation ratio:
 *         analysis/spectrum.h.
 * Oracle  UC(8): sigma_1 1.379779, effective 5.271648, stable 1.427603. F4: 1.205124,
 *         3.280579, 1.532026.
 * Source  card B9; Roy and Vetterli 2007.
 * Cost    none but the Gram matrix where one side has at most `dense` rows or keys (its
 *         square in double, twice); else 4 walks.
 * Limits  sampled rows have another spectrum: empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"
#include "analysis/spectrum.h"

extern const atn_measure atn_measure_rank;

typedef struct rank_params {
    int64_t dense, values;
    double eps;
} rank_params;

static const atn_param params[] = {
    ATN_PARAM_I64(rank_params, dense, 2048, 0, 4096,
                  "compute all values where one side has no more than this"),
    ATN_PARAM_I64(rank_params, values, 64, 1, 1024, "else so many of the largest"),
    ATN_PARAM_F64(rank_params, eps, 0.01, 0, 1,
                  "share of the largest from which a value counts"),
    ATN_PARAM_END,
};

#define SPECTRUM_COLS(prefix, of)                                                      \
    {prefix "sigma1", "", ">= 0", "largest singular value of " of, NULL},              \
        {prefix "stable", "", ">= 1", "stable rank of " of, NULL},                     \
        {prefix "effective", "", ">= 1",                                               \
         "effective rank of " of ", the least it can be where rank_exact is 0", NULL}, \
        {prefix "effective_most", "", ">= 1", "the most it can be", NULL},             \
        {prefix "participation", "", ">= 1",                                           \
         "participation ratio of the squared values of " of, NULL},                    \
    {                                                                                  \
        prefix "values", "", ">= 1", "values of at least eps times the largest", NULL  \
    }

static const atn_measure_col cols[] = {
    SPECTRUM_COLS("rank_", "P"),
    SPECTRUM_COLS("rank_centred_", "P less its column means"),
    {"rank_tail", "", "[0, 1]", "share of the squared values of P that is not computed",
     NULL},
    {"rank_exact", "", "0 or 1", "all singular values were computed", NULL},
    {"rank_logits_stable", "", ">= 1", "stable rank of q k', its rows over all keys",
     NULL},
    {"rank_logits_effective", "", ">= 1",
     "effective rank of q k', its rows over all keys", NULL},
    {"rank_logits_participation", "", ">= 1",
     "participation ratio of the squared values of q k'", NULL},
    {"rank_logits_values", "", ">= 1",
     "values of q k' of at least eps times the largest", NULL},
    ATN_MEASURE_COLS_END,
};

static double *put(const atn_spectrum *s, double eps, double *out)
{
    *out++ = s->n > 0 ? s->sigma[0] : NAN;
    *out++ = atn_spectrum_stable(s);
    *out = atn_spectrum_effective(s, out + 1);
    out += 2;
    *out++ = atn_spectrum_participation(s);
    *out++ = atn_spectrum_above(s, eps);
    return out;
}

typedef struct job {
    const atn_layer_facts *f;
    const rank_params *params;
    const atn_idx *head; /* of the layer, one a task */
    double *out;
} job;

static atn_status one_head(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_head *h = &j->f->head[j->head[i]];
    const atn_spectrum_opts o = {j->f->skip_rows, j->params->dense, j->params->values};
    double *out = j->out + j->head[i] * atn_measure_n_cols(&atn_measure_rank);
    atn_spectrum plain = {0}, centred = {0}, logits = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_spectrum_run(cx, h, &o, &plain, &centred));
    out = put(&plain, j->params->eps, out);
    out = put(&centred, j->params->eps, out);
    *out++ = atn_spectrum_tail(&plain);
    *out++ = plain.n > 0 ? (double)atn_spectrum_is_exact(h, &o) : NAN;
    if (!h->q.data) goto done;
    ATN_TRY(atn_spectrum_logits(cx, h, o.skip_rows, &logits));
    *out++ = atn_spectrum_stable(&logits);
    *out++ = atn_spectrum_effective(&logits, NULL);
    *out++ = atn_spectrum_participation(&logits);
    *out++ = atn_spectrum_above(&logits, j->params->eps);
done:
    atn_spectrum_release(cx, &plain);
    atn_spectrum_release(cx, &centred);
    atn_spectrum_release(cx, &logits);
    return st;
}

/* Heads of which all values are computed go side by side, as far as memory allows; the
 * others share the threads one after another. */
static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const rank_params *p = params_;
    const atn_spectrum_opts o = {f->skip_rows, p->dense, p->values};
    const atn_arena_mark mark = atn_arena_save(cx);
    const int threads = cx->threads;
    const double room = cx->mem_limit > 0 ? (double)cx->mem_limit / 2 : 0x1p31;
    atn_status st = ATN_OK;
    atn_idx *head = NULL, n = 0;
    job j = {.f = f, .params = p, .out = out};

    ATN_TAKE(head, f->heads);
    j.head = head;
    for (atn_idx h = 0; h < f->heads; h++)
        if (f->keep[h] && !f->head[h].sight.rows && f->head[h].nq > f->skip_rows)
            head[n++] = h;
    if (n == 0) goto done;
    if (atn_spectrum_is_exact(&f->head[0], &o)) {
        const double fit = room / atn_spectrum_bytes(&f->head[0], &o);

        cx->threads = (int)ATN_MAX(1.0, ATN_MIN(fit, (double)threads));
        st = atn_parallel(cx, n, one_head, &j, "singular values");
        cx->threads = threads;
        ATN_TRY(st);
    } else
        for (atn_idx i = 0; i < n; i++) ATN_TRY(one_head(cx, i, &j));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_measure atn_measure_rank = {
    .id = "rank",
    .title = "Rank",
    .source = "stable and effective rank of the matrix, after Roy and Vetterli 2007",
    .named = true,
    .passes = ATN_SPECTRUM_WALKS,
    .params = params,
    .params_size = sizeof(rank_params),
    .cols = cols,
    .layer = layer,
    .by_head = true,
};
