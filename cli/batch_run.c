/* cli/batch_run.c -- the jobs of a batch as child processes of the program itself.
 *
 * Children are a process group each, so that Ctrl-C reaches them once, through us; they
 * read nothing and write to the log of their job. A capture runs before its commands;
 * jobs that are ready start in the order of the plan, whatever becomes of others.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/batch.h"
#include "cli/ranks.h"
#include "core/io/file.h"
#include "core/shard.h"

extern char **environ;

/* ---- one process ---- */

/* The environment without what says that a launcher of MPI started this process: it did
 * not start the children. Words are borrowed. */
static char **environment(atn_ctx *cx)
{
    int n = 0, kept = 0;
    char **out;

    while (environ[n]) n++;
    out = atn_alloc(cx, n + 1, sizeof *out);
    for (int i = 0; out && i < n; i++)
        if (!atn_ranks_is_launchers(environ[i])) out[kept++] = environ[i];
    return out;
}

/* Input from nowhere, stdout and stderr to fd or, where it is -1, to the file log. */
static int set_files(posix_spawn_file_actions_t *f, int fd, const char *log)
{
    int bad = posix_spawn_file_actions_addopen(f, 0, "/dev/null", O_RDONLY, 0);

    if (!bad && fd >= 0) bad = posix_spawn_file_actions_adddup2(f, fd, 1);
    if (!bad && fd < 0)
        bad = posix_spawn_file_actions_addopen(f, 1, log, O_WRONLY | O_CREAT | O_TRUNC,
                                               0666);
    return bad ? bad : posix_spawn_file_actions_adddup2(f, 1, 2);
}

static int set_signals(posix_spawnattr_t *a)
{
    sigset_t none, ours;
    int bad;

    sigemptyset(&none);
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    bad = posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                          POSIX_SPAWN_SETSIGMASK);
    if (!bad) bad = posix_spawnattr_setpgroup(a, 0);
    if (!bad) bad = posix_spawnattr_setsigdefault(a, &ours);
    return bad ? bad : posix_spawnattr_setsigmask(a, &none);
}

static atn_status spawn(atn_ctx *cx, char **words, int fd, const char *log, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    char **env = environment(cx);
    atn_status st = ATN_OK;
    int bad;

    if (!env) return cx->err.code;
    bad = posix_spawn_file_actions_init(&files);
    if (bad) goto no_files;
    bad = posix_spawnattr_init(&attributes);
    if (bad) goto no_attributes;
    bad = set_files(&files, fd, log);
    if (!bad) bad = set_signals(&attributes);
    if (!bad) bad = posix_spawn(pid, "/proc/self/exe", &files, &attributes, words, env);
    posix_spawnattr_destroy(&attributes);
no_attributes:
    posix_spawn_file_actions_destroy(&files);
no_files:
    if (bad)
        st = atn_fail(cx, ATN_OS, __FILE__, __LINE__,
                      "%s: a process for it cannot be started: %s", log, strerror(bad));
    atn_free(cx, env);
    return st;
}

static char *log_path(atn_ctx *cx, const atn_batch *b, const atn_batch_job *job)
{
    return atn_strfmt(cx, "%s/%s.log", job->dir,
                      job->command < 0 ? "capture"
                                       : b->plan.commands[job->command].name);
}

/* The last line that is not blank, without the program's name, control characters or
 * what is no UTF-8. */
static void last_line(const char *text, size_t size, char out[ATN_BATCH_MESSAGE])
{
    static const char prefix[] = "attnscope: error: ";
    size_t end = size, start, n, bad;

    while (end > 0 && (unsigned char)text[end - 1] <= ' ') end--;
    for (start = end; start > 0 && text[start - 1] != '\n'; start--) continue;
    if (end - start >= sizeof prefix &&
        memcmp(text + start, prefix, sizeof prefix - 1) == 0)
        start += sizeof prefix - 1;
    n = ATN_MIN(end - start, (size_t)ATN_BATCH_MESSAGE - 1);
    memcpy(out, text + start, n);
    out[n] = '\0';
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
    if (!atn_utf8_valid(out, n, &bad))
        for (char *c = out; *c; c++)
            if ((unsigned char)*c >= 0x80) *c = '?';
}

