/* analysis/measures/retrieval.c -- does a head look where the next token can be copied
 * from?
 *
 * Math    row i at position t hits key k when k is its key of largest weight (the
 *         lowest of equal ones) and token k is token t + 1, the one that the row is to
 *         produce. Score: hits within the needle over its length, of the rows at
 *         positions t >= from. Copies: share of these rows that hit any key.
 * Oracle  a head that copies a needle of three tokens, one a row: 1.
 * Source  card B6; Wu et al., arXiv 2404.15574 (nightdessert/Retrieval_Head), where
 *         rows are those of greedy decoding.
 * Cost    none of its own.
 * Limits  teacher-forced: the text stands for what the model would have said. Sampled
 *         rows miss hits: empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

extern const atn_measure atn_measure_retrieval;

typedef struct retrieval_params {
    int64_t needle_first, needle_last, from;
} retrieval_params;

static const atn_param params[] = {
    ATN_PARAM_I64(retrieval_params, needle_first, -1, -1, 0x1p53,
                  "position of the needle's first token, -1 = there is none"),
    ATN_PARAM_I64(retrieval_params, needle_last, -1, -1, 0x1p53,
                  "position of its last token"),
    ATN_PARAM_I64(retrieval_params, from, -1, -1, 0x1p53,
                  "first position whose next token is of the answer, -1 = behind the "
                  "needle"),
    ATN_PARAM_END,
};

static const atn_measure_col cols[] = {
    {"retrieval_score", "", ">= 0", "hits in the needle over its length", NULL},
    {"retrieval_hits", "", ">= 0",
     "rows whose best key is the needle's copy of the "
     "next token",
     NULL},
    {"retrieval_copies", "", "[0, 1]",
     "share of rows whose best key, anywhere, holds the next token", NULL},
    {"retrieval_rows", "", ">= 0", "rows of the answer", NULL},
    ATN_MEASURE_COLS_END,
};

static int64_t first_row(const retrieval_params *p)
{
    return p->from >= 0 ? p->from : p->needle_last + 1; /* 0 without a needle */
}

static atn_status check(atn_ctx *cx, const void *params_, const atn_head_stats *s)
{
    const retrieval_params *p = params_;
    const long long first = p->needle_first, last = p->needle_last;
    atn_status st = ATN_OK;

    if ((first < 0) != (last < 0))
        ATN_FAIL(ATN_USAGE, "retrieval: needle_first and needle_last go together");
    if (first > last)
        ATN_FAIL(ATN_USAGE, "retrieval: needle_first=%lld is behind needle_last=%lld",
                 first, last);
    if (!s || !s->tokens) goto done;
    if (last >= s->nk)
        ATN_FAIL(ATN_USAGE, "retrieval: needle_last=%lld, but the text has %lld tokens",
                 last, (long long)s->nk);
    if ((p->from > 0 || last >= 0) && first_row(p) + 1 >= s->nk)
        ATN_FAIL(ATN_USAGE,
                 "retrieval: the answer begins behind token %lld, but the text has "
                 "%lld tokens",
                 (long long)first_row(p), (long long)s->nk);
done:
    return st;
}

static void compute(const atn_head_stats *s, const void *params_, double *out)
{
    const retrieval_params *p = params_;
    const double *best = s->value[ATN_ROW_MAX_AT];
    const bool needle = p->needle_first >= 0;
    const int64_t from = first_row(p);
    double hits = 0, copies = 0, rows = 0;

    if (!s->tokens || !best) return;
    for (atn_idx i = 0; i < s->nq; i++) {
        const atn_idx t = atn_sight_at(s->sight, i);
        atn_idx k;

        if (!atn_row_counts(s, i) || t < from || t < 0 || t + 1 >= s->nk) continue;
        rows++;
        if (!(best[i] >= 0)) continue;
        k = (atn_idx)best[i];
        if (s->tokens[k] != s->tokens[t + 1]) continue;
        copies++;
        hits += needle && k >= p->needle_first && k <= p->needle_last;
    }
    if (needle && rows > 0) {
        out[0] = hits / (double)(p->needle_last - p->needle_first + 1);
        out[1] = hits;
    }
    if (rows > 0) out[2] = copies / rows;
    out[3] = rows;
}

const atn_measure atn_measure_retrieval = {
    .id = "retrieval",
    .title = "Retrieval",
    .source = "best key that holds the next token, after Wu et al. 2024",
    .needs = ATN_NEED_MAX,
    .wants = ATN_WANT_TOKENS,
    .named = true,
    .params = params,
    .params_size = sizeof(retrieval_params),
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
    .check = check,
    .compute = compute,
};
