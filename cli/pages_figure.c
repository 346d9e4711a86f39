/* cli/pages_figure.c -- one figure of a report and the command that draws it again. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "cli/pages_internal.h"

char *atn_page_word(atn_ctx *cx, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./-+=:,@%";
    const size_t n = strlen(text);
    char *out, *at;

    if (n > 0 && strspn(text, plain) == n) return atn_strdup(cx, text);
    out = at = atn_alloc(cx, (atn_idx)(4 * n + 3), 1);
    if (!out) return NULL;
    *at++ = '\'';
    for (; *text; text++) {
        if (*text == '\'') {
            memcpy(at, "'\\''", 4);
            at += 4;
        } else {
            *at++ = *text;
        }
    }
    *at++ = '\'';
    *at = '\0';
    return out;
}

atn_status atn_page_section(atn_page_writer *w, const char *heading)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *text = atn_strfmt(cx, "%s%s", w->pages->prefix, heading);

    if (!text) ATN_TRY(cx->err.code);
    ATN_TRY(atn_report_section(cx, w->pages->report, text));
done:
    atn_free(cx, text);
    return st;
}

static atn_status command_of(atn_page_writer *w, const atn_page_drawing *d, char **out)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *title = NULL, *from = NULL;

    if (d->from) {
        from = atn_page_word(cx, d->from);
        if (!from) ATN_TRY(cx->err.code);
    }
    if (d->title) {
        title = atn_page_word(cx, d->title);
        if (!title) ATN_TRY(cx->err.code);
    }
    *out = atn_strfmt(cx, "attnscope plot %s %s%s%s%s -o %s.svg", d->figure,
                      from ? from : w->shell_dir, d->how, title ? " --title " : "",
                      title ? title : "", d->name);
    if (!*out) ATN_TRY(cx->err.code);
done:
    atn_free(cx, from);
    atn_free(cx, title);
    return st;
}

atn_status atn_page_figure(atn_page_writer *w, const atn_table *t,
                           const atn_page_drawing *d)
{
    const atn_figure *f = atn_figure_find(d->figure);
    /* most weights are small: only a logarithm shows both these and the large ones */
    const atn_figure_opts opts = {
        .scale = strcmp(d->figure, "heatmap") == 0 ? "log" : NULL, .title = d->title};
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *command = NULL, *path = NULL;

    ATN_ASSERT(f);
    ATN_TRY(command_of(w, d, &command));
    ATN_TRY(atn_report_figure(cx, w->pages->report, f, t, &opts, d->caption, command));
    if (w->pages->figures_dir) {
        path = atn_strfmt(cx, "%s/%s.svg", w->pages->figures_dir, d->name);
        if (!path) ATN_TRY(cx->err.code);
        ATN_TRY(atn_figure_draw(cx, f, t, &opts, path, true));
    }
done:
    atn_free(cx, path);
    atn_free(cx, command);
    return st;
}

atn_status atn_page_or_why(atn_page_writer *w, atn_status st)
{
    atn_ctx *cx = w->cli->cx;
    char why[ATN_ERR_TEXT];

    if (st != ATN_DATA && st != ATN_USAGE) return st;
    snprintf(why, sizeof why, "%s", cx->err.text);
    atn_err_clear(cx);
    return atn_report_paragraph(cx, w->pages->report, why);
}
