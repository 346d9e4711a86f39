/* core/run.c -- the run record and its fingerprint.
 *
 * The fingerprint is the XXH3-128 of version, argv, seed, options and input hashes:
 * what the result depends on, and nothing that changes from run to run.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/run.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/backend.h"
#include "core/build_info.h" /* from cmake/build_info.cmake */
#include "core/io/file.h"

static const size_t HASH_WHOLE_BELOW = (size_t)64 << 20;

/* In UTC, of a moment `ago` seconds. */
static void start_stamp(double ago, char out[32])
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    const time_t at =
        epoch && *epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL) - (time_t)ago;
    struct tm utc;

    out[0] = '\0';
    if (gmtime_r(&at, &utc)) strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* "model name" of /proc/cpuinfo, "unknown" elsewhere. */
void atn_cpu_name(char *out, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];

    snprintf(out, size, "unknown");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
        break;
    }
    fclose(f);
}

/* A JSON string even where the bytes are not UTF-8: those become '?'. */
static json_t *json_text(const char *text)
{
    json_t *v = json_string(text);

    if (!v) {
        char copy[4096];
        snprintf(copy, sizeof copy, "%s", text);
        for (char *c = copy; *c; c++)
            if ((unsigned char)*c >= 0x80) *c = '?';
        v = json_string(copy);
    }
    return v;
}

static json_t *host_facts(const atn_ctx *cx)
{
    char cpu[256];

    atn_cpu_name(cpu, sizeof cpu);
    return json_pack("{s:o, s:I, s:i, s:s, s:i, s:s, s:s}", "cpu", json_text(cpu),
                     "cores", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "threads",
                     cx->threads, "blas", openblas_get_config(), "blas_threads", 1,
                     "device", cx->backend->device, "arithmetic",
                     cx->backend->arithmetic);
}

atn_status atn_run_init(atn_ctx *cx, atn_run *run, int argc, const char *const *argv)
{
    json_t *args = json_array();
    char stamp[32];

    *run = (atn_run){NULL, ""};
    start_stamp(0, stamp);
    for (int i = 0; i < argc; i++) json_array_append_new(args, json_text(argv[i]));
    run->json =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:s, s:o, s:{}, s:[], s:s, s:f}",
                  "schema", "attnscope/run/1", "version", ATN_VERSION, "git",
                  ATN_GIT_COMMIT, "build", ATN_BUILD_FLAGS, "argv", args, "seed",
                  (json_int_t)cx->seed, "generator", "Philox4x32-10", "started", stamp,
                  "host", host_facts(cx), "options", "inputs", "determinism",
                  "bitwise on the same build and CPU type at any number of threads; "
                  "elsewhere about "
                  "1e-6 relative",
                  "elapsed_s", atn_seconds());
    if (run->json) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for the run record");
}

void atn_run_release(atn_run *run)
{
    json_decref(run->json);
    run->json = NULL;
}

atn_status atn_run_add_input(atn_ctx *cx, atn_run *run, const char *path)
{
    atn_status st = ATN_OK;
    atn_map m = {NULL, 0};
    char hex[33];
    bool whole;

    ATN_TRY(atn_map_open(cx, path, &m));
    whole = m.size <= HASH_WHOLE_BELOW;
    /* the head of a large file holds its header; the size stands beside the hash */
    atn_hash_bytes(m.data, whole ? m.size : HASH_WHOLE_BELOW, hex);
    json_array_append_new(json_object_get(run->json, "inputs"),
                          json_pack("{s:o, s:I, s:s, s:b}", "path", json_text(path),
                                    "bytes", (json_int_t)m.size, "xxh3_128", hex,
                                    "whole", whole));
done:
    atn_map_close(&m);
    return st;
}

void atn_run_of_ranks(atn_run *run, double begun, int n)
{
    char stamp[32];

    start_stamp(atn_seconds() - begun, stamp);
    (void)json_object_set_new(run->json, "started", json_string(stamp));
    (void)json_object_set_new(run->json, "elapsed_s", json_real(begun));
    (void)json_object_set_new(json_object_get(run->json, "host"), "ranks",
                              json_integer(n));
}

void atn_run_set_seed(atn_run *run, uint64_t seed)
{
    (void)json_object_set_new(run->json, "seed", json_integer((json_int_t)seed));
}

atn_status atn_run_add_option(atn_ctx *cx, atn_run *run, const char *key,
                              const char *value)
{
    if (json_object_set_new(json_object_get(run->json, "options"), key,
                            json_text(value)) == 0)
        return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for the run record");
}

atn_status atn_run_finish(atn_ctx *cx, atn_run *run)
{
    static const char *const parts[] = {"version", "argv", "seed", "options", "inputs"};
    const double started = json_number_value(json_object_get(run->json, "elapsed_s"));
    json_t *what = json_object();
    struct rusage usage;
    char *text;

    for (size_t i = 0; i < ATN_LEN(parts); i++)
        json_object_set(what, parts[i], json_object_get(run->json, parts[i]));
    text = json_dumps(what, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(what);
    if (!text)
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "no memory for the run record");
    atn_hash_bytes(text, strlen(text), run->fingerprint);
    free(text);
    getrusage(RUSAGE_SELF, &usage);
    json_object_set_new(run->json, "fingerprint", json_string(run->fingerprint));
    json_object_set_new(run->json, "elapsed_s", json_real(atn_seconds() - started));
    json_object_set_new(run->json, "peak_rss_bytes",
                        json_integer(1024 * usage.ru_maxrss));
    return ATN_OK;
}
