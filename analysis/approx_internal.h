/* analysis/approx_internal.h -- a run of approximations, as its files share it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx.h"
#include "analysis/approx_fit.h"
#include "analysis/approx_list.h"
#include "analysis/approx_sweep.h"
#include "analysis/approx_tiles.h"

/* A method at a budget and temperature. */
typedef struct atn_approx_case {
    double temperature;
    atn_approx_method *method;
    const atn_approx_budget *budget;
    atn_draws *draws; /* of the folder under way; NULL = none are kept nor read */
    atn_draws *tries; /* those of plans that a search makes; likewise */
    char *folder;     /* of the dump, its id or id-2 .. */
    bool published;   /* --as-published */
    bool said;        /* that heads beside a bad one are left out */
} atn_approx_case;

/* A case on a head. */
typedef struct atn_approx_cell {
    bool done, keeps; /* within the budget by itself, where there is one */
    bool stores;      /* numbers for a row, which are no choice of keys */
    atn_fit fit;
    double fitted; /* of the budget parameter; NAN = as in the choice */
    int looks;     /* ATN_LOOKS_*, -1 = the head is not causal */
    atn_idx tile_rows, tile_keys;
    double value[ATN_APPROX_VALUES];
    char **ctas; /* [a->shapes.n] as atn_cta_runs_print; NULL = not kept */
} atn_approx_cell;

/* Layers of one step and stack, in which no name of a draw stands twice. */
typedef struct atn_approx_folder {
    const atn_layer_info *layer; /* one of them */
    int left;                    /* selected layers to come */
    bool open;
    atn_draws **draws, **tries; /* [n_cases] as of the cases */
} atn_approx_folder;

typedef struct atn_approx_head {
    const atn_layer_info *info;
    atn_idx head;
    bool failed; /* it holds no numbers */
} atn_approx_head;

struct atn_approx {
    const atn_capture *capture;
    const atn_selection *selection;
    const atn_approx_opts *opts;
    atn_approx_list list;
    atn_approx_sweep sweep;
    bool matrix;            /* weights of masks are compared, too */
    atn_tile_shapes shapes; /* with opts->tiles */
    /* [n_cases] temperatures, methods of each, and budgets of these */
    atn_approx_case *cases;
    int n_cases, each;     /* all; of a temperature */
    atn_approx_head *head; /* [n] selected */
    atn_idx n;
    atn_approx_cell *cell;        /* [n, n_cases] */
    struct atn_approx_dump *dump; /* NULL = none */
    atn_approx_layer layer;       /* the last one that ran */
    atn_idx heads_done;
    atn_approx_folder
        *folder; /* [folders] of the capture; those under way hold draws */
    int folders;
    bool said_unread; /* that a file of draws has what nothing reads */
    atn_idx from, to; /* heads that are done here */
};

static inline atn_approx_cell *atn_approx_at(const atn_approx *a, atn_idx head, int c)
{
    return &a->cell[head * a->n_cases + c];
}

/* analysis/approx_ctas.c: keeps the CTAs of the plan in the cell; frees them. */
atn_status atn_approx_keep_ctas(atn_ctx *cx, const atn_approx *a, const atn_head *h,
                                const atn_plan *p,
                                atn_approx_cell *cell) ATN_WARN_UNUSED;
void atn_approx_drop_ctas(atn_ctx *cx, const atn_approx *a, atn_approx_cell *cell);

/* The file `name` of case c beside a layer file, below the directory of a dump; in heap
 * memory, NULL = no memory. */
char *atn_approx_beside(atn_ctx *cx, const atn_approx *a, int c,
                        const atn_layer_info *l, const char *name);

/* Parameters as printed, the fitted one at `lo`, or from lo to hi; NAN as in the
 * choice. */
enum { ATN_APPROX_PARAMETERS = 1024 };
atn_status atn_approx_parameters(atn_ctx *cx, const atn_choice *c, double lo, double hi,
                                 char out[ATN_APPROX_PARAMETERS]) ATN_WARN_UNUSED;

