/* cli/ranks.c -- one command on several processes, see the header.
 *
 * Every rank but the first sends one letter, when it is done or has failed, and waits
 * for one answer: GO, then the notes are gathered, or END. END may come before the
 * letter is written: it stops the work. Nobody waits in a loop that keeps a processor
 * busy.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/ranks.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/said.h"
#ifdef ATN_MPI
#    include <mpi.h>
#endif

/* Above 0, of the first of these that holds one; 0 = none does. */
static int first_number(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *text = getenv(names[i]);

        if (text && atoi(text) > 0) return atoi(text);
    }
    return 0;
}

/* Open MPI and launchers of the PMI family say how many; of those of PMIx, which name a
 * process by its rank alone, Slurm has the number elsewhere. */
int atn_ranks_launched(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    static const char *const steps[] = {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"};
    int n = first_number(sizes, ATN_LEN(sizes));

    if (n > 0 || !getenv("PMIX_RANK")) return n;
    n = first_number(steps, ATN_LEN(steps));
    return n > 0 ? n : -1;
}

/* As the launcher says. */
static int launched_as(void)
{
    static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK",
                                        "PMIX_RANK"};

    return first_number(ranks, ATN_LEN(ranks));
}

bool atn_ranks_is_launchers(const char *word)
{
    static const char *const families[] = {"OMPI_", "PMI_", "PMIX_"};

    for (size_t i = 0; i < ATN_LEN(families); i++)
        if (strncmp(word, families[i], strlen(families[i])) == 0) return true;
    return false;
}

/* Why the command's work is done by one process; NULL = it can be shared out. */
static const char *one_piece(const atn_cli *cli)
{
    const char *why = atn_command_one_piece(cli);

    if (why) return why;
    if (cli->command->uses & ATN_USE_DRY && atn_opt_given(cli, "dry-run"))
        return "it does no work";
    return NULL;
}

/* Processors of this rank: those that the launcher bound it to, or its part of all. */
static int processors(const atn_ranks *r)
{
    const long all = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < all)
        return CPU_COUNT(&set);
    return (int)ATN_MAX(all / r->locals, 1);
}

static atn_status check_options(atn_cli *cli)
{
    if (cli->command->uses & ATN_USE_SHARD && atn_opt_given(cli, "shard"))
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: --shard is of one process, mpirun shares the work out "
                        "itself (leave one of the two out)",
                        cli->command->id);
    for (int i = 0; i < cli->n_rows; i++)
        if (strcmp(cli->rows[i]->name, "time-budget") == 0 && cli->values[i].given)
            return atn_fail(
                cli->cx, ATN_USAGE, __FILE__, __LINE__,
                "%s: --time-budget is of one process, ranks keep no finished heads "
                "(leave it out, or start --shard i/N without mpirun)",
                cli->command->id);
    return ATN_OK;
}

atn_status atn_ranks_share(atn_ranks *r, atn_cli *cli, atn_shard *s, bool *idle)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    const char *why;

    *idle = false;
    if (r->size == 1) return ATN_OK;
    cli->place = r->local;
    if (r->rank > 0) cx->log_level = ATN_MIN(cx->log_level, ATN_LOG_WARN);
    if (r->one_thread)
        cx->threads = 1;
    else if (!atn_opt_given(cli, "threads"))
        cx->threads = ATN_MIN(processors(r), cx->threads);
    ATN_TRY(check_options(cli));
    why = one_piece(cli);
    *idle = why && r->rank > 0;
    if (why) {
        atn_log(cx, ATN_LOG_DEBUG, "%s runs on rank 0 alone: %s", cli->command->id,
                why);
        return ATN_OK;
    }
    *s = (atn_shard){.index = r->rank, .count = r->size};
    cli->shard = s;
    cli->ranks = true;
done:
    return st;
}

#ifndef ATN_MPI

