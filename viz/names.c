/* viz/names.c -- a free place for a name. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/names.h"

static const double NAME_SIZE = 0.78; /* of the font */

void atn_names_take(atn_names *s, double x0, double y0, double x1, double y1)
{
    if (s->n < s->room) s->taken[s->n++] = (atn_box_drawn){x0, y0, x1, y1};
}

static bool is_free(const atn_names *s, const atn_plot_area *a, const atn_box_drawn *b)
{
    if (b->x0 < a->x || b->x1 > a->x + a->w || b->y0 < a->y || b->y1 > a->y + a->h)
        return false;
    for (int i = 0; i < s->n; i++) {
        const atn_box_drawn *t = &s->taken[i];

        if (b->x0 < t->x1 && b->x1 > t->x0 && b->y0 < t->y1 && b->y1 > t->y0)
            return false;
    }
    return true;
}

/* On white, for lines may pass below. */
static void draw_name(atn_canvas *c, const atn_name *name, const atn_box_drawn *b)
{
    const double cx = (b->x0 + b->x1) / 2, cy = (b->y0 + b->y1) / 2;

    atn_canvas_grey(c, 1);
    atn_canvas_rect(c, b->x0, b->y0, b->x1 - b->x0, b->y1 - b->y0);
    atn_canvas_grey(c, name->bold ? 0 : 0.35);
    if (name->bold)
        atn_canvas_bold(c, cx, cy, ATN_CENTRE, NAME_SIZE, 0, name->text);
    else
        atn_canvas_text(c, cx, cy, ATN_CENTRE, NAME_SIZE, 0, 0, name->text);
}

bool atn_names_put(atn_canvas *c, atn_names *s, const atn_plot_area *a,
                   const atn_name *name)
{
    static const double sides[][2] = {{1, 0},  {-1, 0}, {0, -1},  {0, 1},
                                      {1, -1}, {1, 1},  {-1, -1}, {-1, 1}};
    const double x = name->x, y = name->y, r = name->radius;
    const double tall = c->font * NAME_SIZE * 1.05;
    /* bold is wider */
    const double wide =
        atn_canvas_text_width(c, NAME_SIZE, name->text) * (name->bold ? 1.1 : 1) + 1;

    for (int far = 0; far < 6; far++)
        for (size_t k = 0; k < ATN_LEN(sides); k++) {
            const double gap = r + c->font * (0.2 + 1.3 * far);
            const double cx = x + sides[k][0] * (gap + wide / 2);
            const double cy = y + sides[k][1] * (gap + tall / 2);
            const atn_box_drawn b = {cx - wide / 2, cy - tall / 2, cx + wide / 2,
                                     cy + tall / 2};

            if (!is_free(s, a, &b)) continue;
            atn_names_take(s, b.x0, b.y0, b.x1, b.y1);
            atn_canvas_grey(c, 0.6);
            if (far > 0)
                atn_canvas_line(c, x + sides[k][0] * r, y + sides[k][1] * r,
                                x + sides[k][0] * gap, y + sides[k][1] * gap, 0.3);
            draw_name(c, name, &b);
            return true;
        }
    return false;
}
