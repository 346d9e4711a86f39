/* core/kernels/cuda/rows_mma.cu -- the row pass on the matrix units: bf16 or tf32
 * operands, float accumulation (mma.sync, sm_80 and later).
 *
 * A block of four warps owns rows of one operand, R = 32 of them a warp (16 where a row
 * has 128 words), held in registers as fragments; the other operand passes in tiles of
 * 64 rows through two stages of shared memory, one being copied while the other is
 * multiplied. In the first walk (rows) the block owns queries and keys pass: what a row
 * needs stays in registers. In the second (sums) it owns keys and queries pass: what a
 * column needs stays in registers, and diagonals are carried from tile to tile.
 *
 * Layout  both formats are rows of 32-bit words (bf16 pairs or tf32 values), so that
 *         the code is one: fragment word t of step s is word 8 s + t of its row. A
 *         thread has the products of rows 8 slot + g with columns 8 n + 2 c + e,
 *         g = lane / 4, c = lane % 4, e = 0, 1.
 * Math    logits are counted in units of ln 2 here, so that a weight is one fused
 *         multiply-add and one 2^x. Where all of a warp's pairs are visible and lie on
 *         one side of the diagonal (`plain`), |t - j| = +-(t - j0 - 2 c) -+ (8 n + e)
 *         needs one constant factor.
 * Oracle  the CPU's row pass on operands rounded alike.
 * Cost    2 d flop an entry and walk on the matrix units; beside them, for a plain
 *         entry, some 10 instructions in the first walk (4 more with tokens) and 5 in
 *         the second.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/hopper.cuh"
#include "core/kernels/cuda/rows.cuh"

#define TILE    64 /* rows of the operand that passes */
#define THREADS 128
#define WARPS   (THREADS / 32)
#define NT      (TILE / 8)
#define STAGES  2

/* Rows a warp owns, in groups of 8. */
template <int W> struct owns {
    static const int slots = W > 64 ? 2 : 4, rows = 8 * slots, block = WARPS * rows;
};

template <int W> struct tile {
    unsigned own[owns<W>::slots / 2][W / 8][4]; /* fragments of this warp's rows */
    float s[owns<W>::slots][NT][2];             /* products, later logits or weights */
};

/* ---- products ---- */

template <int W>
static __device__ __forceinline__ void load_own(tile<W> *t, const unsigned *x,
                                                int first, int limit)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4;

#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        const int r = first + 8 * slot + g;
#pragma unroll
        for (int word = 0; word < W / 4; word++)
            t->own[slot / 2][word / 2][word % 2 * 2 + slot % 2] =
                r < limit ? x[(int64_t)r * W + word * 4 + c] : 0u;
    }
}

/* How a tile lies in a stage: on Hopper as its warp groups read it, else with rows four
 * words apart from one another's banks. */
template <int W> struct staged {
#ifdef ATN_HOPPER
    static const int words = TILE * W, align = 1024;

    static __device__ __forceinline__ int at(int r, int piece)
    {
        return (piece / 8 * TILE + r) * 32 + ((piece % 8) ^ (r % 8)) * 4;
    }
#else
    static const int words = TILE * (W + 4), align = 16;

    static __device__ __forceinline__ int at(int r, int piece)
    {
        return r * (W + 4) + piece * 4;
    }
#endif
};

template <int W> static __device__ __forceinline__ unsigned *first_stage()
{
    const uintptr_t at = reinterpret_cast<uintptr_t>(atn_dynamic_shared());

    return reinterpret_cast<unsigned *>((at + staged<W>::align - 1) / staged<W>::align *
                                        staged<W>::align);
}

/* Rows [first, first + TILE) on their way into a stage, zeros behind the limit. */
template <int W>
static __device__ __forceinline__ void send_tile(unsigned *to, const unsigned *x,
                                                 int first, int limit)
{
    for (int e = (int)threadIdx.x; e < TILE * W / 4; e += THREADS) {
        const int r = e / (W / 4), piece = e % (W / 4);
        const bool there = first + r < limit;

        atn_copy16(to + staged<W>::at(r, piece),
                   x + (int64_t)(there ? first + r : 0) * W + piece * 4, there);
    }
    atn_copies_close();
}

