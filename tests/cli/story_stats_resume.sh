# tests/cli/story_stats_resume.sh -- a request that is stopped goes on from its finished heads and
# ends with the same table; another request's are left alone.
attnscope stats "$RUN" --measure all --format csv >whole.csv
# no time at all: everything is left, and said so
code=0
attnscope stats "$RUN" --measure all --time-budget 0.000001 -o all.csv 2>err || code=$?
cat err
[ "$code" -eq 75 ]
grep -q '16 of 16 heads are left' err
[ ! -e all.csv ]
[ -e all.csv.part ]
# another request leaves it alone, the same one goes on
code=0
attnscope stats "$RUN" --measure entropy -o all.csv 2>err || code=$?
cat err
[ "$code" -eq 73 ]
grep -q 'all.csv.part: was left by another request' err
attnscope stats "$RUN" --measure all -o all.csv
[ ! -e all.csv.part ]
cmp all.csv whole.csv
# one finished head, with values that no run would find, and a line that was cut short
attnscope stats "$RUN" --measure entropy -o e.csv
attnscope stats "$RUN" --measure entropy --time-budget 0.000001 -o f.csv 2>err || true
{ cat f.csv.part; echo '0 0 0x1p+0 0x1p-1 0x1p+1 0x1p+2'; printf '1 0 0x1p+0 0x1'; } >g
mv g f.csv.part
attnscope stats "$RUN" --measure entropy -o f.csv 2>err
cat err
grep -q '1 of 16 heads are in f.csv.part already' err
# head 0 is what the journal says, head 1 was computed again
sed -n 2p f.csv | grep -q '^0,0,causal_self,1,0.5,2,4'
[ "$(sed -n '3,$p' e.csv)" = "$(sed -n '3,$p' f.csv)" ]
# without an output what is done is shown
code=0
attnscope stats "$RUN" --measure entropy --time-budget 0.000001 --format csv >t.csv 2>err || code=$?
[ "$code" -eq 75 ]
[ "$(wc -l <t.csv)" -eq 1 ]
# a sample of all rows is the whole; of some, has errors; too few are refused
attnscope stats "$RUN" --measure sink --rows 1m --format csv | tail -n 1 | grep -q ',0$'
attnscope stats "$RUN" --measure entropy,sink,coverage --rows 64 --format jsonl >rows.jsonl
grep -q '"sink_mass_se":[0-9.e-]*' rows.jsonl
code=0
attnscope stats "$RUN" --rows 2 2>err || code=$?
cat err
[ "$code" -eq 64 ]
