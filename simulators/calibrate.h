/* simulators/calibrate.h -- coefficients of a kernel from a file of timings, and how
 * far its predictions are from one.
 *
 * Math    error of a row: |predicted / measured - 1|. Error of a speed-up:
 *         |(p_dense / p_window) / (y_dense / y_window) - 1| over windowed prefill rows
 *         with q_len > 2 w whose dense twin (the same shape, window 0) takes 300 us or
 *         more; FLOP ratio and ratio of tiles are judged by the same formula.
 * Source  cards/simulators.md 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"
#include "simulators/fit.h"

/* Which rows count. */
typedef struct atn_timing_choice {
    const atn_kernel *kernel; /* settled on the device */
    const atn_device *device;
    const char *split; /* NULL = all */
    const char
        *named;    /* only rows of this kernel of the file; NULL = all of `kernel` */
    double min_ms; /* rows that took less are left out */
    int head_dim;  /* 0 = all */
    int pass;      /* atn_pass, -1 = all */
} atn_timing_choice;

/* Rows of one head dim and pass. */
typedef struct atn_timing_group {
    int head_dim;
    atn_pass pass;
    atn_idx n;
    const atn_timing **row; /* [n] borrowed */
} atn_timing_group;

typedef struct atn_timing_groups {
    atn_timing_group *group; /* forward first, then by head dim */
    int n;
    const atn_timing **rows; /* of all groups */
    const atn_timings *all;
    atn_timing_choice choice;
    atn_idx untiled; /* chosen rows that the kernel has no tile for */
    int untiled_dim; /* the head dim of one of these */
} atn_timing_groups;

/* The timing is of this device: its id or another name that reads the same. */
bool atn_timing_is_of(const atn_timing *row, const atn_kernel *k, const atn_device *d);
/* DATA where no row is chosen: which kernels, GPUs and splits are in the file; or
 * that the kernel has no tile for their head dim. */
atn_status atn_timing_groups_find(atn_ctx *cx, const atn_timings *t, const char *path,
                                  const atn_timing_choice *choice,
                                  atn_timing_groups *out) ATN_WARN_UNUSED;
/* Rows of other kernels than k, and of other GPUs than d (NULL = all are taken), and
 * what they are of: "3 of kernel fa2, 7 of gpu h2000". */
atn_idx atn_timings_left_out(const atn_timings *t, const atn_kernel *k,
                             const atn_device *d, char *text, size_t size);
void atn_timing_groups_release(atn_ctx *cx, atn_timing_groups *g);

/* Rows of the group that a model is about. */
atn_idx atn_timing_group_counts(const atn_timing_group *g, atn_time_kind kind);
/* Fits a group; kind -1: the full model where the rows are enough, else the one of four
 * coefficients. For decode `with` holds the prefill fits made before (its KV nodes). */
atn_status atn_calibrate(atn_ctx *cx, const atn_timing_groups *g, int i, int kind,
                         const atn_kernel *with, atn_time_fit *out) ATN_WARN_UNUSED;
/* Puts a fit into the kernel, in place of the one of the same GPU, head dim and pass,
 * whatever its model. */
atn_status atn_kernel_put_fit(atn_ctx *cx, atn_kernel *k,
                              const atn_time_fit *f) ATN_WARN_UNUSED;
/* That fit of exactly this GPU and head dim; kind -1: full, else four. NULL = none. */
const atn_time_fit *atn_kernel_own_fit(const atn_kernel *k, const atn_device *d,
                                       int head_dim, atn_pass pass, int kind);

/* The table "calibrate": a row a fit; made [g->n], rows = 0: that group has none. */
atn_status atn_calibrate_table(atn_ctx *cx, const atn_timing_groups *g,
                               const atn_time_fit *made,
                               atn_table **out) ATN_WARN_UNUSED;
/* The table "calibrate_plan": a row a group, and what fitting it takes. */
atn_status atn_calibrate_plan(atn_ctx *cx, const atn_timing_groups *g, int kind,
                              atn_table **out) ATN_WARN_UNUSED;
/* The model that kind -1 stands for. */
atn_time_kind atn_timing_group_kind(const atn_timing_group *g, int kind);

/* Tables of errors, filled a set of groups at a time: "calibrate_check", a row for the
 * dense rows of a group, for each window and for all; and "calibrate_speedups", a row a
 * prefill group with such pairs. */
typedef struct atn_check_tables {
    atn_table *errors, *speedups;
} atn_check_tables;
atn_status atn_check_tables_create(atn_ctx *cx, atn_check_tables *t) ATN_WARN_UNUSED;
void atn_check_tables_destroy(atn_ctx *cx, atn_check_tables *t);
/* Groups without a fit are passed over; *checked counts the others. */
atn_status atn_check_tables_add(atn_ctx *cx, atn_check_tables *t,
                                const atn_timing_groups *g, int kind,
                                int *checked) ATN_WARN_UNUSED;
