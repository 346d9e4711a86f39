# tests/cli/story_replace.sh -- capture --force keeps the old capture whole until the new one is
# complete: through bad weights, a memory limit and a signal; its stored results go with it.
for i in 1 2 3 4 5; do cat "$STORY"; done >long
cp -r "$RUN" R
attnscope stats R --keep >before
ls R/results/*.csv
replace() { # exec: a signal to the background job must reach the program itself
    exec attnscope capture "$1" --text long --allow-long --threads 1 -o R --force
}
whole() { # WHAT: R is still the old capture
    attnscope stats R >after 2>&1 || { cat after; echo "R was lost: $1"; exit 1; }
    cmp before after || { echo "R changed: $1"; exit 1; }
}
alone() {
    [ "$(ls -d R*)" = R ] || { ls -d R*; echo "something is left beside R"; exit 1; }
}

cp -r "$MODEL" bad # NaN as the first weight of layer 0
header=$(head -c 8 bad/model.safetensors | od -An -t u8 | tr -d ' ')
at=$(head -c $((8 + header)) bad/model.safetensors |
    sed 's/.*"model\.layers\.0\.self_attn\.q_proj\.weight":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
printf '\300\177' | dd of=bad/model.safetensors bs=1 seek=$((8 + header + at)) conv=notrunc 2>/dev/null
code=0
(replace bad) || code=$?
[ "$code" -eq 65 ]
whole "bad weights"
alone

code=0
attnscope capture "$MODEL" --text long --allow-long -o R --force --mem-limit 4M || code=$?
[ "$code" -eq 71 ]
whole "a memory limit"
alone

replace "$MODEL" >log 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && ! ls R.part-*/layer-000.safetensors >/dev/null 2>&1; do :; done
kill -INT $pid
code=0
wait $pid || code=$?
cat log
[ "$code" -eq 130 ]
whole "a signal"
(replace "$MODEL") | tee said
grep -q 'layers found' said
alone
[ ! -e R/results ] || { echo "results of the old capture are left"; exit 1; }
attnscope inspect R | grep -q yes || { attnscope inspect R; exit 1; }
