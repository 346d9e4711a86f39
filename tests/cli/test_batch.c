/* tests/cli/test_batch.c -- the plan reader and the journal of attnscope batch. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/batch.h"
#include "core/io/file.h"

#define NAME "journal.jsonl"

static char dir[512], plan_path[600];

/* A file of this text in the scratch folder; its path. */
static const char *put(const char *name, const char *text, size_t size)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    CHECK(f && fwrite(text, 1, size, f) == size && fclose(f) == 0);
    return path;
}

static void open_place(void)
{
    snprintf(dir, sizeof dir, "%s", check_scratch("batch"));
    (void)put("model.gguf", "x", 1);
    (void)put("a.txt", "a", 1);
    (void)put("ids.txt", "1 2", 3);
    (void)put("mask.json", "{}", 2);
    snprintf(plan_path, sizeof plan_path, "%s/plan.json", dir);
}

static atn_status load(atn_ctx *cx, const char *text, atn_batch_plan *p)
{
    (void)put("plan.json", text, strlen(text));
    return atn_batch_plan_load(cx, plan_path, p);
}

static const char good[] =
    "{\"schema\": \"attnscope/batch/1\","
    "\"models\": {\"zed-1.5\": \"model.gguf\", \"b\": {\"path\": \"model.gguf\", "
    "\"capture\": [\"--layers\", \"0\"]}},"
    "\"texts\": {\"one\": \"a.txt\", \"two\": {\"token_ids\": \"ids.txt\", "
    "\"target_text\": \"a.txt\"}},"
    "\"commands\": {\"stats\": [\"stats\", \"{run}\"], \"map\": [\"plot\", \"heads\", "
    "\"{run}\", \"-o\", \"{out}.svg\"], \"own\": [\"stats\", \"{run}\", \"-o\", "
    "\"{out}.jsonl\"]},"
    "\"skip\": [{\"model\": \"b\", \"command\": \"map\"}, {\"text\": \"two\", "
    "\"model\": \"zed-1.5\"}]}";

/* In the order of the file, which is not that of the alphabet. */
static void golden(atn_ctx *cx)
{
    atn_batch_plan p;

    open_place();
    CHECK_OK(load(cx, good, &p));
    CHECK_EQ(p.n_models, 2);
    CHECK_EQ(p.n_texts, 2);
    CHECK_EQ(p.n_commands, 3);
    CHECK_STR(p.models[0].name, "zed-1.5");
    CHECK(strstr(p.models[0].path, "/batch/model.gguf") != NULL);
    CHECK_STR(p.texts[1].files[0].option, "token-ids");
    CHECK_STR(p.texts[1].files[1].option, "target-text");
    CHECK(p.commands[0].adds_table && p.commands[0].forces);
    CHECK(!p.commands[1].adds_table && !p.commands[2].adds_table);
    CHECK(atn_batch_skips(&p, "b", "one", "map"));
    CHECK(!atn_batch_skips(&p, "b", "one", "stats"));
    CHECK(!atn_batch_skips(&p, "b", "one", NULL)); /* the capture is made */
    CHECK(atn_batch_skips(&p, "zed-1.5", "two", NULL));
    CHECK(atn_batch_skips(&p, "zed-1.5", "two", "stats"));
    atn_batch_plan_release(cx, &p);
}

/* 2 models x 2 texts less one pair = 3 captures; 3 commands each, less map of b. */
static void jobs(atn_ctx *cx)
{
    static const char *const ids[] = {"zed-1.5/one/capture", "zed-1.5/one/stats",
                                      "zed-1.5/one/map",     "zed-1.5/one/own",
                                      "b/one/capture",       "b/one/stats",
                                      "b/one/own",           "b/two/capture",
                                      "b/two/stats",         "b/two/own"};
    static char out[] = "OUT";
    atn_batch b = {.out = out};

    open_place();
    CHECK_OK(load(cx, good, &b.plan));
    CHECK_OK(atn_batch_list(cx, &b));
    CHECK_EQ(b.n_jobs, ATN_LEN(ids));
    CHECK_EQ(b.n_captures, 3);
    for (int i = 0; i < b.n_jobs; i++) {
        CHECK_STR(b.jobs[i].id, ids[i]);
        CHECK_EQ(b.jobs[i].capture, i < 4 ? 0 : i < 7 ? 4 : 7);
    }
    CHECK_STR(b.jobs[0].base, "OUT/zed-1.5/one/run");
    CHECK_STR(b.jobs[5].base, "OUT/b/one/stats");
    for (int i = 0; i < b.n_jobs; i++) {
        atn_free(cx, b.jobs[i].id);
        atn_free(cx, b.jobs[i].dir);
        atn_free(cx, b.jobs[i].base);
    }
    atn_free(cx, b.jobs);
    atn_batch_plan_release(cx, &b.plan);
}

