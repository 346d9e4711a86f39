/* cli/output.h -- where a command's captures come from and where its tables go. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "cli/command.h"
#include "core/run.h"
#include "core/table.h"

/* The row of a command's own table that stores results inside the capture. */
#define ATN_OPTION_KEEP                                                                \
    {                                                                                  \
        "keep", 0, ATN_OPT_FLAG, NULL,                                                 \
            "also store table and run record under RUN/results/", 0, 0                 \
    }

/* A capture that a command works on, the layers and heads chosen, and the run record
 * with the capture's manifest among its inputs. */
typedef struct atn_subject {
    atn_capture *capture;
    atn_selection selection;
    atn_run run;
} atn_subject;

/* Opens dir and selects by --stack, --steps, --layers, --heads where the command has
 * these. s is zeroed first. */
atn_status atn_subject_open(atn_cli *cli, const char *dir,
                            atn_subject *s) ATN_WARN_UNUSED;
void atn_subject_close(atn_cli *cli, atn_subject *s);

/* Starts a run record with every option given on the command line in it. */
atn_status atn_cli_record(atn_cli *cli, atn_run *run) ATN_WARN_UNUSED;

/* Options that change nothing of what is found. Those of the device are no part of the
 * request either: its arithmetic is. */
bool atn_cli_is_neutral(const char *name);

/* Asked before any work. CANTCREATE when FILE exists already and --force was not given;
 * USAGE when a table goes there whose form neither --format nor the ending names. */
atn_status atn_cli_check_output(atn_cli *cli, const char *path) ATN_WARN_UNUSED;

/* Writes a summary to stdout, without a run record, in the command's own --format if it
 * has one. */
atn_status atn_cli_print(atn_cli *cli, const atn_table *t) ATN_WARN_UNUSED;
/* Takes the progress bar off the terminal: before anything is printed. */
void atn_cli_clear_meter(atn_cli *cli);

atn_table_format atn_cli_format(const atn_cli *cli);
/* USAGE where t has no rows, of a command that says before why. */
atn_status atn_cli_any_rows(atn_ctx *cx, const char *command,
                            const atn_table *t) ATN_WARN_UNUSED;
/* Writes the table as --format, -o, --run-record and --keep say. run is finished here;
 * keep_dir is the capture for --keep, NULL for commands without one. */
atn_status atn_cli_emit(atn_cli *cli, atn_run *run, const atn_table *t,
                        const char *keep_dir) ATN_WARN_UNUSED;
/* The same for n tables that belong together. Text and JSONL show all in this order;
 * CSV holds one table a file, so tables[first] is the output and the others go beside
 * it (FILE.<kind>.csv), or to stderr as text when the output is stdout. */
atn_status atn_cli_emit_all(atn_cli *cli, atn_run *run, const atn_table *const *tables,
                            int n, int first, const char *keep_dir) ATN_WARN_UNUSED;
/* Stores one table and the record, which is finished, under RUN/results/, as those of
 * --keep; first: without its kind in the name of the file. The name is of what was
 * asked: the same request, in parts or not, wherever else its table goes, replaces it.
 */
atn_status atn_cli_keep(atn_cli *cli, const atn_run *run, const atn_table *t,
                        bool first, const char *keep_dir) ATN_WARN_UNUSED;
/* The hash of the manifest that a run record names among its inputs; NULL = none.
 * Borrowed. */
const char *atn_record_capture(const json_t *record);
