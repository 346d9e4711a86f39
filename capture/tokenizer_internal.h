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
    size_t most; /* it may not grow beyond; 0 = no limit */
    size_t
        head; /* normalised: its first bytes that come of the text's first character */
} tok_text;

/* How large a normalised text, or its pieces, may be that come from n bytes. */
size_t tok_most_of(size_t n);

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
    bool moved; /* the first does not begin where the text did */
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
        uint32_t hash; /* its upper half: most other keys differ here */
    } * slots;
    size_t n_slots;        /* a power of two, at least twice the entries */
    const char **spelling; /* [size] id to string, NULL = none */
    atn_idx size;          /* largest id + 1 */
} tok_vocab;
int32_t tok_find(const tok_vocab *v, const char *key, size_t n); /* -1 = absent */
enum { TOK_ID_MAX = 1 << 26, TOK_PIECE_MOST = 4096 }; /* bytes of a text in a trie */
/* Room for so many entries and ids below size. */
atn_status tok_vocab_room(atn_ctx *cx, tok_vocab *v, size_t entries,
                          atn_idx size) ATN_WARN_UNUSED;
/* Adds or replaces an entry. Added tokens are none: the model must not find them. */
void tok_vocab_put(tok_vocab *v, const char *key, size_t n, int32_t id);

/* Texts by their bytes, see the source. */
typedef struct tok_trie {
    struct {
        uint32_t first;     /* its first child */
        int32_t id;         /* -1 = no text ends here */
        uint16_t n;         /* children */
        unsigned char byte; /* that leads here */
    } * nodes;              /* 0 = the root */
    int64_t n;
} tok_trie;

typedef struct tok_key {
    const char *text;
    size_t size;
    int32_t id;
    int64_t order; /* of equal texts the smallest counts */
} tok_key;
/* Sorts the keys. */
atn_status tok_trie_build(atn_ctx *cx, tok_key *keys, atn_idx n,
                          tok_trie *t) ATN_WARN_UNUSED;
void tok_trie_release(atn_ctx *cx, tok_trie *t);
/* The node that the byte leads to; 0 = none. */
int64_t tok_trie_next(const tok_trie *t, int64_t node, char byte);

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
    TOK_NMT,
    TOK_PRECOMPILED,
    TOK_BYTES,
} tok_normal_kind;

typedef struct tok_charsmap {
    uint32_t *units;
    size_t n_units;
    char *text; /* NUL-terminated texts, one after the other */
    size_t size;
} tok_charsmap;

