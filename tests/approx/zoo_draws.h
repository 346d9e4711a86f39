/* tests/approx/zoo_draws.h -- files of draws that tests write: what a method would draw,
 * chosen by the test. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

/* Opens them for z; close with zoo_draws_end. */
static inline void zoo_draws(atn_ctx *cx, zoo *z, const char *name,
                             const atn_st_out *tensors, atn_idx n)
{
    char path[600];

    snprintf(path, sizeof path, "%s/draws.safetensors", check_scratch(name));
    CHECK_OK(atn_st_save(cx, path, tensors, n, NULL, true, NULL));
    CHECK_OK(atn_draws_open(cx, path, &z->in.draws));
}

static inline void zoo_draws_end(zoo *z, atn_ctx *cx)
{
    atn_draws_close(cx, z->in.draws);
    z->in.draws = NULL;
}

/* The first seven non-zero weights of row i, all other weights aside, and the output:
 * "0:.177576 1:.077475 ..". */
static inline void zoo_weighted(atn_ctx *cx, const zoo *z, const char *spec,
                                atn_idx head, atn_idx i, const char *wanted, double o)
{
    double w[ZOO_MOST];
    atn_idx j = 0;

    zoo_row(cx, z, spec, head, i, w);
    CHECK_NEAR(zoo_output(z, head, w), o, 1e-6);
    while (*wanted) {
        char *end;
        const long key = strtol(wanted, &end, 10);
        const double weight = strtod(end + 1, &end);

        for (; j < key; j++)
            if (w[j] != 0)
                fail_msg("row %lld, key %lld has %g", (long long)i, (long long)j, w[j]);
        CHECK_NEAR(w[key], weight, 1e-6);
        j = key + 1;
        wanted = *end ? end + 1 : end;
    }
}