static void read_message(const char *path, char out[ATN_BATCH_MESSAGE])
{
    FILE *in = fopen(path, "rb");
    char tail[4096];
    size_t n = 0;

    out[0] = '\0';
    if (!in) return;
    if (fseek(in, -(long)sizeof tail, SEEK_END) != 0) rewind(in);
    n = fread(tail, 1, sizeof tail, in);
    fclose(in);
    last_line(tail, n, out);
}

/* What ended the process goes in front of what it said last. */
static void name_signal(int number, char message[ATN_BATCH_MESSAGE])
{
    static const struct {
        int number;
        const char *name;
    } known[] = {{SIGKILL, "SIGKILL; memory may have run out"},
                 {SIGSEGV, "SIGSEGV"},
                 {SIGBUS, "SIGBUS; a file may have been cut short"},
                 {SIGABRT, "SIGABRT"},
                 {SIGFPE, "SIGFPE"},
                 {SIGILL, "SIGILL"},
                 {SIGINT, "SIGINT"},
                 {SIGTERM, "SIGTERM"},
                 {SIGXCPU, "SIGXCPU; its time was limited"}};
    const char *name = NULL;
    char said[ATN_BATCH_MESSAGE];
    size_t n = 160; /* bytes of it, cut between characters */

    if (!number) return;
    memcpy(said, message, sizeof said);
    while (n > 0 && ((unsigned char)said[n] & 0xc0) == 0x80) n--;
    if (strlen(said) > n) said[n] = '\0';
    for (size_t i = 0; i < ATN_LEN(known); i++)
        if (known[i].number == number) name = known[i].name;
    snprintf(message, ATN_BATCH_MESSAGE, "killed by signal %d%s%s%s%s%.160s", number,
             name ? " (" : "", name ? name : "", name ? ")" : "", *said ? ": " : "",
             said);
}

/* ---- jobs ---- */

typedef struct running {
    atn_batch *b;
    int done;    /* ended, of all */
    int working; /* processes */
} running;

/* Its inputs are there, and no process has it. */
static bool is_ready(const atn_batch *b, const atn_batch_job *job)
{
    return job->state == ATN_BATCH_WAITS &&
           (job->command < 0 || b->jobs[job->capture].state == ATN_BATCH_DONE);
}

/* Marks the commands of a capture that there is not; what they gave of an earlier one
 * goes. */
static atn_status drop_commands(running *r, const atn_batch_job *capture)
{
    atn_ctx *cx = r->b->cli->cx;
    atn_status st = ATN_OK;

    for (int i = 0; i < r->b->n_jobs; i++) {
        atn_batch_job *job = &r->b->jobs[i];

        if (&r->b->jobs[job->capture] != capture || job == capture) continue;
        job->state = ATN_BATCH_NOT_RUN;
        snprintf(job->message, sizeof job->message, "its capture failed");
        r->done++;
        ATN_TRY(atn_batch_clear(r->b, job));
    }
done:
    return st;
}

static void say(running *r, const atn_batch_job *job)
{
    const bool good = job->state == ATN_BATCH_DONE;
    atn_ctx *cx = r->b->cli->cx;

    atn_cli_clear_meter(r->b->cli);
    if (good)
        atn_log(cx, ATN_LOG_INFO, "%d of %d: %s, %.3g s", r->done, r->b->n_jobs,
                job->id, job->seconds);
    else
        atn_log(cx, ATN_LOG_WARN, "%d of %d: %s: %s with exit code %d: %s", r->done,
                r->b->n_jobs, job->id, atn_batch_state_name(job->state), job->exit_code,
                job->message);
}

