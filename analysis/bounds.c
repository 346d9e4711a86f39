/* analysis/bounds.c -- experiments over the heads of a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/bounds.h"

#include <stdio.h>
#include <string.h>

#include "analysis/shares.h"
#include "approx/method.h"
#include "core/plan.h"
#include "core/rows.h"

static const atn_idx MOST = 1024;

/* ---- which experiments ---- */

/* Is the word of n letters among those of `words`, which spaces separate? */
static bool has_word(const char *words, const char *word, size_t n)
{
    for (const char *w = words; w && *w; w += strspn(w, " ")) {
        const size_t len = strcspn(w, " ");

        if (len == n && strncmp(w, word, n) == 0) return true;
        w += len;
    }
    return false;
}

static bool is_word(const char *s, const char *word, size_t n)
{
    return strlen(s) == n && strncmp(s, word, n) == 0;
}

static bool names_bound(const atn_bound *b, const char *word, size_t n)
{
    return is_word(b->id, word, n) || is_word(b->label, word, n);
}

static bool names_experiment(const atn_experiment *e, const char *word, size_t n)
{
    return is_word(e->id, word, n) || is_word(e->label, word, n);
}

/* Does the experiment check a bound that the word names? */
static bool checks_named(const atn_experiment *e, const char *word, size_t n)
{
    for (const atn_bound *const *b = atn_bound_table; *b; b++)
        if (names_bound(*b, word, n) && has_word(e->bounds, (*b)->id, strlen((*b)->id)))
            return true;
    return false;
}

/* Some word of `names` names the experiment, or a bound that it checks. */
static bool wants(const char *names, const atn_experiment *e)
{
    for (const char *w = names; w && *w; w += *w == ',') {
        const size_t n = strcspn(w, ",");

        if (names_experiment(e, w, n) || checks_named(e, w, n)) return true;
        w += n;
    }
    return !names;
}

/* A check stays where its experiment or its bound is named. */
static bool stays(const char *names, const atn_check *c)
{
    for (const char *w = names; w && *w; w += *w == ',') {
        const size_t n = strcspn(w, ",");

        if (names_experiment(c->experiment, w, n) || names_bound(c->bound, w, n))
            return true;
        w += n;
    }
    return !names;
}

static bool is_known(const char *word, size_t n)
{
    for (const atn_experiment *const *e = atn_experiments; *e; e++)
        if (names_experiment(*e, word, n)) return true;
    for (const atn_bound *const *b = atn_bound_table; *b; b++)
        if (names_bound(*b, word, n)) return true;
    return false;
}

static bool is_checked(const char *word, size_t n)
{
    for (const atn_experiment *const *e = atn_experiments; *e; e++)
        if (names_experiment(*e, word, n) || checks_named(*e, word, n)) return true;
    return false;
}

atn_status atn_bound_unknown(atn_ctx *cx, const char *name)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const char **ids = NULL;
    atn_status st = ATN_OK;
    int bounds = 0, all, near;

    while (atn_bound_table[bounds]) bounds++;
    for (all = bounds; atn_experiments[all - bounds];) all++;
    ATN_TAKE(ids, all + 1);
    for (int i = 0; i < all; i++)
        ids[i] = i < bounds ? atn_bound_table[i]->id : atn_experiments[i - bounds]->id;
    near = atn_nearest(name, ids, all);
    ATN_FAIL(ATN_USAGE,
             "there is no bound or experiment '%.60s'%s%s (attnscope list bounds and "
             "list experiments name them)",
             name, near >= 0 ? "; did you mean " : "", near >= 0 ? ids[near] : "");
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status unknown_word(atn_ctx *cx, const char *word, size_t n)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)ATN_MIN(n, sizeof name - 1), word);
    return atn_bound_unknown(cx, name);
}

static atn_status choose(atn_ctx *cx, const atn_bounds_opts *o, atn_bounds *b)
{
    atn_status st = ATN_OK;
    int n = 0;

    for (const char *w = o->names; w; w = *w ? w + 1 : NULL) {
        const size_t len = strcspn(w, ",");

        if (!is_known(w, len)) ATN_TRY(unknown_word(cx, w, len));
        if (!is_checked(w, len))
            ATN_FAIL(ATN_USAGE,
                     "no experiment checks the bound %.*s (attnscope help bound %.*s "
                     "says what it states)",
                     (int)len, w, (int)len, w);
        w += len;
    }
    while (atn_experiments[n]) n++;
    ATN_NEW(b->part, n);
    for (int i = 0; i < n; i++)
        if (wants(o->names, atn_experiments[i]))
            b->part[b->parts++].of = atn_experiments[i];
done:
    return st;
}

