/* tests/make_dump.c -- makes tensors to import, of any size.
 *
 *     make_dump DIR [key=value...]     steps=2 layers=2 heads=4 kv_heads=2 n=64 nk=n
 *                                      d=16 dv=d seed=0 landmark=0
 *
 * writes DIR/q.npy [steps, layers, heads, n, d], DIR/k.npy [.., kv_heads, nk, d] and
 * DIR/v.npy of normal numbers (neighbouring keys alike, steps nearly so), and
 * DIR/roles.json, in which every landmark-th key is a landmark (0: none).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"
#include "core/param.h"
#include "core/rng.h"

typedef struct sizes {
    int64_t steps, layers, heads, kv_heads, n, nk, d, dv, seed, landmark;
} sizes;

static const atn_param table[] = {
    ATN_PARAM_I64(sizes, steps, 2, 1, 1 << 20, "first axis"),
    ATN_PARAM_I64(sizes, layers, 2, 1, 1 << 20, "second axis"),
    ATN_PARAM_I64(sizes, heads, 4, 1, 1 << 20, "heads of queries"),
    ATN_PARAM_I64(sizes, kv_heads, 2, 1, 1 << 20, "heads of keys and values"),
    ATN_PARAM_I64(sizes, n, 64, 1, 1 << 20, "queries"),
    ATN_PARAM_I64(sizes, nk, 0, 0, 1 << 20, "keys, 0 = as many"),
    ATN_PARAM_I64(sizes, d, 16, 1, 1 << 20, "numbers of a query or key"),
    ATN_PARAM_I64(sizes, dv, 0, 0, 1 << 20, "numbers of a value, 0 = as many"),
    ATN_PARAM_I64(sizes, seed, 0, 0, 0x1p53, "of the numbers"),
    ATN_PARAM_I64(sizes, landmark, 0, 0, 1 << 20, "every which key is a landmark"),
    ATN_PARAM_END};

/* Numbers of a step are those of the first and a little of their own. */
static void fill(const sizes *s, const char *name, const atn_idx shape[5], float *x)
{
    const atn_idx rows = shape[3], cols = shape[4];
    const atn_idx heads = shape[1] * shape[2], all = shape[0] * heads;

    for (atn_idx h = 0; h < all; h++) {
        atn_rng base = atn_rng_stream((uint64_t)s->seed, name, 0, h % heads);
        atn_rng own = atn_rng_stream((uint64_t)s->seed, name, 1, h);
        float *to = x + h * rows * cols;

        for (atn_idx i = 0; i < rows * cols; i++) {
            const double before = i < cols ? 0 : (double)to[i - cols];
            const double now = atn_rng_normal(&base) + 0.1 * atn_rng_normal(&own);

            to[i] = (float)(i < cols ? now : 0.8 * before + 0.6 * now);
        }
    }
}

static atn_status make(atn_ctx *cx, const sizes *s, const char *dir, const char *name,
                       const atn_idx shape[5])
{
    char *path = atn_strfmt(cx, "%s/%s.npy", dir, name);
    atn_status st = ATN_OK;
    atn_idx count = 1;
    float *x = NULL;

    if (!path) ATN_TRY(cx->err.code);
    for (int i = 0; i < 5; i++)
        if (!atn_mul(count, shape[i], &count))
            ATN_FAIL(ATN_USAGE, "%s: the sizes are too large", name);
    ATN_NEW(x, count);
    fill(s, name, shape, x);
    ATN_TRY(atn_npy_save_f32(cx, path, x, 5, shape, true));
done:
    atn_free(cx, x);
    atn_free(cx, path);
    return st;
}

static atn_status make_roles(atn_ctx *cx, const sizes *s, const char *dir)
{
    char *path = atn_strfmt(cx, "%s/roles.json", dir);
    json_t *list = json_array();
    atn_status st = ATN_OK;

    if (!path) ATN_TRY(cx->err.code);
    for (int64_t i = 0; i < s->nk; i++)
        json_array_append_new(
            list, json_string(s->landmark > 0 && (i + 1) % s->landmark == 0 ? "landmark"
                                                                            : "none"));
    ATN_TRY(atn_json_save(cx, path, list));
done:
    json_decref(list);
    atn_free(cx, path);
    return st;
}

static atn_status run(atn_ctx *cx, int argc, char **argv)
{
    atn_status st = ATN_OK;
    sizes s;

    if (argc < 2) ATN_FAIL(ATN_USAGE, "give make_dump DIR [key=value...]");
    atn_param_defaults(table, &s);
    for (int i = 2; i < argc; i++)
        ATN_TRY(atn_param_parse(cx, "make_dump", table, argv[i], &s));
    if (s.nk == 0) s.nk = s.n;
    if (s.dv == 0) s.dv = s.d;
    ATN_TRY(atn_dir_make(cx, argv[1]));
    ATN_TRY(
        make(cx, &s, argv[1], "q", (atn_idx[]){s.steps, s.layers, s.heads, s.n, s.d}));
    ATN_TRY(make(cx, &s, argv[1], "k",
                 (atn_idx[]){s.steps, s.layers, s.kv_heads, s.nk, s.d}));
    ATN_TRY(make(cx, &s, argv[1], "v",
                 (atn_idx[]){s.steps, s.layers, s.kv_heads, s.nk, s.dv}));
    ATN_TRY(make_roles(cx, &s, argv[1]));
done:
    return st;
}

int main(int argc, char **argv)
{
    atn_ctx cx;
    atn_status st;

    atn_runtime_open();
    atn_ctx_init(&cx);
    st = run(&cx, argc, argv);
    if (st != ATN_OK) fprintf(stderr, "make_dump: %s\n", cx.err.text);
    atn_ctx_release(&cx);
    return atn_status_exit(st);
}
