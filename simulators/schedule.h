/* simulators/schedule.h -- CTAs go, one after another, to the SM that is free first.
 *
 * Math    a heap of SMs by (end, index). The critical SM ends last, the lowest of equal
 *         ones.
 * Cost    log2(SMs) comparisons a CTA; memory for the SMs, and for slots if kept.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/work.h"

typedef struct atn_sm {
    double end, ctas, tiles, masked;
} atn_sm;

typedef struct atn_schedule {
    const atn_schedule_rule *rule;
    int32_t sms;
    atn_sm *sm;     /* [sms] */
    int32_t *heap;  /* [sms] indices, the first free on top */
    atn_slot *slot; /* NULL = not kept */
    atn_idx placed;
} atn_schedule;

typedef struct atn_cta {
    int32_t head, tile, visits, masked;
} atn_cta;

/* Takes arena memory of the caller's mark. */
atn_status atn_schedule_begin(atn_ctx *cx, const atn_schedule_rule *rule, atn_idx sms,
                              atn_schedule *out) ATN_WARN_UNUSED;
void atn_schedule_place(atn_schedule *s, const atn_cta *c);
const atn_sm *atn_schedule_critical(const atn_schedule *s);
