/* analysis/approx_dump.c -- what methods chose and gave, in files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dump.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/json.h"

#define SCHEMA "attnscope/dump/1"

typedef struct dump_case {
    bool begun, layers; /* has a plan.json, and a layer in it */
} dump_case;

struct atn_approx_dump {
    const atn_approx *a;
    char *dir, *work;
    bool replaces;    /* a dump lies at dir */
    json_t *files;    /* [] names below the directory */
    dump_case *cases; /* [n_cases] */
    /* the layer under way */
    int c;
    atn_dump_layer layer;
    FILE *plan;
    char *plan_path;
    long from;        /* where it begins in the plan */
    dump_case before; /* of its case, before it */
    bool heads;       /* one is written */
    float *o;         /* [heads, n_q, d_v] of the layer; NULL without values */
};

/* ---- names ---- */

static atn_status note_file(atn_ctx *cx, atn_approx_dump *d, const char *name)
{
    if (json_array_append_new(d->files, json_string(name)) == 0) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "%s: no memory for a name",
                    name);
}

/* folder/name, and the directories above it; noted. *path is the file to write. */
static atn_status new_file(atn_ctx *cx, atn_approx_dump *d, const char *name,
                           char **path)
{
    atn_status st = ATN_OK;
    char *slash;

    *path = atn_path_join(cx, d->work, name);
    if (!*path) ATN_TRY(cx->err.code);
    slash = strrchr(*path, '/');
    *slash = '\0';
    ATN_TRY(atn_dir_make(cx, *path));
    *slash = '/';
    ATN_TRY(note_file(cx, d, name));
done:
    return st;
}

/* ---- open and close ---- */

/* The names that a dump lists, NULL when dir is none. */
static json_t *listed(atn_ctx *cx, const char *dir)
{
    char *path = atn_path_join(cx, dir, "dump.json");
    json_t *j = NULL, *files = NULL;
    const char *schema;

    if (path && atn_file_exists(path) && atn_json_load(cx, path, false, &j) == ATN_OK) {
        schema = json_string_value(json_object_get(j, "schema"));
        if (schema && strcmp(schema, SCHEMA) == 0)
            files = json_incref(json_object_get(j, "files"));
    }
    atn_err_clear(cx);
    json_decref(j);
    atn_free(cx, path);
    return files;
}

static atn_status check_place(atn_ctx *cx, atn_approx_dump *d, bool force)
{
    json_t *files = NULL;
    atn_status st = ATN_OK;

    if (atn_file_exists(d->dir))
        ATN_FAIL(ATN_CANTCREATE, "--dump %s: is a file (choose another)", d->dir);
    if (!atn_dir_exists(d->dir) || atn_dir_is_empty(d->dir)) return ATN_OK;
    files = listed(cx, d->dir);
    if (!files)
        ATN_FAIL(ATN_CANTCREATE,
                 "--dump %s: exists and is no dump, so it stays as it is (choose "
                 "another)",
                 d->dir);
    if (!force)
        ATN_FAIL(ATN_CANTCREATE,
                 "--dump %s: exists already (give --force to replace it, or another)",
                 d->dir);
    d->replaces = true;
done:
    json_decref(files);
    return st;
}

atn_status atn_dump_open(atn_ctx *cx, const atn_approx *a, const char *path, bool force,
                         atn_approx_dump **out)
{
    size_t n = strlen(path);
    atn_status st = ATN_OK;
    atn_approx_dump *d = NULL;

    *out = NULL;
    while (n > 1 && path[n - 1] == '/') n--;
    if (n == 0) ATN_FAIL(ATN_USAGE, "--dump is empty (give a directory to make)");
    ATN_NEW(d, 1);
    d->a = a;
    d->dir = atn_strndup(cx, path, n);
    d->work = atn_strfmt(cx, "%.*s.part-%ld", (int)n, path, (long)getpid());
    if (!d->dir || !d->work) ATN_TRY(cx->err.code);
    d->files = json_array();
    ATN_NEW(d->cases, a->n_cases);
    ATN_TRY(check_place(cx, d, force));
    *out = d;
    d = NULL;
done:
    atn_dump_abandon(cx, d);
    return st;
}

