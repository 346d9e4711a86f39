/* Files of timings: a good one, and every rule broken. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/timings.h"

#define HEAD                                                                           \
    "gpu,kernel,phase,batch,q_len,kv_len,heads,kv_heads,head_dim,window,latency_ms,"   \
    "split\n"
#define GOOD "h200,a-fa3,context,2,512,512,8,2,128,0,0.25,fit\n"

static const char *write_file(const char *text)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/t.csv", check_scratch("timings"));
    f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK_EQ(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    return path;
}

static void good_rows(atn_ctx *cx)
{
    atn_timings t;

    CHECK_OK(atn_timings_load(
        cx,
        write_file(HEAD "b200,x,generation,3,1,4096,8,8,64,128,0.0125,check\n" GOOD
                        "h200,a-fa3,backward,2,512,512,8,2,128,512,1,fit\n"),
        &t));
    CHECK_EQ(t.n, 3);
    CHECK_STR(t.row[0].gpu, "b200");
    CHECK_STR(t.row[0].split, "check");
    CHECK_EQ(t.row[0].launch.pass, ATN_PASS_DECODE);
    CHECK_EQ(t.row[0].window, 128);
    CHECK_NEAR(t.row[0].density, 1, 0);
    CHECK_NEAR(t.row[0].us, 12.5, 1e-12);
    CHECK_EQ(t.row[1].launch.kv_heads, 2);
    CHECK_EQ(t.row[1].launch.value_dim, 128);
    CHECK_EQ(t.row[1].line, 3);
    CHECK(t.row[1].launch.causal);
    /* A window that hides nothing is none, but it was asked for. */
    CHECK_EQ(t.row[2].launch.pass, ATN_PASS_BACKWARD);
    CHECK_EQ(t.row[2].window, 0);
    CHECK_EQ(t.row[2].window_given, 512);
    atn_timings_release(cx, &t);
}

/* Aliases and other cases of a built-in GPU are its id; another name stays. */
static void gpus_have_one_name(atn_ctx *cx)
{
    static const char *const want[] = {"h100", "h100", "h100", "mine", "h200"};
    atn_timings t;

    CHECK_OK(atn_timings_load(
        cx,
        write_file(HEAD "h100-sxm,a-fa3,context,2,512,512,8,2,128,0,1,f\n"
                        "H100,a-fa3,context,2,512,512,8,2,128,0,1,f\n"
                        "h100-sxm,a-fa3,context,2,512,512,8,2,128,0,1,f\n"
                        "mine,a-fa3,context,2,512,512,8,2,128,0,1,f\n" GOOD),
        &t));
    for (int i = 0; i < 5; i++) CHECK_STR(t.row[i].gpu, want[i]);
    atn_timings_release(cx, &t);
}

static void split_is_optional(atn_ctx *cx)
{
    atn_timings t;

    CHECK_OK(atn_timings_load(
        cx,
        write_file("latency_ms,gpu,kernel,phase,batch,q_len,kv_len,heads,kv_heads,"
                   "head_dim,window,note\n2,h100,k,context,1,8,9,4,1,64,0,why\n"),
        &t));
    CHECK_STR(t.row[0].split, "");
    CHECK_NEAR(t.row[0].us, 2000, 0);
    CHECK_EQ(t.row[0].launch.kv_len, 9);
    atn_timings_release(cx, &t);
}

