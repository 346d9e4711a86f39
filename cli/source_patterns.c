/* cli/source_patterns.c -- tables of patterns for their figures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/source_patterns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/field_capture.h"
#include "cli/patterns.h"
#include "core/io/pattern.h"
#include "core/param.h"

enum { DEPTH = 8, CELLS = 512 };

bool atn_draws_patterns(const char *figure)
{
    return strcmp(figure, "pattern") == 0 || strcmp(figure, "reach") == 0 ||
           strcmp(figure, "growth") == 0;
}

char *atn_pattern_selection(const atn_cli *cli)
{
    static const char *const names[][2] = {
        {"stack", "stack"}, {"steps", "step"}, {"layers", "layer"}, {"heads", "head"}};
    const bool selects = cli->command->uses & ATN_USE_SELECT;
    char *text = atn_strdup(cli->cx, "");

    for (size_t i = 0; text && selects && i < ATN_LEN(names); i++) {
        const char *typed = atn_opt_text(cli, names[i][0], NULL);
        char *longer;

        if (!typed || strcmp(typed, "all") == 0) continue;
        longer = atn_strfmt(cli->cx, "%s, %s %s", text,
                            names[i][strpbrk(typed, ",-") == NULL], typed);
        atn_free(cli->cx, text);
        text = longer;
    }
    return text;
}

/* A stack of layers, by words or of a capture. */
typedef struct layers {
    const char *name;
    atn_stack *stack;    /* NULL = of a capture: */
    atn_pattern **taken; /* [n], owned */
    char *taken_name;
    const atn_pattern *const *layer;
    int n;
} layers;

static void drop_layers(atn_ctx *cx, layers *l)
{
    if (l->stack) atn_stack_release(cx, l->stack);
    atn_free(cx, l->stack);
    for (int i = 0; l->taken && i < l->n; i++) atn_pattern_destroy(cx, l->taken[i]);
    atn_free(cx, l->taken);
    atn_free(cx, l->taken_name);
    memset(l, 0, sizeof *l);
}

/* The grid of the capture, unless it is of another stack, of more tokens. */
static const atn_list *grid_of(const atn_pattern_source *s, atn_idx tokens)
{
    const atn_list *grid = s->subject ? atn_capture_grid(s->subject->capture) : NULL;
    atn_idx n = 1;

    for (int i = 0; grid && i < grid->n; i++)
        if (!atn_mul(n, grid->at[i], &n) || n > tokens) return NULL;
    return grid;
}

static atn_status read_word(atn_ctx *cx, const atn_pattern_source *s, int i,
                            atn_idx tokens, layers *out)
{
    const atn_layout like = {.nk = tokens,
                             .heads = ATN_MAX(s->query_heads, 1),
                             .seed = cx->seed,
                             .grid = grid_of(s, tokens)};
    atn_status st = ATN_OK;

    ATN_NEW(out->stack, 1);
    ATN_TRY(atn_stack_read(cx, s->words[i], &like, out->stack));
    if (s->run) ATN_TRY(atn_stack_record(cx, s->run, out->stack));
    out->name = out->stack->name;
    out->layer = (const atn_pattern *const *)out->stack->layer;
    out->n = out->stack->n;
done:
    return st;
}

/* Options, of those asked for, by which the chosen layers become one: " --steps T". */
static atn_narrower narrower(const atn_pattern_source *s, unsigned of)
{
    return atn_selection_narrower(s->subject->capture, &s->subject->selection, of);
}

/* The method that is asked for; with none, *at is NULL. */
static atn_status read_from(atn_ctx *cx, const atn_pattern_source *s, atn_from *from,
                            const atn_from **at)
{
    atn_status st = ATN_OK;

    *at = NULL;
    if (!s->from) return ATN_OK;
    ATN_TRY(atn_from_read(cx, s->from, from));
    from->grid = s->grid;
    from->prompt = s->prompt;
    *at = from;
done:
    return st;
}

