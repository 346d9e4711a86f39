/* capture/preprocess.h -- a picture becomes the values that an image model takes, as
 * preprocessor_config.json of its directory says.
 *
 * Math    resize, then the centre of crop_size (zeros around a smaller picture), then
 *         (factor x - mean_c) / std_c, planes of channels one after another.
 * Oracle  transformers' image processors of the PIL kind ("slow" before v5): bytes
 *         after resizing are theirs (with Pillow up to 12, see resample.h), values
 *         agree to float32.
 * Source  transformers v5, image_processing_backends.py (PilBackend),
 *         image_processing_pil_vit.py, image_processing_pil_deit.py.
 * Limits  processors of the torchvision kind resize in another way: up to a few of 255
 *         apart.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/model.h"
#include "capture/resample.h"

typedef struct atn_preprocess {
    bool resize, crop, rescale, normalize;
    atn_idx height, width; /* to resize to; height 0: the shorter side becomes width, */
    atn_idx longest;       /* the longer one at most this (0 = any) */
    bool within;           /* the ratio kept, one side becomes height or width */
    atn_idx crop_height, crop_width;
    atn_filter filter;
    double factor;
    double mean[3], std[3];
} atn_preprocess;

/* Of the file; of the family where there is none, which is noted in the log. DATA names
 * file, key and rule. */
atn_status atn_preprocess_load(atn_ctx *cx, const atn_model *m,
                               atn_preprocess *out) ATN_WARN_UNUSED;
/* *out [3, height, width] in heap memory, of the size that the model has positions for;
 * DATA where the steps do not lead to it. `path` names the picture in messages. */
atn_status atn_preprocess_apply(atn_ctx *cx, const atn_model *m,
                                const atn_preprocess *p, const char *path,
                                const atn_image *from, float **out) ATN_WARN_UNUSED;
