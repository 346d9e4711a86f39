/* cli/parts.c -- parts of a command's work in files, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/parts.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/stats_journal.h"
#include "cli/said.h"
#include "core/backend.h"
#include "core/io/json.h"

#define FORMAT "attnscope/part/"
enum { VERSION = 1, HASH_DIGITS = 32, LEAST = 24, MOST_PARTS = 1 << 20 };

/* ---- --shard ---- */

/* A number of the environment; -1 = it is not set. */
static atn_status slurm_number(atn_ctx *cx, const char *name, long *out)
{
    const char *text = getenv(name);
    char *end = NULL;

    *out = -1;
    if (!text) return ATN_OK;
    *out = strtol(text, &end, 10);
    if (*text && !*end && *out >= 0 && *out <= INT32_MAX) return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "--shard slurm: %s is '%.40s', no number (give --shard i/N)", name,
                    text);
}

static atn_status slurm_share(atn_ctx *cx, long *index, long *count)
{
    long id, first, step;
    atn_status st = ATN_OK;

    ATN_TRY(slurm_number(cx, "SLURM_ARRAY_TASK_ID", &id));
    ATN_TRY(slurm_number(cx, "SLURM_ARRAY_TASK_COUNT", count));
    ATN_TRY(slurm_number(cx, "SLURM_ARRAY_TASK_MIN", &first));
    ATN_TRY(slurm_number(cx, "SLURM_ARRAY_TASK_STEP", &step));
    if (id < 0 || *count < 1)
        ATN_FAIL(ATN_USAGE,
                 "--shard slurm: %s is not set (it is for the tasks of sbatch --array; "
                 "elsewhere give --shard i/N)",
                 id < 0 ? "SLURM_ARRAY_TASK_ID" : "SLURM_ARRAY_TASK_COUNT");
    first = ATN_MAX(first, 0);
    step = ATN_MAX(step, 1);
    *index = (id - first) / step;
    if (id < first || (id - first) % step != 0 || *index >= *count)
        ATN_FAIL(ATN_USAGE,
                 "--shard slurm: task %ld is none of %ld from %ld on in steps of %ld "
                 "(give --array=0-%ld, or --shard i/N)",
                 id, *count, first, step, *count - 1);
done:
    return st;
}

atn_status atn_share_read(atn_ctx *cx, const char *text, long *index, long *count)
{
    char *end = NULL;

    if (strcmp(text, "slurm") == 0) return slurm_share(cx, index, count);
    *index = strtol(text, &end, 10);
    *count = *end == '/' ? strtol(end + 1, &end, 10) : 0;
    if (!*end && text[0] >= '0' && text[0] <= '9' && *index >= 0 && *index < *count &&
        *count <= MOST_PARTS)
        return ATN_OK;
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "--shard takes i/N, part i of N from 0/N to N-1/N (N at most %d), or "
        "slurm, not '%.40s'",
        MOST_PARTS, text);
}

static bool needs_file(const atn_cli *cli)
{
    const char *output = atn_opt_text(cli, "output", NULL);

    return !output || strcmp(output, "-") == 0;
}