/* The tile on its way is there, for every thread. */
static __device__ __forceinline__ void receive_tile()
{
    atn_copies_wait();
#ifdef ATN_HOPPER
    atn_shared_written();
#endif
    __syncthreads();
}

#ifdef ATN_HOPPER
template <bool TF32, int W>
static __device__ __forceinline__ void multiply(tile<W> *t, const unsigned *x)
{
    const uint64_t slabs = atn_matrix_descriptor(x);
    float d[owns<W>::slots / 2][4 * NT];

    atn_group_begin();
#    pragma unroll
    for (int step = 0; step < W / 8; step++) {
        const uint64_t b =
            slabs + (uint64_t)((step / 4 * TILE * 32 + step % 4 * 8) * 4 / 16);
#    pragma unroll
        for (int m = 0; m < owns<W>::slots / 2; m++) {
            if (TF32)
                atn_group_tf32(d[m], t->own[m][step], b, step > 0);
            else
                atn_group_bf16(d[m], t->own[m][step], b, step > 0);
        }
    }
    atn_group_wait();
#    pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++)
#    pragma unroll
        for (int n = 0; n < NT; n++)
#    pragma unroll
            for (int e = 0; e < 2; e++)
                t->s[slot][n][e] = d[slot / 2][4 * n + slot % 2 * 2 + e];
}
#else
template <bool TF32, int W>
static __device__ __forceinline__ void multiply(tile<W> *t, const unsigned *x)
{
    const unsigned *row = x + (atn_lane() & 7) * (W + 4) + atn_lane() / 8 * 4;

#    pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++)
#    pragma unroll
        for (int n = 0; n < NT; n++) t->s[slot][n][0] = t->s[slot][n][1] = 0;
#    pragma unroll
    for (int step = 0; step < W / 8; step += 2)
#    pragma unroll
        for (int n = 0; n < NT; n++) {
            unsigned b[4];

            atn_load_matrices(b, row + n * 8 * (W + 4) + step * 8);
#    pragma unroll
            for (int m = 0; m < owns<W>::slots; m += 2)
#    pragma unroll
                for (int k = 0; k < 2; k++) {
                    float c[4] = {t->s[m][n][0], t->s[m][n][1], t->s[m + 1][n][0],
                                  t->s[m + 1][n][1]};
                    if (TF32)
                        atn_mma_tf32(c, t->own[m / 2][step + k], b[2 * k],
                                     b[2 * k + 1]);
                    else
                        atn_mma_bf16(c, t->own[m / 2][step + k], b[2 * k],
                                     b[2 * k + 1]);
                    t->s[m][n][0] = c[0], t->s[m][n][1] = c[1];
                    t->s[m + 1][n][0] = c[2], t->s[m + 1][n][1] = c[3];
                }
        }
}
#endif

/* ---- the first walk ---- */

/* What a warp's rows see: keys [lo, hi) all of them do; t of its first and last row. */
struct view {
    int lo, hi, at_first, at_last;
    bool linear; /* a logit is the product times a positive factor */
};

static __device__ __forceinline__ view view_of(const atn_cu_rows_args &a,
                                               const atn_cu_head &h, int first,
                                               int rows)
{
    const int last = min(first + rows, a.nq) - 1;
    view v;
    int other;

    atn_see(a.sight, first, &other, &v.hi);
    atn_see(a.sight, last, &v.lo, &other);
    v.at_first = first + a.sight.offset;
    v.at_last = last + a.sight.offset;
    v.linear = h.scale > 0 && h.slope == 0 && !h.rel && !(a.sight.softcap > 0);
    return v;
}

/* +1: the tile is plain and lies before all rows' positions, -1: behind them, 0: not
 * plain. The first key's tile is not: that key is kept apart. */
