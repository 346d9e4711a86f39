/* cli/pages.h -- the pages of a report about one capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/output.h"
#include "viz/report.h"

typedef struct atn_pages {
    atn_report *report;
    const char
        *figures_dir;   /* every figure is written here as SVG too; NULL = nowhere */
    const char *prefix; /* of section headings, "" for a report about one capture */
} atn_pages;

/* Adds: what was captured, all heads, the model as a grid, single heads chosen by their
 * measures, the measures, curves of the weight, attention as a graph, layers compared and a sharing plan, the
 * tree of heads, and what RUN/results/ holds. A page that a capture cannot have (layers
 * of different shapes, no tokens) says why in its place. */
atn_status atn_pages_add(atn_cli *cli, atn_pages *p, const char *dir) ATN_WARN_UNUSED;
