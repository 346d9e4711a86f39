/* cli/pages_parts.c -- the figures of a report that show one stack and step: one for
 * every stack and, of many steps, for the first, the middle and the last.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "cli/pages_internal.h"

enum { STEPS_DRAWN = 3 };

char *atn_page_chosen(const atn_page_writer *w, const char *stack, int step)
{
    static const char *const names[] = {"layers", "heads", "stack", "steps"};
    const bool selects = w->cli->command->uses & ATN_USE_SELECT;
    atn_ctx *cx = w->cli->cx;
    char *chosen = atn_strdup(cx, ""), steps[32];

    snprintf(steps, sizeof steps, "%d", step);
    for (size_t i = 0; chosen && i < ATN_LEN(names); i++) {
        const char *typed = selects ? atn_opt_text(w->cli, names[i], NULL) : NULL;
        char *word, *longer = NULL;

        if (i == 2 && stack) typed = stack;
        if (i == 3 && step >= 0) typed = steps;
        if (!typed) continue;
        word = atn_page_word(cx, typed);
        if (word) longer = atn_strfmt(cx, "%s --%s %s", chosen, names[i], word);
        atn_free(cx, word);
        atn_free(cx, chosen);
        chosen = longer;
    }
    return chosen;
}

/* The steps of a selection in their order, and whether it has several stacks. */
typedef struct extent {
    int steps;
    int step[STEPS_DRAWN]; /* the first, the middle and the last, or all */
    bool stacks;
} extent;

static bool starts_step(const atn_capture *c, const atn_selection *sel, int i)
{
    return i == 0 || atn_capture_layer(c, sel->at[i])->step !=
                         atn_capture_layer(c, sel->at[i - 1])->step;
}

static extent extent_of(const atn_capture *c, const atn_selection *sel)
{
    const char *first = atn_capture_layer(c, sel->at[0])->stack;
    extent e = {0};
    int at = 0;

    for (int i = 0; i < sel->n; i++) {
        e.steps += starts_step(c, sel, i);
        e.stacks |= strcmp(atn_capture_layer(c, sel->at[i])->stack, first) != 0;
    }
    for (int i = 0, drawn = 0; i < sel->n; i++) {
        if (!starts_step(c, sel, i)) continue;
        if (e.steps <= STEPS_DRAWN || at == 0 || at == e.steps / 2 || at == e.steps - 1)
            e.step[drawn++] = atn_capture_layer(c, sel->at[i])->step;
        at++;
    }
    return e;
}

static bool draws(const extent *e, int step)
{
    for (int i = 0; i < ATN_MIN(e->steps, STEPS_DRAWN); i++)
        if (e->step[i] == step) return true;
    return false;
}

static atn_status say_steps(atn_page_writer *w, const extent *e, const char *figure)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *text = NULL;

    if (e->steps <= STEPS_DRAWN) return ATN_OK;
    text =
        atn_strfmt(cx,
                   "Shown are steps %d, %d and %d, the first, the middle and the "
                   "last of %d; attnscope plot %s %s --steps N draws another.",
                   e->step[0], e->step[1], e->step[2], e->steps, figure, w->shell_dir);
    if (!text) ATN_TRY(cx->err.code);
    ATN_TRY(atn_report_paragraph(cx, w->pages->report, text));
done:
    atn_free(cx, text);
    return st;
}

static atn_status one_part(atn_page_writer *w, const extent *e, atn_page_part *part,
                           atn_page_draw *draw, const void *state)
{
    const atn_layer_info *l = atn_capture_layer(w->subject->capture, part->sel.at[0]);
    const char *stack = e->stacks ? l->stack : NULL;
    const int step = e->steps > 1 ? l->step : -1;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char steps[32] = "";

    if (step >= 0) snprintf(steps, sizeof steps, "-step-%d", step);
    snprintf(part->name, sizeof part->name, "%s%.40s%s", stack ? "-" : "",
             stack ? stack : "", steps);
    part->how = atn_page_chosen(w, stack, step);
    if (!part->how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_page_or_why(w, draw(w, part, state)));
done:
    atn_free(cx, part->how);
    return st;
}

atn_status atn_page_each_part(atn_page_writer *w, const char *figure,
                              atn_page_draw *draw, const void *state)
{
    const atn_selection *all = &w->subject->selection;
    const atn_capture *c = w->subject->capture;
    const extent e = extent_of(c, all);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    int index = 0;

    ATN_TRY(say_steps(w, &e, figure));
    for (int at = 0, end; at < all->n; at = end, index++) {
        atn_page_part part = {.index = index, .sel = *all};

        end = atn_selection_part(c, all, at);
        if (!draws(&e, atn_capture_layer(c, all->at[at])->step)) continue;
        part.sel.n = end - at;
        part.sel.at += at;
        part.sel.heads += at * all->max_heads;
        part.sel.n_heads = 0;
        for (int i = 0; i < part.sel.n; i++)
            part.sel.n_heads += atn_selection_heads(&part.sel, i);
        ATN_TRY(one_part(w, &e, &part, draw, state));
    }
done:
    return st;
}
