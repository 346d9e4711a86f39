/* cli/device.c -- --device auto|cpu|cuda[:N] and --dtype f32|tf32|bf16. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/device.h"

#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

/* "cuda" or "cuda:N" */
static atn_status gpu_number(atn_cli *cli, const char *device, int *number)
{
    const char *digits = device + 5;

    *number = 0;
    if (strcmp(device, "cuda") == 0) return ATN_OK;
    if (strncmp(device, "cuda:", 5) != 0 || !*digits || strlen(digits) > 3 ||
        strspn(digits, "0123456789") != strlen(digits))
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: --device is auto, cpu, cuda or cuda:N, got '%s'",
                        cli->command->id, device);
    *number = atoi(digits);
    return ATN_OK;
}

/* The ranks of a machine take its GPUs in turn. */
static int auto_number(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    atn_cu_driver d = {0};
    atn_gpu_info *list = NULL;
    int n = 0;

    if (cli->place == 0) return 0;
    if (atn_cu_driver_open(cx, &d) != ATN_OK ||
        atn_cu_devices(cx, &d, &list, &n) != ATN_OK)
        atn_err_clear(cx);
    atn_cu_driver_close(&d);
    atn_free(cx, list);
    return n > 0 ? cli->place % n : 0;
}

static atn_status need_f32(atn_cli *cli, atn_math math)
{
    if (math == ATN_MATH_F32) return ATN_OK;
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: --dtype %s is for GPUs; the CPU computes in f32 (add --device "
                    "cuda)",
                    cli->command->id, atn_math_name(math));
}

atn_status atn_device_open(atn_cli *cli, atn_backend **out)
{
    atn_ctx *cx = cli->cx;
    const char *device = "cpu";
    atn_math math = ATN_MATH_F32;
    atn_status st = ATN_OK;
    int number = 0;

    *out = NULL;
    if (cli->command->uses & ATN_USE_DEVICE) {
        device = atn_opt_text(cli, "device", "cpu");
        math = (atn_math)atn_opt_i64(cli, "dtype", ATN_MATH_F32);
    }
    if (strcmp(device, "cpu") == 0) return need_f32(cli, math);
    if (strcmp(device, "auto") != 0) {
        ATN_TRY(gpu_number(cli, device, &number));
        ATN_TRY(atn_cuda_open(cx, number, math, out));
    } else if (atn_cuda_open(cx, auto_number(cli), math, out) != ATN_OK) {
        atn_log(cx, ATN_LOG_INFO, "--device auto takes the CPU: %s", cx->err.text);
        atn_err_clear(cx);
        return need_f32(cli, math);
    }
    cx->backend = *out;
    atn_log(cx, ATN_LOG_INFO, "computing on %s in %s", cx->backend->device,
            cx->backend->arithmetic);
done:
    return st;
}

atn_status atn_device_open_gpu(atn_cli *cli, atn_backend **out)
{
    const char *device = atn_opt_text(cli, "device", "cuda");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    int number = 0;

    *out = NULL;
    if (strncmp(device, "cuda", 4) != 0)
        ATN_FAIL(ATN_USAGE, "%s: --device is cuda or cuda:N here, got '%s'",
                 cli->command->id, device);
    ATN_TRY(gpu_number(cli, device, &number));
    ATN_TRY(atn_cuda_open(cx, number, ATN_MATH_F32, out));
    cx->backend = *out;
done:
    return st;
}

void atn_device_close(atn_ctx *cx, atn_backend *be)
{
    cx->backend = &atn_backend_cpu;
    atn_cuda_close(cx, be);
}
