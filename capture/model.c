/* capture/model.c -- opens a model directory and checks its tensors, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/gguf.h"
#include "capture/slice.h"
#include "core/io/file.h"
#include "core/io/gguf.h"

enum { NAME_TEXT = 256 };

/* prefix + template with its %d filled in, .bias for .weight when asked. */
static void expand(const atn_model *m, char out[NAME_TEXT], const char *prefix,
                   const char *name, atn_idx layer, bool bias)
{
    const char *mark = strstr(name, "%d"), *second;
    atn_idx inner;
    char *end;

    if (mark) {
        atn_config_block(&m->config, layer, &layer, &inner);
        second = strstr(mark + 2, "%d");
        if (!second) second = name + strlen(name);
        snprintf(out, NAME_TEXT, "%s%.*s%lld%.*s", prefix, (int)(mark - name), name,
                 (long long)layer, (int)(second - mark - 2), mark + 2);
        if (*second)
            snprintf(out + strlen(out), NAME_TEXT - strlen(out), "%lld%s",
                     (long long)inner, second + 2);
    } else
        snprintf(out, NAME_TEXT, "%s%s", prefix, name);
    end = bias ? strstr(out, ".weight") : NULL;
    if (end) memcpy(end, ".bias", sizeof ".bias");
}

/* Files saved by old versions spell LayerNorm's weight and bias gamma and beta. */
static const atn_st_tensor *find_old_norm(const atn_model *m, const char *name)
{
    char old[NAME_TEXT];
    char *end;

    snprintf(old, sizeof old, "%s", name);
    end = strstr(old, "LayerNorm.weight");
    if (end) memcpy(end, "LayerNorm.gamma", sizeof "LayerNorm.gamma");
    if (!end) {
        end = strstr(old, "LayerNorm.bias");
        if (!end) return NULL;
        memcpy(end, "LayerNorm.beta", sizeof "LayerNorm.beta");
    }
    return atn_st_find(m->weights, old);
}

/* The other spelling of a template of the family; NULL = it has none. */
static const char *other_name(const atn_arch *a, const char *name)
{
    const char *const *names = (const char *const *)&a->names, *const *also =
                                                                   (const char *const *)
                                                                       a->also;

    for (size_t i = 0; also && i < sizeof a->names / sizeof *names; i++)
        if (names[i] == name) return also[i];
    return NULL;
}

static const atn_st_tensor *find_spelled(const atn_model *m, const char *name,
                                         atn_idx layer, bool bias)
{
    char full[NAME_TEXT];
    const atn_st_tensor *t;

    expand(m, full, m->prefix, name, layer, bias);
    t = atn_st_find(m->weights, full);
    if (!t) t = find_old_norm(m, full);
    if (t) return t;
    /* heads carry no base prefix */
    expand(m, full, "", name, layer, bias);
    return atn_st_find(m->weights, full);
}

const atn_st_tensor *atn_model_tensor(const atn_model *m, const char *name,
                                      atn_idx layer, bool bias)
{
    const char *other = other_name(m->config.arch, name);
    const atn_st_tensor *t = find_spelled(m, name, layer, bias);

    return t || !other ? t : find_spelled(m, other, layer, bias);
}

/* ---- finding the files ---- */

static atn_status find_weights(atn_ctx *cx, const char *dir, char **out)
{
    static const char *const names[] = {
        "model.safetensors.index.json", "model.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.safetensors"};
    static const char *const pickles[] = {"pytorch_model.bin",
                                          "pytorch_model.bin.index.json",
                                          "diffusion_pytorch_model.bin"};
    atn_status st = ATN_OK;
    bool pickle = false;

    *out = NULL;
    for (size_t i = 0; i < ATN_LEN(names); i++) {
        char *path = atn_path_join(cx, dir, names[i]);

        if (!path) return cx->err.code;
        if (atn_file_exists(path)) {
            *out = path;
            return ATN_OK;
        }
        atn_free(cx, path);
    }
    for (size_t i = 0; i < ATN_LEN(pickles); i++) {
        char *path = atn_path_join(cx, dir, pickles[i]);

        pickle |= path && atn_file_exists(path);
        atn_free(cx, path);
    }
    if (pickle)
        ATN_FAIL(ATN_DATA,
                 "%s: only has pickled weights (pytorch_model.bin), which are never "
                 "executed; "
                 "save it with save_pretrained(..., safe_serialization=True)",
                 dir);
    ATN_FAIL(ATN_NOINPUT,
             "%s: has neither model.safetensors nor model.safetensors.index.json", dir);
done:
    return st;
}

