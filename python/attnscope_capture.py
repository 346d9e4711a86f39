# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the attention of any Hugging Face model run into an attnscope capture directory.

For models that attnscope does not run itself. Needs torch and safetensors; works with
transformers from 4.40 on, and with other torch models that call scaled_dot_product_attention.

    from attnscope_capture import capture
    with capture(model, "RUN", tokenizer=tokenizer):
        model(**inputs)

Then `attnscope stats RUN` and every other command read it. One sequence at a time (batch 1).
Queries and keys are taken after norm and rotary embedding, the mask is worked out from what the
model hands to its attention; what a capture cannot say is refused by name.

Where the numbers come from, in this order: the attention functions of transformers (4.48 and
later), torch's scaled_dot_product_attention and multi_head_attention_forward (which is
nn.MultiheadAttention), and two matrix products with a softmax between them.
"""
import contextlib
import functools
import inspect
import json
import os
import re
import sys
import warnings

import torch
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

__all__ = ["capture"]

PRODUCTS = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm,
            torch.Tensor.bmm, torch.baddbmm, torch.Tensor.baddbmm}
SOFTMAXES = {torch.softmax, torch.Tensor.softmax, torch.nn.functional.softmax}
OUTPUTS = ("o_proj", "out_proj", "c_proj", "dense", "wo", "o", "out_lin", "proj", "to_out.0")
TOWERS = {"vision": "vision", "visual": "vision", "image": "vision", "audio": "audio",
          "speech": "audio"}
IMPORT = ("save the attention weights, in transformers with output_attentions=True, or q, k and v "
          "where the model makes them, and use `attnscope import`")


class capture:
    """Context manager that records the attention of `model` into the new directory `path`.

    tokenizer  gives the tokens their texts (optional)
    steps      "first": the first forward pass, which in `generate` is the prompt's;
               "all": every pass, each a step of the capture. A pass ends where the model, or
               the part of it that is called, runs again
    w_o        also keep the output projections, where the model has one that can be found
    manifest   keys to add to capture.json, as {"grid": "14x14", "grid_first": 1} of an image model

    The capture is complete when the block ends without an error; it serves one block. `layers`
    is the list of recorded layers as capture.json has them.
    """

    def __init__(self, model, path, tokenizer=None, steps="first", w_o=True, manifest=None):
        if steps not in ("first", "all"):
            raise ValueError(f'steps is "{steps}", not "first" or "all"')
        if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path)):
            raise FileExistsError(f"{path}: exists already (choose another name or remove it)")
        self.model, self.path, self.tokenizer = model, os.fspath(path), tokenizer
        self.steps, self.w_o, self.extra = steps, w_o, dict(manifest or {})
        self.names = {m: n for n, m in model.named_modules()}
        coded = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
        self.parts = {s: getattr(model, "get_" + s)() for s in ("encoder", "decoder")
                      if coded and hasattr(model, "get_" + s)}
        self.pair = coded or any(isinstance(m, torch.nn.Transformer) for m in self.names)
        self.across = {m.multihead_attn for m in self.names
                       if isinstance(m, torch.nn.TransformerDecoderLayer)}
        inner = [_steps(n) for n in self.names.values() if re.search("attn|attention", n.lower())]
        self.towers = {word: tower for word, tower in TOWERS.items()
                       if any(word not in steps for steps in inner)}
        self.layers, self.ids, self.last, self.said = [], {}, {}, {}
        self.passes, self.inside = 0, 0
        self.running = []  # modules that run now, from the outermost one
        self.ran, self.recorded, self.attended = set(), set(), set()  # the last: in this pass
        self.undo = None

    def __enter__(self):
        if self.undo is not None:
            raise RuntimeError(f"{self.path}: this capture was used already (make another, with "
                               "a directory of its own)")
        os.makedirs(self.path, exist_ok=True)
        with contextlib.ExitStack() as undo:
            self._hook_modules(undo)
            self._wrap_functions(undo)
            if hasattr(torch.backends, "mha"):  # a kernel in which nothing can be seen
                undo.callback(torch.backends.mha.set_fastpath_enabled,
                              torch.backends.mha.get_fastpath_enabled())
                torch.backends.mha.set_fastpath_enabled(False)
            undo.enter_context(_Watch(self))
            self.undo = undo.pop_all()
        return self

    def __exit__(self, kind, error, trace):
        self.undo.close()
        missed = self._missed()
        if self.layers:
            self._write_manifest(complete=kind is None)
        else:
            if not os.listdir(self.path):
                os.rmdir(self.path)
            if kind is None:
                known = getattr(self.model, "_supports_sdpa", False)
                raise RuntimeError(
                    "no attention was seen" + (f": {missed[0]} computes it in a way that this "
                                               "file does not know" if missed else "") + " (" +
                    ('load the model with attn_implementation="sdpa" or "eager", not compiled, '
                     "or " if known else "") + IMPORT + ")")
        if kind is None and missed:
            warnings.warn(f"not recorded: {', '.join(missed[:4])}{' ...' if missed[4:] else ''}")
        if kind is None and self.steps == "first" and self.passes > 1:
            warnings.warn(f"recorded the first of {self.passes} forward passes "
                          '(steps="all" records every one)')
        return False

    # ---- watching the model

    def _hook_modules(self, undo):
        def begin(module, args, kwargs):
            if not self.running:
                self._begin_call(module, args, kwargs)
            elif module in self.attended and _own_layer(module) is not None:
                self._next_pass()
            if module in self.recorded:
                self.attended.add(module)
            self.running.append(module)
            self.ran.add(module)

        def end(module, args, out):
            if module in self.running:
                del self.running[self.running.index(module):]

        for module in self.names:
            if next(module.children(), None) is not None:
                undo.callback(module.register_forward_pre_hook(begin, with_kwargs=True).remove)
                undo.callback(module.register_forward_hook(end, always_call=True).remove)
        for stack, part in self.parts.items():
            undo.callback(part.register_forward_pre_hook(
                lambda m, args, kwargs, s=stack: self._take_ids(s, args, kwargs),
                with_kwargs=True).remove)

    def _begin_call(self, module, args, kwargs):
        """A call from outside, of the model or a part: a new pass if its attention ran already."""
        again = self.attended.intersection(module.modules())
        if "encoder" in self.parts and kwargs.get("encoder_outputs") is not None:
            again.difference_update(self.parts["encoder"].modules())  # it ran before, in `generate`
        if again or not self.passes:
            self._next_pass()
        if not self.parts:
            self._take_ids("", args, kwargs)

    def _next_pass(self):
        self.passes += 1
        self.said.clear()
        self.attended.clear()

    def _take_ids(self, stack, args, kwargs):
        """Ids of this pass, None where a part gets something else."""
        if not self._wanted():
            return
        ids = kwargs.get("input_ids", args[0] if args else None)
        for x in (ids, kwargs.get("inputs_embeds"), kwargs.get("pixel_values")):
            if isinstance(x, torch.Tensor) and _holds_several(x):
                what = f"an input of shape {tuple(x.shape)} holds several sequences" \
                    if x.is_floating_point() else f"the batch holds {x.shape[0]} inputs"
                raise ValueError(f"{what}, a capture one (run them one by one, each into its own "
                                 "capture)")
        known = self.ids.setdefault(stack, {})
        if isinstance(ids, torch.Tensor) and not ids.is_floating_point() and ids.dim() == 2:
            known[self.passes] = ids[0].tolist()
        else:
            known.setdefault(self.passes, None)

    def _wanted(self):
        return self.steps == "all" or self.passes <= 1

    def _wrap_functions(self, undo):
        """The attention functions of transformers, for the time of the block."""
        utils = sys.modules.get("transformers.modeling_utils")
        table = getattr(utils, "ALL_ATTENTION_FUNCTIONS", None)
        if table is not None:
            local = getattr(table, "_local_mapping", table)
            kept, wrapped = dict(local), {n: self._wrapped(f, n) for n, f in table.items()}
            undo.callback(lambda: (local.clear(), local.update(kept)))
            local.update(wrapped)
        for module in {sys.modules[type(m).__module__] for m in self.names}:
            for name, plain in list(vars(module).items()):
                if "eager" in name and "attention" in name and callable(plain):
                    setattr(module, name, self._wrapped(plain, "eager"))
                    undo.callback(setattr, module, name, plain)

    def _wrapped(self, plain, name):
        def function(module, query, key, value, attention_mask=None, *args, **kwargs):
            self.inside += 1
            try:
                if module in self.names and self._wanted() and self.inside == 1:
                    self._from_function(name, module, query, key, value, attention_mask, kwargs)
                return plain(module, query, key, value, attention_mask, *args, **kwargs)
            finally:
                self.inside -= 1
        return function

    # ---- the four places where q, k and v are seen

    def _from_function(self, name, module, q, k, v, mask, more):
        scale, own = more.get("scaling"), getattr(module, "scaling", None)
        own = float(own) if isinstance(own, (int, float)) else None
        if scale is None:
            scale = own if own is not None else _old_scale(module, q.shape[-1])
        elif scale == 1 and own:  # the query came scaled
            q, scale = q / own, own
        causal, flash = more.get("is_causal"), "flash" in name
        causal = getattr(module, "is_causal", True) if causal is None else causal
        causal = causal and not self._is_cross(module)
        rule = causal and "eager" not in name and (mask is None or flash)
        if flash and not causal and more.get("sliding_window"):
            raise ValueError(f"{self._name(module)}: a window to both sides in flash attention "
                             '(load the model with attn_implementation="sdpa")')
        square = getattr(module, "bias", None)  # the mask that GPT-2 kept before 4.5x
        if name == "eager" and isinstance(square, torch.Tensor) and square.dtype == torch.bool:
            square = square[0, 0, k.shape[-2] - q.shape[-2]:k.shape[-2], :k.shape[-2]]
            mask = square if mask is None else mask.masked_fill(
                ~square, torch.finfo(mask.dtype).min)
        self._record(module, q, k, v, {
            "scale": float(scale), "mask": mask, "rule": rule, "upper": not flash,
            "bias": more.get("position_bias"), "causal": causal,
            "window": more.get("sliding_window"),
            "softcap": None if name == "sdpa" else more.get("softcap"),  # sdpa leaves it out
            "sink": more.get("s_aux", getattr(module, "sinks", None))})

    def _from_sdpa(self, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                   enable_gqa=False):
        module = self.running[-1]
        self._record(module, q, k, v, {
            "scale": float(scale or q.shape[-1] ** -0.5), "mask": attn_mask, "rule": is_causal,
            "upper": True, "causal": is_causal or getattr(module, "is_causal", False)})

    def _from_multihead(self, *args, **kwargs):
        """nn.MultiheadAttention: projects as it does, from [tokens, batch, width]."""
        module, functional = self.running[-1], torch.nn.functional
        a = inspect.signature(functional.multi_head_attention_forward).bind(*args, **kwargs)
        a.apply_defaults()
        a = a.arguments
        if a["add_zero_attn"] or any(a[n] is not None for n in ("bias_k", "static_k", "static_v")):
            raise ValueError(f"{self._name(module)}: keys besides those of the tokens "
                             f"(add_bias_kv, add_zero_attn; {IMPORT})")
        w = [a[n + "_proj_weight"] for n in "qkv"] if a["use_separate_proj_weight"] else \
            a["in_proj_weight"].chunk(3)
        b = a["in_proj_bias"].chunk(3) if a["in_proj_bias"] is not None else (None,) * 3
        with torch.no_grad():
            q, k, v = (functional.linear(x if x.dim() == 3 else x[:, None], *of).unflatten(
                -1, (a["num_heads"], -1)).permute(1, 2, 0, 3)
                for x, *of in zip((a["query"], a["key"], a["value"]), w, b))
        if q.shape[0] != 1:
            self._refuse_shape(module, q)
        mask, padding = (_additive(a[n], q.dtype) for n in ("attn_mask", "key_padding_mask"))
        rule = a["is_causal"] and padding is None and not a["need_weights"]  # no mask is read then
        if rule:
            mask = None
        elif padding is not None:
            mask = padding.expand(1, q.shape[2], -1) + (0 if mask is None else mask)
        self._record(module, q, k, v, {"scale": q.shape[-1] ** -0.5, "mask": mask, "rule": rule,
                                       "upper": True, "causal": a["is_causal"]})

    def _from_products(self, q, k, v, logits):
        """Scale and bias are what turns q.k into the logits that went into the softmax."""
        module = self.running[-1]
        if q.dim() == 4 and q.shape[0] != 1:
            self._refuse_shape(module, q)
        q, k, v = (x.detach().reshape(-1, *x.shape[-2:]) for x in (q, k, v))
        logits = logits.detach().reshape(-1, *logits.shape[-2:])
        if len(q) != len(logits) or len(k) not in (1, len(q)) or len(v) != len(k):
            return
        seen, logits = _read_mask(logits, self._name(module))
        dots = q.double().cpu() @ k.double().cpu().transpose(1, 2)
        x, y = dots[:, seen], logits[:, seen]
        fitted = float((x * y).sum() / (x * x).sum().clamp(min=1e-300))
        for scale in (getattr(module, "scaling", None), q.shape[-1] ** -0.5, 1.0, fitted):
            if not isinstance(scale, float) or scale <= 0:
                continue
            try:
                facts = {"scale": scale, "mask": seen, "bias": logits - scale * dots,
                         "causal": getattr(module, "is_causal", False)}
                facts["said"] = self._say(module, facts, q, k)
            except ValueError as error:
                why = error
                continue
            return self._record(module, q[None], k[None], v[None], facts)
        raise why

    # ---- one layer

    def _name(self, module):
        return self.names.get(module) or type(module).__name__

    def _is_cross(self, module):
        return module in self.across or bool(getattr(
            module, "is_cross_attention", False) or re.search(
            "cross|encdec|encoder_attn", self._name(module).lower()))

    def _place(self, module):
        """Stack and layer: from the module's path, and the order in which layers run."""
        path = self._name(module)
        steps, stack = _steps(path), ""
        if self._is_cross(module):
            stack = "cross"
        elif self.pair:
            stack = "decoder" if "decoder" in steps else "encoder"
        stack = next((tower for word, tower in self.towers.items() if word in steps), stack)
        step = max(self.passes - 1, 0)
        index, number = _own_layer(module), re.search(r"\d+", path)
        if index is None:
            index = int(number.group()) if number else 0
        index = max(index, self.last.get((step, stack), -1) + 1)  # ALBERT runs one module often
        self.last[step, stack] = index
        return step, stack, index

    def _say(self, module, facts, q, k):
        """Keys and tensors of capture.json that say who sees whom, and what is added."""
        n_q, n_k, mask, name = q.shape[-2], k.shape[-2], facts["mask"], self._name(module)
        causal, window, bias = facts["causal"], facts.get("window"), facts.get("bias")
        if mask is None and bias is None:
            causal = facts["rule"] or (causal and n_q == 1)
            return {"mask": "causal" if causal else "full", "window": window if causal else None,
                    "offset": n_k - n_q if causal else 0}, {}
        key = (id(mask), n_q, causal, window)
        if bias is None and key in self.said:  # layers share a mask
            return self.said[key][1]
        seen, added = torch.ones(n_q, n_k, dtype=torch.bool), torch.zeros(1, 1, 1)
        if mask is not None:
            seen, added = _read_mask(mask, name, n_q, n_k)
        if facts.get("rule"):
            x = _distances(n_q, n_k, n_k - n_q)
            seen = seen & (x <= 0) & ((x > -window) if window and not facts["upper"] else True)
        if bias is not None:
            added = added + bias.detach().reshape(-1, *bias.shape[-2:]).double().cpu()
        sight = _say_mask(seen, causal, window, name)
        tables = [m for m in self.names if hasattr(m, "relative_attention_bias")]
        rule, tensors = _say_bias(added, seen, sight, q.shape[-3], tables, name)
        self.said[key] = (mask, ({**sight, **rule}, tensors))
        return self.said[key][1]

    def _record(self, module, q, k, v, facts):
        if q.dim() != 4 or q.shape[0] != 1:
            self._refuse_shape(module, q)
        if facts.get("rule") and facts["mask"] is None and facts["upper"] and q.shape[-2] > 1:
            k, v = k[..., :q.shape[-2], :], v[..., :q.shape[-2], :]  # room of a static cache
        groups = getattr(module, "num_key_value_groups", 1)
        if groups > 1 and k.shape[1] == q.shape[1] and k.shape[1] % groups == 0 and torch.equal(
                k[:, ::groups].repeat_interleave(groups, 1), k):
            k, v = k[:, ::groups], v[:, ::groups]
        heads = q.shape[1]
        sight, extra = facts.get("said") or self._say(module, facts, q, k)
        tensors = {"q": q[0], "k": k[0], "v": v[0], **extra}
        if self.w_o and (w := self._output(module, heads * v.shape[-1])) is not None:
            tensors["w_o"] = w
        if facts.get("sink") is not None:
            tensors["sink"] = facts["sink"].reshape(-1)
        step, stack, index = self._place(module)
        file = "/".join(([f"step-{step:03d}"] if self.steps == "all" else []) +
                        ([stack] if stack else []) + [f"layer-{index:03d}.safetensors"])
        _write_tensors(os.path.join(self.path, file), tensors)
        self.layers.append({
            "index": index, "stack": stack, "step": step, "file": file, "hash": None,
            "heads": heads, "kv_heads": k.shape[1], "d": q.shape[-1], "d_v": v.shape[-1],
            "n_q": q.shape[-2], "n_k": k.shape[-2], "scale": facts["scale"],
            "softcap": facts.get("softcap"), "tensors": list(tensors), **sight})
        self.recorded.add(module)
        self.attended.add(module)
        if len(self.layers) == 1:
            self._write_manifest(complete=False)

    def _refuse_shape(self, module, q):
        raise ValueError(f"{self._name(module)}: queries of shape {tuple(q.shape)}, a capture "
                         "holds one sequence [1, heads, tokens, size] (run with batch 1; "
                         "attention within tiles of an image cannot be said)")

    def _output(self, module, inputs):
        """Output projection as [inputs, width], of the module or of the one around it."""
        around = self._name(module).rpartition(".")[0]
        places = [(module, n) for n in OUTPUTS]
        if around:
            places += [(self.model.get_submodule(around), "output." + n) for n in OUTPUTS]
        for base, name in places:
            part = functools.reduce(lambda m, step: m and m._modules.get(step),
                                    name.split("."), base)
            w = getattr(part, "weight", None)
            if w is None or w.dim() != 2 or not w.is_floating_point() or w.is_meta:
                continue
            w = w if type(part).__name__ == "Conv1D" else w.T
            if w.shape[0] == inputs:
                return w
        return None

    def _missed(self):
        """Attention modules that ran and of which nothing was recorded."""
        recorded = [self._name(m) + "." for m in self.recorded]

        def near(name):
            return any(r.startswith(name + ".") or (name + ".").startswith(r) for r in recorded)
        return [n for m, n in self.names.items() if m in self.ran and n and not near(n)
                and re.search("attention|attn", type(m).__name__.lower())
                and not re.search("output", type(m).__name__.lower())]

    # ---- capture.json

    def _tokens(self, stack):
        """Ids of a stack: of all its passes together, or of the one that begins with the others."""
        parts = list(self.ids.get(stack, {}).values())
        own = [layer["n_q" if layer["stack"] == "cross" else "n_k"] for layer in self.layers
               if layer["stack"] == stack]
        if not parts or None in parts or not own:
            return None
        longest = max(parts, key=len)
        alike = all(p == longest[:len(p)] for p in parts)
        for ids in (sum(parts, []), longest if alike else []):
            if len(ids) == max(own):
                texts = [self._text(t, i) for i, t in enumerate(ids)] if self.tokenizer else None
                return {"ids": ids, "texts": texts}
        return None

    def _text(self, token, place):
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if not isinstance(piece, str):
            return ""
        if "\u2581" in piece and place > 0:  # decode would strip the blank
            return piece.replace("\u2581", " ")
        return self.tokenizer.decode([token], clean_up_tokenization_spaces=False)

    def _write_manifest(self, complete):
        config = getattr(self.model, "config", None)
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        count = 1 + max(layer["index"] for layer in self.layers)
        where = getattr(config, "_name_or_path", None) or type(self.model).__name__
        model = {"name": os.path.basename(os.path.normpath(where)),
                 "model_type": getattr(config, "model_type", type(self.model).__name__),
                 "layers": max(count, getattr(text, "num_hidden_layers", None) or 0),
                 "width": getattr(text, "hidden_size", None),
                 "vocab": getattr(text, "vocab_size", None),
                 "ffn": getattr(text, "intermediate_size", None),
                 "gated": any(re.search("gate_proj|gate_up_proj|wi_1", n)
                              for n in self.names.values()),
                 "causal": all(layer["mask"] == "causal" for layer in self.layers)}
        if os.path.isdir(where):
            model["dir"] = os.path.abspath(where)
        found = {s: t for s in ("encoder", "decoder") if (t := self._tokens(s))}
        parameter = next(self.model.parameters(), None)
        versions = {name: sys.modules[name].__version__ for name in ("torch", "transformers")
                    if name in sys.modules}
        manifest = {
            "schema": "attnscope/capture/1", "complete": complete, "dtype": "F32",
            "model": {key: value for key, value in model.items() if value is not None},
            "stacks": list(dict.fromkeys(layer["stack"] for layer in self.layers)),
            "steps": sorted({layer["step"] for layer in self.layers}),
            "layers": self.layers, "tokens": self._tokens(""),
            "device": str(parameter.device) if parameter is not None else "cpu",
            "arithmetic": str(parameter.dtype).replace("torch.", "") if parameter is not None
            else "float32", "run": {"program": "attnscope_capture.py", **versions}}
        if found:
            manifest["stack_tokens"] = found
        file = os.path.join(self.path, "capture.json")
        with open(file + ".part", "w", encoding="utf-8") as out:
            json.dump({**manifest, **self.extra}, out, indent=1, allow_nan=False)
        os.replace(file + ".part", file)


