/* core/io/npz.c -- .npz archives, see the header.
 *
 * The end of a zip names its central directory, which names the members; a member's
 * data stands after its local header, whose lengths are its own: NumPy writes 20 bytes
 * of zip64 there that the central directory lacks.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/io/file.h"

enum {
    END = 22, /* bytes of the records without what varies */
    END64 = 56,
    LOCATOR = 20,
    CENTRAL = 46,
    LOCAL = 30,
    COMMENT_MOST = 65535,
    NAME_MOST = 1024,
    STORED = 0,
    DEFLATED = 8,
    RATIO_MOST = 1000,
    RATIO_FREE = 4096,
};

typedef struct member {
    char *name;                          /* owned, without .npy */
    uint64_t packed, size, header, data; /* bytes; places of header and data */
    uint32_t crc;
    unsigned method;
} member;

struct atn_npz {
    char *path;
    atn_map map;
    member *members;
    atn_idx n;
};

static uint64_t number(const unsigned char *p, int bytes)
{
    uint64_t x = 0;

    for (int b = bytes; b-- > 0;) x = x << 8 | p[b];
    return x;
}

static atn_status broken(atn_ctx *cx, const atn_npz *z, const char *rule)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: is no .npz file that can be read: %s (write it with "
                    "numpy.savez)",
                    z->path, rule);
}

/* ---- the end ---- */

/* Where the end record begins: its comment is what follows it. */
static bool find_end(const atn_map *m, size_t *at)
{
    for (size_t comment = 0; comment <= COMMENT_MOST && END + comment <= m->size;
         comment++) {
        const unsigned char *p = m->data + (m->size - END - comment);

        if (number(p, 4) != 0x06054b50 || number(p + 20, 2) != comment) continue;
        *at = m->size - END - comment;
        return true;
    }
    return false;
}

/* The central directory: n records in the bytes [at, end). */
typedef struct directory {
    uint64_t n, at, end;
} directory;

static atn_status read_end64(atn_ctx *cx, const atn_npz *z, size_t end, directory *d)
{
    const unsigned char *p;
    uint64_t at;

    if (end < LOCATOR + END64 || number(z->map.data + (end - LOCATOR), 4) != 0x07064b50)
        return broken(cx, z, "its end points to zip64 records that are not there");
    p = z->map.data + (end - LOCATOR);
    at = number(p + 8, 8);
    if (number(p + 4, 4) != 0 || number(p + 16, 4) > 1)
        return broken(cx, z, "it goes on in other files");
    if (at != end - LOCATOR - END64 || number(z->map.data + at, 4) != 0x06064b50)
        return broken(cx, z, "its zip64 end is not where it says");
    p = z->map.data + at;
    *d = (directory){number(p + 32, 8), number(p + 48, 8), at};
    if (number(p + 24, 8) != d->n || number(p + 40, 8) != at - d->at || d->at > at)
        return broken(cx, z, "the sizes of its directory disagree");
    return ATN_OK;
}

static atn_status read_end(atn_ctx *cx, const atn_npz *z, directory *d)
{
    const unsigned char *p;
    size_t end = 0;

    if (!find_end(&z->map, &end))
        return broken(cx, z, "it has no end of a zip archive (is it cut off?)");
    p = z->map.data + end;
    if (number(p + 10, 2) == 0xffff || number(p + 12, 4) == 0xffffffff ||
        number(p + 16, 4) == 0xffffffff)
        return read_end64(cx, z, end, d);
    if (number(p + 4, 2) != 0 || number(p + 6, 2) != 0 ||
        number(p + 8, 2) != number(p + 10, 2))
        return broken(cx, z, "it goes on in other files");
    *d = (directory){number(p + 10, 2), number(p + 16, 4), end};
    if (d->at > end || number(p + 12, 4) != end - d->at)
        return broken(cx, z, "the sizes of its directory disagree");
    return ATN_OK;
}

/* ---- a member ---- */