static __device__ __forceinline__ int side_of(const view &v, int first, int j0)
{
    if (!v.linear || j0 < v.lo || j0 + TILE > v.hi) return 0;
    if (j0 <= first && first < j0 + TILE) return 0;
    return j0 + TILE <= v.at_first ? 1 : j0 > v.at_last ? -1 : 0;
}

/* Products to logits, -inf where a query does not see the key. */
template <int W>
static __device__ __forceinline__ void
mask(tile<W> *t, int i0, int j0, const atn_cu_rows_args &a, const atn_cu_head &h)
{
    const int j = j0 + atn_lane() % 4 * 2;

#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        const int i = i0 + 8 * slot, at = i + a.sight.offset;
        int lo, hi;

        atn_see(a.sight, i, &lo, &hi);
        if (i >= a.nq) hi = lo;
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int key = j + n * 8 + e;
                float *s = &t->s[slot][n][e];
                *s = key >= lo && key < hi
                         ? ATN_LOG2E * atn_logit(*s * h.scale, atn_bias_of(h), key - at,
                                                 a.sight.softcap)
                         : -INFINITY;
            }
    }
}

/* Every row's largest logit of the tile, which its running numbers are raised to. */
template <int W>
static __device__ __forceinline__ void raise(const tile<W> &t, float factor,
                                             atn_row_state *row, float *largest)
{
#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        float m = -INFINITY;

#pragma unroll
        for (int n = 0; n < NT; n++)
            m = fmaxf(m, fmaxf(t.s[slot][n][0], t.s[slot][n][1]));
        m = fmaxf(m, __shfl_xor_sync(ATN_WARP_ALL, m, 1));
        m = fmaxf(m, __shfl_xor_sync(ATN_WARP_ALL, m, 2));
        largest[slot] = m *= factor;
        if (m > row[slot].m) atn_row_raise(&row[slot], m, atn_exp2(row[slot].m - m));
    }
}

/* Rows whose largest logit enters their list of the k largest go through `line`, one by
 * one. */
template <int W>
static __device__ __forceinline__ void
take_largest(const tile<W> &t, float factor, const float *largest, int k, float *line,
             float *list, float *floor)
{
    const int c = atn_lane() % 4 * 2;

#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        unsigned todo =
            __ballot_sync(ATN_WARP_ALL, c == 0 && largest[slot] > floor[slot]);

        for (; todo != 0; todo &= todo - 1) {
            const int from = __ffs((int)todo) - 1;
            float *mine = list + (8 * slot + from / 4) * 32;
            float low = __shfl_sync(ATN_WARP_ALL, floor[slot], from);

            if (atn_lane() / 4 == from / 4)
#pragma unroll
                for (int n = 0; n < NT; n++)
#pragma unroll
                    for (int e = 0; e < 2; e++)
                        line[8 * n + c + e] = t.s[slot][n][e] * factor;
            __syncwarp();
            low = atn_topk_insert(mine, line[atn_lane()], k, low);
            low = atn_topk_insert(mine, line[32 + atn_lane()], k, low);
            if (atn_lane() / 4 == from / 4) floor[slot] = low;
            __syncwarp();
        }
    }
}

/* A plain tile; leaves the weights over e^m in s. */
template <int W>
static __device__ __forceinline__ void take_plain(tile<W> *t, float factor, int side,
                                                  int t0, int j0, atn_row_state *row)
{
    const int c = atn_lane() % 4 * 2;

#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        atn_row_state *r = &row[slot];
        float z = 0, dot = 0, square = 0, place = 0;

#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const float x = fmaf(t->s[slot][n][e], factor, -r->m), w = atn_exp2(x);

                z += w;
                dot = fmaf(w, x, dot);
                square = fmaf(w, w, square);
                place = fmaf(w, (float)(8 * n + e), place);
                t->s[slot][n][e] = w;
            }
        r->z += z;
        r->dot += dot;
        r->square += square;
        r->distance += (float)side * (z * (float)(t0 + 8 * slot - j0 - c) - place);
    }
}

/* Weights at and behind the keys that hold the rows' tokens. A plain tile before the
 * rows. */
