# tests/cli/story_approx_tables.sh -- the summaries of approx: as text they fit a screen, as CSV they
# are whole; what is asked for twice, beyond the text or of the wrong table is refused.
fails() { # CODE TEXT COMMAND...
    code=0 want=$1 text=$2
    shift 2
    "$@" >/dev/null 2>err || code=$?
    [ "$code" -eq "$want" ] && grep -qe "$text" err
}
# the usual call in 140 columns; what all rows say is said once, and the fitted value always
attnscope approx "$RUN" --method all --budget 10% -q >all.txt 2>/dev/null
awk 'length($0) > 140 { exit 1 }' all.txt
grep -q '^in all rows: budget 10%, heads 16$' all.txt
grep -q '^threshold .* t=[0-9.e-]*\.\.[0-9.e-]* ' all.txt
# 22 keys a row of 439 are 9.76 %: the default fits, and is shown all the same
attnscope approx "$RUN" --method window:window=22,topk --budget 10%,k=32 -q >fitted.txt
grep -q '^window .*window=22' fitted.txt
grep -q '^topk .* k=32 ' fitted.txt
# as CSV all columns and digits
attnscope approx "$RUN" --method topk,window,threshold,full --budget 10% --format csv -o a.csv -q
head -1 a.csv.pareto.csv | grep -q '^method,family,parameters,budget,budget_fit,heads,executed_share,output_error_relative,'
grep -q '^threshold,.*t=[0-9.]*[0-9]\{9\}' a.csv.pareto.csv
# gains are not negative: of two that are dense both errors are rounding
attnscope approx "$RUN" --method full,causal --format jsonl -q | grep '"second"' >best.jsonl
[ -s best.jsonl ]
! grep -v '"gain":0.0[,}]' best.jsonl

fails 64 'topk is there twice' attnscope approx "$RUN" --method topk,topk
fails 64 'topk is there twice' attnscope approx "$RUN" --method oracle,topk
fails 64 'block_topk is there twice\|topk is there twice' attnscope approx "$RUN" --method topk:k=9,topk:k=9
fails 64 '10.0% is there twice' attnscope approx "$RUN" --method topk --budget 10%,k=3,10.0%
fails 64 'k=3 is there twice' attnscope approx "$RUN" --method topk --budget k=3,10%,k=3
fails 64 'prompt 440 is beyond the 439 keys' attnscope approx "$RUN" --method h2o --prompt 440
attnscope approx "$RUN" --method h2o --prompt 439 --layers 0 --heads 0 -q >/dev/null

attnscope plot pareto a.csv.pareto.csv -o p.svg -q
fails 64 'FILE.pareto.csv' attnscope plot pareto a.csv -o q.svg
fails 64 'FILE.pareto.csv' attnscope plot pareto a.csv.best.csv -o q.svg
[ ! -e q.svg ]
attnscope help approx >help.txt
tr '\n' ' ' <help.txt | tr -s ' ' | grep -q 'FILE.pareto.csv and FILE.best.csv beside FILE'
