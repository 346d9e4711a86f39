/* tests/approx/zoo_draws.h -- files of draws that tests write: what a method would
 * draw, chosen by the test; golden rows of weights; parameters of all kinds. */
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

/* Plans with these parameters, or refuses them by name: never anything else. */
static inline void zoo_survives(atn_ctx *cx, const zoo *z, const char *id,
                                const char *params)
{
    double w[ZOO_MOST];
    atn_choice c;
    atn_plan p;
    atn_status st;

    CHECK_OK(atn_choice_read(cx, id, params, &c));
    st = atn_choice_plan(cx, &c, &z->in, 0, &p);
    if (st != ATN_OK) {
        if (st != ATN_USAGE && st != ATN_DATA && st != ATN_MEMORY)
            fail_msg("%s:%s: %s", id, params, cx->err.text);
        CHECK(strstr(cx->err.text, id) && strchr(cx->err.text, '('));
        atn_err_clear(cx);
        return;
    }
    CHECK_OK(atn_plan_check(cx, &z->head[0], &p));
    for (atn_idx i = 0; i < z->head[0].nq; i++)
        CHECK_OK(atn_plan_rows(cx, &z->head[0], &p, i, 1, w));
    atn_plan_release(cx, &p);
}

/* The same over lists of parameters, lengths, both masks, a chunk, as published. */
static inline void zoo_survives_all(atn_ctx *cx, const char *id,
                                    const char *const *params, int n)
{
    static const int lengths[][2] = {{1, 1},   {2, 2},  {7, 7},
                                     {24, 24}, {1, 24}, {9, 24}};

    for (size_t e = 0; e < ATN_LEN(lengths); e++)
        for (int way = 0; way < 8; way++) {
            zoo z;

            zoo_random(&z, 1, 1, lengths[e][0], lengths[e][1], 7);
            zoo_causal(&z, way & 1);
            z.in.as_published = way & 2;
            z.head[0].sight.window = way & 4 ? 3 : 0;
            for (int k = 0; k < n; k++) zoo_survives(cx, &z, id, params[k]);
            zoo_free(&z);
        }
}
