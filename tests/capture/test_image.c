/* tests/capture/test_image.c -- pictures: readers, resizing against Pillow,
 * preprocessing against the fixture of ViT; hostile files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <png.h>

#include "capture/preprocess.h"
#include "core/io/file.h"
#include "core/io/npy.h"

enum { H = 5, W = 7 };

static const char *scratch_file(const char *name)
{
    static char dir[700], path[900];

    if (!*dir) snprintf(dir, sizeof dir, "%s", check_scratch("image"));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");

    CHECK(f && fwrite(data, 1, n, f) == n);
    fclose(f);
}

static char *read_whole(atn_ctx *cx, const char *path, size_t *n)
{
    char *data = NULL;

    CHECK_OK(atn_file_read(cx, path, 1 << 20, &data, n));
    return data;
}

/* ---- PNG ---- */

/* Raw samples of every pixel: some function of place and channel within the depth. */
static unsigned sample(int y, int x, int c, int depth)
{
    const unsigned v = (unsigned)(37 * y + 101 * x + 59 * c + 13);

    return depth == 16 ? v * 257 % 65536 : v % (1u << depth);
}

static png_color entry(int i)
{
    return (png_color){(png_byte)(7 * i), (png_byte)(255 - i), (png_byte)(i * i)};
}

/* One row, samples packed from the most significant bit on. */
static void pack_row(int y, int channels, int depth, png_byte *row)
{
    memset(row, 0, 8 * W);
    for (int i = 0; i < W * channels; i++) {
        const unsigned v = sample(y, i / channels, i % channels, depth);

        if (depth == 16) {
            row[2 * i] = (png_byte)(v >> 8);
            row[2 * i + 1] = (png_byte)v;
        } else {
            row[i * depth / 8] |= (png_byte)(v << (8 - depth - i * depth % 8));
        }
    }
}

static void write_png(const char *path, int type, int channels, int depth,
                      int interlace)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_byte rows[H][8 * W], *at[H], alpha[256];
    png_color palette[256];
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL);
    for (int i = 0; i < 256; i++) {
        palette[i] = entry(i);
        alpha[i] = (png_byte)(3 * i);
    }
    for (int y = 0; y < H; y++) {
        pack_row(y, channels, depth, rows[y]);
        at[y] = rows[y];
    }
    png_init_io(png, f);
    png_set_IHDR(png, info, W, H, depth, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 1 << depth);
        png_set_tRNS(png, info, alpha, 1 << depth, NULL);
    }
    png_set_rows(png, info, at);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

/* What the pixel is in RGB of 8 bits. */
static uint8_t wanted(int y, int x, int c, int type, int channels, int depth)
{
    const int from = channels < 3 ? 0 : c;
    const unsigned v = sample(y, x, from, depth);

    if (type == PNG_COLOR_TYPE_PALETTE) {
        const png_color p = entry((int)v);
        return c == 0 ? p.red : c == 1 ? p.green : p.blue;
    }
    return (uint8_t)(depth == 16 ? v >> 8 : v * 255 / ((1u << depth) - 1));
}

/* Every colour type and depth of the format, plain and interlaced. */
static void all_png_kinds(atn_ctx *cx)
{
    static const struct {
        int type, channels, depths[5];
    } kinds[] = {{PNG_COLOR_TYPE_GRAY, 1, {1, 2, 4, 8, 16}},
                 {PNG_COLOR_TYPE_RGB, 3, {8, 16}},
                 {PNG_COLOR_TYPE_PALETTE, 1, {1, 2, 4, 8}},
                 {PNG_COLOR_TYPE_GRAY_ALPHA, 2, {8, 16}},
                 {PNG_COLOR_TYPE_RGB_ALPHA, 4, {8, 16}}};

    for (size_t k = 0; k < ATN_LEN(kinds); k++)
        for (int i = 0; i < 10; i++) {
            const int depth = kinds[k].depths[i / 2];
            const char *path = scratch_file("kind.png");
            atn_image im;

            if (depth == 0) continue;
            write_png(path, kinds[k].type, kinds[k].channels, depth, i % 2);
            CHECK_OK(atn_image_read(cx, path, &im));
            CHECK(im.height == H && im.width == W && im.channels == 3);
            for (int at = 0; at < H * W * 3; at++)
                CHECK_EQ(im.rgb[at], wanted(at / 3 / W, at / 3 % W, at % 3,
                                            kinds[k].type, kinds[k].channels, depth));
            atn_image_release(cx, &im);
        }
}