atn_status atn_ranks_open(atn_ctx *cx, atn_ranks *r)
{
    const int size = atn_ranks_launched();
    char times[32] = "";

    *r = (atn_ranks){.size = 1, .locals = 1};
    if (size == 0 || size == 1) return ATN_OK;
    r->rank = launched_as();
    if (size > 0) snprintf(times, sizeof times, "%d times ", size);
    return atn_fail(
        cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
        "started %sby an MPI launcher, but built without MPI (install "
        "mpi-default-dev and configure with -DATN_MPI=ON, or share work out "
        "with --shard i/N)",
        times);
}

void atn_ranks_close(atn_ctx *cx, atn_ranks *r)
{
    (void)cx;
    (void)r;
}

void atn_ranks_poll(atn_ranks *r)
{
    (void)r;
}

atn_status atn_ranks_meet(atn_ranks *r, atn_ctx *cx, atn_cli *cli, atn_status st)
{
    (void)r;
    (void)cx;
    (void)cli;
    return st;
}

#else

enum { TAG_LETTER = 1, TAG_ANSWER, WAIT_MICROSECONDS = 2000, BLOCK = 4096 };
enum { END, GO };

typedef struct letter {
    int status, told; /* told: it failed because it was stopped */
    long long size;   /* bytes of notes */
    char host[64], text[ATN_ERR_TEXT];
} letter;

typedef struct atn_ranks_mail {
    letter *from;         /* rank 0: [size] */
    MPI_Request *waiting; /* rank 0: [size] letters that have not come */
    MPI_Request coming;   /* others: the answer */
    int answer;
    bool told;  /* that another rank failed, while this one worked */
    bool ended; /* rank 0: the answer is sent */
    double looked;
} mail;

static void name_ranks(atn_ranks *r)
{
    char host[64] = "";
    MPI_Comm here;

    (void)gethostname(host, sizeof host - 1);
    snprintf(r->prefix, sizeof r->prefix, "[%d/%d %s] ", r->rank, r->size, host);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, r->rank, MPI_INFO_NULL,
                        &here);
    MPI_Comm_rank(here, &r->local);
    MPI_Comm_size(here, &r->locals);
    MPI_Comm_free(&here);
}

/* Letters and answers are asked for before any work. */
static atn_status open_mail(atn_ctx *cx, atn_ranks *r)
{
    atn_status st = ATN_OK;
    mail *m = NULL;

    ATN_NEW(m, 1);
    r->mail = m;
    if (r->rank > 0) {
        MPI_Irecv(&m->answer, 1, MPI_INT, 0, TAG_ANSWER, MPI_COMM_WORLD, &m->coming);
        return ATN_OK;
    }
    ATN_NEW(m->from, r->size);
    ATN_NEW(m->waiting, r->size);
    m->waiting[0] = MPI_REQUEST_NULL;
    for (int i = 1; i < r->size; i++)
        MPI_Irecv(&m->from[i], (int)sizeof(letter), MPI_BYTE, i, TAG_LETTER,
                  MPI_COMM_WORLD, &m->waiting[i]);
done:
    return st;
}

atn_status atn_ranks_open(atn_ctx *cx, atn_ranks *r)
{
    const int launched = atn_ranks_launched();
    int level;

    *r = (atn_ranks){.size = 1, .locals = 1};
    if (launched == 0) return ATN_OK;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &r->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &r->size);
    if (r->size == 1 && launched > 1) {
        r->rank = launched_as();
        return atn_fail(cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
                        "a launcher started this %d times, but MPI sees one process "
                        "alone (use the launcher of the MPI that this was built with, "
                        "or --shard i/N)",
                        launched);
    }
    if (r->size == 1) return ATN_OK;
    name_ranks(r);
    cx->log_prefix = r->prefix;
    r->one_thread = level < MPI_THREAD_FUNNELED;
    if (r->one_thread && r->rank == 0)
        atn_log(cx, ATN_LOG_WARN,
                "this MPI does not go with threads: every rank works with one");
    if (open_mail(cx, r) != ATN_OK)
        MPI_Abort(MPI_COMM_WORLD, atn_status_exit(ATN_MEMORY));
    return ATN_OK;
}

