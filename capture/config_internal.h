/* capture/config_internal.h -- parts of reading config.json. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/config.h"

/* Size of image or latents, patches, classes; nothing where the family reads tokens. */
atn_status atn_config_read_patches(atn_ctx *cx, const char *path,
                                   atn_config *c) ATN_WARN_UNUSED;
/* `path` names the file in messages. Fills c->rope, or leaves it zero without a rotary
 * embedding. */
atn_status atn_config_read_rope(atn_ctx *cx, const char *path,
                                atn_config *c) ATN_WARN_UNUSED;
