/* tests/check.h -- a thin layer over cmocka: named tests that get a fresh context.
 *
 *     static void golden(atn_ctx *cx) { CHECK_NEAR(1.0, f(cx), 1e-12); }
 *     CHECK_MAIN({"golden", golden})
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ctx.h"

typedef struct check_test {
    const char *name;
    void (*run)(atn_ctx *cx);
} check_test;

#define CHECK(cond)                                                                    \
    do {                                                                               \
        if (!(cond)) fail_msg("%s:%d: %s", __FILE__, __LINE__, #cond);                 \
    } while (0)
/* The call succeeds; prints the error record otherwise. Needs cx in scope. */
#define CHECK_OK(call)                                                                 \
    do {                                                                               \
        const atn_status check_st = (call);                                            \
        if (check_st != ATN_OK)                                                        \
            fail_msg("%s:%d: %s: %s", __FILE__, __LINE__, #call, cx->err.text);        \
    } while (0)
/* The call fails with exactly this status, and its message contains `part`. */
#define CHECK_FAILS(call, code, part)                                                  \
    do {                                                                               \
        const atn_status check_st = (call);                                            \
        if (check_st != (code) || !strstr(cx->err.text, (part)))                       \
            fail_msg("%s:%d: %s gave %s \"%s\", wanted %s \"%s\"", __FILE__, __LINE__, \
                     #call, atn_status_name(check_st), cx->err.text,                   \
                     atn_status_name(code), (part));                                   \
        atn_err_clear(cx);                                                             \
    } while (0)
#define CHECK_NEAR(a, b, tol)                                                          \
    do {                                                                               \
        const double check_a = (double)(a), check_b = (double)(b);                     \
        if (!(fabs(check_a - check_b) <= (tol)))                                       \
            fail_msg("%s:%d: %s = %.17g, %s = %.17g, tolerance %g", __FILE__,          \
                     __LINE__, #a, check_a, #b, check_b, (double)(tol));               \
    } while (0)
#define CHECK_LE(a, b)                                                                 \
    do {                                                                               \
        const double check_a = (double)(a), check_b = (double)(b);                     \
        if (!(check_a <= check_b))                                                     \
            fail_msg("%s:%d: %s = %.17g > %s = %.17g", __FILE__, __LINE__, #a,         \
                     check_a, #b, check_b);                                            \
    } while (0)
#define CHECK_EQ(a, b)                                                                 \
    do {                                                                               \
        const long long check_a = (long long)(a), check_b = (long long)(b);            \
        if (check_a != check_b)                                                        \
            fail_msg("%s:%d: %s = %lld, %s = %lld", __FILE__, __LINE__, #a, check_a,   \
                     #b, check_b);                                                     \
    } while (0)
#define CHECK_STR(a, b)                                                                \
    do {                                                                               \
        const char *check_a = (a), *check_b = (b);                                     \
        if (!check_a || !check_b || strcmp(check_a, check_b) != 0)                     \
            fail_msg("%s:%d: %s = \"%s\", wanted \"%s\"", __FILE__, __LINE__, #a,      \
                     check_a ? check_a : "(null)", check_b ? check_b : "(null)");      \
    } while (0)

/* The larger of two errors, NaN for good once either is NaN: fmax would pass over it. */
static inline double check_worst(double a, double b)
{
    return isnan(a) || b <= a ? a : b;
}

/* An allocator of which the first `left` calls succeed, for {check_failing_resize, &f}. */
typedef struct check_failing {
    long left;
} check_failing;

static inline void *check_failing_resize(void *user, void *ptr, size_t size)
{
    check_failing *f = user;

    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return f->left-- > 0 ? realloc(ptr, size) : NULL;
}

static inline void check_run(void **state)
{
    const check_test *t = *state;
    atn_ctx cx;

    atn_ctx_init(&cx);
    cx.threads = 2;
    t->run(&cx);
    atn_ctx_release(&cx);
}

static inline int check_main(const char *group, const check_test *tests, size_t n)
{
    struct CMUnitTest *units = calloc(n, sizeof *units);
    int failed;

    if (!units) return 1;
    atn_runtime_open();
    for (size_t i = 0; i < n; i++)
        units[i] = (struct CMUnitTest){tests[i].name, check_run, NULL, NULL,
                                       (void *)(uintptr_t)&tests[i]};
    failed = _cmocka_run_group_tests(group, units, n, NULL, NULL);
    free(units);
    return failed != 0;
}

#define CHECK_MAIN(...)                                                                \
    int main(void)                                                                     \
    {                                                                                  \
        static const check_test tests[] = {__VA_ARGS__};                               \
        return check_main(__FILE__, tests, sizeof tests / sizeof tests[0]);            \
    }

/* Directory of committed fixtures (compile definition), and of a scratch place that the
 * test may fill: "<build>/scratch/<name>", emptied on every call. */
#ifndef ATN_TEST_FIXTURES
#    define ATN_TEST_FIXTURES "tests/fixtures"
#endif
static inline const char *check_scratch(const char *name)
{
    static char path[512];
    char command[1200];

    snprintf(path, sizeof path, "%s/%s", ATN_TEST_SCRATCH, name);
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", path, path);
    if (system(command) != 0) fail_msg("cannot make %s", path);
    return path;
}
/* The optional shared models ($ATTNSCOPE_SHARED, default ../shared of the source tree);
 * skips the test visibly when `file` is not there. */
static inline const char *check_shared(const char *file)
{
    static char path[1024];
    const char *root = getenv("ATTNSCOPE_SHARED");
    FILE *f;

    snprintf(path, sizeof path, "%s/%s",
             root && *root ? root : ATN_TEST_SOURCE "/../shared", file);
    f = fopen(path, "rb");
    if (!f) {
        print_message("SKIPPED: %s is not here\n", file);
        skip();
    }
    fclose(f);
    return path;
}
