/* capture/record_internal.h -- a capture in the making: what goes in, and the
 * manifest. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/forward.h"
#include "capture/record.h"
#include "capture/tokenizer.h"
#include "capture/vision.h"
#include "core/io/capture.h"

typedef struct atn_recording {
    const atn_record_args *args;
    atn_model model;
    atn_tokenizer *tokenizer; /* NULL when the ids were given and there is none */
    int32_t *ids;
    atn_idx n;
    float *image;        /* NULL = the model reads something else */
    atn_latents latents; /* zero likewise */
    int32_t *target;
    atn_idx n_target;  /* 0 = no decoder runs beside an encoder */
    atn_place *places; /* all of the run */
    atn_idx n_places;
    atn_idx *kept, n_kept; /* those that are recorded */
    bool *record;          /* [places] still to be computed */
    atn_idx *slot;         /* [places] index among the recorded */
    atn_dtype dtype;
    atn_capture_writer *writer;
} atn_recording;

/* ---- record_input.c ---- */

/* Tokens, an image or latents, as the model reads them; checked. */
atn_status atn_record_read(atn_ctx *cx, atn_recording *r) ATN_WARN_UNUSED;
atn_input atn_record_input(const atn_recording *r);

/* ---- record_manifest.c ---- */

/* The caller owns *out. */
atn_status atn_record_manifest(atn_ctx *cx, const atn_recording *r,
                               json_t **out) ATN_WARN_UNUSED;
/* Of the manifest, which says all options and tokens, and of the weight files by
 * content. */
atn_status atn_record_fingerprint(atn_ctx *cx, const atn_recording *r,
                                  const json_t *manifest, char hex[33]) ATN_WARN_UNUSED;
/* Configuration, tokenizer and weights go into the run record. */
atn_status atn_record_add_inputs(atn_ctx *cx, const atn_recording *r,
                                 const json_t *manifest, atn_run *run) ATN_WARN_UNUSED;