/* How the patterns of the capture are called. */
static char *taken_name(atn_ctx *cx, const atn_pattern_source *s, const char *rest)
{
    return s->from ? atn_strfmt(cx, "captured %s%s", s->from, rest)
                   : atn_strfmt(cx, "the model's own masks%s", rest);
}

/* The selected layers, which must be of one stack and step. */
static atn_status take_layers(atn_ctx *cx, const atn_pattern_source *s, layers *out)
{
    const atn_selection *sel = &s->subject->selection;
    atn_status st = ATN_OK;
    const atn_from *from;
    atn_from method;

    if (atn_selection_part(s->subject->capture, sel, 0) != sel->n)
        ATN_FAIL(ATN_USAGE, "the layers are of more than one stack or step (give%s)",
                 narrower(s, ATN_NARROW_STACK | ATN_NARROW_STEP).text);
    ATN_TRY(read_from(cx, s, &method, &from));
    ATN_NEW(out->taken, sel->n);
    ATN_TRY(atn_capture_patterns(cx, s->subject->capture, sel, 0, sel->n, from,
                                 out->taken));
    out->n = sel->n;
    out->layer = (const atn_pattern *const *)out->taken;
    out->taken_name = taken_name(cx, s, s->chosen ? s->chosen : "");
    if (!out->taken_name) ATN_TRY(cx->err.code);
    out->name = out->taken_name;
done:
    return st;
}

static atn_status check_one(atn_ctx *cx, const atn_pattern_source *s)
{
    atn_status st = ATN_OK;

    if (s->n + (s->subject ? 1 : 0) != 1)
        ATN_FAIL(ATN_USAGE,
                 "figure %s shows one pattern, %d are given (attnscope plot growth "
                 "compares several)",
                 s->figure, s->n + (s->subject ? 1 : 0));
done:
    return st;
}

/* ---- pattern ---- */

/* One of n layers or heads, by number; -1 is the last one. */
atn_status atn_pattern_one(atn_ctx *cx, const char *option, const char *text, atn_idx n,
                           atn_idx *out)
{
    const char *what = strcmp(option, "--layers") == 0 ? "layer" : "head";
    atn_status st = ATN_OK;
    atn_idx *items = NULL, count = 0;

    *out = 0;
    if (!text) goto done;
    st = atn_parse_list(cx, option, text, n, &items, &count);
    if (st == ATN_USAGE) atn_err_clear(cx);
    if (st == ATN_USAGE || (st == ATN_OK && count != 1))
        ATN_FAIL(ATN_USAGE,
                 "%s: '%.60s' is not one %s by number, 0 .. %lld of the pattern (-1 is "
                 "the last)",
                 option, text, what, (long long)n - 1);
    ATN_TRY(st);
    *out = items[0];
done:
    atn_free(cx, items);
    return st;
}

/* Which layer of the words is shown: the one that is named, or all are the same. */
static atn_status layer_of(atn_ctx *cx, const atn_pattern_source *s, const layers *l,
                           int *layer)
{
    atn_status st = ATN_OK;
    atn_idx at = 0;

    if (!s->layer && l->stack->items > 1)
        ATN_FAIL(ATN_USAGE,
                 "figure pattern shows one layer, '%s' has %d (give --layers L, 0 .. "
                 "%d)",
                 l->name, l->n, l->n - 1);
    ATN_TRY(atn_pattern_one(cx, "--layers", s->layer, l->n, &at));
    *layer = (int)at;
done:
    return st;
}

static atn_status word_image(atn_ctx *cx, const atn_pattern_source *s, atn_table **out)
{
    atn_pattern_case c = {0};
    atn_status st = ATN_OK;
    layers l = {0};
    char number[16];
    char *name = NULL;
    atn_idx head = 0;
    int layer = 0;

    ATN_TRY(read_word(cx, s, 0, s->tokens, &l));
    ATN_TRY(layer_of(cx, s, &l, &layer));
    ATN_TRY(atn_pattern_one(cx, "--heads", s->head, l.layer[layer]->heads, &head));
    name = atn_stack_item(cx, l.stack, l.stack->item[layer]);
    if (!name) ATN_TRY(cx->err.code);
    snprintf(number, sizeof number, "%d", layer);
    c = (atn_pattern_case){.pattern = name, .layers = number, .p = l.layer[layer]};
    ATN_TRY(atn_pattern_image_table(cx, &c, head, s->cells ? s->cells : CELLS, out));
done:
    atn_free(cx, name);
    drop_layers(cx, &l);
    return st;
}

