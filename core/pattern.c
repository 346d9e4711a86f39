/* core/pattern.c -- the kinds of patterns: their rows, one at a time. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/order.h"

#include "core/pattern_internal.h"

enum { SHORT_SEGMENT = 256 };

/* ---- intervals ---- */

atn_idx atn_spans_join(atn_span *s, atn_idx n, atn_idx lo, atn_idx hi)
{
    atn_idx kept = 0;

    for (atn_idx i = 0; i < n; i++) {
        const atn_span x = {ATN_MAX(s[i].lo, lo), ATN_MIN(s[i].hi, hi)};

        if (x.lo >= x.hi) continue;
        if (kept > 0 && x.lo <= s[kept - 1].hi)
            s[kept - 1].hi = ATN_MAX(s[kept - 1].hi, x.hi);
        else
            s[kept++] = x;
    }
    return kept;
}

atn_idx atn_spans_tidy(atn_span *s, atn_idx n, atn_idx lo, atn_idx hi)
{
    qsort(s, (size_t)n, sizeof *s, atn_by_begin);
    return atn_spans_join(s, n, lo, hi);
}

/* ---- rows that repeat ---- */

/* A block that holds a' ends behind it, so that one more of them is near. */
atn_repeat atn_repeat_scale(atn_repeat r, atn_idx factor)
{
    if (factor == 1 || r.step == 0) return r;
    r.step *= factor;
    r.segment *= factor;
    r.reach = (r.reach + 1) * factor;
    return r.step > ATN_REPEAT_MOST ? (atn_repeat){0} : r;
}

/* Rows that see nothing outside their segment: of short ones nothing from afar, so that
 * rows go on over their borders; of long ones the rows within one. */
atn_repeat atn_repeat_within(atn_idx step, atn_idx segment, atn_idx longest)
{
    if (step > ATN_REPEAT_MOST) return (atn_repeat){0};
    return longest <= SHORT_SEGMENT ? (atn_repeat){step, 0, longest - 1}
                                    : (atn_repeat){step, segment, 0};
}

atn_repeat atn_repeat_both(atn_repeat a, atn_repeat b)
{
    atn_repeat r = {0};

    if (a.step == 0 || b.step == 0) return r;
    r.step = a.step / atn_common_divisor(a.step, b.step) * b.step;
    if (r.step > ATN_REPEAT_MOST) return (atn_repeat){0};
    r.segment = atn_common_divisor(a.segment, b.segment);
    r.reach = ATN_MAX(a.reach, b.reach);
    return r;
}

/* ---- the object ---- */

atn_frame atn_frame_square(atn_idx n, atn_idx block, bool causal)
{
    const atn_frame f = {n, n, 0, block, causal};

    return f;
}

atn_status atn_frame_check(atn_ctx *cx, const atn_frame *f)
{
    const atn_idx most = ATN_PATTERN_KEYS_MOST;
    atn_status st = ATN_OK;

    if (f->nk < 1 || f->nk > most || f->nq < 1 || f->nq > most || f->first < 0 ||
        f->first > most)
        ATN_FAIL(ATN_USAGE,
                 "pattern: %lld queries from position %lld on against %lld keys: there "
                 "must be at least one of each and at most %lld",
                 (long long)f->nq, (long long)f->first, (long long)f->nk,
                 (long long)most);
    if (f->block < 1 || f->block > most)
        ATN_FAIL(ATN_USAGE, "pattern: block %lld is not in 1..%lld tokens",
                 (long long)f->block, (long long)most);
done:
    return st;
}

atn_status atn_pattern_begin(atn_ctx *cx, const atn_frame *f,
                             const struct atn_pattern_kind *kind, size_t size,
                             atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;

    *out = NULL;
    ATN_TRY(atn_frame_check(cx, f));
    ATN_NEW(p, 1);
    p->frame = *f;
    p->row0 = f->first / f->block;
    p->row1 = (f->first + f->nq - 1) / f->block + 1;
    p->cols = (f->nk - 1) / f->block + 1;
    p->heads = 1;
    p->most = p->room = 1;
    p->kind = kind;
    p->state = atn_alloc(cx, 1, size);
    if (!p->state) ATN_TRY(cx->err.code);
    *out = p;
    p = NULL;
done:
    atn_free(cx, p);
    return st;
}

