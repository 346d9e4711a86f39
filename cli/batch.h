/* cli/batch.h -- a plan of models x texts x commands: read, cut into jobs, run by child
 * processes of the program itself, and put together.
 *
 * A model and a text make a capture; every command runs on every capture. OUT holds
 * MODEL/TEXT/run, MODEL/TEXT/COMMAND.<ending>, a log of every job, the journal, and
 * what all jobs give together.
 *
 * Limits  ATN_BATCH_JOBS jobs. No shell sees a word of the plan.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sys/types.h>

#include "cli/output.h"
#include "core/io/json.h"

enum {
    ATN_BATCH_JOBS = 100000,
    ATN_BATCH_FILES = 4,    /* of a text */
    ATN_BATCH_MESSAGE = 240 /* bytes kept of what a job said last */
};

/* ---- the plan ---- */

typedef struct atn_batch_model {
    const char *name;
    char *path;            /* owned */
    const json_t *capture; /* more words of capture, NULL = none */
    char hash[33];         /* "" until asked for */
} atn_batch_model;

typedef struct atn_batch_file {
    const char *option; /* of capture: "text", "token-ids" */
    char *path;         /* owned */
    char hash[33];
} atn_batch_file;

typedef struct atn_batch_text {
    const char *name;
    atn_batch_file files[ATN_BATCH_FILES];
    int n_files;
    const json_t *capture;
} atn_batch_text;

typedef struct atn_batch_command {
    const char *name;
    const json_t *words; /* "stats", "{run}", ... */
    const atn_command *command;
    bool adds_table; /* -o {out}.csv is for us to say */
    bool writes;     /* a file, by -o of the plan or ours */
    bool forces;     /* it has --force */
} atn_batch_command;

typedef struct atn_batch_plan {
    json_t *root;                 /* owned; names and words are borrowed from it */
    char *path;                   /* owned */
    char *dir;                    /* of the plan file, owned; "." where it names none */
    char hash[33];                /* of the file */
    const json_t *capture, *skip; /* NULL = none */
    atn_batch_model *models;      /* [n_models] owned */
    atn_batch_text *texts;
    atn_batch_command *commands;
    int n_models, n_texts, n_commands;
} atn_batch_plan;

/* Reads the file and checks all of it. Where it is JSON of the right schema, every
 * problem is found: a single one is the error, several are logged as errors and counted
 * by it, with the status of the first. */
atn_status atn_batch_plan_load(atn_ctx *cx, const char *path,
                               atn_batch_plan *out) ATN_WARN_UNUSED;
void atn_batch_plan_release(atn_ctx *cx, atn_batch_plan *p); /* a zeroed one is fine */
/* Is this command (NULL = the capture) left out of this pair? */
bool atn_batch_skips(const atn_batch_plan *p, const char *model, const char *text,
                     const char *command);

/* What {run}, {out}, {model}, {text} and {plan} stand for. */
typedef struct atn_batch_place {
    const char *run, *out, *model, *text, *plan;
} atn_batch_place;

/* A word with its placeholders filled in, in heap memory; a brace that begins none is
 * kept. DATA names an unknown one and the nearest. */
atn_status atn_batch_fill(atn_ctx *cx, const char *word, const atn_batch_place *at,
                          char **out) ATN_WARN_UNUSED;
/* Of "{plan}/FILE" in a word the path, to a comma or its end; NULL with no error where
 * it has none. Owned by the caller. */
atn_status atn_batch_named_file(atn_ctx *cx, const atn_batch_plan *p, const char *word,
                                char **out) ATN_WARN_UNUSED;

/* ---- jobs ---- */

typedef enum atn_batch_state {
    ATN_BATCH_WAITS,
    ATN_BATCH_RUNS,
    ATN_BATCH_DONE,
    ATN_BATCH_CHECK,   /* exit 1: it says no, its output stands */
    ATN_BATCH_PARTIAL, /* exit 3: its output stands, without some heads */
    ATN_BATCH_FAILED,
    ATN_BATCH_NOT_RUN, /* its capture failed */
    ATN_BATCH_STOPPED, /* by our signal */
    ATN_BATCH_STATES
} atn_batch_state;

const char *atn_batch_state_name(atn_batch_state s);

typedef struct atn_batch_job {
    int model, text, command; /* indices; command -1 = the capture */
    int capture;              /* the job that makes its capture; itself for a capture */
    char *id;                 /* "model/text/command", owned */
    char *dir;                /* OUT/model/text, owned */
    char *base;               /* its files are base + "." + ending; owned */
    char fingerprint[33];
    char result_hash[33]; /* of a capture its manifest's, else its first file's */
    atn_batch_state state;
    bool kept; /* of an earlier run */
    int exit_code;
    double seconds;
    char *output;    /* first file, relative to OUT; owned, NULL = none */
    json_t *outputs; /* [{path, bytes, xxh3_128}], owned */
    char message[ATN_BATCH_MESSAGE];
    pid_t pid; /* while it runs */
    double started;
} atn_batch_job;