/* ---- what an experiment cannot run on ---- */

static const char *lacks(const atn_experiment *e, const atn_head *h)
{
    if (e->qk && h->p.data) return "it reads queries and keys (import --q and --k)";
    if (e->values && !h->v.data) return "it reads values (import --v)";
    if (!(e->sides & (h->sight.causal ? ATN_CAUSAL : ATN_BIDIRECTIONAL)))
        return h->sight.causal ? "it is for heads without a causal mask"
                               : "it is for causal heads";
    return h->nq < 1 || h->nk < 1 ? "there are no tokens" : NULL;
}

static atn_status leave_out(atn_ctx *cx, atn_bounds_part *p, const char *why)
{
    atn_status st = ATN_OK;

    if (p->left_out) return ATN_OK;
    ATN_NEW(p->left_out, (atn_idx)strlen(why) + 1);
    memcpy(p->left_out, why, strlen(why) + 1);
done:
    return st;
}

/* What an experiment says that it cannot do is no error of the run. */
static atn_status forgive(atn_ctx *cx, atn_bounds_part *p, atn_status why)
{
    atn_status st = ATN_OK;

    if (why != ATN_DATA && why != ATN_USAGE) return why;
    ATN_TRY(leave_out(cx, p, cx->err.text));
    atn_err_clear(cx);
done:
    return st;
}

/* ---- heads ---- */

/* What one experiment found on one head. */
typedef struct found {
    atn_checks checks;
    bool ran;
    const char *lacks;
    char why[ATN_ERR_TEXT];
} head_found;

typedef struct layer_run {
    atn_bounds *b;
    const atn_bounds_opts *o;
    atn_problem problem;
    bool *bad;
    atn_idx *head;  /* [n] selected and sound */
    atn_idx *place; /* [n] of all selected heads */
    atn_idx n;
    atn_idx from, to;          /* places that are done here */
    head_found *found;         /* [n, parts] */
    char (*why)[ATN_ERR_TEXT]; /* [n] the head holds no numbers; "" = it does */
} layer_run;

/* Heads of an experiment that is for some: spread evenly over the selected ones. */
static bool takes(const layer_run *l, const atn_experiment *e, atn_idx place)
{
    const atn_idx all = l->b->selection->n_heads, some = e->heads;

    if (!e->head) return false;
    if (some <= 0 || some >= all || l->o->all_heads) return true;
    for (atn_idx k = 0; k < some; k++)
        if (k * all / some == place) return true;
    return false;
}

/* Is one of n heads from `first` on taken by an experiment of the run? */
static bool takes_any(const layer_run *l, atn_idx first, atn_idx n)
{
    for (int m = 0; m < l->b->parts; m++)
        for (atn_idx place = first; place < first + n; place++)
            if (takes(l, l->b->part[m].of, place)) return true;
    return false;
}

static atn_idx most_of(const layer_run *l, const atn_experiment *e)
{
    if (l->o->most > 0) return l->o->most;
    return e->most > 0 ? e->most : MOST;
}

/* Experiment m on a head whose facts are there. */
static atn_status one_experiment(atn_ctx *cx, const layer_run *l, int m, head_found *f,
                                 atn_head_facts *facts)
{
    const atn_experiment *e = l->b->part[m].of;
    const atn_trial_head t = {.facts = facts,
                              .trials = l->o->trials > 0 ? l->o->trials : e->trials,
                              .seed = cx->seed,
                              .asked = l->o->trials};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;

    st = e->head(cx, &t, &f->checks);
    atn_arena_rewind(cx, mark);
    if (st == ATN_DATA || st == ATN_USAGE) {
        snprintf(f->why, sizeof f->why, "%s", cx->err.text);
        atn_err_clear(cx);
        return ATN_OK;
    }
    ATN_TRY(st);
    f->ran = true;
done:
    return st;
}

/* Does part m run on the head at `place`? */
static bool runs(const layer_run *l, int m, atn_idx place, const head_found *found)
{
    return takes(l, l->b->part[m].of, place) && !found[m].lacks;
}

/* The fewest tokens above `made` that an experiment of this head takes; 0 = none. */
static atn_idx next_most(const layer_run *l, atn_idx place, const head_found *found,
                         atn_idx made)
{
    atn_idx next = 0;

    for (int m = 0; m < l->b->parts; m++) {
        const atn_idx most = most_of(l, l->b->part[m].of);

        if (runs(l, m, place, found) && most > made && (next == 0 || most < next))
            next = most;
    }
    return next;
}