/* Its files, its line in the journal, and what that means for others. */
static atn_status conclude(running *r, atn_batch_job *job, bool stopping)
{
    const int code = job->exit_code;
    atn_ctx *cx = r->b->cli->cx;
    atn_status st = ATN_OK;
    char *log = NULL, before[33];

    memcpy(before, job->result_hash, sizeof before);
    job->state = code == 0                        ? ATN_BATCH_DONE
                 : code == 1 && job->command >= 0 ? ATN_BATCH_CHECK
                 : code == 3 && job->command >= 0 ? ATN_BATCH_PARTIAL
                 : stopping                       ? ATN_BATCH_STOPPED
                                                  : ATN_BATCH_FAILED;
    log = log_path(cx, r->b, job);
    if (!log) ATN_TRY(cx->err.code);
    if (code != 0) read_message(log, job->message);
    name_signal(job->killed_by, job->message);
    ATN_TRY(atn_batch_outputs(r->b, job));
    if (job->state == ATN_BATCH_FAILED && job->command < 0)
        ATN_TRY(atn_batch_clear_capture(r->b, job, before));
    if (job->state == ATN_BATCH_FAILED) ATN_TRY(atn_batch_no_outputs(cx, job));
    ATN_TRY(atn_batch_journal_job(cx, &r->b->journal, job));
    if (job->state == ATN_BATCH_STOPPED) goto done;
    r->done++;
    say(r, job);
    if (job->command < 0 && code != 0) ATN_TRY(drop_commands(r, job));
done:
    atn_free(cx, log);
    return st;
}

static atn_status start(running *r, atn_batch_job *job)
{
    atn_batch *b = r->b;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char **words = NULL, *log = NULL;

    ATN_TRY(atn_dir_make(cx, job->dir));
    ATN_TRY(atn_batch_clear(b, job));
    log = log_path(cx, b, job);
    if (!log) ATN_TRY(cx->err.code);
    ATN_TRY(atn_batch_words(b, job, true, &words));
    ATN_TRY(spawn(cx, words, -1, log, &job->pid));
    job->started = atn_seconds();
    job->state = ATN_BATCH_RUNS;
    job->message[0] = '\0';
    r->working++;
done:
    atn_batch_words_free(cx, words);
    atn_free(cx, log);
    return st;
}

/* Is there something of an earlier run, where the job writes? */
static bool has_left(const atn_batch *b, const atn_batch_job *job)
{
    const bool writes = job->command < 0 || b->plan.commands[job->command].writes;

    return !writes || json_array_size(job->outputs) > 0;
}

/* Starts it, unless an earlier run has left what it would make. */
static atn_status begin(running *r, atn_batch_job *job)
{
    atn_ctx *cx = r->b->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_batch_fingerprint(r->b, job));
    ATN_TRY(atn_batch_outputs(r->b, job));
    if (has_left(r->b, job) && atn_batch_journal_find(r->b, job)) {
        r->done++;
        return ATN_OK;
    }
    ATN_TRY(start(r, job));
done:
    return st;
}

static atn_status begin_ready(running *r)
{
    atn_batch *b = r->b;
    atn_status st = ATN_OK;

    for (int i = 0; st == ATN_OK && i < b->n_jobs && r->working < b->processes; i++)
        if (is_ready(b, &b->jobs[i])) st = begin(r, &b->jobs[i]);
    return st;
}

/* Concludes every job whose process has ended. The first error is returned, the others
 * are concluded all the same. */
static atn_status collect(running *r, bool stopping)
{
    atn_status first = ATN_OK;

    for (int i = 0; i < r->b->n_jobs && r->working > 0; i++) {
        atn_batch_job *job = &r->b->jobs[i];
        atn_status st;
        int how;

        if (job->state != ATN_BATCH_RUNS || waitpid(job->pid, &how, WNOHANG) == 0)
            continue;
        r->working--;
        job->seconds = atn_seconds() - job->started;
        job->killed_by = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
        job->exit_code = WIFEXITED(how)     ? WEXITSTATUS(how)
                         : WIFSIGNALED(how) ? 128 + WTERMSIG(how)
                                            : 2;
        st = conclude(r, job, stopping);
        if (first == ATN_OK) first = st;
    }
    return first;
}

