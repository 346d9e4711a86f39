/* A bound by its id at given quantities, for tests. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "theory/bound.h"

#define BOUND(id, ...) bound_value((id), &(atn_quantities){.x = {__VA_ARGS__}})

static inline double bound_value(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    if (!b) fail_msg("no bound %s", id);
    return atn_bound_predict(b, q);
}