/* DIR itself, or the model of a pipeline of several. Owned by the caller. */
static char *resolve_part(atn_ctx *cx, const char *dir)
{
    char *own = atn_path_join(cx, dir, "config.json"),
         *part = atn_path_join(cx, dir, "transformer/config.json"), *found = NULL;

    if (own && part && !atn_file_exists(own) && atn_file_exists(part))
        found = atn_path_join(cx, dir, "transformer");
    else if (own && part)
        found = atn_strdup(cx, dir);
    atn_free(cx, own);
    atn_free(cx, part);
    return found;
}

/* DIR itself, or the only snapshot of a hub cache folder. Owned by the caller. */
static char *resolve_dir(atn_ctx *cx, const char *dir)
{
    char *ref = atn_path_join(cx, dir, "refs/main"), *text = NULL, *found = NULL;
    size_t size = 0;

    if (ref && atn_file_exists(ref) &&
        atn_file_read(cx, ref, 200, &text, &size) == ATN_OK) {
        text[strcspn(text, "\r\n")] = '\0';
        if (*text && !strchr(text, '/'))
            found = atn_strfmt(cx, "%s/snapshots/%s", dir, text);
    }
    atn_free(cx, text);
    atn_free(cx, ref);
    text = found && atn_dir_exists(found) ? found : NULL;
    text = resolve_part(cx, text ? text : dir);
    atn_free(cx, found);
    return text;
}

/* "models--org--name" of a hub cache gives org/name; else the directory's last part. */
static char *model_name(atn_ctx *cx, const char *dir)
{
    const char *hub = strstr(dir, "models--"), *end, *last;
    size_t n = strlen(dir);
    char *name;

    if (hub) {
        hub += 8;
        name = atn_strndup(cx, hub, strcspn(hub, "/"));
        end = name ? strstr(name, "--") : NULL;
        if (end) {
            char *at = name + (end - name);
            *at = '/';
            memmove(at + 1, at + 2, strlen(at + 2) + 1);
        }
        return name;
    }
    while (n > 1 && dir[n - 1] == '/') n--;
    /* "tinytales/model" is called tinytales */
    if (n > 6 && strncmp(dir + n - 6, "/model", 6) == 0) n -= 6;
    if (n > 5 && strncmp(dir + n - 5, ".gguf", 5) == 0) n -= 5;
    for (last = dir + n; last > dir && last[-1] != '/';) last--;
    return atn_strndup(cx, last, (size_t)(dir + n - last));
}

/* ---- checking the tensors ---- */

/* How alike two names are: common beginning plus common end. */
static size_t likeness(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b), most = ATN_MIN(n, m);
    size_t front = 0, back = 0;

    while (front < most && a[front] == b[front]) front++;
    while (back < most - front && a[n - 1 - back] == b[m - 1 - back]) back++;
    return front + back;
}

/* A tensor that is there in blocks of 4 bits, NAME_blocks and NAME_scales. */
static atn_status refuse_blocks(atn_ctx *cx, const atn_model *m, const char *name,
                                atn_idx layer)
{
    char blocks[NAME_TEXT];
    const atn_st_tensor *t;

    snprintf(blocks, sizeof blocks, "%s_blocks", name);
    t = atn_model_tensor(m, blocks, layer, false);
    if (!t) return ATN_OK;
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: \"%s\" holds MXFP4 blocks, which are not read; load the model in "
        "transformers with Mxfp4Config(dequantize=True) and give what its "
        "save_pretrained writes",
        m->weights_path, t->name);
}

