/* tests/core/test_base.c -- context, errors, arena, statuses, number formats. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/mat.h"

static void exit_codes(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(atn_status_exit(ATN_OK), 0);
    CHECK_EQ(atn_status_exit(ATN_DATA), 65);
    CHECK_EQ(atn_status_exit(ATN_MEMORY), 71);
    CHECK_EQ(atn_status_exit(ATN_INTERRUPTED), 130);
    CHECK_STR(atn_status_name(ATN_CANTCREATE), "CANTCREATE");
}

static atn_status inner(atn_ctx *cx)
{
    atn_status st = ATN_OK;

    ATN_FAIL(ATN_DATA, "x.csv: 3 is wrong");
done:
    return st;
}

static atn_status outer(atn_ctx *cx)
{
    atn_status st = ATN_OK;

    ATN_TRY(inner(cx));
done:
    return st;
}

static void errors_leave_marks(atn_ctx *cx)
{
    CHECK_EQ(outer(cx), ATN_DATA);
    CHECK_EQ(cx->err.n_marks, 2);
    CHECK_STR(cx->err.text, "x.csv: 3 is wrong");
}

static void arena_is_aligned_and_rewinds(atn_ctx *cx)
{
    const atn_arena_mark start = atn_arena_save(cx);
    const char *first = atn_arena_take(cx, 3, 1);

    CHECK(first != NULL);
    for (int i = 1; i < 200; i++) {
        char *p = atn_arena_take(cx, i * 997, sizeof(float));
        CHECK(p && (uintptr_t)p % 64 == 0);
        memset(p, i, (size_t)i * 997 * sizeof(float));
    }
    atn_arena_rewind(cx, start);
    CHECK(cx->arena.top == NULL);
}

static void overflow_is_memory(atn_ctx *cx)
{
    CHECK(atn_alloc(cx, INT64_MAX, 16) == NULL);
    CHECK_EQ(cx->err.code, ATN_MEMORY);
    CHECK(atn_alloc(cx, -1, 1) == NULL);
    CHECK(atn_arena_take(cx, INT64_MAX / 2, 8) == NULL);
    CHECK(atn_arena_take(cx, -5, 8) == NULL);
}

static void limit_is_checked(atn_ctx *cx)
{
    cx->mem_limit = 1 << 20;
    CHECK_OK(atn_mem_check(cx, 1 << 20, "x"));
    CHECK_FAILS(atn_mem_check(cx, (1 << 20) + 1, "x"), ATN_MEMORY,
                "the limit is 1 MiB");
}

/* The limit is one on the sum of what lives, of forks too, and every block gives back. */
static void limit_is_on_the_sum(atn_ctx *cx)
{
    atn_ctx child;
    char *a, *b;

    cx->mem_limit = 100000;
    a = atn_alloc(cx, 60000, 1);
    CHECK(a != NULL);
    CHECK_OK(atn_mem_check(cx, 40000, "x"));
    CHECK_FAILS(atn_mem_check(cx, 40001, "x"), ATN_MEMORY,
                "x needs 39.063 KiB, 58.594 KiB are in use, the limit is 97.656 KiB");
    atn_ctx_fork(cx, &child);
    CHECK(atn_alloc(&child, 40001, 1) == NULL);
    CHECK_EQ(child.err.code, ATN_MEMORY);
    CHECK(strstr(child.err.text, "--mem-limit"));
    b = atn_alloc(&child, 40000, 1);
    CHECK(b != NULL);
    CHECK(atn_realloc(cx, a, 60001, 1) == NULL);
    a = atn_realloc(cx, a, 50000, 1);
    CHECK_OK(atn_mem_check(cx, 10000, "x"));
    atn_free(cx, a);
    atn_free(cx, b);
    CHECK(atn_arena_take(cx, 60000, 1) && atn_arena_take(&child, 30000, 1));
    CHECK(atn_arena_take(cx, 30000, 1) == NULL);
    atn_arena_rewind(cx, (atn_arena_mark){NULL, 0});
    atn_ctx_release(&child);
    atn_mem_count(cx, 1);
    CHECK_FAILS(atn_mem_check(cx, 100000, "x"), ATN_MEMORY, "x needs");
    atn_mem_count(cx, -1);
    CHECK_OK(atn_mem_check(cx, 100000, "x"));
}

/* Binary16: all 65536 patterns survive the way through float. */
static void half_round_trip(atn_ctx *cx)
{
    (void)cx;
    for (unsigned h = 0; h < 65536; h++) {
        const uint16_t bits = (uint16_t)h;
        float x;

        atn_widen(&bits, ATN_F16, 1, &x);
        if (isnan(x))
            CHECK((bits & 0x7c00) == 0x7c00 && (bits & 0x3ff));
        else
            CHECK_EQ(atn_f16_from_f32(x), bits);
    }
}

/* Known patterns, and ties to even: 2049 lies between 2048 and 2050. */
static void half_golden(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(atn_f16_from_f32(1.0f), 0x3c00);
    CHECK_EQ(atn_f16_from_f32(-2.5f), 0xc100);
    CHECK_EQ(atn_f16_from_f32(65504.0f), 0x7bff);
    CHECK_EQ(atn_f16_from_f32(65520.0f), 0x7c00);
    CHECK_EQ(atn_f16_from_f32(2049.0f), 0x6800);
    CHECK_EQ(atn_f16_from_f32(2051.0f), 0x6802);
    CHECK_EQ(atn_f16_from_f32(5.9604645e-8f), 0x0001);
    CHECK_EQ(atn_bf16_from_f32(1.0f), 0x3f80);
    CHECK_EQ(atn_bf16_from_f32(1.00390625f), 0x3f80); /* tie, to even */
    CHECK_EQ(atn_bf16_from_f32(1.01171875f), 0x3f82); /* tie, to even */
    CHECK(atn_bf16_from_f32(NAN) & 0x40);
}

/* What the tests measure errors with keeps a NaN, whichever comes first. */
static void worst_keeps_nan(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(check_worst(1, 2), 2, 0);
    CHECK_NEAR(check_worst(2, 1), 2, 0);
    CHECK(isnan(check_worst(1, NAN)));
    CHECK(isnan(check_worst(NAN, 1)));
}

CHECK_MAIN({"the worst keeps NaN", worst_keeps_nan}, {"exit codes", exit_codes}, {"errors leave marks", errors_leave_marks},
           {"arena is aligned and rewinds", arena_is_aligned_and_rewinds},
           {"overflow is MEMORY", overflow_is_memory},
           {"limit is checked", limit_is_checked},
           {"limit is on the sum", limit_is_on_the_sum},
           {"half round trip", half_round_trip}, {"half golden", half_golden})
