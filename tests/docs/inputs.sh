# tests/docs/inputs.sh -- sourced: puts the inputs that the documentation talks of into the
# folder: MODEL, story.txt, ids.txt, P.npy, Q.npy, K.npy, V.npy, K1.npy, K2.npy, V1.npy, V2.npy, dump.safetensors, tokens.json,
# roles.json, steps.safetensors, mask.json, labels.csv (of the text's 439 tokens),
# timings.csv, mine.csv, kernel.json, part0 and part1 (of stats), reference.safetensors (of what another program computed), model.gguf, T5 (an encoder and a
# decoder), source.txt, target.txt, arrays.npz (q [2, 3]), E.npy, D.npy, X.npy (attention of an
# encoder, a decoder and across), view.json (BertViz), VIT, photo.png, DIT, latents.npy, plan.json (batch), exported (of export --to npy).
ln -s "$MODEL" MODEL
cp "$STORY" story.txt
ln -s "$SRC/tests/fixtures/parity/t5_relu" T5
ln -s "$SRC/tests/fixtures/gguf/llama_q8.gguf" model.gguf
printf 'translate to German: the house is old.' >source.txt
printf 'das Haus ist alt.' >target.txt
printf '1 2 3 4 5 6 7 8\n' >ids.txt

# [2, 2, 2] float32: {1 0; .5 .5} and {1 0; 0 1}
values() {
    printf '\000\000\200\077\000\000\000\000\000\000\000\077\000\000\000\077'
    printf '\000\000\200\077\000\000\000\000\000\000\000\000\000\000\200\077'
}
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2), }"
    values
} >P.npy
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 8, 8), }"
    for row in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
        values
        values
    done
} >latents.npy
ln -s "$SRC/tests/fixtures/parity/vit" VIT
ln -s "$SRC/tests/fixtures/parity/dit_original" DIT
cp VIT/photo.png photo.png
for name in Q K V K1 K2 V1 V2 E D X; do cp P.npy $name.npy; done
{
    printf '\110\000\000\000\000\000\000\000' # 72 bytes of header
    printf '%-72s' '{"attention":{"dtype":"F32","shape":[2,2,2],"data_offsets":[0,32]}}'
    values
} >dump.safetensors
{
    printf '\310\000\000\000\000\000\000\000' # 200 bytes of header
    printf '%-200s' "{$(
        printf '"%s":{"dtype":"F32","shape":[2,1,2,2],"data_offsets":[%d,%d]},' \
            k 0 32 q 32 64 v 64 96 | sed 's/,$//'
    )}"
    values
    values
    values
} >steps.safetensors
printf '["Once", " upon"]\n' >tokens.json
printf '["landmark", "none"]\n' >roles.json
printf '{"schema": "attnscope/pattern/1", "keys": 4, "causal": true, "heads": [{"slices": [[0, 4, 0, 2, 0], [2, 4, 2, 4, "causal"]]}]}' >mask.json
awk 'BEGIN { print "label"; for (i = 0; i < 439; i++) print int(i / 40) % 5 }' >labels.csv
cp "$SRC/tests/fixtures/timings/timings.csv" "$SRC/tests/fixtures/timings/mine.csv" .
cp "$SRC/simulators/kernels/fa3.json" kernel.json
cp "$SRC/tests/fixtures/tinytales/oracle.safetensors" reference.safetensors
cp "$SRC/tests/fixtures/numpy.npz" arrays.npz
printf '{"attention": [{"name": null, "attn": [[[[1, 0], [0.5, 0.5]]]], "left_text": ["Once", " upon"], "right_text": ["Once", " upon"]}], "include_layers": [0]}' >view.json
printf '{"schema": "attnscope/batch/1", "models": {"tales": "MODEL"}, "texts": {"eight": {"token_ids": "ids.txt"}}, "commands": {"stats": ["stats", "{run}"]}}' >plan.json
attnscope export "$RUN" --to npy --layers 0 -o exported -q >/dev/null
for part in 0 1; do attnscope stats "$RUN" -q --shard $part/2 -o part$part; done
