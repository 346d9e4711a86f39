/* cli/patterns.h -- patterns as words of a command line.
 *
 *   WORD  = LAYER[,LAYER...]               layers of a model from the first one up
 *   LAYER = [COUNTx]SPEC[+SPEC...]         COUNT equal layers (1) of the union of specs
 *   SPEC  = id[:key=value[,key=value...]]  attnscope list patterns
 *         | FILE.json                      core/io/pattern.h
 * A WORD that is an existing file is one FILE.json, whatever its name holds.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/pattern.h"

enum { ATN_STACK_MOST = 4096 };

/* The patterns of a stack of layers. Copies of a LAYER share one, unless they are
 * random or take turns. */
typedef struct atn_stack {
    char *name; /* the word */
    int n;
    const atn_pattern **layer; /* [n] */
    int *item;                 /* [n] which LAYER of the word it comes of */
    int items;
    atn_pattern **own; /* [n_own] what `layer` points to */
    int n_own;
} atn_stack;

/* A directory is a capture, unless it holds none and its name is that of a pattern. */
bool atn_is_capture(const char *word);

/* like: heads and seed; nk = 0 takes the length that the word says (a grid, a file).
 * USAGE when it says none and nk is 0, or says another than nk. */
atn_status atn_stack_read(atn_ctx *cx, const char *word, const atn_layout *like,
                          atn_stack *out) ATN_WARN_UNUSED;
/* The text of LAYER i, in heap memory. */
char *atn_stack_item(atn_ctx *cx, const atn_stack *s, int i) ATN_WARN_UNUSED;
void atn_stack_release(atn_ctx *cx, atn_stack *s);
