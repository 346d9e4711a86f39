# tests/cli/story_nan.sh -- a NaN in the weights is located: layer, and where it was seen.
cp -r "$MODEL" m
file=m/model.safetensors
header=$(od -An -t u4 -N 4 "$file" | tr -d ' ')
begin=$(dd if="$file" bs=1 skip=8 count="$header" 2>/dev/null |
    sed 's/.*layers\.2\.self_attn\.q_proj\.weight":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
# BF16 0x7fc0, little-endian, as the first weight of head 0
printf '\300\177' | dd of="$file" bs=1 seek=$((8 + header + begin)) conv=notrunc 2>/dev/null
code=0
attnscope capture m --text "$STORY" -o R 2>err || code=$?
cat err
[ "$code" -eq 65 ]
grep -Eqi 'nan' err
grep -Eq 'layers?.2' err