template <int W>
static __device__ __forceinline__ void take_tokens(const tile<W> &t, const int *tokens,
                                                   const int *token, atn_row_state *row)
{
    const int *here = tokens + 1 + atn_lane() % 4 * 2;

#pragma unroll
    for (int n = 0; n < NT; n++) {
        const int before = here[8 * n - 1], first = here[8 * n],
                  second = here[8 * n + 1];

#pragma unroll
        for (int slot = 0; slot < owns<W>::slots; slot++) {
            atn_row_state *r = &row[slot];

            if (before == token[slot]) r->next += t.s[slot][n][0];
            if (first == token[slot]) {
                r->same += t.s[slot][n][0];
                r->next += t.s[slot][n][1];
            }
            if (second == token[slot]) r->same += t.s[slot][n][1];
        }
    }
}

/* Any tile, after mask. */
template <int W>
static __device__ __forceinline__ void take_masked(const tile<W> &t, int t0, int j0,
                                                   int first, const int *tokens,
                                                   const int *token, atn_row_state *row)
{
    const int c = atn_lane() % 4 * 2;

#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        atn_row_state *r = &row[slot];
        const int at = t0 + 8 * slot;

#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int key = 8 * n + c + e, j = j0 + key;
                const float x = t.s[slot][n][e] - r->m, w = atn_exp2(x);

                if (t.s[slot][n][e] == -INFINITY) continue;
                if (j == first) {
                    r->first += w;
                } else {
                    r->z += w;
                    r->dot += w * x;
                    r->square += w * w;
                    r->distance += w * fabsf((float)(at - j));
                }
                if (!tokens) continue;
                if (tokens[key + 1] == token[slot] && j < at) r->same += w;
                if (tokens[key] == token[slot] && j <= at && j > 0) r->next += w;
            }
    }
}

/* Tokens j0 - 1 .. j0 + TILE - 1; -1 outside. */
static __device__ __forceinline__ void load_tokens(int *to, const atn_cu_rows_args &a,
                                                   int j0)
{
    for (int e = (int)threadIdx.x; e < TILE + 1; e += THREADS) {
        const int j = j0 + e - 1;
        to[e] = j >= 0 && j < a.nk ? a.tokens[j] : -1;
    }
}

/* Logits and their sums in units of 1 again; the row's lanes get its totals. */
static __device__ __forceinline__ void finish(atn_row_state *r)
{
    atn_row_join(r, 4);
    r->m *= ATN_LN2;
    r->dot *= ATN_LN2;
}