typedef struct atn_batch_journal {
    int fd;         /* -1 = closed */
    char *path;     /* owned */
    json_t *found;  /* lists of the entries of every job, by id, oldest first; owned */
    int all;        /* the lock of OUT: of all jobs our own, else shared; -1 = closed */
    char plan[33];  /* hash of the plan that was last begun; "" = none */
    json_t *tables; /* names of the tables of all jobs last made; owned, NULL = none */
} atn_batch_journal;

typedef struct atn_batch {
    atn_cli *cli;
    atn_batch_plan plan;
    char *out; /* owned */
    atn_batch_job *jobs;
    int n_jobs, n_captures;
    long share, shares;  /* its captures are every shares-th from share on; 0 0 = all */
    int processes;       /* at once */
    int threads;         /* of each */
    size_t mem_limit;    /* of each; 0 = none */
    const char *version; /* of the program and its commit; borrowed from record */
    const char *git;
    atn_run record;
    atn_batch_journal journal;
} atn_batch;

/* The jobs of the plan that are not left out, captures before their commands. */
atn_status atn_batch_list(atn_ctx *cx, atn_batch *b) ATN_WARN_UNUSED;
/* The command line of a job, NULL-terminated, in heap memory; how: with the options
 * that do not change its result (threads, memory). Free with atn_batch_words_free. */
atn_status atn_batch_words(atn_batch *b, const atn_batch_job *job, bool how,
                           char ***out) ATN_WARN_UNUSED;
void atn_batch_words_free(atn_ctx *cx, char **words);
/* Runs what is not up to date, until all is done or a signal comes; the journal has
 * every job that ended. */
atn_status atn_batch_run(atn_batch *b) ATN_WARN_UNUSED;
/* What capture --dry-run says of a capture job: its facts as CSV in heap memory, or
 * NULL and the reason in job->message. */
atn_status atn_batch_ask(atn_batch *b, atn_batch_job *job, char **csv) ATN_WARN_UNUSED;

/* Fingerprint of a job whose capture, if it has one, is there. */
atn_status atn_batch_fingerprint(atn_batch *b, atn_batch_job *job) ATN_WARN_UNUSED;
/* Lists the job's files with sizes and hashes into job->outputs, output and
 * result_hash. */
atn_status atn_batch_outputs(atn_batch *b, atn_batch_job *job) ATN_WARN_UNUSED;
/* Says that it has none. */
atn_status atn_batch_no_outputs(atn_ctx *cx, atn_batch_job *job) ATN_WARN_UNUSED;
/* May an output be called COMMAND and this? Not as logs and unfinished files are. */
bool atn_batch_is_ending(const char *ending);
/* Removes the files of an earlier run of a command. */
atn_status atn_batch_clear(atn_batch *b, const atn_batch_job *job) ATN_WARN_UNUSED;
/* After a capture failed: removes a finished one that was there before, whose manifest
 * had this hash. What it began itself stays, to go on with. */
atn_status atn_batch_clear_capture(atn_batch *b, const atn_batch_job *job,
                                   const char *before) ATN_WARN_UNUSED;

/* ---- the journal ---- */

/* Opens OUT/NAME (journal.jsonl, or that of a share, journal-0-of-2.jsonl) for one
 * process and its children: CANTCREATE while another has it, or, for journal.jsonl, any
 * share. resume: what all journals in OUT hold is read, damaged lines are passed over
 * with a warning; else this one is emptied, and only its tables are kept. */
atn_status atn_batch_journal_open(atn_ctx *cx, const char *out, const char *name,
                                  bool resume, atn_batch_journal *j) ATN_WARN_UNUSED;
/* Is this the name of a journal? */
bool atn_batch_journal_is(const char *name);
/* Adds a line and waits for the disk. entry is taken. */
atn_status atn_batch_journal_add(atn_ctx *cx, atn_batch_journal *j,
                                 json_t *entry) ATN_WARN_UNUSED;
atn_status atn_batch_journal_job(atn_ctx *cx, atn_batch_journal *j,
                                 const atn_batch_job *job) ATN_WARN_UNUSED;
/* Adds a list of names of tables; they stay the caller's. */
atn_status atn_batch_journal_tables(atn_ctx *cx, atn_batch_journal *j,
                                    json_t *tables) ATN_WARN_UNUSED;
/* Takes over what the journal says of the job where fingerprint and files agree. */
bool atn_batch_journal_find(const atn_batch *b, atn_batch_job *job);
void atn_batch_journal_close(atn_ctx *cx, atn_batch_journal *j);

/* ---- what all give together ---- */

/* One row a job. */
atn_status atn_batch_table(atn_batch *b, atn_table **out) ATN_WARN_UNUSED;
/* OUT/batch.csv, OUT/COMMAND.csv and OUT/report.html with the pages of up to `pages`
 * captures. */
atn_status atn_batch_publish(atn_batch *b, int pages) ATN_WARN_UNUSED;
