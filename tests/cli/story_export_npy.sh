# tests/cli/story_export_npy.sh -- a capture exported as arrays comes back as it was: sinks,
# biases, soft-caps, windows, scales, tokens of two texts, the grid of an image, several steps.
. "$SRC/tests/docs/inputs.sh"
parity=$SRC/tests/fixtures/parity
same() { # CAPTURE OPTION..: its attention, and that of what comes back of an export with options
    of=$1
    shift
    rm -rf x back p q
    attnscope export "$of" --to npy "$@" -o x -q >/dev/null
    attnscope import --npy x -o back -q >summary
    attnscope export "$of" --to npy --tensors p "$@" -o p -q >/dev/null
    attnscope export back --to npy --tensors p -o q -q >/dev/null
    for file in p/*.npy; do cmp "$file" "q/$(basename "$file")"; done
}
facts() { grep -E '^ *"(d|d_v|grid|grid_first|heads|index|key_first|key_last|kv_heads|mask|n_k|n_q|offset|prompt|rel_buckets|rel_max_distance|bidirectional|scale|softcap|stack|step|window)":' "$1/capture.json" | sort; }

for name in gpt_oss bloom gemma2 gemma3_text mistral_window gpt2_scales; do
    attnscope capture "$parity/$name" --token-ids ids.txt -o $name -q >/dev/null
    same $name
    [ "$(facts $name)" = "$(facts back)" ]
done
[ -e x/index.json ] && [ ! -e x/sink.npy ]
same gpt_oss --heads 1,3
grep -q 'heads 0, 1, .. here' summary
[ -e x/sink.npy ]
same bloom --layers 1
[ -e x/alibi.npy ]

attnscope capture T5 --text source.txt --target-text target.txt -o ED -q >/dev/null
same ED
[ "$(facts ED)" = "$(facts back)" ]
attnscope export ED --to bertviz --stack cross -o a.json -q >/dev/null
attnscope export back --to bertviz --stack cross -o b.json -q >/dev/null
cmp a.json b.json
same ED --stack decoder
same ED --stack encoder --heads 0,2
[ -e x/encoder.rel_bias.npy ]

attnscope capture "$parity/deit" --image photo.png -o IMAGE -q >/dev/null
same IMAGE
grep -q '"grid_first": 2' back/capture.json
[ "$(facts IMAGE)" = "$(facts back)" ]
attnscope capture DIT --latents latents.npy --timesteps 500,250 --classes 3,6 -o STEPS -q >/dev/null
same STEPS
[ "$(facts STEPS)" = "$(facts back)" ]
same STEPS --steps 1

# an index that does not fit its arrays, or is no capture
refused() { # EDIT MESSAGE
    rm -rf bad
    cp -r x bad
    sed "$1" x/index.json >bad/index.json
    code=0
    attnscope import --npy bad -o NO 2>err || code=$?
    cat err
    [ "$code" -eq 65 ] && grep -q "$2" err
    [ ! -e NO ]
}
attnscope export gpt_oss --to npy -o x -f -q >/dev/null
refused 's/"n_k": 8/"n_k": 7/;s/"n_q": 8/"n_q": 7/' 'index.json'
refused 's/"d": 8/"d": 4/' '4 "frequencies" turn 8 numbers, but d is 4'
refused 's/"d_v": 8/"d_v": 4/' 'v.npy: has not the shape that index.json says'
refused 's/"scale": [0-9.]*/"scale": -1/' 'index.json: makes no capture: .*"scale" is -1'
refused 's/"sink.npy"/"..\/sink.npy"/' 'is no .npy beside it'
refused 's/"sink": "sink.npy",*/"sinks": 1,/' 'lists "sink", of which there is no file'
refused 's/attnscope\/export\/1/other/' 'schema "other" is not attnscope/export/1'
refused 's/"layer": 1/"layer": 0/' 'listed twice'
refused 's/"stack": ""/"stack": "a\/b"/' 'layers\[0\] has no'
code=0
attnscope import --npy x --causal -o NO 2>err || code=$?
[ "$code" -eq 64 ] && grep -q 'leave out the other options' err