/* All experiments on one head, those of fewer tokens first: facts are made once for all
 * that take as many. */
static atn_status one_head(atn_ctx *cx, atn_idx task, void *state)
{
    layer_run *l = state;
    const atn_head whole = atn_problem_head(&l->problem, l->head[task]);
    const atn_idx place = l->place[task];
    head_found *found = l->found + task * l->b->parts;
    atn_head_facts facts = {0};
    atn_status st = ATN_OK;
    atn_idx row, made = 0;
    const atn_head h = atn_head_trim(&whole, &row);

    for (int m = 0; m < l->b->parts; m++)
        if (takes(l, l->b->part[m].of, place))
            found[m].lacks = lacks(l->b->part[m].of, &h);
    while ((made = next_most(l, place, found, made)) > 0) {
        st = atn_head_facts_make(cx, &h, made, &facts);
        if (st == ATN_DATA) {
            snprintf(l->why[task], sizeof l->why[task], "%s", cx->err.text);
            atn_err_clear(cx);
            st = ATN_OK;
            goto done;
        }
        ATN_TRY(st);
        for (int m = 0; m < l->b->parts; m++)
            if (most_of(l, l->b->part[m].of) == made && runs(l, m, place, found))
                ATN_TRY(one_experiment(cx, l, m, &found[m], &facts));
        atn_head_facts_release(cx, &facts);
    }
done:
    atn_head_facts_release(cx, &facts);
    return st;
}

/* What was found on the heads of a layer, in their order, behind what is there. */
static atn_status collect(atn_ctx *cx, layer_run *l, int at)
{
    atn_bounds *b = l->b;
    atn_status st = ATN_OK;

    for (atn_idx k = 0; k < l->n; k++) {
        if (l->why[k][0]) atn_log(cx, ATN_LOG_WARN, "%s", l->why[k]);
        b->failed += l->why[k][0] != '\0';
        for (int m = 0; m < b->parts && !l->why[k][0]; m++) {
            head_found *f = &l->found[k * b->parts + m];

            b->part[m].heads += f->ran;
            if (f->lacks) ATN_TRY(leave_out(cx, &b->part[m], f->lacks));
            if (f->why[0]) ATN_TRY(leave_out(cx, &b->part[m], f->why));
            for (atn_idx i = 0; i < f->checks.n; i++) {
                atn_check *c = &f->checks.check[i];

                c->experiment = b->part[m].of;
                c->at = at;
                c->head = (int)l->head[k];
                if (stays(l->o->names, c)) ATN_TRY(atn_checks_add(cx, &b->checks, c));
            }
        }
    }
done:
    return st;
}

static void release_layer(atn_ctx *cx, layer_run *l)
{
    for (atn_idx k = 0; l->found && k < l->n * l->b->parts; k++)
        atn_checks_release(cx, &l->found[k].checks);
    atn_free(cx, l->found);
    atn_free(cx, l->why);
    atn_free(cx, l->head);
    atn_free(cx, l->place);
    atn_free(cx, l->bad);
    atn_capture_unload(cx, &l->problem);
}

/* Layer i of the selection, whose first selected head is number `first` of all; it is
 * read where an experiment takes a head of it, and one of them is done here. */
static atn_status run_layer(atn_ctx *cx, const layer_run *like, int i, atn_idx first)
{
    atn_bounds *b = like->b;
    const atn_selection *sel = b->selection;
    const int at = sel->at[i];
    const atn_idx heads = atn_capture_layer(b->capture, at)->heads;
    const atn_idx selected = atn_selection_heads(sel, i);
    layer_run l = *like;
    atn_status st = ATN_OK;

    if (first >= l.to || first + selected <= l.from) return ATN_OK;
    if (!takes_any(&l, first, selected)) return ATN_OK;
    ATN_NEW(l.bad, heads);
    ATN_NEW(l.head, heads);
    ATN_NEW(l.place, heads);
    ATN_TRY(atn_capture_load_heads(cx, b->capture, at, &l.problem, l.bad));
    for (atn_idx h = 0; h < heads; h++) {
        const atn_idx place = first;

        first += sel->heads[i * sel->max_heads + h];
        if (first == place || place < l.from || place >= l.to) continue;
        b->failed += l.bad[h];
        if (l.bad[h]) continue;
        l.head[l.n] = h;
        l.place[l.n++] = place;
    }
    ATN_NEW(l.found, l.n * b->parts);
    ATN_NEW(l.why, l.n);
    ATN_TRY(atn_parallel(cx, l.n, one_head, &l, "bounds"));
    ATN_TRY(collect(cx, &l, at));
done:
    release_layer(cx, &l);
    return st;
}

