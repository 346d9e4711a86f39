/* core/io/file.c -- maps, whole files, atomic outputs, hashes, UTF-8. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

atn_status atn_map_open(atn_ctx *cx, const char *path, atn_map *out)
{
    atn_status st = ATN_OK;
    struct stat info;
    void *data = MAP_FAILED;
    int fd;

    *out = (atn_map){NULL, 0};
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not wait */
    if (fd < 0)
        ATN_FAIL(ATN_NOINPUT, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &info) != 0) ATN_FAIL(ATN_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        ATN_FAIL(
            ATN_DATA,
            "%s: is not a regular file (it is read more than once; save it as a file, "
            "or give text as - from standard input)",
            path);
    if (info.st_size > 0) {
        data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            ATN_FAIL(ATN_OS, "%s: cannot be mapped: %s", path, strerror(errno));
        out->data = data;
    }
    out->size = (size_t)info.st_size;
done:
    if (fd >= 0) close(fd);
    return st;
}

void atn_map_close(atn_map *m)
{
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (atn_map){NULL, 0};
}

/* Bytes of a file that says them before it is read; 0 = it does not. */
static size_t size_before(FILE *in)
{
    struct stat info;

    return fstat(fileno(in), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0
               ? (size_t)info.st_size
               : 0;
}

static atn_status too_large(atn_ctx *cx, const char *path, size_t max_size)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: is larger than the %zu bytes allowed here", path, max_size);
}

atn_status atn_file_read(atn_ctx *cx, const char *path, size_t max_size, char **data,
                         size_t *size)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "rb");
    atn_status st = ATN_OK;
    char *text = NULL, *grown;
    size_t used = 0, room = 0, got = 1, said;

    *data = NULL;
    *size = 0;
    if (!in) ATN_FAIL(ATN_NOINPUT, "%s: cannot be opened: %s", path, strerror(errno));
    said = size_before(in);
    if (said > max_size) ATN_TRY(too_large(cx, path, max_size));
    ATN_TRY(atn_mem_check(cx, (double)said, path));
    while (got > 0) {
        if (used + 1 >= room) {
            room = ATN_MIN(ATN_MAX(ATN_MAX(2 * room, said + 2), (size_t)1 << 16),
                           max_size + 2);
            grown = atn_realloc(cx, text, (atn_idx)room, 1);
            if (!grown) {
                st = cx->err.code;
                goto done;
            }
            text = grown;
        }
        got = fread(text + used, 1, room - used - 1, in);
        used += got;
        if (used > max_size) ATN_TRY(too_large(cx, path, max_size));
    }
    if (ferror(in)) ATN_FAIL(ATN_IO, "%s: cannot be read: %s", path, strerror(errno));
    text[used] = '\0';
    *data = text;
    *size = used;
    text = NULL;
done:
    if (in && !standard) fclose(in);
    atn_free(cx, text);
    return st;
}

bool atn_ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

bool atn_file_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

bool atn_dir_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool atn_dir_is_empty(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    bool empty = true;

    if (!d) return false;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) empty = false;
    closedir(d);
    return empty;
}

char *atn_path_join(atn_ctx *cx, const char *dir, const char *name)
{
    const size_t n = strlen(dir);

    return atn_strfmt(cx, "%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name);
}

atn_status atn_dir_make(atn_ctx *cx, const char *path)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    char *copy = NULL;

    ATN_TAKE(copy, strlen(path) + 1);
    strcpy(copy, path);
    for (char *at = copy + 1;; at++) {
        const char kept = *at;
        if (kept != '/' && kept != '\0') continue;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            ATN_FAIL(ATN_CANTCREATE, "%s: the directory cannot be made: %s", copy,
                     strerror(errno));
        *at = kept;
        if (kept == '\0') break;
    }
    if (!atn_dir_exists(path))
        ATN_FAIL(ATN_CANTCREATE, "%s: exists and is no directory", path);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- atomic outputs ---- */

atn_status atn_out_open(atn_ctx *cx, const char *path, bool force, atn_out *out)
{
    atn_status st = ATN_OK;
    struct stat info;

    *out = (atn_out){NULL, NULL, NULL};
    if (!force && (atn_file_exists(path) || atn_dir_exists(path)))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: exists already (choose another -o, or --force to replace it)",
                 path);
    if (atn_dir_exists(path)) ATN_FAIL(ATN_CANTCREATE, "%s: is a directory", path);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: is no regular file, and a file put in its place would replace it "
                 "(without -o the output goes to standard output)",
                 path);
    out->path = atn_strdup(cx, path);
    out->temp = atn_strfmt(cx, "%s.part-%ld", path, (long)getpid());
    if (!out->path || !out->temp) {
        st = cx->err.code;
        goto done;
    }
    out->file = fopen(out->temp, "wb");
    if (!out->file)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be created: %s", path, strerror(errno));
