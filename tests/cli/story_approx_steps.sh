# tests/cli/story_approx_steps.sh -- methods that read earlier steps: a step is as it is by itself, and
# what comes after it is not read.
make_dump D steps=5 layers=2 heads=2 kv_heads=2 n=40
attnscope import --q D/q.npy --k D/k.npy --v D/v.npy --steps -o R -q >/dev/null
methods=sparsed:block=8,rettention:ratio=.2,t0=1,refresh=2,window
attnscope approx R --method $methods --grid 2x5x4 --per head --format csv -q >all.csv
[ "$(wc -l <all.csv)" -eq 61 ]
for step in 0 3 4; do
    attnscope approx R --method $methods --grid 2x5x4 --steps $step --per head --format csv -q | tail -n +2 >one.csv
    awk -F, -v step=$step '$1 == step' all.csv | cmp - one.csv
done
attnscope approx R --method $methods --grid 2x5x4 --dump O -q >/dev/null
attnscope approx R --method $methods --grid 2x5x4 --steps 3 --dump P -q >/dev/null
cmp O/sparsed/step-003/layer-001.safetensors P/sparsed/step-003/layer-001.safetensors
# the last step is damaged: the others do not mind
size=$(wc -c <R/step-004/layer-001.safetensors)
printf '\000\000\300\177' | dd of=R/step-004/layer-001.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
attnscope approx R --method $methods --grid 2x5x4 --steps 0-3 --per head --format csv -q >most.csv
awk -F, 'NR == 1 || $1 < 4' all.csv | cmp - most.csv
code=0
attnscope approx R --method $methods --grid 2x5x4 -q 2>err >/dev/null || code=$?
[ "$code" -eq 65 ] && grep -q 'step-004/layer-001.safetensors' err