/* Removes the files below dir that are listed, folders that this empties, and dir. */
static void remove_listed(atn_ctx *cx, const char *dir, const json_t *files)
{
    const json_t *name;
    size_t i;

    json_array_foreach(files, i, name)
    {
        const char *text = json_string_value(name);
        char *path, *slash;

        if (!text || *text == '/' || strstr(text, "..")) continue;
        path = atn_path_join(cx, dir, text);
        if (!path) continue;
        (void)unlink(path);
        while ((slash = strrchr(path, '/')) && (size_t)(slash - path) > strlen(dir)) {
            *slash = '\0';
            if (rmdir(path) != 0) break;
        }
        atn_free(cx, path);
    }
    (void)rmdir(dir);
}

static void release(atn_ctx *cx, atn_approx_dump *d)
{
    if (d->plan) (void)fclose(d->plan);
    atn_free(cx, d->plan_path);
    json_decref(d->files);
    atn_free(cx, d->dir);
    atn_free(cx, d->work);
    atn_free(cx, d->cases);
    atn_free(cx, d->o);
    atn_free(cx, d);
}

void atn_dump_abandon(atn_ctx *cx, atn_approx_dump *d)
{
    if (!d) return;
    if (d->work && d->files) remove_listed(cx, d->work, d->files);
    release(cx, d);
}

/* The new directory takes its place; an older dump goes. */
static atn_status put_in_place(atn_ctx *cx, const atn_approx_dump *d)
{
    json_t *files = d->replaces ? listed(cx, d->dir) : NULL;
    char *old = atn_strfmt(cx, "%s.old-%ld", d->dir, (long)getpid());
    atn_status st = ATN_OK;

    if (!old) ATN_TRY(cx->err.code);
    if (!files) (void)rmdir(d->dir); /* an empty one */
    if (files && rename(d->dir, old) != 0)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be replaced: %s", d->dir, strerror(errno));
    if (rename(d->work, d->dir) != 0) {
        const int why = errno;

        if (files) (void)rename(old, d->dir);
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be made: %s", d->dir, strerror(why));
    }
    atn_sync_parent(d->dir);
    if (files) {
        (void)json_array_append_new(files, json_string("dump.json"));
        remove_listed(cx, old, files);
        if (atn_dir_exists(old))
            atn_log(cx, ATN_LOG_WARN,
                    "%s: keeps what lay in the replaced dump and was not part of it",
                    old);
    }
done:
    json_decref(files);
    atn_free(cx, old);
    return st;
}

static atn_status end_plan(atn_ctx *cx, const atn_approx_dump *d, int c);

static atn_status write_list(atn_ctx *cx, const atn_approx_dump *d, const atn_run *run)
{
    char *path = atn_path_join(cx, d->work, "dump.json");
    json_t *methods = json_array(), *j = NULL;
    atn_status st = ATN_OK;

    if (!path) ATN_TRY(cx->err.code);
    for (int c = 0; c < d->a->n_cases; c++)
        if (d->cases[c].begun)
            json_array_append_new(
                methods,
                json_pack("{s:s, s:s, s:s, s:f}", "folder", d->a->cases[c].folder,
                          "method", atn_choice_id(&d->a->cases[c].method->choice),
                          "budget", d->a->cases[c].budget->text, "temperature",
                          d->a->cases[c].temperature));
    j = json_pack("{s:s, s:O, s:O, s:O?}", "schema", SCHEMA, "methods", methods,
                  "files", d->files, "run", run ? run->json : NULL);
    if (!j) ATN_FAIL(ATN_MEMORY, "%s: no memory for the list of a dump", d->dir);
    ATN_TRY(atn_json_save(cx, path, j));
done:
    json_decref(methods);
    json_decref(j);
    atn_free(cx, path);
    return st;
}

