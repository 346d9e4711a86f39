/* analysis/export_bertviz.c -- the parameters of a BertViz view, row by row. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/export.h"

#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/rows.h"

enum { STACKS_MOST = 3, NUMBER_MORE = 8 /* sign, point, exponent, ", " */ };

/* One view: the selected layers [first, end) of a stack. */
typedef struct view {
    int first, end;
} view;

typedef struct writing {
    const atn_capture *c;
    const atn_selection *sel;
    const atn_export_opts *o;
    view views[STACKS_MOST];
    int n;
    FILE *out;
} writing;

static const atn_layer_info *layer_at(const writing *w, int i)
{
    return atn_capture_layer(w->c, w->sel->at[i]);
}

static const bool *heads_at(const writing *w, int i)
{
    return w->sel->heads + (atn_idx)i * w->sel->max_heads;
}

/* Layers of one stack have one shape and the same heads. */
static atn_status check_layer(atn_ctx *cx, const writing *w, int first, int i)
{
    const atn_layer_info *a = layer_at(w, first), *b = layer_at(w, i);
    atn_status st = ATN_OK;

    if (a->step != b->step)
        ATN_FAIL(ATN_USAGE, "export: a view is of one step (choose it with --steps)");
    if (a->nq != b->nq || a->nk != b->nk || a->heads != b->heads)
        ATN_FAIL(ATN_DATA,
                 "export: layers %d and %d differ in heads or tokens, which a view "
                 "cannot show (choose layers that are alike with --layers)",
                 a->layer, b->layer);
    if (memcmp(heads_at(w, first), heads_at(w, i),
               (size_t)a->heads * sizeof *w->sel->heads) != 0)
        ATN_FAIL(ATN_USAGE, "export: a view shows the same heads of all layers (give "
                            "--heads without layers, \"0,2-3\")");
done:
    return st;
}

/* The views, and that all have the same layers: their numbers are said once. */
static atn_status find_views(atn_ctx *cx, writing *w)
{
    atn_status st = ATN_OK;

    for (int i = 0, end; i < w->sel->n; i = end) {
        for (end = i; end < w->sel->n &&
                      strcmp(layer_at(w, end)->stack, layer_at(w, i)->stack) == 0;
             end++)
            ATN_TRY(check_layer(cx, w, i, end));
        if (w->n == STACKS_MOST)
            ATN_FAIL(ATN_USAGE,
                     "export: a view is of one step (choose it with --steps)");
        w->views[w->n++] = (view){i, end};
    }
    for (int v = 1; v < w->n; v++) {
        bool same = w->views[v].end - w->views[v].first == w->views[0].end;

        for (int i = 0; same && i < w->views[0].end; i++)
            same = layer_at(w, i)->layer == layer_at(w, w->views[v].first + i)->layer;
        if (!same)
            ATN_FAIL(ATN_USAGE,
                     "export: the stacks %s and %s have other layers, and a view says "
                     "their numbers once (choose one with --stack)",
                     layer_at(w, 0)->stack, layer_at(w, w->views[v].first)->stack);
    }
done:
    return st;
}

/* Bytes of a text as ASCII in JSON, at most: its quotes and the comma after it, too. */
static double text_bytes(const char *text)
{
    double bytes = 4;

    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c >= 0xf0)
            bytes += 12; /* two of \\uXXXX */
        else if (*c >= 0xc0 || *c < 0x20)
            bytes += 6;
        else if (*c < 0x80)
            bytes += *c == '"' || *c == '\\' ? 2 : 1;
    return bytes;
}

static double tokens_bytes(const atn_tokens *t, atn_idx n)
{
    double bytes = 0;

    if (t->n != n || !t->texts) return 24 * (double)n;
    for (atn_idx i = 0; i < n; i++) bytes += text_bytes(t->texts[i]);
    return bytes;
}

/* Bytes at most, and the heads. */
static double count(const writing *w, atn_export_result *r)
{
    double numbers = 0, texts = 0;

    for (int i = 0; i < w->sel->n; i++) {
        const atn_layer_info *l = layer_at(w, i);
        const atn_idx heads = atn_selection_heads(w->sel, i);

        numbers += (double)heads * (double)l->nq * (double)l->nk;
        texts += 4 * (double)heads * (double)l->nq + 32; /* brackets, its number */
        r->heads = ATN_MAX(r->heads, heads);
    }
    for (int v = 0; v < w->n; v++) {
        const atn_layer_info *l = layer_at(w, w->views[v].first);
        atn_tokens queries, keys;

        atn_capture_layer_tokens(w->c, w->sel->at[w->views[v].first], &queries, &keys);
        texts += tokens_bytes(&queries, l->nq) + tokens_bytes(&keys, l->nk) + 128;
    }
    r->layers = w->sel->n;
    r->files = 1;
    r->bytes =
        numbers * (w->o->digits + NUMBER_MORE) + texts + 1024 + 8 * (double)r->heads;
    return r->bytes;
}

/* ---- writing ---- */

static void write_text(FILE *out, const char *text)
{
    json_t *j = json_string(text);

    if (!j || json_dumpf(j, out, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) != 0)
        fputs("\"\"", out);
    json_decref(j);
}

/* Texts, or ids, or places of n tokens. */
static void write_tokens(FILE *out, const char *key, const atn_tokens *t, atn_idx n)
{
    fprintf(out, "\"%s\": [", key);
    for (atn_idx i = 0; i < n; i++) {
        if (i) fputs(", ", out);
        if (t->n == n && t->texts)
            write_text(out, t->texts[i]);
        else
            fprintf(out, "\"%lld\"",
                    t->n == n && t->ids ? (long long)t->ids[i] : (long long)i);
    }
    fputs("]", out);
}

