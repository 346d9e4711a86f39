/* simulators/kernel.c -- kernel files: names of what is in them, reading, writing,
 * choosing. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/kernel.h"

const char *const atn_pass_names[ATN_PASSES] = {"forward", "backward", "decode"};
