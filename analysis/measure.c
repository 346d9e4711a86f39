/* analysis/measure.c -- the registry of measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

#include <string.h>

#define ATN_MEASURE(id) extern const atn_measure atn_measure_##id;
#include "analysis/measures.def"
#undef ATN_MEASURE

const atn_measure *const atn_measures[] = {
#define ATN_MEASURE(id) &atn_measure_##id,
#include "analysis/measures.def"
#undef ATN_MEASURE
    NULL,
};

const atn_measure *atn_measure_find(const char *id)
{
    for (const atn_measure *const *m = atn_measures; *m; m++)
        if (strcmp((*m)->id, id) == 0) return *m;
    return NULL;
}

bool atn_measure_mixes(const void *params, int col)
{
    (void)params;
    (void)col;
    return true;
}

int atn_measure_n_cols(const atn_measure *m)
{
    int n = 0;

    while (m->cols[n].name) n++;
    return n;
}
