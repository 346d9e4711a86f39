/* core/draws.h -- random objects by name, so that a run can be compared with another
 * implementation: drawn from counter-based streams, or taken from a file, and kept for
 * writing.
 *
 * A draw is a tensor "<what>.layer-<l>" or "<what>.layer-<l>.head-<h>" (head -1: one
 * for the layer; all numbers of three digits at least). Where there is a file, random
 * objects are those of the file, and one that it lacks is an error: shape and, of
 * counts, range are checked. What is computed but might be given, such as centroids, and
 * what only a trained model has, such as gates, is taken where the file has it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/safetensors.h"

typedef struct atn_draws atn_draws;

typedef struct atn_draw {
    const char *what;    /* "projections" */
    const char *purpose; /* of the stream, "hyper/projections" */
    atn_idx layer, head;
    atn_idx rows, cols; /* shape [rows, cols]; cols 0 = [rows] */
} atn_draw;

/* file: NULL = draw everything. NOINPUT, DATA. */
atn_status atn_draws_open(atn_ctx *cx, const char *file,
                          atn_draws **out) ATN_WARN_UNUSED;
void atn_draws_close(atn_ctx *cx, atn_draws *d); /* NULL is fine */
/* Such a file in memory; the tensors [n] are borrowed until it is closed. */
atn_status atn_draws_lend(atn_ctx *cx, const atn_st_out *tensors, atn_idx n,
                          atn_draws **out) ATN_WARN_UNUSED;
/* From now on a tensor of the file with another shape than is asked for counts as
 * absent, and what is absent is drawn, so that sizes can be tried which the file is not
 * of. */
void atn_draws_loosen(atn_draws *d);
/* `file` was to be read and is not there: that is said where an object is needed. */
atn_status atn_draws_miss(atn_ctx *cx, atn_draws *d, const char *file) ATN_WARN_UNUSED;
/* Writes what was drawn or taken since it was opened or last forgotten; nothing when
 * that is nothing. */
atn_status atn_draws_save(atn_ctx *cx, const atn_draws *d, const char *path,
                          bool force) ATN_WARN_UNUSED;
void atn_draws_forget(atn_ctx *cx, atn_draws *d);

/* All fill out and take d NULL, which draws and keeps nothing. DATA names file, tensor,
 * shape or value found and the rule. Not to be called on several threads at once. */

/* Normal numbers of mean 0 and variance 1. */
atn_status atn_draw_normal(atn_ctx *cx, atn_draws *d, uint64_t seed, const atn_draw *w,
                           float *out) ATN_WARN_UNUSED;
/* Numbers that the method computed into out: those of the file in their place, if it
 * has them. Kept. */
atn_status atn_draw_given(atn_ctx *cx, atn_draws *d, const atn_draw *w,
                          float *out) ATN_WARN_UNUSED;
atn_status atn_draw_given_counts(atn_ctx *cx, atn_draws *d, const atn_draw *w,
                                 atn_idx n, int32_t *out) ATN_WARN_UNUSED;
/* What is found about a run, in double, any numbers: that of the file, if it has it as
 * F64, else out stays as it is. Nothing is kept; of what is to be kept x is copied. */
atn_status atn_draws_read(atn_ctx *cx, const atn_draws *d, const atn_draw *w,
                          double *out, bool *found) ATN_WARN_UNUSED;
atn_status atn_draws_keep(atn_ctx *cx, atn_draws *d, const atn_draw *w,
                          const double *x) ATN_WARN_UNUSED;

/* Counts of which some may be -1: there is none. */
atn_status atn_draw_given_gaps(atn_ctx *cx, atn_draws *d, const atn_draw *w, atn_idx n,
                               int32_t *out) ATN_WARN_UNUSED;
/* Said by what makes a random object by itself and then asks for a given one: DATA names
 * it where there is a file that lacks it. */
atn_status atn_draws_need(atn_ctx *cx, const atn_draws *d,
                          const atn_draw *w) ATN_WARN_UNUSED;
/* Does the file have it? So that a method can ask for what is trained. */
bool atn_draws_have(const atn_draws *d, const atn_draw *w);
/* The i-th tensor of the file, by name, and whether anything of that name was asked for
 * by now; NULL = no more, or there is no file. */
const char *atn_draws_tensor(const atn_draws *d, atn_idx i, bool *asked);
/* Reads "<what>.layer-<l>" or "<what>.layer-<l>.head-<h>" into w, but for `what`; head
 * -1: of the layer. False: no draw is named so. */
bool atn_draw_parse(const char *name, atn_draw *w);
