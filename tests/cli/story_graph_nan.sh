# tests/cli/story_graph_nan.sh -- a head that holds NaN is named and left out (exit 3), the others
# are what they were.
header=$(od -An -t u4 -N 4 "$RUN/layer-002.safetensors" | tr -d ' ')
begin=$(dd if="$RUN/layer-002.safetensors" bs=1 skip=8 count="$header" 2>/dev/null |
    sed 's/.*"q":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')

attnscope graph "$RUN" --format csv >good.csv
cp -r "$RUN" R
# head 1, row 3 of 439 rows of 32
printf '\000\000\300\177' | dd of=R/layer-002.safetensors bs=1 conv=notrunc \
    seek=$((8 + header + begin + 4 * ((439 + 3) * 32 + 7))) 2>/dev/null
sed -i '/"checksum"/d; /"file": "layer-/{n;s/"hash": .*/"hash": null,/;}' R/capture.json
for table in "" "--spectrum" "--class-matrix --labels class"; do
    code=0
    attnscope graph R $table --format csv >out.csv 2>err || code=$?
    cat err
    [ "$code" -eq 3 ]
    grep -q 'layer 2: q of head 1, row 3 holds NaN' err
    grep -q '1 of 16 heads' err
    [ -n "$table" ] || {
        sed -E "s/^(2,1),causal_self,.*/\1,causal_self/" good.csv >want
        sed -E "s/^(2,1),causal_self,*$/\1,causal_self/" out.csv | cmp - want
    }
done
