/* simulators/simulate_setup.c -- what is to be simulated: shape, tile, mask policy, and
 * whether the device can hold it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/alike.h"
#include "simulators/choose.h"
#include "simulators/simulate_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void atn_sim_note(atn_sim *s, const char *fmt, ...)
{
    const size_t used = strlen(s->note);
    size_t at = used;
    va_list args;

    if (used > 0 && used + 2 < sizeof s->note) {
        memcpy(s->note + used, "; ", 3);
        at += 2;
    }
    va_start(args, fmt);
    vsnprintf(s->note + at, sizeof s->note - at, fmt, args);
    va_end(args);
}

static atn_status shape_of(atn_ctx *cx, sim_case *c)
{
    const atn_frame *f = &c->p[0]->frame;
    atn_launch *s = &c->shape;
    const bool decode = s->pass == ATN_PASS_DECODE;
    atn_status st = ATN_OK;

    if (s->kv_heads == 0) s->kv_heads = s->heads;
    if (s->value_dim == 0) s->value_dim = s->head_dim;
    if (s->q_len == 0 || decode) s->q_len = decode ? 1 : f->nq;
    if (s->kv_len == 0) s->kv_len = f->nk;
    if (s->batch < 1 || s->heads < 1 || s->kv_heads < 1 || s->head_dim < 1)
        ATN_FAIL(ATN_USAGE,
                 "simulate: batch, heads, KV heads and head dim must be 1 or more, "
                 "found %lld, %lld, %lld, %lld",
                 (long long)s->batch, (long long)s->heads, (long long)s->kv_heads,
                 (long long)s->head_dim);
    if (s->heads % s->kv_heads != 0)
        ATN_FAIL(ATN_USAGE,
                 "simulate: %lld heads are not a multiple of %lld KV heads (give "
                 "--num-kv-heads)",
                 (long long)s->heads, (long long)s->kv_heads);
    if ((!decode && s->q_len != f->nq) || s->kv_len != f->nk)
        ATN_FAIL(ATN_USAGE,
                 "simulate: %lld queries and %lld keys, but the pattern has %lld and "
                 "%lld",
                 (long long)s->q_len, (long long)s->kv_len, (long long)f->nq,
                 (long long)f->nk);
    for (atn_idx i = 1; i < c->n; i++)
        if (c->p[i]->frame.nq != f->nq || c->p[i]->frame.nk != f->nk)
            ATN_FAIL(ATN_USAGE,
                     "simulate: the pattern of head %lld has %lld queries and %lld "
                     "keys, that of head 0 %lld and %lld",
                     (long long)i, (long long)c->p[i]->frame.nq,
                     (long long)c->p[i]->frame.nk, (long long)f->nq, (long long)f->nk);
done:
    return st;
}

static atn_status heads_of(atn_ctx *cx, sim_case *c)
{
    bool alike = true;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < c->n; i++) {
        if (c->n > 1 && c->p[i]->heads != 1)
            ATN_FAIL(ATN_USAGE,
                     "simulate: the pattern of head %lld has %lld heads itself",
                     (long long)i, (long long)c->p[i]->heads);
    }
    ATN_TRY(atn_heads_alike(cx, c->p, c->n, &alike));
    if (alike && c->n > 1) c->n = 1;
    c->heads = c->n > 1 ? c->n : c->p[0]->heads;
    if (c->shape.heads % c->heads != 0)
        ATN_FAIL(ATN_USAGE,
                 "simulate: the pattern has %lld heads, and %lld are no multiple of "
                 "that (give --num-heads %lld)",
                 (long long)c->heads, (long long)c->shape.heads, (long long)c->heads);
done:
    return st;
}

/* A side that reaches beyond all keys is open. */
static void find_window(sim_case *c)
{
    c->left = c->right = -1;
    c->window = c->n == 1 && c->p[0]->heads == 1 &&
                atn_pattern_window(c->p[0], &c->left, &c->right);
    if (!c->window || c->left >= c->shape.kv_len - 1) c->left = -1;
    if (!c->window || c->right >= c->shape.kv_len - 1) c->right = -1;
}