atn_pattern *atn_pattern_keep(atn_pattern *p)
{
    p->keeps++;
    return p;
}

void atn_pattern_destroy(atn_ctx *cx, atn_pattern *p)
{
    if (!p || p->keeps-- > 0) return;
    if (p->kind->release) p->kind->release(cx, p);
    atn_free(cx, p->state);
    atn_free(cx, p);
}

atn_idx atn_pattern_row_from(const atn_pattern *p, atn_idx head, atn_idx a,
                             atn_idx from, atn_span *out)
{
    const atn_span within = {from, atn_pattern_limit(p, a)};
    const atn_idx h = p->heads == 1 ? 0 : head;

    if (from >= within.hi) return 0;
    return atn_spans_join(out, p->kind->row(p, h, a, within, out), from, within.hi);
}

atn_idx atn_pattern_row(const atn_pattern *p, atn_idx head, atn_idx a, atn_span *out)
{
    return atn_pattern_row_from(p, head, a, 0, out);
}

atn_idx atn_pattern_keys(const atn_pattern *p, atn_idx head, atn_idx i, atn_span *out)
{
    const atn_idx b = p->frame.block, nk = p->frame.nk;
    const atn_idx n = atn_pattern_row(p, head, i / b, out);
    const atn_idx end = p->frame.causal ? ATN_MIN(i + 1, nk) : nk;

    for (atn_idx s = 0; s < n; s++) {
        out[s].lo *= b;
        out[s].hi = ATN_MIN(out[s].hi * b, end);
    }
    /* the last interval may begin behind the keys of a short causal block */
    return n > 0 && out[n - 1].lo >= out[n - 1].hi ? n - 1 : n;
}

/* ---- shift: the same offsets in every row ---- */

typedef struct shift {
    atn_span *offsets;
    int64_t *before; /* [n + 1] offsets in the spans before */
} shift;

/* Spans that begin at or before x. */
static atn_idx begun(const atn_span *s, atn_idx n, atn_idx x)
{
    atn_idx lo = 0, hi = n;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (s[mid].lo <= x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Offsets at or before x. */
static int64_t offsets_to(const atn_pattern *p, atn_idx x)
{
    const shift *of = p->state;
    const atn_idx n = begun(p->offsets, p->n_offsets, x);

    if (n == 0) return 0;
    return of->before[n - 1] + ATN_MIN(x + 1, p->offsets[n - 1].hi) -
           p->offsets[n - 1].lo;
}

static atn_idx shift_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                         atn_span *out)
{
    atn_idx n = 0;

    (void)h;
    if (p->prefix > 0) out[n++] = (atn_span){0, p->prefix};
    for (atn_idx i = begun(p->offsets, p->n_offsets, a - within.lo) - 1; i >= 0; i--) {
        const atn_span keys = {a - p->offsets[i].hi + 1, a - p->offsets[i].lo + 1};

        if (keys.lo >= within.hi) break;
        out[n++] = keys;
    }
    return n;
}

static atn_idx shift_length(const atn_pattern *p, atn_idx h, atn_idx a)
{
    const atn_idx limit = atn_pattern_limit(p, a);
    const atn_idx prefix = ATN_MIN(p->prefix, limit);

    (void)h;
    return prefix + offsets_to(p, a - prefix) - offsets_to(p, a - limit);
}

static void shift_release(atn_ctx *cx, atn_pattern *p)
{
    shift *of = p->state;

    atn_free(cx, of->offsets);
    atn_free(cx, of->before);
}

static const struct atn_pattern_kind shift_kind = {shift_row, shift_length,
                                                   shift_release};

atn_status atn_pattern_shift(atn_ctx *cx, const atn_frame *f, const atn_span *offsets,
                             atn_idx n, atn_idx prefix, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    shift *of;

    *out = NULL;
    ATN_TRY(atn_pattern_begin(cx, f, &shift_kind, sizeof *of, &p));
    of = p->state;
    ATN_NEW(of->offsets, n);
    ATN_NEW(of->before, n + 1);
    if (n > 0) memcpy(of->offsets, offsets, (size_t)n * sizeof *offsets);
    n = atn_spans_tidy(of->offsets, n, f->causal ? 0 : 1 - p->cols, p->row1);
    for (atn_idx i = 0; i < n; i++)
        of->before[i + 1] = of->before[i] + of->offsets[i].hi - of->offsets[i].lo;
    p->shift = true;
    p->offsets = of->offsets;
    p->n_offsets = n;
    p->prefix = ATN_MIN(ATN_MAX(prefix, 0), p->cols);
    p->most = p->room = n + 1;
    p->repeat = (atn_repeat){1, 0, n > 0 ? ATN_MAX(of->offsets[n - 1].hi - 1, 0) : 0};
    *out = p;
    p = NULL;
done:
    atn_pattern_destroy(cx, p);
    return st;
}

/* ---- segments ---- */

typedef struct segments {
    atn_idx *starts;
    atn_idx n;
} segments;

static atn_idx segments_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                            atn_span *out)
{
    const segments *s = p->state;
    atn_idx lo = 0, hi = s->n;

    (void)h;
    while (hi - lo > 1) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (s->starts[mid] <= a)
            lo = mid;
        else
            hi = mid;
    }
    out[0] = (atn_span){s->starts[lo], lo + 1 < s->n ? s->starts[lo + 1] : within.hi};
    return 1;
}

