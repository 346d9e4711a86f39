/* cli/cmd_merge.c -- attnscope merge: the table of a command out of the parts that
 * --shard i/N wrote.
 *
 * The command runs again with the notes of its parts in place of the work, so that its
 * tables, messages and exit code are those of one process.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include <sys/stat.h>

#include "cli/parts.h"
#include "cli/said.h"

static const atn_option options[] = {
    {"capture", 0, ATN_OPT_FILE, "RUN",
     "where the capture is now (where it was when the parts were made)", 0, 0},
    ATN_OPTION_END,
};

typedef struct merging {
    atn_part_file *part; /* [n] in the order of the command line */
    atn_bytes *notes;    /* [n] in the order of parts */
    const char **words;  /* of the command */
    char **owned;        /* [n_words] those of them that are */
    int n, n_words;
} merging;

static atn_status missing_part(atn_ctx *cx, const atn_part_file *one, int index)
{
    char *command = atn_part_command(cx, one);

    if (!command) return cx->err.code;
    (void)atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "merge: part %d/%d is missing (%.300s --shard %d/%d -o FILE makes it)", index,
        one->count, command, index, one->count);
    atn_free(cx, command);
    return ATN_USAGE;
}

/* All parts are there and none twice; their notes in order. */
static atn_status order_parts(atn_ctx *cx, merging *m)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int count = m->part[0].count;
    const atn_part_file **at = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(at, count);
    for (int i = 0; i < count; i++) at[i] = NULL;
    for (int i = 0; i < m->n; i++) {
        const atn_part_file *p = &m->part[i];

        ATN_TRY(atn_part_match(cx, &m->part[0], p));
        if (at[p->index])
            ATN_FAIL(ATN_USAGE,
                     "%s: is part %d/%d, which %s is, too (give each part once)",
                     p->path, p->index, count, at[p->index]->path);
        at[p->index] = p;
    }
    for (int i = 0; i < count; i++)
        if (!at[i]) ATN_TRY(missing_part(cx, &m->part[0], i));
    ATN_NEW(m->notes, count);
    for (int i = 0; i < count; i++) m->notes[i] = at[i]->notes;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status open_parts(atn_cli *cli, merging *m)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_NEW(m->part, cli->n_args);
    while (m->n < cli->n_args) {
        m->n++;
        ATN_TRY(atn_part_open(cx, cli->args[m->n - 1], &m->part[m->n - 1]));
    }
    ATN_TRY(order_parts(cx, m));
done:
    return st;
}

/* ---- the command line ---- */

/* A copy; text NULL = "--name". */
static atn_status add_word(atn_ctx *cx, merging *m, const char *name, const char *text)
{
    char *word = !name  ? atn_strdup(cx, text)
                 : text ? atn_strfmt(cx, "--%s=%s", name, text)
                        : atn_strfmt(cx, "--%s", name);

    if (!word) return cx->err.code;
    m->owned[m->n_words] = word;
    m->words[m->n_words++] = word;
    return ATN_OK;
}

/* What was given to merge, but for its own. */
static atn_status add_own(atn_cli *cli, merging *m)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    for (int i = 0; i < cli->n_rows; i++) {
        const char *name = cli->rows[i]->name;

        if (!cli->values[i].given || strcmp(name, "capture") == 0) continue;
        if (strcmp(name, "seed") == 0)
            ATN_FAIL(ATN_USAGE, "merge: the parts have their seed (leave --seed out)");
        ATN_TRY(
            add_word(cx, m, name,
                     cli->rows[i]->kind == ATN_OPT_FLAG ? NULL : cli->values[i].text));
    }
done:
    return st;
}

static atn_status make_words(atn_cli *cli, merging *m)
{
    const json_t *header = m->part[0].header;
    const json_t *args = json_object_get(header, "args");
    json_t *given = json_object_get(header, "options");
    const char *dir = atn_opt_text(cli, "capture", NULL), *key;
    const atn_idx most = (atn_idx)(json_array_size(args) + json_object_size(given));
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    json_t *value;

    ATN_NEW(m->words, most + cli->n_rows + 4);
    ATN_NEW(m->owned, most + cli->n_rows + 4);
    ATN_TRY(add_word(cx, m, NULL, "attnscope"));
    ATN_TRY(
        add_word(cx, m, NULL, json_string_value(json_object_get(header, "command"))));
    ATN_TRY(add_own(cli, m));
    json_object_foreach(given, key, value)
    {
        ATN_TRY(add_word(cx, m, key, json_string_value(value)));
    }
    ATN_TRY(add_word(cx, m, NULL, "--"));
    for (size_t i = 0; i < json_array_size(args); i++) {
        const char *word = json_string_value(json_array_get(args, i));

        ATN_TRY(add_word(cx, m, NULL, i == 0 && dir ? dir : word ? word : ""));
    }
done:
    return st;
}

