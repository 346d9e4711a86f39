/* simulators/schedule.c -- a list schedule over SMs with a heap. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/schedule.h"

#include <string.h>

const atn_schedule_rule atn_schedule_full = {.cta = 3.0, .mask = 0.1, .mean_from = 20};
/* The mean is taken from 20 CTAs an SM on, those included. */
const atn_schedule_rule atn_schedule_four = {
    .cta = 2.5, .mask = 0, .mean_from = 20 - 1e-9, .longest_first = true};

atn_status atn_schedule_begin(atn_ctx *cx, const atn_schedule_rule *rule, atn_idx sms,
                              atn_schedule *out)
{
    atn_status st = ATN_OK;

    *out = (atn_schedule){.rule = rule, .sms = (int32_t)sms};
    ATN_TAKE(out->sm, sms);
    ATN_TAKE(out->heap, sms);
    memset(out->sm, 0, (size_t)sms * sizeof *out->sm);
    for (int32_t i = 0; i < out->sms; i++) out->heap[i] = i;
done:
    return st;
}

static bool before(const atn_schedule *s, int32_t a, int32_t b)
{
    const double x = s->sm[a].end, y = s->sm[b].end;

    return x < y || (x == y && a < b);
}

/* The SM on top has become later. */
static void sink(atn_schedule *s)
{
    const int32_t moving = s->heap[0];
    int32_t at = 0;

    for (;;) {
        int32_t next = 2 * at + 1;

        if (next >= s->sms) break;
        if (next + 1 < s->sms && before(s, s->heap[next + 1], s->heap[next])) next++;
        if (!before(s, s->heap[next], moving)) break;
        s->heap[at] = s->heap[next];
        at = next;
    }
    s->heap[at] = moving;
}

void atn_schedule_place(atn_schedule *s, const atn_cta *c)
{
    const int32_t top = s->heap[0];
    atn_sm *sm = &s->sm[top];
    const double begin = sm->end;

    sm->end += s->rule->cta + c->visits + s->rule->mask * c->masked;
    sm->ctas += 1;
    sm->tiles += c->visits;
    sm->masked += c->masked;
    if (s->slot)
        s->slot[s->placed] =
            (atn_slot){top, c->head, c->tile, c->visits, c->masked, begin, sm->end};
    s->placed++;
    sink(s);
}

const atn_sm *atn_schedule_critical(const atn_schedule *s)
{
    const atn_sm *last = &s->sm[0];

    for (int32_t i = 1; i < s->sms; i++)
        if (s->sm[i].end > last->end) last = &s->sm[i];
    return last;
}