/* The one chosen layer, whose queries need not be its keys. */
static atn_status layer_pattern(atn_ctx *cx, const atn_pattern_source *s, bool joined,
                                atn_pattern **out)
{
    const atn_selection *sel = &s->subject->selection;
    atn_status st = ATN_OK;
    const atn_from *from;
    atn_from method;

    *out = NULL;
    if (sel->n != 1)
        ATN_FAIL(ATN_USAGE,
                 "figure pattern shows one layer of one step, %d are chosen (give%s)",
                 sel->n, narrower(s, ATN_NARROW_ALL & ~(unsigned)ATN_NARROW_HEAD).text);
    ATN_TRY(read_from(cx, s, &method, &from));
    ATN_TRY(atn_capture_pattern(cx, s->subject->capture, sel, 0, from, joined, out));
done:
    return st;
}

/* The head that is chosen, or -1 where several are, which are joined. */
static atn_idx only_head(const atn_selection *sel)
{
    if (sel->n_heads != 1) return -1;
    for (atn_idx h = 0; h < sel->max_heads; h++)
        if (sel->heads[h]) return h;
    return -1;
}

static atn_status capture_image(atn_ctx *cx, const atn_pattern_source *s,
                                atn_table **out)
{
    const atn_selection *sel = &s->subject->selection;
    const atn_layer_info *info = atn_capture_layer(s->subject->capture, sel->at[0]);
    const atn_idx head = only_head(sel);
    atn_pattern *p = NULL;
    atn_pattern_case c = {0};
    atn_status st = ATN_OK;
    char number[16], of[160], heads[64] = "";
    char *name = NULL;

    ATN_TRY(layer_pattern(cx, s, true, &p));
    snprintf(number, sizeof number, "%d", info->layer);
    if (s->from && head >= 0)
        snprintf(heads, sizeof heads, ", head %lld", (long long)head);
    else if (s->from)
        snprintf(heads, sizeof heads, ", %lld heads joined", (long long)sel->n_heads);
    snprintf(of, sizeof of, ", %.40s%slayer %s%s", info->stack, *info->stack ? " " : "",
             number, heads);
    name = taken_name(cx, s, of);
    if (!name) ATN_TRY(cx->err.code);
    c = (atn_pattern_case){.pattern = name, .layers = number, .p = p};
    ATN_TRY(atn_pattern_image_table(cx, &c, 0, s->cells ? s->cells : CELLS, out));
done:
    atn_free(cx, name);
    atn_pattern_destroy(cx, p);
    return st;
}

/* ---- reach and growth ---- */

static int depth_of(const atn_pattern_source *s, int n)
{
    if (s->depth > 0) return s->depth;
    return s->subject ? n : ATN_MAX(n, DEPTH);
}

/* Columns of all tokens cost more than those of the last one alone. */
static bool wants_every(const atn_pattern_source *s)
{
    return s->whole ||
           (s->y && (strncmp(s->y, "pairs_", 6) == 0 || strncmp(s->y, "row", 3) == 0));
}

/* Numbers of walks cost more than all the rest. */
static bool wants_walks(const atn_pattern_source *s)
{
    return s->whole || (s->y && strncmp(s->y, "walks", 5) == 0);
}

/* The stacks of a comparison, the capture first, with their fields. */
typedef struct stacks {
    layers *of;       /* [n] */
    atn_field *field; /* [n] */
    int n;
} stacks;

static void drop_stacks(atn_ctx *cx, stacks *k)
{
    for (int i = 0; i < k->n; i++) {
        if (k->of) drop_layers(cx, &k->of[i]);
        if (k->field) atn_field_release(cx, &k->field[i]);
    }
    atn_free(cx, k->of);
    atn_free(cx, k->field);
}