atn_status atn_dump_close(atn_ctx *cx, atn_approx_dump *d, const atn_run *run)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_dir_make(cx, d->work));
    for (int c = 0; c < d->a->n_cases; c++)
        if (d->cases[c].begun) ATN_TRY(end_plan(cx, d, c));
    ATN_TRY(write_list(cx, d, run));
    ATN_TRY(note_file(cx, d, "dump.json"));
    ATN_TRY(put_in_place(cx, d));
    release(cx, d);
    d = NULL;
done:
    atn_dump_abandon(cx, d);
    return st;
}

/* ---- JSON by hand: nothing is built up in memory ---- */

static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c < ' ')
            fprintf(out, "\\u%04x", c);
        else
            fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    fputc('"', out);
}

static void put_ints(FILE *out, const int32_t *x, int64_t from, int64_t to)
{
    fputc('[', out);
    for (int64_t e = from; e < to; e++)
        fprintf(out, "%s%d", e > from ? ", " : "", x[e]);
    fputc(']', out);
}

static void put_floats(FILE *out, const float *x, int64_t from, int64_t to)
{
    fputc('[', out);
    for (int64_t e = from; e < to; e++) {
        fputs(e > from ? ", " : "", out);
        if (isfinite(x[e]))
            fprintf(out, "%.9g", (double)x[e]);
        else
            fputs("null", out);
    }
    fputc(']', out);
}

static atn_status put_pattern(atn_ctx *cx, FILE *out, const atn_pattern *p,
                              atn_idx head)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx h = p->heads == 1 ? 0 : head;
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    ATN_TAKE(spans, p->room);
    fprintf(
        out,
        "{\"schema\": \"attnscope/pattern/1\", \"keys\": %lld, \"queries\": %lld, "
        "\"first\": %lld, \"block\": %lld, \"causal\": %s, \"heads\": [{\"rows\": [",
        (long long)p->frame.nk, (long long)p->frame.nq, (long long)p->frame.first,
        (long long)p->frame.block, p->frame.causal ? "true" : "false");
    for (atn_idx a = p->row0; a < p->row1; a++) {
        const atn_idx n = atn_pattern_row(p, h, a, spans);

        fputs(a > p->row0 ? ",\n[" : "\n[", out);
        for (atn_idx s = 0; s < n; s++)
            fprintf(out, "%s[%lld, %lld]", s ? ", " : "", (long long)spans[s].lo,
                    (long long)spans[s].hi);
        fputc(']', out);
    }
    fputs("]}]}", out);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void put_groups(FILE *out, const atn_groups *g)
{
    fputs("[", out);
    for (atn_idx k = 0; k < g->n; k++) {
        fputs(k ? ",\n{\"rows\": " : "\n{\"rows\": ", out);
        put_ints(out, g->row, g->row_ptr[k], g->row_ptr[k + 1]);
        fputs(", \"keys\": ", out);
        put_ints(out, g->key, g->key_ptr[k], g->key_ptr[k + 1]);
        if (g->log_weight) {
            fputs(", \"log_weights\": ", out);
            put_floats(out, g->log_weight, g->key_ptr[k], g->key_ptr[k + 1]);
        }
        if (g->logit && g->logit[k] >= 0) fprintf(out, ", \"logit\": %d", g->logit[k]);
        fputc('}', out);
    }
    fputs("]", out);
}

static atn_status put_part(atn_ctx *cx, FILE *out, const atn_part *p)
{
    atn_status st = ATN_OK;

    if (p->all) {
        fputs("{\"all\": true", out);
    } else if (p->pattern) {
        fputs("{\"pattern\": ", out);
        ATN_TRY(put_pattern(cx, out, p->pattern, p->pattern_head));
    } else {
        fputs("{\"groups\": ", out);
        put_groups(out, &p->groups);
    }
    if (p->q) fputs(", \"own_queries\": true", out);
    if (p->k) fputs(", \"own_keys\": true", out);
    if (p->self_last) fputs(", \"self_last\": true", out);
    fputc('}', out);
done:
    return st;
}