/* Cut at every byte, and with every byte changed: an error or a picture, never more. */
static void broken_png(atn_ctx *cx)
{
    char path[900], *data;
    size_t n = 0;
    atn_image im;

    snprintf(path, sizeof path, "%s", scratch_file("whole.png"));
    write_png(path, PNG_COLOR_TYPE_RGB, 3, 8, PNG_INTERLACE_ADAM7);
    data = read_whole(cx, path, &n);
    snprintf(path, sizeof path, "%s", scratch_file("broken.png"));
    for (size_t cut = 0; cut < n; cut++) {
        write_file(path, data, cut);
        CHECK_FAILS(atn_image_read(cx, path, &im), ATN_DATA, "broken.png");
        CHECK(!im.rgb && !im.values);
    }
    for (size_t at = 8; at < n; at++)
        for (int by = 1; by < 256; by *= 5) {
            data[at] = (char)(data[at] ^ by);
            write_file(path, data, n);
            if (atn_image_read(cx, path, &im) == ATN_OK)
                atn_image_release(cx, &im);
            else
                atn_err_clear(cx);
            data[at] = (char)(data[at] ^ by);
        }
    atn_free(cx, data);
}

/* A header that promises 60000 x 60000 of a file of 41 bytes is refused before the
 * picture is allocated; so is one of a file that could hold it, by the limit of
 * memory. */
static void huge_png(atn_ctx *cx)
{
    /* the header with its CRC, then nothing: the size is looked at first */
    png_byte head[] = {0x89, 'P',  'N', 'G', '\r', '\n', 26,  '\n', 0,    0, 0,
                       13,   'I',  'H', 'D', 'R',  0,    0,   0xea, 0x60, 0, 0,
                       0xea, 0x60, 8,   2,   0,    0,    0,   0,    0,    0, 0,
                       0,    0,    0,   0,   'I',  'D',  'A', 'T'};
    const size_t limit = cx->mem_limit, large = (size_t)12 << 20;
    uint32_t crc = 0xffffffffu;
    char *whole = calloc(large, 1);
    atn_image im;

    for (int i = 12; i < 29; i++) {
        crc ^= head[i];
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++) head[29 + i] = (png_byte)(crc >> (24 - 8 * i));
    write_file(scratch_file("huge.png"), head, sizeof head);
    CHECK_FAILS(atn_image_read(cx, scratch_file("huge.png"), &im), ATN_DATA,
                "41 bytes cannot hold a picture of 60000x60000");
    memcpy(whole, head, sizeof head);
    write_file(scratch_file("huge.png"), whole, large);
    free(whole);
    cx->mem_limit = (size_t)1 << 30;
    CHECK_FAILS(atn_image_read(cx, scratch_file("huge.png"), &im), ATN_MEMORY,
                "the picture");
    cx->mem_limit = limit;
}

/* ---- PPM, PGM, .npy ---- */

static void check_text(atn_ctx *cx, const char *data, size_t n, const uint8_t rgb[6])
{
    atn_image im;

    write_file(scratch_file("x.ppm"), data, n);
    CHECK_OK(atn_image_read(cx, scratch_file("x.ppm"), &im));
    CHECK(im.height == 1 && im.width == 2);
    for (int i = 0; i < 6; i++) CHECK_EQ(im.rgb[i], rgb[i]);
    atn_image_release(cx, &im);
}

