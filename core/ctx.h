/* core/ctx.h -- the context: allocator, scratch arena, error record, log, progress,
 * limits.
 *
 * One context per thread; it is the first argument of everything that can fail. It owns
 * nothing but its arena. A function that can fail returns atn_status and leaves one
 * finished message in cx->err; ATN_TRY carries it up and notes the way it took.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef int64_t atn_idx; /* counts, dimensions, strides; size_t is for bytes only */

struct atn_backend;

/* realloc-like: new_size 0 frees and returns NULL; NULL otherwise means failure. */
typedef struct atn_allocator {
    void *(*resize)(void *user, void *ptr, size_t new_size);
    void *user;
} atn_allocator;

typedef enum atn_log_level {
    ATN_LOG_ERROR,
    ATN_LOG_WARN,
    ATN_LOG_INFO,
    ATN_LOG_DEBUG,
} atn_log_level;

enum { ATN_ERR_TEXT = 512, ATN_ERR_MARKS = 8 };

typedef struct atn_err {
    atn_status code;
    char text[ATN_ERR_TEXT]; /* what, where, the value found, what to do */
    struct {
        const char *file;
        int line;
    } marks[ATN_ERR_MARKS]; /* innermost first */
    int n_marks;
} atn_err;

typedef struct atn_arena_chunk atn_arena_chunk;
typedef struct atn_arena {
    atn_arena_chunk *top;
    size_t used;            /* bytes used in the top chunk */
    atn_arena_chunk *spare; /* rewound chunks that are kept for the next round, */
    size_t spare_bytes;     /* a few MiB of them */
} atn_arena;

typedef struct atn_arena_mark {
    atn_arena_chunk *chunk;
    size_t used;
} atn_arena_mark;

typedef struct atn_ctx {
    atn_allocator alloc;
    atn_arena arena;
    atn_err err;
    const struct atn_backend *backend; /* the operations; the CPU table by default */
    uint64_t seed;                     /* root of every random stream */
    int threads;                       /* OpenMP threads used by this context, >= 1 */
    size_t mem_limit;                  /* bytes in use at most; 0 = no limit */
    size_t *in_use;     /* bytes of this context and its forks; NULL = not counted */
    size_t in_use_here; /* what in_use of the root points to */
    atn_log_level log_level;
    bool log_json;
    void (*log_sink)(void *user, atn_log_level level,
                     const char *text); /* NULL = stderr */
    void *log_user;
    const char *log_prefix; /* before every message on stderr; NULL = none; borrowed */
    int columns;            /* of the screen that brief tables are to fit; 0 = any */
    double deadline; /* of atn_seconds, after which atn_progress stops; 0 = none */
    /* Called by atn_progress; NULL = silent. The return is ignored. */
    void (*progress)(void *user, const char *what, double done, double total);
    void *progress_user;
} atn_ctx;

/* Once per process, before the first context: pins OpenBLAS to one thread, installs
 * quiet GSL and C-locale handling. Idempotent. */
void atn_runtime_open(void);
/* Seconds on a clock that only goes forward, since some fixed moment. */
double atn_seconds(void);

/* Default allocator (malloc), CPU backend, seed 0, all processors, no memory limit. */
void atn_ctx_init(atn_ctx *cx);
/* Frees the arena. A zeroed context is fine. */
void atn_ctx_release(atn_ctx *cx);
/* A child for one thread: shares allocator, backend, seed, limits and their count, and
 * log; has its own
 * arena and error record, one thread, and no progress. */
void atn_ctx_fork(const atn_ctx *parent, atn_ctx *child);
/* Copies a child's error record to the parent. */
void atn_ctx_adopt_err(atn_ctx *parent, const atn_ctx *child);

/* ---- errors ---- */

