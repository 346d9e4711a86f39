/* core/ctx.c -- context, errors, allocation, scratch arena, log, progress.
 *
 * The arena is a stack of chunks; a mark remembers (chunk, used) and rewinding frees
 * the chunks above it, but for a few MiB that the next round is likely to need. Every
 * piece is 64-byte aligned.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/ctx.h"

#include <gsl/gsl_errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cblas.h>

#include "core/backend.h"

enum { ARENA_ALIGN = 64, ARENA_CHUNK = 1 << 20, ARENA_SPARE = 16 << 20 };

struct atn_arena_chunk {
    atn_arena_chunk *below;
    size_t size; /* usable bytes behind the header */
    size_t below_used;
};

static volatile sig_atomic_t cancel_signal;

double atn_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void atn_runtime_open(void)
{
    openblas_set_num_threads(1);
    gsl_set_error_handler_off();
}

static void *resize_malloc(void *user, void *ptr, size_t new_size)
{
    (void)user;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

void atn_ctx_init(atn_ctx *cx)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    *cx = (atn_ctx){.alloc = {resize_malloc, NULL},
                    .backend = &atn_backend_cpu,
                    .threads = cpus > 0 ? (int)ATN_MIN(cpus, 1024) : 1,
                    .log_level = ATN_LOG_INFO};
    cx->in_use = &cx->in_use_here;
}

void atn_ctx_release(atn_ctx *cx)
{
    const atn_arena_mark bottom = {NULL, 0};

    if (cx->arena.top) atn_arena_rewind(cx, bottom);
    while (cx->arena.spare) {
        atn_arena_chunk *c = cx->arena.spare;

        cx->arena.spare = c->below;
        (void)cx->alloc.resize(cx->alloc.user, c, 0);
    }
    cx->arena.spare_bytes = 0;
}

void atn_ctx_fork(const atn_ctx *parent, atn_ctx *child)
{
    *child = *parent;
    child->arena = (atn_arena){0};
    child->threads = 1;
    child->progress = NULL;
    atn_err_clear(child);
}

void atn_ctx_adopt_err(atn_ctx *parent, const atn_ctx *child)
{
    parent->err = child->err;
}

/* ---- errors ---- */

atn_status atn_fail(atn_ctx *cx, atn_status code, const char *file, int line,
                    const char *fmt, ...)
{
    va_list args;

    cx->err.code = code;
    cx->err.n_marks = 0;
    va_start(args, fmt);
    vsnprintf(cx->err.text, sizeof cx->err.text, fmt, args);
    va_end(args);
    atn_err_mark(cx, file, line);
    return code;
}

void atn_err_mark(atn_ctx *cx, const char *file, int line)
{
    if (cx->err.n_marks == ATN_ERR_MARKS) return;
    cx->err.marks[cx->err.n_marks].file = file;
    cx->err.marks[cx->err.n_marks].line = line;
    cx->err.n_marks++;
}

void atn_err_clear(atn_ctx *cx)
{
    cx->err.code = ATN_OK;
    cx->err.text[0] = '\0';
    cx->err.n_marks = 0;
}

_Noreturn void atn_assert_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "attnscope: %s:%d: broken promise: %s (a bug, please report it)\n",
            file, line, what);
    abort();
}

/* ---- memory ---- */

bool atn_mul(atn_idx a, atn_idx b, atn_idx *out)
{
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, out);
}

bool atn_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static void *out_of_memory(atn_ctx *cx, double bytes)
{
    (void)atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                   "out of memory: %.0f bytes could not be had", bytes);
    return NULL;
}

static double in_use(const atn_ctx *cx)
{
    return cx->in_use ? (double)__atomic_load_n(cx->in_use, __ATOMIC_RELAXED) : 0;
}

void atn_mem_count(atn_ctx *cx, int64_t bytes)
{
    if (cx->in_use)
        (void)__atomic_fetch_add(cx->in_use, (size_t)bytes, __ATOMIC_RELAXED);
}

/* "1.5 MiB": the largest unit that leaves a number of at least 1. */
static const char *size_text(double bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;

    for (; bytes >= 1024 && u + 1 < ATN_LEN(units); u++) bytes /= 1024;
    snprintf(out, 32, "%.5g %s", bytes, units[u]);
    return out;
}

double atn_mem_left(const atn_ctx *cx)
{
    return cx->mem_limit == 0 ? (double)INFINITY
                              : ATN_MAX((double)cx->mem_limit - in_use(cx), 0.0);
}

