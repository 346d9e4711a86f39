/* simulators/device.h -- a GPU described by numbers, each with its source.
 *
 * A device is one file devices/<id>.json, embedded at build; a user's own file has the
 * same form (docs/guide/device-files.md):
 *
 *   {"schema": "attnscope/device/1", "id": "h100", "title": "NVIDIA H100 SXM",
 *    "aliases": ["h100-sxm"], "architecture": "sm90",
 *    "sms": {"value": 132, "source": "..."}, ...}
 *
 * Math    implied F = peak / (SMs * clock), tensor flop a clock and SM, with the clock
 *         that the dense 16-bit peak is quoted at; F must be that of the architecture:
 *         accepted where |log2(F implied / F)| < 0.5. A peak of sparse matrices, twice
 *         the dense one, is refused with the implied value. The same for tf32 (F / 2)
 *         and fp8 (2 F, or F where the architecture has no faster one).
 * Oracle  all rows of cards/simulators.md section 3 pass; H100 at 1979 does not.
 * Source  cards/simulators.md, section 3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

enum { ATN_DEVICE_ID = 64, ATN_DEVICE_TEXT = 256 };

/* The numbers of a device, in this order in listings. */
typedef enum atn_device_number {
    ATN_DEVICE_SMS,
    ATN_DEVICE_TFLOPS_16,   /* dense fp16/bf16, fp32 accumulation */
    ATN_DEVICE_TFLOPS_TF32, /* dense; may be missing, as the next two */
    ATN_DEVICE_TFLOPS_FP32,
    ATN_DEVICE_TFLOPS_FP8,
    ATN_DEVICE_ACHIEVABLE_16, /* measured with large products, TFLOP/s; may be missing */
    ATN_DEVICE_HBM_GBS,       /* 1e9 bytes a second */
    ATN_DEVICE_MEMORY_GB,     /* 1e9 bytes */
    ATN_DEVICE_L2_MB,         /* 1e6 bytes */
    ATN_DEVICE_SMEM_KB,       /* 1024 bytes an SM */
    ATN_DEVICE_CLOCK_MHZ,     /* that the 16-bit peak is quoted at */
    ATN_DEVICE_MUFU,          /* exponentials a clock and SM */
    ATN_DEVICE_SMEM_BYTES,    /* of shared memory a clock and SM */
    ATN_DEVICE_NVLINK_GBS,    /* both directions together; 0 = none */
    ATN_DEVICE_NUMBERS
} atn_device_number;

typedef struct atn_device_value {
    double value; /* NaN = missing */
    bool verified;
    char source[ATN_DEVICE_TEXT];
} atn_device_value;

typedef struct atn_device {
    char id[ATN_DEVICE_ID], title[ATN_DEVICE_TEXT];
    char architecture[ATN_DEVICE_ID]; /* "sm90" */
    atn_device_value number[ATN_DEVICE_NUMBERS];
} atn_device;

typedef struct atn_device_number_info {
    const char *name; /* key of the file and column of `list devices`: "hbm_gbs" */
    const char *text;
    bool needed;
} atn_device_number_info;
extern const atn_device_number_info atn_device_numbers[ATN_DEVICE_NUMBERS];

static inline double atn_device_get(const atn_device *d, atn_device_number n)
{
    return d->number[n].value;
}
/* Tensor flop a clock and SM in 16 bits of an architecture; 0 = unknown. */
double atn_architecture_flop(const char *architecture);

/* By id or alias of a built-in one, any case, or a file. USAGE naming the nearest, DATA
 * naming file, number, rule, value. */
atn_status atn_device_read(atn_ctx *cx, const char *name,
                           atn_device *out) ATN_WARN_UNUSED;
/* id [ATN_DEVICE_ID] <- that of the built-in one that is called so, else the name. */
atn_status atn_device_find(atn_ctx *cx, const char *name, char *id) ATN_WARN_UNUSED;
/* The i-th built-in one's id, sorted; NULL = no more. */
const char *atn_device_id(int i);
/* Text of a file of a device, as the reader takes it; `what` names it in messages. */
atn_status atn_device_parse(atn_ctx *cx, const char *what, const char *text,
                            size_t size, atn_device *out) ATN_WARN_UNUSED;
