/* analysis/measure.h -- a measure: a small function of what is known of a head or a
 * layer.
 *
 * A new measure is one file in analysis/measures/ and one line in measures.def; it gets
 * its columns in `stats`, its parameters, its listing and its help from the table.
 * Three kinds:
 *   head   columns are functions of the row statistics of one head. A column with a
 *          `row` function is the mean of it over the rows that count, and so has
 *          quantiles, a profile over positions and, on sampled rows, a standard error;
 *          the others come from `compute`.
 *   layer  walks the rows itself, or reads values, outputs and weights: all heads of a
 *          layer at once. Asked for by name.
 *   model  needs several layers at once. Asked for by name.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/row_stats.h"
#include "analysis/select.h"
#include "core/param.h"

typedef struct atn_measure_col {
    const char *name;  /* published column name, the unit inside; NULL ends the list */
    const char *unit;  /* "" = none */
    const char *range; /* of the values: "[0, 1]", ">= 0" */
    const char *text;  /* one line of help */
    /* Value of row i, which counts; NaN = the row stays out of this mean. */
    double (*row)(const atn_head_stats *s, atn_idx i);
} atn_measure_col;

enum { /* what a layer measure wants beside Q and K */
       ATN_WANT_V = 1,
       ATN_WANT_OUT =
           2, /* P V of every head: one more pass, shared by all that want it */
       ATN_WANT_W_O = 4, /* taken where the capture has it; never required */
       ATN_WANT_HIDDEN = 8,
       ATN_WANT_TOKENS = 16,
       ATN_WANT_QK = 32, /* the capture may hold P alone */
};

/* One layer; everything is borrowed. */
typedef struct atn_layer_facts {
    const atn_problem *problem;
    const atn_head
        *head; /* [heads] all heads of the layer; their rows may be sampled */
    atn_idx heads;
    const bool *keep; /* [heads] those asked for; the others need no values */
    atn_idx skip_rows;
    const int32_t *tokens; /* [nk], NULL = unknown */
    const float *out;      /* [heads, head->nq, dv], with ATN_WANT_OUT */
    const float *w_o;      /* [heads * dv, width], NULL = not captured */
    atn_idx width;
    const float *hidden; /* [nq, width_h] input of the layer, with ATN_WANT_HIDDEN */
    atn_idx hidden_width;
    bool damaged; /* w_o or hidden is there but holds no numbers */
    const atn_capture *capture;
    int at; /* index of atn_capture_layer */
} atn_layer_facts;

typedef struct atn_model_facts {
    const atn_capture *capture;
    const atn_selection *selection;
    atn_idx skip_rows;
} atn_model_facts;

/* Layer i of the selection. */
static inline const atn_layer_info *atn_model_layer(const atn_model_facts *m, int i)
{
    return atn_capture_layer(m->capture, m->selection->at[i]);
}

typedef struct atn_measure {
    const char *id, *title;
    const char *source;      /* paper or own derivation */
    unsigned needs;          /* ATN_NEED_* of the row statistics */
    unsigned wants;          /* ATN_WANT_* of layer measures */
    bool named;              /* runs only when asked for by name: not part of `all` */
    int passes;              /* walks over the rows of its own, at most */
    const atn_param *params; /* NULL = none */
    size_t params_size;
    const atn_measure_col *cols;
    /* Bit c: column c asks for the query's place among the keys, so its cells are
     * empty where queries stand in another text (sight.cross). */
    unsigned by_place;
    /* USAGE when the parameters do not go together; may be NULL. Called with s NULL
     * once they are read and, of a head measure, with every head, whose keys they may
     * not fit. */
    atn_status (*check)(atn_ctx *cx, const void *params, const atn_head_stats *s);
    /* Sets what the row pass must know from the parameters; may be NULL. */
    void (*want)(const void *params, atn_row_stats_opts *opts);
    /* One of these, or none when every column has a row function. `out` holds a value a
     * column (for every head of the layer, or every selected head), NaN on entry;
     * NaN = an empty cell. */
    void (*compute)(const atn_head_stats *s, const void *params, double *out);
    atn_status (*layer)(atn_ctx *cx, const atn_layer_facts *f, const void *params,
                        double *out);
    atn_status (*model)(atn_ctx *cx, const atn_model_facts *m, const void *params,
                        double *out);
    /* Of a layer measure: does a head's value in this column depend on the other heads?
     * Such cells stay empty where a head of the layer is bad. NULL = every head is
     * apart. */
    bool (*mixes)(const void *params, int col);
    /* Of a layer measure: heads that are not kept cost next to nothing, so that a long
     * layer can be done some heads at a time. */
    bool by_head;
} atn_measure;

enum { ATN_EVERY_COL = -1 };
#define ATN_COL_BIT(c) (1u << (c))
/* Is the cell empty on heads of this sight, whatever they hold? */
static inline bool atn_measure_placeless(const atn_measure *m, int col,
                                         const atn_sight *s)
{
    return s->cross && (m->by_place >> ATN_MIN(col, 31) & 1u);
}

/* For measures whose every column mixes heads. */
bool atn_measure_mixes(const void *params, int col);

#define ATN_MEASURE_COLS_END                                                           \
    {                                                                                  \
        NULL, NULL, NULL, NULL, NULL                                                   \
    }

extern const atn_measure *const atn_measures[];      /* by id, NULL-terminated */
const atn_measure *atn_measure_find(const char *id); /* NULL = none */
int atn_measure_n_cols(const atn_measure *m);