/* maxval 3: 0 1 2 3 are 0 85 170 255; 16 bits: 0x0180 of 65535 is 1.49 of 255. */
static void netpbm(atn_ctx *cx)
{
    static const struct {
        const char *data;
        size_t n;
        uint8_t rgb[6];
    } good[] = {{"P3 # c\n2 1\n255\n1 2 3 200 5 255\n", 32, {1, 2, 3, 200, 5, 255}},
                {"P2\n#x\n2 #y\n1\n3\n2\n3", 19, {170, 170, 170, 255, 255, 255}},
                {"P6 2 1 255\n\x09\x08\x07\xff\x05\x00", 17, {9, 8, 7, 255, 5, 0}},
                {"P5 2 1 3 \x01\x02", 11, {85, 85, 85, 170, 170, 170}},
                {"P5 2 1 65535\n\x01\x80\xff\xff", 17, {1, 1, 1, 255, 255, 255}}};
    static const struct {
        const char *data;
        const char *part;
    } bad[] = {{"P6 2 1 255\n\x09\x08", "fewer bytes"},
               {"P6 2", "height"},
               {"P6 2 1 70000\n", "maxval"},
               {"P5 2 1 3\n\x04\x04", "above the maxval"},
               {"P2 2 1 3\n1 4", "pixel"},
               {"P5 2 1 0\n\x01\x01", "maxval is 0"},
               {"P5 0 1 255\n\x01\x01", "too short"},
               {"P5 2000000000 2000000000 255\n\x01\x01", "too short"},
               {"P4 2 1\n\x01\x01", "kind that is not read"},
               {"\xff\xd8\xff\xe0", "JPEG"},
               {"GIF89a", "GIF"},
               {"BM", "no picture"}};

    for (size_t i = 0; i < ATN_LEN(good); i++)
        check_text(cx, good[i].data, good[i].n, good[i].rgb);
    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        atn_image im;
        write_file(scratch_file("x.ppm"), bad[i].data, strlen(bad[i].data));
        CHECK_FAILS(atn_image_read(cx, scratch_file("x.ppm"), &im), ATN_DATA,
                    bad[i].part);
    }
}

static void npy_header(FILE *f, const char *descr, const char *shape)
{
    char text[118];
    const int n = snprintf(text, sizeof text,
                           "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                           descr, shape);

    memset(text + n, ' ', sizeof text - (size_t)n);
    text[117] = '\n';
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, f);
    fwrite(text, 1, sizeof text, f);
}

static void npy_bytes(atn_ctx *cx)
{
    static const char *const shapes[] = {"(1, 2, 3)", "(2, 3, 1)", "(2, 3)"};
    const uint8_t values[6] = {9, 200, 7, 255, 0, 31};

    for (int k = 0; k < 3; k++) {
        FILE *f = fopen(scratch_file("x.npy"), "wb");
        atn_image im;

        CHECK(f != NULL);
        npy_header(f, "|u1", shapes[k]);
        fwrite(values, 1, 6, f);
        fclose(f);
        CHECK_OK(atn_image_read(cx, scratch_file("x.npy"), &im));
        CHECK(im.channels == 3 && im.height == 1 + (k > 0) && im.width == 2 + (k > 0));
        for (int i = 0; i < 3 * (int)(im.height * im.width); i++)
            CHECK_EQ(im.rgb[i], values[k == 0 ? i : i / 3]);
        atn_image_release(cx, &im);
    }
}