typedef struct tok_normal {
    tok_normal_kind kind;
    const char *pattern, *content;       /* REPLACE, PREPEND; borrowed */
    tok_regex regex;                     /* REPLACE with a Regex */
    bool left, right;                    /* STRIP */
    bool clean, chinese, accents, lower; /* BERT */
    tok_charsmap map;                    /* PRECOMPILED */
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

typedef enum tok_model { TOK_BPE, TOK_WORDPIECE, TOK_UNIGRAM } tok_model;

struct atn_tokenizer {
    char *path;
    json_t *json;     /* owns the strings */
    char *vocab_text; /* of vocab.txt; owns its strings */
    char foreign[72]; /* a model_type whose vocab.txt only labels ids; "" = none */
    tok_vocab vocab;
    tok_model model;
    tok_merges merges;
    double *scores; /* by id; of Unigram, and of SentencePiece's BPE */
    double least;   /* of the scores */
    tok_trie trie;  /* Unigram's vocabulary */
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
    tok_trie raw, normal;          /* of the added tokens, to their places */
    char *file;                    /* a SentencePiece file, while it is read, */
    const unsigned char *charsmap; /* and the map in it */
    size_t charsmap_size;
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
/* Cuts one text into pieces; first: its first character begins the document. */
atn_status tok_split_text(atn_ctx *cx, const atn_tokenizer *t, const char *text,
                          size_t n, bool first, tok_pieces *out) ATN_WARN_UNUSED;
atn_status tok_read_bpe(atn_ctx *cx, atn_tokenizer *t,
                        const json_t *model) ATN_WARN_UNUSED;
atn_status tok_bpe(atn_ctx *cx, const atn_tokenizer *t, const char *piece, size_t n,
                   tok_ids *out) ATN_WARN_UNUSED;
atn_status tok_wordpiece(atn_ctx *cx, const atn_tokenizer *t, const char *piece,
                         size_t n, tok_ids *out) ATN_WARN_UNUSED;
/* Reads the vocabulary as well. */
atn_status tok_read_unigram(atn_ctx *cx, atn_tokenizer *t, const json_t *model,
                            const json_t *added) ATN_WARN_UNUSED;
atn_status tok_unigram(atn_ctx *cx, const atn_tokenizer *t, const char *text, size_t n,
                       tok_ids *out) ATN_WARN_UNUSED;

atn_status tok_read_charsmap(atn_ctx *cx, const atn_tokenizer *t,
                             const unsigned char *data, size_t size,
                             tok_charsmap *out) ATN_WARN_UNUSED;
/* From base64 in j, or from the tokenizer's charsmap. */
atn_status tok_read_charsmap_json(atn_ctx *cx, const atn_tokenizer *t, const json_t *j,
                                  tok_charsmap *out) ATN_WARN_UNUSED;
void tok_charsmap_release(atn_ctx *cx, tok_charsmap *m);
atn_status tok_map_chars(atn_ctx *cx, const tok_charsmap *m, const tok_text *in,
                         tok_text *out) ATN_WARN_UNUSED;

/* Raises *largest to the ids of added_tokens; DATA for an entry without content or
 * id. */
atn_status tok_added_ids(atn_ctx *cx, const atn_tokenizer *t, const json_t *added,
                         int64_t *largest) ATN_WARN_UNUSED;
atn_status tok_read_added(atn_ctx *cx, atn_tokenizer *t,
                          const json_t *list) ATN_WARN_UNUSED;
/* Makes the tries of the added tokens. */
atn_status tok_index_added(atn_ctx *cx, atn_tokenizer *t) ATN_WARN_UNUSED;
/* Cuts the added tokens of one kind out of one text. */
atn_status tok_cut_added(atn_ctx *cx, const atn_tokenizer *t, bool normalized,
                         const char *text, size_t n, tok_pieces *out) ATN_WARN_UNUSED;
/* An integer in 0..2^26-1. */
bool tok_id_of(const json_t *j, int64_t *id);
/* Appends one id to the special tokens around a text. */
atn_status tok_add_special(atn_ctx *cx, int32_t **list, atn_idx *n,
                           int32_t id) ATN_WARN_UNUSED;

/* What a SentencePiece file holds; texts lie in its bytes, without NUL. */
typedef struct tok_spm_piece {
    const char *text;
    size_t size;
    float score;
    int type; /* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte */
} tok_spm_piece;

typedef struct tok_spm {
    tok_spm_piece *pieces; /* heap */
    atn_idx n;
    int kind; /* 1 unigram, 2 BPE */
    int64_t unk_id;
    const char *unk; /* spelling of the unknown piece */
    size_t unk_size;
    bool byte_fallback;
    bool suffix_space;             /* treat_whitespace_as_suffix */
    bool prefix_space;             /* add_dummy_prefix */
    bool fewer_spaces;             /* remove_extra_whitespaces */
    const unsigned char *charsmap; /* NULL = none */
    size_t charsmap_size;
} tok_spm;
atn_status tok_spm_read(atn_ctx *cx, const atn_tokenizer *t, const char *data,
                        size_t size, tok_spm *m) ATN_WARN_UNUSED;

/* A directory without tokenizer.json: sets path, and either json (in the form of a
 * tokenizer.json) or the whole tokenizer. NOINPUT where it has no tokenizer. */
atn_status tok_load_layout(atn_ctx *cx, const char *dir,
                           atn_tokenizer *t) ATN_WARN_UNUSED;

/* The same of a GGUF file. */
atn_status tok_load_gguf(atn_ctx *cx, const char *path,
                         atn_tokenizer *t) ATN_WARN_UNUSED;

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