template <bool TF32, int W>
static __device__ __forceinline__ void rows(const atn_cu_rows_args &a)
{
    enum { SLOTS = owns<W>::slots, STAGE = staged<W>::words };
    __shared__ float lists[owns<W>::block * 32], lines[WARPS][TILE];
    __shared__ int tokens[STAGES][TILE + 1];
    const atn_cu_head h = a.heads[blockIdx.y];
    const unsigned *k = static_cast<const unsigned *>(h.k);
    const int warp = (int)threadIdx.x / 32,
              first = (int)(gridDim.x - 1 - blockIdx.x) * owns<W>::block,
              first_of_warp = first + warp * owns<W>::rows,
              i0 = first_of_warp + atn_lane() / 4, t0 = i0 + a.sight.offset;
    const bool topk = (a.needs & ATN_NEED_TOPK) != 0,
               with_tokens = (a.needs & ATN_NEED_TOKENS) != 0;
    const view v = view_of(a, h, first_of_warp, owns<W>::rows);
    unsigned *stages = first_stage<W>();
    float *list = lists + warp * owns<W>::rows * 32, floor[SLOTS];
    atn_row_state row[SLOTS];
    int token[SLOTS], from, to, stage = 0;
    tile<W> t;

    for (int r = 0; r < owns<W>::rows; r++) list[r * 32 + atn_lane()] = -INFINITY;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        const int at = t0 + 8 * slot;

        row[slot] = atn_row_start();
        floor[slot] = -INFINITY;
        token[slot] = with_tokens && at >= 0 && at < a.nk ? a.tokens[at] : -2;
    }
    load_own(&t, static_cast<const unsigned *>(h.q), first_of_warp, a.nq);
    atn_tile_span(a.sight, first, min(first + owns<W>::block, a.nq), TILE, &from, &to);
    if (from < to) send_tile<W>(stages, k, from, a.nk);
    if (from < to && with_tokens) load_tokens(tokens[0], a, from);
    for (int j0 = from; j0 < to; j0 += TILE, stage ^= 1) {
        const int side = side_of(v, a.sight.key_first, j0);
        const float factor = side ? h.scale * ATN_LOG2E : 1.0f;
        float largest[SLOTS];

        receive_tile();
        if (j0 + TILE < to) {
            send_tile<W>(stages + (stage ^ 1) * STAGE, k, j0 + TILE, a.nk);
            if (with_tokens) load_tokens(tokens[stage ^ 1], a, j0 + TILE);
        }
        multiply<TF32>(&t, stages + stage * STAGE);
        if (!side) mask(&t, i0, j0, a, h);
        raise(t, factor, row, largest);
        if (topk) take_largest(t, factor, largest, a.top_k, lines[warp], list, floor);
        if (side) {
            take_plain(&t, factor, side, t0, j0, row);
            if (with_tokens && side > 0) take_tokens(t, tokens[stage], token, row);
        } else {
            take_masked(t, t0, j0, a.sight.key_first, with_tokens ? tokens[stage] : 0,
                        token, row);
        }
    }
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        float level;

        finish(&row[slot]);
        level = atn_row_level(row[slot], h);
        if (i0 + 8 * slot < a.nq && atn_lane() % 4 == 0)
            atn_row_write(row[slot], h, a, (int)blockIdx.y, i0 + 8 * slot);
        for (int g = 0; topk && g < 8; g++) {
            const float best =
                atn_topk_sum(list[(8 * slot + g) * 32 + atn_lane()] * ATN_LN2, a.top_k,
                             __shfl_sync(ATN_WARP_ALL, level, g * 4));
            const int i = first_of_warp + 8 * slot + g;

            if (i < a.nq && atn_lane() == 0)
                h.values[(int64_t)ATN_ROW_TOPK * a.nq + i] = best;
        }
    }
}

/* ---- the second walk ---- */

/* Sums along the diagonals i - j of this warp's keys: diagonal[b][e] is this lane's
 * share of i0 - j0 + 8 (b - slots) + 2 c + e - g. What lies beyond a tile's 64 finished
 * diagonals stays for the next tile. */
template <int W> struct sums_of {
    double column[owns<W>::slots];
    float block, diagonal[NT + owns<W>::slots][2];
};

/* Queries [*from, *to) that may see a key of [first, last); *from a multiple of
 * TILE. */
static __device__ __forceinline__ void query_span(const atn_cu_rows_args &a, int first,
                                                  int last, int *from, int *to)
{
    const atn_cu_sight &s = a.sight;
    int low = 0, high = a.nq;

    if (s.causal) low = max(low, first - s.offset);
    if (s.window > 0) {
        if (!s.causal) low = max(low, first - s.window - s.offset);
        high = min(high, last - 1 + s.window + (s.causal ? 0 : 1) - s.offset);
    }
    if (last <= s.key_first || first >= s.key_last) high = low;
    *from = low / TILE * TILE;
    *to = high;
}

/* Do all queries [i0, i0 + TILE) see all keys [first, last)? Rows behind nq have no
 * mass. */
static __device__ __forceinline__ bool all_seen(const atn_cu_sight &s, int i0,
                                                int first, int last)
{
    int lo, hi, other;

    atn_see(s, i0, &other, &hi);
    atn_see(s, i0 + TILE - 1, &lo, &other);
    return lo <= first && last <= hi;
}