/* ---- the rest ---- */

/* An experiment of the whole model, or of none. */
static atn_status run_whole(atn_ctx *cx, atn_bounds *b, const atn_bounds_opts *o, int m)
{
    const atn_experiment *e = b->part[m].of;
    const atn_trial_model t = {.capture = b->capture,
                               .selection = b->selection,
                               .trials = o->trials > 0 ? o->trials : e->trials,
                               .seed = cx->seed,
                               .most = o->most > 0   ? o->most
                                       : e->most > 0 ? e->most
                                                     : MOST};
    atn_status st = ATN_OK;
    atn_checks found = {0};

    st = e->once ? e->once(cx, &t, &found) : e->model(cx, &t, &found);
    if (st != ATN_OK) ATN_TRY(forgive(cx, &b->part[m], st));
    for (atn_idx i = 0; i < found.n; i++) {
        atn_check *c = &found.check[i];

        c->experiment = e;
        if (e->once) c->at = c->head = -1;
        if (stays(o->names, c)) ATN_TRY(atn_checks_add(cx, &b->checks, c));
    }
done:
    atn_checks_release(cx, &found);
    return st;
}

/* By experiment, then as they came: heads in order. */
static atn_status sort_checks(atn_ctx *cx, atn_bounds *b)
{
    atn_checks sorted = {0};
    atn_status st = ATN_OK;

    for (int m = 0; m < b->parts; m++)
        for (atn_idx i = 0; i < b->checks.n; i++)
            if (b->checks.check[i].experiment == b->part[m].of)
                ATN_TRY(atn_checks_add(cx, &sorted, &b->checks.check[i]));
    atn_checks_release(cx, &b->checks);
    b->checks = sorted;
    sorted = (atn_checks){0};
done:
    atn_checks_release(cx, &sorted);
    return st;
}

static atn_status run_all(atn_ctx *cx, atn_bounds *b, const atn_bounds_opts *o)
{
    const atn_selection *sel = b->selection;
    layer_run like = {.b = b, .o = o};
    atn_status st = ATN_OK;
    atn_idx first = 0, whole = 0;

    ATN_TRY(atn_share_heads(cx, o->shard, b->capture, sel, &like.from, &like.to));
    for (int m = 0; m < b->parts; m++)
        if ((b->part[m].of->once || b->part[m].of->model) &&
            atn_shard_takes(o->shard, whole++))
            ATN_TRY(run_whole(cx, b, o, m));
    whole = b->checks.n;
    if (atn_shard_is_part(o->shard)) ATN_TRY(atn_bounds_note(cx, b, 0, true, o->shard));
    for (int i = 0; i < sel->n; i++) {
        ATN_TRY(run_layer(cx, &like, i, first));
        first += atn_selection_heads(sel, i);
    }
    if (atn_shard_is_part(o->shard))
        ATN_TRY(atn_bounds_note(cx, b, whole, false, o->shard));
done:
    return st;
}

atn_status atn_bounds_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_bounds_opts *o, atn_bounds *out)
{
    atn_status st = ATN_OK;

    *out = (atn_bounds){
        .capture = c, .selection = sel, .trials = o->trials, .most = o->most};
    ATN_TRY(choose(cx, o, out));
    if (atn_shard_merges(o->shard))
        ATN_TRY(atn_bounds_merge(cx, out, o->shard));
    else
        ATN_TRY(run_all(cx, out, o));
    ATN_TRY(sort_checks(cx, out));
    if (atn_shard_is_part(o->shard)) goto done;
    for (atn_idx i = 0; i < out->checks.n; i++) out->checks.check[i].seed = cx->seed;
    atn_checks_judge(&out->checks);
done:
    return st;
}

void atn_bounds_release(atn_ctx *cx, atn_bounds *b)
{
    atn_checks_release(cx, &b->checks);
    for (int m = 0; m < b->parts; m++) atn_free(cx, b->part[m].left_out);
    atn_free(cx, b->part);
    *b = (atn_bounds){0};
}

atn_idx atn_bounds_count(const atn_bounds *b, atn_verdict v)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < b->checks.n; i++) n += b->checks.check[i].verdict == v;
    return n;
}
