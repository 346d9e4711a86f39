/* capture/image_pnm.c -- PPM and PGM files, plain (P2, P3) and raw (P5, P6), see
 * image.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <ctype.h>
#include <math.h>

#include "capture/image_internal.h"

typedef struct text {
    const char *path;
    const unsigned char *data;
    size_t size, at;
} text;

/* The next number behind blanks and comments. */
static atn_status next_number(atn_ctx *cx, text *t, const char *what, int64_t most,
                              int64_t *out)
{
    int64_t v = 0;
    int digits = 0;

    while (t->at < t->size && (isspace(t->data[t->at]) || t->data[t->at] == '#')) {
        if (t->data[t->at] == '#')
            while (t->at < t->size && t->data[t->at] != '\n') t->at++;
        else
            t->at++;
    }
    for (; t->at < t->size && isdigit(t->data[t->at]) && digits < 12; digits++)
        v = 10 * v + (t->data[t->at++] - '0');
    if (digits == 0 || v > most)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: the %s at byte %zu is no whole number from 0 to %lld",
                        t->path, what, t->at, (long long)most);
    *out = v;
    return ATN_OK;
}

static uint8_t scaled(int64_t v, int64_t most)
{
    return (uint8_t)(most == 255 ? v
                                 : (int64_t)nearbyint((double)v / (double)most * 255));
}

static atn_status plain_values(atn_ctx *cx, text *t, int64_t most, atn_idx n,
                               int repeat, uint8_t *rgb)
{
    atn_status st = ATN_OK;
    int64_t v = 0;

    for (atn_idx i = 0; i < n; i++) {
        ATN_TRY(next_number(cx, t, "pixel", most, &v));
        for (int k = 0; k < repeat; k++) *rgb++ = scaled(v, most);
    }
done:
    return st;
}

static atn_status raw_values(atn_ctx *cx, text *t, int64_t most, atn_idx n, int repeat,
                             uint8_t *rgb)
{
    const size_t bytes = most > 255 ? 2 : 1;

    if (t->at >= t->size || !isspace(t->data[t->at]) ||
        (t->size - t->at - 1) / bytes < (size_t)n)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: holds fewer bytes than the %lld values of its size",
                        t->path, (long long)n);
    t->at++;
    for (atn_idx i = 0; i < n; i++) {
        int64_t v = t->data[t->at++];

        if (bytes == 2) v = 256 * v + t->data[t->at++];
        if (v > most)
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: value %lld is above the maxval %lld", t->path,
                            (long long)v, (long long)most);
        for (int k = 0; k < repeat; k++) *rgb++ = scaled(v, most);
    }
    return ATN_OK;
}

atn_status atn_image_read_pnm(atn_ctx *cx, const char *path, const unsigned char *data,
                              size_t size, atn_image *out)
{
    const char kind = (char)data[1];
    const bool grey = kind == '2' || kind == '5', plain = kind == '2' || kind == '3';
    text t = {path, data, size, 2};
    int64_t width = 0, height = 0, most = 0;
    atn_status st = ATN_OK;
    atn_idx n;

    ATN_TRY(next_number(cx, &t, "width", INT32_MAX, &width));
    ATN_TRY(next_number(cx, &t, "height", INT32_MAX, &height));
    ATN_TRY(next_number(cx, &t, "maxval", 65535, &most));
    if (most < 1) ATN_FAIL(ATN_DATA, "%s: the maxval is 0", path);
    /* a value takes at least a byte: no memory for what the file cannot hold */
    if (width < 1 || height < 1 || height > INT64_MAX / 3 / width ||
        (uint64_t)(width * height) > size)
        ATN_FAIL(ATN_DATA, "%s: is too short for a picture of %lldx%lld", path,
                 (long long)width, (long long)height);
    ATN_TRY(atn_image_new(cx, path, (double)height, (double)width, out));
    n = width * height * (grey ? 1 : 3);
    if (plain)
        ATN_TRY(plain_values(cx, &t, most, n, grey ? 3 : 1, out->rgb));
    else
        ATN_TRY(raw_values(cx, &t, most, n, grey ? 3 : 1, out->rgb));
done:
    return st;
}