done:
    if (st != ATN_OK) {
        atn_free(cx, out->path);
        atn_free(cx, out->temp);
        *out = (atn_out){NULL, NULL, NULL};
    }
    return st;
}

void atn_sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[4096] = ".";
    int fd;

    if (slash) {
        const size_t n = slash == path ? 1 : (size_t)(slash - path);
        if (n >= sizeof dir) return;
        memcpy(dir, path, n);
        dir[n] = '\0';
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

atn_status atn_out_commit(atn_ctx *cx, atn_out *out)
{
    atn_status st = ATN_OK;
    int closed;

    if (fflush(out->file) != 0 || ferror(out->file) || fsync(fileno(out->file)) != 0)
        ATN_FAIL(ATN_IO, "%s: cannot be written: %s", out->path, strerror(errno));
    closed = fclose(out->file);
    out->file = NULL;
    if (closed != 0)
        ATN_FAIL(ATN_IO, "%s: cannot be written: %s", out->path, strerror(errno));
    if (rename(out->temp, out->path) != 0)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be put in place: %s", out->path,
                 strerror(errno));
    atn_sync_parent(out->path);
    atn_free(cx, out->path);
    atn_free(cx, out->temp);
    *out = (atn_out){NULL, NULL, NULL};
done:
    if (st != ATN_OK) atn_out_abort(cx, out);
    return st;
}

void atn_out_hurry(atn_out *out)
{
#ifdef SYNC_FILE_RANGE_WRITE
    (void)fflush(out->file);
    (void)sync_file_range(fileno(out->file), 0, 0, SYNC_FILE_RANGE_WRITE);
#else
    (void)out;
#endif
}

void atn_out_abort(atn_ctx *cx, atn_out *out)
{
    if (out->file) fclose(out->file);
    if (out->temp) (void)unlink(out->temp);
    atn_free(cx, out->path);
    atn_free(cx, out->temp);
    *out = (atn_out){NULL, NULL, NULL};
}

/* ---- hashes, UTF-8 ---- */

void atn_hash_bytes(const void *data, size_t size, char hex[33])
{
    const XXH128_hash_t h = XXH3_128bits(size ? data : "", size);

    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
}

uint64_t atn_hash_u64(const void *data, size_t size)
{
    return XXH3_64bits(size ? data : "", size);
}

atn_status atn_hash_file(atn_ctx *cx, const char *path, char hex[33])
{
    atn_status st = ATN_OK;
    atn_map m = {NULL, 0};

    ATN_TRY(atn_map_open(cx, path, &m));
    atn_hash_bytes(m.data, m.size, hex);
done:
    atn_map_close(&m);
    return st;
}

/* Length of the well-formed sequence at s[0..n), 0 when it is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    const unsigned c = s[0];
    size_t length;
    unsigned low = 0x80, high = 0xbf; /* range of the second byte */

    if (c < 0x80) return 1;
    if (c >= 0xc2 && c <= 0xdf)
        length = 2;
    else if (c >= 0xe0 && c <= 0xef) {
        length = 3;
        if (c == 0xe0) low = 0xa0;  /* overlong */
        if (c == 0xed) high = 0x9f; /* surrogates */
    } else if (c >= 0xf0 && c <= 0xf4) {
        length = 4;
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f;
    } else
        return 0;
    if (n < length || s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xbf) return 0;
    return length;
}

bool atn_utf8_valid(const char *text, size_t size, size_t *bad)
{
    const unsigned char *s = (const unsigned char *)text;

    for (size_t i = 0; i < size;) {
        const size_t length = utf8_length(s + i, size - i);
        if (length == 0) {
            if (bad) *bad = i;
            return false;
        }
        i += length;
    }
    return true;
}
