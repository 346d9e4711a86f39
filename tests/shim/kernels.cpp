/* tests/shim/kernels.cpp -- the kernels' list, by name. The .cu files themselves are compiled
 * beside it, with cuda_shim.h before each. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "fibres.h"

#include "core/kernels/cuda/args.h"

#define ATN_CUDA_KERNEL(image, name, args) extern "C" void atn_cu_##name(args);
#include "core/kernels/cuda/kernels.def"
#undef ATN_CUDA_KERNEL

namespace shim
{

const kernel kernels[] = {
#define ATN_CUDA_KERNEL(image, name, args)                                                    \
    {"atn_cu_" #name, [](void *a) { atn_cu_##name(*static_cast<args *>(a)); },         \
     sizeof(args)},
#include "core/kernels/cuda/kernels.def"
#undef ATN_CUDA_KERNEL
};
const size_t n_kernels = sizeof kernels / sizeof kernels[0];
} // namespace shim
