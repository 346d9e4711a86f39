# tests/cli/story_signal.sh -- SIGINT and SIGTERM in the middle of a capture: the right exit
# code, no half-written file, and the same command resumes to the very same layers.
for i in 1 2 3 4 5 6 7 8 9 10; do cat "$STORY"; done >long
capture() { # exec: a signal to the background job must reach the program itself
    exec attnscope capture "$MODEL" --text long --allow-long --threads 1 -o "$1"
}
(capture whole)

stopped() { # SIGNAL WANTED-EXIT-CODE: stops as soon as the first layer is there
    rm -rf part
    capture part >log 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ ! -e part/layer-000.safetensors ]; do :; done
    kill -"$1" $pid
    code=0
    wait $pid || code=$?
    cat log
    [ "$code" -eq "$2" ] || { echo "SIG$1 gave $code, wanted $2"; exit 1; }
    [ -z "$(find part -name '*.part-*')" ] || { echo "a half-written file"; exit 1; }
    [ ! -e part/layer-003.safetensors ] || { echo "it was done already"; exit 1; }
    attnscope inspect part >said 2>&1 || true
    grep -qi 'incomplete\|complete *no' said || { cat said; exit 1; }
    before=$(stat -c %Y%i part/layer-000.safetensors)
    (capture part)
    [ "$before" = "$(stat -c %Y%i part/layer-000.safetensors)" ] ||
        { echo "layer 0 was computed again"; exit 1; }
    for layer in whole/layer-*.safetensors; do
        cmp "$layer" "part/$(basename "$layer")"
    done
}
stopped INT 130
stopped TERM 75

# another command on the incomplete capture is refused
rm -rf part
capture part >log 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -e part/layer-000.safetensors ]; do :; done
kill -INT $pid
wait $pid || true
code=0
attnscope capture "$MODEL" --text "$STORY" -o part 2>err || code=$?
cat err
[ "$code" -eq 73 ]