/* Records code and message (printf style), returns code. */
atn_status atn_fail(atn_ctx *cx, atn_status code, const char *file, int line,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void atn_err_mark(atn_ctx *cx, const char *file, int line);
void atn_err_clear(atn_ctx *cx);
/* The error is no end: logs its message as a warning, and clears it. */
void atn_err_forgive(atn_ctx *cx);

/* All need `atn_ctx *cx`, `atn_status st` and a label `done:` in scope. */
#define ATN_TRY(call)                                                                  \
    do {                                                                               \
        st = (call);                                                                   \
        if (st != ATN_OK) {                                                            \
            atn_err_mark(cx, __FILE__, __LINE__);                                      \
            goto done;                                                                 \
        }                                                                              \
    } while (0)
#define ATN_FAIL(code, ...)                                                            \
    do {                                                                               \
        st = atn_fail(cx, (code), __FILE__, __LINE__, __VA_ARGS__);                    \
        goto done;                                                                     \
    } while (0)
/* Arena scratch for `count` elements of *ptr, 64-byte aligned, not cleared. */
#define ATN_TAKE(ptr, count)                                                           \
    do {                                                                               \
        (ptr) = atn_arena_take(cx, (atn_idx)(count), sizeof *(ptr));                   \
        if (!(ptr)) {                                                                  \
            st = cx->err.code;                                                         \
            goto done;                                                                 \
        }                                                                              \
    } while (0)
/* Heap memory for `count` elements of *ptr, zeroed; free it with atn_free(). */
#define ATN_NEW(ptr, count)                                                            \
    do {                                                                               \
        (ptr) = atn_alloc(cx, (atn_idx)(count), sizeof *(ptr));                        \
        if (!(ptr)) {                                                                  \
            st = cx->err.code;                                                         \
            goto done;                                                                 \
        }                                                                              \
    } while (0)

/* Broken promises between our own functions; never for input. */
#define ATN_ASSERT(cond) ((cond) ? (void)0 : atn_assert_fail(#cond, __FILE__, __LINE__))
_Noreturn void atn_assert_fail(const char *what, const char *file, int line);

/* ---- memory ---- */

/* Zeroed heap memory for count elements; count 0 gives a valid pointer. NULL on
 * overflow, negative count or failure, with cx->err set to MEMORY. */
void *atn_alloc(atn_ctx *cx, atn_idx count, size_t size) ATN_WARN_UNUSED;
/* Grows or shrinks; on failure the old block stays and NULL is returned. New bytes are
 * not cleared. ptr NULL allocates. */
void *atn_realloc(atn_ctx *cx, void *ptr, atn_idx count, size_t size) ATN_WARN_UNUSED;
void atn_free(atn_ctx *cx, void *ptr); /* NULL is fine */
char *atn_strdup(atn_ctx *cx, const char *text) ATN_WARN_UNUSED;
char *atn_strndup(atn_ctx *cx, const char *text, size_t n) ATN_WARN_UNUSED;
/* printf into fresh heap memory; NULL with cx->err on failure. */
char *atn_strfmt(atn_ctx *cx, const char *fmt, ...) ATN_WARN_UNUSED
    __attribute__((format(printf, 2, 3)));

void *atn_arena_take(atn_ctx *cx, atn_idx count, size_t size) ATN_WARN_UNUSED;
atn_arena_mark atn_arena_save(const atn_ctx *cx);
void atn_arena_rewind(atn_ctx *cx, atn_arena_mark mark);

/* Overflow-checked products; false on overflow or a negative factor. */
bool atn_mul(atn_idx a, atn_idx b, atn_idx *out) ATN_WARN_UNUSED;
bool atn_mul_size(size_t a, size_t b, size_t *out) ATN_WARN_UNUSED;

/* The limit holds for every allocation: one that would go beyond it fails with MEMORY.
 * These look ahead: MEMORY when `bytes` more for `what` would go beyond it, called
 * before work starts. The message names need, use and limit. */
atn_status atn_mem_check(atn_ctx *cx, double bytes, const char *what) ATN_WARN_UNUSED;
/* Bytes of memory that the machine has; infinite where it does not say. */
double atn_mem_machine(void);
/* Bytes up to the limit; infinite without one. */
double atn_mem_left(const atn_ctx *cx);
/* Counts memory in use that does not come from cx, such as a mapped layer; negative
 * when it is given back. */
void atn_mem_count(atn_ctx *cx, int64_t bytes);

/* ---- log, progress, cancelling ---- */

void atn_log(atn_ctx *cx, atn_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Reports and asks: returns ATN_INTERRUPTED or ATN_TERMINATED (with cx->err set) once a
 * signal has asked the process to stop or the deadline has passed, else ATN_OK. Call it
 * between units of work. */
atn_status atn_progress(atn_ctx *cx, const char *what, double done,
                        double total) ATN_WARN_UNUSED;
/* Asks without a report, within a unit of work that may take seconds. */
atn_status atn_stopped(atn_ctx *cx, const char *what) ATN_WARN_UNUSED;
/* Async-signal-safe: remembers the signal for atn_progress. */
void atn_cancel(int signal_number);
int atn_cancelled(void); /* the signal number, 0 = none */

#define ATN_MIN(a, b)  ((a) < (b) ? (a) : (b))
#define ATN_MAX(a, b)  ((a) > (b) ? (a) : (b))
#define ATN_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* How many of b hold a; a >= 0, b > 0. */
static inline atn_idx atn_ceil_div(atn_idx a, atn_idx b)
{
    return (a + b - 1) / b;
}