static atn_status put_branches(atn_ctx *cx, FILE *out, const atn_plan *p, atn_idx nq)
{
    atn_status st = ATN_OK;

    fputs(", \"branches\": [", out);
    for (int b = 0; b < p->branches; b++) {
        const atn_branch *branch = &p->branch[b];

        fprintf(out, "%s{\"merge\": \"%s\"", b ? ", " : "",
                branch->merge == ATN_MERGE_LSE ? "lse" : "mean");
        if (branch->scale) {
            fputs(", \"scale\": ", out);
            put_floats(out, branch->scale, 0, nq);
        }
        fputs(", \"parts\": [", out);
        for (int k = 0; k < branch->parts; k++) {
            if (k > 0) fputs(", ", out);
            ATN_TRY(put_part(cx, out, &branch->part[k]));
        }
        fputs("]}", out);
    }
    fputs("]", out);
done:
    return st;
}

static void put_operator(FILE *out, const atn_operator *op)
{
    fputs(", \"operator\": {\"id\": ", out);
    put_text(out, op->kind->id);
    fprintf(out, ", \"executed\": %.17g, \"vanished_rows\": %lld}", op->executed,
            (long long)op->vanished);
}

static void put_virtuals(FILE *out, const atn_plan *p)
{
    if (p->virtuals == 0) return;
    fputs(", \"virtual_keys\": [", out);
    for (atn_idx v = 0; v < p->virtuals; v++) {
        fputs(v ? ",\n{\"keys\": " : "\n{\"keys\": ", out);
        put_ints(out, p->expand, p->expand_ptr[v], p->expand_ptr[v + 1]);
        fputs(", \"shares\": ", out);
        put_floats(out, p->expand_weight, p->expand_ptr[v], p->expand_ptr[v + 1]);
        fputc('}', out);
    }
    fputs("]", out);
}

/* ---- a layer of a case ---- */

static atn_status start_plan(atn_ctx *cx, atn_approx_dump *d, int c)
{
    const atn_approx_case *k = &d->a->cases[c];
    char parameters[ATN_APPROX_PARAMETERS];
    atn_status st = ATN_OK;

    ATN_TRY(atn_approx_parameters(cx, &k->method->choice, NAN, NAN, parameters));
    fputs("{\"schema\": \"attnscope/plan/1\", \"method\": ", d->plan);
    put_text(d->plan, atn_choice_id(&k->method->choice));
    fputs(", \"asked\": ", d->plan);
    put_text(d->plan, parameters);
    fputs(", \"budget\": ", d->plan);
    put_text(d->plan, k->budget->text);
    fprintf(d->plan,
            ", \"temperature\": %.17g, \"unmasked\": %s, \"as_published\": %s, "
            "\"seed\": %llu, \"version\": \"" ATN_VERSION "\", \"layers\": [",
            k->temperature, d->a->opts->unmasked ? "true" : "false",
            d->a->opts->as_published ? "true" : "false", (unsigned long long)cx->seed);
    d->cases[c].begun = true;
done:
    return st;
}

static atn_status open_plan(atn_ctx *cx, atn_approx_dump *d, int c)
{
    char *name = atn_strfmt(cx, "%s/plan.json", d->a->cases[c].folder);
    atn_status st = ATN_OK;

    if (!name) ATN_TRY(cx->err.code);
    if (d->cases[c].begun) {
        d->plan_path = atn_path_join(cx, d->work, name);
        if (!d->plan_path) ATN_TRY(cx->err.code);
    } else {
        ATN_TRY(new_file(cx, d, name, &d->plan_path));
    }
    d->plan = fopen(d->plan_path, d->cases[c].begun ? "ab" : "wb");
    if (!d->plan)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be opened: %s", d->plan_path,
                 strerror(errno));
    if (!d->cases[c].begun) ATN_TRY(start_plan(cx, d, c));
