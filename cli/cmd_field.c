/* cli/cmd_field.c -- attnscope field: how far a token can see through the layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/field_capture.h"
#include "cli/output.h"
#include "cli/patterns.h"

enum { DEPTH = 8, DEPTH_MOST = 4096 };

static const atn_option options[] = {
    {"tokens", 0, ATN_OPT_COUNT, "N", "length of the sequence (what the pattern says)",
     1, 0x1p31},
    {"depth", 0, ATN_OPT_I64, "N",
     "layers (8, or as many as the pattern or capture has)", 1, DEPTH_MOST},
    {"query-heads", 0, ATN_OPT_I64, "N",
     "heads of a layer, for patterns that differ between them (1)", 1, 65536},
    {"from", 0, ATN_OPT_TEXT, "METHOD",
     "of a capture: what a method of attnscope list methods keeps, as topk:k=32 or "
     "minference (what the masks show)",
     0, 0},
    {"grid", 0, ATN_OPT_TEXT, "AxBxC",
     "for --from: the grid of the first tokens, row-major (what the capture says)", 0,
     0},
    {"prompt", 0, ATN_OPT_COUNT, "N",
     "for --from: tokens of the prompt (what the capture says)", 1, 1e12},
    {"last-only", 0, ATN_OPT_FLAG, NULL,
     "the field of the last token alone, not the columns about all tokens nor the "
     "diameter: less time and memory",
     0, 0},
    {"no-diameter", 0, ATN_OPT_FLAG, NULL,
     "do not go on beyond --depth: where the last token or all tokens are complete "
     "only later, that stays unknown",
     0, 0},
    {"no-walks", 0, ATN_OPT_FLAG, NULL,
     "without the columns of walks: less time and memory", 0, 0},
    {"no-rollout", 0, ATN_OPT_FLAG, NULL,
     "of a capture: without how much weight comes from what is reached", 0, 0},
    {"flow", 0, ATN_OPT_FLAG, NULL,
     "of a capture: also by attention flow, at most 256 nodes (slow)", 0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

/* ---- of patterns ---- */

typedef struct words {
    atn_stack *stack; /* [n] */
    atn_field *field;
    int n;
} words;

static void release(atn_ctx *cx, words *w)
{
    for (int i = 0; i < w->n; i++) {
        if (w->stack) atn_stack_release(cx, &w->stack[i]);
        if (w->field) atn_field_release(cx, &w->field[i]);
    }
    atn_free(cx, w->stack);
    atn_free(cx, w->field);
}

/* Which layers of the stack are of LAYER `item`, "2-6". */
static void layers_of(const atn_stack *s, int item, char *out, size_t size)
{
    int first = 0, last;

    while (s->item[first] != item) first++;
    for (last = first; last + 1 < s->n && s->item[last + 1] == item;) last++;
    if (first == last)
        snprintf(out, size, "%d", first);
    else
        snprintf(out, size, "%d-%d", first, last);
}

