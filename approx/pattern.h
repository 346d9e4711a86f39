/* approx/pattern.h -- the static patterns: a generator turns parameters and a length
 * into an atn_pattern; presets are settings with a name of their own.
 *
 * A new pattern is one file in approx/patterns/ and one line in patterns.def; it gets
 * its parameters, its listing, its figure, its receptive field and its help from the
 * table.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/draws.h"
#include "core/param.h"
#include "core/pattern.h"

/* What it is made for. */
typedef struct atn_layout {
    atn_idx nk, nq, first; /* as atn_frame */
    atn_idx heads;         /* query heads of the layer, >= 1 */
    atn_idx layer;         /* 0-based; with seed, the root of random patterns */
    uint64_t seed;
    atn_draws *draws; /* random objects of head `head` are taken from it, if it has
                         them, and kept there; NULL = all are drawn, none is kept */
    atn_idx head;
    const atn_list *grid; /* the axes that the first tokens form, row-major, as the
                             layer says; NULL = nothing is known */
} atn_layout;
atn_layout atn_layout_square(atn_idx n, atn_idx heads, uint64_t seed);

typedef struct atn_preset {
    const char *id;     /* NULL ends the list; disjoint from the ids of generators */
    const char *params; /* "key=value,..." over the defaults */
    const char *text;   /* what it is, whose */
} atn_preset;

typedef struct atn_generator {
    const char *id, *title;
    const char *source;      /* paper, arXiv id */
    const char *text;        /* which keys a query sees, one line */
    const atn_param *params; /* NULL = none */
    size_t params_size;
    const atn_preset *presets; /* NULL = none */
    const char *budget; /* the parameter that --budget fits, from 1 on; NULL = none */
    bool budget_falls;  /* a larger one keeps less */
    bool by_layer;      /* layers may differ with equal parameters */
    bool draws;         /* random objects, through the draws of the layout */
    /* Does it see the same keys wherever the query stands among them? NULL = no. */
    bool (*placeless)(const void *params);
    /* Tokens that the parameters alone determine, 0 = any length; may be NULL. */
    atn_idx (*tokens)(const void *params);
    atn_status (*make)(atn_ctx *cx, const void *params, const atn_layout *l,
                       atn_pattern **out);
    /* Bytes at most that make has in use, the pattern among them; NULL = little. */
    double (*bytes)(const void *params, const atn_layout *l);
} atn_generator;

extern const atn_generator *const atn_generators[]; /* by id, NULL-terminated */
/* By the id of a generator or of a preset, whose row goes to *preset (NULL else; may be
 * NULL); NULL = none. */
const atn_generator *atn_generator_find(const char *id, const atn_preset **preset);

/* The generator of a spec and its parameters, preset and all, in the arena. USAGE as
 * atn_pattern_make. */
atn_status atn_generator_read(atn_ctx *cx, const char *id, const char *params,
                              const atn_generator **generator,
                              void **values) ATN_WARN_UNUSED;

/* One spec "id" and "key=value,..." (NULL = none), a generator's or a preset's. USAGE
 * names an unknown id with the nearest, a parameter out of range, a rule broken. */
atn_status atn_pattern_make(atn_ctx *cx, const char *id, const char *params,
                            const atn_layout *l, atn_pattern **out) ATN_WARN_UNUSED;
/* Tokens that a spec determines by itself, 0 = none. */
atn_status atn_pattern_tokens(atn_ctx *cx, const char *id, const char *params,
                              atn_idx *out) ATN_WARN_UNUSED;