double atn_mem_machine(void)
{
    const double pages = (double)sysconf(_SC_PHYS_PAGES);

    return pages > 0 ? pages * (double)sysconf(_SC_PAGESIZE) : INFINITY;
}

atn_status atn_mem_check(atn_ctx *cx, double bytes, const char *what)
{
    const double used = in_use(cx);
    char need[32], use[32], limit[32];

    if (cx->mem_limit == 0 || used + bytes <= (double)cx->mem_limit) return ATN_OK;
    return atn_fail(
        cx, ATN_MEMORY, __FILE__, __LINE__,
        "%s needs %s, %s are in use, the limit is %s (raise --mem-limit, or "
        "ask for less at once)",
        what, size_text(bytes, need), size_text(used, use),
        size_text((double)cx->mem_limit, limit));
}

/* In front of every block, so that freeing knows what it gives back. */
typedef struct block {
    _Alignas(max_align_t) size_t bytes;
} block;

void *atn_realloc(atn_ctx *cx, void *ptr, atn_idx count, size_t size)
{
    block *b = ptr ? (block *)ptr - 1 : NULL;
    const size_t before = b ? b->bytes : 0;
    size_t bytes = 0;

    if (count < 0 || !atn_mul_size((size_t)count, size, &bytes) || bytes > SIZE_MAX / 2)
        return out_of_memory(cx, (double)count * (double)size);
    if (bytes > before &&
        atn_mem_check(cx, (double)(bytes - before), "an array") != ATN_OK)
        return NULL;
    b = cx->alloc.resize(cx->alloc.user, b, sizeof *b + bytes);
    if (!b) return out_of_memory(cx, (double)bytes);
    b->bytes = bytes;
    atn_mem_count(cx, (int64_t)bytes - (int64_t)before);
    return b + 1;
}

void *atn_alloc(atn_ctx *cx, atn_idx count, size_t size)
{
    void *p = atn_realloc(cx, NULL, count, size);

    if (p) memset(p, 0, (size_t)count * size);
    return p;
}

void atn_free(atn_ctx *cx, void *ptr)
{
    block *b = ptr ? (block *)ptr - 1 : NULL;

    if (!b) return;
    atn_mem_count(cx, -(int64_t)b->bytes);
    (void)cx->alloc.resize(cx->alloc.user, b, 0);
}

