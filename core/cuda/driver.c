/* core/cuda/driver.c -- opening the CUDA driver and cuBLAS, and naming their errors. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/cuda/driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char *const cuda_names[] = {"libcuda.so.1", "libcuda.so"};
static const char *const blas_names[] = {"libcublas.so.13", "libcublas.so.12",
                                         "libcublas.so.11", "libcublas.so"};

static void *open_any(const char *const *names, size_t n)
{
    void *found = NULL;

    for (size_t i = 0; i < n && !found; i++) found = dlopen(names[i], RTLD_NOW);
    return found;
}

/* Object and function pointers do not convert in ISO C; POSIX says that the bits
 * agree. */
static bool find(void *library, const char *symbol, void *slot)
{
    void *p = dlsym(library, symbol);

    memcpy(slot, &p, sizeof p);
    return p != NULL;
}

#define FIND(name, symbol, parameters)                                                 \
    if (!missing && !find(library, #symbol, &d->name)) missing = #symbol;

static const char *find_driver(void *library, atn_cu_driver *d)
{
    const char *missing = NULL;

    ATN_CU_DRIVER(FIND)
    return missing;
}

static const char *find_blas(void *library, atn_cu_driver *d)
{
    const char *missing = NULL;

    ATN_CU_BLAS(FIND)
    return missing;
}

atn_status atn_cu_driver_open(atn_ctx *cx, atn_cu_driver *out)
{
    atn_status st = ATN_OK;
    const char *missing;
    int result;

    *out = (atn_cu_driver){0};
    out->cuda = open_any(cuda_names, ATN_LEN(cuda_names));
    if (!out->cuda)
        ATN_FAIL(ATN_UNAVAILABLE, "no NVIDIA driver here: libcuda.so.1 cannot be "
                                  "opened (use --device cpu)");
    missing = find_driver(out->cuda, out);
    if (missing)
        ATN_FAIL(ATN_UNAVAILABLE,
                 "the NVIDIA driver lacks %s: it is older than CUDA 11 (update it, or "
                 "use --device cpu)",
                 missing);
    result = out->init(0);
    if (result == ATN_CU_NO_DEVICE)
        ATN_FAIL(ATN_UNAVAILABLE, "the NVIDIA driver sees no GPU (use --device cpu; is "
                                  "CUDA_VISIBLE_DEVICES set?)");
    ATN_TRY(atn_cu_check(cx, out, result, "starting the NVIDIA driver"));
done:
    if (st != ATN_OK) atn_cu_driver_close(out);
    return st;
}

atn_status atn_cu_driver_open_blas(atn_ctx *cx, atn_cu_driver *d)
{
    const char *missing;

    d->blas = open_any(blas_names, ATN_LEN(blas_names));
    if (!d->blas)
        return atn_fail(
            cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
            "libcublas.so of CUDA 11, 12 or 13 cannot be opened (install it "
            "or put its folder on LD_LIBRARY_PATH, or use --device cpu)");
    missing = find_blas(d->blas, d);
    if (missing)
        return atn_fail(cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
                        "libcublas.so lacks %s (wanted CUDA 11, 12 or 13)", missing);
    return ATN_OK;
}

void atn_cu_driver_close(atn_cu_driver *d)
{
    if (d->blas) dlclose(d->blas);
    if (d->cuda) dlclose(d->cuda);
    *d = (atn_cu_driver){0};
}

atn_status atn_cu_check(atn_ctx *cx, const atn_cu_driver *d, int result,
                        const char *what)
{
    const char *name = NULL, *text = NULL;
    size_t room = 0, total = 0;

    if (result == 0) return ATN_OK;
    if (result == ATN_CU_OUT_OF_MEMORY) {
        d->room(&room, &total);
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "%s: the GPU's memory is full (%.0f of %.0f MiB free; take a "
                        "shorter text, or --device cpu)",
                        what, (double)room / 1048576, (double)total / 1048576);
    }
    if (d->error_name(result, &name) != 0) name = "unknown error";
    if (d->error_text(result, &text) != 0) text = "";
    if (result == ATN_CU_NO_BINARY || result == ATN_CU_UNSUPPORTED_PTX ||
        result == ATN_CU_INVALID_IMAGE)
        return atn_fail(cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
                        "%s: this build has no kernels for this GPU (%s); rebuild with "
                        "its nvcc, or use --device cpu",
                        what, name);
    return atn_fail(cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
                    "%s: the GPU failed: %s (%s); what was written before is complete",
                    what, name, text);
}

static atn_status describe(atn_ctx *cx, const atn_cu_driver *d, int i,
                           atn_gpu_info *info)
{
    atn_status st = ATN_OK;
    int device = 0;

    info->index = i;
    ATN_TRY(atn_cu_check(cx, d, d->device(&device, i), "asking for a GPU"));
    ATN_TRY(atn_cu_check(cx, d, d->name(info->name, sizeof info->name, device),
                         "asking a GPU's name"));
    ATN_TRY(atn_cu_check(cx, d,
                         d->attribute(&info->major, ATN_CU_ATTRIBUTE_MAJOR, device),
                         "asking a GPU's architecture"));
    ATN_TRY(atn_cu_check(cx, d,
                         d->attribute(&info->minor, ATN_CU_ATTRIBUTE_MINOR, device),
                         "asking a GPU's architecture"));
    ATN_TRY(atn_cu_check(
        cx, d, d->attribute(&info->sm_count, ATN_CU_ATTRIBUTE_SM_COUNT, device),
        "asking a GPU's size"));
    ATN_TRY(atn_cu_check(cx, d, d->total(&info->total_bytes, device),
                         "asking a GPU's memory"));
done:
    return st;
}

atn_status atn_cu_devices(atn_ctx *cx, const atn_cu_driver *d, atn_gpu_info **list,
                          int *n)
{
    atn_status st = ATN_OK;
    atn_gpu_info *all = NULL;

    *list = NULL;
    *n = 0;
    ATN_TRY(atn_cu_check(cx, d, d->count(n), "counting the GPUs"));
    ATN_NEW(all, *n);
    for (int i = 0; i < *n; i++) ATN_TRY(describe(cx, d, i, &all[i]));
    *list = all;
    all = NULL;
done:
    atn_free(cx, all);
    return st;
}
