/* The best dense launch on a GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/baseline.h"

typedef struct bed {
    atn_device device;
    atn_kernel kernel, dense;
    atn_sim_opts o;
    atn_pattern *p;
    atn_sim s;
} bed;

static void run(atn_ctx *cx, bed *b, const char *gpu, const char *kernel,
                const char *dense, atn_idx tokens)
{
    const atn_frame f = atn_frame_square(tokens, 1, true);
    const atn_span offsets = {0, 1024};
    const atn_pattern *p;

    memset(b, 0, sizeof *b);
    CHECK_OK(atn_device_read(cx, gpu, &b->device));
    CHECK_OK(atn_kernel_read(cx, kernel, &b->kernel));
    atn_sim_defaults(&b->o);
    b->o.device = &b->device;
    b->o.kernel = &b->kernel;
    if (dense) {
        CHECK_OK(atn_kernel_read(cx, dense, &b->dense));
        b->o.dense = &b->dense;
    }
    CHECK_OK(atn_pattern_shift(cx, &f, &offsets, 1, 0, &b->p));
    p = b->p;
    CHECK_OK(atn_simulate(cx, &p, 1, &b->o, &b->s));
}

static void release(atn_ctx *cx, bed *b)
{
    atn_sim_release(cx, &b->s);
    atn_pattern_destroy(cx, b->p);
    atn_kernel_release(cx, &b->kernel);
    atn_kernel_release(cx, &b->dense);
}

/* What is said to be faster is so: as dense kernel it takes that time. */
static void golden(atn_ctx *cx)
{
    bed b, with;
    atn_baseline best;

    run(cx, &b, "h100", "block_sparse", NULL, 16384);
    CHECK_OK(atn_baseline_find(cx, &b.o, &b.s, &best));
    CHECK_STR(best.id, "fa3");
    run(cx, &with, "h100", "block_sparse", "fa3", 16384);
    CHECK_NEAR(with.s.dense_ms, best.ms, 1e-9 * best.ms);
    CHECK_LE(with.s.dense_ms * 1.5, b.s.dense_ms);
    atn_baseline_say(&best, &b.s);
    CHECK(strstr(b.s.note, "fa3 does the dense mask in 3.") &&
          strstr(b.s.note, "--dense-kernel fa3"));
    CHECK_OK(atn_baseline_find(cx, &with.o, &with.s, &best));
    CHECK_STR(best.id, "");
    release(cx, &b);
    release(cx, &with);
}

/* Nothing is faster, the launch is short, or the GPU has but one kernel. */
static void none(atn_ctx *cx)
{
    static const struct {
        const char *gpu, *kernel;
        atn_idx tokens;
    } cases[] = {{"h100", "fa3", 16384},
                 {"a100", "fa2", 16384},
                 {"h100", "block_sparse", 1024},
                 {"t4", "fna_cutlass2", 8192}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_baseline best;
        bed b;

        run(cx, &b, cases[i].gpu, cases[i].kernel, NULL, cases[i].tokens);
        CHECK_OK(atn_baseline_find(cx, &b.o, &b.s, &best));
        CHECK_STR(best.id, "");
        atn_baseline_say(&best, &b.s);
        CHECK(!strstr(b.s.note, "--dense-kernel"));
        release(cx, &b);
    }
}

/* Every allocation that fails is a status. */
static void memory_fails(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;
    bed b;

    run(cx, &b, "h100", "block_sparse", NULL, 16384);
    for (long left = 0; st != ATN_OK && left < 20000; left += 1 + left / 8) {
        check_failing f = {left};
        atn_baseline best;
        atn_ctx low;

        atn_ctx_init(&low);
        low.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_baseline_find(&low, &b.o, &b.s, &best);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_ctx_release(&low);
    }
    CHECK(st == ATN_OK);
    release(cx, &b);
}

CHECK_MAIN({"golden", golden}, {"none", none}, {"memory fails", memory_fails})