static void fills(atn_ctx *cx)
{
    static const atn_batch_place at = {"R", "O", "M", "T", "P"};
    static const char *const words[][2] = {{"{run}", "R"},
                                           {"--x={out}.csv,{text}", "--x=O.csv,T"},
                                           {"{plan}/a{model}b", "P/aMb"},
                                           {"{", "{"},
                                           {"{}", "{}"},
                                           {"{9}{1,2}{-o}", "{9}{1,2}{-o}"},
                                           {"{{run}}", "{R}"},
                                           {"{run", "{run"},
                                           {"$(x) `y` ;", "$(x) `y` ;"}};
    char *filled = NULL;

    for (size_t i = 0; i < ATN_LEN(words); i++) {
        CHECK_OK(atn_batch_fill(cx, words[i][0], &at, &filled));
        CHECK_STR(filled, words[i][1]);
        atn_free(cx, filled);
    }
    CHECK_FAILS(atn_batch_fill(cx, "a{ran}", &at, &filled), ATN_DATA, "nearest: run");
    CHECK_FAILS(atn_batch_fill(cx, "{RUN}", &at, &filled), ATN_DATA, "{RUN} is no");
    CHECK_FAILS(atn_batch_fill(cx, "{run1}", &at, &filled), ATN_DATA, "{run1} is no");
    CHECK_FAILS(atn_batch_fill(cx, "{out-x}", &at, &filled), ATN_DATA, "{out-x} is no");
}

#define HEAD    "{\"schema\": \"attnscope/batch/1\", "
#define MODEL   "\"models\": {\"m\": \"model.gguf\"}, "
#define TEXT    "\"texts\": {\"t\": \"a.txt\"}, "
#define COMMAND "\"commands\": {\"c\": [\"stats\", \"{run}\"]}}"

/* The names of files that are written, in all ways to say them, and our own one. */
static void endings(atn_ctx *cx)
{
    static const char text[] = HEAD MODEL TEXT
        "\"commands\": {\"a\": [\"stats\", \"{run}\", \"--format\", \"jsonl\"], "
        "\"b\": [\"stats\", \"{run}\", \"--format=text\"], "
        "\"c\": [\"stats\", \"{run}\", \"-o{out}.tsv\", \"--run-record\", "
        "\"{out}.json\"], "
        "\"d\": [\"stats\", \"{run}\", \"--output={out}.csv\"]}}";
    static const char *const wanted[] = {".jsonl", ".txt", ".csv", ".csv"};
    atn_batch_plan p;

    open_place();
    CHECK_OK(load(cx, text, &p));
    CHECK_EQ(p.n_commands, ATN_LEN(wanted));
    for (int i = 0; i < p.n_commands; i++) {
        CHECK_STR(p.commands[i].ending, wanted[i]);
        CHECK_EQ(p.commands[i].adds_table, i < 2);
        CHECK(p.commands[i].writes);
    }
    atn_batch_plan_release(cx, &p);
}

