/* simulators/parallel_internal.h -- parts of atn_cp_run that know one another. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/parallel.h"

#define ATN_CP_REACHED  0.8 /* of a rate on paper, where it is not known: assumed */
#define ATN_CP_BACKWARD 2.5 /* five products instead of two */

typedef struct atn_cp_job {
    atn_sim_opts sim; /* with all sizes */
    const atn_cp_opts *opts;
    const atn_cp_scheme *scheme;
    atn_cp_order order;
    atn_device device;   /* the same, of any memory */
    atn_cp_head *heads;  /* [n_heads] of the pattern, 1: all alike */
    atn_idx n_heads, at; /* heads [at, at + taken) are those of the slowest GPU */
    atn_idx taken;
    atn_cp_sizes sizes;
    atn_idx ranks;        /* that the sequence is cut for */
    double gpu_heads, kv; /* of a GPU */
    double link, network; /* GB/s */
    atn_time_fit fit;     /* of the last launch: its clock */
    double low, high;     /* of one GPU's time: its interval */
    char *model;          /* of one GPU's; NULL = known */
    struct {
        uint64_t key;
        double ms;
    } known[64]; /* launches that were timed */
    int n_known;
    struct {
        atn_cp_order order;
        atn_idx ranks;
        double redundant;
    } spread[ATN_CP_SCHEMES]; /* ways to spread the tokens that were looked at */
    int n_spread;
} atn_cp_job;

typedef struct atn_cp_step {
    double launch_ms, rows; /* queries that have a result */
} atn_cp_step;

typedef struct atn_cp_times {
    double work, all; /* without, with transfers that show */
    double launches;  /* of work: the rest is merging */
    double clock;     /* factor of a launch in the run */
    double tflops;    /* that the launches reach */
    double share;     /* mean share of a chunk that the slowest rank has */
} atn_cp_times;

/* A message over a link of so many GB/s. */
double atn_cp_transfer_ms(const atn_cp_job *j, double gbs, double bytes);
/* A message to the next GPU of a ring of all: some cross nodes, and all wait. */
double atn_cp_hop_ms(const atn_cp_job *j, double bytes);
/* One collective among `group` neighbours: a GPU sends `bytes` in all, to each of the
 * others alike; both kinds of link work at the same time. */
double atn_cp_collective_ms(const atn_cp_job *j, double group, double bytes,
                            bool gathers);
/* A pass over memory that moves so many bytes. */
double atn_cp_pass_ms(const atn_cp_job *j, double bytes);
/* Choosing what attention keeps, the work of which `gpus` share. */
double atn_cp_choosing_ms(const atn_cp_job *j, double gpus);
/* Patterns of some heads, as of atn_simulate, and how many heads a GPU has. */
typedef struct atn_cp_part {
    const atn_pattern *const *p;
    atn_idx n;
    double heads, kv;
} atn_cp_part;
/* Time without what the clock loses in long runs. */
atn_status atn_cp_launch(atn_ctx *cx, atn_cp_job *j, const atn_cp_part *part,
                         double *ms) ATN_WARN_UNUSED;
/* Of launches, the backward ones among them. */
double atn_cp_launches_ms(const atn_cp_job *j, double ms);
/* One launch, or, where the kernel takes windows only and this is none, one for each
 * part of the queries and keys. */
atn_status atn_cp_chunk_time(atn_ctx *cx, atn_cp_job *j, const atn_cp_share *q,
                             const atn_cp_share *k, atn_cp_step *t) ATN_WARN_UNUSED;
/* Ring, double ring, and the ring of USP, whose all-to-alls come before and after. */
atn_status atn_cp_time_ring(atn_ctx *cx, atn_cp_job *j, const int64_t *a,
                            atn_cp_times *t) ATN_WARN_UNUSED;
/* All-gather; a [ranks, ranks] as of atn_cp_pairs. */
atn_status atn_cp_time_gather(atn_ctx *cx, atn_cp_job *j, const int64_t *a,
                              atn_cp_times *t) ATN_WARN_UNUSED;
/* Q, K and V in, the result out; of the backward pass its gradient in, theirs out. */
double atn_cp_exchange_ms(const atn_cp_job *j, double group);
/* Ulysses. */
atn_status atn_cp_time_exchange(atn_ctx *cx, atn_cp_job *j,
                                atn_cp_times *t) ATN_WARN_UNUSED;
/* [0] within blocks, [1] states: of `tokens` of a GPU; both passes, if asked. */
void atn_cp_linear_ms(const atn_cp_job *j, double tokens, double ms[2]);
/* LASP and LASP-2. */
void atn_cp_time_linear(atn_cp_job *j, atn_cp_times *t);
/* Sum of a. */
double atn_cp_total(const int64_t *a, atn_idx n);
