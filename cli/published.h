/* cli/published.h -- predicted against published: what papers and projects report of
 * sparse attention on GPUs, and what `attnscope simulate` says of the same launch.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/simulation.h"

/* The table "published": a row a published number of simulators/published/, with the
 * command that predicts it. Rows whose pattern is not known have no prediction, and say
 * why. cli is that of `simulate`, whose options the rows give. */
atn_status atn_published_table(atn_cli *cli, atn_table **out) ATN_WARN_UNUSED;