static atn_status read_all(atn_ctx *cx, const atn_pattern_source *s, stacks *k)
{
    const int captures = s->subject ? 1 : 0;
    atn_idx tokens = s->tokens;
    atn_status st = ATN_OK;

    k->n = s->n + captures;
    ATN_NEW(k->of, k->n);
    ATN_NEW(k->field, k->n);
    if (s->subject) {
        ATN_TRY(take_layers(cx, s, &k->of[0]));
        tokens = k->of[0].layer[0]->frame.nk;
    }
    for (int i = 0; i < s->n; i++)
        ATN_TRY(read_word(cx, s, i, tokens, &k->of[i + captures]));
done:
    return st;
}

static atn_status run_fields(atn_ctx *cx, const atn_pattern_source *s, stacks *k)
{
    atn_field_opts o = {.every = wants_every(s), .walks = wants_walks(s)};
    atn_status st = ATN_OK;
    int most = 0;

    for (int i = 0; i < k->n; i++) most = ATN_MAX(most, k->of[i].n);
    o.depth = depth_of(s, s->subject ? k->of[0].n : most);
    for (int i = 0; i < k->n; i++)
        ATN_TRY(atn_field_run(cx, k->of[i].layer, k->of[i].n, &o, &k->field[i]));
done:
    return st;
}

/* "tinytales, 439 tokens": what the fields are of. */
static atn_status set_subtitle(atn_ctx *cx, const atn_pattern_source *s,
                               const stacks *k, atn_table *t)
{
    const char *model =
        s->subject ? atn_capture_model(s->subject->capture)->name : NULL;
    const atn_field *f = &k->field[0];
    char text[192], blocks[64] = "";

    for (int i = 0; i < k->n; i++)
        if (k->field[i].tokens != f->tokens) return ATN_OK; /* words say their own */
    if (f->block > 1)
        snprintf(blocks, sizeof blocks, " in blocks of %lld", (long long)f->block);
    for (int i = 0; i < k->n; i++)
        if (k->field[i].block != f->block) *blocks = '\0';
    snprintf(text, sizeof text, "%.96s%s%lld tokens%s", model ? model : "",
             model ? ", " : "", (long long)f->tokens, blocks);
    return atn_table_set_meta(cx, t, "subtitle", text);
}

