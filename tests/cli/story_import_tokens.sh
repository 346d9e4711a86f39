# tests/cli/story_import_tokens.sh -- equal texts of an import are equal tokens: what repeats is
# looked for by measures that need token ids. Row 2 looks at key 1, which followed the same text.
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }"
    one='\000\000\200\077' zero='\000\000\000\000'
    printf "$one$zero$zero$zero$one$zero$zero$one$zero"
} >P.npy
echo '["a", "b", "a"]' >tokens.json
attnscope import --attn P.npy --causal --tokens tokens.json -o R -q >/dev/null
attnscope stats R --measure induction --format csv >out.csv
cat out.csv
grep -q '^0,0,causal_self,1,0$' out.csv
attnscope import --attn P.npy --causal -o S -q >/dev/null
attnscope stats S --measure induction --format csv | grep -q '^0,0,causal_self,,$'