static atn_status missing_tensor(atn_ctx *cx, const atn_model *m, const char *name,
                                 atn_idx layer, bool bias)
{
    const char *near[3] = {"-", "-", "-"};
    size_t score[3] = {0, 0, 0};
    char full[NAME_TEXT], bare[NAME_TEXT];
    atn_status st = ATN_OK;
    bool same;

    expand(m, full, m->config.arch->prefixes[0] ? m->config.arch->prefixes[0] : "",
           name, layer, bias);
    expand(m, bare, "", name, layer, bias);
    same = strcmp(full, bare) == 0;
    ATN_TRY(refuse_blocks(cx, m, name, layer));
    for (atn_idx i = 0; i < atn_st_count(m->weights); i++) {
        const char *other = atn_st_at(m->weights, i)->name;
        size_t s = likeness(full, other);

        for (int k = 0; k < 3; k++) {
            if (s <= score[k]) continue;
            const size_t old_score = score[k];
            const char *old = near[k];
            score[k] = s;
            near[k] = other;
            s = old_score;
            other = old;
        }
    }
    ATN_FAIL(ATN_DATA,
             "%s: tensor \"%s\" is missing%s%s%s; nearest: %.80s, %.80s, %.80s",
             m->weights_path, full, same ? "" : " (tried also \"", same ? "" : bare,
             same ? "" : "\")", near[0], near[1], near[2]);
done:
    return st;
}

static void print_shape(char out[64], int rank, const atn_idx *shape)
{
    size_t used = 0;

    snprintf(out, 64, "%s", rank ? "" : "of a scalar");
    for (int r = 0; r < rank && used < 60; r++)
        used += (size_t)snprintf(out + used, 64 - used, "%s%lld", r ? "x" : "",
                                 (long long)shape[r]);
}

/* want[r] 0: of rank r. */
static atn_status need_shape(atn_ctx *cx, const atn_model *m, const char *name,
                             atn_idx layer, bool bias, const atn_idx want[3])
{
    const atn_st_tensor *t = atn_model_tensor(m, name, layer, bias);
    const int rank = want[2] ? 3 : want[1] ? 2 : 1;
    char found_text[64], want_text[64];

    if (!t) return missing_tensor(cx, m, name, layer, bias);
    if (!t->loadable || t->type == ATN_I32 || t->type == ATN_I64 || t->type == ATN_U8)
        return atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "%s: tensor \"%s\" is %s; weights must be F32, F16, BF16, F64 or, in a "
            "GGUF "
            "file, Q8_0 (convert the model, or take its original directory)",
            m->weights_path, t->name, t->dtype);
    m->used[t - atn_st_at(m->weights, 0)] = true;
    if (t->rank == rank && memcmp(t->shape, want, (size_t)rank * sizeof *want) == 0)
        return ATN_OK;
    print_shape(found_text, t->rank, t->shape);
    print_shape(want_text, rank, want);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: tensor \"%s\" has shape %s, the configuration implies %s",
                    m->weights_path, t->name, found_text, want_text);
}

/* A tensor of any rank, `shape` its dimensions, 0 behind the last; those of 1 in front
 * of the tensor's are left out. */
static atn_status need_folded(atn_ctx *cx, const atn_model *m, const char *name,
                              atn_idx layer, const atn_idx shape[4])
{
    const atn_st_tensor *t = atn_model_tensor(m, name, layer, false);
    int rank = 0, lead = 0;
    char found_text[64], want_text[64];
    bool same;

    if (!t) return missing_tensor(cx, m, name, layer, false);
    while (rank < 4 && shape[rank] > 0) rank++;
    while (lead < t->rank - rank && t->shape[lead] == 1) lead++;
    same = t->rank - lead == rank;
    for (int i = 0; same && i < rank; i++) same = t->shape[lead + i] == shape[i];
    m->used[t - atn_st_at(m->weights, 0)] = true;
    if (same && t->loadable && t->type != ATN_I32 && t->type != ATN_I64 &&
        t->type != ATN_U8)
        return ATN_OK;
    print_shape(found_text, t->rank, t->shape);
    print_shape(want_text, rank, shape);
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: tensor \"%s\" is %s of shape %s, the configuration implies a floating "
        "type of shape %s",
        m->weights_path, t->name, t->dtype, found_text, want_text);
}

/* cols 0: a vector of `rows`. */
static atn_status need(atn_ctx *cx, const atn_model *m, const char *name, atn_idx layer,
                       bool bias, atn_idx rows, atn_idx cols)
{
    return need_shape(cx, m, name, layer, bias, (atn_idx[3]){rows, cols, 0});
}

static atn_status need_norm(atn_ctx *cx, const atn_model *m, const char *name,
                            atn_idx layer, atn_idx dim)
{
    atn_status st = ATN_OK;

    if (!name) return ATN_OK;
    ATN_TRY(need(cx, m, name, layer, false, dim, 0));
    if (m->config.arch->norm == ATN_NORM_LAYER)
        ATN_TRY(need(cx, m, name, layer, true, dim, 0));
done:
    return st;
}

