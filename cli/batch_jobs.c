/* cli/batch_jobs.c -- the jobs of a plan: command lines, fingerprints, files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/batch.h"
#include "core/io/file.h"
#include "core/shard.h"

static const char run_name[] = "run", capture_name[] = "capture";
/* Of larger files the head is hashed, as in a run record. */
static const size_t HASH_WHOLE_BELOW = (size_t)64 << 20;

const char *atn_batch_state_name(atn_batch_state s)
{
    static const char *const names[ATN_BATCH_STATES] = {"waiting", "running", "done",
                                                        "check",   "partial", "failed",
                                                        "not_run", "stopped"};

    return names[s];
}

/* ---- the list ---- */

static atn_status add_job(atn_ctx *cx, atn_batch *b, int m, int t, int c, int capture)
{
    const char *model = b->plan.models[m].name, *text = b->plan.texts[t].name;
    const char *name = c < 0 ? capture_name : b->plan.commands[c].name;
    atn_batch_job *job = &b->jobs[b->n_jobs++];
    atn_status st = ATN_OK;

    *job = (atn_batch_job){.model = m, .text = t, .command = c, .capture = capture};
    job->id = atn_strfmt(cx, "%s/%s/%s", model, text, name);
    job->dir = atn_strfmt(cx, "%s/%s/%s", b->out, model, text);
    job->base =
        atn_strfmt(cx, "%s/%s/%s/%s", b->out, model, text, c < 0 ? run_name : name);
    if (!job->id || !job->dir || !job->base) ATN_TRY(cx->err.code);
done:
    return st;
}

atn_status atn_batch_list(atn_ctx *cx, atn_batch *b)
{
    const atn_batch_plan *p = &b->plan;
    atn_status st = ATN_OK;
    long seen = 0;

    ATN_NEW(b->jobs, (atn_idx)p->n_models * p->n_texts * (p->n_commands + 1));
    for (int m = 0; m < p->n_models; m++)
        for (int t = 0; t < p->n_texts; t++) {
            const char *model = p->models[m].name, *text = p->texts[t].name;
            const int capture = b->n_jobs;

            if (atn_batch_skips(p, model, text, NULL)) continue;
            if (b->shares && seen++ % b->shares != b->share) continue;
            ATN_TRY(add_job(cx, b, m, t, -1, capture));
            b->n_captures++;
            for (int c = 0; c < p->n_commands; c++)
                if (!atn_batch_skips(p, model, text, p->commands[c].name))
                    ATN_TRY(add_job(cx, b, m, t, c, capture));
        }
    if (b->n_jobs == 0 && seen == 0)
        ATN_FAIL(ATN_DATA, "%s: \"skip\" leaves nothing to do", p->path);
done:
    return st;
}

/* ---- command lines ---- */

typedef struct word_list {
    atn_ctx *cx;
    char **words;
    int n, room;
} word_list;

/* Takes `word` over; NULL = memory is out. */
static atn_status take_word(word_list *l, char *word)
{
    atn_ctx *cx = l->cx;
    char **grown;

    if (!word) return cx->err.code;
    if (l->n + 1 >= l->room) {
        grown = atn_realloc(cx, l->words, 2 * l->room + 16, sizeof *grown);
        if (!grown) {
            atn_free(cx, word);
            return cx->err.code;
        }
        l->words = grown;
        l->room = 2 * l->room + 16;
    }
    l->words[l->n++] = word;
    l->words[l->n] = NULL;
    return ATN_OK;
}

static atn_status add_words(word_list *l, const json_t *words, size_t from,
                            const atn_batch_place *at)
{
    atn_ctx *cx = l->cx;
    atn_status st = ATN_OK;
    char *word = NULL;

    for (size_t i = from; i < json_array_size(words); i++) {
        const char *text = json_string_value(json_array_get(words, i));

        if (at)
            ATN_TRY(atn_batch_fill(cx, text, at, &word));
        else
            word = atn_strdup(cx, text);
        ATN_TRY(take_word(l, word));
        word = NULL;
    }
done:
    return st;
}