static void segments_release(atn_ctx *cx, atn_pattern *p)
{
    atn_free(cx, ((segments *)p->state)->starts);
}

static const struct atn_pattern_kind segments_kind = {segments_row, NULL,
                                                      segments_release};

atn_status atn_pattern_segments(atn_ctx *cx, const atn_frame *f, const atn_idx *starts,
                                atn_idx n, atn_pattern **out)
{
    atn_idx longest = 0, divisor = 0;
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    segments *s;

    *out = NULL;
    ATN_ASSERT(n > 0 && starts[0] == 0);
    for (atn_idx i = 1; i < n; i++) ATN_ASSERT(starts[i] > starts[i - 1]);
    ATN_TRY(atn_pattern_begin(cx, f, &segments_kind, sizeof *s, &p));
    s = p->state;
    ATN_NEW(s->starts, n);
    memcpy(s->starts, starts, (size_t)n * sizeof *starts);
    s->n = n;
    for (atn_idx i = 0; i < n; i++) {
        const atn_idx end = i + 1 < n ? starts[i + 1] : ATN_MAX(p->cols, starts[i] + 1);

        longest = ATN_MAX(longest, end - starts[i]);
        divisor = atn_common_divisor(starts[i], divisor);
    }
    p->repeat = atn_repeat_within(1, divisor, longest);
    *out = p;
    p = NULL;
done:
    atn_pattern_destroy(cx, p);
    return st;
}

/* ---- axes: a grid ---- */

/* What coordinate x sees along one axis: every d-th coordinate of [lo, hi). */
static void along(const atn_axis *a, atn_idx x, atn_idx *lo, atn_idx *hi)
{
    const atn_idx g = x % a->dilation;

    atn_axis_window(a, atn_axis_group(a, g), x / a->dilation, lo, hi);
    *lo = g + *lo * a->dilation;
    *hi = g + (*hi - 1) * a->dilation + 1;
}

static atn_idx axes_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                        atn_span *out)
{
    const atn_axes *g = p->axes;
    atn_idx lo[ATN_AXES_MOST] = {0}, hi[ATN_AXES_MOST] = {1, 1, 1};
    atn_idx step[ATN_AXES_MOST] = {1, 1, 1}, length[ATN_AXES_MOST] = {1, 1, 1};
    atn_idx rest = a, n = 0;

    (void)h;
    (void)within;
    /* axes are the last ones of three, those before have length 1 */
    for (int i = g->rank - 1, to = ATN_AXES_MOST - 1; i >= 0; i--, to--) {
        length[to] = g->at[i].length;
        step[to] = g->at[i].dilation;
        along(&g->at[i], rest % length[to], &lo[to], &hi[to]);
        rest /= length[to];
    }
    for (int i = 0; i < ATN_AXES_MOST - g->rank; i++) lo[i] = 0;
    for (atn_idx x = lo[0]; x < hi[0]; x += step[0])
        for (atn_idx y = lo[1]; y < hi[1]; y += step[1]) {
            const atn_idx base = (x * length[1] + y) * length[2];

            if (step[2] == 1)
                out[n++] = (atn_span){base + lo[2], base + hi[2]};
            else
                for (atn_idx z = lo[2]; z < hi[2]; z += step[2])
                    out[n++] = (atn_span){base + z, base + z + 1};
        }
    return n;
}