/* Is the pattern within the triangle, and is dense all of it? Where all keys are seen
 * the two are the same, and full. */
static atn_status find_causal(atn_ctx *cx, sim_case *c)
{
    const bool all = c->window && !c->p[0]->axes && c->left < 0 && c->right < 0;
    bool ahead = false;
    atn_idx query = 0, key = 0;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < c->n && !ahead; i++) {
        ATN_TRY(atn_pattern_ahead(cx, c->p[i], &ahead, &query, &key));
        if (ahead && c->o->causal)
            ATN_FAIL(ATN_USAGE,
                     "simulate: --dense causal, but query %lld of the pattern of head "
                     "%lld sees key %lld, which is ahead (give --dense full)",
                     (long long)query, (long long)i, (long long)key);
    }
    if (all) c->kind = ATN_TAKES_FULL;
    c->shape.causal = !ahead && !all && !c->p[0]->axes;
    c->causal = !ahead && !all && !c->o->full && (c->o->causal || !c->p[0]->axes);
done:
    return st;
}

static const char *kind_name(unsigned kind)
{
    switch (kind) {
    case ATN_TAKES_FULL:
        return "full";
    case ATN_TAKES_CAUSAL:
        return "causal";
    case ATN_TAKES_WINDOW:
        return "window";
    case ATN_TAKES_GRID:
        return "grid";
    case ATN_TAKES_BLOCKS:
        return "block";
    default:
        return "token by token";
    }
}

/* Only blocks that its tiles divide. */
static bool needs_blocks(const atn_kernel *k, unsigned kind)
{
    return kind == ATN_TAKES_BLOCKS && (k->takes & ATN_TAKES_BLOCKS) &&
           !(k->takes & ATN_TAKES_ANY);
}

static bool divides(const atn_list *q, const atn_list *k, atn_idx block)
{
    return block % atn_list_product(q) == 0 && block % atn_list_product(k) == 0;
}

static const atn_kernel_tile *tile_for(const atn_kernel *k, const atn_launch *s,
                                       unsigned takes, int rank, atn_idx block)
{
    const int d = (int)s->head_dim;
    const atn_kernel_tile *t;

    for (int i = 0; (t = atn_kernel_tile_of(k, d, s->pass, takes, rank, i)); i++)
        if (block == 0 || divides(&t->q, &t->k, block)) return t;
    return NULL;
}

/* The usual tile of the kernel for this kind of mask, else for what comes next to it.
 * block > 0: it must divide that. */
static const atn_kernel_tile *usual(const atn_kernel *k, const atn_launch *s,
                                    unsigned kind, bool causal, int rank, atn_idx block)
{
    const unsigned order[] = {kind,
                              causal ? ATN_TAKES_CAUSAL : ATN_TAKES_FULL,
                              ATN_TAKES_ANY,
                              ATN_TAKES_BLOCKS,
                              ATN_TAKES_WINDOW,
                              causal ? ATN_TAKES_FULL : ATN_TAKES_CAUSAL,
                              ATN_TAKES_GRID};
    const atn_kernel_tile *t = NULL;

    if (kind == ATN_TAKES_GRID && rank > 1) return tile_for(k, s, kind, rank, block);
    for (size_t i = 0; !t && i < ATN_LEN(order); i++)
        t = tile_for(k, s, order[i], 1, block);
    return t;
}

static const atn_idx small_side = 64; /* what tensor cores are busy with, or more */

/* A kernel that only stands in for one of blocks: that has tiles in them. Where they
 * are small for the tensor cores, both are tried. */
static void fit_blocks(sim_case *c)
{
    const atn_kernel *k = c->o->kernel;
    const atn_idx block = atn_least_block(c->p, c->n);

    if (c->kind != ATN_TAKES_BLOCKS || k->takes & (ATN_TAKES_BLOCKS | ATN_TAKES_ANY) ||
        c->usual)
        return;
    if (atn_tile_in_blocks(block, &c->tile.q, &c->tile.k))
        c->other = c->tile.q.at[0] < small_side || c->tile.k.at[0] < small_side;
}