/* What does not change a result, and the seed. */
static atn_status add_general(const atn_batch *b, word_list *l, bool how)
{
    atn_ctx *cx = l->cx;
    atn_status st = ATN_OK;

    if (how) ATN_TRY(take_word(l, atn_strfmt(cx, "--threads=%d", b->threads)));
    if (how && b->mem_limit)
        ATN_TRY(take_word(l, atn_strfmt(cx, "--mem-limit=%zu", b->mem_limit)));
    if (atn_opt_given(b->cli, "seed"))
        ATN_TRY(
            take_word(l, atn_strfmt(cx, "--seed=%lld", (long long)b->cli->cx->seed)));
done:
    return st;
}

static atn_status capture_words(const atn_batch *b, const atn_batch_job *job,
                                word_list *l)
{
    const atn_batch_model *m = &b->plan.models[job->model];
    const atn_batch_text *t = &b->plan.texts[job->text];
    atn_ctx *cx = l->cx;
    atn_status st = ATN_OK;

    ATN_TRY(take_word(l, atn_strfmt(cx, "--output=%s", job->base)));
    ATN_TRY(take_word(l, atn_strdup(cx, "--force")));
    for (int i = 0; i < t->n_files; i++)
        ATN_TRY(take_word(
            l, atn_strfmt(cx, "--%s=%s", t->files[i].option, t->files[i].path)));
    ATN_TRY(add_words(l, b->plan.capture, 0, NULL));
    ATN_TRY(add_words(l, m->capture, 0, NULL));
    ATN_TRY(add_words(l, t->capture, 0, NULL));
    ATN_TRY(take_word(l, atn_strdup(cx, "--")));
    ATN_TRY(take_word(l, atn_strdup(cx, m->path)));
done:
    return st;
}

static atn_status command_words(const atn_batch *b, const atn_batch_job *job,
                                word_list *l)
{
    const atn_batch_command *c = &b->plan.commands[job->command];
    const atn_batch_place at = {.run = b->jobs[job->capture].base,
                                .out = job->base,
                                .model = b->plan.models[job->model].path,
                                .text = b->plan.texts[job->text].files[0].path,
                                .plan = b->plan.dir};
    atn_ctx *cx = l->cx;
    atn_status st = ATN_OK;

    if (c->forces) ATN_TRY(take_word(l, atn_strdup(cx, "--force")));
    if (c->adds_table)
        ATN_TRY(take_word(l, atn_strfmt(cx, "--output=%s.csv", job->base)));
    ATN_TRY(add_words(l, c->words, 1, &at));
done:
    return st;
}

atn_status atn_batch_words(atn_batch *b, const atn_batch_job *job, bool how,
                           char ***out)
{
    const bool capture = job->command < 0;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    word_list l = {.cx = cx};

    ATN_TRY(take_word(&l, atn_strdup(cx, "attnscope")));
    ATN_TRY(take_word(
        &l, atn_strdup(cx, capture ? capture_name
                                   : b->plan.commands[job->command].command->id)));
    ATN_TRY(add_general(b, &l, how));
    ATN_TRY(capture ? capture_words(b, job, &l) : command_words(b, job, &l));
done:
    *out = l.words;
    if (st != ATN_OK) {
        atn_batch_words_free(cx, l.words);
        *out = NULL;
    }
    return st;
}

void atn_batch_words_free(atn_ctx *cx, char **words)
{
    for (char **w = words; w && *w; w++) atn_free(cx, *w);
    atn_free(cx, words);
}

