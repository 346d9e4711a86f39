# tests/cli/story_batch_redo.sh -- what an earlier run left does not pass for the results of
# this one: after a capture that fails, of outputs that are folders.
ln -s "$MODEL" tales
printf '1 2 3 4 5 6\n' >ids.txt
cat >plan.json <<'END'
{"schema": "attnscope/batch/1", "models": {"m": "tales"}, "texts": {"t": {"token_ids": "ids.txt"}},
 "commands": {"stats": ["stats", "{run}"],
              "arrays": ["export", "{run}", "--to", "npy", "--layers", "0", "-o", "{out}"]}}
END
batch() { # WANTED-EXIT-CODE OPTION..: messages in err
    wanted=$1
    shift
    code=0
    attnscope batch plan.json -o out --pages 0 "$@" 2>err || code=$?
    [ $code -eq "$wanted" ] || { cat err; exit 1; }
}
ran() {
    grep -c '^attnscope: .*[0-9] of [0-9]*: ' err || true
}
batch 0
grep -q '^m,t,arrays,done,0,[^,]*,m/t/arrays/,[0-9a-f]' out/batch.csv
batch 0 --resume
[ "$(ran)" -eq 0 ]

# a folder: changed, lost
echo x >>out/m/t/arrays/q.npy
batch 0 --resume
[ "$(ran)" -eq 1 ]
rm -r out/m/t/arrays
batch 0 --resume
[ "$(ran)" -eq 1 ]
[ -s out/m/t/arrays/q.npy ]

# a capture that fails takes the old one and its results along
printf '1 2 999999\n' >ids.txt
batch 3 --resume
grep -q '^m,t,capture,failed,65,[^,]*,,,' out/batch.csv
[ ! -e out/m/t/run ] && [ ! -e out/m/t/stats.csv ] && [ ! -e out/m/t/arrays ]
printf '1 2 3 4 5\n' >ids.txt
batch 0 --resume
[ "$(ran)" -eq 3 ]

# a table of all jobs that is not made again goes, a file of somebody else stays
[ -s out/stats.csv ] && [ -s out/stats.csv.run.json ]
echo mine >out/own.csv
sed 's/"stats": \["stats", "{run}"\]/"bound": ["stats", "{run}", "--heads", "0"]/' plan.json >changed && mv changed plan.json
batch 0 --resume
[ ! -e out/stats.csv ] && [ ! -e out/stats.csv.run.json ] && [ -s out/bound.csv ] && [ -e out/own.csv ]
sed 's/"--heads", "0"/"--layers", "77"/' plan.json >changed && mv changed plan.json
batch 3 --force
[ ! -e out/bound.csv ] && [ -e out/own.csv ]
