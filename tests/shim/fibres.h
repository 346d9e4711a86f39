/* tests/shim/fibres.h -- running one kernel of the list. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

namespace shim
{

struct kernel {
    const char *name; /* "atn_cu_norm" */
    void (*run)(void *args);
    size_t args_size;
};

extern const kernel kernels[];
extern const size_t n_kernels;

void run_kernel(const kernel &k, void *args, unsigned gx, unsigned gy, unsigned threads,
                size_t shared);
} // namespace shim
