/* cli/pages_internal.h -- what the pages of a report share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/highlights.h"
#include "cli/pages.h"

enum {
    ATN_PAGE_ROWS = 16, /* of a table before it is folded */
    ATN_PAGE_HOW = 160, /* words that choose a head */
    ATN_PAGE_NAME = 120
};

/* One report under way: its pages, the capture, and the words that name the capture in
 * a shell. */
typedef struct atn_page_writer {
    atn_cli *cli;
    atn_pages *pages;
    atn_subject *subject;
    const char *dir;
    char *shell_dir; /* quoted where needed */
    char *chosen;    /* " --layers 0-1": the selection as typed, "" = everything */
} atn_page_writer;

/* One figure: plot FIGURE RUN <how> --title <title> -o <name>.svg draws it again. */
typedef struct atn_page_drawing {
    const char *figure, *name;
    const char *how;   /* options with a blank before each, "" = none */
    const char *title; /* NULL = the table's */
    const char *caption;
    const char *from; /* the file that it is drawn of; NULL = the capture */
} atn_page_drawing;

/* TEXT as a shell reads it, in heap memory: quoted when it holds more than plain
 * characters. NULL with cx->err on failure. */
char *atn_page_word(atn_ctx *cx, const char *text) ATN_WARN_UNUSED;
atn_status atn_page_section(atn_page_writer *w, const char *heading) ATN_WARN_UNUSED;
/* The figure in the report with the command that draws it again, and its file beside
 * the report where there is a folder. */
atn_status atn_page_figure(atn_page_writer *w, const atn_table *t,
                           const atn_page_drawing *d) ATN_WARN_UNUSED;
/* What this capture cannot have (st DATA or USAGE) is said in its place; any other
 * failure stays one. */
atn_status atn_page_or_why(atn_page_writer *w, atn_status st) ATN_WARN_UNUSED;

/* " --layers 0-1 --stack cross": the selection as typed, but of this stack (NULL = as
 * typed) and step (-1), in heap memory. NULL with cx->err on failure. */
char *atn_page_chosen(const atn_page_writer *w, const char *stack,
                      int step) ATN_WARN_UNUSED;

/* Selected layers of one stack and step. */
typedef struct atn_page_part {
    int index; /* among all parts of the selection */
    atn_selection sel;
    char *how; /* the words that choose it */
    char name
        [80]; /* "-cross-step-2": behind the names of its files, "" = all there is */
} atn_page_part;

typedef atn_status atn_page_draw(atn_page_writer *w, const atn_page_part *part,
                                 const void *state);
/* draw of every part; of more than three steps only the first, the middle and the last,
 * which is said with the name of the figure. What a part cannot have is said in its
 * place. */
atn_status atn_page_each_part(atn_page_writer *w, const char *figure,
                              atn_page_draw *draw, const void *state) ATN_WARN_UNUSED;

/* ---- pages in files of their own ---- */

atn_status atn_page_heads(atn_page_writer *w) ATN_WARN_UNUSED;
/* The layer of a head that the measures chose, as an index of atn_capture_layer. */
int atn_page_layer_of(const atn_page_writer *w, const atn_highlight *h);
enum { ATN_PAGE_HEAD = 96 };
/* "head 1.3", "cross head 1.3 of step 2": its name in captions. Returns out. */
const char *atn_page_head_title(const atn_page_writer *w, const atn_highlight *h,
                                char out[ATN_PAGE_HEAD]);
/* How that head is chosen on a command line, and how its files are named. */
void atn_page_head_words(const atn_page_writer *w, const atn_highlight *h,
                         char how[ATN_PAGE_HOW], char name[ATN_PAGE_NAME]);
/* Single heads that the measures choose, and block maps of the first where the text is
 * long. */
atn_status atn_page_highlights(atn_page_writer *w,
                               const atn_table *stats) ATN_WARN_UNUSED;
/* Grid and layers by the measures; sets meta y of stats. */
atn_status atn_page_model(atn_page_writer *w, atn_table *stats) ATN_WARN_UNUSED;
/* Distance, coverage, sinks. */
atn_status atn_page_curves(atn_page_writer *w) ATN_WARN_UNUSED;
/* Homophily by layer, spectra, energies of message passing, the best keys of the head
 * that looks furthest back, how far the best keys of all heads let a token see. */
atn_status atn_page_graph(atn_page_writer *w, const atn_table *stats) ATN_WARN_UNUSED;
