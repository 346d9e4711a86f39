/* simulators/calibrate.c -- rows of a file of timings by head dim and pass, and a fit
 * of each. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/calibrate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/param.h"
#include "simulators/timing_work.h"

bool atn_timing_is_of(const atn_timing *row, const atn_kernel *k, const atn_device *d)
{
    return strcasecmp(row->gpu, d->id) == 0 && atn_kernel_is_called(k, row->kernel);
}

static bool wanted(const atn_timing_choice *c, const atn_timing *row)
{
    if (!atn_timing_is_of(row, c->kernel, c->device)) return false;
    if (c->named && !atn_kernel_name_holds(row->kernel, c->named)) return false;
    if (c->split && strcmp(c->split, row->split) != 0) return false;
    if (c->head_dim && row->launch.head_dim != c->head_dim) return false;
    if (c->pass >= 0 && (int)row->launch.pass != c->pass) return false;
    return row->us >= 1000 * c->min_ms;
}

static bool same_group(const atn_timing_group *g, const atn_timing *row)
{
    return g->pass == row->launch.pass && g->head_dim == row->launch.head_dim;
}

static bool goes_before(const atn_timing *row, const atn_timing_group *g)
{
    if (row->launch.pass != g->pass) return row->launch.pass < g->pass;
    return row->launch.head_dim < g->head_dim;
}

/* The group of the row, made in its place where it is new. */
static atn_status group_of(atn_ctx *cx, atn_timing_groups *out, const atn_timing *row,
                           atn_timing_group **found)
{
    atn_timing_group *grown;
    atn_status st = ATN_OK;
    int at = 0;

    for (int i = 0; i < out->n; i++)
        if (same_group(&out->group[i], row)) {
            *found = &out->group[i];
            return ATN_OK;
        }
    grown = atn_realloc(cx, out->group, out->n + 1, sizeof *grown);
    if (!grown) ATN_TRY(cx->err.code);
    out->group = grown;
    while (at < out->n && !goes_before(row, &grown[at])) at++;
    memmove(grown + at + 1, grown + at, (size_t)(out->n - at) * sizeof *grown);
    grown[at] = (atn_timing_group){.head_dim = (int)row->launch.head_dim,
                                   .pass = row->launch.pass};
    out->n++;
    *found = &grown[at];
done:
    return st;
}

/* ---- what to say when there is nothing ---- */

enum { WORD_BYTES = 240, LEFT_OUT = 8 };

static atn_status nothing(atn_ctx *cx, const atn_timings *t, const char *path,
                          const atn_timing_choice *c)
{
    char kernels[WORD_BYTES] = "", gpus[WORD_BYTES] = "", splits[WORD_BYTES] = "";
    atn_idx others = 0;

    for (atn_idx i = 0; i < t->n; i++) {
        atn_name_add(kernels, sizeof kernels, t->row[i].kernel);
        atn_name_add(gpus, sizeof gpus, t->row[i].gpu);
        if (*t->row[i].split) atn_name_add(splits, sizeof splits, t->row[i].split);
        others += atn_timing_is_of(&t->row[i], c->kernel, c->device);
    }
    if (others > 0)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: of its %lld rows of %s on %s none is of this split, head "
                        "dim, pass and least time (splits in the file: %s)",
                        path, (long long)others, c->kernel->id, c->device->id,
                        *splits ? splits : "none");
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: no row is of kernel %s on %s (kernels in the file: %s; GPUs: "
                    "%s)",
                    path, c->kernel->id, c->device->id, kernels, gpus);
}

static atn_status untiled(atn_ctx *cx, const atn_timing_groups *g, const char *path)
{
    int nearest = 0;

    atn_kernel_has_head_dim(g->choice.kernel, g->untiled_dim, ATN_PASS_FORWARD,
                            &nearest);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: kernel %s has no tile for head_dim %d, nor for any other row "
                    "chosen (nearest: %d)",
                    path, g->choice.kernel->id, g->untiled_dim, nearest);
}

static void add_count(char *text, size_t size, const char *noun, const char *name,
                      atn_idx n)
{
    const size_t used = strlen(text);

    if (used + 80 < size)
        snprintf(text + used, size - used, "%s%lld of %s %.30s", used ? ", " : "",
                 (long long)n, noun, name);
    else if (used > 3 && strcmp(text + used - 3, "...") != 0)
        snprintf(text + used, size - used, ", ...");
}

/* What leaves the row out; NULL = nothing. */
static const char *stranger(const atn_timing *row, const atn_kernel *k,
                            const atn_device *d, const char **noun)
{
    *noun = "kernel";
    if (!atn_kernel_is_called(k, row->kernel)) return row->kernel;
    *noun = "gpu";
    return d && strcasecmp(row->gpu, d->id) != 0 ? row->gpu : NULL;
}

atn_idx atn_timings_left_out(const atn_timings *t, const atn_kernel *k,
                             const atn_device *d, char *text, size_t size)
{
    struct {
        const char *noun, *name;
        atn_idx n;
    } seen[LEFT_OUT];
    atn_idx all = 0;
    int n = 0;

    *text = '\0';
    for (atn_idx i = 0; i < t->n; i++) {
        const char *noun, *name = stranger(&t->row[i], k, d, &noun);
        int at = 0;

        if (!name) continue;
        all++;
        while (at < n && (strcmp(seen[at].noun, noun) != 0 ||
                          strcasecmp(seen[at].name, name) != 0))
            at++;
        if (at == LEFT_OUT) continue;
        if (at == n) {
            seen[n].noun = noun;
            seen[n].name = name;
            seen[n++].n = 0;
        }
        seen[at].n++;
    }
    for (int i = 0; i < n; i++)
        add_count(text, size, seen[i].noun, seen[i].name, seen[i].n);
    return all;
}

