/* theory/bound.c -- the table of bounds. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>
#include <string.h>

#define ATN_BOUND(id) extern const atn_bound atn_bound_##id;
#include "theory/bounds.def"
#undef ATN_BOUND

const atn_bound *const atn_bound_table[] = {
#define ATN_BOUND(id) &atn_bound_##id,
#include "theory/bounds.def"
#undef ATN_BOUND
    NULL,
};

const char *const atn_relation_names[ATN_RELATIONS] = {"<=", ">=", "=", "about",
                                                       "mean ="};

const atn_bound *atn_bound_find(const char *id)
{
    for (const atn_bound *const *b = atn_bound_table; *b; b++)
        if (strcmp((*b)->id, id) == 0 || strcmp((*b)->label, id) == 0) return *b;
    return NULL;
}

const char *atn_bound_caveat(const atn_bound *b)
{
    if (b->verified) return NULL;
    return b->expectation ? "an expectation, no theorem"
                          : "as quoted, constants not verified";
}

static bool makes_sense(const atn_quantity *of, const atn_quantities *q, int i)
{
    const double *x = of->list ? q->list[i] : &q->x[i];
    const size_t n = of->list ? q->n[i] : 1;

    for (size_t k = 0; k < n; k++)
        if (!(x[k] >= of->lo && x[k] <= of->hi)) return false;
    return true;
}

double atn_bound_predict(const atn_bound *b, const atn_quantities *q)
{
    for (int i = 0; b->quantities[i].name; i++)
        if (!makes_sense(&b->quantities[i], q, i)) return NAN;
    if (b->assumes && !b->assumes(q)) return NAN;
    return b->predict(q);
}
