/* theory/bound.h -- the bounds: published or derived inequalities and laws about
 * approximations of attention. Each is a pure function of stated quantities, which
 * gives its predicted side; what is measured, and on what, is for analysis/experiments.
 *
 * A new bound is a member of a table in theory/<file>.c, `const atn_bound
 * atn_bound_<id>`, and a line in bounds.def; it gets its listing and help, and its place
 * in `attnscope bounds`, from there.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* How the measured side stands to the predicted one. */
typedef enum atn_relation {
    ATN_AT_MOST,  /* measured <= predicted */
    ATN_AT_LEAST, /* measured >= predicted */
    ATN_EQUAL,    /* measured = predicted */
    ATN_ABOUT,   /* measured within [lo, hi] x predicted, or lo and hi of a statement */
    ATN_IN_MEAN, /* mean of draws = predicted, judged by a statistic */
    ATN_RELATIONS
} atn_relation;
extern const char *const atn_relation_names[ATN_RELATIONS]; /* "<=", ">=", "=", ".." */

/* A quantity that a bound is a function of. */
typedef struct atn_quantity {
    const char *name; /* "kept_mass"; a list has several values: list = true */
    const char *text; /* with its unit */
    bool list;
    double lo, hi; /* where it makes sense, of every value */
} atn_quantity;

enum { ATN_QUANTITIES_MOST = 8 };

/* Their values, in the order of the bound's quantities. */
typedef struct atn_quantities {
    double x[ATN_QUANTITIES_MOST];
    const double *list[ATN_QUANTITIES_MOST];
    size_t n[ATN_QUANTITIES_MOST];
} atn_quantities;

typedef struct atn_bound {
    const char *id;                /* "dropped_mass_renormalised" */
    const char *label;             /* of the guide: "B1" */
    const char *title, *statement; /* a line each, plain mathematics */
    const char *assumption;        /* in words; NULL = none */
    const char *source;
    /* Its constants were checked by proof or numbers. If not, output says why, and
     * nothing is ever violated: it is quoted from a source, or, */
    bool verified;
    bool expectation; /* of our own, and no theorem */
    bool in_mean;     /* probabilistic: judged over draws */
    atn_relation relation;
    const atn_quantity *quantities; /* name NULL ends them */
    /* Does the assumption hold? NULL = always. */
    bool (*assumes)(const atn_quantities *q);
    double (*predict)(const atn_quantities *q);
} atn_bound;

#define ATN_BOUND(id) extern const atn_bound atn_bound_##id;
#include "theory/bounds.def"
#undef ATN_BOUND

extern const atn_bound
    *const atn_bound_table[]; /* in the order of bounds.def, NULL ends */
const atn_bound *atn_bound_find(const char *id); /* by id or label (the first); NULL */

/* Why nothing is ever violated, in a few words; NULL = it may be. */
const char *atn_bound_caveat(const atn_bound *b);

/* The predicted side, NAN where the assumption does not hold or a quantity is outside of
 * where it makes sense. */
double atn_bound_predict(const atn_bound *b, const atn_quantities *q);