static void npy_floats(atn_ctx *cx)
{
    float values[12] = {0.5f, -1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const atn_idx shape[] = {3, 2, 2};
    atn_image im;

    CHECK_OK(atn_npy_save_f32(cx, scratch_file("y.npy"), values, 3, shape, true));
    CHECK_OK(atn_image_read(cx, scratch_file("y.npy"), &im));
    CHECK(!im.rgb && im.channels == 3 && im.height == 2 && im.width == 2);
    CHECK(memcmp(im.values, values, sizeof values) == 0);
    atn_image_release(cx, &im);
    CHECK_OK(atn_npy_save_f32(cx, scratch_file("y.npy"), values, 2, shape, true));
    CHECK_FAILS(atn_image_read(cx, scratch_file("y.npy"), &im), ATN_DATA, "[C, H, W]");
    values[7] = NAN;
    CHECK_OK(atn_npy_save_f32(cx, scratch_file("y.npy"), values, 3, shape, true));
    CHECK_FAILS(atn_image_read(cx, scratch_file("y.npy"), &im), ATN_DATA, "value 7");
}

/* ---- Pillow ---- */

/* One call, or a call an axis, the rows first. */
static void resize(atn_ctx *cx, const atn_image *from, const atn_st_tensor *t,
                   int filter, bool rows_first, atn_image *to)
{
    atn_image rows = {0};

    if (rows_first)
        CHECK_OK(atn_image_resize(cx, from, t->shape[0], from->width,
                                  (atn_filter)filter, &rows));
    CHECK_OK(atn_image_resize(cx, rows_first ? &rows : from, t->shape[0], t->shape[1],
                              (atn_filter)filter, to));
    atn_image_release(cx, &rows);
}

/* Byte for byte what PIL makes of a picture with every filter, larger and smaller.
 * Those named pillow13_ are of Pillow 13.0.0, where it takes the rows first: not ours,
 * but ours an axis at a time. */
static void as_pillow(atn_ctx *cx)
{
    static const char *const names[] = {"nearest", "lanczos", "bilinear",
                                        "bicubic", "box",     "hamming"};
    atn_st *f = NULL;
    int seen = 0;

    CHECK_OK(atn_st_open(cx, ATN_TEST_FIXTURES "/images/resize.safetensors", &f));
    for (atn_idx i = 0; i < atn_st_count(f); i++) {
        const atn_st_tensor *t = atn_st_at(f, i), *s = atn_st_find(f, "source");
        const bool later = strncmp(t->name, "pillow13_", 9) == 0;
        const char *name = t->name + (later ? 9 : 0);
        const size_t n = strcspn(name, "_");
        atn_image from = {3, s->shape[0], s->shape[1], NULL, NULL}, to;
        int filter = 0;

        if (t == s) continue;
        while (strncmp(names[filter], name, n) != 0) filter++;
        from.rgb = malloc(s->bytes);
        memcpy(from.rgb, s->data, s->bytes);
        CHECK_EQ(atn_image_rows_first(&from, t->shape[0], t->shape[1]),
                 strstr(name, "_7x21") != NULL);
        if (later) {
            resize(cx, &from, t, filter, false, &to);
            CHECK(memcmp(to.rgb, t->data, t->bytes) != 0);
            atn_image_release(cx, &to);
        }
        resize(cx, &from, t, filter, later, &to);
        for (size_t at = 0; at < t->bytes; at++)
            if (to.rgb[at] != ((const uint8_t *)t->data)[at])
                fail_msg("%s: byte %zu is %d, not %d", t->name, at, to.rgb[at],
                         ((const uint8_t *)t->data)[at]);
        atn_image_release(cx, &to);
        free(from.rgb);
        seen++;
    }
    CHECK_EQ(seen, 34);
    atn_st_close(cx, f);
}

/* photo.png through preprocessor_config.json: what PIL and numpy made of it. */
static void as_the_processor(atn_ctx *cx)
{
    static const char dir[] = ATN_TEST_FIXTURES "/parity/vit";
    const atn_st_tensor *t;
    atn_st *oracle = NULL;
    float *pixels = NULL;
    atn_preprocess p;
    atn_image im;
    atn_model m;

    CHECK_OK(
        atn_st_open(cx, ATN_TEST_FIXTURES "/parity/vit/oracle.safetensors", &oracle));
    t = atn_st_find(oracle, "pixels");
    CHECK_OK(atn_model_open(cx, dir, &m));
    CHECK_OK(atn_preprocess_load(cx, &m, &p));
    CHECK_OK(atn_image_read(cx, ATN_TEST_FIXTURES "/parity/vit/photo.png", &im));
    CHECK_OK(atn_preprocess_apply(cx, &m, &p, "photo.png", &im, &pixels));
    CHECK_EQ(t->count, 3 * m.config.image_h * m.config.image_w);
    for (atn_idx i = 0; i < t->count; i++) {
        float want;
        memcpy(&want, (const char *)t->data + 4 * i, 4);
        CHECK_NEAR(pixels[i], want, 1e-6);
    }
    atn_free(cx, pixels);
    p.crop = false;
    CHECK_FAILS(atn_preprocess_apply(cx, &m, &p, "photo.png", &im, &pixels), ATN_DATA,
                "becomes 34x49, and the model has positions for 24x32");
    atn_image_release(cx, &im);
    atn_model_close(cx, &m);
    atn_st_close(cx, oracle);
}

/* A picture smaller than the crop stands in the middle of zeros; 3 x 2 in 6 x 7. */
static void crop_pads(atn_ctx *cx)
{
    uint8_t rgb[18];
    atn_image im = {3, 3, 2, rgb, NULL};
    atn_arch arch = {.id = "x"};
    atn_model m = {
        .dir = (char[]){"x"},
        .config = {.arch = &arch, .image_h = 6, .image_w = 7, .channels = 3}};
    const atn_preprocess p = {.crop = true, .crop_height = 6, .crop_width = 7};
    float *out = NULL;

    for (int i = 0; i < 18; i++) rgb[i] = (uint8_t)(100 + i);
    CHECK_OK(atn_preprocess_apply(cx, &m, &p, "x", &im, &out));
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < 6; y++)
            for (int x = 0; x < 7; x++) {
                /* HF: ceil((6 - 3) / 2) = 2 rows above, ceil((7 - 2) / 2) = 3
                 * columns */
                const bool in = y >= 2 && y < 5 && x >= 3 && x < 5;
                const float want =
                    in ? (float)(100 + 3 * (2 * (y - 2) + x - 3) + c) : 0;
                CHECK_EQ(out[(c * 6 + y) * 7 + x], want);
            }
    atn_free(cx, out);
}

