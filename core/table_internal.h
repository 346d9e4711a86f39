/* core/table_internal.h -- what the writers of tables share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"

enum { CELL_TEXT = 64 };

/* The text of a cell; strings are returned as they are, numbers in buffer; with so many
 * digits, 0 = all. */
const char *table_cell(const atn_table *t, atn_idx r, int c, int digits,
                       char buffer[CELL_TEXT]);
/* As aligned text. */
atn_status table_text(atn_ctx *cx, const atn_table *t, FILE *out) ATN_WARN_UNUSED;