static atn_status bad_member(atn_ctx *cx, const atn_npz *z, const char *name,
                             const char *rule)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: member \"%.80s\" %s",
                    z->path, name, rule);
}

/* Those of size, packed size and place that did not fit 32 bits, in this order. */
static bool read_extra64(const unsigned char *p, size_t n, member *m)
{
    uint64_t *const fields[] = {&m->size, &m->packed, &m->header};

    while (n >= 4) {
        const size_t id = (size_t)number(p, 2), length = (size_t)number(p + 2, 2);
        size_t at = 4;

        if (length > n - 4) return false;
        for (size_t f = 0; id == 1 && f < ATN_LEN(fields); f++) {
            if (*fields[f] != 0xffffffff) continue;
            if (at + 8 > 4 + length) return false;
            *fields[f] = number(p + at, 8);
            at += 8;
        }
        if (id == 1) return true;
        p += 4 + length;
        n -= 4 + length;
    }
    return m->size != 0xffffffff && m->packed != 0xffffffff && m->header != 0xffffffff;
}

static atn_status check_name(atn_ctx *cx, const atn_npz *z, const char *name, size_t n)
{
    atn_status st = ATN_OK;
    size_t bad = 0;

    if (strlen(name) != n || !atn_utf8_valid(name, n, &bad))
        ATN_TRY(broken(cx, z, "the name of a member is no text"));
    if (strchr(name, '/') || strchr(name, '\\'))
        ATN_TRY(bad_member(cx, z, name,
                           "has a '/' or '\\' in its name, which no array has"));
    if (n <= 4 || !atn_ends_with(name, ".npy"))
        ATN_TRY(bad_member(cx, z, name, "does not end in .npy"));
done:
    return st;
}

static atn_status check_member(atn_ctx *cx, const atn_npz *z, unsigned flags,
                               const member *m)
{
    atn_status st = ATN_OK;

    if (flags & 1) ATN_TRY(bad_member(cx, z, m->name, "is encrypted"));
    if (m->method != STORED && m->method != DEFLATED)
        ATN_FAIL(ATN_DATA,
                 "%s: member \"%.80s\" is packed by method %u; read are 0 (stored) and "
                 "8 (deflated)",
                 z->path, m->name, m->method);
    if (m->method == STORED && m->packed != m->size)
        ATN_FAIL(ATN_DATA, "%s: member \"%.80s\" is stored, but has %llu bytes of %llu",
                 z->path, m->name, (unsigned long long)m->packed,
                 (unsigned long long)m->size);
    /* packed lies in the file, so this does not overflow */
    if (m->size > (uint64_t)RATIO_MOST * m->packed + RATIO_FREE)
        ATN_FAIL(ATN_DATA,
                 "%s: member \"%.80s\" says that %llu bytes unpack to %llu, above 1000 "
                 "times as many and 4096 (write it with numpy.savez, which does not "
                 "pack)",
                 z->path, m->name, (unsigned long long)m->packed,
                 (unsigned long long)m->size);
done:
    return st;
}

/* Where the data stands, from the local header. */
static atn_status find_data(atn_ctx *cx, const atn_npz *z, const directory *d,
                            const unsigned char *name, size_t length, member *m)
{
    const unsigned char *p;
    uint64_t head;

    if (m->header > d->at || d->at - m->header < LOCAL ||
        number(z->map.data + m->header, 4) != 0x04034b50)
        return bad_member(cx, z, m->name, "is not where the directory says");
    p = z->map.data + m->header;
    head = LOCAL + number(p + 26, 2) + number(p + 28, 2);
    if (head > d->at - m->header || m->packed > d->at - m->header - head)
        return bad_member(cx, z, m->name, "reaches beyond the place of the members");
    if (number(p + 26, 2) != length || memcmp(p + LOCAL, name, length) != 0 ||
        number(p + 8, 2) != m->method)
        return bad_member(cx, z, m->name,
                          "is another one where the directory says that it is");
    m->data = m->header + head;
    return ATN_OK;
}

