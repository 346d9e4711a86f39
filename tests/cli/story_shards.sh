# Parts of the work, put together, are what one process prints, to the byte; parts that do
# not belong together are refused by name.

# same N COMMAND OPTION... : N parts against one process, merged from the last to the first
same() {
    n=$1 command=$2
    shift 2
    rm -rf one parts && mkdir one parts
    attnscope "$command" "$RUN" "$@" -q -o one/t.csv
    list= i=0
    while [ $i -lt "$n" ]; do
        attnscope "$command" "$RUN" "$@" -q --shard $i/"$n" -o parts/$i
        list="parts/$i $list"
        i=$((i + 1))
    done
    attnscope merge $list -q -o parts/t.csv
    for table in one/*.csv; do cmp "$table" "parts/${table#one/}"; done
}

for n in 1 2 3 7; do same $n stats; done
same 20 stats --layers 1,3 # more parts than heads
same 3 stats --measure all --per layer
same 3 stats --measure entropy,coverage --rows 64
same 2 stats --measure entropy --profile 16
same 2 stats --measure entropy --quantiles 0.1,0.9 --per model
same 3 stats --heads-by-type
same 3 stats --measure rollout,moa_span,redundancy,entropy # of the model, of all heads of a layer
same 3 approx --method topk,moba:block=16,window,threshold --budget 10%,k=32 --layers 1,2
same 5 approx --method stream --layers 0 --heads 1,2,3 --budget 20% --per layer
same 3 bounds --tokens 32 --trials 60 --layers 0,1 --bound V1,V4,V11,B10

# a part of approx with --keep holds the tiles, too
cp -r "$RUN" kept
for i in 0 1; do attnscope approx kept --method window --keep -q --shard $i/2 -o k$i; done
[ ! -e kept/results ]
attnscope merge k0 k1 -q -o k.csv
ls kept/results | grep -q 'approx_tiles.csv$'
# once more, elsewhere, or in one process: the same request has one place
ls kept/results >names
attnscope merge k1 k0 -q -o k2.csv
attnscope approx kept --method window --keep -q --threads 1 -o k3.csv
ls kept/results | cmp - names
attnscope approx kept --method window --keep -q --layers 1
[ "$(ls kept/results | wc -l)" = $((2 * $(wc -l <names))) ]

# the record names the parts
attnscope stats "$RUN" -q --shard 0/2 -o p0
attnscope stats "$RUN" -q --shard 1/2 -o p1
attnscope merge p1 p0 -q -o all.csv
grep -q '"path": "p1"' all.csv.run.json
grep -q 'capture.json' all.csv.run.json

# warnings of the parts, quiet or not, are said once by merge, as one process says them
attnscope approx "$RUN" --method all --budget 10% --layers 1,2 -o w.csv 2>one.err
for i in 0 1 2; do
    attnscope approx "$RUN" --method all --budget 10% --layers 1,2 -q --shard $i/3 -o w$i 2>err
    [ ! -s err ]
done
attnscope merge w0 w1 w2 -o w2.csv 2>all
grep -q 'warning: .* is left out' one.err
sort one.err >one.sorted
sort all >all.sorted
cmp one.sorted all.sorted
attnscope merge w0 w1 w2 -q -o w2.csv -f 2>err
[ ! -s err ]

# refused EXIT TEXT COMMAND...
refused() {
    code=$1 text=$2
    shift 2
    got=0
    attnscope "$@" >out 2>&1 || got=$?
    [ "$got" = "$code" ] && grep -q -- "$text" out || {
        printf 'attnscope %s: exit %s, wanted %s and "%s"\n' "$*" "$got" "$code" "$text"
        cat out
        exit 1
    }
}

refused 64 'part 1/2 is missing (attnscope stats .* --shard 1/2 -o FILE makes it)' merge p0
refused 64 'which p0 is, too' merge p0 p0
cp p0 as_it_was
ln p0 p0.link
refused 64 'is the part p0' merge p0 p1 -o p0 -f
refused 64 'is the part p0' merge p0 p1 -o p0.link --force
refused 64 '--run-record p0.link is the part p0' merge p0 p1 -f --run-record p0.link
cmp p0 as_it_was
refused 65 'is no part' merge p0 "$RUN/capture.json"
refused 66 'p9: ' merge p0 p9
attnscope stats "$RUN" -q --measure sink --shard 1/2 -o other
refused 64 'other: was made with --measure sink, p0 without' merge p0 other
attnscope bounds "$RUN" -q --bound V1 --tokens 16 --shard 1/2 -o other -f
refused 64 'other: is of bounds, p0 of stats' merge p0 other
attnscope stats "$RUN" -q --shard 1/3 -o other -f
refused 64 'is one of 3 parts' merge p0 other
attnscope capture "$MODEL" --text "$STORY" --layers 0-1 -q -o RUN2 >/dev/null
attnscope stats RUN2 -q --shard 1/2 -o other -f
refused 64 'is of another capture' merge p0 other
refused 64 'is another capture' merge p0 p1 --capture RUN2
refused 66 'say where it is' merge p0 p1 --capture none
cp -r "$RUN" moved
attnscope merge p0 p1 -q --capture moved -o moved.csv
cmp all.csv moved.csv
for size in 10 20 40 500; do
    head -c $size p1 >cut
    refused 65 'cut: ' merge p0 cut
done
size=$(wc -c <p1)
for at in 3 14 18 60 400 $((size / 2)) $((size - 60)) $((size - 5)) $((size - 1)); do
    cp p1 flipped
    byte=$(od -An -tu1 -j $at -N 1 p1)
    printf "\\$(printf %o $((byte ^ 1)))" | dd of=flipped bs=1 seek=$at conv=notrunc 2>/dev/null
    cmp -s p1 flipped || refused 65 'flipped: ' merge p0 flipped
done

for share in 3/3 -1/3 1 a/b 1/3x /3 0x1/3 1/9999999; do
    refused 64 '--shard takes i/N' stats "$RUN" --shard $share -o x
done
refused 64 'give -o FILE' stats "$RUN" --shard 0/2
refused 64 'so --format is for attnscope merge' stats "$RUN" --shard 0/2 --format csv -o x
refused 64 'one after another' stats "$RUN" --attribution --shard 0/2 -o x
refused 64 'similarity: takes no --shard: it compares' similarity "$RUN" --shard 0/2
refused 73 'exists already' stats "$RUN" --shard 0/2 -o p0

# the task of an array says which part, when asked
SLURM_ARRAY_TASK_ID=6 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=2 SLURM_ARRAY_TASK_STEP=4
export SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_STEP
attnscope stats "$RUN" --shard slurm -o task 2>&1 | grep -q 'part 1/3'
attnscope stats "$RUN" -q --shard 1/3 -o same
SLURM_ARRAY_TASK_ID=5 refused 64 'task 5 is none of 3' stats "$RUN" --shard slurm -o x
unset SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_STEP
refused 64 'SLURM_ARRAY_TASK_ID is not set' stats "$RUN" --shard slurm -o x

# a part that is out of time goes on, and bad heads are left out alike
got=0
attnscope stats "$RUN" -q --shard 0/2 --time-budget 1e-9s -o late 2>err || got=$?
[ $got = 75 ] && [ ! -e late ]
attnscope stats "$RUN" -q --shard 0/2 -o late
attnscope merge late p1 -q -o late.csv
cmp all.csv late.csv

# with bad heads, too: what one process leaves out the parts do, wherever they are cut
header=$(od -An -t u4 -N 4 "$RUN/layer-002.safetensors" | tr -d ' ')
begin=$(dd if="$RUN/layer-002.safetensors" bs=1 skip=8 count="$header" 2>/dev/null |
    sed 's/.*"q":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
spoil() { # OCTAL: query 3 of head 1 of layer 2 holds that float32, in a copy R
    rm -rf R
    cp -r "$RUN" R
    printf "$1" | dd of=R/layer-002.safetensors bs=1 conv=notrunc \
        seek=$((8 + header + begin + 4 * ((439 + 3) * 32 + 7))) 2>/dev/null
    sed -i '/"checksum"/d; /"file": "layer-/{n;s/"hash": .*/"hash": null,/;}' R/capture.json
}
same_bad() { # N COMMAND OPTION... : as same, but the run and some of its parts end with 3
    n=$1 command=$2 got=0
    shift 2
    rm -rf one parts && mkdir one parts
    attnscope "$command" R "$@" -o one/t.csv >err 2>&1 || got=$?
    [ $got = 3 ] || { cat err; exit 1; }
    list= i=0 three=0
    while [ $i -lt "$n" ]; do
        got=0
        attnscope "$command" R "$@" -q --shard $i/"$n" -o parts/$i 2>/dev/null || got=$?
        [ $got = 0 ] || [ $got = 3 ]
        [ $got = 0 ] || three=$((three + 1))
        list="$list parts/$i"
        i=$((i + 1))
    done
    [ $three = 1 ] || [ "$command" = stats ]
    got=0
    attnscope merge $list -q -o parts/t.csv 2>/dev/null || got=$?
    [ $got = 3 ]
    for table in one/*.csv; do cmp "$table" "parts/${table#one/}"; done
}
for number in '\000\000\300\177' '\377\377\177\177'; do # NaN; 3.4e38, whose logits overflow
    spoil "$number"
    same_bad 7 stats --measure sink,redundancy,uniform
    same_bad 5 stats --layers 2 --measure entropy,rank
    same_bad 3 approx --method window,topk,nsa,threshold --budget 20% --layers 1,2
    same_bad 4 approx --method window,nsa --budget 20% --layers 2
done
