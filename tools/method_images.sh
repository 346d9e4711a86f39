#!/bin/sh
# Draws docs/images/methods/*.png: what every method and static pattern keeps of a head of the embedded model.
#
#   sh tools/method_images.sh [PROGRAM]      from the root of the repository; ids as further arguments draw those alone
#
# Parameters are made to fit 439 tokens: defaults are for texts of thousands. Bidirectional methods read the same queries and
# keys without the mask, on a grid of 3 x 10 x 14 tokens and text; those of several steps take the four layers as steps.
set -eu
program=${1:-build/release/attnscope}
[ $# -gt 0 ] && shift
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
out=$(pwd)/docs/images/methods
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
"$program" capture -q datasets/tinytales/model --text datasets/tinytales/sample.txt -o "$work/run" >"$work/log"
cd "$work"
python3 - <<'PY'
# both.safetensors: the last layer, its first 420 tokens [heads, n, d]; steps.safetensors: the layers one after the other
# as steps [4 steps, 1 layer, heads, n, d].
import json, struct
TOKENS = 420


def save(path, tensors):
    head, at = {}, 0
    for name, (shape, body) in tensors.items():
        head[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [at, at + len(body)]}
        at += len(body)
    text = json.dumps(head).encode()
    text += b' ' * (-len(text) % 8)
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + b''.join(b for _, b in tensors.values()))


tensors, both = {}, {}
for layer in range(4):
    data = open(f'run/layer-{layer:03d}.safetensors', 'rb').read()
    start = struct.unpack('<Q', data[:8])[0]
    head = json.loads(data[8:8 + start])
    for name in 'qkv':
        a, b = head[name]['data_offsets']
        heads, n, d = head[name]['shape']
        rows = data[8 + start + a:8 + start + b]
        tensors.setdefault(name, [[4, 1, heads, n, d], b''])[1] += rows
        both[name] = [[heads, TOKENS, d],
                      b''.join(rows[4 * h * n * d:4 * (h * n + TOKENS) * d] for h in range(heads))]
save('steps.safetensors', tensors)
save('both.safetensors', both)
PY
"$program" import -q --q both.safetensors:q --k both.safetensors:k --v both.safetensors:v --grid 3x10x14 -o both >>log
"$program" import -q --q steps.safetensors:q --k steps.safetensors:k --v steps.safetensors:v --steps -o steps >>log

# id, run, its parameters
while read -r id run params; do
    case $id in '' | '#'*) continue ;; esac
    if [ $# -gt 0 ]; then
        case " $* " in *" $id "*) ;; *) continue ;; esac
    fi
    case $run in
    run) select="--layers 3 --heads 1" ;;
    both) select="--layers 0 --heads 1" ;;
    steps) select="--layers 0 --heads 1 --steps 3" ;;
    esac
    # shellcheck disable=SC2086
    "$program" plot pattern $run -q $select --from "$id${params:+:$params}" --width 84mm --dpi 120 \
        -o "$out/$id.png" --force || echo "$id: not drawn" >&2
done <<'LIST'
topk run k=24
topp run p=.7
threshold run t=.01
moba run block=16,k=4
ssa run block=16,k=4
nsa run block=16,k=3,window=24,win=.5
quest run block=16,k=64,dense=0
landmark run every=16,k=3
sea run k=24,columns=64
hip run k=32,window=16,block_q=16
infinite_hip run sink=16,window=48,chunks=32x8,keep=64,rows=4x1,k=32,block_q=16
dhsa run block=16,density=.2
dhsa_v1 run k=48,local=16,global=4,block=16
draft both cell=5x7,sparsity=.7
minference run form=vertical_slash,v=16,s=16,v_first=4,s_first=4,v_least=4,s_least=4,last=32
flexprefill run block=16,min_budget=32,gamma=.7
hyper run min=64,block=32,samples=16
reformer run bucket=16,n_hashes=2
routing run clusters=12,window=40
combiner run form=fixed
h2o run prompt=128,ratio=.15
snapkv run prompt=256,k=32,window=16
recycled run prompt=128,k=32,stride=24
stream_cache run sink=4,window=48
moa run density=.3
sparsed steps block=16,ratio=.2,skip=.1
rettention steps t0=1,refresh=8,ratio=.1
bigbird run form=causal,random=2
block_diagonal run block=64
causal run
dilated run window=24,dilation=4
documents run lengths=128x96x215
fixed run stride=32,summary=4
full run
gna both shape=3x10x14,window=3x5x5
logsparse run window=8
longformer run window=32,first=4
longnet run segments=64x128x256x512,dilations=1x2x4x8
power run block=16,window=2
prefix_lm run prefix=64
random_blocks run causal=yes,block=16
s2 run block=16,local=2,stride=4,homo=0
stream run sink=4,window=48
strided run stride=24
vertical_slash run columns=0x31x77x150,diagonals=0x24x80,window=8
window run window=48
LIST