done:
    atn_free(cx, name);
    return st;
}

static atn_status shut_plan(atn_ctx *cx, atn_approx_dump *d)
{
    const bool bad = fflush(d->plan) != 0 || ferror(d->plan);
    const int closed = fclose(d->plan);
    atn_status st = ATN_OK;

    d->plan = NULL;
    if (bad || closed != 0)
        ATN_FAIL(ATN_IO, "%s: writing failed (is the disk full?)", d->plan_path);
done:
    atn_free(cx, d->plan_path);
    d->plan_path = NULL;
    return st;
}

static atn_status end_plan(atn_ctx *cx, const atn_approx_dump *d, int c)
{
    char *path = atn_strfmt(cx, "%s/%s/plan.json", d->work, d->a->cases[c].folder);
    FILE *f = path ? fopen(path, "ab") : NULL;
    atn_status st = ATN_OK;
    bool bad;

    if (!path) ATN_TRY(cx->err.code);
    if (!f) ATN_FAIL(ATN_IO, "%s: cannot be opened: %s", path, strerror(errno));
    bad = fputs("\n]}\n", f) < 0;
    if (fclose(f) != 0 || bad)
        ATN_FAIL(ATN_IO, "%s: writing failed (is the disk full?)", path);
done:
    atn_free(cx, path);
    return st;
}

atn_status atn_dump_begin(atn_ctx *cx, atn_approx_dump *d, int c,
                          const atn_dump_layer *l)
{
    const atn_layer_info *info = l->info;
    atn_status st = ATN_OK;
    atn_idx plane = 0, all = 0;

    d->c = c;
    d->layer = *l;
    d->heads = false;
    d->before = d->cases[c];
    ATN_TRY(open_plan(cx, d, c));
    if (fseek(d->plan, 0, SEEK_END) != 0 || (d->from = ftell(d->plan)) < 0)
        ATN_FAIL(ATN_IO, "%s: has no end: %s", d->plan_path, strerror(errno));
    fprintf(d->plan, "%s\n{\"layer\": %d, \"stack\": \"%s\", \"step\": %d, \"file\": ",
            d->cases[c].layers ? "," : "", info->layer, info->stack, info->step);
    put_text(d->plan, info->file);
    fprintf(d->plan, ", \"first_row\": %lld, \"first_key\": %lld, \"heads\": [",
            (long long)l->first_row, (long long)l->first_key);
    d->cases[c].layers = true;
    if (!info->has_v) return ATN_OK;
    if (!atn_mul(info->nq, info->dv, &plane) || !atn_mul(plane, l->heads, &all))
        ATN_FAIL(ATN_MEMORY, "--dump: the outputs of layer %d are too many numbers",
                 info->layer);
    ATN_NEW(d->o, all);
    for (atn_idx e = 0; e < all; e++) d->o[e] = NAN;
done:
    return st;
}