/* analysis/approx_notes.c: says which methods keep everything, and which a budget does
 * not reach. */
void atn_approx_notes(atn_ctx *cx, const atn_approx *a);

enum { ATN_APPROX_TOP_K = 32 };
/* Heads of this shape are small enough to keep one thread each. */
bool atn_approx_by_head(const atn_approx *a, const atn_head *h, atn_idx heads);
/* Adds layer i of the selection, whose tensors are not read: the most bytes of any, the
 * flop of all. */
atn_status atn_approx_need(atn_ctx *cx, const atn_approx *a,
                           const atn_approx_source *source, int i,
                           atn_approx_cost *out) ATN_WARN_UNUSED;

/* ---- a layer under way ---- */

typedef struct atn_approx_running {
    atn_approx *a;
    atn_approx_layer layer; /* borrowed */
    const bool *keep;       /* [heads] selected ones of this part of the work */
    const bool *selected;   /* [heads] of all parts */
    atn_idx heads, first;   /* of the layer; the first of its selected ones among all */
    int first_case;         /* those of the temperature under way, a->each */
    atn_idx *row;           /* [heads] of the results; of selected ones */
    atn_dense *dense;       /* [heads] of selected ones that are sound */
    atn_row_sample sample;
    bool sampled;
    double *pairs; /* [nk + 1] sum over the rows of min(k, visible) */
    int32_t *best; /* [selected, each, rows compared] keys of the best possible */
    bool by_head;  /* heads go to threads, else the rows of one */
} atn_approx_running;

static inline const atn_head *atn_running_head(const atn_approx_running *r, atn_idx h)
{
    return &r->layer.step[r->layer.at].head[h];
}

/* analysis/approx_case.c: which methods can run, as far as that is known before the
 * work; then one case on all heads. What a method lacks or forbids is an error where it
 * was asked for by its name, else said once: a mask that it is not for is one only
 * where nothing else runs. */
atn_status atn_running_check(atn_ctx *cx, atn_approx_running *r,
                             bool *runs) ATN_WARN_UNUSED;
/* Says once that the method is left out, for the reason in the error record. */
atn_status atn_running_leave(atn_ctx *cx, atn_approx_method *m) ATN_WARN_UNUSED;
atn_status atn_running_case(atn_ctx *cx, atn_approx_running *r,
                            atn_approx_case *c) ATN_WARN_UNUSED;

/* analysis/approx_heads.c: notes how many keys of each row the best possible has beside
 * case c on head h. Then: layer i of the selection, whose first selected head is head
 * `first` of all. */
atn_status atn_running_oracle(atn_ctx *cx, atn_approx_running *r, atn_idx h, int c,
                              const atn_plan *p, double executed) ATN_WARN_UNUSED;
atn_status atn_approx_run_layer(atn_ctx *cx, atn_approx *a, int i,
                                atn_idx first) ATN_WARN_UNUSED;
/* analysis/approx_share.c: which heads this part does, [heads] of layer i in the arena;
 * the notes of what it found, of case c that failed in the layer of head `first`; and a
 * run out of the notes of all parts. */
atn_status atn_approx_keep(atn_ctx *cx, const atn_approx *a, int i, atn_idx first,
                           const bool **keep) ATN_WARN_UNUSED;
/* The heads of other parts whose logits overflow, so that units with them are left out
 * here, too. */
atn_status atn_approx_find_bad(atn_ctx *cx, atn_approx_running *r) ATN_WARN_UNUSED;
atn_status atn_approx_note_taken_back(atn_ctx *cx, const atn_approx *a, int c,
                                      atn_idx first) ATN_WARN_UNUSED;
atn_status atn_approx_note(atn_ctx *cx, const atn_approx *a) ATN_WARN_UNUSED;
atn_status atn_approx_merge(atn_ctx *cx, atn_approx *a) ATN_WARN_UNUSED;

atn_approx_source atn_approx_source_of(const atn_approx *a, uint64_t seed);
