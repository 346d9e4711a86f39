/* tests/core/test_shard.c -- shares of work and what they note, against plain loops. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/shard.h"

#include "tests/check.h"

/* Weights {1 3 2 2}, N = 2: the middles .5, 2.5, 5, 7 of 8 give floor(2 m / 8) = 0 0 1
 * 1. */
static void golden_ranges(atn_ctx *cx)
{
    const double weight[] = {1, 3, 2, 2};
    atn_idx from, to;

    (void)cx;
    atn_shard_range(&(atn_shard){.index = 0, .count = 2}, weight, 4, &from, &to);
    CHECK_EQ(from, 0);
    CHECK_EQ(to, 2);
    atn_shard_range(&(atn_shard){.index = 1, .count = 2}, weight, 4, &from, &to);
    CHECK_EQ(from, 2);
    CHECK_EQ(to, 4);
    atn_shard_range(NULL, weight, 4, &from, &to);
    CHECK_EQ(to - from, 4);
    atn_shard_range(&(atn_shard){.count = 2, .merges = true}, weight, 4, &from, &to);
    CHECK_EQ(to - from, 0);
}

/* Every unit in one part, parts in order, and none heavier than its share and a
 * unit. */
static void parts_cover_all(atn_ctx *cx)
{
    unsigned seed = 7;

    (void)cx;
    for (int trial = 0; trial < 2000; trial++) {
        double weight[40], total = 0, most = 0;
        const int n = trial % 40, count = 1 + trial % 17;
        atn_idx next = 0;

        for (int i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            weight[i] = trial % 3 == 0 ? 1 : (double)(seed >> 28);
            total += weight[i];
            most = fmax(most, weight[i]);
        }
        for (int k = 0; k < count; k++) {
            double own = 0;
            atn_idx from, to;

            atn_shard_range(&(atn_shard){.index = k, .count = count}, weight, n, &from,
                            &to);
            CHECK(from <= to);
            if (from < to) CHECK_EQ(from, next);
            if (from < to) next = to;
            for (atn_idx i = from; i < to; i++) own += weight[i];
            CHECK_LE(own, total / count + most + 1e-9);
        }
        CHECK_EQ(next, n);
    }
}

static void single_units_go_round(atn_ctx *cx)
{
    (void)cx;
    for (atn_idx u = 0; u < 12; u++) {
        int takers = 0;

        for (int k = 0; k < 5; k++)
            takers += atn_shard_takes(&(atn_shard){.index = k, .count = 5}, u);
        CHECK_EQ(takers, 1);
    }
    CHECK(atn_shard_takes(NULL, 3));
    CHECK(!atn_shard_takes(&(atn_shard){.count = 5, .merges = true}, 0));
}

typedef struct seen {
    atn_idx unit[8];
    double number[8];
    const char *text[8];
    int n;
} seen;

static atn_status found(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    seen *s = user;

    (void)cx;
    s->unit[s->n] = unit;
    s->number[s->n] = atn_read_f64(r);
    s->text[s->n++] = atn_read_text(r);
    return ATN_OK;
}

static void note(atn_ctx *cx, atn_shard *s, int kind, atn_idx unit, double x,
                 const char *text)
{
    atn_bytes b = {0};

    CHECK_OK(atn_bytes_f64(cx, &b, x));
    CHECK_OK(atn_bytes_text(cx, &b, text));
    CHECK_OK(atn_shard_note(cx, s, kind, unit, &b));
    atn_bytes_release(cx, &b);
}

static void notes_come_back_in_order(atn_ctx *cx)
{
    atn_shard a = {.index = 0, .count = 2}, b = {.index = 1, .count = 2};
    atn_shard all = {.count = 2, .merges = true};
    seen s = {.n = 0};

    note(cx, &b, 1, 9, 0.1, NULL);
    note(cx, &a, 1, 4, -0.0, "x");
    note(cx, &a, 2, 5, 7, "another kind");
    note(cx, &a, 1, 2, NAN, "");
    all.given = (const atn_bytes[]){a.notes, b.notes};
    CHECK_OK(atn_shard_each(cx, &all, 1, found, &s));
    CHECK_EQ(s.n, 3);
    CHECK_EQ(s.unit[0], 4);
    CHECK(s.number[0] == 0 && signbit(s.number[0]));
    CHECK_STR(s.text[0], "x");
    CHECK_EQ(s.unit[1], 2);
    CHECK(isnan(s.number[1]));
    CHECK_STR(s.text[1], "");
    CHECK_EQ(s.unit[2], 9);
    CHECK(s.number[2] == 0.1);
    CHECK(!s.text[2]);
    atn_shard_release(cx, &a);
    atn_shard_release(cx, &b);
}

/* Any cut of the notes, and any byte set to 255, is read or refused, never beyond its
 * end (the copy has its exact size, for the sanitizer). */
static void damaged_notes(atn_ctx *cx)
{
    atn_shard a = {.index = 0, .count = 1};
    int refused = 0;

    note(cx, &a, 1, 4, 1, "abc");
    note(cx, &a, 1, 5, 2, NULL);
    for (size_t k = 0; k < 2 * a.notes.size; k++) {
        const size_t size = k < a.notes.size ? k : a.notes.size;
        unsigned char *copy = malloc(size + (size == 0));
        atn_shard all = {.count = 1, .merges = true};
        seen s = {.n = 0};

        memcpy(copy, a.notes.data, size);
        if (k >= size) copy[k - size] = 255;
        all.given = &(atn_bytes){copy, size, size};
        if (atn_shard_each(cx, &all, 1, found, &s) != ATN_OK) {
            CHECK_EQ(cx->err.code, ATN_DATA);
            atn_err_clear(cx);
            refused++;
        }
        free(copy);
    }
    CHECK(refused > (int)a.notes.size / 2);
    atn_shard_release(cx, &a);
}

CHECK_MAIN({"golden ranges", golden_ranges}, {"parts cover all", parts_cover_all},
           {"single units go round", single_units_go_round},
           {"notes come back in order", notes_come_back_in_order},
           {"damaged notes", damaged_notes})