/* A matrix of a layer. */
static atn_status need_matrix(atn_ctx *cx, const atn_model *m, const char *name,
                              atn_idx layer, bool bias, atn_idx outputs, atn_idx inputs)
{
    const bool in_out = m->config.arch->in_out;
    atn_status st = ATN_OK;

    if (!name) return ATN_OK;
    ATN_TRY(need(cx, m, name, layer, false, in_out ? inputs : outputs,
                 in_out ? outputs : inputs));
    if (bias) ATN_TRY(need(cx, m, name, layer, true, outputs, 0));
done:
    return st;
}

/* What timestep and class go through. */
static atn_status check_modulation(atn_ctx *cx, const atn_model *m, atn_idx l)
{
    const atn_config *c = &m->config;
    const atn_arch_names *n = &c->arch->names;
    const atn_st_tensor *classes;
    atn_status st = ATN_OK;

    if (!n->modulation) return ATN_OK;
    if (c->width > INT32_MAX / 6)
        ATN_FAIL(ATN_DATA, "%s: the width %lld is too large", m->weights_path,
                 (long long)c->width);
    ATN_TRY(need_matrix(cx, m, n->time_in, l, true, c->width, ATN_TIME_FEATURES));
    ATN_TRY(need_matrix(cx, m, n->time_out, l, true, c->width, c->width));
    ATN_TRY(need_matrix(cx, m, n->modulation, l, true, 6 * c->width, c->width));
    classes = atn_model_tensor(m, n->classes, l, false);
    /* a model trained without dropping classes has no row for none */
    ATN_TRY(need(cx, m, n->classes, l, false,
                 c->classes + (!classes || classes->shape[0] != c->classes), c->width));
done:
    return st;
}

static atn_status check_experts(atn_ctx *cx, const atn_model *m, atn_idx l)
{
    const atn_config *c = &m->config;
    const atn_arch_names *n = &c->arch->names;
    const atn_idx e = c->experts, width = c->width, ffn = c->ffn;
    atn_status st = ATN_OK;

    if (!n->router) return ATN_OK;
    ATN_TRY(need_matrix(cx, m, n->router, l, true, e, width));
    ATN_TRY(need_shape(cx, m, n->expert_gate_up, l, false,
                       (atn_idx[3]){e, width, 2 * ffn}));
    ATN_TRY(need(cx, m, n->expert_gate_up_bias, l, false, e, 2 * ffn));
    ATN_TRY(need_shape(cx, m, n->expert_down, l, false, (atn_idx[3]){e, ffn, width}));
    ATN_TRY(need(cx, m, n->expert_down_bias, l, false, e, width));
done:
    return st;
}

static atn_status need_part(atn_ctx *cx, const atn_model *m, const atn_arch_names *n,
                            atn_part part, atn_idx layer)
{
    const atn_config *c = &m->config;
    const atn_slice s = atn_slice_of(c, n, part);

    return need_matrix(cx, m, s.name, layer,
                       part <= ATN_PART_V ? c->bias_qkv : c->bias_mlp, s.outputs,
                       c->width);
}

/* Of old files, and no weights. */
static void know_buffers(const atn_model *m, atn_idx l)
{
    const char *const *names = m->config.arch->names.buffers;

    for (size_t i = 0; i < ATN_LEN(m->config.arch->names.buffers) && names[i]; i++) {
        const atn_st_tensor *t = atn_model_tensor(m, names[i], l, false);

        if (t) m->used[t - atn_st_at(m->weights, 0)] = true;
    }
}

