# tests/cli/story_export.sh -- what is exported comes back: arrays, BertViz views, and the shapes
# that MInference would choose, of the uniform causal matrix of four tokens.
one='\000\000\200\077' half='\000\000\000\077' third='\253\252\252\076' quarter='\000\000\200\076'
zero='\000\000\000\000'
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }"
    printf "$one$zero$zero$zero$half$half$zero$zero"
    printf "$third$third$third$zero$quarter$quarter$quarter$quarter"
} >P.npy
echo '["a", "\u20ac\"", "c", "d"]' >tokens.json
attnscope import --attn P.npy --tokens tokens.json -o U -q >/dev/null
attnscope export U --to bertviz --digits 3 -o view.json -q >/dev/null
cat view.json
grep -q '"left_text": \["a", "\\u20AC\\"", "c", "d"\], "right_text": \["a", "\\u20AC\\""' view.json
grep -q '\[\[\[1, 0, 0, 0\], \[0.5, 0.5, 0, 0\], \[0.333, 0.333, 0.333, 0\], \[0.25, 0.25, 0.25, 0.25\]\]\]' view.json
grep -q '"include_layers": \[0\], "include_heads": \[0\], "total_heads": 1}$' view.json
# rows 2 and 3 count; three columns and one diagonal hold all of both
attnscope export U --to minference --ratio 0.001 -o shapes.json -q >/dev/null
[ "$(cat shapes.json)" = '[{"0": ["vertical_and_slash", 3, 1, 1]}]' ]
# one column and one diagonal hold 2/3 and 2/4 of them, the band 1 and 3/4
attnscope export U --to minference --ratio 0.0005 -o shapes.json -f -q >/dev/null
[ "$(cat shapes.json)" = '[{"0": ["stream_llm", 1, 1, 0.875]}]' ]

# queries, keys and values of a model
attnscope export "$RUN" --to npy -o arrays -q >/dev/null
attnscope import --q arrays/q.npy --k arrays/k.npy --v arrays/v.npy --causal -o R -q >/dev/null
attnscope export R --to npy -o again -q >/dev/null
for name in q k v; do cmp arrays/$name.npy again/$name.npy; done
# attention, computed here and there: by heads, and through a view
attnscope export "$RUN" --to npy --tensors p,k --layers 1,3 --heads 0,2 -o some -q >/dev/null
attnscope export R --to npy --tensors p,k --layers 1,3 --heads 0,2 -o some2 -q >/dev/null
cmp some/p.npy some2/p.npy
attnscope export "$RUN" --to bertviz --layers 1,3 --heads 0,2 -o view.json -f -q >/dev/null
attnscope import --bertviz view.json -o V -q >/dev/null
attnscope export V --to npy -o some2 -f -q >/dev/null
cmp some/p.npy some2/p.npy
attnscope inspect V --layers 3 >/dev/null

# an encoder and a decoder
attnscope import --attn encoder=P.npy,decoder=P.npy,cross=P.npy --tokens decoder=tokens.json -o S -q >/dev/null
attnscope export S --to bertviz -o stacks.json -q >/dev/null
grep -q '"name": "Cross"' stacks.json
attnscope import --bertviz stacks.json -o S2 -q >/dev/null
attnscope export S2 --to bertviz -o stacks2.json -q >/dev/null
cmp stacks.json stacks2.json

# nothing is lost, and nothing half-made stays
code=0
attnscope export "$RUN" --to npy -o arrays 2>err || code=$?
[ "$code" -eq 73 ] && grep -q 'give --force' err
touch arrays/mine
attnscope export "$RUN" --to npy -o arrays -f 2>err || true
grep -q 'other files' err
[ -e arrays/mine ] && [ -z "$(ls -d arrays.* 2>/dev/null)" ]
