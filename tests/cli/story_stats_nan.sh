# tests/cli/story_stats_nan.sh -- a head that holds NaN or infinity, or whose logits overflow, is
# named and left out (exit 3), the others are what they were; with --strict the run ends (65).
header=$(od -An -t u4 -N 4 "$RUN/layer-002.safetensors" | tr -d ' ')

begin_of() { # TENSOR: where its numbers begin in layer 2
    dd if="$RUN/layer-002.safetensors" bs=1 skip=8 count="$header" 2>/dev/null |
        sed 's/.*"'"$1"'":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/'
}
spoil() { # TENSOR NUMBER OCTAL: that float32 in a copy R; hashes and checksum taken out
    rm -rf R
    cp -r "$RUN" R
    printf "$3" | dd of=R/layer-002.safetensors bs=1 conv=notrunc \
        seek=$((8 + header + $(begin_of "$1") + 4 * $2)) 2>/dev/null
    sed -i '/"checksum"/d; /"file": "layer-/{n;s/"hash": .*/"hash": null,/;}' R/capture.json
}
gives() { # CODE ARGUMENTS...
    want=$1
    shift
    code=0
    attnscope stats "$@" --format csv >out.csv 2>err || code=$?
    cat err
    [ "$code" -eq "$want" ]
}
# rows of LAYER,HEAD lists are empty behind the keys, the others are those of good.csv
only_empty() {
    sed -E "s/^($1),causal_self,.*/\1,causal_self/" good.csv >want
    sed -E "s/^($1),causal_self,*$/\1,causal_self/" out.csv | cmp - want
}
nan='\000\000\300\177' infinity='\000\000\200\377'

attnscope stats "$RUN" --format csv >good.csv
# 4 query heads of 439 rows of 32: head 1, row 3
spoil q $(((439 + 3) * 32 + 7)) "$nan"
gives 3 R
grep -q 'layer 2: q of head 1, row 3 holds NaN' err
grep -q '1 of 16 heads' err
only_empty 2,1
gives 65 R --strict
[ ! -s out.csv ]
grep -q 'error: .*layer 2: q of head 1, row 3 holds NaN' err
# what does not want the head does not see it
gives 0 R --heads 2.0,2.2
gives 3 R --heads 2.0,2.1
[ "$(wc -l <out.csv)" -eq 3 ]
gives 3 R --per layer --measure sink
[ "$(grep -c '^[0-3],causal_self,0' out.csv)" -eq 4 ]
gives 3 R --profile 4 --measure sink
[ "$(grep -c '^2,1,causal_self,[0-9]*,[0-9]*,,$' out.csv)" -eq 4 ]
gives 3 R --heads-by-type
grep -q '^2,1,causal_self,,,*$' out.csv
grep -q '^1,3,causal_self,previous,' out.csv
# heads of a layer that are compared with one another go together
gives 3 R --measure redundancy
[ "$(grep -c '^2,[0-3],causal_self,,,,,,,,,$' out.csv)" -eq 4 ]
grep -q '^3,0,causal_self,0' out.csv
# what is a head's own goes on beside it, what is the layer's does not
gives 3 R --measure uniform
grep -q '^2,1,causal_self,,,,$' out.csv
[ "$(grep -c '^2,[023],causal_self,[0-9.]*,,[01],$' out.csv)" -eq 3 ]
# a sample is drawn once, beside a bad head as without one
attnscope stats "$RUN" --heads 2.0 --measure sink --rows 40 --skip-rows 300 --format csv >one.csv
gives 3 R --heads 2.0,2.1 --measure sink,uniform --rows 40 --skip-rows 300
[ "$(sed -n 2p out.csv | cut -d, -f4-7)" = "$(sed -n 2p one.csv | cut -d, -f4-7)" ]
# the output file is complete, too
code=0
attnscope stats R -o s.csv -q 2>/dev/null || code=$?
[ "$code" -eq 3 ]
[ "$(wc -l <s.csv)" -eq 17 ]
[ -s s.csv.run.json ]

# infinity in the second of two KV heads, which the query heads 2 and 3 read
spoil k $((439 * 32)) "$infinity"
gives 3 R
grep -q '2 of 16 heads' err
grep -q 'layer 2: k of key and value head 1 (query heads 2, 3), row 0 holds NaN' err
only_empty 2,[23]

# finite numbers whose products are not: head 0 has queries and keys of 1e30 (0x7149f2ca)
npy() { # SHAPE
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($1), }"
}
huge='\312\362\111\161' one='\000\000\200\077'
{
    npy '2, 2, 2'
    printf "$huge$huge$huge$huge$one$one$one$one"
} >Q.npy
cp Q.npy K.npy
attnscope import --q Q.npy --k K.npy --v Q.npy -o H -q >/dev/null
gives 3 H --measure sink,coverage
grep -q 'layer 0, head 0, row 0: a logit or weight is NaN or infinite' err
grep -q '1 of 2 heads' err
grep -q '^0,0,noncausal_self,,' out.csv
grep -q '^0,1,noncausal_self,0\.5,1,' out.csv
gives 65 H --strict
[ ! -s out.csv ]
gives 3 H --heads-by-type
gives 3 H --measure sink,uniform
grep -q '^0,1,noncausal_self,0\.5,1,0[^,]*,,1,$' out.csv
gives 65 H --measure uniform --strict
# and where no head is left the table is there all the same
gives 3 H --heads 0
[ "$(wc -l <out.csv)" -eq 2 ]
