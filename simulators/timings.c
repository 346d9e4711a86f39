/* simulators/timings.c -- reading a file of timings, strictly. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/timings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/table.h"

typedef enum column {
    GPU,
    KERNEL,
    PHASE,
    BATCH,
    Q_LEN,
    KV_LEN,
    HEADS,
    KV_HEADS,
    HEAD_DIM,
    WINDOW,
    LATENCY,
    SPLIT,
    DENSITY,
    COLUMNS
} column;

static const struct {
    const char *name;
    double min, max; /* of whole numbers */
} columns[COLUMNS] = {
    [GPU] = {"gpu", 0, 0},
    [KERNEL] = {"kernel", 0, 0},
    [PHASE] = {"phase", 0, 0},
    [BATCH] = {"batch", 1, 0x1p20},
    [Q_LEN] = {"q_len", 1, 0x1p24},
    [KV_LEN] = {"kv_len", 1, 0x1p24},
    [HEADS] = {"heads", 1, 0x1p14},
    [KV_HEADS] = {"kv_heads", 1, 0x1p14},
    [HEAD_DIM] = {"head_dim", 1, 0x1p12},
    [WINDOW] = {"window", 0, 0x1p24},
    [LATENCY] = {"latency_ms", 0, 0},
    [SPLIT] = {"split", 0, 0},
    [DENSITY] = {"density", 0, 0},
};
static const double latency_least = 1e-4, latency_most = 1e7; /* ms */

typedef struct reader {
    const char *path;
    const atn_table *t;
    int col[COLUMNS]; /* -1 = absent */
} reader;

/* The cell as people wrote it, for messages. */
static void cell_text(const reader *r, atn_idx row, column c, char *out, size_t size)
{
    const char *text = atn_table_col_type(r->t, r->col[c]) == ATN_COL_STR
                           ? atn_table_get_str(r->t, row, r->col[c])
                           : NULL;

    if (text)
        snprintf(out, size, "'%.40s'", text);
    else if (atn_table_has(r->t, row, r->col[c]))
        snprintf(out, size, "%.17g", atn_table_get_f64(r->t, row, r->col[c]));
    else
        snprintf(out, size, "nothing");
}

static atn_status refuse(atn_ctx *cx, const reader *r, atn_idx row, column c,
                         const char *rule)
{
    char found[64];

    cell_text(r, row, c, found, sizeof found);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s, line %lld: %s must be %s, not %s", r->path, (long long)row + 2,
                    columns[c].name, rule, found);
}

/* NaN where the cell is no number: of a column that is text because another cell is
 * none, the number that this text is. */
static double read_number(const reader *r, atn_idx row, column c)
{
    const atn_col_type type = atn_table_col_type(r->t, r->col[c]);
    const char *text;
    char *end;
    double v;

    if (type == ATN_COL_BOOL) return NAN;
    if (type != ATN_COL_STR) return atn_table_get_f64(r->t, row, r->col[c]);
    text = atn_table_get_str(r->t, row, r->col[c]);
    if (!text || !*text) return NAN;
    v = strtod(text, &end);
    return *end ? NAN : v;
}

static atn_status read_whole(atn_ctx *cx, const reader *r, atn_idx row, column c,
                             atn_idx *out)
{
    const double v = read_number(r, row, c);
    char rule[80];

    if (v >= columns[c].min && v <= columns[c].max && v == floor(v)) {
        *out = (atn_idx)v;
        return ATN_OK;
    }
    snprintf(rule, sizeof rule, "a whole number of %.0f to %.0f", columns[c].min,
             columns[c].max);
    return refuse(cx, r, row, c, rule);
}

static atn_status read_word(atn_ctx *cx, const reader *r, atn_idx row, column c,
                            char *out, size_t size)
{
    const char *text;
    char rule[80];

    if (atn_table_col_type(r->t, r->col[c]) != ATN_COL_STR)
        return refuse(cx, r, row, c, "a name");
    text = atn_table_get_str(r->t, row, r->col[c]);
    if (text && *text && strlen(text) < size) {
        for (size_t i = 0; i <= strlen(text); i++) out[i] = text[i];
        return ATN_OK;
    }
    snprintf(rule, sizeof rule, "a name of at most %zu bytes", size - 1);
    return refuse(cx, r, row, c, rule);
}

static atn_status read_phase(atn_ctx *cx, const reader *r, atn_idx row, atn_launch *out)
{
    char word[16];
    atn_status st = ATN_OK;

    ATN_TRY(read_word(cx, r, row, PHASE, word, sizeof word));
    if (strcmp(word, "context") == 0)
        out->pass = ATN_PASS_FORWARD;
    else if (strcmp(word, "backward") == 0)
        out->pass = ATN_PASS_BACKWARD;
    else if (strcmp(word, "generation") == 0)
        out->pass = ATN_PASS_DECODE;
    else
        ATN_TRY(refuse(cx, r, row, PHASE, "context, generation or backward"));
done:
    return st;
}

