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
#include "core/run.h"

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
    char **file; /* [n_files] what was loaded, each once */
    int n_files;
} atn_stack;

/* A directory is a capture, unless it holds none and its name is that of a pattern. */
bool atn_is_capture(const char *word);

/* NOINPUT when the word can only be a file or a directory and there is none: what ends
 * as a table does, or has a '/' and names neither a generator nor a file of one. */
atn_status atn_word_check(atn_ctx *cx, const char *word) ATN_WARN_UNUSED;
/* The i-th id that a SPEC may begin with, generators and presets; NULL = no more. */
const char *atn_pattern_word(int i);

/* like: heads and seed; nk = 0 takes the length that the word says (a grid, a file).
 * USAGE when it says none and nk is 0, or says another than nk; NOINPUT as
 * atn_word_check. */
atn_status atn_stack_read(atn_ctx *cx, const char *word, const atn_layout *like,
                          atn_stack *out) ATN_WARN_UNUSED;
/* The text of LAYER i, in heap memory. */
char *atn_stack_item(atn_ctx *cx, const atn_stack *s, int i) ATN_WARN_UNUSED;
/* Adds the files of the stack to the inputs of the run, if they are not there yet. */
atn_status atn_stack_record(atn_ctx *cx, atn_run *run,
                            const atn_stack *s) ATN_WARN_UNUSED;
void atn_stack_release(atn_ctx *cx, atn_stack *s);