atn_status atn_cli_share(atn_cli *cli, atn_shard *s)
{
    static const char *const of_tables[] = {"format", "run-record"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    long index = 0, count = 0;

    *s = (atn_shard){0};
    if (!(cli->command->uses & ATN_USE_SHARD) || !atn_opt_given(cli, "shard"))
        return ATN_OK;
    if (atn_command_one_piece(cli))
        ATN_FAIL(ATN_USAGE, "%s: --shard does not go with these options: %s",
                 cli->command->id, atn_command_one_piece(cli));
    ATN_TRY(atn_share_read(cx, atn_opt_text(cli, "shard", ""), &index, &count));
    for (size_t i = 0; i < ATN_LEN(of_tables); i++)
        if (atn_opt_given(cli, of_tables[i]))
            ATN_FAIL(ATN_USAGE,
                     "%s: --shard writes a part, no table, so --%s is for attnscope "
                     "merge",
                     cli->command->id, of_tables[i]);
    if (cli->command->uses & ATN_USE_DRY && atn_opt_given(cli, "dry-run"))
        ATN_FAIL(ATN_USAGE, "%s: --dry-run is of all the work (leave --shard out)",
                 cli->command->id);
    if (needs_file(cli))
        ATN_FAIL(ATN_USAGE, "%s: --shard writes a part: give -o FILE",
                 cli->command->id);
    *s = (atn_shard){.index = (int)index, .count = (int)count};
    cli->shard = s;
done:
    return st;
}

/* ---- writing ---- */

/* Text of an option, with the hash of the file where it names one. */
static atn_status add_option(atn_ctx *cx, json_t *header, const atn_option *row,
                             const char *text)
{
    json_t *options = json_object_get(header, "options");
    json_t *files = json_object_get(header, "files");
    atn_status st = ATN_OK;
    char hash[33];

    json_object_set_new(options, row->name,
                        row->kind == ATN_OPT_FLAG ? json_true() : json_string(text));
    if (row->kind == ATN_OPT_FILE && atn_file_exists(text)) {
        ATN_TRY(atn_hash_file(cx, text, hash));
        json_object_set_new(files, row->name, json_string(hash));
    }
done:
    return st;
}

static atn_status make_header(atn_cli *cli, const atn_run *run, json_t **out)
{
    const char *capture = atn_record_capture(run->json);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char cpu[128];
    json_t *args;

    atn_cpu_name(cpu, sizeof cpu);
    *out = json_pack(
        "{s:s, s:s, s:i, s:i, s:s, s:o, s:o, s:o, s:I, s:s, s:s, s:s, s:s, "
        "s:O}",
        "schema", FORMAT "1", "version", ATN_VERSION, "index", cli->shard->index,
        "count", cli->shard->count, "command", cli->command->id, "args", json_array(),
        "options", json_object(), "files", json_object(), "seed", (json_int_t)cx->seed,
        "capture", capture ? capture : "", "arithmetic", cx->backend->arithmetic,
        "device", cx->backend->device, "cpu", cpu, "run", run->json);
    if (!*out) ATN_FAIL(ATN_MEMORY, "a part: out of memory");
    args = json_object_get(*out, "args");
    for (int i = 0; i < cli->n_args; i++)
        json_array_append_new(args, json_string(cli->args[i]));
    for (int i = 0; i < cli->n_rows; i++)
        if (cli->values[i].given && !atn_cli_is_neutral(cli->rows[i]->name))
            ATN_TRY(add_option(cx, *out, cli->rows[i], cli->values[i].text));
done:
    return st;
}

static atn_status write_part(atn_ctx *cx, const atn_out *out, const atn_bytes *file,
                             const char *hash)
{
    if (fwrite(file->data, 1, file->size, out->file) == file->size &&
        fprintf(out->file, "%s\n", hash) == HASH_DIGITS + 1)
        return ATN_OK;
    return atn_fail(cx, ATN_IO, __FILE__, __LINE__,
                    "%s: writing failed (is the disk full?)", out->path);
}

static atn_status save(atn_cli *cli, const json_t *header)
{
    const char *path = atn_opt_text(cli, "output", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_bytes file = {0};
    char line[96], hash[33];
    atn_out out = {0};
    char *text = NULL;

    text = atn_json_text(cx, header);
    if (!text) ATN_TRY(cx->err.code);
    snprintf(line, sizeof line, FORMAT "%d %zu %zu\n", VERSION, strlen(text),
             cli->shard->notes.size);
    ATN_TRY(atn_bytes_add(cx, &file, line, strlen(line)));
    ATN_TRY(atn_bytes_add(cx, &file, text, strlen(text)));
    ATN_TRY(atn_bytes_add(cx, &file, cli->shard->notes.data, cli->shard->notes.size));
    atn_hash_bytes(file.data, file.size, hash);
    ATN_TRY(atn_out_open(cx, path, atn_opt_given(cli, "force"), &out));
    ATN_TRY(write_part(cx, &out, &file, hash));
    ATN_TRY(atn_out_commit(cx, &out));
    atn_log(cx, ATN_LOG_INFO, "%s: part %d/%d (attnscope merge puts all %d together)",
            path, cli->shard->index, cli->shard->count, cli->shard->count);
done:
    atn_out_abort(cx, &out);
    atn_bytes_release(cx, &file);
    atn_free(cx, text);
    return st;
}

atn_status atn_cli_emit_part(atn_cli *cli, atn_run *run)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    json_t *header = NULL;

    ATN_TRY(atn_said_note(cli));
    if (cli->ranks) return ATN_OK;
    atn_cli_clear_meter(cli);
    ATN_TRY(atn_run_finish(cx, run));
    ATN_TRY(make_header(cli, run, &header));
    ATN_TRY(save(cli, header));
done:
    json_decref(header);
    return st;
}

/* ---- reading ---- */

/* The lengths in the first line; *begin is where the header does. */
static atn_status read_lengths(atn_ctx *cx, const atn_part_file *p, size_t *begin,
                               size_t *header, size_t *notes)
{
    const char *data = (const char *)p->map.data;
    const size_t size = p->map.size, tag = strlen(FORMAT);
    const char *end = memchr(data, '\n', ATN_MIN(size, 96));
    unsigned long long h = 0, n = 0;
    atn_status st = ATN_OK;
    char line[96] = "";
    int version = 0;

    if (atn_journal_is(data, size))
        ATN_FAIL(ATN_DATA, "%s: an unfinished part: run its shard again, or remove it",
                 p->path);
    if (size < tag || memcmp(data, FORMAT, tag) != 0)
        ATN_FAIL(ATN_DATA, "%s: is no part (give the files that --shard i/N wrote)",
                 p->path);
    if (end) memcpy(line, data, (size_t)(end - data));
    if (sscanf(line + tag, "%d %llu %llu", &version, &h, &n) < 1 || !end)
        ATN_FAIL(ATN_DATA, "%s: its first line is damaged (run its shard again)",
                 p->path);
    if (version != VERSION)
        ATN_FAIL(ATN_DATA,
                 "%s: is of part format %d, this program reads %d (merge with the "
                 "version that wrote it)",
                 p->path, version, VERSION);
    *begin = (size_t)(end - data) + 1;
    *header = (size_t)h;
    *notes = (size_t)n;
    if (h > size || n > size || *begin + h + n + HASH_DIGITS + 1 != size)
        ATN_FAIL(ATN_DATA,
                 "%s: is cut short or longer than it says (run its shard "
                 "again)",
                 p->path);
done:
    return st;
}

static const char *member(const atn_part_file *p, const char *key)
{
    const char *text = json_string_value(json_object_get(p->header, key));

    return text ? text : "";
}

static atn_status read_header(atn_ctx *cx, atn_part_file *p, const char *text,
                              size_t size)
{
    int64_t index, count;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_parse(cx, p->path, text, size, false, &p->header));
    ATN_TRY(
        atn_json_get_i64(cx, p->path, p->header, "count", 0, 1, MOST_PARTS, &count));
    ATN_TRY(
        atn_json_get_i64(cx, p->path, p->header, "index", -1, 0, count - 1, &index));
    p->index = (int)index;
    p->count = (int)count;
    if (strcmp(member(p, "version"), ATN_VERSION) != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: was made by attnscope %.20s, this is " ATN_VERSION
                 " (merge with that version, or run its shard again)",
                 p->path, member(p, "version"));
    if (!json_is_array(json_object_get(p->header, "args")) ||
        !json_is_object(json_object_get(p->header, "options")))
        ATN_FAIL(ATN_DATA, "%s: its header lacks args or options (run its shard again)",
                 p->path);
done:
    return st;
}