/* A picture of 37 x 53 under the forms of "size"; the sizes are those of transformers
 * 5.23's get_size_with_aspect_ratio and get_image_size_for_max_height_width. */
static void forms_of_size(atn_ctx *cx)
{
    static const struct {
        atn_preprocess p;
        bool lying; /* 37 x 53, else 53 x 37 */
        const char *size;
    } cases[] = {{{.width = 24}, true, "24x34"},
                 {{.width = 24}, false, "34x24"},
                 {{.width = 24, .longest = 30}, true, "21x30"},
                 {{.width = 24, .longest = 30}, false, "30x21"},
                 {{.width = 24, .longest = 34}, true, "24x34"},
                 {{.width = 37, .longest = 60}, true, "37x53"},
                 {{.height = 24, .width = 24, .within = true}, true, "16x24"},
                 {{.height = 24, .width = 100, .within = true}, true, "24x34"},
                 {{.height = 100, .width = 24, .within = true}, false, "34x24"}};
    uint8_t rgb[37 * 53 * 3] = {0};
    atn_arch arch = {.id = "x"};
    atn_model m = {
        .dir = (char[]){"x"},
        .config = {.arch = &arch, .image_h = 1, .image_w = 1, .channels = 3}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_idx h = cases[i].lying ? 37 : 53;
        const atn_image im = {3, h, 37 + 53 - h, rgb, NULL};
        atn_preprocess p = cases[i].p;
        char want[32];
        float *out;

        p.resize = true;
        p.filter = ATN_FILTER_BILINEAR;
        snprintf(want, sizeof want, "becomes %s,", cases[i].size);
        CHECK_FAILS(atn_preprocess_apply(cx, &m, &p, "x", &im, &out), ATN_DATA, want);
    }
}

