/* cli/measuring.c -- attnscope calibrate --measure. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/measuring.h"

#include <math.h>
#include <string.h>

#include "cli/device.h"
#include "cli/output.h"
#include "simulators/measure.h"

/* Of the card, what is taken at most: the rest is the driver's. */
static const double share_of_card = 0.95;

const char *atn_cli_measure_option(int i)
{
    static const char *const names[] = {"device", "quick", "tokens", "runs"};

    return i < (int)ATN_LEN(names) ? names[i] : NULL;
}

/* The built-in device's id: what --gpu names, or what the driver calls the card. */
static atn_status name_gpu(atn_cli *cli, const atn_gpu_info *info, atn_device *d,
                           const char **out)
{
    const char *given = atn_opt_text(cli, "gpu", NULL);
    const char *found = given ? given : info ? atn_measure_device(info->name) : NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    *out = info ? info->name : "gpu";
    if (!found && info)
        atn_log(cx, ATN_LOG_WARN,
                "no built-in device is called '%s': rows are of that name (to fit to "
                "them, describe it: docs/guide/device-files.md; or give --gpu)",
                info->name);
    if (!found) return ATN_OK;
    ATN_TRY(atn_device_read(cx, found, d));
    *out = d->id;
    if (info && (double)info->sm_count != atn_device_get(d, ATN_DEVICE_SMS))
        atn_log(cx, ATN_LOG_WARN,
                "%s has %d SMs, the device %s %.0f: is it another one?", info->name,
                info->sm_count, d->id, atn_device_get(d, ATN_DEVICE_SMS));
done:
    return st;
}

/* Bytes that launches may take: of the card, or without one of the device named. */
static atn_status find_bytes(atn_cli *cli, const atn_backend *be, const atn_device *d,
                             double *bytes)
{
    atn_status st = ATN_OK;

    *bytes = *d->id ? 1e9 * atn_device_get(d, ATN_DEVICE_MEMORY_GB) : INFINITY;
    if (be) st = atn_cuda_left(cli->cx, bytes);
    *bytes *= share_of_card;
    return st;
}

static atn_status emit(atn_cli *cli, const atn_timings *rows, bool dry)
{
    atn_ctx *cx = cli->cx;
    atn_run run = {0};
    atn_table *t = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_measure_table(cx, rows, &t));
    if (dry) {
        ATN_TRY(atn_cli_print(cli, t));
        goto done;
    }
    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(atn_cli_emit(cli, &run, t, NULL));
done:
    atn_table_destroy(cx, t);
    atn_run_release(&run);
    return st;
}

static atn_status check_words(atn_cli *cli)
{
    static const char *const of_files[] = {"check", "kernel", "split",  "model",
                                           "phase", "min-ms", "source", "tile"};
    const int64_t dim = atn_opt_i64(cli, "head-dim", 0);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (cli->n_args > 0)
        ATN_FAIL(
            ATN_USAGE,
            "calibrate: --measure makes a file of timings and takes none: leave %s "
            "out (-o names the file)",
            cli->args[0]);
    for (size_t i = 0; i < ATN_LEN(of_files); i++)
        if (atn_opt_given(cli, of_files[i]))
            ATN_FAIL(ATN_USAGE,
                     "calibrate: --%s is of a file of timings, not of --measure (leave "
                     "it out)",
                     of_files[i]);
    if (dim != 0 && dim != 64 && dim != 128)
        ATN_FAIL(ATN_USAGE, "calibrate: --measure times head dims 64 and 128, not %lld",
                 (long long)dim);
done:
    return st;
}

static atn_status measure_on(atn_cli *cli, const atn_backend *be, bool dry)
{
    atn_measure_plan plan = {.quick = atn_opt_given(cli, "quick"),
                             .tokens = atn_opt_i64(cli, "tokens", 0),
                             .head_dim = (int)atn_opt_i64(cli, "head-dim", 0)};
    atn_ctx *cx = cli->cx;
    atn_timings rows = {0};
    atn_device *device = NULL;
    atn_status st = ATN_OK;

    ATN_NEW(device, 1);
    ATN_TRY(name_gpu(cli, be ? atn_cuda_info(be) : NULL, device, &plan.gpu));
    ATN_TRY(find_bytes(cli, be, device, &plan.bytes));
    ATN_TRY(atn_measure_rows(cx, &plan, &rows));
    if (!dry) ATN_TRY(atn_measure_run(cx, &rows, (int)atn_opt_i64(cli, "runs", 20)));
    ATN_TRY(emit(cli, &rows, dry));
done:
    atn_timings_release(cx, &rows);
    atn_free(cx, device);
    return st;
}

atn_status atn_cli_measure(atn_cli *cli)
{
    const bool dry = atn_opt_given(cli, "dry-run");
    atn_ctx *cx = cli->cx;
    atn_backend *be = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(check_words(cli));
    if (!dry) {
        ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
        st = atn_device_open_gpu(cli, &be);
        if (st == ATN_UNAVAILABLE)
            atn_log(cx, ATN_LOG_WARN,
                    "--measure needs a GPU; --dry-run lists the launches without one");
        ATN_TRY(st);
    }
    ATN_TRY(measure_on(cli, be, dry));
done:
    atn_device_close(cx, be);
    return st;
}
