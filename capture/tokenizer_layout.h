/* capture/tokenizer_layout.h -- what the readers of directories without tokenizer.json
 * share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/tokenizer_internal.h"

#define TOK_FILE_MAX ((size_t)1 << 28)

typedef enum family_kind {
    GPT2,
    OPT,
    ROBERTA,
    QWEN2,
    LLAMA,
    GEMMA,
    T5,
    ALBERT,
    XLMR
} family_kind;

/* Places of the special tokens of a family. */
enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, N_SPECIAL };

typedef struct family {
    const char *types; /* of config.json, between blanks */
    family_kind kind;
    bool pieces; /* of a SentencePiece file */
    const char *special[N_SPECIAL];
} family;

typedef struct layout {
    const char *dir;
    const family *family;
    json_t *config, *map,
        *more;   /* tokenizer_config, special_tokens_map, added_tokens */
    json_t *ids; /* of the model's texts; of the added tokens too */
    json_t *added;
    int64_t next_id;
} layout;

/* Finds the family by config.json and loads the small files; pieces: of a
 * SentencePiece file. */
atn_status tok_layout_family(atn_ctx *cx, layout *l, bool pieces,
                             const atn_tokenizer *t) ATN_WARN_UNUSED;
/* The text of one special token, NULL = the family has none; *flags is NULL or an
 * object. */
const char *tok_layout_special(const layout *l, int i, const json_t **flags);
/* id -1: the one it has, else the next. A token that was added already stays as it
 * is. */
void tok_layout_add(layout *l, const char *text, int64_t id, const json_t *flags,
                    bool special);
/* Adds what tokenizer_config.json lists, and knows the ids of added_tokens.json. */
atn_status tok_layout_listed(atn_ctx *cx, const atn_tokenizer *t,
                             layout *l) ATN_WARN_UNUSED;
/* The family's special tokens, then what else added_tokens.json has. */
void tok_layout_specials(layout *l);
json_t *tok_layout_post(const layout *l);
/* Reads the SentencePiece file at t->path. */
atn_status tok_layout_pieces(atn_ctx *cx, atn_tokenizer *t, layout *l) ATN_WARN_UNUSED;
