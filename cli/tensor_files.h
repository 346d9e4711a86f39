/* cli/tensor_files.h -- attnscope tensor of .npy files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/command.h"

/* Reads --q, --k1 .., --v1 .., writes -o and --marginals, prints a table. */
atn_status atn_tensor_files(atn_cli *cli) ATN_WARN_UNUSED;
/* Is any option of this mode given? Its name, or NULL. */
const char *atn_tensor_files_option(const atn_cli *cli);
