/* core/shard.c -- shares of the work, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/shard.h"

#include <math.h>
#include <string.h>

/* ---- bytes that grow ---- */

atn_status atn_bytes_add(atn_ctx *cx, atn_bytes *b, const void *data, size_t size)
{
    if (size > b->room - b->size) {
        const size_t most = (size_t)INT64_MAX / 4;
        const size_t room = ATN_MAX(2 * b->room, b->size + size + 256);
        unsigned char *larger;

        if (size > most || b->size > most)
            return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                            "notes of a part overflow");
        larger = atn_realloc(cx, b->data, (atn_idx)room, 1);
        if (!larger) return cx->err.code;
        b->data = larger;
        b->room = room;
    }
    if (size > 0) memcpy(b->data + b->size, data, size);
    b->size += size;
    return ATN_OK;
}

atn_status atn_bytes_i64(atn_ctx *cx, atn_bytes *b, int64_t x)
{
    return atn_bytes_add(cx, b, &x, sizeof x);
}

atn_status atn_bytes_f64(atn_ctx *cx, atn_bytes *b, double x)
{
    return atn_bytes_add(cx, b, &x, sizeof x);
}

atn_status atn_bytes_text(atn_ctx *cx, atn_bytes *b, const char *text)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_bytes_i64(cx, b, text ? (int64_t)strlen(text) : -1));
    if (text) ATN_TRY(atn_bytes_add(cx, b, text, strlen(text) + 1));
done:
    return st;
}

void atn_bytes_release(atn_ctx *cx, atn_bytes *b)
{
    atn_free(cx, b->data);
    *b = (atn_bytes){0};
}

void atn_read_bytes(atn_reader *r, void *out, size_t size)
{
    if (r->bad || (size_t)(r->end - r->at) < size) {
        r->bad = true;
        memset(out, 0, size);
        return;
    }
    memcpy(out, r->at, size);
    r->at += size;
}

int64_t atn_read_i64(atn_reader *r)
{
    int64_t x;

    atn_read_bytes(r, &x, sizeof x);
    return x;
}

int64_t atn_read_within(atn_reader *r, int64_t min, int64_t max)
{
    const int64_t x = atn_read_i64(r);

    if (!r->bad && x >= min && x <= max) return x;
    r->bad = true;
    return min;
}

double atn_read_f64(atn_reader *r)
{
    double x;

    atn_read_bytes(r, &x, sizeof x);
    return x;
}

const char *atn_read_text(atn_reader *r)
{
    const int64_t n = atn_read_i64(r);
    const char *text = (const char *)r->at;

    if (n == -1) return NULL;
    if (r->bad || n < 0 || n >= r->end - r->at || text[n] != '\0' ||
        strlen(text) != (size_t)n) {
        r->bad = true;
        return NULL;
    }
    r->at += n + 1;
    return text;
}

/* ---- shares ---- */

void atn_shard_range(const atn_shard *s, const double *weight, atn_idx n, atn_idx *from,
                     atn_idx *to)
{
    double total = 0, before = 0;

    *from = 0;
    *to = s && s->merges ? 0 : n;
    if (!s || s->merges) return;
    for (atn_idx u = 0; u < n; u++) total += weight ? weight[u] : 1;
    *from = *to = n;
    for (atn_idx u = 0; u < n; u++) {
        const double w = weight ? weight[u] : 1;
        const double part =
            total > 0 ? fmin(floor(s->count * (before + w / 2) / total), s->count - 1)
                      : 0;

        before += w;
        if (part >= s->index) *from = ATN_MIN(*from, u);
        if (part > s->index) {
            *to = u;
            break;
        }
    }
}

bool atn_shard_takes(const atn_shard *s, atn_idx unit)
{
    return !s || (!s->merges && unit % s->count == s->index);
}

atn_status atn_shard_note(atn_ctx *cx, atn_shard *s, int kind, atn_idx unit,
                          const atn_bytes *found)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_bytes_i64(cx, &s->notes, kind));
    ATN_TRY(atn_bytes_i64(cx, &s->notes, unit));
    ATN_TRY(atn_bytes_i64(cx, &s->notes, (int64_t)found->size));
    ATN_TRY(atn_bytes_add(cx, &s->notes, found->data, found->size));
done:
    return st;
}

static atn_status not_ours(atn_ctx *cx, const atn_shard *s, int part)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "part %d/%d: its notes are not those of this request (run that "
                    "shard again)",
                    part, s->count);
}

static atn_status each_of(atn_ctx *cx, const atn_shard *s, int part, int kind,
                          atn_shard_found *found, void *user)
{
    const atn_bytes *b = &s->given[part];
    atn_reader r = {b->data, b->data + b->size, false};
    atn_status st = ATN_OK;

    while (r.at < r.end) {
        const int64_t of = atn_read_i64(&r), unit = atn_read_i64(&r);
        const int64_t size = atn_read_i64(&r);
        atn_reader one;

        if (r.bad || size < 0 || size > r.end - r.at) ATN_TRY(not_ours(cx, s, part));
        one = (atn_reader){r.at, r.at + size, false};
        r.at += size;
        if (of != kind) continue;
        ATN_TRY(found(cx, user, unit, &one));
        if (one.bad || one.at != one.end) ATN_TRY(not_ours(cx, s, part));
    }
done:
    return st;
}

atn_status atn_shard_each(atn_ctx *cx, const atn_shard *s, int kind,
                          atn_shard_found *found, void *user)
{
    atn_status st = ATN_OK;

    for (int part = 0; part < s->count; part++)
        ATN_TRY(each_of(cx, s, part, kind, found, user));
done:
    return st;
}

void atn_shard_release(atn_ctx *cx, atn_shard *s)
{
    atn_bytes_release(cx, &s->notes);
    *s = (atn_shard){0};
}
