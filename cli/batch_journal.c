/* cli/batch_journal.c -- what became of the jobs of a batch, line by line on disk.
 *
 * A line is a JSON object with sorted keys whose "sum" is the XXH3-128 of the line
 * without it. Lines are only added; the last one of a job that fits what is there
 * counts. Children inherit the open files and with them the locks: while one of them is
 * at work, though its parent was killed, no other batch begins in the folder.
 * journal.jsonl is the lock of the folder, which shares of one batch hold together.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/batch.h"
#include "core/io/file.h"

static const size_t JOURNAL_MAX_BYTES = (size_t)1 << 30;

/* Sets "sum", and *text to the line without its end. entry may have a sum already. */
static atn_status seal(atn_ctx *cx, json_t *entry, char **text)
{
    atn_status st = ATN_OK;
    char hex[33];

    *text = NULL;
    json_object_del(entry, "sum");
    *text = atn_json_text(cx, entry);
    if (!*text) ATN_TRY(cx->err.code);
    atn_hash_bytes(*text, strlen(*text), hex);
    atn_free(cx, *text);
    *text = NULL;
    if (json_object_set_new(entry, "sum", json_string(hex)) != 0)
        ATN_FAIL(ATN_MEMORY, "no memory for the journal");
    *text = atn_json_text(cx, entry);
    if (!*text) ATN_TRY(cx->err.code);
done:
    return st;
}

/* ---- reading ---- */

static void note_entry(atn_batch_journal *j, const char *id, json_t *entry)
{
    json_t *list = json_object_get(j->found, id);

    if (!list) {
        list = json_array();
        (void)json_object_set_new(j->found, id, list);
    }
    (void)json_array_append(list, entry);
}

/* Takes the entry of a good line over; false = the line is damaged. */
static bool read_line(atn_ctx *cx, atn_batch_journal *j, const char *line, size_t n)
{
    json_t *entry = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    char *again = NULL;
    bool good = false;
    const char *id, *plan;
    json_t *tables;

    if (json_is_object(entry) && seal(cx, entry, &again) == ATN_OK)
        good = strlen(again) == n && memcmp(again, line, n) == 0;
    atn_err_clear(cx);
    id = json_string_value(json_object_get(entry, "job"));
    plan = json_string_value(json_object_get(entry, "plan"));
    tables = json_object_get(entry, "tables");
    if (good && id)
        note_entry(j, id, entry);
    else if (good && json_is_array(tables)) {
        json_decref(j->tables);
        j->tables = json_incref(tables);
    } else if (good && plan)
        snprintf(j->plan, sizeof j->plan, "%s", plan);
    atn_free(cx, again);
    json_decref(entry);
    return good;
}

static atn_status read_one(atn_ctx *cx, atn_batch_journal *j, const char *path,
                           bool *open_end)
{
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;
    int damaged = 0;

    *open_end = false;
    ATN_TRY(atn_file_read(cx, path, JOURNAL_MAX_BYTES, &text, &size));
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t n = end ? (size_t)(end - text) - at : size - at;

        *open_end = !end;
        if (n > 0) damaged += !read_line(cx, j, text + at, n);
        at += n + 1;
    }
    if (damaged)
        atn_log(cx, ATN_LOG_WARN,
                "%s: %d %s damaged and passed over (a job without one runs again)",
                path, damaged, damaged == 1 ? "line is" : "lines are");
done:
    atn_free(cx, text);
    return st;
}

bool atn_batch_journal_is(const char *name)
{
    return strncmp(name, "journal", 7) == 0 && atn_ends_with(name, ".jsonl");
}

static int is_journal(const struct dirent *e)
{
    return atn_batch_journal_is(e->d_name);
}

/* Those of shares, and then our own. */
static atn_status read_all(atn_ctx *cx, const char *out, const char *name,
                           atn_batch_journal *j, bool *open_end)
{
    struct dirent **entries = NULL;
    atn_status st = ATN_OK;
    char *path = NULL;
    int n;

    n = scandir(out, &entries, is_journal, alphasort);
    for (int i = 0; i < n; i++) {
        if (strcmp(entries[i]->d_name, name) == 0) continue;
        path = atn_path_join(cx, out, entries[i]->d_name);
        if (!path) ATN_TRY(cx->err.code);
        ATN_TRY(read_one(cx, j, path, open_end));
        atn_free(cx, path);
        path = NULL;
    }
    ATN_TRY(read_one(cx, j, j->path, open_end));
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, path);
    return st;
}

/* ---- writing ---- */

static atn_status write_all(atn_ctx *cx, const atn_batch_journal *j, const char *text,
                            size_t n)
{
    while (n > 0) {
        const ssize_t done = write(j->fd, text, n);

        if (done < 0 && errno == EINTR) continue;
        if (done <= 0)
            return atn_fail(cx, ATN_IO, __FILE__, __LINE__, "%s: cannot be written: %s",
                            j->path, strerror(errno));
        text += done;
        n -= (size_t)done;
    }
    return ATN_OK;
}

