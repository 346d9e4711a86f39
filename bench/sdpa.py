#!/usr/bin/env python3
"""Times PyTorch's fused causal attention, the peer of the row pass in bench_cuda.

Forward only, one head, random data in bf16; median of 20 after 3 that do not count, by CUDA
events. Prints visible entries a second, as bench_cuda does, and which kernel PyTorch took.
Needs PyTorch with CUDA and a GPU; nothing else of attnscope does.

Usage: python3 bench/sdpa.py [tokens [head dimension]], default 131072 128
"""
# SPDX-License-Identifier: GPL-3.0-or-later
import statistics
import sys


def milliseconds(torch, run):
    times = []
    for i in range(23):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 131072
    d = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    try:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError as missing:
        sys.exit(f"sdpa.py: {missing}")
    if not torch.cuda.is_available():
        sys.exit("sdpa.py: PyTorch sees no GPU")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {n} tokens, d {d}, causal")
    q, k, v = (torch.randn(1, 1, n, d, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    entries = n * (n + 1) / 2
    for kernel in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        with sdpa_kernel(kernel):
            try:
                ms = milliseconds(torch, lambda: torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, is_causal=True))
            except RuntimeError as refused:
                print(f"{kernel.name:20s} not available: {str(refused).splitlines()[0]}")
                continue
        print(f"{kernel.name:20s} {ms:10.4f} ms {4 * d * entries / ms / 1e9:9.1f} TFLOP/s "
              f"{entries / ms * 1e3:10.4g} visible entries a second")


if __name__ == "__main__":
    main()