/* One field of the second row replaced; line 3 and the column are named. */
static void bad_cells(atn_ctx *cx)
{
    static const char *const cells[] = {"h200", "a-fa3", "context", "2", "512",  "512",
                                        "8",    "2",     "128",     "0", "0.25", "fit"};
    static const struct {
        int field;
        const char *value, *part;
    } bad[] = {
        {0, "", "gpu must be a name"},
        {2, "prefill", "phase must be context, generation or backward, not 'prefill'"},
        {2, "generation", "q_len must be 1 where phase is generation, not 512"},
        {3, "0", "batch must be a whole number of 1 to 1048576, not 0"},
        {3, "1.5", "batch must be"},
        {3, "two", "not 'two'"},
        {4, "513", "q_len must be at most kv_len = 512, not 513"},
        {4, "-512", "q_len must be"},
        {4, "1e30", "q_len must be"},
        {5, "99999999999", "kv_len must be"},
        {6, "nan", "heads must be"},
        {7, "3", "kv_heads must be a divisor of heads = 8, not 3"},
        {8, "8192", "head_dim must be a whole number of 1 to 4096"},
        {9, "-1", "window must be"},
        {10, "-0.25",
         "latency_ms must be of 1e-4 to 1e7 ms (is it in milliseconds?), not -0.25"},
        {10, "0", "latency_ms must be"},
        {10, "nan", "latency_ms must be"},
        {10, "inf", "latency_ms must be"},
        {10, "",
         "latency_ms must be of 1e-4 to 1e7 ms (is it in milliseconds?), not nothing"},
        {10, "1e-300", "latency_ms must be of 1e-4 to 1e7 ms"},
        {10, "9e-5", "latency_ms must be of 1e-4 to 1e7 ms"},
        {10, "fast", "not 'fast'"},
    };
    char text[1000], line[300];
    atn_timings t;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        line[0] = 0;
        for (int f = 0; f < 12; f++)
            snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s",
                     f == bad[i].field ? bad[i].value : cells[f], f < 11 ? "," : "\n");
        snprintf(text, sizeof text, HEAD GOOD "%s", line);
        CHECK_FAILS(atn_timings_load(cx, write_file(text), &t), ATN_DATA, bad[i].part);
        CHECK(t.row == NULL && t.n == 0);
        atn_timings_load(cx, write_file(text), &t) == ATN_OK ? fail() : (void)0;
        CHECK(strstr(cx->err.text, "t.csv, line 3: ") != NULL);
        atn_err_clear(cx);
    }
}

static void absurd_sizes(atn_ctx *cx)
{
    atn_timings t;

    CHECK_FAILS(
        atn_timings_load(cx,
                         write_file(HEAD "h200,a,context,1048576,16777216,16777216,"
                                         "16384,1,4096,0,1,fit\n"),
                         &t),
        ATN_DATA, "below 2^50");
}

/* Rows of random blocks say how many they are. */
static void densities(atn_ctx *cx)
{
    const char head[] = "density,gpu,kernel,phase,batch,q_len,kv_len,heads,kv_heads,"
                        "head_dim,window,latency_ms\n";
    char text[400];
    atn_timings t;

    snprintf(text, sizeof text, "%s0.25,h200,k,context,1,512,512,4,4,64,0,1\n", head);
    CHECK_OK(atn_timings_load(cx, write_file(text), &t));
    CHECK_NEAR(t.row[0].density, .25, 0);
    atn_timings_release(cx, &t);
    snprintf(text, sizeof text, "%s25,h200,k,context,1,512,512,4,4,64,0,1\n", head);
    CHECK_FAILS(atn_timings_load(cx, write_file(text), &t), ATN_DATA,
                "density must be above 0 and at most 1, not 25");
}

static void bad_files(atn_ctx *cx)
{
    atn_timings t;

    CHECK_FAILS(atn_timings_load(cx, write_file(HEAD), &t), ATN_DATA, "no rows");
    CHECK_FAILS(atn_timings_load(cx, write_file("gpu,kernel\na,b\n"), &t), ATN_DATA,
                "phase is missing");
    CHECK_FAILS(atn_timings_load(cx, "/nothing/here.csv", &t), ATN_NOINPUT,
                "cannot be opened");
}

static void memory_runs_out(atn_ctx *cx)
{
    const char *path = write_file(HEAD GOOD GOOD);
    atn_timings t;

    for (long left = 0;; left++) {
        check_failing f = {left};
        atn_ctx failing;
        atn_status st;

        atn_ctx_init(&failing);
        failing.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_timings_load(&failing, path, &t);
        if (st == ATN_OK) atn_timings_release(&failing, &t);
        atn_ctx_release(&failing);
        if (st == ATN_OK) break;
        CHECK_EQ(st, ATN_MEMORY);
        CHECK_LE(left, 5000);
    }
    (void)cx;
}

CHECK_MAIN({"good rows", good_rows}, {"GPUs have one name", gpus_have_one_name},
           {"split is optional", split_is_optional}, {"bad cells", bad_cells},
           {"absurd sizes", absurd_sizes}, {"densities", densities},
           {"bad files", bad_files}, {"memory runs out", memory_runs_out})
