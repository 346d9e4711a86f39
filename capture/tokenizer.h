/* capture/tokenizer.h -- runs the tokenizer of a model directory.
 *
 * Pipeline: added tokens are cut out, the rest is normalised, cut into pieces, each
 * piece goes through BPE, WordPiece or Unigram, and the post-processor adds its
 * special tokens. Without tokenizer.json a directory may have vocab.json and
 * merges.txt, a SentencePiece model, or BERT's vocab.txt.
 *
 * Oracle  ids of Hugging Face tokenizers over a thousand lines of mixed Unicode.
 * Limits  expressions with \w, \b or \h are refused: their meaning differs between
 *         libraries. Work is bounded: a piece of Unigram and an added token have
 *         4096 bytes at most, steps make a text grow 256 times at most, and 64 KiB
 *         more.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"
#include "core/run.h"

typedef struct atn_tokenizer atn_tokenizer;

/* Of a directory, or within a GGUF file. DATA names file and component; NOINPUT when
 * there is no tokenizer. */
atn_status atn_tokenizer_load(atn_ctx *cx, const char *model_dir,
                              atn_tokenizer **out) ATN_WARN_UNUSED;
/* Adds the files that the directory's tokenizer is read from to the record's inputs. */
atn_status atn_tokenizer_inputs(atn_ctx *cx, const char *model_dir,
                                atn_run *run) ATN_WARN_UNUSED;
void atn_tokenizer_destroy(atn_ctx *cx, atn_tokenizer *t);
/* text must be UTF-8 (DATA with the offset otherwise). ids is heap memory; special:
 * apply the post-processor. */
atn_status atn_tokenizer_encode(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                                size_t n, bool special, int32_t **ids,
                                atn_idx *count) ATN_WARN_UNUSED;
/* The vocabulary's spelling of an id; NULL when there is none. Borrowed. */
const char *atn_tokenizer_token(const atn_tokenizer *t, int32_t id);
/* Readable text of one token in heap memory: byte-level and word-mark spellings are
 * undone, bytes that are no UTF-8 by themselves become \xHH; first drops a leading
 * word mark. */
atn_status atn_tokenizer_text(atn_ctx *cx, const atn_tokenizer *t, int32_t id,
                              bool first, char **out) ATN_WARN_UNUSED;
