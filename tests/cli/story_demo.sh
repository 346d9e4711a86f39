# tests/cli/story_demo.sh -- the demo writes what it says, twice the same, in time, and never
# over somebody else's folder.
start=$(date +%s)
attnscope demo -o demo
end=$(date +%s)
echo "demo took $((end - start)) s"
[ -s demo/index.html ] && [ -s demo/run/capture.json ]
[ "$(find demo/figures -name '*.svg' | wc -l)" -ge 5 ]
code=0
attnscope demo -o demo 2>err || code=$?
cat err
[ "$code" -eq 73 ]
attnscope demo -o demo --force
mkdir mine
echo precious >mine/file
code=0
attnscope demo -o mine --force 2>err || code=$?
cat err
[ "$code" -eq 73 ] && grep -q precious mine/file && [ "$(ls mine)" = file ]