static void pause_a_little(void)
{
    const struct timespec t = {0, 5000000};

    (void)nanosleep(&t, NULL);
}

/* Tells the children, and waits for them. */
static void stop_all(running *r, int signal_number)
{
    for (int i = 0; i < r->b->n_jobs; i++)
        if (r->b->jobs[i].state == ATN_BATCH_RUNS)
            (void)kill(r->b->jobs[i].pid, signal_number);
    while (r->working > 0) {
        (void)collect(r, true);
        pause_a_little();
    }
}

atn_status atn_batch_run(atn_batch *b)
{
    running r = {.b = b};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;

    while (r.done < b->n_jobs || r.working > 0) {
        ATN_TRY(atn_progress(cx, "jobs", r.done, b->n_jobs));
        ATN_TRY(begin_ready(&r));
        if (r.working > 0) pause_a_little();
        ATN_TRY(collect(&r, false));
    }
done:
    if (r.working > 0) {
        const atn_err why = cx->err;

        stop_all(&r, st == ATN_INTERRUPTED ? SIGINT : SIGTERM);
        cx->err = why;
    }
    if (st == ATN_INTERRUPTED || st == ATN_TERMINATED)
        atn_log(cx, ATN_LOG_INFO, "%d of %d jobs are done; --resume does the others",
                r.done, b->n_jobs);
    return st;
}

/* ---- asking what a capture would take ---- */

static atn_status read_pipe(atn_ctx *cx, int fd, atn_bytes *out)
{
    atn_status st = ATN_OK;
    char piece[4096];
    ssize_t n;

    while ((n = read(fd, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) ATN_FAIL(ATN_IO, "batch: a child's words: %s", strerror(errno));
        ATN_TRY(atn_bytes_add(cx, out, piece, (size_t)n));
    }
    ATN_TRY(atn_bytes_add(cx, out, "", 1));
done:
    return st;
}

/* The words of the capture, with --dry-run among the options. */
static atn_status asking_words(atn_batch *b, const atn_batch_job *job, char ***out)
{
    static const char *const more[] = {"--dry-run", "--format=csv", "--quiet"};
    const int n_more = (int)ATN_LEN(more);
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char **words = NULL;
    int n = 0;

    *out = NULL;
    ATN_TRY(atn_batch_words(b, job, true, &words));
    while (words[n]) n++;
    ATN_NEW(*out, n + n_more + 1);
    for (int i = 0; i < 2; i++) (*out)[i] = words[i];
    for (int i = 2; i < n; i++) (*out)[i + n_more] = words[i];
    for (int i = 0; i < n; i++) words[i] = NULL;
    for (int i = 0; i < n_more; i++) {
        (*out)[2 + i] = atn_strdup(cx, more[i]);
        if (!(*out)[2 + i]) ATN_TRY(cx->err.code);
    }
done:
    atn_batch_words_free(cx, words);
    return st;
}

atn_status atn_batch_ask(atn_batch *b, atn_batch_job *job, char **csv)
{
    int ends[2] = {-1, -1}, how = 0;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char **words = NULL;
    atn_bytes said = {0};
    pid_t pid = -1;

    *csv = NULL;
    ATN_TRY(asking_words(b, job, &words));
    if (pipe2(ends, O_CLOEXEC) != 0) ATN_FAIL(ATN_OS, "batch: %s", strerror(errno));
    ATN_TRY(spawn(cx, words, ends[1], job->id, &pid));
    close(ends[1]);
    ends[1] = -1;
    st = read_pipe(cx, ends[0], &said);
    if (st != ATN_OK) (void)kill(pid, SIGTERM);
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) continue;
    if (st != ATN_OK) goto done;
    if (how == 0)
        *csv = atn_strdup(cx, (const char *)said.data);
    else
        last_line((const char *)said.data, said.size - 1, job->message);
    if (how == 0 && !*csv) ATN_TRY(cx->err.code);
done:
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
    atn_batch_words_free(cx, words);
    atn_bytes_release(cx, &said);
    return st;
}
