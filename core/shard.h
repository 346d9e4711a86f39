/* core/shard.h -- the share of the work that one process does, and the shares of all,
 * put together.
 *
 * Work is cut into units (a head of a layer) in one order that all processes know. A
 * part does a stretch of them and notes what it found; who merges is given the notes of
 * all parts and computes nothing but the tables, in the order and with the sums of a
 * single process, so that these are the same bit for bit.
 *
 * Math    unit u of weights w belongs to part floor(N (w_0 + .. + w_{u-1} + w_u / 2) /
 *         sum w): stretches of about equal weight, some of them empty where N exceeds
 *         the number of units.
 * Limits  notes are in the byte order of the machine.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* ---- bytes that grow ---- */

typedef struct atn_bytes {
    unsigned char *data; /* [size] owned */
    size_t size, room;
} atn_bytes;

atn_status atn_bytes_add(atn_ctx *cx, atn_bytes *b, const void *data,
                         size_t size) ATN_WARN_UNUSED;
atn_status atn_bytes_i64(atn_ctx *cx, atn_bytes *b, int64_t x) ATN_WARN_UNUSED;
atn_status atn_bytes_f64(atn_ctx *cx, atn_bytes *b, double x) ATN_WARN_UNUSED;
/* NULL is kept as NULL. */
atn_status atn_bytes_text(atn_ctx *cx, atn_bytes *b, const char *text) ATN_WARN_UNUSED;
void atn_bytes_release(atn_ctx *cx, atn_bytes *b); /* a zeroed one is fine */

/* Reads them back; a read beyond the end gives zeros and sets `bad`. */
typedef struct atn_reader {
    const unsigned char *at, *end;
    bool bad;
} atn_reader;

int64_t atn_read_i64(atn_reader *r);
/* In [min, max], else min and bad. */
int64_t atn_read_within(atn_reader *r, int64_t min, int64_t max);
double atn_read_f64(atn_reader *r);
/* Borrowed from the bytes; NULL = NULL was kept, or bad. */
const char *atn_read_text(atn_reader *r);
void atn_read_bytes(atn_reader *r, void *out, size_t size);

/* ---- shares ---- */

typedef struct atn_shard {
    int index, count;       /* part index of count, 0 <= index < count */
    bool merges;            /* the notes of all parts are given, nothing is computed */
    atn_bytes notes;        /* of this part */
    const atn_bytes *given; /* [count] in the order of parts; borrowed */
} atn_shard;

static inline bool atn_shard_is_part(const atn_shard *s)
{
    return s && !s->merges;
}

static inline bool atn_shard_merges(const atn_shard *s)
{
    return s && s->merges;
}

/* The units [*from, *to) of a part; weight NULL = all alike. s NULL = all of them, and
 * who merges has none. */
void atn_shard_range(const atn_shard *s, const double *weight, atn_idx n, atn_idx *from,
                     atn_idx *to);
/* Is a unit that stands outside that order, such as one of the whole model, done
 * here? */
bool atn_shard_takes(const atn_shard *s, atn_idx unit);

/* Notes what was found of a unit; kind: of units that are numbered together. */
atn_status atn_shard_note(atn_ctx *cx, atn_shard *s, int kind, atn_idx unit,
                          const atn_bytes *found) ATN_WARN_UNUSED;
/* One note, which must be read to its end and have its unit looked at; DATA
 * otherwise. */
typedef atn_status atn_shard_found(atn_ctx *cx, void *user, atn_idx unit,
                                   atn_reader *r) ATN_WARN_UNUSED;
/* All notes of a kind, part by part in their order. */
atn_status atn_shard_each(atn_ctx *cx, const atn_shard *s, int kind,
                          atn_shard_found *found, void *user) ATN_WARN_UNUSED;
void atn_shard_release(atn_ctx *cx, atn_shard *s); /* a zeroed one is fine */
