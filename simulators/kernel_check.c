/* simulators/kernel_check.c -- what rows of a kernel file must be to one another. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "simulators/files.h"
#include "simulators/kernel_internal.h"

static bool same_box(const atn_list *a, const atn_list *b)
{
    return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n * sizeof a->at[0]) == 0;
}

static bool same_kind(const atn_kernel_tile *a, const atn_kernel_tile *b)
{
    return a->head_dim == b->head_dim && a->pass == b->pass &&
           strcmp(a->architecture, b->architecture) == 0 && a->q.n == b->q.n &&
           a->takes & b->takes;
}

atn_status atn_kernel_check_tile(atn_ctx *cx, const char *what, const atn_kernel *k,
                                 int i)
{
    const atn_kernel_tile *t = &k->tile[i];
    atn_status st = ATN_OK;

    for (int j = 0; j < i; j++) {
        const atn_kernel_tile *o = &k->tile[j];

        if (!same_kind(t, o)) continue;
        if (same_box(&o->q, &t->q) && same_box(&o->k, &t->k))
            ATN_FAIL(ATN_DATA,
                     "%s: \"q\" and \"k\" are those of tiles[%d], for a mask of its "
                     "\"takes\" too (leave one out)",
                     what, j);
        if (o->usual && t->usual)
            ATN_FAIL(ATN_DATA,
                     "%s: \"usual\" is true, as of tiles[%d]: one tile of a head dim, "
                     "pass, rank and mask can be",
                     what, j);
    }
done:
    return st;
}

/* Is the coefficient one of the model? Nodes of the KV write come with decode fits from
 * those of prefill. */
static bool has_term(const atn_time_fit *f, int i)
{
    const bool decode = f->pass == ATN_PASS_DECODE;
    const bool node = i >= ATN_TERM_KV && i < ATN_TERM_KV + 6;

    if (f->model == ATN_MODEL_FOUR)
        return decode ? i == ATN_TERM_T0 || i == ATN_TERM_BYTE || node
                      : i <= ATN_TERM_MASK;
    if (decode) return i != ATN_TERM_MASK && i != ATN_TERM_GQA && i != ATN_TERM_L2;
    return i < ATN_TERM_CTA_MHA;
}

atn_status atn_kernel_check_terms(atn_ctx *cx, const char *what, const json_t *c,
                                  const atn_time_fit *f)
{
    atn_status st = ATN_OK;
    bool any = false;

    for (int i = 0; i < ATN_TERMS; i++) {
        if (json_object_get(c, atn_term_names[i]) && !has_term(f, i))
            ATN_FAIL(
                ATN_DATA,
                "%s: \"coefficients\" has \"%s\", which the model %s of %s has not "
                "(leave it out, or name another \"model\" or \"pass\")",
                what, atn_term_names[i], atn_time_kind_names[f->model],
                atn_pass_names[f->pass]);
        any |= f->c[i] > 0;
    }
    if (!any)
        ATN_FAIL(ATN_DATA,
                 "%s: \"coefficients\" has none above 0: every launch would take no "
                 "time (give them, or leave the fit out)",
                 what);
done:
    return st;
}

atn_status atn_kernel_check_fit(atn_ctx *cx, const char *what, const atn_kernel *k,
                                int i)
{
    const atn_time_fit *f = &k->fit[i];
    atn_status st = ATN_OK;

    for (int j = 0; j < i; j++) {
        const atn_time_fit *o = &k->fit[j];

        if (o->head_dim == f->head_dim && o->pass == f->pass && o->model == f->model &&
            strcmp(o->gpu, f->gpu) == 0)
            ATN_FAIL(ATN_DATA,
                     "%s: \"gpu\", \"head_dim\", \"pass\" and \"model\" are those of "
                     "fits[%d] (leave one out)",
                     what, j);
    }
done:
    return st;
}

atn_status atn_kernel_check_like(atn_ctx *cx, const char *what, const char *like)
{
    const size_t n = strlen(like);
    const char *ids[64];
    char known[240];
    int ids_n = 0;

    if (atn_embedded_find("kernels", like)) return ATN_OK;
    if (n > 5 && strcmp(like + n - 5, ".json") == 0) return ATN_OK;
    for (; ids_n < (int)ATN_LEN(ids) && atn_kernel_id(ids_n); ids_n++)
        ids[ids_n] = atn_kernel_id(ids_n);
    atn_known(like, ids, ids_n, known, sizeof known);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: \"like\" is \"%s\", which is no kernel %s", what, like, known);
}

atn_status atn_kernel_fill_architecture(atn_ctx *cx, const char *what, atn_time_fit *f)
{
    const atn_embedded *e = atn_embedded_find("devices", f->gpu);
    atn_status st = ATN_OK;
    atn_device d;

    if (f->architecture[0] && !(atn_architecture_flop(f->architecture) > 0))
        ATN_FAIL(ATN_DATA, "%s: \"architecture\" is \"%s\", which is unknown (as sm90)",
                 what, f->architecture);
    if (!e && !f->architecture[0])
        atn_log(cx, ATN_LOG_WARN,
                "%s: \"gpu\" is \"%s\", which is no built-in device, and there is no "
                "\"architecture\": the fit is for a device file of that id alone "
                "(attnscope list devices)",
                what, f->gpu);
    if (!e) return ATN_OK;
    ATN_TRY(atn_device_parse(cx, e->name, e->text, e->size, &d));
    if (f->architecture[0] && strcmp(f->architecture, d.architecture) != 0)
        ATN_FAIL(ATN_DATA, "%s: \"architecture\" is \"%s\", and %s is %s", what,
                 f->architecture, f->gpu, d.architecture);
    memcpy(f->architecture, d.architecture, sizeof f->architecture);
done:
    return st;
}
