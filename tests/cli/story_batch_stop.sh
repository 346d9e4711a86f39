# tests/cli/story_batch_stop.sh -- SIGINT, SIGTERM and SIGKILL in the middle of a batch: the
# exit code, no process left, and --resume gives what an undisturbed batch gives.
for i in 1 2 3 4; do cat "$STORY"; done >long.txt
ln -s "$MODEL" tales
printf '1 2 3 4 5 6 7 8\n' >ids.txt
cat >plan.json <<'END'
{"schema": "attnscope/batch/1",
 "models": {"a": "tales", "b": {"path": "tales", "capture": ["--layers", "1-3"]}},
 "texts": {"eight": {"token_ids": "ids.txt"}, "long": {"text": "long.txt", "capture": ["--allow-long"]}},
 "commands": {"stats": ["stats", "{run}"], "first": ["stats", "{run}", "--heads", "0"]}}
END
attnscope batch plan.json -o whole --jobs 2 --pages 0
tables() {
    (cd "$1" && find . -name '*.csv' ! -name batch.csv | sort | xargs cat)
}
tables whole >wanted
[ -s wanted ]
try_stop() { # SIGNAL WANTED-EXIT-CODE
    rm -rf part
    attnscope batch plan.json -o part --jobs 2 --pages 0 >log 2>&1 &
    pid=$!
    # a job is done, and a capture is under way
    while kill -0 $pid 2>/dev/null && ! { [ -e part/a/long/run/layer-000.safetensors ] &&
        grep -q '"status":"done"' part/journal.jsonl; }; do :; done
    kill -"$1" $pid
    code=0
    wait $pid || code=$?
    cat log
    [ "$code" -eq "$2" ] || { echo "SIG$1 gave $code, wanted $2"; exit 1; }
    [ ! -e part/report.html ] || { echo "it was done already"; exit 1; }
}
stop() { # the same, until a process was stopped in its work
    for try in 1 2 3 4 5; do
        try_stop "$@"
        ! grep -q '"status":"stopped"' part/journal.jsonl || return 0
    done
    echo "no process was stopped by SIG$1"
    exit 1
}
finish() {
    attnscope batch plan.json -o part --jobs 2 --pages 0 --resume 2>err || { cat err; exit 1; }
    cat err
    [ "$(grep -c ' of 12: ' err)" -lt 12 ] || { echo "nothing was kept"; exit 1; }
    tables part | cmp - wanted
    [ "$(grep -c ',done,0,' part/batch.csv)" -eq 12 ]
}
stop INT 130
finish
stop TERM 75
finish

# killed outright: children that are left hold the folder until they end
try_stop KILL 137
tries=0
while :; do
    code=0
    attnscope batch plan.json -o part --resume --pages 0 2>err || code=$?
    [ $code -eq 73 ] || break
    grep -q 'is at work here' err
    tries=$((tries + 1))
    [ $tries -lt 600 ]
    sleep 0.1
done
finish
