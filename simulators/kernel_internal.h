/* simulators/kernel_internal.h -- words of kernel files, for reader and writer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

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
