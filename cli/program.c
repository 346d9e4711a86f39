/* cli/program.c -- the program around a command: signals, progress, errors, exit
 * code. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/device.h"
#include "cli/help.h"
#include "cli/parts.h"
#include "cli/ranks.h"
#include "cli/said.h"
#include "core/param.h"
#include "core/run.h"

#define ATN_COMMAND(id) extern const atn_command atn_command_##id;
#include "cli/commands.def"
#undef ATN_COMMAND

const atn_command *const atn_commands[] = {
#define ATN_COMMAND(id) &atn_command_##id,
#include "cli/commands.def"
#undef ATN_COMMAND
    NULL};
const int atn_n_commands = (int)ATN_LEN(atn_commands) - 1;

const atn_command *atn_command_find(const char *id)
{
    for (const atn_command *const *c = atn_commands; *c; c++)
        if (strcmp((*c)->id, id) == 0) return *c;
    return NULL;
}

const char *atn_command_one_piece(const atn_cli *cli)
{
    const atn_command *c = cli->command;

    if (!(c->uses & ATN_USE_SHARD))
        return c->one_piece ? c->one_piece : "it has no work to share out";
    return c->one_piece_with ? c->one_piece_with(cli) : NULL;
}

/* ---- progress: one line on a terminal, once the work takes more than a second ---- */

typedef struct meter {
    double start, last; /* start 0 = nothing yet */
    bool shown;
    bool draws; /* there is a terminal */
    atn_ranks *ranks;
} meter;

static void meter_clear(meter *m)
{
    if (m->shown) fputs("\r\033[K", stderr);
    m->shown = false;
}

/* Shows the work that is under way now; the clock runs since the first of all. Finished
 * work clears the line, so that nothing stays in front of what is printed next. */
static void on_progress(void *user, const char *what, double done, double total)
{
    const int width = 30;
    const double now = atn_seconds();
    meter *m = user;
    const double part = total > 0 ? ATN_MIN(ATN_MAX(done / total, 0.0), 1.0) : 0;
    const int full = (int)(part * width + 0.5);
    char count[48] = "";

    atn_ranks_poll(m->ranks);
    if (!m->draws) return;
    if (m->start == 0) m->start = m->last = now;
    if (part >= 1) {
        meter_clear(m);
        return;
    }
    if (now - m->start < 1) return;
    if (m->shown && now - m->last < 0.1) return;
    if (total > 1 && total < 1e9 && total == floor(total))
        snprintf(count, sizeof count, ", %.0f of %.0f", floor(done), total);
    fprintf(stderr, "\r%.40s [%.*s%*s] %3.0f %%%s\033[K", what, full,
            "##############################", width - full, "", 100 * part, count);
    fflush(stderr);
    m->last = now;
    m->shown = true;
}

/* ---- running a command ---- */

static void on_signal(int number)
{
    atn_cancel(number);
}

static void catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* a second Ctrl-C ends at once */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_DFL); /* a closed pipe ends the program quietly */
}

static atn_status check_count(atn_cli *cli)
{
    const atn_command *c = cli->command;

    if (cli->n_args < c->min_args)
        return atn_fail(
            cli->cx, ATN_USAGE, __FILE__, __LINE__,
            "%s: something is missing: attnscope %s %s (attnscope %s --help "
            "has examples)",
            c->id, c->id, c->args, c->id);
    if (c->max_args >= 0 && cli->n_args > c->max_args)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: '%s' is one argument too many: attnscope %s %s", c->id,
                        cli->args[c->max_args], c->id, c->args);
    return ATN_OK;
}

static atn_status flush_data(atn_ctx *cx, atn_status st)
{
    const bool bad = fflush(stdout) != 0 || ferror(stdout);

    if (st == ATN_OK && bad)
        return atn_fail(cx, ATN_IO, __FILE__, __LINE__,
                        "standard output: writing failed (is the disk full?)");
    return st;
}

static int finish(atn_ctx *cx, atn_status st)
{
    const int code = atn_status_exit(st);

    if (st != ATN_OK && cx->err.text[0]) atn_log(cx, ATN_LOG_ERROR, "%s", cx->err.text);
    if (st != ATN_OK && cx->log_level >= ATN_LOG_DEBUG)
        for (int i = 0; i < cx->err.n_marks; i++)
            atn_log(cx, ATN_LOG_DEBUG, "at %s:%d", cx->err.marks[i].file,
                    cx->err.marks[i].line);
    atn_ctx_release(cx);
    return code;
}

