# tests/cli/story_stats_resume.sh -- a request that is stopped goes on from its finished heads and
# ends with the same table; another request's are left alone.
attnscope stats "$RUN" --measure all --format csv >whole.csv
# no time at all: everything is left, and said so
code=0
attnscope stats "$RUN" --measure all --time-budget 0.000001 -o all.csv 2>err || code=$?
cat err
[ "$code" -eq 75 ]
grep -q 'no head was finished in it and 16 of 16 heads are left: one needs more' err
[ ! -e all.csv ]
[ ! -e all.csv.part ] # it held no head
# a crash, of a journal that may not grow beyond some blocks: its last line is cut short
crash() { # BLOCKS MEASURES FILE
    code=0
    (ulimit -c 0 && ulimit -f "$1" && exec attnscope stats "$RUN" --measure "$2" -o "$3") 2>err ||
        code=$?
    [ "$code" -ne 0 ]
    [ "$(wc -l <"$3.part")" -gt 1 ]
}
crash 8 all all.csv
# another request leaves it alone, the same one goes on
code=0
attnscope stats "$RUN" --measure entropy -o all.csv 2>err || code=$?
cat err
[ "$code" -eq 73 ]
grep -q 'all.csv.part: was left by another request' err
attnscope merge all.csv.part 2>err || code=$?
grep -q 'all.csv.part: an unfinished part: run its shard again, or remove it' err
[ "$code" -eq 65 ]
attnscope stats "$RUN" --measure all -o all.csv 2>err
grep -q '[1-9] of 16 heads are in all.csv.part already' err
[ ! -e all.csv.part ]
cmp all.csv whole.csv
# one finished head, with values that no run would find, and a line that was cut short
attnscope stats "$RUN" --measure entropy -o e.csv
crash 1 entropy f.csv
{ head -n 1 f.csv.part; echo '0 0 0x1p+0 0x1p-1 0x1p+1 0x1p+2'; printf '1 0 0x1p+0 0x1'; } >g
mv g f.csv.part
attnscope stats "$RUN" --measure entropy -o f.csv 2>err
cat err
grep -q '1 of 16 heads are in f.csv.part already' err
# head 0 is what the journal says, head 1 was computed again
sed -n 2p f.csv | grep -q '^0,0,causal_self,1,0.5,2,4'
[ "$(sed -n '3,$p' e.csv)" = "$(sed -n '3,$p' f.csv)" ]
# a measure of a long layer is kept head by head: what it found of heads that are not through
attnscope stats "$RUN" --measure convolution,entropy -o c.csv
crash 1 convolution,entropy d.csv
{ head -n 1 d.csv.part; echo '+1 0 3 0x1p-1 0x1p-2 0x1p-3'; echo '+2 0 9 0x1p-1'; } >g
mv g d.csv.part
attnscope stats "$RUN" --measure convolution,entropy -o d.csv
sed -n 3p d.csv | grep -q '^0,1,causal_self,0.5,0.25,0.125,'
[ "$(sed -n 3p c.csv | cut -d, -f7-)" = "$(sed -n 3p d.csv | cut -d, -f7-)" ]
[ "$(sed '3d' c.csv)" = "$(sed '3d' d.csv)" ]
# any time at all, again and again, comes to the same end; nothing is said to wait that does not
budget=0.002 runs=0
while [ ! -e s.csv ]; do
    runs=$((runs + 1))
    [ $runs -lt 200 ]
    before=$(cat s.csv.part 2>/dev/null | wc -l)
    code=0
    attnscope stats "$RUN" --measure convolution,entropy --time-budget $budget --threads 1 \
        -o s.csv 2>err || code=$?
    [ "$code" -ne 0 ] || break
    [ "$code" -eq 75 ]
    if grep -q 'waits in s.csv.part' err; then
        [ "$(wc -l <s.csv.part)" -gt "$before" ]
    else
        grep -q 'give a larger' err
        budget=$(awk "BEGIN { print 1.5 * $budget }")
    fi
done
cmp s.csv c.csv
# a request that fails before its first head leaves nothing
attnscope stats "$RUN" --measure grid_distance --shard 0/3 -o p 2>err && exit 1
cat err
[ ! -e p.part ]
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
