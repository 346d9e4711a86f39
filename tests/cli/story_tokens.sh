# tests/cli/story_tokens.sh -- a heatmap of cross-attention labels its keys, which have texts,
# and numbers its queries; a text that is empty is named by its place.
# P [1 head, 3 queries, 2 keys]: {1 0; .5 .5; 0 1}
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2), }"
    printf '\000\000\200\077\000\000\000\000\000\000\000\077\000\000\000\077'
    printf '\000\000\000\000\000\000\200\077'
} >P.npy
draw() {
    printf '%s\n' "$2" >tokens.json
    attnscope import --attn P.npy --tokens tokens.json -o "$1" -q
    attnscope plot heatmap "$1" -o "$1.svg"
}
draw words '["ab", "cd"]'
draw others '["ab", "xy"]'
draw empty '["", "cd"]'
draw named '["#0", "cd"]'
attnscope import --attn P.npy -o bare -q
attnscope plot heatmap bare -o bare.svg
! cmp -s words.svg others.svg
! cmp -s words.svg bare.svg
cmp empty.svg named.svg
attnscope plot heatmap bare -o again.svg
cmp bare.svg again.svg