class _Watch(TorchFunctionMode):
    """Sees the torch calls of modules that have no attention function of transformers."""

    def __init__(self, owner):
        super().__init__()
        self.owner, self.product, self.logits = owner, None, None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, owner = kwargs or {}, self.owner
        if owner.inside or not owner.running or not owner._wanted():
            return func(*args, **kwargs)
        if func is torch.nn.functional.scaled_dot_product_attention:
            names = ("query", "key", "value")
            named = [kwargs[n] for n in names if n in kwargs]
            rest = {n: x for n, x in kwargs.items() if n not in names}
            owner._from_sdpa(*args, *named, **rest)
        elif func is torch.nn.functional.multi_head_attention_forward:
            owner._from_multihead(*args, **kwargs)
        elif func in SOFTMAXES:
            x = args[0] if args else kwargs["input"]
            if self.product and x.numel() == self.product[2] and x.dim() >= 3:
                self.logits = x
        out = func(*args, **kwargs)
        if func in PRODUCTS:
            self._follow(*(args[-2:] if len(args) > 1 else (kwargs["batch1"], kwargs["batch2"])),
                         out)
        return out

    def _follow(self, a, b, out):
        """Keeps the last product as q k', and after its softmax takes the next for p v."""
        x, self.logits = self.logits, None
        if x is not None and a.numel() == x.numel() and a.shape[-2:] == x.shape[-2:]:
            (q, kt, _), self.product = self.product, None
            self.owner._from_products(q, kt.transpose(-1, -2), b, x)
        elif out.dim() >= 3 and a.dim() == b.dim():
            self.product, self.logits = (a, b, out.numel()), x


