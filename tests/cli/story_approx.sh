# tests/cli/story_approx.sh -- approximations of a capture: what a budget keeps to, what stays the
# same, what a dump holds and how it is replaced, heads that are no numbers, P alone.
# parameters hold commas, so columns are counted in JSONL
value() { # COLUMN FILE
    grep '"schema": *"attnscope/approx/1"' "$2" | sed 's/.*"'"$1"'": *\([^,}]*\).*/\1/'
}

# executed pairs stay within the budget, and the oracle of as many is no worse in mass, also where
# a method shares them out by itself
attnscope approx "$RUN" --method window,topk,topp,threshold,moba:block=16 --budget 10%,k=16 --format jsonl -q >all.jsonl
[ "$(value executed_share all.jsonl | wc -l)" -eq 160 ]
value executed_share all.jsonl | awk '$1 > 0.1000001 { exit 1 }'
value ssa_bound_slack_least all.jsonl | awk '$1 < 0 { exit 1 }'
value retained_mass_mean all.jsonl >mine
value oracle_retained_mass all.jsonl >best
paste -d' ' mine best | awk '$1 > $2 + 1e-6 { exit 1 }'
# the same at any number of threads
attnscope approx "$RUN" --method all --budget 10% --format csv -q --threads 1 >one.csv
attnscope approx "$RUN" --method all --budget 10% --format csv -q --threads 3 >three.csv
cmp one.csv three.csv
# a selection changes no head's values
attnscope approx "$RUN" --method window,moba:block=16 --format csv -q >whole.csv
attnscope approx "$RUN" --method window,moba:block=16 --heads 2.3 --format csv -q >part.csv
grep '^2,3,' whole.csv >want
tail -n +2 part.csv | cmp - want

# a dump: its draws give the same outputs; an old one goes, another directory stays
attnscope approx "$RUN" --method hyper:min=64,block=32,samples=16,window --dump D --layers 0,1 -q >/dev/null
[ -s D/hyper/draws.safetensors ] && [ ! -e D/window/draws.safetensors ]
grep -q '"schema": "attnscope/plan/1", "method": "hyper"' D/hyper/plan.json
attnscope approx "$RUN" --method hyper:min=64,block=32,samples=16 --dump E --layers 0,1 --seed 7 \
    --draws D/hyper/draws.safetensors -q >/dev/null