static atn_status usual_tile(atn_ctx *cx, sim_case *c)
{
    const atn_kernel *k = c->o->kernel;
    const bool blocks = needs_blocks(k, c->kind);
    const atn_kernel_tile *t = NULL;
    atn_status st = ATN_OK;

    if (c->kind == ATN_TAKES_GRID)
        t = usual(k, &c->shape, c->kind, false, c->p[0]->axes->rank, 0);
    if (c->kind == ATN_TAKES_BLOCKS && k->takes & ATN_TAKES_ANY)
        t = tile_for(k, &c->shape, c->kind, 1, atn_least_block(c->p, c->n));
    if (!t)
        t = usual(k, &c->shape, c->kind, c->shape.causal, 1,
                  blocks ? atn_least_block(c->p, c->n) : 0);
    if (!t && blocks)
        ATN_FAIL(ATN_USAGE,
                 "simulate: no tile of kernel %s divides blocks of %lld, and it takes "
                 "no other masks (give a pattern of larger blocks, --tile, or another "
                 "--kernel)",
                 k->id, (long long)atn_least_block(c->p, c->n));
    if (!t)
        ATN_FAIL(ATN_USAGE,
                 "simulate: kernel %s has no %s tile for head dim %lld (give --tile)",
                 k->id, atn_pass_names[c->shape.pass], (long long)c->shape.head_dim);
    c->tile = *t;
    fit_blocks(c);
    c->tiling.q = c->tile.q;
    c->tiling.k = c->tile.k;
done:
    return st;
}

static atn_status given_tile(atn_ctx *cx, sim_case *c)
{
    const atn_list *q = &c->tiling.q, *k = &c->tiling.k;
    const int rank = c->tiling.grid.n > 0 ? c->tiling.grid.n
                     : c->p[0]->axes      ? c->p[0]->axes->rank
                                          : 1;
    atn_status st = ATN_OK;

    if (q->n != k->n)
        ATN_FAIL(ATN_USAGE,
                 "simulate: --tile has %d axes for queries and %d for keys (give the "
                 "same number, such as 8x8/8x8)",
                 q->n, k->n);
    if (q->n > rank)
        ATN_FAIL(ATN_USAGE,
                 "simulate: a tile of %d axes does not fit a pattern of %d (give a "
                 "tile of %d%s, or --grid)",
                 q->n, rank, rank, rank == 1 ? " axis, such as 128/128" : " axes");
    ATN_TRY(atn_sim_tile_check(cx, c));
    if (needs_blocks(c->o->kernel, c->kind) &&
        !divides(q, k, atn_least_block(c->p, c->n)))
        ATN_FAIL(ATN_USAGE,
                 "simulate: a tile of %lld queries and %lld keys does not divide "
                 "blocks of %lld, and kernel %s takes no other masks (give --tile "
                 "%lld/%lld, or another --kernel)",
                 (long long)atn_list_product(q), (long long)atn_list_product(k),
                 (long long)atn_least_block(c->p, c->n), c->o->kernel->id,
                 (long long)atn_least_block(c->p, c->n),
                 (long long)atn_least_block(c->p, c->n));
    c->tile.head_dim = (int)c->shape.head_dim;
    c->tile.pass = c->shape.pass;
    c->tile.takes = c->kind;
    c->tile.q = *q;
    c->tile.k = *k;
done:
    return st;
}

static bool dilated(const atn_axes *a)
{
    for (int i = 0; a && i < a->rank; i++)
        if (a->at[i].dilation > 1) return true;
    return false;
}

