/* approx/pattern.c -- the registry of static patterns, and how a spec becomes one. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern.h"

#include <math.h>
#include <string.h>

#define ATN_PATTERN(id) extern const atn_generator atn_generator_##id;
#include "approx/patterns.def"
#undef ATN_PATTERN

const atn_generator *const atn_generators[] = {
#define ATN_PATTERN(id) &atn_generator_##id,
#include "approx/patterns.def"
#undef ATN_PATTERN
    NULL,
};

static const atn_param no_params[] = {ATN_PARAM_END};

atn_layout atn_layout_square(atn_idx n, atn_idx heads, uint64_t seed)
{
    const atn_layout l = {.nk = n, .nq = n, .heads = heads, .seed = seed};

    return l;
}

const atn_generator *atn_generator_find(const char *id, const atn_preset **preset)
{
    if (preset) *preset = NULL;
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        if (strcmp((*g)->id, id) == 0) return *g;
        for (const atn_preset *s = (*g)->presets; s && s->id; s++)
            if (strcmp(s->id, id) == 0) {
                if (preset) *preset = s;
                return *g;
            }
    }
    return NULL;
}

/* The ids of generators and presets into out, where it is not NULL; their number. */
static int all_ids(const char **out)
{
    int n = 0;

    for (const atn_generator *const *g = atn_generators; *g; g++) {
        if (out) out[n] = (*g)->id;
        n++;
        for (const atn_preset *s = (*g)->presets; s && s->id; s++) {
            if (out) out[n] = s->id;
            n++;
        }
    }
    return n;
}

static atn_status unknown(atn_ctx *cx, const char *id)
{
    const int n = all_ids(NULL);
    const char **ids = NULL;
    atn_status st = ATN_OK;
    int near;

    ATN_TAKE(ids, n);
    all_ids(ids);
    near = atn_nearest(id, ids, n);
    ATN_FAIL(ATN_USAGE,
             "there is no pattern '%s'%s%s (attnscope list patterns names them)", id,
             near >= 0 ? "; did you mean " : "", near >= 0 ? ids[near] : "");
done:
    return st;
}

atn_status atn_generator_read(atn_ctx *cx, const char *id, const char *params,
                              const atn_generator **generator, void **values)
{
    const atn_preset *preset = NULL;
    const atn_generator *g = atn_generator_find(id, &preset);
    const atn_param *table;
    atn_status st = ATN_OK;
    char *at = NULL;

    if (!g) ATN_TRY(unknown(cx, id));
    table = g->params ? g->params : no_params;
    ATN_TAKE(at, ATN_MAX(g->params_size, 1));
    memset(at, 0, ATN_MAX(g->params_size, 1));
    atn_param_defaults(table, at);
    if (preset) ATN_TRY(atn_param_parse(cx, id, table, preset->params, at));
    ATN_TRY(atn_param_parse(cx, id, table, params, at));
    *generator = g;
    *values = at;
done:
    return st;
}

static bool has_param(const atn_generator *g, const char *name)
{
    for (const atn_param *p = g->params; p && p->name; p++)
        if (strcmp(p->name, name) == 0) return true;
    return false;
}

/* Before anything is drawn: is there memory for it? Much of it is said. */
static atn_status check_memory(atn_ctx *cx, const atn_generator *g, const void *values,
                               const atn_layout *l)
{
    const double bytes = g->bytes ? g->bytes(values, l) : 0;
    const double room = fmin(atn_mem_left(cx), atn_mem_machine());
    atn_status st = ATN_OK;

    if (bytes > room)
        ATN_FAIL(ATN_MEMORY,
                 "%s: %lld tokens and %lld heads need %.4g GB, and there are %.4g "
                 "(give %sfewer --tokens or heads%s)",
                 g->id, (long long)l->nk, (long long)l->heads, bytes / 1e9, room / 1e9,
                 has_param(g, "block") ? "a larger block, " : "",
                 cx->mem_limit > 0 ? ", or a larger --mem-limit" : "");
    if (bytes >= 1e9)
        atn_log(cx, ATN_LOG_INFO, "%s: takes %.3g GB for %lld heads", g->id,
                bytes / 1e9, (long long)l->heads);
done:
    return st;
}

atn_status atn_pattern_make(atn_ctx *cx, const char *id, const char *params,
                            const atn_layout *l, atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_generator *g = NULL;
    atn_status st = ATN_OK;
    void *values = NULL;

    *out = NULL;
    ATN_ASSERT(l->heads >= 1 && l->layer >= 0);
    ATN_TRY(atn_generator_read(cx, id, params, &g, &values));
    if (l->nk < 1 || l->nq < 1 || l->first < 0)
        ATN_FAIL(ATN_USAGE,
                 "%s: %lld queries and %lld keys make no pattern (both >= 1)", id,
                 (long long)l->nq, (long long)l->nk);
    ATN_TRY(check_memory(cx, g, values, l));
    ATN_TRY(g->make(cx, values, l, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_pattern_tokens(atn_ctx *cx, const char *id, const char *params,
                              atn_idx *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_generator *g = NULL;
    atn_status st = ATN_OK;
    void *values = NULL;

    *out = 0;
    ATN_TRY(atn_generator_read(cx, id, params, &g, &values));
    if (g->tokens) *out = g->tokens(values);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
