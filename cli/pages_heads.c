/* cli/pages_heads.c -- the pages of a report that show attention itself: all heads,
 * single heads, block maps.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/pages.h"
#include "cli/pages_internal.h"
#include "cli/sources.h"

enum { HEAD_CELLS = 256, LONG_TEXT = 2048, BLOCK_MAPS = 3 };

static atn_status draw_heads(atn_page_writer *w, const atn_page_part *part,
                             const void *state)
{
    const atn_source_opts opts = {.pool = ATN_POOL_MAX};
    atn_subject one = *w->subject; /* borrowed but for the selection */
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char name[96];

    (void)state;
    one.selection = part->sel;
    snprintf(name, sizeof name, "heads%s", part->name);
    ATN_TRY(atn_source_table(cx, "heads", &one, &opts, &t));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "heads",
                            .name = name,
                            .how = part->how,
                            .caption = "Queries run down, keys run right; grey is what "
                                       "a query does not see"}));
done:
    atn_table_destroy(cx, t);
    return st;
}

atn_status atn_page_heads(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_page_section(w, "All heads"));
    ATN_TRY(atn_page_each_part(w, "heads", draw_heads, NULL));
done:
    return st;
}

int atn_page_layer_of(const atn_page_writer *w, const atn_highlight *h)
{
    const atn_selection *sel = &w->subject->selection;
    const atn_capture *c = w->subject->capture;

    for (int i = 0; i < atn_capture_layers(c); i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);

        if (l->layer == h->layer && (!sel->many_steps || l->step == h->step) &&
            (!sel->many_stacks || strcmp(l->stack, h->stack) == 0))
            return i;
    }
    return -1;
}

const char *atn_page_head_title(const atn_page_writer *w, const atn_highlight *h,
                                char out[ATN_PAGE_HEAD])
{
    const atn_selection *sel = &w->subject->selection;
    char step[32] = "";

    if (sel->many_steps)
        snprintf(step, sizeof step, " of step %lld", (long long)h->step);
    snprintf(out, ATN_PAGE_HEAD, "%.40s%shead %lld.%lld%s",
             sel->many_stacks ? h->stack : "", sel->many_stacks ? " " : "",
             (long long)h->layer, (long long)h->head, step);
    return out;
}

static void title_case(char *text)
{
    if (*text >= 'a' && *text <= 'z') *text = (char)(*text - 'a' + 'A');
}

/* "Head 1.3: strongest previous-token head (previous_mass 0.9); most weight on the
 * first key (...)": all that picks[i] and the later ones say about its head. */
static char *head_caption(const atn_page_writer *w, const atn_highlight *picks, int n,
                          int i)
{
    atn_ctx *cx = w->cli->cx;
    char title[ATN_PAGE_HEAD];
    char *text = atn_strdup(cx, atn_page_head_title(w, &picks[i], title));

    if (text) title_case(text);

    for (int k = i; text && k < n; k++) {
        char *longer;

        if (!atn_highlight_same_head(&picks[i], &picks[k])) continue;
        longer = atn_strfmt(cx, "%s%s %s (%s %.3g)", text, k == i ? ":" : ";",
                            picks[k].what, picks[k].column, picks[k].value);
        atn_free(cx, text);
        text = longer;
    }
    return text;
}

void atn_page_head_words(const atn_page_writer *w, const atn_highlight *h,
                         char how[ATN_PAGE_HOW], char name[ATN_PAGE_NAME])
{
    const atn_selection *sel = &w->subject->selection;
    char stack[64] = "", step[32] = "";

    if (sel->many_stacks) snprintf(stack, sizeof stack, " --stack %.40s", h->stack);
    if (sel->many_steps)
        snprintf(step, sizeof step, " --steps %lld", (long long)h->step);
    snprintf(how, ATN_PAGE_HOW, " --layers %lld --heads %lld%s%s", (long long)h->layer,
             (long long)h->head, stack, step);
    if (sel->many_stacks) snprintf(stack, sizeof stack, "%.40s-", h->stack);
    if (sel->many_steps) snprintf(step, sizeof step, "%lld-", (long long)h->step);
    snprintf(name, ATN_PAGE_NAME, "%s%s%lld-%lld", stack, step, (long long)h->layer,
             (long long)h->head);
}

/* The largest weights of a head, or the weights of its blocks. */
static atn_status draw_head(atn_page_writer *w, const atn_highlight *h, atn_pool pool,
                            const char *caption)
{
    const bool blocks = pool == ATN_POOL_SUM;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char chosen[ATN_PAGE_HOW], of[ATN_PAGE_NAME], how[240], name[160];
    atn_table *t = NULL;

    atn_page_head_words(w, h, chosen, of);
    snprintf(how, sizeof how, "%s --cells %d %s --scale log", chosen, HEAD_CELLS,
             blocks ? "--pool sum" : "--pool max");
    snprintf(name, sizeof name, "%s-%s", blocks ? "blocks" : "head", of);
    ATN_TRY(atn_heatmap_table(cx, w->subject->capture, atn_page_layer_of(w, h), h->head,
                              HEAD_CELLS, pool, &t));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){
            .figure = "heatmap", .name = name, .how = how, .caption = caption}));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status one_head(atn_page_writer *w, const atn_highlight *picks, int n, int i)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *caption = head_caption(w, picks, n, i);

    if (!caption) ATN_TRY(cx->err.code);
    ATN_TRY(draw_head(w, &picks[i], ATN_POOL_MAX, caption));
done:
    atn_free(cx, caption);
    return st;
}

static bool shown_before(const atn_highlight *picks, int i)
{
    for (int k = 0; k < i; k++)
        if (atn_highlight_same_head(&picks[k], &picks[i])) return true;
    return false;
}

static bool is_long(const atn_page_writer *w, const atn_highlight *h)
{
    const atn_capture *c = w->subject->capture;

    return atn_capture_layer(c, atn_page_layer_of(w, h))->nk >= LONG_TEXT;
}

/* Of a long text the largest weight of a cell says little: where its weight lies, by
 * blocks. */
static atn_status block_maps(atn_page_writer *w, const atn_highlight *picks, int n)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    int drawn = 0;
    char caption[200], title[ATN_PAGE_HEAD];

    for (int i = 0; i < n && drawn < BLOCK_MAPS; i++) {
        if (shown_before(picks, i) || !is_long(w, &picks[i])) continue;
        if (drawn++ == 0) ATN_TRY(atn_page_section(w, "Block maps"));
        snprintf(caption, sizeof caption,
                 "%s: the weight of every block of queries on every block of keys",
                 atn_page_head_title(w, &picks[i], title));
        title_case(caption);
        ATN_TRY(draw_head(w, &picks[i], ATN_POOL_SUM, caption));
    }
done:
    return st;
}

atn_status atn_page_highlights(atn_page_writer *w, const atn_table *stats)
{
    atn_highlight picks[ATN_HIGHLIGHTS];
    const int n = atn_highlights(stats, picks);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char text[128];

    if (n == 0) goto done;
    ATN_TRY(atn_page_section(w, "Heads to look at"));
    snprintf(text, sizeof text, "The extremes of some measures among %lld head%s.",
             (long long)atn_table_rows(stats), atn_table_rows(stats) == 1 ? "" : "s");
    ATN_TRY(atn_report_paragraph(cx, w->pages->report, text));
    for (int i = 0; i < n; i++)
        if (!shown_before(picks, i)) ATN_TRY(one_head(w, picks, n, i));
    ATN_TRY(block_maps(w, picks, n));
done:
    return st;
}