static atn_status check_capture(atn_cli *cli, const char *dir)
{
    char *manifest = atn_path_join(cli->cx, dir, "capture.json");
    const bool there = manifest && atn_file_exists(manifest);

    atn_free(cli->cx, manifest);
    if (!manifest) return cli->cx->err.code;
    if (there) return ATN_OK;
    return atn_fail(cli->cx, ATN_NOINPUT, __FILE__, __LINE__,
                    "merge: %s, the capture of these parts, is not there (say where it "
                    "is with --capture RUN)",
                    dir);
}

/* The command, in place of merge. */
static atn_status run_command(atn_cli *cli, const merging *m)
{
    atn_shard shard = {.count = m->part[0].count, .merges = true, .given = m->notes};
    atn_cli inner = {
        .cx = cli->cx,
        .command = atn_command_find(m->words[1]),
        .argc = m->n_words,
        .argv = m->words,
        .shard = &shard,
        .typed = cli,
        .capture = json_string_value(json_object_get(m->part[0].header, "capture"))};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_said said = {.cx = NULL};

    if (!inner.command || !(inner.command->uses & ATN_USE_SHARD))
        ATN_FAIL(ATN_DATA, "%s: is of the command %.20s, which has no parts",
                 m->part[0].path, m->words[1]);
    ATN_TRY(atn_cli_parse(&inner, 2));
    if (inner.n_args < inner.command->min_args ||
        inner.n_args > inner.command->max_args)
        ATN_FAIL(ATN_DATA, "%s: %d arguments are not those of %s", m->part[0].path,
                 inner.n_args, inner.command->id);
    ATN_TRY(check_capture(cli, inner.args[0]));
    atn_cli_apply(&inner);
    atn_said_open(&said, &inner, false);
    ATN_TRY(atn_said_replay(cx, &shard));
    ATN_TRY(inner.command->run(&inner));
done:
    atn_said_close(&said);
    atn_cli_release(&inner);
    return st;
}

static void release(atn_ctx *cx, merging *m)
{
    for (int i = 0; i < m->n; i++) atn_part_release(&m->part[i]);
    for (int i = 0; i < m->n_words; i++) atn_free(cx, m->owned[i]);
    atn_free(cx, m->part);
    atn_free(cx, m->notes);
    atn_free(cx, m->owned);
    atn_free(cx, m->words);
}

/* No part is written over, whatever --force says. */
static atn_status check_target(atn_cli *cli, const char *option)
{
    const char *path = atn_opt_text(cli, option, NULL);
    struct stat to, part;

    if (!path || stat(path, &to) != 0) return ATN_OK;
    for (int i = 0; i < cli->n_args; i++)
        if (stat(cli->args[i], &part) == 0 && part.st_dev == to.st_dev &&
            part.st_ino == to.st_ino)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "merge: --%s %s is the part %s (give another file)", option,
                            path, cli->args[i]);
    return ATN_OK;
}

static atn_status run(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    merging m = {0};

    ATN_TRY(check_target(cli, "output"));
    ATN_TRY(check_target(cli, "run-record"));
    ATN_TRY(open_parts(cli, &m));
    ATN_TRY(make_words(cli, &m));
    ATN_TRY(run_command(cli, &m));
done:
    release(cx, &m);
    return st;
}

static const char *const examples[] = {"merge part0 part1 -o all.csv",
                                       "merge part1 part0 --format csv", NULL};

const atn_command atn_command_merge = {
    .id = "merge",
    .summary = "the table of a command out of the parts that --shard wrote",
    .args = "PART...",
    .examples = examples,
    .text =
        "A part is a file that a command with --shard i/N wrote: what it found of "
        "its share of the heads. All N parts of one command, options and capture "
        "give, in any order, the table that the command without --shard prints, bit "
        "for bit on processors of one kind; the run record names them. The "
        "capture's manifest is read again, its layers are not. "
        "docs/guide/clusters.md has an example for Slurm.",
    .options = options,
    .uses = ATN_USE_TABLE,
    .one_piece = "it puts parts together",
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