/* The rows' levels in units of ln 2; infinity, that is weight 0, behind nq. */
static __device__ __forceinline__ void load_levels(float *to, const atn_cu_rows_args &a,
                                                   const atn_cu_head &h, int i0)
{
    for (int e = (int)threadIdx.x; e < TILE; e += THREADS)
        to[e] = i0 + e < a.nq
                    ? h.values[(int64_t)ATN_CU_ROW_LEVEL * a.nq + i0 + e] * ATN_LOG2E
                    : INFINITY;
}

/* Products to weights, where all queries of the tile see all keys of the warp ... */
template <int W>
static __device__ __forceinline__ void weigh_plain(tile<W> *t, const float *levels,
                                                   float factor)
{
    const int c = atn_lane() % 4 * 2;

#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const float level = levels[8 * n + c + e];

#pragma unroll
            for (int slot = 0; slot < owns<W>::slots; slot++)
                t->s[slot][n][e] = atn_exp2(fmaf(t->s[slot][n][e], factor, -level));
        }
}

/* ... and where each pair has to be asked. */
template <int W>
static __device__ __forceinline__ void
weigh_masked(tile<W> *t, const float *levels, int i0, int key0,
             const atn_cu_rows_args &a, const atn_cu_head &h)
{
    const int c = atn_lane() % 4 * 2;

#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const float level = levels[8 * n + c + e];
            const int i = i0 + 8 * n + c + e, at = i + a.sight.offset;
            int lo, hi;

            atn_see(a.sight, i, &lo, &hi);
            if (i >= a.nq) hi = lo; /* biases end with the rows */
#pragma unroll
            for (int slot = 0; slot < owns<W>::slots; slot++) {
                const int key = key0 + 8 * slot;
                float *s = &t->s[slot][n][e];

                *s = key >= lo && key < hi
                         ? atn_exp2(ATN_LOG2E * atn_logit(*s * h.scale, atn_bias_of(h),
                                                          key - at, a.sight.softcap) -
                                    level)
                         : 0.0f;
            }
        }
}

/* Lane g of every four gets the sum of diagonal 8 (b - slots) - g of the tile: for each
 * of the four and each e it stands in lane g + 2 c + e, or, past the last lane, under
 * b - 1. */
template <int W>
static __device__ __forceinline__ float gather(const sums_of<W> &sums, int b)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4;
    float total = 0;

#pragma unroll
    for (int e = 0; e < 2; e++) {
        const int by = 2 * c + e;
        const float mine = g >= by ? sums.diagonal[b][e] : sums.diagonal[b - 1][e];

        total += __shfl_sync(ATN_WARP_ALL, mine, ((g + by) & 7) * 4 + c);
    }
    return atn_share(total, 4);
}

/* Adds the 64 diagonals that no later tile reaches; the rest moves to their places. */
template <int W>
static __device__ __forceinline__ void flush_diagonals(sums_of<W> *sums, int base,
                                                       const atn_cu_rows_args &a,
                                                       const atn_cu_head &h)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4;
    float mine[2] = {0, 0};

#pragma unroll
    for (int b = 1; b <= NT; b++) {
        const float total = gather(*sums, b);
        if ((b - 1) % 4 == c) mine[(b - 1) / 4] = total;
    }
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const int at = base + 8 * (4 * k + c + 1 - owns<W>::slots) - g + a.nk - 1;
        if (at >= 0 && at < a.nq + a.nk - 1) atn_add_fixed(&h.diagonals[at], mine[k]);
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
#pragma unroll
        for (int b = 0; b < owns<W>::slots; b++)
            sums->diagonal[b][e] = sums->diagonal[b + NT][e];
#pragma unroll
        for (int b = owns<W>::slots; b < NT + owns<W>::slots; b++)
            sums->diagonal[b][e] = 0;
    }
}

template <int W>
static __device__ __forceinline__ void take_weights(const tile<W> &t, bool diagonals,
                                                    sums_of<W> *sums)
{
#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++) {
        float sum = 0;

#pragma unroll
        for (int n = 0; n < NT; n++) sum += t.s[slot][n][0] + t.s[slot][n][1];
        sums->column[slot] += (double)sum;
        sums->block += sum;
    }
    if (!diagonals) return;
