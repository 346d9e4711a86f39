/* tests/shim/fibres.cpp -- running a kernel on the CPU, see cuda_shim.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "fibres.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <ucontext.h>
#include <vector>

#include "cuda_shim.h"

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/common_interface_defs.h>
#endif

/* Nothing may be guessed about the registers that a call of these leaves alone. */
#if defined(__clang__)
#    define OPAQUE __attribute__((noinline))
#else
#    define OPAQUE __attribute__((noipa))
#endif

namespace shim
{

dim grid, block, block_at;

namespace
{

struct warp {
    unsigned arrived = 0;
    unsigned round = 0; /* how many operations are complete */
    int kind = 0;
    size_t size = 0;
    unsigned char in[32][32], out[32][32];
};

struct copy {
    unsigned *to;
    const unsigned *from; /* null: zeros */
    bool closed;
};

struct fibre {
    ucontext_t context; /* of its start; afterwards it goes through `place` */
    void *place[5];
    bool started = false;
    std::unique_ptr<char[]> stack;
    dim at;
    bool done = false;
    const unsigned *waits_for = nullptr; /* runs again once *waits_for != seen */
    unsigned seen = 0;
    std::vector<copy> copies;   /* on their way */
    void *fake_stack = nullptr; /* ASan's */
};

enum { STACK = 256 << 10, THREADS_MOST = 1024 };

std::vector<fibre> fibres;
std::vector<warp> warps;
std::vector<unsigned> dynamic;
void *scheduler[5];
fibre *current;
unsigned barrier_arrived, barrier_round;
const kernel *running;
void *running_args;
#if defined(__SANITIZE_ADDRESS__)
void *scheduler_fake;
const void *scheduler_stack;
size_t scheduler_size;
#endif

[[noreturn]] void stop(const char *what)
{
    fprintf(stderr, "shim: kernel %s, block (%u, %u): %s\n", running->name, block_at.x,
            block_at.y, what);
    abort();
}

/* Jumps keep the signal mask alone, which swapcontext would ask the kernel for each time. */
[[noreturn]] OPAQUE void jump(void **place)
{
    __builtin_longjmp(place, 1);
}

[[noreturn]] OPAQUE void enter(const ucontext_t *context)
{
    setcontext(context);
    abort();
}

OPAQUE void to_scheduler()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&current->fake_stack, scheduler_stack,
                                   scheduler_size);
#endif
    if (__builtin_setjmp(current->place) == 0) jump(scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(current->fake_stack, &scheduler_stack,
                                    &scheduler_size);
#endif
}

OPAQUE void to_fibre(fibre *f)
{
    current = f;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, f->stack.get(), STACK);
#endif
    if (__builtin_setjmp(scheduler) == 0) {
        if (f->started) jump(f->place);
        f->started = true;
        enter(&f->context);
    }
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

/* A fibre runs thread after thread of the same index, block after block. */
void start()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    for (;;) {
        running->run(running_args);
        if (!current->copies.empty()) stop("a thread returns with copies on their way");
        current->done = true;
        to_scheduler();
    }
}

void wait_for(const unsigned *round)
{
    current->waits_for = round;
    current->seen = *round;
    to_scheduler();
    current->waits_for = nullptr;
}

void prepare(unsigned threads)
{
    if (fibres.empty()) fibres.resize(THREADS_MOST);
    for (unsigned i = 0; i < threads; i++) {
        fibre &f = fibres[i];

        f.at = {i % block.x, i / block.x % block.y, i / block.x / block.y};
        f.done = false;
        f.waits_for = nullptr;
        if (f.stack) continue;
        f.stack.reset(new char[STACK]);
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.get();
        f.context.uc_stack.ss_size = STACK;
        f.context.uc_link = nullptr;
        makecontext(&f.context, start, 0);
    }
    warps.assign((threads + 31) / 32, warp());
    barrier_arrived = barrier_round = 0;
}

/* Every second block runs its threads backwards: what relies on their order shows. */
void run_block(unsigned threads, size_t shared)
{
    const bool backwards = (block_at.x + block_at.y) % 2 == 1;
    unsigned left = threads;

    dynamic.assign((shared + 3) / 4, 0xffffffffu);
    dynamic.shrink_to_fit();
    prepare(threads);
    while (left > 0) {
        bool moved = false;

        for (unsigned n = 0; n < threads; n++) {
            const unsigned i = backwards ? threads - 1 - n : n;
            fibre &f = fibres[i];
            if (f.done || (f.waits_for && *f.waits_for == f.seen)) continue;
            to_fibre(&f);
            moved = true;
            if (f.done) left--;
        }
        if (!moved)
            stop(barrier_arrived ? "not every thread reaches a __syncthreads()"
                                 : "not every lane reaches a warp operation");
        if (left > 0 && left < threads && barrier_arrived == left)
            stop("a __syncthreads() after some threads have returned");
    }
}
} // namespace