cmp D/hyper/layer-001.safetensors E/hyper/layer-001.safetensors
cmp D/hyper/draws.safetensors E/hyper/draws.safetensors
attnscope approx "$RUN" --method hyper:min=64,block=32,samples=16 --dump F --layers 0,1 --seed 7 -q >/dev/null
! cmp -s D/hyper/layer-001.safetensors F/hyper/layer-001.safetensors
# under a budget, too, and under several of them by the whole dump: what was fitted is taken
again() { # DRAWS BUDGET METHODS
    rm -rf A B
    attnscope approx "$RUN" --method "$3" --budget "$2" --layers 0,3 --dump A --format csv -q >a.csv
    attnscope approx "$RUN" --method "$3" --budget "$2" --layers 0,3 --seed 7 --draws "$1" --dump B \
        --format csv -q >b.csv
    for file in A/*/*.safetensors; do cmp "$file" "B/${file#A/}"; done
    cut -d, -f1-12 a.csv >a.short
    cut -d, -f1-12 b.csv | cmp - a.short
}
again A/reformer/draws.safetensors 30% reformer:bucket=8,n_hashes=2
# a file without it is passed over by the search, where its sizes are others, and read in the end
attnscope approx "$RUN" --method reformer:bucket=16,n_hashes=2 --layers 0,3 --dump C -q >/dev/null
attnscope approx "$RUN" --method reformer:bucket=8,n_hashes=2 --layers 0,3 --budget 30% --seed 7 \
    --draws C/reformer/draws.safetensors --dump E --force -q >/dev/null
cmp A/reformer/layer-003.safetensors E/reformer/layer-003.safetensors
again A/hyper/draws.safetensors 60% hyper:min=64,block=16,samples=4
again A 20%,k=12 routing,hyper:min=64,block=16,samples=4,moa,window
# what was fitted to another budget is not, and draws of other sizes are no part of a search
code=0
attnscope approx "$RUN" --method routing --budget k=12 --draws A/routing/draws.safetensors -q 2>err || code=$?
[ "$code" -eq 65 ] && grep -q 'shape' err
# a random object that the file lacks is named, also where it was made for other heads, and
# what is no file of draws is no matter of which method asks
draws_fail() { # CODE TEXT DRAWS METHOD [OPTION...]
    code=0 want=$1 text=$2 draws=$3 method=$4
    shift 4
    attnscope approx "$RUN" --method "$method" --draws "$draws" -q "$@" >/dev/null 2>err || code=$?
    [ "$code" -eq "$want" ] && grep -q "$text" err
}
draws_fail 65 'has no tensor "samples.layer-000' A/routing/draws.safetensors \
    hyper:min=64,block=16 --budget 60%
draws_fail 65 'has no tensor "rotations-000.layer-001' C/reformer/draws.safetensors reformer:bucket=16,n_hashes=2
draws_fail 65 'has no tensor "blocks.layer-000' A/routing/draws.safetensors bigbird:block=8
draws_fail 65 'has no tensor "projections.layer-000"' A/routing/draws.safetensors sea:estimate=performer
attnscope approx "$RUN" --method full,hyper:min=1000 --layers 0 --dump N -q >/dev/null
draws_fail 65 'N/hyper/draws.safetensors: is not there' N full,hyper:min=64,block=16 --layers 0
attnscope approx "$RUN" --method full,hyper:min=1000 --layers 0 --draws N -q >/dev/null
draws_fail 66 'absent.safetensors' absent.safetensors window
draws_fail 66 'absent.safetensors' absent.safetensors window --dry-run
draws_fail 65 'A/dump.json' A/dump.json window
draws_fail 66 'is no dump' . window
code=0
attnscope approx "$RUN" --method reformer --draws A -q 2>err || code=$?
[ "$code" -eq 66 ] && grep -q 'has no folder reformer' err


# so do those of a static pattern, at another parameter in each head
attnscope approx "$RUN" --method bigbird:block=8 --budget 60% --dump L --layers 1 -q >/dev/null
attnscope approx "$RUN" --method bigbird:block=8,random=2 --dump M --layers 1 -q >/dev/null
attnscope approx "$RUN" --method bigbird:block=8,random=2 --dump K --layers 1 --seed 7 \
    --draws M/bigbird/draws.safetensors -q >/dev/null
[ -s L/bigbird/draws.safetensors ]
cmp M/bigbird/layer-001.safetensors K/bigbird/layer-001.safetensors
cmp M/bigbird/draws.safetensors K/bigbird/draws.safetensors
code=0
attnscope approx "$RUN" --method window --dump D -q >/dev/null 2>err || code=$?
[ "$code" -eq 73 ]
[ -s D/hyper/plan.json ]
attnscope approx "$RUN" --method window,window:window=8 --layers 2 --heads 1 --dump D --force -q >/dev/null
[ ! -e D/hyper ] && [ -s D/window-2/layer-002.safetensors ]
# what fails leaves nothing behind
code=0
attnscope approx "$RUN" --method window,gna:shape=2x2 --dump G -q >/dev/null 2>err || code=$?
[ "$code" -eq 64 ] && [ ! -e G ]
[ -z "$(find . -name '*.part-*' -o -name '*.old-*')" ]

# results are kept with the capture
cp -r "$RUN" R
attnscope approx R --method window --budget 10% --keep -q >/dev/null
ls R/results | grep -q '^approx-[0-9a-f]*\.pareto\.csv$'

# two heads of rows of attention alone: what reads queries cannot run, masks can
npy() { # SHAPE
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($1), }"
}
zero='\000\000\000\000' half='\000\000\000\077' one='\000\000\200\077'
{
    npy '1, 3, 3'
    printf "$one$zero$zero$half$half$zero$zero$half$half"
} >P.npy
attnscope import --attn P.npy --causal -o P -q >/dev/null
attnscope approx P --method window:window=2,topk:k=1 --format csv -q >p.csv
grep -q '^0,0,causal_self,window,static,"window=2,two_sided=0,block=1",,,0.9999999[0-9]*,0.99999[0-9]*,0.99999[0-9]*,,,,,' p.csv
code=0
attnscope approx P --method moba 2>err || code=$?
[ "$code" -eq 65 ]
grep -q 'moba reads queries and keys' err

# a head whose logits overflow is named and left out
huge='\312\362\111\161'
{
    npy '2, 2, 2'
    printf "$huge$huge$huge$huge$one$one$one$one"
} >Q.npy
attnscope import --q Q.npy --k Q.npy --v Q.npy -o H -q >/dev/null
code=0
attnscope approx H --method full,window --format csv >h.csv 2>err || code=$?
[ "$code" -eq 3 ]
grep -q 'layer 0, head 0, row 0: a logit or weight is NaN or infinite' err
grep -q '1 of 2 heads are left out' err
[ "$(grep -c '^0,1,noncausal_self,' h.csv)" -eq 2 ]
! grep -q '^0,0,' h.csv