def _steps(path):
    return re.split(r"[._]", path.lower())


def _own_layer(module):
    """The layer that a module of transformers says it is, or None."""
    index = getattr(module, "layer_idx", None)
    return index if isinstance(index, int) and index >= 0 else None


def _holds_several(x):
    """Whether an input is a batch: ids [b, n], or numbers of [b, n, ..] and not [n, 1, ..]."""
    if x.is_floating_point():
        return x.dim() > 2 and x.shape[0] != 1 and x.shape[1] != 1
    return x.dim() == 2 and x.shape[0] != 1


# ---- what a mask or a bias is, in the words of the capture format

def _additive(mask, dtype):
    """A mask of nn.MultiheadAttention, true where hidden, as one that is added."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -torch.inf)


def _old_scale(module, d):
    """GPT-2 before 4.5x computes its scale within the attention function."""
    scale = d ** -0.5 if getattr(module, "scale_attn_weights", True) else 1.0
    inverse = getattr(module, "scale_attn_by_inverse_layer_idx", False)
    return scale / (module.layer_idx + 1) if inverse else scale


def _distances(n_q, n_k, offset):
    """Key minus query position, [n_q, n_k]."""
    i, j = (torch.arange(n, dtype=torch.int32) for n in (n_q, n_k))
    return j[None, :] - i[:, None] - offset


def _read_mask(mask, name, n_q=None, n_k=None):
    """Who sees whom, [n_q, n_k], and what is added to the logits, [1 or H, n_q, n_k]."""
    if not isinstance(mask, torch.Tensor):
        raise ValueError(f"{name}: the mask is a {type(mask).__name__} (load the model with "
                         'attn_implementation="sdpa" or "eager")')
    mask = mask.detach().cpu()
    if mask.dim() == 2 and n_q and mask.shape != (n_q, n_k):  # of flash attention, one row
        mask = mask[:1, None, :].bool()
    mask = mask.reshape(-1, *mask.shape[-2:])[..., :n_k]
    if mask.dtype == torch.bool:
        blocked, added = ~mask, torch.zeros(1, 1, 1)
    else:
        blocked = mask <= torch.finfo(mask.dtype).min / 2
        if not blocked.any():  # older models add -10000
            blocked = mask <= -9000
        added = mask.double().masked_fill(blocked, 0)
    if not torch.equal(blocked, blocked[:1].expand_as(blocked)):
        raise ValueError(f"{name}: the mask differs between heads, {_WAY_ROUND}")
    return ~blocked[0].expand(n_q or blocked.shape[1], blocked.shape[2]), added


_WAY_ROUND = f"which a capture of q, k, v cannot say ({IMPORT})"


def _say_mask(seen, causal_hint, window_hint, name):
    """mask, offset, window, key_first and key_last that give exactly `seen`, or an error."""
    n_q, n_k = seen.shape
    square, lead = n_q == n_k, 0
    if square and not seen.all():  # padded queries: nothing, or everything, before the first
        dull = ~seen.any(1) | seen.all(1)
        while lead < n_q - 1 and dull[lead]:
            lead += 1
    rows = seen[lead:]
    columns = rows.any(0).nonzero().flatten()
    if len(columns) == 0:
        raise ValueError(f"{name}: the mask hides every key")
    first, last = int(columns[0]), int(columns[-1]) + 1
    ahead = _distances(n_q, n_k, n_k - n_q)[lead:]
    causal = n_k >= n_q and not bool((rows & (ahead > 0)).any())
    if causal and not bool((ahead[:, first:last] > 0).any()):  # nothing to be told by
        causal = bool(causal_hint)
    offset = n_k - n_q if causal else 0
    x = _distances(n_q, n_k, offset)[lead:]
    key = torch.arange(n_k)[None, :]
    may = (key >= first) & (key < last) & ((x <= 0) if causal else torch.ones_like(rows))
    farthest = int((-x if causal else x.abs())[rows].max()) + (1 if causal else 0)
    for window in (window_hint, None, farthest):
        near = (x > -window if causal else x.abs() <= window) if window else True
        if torch.equal(may & near, rows):
            break
    else:
        raise ValueError(f"{name}: the mask is neither causal nor full, with a window or padding "
                         f"at an end, {_WAY_ROUND}")
    sight = {"mask": "causal" if causal else "full", "offset": offset, "window": window or None}
    if first > 0 or last < n_k:
        sight.update(key_first=first, key_last=last)
    return sight


def _say_bias(bias, seen, sight, heads, tables, name):
    """Keys and tensors that say the bias: ALiBi slopes, T5's table, or one row a distance."""
    n_q, n_k = seen.shape
    near = 1e-5 * float(bias.abs().max()) + 1e-4
    if not bool(((bias.abs() > near) & seen).any()):
        return {}, {}
    bias = bias.double().expand(heads, n_q, n_k)
    x = _distances(n_q, n_k, sight["offset"])
    most = int(seen.sum(1).argmax())
    keys = seen[most].nonzero().flatten()
    if len(keys) > 1:
        i, j = int(keys[0]), int(keys[-1])
        slope = (bias[:, most, j] - bias[:, most, i]) / (j - i)
        rest = bias - slope[:, None, None] * x  # what is the same for all keys changes nothing
        high, low = rest.masked_fill(~seen, -1e30).amax(2), rest.masked_fill(~seen, 1e30).amin(2)
        if bool((high - low)[:, seen.any(1)].max() <= 2 * near):
            return {}, {"alibi": slope}
    causal = sight["mask"] == "causal"
    for module in tables:
        rule = {"rel_buckets": getattr(module, "relative_attention_num_buckets", 0),
                "rel_max_distance": getattr(module, "relative_attention_max_distance", 128),
                "bidirectional": not causal}
        table = getattr(module.relative_attention_bias, "weight", None)
        if table is None or tuple(table.shape) != (rule["rel_buckets"], heads):
            continue
        made = table.detach().double().cpu()[_buckets(x, rule).long()].permute(2, 0, 1)
        if bool(((made - bias).abs()[:, seen] <= near).all()):
            return rule, {"rel_bias": table}
    m = int(x[seen].abs().max()) + 1  # distances below m have rows of their own
    rule = {"rel_buckets": 2 * m if causal else 4 * m, "rel_max_distance": 2 * m,
            "bidirectional": not causal}
    rows = _buckets(x, rule)
    table = torch.zeros(rule["rel_buckets"], heads, dtype=torch.double)
    table[rows[seen].long()] = bias[:, seen].T
    if not bool(((table[rows.long()].permute(2, 0, 1) - bias).abs() > near)[:, seen].any()):
        return rule, {"rel_bias": table}
    raise ValueError(f"{name}: the bias of the logits is no function of the distance, "
                     f"{_WAY_ROUND}")


def _buckets(x, rule):
    """Row of rel_bias for key minus query position x, as docs/guide/capture-format.md says."""
    n = rule["rel_buckets"] // (2 if rule["bidirectional"] else 1)
    m, d = n // 2, (x.abs() if rule["bidirectional"] else (-x).clamp(min=0))
    far = torch.log(d.clamp(min=1).float() / m)
    far = far / torch.log(torch.tensor(rule["rel_max_distance"] / m)) * (n - m)
    row = torch.where(d < m, d, (m + far.clamp(min=0).long()).clamp(max=n - 1))
    return row + (n * (x > 0) if rule["bidirectional"] else 0)


def _write_tensors(path, tensors):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    plain = {"device": "cpu", "dtype": torch.float32, "copy": True,
             "memory_format": torch.contiguous_format}
    save_file({name: x.detach().to(**plain) for name, x in tensors.items()}, path + ".part")
    os.replace(path + ".part", path)
