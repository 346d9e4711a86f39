/* approx/draft.h -- the order of DraftAttention: tokens of a video such that each cell
 * of a frame is a run, as a kernel for blocks needs it.
 *
 * Oracle  a permutation; the cell of a token is floor(its new place / (ph pw)).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* Frames of height x width tokens in row-major order, cut into cells of ph x pw. */
typedef struct atn_draft_grid {
    atn_idx frames, height, width;
    atn_idx ph, pw; /* divide height and width */
} atn_draft_grid;

/* Tokens, and cells. */
atn_idx atn_draft_tokens(const atn_draft_grid *g);
atn_idx atn_draft_cells(const atn_draft_grid *g);
/* order [n] <- the token that comes to each place: cell by cell in row-major order, in
 * a cell row by row; the n - atn_draft_tokens behind the video, text, stay. */
void atn_draft_order(const atn_draft_grid *g, atn_idx n, int32_t *order);