#pragma unroll
    for (int slot = 0; slot < owns<W>::slots; slot++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                sums->diagonal[n - slot + owns<W>::slots][e] += t.s[slot][n][e];
}

template <bool TF32, int W>
static __device__ __forceinline__ void sums(const atn_cu_rows_args &a)
{
    enum { SLOTS = owns<W>::slots, STAGE = staged<W>::words };
    __shared__ float levels[STAGES][TILE];
    const atn_cu_head h = a.heads[blockIdx.y];
    const unsigned *q = static_cast<const unsigned *>(h.q);
    const int first = (int)blockIdx.x * owns<W>::block,
              first_of_warp = first + (int)threadIdx.x / 32 * owns<W>::rows,
              last_of_warp = first_of_warp + owns<W>::rows,
              key0 = first_of_warp + atn_lane() / 4;
    const bool linear = h.slope == 0 && !h.rel && !(a.sight.softcap > 0);
    unsigned *stages = first_stage<W>();
    sums_of<W> mine = {};
    tile<W> t;
    int from, to, stage = 0;

    load_own(&t, static_cast<const unsigned *>(h.k), first_of_warp, a.nk);
    query_span(a, first, min(first + owns<W>::block, a.nk), &from, &to);
    if (from < to) {
        send_tile<W>(stages, q, from, a.nq);
        load_levels(levels[0], a, h, from);
    }
    for (int i0 = from; i0 < to; i0 += TILE, stage ^= 1) {
        receive_tile();
        if (i0 + TILE < to) {
            send_tile<W>(stages + (stage ^ 1) * STAGE, q, i0 + TILE, a.nq);
            load_levels(levels[stage ^ 1], a, h, i0 + TILE);
        }
        multiply<TF32>(&t, stages + stage * STAGE);
        if (linear && all_seen(a.sight, i0, first_of_warp, last_of_warp))
            weigh_plain(&t, levels[stage], h.scale * ATN_LOG2E);
        else
            weigh_masked(&t, levels[stage], i0, key0, a, h);
        take_weights(t, h.diagonals != 0, &mine);
        if (h.diagonals) flush_diagonals(&mine, i0 - first_of_warp, a, h);
        if (h.blocks && ((i0 + TILE) % a.block == 0 || i0 + TILE >= to)) {
            const float mass = atn_warp_sum(mine.block);
            const int64_t across = (a.nk + a.block - 1) / a.block;

            if (atn_lane() == 0 && first_of_warp < a.nk)
                atn_add_fixed(
                    &h.blocks[i0 / a.block * across + first_of_warp / a.block], mass);
            mine.block = 0;
        }
    }
    if (h.diagonals && from < to)
        flush_diagonals(
            &mine, (to - from + TILE - 1) / TILE * TILE + from - first_of_warp, a, h);
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        double column = mine.column[slot];

        column += __shfl_xor_sync(ATN_WARP_ALL, column, 1);
        column += __shfl_xor_sync(ATN_WARP_ALL, column, 2);
        if (h.columns && atn_lane() % 4 == 0 && key0 + 8 * slot < a.nk)
            h.columns[key0 + 8 * slot] = (unsigned long long)(column * ATN_FIXED + 0.5);
    }
}

#define ATN_INSTANCE(format, tf32, words)                                              \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                           \
        atn_cu_rows_##format##_##words(atn_cu_rows_args a)                             \
    {                                                                                  \
        rows<tf32, words>(a);                                                          \
    }                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                           \
        atn_cu_sums_##format##_##words(atn_cu_rows_args a)                             \
    {                                                                                  \
        sums<tf32, words>(a);                                                          \
    }
ATN_INSTANCE(bf16, false, 32)
ATN_INSTANCE(bf16, false, 64)
ATN_INSTANCE(bf16, false, 128)
ATN_INSTANCE(tf32, true, 32)
ATN_INSTANCE(tf32, true, 64)
ATN_INSTANCE(tf32, true, 128)
