/* analysis/approx_list.h -- the methods and budgets that a run compares, as typed.
 *
 * Methods: specs, "all" (but those that store dense weights, which is cubic), or the
 * name of a family, separated by commas. Budgets:
 *   P%    executed pairs at P percent of the pairs that the mask shows
 *   k=N   N numbers stored a row; of a choice of keys the pairs executed, at
 *         min(N, visible) a row
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

typedef struct atn_approx_method {
    atn_choice choice; /* its values are owned */
    bool named;        /* by itself: that it cannot run is an error */
    bool left_out;     /* it cannot, and that was said: */
    char why[240];     /* the first time */
} atn_approx_method;

typedef struct atn_approx_budget {
    char text[32]; /* as typed; "" = none: methods run as their parameters say */
    double share;  /* of the visible pairs; NAN = by keys */
    atn_idx keys;
} atn_approx_budget;

typedef struct atn_approx_list {
    atn_approx_method *method; /* [n] */
    atn_approx_budget *budget; /* [budgets], at least one */
    int n, budgets;
} atn_approx_list;

/* budgets NULL = none. USAGE names an unknown method with the nearest, a parameter that
 * is none, a budget that is none, and what is there twice. Release it also on failure.
 */
atn_status atn_approx_list_read(atn_ctx *cx, const char *methods, const char *budgets,
                                atn_approx_list *out) ATN_WARN_UNUSED;
void atn_approx_list_release(atn_ctx *cx, atn_approx_list *l);

/* The number of a parameter (an integer or a real one), and setting it. */
double atn_approx_number(const atn_param *p, const void *values);
void atn_approx_put(const atn_param *p, void *values, double x);
