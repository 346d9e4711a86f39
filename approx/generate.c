/* approx/generate.c -- what the generators share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

static atn_idx blocks_of(atn_idx n, atn_idx block)
{
    return (n - 1) / block + 1;
}

atn_frame atn_generator_frame(const atn_layout *l, atn_idx block, bool causal)
{
    const atn_frame f = {l->nk, l->nq, l->first, block, causal};

    return f;
}

atn_idx atn_generator_cols(const atn_frame *f)
{
    return blocks_of(f->nk, f->block);
}

atn_idx atn_generator_reach(const atn_frame *f)
{
    return blocks_of(ATN_MAX(f->nk, f->first + f->nq), f->block);
}

atn_idx atn_generator_comb(atn_idx reach, atn_idx step, atn_idx count, bool both,
                           atn_span *out)
{
    const atn_idx teeth = ATN_MIN(count, (reach - 1) / step + 1);
    atn_idx n = 0;

    if (step == 1) {
        if (out) out[0] = (atn_span){both ? 1 - teeth : 0, teeth};
        return 1;
    }
    for (atn_idx t = both ? 1 - teeth : 0; t < teeth; t++, n++)
        if (out) out[n] = (atn_span){t * step, t * step + 1};
    return n;
}

atn_idx atn_generator_powers(atn_idx reach, atn_idx window, atn_span *out)
{
    atn_idx n = atn_generator_comb(reach, 1, window, false, out);

    for (atn_idx o = 1; o < reach; o *= 2)
        if (o >= window) out[n++] = (atn_span){o, o + 1};
    return n;
}

atn_status atn_generator_borders(atn_ctx *cx, atn_idx reach, atn_idx step,
                                 atn_idx **starts, atn_idx *n)
{
    const atn_idx count = blocks_of(reach, step);
    atn_status st = ATN_OK;

    ATN_TAKE(*starts, count);
    for (atn_idx i = 0; i < count; i++) (*starts)[i] = i * step;
    *n = count;
done:
    return st;
}

atn_status atn_generator_pieces(atn_ctx *cx, const char *id, const atn_frame *f,
                                const atn_list *lengths, atn_idx **starts, atn_idx *n)
{
    const atn_idx cols = atn_generator_cols(f);
    atn_status st = ATN_OK;
    atn_idx sum = 0;

    if (lengths->n == 0)
        ATN_FAIL(ATN_USAGE, "%s: lengths is empty (give one, or all)", id);
    if (lengths->n == 1)
        return atn_generator_borders(cx, atn_generator_reach(f), lengths->at[0], starts,
                                     n);
    ATN_TAKE(*starts, lengths->n);
    for (int i = 0; i < lengths->n; i++) {
        (*starts)[i] = sum;
        sum += lengths->at[i];
    }
    if (sum != cols)
        ATN_FAIL(ATN_USAGE,
                 "%s: the lengths add up to %lld, there are %lld %s (make them add up, "
                 "or give one length, which is repeated)",
                 id, (long long)sum, (long long)cols,
                 f->block > 1 ? "blocks" : "tokens");
    *n = lengths->n;
done:
    return st;
}

atn_status atn_generator_places(atn_ctx *cx, const char *id, const char *what,
                                const atn_frame *f, const atn_list *list,
                                atn_span **spans, atn_idx *n)
{
    const atn_idx cols = atn_generator_cols(f);
    atn_status st = ATN_OK;
    atn_span *s = NULL;
    atn_idx kept = 0;

    ATN_TAKE(s, ATN_MAX(list->n, 1));
    for (int i = 0; i < list->n; i++) {
        const atn_idx x = list->at[i];
        atn_idx at = i;

        if (x >= cols)
            ATN_FAIL(ATN_USAGE, "%s: %s %lld is beyond the last %s, %lld", id, what,
                     (long long)x, f->block > 1 ? "block" : "token",
                     (long long)cols - 1);
        for (; at > 0 && s[at - 1].lo > x; at--) s[at] = s[at - 1];
        s[at] = (atn_span){x, x + 1};
    }
    for (int i = 0; i < list->n; i++) {
        if (kept && s[i].lo <= s[kept - 1].hi)
            s[kept - 1].hi = s[i].hi;
        else
            s[kept++] = s[i];
    }
    *spans = s;
    *n = kept;
done:
    return st;
}

atn_status atn_generator_join(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                              atn_pattern **out)
{
    if (a && b) return atn_pattern_union(cx, a, b, out);
    *out = a ? a : b;
    return ATN_OK;
}

atn_status atn_generator_heads(atn_ctx *cx, atn_pattern **p, atn_idx n,
                               atn_pattern **out)
{
    if (n > 1) return atn_pattern_heads(cx, p, n, out);
    *out = p[0];
    return ATN_OK;
}

atn_idx atn_generator_first(const atn_frame *f, atn_idx count)
{
    return ATN_MIN(count, atn_generator_cols(f));
}

atn_status atn_generator_sink(atn_ctx *cx, const char *id, const char *what,
                              const atn_frame *f, atn_idx sink)
{
    const atn_idx cols = atn_generator_cols(f);

    if (sink <= cols) return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: %s = %lld is beyond the %lld %s of keys there are (give "
                    "%s:%s=%lld or less)",
                    id, what, (long long)sink, (long long)cols,
                    f->block > 1 ? "blocks" : "tokens", id, what, (long long)cols);
}

atn_status atn_generator_halves(atn_ctx *cx, const char *id, int form,
                                const atn_layout *l)
{
    if (form != ATN_HALVES_HEADS || l->heads > 1) return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: form = heads shares the two halves among the heads, and there "
                    "is 1 (give 2 heads or more, or %s:form=merged)",
                    id, id);
}

int atn_generator_half(int form, const atn_layout *l, atn_idx h)
{
    if (form == ATN_HALVES_MERGED) return 3;
    return (form == ATN_HALVES_HEADS ? h : l->layer) % 2 ? 2 : 1;
}