/* The record at *at; moves on. */
static atn_status read_member(atn_ctx *cx, atn_npz *z, const directory *d, uint64_t *at)
{
    const unsigned char *p = z->map.data + *at;
    member *m = &z->members[z->n];
    size_t name, extra, comment;
    atn_status st = ATN_OK;

    if (d->end - *at < CENTRAL || number(p, 4) != 0x02014b50)
        ATN_TRY(broken(cx, z, "its directory has fewer members than it says"));
    name = (size_t)number(p + 28, 2);
    extra = (size_t)number(p + 30, 2);
    comment = (size_t)number(p + 32, 2);
    if (name + extra + comment > d->end - *at - CENTRAL || name > NAME_MOST)
        ATN_TRY(broken(cx, z, "a name in its directory is too long"));
    m->name = atn_strndup(cx, (const char *)p + CENTRAL, name);
    if (!m->name) ATN_TRY(cx->err.code);
    z->n++;
    ATN_TRY(check_name(cx, z, m->name, name));
    m->method = (unsigned)number(p + 10, 2);
    m->crc = (uint32_t)number(p + 16, 4);
    m->packed = number(p + 20, 4);
    m->size = number(p + 24, 4);
    m->header = number(p + 42, 4);
    if (!read_extra64(p + CENTRAL + name, extra, m))
        ATN_TRY(bad_member(cx, z, m->name, "has no zip64 sizes, but needs them"));
    ATN_TRY(find_data(cx, z, d, p + CENTRAL, name, m));
    ATN_TRY(check_member(cx, z, (unsigned)number(p + 8, 2), m));
    m->name[name - strlen(".npy")] = '\0';
    *at += CENTRAL + name + extra + comment;
done:
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const member *)a)->name, ((const member *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const member *x = a, *y = b;

    return x->header < y->header ? -1 : x->header > y->header;
}

/* Names are unique, and no byte belongs to two members. Leaves them by place. */
static atn_status check_members(atn_ctx *cx, const atn_npz *z)
{
    qsort(z->members, (size_t)z->n, sizeof *z->members, by_name);
    for (atn_idx i = 1; i < z->n; i++)
        if (by_name(&z->members[i - 1], &z->members[i]) == 0)
            return bad_member(cx, z, z->members[i].name, "is there twice");
    qsort(z->members, (size_t)z->n, sizeof *z->members, by_place);
    for (atn_idx i = 1; i < z->n; i++)
        if (z->members[i].header < z->members[i - 1].data + z->members[i - 1].packed)
            return bad_member(cx, z, z->members[i].name, "overlaps the one before it");
    return ATN_OK;
}

static atn_status read_directory(atn_ctx *cx, atn_npz *z)
{
    atn_status st = ATN_OK;
    directory d = {0};
    uint64_t at;

    ATN_TRY(read_end(cx, z, &d));
    if (d.n > (d.end - d.at) / CENTRAL)
        ATN_TRY(broken(cx, z, "its directory has fewer members than it says"));
    at = d.at;
    ATN_NEW(z->members, (atn_idx)ATN_MAX(d.n, 1));
    for (uint64_t i = 0; i < d.n; i++) ATN_TRY(read_member(cx, z, &d, &at));
    if (at != d.end)
        ATN_TRY(broken(cx, z, "its directory has more members than it says"));
    ATN_TRY(check_members(cx, z));
    if (z->n > 0 && z->members[0].header != 0)
        ATN_TRY(broken(cx, z, "something stands before its first member"));
done:
    return st;
}

atn_status atn_npz_open(atn_ctx *cx, const char *path, atn_npz **out)
{
    atn_status st = ATN_OK;
    atn_npz *z = NULL;

    *out = NULL;
    ATN_NEW(z, 1);
    z->path = atn_strdup(cx, path);
    if (!z->path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_map_open(cx, path, &z->map));
    ATN_TRY(read_directory(cx, z));
    *out = z;
    z = NULL;
done:
    atn_npz_close(cx, z);
    return st;
}

void atn_npz_close(atn_ctx *cx, atn_npz *z)
{
    if (!z) return;
    for (atn_idx i = 0; i < z->n; i++) atn_free(cx, z->members[i].name);
    atn_free(cx, z->members);
    atn_free(cx, z->path);
    atn_map_close(&z->map);
    atn_free(cx, z);
}

atn_idx atn_npz_count(const atn_npz *z)
{
    return z->n;
}

const char *atn_npz_name(const atn_npz *z, atn_idx i)
{
    return z->members[i].name;
}

atn_idx atn_npz_find(const atn_npz *z, const char *name)
{
    for (atn_idx i = 0; i < z->n; i++)
        if (strcmp(z->members[i].name, name) == 0) return i;
    return -1;
}

/* ---- unpacking ---- */

/* Exactly size bytes out of exactly packed ones; zlib counts in 32 bits. */
static bool inflate_all(const unsigned char *in, uint64_t packed, unsigned char *out,
                        uint64_t size)
{
    const uInt most = 1u << 30;
    z_stream s = {0};
    int end = Z_OK;

    if (inflateInit2(&s, -MAX_WBITS) != Z_OK) return false;
    while (end == Z_OK) {
        const uInt give = (uInt)ATN_MIN(packed, (uint64_t)most);
        const uInt room = (uInt)ATN_MIN(size, (uint64_t)most);

        s.next_in = (Bytef *)(uintptr_t)in;
        s.avail_in = give;
        s.next_out = out;
        s.avail_out = room;
        end = inflate(&s, Z_NO_FLUSH);
        in += give - s.avail_in;
        packed -= give - s.avail_in;
        out += room - s.avail_out;
        size -= room - s.avail_out;
    }
    inflateEnd(&s);
    return end == Z_STREAM_END && packed == 0 && size == 0;
}

static atn_status read_unpacked(atn_ctx *cx, const atn_npz *z, const member *m,
                                const unsigned char *data, atn_npy *out)
{
    atn_status st = ATN_OK;
    char *what = NULL;

    if (crc32_z(0, data, (z_size_t)m->size) != m->crc)
        ATN_TRY(bad_member(cx, z, m->name, "is damaged: its CRC-32 does not match"));
    what = atn_strfmt(cx, "%s:%s", z->path, m->name);
    if (!what) ATN_TRY(cx->err.code);
    ATN_TRY(atn_npy_parse_floats(cx, what, data, (size_t)m->size, out));
done:
    atn_free(cx, what);
    return st;
}

atn_status atn_npz_load_floats(atn_ctx *cx, const atn_npz *z, atn_idx i, atn_npy *out)
{
    const member *m = &z->members[i];
    const unsigned char *data = z->map.data + m->data;
    unsigned char *unpacked = NULL;
    atn_status st = ATN_OK;

    *out = (atn_npy){0};
    if (m->method == DEFLATED) {
        ATN_TRY(atn_mem_check(cx, (double)m->size, "unpacking a member of an .npz"));
        if (cx->mem_limit == 0 && (double)m->size > atn_mem_machine())
            ATN_FAIL(ATN_MEMORY,
                     "%s: member \"%.80s\" unpacks to %.3g GiB, more than this machine "
                     "has",
                     z->path, m->name, (double)m->size / 0x1p30);
        unpacked = atn_realloc(cx, NULL, (atn_idx)ATN_MAX(m->size, 1), 1);
        if (!unpacked) ATN_TRY(cx->err.code);
        if (!inflate_all(data, m->packed, unpacked, m->size))
            ATN_TRY(bad_member(cx, z, m->name,
                               "does not unpack to the size that the directory says"));
        data = unpacked;
    }
    ATN_TRY(read_unpacked(cx, z, m, data, out));
done:
    atn_free(cx, unpacked);
    return st;
}