void atn_ranks_close(atn_ctx *cx, atn_ranks *r)
{
    int started = 0;

    if (r->mail) {
        atn_free(cx, r->mail->from);
        atn_free(cx, r->mail->waiting);
        atn_free(cx, r->mail);
    }
    r->mail = NULL;
    MPI_Initialized(&started);
    if (started) MPI_Finalize();
}

static void end_all(atn_ranks *r)
{
    const int answer = END;

    if (r->mail->ended) return;
    r->mail->ended = true;
    for (int i = 1; i < r->size; i++)
        MPI_Send(&answer, 1, MPI_INT, i, TAG_ANSWER, MPI_COMM_WORLD);
}

static bool has_failed(int status)
{
    return status != ATN_OK && status != ATN_PARTIAL;
}

/* Rank 0: letters that have come; how many have not. */
static int read_letters(atn_ranks *r)
{
    mail *m = r->mail;
    int left = 0;

    for (int i = 1; i < r->size; i++) {
        int there = 1;

        if (m->waiting[i] != MPI_REQUEST_NULL)
            MPI_Test(&m->waiting[i], &there, MPI_STATUS_IGNORE);
        left += !there;
        if (there && has_failed(m->from[i].status)) {
            m->told |= !m->ended;
            end_all(r);
            atn_cancel(SIGTERM);
        }
    }
    return left;
}

static bool has_answer(atn_ranks *r)
{
    int there = 1;

    if (r->mail->coming != MPI_REQUEST_NULL)
        MPI_Test(&r->mail->coming, &there, MPI_STATUS_IGNORE);
    return there;
}

void atn_ranks_poll(atn_ranks *r)
{
    const double now = atn_seconds();
    mail *m = r->mail;

    if (r->size == 1 || now - m->looked < 0.02) return;
    m->looked = now;
    if (r->rank == 0) {
        (void)read_letters(r);
    } else if (!m->told && has_answer(r)) {
        m->told = true;
        atn_cancel(SIGTERM);
    }
}

/* ---- the meeting ---- */

/* What rank 0 needs to tell of the end of a part. */
static void write_letter(const atn_ranks *r, const atn_ctx *cx, const atn_cli *cli,
                         atn_status st, letter *l)
{
    memset(l, 0, sizeof *l);
    l->status = (int)st;
    l->told = r->mail->told;
    l->size = cli && cli->shard ? (long long)cli->shard->notes.size : 0;
    (void)gethostname(l->host, sizeof l->host - 1);
    if (has_failed(l->status)) snprintf(l->text, sizeof l->text, "%s", cx->err.text);
}

static int blocks(long long size)
{
    return (int)((size + BLOCK - 1) / BLOCK);
}

/* Counts are int, so they are of blocks; notes are padded to whole ones. */
static atn_status gather(atn_ranks *r, atn_ctx *cx, atn_bytes *notes,
                         unsigned char **all, int *at)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool first = r->rank == 0;
    static const unsigned char zeros[BLOCK];
    const size_t odd = notes->size % BLOCK;
    MPI_Datatype block;
    atn_status st = ATN_OK;
    int *count = NULL;

    *all = NULL;
    if (odd > 0) ATN_TRY(atn_bytes_add(cx, notes, zeros, BLOCK - odd));
    if (first) {
        ATN_TAKE(count, r->size);
        at[0] = 0;
        for (int i = 0; i < r->size; i++) {
            count[i] = blocks(r->mail->from[i].size);
            at[i + 1] = at[i] + count[i];
        }
        *all = atn_alloc(cx, at[r->size], BLOCK);
        if (!*all) ATN_TRY(cx->err.code);
    }
    MPI_Type_contiguous(BLOCK, MPI_BYTE, &block);
    MPI_Type_commit(&block);
    MPI_Gatherv(notes->data, blocks((long long)notes->size), block, *all, count, at,
                block, 0, MPI_COMM_WORLD);
    MPI_Type_free(&block);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The others wait in the collective call, so that memory which is not there ends
 * all. */