/* Long, for it is the table of what a plan may not say. */
static void refused(atn_ctx *cx)
{
    static const struct {
        const char *text, *part;
        atn_status st;
    } bad[] = {
        {"[]", "is no plan", ATN_DATA},
        {"{\"schema\": \"attnscope/batch/2\"}", "attnscope/batch/2", ATN_DATA},
        {HEAD "\"modelz\": 1, " MODEL TEXT COMMAND, "nearest: models", ATN_DATA},
        {HEAD "\"models\": {}, " TEXT COMMAND, "\"models\" must be", ATN_DATA},
        {HEAD "\"models\": [1], " TEXT COMMAND, "\"models\" must be", ATN_DATA},
        {HEAD "\"models\": {\"..\": \"model.gguf\"}, " TEXT COMMAND, "a name is",
         ATN_DATA},
        {HEAD "\"models\": {\"a/b\": \"model.gguf\"}, " TEXT COMMAND, "a name is",
         ATN_DATA},
        {HEAD "\"models\": {\"c.x\": \"model.gguf\"}, " TEXT COMMAND, "rename one",
         ATN_DATA},
        {HEAD "\"models\": {\"m\": \"gone\"}, " TEXT COMMAND, "gone does not exist",
         ATN_NOINPUT},
        {HEAD "\"models\": {\"m\": 3}, " TEXT COMMAND, "the path of a model", ATN_DATA},
        {HEAD "\"models\": {\"m\": \"a\\u0000b\"}, " TEXT COMMAND,
         "the path of a model", ATN_DATA},
        {HEAD
         "\"models\": {\"m\": \"model.gguf\", \"m\": \"model.gguf\"}, " TEXT COMMAND,
         "duplicate", ATN_DATA},
        {HEAD MODEL "\"texts\": {\"t\": {\"text\": \"a.txt\", \"token_ids\": "
                    "\"ids.txt\"}}, " COMMAND,
         "needs one of", ATN_DATA},
        {HEAD MODEL "\"texts\": {\"t\": {}}, " COMMAND, "needs one of", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": []}}", "begins with a command",
         ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": \"stats {run}\"}}", "list of words",
         ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"run\": [\"stats\", \"{run}\"]}}",
         "its own files", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c.d\": [\"stats\", \"{run}\"]}}",
         "a name is", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stat\", \"{run}\"]}}",
         "nearest: stats", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"batch\", \"{run}\"]}}",
         "not for a plan", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{ran}\"]}}",
         "nearest: run", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", \"--hads\", "
                         "\"1\"]}}",
         "did you mean --heads", ATN_USAGE},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\"]}}", "are not as in",
         ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", \"-o\", "
                         "\"x.csv\"]}}",
         "the same file", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", \"-o\", "
                         "\"{out}x.csv\"]}}",
         "an ending", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", \"-o\", "
                         "\"{out}./../../x.csv\"]}}",
         "an ending", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", \"-o\", "
                         "\"OUTx.csv\"]}}",
         "--output OUTx.csv is the same file", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", "
                         "\"--run-record=r.json\"]}}",
         "--run-record r.json is the same file", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"approx\", \"{run}\", \"--method\", "
                         "\"window\", \"--dump\", \"OUT\"]}}",
         "--dump OUT is the same file", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", "
                         "\"-o{out}.log\"]}}",
         "of logs", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"stats\", \"{run}\", "
                         "\"-o\", \"{out}.csv.part\"]}}",
         "of logs", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"demo\", \"{run}\"]}}",
         "not for a plan", ATN_DATA},
        {HEAD "\"models\": {\"journal-x.jsonl\": \"model.gguf\"}, " TEXT COMMAND,
         "journals are called so", ATN_DATA},
        {HEAD MODEL TEXT "\"commands\": {\"c\": [\"field\", \"{plan}/gone.json\"]}}",
         "gone.json does not exist", ATN_NOINPUT},
        {HEAD "\"capture\": [\"-o\", \"x\"], " MODEL TEXT COMMAND,
         "for the plan to say", ATN_DATA},
        {HEAD "\"capture\": [\"x\"], " MODEL TEXT COMMAND, "no option of capture",
         ATN_DATA},
        {HEAD "\"skip\": [{\"model\": \"n\"}], " MODEL TEXT COMMAND,
         "none of the models", ATN_DATA},
        {HEAD "\"skip\": {}, " MODEL TEXT COMMAND, "must be a list", ATN_DATA},
    };
    atn_batch_plan p;

    open_place();
    cx->log_level = ATN_LOG_ERROR;
    for (size_t i = 0; i < ATN_LEN(bad); i++)
        CHECK_FAILS(load(cx, bad[i].text, &p), bad[i].st, bad[i].part);
}

typedef struct heard {
    int n;
    char all[4000];
} heard;

static void hear(void *user, atn_log_level level, const char *text)
{
    heard *h = user;

    (void)level;
    h->n++;
    strncat(h->all, text, sizeof h->all - strlen(h->all) - 1);
}

/* All of them at once. */
static void together(atn_ctx *cx)
{
    static const char text[] =
        HEAD "\"models\": {\"m\": \"gone\"}, \"texts\": {\"t\": \"lost.txt\"}, "
             "\"commands\": {\"c\": [\"stats\", \"{ran}\"]}}";
    heard h = {0};
    atn_batch_plan p;

    open_place();
    cx->log_sink = hear;
    cx->log_user = &h;
    CHECK_FAILS(load(cx, text, &p), ATN_NOINPUT, "3 problems; nothing was run");
    CHECK_EQ(h.n, 3);
    CHECK(strstr(h.all, "gone") && strstr(h.all, "lost.txt") && strstr(h.all, "{ran}"));
}

/* Every beginning of a plan is refused, and every failure of memory is said. */
static void failure(atn_ctx *cx)
{
    check_failing f = {0};
    atn_batch_plan p;
    atn_status st;

    open_place();
    cx->log_level = ATN_LOG_ERROR;
    for (size_t n = 0; n + 1 < sizeof good - 1; n += 7) {
        (void)put("plan.json", good, n);
        st = atn_batch_plan_load(cx, plan_path, &p);
        CHECK(st == ATN_DATA);
        atn_err_clear(cx);
    }
    (void)put("plan.json", good, sizeof good - 1);
    for (long k = 0; k < 400; k++) {
        atn_ctx weak;

        f.left = k;
        atn_ctx_init(&weak);
        weak.log_level = ATN_LOG_ERROR;
        weak.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_batch_plan_load(&weak, plan_path, &p);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        if (st == ATN_OK) {
            atn_batch_plan_release(&weak, &p);
            k = 400;
        } else
            CHECK(k < 399);
        f.left = 1000;
        atn_ctx_release(&weak);
    }
}