char *atn_strndup(atn_ctx *cx, const char *text, size_t n)
{
    char *copy = NULL;

    if (n >= SIZE_MAX / 2) return out_of_memory(cx, (double)n);
    copy = atn_realloc(cx, NULL, (atn_idx)n + 1, 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *atn_strdup(atn_ctx *cx, const char *text)
{
    return atn_strndup(cx, text, strlen(text));
}

char *atn_strfmt(atn_ctx *cx, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) return out_of_memory(cx, 0);
    text = atn_realloc(cx, NULL, (atn_idx)n + 1, 1);
    if (!text) return NULL;
    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}

/* First 64-byte boundary behind the header of a chunk. */
static char *chunk_data(atn_arena_chunk *c)
{
    const uintptr_t at = (uintptr_t)(c + 1);

    return (char *)((at + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
}

/* The smallest spare chunk of at least so many bytes; NULL when there is none. */
static atn_arena_chunk *take_spare(atn_arena *a, size_t bytes)
{
    atn_arena_chunk **best = NULL, *c;

    for (atn_arena_chunk **at = &a->spare; *at; at = &(*at)->below)
        if ((*at)->size >= bytes && (!best || (*at)->size < (*best)->size)) best = at;
    if (!best) return NULL;
    c = *best;
    *best = c->below;
    a->spare_bytes -= c->size;
    return c;
}

/* Tasks that are run over and over need the same chunks; giving them back to the system
 * costs a page fault every 4 KiB. */
static void drop_chunk(atn_ctx *cx, atn_arena_chunk *c)
{
    if (cx->arena.spare_bytes + c->size > ARENA_SPARE) {
        (void)cx->alloc.resize(cx->alloc.user, c, 0);
        return;
    }
    c->below = cx->arena.spare;
    cx->arena.spare = c;
    cx->arena.spare_bytes += c->size;
}

/* Chunks are not counted as in use; what is taken of them is. */
static bool arena_grow(atn_ctx *cx, size_t bytes)
{
    const size_t size = ATN_MAX(bytes, (size_t)ARENA_CHUNK);
    atn_arena_chunk *c = take_spare(&cx->arena, bytes);

    if (!c) {
        c = cx->alloc.resize(cx->alloc.user, NULL, size + sizeof *c + ARENA_ALIGN);
        if (!c) return out_of_memory(cx, (double)size) != NULL;
        c->size = size;
    }
    c->below = cx->arena.top;
    c->below_used = cx->arena.used;
    cx->arena.top = c;
    cx->arena.used = 0;
    return true;
}

void *atn_arena_take(atn_ctx *cx, atn_idx count, size_t size)
{
    size_t bytes = 0;
    void *p;

    if (count < 0 || !atn_mul_size((size_t)count, size, &bytes) || bytes > SIZE_MAX / 2)
        return out_of_memory(cx, (double)count * (double)size);
    bytes = (ATN_MAX(bytes, (size_t)1) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (atn_mem_check(cx, (double)bytes, "scratch") != ATN_OK) return NULL;
    if (!cx->arena.top || cx->arena.top->size - cx->arena.used < bytes)
        if (!arena_grow(cx, bytes)) return NULL;
    p = chunk_data(cx->arena.top) + cx->arena.used;
    cx->arena.used += bytes;
    atn_mem_count(cx, (int64_t)bytes);
    return p;
}

atn_arena_mark atn_arena_save(const atn_ctx *cx)
{
    const atn_arena_mark mark = {cx->arena.top, cx->arena.used};

    return mark;
}

void atn_arena_rewind(atn_ctx *cx, atn_arena_mark mark)
{
    while (cx->arena.top != mark.chunk) {
        atn_arena_chunk *c = cx->arena.top;

        ATN_ASSERT(c != NULL);
        atn_mem_count(cx, -(int64_t)cx->arena.used);
        cx->arena.top = c->below;
        cx->arena.used = c->below_used;
        drop_chunk(cx, c);
    }
    atn_mem_count(cx, (int64_t)mark.used - (int64_t)cx->arena.used);
    cx->arena.used = mark.used;
}

/* ---- log, progress, cancelling ---- */

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static void log_json(FILE *out, atn_log_level level, const char *prefix,
                     const char *text)
{
    fprintf(out, "{\"level\": \"%s\", \"message\": \"%s", level_names[level], prefix);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') fputc('\\', out);
        if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputs("\"}\n", out);
}

void atn_log(atn_ctx *cx, atn_log_level level, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    if (level > cx->log_level) return;
    const char *prefix = cx->log_prefix ? cx->log_prefix : "";

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (cx->log_sink)
        cx->log_sink(cx->log_user, level, text);
    else if (cx->log_json)
        log_json(stderr, level, prefix, text);
    else if (level <= ATN_LOG_WARN)
        fprintf(stderr, "%sattnscope: %s: %s\n", prefix, level_names[level], text);
    else
        fprintf(stderr, "%sattnscope: %s\n", prefix, text);
}

/* By what the process was asked to stop. */
static atn_status stop_asked(const atn_ctx *cx, const char **reason)
{
    const int sig = atn_cancelled();

    *reason = sig == 0 ? "the time limit" : sig == SIGTERM ? "SIGTERM" : "SIGINT";
    if (sig == 0)
        return cx->deadline > 0 && atn_seconds() > cx->deadline ? ATN_TERMINATED
                                                                : ATN_OK;
    return sig == SIGTERM ? ATN_TERMINATED : ATN_INTERRUPTED;
}

void atn_err_forgive(atn_ctx *cx)
{
    if (cx->err.text[0]) atn_log(cx, ATN_LOG_WARN, "%s", cx->err.text);
    atn_err_clear(cx);
}

atn_status atn_progress(atn_ctx *cx, const char *what, double done, double total)
{
    const char *reason;
    const atn_status st = stop_asked(cx, &reason);

    if (cx->progress) cx->progress(cx->progress_user, what, done, total);
    if (st == ATN_OK) return ATN_OK;
    return atn_fail(cx, st, __FILE__, __LINE__, "%s: stopped by %s after %.0f of %.0f",
                    what, reason, done, total);
}

atn_status atn_stopped(atn_ctx *cx, const char *what)
{
    const char *reason;
    const atn_status st = stop_asked(cx, &reason);

    if (st == ATN_OK) return ATN_OK;
    return atn_fail(cx, st, __FILE__, __LINE__, "%s: stopped by %s", what, reason);
}

void atn_cancel(int signal_number)
{
    cancel_signal = signal_number;
}

int atn_cancelled(void)
{
    return cancel_signal;
}