/* One attention of layer l, and the MLP if it is behind it. */
static atn_status check_place(atn_ctx *cx, const atn_model *m, const atn_arch_names *n,
                              atn_idx l)
{
    const atn_config *c = &m->config;
    const atn_idx q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const bool full = c->arch->qk_norm == ATN_QK_FULL;
    atn_status st = ATN_OK;

    ATN_TRY(need_norm(cx, m, n->attn_norm, l, c->width));
    for (int part = ATN_PART_Q; part <= ATN_PART_UP; part++)
        ATN_TRY(need_part(cx, m, n, (atn_part)part, l));
    ATN_TRY(need_matrix(cx, m, n->o, l, c->bias_o, c->width, q));
    if (n->q_norm) ATN_TRY(need(cx, m, n->q_norm, l, false, full ? q : c->head_dim, 0));
    if (n->k_norm)
        ATN_TRY(need(cx, m, n->k_norm, l, false, full ? kv : c->head_dim, 0));
    ATN_TRY(need_norm(cx, m, n->attn_out_norm, l, c->width));
    if (n->sinks) ATN_TRY(need(cx, m, n->sinks, l, false, c->heads, 0));
    ATN_TRY(need_norm(cx, m, n->mlp_norm, l, c->width));
    ATN_TRY(need_norm(cx, m, n->mlp_out_norm, l, c->width));
    ATN_TRY(check_experts(cx, m, l));
    ATN_TRY(need_matrix(cx, m, n->down, l, c->bias_mlp, c->width, c->ffn));
    ATN_TRY(check_modulation(cx, m, l));
    know_buffers(m, l);
done:
    return st;
}

/* Patches, the tokens before them, positions, and what reads classes. */
static atn_status check_patches(atn_ctx *cx, atn_model *m)
{
    const atn_config *c = &m->config;
    const atn_arch_names *n = &c->arch->names;
    const atn_idx patch[4] = {c->width, c->channels, c->patch, c->patch};
    const atn_idx one[4] = {1, c->width}, table[4] = {c->max_positions, c->width};
    atn_status st = ATN_OK;

    if (!n->patch) return ATN_OK;
    ATN_TRY(need_folded(cx, m, n->patch, 0, patch));
    ATN_TRY(need(cx, m, n->patch, 0, true, c->width, 0));
    for (int i = 0; i < 2; i++)
        if (n->special[i]) ATN_TRY(need_folded(cx, m, n->special[i], 0, one));
    if (n->position) ATN_TRY(need_folded(cx, m, n->position, 0, table));
    for (int i = 0; i < 2; i++) {
        const atn_st_tensor *t =
            n->labels[i] ? atn_model_tensor(m, n->labels[i], 0, false) : NULL;

        if (!t || t->rank != 2 || (i > 0 && m->labels == 0)) continue;
        ATN_TRY(need_matrix(cx, m, n->labels[i], 0, true,
                            i > 0 ? m->labels : t->shape[0], c->width));
        m->labels = t->shape[0];
    }
done:
    return st;
}

const char *atn_model_label(const atn_model *m, atn_idx label)
{
    char key[32];

    snprintf(key, sizeof key, "%lld", (long long)label);
    return json_string_value(
        json_object_get(json_object_get(m->config.json, "id2label"), key));
}

static void find_prefix(atn_model *m)
{
    const atn_arch *a = m->config.arch;
    const char *first = a->names.embed ? a->names.embed : a->names.patch;

    m->prefix = "";
    for (int i = 0; i < 3 && a->prefixes[i]; i++) {
        char full[NAME_TEXT];

        expand(m, full, a->prefixes[i], first, 0, false);
        if (atn_st_find(m->weights, full)) m->prefix = a->prefixes[i];
    }
}

/* Buffers that old files carry: never weights, and computed by us. */
static bool is_buffer(const char *name)
{
    static const char *const ends[] = {"inv_freq", "position_ids", "masked_bias"};
    const size_t n = strlen(name);

    for (size_t i = 0; i < ATN_LEN(ends); i++) {
        const size_t k = strlen(ends[i]);
        if (n >= k && strcmp(name + n - k, ends[i]) == 0) return true;
    }
    return false;
}

/* Tensors that the config does not imply are named once and not read. */
static void report_ignored(atn_ctx *cx, const atn_model *m)
{
    char list[256] = "";
    size_t used = 0;
    atn_idx n = 0;

    for (atn_idx i = 0; i < atn_st_count(m->weights); i++) {
        const char *name = atn_st_at(m->weights, i)->name;

        if (m->used[i] || is_buffer(name)) continue;
        if (used < sizeof list - 1)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     n ? ", " : "", name);
        n++;
    }
    if (n > 0)
        atn_log(cx, ATN_LOG_INFO,
                "%s: %lld tensor%s take%s no part and %s ignored: %s%s",
                m->weights_path, (long long)n, n > 1 ? "s" : "", n > 1 ? "" : "s",
                n > 1 ? "are" : "is", list, used >= sizeof list ? " ..." : "");
}

