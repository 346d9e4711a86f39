/* tests/core/test_npy.c -- .npy headers rule by rule, orders, widths, and the writer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/io/npy.h"

static char path[600];

/* Version 1.0 with this header text and data. */
static void make(const char *dict, const void *data, size_t n)
{
    const size_t length = strlen(dict);
    FILE *f;

    snprintf(path, sizeof path, "%s/a.npy", check_scratch("npy"));
    f = fopen(path, "wb");
    CHECK(f != NULL);
    fputs("\x93NUMPY", f);
    fputc(1, f);
    fputc(0, f);
    fputc((int)(length & 255), f);
    fputc((int)(length >> 8), f);
    fputs(dict, f);
    fwrite(data, 1, n, f);
    fclose(f);
}

static void refuse(atn_ctx *cx, const char *dict, size_t n, const char *rule)
{
    static const char zeros[256];
    atn_npy a;

    make(dict, zeros, n);
    CHECK_FAILS(atn_npy_load(cx, path, &a), ATN_DATA, rule);
}

static void orders_and_widths(atn_ctx *cx)
{
    const float f[] = {1, 2, 3, 4, 5, 6};
    const double d[] = {.5, -.25};
    const int64_t i[] = {7, -9};
    const uint16_t h[] = {0x3c00, 0xc000};
    const unsigned char b[] = {0, 1, 200};
    atn_npy a;

    make("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", f, sizeof f);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(a.rank == 2 && a.shape[1] == 3 && a.is_float && a.f32[4] == 5);
    atn_npy_release(cx, &a);
    /* Fortran order: columns first, [[1, 3, 5], [2, 4, 6]]; keys in another order */
    make("{'shape': (2, 3), 'fortran_order': True, 'descr': '<f4'}", f, sizeof f);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(a.f32[0] == 1 && a.f32[1] == 3 && a.f32[3] == 2 && a.f32[5] == 6);
    atn_npy_release(cx, &a);
    make("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", d, sizeof d);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(a.rank == 1 && a.f32[1] == -.25f);
    atn_npy_release(cx, &a);
    make("{\"descr\": \"<f2\", \"fortran_order\": False, \"shape\": (2,)}", h,
         sizeof h);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(a.f32[0] == 1 && a.f32[1] == -2);
    atn_npy_release(cx, &a);
    make("{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", i, sizeof i);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(!a.is_float && a.i64[1] == -9);
    atn_npy_release(cx, &a);
    make("{'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", b, sizeof b);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(a.i64[2] == 200);
    atn_npy_release(cx, &a);
    make("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", f, 4);
    CHECK_OK(atn_npy_load(cx, path, &a));
    CHECK(a.rank == 0 && a.count == 1);
    atn_npy_release(cx, &a);
}

static void bad_headers(atn_ctx *cx)
{
    refuse(cx, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", 8, "'>f4'");
    refuse(cx, "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8, "'|O'");
    refuse(cx, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8,
           "is a structured array, whose entries have fields");
    refuse(cx, "{'descr': '<f4', 'shape': (2,)}", 8, "dict");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8,
           "dict");
    refuse(cx,
           "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8,
           "dict");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8, "dict");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", 8, "dict");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
           4, "dict");
    refuse(cx, "__import__('os')", 8, "dict");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, "dict");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9,
           "holds 9 bytes");
    refuse(cx, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8, "needs 3");
    refuse(cx,
           "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, "
           "99999999999999)}",
           8, "");
}

static void not_npy(atn_ctx *cx)
{
    atn_npy a;
    FILE *f;

    snprintf(path, sizeof path, "%s/a.npy", check_scratch("npy"));
    f = fopen(path, "wb");
    fputs("PK\003\004 not an array at all", f);
    fclose(f);
    CHECK_FAILS(atn_npy_load(cx, path, &a), ATN_DATA, "NUMPY");
    f = fopen(path, "wb");
    fputs("\x93NUMPY\x09", f);
    fputs("\0\0\0\0\0", f);
    fclose(f);
    CHECK_FAILS(atn_npy_load(cx, path, &a), ATN_DATA, "");
}