/* ---- hashes of inputs ---- */

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static bool is_regular(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* Adds name, size and hash of a file, or of all files of a folder in order of their
 * names, to b; of what cannot be read there the name. */
static atn_status add_path(atn_ctx *cx, atn_bytes *b, const char *path, int depth)
{
    struct dirent **entries = NULL;
    atn_status st = ATN_OK;
    char hex[33] = "", *inner = NULL;
    atn_map map = {0};
    int n = 0;

    if (!atn_dir_exists(path)) {
        ATN_TRY(atn_map_open(cx, path, &map));
        atn_hash_bytes(map.data, ATN_MIN(map.size, HASH_WHOLE_BELOW), hex);
        ATN_TRY(atn_bytes_i64(cx, b, (int64_t)map.size));
        ATN_TRY(atn_bytes_add(cx, b, hex, 32));
        goto done;
    }
    n = depth > 0 ? scandir(path, &entries, is_visible, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        inner = atn_path_join(cx, path, entries[i]->d_name);
        if (!inner) ATN_TRY(cx->err.code);
        ATN_TRY(atn_bytes_text(cx, b, entries[i]->d_name));
        if (access(inner, R_OK) == 0 && (atn_dir_exists(inner) || is_regular(inner)))
            ATN_TRY(add_path(cx, b, inner, depth - 1));
        atn_free(cx, inner);
        inner = NULL;
    }
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_map_close(&map);
    atn_free(cx, inner);
    return st;
}

/* Once: hex stays. */
static atn_status hash_path(atn_ctx *cx, const char *path, char hex[33])
{
    const int depth = 3; /* of a model made of parts in folders of their own */
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    if (*hex) return ATN_OK;
    ATN_TRY(add_path(cx, &b, path, depth));
    atn_hash_bytes(b.data, b.size, hex);
done:
    atn_bytes_release(cx, &b);
    return st;
}

/* ---- fingerprints ---- */

static void add_text(json_t *list, const char *text)
{
    (void)json_array_append_new(list, json_string(text));
}

/* The words as the plan has them, so that OUT may move. */
static atn_status mark_capture(atn_batch *b, const atn_batch_job *job, json_t *list)
{
    atn_batch_model *m = &b->plan.models[job->model];
    atn_batch_text *t = &b->plan.texts[job->text];
    const json_t *const words[] = {b->plan.capture, m->capture, t->capture};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(hash_path(cx, m->path, m->hash));
    add_text(list, m->hash);
    for (int i = 0; i < t->n_files; i++) {
        ATN_TRY(hash_path(cx, t->files[i].path, t->files[i].hash));
        add_text(list, t->files[i].option);
        add_text(list, t->files[i].hash);
    }
    for (size_t i = 0; i < ATN_LEN(words); i++)
        (void)json_array_append_new(list,
                                    words[i] ? json_deep_copy(words[i]) : json_null());
done:
    return st;
}

static atn_status mark_command(atn_batch *b, const atn_batch_job *job, json_t *list)
{
    const json_t *words = b->plan.commands[job->command].words;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *file = NULL, hex[33];

    add_text(list, b->jobs[job->capture].fingerprint);
    add_text(list, b->jobs[job->capture].result_hash);
    (void)json_array_append_new(list, json_deep_copy(words));
    for (size_t i = 0; i < json_array_size(words); i++) {
        ATN_TRY(atn_batch_named_file(
            cx, &b->plan, json_string_value(json_array_get(words, i)), &file));
        if (!file) continue;
        hex[0] = '\0';
        ATN_TRY(hash_path(cx, file, hex));
        add_text(list, hex);
        atn_free(cx, file);
        file = NULL;
    }
done:
    atn_free(cx, file);
    return st;
}

atn_status atn_batch_fingerprint(atn_batch *b, atn_batch_job *job)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    json_t *list = json_array();
    char *text = NULL;

    if (!list) ATN_FAIL(ATN_MEMORY, "no memory for a fingerprint");
    add_text(list, b->version);
    add_text(list, b->git);
    if (atn_opt_given(b->cli, "seed"))
        (void)json_array_append_new(list, json_integer((json_int_t)cx->seed));
    ATN_TRY(job->command < 0 ? mark_capture(b, job, list) : mark_command(b, job, list));
    text = atn_json_text(cx, list);
    if (!text) ATN_TRY(cx->err.code);
    atn_hash_bytes(text, strlen(text), job->fingerprint);
done:
    atn_free(cx, text);
    json_decref(list);
    return st;
}

/* ---- outputs ---- */

bool atn_batch_is_ending(const char *ending)
{
    return (*ending == '\0' || *ending == '.') && strcmp(ending, ".log") != 0 &&
           !atn_ends_with(ending, ".part") && !strstr(ending, ".part-");
}

/* Is this a file or folder that the command wrote: called after it, and neither its log
 * nor its notes of finished heads? */
static bool is_output(const char *name, const char *command)
{
    const size_t n = strlen(command);

    return strncmp(name, command, n) == 0 && atn_batch_is_ending(name + n);
}