atn_status atn_dump_head(atn_ctx *cx, atn_approx_dump *d, atn_idx place,
                         const atn_head *h, const atn_plan *p,
                         const atn_approx_cell *cell, atn_cmat o)
{
    const atn_idx plane = d->layer.info->nq * d->layer.info->dv;
    char parameters[ATN_APPROX_PARAMETERS];
    atn_status st = ATN_OK;

    ATN_TRY(atn_approx_parameters(cx, &d->a->cases[d->c].method->choice, cell->fitted,
                                  cell->fitted, parameters));
    fprintf(d->plan, "%s\n{\"head\": %d, \"parameters\": ", d->heads ? "," : "",
            h->head);
    put_text(d->plan, parameters);
    if (cell->fit != ATN_FIT_NONE)
        fprintf(d->plan, ", \"budget_fit\": \"%s\"", atn_fit_names[cell->fit]);
    fprintf(d->plan,
            ", \"tile\": [%lld, %lld], \"kept\": %.17g, \"executed_share\": %.17g, "
            "\"numbers\": %.17g, \"index_flops\": %.17g, \"index_bytes\": %.17g",
            (long long)p->tile_rows, (long long)p->tile_keys,
            cell->value[ATN_APPROX_KEPT], cell->value[ATN_APPROX_EXECUTED],
            cell->value[ATN_APPROX_NUMBERS], p->index_flops, p->index_bytes);
    if (p->op.kind)
        put_operator(d->plan, &p->op);
    else
        ATN_TRY(put_branches(cx, d->plan, p, h->nq));
    put_virtuals(d->plan, p);
    if (p->residual) fputs(", \"residual\": true", d->plan);
    fputc('}', d->plan);
    d->heads = true;
    if (!d->o) goto done;
    memset(d->o + place * plane, 0, (size_t)plane * sizeof *d->o);
    for (atn_idx i = 0; i < h->nq; i++)
        memcpy(d->o + place * plane + (i + d->layer.first_row) * o.cols, atn_crow(o, i),
               (size_t)o.cols * sizeof *d->o);
done:
    return st;
}

atn_status atn_dump_end(atn_ctx *cx, atn_approx_dump *d)
{
    const atn_layer_info *info = d->layer.info;
    const atn_st_out o = {"o", ATN_F32, 3, {d->layer.heads, info->nq, info->dv}, d->o};
    const char *slash = strrchr(info->file, '/');
    char *name =
             atn_approx_beside(cx, d->a, d->c, info, slash ? slash + 1 : info->file),
         *path = NULL;
    atn_status st = ATN_OK;

    if (!name) ATN_TRY(cx->err.code);
    fputs("]}", d->plan);
    ATN_TRY(shut_plan(cx, d));
    if (d->o) {
        ATN_TRY(new_file(cx, d, name, &path));
        ATN_TRY(atn_st_save(cx, path, &o, 1, NULL, true, NULL));
    }
done:
    atn_free(cx, d->o);
    d->o = NULL;
    atn_free(cx, name);
    atn_free(cx, path);
    return st;
}

atn_status atn_dump_drop(atn_ctx *cx, atn_approx_dump *d)
{
    const bool bad = fflush(d->plan) != 0 || ftruncate(fileno(d->plan), d->from) != 0;
    atn_status st = ATN_OK;
    char *slash;

    d->cases[d->c] = d->before;
    atn_free(cx, d->o);
    d->o = NULL;
    if (bad) ATN_FAIL(ATN_IO, "%s: cannot be cut: %s", d->plan_path, strerror(errno));
    if (d->before.begun) return shut_plan(cx, d);
    /* the case has nothing else: its plan was the last name that was noted */
    (void)json_array_remove(d->files, json_array_size(d->files) - 1);
    (void)unlink(d->plan_path);
    slash = strrchr(d->plan_path, '/');
    *slash = '\0';
    (void)rmdir(d->plan_path);
    *slash = '/';
    ATN_TRY(shut_plan(cx, d));
done:
    return st;
}

atn_status atn_dump_draws(atn_ctx *cx, atn_approx_dump *d, int c,
                          const atn_layer_info *l)
{
    atn_draws *draws = d->a->cases[c].draws;
    char *name = NULL, *path = NULL;
    atn_status st = ATN_OK;

    if (!draws || !d->cases[c].begun) return ATN_OK;
    name = atn_approx_beside(cx, d->a, c, l, "draws.safetensors");
    path = name ? atn_path_join(cx, d->work, name) : NULL;
    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_draws_save(cx, draws, path, true));
    if (atn_file_exists(path)) ATN_TRY(note_file(cx, d, name));
done:
    atn_free(cx, name);
    atn_free(cx, path);
    return st;
}