atn_status atn_part_open(atn_ctx *cx, const char *path, atn_part_file *out)
{
    size_t begin = 0, header = 0, notes = 0;
    atn_status st = ATN_OK;
    const char *data;
    char hash[33];

    *out = (atn_part_file){.path = path};
    ATN_TRY(atn_map_open(cx, path, &out->map));
    ATN_TRY(read_lengths(cx, out, &begin, &header, &notes));
    data = (const char *)out->map.data;
    atn_hash_bytes(data, begin + header + notes, hash);
    hash[HASH_DIGITS] = '\n';
    if (memcmp(data + begin + header + notes, hash, HASH_DIGITS + 1) != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: is damaged, its checksum does not match (run its shard "
                 "again)",
                 path);
    ATN_TRY(read_header(cx, out, data + begin, header));
    out->notes = (atn_bytes){(unsigned char *)out->map.data + begin + header, notes, 0};
done:
    return st;
}

void atn_part_release(atn_part_file *p)
{
    json_decref(p->header);
    atn_map_close(&p->map);
    *p = (atn_part_file){0};
}

/* ---- do they belong together? ---- */

/* The first member of a that b lacks or has another value of; NULL = there is none. */
static const char *differs(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        if (!json_equal(value, json_object_get(b, key))) return key;
    }
    return NULL;
}