/* A GGUF file has nothing beside its tensors that says what the model does, so every
 * one of a layer must have its place. */
static atn_status check_gguf(atn_ctx *cx, const atn_model *m)
{
    for (atn_idx i = 0; i < atn_st_count(m->weights); i++) {
        const char *name = atn_st_at(m->weights, i)->name;

        if (strncmp(name, "rope_f", 6) == 0)
            m->used[i] = true; /* in the configuration */
        if (!m->used[i] && strncmp(name, "blk.", 4) == 0 && !strstr(name, "rot_embd"))
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "%s: tensor \"%s\" has no place in a model of type %s (take "
                "the model's original directory)",
                m->weights_path, name, m->config.arch->id);
    }
    return ATN_OK;
}

/* Embeddings, and the map between their width and the model's. */
static atn_status check_embeddings(atn_ctx *cx, const atn_model *m)
{
    const atn_config *c = &m->config;
    const atn_arch_names *n = &c->arch->names;
    const bool all = c->arch->embed_map == ATN_MAP_ALL;
    const atn_idx e = c->embed_width, width = all ? e : c->width;
    const atn_idx skip =
        c->arch->position_rule == ATN_POSITION_SKIP ? c->arch->position_skip : 0;
    atn_status st = ATN_OK;

    if (!n->embed) return ATN_OK;
    ATN_TRY(need(cx, m, n->embed, 0, false, c->vocab, e));
    if (n->position)
        ATN_TRY(need(cx, m, n->position, 0, false, c->max_positions + skip, width));
    if (n->type) ATN_TRY(need(cx, m, n->type, 0, false, c->type_vocab, width));
    ATN_TRY(need_norm(cx, m, n->embed_norm, 0, width));
    if (!atn_config_maps(c)) return ATN_OK;
    ATN_TRY(need(cx, m, n->embed_map, 0, false, c->width, e));
    if (all) ATN_TRY(need(cx, m, n->embed_map, 0, true, c->width, 0));
    if (n->head_map) ATN_TRY(need(cx, m, n->head_map, 0, false, e, c->width));
done:
    return st;
}

/* Layers that share weights are no more than these. */
static atn_status check_depth(atn_ctx *cx, const atn_model *m, const atn_stack *s)
{
    const atn_config *c = &m->config;
    const bool second = s != c->stacks;
    const char *key = second ? NULL : c->arch->keys.layers;
    const atn_idx apart = c->groups ? c->groups * c->inner : s->layers;

    if (apart <= atn_st_count(m->weights)) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: %s %lld is above the %lld tensors of the file",
                    m->weights_path,
                    key      ? key
                    : second ? "num_decoder_layers"
                             : "num_hidden_layers",
                    (long long)apart, (long long)atn_st_count(m->weights));
}

static atn_status check_stack(atn_ctx *cx, const atn_model *m, const atn_stack *s)
{
    const atn_arch_names self = atn_stack_names(s, false),
                         cross = atn_stack_names(s, true);
    atn_status st = ATN_OK;

    ATN_TRY(check_depth(cx, m, s));
    for (atn_idx l = 0; l < s->layers; l++) {
        ATN_TRY(check_place(cx, m, &self, l));
        if (s->names.cross_q) ATN_TRY(check_place(cx, m, &cross, l));
    }
    if (s->names.rel_bias)
        ATN_TRY(
            need(cx, m, s->names.rel_bias, 0, false, s->rel.buckets, m->config.heads));
    /* a file without what reads classes may lack it */
    if (m->config.final_norm && (!s->names.patch || m->labels > 0 ||
                                 atn_model_tensor(m, s->names.final_norm, 0, false)))
        ATN_TRY(need_norm(cx, m, s->names.final_norm, 0, m->config.width));
done:
    return st;
}

/* An encoder that was saved without its decoder is a model of one stack. */
static void drop_absent_decoder(atn_model *m)
{
    atn_config *c = &m->config;

    if (c->n_stacks < 2 || atn_model_tensor(m, c->stacks[1].names.q, 0, false)) return;
    c->n_stacks = 1;
    c->stacks[0].name = "";
}

