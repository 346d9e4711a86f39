# tests/cli/story_batch.sh -- two models x two texts x two commands: the same with 1 and 4
# processes, after an interruption, and only what changed again.
head -c 300 "$STORY" >story.txt
printf '1 2 3 4 5 6 7 8\n' >ids.txt
printf '9 8 7 6 5\n' >ids2.txt
ln -s "$MODEL" tales
cp -r "$FIX/parity/llama_mha" small
cat >plan.json <<'END'
{"schema": "attnscope/batch/1",
 "models": {"tales": "tales", "small": "small"},
 "texts": {"eight": {"token_ids": "ids.txt"}, "five": {"token_ids": "ids2.txt"}},
 "commands": {"stats": ["stats", "{run}"],
              "near": ["approx", "{run}", "--method", "window:window=4", "-o", "{out}.csv"]}}
END
same() { # A B: tables of all jobs and of each
    (cd "$1" && find . -name '*.csv' ! -name batch.csv) >names
    [ "$(wc -l <names)" -eq "$3" ]
    while read -r name; do cmp "$1/$name" "$2/$name"; done <names
    cut -d, -f1-5 "$1/batch.csv" | cmp - names.expected
}
ran() { # how many jobs the last command ran, by its messages
    grep -c '^attnscope: .*[0-9] of 12: ' err || true
}
attnscope batch plan.json -o one --jobs 1 --pages 0
cut -d, -f1-5 one/batch.csv >names.expected
[ "$(grep -c ',done,0$' names.expected)" -eq 12 ]
attnscope batch plan.json -o four --jobs 4 --pages 1
same one four 20 # 4 x (stats + near, best, pareto) and 4 of all

# the rows of all captures are those of each, behind their names
sed 1d one/tales/five/stats.csv | sed 's/^/tales,five,/' >rows
grep '^tales,five,' one/stats.csv | cmp - rows
[ "$(wc -l <one/stats.csv)" -eq "$(cat one/*/*/stats.csv | grep -c '^[0-9]' | awk '{ print $1 + 1 }')" ]
grep -q 'small/five/near\|small,five' one/batch.csv
grep -q 'tales/eight: ' four/report.html
! grep -q '<script' four/report.html

# nothing to do
attnscope batch plan.json -o one --resume --pages 0 2>err
[ "$(ran)" -eq 0 ]

# an input: its captures and their commands; the plan: one command
printf '9 8 7 6\n' >ids2.txt
attnscope batch plan.json -o one --resume --pages 0 2>err
[ "$(ran)" -eq 6 ]
sed 's/window=4/window=3/' plan.json >changed && mv changed plan.json
attnscope batch plan.json -o one --resume --pages 0 2>err
[ "$(ran)" -eq 4 ]
grep -q 'plan.json has changed' err

# an output that was lost, one that was spoiled, a journal that was
rm one/small/five/stats.csv
echo >>one/tales/five/near.csv
attnscope batch plan.json -o one --resume --pages 0 2>err
[ "$(ran)" -eq 2 ]
sed -i '$s/done/DONE/' one/journal.jsonl
attnscope batch plan.json -o one --resume --pages 0 2>err
cat err
[ "$(ran)" -eq 1 ]
grep -q '1 line is damaged' err

# the folder may move, and comes out as when made at once
mv one moved
attnscope batch plan.json -o moved --resume --pages 0 2>err
[ "$(ran)" -eq 0 ]
attnscope batch plan.json -o fresh --jobs 2 --pages 0
same moved fresh 20

# two shares at once, and what they give together
attnscope batch plan.json -o shares --shard 0/2 2>first &
attnscope batch plan.json -o shares --shard 1/2
wait $!
[ ! -e shares/report.html ]
[ "$(cat shares/journal-*-of-2.jsonl | grep -c '"status":"done"')" -eq 12 ]
attnscope batch plan.json -o shares --resume --pages 0 2>err
[ "$(ran)" -eq 0 ]
same shares fresh 20
code=0
attnscope batch plan.json -o shares --shard 1/2 2>err || code=$?
[ $code -eq 73 ]