/* Layers are large: their sizes do, the manifest has their hashes. A folder is one
 * output, with a slash behind its name. */
static atn_status add_output(atn_batch *b, atn_batch_job *job, const char *path,
                             bool hashed)
{
    const char *relative = path + strlen(b->out) + 1;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char hex[33] = "", *name = NULL;
    struct stat info;
    json_t *entry;
    bool folder;

    if (stat(path, &info) != 0) return ATN_OK;
    folder = S_ISDIR(info.st_mode);
    if (!S_ISREG(info.st_mode) && !(folder && hashed)) return ATN_OK;
    if (hashed) ATN_TRY(hash_path(cx, path, hex));
    name = atn_strfmt(cx, "%s%s", relative, folder ? "/" : "");
    if (!name) ATN_TRY(cx->err.code);
    entry =
        json_pack("{s:s, s:I, s:s}", "path", name, "bytes",
                  folder ? (json_int_t)0 : (json_int_t)info.st_size, "xxh3_128", hex);
    if (!entry || json_array_append_new(job->outputs, entry) != 0)
        ATN_FAIL(ATN_MEMORY, "no memory for the names of outputs");
    if (!hashed || job->output) goto done;
    job->output = name;
    name = NULL;
    memcpy(job->result_hash, hex, sizeof job->result_hash);
done:
    atn_free(cx, name);
    return st;
}

atn_status atn_batch_no_outputs(atn_ctx *cx, atn_batch_job *job)
{
    json_decref(job->outputs);
    atn_free(cx, job->output);
    job->output = NULL;
    job->result_hash[0] = '\0';
    job->outputs = json_array();
    if (job->outputs) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                    "no memory for the names of outputs");
}

atn_status atn_batch_outputs(atn_batch *b, atn_batch_job *job)
{
    const bool capture = job->command < 0;
    const char *dir = capture ? job->base : job->dir;
    const char *name = capture ? "" : b->plan.commands[job->command].name;
    struct dirent **entries = NULL;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *path = NULL;
    int n = 0;

    ATN_TRY(atn_batch_no_outputs(cx, job));
    n = scandir(dir, &entries, is_visible, alphasort);
    for (int i = 0; i < n; i++) {
        const char *file = entries[i]->d_name;

        if (!capture && !is_output(file, name)) continue;
        path = atn_path_join(cx, dir, file);
        if (!path) ATN_TRY(cx->err.code);
        ATN_TRY(
            add_output(b, job, path, !capture || strcmp(file, "capture.json") == 0));
        atn_free(cx, path);
        path = NULL;
    }
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, path);
    return st;
}

static int remove_entry(const char *path, const struct stat *info, int what,
                        struct FTW *where)
{
    (void)info;
    (void)what;
    (void)where;
    (void)remove(path);
    return 0;
}

/* A file, a link, or a folder with all in it; links are not followed. */
static void remove_all(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

atn_status atn_batch_clear_capture(atn_batch *b, const atn_batch_job *job,
                                   const char *before)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    json_t *manifest = NULL;
    char *path = NULL;

    if (!*before || strcmp(before, job->result_hash) != 0) return ATN_OK;
    path = atn_path_join(cx, job->base, "capture.json");
    if (!path) ATN_TRY(cx->err.code);
    st = atn_json_load(cx, path, false, &manifest);
    if (st == ATN_MEMORY) goto done;
    if (st != ATN_OK || json_is_true(json_object_get(manifest, "complete")))
        remove_all(job->base);
    atn_err_clear(cx);
    st = ATN_OK;
done:
    json_decref(manifest);
    atn_free(cx, path);
    return st;
}

atn_status atn_batch_clear(atn_batch *b, const atn_batch_job *job)
{
    struct dirent **entries = NULL;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *path = NULL;
    int n;

    if (job->command < 0) return ATN_OK;
    n = scandir(job->dir, &entries, is_visible, alphasort);
    for (int i = 0; i < n; i++) {
        if (!is_output(entries[i]->d_name, b->plan.commands[job->command].name))
            continue;
        path = atn_path_join(cx, job->dir, entries[i]->d_name);
        if (!path) ATN_TRY(cx->err.code);
        remove_all(path);
        atn_free(cx, path);
        path = NULL;
    }
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, path);
    return st;
}