static atn_status check_tensors(atn_ctx *cx, atn_model *m)
{
    atn_config *c = &m->config;
    const atn_arch_names *n = &c->arch->names;
    atn_status st = ATN_OK;

    drop_absent_decoder(m);
    ATN_TRY(check_embeddings(cx, m));
    ATN_TRY(check_patches(cx, m));
    for (int s = 0; s < c->n_stacks; s++) ATN_TRY(check_stack(cx, m, &c->stacks[s]));
    if (n->head && atn_model_tensor(m, n->head, 0, false))
        ATN_TRY(need(cx, m, n->head, 0, false, c->vocab, c->embed_width));
    if (n->head && c->arch->tied_without_head &&
        !atn_model_tensor(m, n->head, 0, false))
        c->tied = true;
    m->has_head = n->head && (c->tied || atn_model_tensor(m, n->head, 0, false)) &&
                  (!c->arch->decoder || c->n_stacks > 1);
    if (m->config.own) ATN_TRY(check_gguf(cx, m));
    report_ignored(cx, m);
done:
    return st;
}

/* A .gguf file, or the only one of a directory without config.json. */
static atn_status find_gguf(atn_ctx *cx, const char *dir, char **out)
{
    char *config = atn_path_join(cx, dir, "config.json");
    const bool there = config && atn_file_exists(config);

    *out = NULL;
    if (!config) return cx->err.code;
    atn_free(cx, config);
    return there ? ATN_OK : atn_gguf_find(cx, dir, out);
}

static atn_status open_gguf(atn_ctx *cx, atn_model *m)
{
    atn_status st = ATN_OK;
    json_t *keys = NULL, *config = NULL;

    ATN_TRY(atn_gguf_open(cx, m->weights_path, &keys, &m->weights));
    ATN_TRY(atn_gguf_config(cx, m->weights_path, keys, m->weights, &config));
    st = atn_config_read(cx, m->weights_path, config, &m->config);
    if (st == ATN_DATA) {
        char why[ATN_ERR_TEXT];

        snprintf(why, sizeof why, "%s", cx->err.text);
        ATN_FAIL(st, "%.440s (GGUF's keys, under the names of config.json)", why);
    }
    ATN_TRY(st);
    atn_gguf_biases(m->weights, &m->config);
    ATN_NEW(m->config.own, 1);
    ATN_TRY(atn_gguf_family(cx, m->weights_path, keys, m->config.arch, m->config.own));
    m->config.arch = m->config.own;
    m->config.stacks[0].names = m->config.own->names;
done:
    json_decref(keys);
    return st;
}

atn_status atn_model_open(atn_ctx *cx, const char *dir, atn_model *out)
{
    atn_status st = ATN_OK;
    char *found = resolve_dir(cx, dir);

    *out = (atn_model){0};
    if (!found) return cx->err.code;
    out->dir = found;
    out->name = model_name(cx, dir);
    if (!out->name) {
        st = cx->err.code;
        goto done;
    }
    ATN_TRY(find_gguf(cx, found, &out->weights_path));
    if (out->weights_path) {
        ATN_TRY(open_gguf(cx, out));
        atn_free(cx, out->dir);
        out->dir = atn_strdup(cx, out->weights_path);
        if (!out->dir) ATN_TRY(cx->err.code);
    } else {
        ATN_TRY(atn_config_load(cx, found, &out->config));
        ATN_TRY(find_weights(cx, found, &out->weights_path));
        ATN_TRY(atn_st_open(cx, out->weights_path, &out->weights));
    }
    ATN_NEW(out->used, atn_st_count(out->weights));
    find_prefix(out);
    ATN_TRY(check_tensors(cx, out));
done:
    if (st != ATN_OK) atn_model_close(cx, out);
    return st;
}

void atn_model_close(atn_ctx *cx, atn_model *m)
{
    atn_config_release(cx, &m->config);
    atn_st_close(cx, m->weights);
    atn_free(cx, m->used);
    atn_free(cx, m->dir);
    atn_free(cx, m->weights_path);
    atn_free(cx, m->name);
    *m = (atn_model){0};
}

/* ---- counts ---- */

double atn_model_parameters(const atn_model *m)
{
    double n = 0;

    for (atn_idx i = 0; i < atn_st_count(m->weights); i++)
        n += (double)atn_st_at(m->weights, i)->count;
    return n;
}

double atn_model_bytes(const atn_model *m)
{
    double n = 0;

    for (atn_idx i = 0; i < atn_st_count(m->weights); i++)
        n += (double)atn_st_at(m->weights, i)->bytes;
    return n;
}