static void layout_of(sim_case *c, bool given, atn_sim *out)
{
    const atn_kernel *k = c->o->kernel;
    atn_tiling *t = &c->tiling;
    const atn_axes *a = c->p[0]->axes;
    const bool grid = k->takes & ATN_TAKES_GRID;

    if (t->layout == ATN_LAYOUT_GRID && !given && t->grid.n == 0 &&
        (!a || t->q.n != a->rank)) {
        t->layout = ATN_LAYOUT_PLAIN;
        atn_sim_note(out, "%s has no tile on this grid: tokens in their own order",
                     k->id);
    }
    if (t->layout == ATN_LAYOUT_PLAIN && t->q.n > 1) t->layout = ATN_LAYOUT_GRID;
    if (t->layout == ATN_LAYOUT_PLAIN && c->n == 1 && a && a->rank == t->q.n && grid &&
        (a->rank == 1 || !given))
        t->layout = ATN_LAYOUT_GRID;
    t->backward = c->shape.pass == ATN_PASS_BACKWARD;
    t->pack = 1;
    c->permuted = c->o->permute && (!grid || k->permutes) &&
                  ((t->layout == ATN_LAYOUT_GRID && (t->q.n > 1 || dilated(a))) ||
                   t->layout == ATN_LAYOUT_STRIDE);
    if (!c->o->copies) return;
    c->permuted = t->layout != ATN_LAYOUT_PLAIN;
    if (!c->permuted) atn_sim_note(out, "tokens in their own order: none is permuted");
}

static atn_status kernel_fits(atn_ctx *cx, const atn_kernel *k, const sim_case *c)
{
    int nearest = 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_kernel_check(cx, k, c->o->device, c->shape.pass));
    if (!(k->passes & 1u << c->shape.pass))
        ATN_FAIL(ATN_USAGE,
                 "simulate: kernel %s has no %s pass (give another --kernel)", k->id,
                 atn_pass_names[c->shape.pass]);
    if (c->shape.head_dim > 65536 ||
        !atn_kernel_has_head_dim(k, (int)c->shape.head_dim, c->shape.pass, &nearest))
        ATN_FAIL(ATN_USAGE,
                 "simulate: kernel %s has no %stile for head dim %lld (nearest: %d; "
                 "give --head-dim or another --kernel)",
                 k->id, c->shape.pass == ATN_PASS_BACKWARD ? "backward " : "",
                 (long long)c->shape.head_dim, nearest);
done:
    return st;
}

static atn_status dense_tile(atn_ctx *cx, sim_case *c)
{
    const atn_kernel *k = c->o->dense;
    const unsigned kind = c->causal ? ATN_TAKES_CAUSAL : ATN_TAKES_FULL;
    const atn_kernel_tile *t = k ? usual(k, &c->shape, kind, c->causal, 1, 0) : NULL;
    atn_status st = ATN_OK;

    if (k) ATN_TRY(kernel_fits(cx, k, c));
    if (k && !t)
        ATN_FAIL(ATN_USAGE,
                 "simulate: dense kernel %s has no %s tile for head dim %lld (give "
                 "another --dense)",
                 k->id, atn_pass_names[c->shape.pass], (long long)c->shape.head_dim);
    if (t) {
        c->dense_tile = *t;
        goto done;
    }
    t = usual(c->o->kernel, &c->shape, kind, c->causal, 1, 0);
    c->dense_tile = t ? *t : c->tile;
    /* The same kernel: its own tile for a full mask, else one of the same sizes. */
    if (!t || c->tile.q.n > 1) {
        c->dense_tile.q = (atn_list){1, {c->bm}};
        c->dense_tile.k = (atn_list){1, {c->bn}};
    }
done:
    return st;
}

static void say(const sim_case *c, atn_sim *out)
{
    const atn_kernel *k = c->o->kernel;

    if (!(k->takes & (c->kind | ATN_TAKES_ANY)))
        atn_sim_note(
            out, "%s takes no %s mask: this is a kernel as fast that skips empty tiles",
            k->id, kind_name(c->kind));
}

/* The kernel as it runs: heads of a group share no tile of a grid, nor a backward
 * pass. */
