# tests/cli/story_graph_options.sh -- an option that would be without effect is refused (exit 64),
# with what it belongs to.
refused() {
    want=$1
    shift
    code=0
    attnscope graph "$RUN" "$@" --format csv >out 2>err || code=$?
    echo "$* -> $code $(cat err)"
    [ "$code" -eq 64 ]
    [ ! -s out ]
    grep -q -e "$want" err
}

refused 'bipartite.*leave --form out' --adapter random --form nodes
refused 'bipartite.*leave --form out' --adapter random --form pgnn
refused 'beta code is of the forms bipartite and nodes' --p 1.5 --form pgnn --beta code
refused 'form pgnn has no eps' --p 1.5 --form pgnn --eps 1e-6
refused 'never has self edges' --p 1.5 --form pgnn --self drop
refused 'leave --skip-rows out' --p 1.5 --response --skip-rows 3
refused 'alpha is of --form pgnn' --p 1.5 --alpha code
refused 'dense is of --spectrum, --response and --form pgnn' --p 1.5 --dense 100
refused 'dense 0 leaves no tokens' --p 1.5 --response --dense 0
refused 'all eigenvalues of at most 4096' --spectrum --dense 8000
refused 'rank is of --adapter' --p 1.5 --rank 8
refused 'seed of its own' --adapter random:7 --seed 3
refused 'skip-rows is of homophily' --frequency --skip-rows 3
refused 'self is of homophily' --frequency --self drop
refused 'centred is of --homophily feature' --frequency --centred
refused 'centred is of --homophily feature' --homophily edge --labels class --centred
refused 'features is of --homophily feature' --homophily edge --labels class --features hidden
refused 'self both does not go with it' --class-matrix --labels class --self both
refused 'p = 0.5 is outside 1 .. 3 (below 1 the energy has no single minimum' --p .5
refused 'snap' --p 1.5 --snap 0.01
refused 'iterations' --p 1.5 --iterations 10001
refused 'more than 100 (capture a shorter text, or allow more with --dense N)' \
    --p 1.5 --form pgnn --dense 100
refused 'more than 100 (capture a shorter text, or allow more with --dense N)' \
    --p 1.5 --response --dense 100
