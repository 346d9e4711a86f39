/* viz/palette.h -- colour tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#define ATN_PALETTES "viridis|cividis|diverging|ink"

/* A table of 256 RGB colours; NULL when there is none of that name. */
const unsigned char (*atn_palette_find(const char *name))[3];
/* The colour of x in 0..1, clamped; NaN gives the first. */
const unsigned char *atn_palette_at(const unsigned char (*palette)[3], double x);
enum { ATN_PALETTE_DISTINCT = 7 }; /* series that have colours of their own */
/* The colour of series i of n: a distinct one, or a step of viridis where there are
 * more. */
const unsigned char *atn_palette_series(int i, int n);
enum { ATN_PALETTE_CATEGORIES = 12 };
/* The colour of category i, for areas; chosen for any colour vision. */
const unsigned char *atn_palette_category(int i);
