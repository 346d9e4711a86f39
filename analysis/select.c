/* analysis/select.c -- resolves --stack, --steps, --layers and --heads against a
 * capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/select.h"

#include <string.h>

#include "core/param.h"

/* Marks which model layers (by their index in the model) and steps are wanted. */
typedef struct wanted {
    bool *layer, *step;
    atn_idx n_layers, n_steps;
} wanted;

static atn_status mark(atn_ctx *cx, const char *what, const char *text, atn_idx n,
                       bool *keep)
{
    atn_status st = ATN_OK;
    atn_idx *items = NULL, count = 0;

    memset(keep, 0, (size_t)n);
    ATN_TRY(atn_parse_list(cx, what, text, n, &items, &count));
    for (atn_idx i = 0; i < count; i++) keep[items[i]] = true;
done:
    atn_free(cx, items);
    return st;
}

static atn_status find_wanted(atn_ctx *cx, const atn_capture *c,
                              const atn_select_args *args, wanted *w)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < atn_capture_layers(c); i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);
        w->n_layers = ATN_MAX(w->n_layers, (atn_idx)l->layer + 1);
        w->n_steps = ATN_MAX(w->n_steps, (atn_idx)l->step + 1);
    }
    ATN_TAKE(w->layer, w->n_layers);
    ATN_TAKE(w->step, w->n_steps);
    ATN_TRY(mark(cx, "--layers", args->layers, w->n_layers, w->layer));
    ATN_TRY(mark(cx, "--steps", args->steps, w->n_steps, w->step));
done:
    return st;
}

static void look_around(const atn_capture *c, atn_selection *out)
{
    const atn_layer_info *first = atn_capture_layer(c, 0);

    for (int i = 0; i < atn_capture_layers(c); i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);
        out->many_stacks |= strcmp(l->stack, first->stack) != 0;
        out->many_steps |= l->step != first->step;
        out->max_heads = ATN_MAX(out->max_heads, l->heads);
    }
}

/* Heads are chosen by (layer of the model, head), the same in every stack and step. */
static atn_status choose_heads(atn_ctx *cx, const atn_capture *c, const wanted *w,
                               const char *heads, atn_selection *out)
{
    atn_status st = ATN_OK;
    bool *keep = NULL;
    int n = 0;

    ATN_TAKE(keep, w->n_layers * out->max_heads);
    ATN_TRY(atn_parse_heads(cx, heads, w->n_layers, out->max_heads, keep));
    for (int i = 0; i < out->n; i++) {
        const atn_layer_info *l = atn_capture_layer(c, out->at[i]);
        bool *row = out->heads + n * out->max_heads;
        bool any = false;

        memset(row, 0, (size_t)out->max_heads);
        for (atn_idx h = 0; h < l->heads; h++) {
            row[h] = keep[l->layer * out->max_heads + h];
            any |= row[h];
            out->n_heads += row[h];
        }
        if (any) out->at[n++] = out->at[i];
    }
    out->n = n;
    if (n == 0)
        ATN_FAIL(ATN_USAGE, "--heads %s: no such head in the selected layers",
                 heads ? heads : "all");
done:
    return st;
}

atn_status atn_select(atn_ctx *cx, const atn_capture *c, const atn_select_args *args,
                      atn_selection *out)
{
    const atn_arena_mark at = atn_arena_save(cx);
    atn_status st = ATN_OK;
    const int layers = atn_capture_layers(c);
    wanted w = {NULL, NULL, 0, 0};

    *out = (atn_selection){0};
    if (layers == 0)
        ATN_FAIL(ATN_DATA, "%s holds no layer yet (finish it with `attnscope capture`)",
                 atn_capture_dir(c));
    look_around(c, out);
    ATN_TRY(find_wanted(cx, c, args, &w));
    ATN_NEW(out->at, layers);
    ATN_NEW(out->heads, layers * out->max_heads);
    for (int i = 0; i < layers; i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);
        if (args->stack && strcmp(args->stack, l->stack) != 0) continue;
        if (w.layer[l->layer] && w.step[l->step]) out->at[out->n++] = i;
    }
    if (out->n == 0)
        ATN_FAIL(ATN_USAGE,
                 "the selection (--stack %s, --layers %s, --steps %s) is empty",
                 args->stack ? args->stack : "any", args->layers ? args->layers : "all",
                 args->steps ? args->steps : "all");
    ATN_TRY(choose_heads(cx, c, &w, args->heads, out));
done:
    if (st != ATN_OK) atn_selection_release(cx, out);
    atn_arena_rewind(cx, at);
    return st;
}

void atn_selection_release(atn_ctx *cx, atn_selection *s)
{
    atn_free(cx, s->at);
    atn_free(cx, s->heads);
    *s = (atn_selection){0};
}

atn_idx atn_selection_heads(const atn_selection *s, int i)
{
    atn_idx n = 0;

    for (atn_idx h = 0; h < s->max_heads; h++) n += s->heads[i * s->max_heads + h];
    return n;
}

int atn_selection_part(const atn_capture *c, const atn_selection *s, int first)
{
    const atn_layer_info *a = atn_capture_layer(c, s->at[first]);
    int end = first + 1;

    for (; end < s->n; end++) {
        const atn_layer_info *b = atn_capture_layer(c, s->at[end]);
        if (a->step != b->step || strcmp(a->stack, b->stack) != 0) break;
    }
    return end;
}

/* Which of stack, step, layer and head the selected heads differ in. */
static unsigned differing(const atn_capture *c, const atn_selection *s)
{
    const atn_layer_info *first = atn_capture_layer(c, s->at[0]);
    unsigned several = 0;
    atn_idx head = -1;

    for (int i = 0; i < s->n; i++) {
        const atn_layer_info *l = atn_capture_layer(c, s->at[i]);

        several |= strcmp(l->stack, first->stack) != 0 ? ATN_NARROW_STACK : 0;
        several |= l->step != first->step ? ATN_NARROW_STEP : 0;
        several |= l->layer != first->layer ? ATN_NARROW_LAYER : 0;
        for (atn_idx h = 0; h < s->max_heads; h++) {
            if (!s->heads[i * s->max_heads + h]) continue;
            if (head >= 0 && h != head) several |= ATN_NARROW_HEAD;
            head = h;
        }
    }
    return several;
}

atn_narrower atn_selection_narrower(const atn_capture *c, const atn_selection *s,
                                    unsigned of)
{
    static const char *const options[] = {" --stack NAME", " --steps T", " --layers L",
                                          " --heads H"};
    const unsigned several = differing(c, s) & of;
    atn_narrower r = {""};

    for (size_t k = 0; k < ATN_LEN(options); k++)
        if (several & 1U << k) strcat(r.text, options[k]);
    return r;
}