/* What is written has a header of a multiple of 64 bytes and reads back. */
static void writer(atn_ctx *cx)
{
    const float x[] = {1, -2, 3.5f, 4, 5, 6};
    const atn_idx shapes[][3] = {{6, 0, 0}, {2, 3, 0}, {1, 2, 3}};
    atn_npy a;

    for (int rank = 1; rank <= 3; rank++) {
        FILE *f;
        long size;

        snprintf(path, sizeof path, "%s/w.npy", check_scratch("npy-out"));
        CHECK_OK(atn_npy_save_f32(cx, path, x, rank, shapes[rank - 1], false));
        f = fopen(path, "rb");
        fseek(f, 0, SEEK_END);
        size = ftell(f);
        fclose(f);
        CHECK_EQ((size - 24) % 64, 0);
        CHECK_OK(atn_npy_load(cx, path, &a));
        CHECK(a.rank == rank && memcmp(a.f32, x, sizeof x) == 0);
        atn_npy_release(cx, &a);
    }
    CHECK_FAILS(atn_npy_save_f32(cx, path, x, 1, shapes[0], false), ATN_CANTCREATE,
                "--force");
}

/* Doubles stay doubles where they are asked for, in either order, and come back. */
static void doubles(atn_ctx *cx)
{
    const double x[] = {1.0 / 3, -2, 1e-300, 4, 5e200, 6};
    const atn_idx shape[] = {3, 2};
    atn_npy a;

    make("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3)}", x, sizeof x);
    CHECK_OK(atn_npy_load_wide(cx, path, &a));
    CHECK(a.is_float && !a.f32 && a.f64[0] == x[0] && a.f64[1] == 1e-300);
    CHECK(a.f64[2] == 5e200 && a.f64[3] == -2);
    atn_npy_release(cx, &a);
    CHECK_OK(atn_npy_save_f64(cx, path, x, 2, shape, true));
    CHECK_OK(atn_npy_load_wide(cx, path, &a));
    CHECK(a.rank == 2 && a.shape[0] == 3 && a.shape[1] == 2);
    CHECK(memcmp(a.f64, x, sizeof x) == 0);
    atn_npy_release(cx, &a);
    make("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", (float[]){1, 2}, 8);
    CHECK_OK(atn_npy_load_wide(cx, path, &a));
    CHECK(a.f32 && !a.f64 && a.f32[1] == 2);
    atn_npy_release(cx, &a);
}

/* Where floats are wanted no integers are offered. */
static void floats_alone(atn_ctx *cx)
{
    atn_npy a;

    make("{'descr': '>i4', 'fortran_order': False, 'shape': (1,)}", "\0\0\0\1", 4);
    CHECK_FAILS(atn_npy_load(cx, path, &a), ATN_DATA, "<f2 <i4 <i8 <u4 |u1 |b1)");
    CHECK_FAILS(atn_npy_load_floats(cx, path, &a), ATN_DATA, "<f4 <f8 <f2)");
    CHECK_FAILS(atn_npy_load_wide(cx, path, &a), ATN_DATA, "<f4 <f8 <f2)");
    make("{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}", "\1\0\0\0", 4);
    CHECK_FAILS(atn_npy_load_floats(cx, path, &a), ATN_DATA, "holds integers");
    make("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", (double[]){.5}, 8);
    CHECK_OK(atn_npy_load_floats(cx, path, &a));
    CHECK(a.f32[0] == .5f && !a.f64);
    atn_npy_release(cx, &a);
}

CHECK_MAIN({"doubles", doubles}, {"floats alone", floats_alone},
           {"orders and widths", orders_and_widths}, {"bad headers", bad_headers},
           {"not npy", not_npy}, {"writer", writer})
