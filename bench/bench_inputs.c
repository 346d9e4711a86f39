/* bench/bench_inputs.c -- what is read before a model runs: packed weights and texts.
 *
 * Q8_0 weights are widened beside BF16 ones and beside a copy of what is written, the
 * floor. Texts of 250 kB, 500 kB and 1 MB go through a tokenizer directory: the growth
 * from one to the next says whether the time is linear (2) or worse.
 * Usage: bench_inputs [millions of numbers [tokenizer directory ...]], default 64 and
 * none.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/tokenizer.h"
#include "core/mat.h"
#include "core/rng.h"

enum { REPEATS = 5, SMALLEST = 250000, SIZES = 3 };

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

/* The least of some runs, seconds. */
static double widen_time(const void *src, atn_dtype type, atn_idx n, float *dst)
{
    double least = 1e9;

    for (int i = 0; i < REPEATS; i++) {
        const double start = atn_seconds();

        atn_widen(src, type, n, dst);
        least = ATN_MIN(least, atn_seconds() - start);
    }
    return least;
}

static void bench_widen(atn_ctx *cx, atn_idx n)
{
    static const atn_dtype types[] = {ATN_F32, ATN_BF16, ATN_F16, ATN_Q8_0};
    float *dst = atn_alloc(cx, n, sizeof *dst);
    unsigned char *src = atn_alloc(cx, n, sizeof *dst);
    double floor = 0;

    if (!dst || !src) exit(71);
    memset(src, 0x21, (size_t)n * sizeof *dst);
    printf("type,numbers,gb_per_s,times_copy\n");
    for (size_t i = 0; i < ATN_LEN(types); i++) {
        const double s = widen_time(src, types[i], n, dst);

        if (i == 0) floor = s; /* float32 is copied */
        printf("%s,%lld,%.3g,%.3g\n", atn_dtype_name(types[i]), (long long)n,
               4e-9 * (double)n / s, s / floor);
    }
    atn_free(cx, src);
    atn_free(cx, dst);
}

/* Words of 1 to 12 letters. */
static char *make_text(atn_ctx *cx, size_t n)
{
    atn_rng r = atn_rng_stream(0, "bench/inputs", 0, 0);
    char *text = atn_alloc(cx, (atn_idx)n + 1, 1);
    size_t word = 0;

    if (!text) exit(71);
    for (size_t i = 0; i < n; i++) {
        const bool gap = word > 0 && atn_rng_uniform(&r) < 0.18;

        text[i] = (char)(gap ? ' ' : 'a' + (int)(26 * atn_rng_uniform(&r)));
        word = gap ? 0 : word + 1;
    }
    return text;
}

static void bench_tokenizer(atn_ctx *cx, const char *dir)
{
    char *text = make_text(cx, (size_t)SMALLEST << (SIZES - 1));
    atn_tokenizer *t = NULL;
    double before = 0;

    must(cx, atn_tokenizer_load(cx, dir, &t));
    for (int i = 0; i < SIZES; i++) {
        const size_t size = (size_t)SMALLEST << i;
        const double start = atn_seconds();
        int32_t *ids = NULL;
        atn_idx n = 0;
        double s;

        must(cx, atn_tokenizer_encode(cx, t, text, size, false, &ids, &n));
        s = atn_seconds() - start;
        printf("%s,%zu,%lld,%.3g,%.3g\n", dir, size, (long long)n,
               1e-6 * (double)size / s, i ? s / before : 0);
        before = s;
        atn_free(cx, ids);
    }
    atn_tokenizer_destroy(cx, t);
    atn_free(cx, text);
}

int main(int argc, char **argv)
{
    const atn_idx millions = argc > 1 ? atol(argv[1]) : 64;
    atn_ctx cx;

    atn_ctx_init(&cx);
    bench_widen(&cx, millions * 1000000 / 32 * 32);
    if (argc > 2) printf("\ntokenizer,bytes,tokens,mb_per_s,growth\n");
    for (int i = 2; i < argc; i++) bench_tokenizer(&cx, argv[i]);
    atn_ctx_release(&cx);
    return 0;
}
