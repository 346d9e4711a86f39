/* cli/tensor_files.c -- attnscope tensor of .npy files: shapes, matrix by matrix, and
 * what is written. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/tensor_files.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "analysis/describe.h"
#include "analysis/tensor_run.h"
#include "cli/output.h"
#include "core/io/file.h"
#include "core/io/npy.h"

enum { FILES = 1 + 2 * ATN_TENSOR_KEYS_MOST };
/* q, k1 .. k5, v1 .. v5 */
static const char *const names[FILES] = {"q",  "k1", "k2", "k3", "k4", "k5",
                                         "v1", "v2", "v3", "v4", "v5"};
static const char *const others[] = {"degree", "causal", "scale", "marginals",
                                     "max-features"};

typedef struct input {
    const char *path; /* NULL = not given */
    atn_npy a;
    atn_idx rows, cols, count; /* of matrices */
} input;

typedef struct job {
    atn_cli *cli;
    input in[FILES];
    atn_tensor t; /* of the first matrix */
    atn_tensor_opts opts;
    bool wide;
    const char *out, *marginals;
    double *o, *marginal; /* of all matrices */
} job;

const char *atn_tensor_files_option(const atn_cli *cli)
{
    for (int i = 0; i < FILES; i++)
        if (atn_opt_given(cli, names[i])) return names[i];
    for (size_t i = 0; i < ATN_LEN(others); i++)
        if (atn_opt_given(cli, others[i])) return others[i];
    return NULL;
}

/* ---- which files there are ---- */

static atn_status check_free(const job *j, const char *path)
{
    if (!path || atn_opt_given(j->cli, "force") || !atn_file_exists(path))
        return ATN_OK;
    return atn_fail(j->cli->cx, ATN_CANTCREATE, __FILE__, __LINE__,
                    "%s exists already (give --force to replace it)", path);
}

/* Would writing to path replace what is read? */
static atn_status check_no_input(const job *j, const char *path)
{
    struct stat out, in;

    if (!path || stat(path, &out) != 0) return ATN_OK;
    for (int i = 0; i < FILES; i++)
        if (j->in[i].path && stat(j->in[i].path, &in) == 0 && in.st_dev == out.st_dev &&
            in.st_ino == out.st_ino)
            return atn_fail(j->cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "tensor: %s is the file of --%s too (write to another one)",
                            path, names[i]);
    return ATN_OK;
}

static atn_status find_files(job *j)
{
    atn_ctx *cx = j->cli->cx;
    const int most = ATN_TENSOR_KEYS_MOST;
    int n = 0;
    atn_status st = ATN_OK;

    for (int i = 0; i < FILES; i++)
        j->in[i].path = atn_opt_text(j->cli, names[i], NULL);
    for (int k = 1; k <= most; k++)
        if (j->in[k].path || j->in[most + k].path) n = k;
    if (!j->in[0].path || n == 0)
        ATN_FAIL(ATN_USAGE, "tensor: give --q, --k1, --k2, --v1 and --v2 (or RUN "
                            "--regime); attnscope tensor --help has examples");
    for (int k = 1; k <= n; k++)
        for (int v = 0; v < 2; v++)
            if (!j->in[v * most + k].path)
                ATN_FAIL(ATN_USAGE,
                         "tensor: --%s is missing: key and value tensors are numbered "
                         "from 1, and each has both",
                         names[v * most + k]);
    j->t.keys = n;
    j->out = atn_opt_text(j->cli, "output", NULL);
    j->marginals = atn_opt_text(j->cli, "marginals", NULL);
    for (int i = 0; i < 2; i++) {
        const char *path = i ? j->marginals : j->out;

        if (path && !atn_ends_with(path, ".npy"))
            ATN_FAIL(ATN_USAGE,
                     "tensor: %s does not end in .npy, the only form that "
                     "arrays are written in",
                     path);
        ATN_TRY(check_no_input(j, path));
        ATN_TRY(check_free(j, path));
    }
    if (j->out && j->marginals && strcmp(j->out, j->marginals) == 0)
        ATN_FAIL(ATN_USAGE, "tensor: -o and --marginals are the same file, %s", j->out);
done:
    return st;
}

/* ---- shapes ---- */

static atn_status load(job *j, input *in)
{
    atn_ctx *cx = j->cli->cx;
    atn_npy *a = &in->a;
    atn_status st = ATN_OK;

    ATN_TRY(atn_npy_load_wide(cx, in->path, a));
    if (a->rank < 2)
        ATN_FAIL(ATN_DATA,
                 "%s: has %d axes; wanted [n, d], or [.., n, d] for many at once",
                 in->path, a->rank);
    in->rows = a->shape[a->rank - 2];
    in->cols = a->shape[a->rank - 1];
    if (a->count < 1) ATN_FAIL(ATN_DATA, "%s: an axis has length 0", in->path);
    in->count = a->count / in->rows / in->cols;
    for (atn_idx i = 0; i < a->count; i++)
        if (!isfinite(a->f64 ? a->f64[i] : (double)a->f32[i]))
            ATN_FAIL(ATN_DATA, "%s: number %lld is NaN or infinite", in->path,
                     (long long)i);
done:
    return st;
}