static void check_config(atn_ctx *cx, const char *text, const char *part)
{
    char dir[800], path[900];
    atn_preprocess p;
    atn_arch arch = {.id = "vit", .image = {2, 1}};
    atn_model m = {.dir = dir, .config = {.arch = &arch, .image_h = 24, .image_w = 32}};

    snprintf(dir, sizeof dir, "%s", check_scratch("image-config"));
    snprintf(path, sizeof path, "%s/preprocessor_config.json", dir);
    if (text)
        write_file(path, text, strlen(text));
    else
        remove(path);
    if (part) {
        CHECK_FAILS(atn_preprocess_load(cx, &m, &p), ATN_DATA, part);
        return;
    }
    CHECK_OK(atn_preprocess_load(cx, &m, &p));
    CHECK(p.resize && !p.crop && p.height == 24 && p.width == 32);
    CHECK_EQ(p.filter, ATN_FILTER_BILINEAR);
}

static void processor_configs(atn_ctx *cx)
{
    check_config(cx, NULL, NULL);
    check_config(cx, "{}", NULL);
    check_config(cx, "{\"size\": {\"height\": 24, \"width\": 32}}", NULL);
    check_config(cx, "[]", "no JSON object");
    check_config(cx, "{\"size\": 0}", "size");
    check_config(cx, "{\"size\": \"x\"}", "size");
    check_config(cx, "{\"size\": [24, 32]}", NULL);
    check_config(cx, "{\"size\": {\"longest_edge\": 9}}", "none of");
    check_config(cx, "{\"size\": {\"shortest_edge\": 3, \"longest_edge\": 0}}",
                 "longest_edge");
    check_config(cx, "{\"size\": {\"max_height\": 3, \"max_width\": 1.5}}",
                 "max_width");
    check_config(cx, "{\"size\": [24]}", "none of");
    check_config(cx, "{\"crop_size\": {\"shortest_edge\": 3}}",
                 "crop_size: \"height\"");
    check_config(cx, "{\"resample\": \"bicubic\"}", "only its number");
    check_config(cx, "{\"size\": {\"height\": 24}}", "width");
    check_config(cx, "{\"resample\": 6}", "resample");
    check_config(cx, "{\"image_mean\": [1, 2]}", "three numbers");
    check_config(cx, "{\"image_std\": [1, 0, 1]}", "above 0");
    check_config(cx, "{\"do_resize\": 1}", "do_resize");
}

static void no_memory(atn_ctx *cx)
{
    const atn_allocator old = cx->alloc;

    for (long k = 0; k < 12; k++) {
        atn_image im, small = {0};
        check_failing f = {k};
        atn_status st;

        cx->alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_image_read(cx, ATN_TEST_FIXTURES "/parity/vit/photo.png", &im);
        if (st == ATN_OK)
            st = atn_image_resize(cx, &im, 9, 9, ATN_FILTER_BICUBIC, &small);
        atn_image_release(cx, &im);
        atn_image_release(cx, &small);
        cx->alloc = old;
        if (st == ATN_OK) return;
        CHECK_EQ(st, ATN_MEMORY);
        atn_err_clear(cx);
    }
    CHECK(false);
}

CHECK_MAIN({"all PNG kinds", all_png_kinds}, {"broken PNG", broken_png},
           {"huge PNG", huge_png}, {"netpbm", netpbm}, {"npy bytes", npy_bytes},
           {"npy floats", npy_floats}, {"as Pillow", as_pillow},
           {"as the processor", as_the_processor}, {"crop pads", crop_pads},
           {"forms of size", forms_of_size}, {"processor configs", processor_configs},
           {"no memory", no_memory})