atn_status atn_batch_journal_add(atn_ctx *cx, atn_batch_journal *j, json_t *entry)
{
    atn_status st = ATN_OK;
    char *text = NULL, *line = NULL;

    if (!entry) ATN_FAIL(ATN_MEMORY, "no memory for the journal");
    ATN_TRY(seal(cx, entry, &text));
    line = atn_strfmt(cx, "%s\n", text);
    if (!line) ATN_TRY(cx->err.code);
    ATN_TRY(write_all(cx, j, line, strlen(line)));
    (void)fdatasync(j->fd);
done:
    atn_free(cx, text);
    atn_free(cx, line);
    json_decref(entry);
    return st;
}

atn_status atn_batch_journal_job(atn_ctx *cx, atn_batch_journal *j,
                                 const atn_batch_job *job)
{
    return atn_batch_journal_add(
        cx, j,
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:s, s:O}", "schema",
                  "attnscope/batch_journal/1", "job", job->id, "fingerprint",
                  job->fingerprint, "status", atn_batch_state_name(job->state), "exit",
                  job->exit_code, "time_s", job->seconds, "message", job->message,
                  "outputs", job->outputs));
}

atn_status atn_batch_journal_tables(atn_ctx *cx, atn_batch_journal *j, json_t *tables)
{
    return atn_batch_journal_add(cx, j,
                                 json_pack("{s:s, s:O}", "schema",
                                           "attnscope/batch_journal/1", "tables",
                                           tables));
}

/* Without O_CLOEXEC: children hold the lock. */
static atn_status open_locked(atn_ctx *cx, const char *out, const char *path, int how,
                              int *fd)
{
    atn_status st = ATN_OK;

    *fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0666);
    if (*fd < 0)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(*fd, how | LOCK_NB) != 0)
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: another batch, or a job of one that was killed, is at work here "
                 "(wait for it, or choose another -o)",
                 out);
done:
    return st;
}

atn_status atn_batch_journal_open(atn_ctx *cx, const char *out, const char *name,
                                  bool resume, atn_batch_journal *j)
{
    const bool share = strcmp(name, "journal.jsonl") != 0;
    atn_status st = ATN_OK;
    bool open_end = false;
    char *all = NULL;

    *j = (atn_batch_journal){.fd = -1, .all = -1};
    j->path = atn_path_join(cx, out, name);
    all = atn_path_join(cx, out, "journal.jsonl");
    j->found = json_object();
    if (!j->path || !all || !j->found)
        ATN_FAIL(ATN_MEMORY, "no memory for the journal");
    if (share) ATN_TRY(open_locked(cx, out, all, LOCK_SH, &j->all));
    ATN_TRY(open_locked(cx, out, j->path, LOCK_EX, &j->fd));
    ATN_TRY(read_all(cx, out, name, j, &open_end));
    if (!resume) {
        json_object_clear(j->found);
        j->plan[0] = '\0';
        open_end = false;
        if (ftruncate(j->fd, 0) != 0)
            ATN_FAIL(ATN_IO, "%s: %s", j->path, strerror(errno));
        if (j->tables) ATN_TRY(atn_batch_journal_tables(cx, j, j->tables));
    }
    if (open_end) ATN_TRY(write_all(cx, j, "\n", 1));
done:
    atn_free(cx, all);
    return st;
}

void atn_batch_journal_close(atn_ctx *cx, atn_batch_journal *j)
{
    if (j->fd >= 0) close(j->fd);
    if (j->all >= 0) close(j->all);
    json_decref(j->found);
    json_decref(j->tables);
    atn_free(cx, j->path);
    *j = (atn_batch_journal){.fd = -1, .all = -1};
}

/* ---- looking up ---- */

/* Does every output of the entry stand there as it was? Only sizes of what has no
 * hash. */
static bool same_outputs(const json_t *then, const json_t *now)
{
    return json_is_array(then) && json_equal(then, now);
}

static atn_batch_state state_of(const char *name)
{
    for (int s = ATN_BATCH_DONE; s < ATN_BATCH_STATES; s++)
        if (name && strcmp(atn_batch_state_name((atn_batch_state)s), name) == 0)
            return (atn_batch_state)s;
    return ATN_BATCH_WAITS;
}

/* Takes the entry over where it fits what is there. */
static bool take_entry(const json_t *entry, atn_batch_job *job)
{
    const char *fingerprint = json_string_value(json_object_get(entry, "fingerprint"));
    const char *message = json_string_value(json_object_get(entry, "message"));
    const atn_batch_state s =
        state_of(json_string_value(json_object_get(entry, "status")));

    if (!fingerprint || strcmp(fingerprint, job->fingerprint) != 0) return false;
    if (s != ATN_BATCH_DONE && s != ATN_BATCH_CHECK && s != ATN_BATCH_PARTIAL)
        return false;
    if (!same_outputs(json_object_get(entry, "outputs"), job->outputs)) return false;
    job->state = s;
    job->kept = true;
    job->exit_code = (int)json_integer_value(json_object_get(entry, "exit"));
    job->seconds = json_number_value(json_object_get(entry, "time_s"));
    snprintf(job->message, sizeof job->message, "%s", message ? message : "");
    return true;
}

bool atn_batch_journal_find(const atn_batch *b, atn_batch_job *job)
{
    const json_t *entries = json_object_get(b->journal.found, job->id);

    for (size_t i = json_array_size(entries); i-- > 0;)
        if (take_entry(json_array_get(entries, i), job)) return true;
    return false;
}