/* Two sizes that have to be alike. */
static atn_status check_alike(const job *j, const input *a, const input *b,
                              const char *what, const atn_idx sizes[2])
{
    if (sizes[0] == sizes[1]) return ATN_OK;
    return atn_fail(
        j->cli->cx, ATN_DATA, __FILE__, __LINE__,
        "tensor: %s has %lld %s, but %s has %lld (Q is [n, d], keys are [n, "
        "d], values [n, d_v])",
        b->path, (long long)sizes[1], what, a->path, (long long)sizes[0]);
}

static atn_status check_shapes(job *j)
{
    const int most = ATN_TENSOR_KEYS_MOST;
    const input *q = &j->in[0], *k1 = &j->in[1], *v1 = &j->in[most + 1];
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;

    for (int i = 1; i < FILES; i++) {
        const input *x = &j->in[i], *like = i > most ? v1 : q;

        if (!x->path) continue;
        ATN_TRY(check_alike(j, q, x, "matrices", (atn_idx[]){q->count, x->count}));
        ATN_TRY(check_alike(j, like, x, "columns", (atn_idx[]){like->cols, x->cols}));
        ATN_TRY(check_alike(j, k1, x, "rows", (atn_idx[]){k1->rows, x->rows}));
    }
    j->t.nq = q->rows;
    j->t.nk = k1->rows;
    j->t.d = q->cols;
    j->t.dv = v1->cols;
    j->t.causal = atn_opt_given(j->cli, "causal");
    j->t.scale = atn_opt_f64(j->cli, "scale", 1.0 / (double)j->t.d);
    if (j->t.causal && j->t.nq != j->t.nk)
        ATN_FAIL(ATN_USAGE,
                 "tensor: --causal wants as many queries as keys, not %lld and %lld",
                 (long long)j->t.nq, (long long)j->t.nk);
done:
    return st;
}

/* All of one width: float where none is double. */
static atn_status one_width(job *j)
{
    atn_ctx *cx = j->cli->cx;
    double bytes = 0;
    atn_status st = ATN_OK;

    for (int i = 0; i < FILES; i++) {
        const atn_npy *a = &j->in[i].a;

        j->wide = j->wide || a->f64;
        bytes += a->f32 ? 8.0 * (double)a->count : 0;
    }
    if (j->wide) ATN_TRY(atn_mem_check(cx, bytes, "the inputs in double"));
    for (int i = 0; i < FILES; i++) {
        atn_npy *a = &j->in[i].a;

        if (!j->wide || !a->f32) continue;
        ATN_NEW(a->f64, a->count);
        for (atn_idx e = 0; e < a->count; e++) a->f64[e] = (double)a->f32[e];
        atn_free(cx, a->f32);
        a->f32 = NULL;
    }
done:
    return st;
}

static atn_reals matrix(const input *in, atn_idx i)
{
    const atn_idx at = i * in->rows * in->cols;

    return (atn_reals){in->a.f32 ? in->a.f32 + at : NULL,
                       in->a.f64 ? in->a.f64 + at : NULL};
}

static atn_tensor tensor_of(const job *j, atn_idx i)
{
    atn_tensor t = j->t;

    t.q = matrix(&j->in[0], i);
    for (int k = 0; k < t.keys; k++) {
        t.k[k] = matrix(&j->in[1 + k], i);
        t.v[k] = matrix(&j->in[1 + ATN_TENSOR_KEYS_MOST + k], i);
    }
    return t;
}

/* ---- results ---- */

static atn_status save(const job *j, const char *path, const double *x,
                       const atn_idx *shape, int rank)
{
    const bool force = atn_opt_given(j->cli, "force");
    atn_ctx *cx = j->cli->cx;
    float *narrow = NULL;
    atn_idx n = 1;
    atn_status st = ATN_OK;

    if (j->wide) return atn_npy_save_f64(cx, path, x, rank, shape, force);
    for (int r = 0; r < rank; r++) n *= shape[r];
    ATN_NEW(narrow, n);
    for (atn_idx i = 0; i < n; i++) narrow[i] = (float)x[i];
    ATN_TRY(atn_npy_save_f32(cx, path, narrow, rank, shape, force));
done:
    atn_free(cx, narrow);
    return st;
}

static atn_status write(job *j)
{
    const atn_npy *q = &j->in[0].a;
    const atn_idx many[] = {j->in[0].count, j->t.keys, j->t.nq, j->t.nk};
    atn_idx shape[8];
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;

    memcpy(shape, q->shape, sizeof shape);
    shape[q->rank - 1] = j->t.dv;
    if (j->out) ATN_TRY(save(j, j->out, j->o, shape, q->rank));
    if (j->marginals)
        ATN_TRY(save(j, j->marginals, j->marginal, many[0] > 1 ? many : many + 1,
                     many[0] > 1 ? 4 : 3));
done:
    return st;
}