const dim &thread_at()
{
    return current->at;
}

int lane()
{
    return (int)(current - fibres.data()) & 31;
}

unsigned *dynamic_shared()
{
    return dynamic.data();
}

void copy_later(unsigned *to, const unsigned *from, bool there)
{
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16)
        stop("a copy of 16 bytes that is not aligned to 16");
    current->copies.push_back({to, there ? from : nullptr, false});
}

void close_copies()
{
    for (copy &c : current->copies) c.closed = true;
}

void wait_for_copies()
{
    for (const copy &c : current->copies) {
        if (!c.closed) stop("a wait for copies whose group was not closed");
        if (c.from)
            memcpy(c.to, c.from, 16);
        else
            memset(c.to, 0, 16);
    }
    current->copies.clear();
}

void barrier()
{
    if (++barrier_arrived == block.x * block.y * block.z) {
        barrier_arrived = 0;
        barrier_round++;
        return;
    }
    wait_for(&barrier_round);
}

void exchange(unsigned mask, int kind, const void *mine, size_t size, void *all)
{
    warp &w = warps[(size_t)(current - fibres.data()) / 32];

    if (size > sizeof w.in[0]) stop("a warp operation on too many bytes");
    if (mask != 0xffffffffu) stop("a warp operation on part of a warp");
    if (w.arrived == 0) {
        w.kind = kind;
        w.size = size;
    }
    if (w.kind != kind || w.size != size)
        stop("lanes of one warp are in different warp operations");
    memcpy(w.in[lane()], mine, size);
    w.arrived |= 1u << lane();
    if (w.arrived == mask) {
        memcpy(w.out, w.in, sizeof w.out);
        w.arrived = 0;
        w.round++;
    } else {
        wait_for(&w.round);
    }
    for (int l = 0; l < 32; l++) memcpy((char *)all + (size_t)l * size, w.out[l], size);
}

void run_kernel(const kernel &k, void *args, unsigned gx, unsigned gy, unsigned threads,
                size_t shared)
{
    running = &k;
    running_args = args;
    if (threads % 32 != 0 || threads > THREADS_MOST) stop("a block of odd size");
    grid = {gx, gy, 1};
    block = {threads, 1, 1};
    for (unsigned y = 0; y < gy; y++)
        for (unsigned x = 0; x < gx; x++) {
            block_at = {x, y, 0};
            run_block(threads, shared);
        }
}
} // namespace shim

/* ---- matrix fragments (PTX ISA, mma.m16n8k16 and m16n8k8) ---- */

namespace
{

struct fragment {
    unsigned a[4], b[2];
};

/* Lane 4 g + t holds rows g and g + 8 of A and column g of B; word t of a half. */
struct warp_fragments {
    fragment of[32];

    unsigned a(int row, int word) const /* word 0..7 of a row of 8 */
    {
        return of[row % 8 * 4 + word % 4].a[row / 8 + word / 4 * 2];
    }
    unsigned b(int column, int word) const
    {
        return of[column * 4 + word % 4].b[word / 4];
    }
};

double bf16(unsigned bits)
{
    return (double)__uint_as_float(bits << 16);
}

double dot(const warp_fragments &w, int row, int column, bool tf32)
{
    double sum = 0;

    for (int word = 0; word < 8; word++) {
        const unsigned a = w.a(row, word), b = w.b(column, word);

        if (tf32) /* the hardware reads 19 bits */
            sum += (double)__uint_as_float(a & ~0x1fffu) *
                   (double)__uint_as_float(b & ~0x1fffu);
        else
            sum +=
                bf16(a & 0xffffu) * bf16(b & 0xffffu) + bf16(a >> 16) * bf16(b >> 16);
    }
    return sum;
}

void multiply(float *c, const unsigned *a, unsigned b0, unsigned b1, bool tf32)
{
    const fragment mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    const int g = shim::lane() / 4, t = shim::lane() % 4;
    warp_fragments w;

    shim::exchange(0xffffffffu, tf32 ? 6 : 7, &mine, sizeof mine, w.of);
    for (int e = 0; e < 4; e++)
        c[e] = (float)((double)c[e] + dot(w, g + e / 2 * 8, t * 2 + e % 2, tf32));
}
} // namespace

void atn_mma_bf16(float *c, const unsigned *a, unsigned b0, unsigned b1)
{
    multiply(c, a, b0, b1, false);
}

void atn_mma_tf32(float *c, const unsigned *a, unsigned b0, unsigned b1)
{
    multiply(c, a, b0, b1, true);
}
