/* bench/clock.h -- the wall clock of the benchmarks. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <time.h>

/* Seconds since some fixed moment. */
static inline double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