static const char *shown(const json_t *options, const char *key, char out[96])
{
    const json_t *value = json_object_get(options, key);

    if (!value)
        snprintf(out, 96, "without --%.40s", key);
    else if (json_is_string(value))
        snprintf(out, 96, "with --%.40s %.40s", key, json_string_value(value));
    else
        snprintf(out, 96, "with --%.40s", key);
    return out;
}

static atn_status match_options(atn_ctx *cx, const atn_part_file *a,
                                const atn_part_file *b)
{
    const json_t *oa = json_object_get(a->header, "options");
    const json_t *ob = json_object_get(b->header, "options");
    const json_t *fa = json_object_get(a->header, "files");
    const char *key = differs(oa, ob);
    char of_a[96], of_b[96];

    if (!key) key = differs(ob, oa);
    if (key)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: was made %s, %s %s (run its shard again with the same "
                        "options)",
                        b->path, shown(ob, key, of_b), a->path, shown(oa, key, of_a));
    key = differs(fa, json_object_get(b->header, "files"));
    if (key)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: the file of --%.40s was another one than that of %s (run "
                        "its shard again)",
                        b->path, key, a->path);
    return ATN_OK;
}

atn_status atn_part_match(atn_ctx *cx, const atn_part_file *a, const atn_part_file *b)
{
    atn_status st = ATN_OK;

    if (a->count != b->count)
        ATN_FAIL(ATN_USAGE, "%s: is one of %d parts, %s of %d (give parts of one N)",
                 b->path, b->count, a->path, a->count);
    if (strcmp(member(a, "command"), member(b, "command")) != 0)
        ATN_FAIL(ATN_USAGE, "%s: is of %.20s, %s of %.20s (give parts of one command)",
                 b->path, member(b, "command"), a->path, member(a, "command"));
    if (strcmp(member(a, "capture"), member(b, "capture")) != 0)
        ATN_FAIL(ATN_USAGE,
                 "%s: is of another capture than %s (give parts of one capture)",
                 b->path, a->path);
    if (json_array_size(json_object_get(a->header, "args")) !=
        json_array_size(json_object_get(b->header, "args")))
        ATN_FAIL(ATN_USAGE, "%s: was made with other arguments than %s", b->path,
                 a->path);
    ATN_TRY(match_options(cx, a, b));
    if (!json_equal(json_object_get(a->header, "seed"),
                    json_object_get(b->header, "seed")))
        ATN_FAIL(ATN_USAGE, "%s: has another seed than %s (run its shard again)",
                 b->path, a->path);
    if (strcmp(member(a, "arithmetic"), member(b, "arithmetic")) != 0)
        ATN_FAIL(ATN_USAGE,
                 "%s: was computed in %.40s, %s in %.40s (run its shard again with the "
                 "same --device and --dtype)",
                 b->path, member(b, "arithmetic"), a->path, member(a, "arithmetic"));
    if (strcmp(member(a, "device"), member(b, "device")) != 0 ||
        strcmp(member(a, "cpu"), member(b, "cpu")) != 0)
        atn_log(
            cx, ATN_LOG_INFO,
            "%s and %s were computed on different processors: last digits may differ "
            "from those of one process",
            a->path, b->path);
done:
    return st;
}

char *atn_part_command(atn_ctx *cx, const atn_part_file *p)
{
    const json_t *options = json_object_get(p->header, "options");
    char *text = atn_strfmt(cx, "attnscope %s", member(p, "command"));
    const char *key;
    json_t *value;
    size_t i;

    json_array_foreach(json_object_get(p->header, "args"), i, value)
    {
        char *more =
            text ? atn_strfmt(cx, "%s %s", text, json_string_value(value)) : NULL;

        atn_free(cx, text);
        text = more;
    }
    json_object_foreach((json_t *)(uintptr_t)options, key, value)
    {
        const char *of = json_string_value(value);
        char *more =
            text ? atn_strfmt(cx, "%s --%s%s%s", text, key, of ? " " : "", of ? of : "")
                 : NULL;

        atn_free(cx, text);
        text = more;
    }
    return text;
}