static atn_idx axes_length(const atn_pattern *p, atn_idx h, atn_idx a)
{
    const atn_axes *g = p->axes;
    atn_idx keys = 1, rest = a, lo, hi;

    (void)h;
    for (int i = g->rank - 1; i >= 0; i--) {
        along(&g->at[i], rest % g->at[i].length, &lo, &hi);
        keys *= (hi - lo - 1) / g->at[i].dilation + 1;
        rest /= g->at[i].length;
    }
    return keys;
}

static const struct atn_pattern_kind axes_kind = {axes_row, axes_length, NULL};

atn_status atn_pattern_axes(atn_ctx *cx, const atn_axes *axes, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p;
    atn_frame f;

    *out = NULL;
    ATN_TRY(atn_axes_check(cx, axes));
    /* one causal axis that is not the first leaves later tokens visible */
    f = atn_frame_square(atn_axes_tokens(axes), 1,
                         axes->rank == 1 && axes->at[0].causal);
    ATN_TRY(atn_pattern_begin(cx, &f, &axes_kind, sizeof *axes, &p));
    memcpy(p->state, axes, sizeof *axes);
    p->axes = p->state;
    for (int i = 0; i < axes->rank; i++)
        if (i < axes->rank - 1 || axes->at[i].dilation > 1)
            p->most *= axes->at[i].window;
    p->room = p->most;
    *out = p;
done:
    return st;
}

/* ---- one pattern a head ---- */

static atn_idx heads_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                         atn_span *out)
{
    atn_pattern *const *of = p->state;

    return atn_pattern_row_from(of[h], 0, a, within.lo, out);
}

static atn_idx heads_length(const atn_pattern *p, atn_idx h, atn_idx a)
{
    atn_pattern *const *of = p->state;

    return of[h]->kind->length(of[h], 0, a);
}

static void heads_release(atn_ctx *cx, atn_pattern *p)
{
    atn_pattern **of = p->state;

    for (atn_idx h = 0; h < p->heads; h++) atn_pattern_destroy(cx, of[h]);
}

static const struct atn_pattern_kind heads_kind = {heads_row, NULL, heads_release};
static const struct atn_pattern_kind long_heads_kind = {heads_row, heads_length,
                                                        heads_release};

static bool same_frame(const atn_frame *a, const atn_frame *b)
{
    return a->nk == b->nk && a->nq == b->nq && a->first == b->first &&
           a->block == b->block && a->causal == b->causal;
}

atn_status atn_pattern_heads(atn_ctx *cx, atn_pattern **of, atn_idx n,
                             atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    bool lengths = true;
    atn_idx taken = 0;

    *out = NULL;
    ATN_ASSERT(n >= 1);
    for (atn_idx h = 0; h < n; h++) {
        ATN_ASSERT(of[h]->heads == 1);
        if (!same_frame(&of[h]->frame, &of[0]->frame))
            ATN_FAIL(ATN_USAGE,
                     "pattern: head %lld has other queries, keys, blocks or causality "
                     "than head 0 (give all heads the same)",
                     (long long)h);
        lengths &= of[h]->kind->length != NULL;
    }
    ATN_TRY(atn_pattern_begin(cx, &of[0]->frame,
                              lengths ? &long_heads_kind : &heads_kind,
                              (size_t)n * sizeof *of, &p));
    memcpy(p->state, of, (size_t)n * sizeof *of);
    taken = n;
    p->heads = n;
    p->repeat = of[0]->repeat;
    for (atn_idx h = 0; h < n; h++) {
        p->repeat = atn_repeat_both(p->repeat, of[h]->repeat);
        p->most = ATN_MAX(p->most, of[h]->most);
        p->room = ATN_MAX(p->room, of[h]->room);
    }
    *out = p;
done:
    for (atn_idx h = taken; h < n; h++) atn_pattern_destroy(cx, of[h]);
    return st;
}