static atn_status write_head(atn_ctx *cx, const writing *w, const atn_head *h)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx step = atn_tile_rows(h);
    atn_row_info *info = NULL;
    atn_status st = ATN_OK;
    float *p = NULL;

    ATN_TAKE(p, step * h->nk);
    ATN_TAKE(info, step);
    fputs("[", w->out);
    for (atn_idx first = 0; first < h->nq; first += step) {
        const atn_tile t = atn_tile_of(h, first, step);
        const atn_mat tile = {p, t.rows, t.keys, h->nk};

        ATN_TRY(atn_rows_fill(cx, h, &t, tile, info));
        for (atn_idx r = 0; r < t.rows; r++) {
            fputs(first + r ? ", [" : "[", w->out);
            for (atn_idx j = 0; j < h->nk; j++) {
                const bool seen = j >= t.key0 && j < t.key0 + t.keys;

                fprintf(w->out, "%s%.*g", j ? ", " : "", w->o->digits,
                        seen ? (double)p[r * h->nk + j - t.key0] : 0.0);
            }
            fputs("]", w->out);
        }
    }
    fputs("]", w->out);
    if (ferror(w->out))
        ATN_FAIL(ATN_IO, "%s: cannot be written (is the disk full?)", w->o->path);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status write_layer(atn_ctx *cx, const writing *w, int i)
{
    const atn_idx heads = layer_at(w, i)->heads;
    atn_status st = ATN_OK;
    atn_problem p = {0};
    bool any = false;

    ATN_TRY(atn_capture_load(cx, w->c, w->sel->at[i], &p));
    fputs("[", w->out);
    for (atn_idx h = 0; h < heads; h++) {
        const atn_head head = atn_problem_head(&p, h);

        if (!heads_at(w, i)[h]) continue;
        ATN_TRY(atn_progress(cx, "export", i + (double)h / (double)heads, w->sel->n));
        if (any) fputs(", ", w->out);
        ATN_TRY(write_head(cx, w, &head));
        any = true;
    }
    fputs("]", w->out);
done:
    atn_capture_unload(cx, &p);
    return st;
}

static atn_status write_view(atn_ctx *cx, const writing *w, const view *v)
{
    const atn_layer_info *l = layer_at(w, v->first);
    atn_tokens queries, keys;
    atn_status st = ATN_OK;
    char name[16] = "";

    atn_capture_layer_tokens(w->c, w->sel->at[v->first], &queries, &keys);
    snprintf(name, sizeof name, "%.15s", l->stack);
    if (*name) name[0] = (char)(name[0] - 'a' + 'A');
    fputs("{\"name\": ", w->out);
    if (*name)
        write_text(w->out, name);
    else
        fputs("null", w->out);
    fputs(", ", w->out);
    write_tokens(w->out, "left_text", &queries, l->nq);
    fputs(", ", w->out);
    write_tokens(w->out, "right_text", &keys, l->nk);
    fputs(", \"attn\": [", w->out);
    for (int i = v->first; i < v->end; i++) {
        if (i > v->first) fputs(",\n", w->out);
        ATN_TRY(write_layer(cx, w, i));
    }
    fputs("]}", w->out);
done:
    return st;
}

/* What head_view and model_view look for beside the attention. */
static void write_rest(const writing *w)
{
    const atn_layer_info *l = layer_at(w, 0);

    fputs(
        "], \"default_filter\": \"0\", \"root_div_id\": \"bertviz\", \"layer\": null, "
        "\"heads\": null, \"display_mode\": \"light\", \"include_layers\": [",
        w->out);
    for (int i = 0; i < w->views[0].end; i++)
        fprintf(w->out, "%s%d", i ? ", " : "", layer_at(w, i)->layer);
    fputs("], \"include_heads\": [", w->out);
    for (atn_idx h = 0, n = 0; h < l->heads; h++)
        if (heads_at(w, 0)[h]) fprintf(w->out, "%s%lld", n++ ? ", " : "", (long long)h);
    fprintf(w->out, "], \"total_heads\": %lld}\n", (long long)l->heads);
}

static atn_status write_all(atn_ctx *cx, writing *w)
{
    atn_status st = ATN_OK;
    atn_out out = {0};

    ATN_TRY(atn_out_open(cx, w->o->path, w->o->force, &out));
    w->out = out.file;
    fputs("{\"attention\": [", w->out);
    for (int v = 0; v < w->n; v++) {
        if (v > 0) fputs(",\n", w->out);
        ATN_TRY(write_view(cx, w, &w->views[v]));
    }
    write_rest(w);
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}

atn_status atn_export_bertviz(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_export_opts *o,
                              atn_export_result *r)
{
    writing w = {.c = c, .sel = sel, .o = o};
    atn_status st = ATN_OK;

    *r = (atn_export_result){0};
    ATN_TRY(find_views(cx, &w));
    if (count(&w, r) > o->bytes_most && !o->dry)
        ATN_FAIL(ATN_MEMORY,
                 "export: the view of %lld layers takes up to %.3g MiB of JSON, above "
                 "%.3g MiB (choose --layers and --heads, fewer --digits, or raise "
                 "--max-size; BertViz is slow beyond some hundred tokens)",
                 (long long)r->layers, r->bytes / 0x1p20, o->bytes_most / 0x1p20);
    if (!o->dry) ATN_TRY(write_all(cx, &w));
done:
    return st;
}