/* A row a LAYER of every word. */
static atn_status patterns_table(atn_ctx *cx, const words *w, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_pattern_case *cases = NULL;
    char *text = NULL;
    int n = 0, at = 0;

    for (int i = 0; i < w->n; i++) n += w->stack[i].items;
    ATN_TAKE(cases, n);
    ATN_TAKE(text, 32 * (atn_idx)n);
    memset(cases, 0, (size_t)n * sizeof *cases);
    for (int i = 0; i < w->n; i++)
        for (int k = 0; k < w->stack[i].n; k++) {
            const atn_stack *s = &w->stack[i];

            if (k > 0 && s->item[k] == s->item[k - 1]) continue;
            layers_of(s, s->item[k], text + 32 * at, 32);
            cases[at] = (atn_pattern_case){atn_stack_item(cx, s, s->item[k]),
                                           text + 32 * at, s->layer[k], &w->field[i]};
            if (!cases[at++].pattern) ATN_TRY(cx->err.code);
        }
    ATN_TRY(atn_pattern_table(cx, cases, n, out));
done:
    for (int i = 0; i < at; i++) atn_free(cx, (char *)cases[i].pattern);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status field_table(atn_ctx *cx, const words *w, bool walks, atn_table **out)
{
    const unsigned columns =
        (walks ? ATN_FIELD_WALKS : 0u) | (w->n > 1 ? ATN_FIELD_PATTERN : 0u);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_field_case *cases = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(cases, w->n);
    for (int i = 0; i < w->n; i++)
        cases[i] = (atn_field_case){.pattern = w->stack[i].name, .field = &w->field[i]};
    ATN_TRY(atn_field_table(cx, cases, w->n, columns, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_words(atn_cli *cli, words *w)
{
    const atn_layout like = {.nk = atn_opt_i64(cli, "tokens", 0),
                             .heads = atn_opt_i64(cli, "query-heads", 1),
                             .seed = cli->cx->seed};
    const int depth = (int)atn_opt_i64(cli, "depth", 0);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    int most = DEPTH;

    w->n = cli->n_args;
    ATN_NEW(w->stack, w->n);
    ATN_NEW(w->field, w->n);
    for (int i = 0; i < w->n; i++)
        ATN_TRY(atn_stack_read(cx, cli->args[i], &like, &w->stack[i]));
    for (int i = 0; i < w->n; i++) most = ATN_MAX(most, w->stack[i].n);
    for (int i = 0; i < w->n; i++) {
        const atn_stack *s = &w->stack[i];
        const atn_field_opts o = {.depth = depth ? depth : most,
                                  .every = !atn_opt_given(cli, "last-only"),
                                  .walks = !atn_opt_given(cli, "no-walks"),
                                  .diameter = !atn_opt_given(cli, "no-diameter")};

        ATN_TRY(atn_field_run(cx, (const atn_pattern *const *)s->layer, s->n, &o,
                              &w->field[i]));
    }
done:
    return st;
}

static atn_status of_patterns(atn_cli *cli)
{
    atn_table *tables[2] = {NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_run run = {0};
    words w = {0};

    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(run_words(cli, &w));
    for (int i = 0; i < w.n; i++) ATN_TRY(atn_stack_record(cx, &run, &w.stack[i]));
    ATN_TRY(field_table(cx, &w, !atn_opt_given(cli, "no-walks"), &tables[0]));
    ATN_TRY(patterns_table(cx, &w, &tables[1]));
    ATN_TRY(atn_cli_emit_all(cli, &run, (const atn_table *const *)tables, 2, 0, NULL));
done:
    for (int i = 0; i < 2; i++) atn_table_destroy(cx, tables[i]);
    release(cx, &w);
    atn_run_release(&run);
    return st;
}

/* ---- of a capture ---- */

static atn_status of_capture(atn_cli *cli)
{
    const char *from = atn_opt_text(cli, "from", NULL);
    atn_field_capture_opts o = {.pattern = from ? from : "the model's own masks",
                                .depth = (int)atn_opt_i64(cli, "depth", 0),
                                .every = !atn_opt_given(cli, "last-only"),
                                .walks = !atn_opt_given(cli, "no-walks"),
                                .diameter = !atn_opt_given(cli, "no-diameter"),
                                .rollout = !atn_opt_given(cli, "no-rollout"),
                                .flow = atn_opt_given(cli, "flow")};
    atn_table *tables[2] = {NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    atn_from method;

    if (from) {
        ATN_TRY(atn_from_read(cx, from, &method));
        ATN_TRY(atn_opt_shape(cli, "grid", 3, &method.grid));
        method.prompt = atn_opt_i64(cli, "prompt", 0);
        o.from = &method;
    }
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    ATN_TRY(atn_field_capture(cx, s.capture, &s.selection, &o, &tables[0], &tables[1]));
    ATN_TRY(atn_cli_emit_all(cli, &s.run, (const atn_table *const *)tables, 2, 0,
                             cli->args[0]));
done:
    for (int i = 0; i < 2; i++) atn_table_destroy(cx, tables[i]);
    atn_subject_close(cli, &s);
    return st;
}

static atn_status check_words(atn_cli *cli, bool capture)
{
    static const char *const of_captures[] = {"from",  "grid",  "prompt", "no-rollout",
                                              "flow",  "stack", "steps",  "layers",
                                              "heads", "keep"};
    static const char *const of_methods[] = {"grid", "prompt"};
    static const char *const of_words[] = {"tokens", "query-heads"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    for (size_t i = 0; !capture && i < ATN_LEN(of_captures); i++)
        if (atn_opt_given(cli, of_captures[i]))
            ATN_FAIL(ATN_USAGE,
                     "field: --%s is of a capture, and %s is a pattern (leave it out)",
                     of_captures[i], cli->args[0]);
    for (size_t i = 0; i < ATN_LEN(of_methods); i++)
        if (atn_opt_given(cli, of_methods[i]) && !atn_opt_given(cli, "from"))
            ATN_FAIL(ATN_USAGE, "field: --%s is of what --from takes (leave it out)",
                     of_methods[i]);
    for (size_t i = 0; capture && i < ATN_LEN(of_words); i++)
        if (atn_opt_given(cli, of_words[i]))
            ATN_FAIL(ATN_USAGE,
                     "field: --%s is of a pattern; the capture %s says its own (leave "
                     "it out)",
                     of_words[i], cli->args[0]);
    for (int i = 0; cli->n_args > 1 && i < cli->n_args; i++)
        if (atn_is_capture(cli->args[i]))
            ATN_FAIL(
                ATN_USAGE,
                "field: %s is a capture, which goes alone: give one capture, or any "
                "number of patterns (attnscope plot growth draws both)",
                cli->args[i]);
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const bool capture = atn_is_capture(cli->args[0]);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(check_words(cli, capture));
    ATN_TRY(capture ? of_capture(cli) : of_patterns(cli));
done:
    return st;
}

static const char *word(const char *option, int i)
{
    if (!option) return atn_pattern_word(i);
    return strcmp(option, "from") == 0 ? atn_method_id(i) : NULL;
}

static const char *const examples[] = {
    "field power:block=256,window=5,sink=1 --tokens 32k",
    "field power power_sliding power_dilated --tokens 32k --depth 16",
    "field 2xcausal,5xpower --tokens 1m --depth 28",
    "field window:window=4096+strided:stride=1024 --tokens 1m",
    "field gna:shape=16x44x80,window=16x24x16,stride=1x8x16 --depth 6",
    "field mask.json --depth 4",
    "field RUN",
    "field RUN --from topk:k=32 --format csv",
    NULL};

const atn_command atn_command_field = {
    .id = "field",
    .summary = "how far a token can see through layers of a pattern",
    .args = "PATTERN...|RUN",
    .examples = examples,
    .text =
        "A layer lets a token take from the keys that its pattern shows, and from "
        "itself; after k layers its state depends on at most the tokens that k such "
        "steps reach. One row a depth, for the last token and for all of them; a "
        "second table has the counts and densities of the patterns, the depth at which "
        "the last token is complete, and the diameter: the depth at which every token "
        "reaches all that it may see. For these two the layers go on beyond --depth, "
        "for some seconds; columns beside them say whether that was reached, is never "
        "so, or is unknown.\n"
        "PATTERN is id:key=value,... (attnscope list patterns) or a file of intervals "
        "(.json). A list of them is a stack of layers from the first one up, repeated; "
        "5xSPEC stands for five layers, A+B for the union of both in one layer. "
        "Several "
        "PATTERNs are compared. Blocks are those of the pattern; a pattern of tokens "
        "has "
        "blocks of one token.\n"
        "Of a capture, the patterns are what the masks of its layers show or, with "
        "--from, the keys that a method keeps, joined over the heads. Beside what can "
        "be reached stands how much of the last token's rollout comes from there. "
        "Beyond its own layers nothing is said, unless --depth asks for more: then "
        "they are repeated.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .second = "pattern",
    .word = word,
    .one_piece = "it follows fields through all layers",
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