static void gather_or_abort(atn_ranks *r, atn_ctx *cx, atn_bytes *notes,
                            unsigned char **all, int *at)
{
    const atn_status st = gather(r, cx, notes, all, at);

    if (st == ATN_OK) return;
    atn_log(cx, ATN_LOG_ERROR, "%s", cx->err.text);
    MPI_Abort(MPI_COMM_WORLD, atn_status_exit(st));
}

/* The error of the first rank that failed by itself. */
static atn_status adopt_failure(const atn_ranks *r, atn_ctx *cx)
{
    const letter *l = r->mail->from;
    int of = 0;

    while (of < r->size && (!has_failed(l[of].status) || l[of].told)) of++;
    if (of == r->size) return ATN_OK;
    atn_err_clear(cx);
    return atn_fail(cx, (atn_status)l[of].status, __FILE__, __LINE__,
                    of > 0 ? "%s (rank %d on %s)" : "%s", l[of].text, of, l[of].host);
}

/* Rank 0 runs the command with what all found. */
static atn_status merge(atn_ranks *r, atn_ctx *cx, atn_cli *cli)
{
    const int go = GO;
    atn_shard all = {.count = r->size, .merges = true}, *own = cli->shard;
    unsigned char *bytes = NULL;
    atn_bytes *given = NULL;
    atn_status st = ATN_OK;
    int *at = NULL;

    ATN_NEW(given, r->size);
    ATN_NEW(at, r->size + 1);
    r->mail->ended = true;
    for (int i = 1; i < r->size; i++)
        MPI_Send(&go, 1, MPI_INT, i, TAG_ANSWER, MPI_COMM_WORLD);
    gather_or_abort(r, cx, &own->notes, &bytes, at);
    for (int i = 0; i < r->size; i++)
        given[i] = (atn_bytes){bytes + (size_t)at[i] * BLOCK,
                               (size_t)r->mail->from[i].size, 0};
    all.given = given;
    cli->shard = &all;
    cx->log_level = cli->said->level;
    st = atn_said_replay(cx, &all);
    if (st == ATN_OK) st = cli->command->run(cli);
    cli->shard = own;
done:
    atn_free(cx, given);
    atn_free(cx, at);
    atn_free(cx, bytes);
    return st;
}

static atn_status meet_first(atn_ranks *r, atn_ctx *cx, atn_cli *cli, atn_status st)
{
    atn_status failed;

    if (has_failed((int)st)) end_all(r);
    while (read_letters(r) > 0) (void)usleep(WAIT_MICROSECONDS);
    write_letter(r, cx, cli, st, &r->mail->from[0]);
    failed = adopt_failure(r, cx);
    if (failed == ATN_OK && cli && cli->shard) {
        atn_err_clear(cx);
        st = merge(r, cx, cli);
    } else if (failed != ATN_OK) {
        st = failed;
    }
    end_all(r);
    return st;
}

atn_status atn_ranks_meet(atn_ranks *r, atn_ctx *cx, atn_cli *cli, atn_status st)
{
    unsigned char *none;
    letter l;

    if (r->size == 1) return st;
    if (r->rank == 0) return meet_first(r, cx, cli, st);
    write_letter(r, cx, cli, st, &l);
    MPI_Send(&l, (int)sizeof l, MPI_BYTE, 0, TAG_LETTER, MPI_COMM_WORLD);
    while (!has_answer(r)) (void)usleep(WAIT_MICROSECONDS);
    /* its reasons; what others had to warn of is lost with their work */
    if (cli && cli->said && has_failed(l.status) && !l.told) atn_said_tell(cli->said);
    if (r->mail->answer == GO && cli && cli->shard)
        gather_or_abort(r, cx, &cli->shard->notes, &none, NULL);
    atn_err_clear(cx);
    return ATN_OK; /* rank 0 has the message and the exit code */
}

#endif