static atn_status alone(atn_ctx *cx, const atn_kernel *k, bool apart, const sim_case *c,
                        const atn_kernel **out)
{
    atn_kernel *copy;
    atn_status st = ATN_OK;

    *out = k;
    if (!k->packs_gqa || (!apart && c->shape.pass != ATN_PASS_BACKWARD)) return ATN_OK;
    ATN_TAKE(copy, 1);
    *copy = *k;
    copy->packs_gqa = false;
    *out = copy;
done:
    return st;
}

atn_status atn_sim_setup(atn_ctx *cx, sim_case *c, atn_sim *out)
{
    const bool given = c->o->tiling.q.n > 0;
    atn_status st = ATN_OK;

    c->shape = c->o->shape;
    c->tiling = c->o->tiling;
    ATN_TRY(shape_of(cx, c));
    ATN_TRY(heads_of(cx, c));
    ATN_TRY(kernel_fits(cx, c->o->kernel, c));
    find_window(c);
    c->kind = atn_patterns_take(c->p, c->n);
    ATN_TRY(find_causal(cx, c));
    if (given)
        ATN_TRY(given_tile(cx, c));
    else
        ATN_TRY(usual_tile(cx, c));
    c->bm = atn_list_product(&c->tiling.q);
    c->bn = atn_list_product(&c->tiling.k);
    layout_of(c, given, out);
    c->policy = c->o->policy < 0 ? c->o->kernel->policy : (atn_mask_policy)c->o->policy;
    ATN_TRY(
        alone(cx, c->o->kernel, c->tiling.layout != ATN_LAYOUT_PLAIN, c, &c->kernel));
    ATN_TRY(alone(cx, c->o->dense ? c->o->dense : c->o->kernel, false, c, &c->dense));
    c->pack = c->kernel->packs_gqa ? c->shape.heads / c->shape.kv_heads : 1;
    ATN_TRY(dense_tile(cx, c));
    out->shape = c->shape;
    out->tiling = c->tiling;
    out->causal = c->causal;
    out->bytes = atn_sim_bytes(&c->shape);
    say(c, out);
    if (given) atn_sim_say_tile(c, out);
done:
    return st;
}

double atn_sim_tensor_bytes(const atn_launch *s)
{
    const double b = (double)s->batch, dims = (double)(s->head_dim + s->value_dim);

    return s->bytes * b * dims *
           ((double)s->q_len * (double)s->heads +
            (double)s->kv_len * (double)s->kv_heads);
}

double atn_sim_bytes(const atn_launch *s)
{
    const double rows = (double)s->batch * (double)s->heads * (double)s->q_len;
    const double once = atn_sim_tensor_bytes(s);

    /* Backward: Q, K, V, O, dO and the logarithms of the sums in; dQ, dK, dV out. FA
     * reads dO twice, for dO . O and for the products, which is not the least there is.
     */
    return (s->pass == ATN_PASS_BACKWARD ? 2 * once : once) + 4 * rows;
}

atn_status atn_sim_fits(atn_ctx *cx, const sim_case *c)
{
    const atn_launch *s = &c->shape;
    const double room = atn_device_get(c->o->device, ATN_DEVICE_MEMORY_GB) * 1e9;
    const double need = atn_sim_bytes(s) + (c->permuted ? atn_sim_tensor_bytes(s) : 0);
    atn_status st = ATN_OK;

    if (need > room)
        ATN_FAIL(ATN_DATA,
                 "simulate: queries, keys, values and outputs%s%s of %lld x %lld heads "
                 "and %lld tokens need %.4g GB, device %s has %.4g (take fewer tokens, "
                 "heads or sequences, or a larger --gpu)",
                 s->pass == ATN_PASS_BACKWARD ? ", their gradients" : "",
                 c->permuted ? ", permuted copies" : "", (long long)s->batch,
                 (long long)s->heads, (long long)s->kv_len, need / 1e9,
                 c->o->device->id, room / 1e9);
done:
    return st;
}
