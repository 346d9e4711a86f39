/* capture/tokenizer_internal.h -- what the parts of the tokenizer share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <jansson.h>
#include <pcre2.h>

#include "capture/tokenizer.h"

/* ---- growing text and lists ---- */

typedef struct tok_text {
    char *data;
    size_t size, room;
} tok_text;

atn_status tok_append(atn_ctx *cx, tok_text *t, const char *data,
                      size_t n) ATN_WARN_UNUSED;
atn_status tok_append_cp(atn_ctx *cx, tok_text *t, int32_t cp) ATN_WARN_UNUSED;

/* Pieces of one text: consecutive spans, some of which stand for a token already. */
typedef struct tok_piece {
    size_t at, size;
    int32_t id; /* >= 0: an added token; -1: text */
} tok_piece;

typedef struct tok_pieces {
    tok_text text;
    tok_piece *items;
    atn_idx n, room;
} tok_pieces;

/* Appends a copy of data as one more piece; an empty text piece vanishes. */
atn_status tok_add_piece(atn_ctx *cx, tok_pieces *p, const char *data, size_t n,
                         int32_t id) ATN_WARN_UNUSED;
void tok_pieces_release(atn_ctx *cx, tok_pieces *p);

typedef struct tok_ids {
    int32_t *items;
    atn_idx n, room;
} tok_ids;
atn_status tok_add_id(atn_ctx *cx, tok_ids *ids, int32_t id) ATN_WARN_UNUSED;

/* ---- maps ---- */

/* String to id, open addressing; keys are borrowed. */
typedef struct tok_vocab {
    struct {
        const char *key; /* NULL = free */
        size_t size;
        int32_t id;
    } * slots;
    size_t n_slots;        /* a power of two, at least twice the entries */
    const char **spelling; /* [size] id to string, NULL = none */
    atn_idx size;          /* largest id + 1 */
} tok_vocab;
int32_t tok_find(const tok_vocab *v, const char *key, size_t n); /* -1 = absent */

/* Pair of ids to (rank, merged id). */
typedef struct tok_merges {
    struct {
        uint64_t pair;    /* left << 32 | right */
        int32_t rank, id; /* rank -1 = free */
    } * slots;
    size_t n_slots;
} tok_merges;

/* ---- steps ---- */

typedef struct tok_regex {
    pcre2_code *code;
} tok_regex;

typedef enum tok_normal_kind {
    TOK_NFC,
    TOK_NFD,
    TOK_NFKC,
    TOK_NFKD,
    TOK_LOWERCASE,
    TOK_STRIP_ACCENTS,
    TOK_STRIP,
    TOK_REPLACE,
    TOK_PREPEND,
    TOK_BERT,
} tok_normal_kind;

typedef struct tok_normal {
    tok_normal_kind kind;
    const char *pattern, *content;       /* REPLACE, PREPEND; borrowed */
    tok_regex regex;                     /* REPLACE with a Regex */
    bool left, right;                    /* STRIP */
    bool clean, chinese, accents, lower; /* BERT */
} tok_normal;

typedef enum tok_split_kind {
    TOK_BYTE_LEVEL,
    TOK_SPLIT,
    TOK_WHITESPACE,
    TOK_WHITESPACE_SPLIT,
    TOK_BERT_SPLIT,
    TOK_METASPACE,
    TOK_DIGITS,
    TOK_PUNCTUATION,
} tok_split_kind;

typedef enum tok_behaviour {
    TOK_REMOVED,
    TOK_ISOLATED,
    TOK_WITH_PREVIOUS,
    TOK_WITH_NEXT,
    TOK_CONTIGUOUS,
} tok_behaviour;

typedef enum tok_prepend { TOK_ALWAYS, TOK_FIRST, TOK_NEVER } tok_prepend;

typedef struct tok_split {
    tok_split_kind kind;
    tok_behaviour behaviour;
    tok_regex regex;     /* SPLIT, BYTE_LEVEL with use_regex */
    const char *pattern; /* SPLIT by a String; borrowed */
    bool invert, prefix_space, use_regex, individual, split;
    tok_prepend prepend;
    const char *mark; /* METASPACE replacement, borrowed */
} tok_split;

typedef struct tok_added {
    const char *text; /* borrowed; of a normalized token its normal form (owned) */
    char *owned;
    size_t size;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized;
} tok_added;

typedef enum tok_model { TOK_BPE, TOK_WORDPIECE } tok_model;

struct atn_tokenizer {
    char *path;
    json_t *json;     /* owns the strings */
    char *vocab_text; /* of vocab.txt; owns its strings */
    tok_vocab vocab;
    tok_model model;
    tok_merges merges;
    int32_t unk;
    bool fuse_unk, byte_fallback, ignore_merges, byte_level, word_mark;
    int32_t bytes[256];          /* <0xHH>, -1 = absent */
    const char *prefix, *suffix; /* of subwords, of words; "" = none */
    atn_idx max_chars;           /* WordPiece */
    tok_normal *normals;
    atn_idx n_normals;
    tok_split *splits;
    atn_idx n_splits;
    tok_added *added;
    atn_idx n_added;
    int32_t *before, *after; /* special tokens around a text */
    atn_idx n_before, n_after;
};

/* ---- the parts ---- */

atn_status tok_regex_compile(atn_ctx *cx, const char *path, const char *pattern,
                             tok_regex *out) ATN_WARN_UNUSED;
/* Calls the matches of the regex in text[0..n) out as consecutive (at, size) pairs. */
typedef atn_status tok_on_match(atn_ctx *cx, size_t at, size_t size, void *state);
atn_status tok_regex_each(atn_ctx *cx, const tok_regex *r, const char *text, size_t n,
                          tok_on_match *f, void *state) ATN_WARN_UNUSED;

atn_status tok_read_normalizer(atn_ctx *cx, atn_tokenizer *t,
                               const json_t *j) ATN_WARN_UNUSED;
atn_status tok_normalize(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                         size_t n, tok_text *out) ATN_WARN_UNUSED;
atn_status tok_read_splitter(atn_ctx *cx, atn_tokenizer *t,
                             const json_t *j) ATN_WARN_UNUSED;
/* Cuts one text into pieces; first: it begins the document. */
atn_status tok_split_text(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                          size_t n, bool first, tok_pieces *out) ATN_WARN_UNUSED;
atn_status tok_read_bpe(atn_ctx *cx, atn_tokenizer *t,
                        const json_t *model) ATN_WARN_UNUSED;
atn_status tok_bpe(atn_ctx *cx, const atn_tokenizer *t, const char *piece, size_t n,
                   tok_ids *out) ATN_WARN_UNUSED;
atn_status tok_wordpiece(atn_ctx *cx, const atn_tokenizer *t, const char *piece,
                         size_t n, tok_ids *out) ATN_WARN_UNUSED;

/* Unicode: one code point of well-formed UTF-8 and its length; properties. */
int32_t tok_decode(const char *s, size_t n, size_t *length);
bool tok_is_space(int32_t cp);       /* White_Space */
bool tok_is_punctuation(int32_t cp); /* ASCII punctuation and P* */
bool tok_is_word(int32_t cp);        /* L, M, N, Pc: what joins a word */
/* The byte-level alphabet: byte to code point and back (-1 = none). */
int32_t tok_byte_char(unsigned char byte);
int tok_char_byte(int32_t cp);

/* A member that is true or false; def when it is absent or neither. */
bool tok_flag(const json_t *j, const char *key, bool def);
atn_status tok_bad(atn_ctx *cx, const atn_tokenizer *t,
                   const char *what) ATN_WARN_UNUSED;
