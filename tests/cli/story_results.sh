# tests/cli/story_results.sh -- a report shows what --keep stored about this very capture, by its
# command, and says which stored results are another's.
cp -r "$RUN" R
attnscope stats R --measure sink --keep -q >/dev/null
attnscope report R -o mine.html
grep -q '<caption>stats: attnscope stats R --measure sink --keep -q</caption>' mine.html
! grep -q 'Left out' mine.html
# another capture's results under this one's roof, and one that says nothing of itself
printf '1 2 3 4 5\n' >ids
attnscope capture "$MODEL" --token-ids ids -o S -q >/dev/null
cp -r R/results S/results
printf 'layer,head,x\n0,0,1\n' >S/results/bare-0.csv
attnscope report S -o theirs.html
! grep -q '<caption>stats: attnscope stats' theirs.html
[ "$(grep -c 'Left out: S/results' theirs.html)" -eq 2 ]
grep -q 'bare-0.csv: its run record names no capture' theirs.html
# a stored result that is broken spoils no report
printf '"' >R/results/$(ls R/results | grep 'csv$')
attnscope report R -o broken.html
grep -q '<p>R/results/stats' broken.html