/* ---- groups ---- */

static atn_status count_rows(atn_ctx *cx, atn_timing_groups *out)
{
    atn_timing_group *g;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < out->all->n; i++) {
        const atn_timing *row = &out->all->row[i];

        if (!wanted(&out->choice, row)) continue;
        if (!atn_timing_tile(out->choice.kernel, row)) {
            out->untiled++;
            out->untiled_dim = (int)row->launch.head_dim;
            continue;
        }
        ATN_TRY(group_of(cx, out, row, &g));
        g->n++;
    }
done:
    return st;
}

static void fill_rows(atn_timing_groups *out)
{
    const atn_timing **at = out->rows;

    for (int i = 0; i < out->n; i++) {
        atn_timing_group *g = &out->group[i];

        g->row = at;
        for (atn_idx r = 0; r < out->all->n; r++) {
            const atn_timing *row = &out->all->row[r];

            if (same_group(g, row) && wanted(&out->choice, row) &&
                atn_timing_tile(out->choice.kernel, row))
                *at++ = row;
        }
    }
}

atn_status atn_timing_groups_find(atn_ctx *cx, const atn_timings *t, const char *path,
                                  const atn_timing_choice *choice,
                                  atn_timing_groups *out)
{
    atn_idx n = 0;
    atn_status st = ATN_OK;

    *out = (atn_timing_groups){.all = t, .choice = *choice};
    ATN_TRY(count_rows(cx, out));
    if (out->n == 0)
        ATN_TRY(out->untiled ? untiled(cx, out, path) : nothing(cx, t, path, choice));
    for (int i = 0; i < out->n; i++) n += out->group[i].n;
    ATN_NEW(out->rows, n);
    fill_rows(out);
done:
    if (st != ATN_OK) atn_timing_groups_release(cx, out);
    return st;
}

void atn_timing_groups_release(atn_ctx *cx, atn_timing_groups *g)
{
    atn_free(cx, g->group);
    atn_free(cx, g->rows);
    g->group = NULL;
    g->rows = NULL;
    g->n = 0;
}

/* ---- fits ---- */

atn_idx atn_timing_group_counts(const atn_timing_group *g, atn_time_kind kind)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < g->n; i++) n += atn_timing_counts(g->row[i], kind);
    return n;
}

atn_time_kind atn_timing_group_kind(const atn_timing_group *g, int kind)
{
    const atn_idx least = atn_fit_least_rows(ATN_MODEL_FULL);

    if (kind >= 0) return (atn_time_kind)kind;
    return atn_timing_shapes(g->row, g->n, ATN_MODEL_FULL, least) >= least
               ? ATN_MODEL_FULL
               : ATN_MODEL_FOUR;
}

atn_status atn_calibrate(atn_ctx *cx, const atn_timing_groups *g, int i, int kind,
                         const atn_kernel *with, atn_time_fit *out)
{
    const atn_timing_group *group = &g->group[i];
    const atn_device *d = g->choice.device;
    const atn_time_fit *prefill =
        atn_kernel_own_fit(with, d, group->head_dim, ATN_PASS_FORWARD, ATN_MODEL_FULL);
    const atn_fit_case c = {.kernel = g->choice.kernel,
                            .device = d,
                            .kind = atn_timing_group_kind(group, kind),
                            .rows = group->row,
                            .n = group->n,
                            .kv = prefill ? prefill->c + ATN_TERM_KV : NULL};
    atn_status st = ATN_OK;

    ATN_TRY(group->pass == ATN_PASS_DECODE ? atn_fit_decode(cx, &c, out)
                                           : atn_fit_prefill(cx, &c, out));
    for (int k = 0; k < ATN_TERMS; k++)
        if (out->c[k] < 1e-9) out->c[k] = 0;
    snprintf(out->gpu, sizeof out->gpu, "%s", d->id);
    snprintf(out->architecture, sizeof out->architecture, "%s", d->architecture);
done:
    return st;
}

static bool same_fit(const atn_time_fit *a, const atn_time_fit *b)
{
    return strcmp(a->gpu, b->gpu) == 0 && a->head_dim == b->head_dim &&
           a->pass == b->pass;
}

atn_status atn_kernel_put_fit(atn_ctx *cx, atn_kernel *k, const atn_time_fit *f)
{
    atn_time_fit *grown;
    atn_status st = ATN_OK;

    for (int i = 0; i < k->fits; i++)
        if (same_fit(&k->fit[i], f)) {
            k->fit[i] = *f;
            return ATN_OK;
        }
    grown = atn_realloc(cx, k->fit, k->fits + 1, sizeof *grown);
    if (!grown) ATN_TRY(cx->err.code);
    k->fit = grown;
    k->fit[k->fits++] = *f;
done:
    return st;
}

const atn_time_fit *atn_kernel_own_fit(const atn_kernel *k, const atn_device *d,
                                       int head_dim, atn_pass pass, int kind)
{
    const atn_time_fit *found = NULL;

    for (int i = 0; i < k->fits; i++) {
        const atn_time_fit *f = &k->fit[i];

        if (strcmp(f->gpu, d->id) != 0 || f->head_dim != head_dim || f->pass != pass ||
            (kind >= 0 && (int)f->model != kind))
            continue;
        if (!found || f->model == ATN_MODEL_FULL) found = f;
    }
    return found;
}