/* For people: a line a fact, of one matrix. */
static atn_status print_facts(job *j, const atn_table *t)
{
    atn_ctx *cx = j->cli->cx;
    atn_table *facts = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_facts_create(cx, &facts));
    for (int c = 0; c < atn_table_cols(t); c++) {
        const char *name = atn_table_col_name(t, c);

        if (!atn_table_has(t, 0, c)) continue;
        if (atn_table_col_type(t, c) == ATN_COL_STR)
            ATN_TRY(atn_facts_add(cx, facts, name, "%s", atn_table_get_str(t, 0, c)));
        else if (atn_table_col_type(t, c) == ATN_COL_BOOL)
            ATN_TRY(atn_facts_add(cx, facts, name, "%s",
                                  atn_table_get_f64(t, 0, c) != 0 ? "true" : "false"));
        else
            ATN_TRY(atn_facts_add(cx, facts, name, "%.6g", atn_table_get_f64(t, 0, c)));
    }
    ATN_TRY(atn_cli_print(j->cli, facts));
done:
    atn_table_destroy(cx, facts);
    return st;
}

/* Bytes of what is written as floats: of one file at a time. */
static double saving(const job *j, atn_idx outputs, atn_idx marginals)
{
    const double o = j->out ? 4.0 * (double)outputs : 0;

    if (j->wide) return 0;
    return fmax(o, j->marginals ? 4.0 * (double)marginals : 0);
}

static atn_status compute(job *j)
{
    atn_ctx *cx = j->cli->cx;
    const atn_idx many = j->in[0].count, each = j->t.nq * j->t.dv;
    const bool text = atn_opt_i64(j->cli, "format", 0) == ATN_TABLE_TEXT;
    atn_tensor_beside beside = {.marginals = j->marginals != NULL};
    atn_idx marginal = 0, all = 0;
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    if (!atn_mul(j->t.keys * j->t.nk, j->t.nq, &marginal) ||
        !atn_mul(marginal, many, &marginal) || !atn_mul(each, many, &all))
        ATN_FAIL(ATN_MEMORY, "tensor: the sizes overflow");
    if (j->marginals)
        ATN_TRY(atn_mem_check(cx, 8.0 * (double)marginal, "the marginals"));
    beside.bytes = 8.0 * ((double)all + (j->marginals ? (double)marginal : 0)) +
                   saving(j, all, marginal);
    ATN_TRY(atn_tensor_check(cx, &j->t, &j->opts, &beside));
    ATN_NEW(j->o, all);
    if (j->marginals) ATN_NEW(j->marginal, marginal);
    ATN_TRY(atn_tensor_table(cx, &t));
    for (atn_idx i = 0; i < many; i++) {
        const atn_tensor one = tensor_of(j, i);
        const atn_tensor_out out = {
            .o = j->o + i * each,
            .marginal = j->marginals ? j->marginal + i * (marginal / many) : NULL};

        ATN_TRY(atn_tensor_run(cx, &one, &j->opts, &out, t));
    }
    ATN_TRY(write(j));
    if (many == 1 && text)
        ATN_TRY(print_facts(j, t));
    else
        ATN_TRY(atn_cli_print(j->cli, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status read_opts(job *j)
{
    atn_ctx *cx = j->cli->cx;
    atn_status st = ATN_OK;

    atn_tensor_defaults(&j->opts);
    j->opts.degree = (int)atn_opt_i64(j->cli, "degree", -1);
    j->opts.features_most =
        (double)atn_opt_i64(j->cli, "max-features", (int64_t)j->opts.features_most);
    if (j->opts.degree < 0 && atn_opt_given(j->cli, "max-features"))
        ATN_FAIL(ATN_USAGE, "tensor: --max-features is of --degree (give it too, or "
                            "leave this out)");
    if (j->opts.degree > 0 && j->opts.degree % 2)
        atn_log(cx, ATN_LOG_WARN,
                "a polynomial of odd degree %d has a zero: denominators may vanish or "
                "change their sign (an even --degree cannot)",
                j->opts.degree);
done:
    return st;
}

atn_status atn_tensor_files(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    job j = {.cli = cli};
    atn_status st = ATN_OK;

    ATN_TRY(find_files(&j));
    ATN_TRY(read_opts(&j));
    for (int i = 0; i < FILES; i++)
        if (j.in[i].path) ATN_TRY(load(&j, &j.in[i]));
    ATN_TRY(check_shapes(&j));
    ATN_TRY(one_width(&j));
    j.t = tensor_of(&j, 0);
    ATN_TRY(compute(&j));
done:
    for (int i = 0; i < FILES; i++) atn_npy_release(cx, &j.in[i].a);
    atn_free(cx, j.o);
    atn_free(cx, j.marginal);
    return st;
}
