# tests/cli/story_nan.sh -- a NaN in the weights is located: layer, head and row;
# where no layer was complete nothing is left on disk.
cp -r "$MODEL" m
file=m/model.safetensors
header=$(od -An -t u4 -N 4 "$file" | tr -d ' ')

put_nan() { # TENSOR OFFSET: BF16 0x7fc0, little-endian, as that value of it
    cp "$MODEL/model.safetensors" "$file"
    begin=$(dd if="$file" bs=1 skip=8 count="$header" 2>/dev/null |
        sed 's/.*"'"$1"'":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
    printf '\300\177' |
        dd of="$file" bs=1 seek=$((8 + header + begin + 2 * $2)) conv=notrunc 2>/dev/null
}
said() { # PATTERN
    code=0
    attnscope capture m --text "$STORY" -o R 2>err || code=$?
    cat err
    [ "$code" -eq 65 ]
    grep -Eq "$1" err
}
# 4 heads of 32 rows, width 128: head 1, row 3
put_nan model.layers.2.self_attn.q_proj.weight $(((32 + 3) * 128 + 7))
said 'layers\.2\.self_attn\.q_proj.*NaN.*head 1, row 3 \(2 of 4 layers are kept in R;'
rm -r R
put_nan model.layers.0.self_attn.q_proj.weight 0
said 'layers\.0\.self_attn\.q_proj.*NaN.*head 0, row 0$'
[ ! -e R ]
put_nan model.layers.0.self_attn.o_proj.weight $((5 * 128 + 2 * 32))
said 'layers\.0\.self_attn\.o_proj.*NaN.*head 2, row 5$'
[ ! -e R ]
