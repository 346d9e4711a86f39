/* cli/options.h -- command-line options as tables: one row gives parsing, checking,
 * --help, the man page and shell completion.
 *
 * A command has its own table and says which shared groups it takes. glibc's argp does
 * the parsing; what it cannot say well (an unknown option with the nearest known one, a
 * value out of range) is said here.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/param.h"

typedef enum atn_opt_kind {
    ATN_OPT_FLAG,   /* no value */
    ATN_OPT_TEXT,   /* any text */
    ATN_OPT_FILE,   /* any text, completed as a file name */
    ATN_OPT_I64,    /* integer in [min, max] */
    ATN_OPT_F64,    /* number in [min, max] */
    ATN_OPT_COUNT,  /* 4k, 1m (1024-based), in [min, max] */
    ATN_OPT_BYTES,  /* 512MiB, 2GiB */
    ATN_OPT_CHOICE, /* one of arg, "a|b|c" */
} atn_opt_kind;

typedef struct atn_option {
    const char *name; /* long name without dashes; NULL ends a table */
    char key;         /* short name, 0 = none */
    atn_opt_kind kind;
    const char *arg;  /* placeholder, or the choices; NULL for flags */
    const char *text; /* help, lower case, no full stop */
    double min, max;  /* of numbers; both 0 = no limit */
} atn_option;

#define ATN_OPTION_END                                                                 \
    {                                                                                  \
        NULL, 0, ATN_OPT_FLAG, NULL, NULL, 0, 0                                        \
    }

/* Shared groups; GENERAL is everybody's. */
enum {
    ATN_USE_GENERAL = 1, /* -h -q -v --log --seed --threads --mem-limit --no-color */
    ATN_USE_SELECT = 2,  /* --stack --steps --layers --heads */
    ATN_USE_TABLE = 4,   /* --format --keep --run-record, and OUTPUT */
    ATN_USE_OUTPUT = 8,  /* -o -f */
    ATN_USE_DRY = 16,    /* -n */
    ATN_USE_DEVICE = 32, /* --device --dtype */
    ATN_USE_SHARD = 64,  /* --shard: its work can be shared out */
};

typedef struct atn_option_group {
    unsigned use; /* ATN_USE_*, 0 = the command's own */
    const char *title;
    const atn_option *options;
} atn_option_group;

enum { ATN_CLI_ROWS = 64, ATN_CLI_GROUPS = 8 /* all shared ones and an own one */ };

/* The groups that a command with this mask takes, its own table (may be NULL) first.
 * Returns their number. */
int atn_option_groups(unsigned uses, const atn_option *own,
                      atn_option_group out[ATN_CLI_GROUPS]);

typedef struct atn_opt_value {
    int given;        /* times */
    const char *text; /* borrowed from argv; the last one wins */
    int64_t integer;  /* I64, COUNT, BYTES, CHOICE (index) */
    double number;    /* F64 */
} atn_opt_value;

struct atn_command;

/* One parsed command line. Everything is borrowed from argv and the command tables. */
typedef struct atn_cli {
    atn_ctx *cx;
    const struct atn_command *command;
    int argc; /* of the whole program */
    const char *const *argv;
    const char **args; /* what is no option */
    int n_args;
    const atn_option *rows[ATN_CLI_ROWS];
    atn_opt_value values[ATN_CLI_ROWS];
    int n_rows;
    struct atn_shard
        *shard;            /* the share of the work, or all to put together; NULL = all
                                of it is done here */
    struct atn_said *said; /* of a part, or of who merges; NULL = messages go out */
    bool ranks;            /* shares meet in memory, not in files */
    double begun;          /* of atn_seconds, when the command did */
    int place;             /* of the ranks on this machine; 0 = the first, or alone */
    /* Of a command that merge runs: what was typed, and the hash of the manifest of the
     * parts; else NULL. */
    const struct atn_cli *typed;
    const char *capture;
} atn_cli;

/* Parses argv[first .. argc) by the command's tables into cli (zeroed but for cx,
 * command, argc, argv). USAGE names the option and the nearest known one, or the value
 * and its range. Release with atn_cli_release. */
atn_status atn_cli_parse(atn_cli *cli, int first) ATN_WARN_UNUSED;
void atn_cli_release(atn_cli *cli);
/* Applies the general options (quiet, log, threads, seed, memory) to the context. */
void atn_cli_apply(atn_cli *cli);

/* Values by long name; the option must be in the command's tables. */
bool atn_opt_given(const atn_cli *cli, const char *name);
const char *atn_opt_text(const atn_cli *cli, const char *name,
                         const char *def); /* def may be NULL */
int64_t atn_opt_i64(const atn_cli *cli, const char *name, int64_t def);
double atn_opt_f64(const atn_cli *cli, const char *name, double def);
/* "AxBxC" of 1 to `most` numbers, or none where it is not given; USAGE names the
 * option. */
atn_status atn_opt_shape(const atn_cli *cli, const char *name, int most,
                         atn_list *out) ATN_WARN_UNUSED;