static atn_status check_launch(atn_ctx *cx, const reader *r, atn_idx row,
                               const atn_launch *s)
{
    const double tokens = (double)s->batch * (double)(s->q_len + s->kv_len);
    char rule[96];

    if (s->pass == ATN_PASS_DECODE && s->q_len != 1)
        return refuse(cx, r, row, Q_LEN, "1 where phase is generation");
    if (s->q_len > s->kv_len) {
        snprintf(rule, sizeof rule, "at most kv_len = %lld", (long long)s->kv_len);
        return refuse(cx, r, row, Q_LEN, rule);
    }
    if (s->heads % s->kv_heads != 0) {
        snprintf(rule, sizeof rule, "a divisor of heads = %lld", (long long)s->heads);
        return refuse(cx, r, row, KV_HEADS, rule);
    }
    if (tokens * (double)s->heads * (double)s->head_dim > 0x1p50)
        return refuse(cx, r, row, BATCH,
                      "such that batch * (q_len + kv_len) * heads * head_dim is below "
                      "2^50");
    return ATN_OK;
}

static atn_status read_row(atn_ctx *cx, const reader *r, atn_idx row, atn_timing *out)
{
    atn_launch *s = &out->launch;
    double ms;
    atn_status st = ATN_OK;

    *s = (atn_launch){.bytes = 2, .causal = true};
    out->line = row + 2;
    ATN_TRY(read_word(cx, r, row, GPU, out->gpu, sizeof out->gpu));
    ATN_TRY(read_word(cx, r, row, KERNEL, out->kernel, sizeof out->kernel));
    ATN_TRY(read_phase(cx, r, row, s));
    ATN_TRY(read_whole(cx, r, row, BATCH, &s->batch));
    ATN_TRY(read_whole(cx, r, row, Q_LEN, &s->q_len));
    ATN_TRY(read_whole(cx, r, row, KV_LEN, &s->kv_len));
    ATN_TRY(read_whole(cx, r, row, HEADS, &s->heads));
    ATN_TRY(read_whole(cx, r, row, KV_HEADS, &s->kv_heads));
    ATN_TRY(read_whole(cx, r, row, HEAD_DIM, &s->head_dim));
    ATN_TRY(read_whole(cx, r, row, WINDOW, &out->window_given));
    s->value_dim = s->head_dim;
    ATN_TRY(check_launch(cx, r, row, s));
    ms = read_number(r, row, LATENCY);
    if (!(ms >= latency_least && ms <= latency_most))
        ATN_TRY(
            refuse(cx, r, row, LATENCY, "of 1e-4 to 1e7 ms (is it in milliseconds?)"));
    out->us = 1000 * ms;
    out->window =
        out->window_given < (s->pass == ATN_PASS_DECODE ? s->kv_len : s->q_len)
            ? out->window_given
            : 0;
    out->density = r->col[DENSITY] >= 0 ? read_number(r, row, DENSITY) : 1;
    if (!(out->density > 0 && out->density <= 1))
        ATN_TRY(refuse(cx, r, row, DENSITY, "above 0 and at most 1"));
    if (r->col[SPLIT] >= 0)
        ATN_TRY(read_word(cx, r, row, SPLIT, out->split, sizeof out->split));
done:
    return st;
}

static atn_status find_columns(atn_ctx *cx, reader *r)
{
    atn_status st = ATN_OK;

    for (int c = 0; c < COLUMNS; c++) {
        r->col[c] = atn_table_find_col(r->t, columns[c].name);
        if (r->col[c] < 0 && c != SPLIT && c != DENSITY)
            ATN_FAIL(ATN_DATA,
                     "%s, line 1: a file of timings has the columns gpu, kernel, "
                     "phase, batch, q_len, kv_len, heads, kv_heads, head_dim, window, "
                     "latency_ms; %s is missing",
                     r->path, columns[c].name);
    }
done:
    return st;
}

/* A built-in GPU has one name, its id: each name of the file is looked up once (of the
 * first GPUS; there are not as many aliases). */
static atn_status resolve_gpus(atn_ctx *cx, atn_timings *t)
{
    enum { GPUS = 64 };
    char name[GPUS][ATN_DEVICE_ID], id[GPUS][ATN_DEVICE_ID];
    atn_status st = ATN_OK;
    int n = 0;

    for (atn_idx r = 0; r < t->n; r++) {
        char *gpu = t->row[r].gpu;
        int i = 0;

        while (i < n && strcmp(name[i], gpu) != 0) i++;
        if (i == GPUS) continue;
        if (i == n) {
            memcpy(name[n], gpu, ATN_DEVICE_ID);
            ATN_TRY(atn_device_find(cx, gpu, id[n++]));
        }
        memcpy(gpu, id[i], ATN_DEVICE_ID);
    }
done:
    return st;
}

atn_status atn_timings_load(atn_ctx *cx, const char *path, atn_timings *out)
{
    atn_table *t = NULL;
    reader r = {.path = path};
    atn_status st = ATN_OK;

    *out = (atn_timings){0};
    ATN_TRY(atn_table_load(cx, path, &t));
    r.t = t;
    ATN_TRY(find_columns(cx, &r));
    if (atn_table_rows(t) == 0)
        ATN_FAIL(ATN_DATA, "%s: there are no rows below the names of the columns",
                 path);
    ATN_NEW(out->row, atn_table_rows(t));
    for (; out->n < atn_table_rows(t); out->n++)
        ATN_TRY(read_row(cx, &r, out->n, &out->row[out->n]));
    ATN_TRY(resolve_gpus(cx, out));
done:
    atn_table_destroy(cx, t);
    if (st != ATN_OK) atn_timings_release(cx, out);
    return st;
}

void atn_timings_release(atn_ctx *cx, atn_timings *t)
{
    atn_free(cx, t->row);
    *t = (atn_timings){0};
}
