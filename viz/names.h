/* viz/names.h -- names beside the points of a plot, where nothing else is. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

typedef struct atn_box_drawn {
    double x0, y0, x1, y1;
} atn_box_drawn;

typedef struct atn_names {
    atn_box_drawn *taken; /* [room] what names must not touch */
    int n, room;
} atn_names;

enum { ATN_NAME_MOST = 96 };
typedef struct atn_name {
    double x, y, radius; /* of its point */
    bool bold;
    char text[ATN_NAME_MOST];
} atn_name;

void atn_names_take(atn_names *s, double x0, double y0, double x1, double y1);
/* Puts the name right, left, above or below of its point or, with a line to it, farther
 * off; false where there is no such place. */
bool atn_names_put(atn_canvas *c, atn_names *s, const atn_plot_area *a,
                   const atn_name *name);