static atn_status fields_table(atn_ctx *cx, const atn_pattern_source *s, stacks *k,
                               atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_field_case *cases = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(run_fields(cx, s, k));
    ATN_TAKE(cases, k->n);
    for (int i = 0; i < k->n; i++)
        cases[i] = (atn_field_case){.pattern = k->of[i].name, .field = &k->field[i]};
    ATN_TRY(atn_field_table(cx, cases, k->n,
                            ATN_FIELD_PATTERN | (wants_walks(s) ? ATN_FIELD_WALKS : 0u),
                            out));
    ATN_TRY(set_subtitle(cx, s, k, *out));
done:
    if (st != ATN_OK) {
        atn_table_destroy(cx, *out);
        *out = NULL;
    }
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status growth(atn_ctx *cx, const atn_pattern_source *s, atn_table **out)
{
    atn_status st = ATN_OK;
    stacks k = {0};

    ATN_TRY(read_all(cx, s, &k));
    ATN_TRY(fields_table(cx, s, &k, out));
done:
    drop_stacks(cx, &k);
    return st;
}

/* The window that keeps about so many pairs of n tokens: n w - w (w - 1) / 2 of a
 * causal one; one to both sides twice as many, less the n of i = j. */
static void window_word(double pairs, const atn_frame *f, char word[ATN_WINDOW_WORD])
{
    const double n = (double)f->nk, half = n + 0.5;
    const double past = f->causal ? pairs : (pairs + n) / 2;
    const double w = half - sqrt(fmax(half * half - 2 * past, 0));

    snprintf(word, ATN_WINDOW_WORD, "window:window=%.0f%s", fmin(fmax(round(w), 1), n),
             f->causal ? "" : ",two_sided=yes");
}

static atn_status budget_word(atn_ctx *cx, const layers *l, char word[ATN_WINDOW_WORD])
{
    atn_status st = ATN_OK;
    double pairs = 0;

    for (int i = 0; i < l->n; i++) {
        int64_t one = 0;

        ATN_TRY(atn_pattern_pairs(cx, l->layer[i], 0, &one));
        pairs += (double)one / l->n;
    }
    window_word(pairs, &l->layer[0]->frame, word);
done:
    return st;
}

atn_status atn_pattern_source_budget(atn_ctx *cx, const atn_pattern_source *s,
                                     char word[ATN_WINDOW_WORD], atn_table **out)
{
    const char *const words[] = {word};
    atn_pattern_source with = *s;
    atn_status st = ATN_OK;
    stacks k = {.n = 2};

    *out = NULL;
    with.words = words;
    with.n = 1;
    ATN_NEW(k.of, k.n);
    ATN_NEW(k.field, k.n);
    ATN_TRY(take_layers(cx, s, &k.of[0]));
    ATN_TRY(budget_word(cx, &k.of[0], word));
    ATN_TRY(read_word(cx, &with, 0, k.of[0].layer[0]->frame.nk, &k.of[1]));
    ATN_TRY(fields_table(cx, &with, &k, out));
done:
    drop_stacks(cx, &k);
    return st;
}

static atn_status reach(atn_ctx *cx, const atn_pattern_source *s, atn_table **out)
{
    atn_status st = ATN_OK;
    layers l = {0};

    if (s->subject)
        ATN_TRY(take_layers(cx, s, &l));
    else
        ATN_TRY(read_word(cx, s, 0, s->tokens, &l));
    ATN_TRY(atn_reach_table(cx, l.name, l.layer, l.n, depth_of(s, l.n),
                            s->cells ? s->cells : CELLS, out));
done:
    drop_layers(cx, &l);
    return st;
}

atn_status atn_pattern_source_table(atn_ctx *cx, const atn_pattern_source *s,
                                    atn_table **out)
{
    atn_status st = ATN_OK;

    *out = NULL;
    if (strcmp(s->figure, "growth") == 0) return growth(cx, s, out);
    ATN_TRY(check_one(cx, s));
    if (strcmp(s->figure, "reach") == 0) return reach(cx, s, out);
    ATN_TRY(s->subject ? capture_image(cx, s, out) : word_image(cx, s, out));
done:
    return st;
}

/* ---- storing ---- */

static atn_status save_word(atn_ctx *cx, const atn_pattern_source *s, const char *path,
                            bool force)
{
    atn_status st = ATN_OK;
    atn_idx head = -1;
    layers l = {0};
    int layer = 0;

    ATN_TRY(read_word(cx, s, 0, s->tokens, &l));
    ATN_TRY(layer_of(cx, s, &l, &layer));
    if (s->head)
        ATN_TRY(atn_pattern_one(cx, "--heads", s->head, l.layer[layer]->heads, &head));
    ATN_TRY(atn_pattern_save(cx, l.layer[layer], head, path, force));
done:
    drop_layers(cx, &l);
    return st;
}

static atn_status save_layer(atn_ctx *cx, const atn_pattern_source *s, const char *path,
                             bool force)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;

    ATN_TRY(layer_pattern(cx, s, false, &p));
    ATN_TRY(atn_pattern_save(cx, p, -1, path, force));
done:
    atn_pattern_destroy(cx, p);
    return st;
}

atn_status atn_pattern_source_save(atn_ctx *cx, const atn_pattern_source *s,
                                   const char *path, bool force)
{
    atn_status st = ATN_OK;

    ATN_TRY(check_one(cx, s));
    if (s->subject)
        ATN_TRY(save_layer(cx, s, path, force));
    else
        ATN_TRY(save_word(cx, s, path, force));
done:
    return st;
}