static atn_status unknown_command(atn_ctx *cx, const char *word)
{
    const char *ids[64];
    int n = 0, near;

    for (const atn_command *const *c = atn_commands; *c; c++) ids[n++] = (*c)->id;
    near = atn_nearest(word, ids, n);
    if (near >= 0)
        return atn_fail(
            cx, ATN_USAGE, __FILE__, __LINE__,
            "unknown command '%s'; did you mean %s? (attnscope --help lists "
            "them)",
            word, ids[near]);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "unknown command '%s' (attnscope --help lists them)", word);
}

static void show_progress(atn_ctx *cx, meter *m)
{
    m->draws = isatty(STDERR_FILENO) && cx->log_level > ATN_LOG_ERROR &&
               !cx->log_json && !atn_ranks_is_quiet(m->ranks);
    if (!m->draws && m->ranks->size == 1) return;
    cx->progress = on_progress;
    cx->progress_user = m;
}

static atn_status run_command(atn_ctx *cx, atn_ranks *ranks, const atn_command *c,
                              int argc, const char *const *argv)
{
    meter m = {.ranks = ranks};
    atn_cli cli = {
        .cx = cx, .command = c, .argc = argc, .argv = argv, .begun = atn_seconds()};
    atn_status st = ATN_OK;
    atn_backend *device = NULL;
    atn_shard shard = {0};
    atn_said said = {.cx = NULL};
    bool idle = false;

    ATN_TRY(atn_cli_parse(&cli, 2));
    if (atn_opt_given(&cli, "help")) {
        if (!atn_ranks_is_quiet(ranks)) atn_help_command(c, stdout);
        goto done;
    }
    atn_cli_apply(&cli);
    ATN_TRY(check_count(&cli));
    ATN_TRY(atn_ranks_share(ranks, &cli, &shard, &idle));
    if (ranks->size == 1) ATN_TRY(atn_cli_share(&cli, &shard));
    show_progress(cx, &m);
    if (cli.shard) atn_said_open(&said, &cli, atn_ranks_is_quiet(ranks));
    if (idle) goto done;
    ATN_TRY(atn_device_open(&cli, &device));
    st = c->run(&cli);
done:
    st = atn_ranks_meet(ranks, cx, &cli, st);
    atn_said_close(&said);
    atn_shard_release(cx, &shard);
    atn_device_close(cx, device);
    meter_clear(&m);
    cx->progress = NULL;
    cx->progress_user = NULL;
    atn_cli_release(&cli);
    return st;
}

static void print_version(void)
{
    fputs("attnscope " ATN_VERSION "\n"
          "Licence GPL-3.0-or-later. There is no warranty.\n",
          stdout);
}

/* What is not a command. */
static atn_status run_word(atn_ctx *cx, const char *word)
{
    if (!word) {
        atn_help_program(stderr);
        return ATN_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        atn_help_program(stdout);
        return ATN_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        print_version();
        return ATN_OK;
    }
    if (word[0] == '-')
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "'%s': the command comes first (attnscope --help lists them)",
                        word);
    return unknown_command(cx, word);
}

int atn_cli_main(int argc, const char *const *argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    const atn_command *c = word ? atn_command_find(word) : NULL;
    atn_ranks ranks;
    atn_ctx cx;
    atn_status st = ATN_OK;
    int code;

    setlocale(LC_CTYPE, "");
    atn_runtime_open();
    atn_ctx_init(&cx);
    st = atn_ranks_open(&cx, &ranks);
    catch_signals();
    if (st == ATN_OK && c)
        st = run_command(&cx, &ranks, c, argc, argv);
    else if (st == ATN_OK)
        st = atn_ranks_meet(&ranks, &cx, NULL,
                            atn_ranks_is_quiet(&ranks) ? ATN_OK : run_word(&cx, word));
    if (atn_ranks_is_quiet(&ranks)) st = ATN_OK; /* rank 0 has message and exit code */
    code = finish(&cx, flush_data(&cx, st));
    atn_ranks_close(&cx, &ranks);
    return code;
}