static atn_batch_job job_of(char *id, int exit_code)
{
    return (atn_batch_job){.id = id,
                           .fingerprint = "0123456789abcdef0123456789abcdef",
                           .state = ATN_BATCH_DONE,
                           .exit_code = exit_code,
                           .seconds = 0.1,
                           .message = "all \"well\"",
                           .outputs = json_array()};
}

/* The last line of a job counts; a line with any byte changed does not; a line cut
 * short is no harm to the next. */
static void journal(atn_ctx *cx)
{
    char a[] = "m/t/a", c[] = "m/t/c", path[600], *text = NULL;
    atn_batch_journal j, other;
    atn_batch b = {0};
    atn_batch_job first = job_of(a, 0), second = job_of(a, 3), third = job_of(c, 0);
    size_t size = 0, begin;

    open_place();
    second.state = ATN_BATCH_PARTIAL;
    CHECK_OK(atn_batch_journal_open(cx, dir, NAME, false, &j));
    CHECK_FAILS(atn_batch_journal_open(cx, dir, NAME, true, &other), ATN_CANTCREATE,
                "is at work here");
    atn_batch_journal_close(cx, &other);
    CHECK_FAILS(atn_batch_journal_open(cx, dir, "journal-0-of-2.jsonl", true, &other),
                ATN_CANTCREATE, "is at work here");
    atn_batch_journal_close(cx, &other);
    CHECK_OK(atn_batch_journal_job(cx, &j, &first));
    CHECK_OK(atn_batch_journal_job(cx, &j, &third));
    CHECK_OK(atn_batch_journal_job(cx, &j, &second));
    snprintf(path, sizeof path, "%s", j.path);
    atn_batch_journal_close(cx, &j);

    CHECK_OK(atn_batch_journal_open(cx, dir, NAME, true, &b.journal));
    first.exit_code = -1;
    CHECK(atn_batch_journal_find(&b, &first));
    CHECK_EQ(first.exit_code, 3);
    CHECK_EQ(first.state, ATN_BATCH_PARTIAL);
    CHECK_STR(first.message, "all \"well\"");
    CHECK(first.kept);
    first.fingerprint[0] = 'f';
    CHECK(!atn_batch_journal_find(&b, &first));
    first.fingerprint[0] = '0';
    json_array_append_new(first.outputs, json_string("x"));
    CHECK(!atn_batch_journal_find(&b, &first));
    json_array_clear(first.outputs);
    atn_batch_journal_close(cx, &b.journal);

    /* the last line, which makes a partial: with a byte changed the first one counts */
    CHECK_OK(atn_file_read(cx, path, 1 << 20, &text, &size));
    begin = size - 1;
    while (text[begin - 1] != '\n') begin--;
    cx->log_level = ATN_LOG_ERROR;
    for (size_t i = begin; i < size - 1; i += 3) {
        text[i] ^= 1;
        (void)put("journal.jsonl", text, size);
        text[i] ^= 1;
        CHECK_OK(atn_batch_journal_open(cx, dir, NAME, true, &b.journal));
        CHECK(atn_batch_journal_find(&b, &first));
        CHECK_EQ(first.state, ATN_BATCH_DONE);
        atn_batch_journal_close(cx, &b.journal);
    }
    (void)put("journal.jsonl", text, size - 9);
    CHECK_OK(atn_batch_journal_open(cx, dir, NAME, true, &b.journal));
    CHECK_OK(atn_batch_journal_job(cx, &b.journal, &second));
    atn_batch_journal_close(cx, &b.journal);
    CHECK_OK(atn_batch_journal_open(cx, dir, NAME, true, &b.journal));
    CHECK(atn_batch_journal_find(&b, &first));
    CHECK_EQ(first.state, ATN_BATCH_PARTIAL);
    atn_batch_journal_close(cx, &b.journal);
    atn_free(cx, text);
    json_decref(first.outputs);
    json_decref(second.outputs);
    json_decref(third.outputs);
}

CHECK_MAIN({"golden", golden}, {"jobs", jobs}, {"fills", fills}, {"refused", refused},
           {"endings", endings}, {"together", together}, {"failure", failure},
           {"journal", journal})
