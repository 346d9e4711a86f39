/* simulators/kernel_internal.h -- words of kernel files, for reader and writer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/json.h"
#include "simulators/kernel.h"

#define ATN_KERNEL_SCHEMA "attnscope/kernel/1"

typedef struct atn_words {
    const char *const *name;
    int n;
} atn_words;

static inline atn_words atn_words_of_passes(void)
{
    return (atn_words){atn_pass_names, ATN_PASSES};
}
static inline atn_words atn_words_of_takes(void)
{
    return (atn_words){atn_takes_names, (int)ATN_LEN(atn_takes_names)};
}
static inline atn_words atn_words_of_policies(void)
{
    return (atn_words){atn_mask_policy_names, (int)ATN_LEN(atn_mask_policy_names)};
}
static inline atn_words atn_words_of_orders(void)
{
    return (atn_words){atn_cta_order_names, (int)ATN_LEN(atn_cta_order_names)};
}
static inline atn_words atn_words_of_splits(void)
{
    return (atn_words){atn_split_rule_names, (int)ATN_LEN(atn_split_rule_names)};
}
/* Those that are fitted. */
static inline atn_words atn_words_of_models(void)
{
    return (atn_words){atn_time_kind_names, ATN_MODEL_MACHINE};
}

/* kernel_check.c: DATA naming file, key and rule; `what` is the place. */
/* Row i of "tiles" against those before it: no two alike, one usual of a kind. */
atn_status atn_kernel_check_tile(atn_ctx *cx, const char *what, const atn_kernel *k,
                                 int i) ATN_WARN_UNUSED;
/* "coefficients" are those of the model and pass, and one is above 0. */
atn_status atn_kernel_check_terms(atn_ctx *cx, const char *what, const json_t *c,
                                  const atn_time_fit *f) ATN_WARN_UNUSED;
/* Of a built-in GPU the architecture is known, of another one it is asked for. */
atn_status atn_kernel_fill_architecture(atn_ctx *cx, const char *what,
                                        atn_time_fit *f) ATN_WARN_UNUSED;
/* Row i of "fits" against those before it: no two of one key. */
atn_status atn_kernel_check_fit(atn_ctx *cx, const char *what, const atn_kernel *k,
                                int i) ATN_WARN_UNUSED;
/* "like" is a built-in kernel, or a file. */
atn_status atn_kernel_check_like(atn_ctx *cx, const char *what,
                                 const char *like) ATN_WARN_UNUSED;
