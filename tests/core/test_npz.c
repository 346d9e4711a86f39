/* tests/core/test_npz.c -- .npz archives made byte by byte, and what is refused. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <zlib.h>

#include "core/io/npz.h"

enum { ROOM = 65536 };

/* A member to be, and what is told of it. */
typedef struct part {
    const char *name;
    const void *data;
    size_t size;
    unsigned method, flags;
    size_t said;         /* unpacked size in the directory; 0 = size */
    bool bad_crc, wide;  /* wide: as numpy writes, zip64 in the local header */
    bool wide_directory; /* sizes and place in a zip64 field */
} part;

typedef struct zip {
    unsigned char bytes[ROOM], directory[ROOM];
    size_t n, in_directory;
    int members;
} zip;

static void put(unsigned char *to, size_t *n, uint64_t x, int bytes)
{
    for (int b = 0; b < bytes; b++)
        to[(*n)++] = (unsigned char)(b < 8 ? x >> (8 * b) : 0);
}

static size_t deflated(const void *data, size_t size, unsigned char *out)
{
    z_stream s = {0};

    CHECK(deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    s.next_in = (Bytef *)(uintptr_t)data;
    s.avail_in = (uInt)size;
    s.next_out = out;
    s.avail_out = ROOM / 2;
    CHECK(deflate(&s, Z_FINISH) == Z_STREAM_END);
    CHECK(deflateEnd(&s) == Z_OK);
    return s.total_out;
}

static void member(zip *z, const part *p)
{
    static unsigned char packed[ROOM / 2];
    const size_t header = z->n, size = p->said ? p->said : p->size;
    const uint32_t crc = (uint32_t)crc32(0, p->data, (uInt)p->size) + p->bad_crc;
    size_t n = p->size;

    memcpy(packed, p->data, ATN_MIN(p->size, sizeof packed));
    if (p->method == 8) n = deflated(p->data, p->size, packed);
    put(z->bytes, &z->n, 0x04034b50, 4);
    put(z->bytes, &z->n, 45, 2);
    put(z->bytes, &z->n, p->flags, 2);
    put(z->bytes, &z->n, p->method, 2);
    put(z->bytes, &z->n, 0, 4);
    put(z->bytes, &z->n, crc, 4);
    put(z->bytes, &z->n, p->wide ? 0xffffffff : n, 4);
    put(z->bytes, &z->n, p->wide ? 0xffffffff : size, 4);
    put(z->bytes, &z->n, strlen(p->name), 2);
    put(z->bytes, &z->n, p->wide ? 20 : 0, 2);
    memcpy(z->bytes + z->n, p->name, strlen(p->name));
    z->n += strlen(p->name);
    if (p->wide) {
        put(z->bytes, &z->n, 1, 2);
        put(z->bytes, &z->n, 16, 2);
        put(z->bytes, &z->n, size, 8);
        put(z->bytes, &z->n, n, 8);
    }
    memcpy(z->bytes + z->n, packed, n);
    z->n += n;

    unsigned char *d = z->directory;
    size_t *at = &z->in_directory;
    put(d, at, 0x02014b50, 4);
    put(d, at, 45 | 45 << 16, 4);
    put(d, at, p->flags, 2);
    put(d, at, p->method, 2);
    put(d, at, 0, 4);
    put(d, at, crc, 4);
    put(d, at, p->wide_directory ? 0xffffffff : n, 4);
    put(d, at, p->wide_directory ? 0xffffffff : size, 4);
    put(d, at, strlen(p->name), 2);
    put(d, at, p->wide_directory ? 28 : 0, 2);
    put(d, at, 0, 2 + 2 + 2 + 4);
    put(d, at, p->wide_directory ? 0xffffffff : header, 4);
    memcpy(d + *at, p->name, strlen(p->name));
    *at += strlen(p->name);
    if (p->wide_directory) {
        put(d, at, 1, 2);
        put(d, at, 24, 2);
        put(d, at, size, 8);
        put(d, at, n, 8);
        put(d, at, header, 8);
    }
    z->members++;
}

/* Directory and end; wide: a zip64 end before it. */
static void finish(zip *z, bool wide)
{
    const size_t at = z->n;

    memcpy(z->bytes + z->n, z->directory, z->in_directory);
    z->n += z->in_directory;
    if (wide) {
        const size_t end = z->n;

        put(z->bytes, &z->n, 0x06064b50, 4);
        put(z->bytes, &z->n, 44, 8);
        put(z->bytes, &z->n, 45 | 45 << 16, 4);
        put(z->bytes, &z->n, 0, 8);
        put(z->bytes, &z->n, (uint64_t)z->members, 8);
        put(z->bytes, &z->n, (uint64_t)z->members, 8);
        put(z->bytes, &z->n, z->in_directory, 8);
        put(z->bytes, &z->n, at, 8);
        put(z->bytes, &z->n, 0x07064b50, 4);
        put(z->bytes, &z->n, 0, 4);
        put(z->bytes, &z->n, end, 8);
        put(z->bytes, &z->n, 1, 4);
    }
    put(z->bytes, &z->n, 0x06054b50, 4);
    put(z->bytes, &z->n, 0, 4);
    put(z->bytes, &z->n, wide ? 0xffff : (uint64_t)z->members, 2);
    put(z->bytes, &z->n, wide ? 0xffff : (uint64_t)z->members, 2);
    put(z->bytes, &z->n, wide ? 0xffffffff : z->in_directory, 4);
    put(z->bytes, &z->n, wide ? 0xffffffff : at, 4);
    put(z->bytes, &z->n, 0, 2);
}

static const char *save(const zip *z)
{
    static char path[600];
    FILE *f;

    if (!*path) snprintf(path, sizeof path, "%s/a.npz", check_scratch("npz"));
    f = fopen(path, "wb");
    CHECK(f && fwrite(z->bytes, 1, z->n, f) == z->n && fclose(f) == 0);
    return path;
}

/* A .npy of n floats 0, 1, 2, ..., or of zeros. */
static size_t array(unsigned char *out, int n, bool zeros)
{
    int used;

    memset(out, ' ', 128);
    memcpy(out, "\x93NUMPY\x01\x00\x76\x00", 10);
    used = sprintf((char *)out + 10,
                   "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }", n);
    out[10 + used] = ' ';
    out[127] = '\n';
    for (int i = 0; i < n; i++) {
        const float x = zeros ? 0 : (float)i;

        memcpy(out + 128 + 4 * i, &x, 4);
    }
    return 128 + 4 * (size_t)n;
}

static unsigned char a5[4096], a9[4096], zeros[16384];
static size_t n5, n9, nz;

static zip *begin(void)
{
    static zip z;

    n5 = array(a5, 5, false);
    n9 = array(a9, 9, false);
    nz = array(zeros, 2000, true);
    z = (zip){.n = 0};
    return &z;
}

static void check_array(atn_ctx *cx, const atn_npz *z, const char *name, int n)
{
    const atn_idx i = atn_npz_find(z, name);
    atn_npy a;

    CHECK(i >= 0);
    CHECK_OK(atn_npz_load_floats(cx, z, i, &a));
    CHECK(a.rank == 1 && a.count == n && a.f32[n - 1] == (float)(n - 1));
    atn_npy_release(cx, &a);
}

/* Stored and deflated, 32-bit and zip64 records in all places. */
static void members(atn_ctx *cx)
{
    for (int form = 0; form < 8; form++) {
        zip *z = begin();
        atn_npz *f = NULL;

        member(z, &(part){.name = "q.npy",
                          .data = a5,
                          .size = n5,
                          .wide = form & 1,
                          .wide_directory = form & 2});
        member(z, &(part){.name = "k v.npy",
                          .data = a9,
                          .size = n9,
                          .method = 8,
                          .wide = form & 1,
                          .wide_directory = form & 2});
        finish(z, form & 4);
        CHECK_OK(atn_npz_open(cx, save(z), &f));
        CHECK_EQ(atn_npz_count(f), 2);
        check_array(cx, f, "q", 5);
        check_array(cx, f, "k v", 9);
        CHECK_EQ(atn_npz_find(f, "v"), -1);
        atn_npz_close(cx, f);
    }
}

/* numpy.savez_compressed(q=arange(6).reshape(2, 3) / 4 as <f4, k=[True, False]) of
 * NumPy itself: the numbers stand in tests/fixtures/numpy.npz. */
static void by_numpy(atn_ctx *cx)
{
    atn_npz *f = NULL;
    atn_npy a;

    CHECK_OK(atn_npz_open(cx, ATN_TEST_FIXTURES "/numpy.npz", &f));
    CHECK_EQ(atn_npz_count(f), 2);
    CHECK_OK(atn_npz_load_floats(cx, f, atn_npz_find(f, "q"), &a));
    CHECK(a.rank == 2 && a.shape[0] == 2 && a.shape[1] == 3);
    for (int i = 0; i < 6; i++) CHECK_NEAR(a.f32[i], i / 4.0, 0);
    atn_npy_release(cx, &a);
    CHECK_FAILS(atn_npz_load_floats(cx, f, atn_npz_find(f, "k"), &a), ATN_DATA,
                "numpy.npz:k: ");
    atn_npz_close(cx, f);
}

static void refused(atn_ctx *cx, const zip *z, const char *message)
{
    atn_npz *f = NULL;

    CHECK_FAILS(atn_npz_open(cx, save(z), &f), ATN_DATA, message);
    CHECK(!f);
}

static void refused_members(atn_ctx *cx)
{
    const struct {
        part p;
        const char *message;
    } cases[] = {
        {{.name = "q.txt"}, "does not end in .npy"},
        {{.name = ".npy"}, "does not end in .npy"},
        {{.name = "../q.npy"}, "'/'"},
        {{.name = "a\\q.npy"}, "'\\'"},
        {{.name = "\xff.npy"}, "no text"},
        {{.name = "q.npy", .flags = 1}, "is encrypted"},
        {{.name = "q.npy", .method = 12}, "packed by method 12"},
        {{.name = "q.npy", .said = 7}, "is stored, but has"},
        {{.name = "q.npy", .method = 8, .said = 1 << 30}, "above 1000 times"},
        {{.name = "k.npy"}, "\"k\" is there twice"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zip *z = begin();
        part p = cases[i].p;

        p.data = a5;
        p.size = n5;
        member(z, &(part){.name = "k.npy", .data = a9, .size = n9});
        member(z, &p);
        finish(z, false);
        refused(cx, z, cases[i].message);
    }
}

/* What is seen only when a member is unpacked. */
static void damaged_members(atn_ctx *cx)
{
    const struct {
        part p;
        const char *message;
    } cases[] = {
        {{.name = "q.npy", .bad_crc = true}, "its CRC-32 does not match"},
        {{.name = "q.npy", .bad_crc = true, .method = 8}, "its CRC-32 does not match"},
        {{.name = "q.npy", .method = 8, .said = 100}, "does not unpack to the size"},
        {{.name = "q.npy", .method = 8, .said = 200}, "does not unpack to the size"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zip *z = begin();
        part p = cases[i].p;
        atn_npz *f = NULL;
        atn_npy a;

        p.data = a5;
        p.size = n5;
        member(z, &p);
        finish(z, false);
        CHECK_OK(atn_npz_open(cx, save(z), &f));
        CHECK_FAILS(atn_npz_load_floats(cx, f, 0, &a), ATN_DATA, cases[i].message);
        atn_npz_close(cx, f);
    }
}

/* 8,128 bytes pack to some 60: within 1000 times, but not within 4 KiB of memory. */
static void memory_limit(atn_ctx *cx)
{
    zip *z = begin();
    atn_npz *f = NULL;
    atn_npy a;

    member(z, &(part){.name = "q.npy", .data = zeros, .size = nz, .method = 8});
    finish(z, false);
    CHECK_OK(atn_npz_open(cx, save(z), &f));
    CHECK_OK(atn_npz_load_floats(cx, f, 0, &a));
    CHECK_EQ(a.count, 2000);
    atn_npy_release(cx, &a);
    cx->mem_limit = 4096;
    CHECK_FAILS(atn_npz_load_floats(cx, f, 0, &a), ATN_MEMORY, "");
    cx->mem_limit = 0;
    atn_npz_close(cx, f);
}

/* Of a sound archive: every cut is refused, and so are bytes around it. */
static void cut_and_longer(atn_ctx *cx)
{
    static const char rubbish[] = "rubbish that is no comment of the end";
    zip *z = begin(), *cut;
    zip whole;
    size_t end;

    member(z, &(part){.name = "q.npy", .data = a5, .size = n5, .wide = true});
    finish(z, true);
    whole = *z;
    end = whole.n;
    cut = z;
    for (cut->n = 0; cut->n < end; cut->n++) refused(cx, cut, "a.npz: ");
    memcpy(cut->bytes + end, rubbish, sizeof rubbish);
    cut->n = end + sizeof rubbish;
    refused(cx, cut, "no end of a zip archive");
    memcpy(cut->bytes, rubbish, 8);
    memcpy(cut->bytes + 8, whole.bytes, end);
    cut->n = end + 8;
    refused(cx, cut, "a.npz: ");
}

/* Any one byte of an archive may lie: an error or an array, never a crash. */
static void changed_bytes(atn_ctx *cx)
{
    zip *z = begin();
    int sound = 0;

    member(z, &(part){.name = "q.npy", .data = a5, .size = n5, .wide = true});
    member(z, &(part){.name = "k.npy",
                      .data = a9,
                      .size = n9,
                      .method = 8,
                      .wide_directory = true});
    finish(z, true);
    for (size_t i = 0; i < z->n; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            atn_npz *f = NULL;
            atn_npy a;

            z->bytes[i] ^= (unsigned char)(1 << bit);
            if (atn_npz_open(cx, save(z), &f) == ATN_OK)
                for (atn_idx m = 0; m < atn_npz_count(f); m++)
                    if (atn_npz_load_floats(cx, f, m, &a) == ATN_OK) {
                        sound++;
                        atn_npy_release(cx, &a);
                    }
            atn_npz_close(cx, f);
            atn_err_clear(cx);
            z->bytes[i] ^= (unsigned char)(1 << bit);
        }
    CHECK(sound > 0);
}

/* Two members that share their bytes. */
static void overlapping(atn_ctx *cx)
{
    zip *z = begin();
    size_t first;

    member(z, &(part){.name = "q.npy", .data = a5, .size = n5});
    first = z->in_directory;
    memcpy(z->directory + first, z->directory, first);
    z->in_directory += first;
    z->members++;
    finish(z, false);
    refused(cx, z, "is there twice");
}

static void allocations(atn_ctx *cx)
{
    zip *z = begin();
    const char *path;
    bool done = false;

    member(z, &(part){.name = "q.npy", .data = a5, .size = n5, .method = 8});
    finish(z, false);
    path = save(z);
    (void)cx;
    for (long left = 0; !done; left++) {
        check_failing f = {left};
        atn_ctx mine;
        atn_npz *n = NULL;
        atn_npy a = {0};

        atn_ctx_init(&mine);
        mine.alloc = (atn_allocator){check_failing_resize, &f};
        done = atn_npz_open(&mine, path, &n) == ATN_OK &&
               atn_npz_load_floats(&mine, n, 0, &a) == ATN_OK;
        CHECK(done || mine.err.code == ATN_MEMORY);
        atn_npy_release(&mine, &a);
        atn_npz_close(&mine, n);
        atn_ctx_release(&mine);
        CHECK(left < 100);
    }
}

CHECK_MAIN({"members", members}, {"by numpy", by_numpy},
           {"refused members", refused_members}, {"damaged members", damaged_members},
           {"memory limit", memory_limit}, {"cut and longer", cut_and_longer},
           {"changed bytes", changed_bytes}, {"overlapping", overlapping},
           {"allocations", allocations})
