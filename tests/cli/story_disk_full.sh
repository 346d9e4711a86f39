# tests/cli/story_disk_full.sh -- a file that cannot grow: exit 74, nothing half-written, and
# what was there before is still there. First by a limit of the process, then, where root may
# mount, on a full file system.
attnscope stats "$RUN" -o before.csv
cp before.csv kept.csv
code=0
(trap '' XFSZ && ulimit -f 20 && exec attnscope capture "$MODEL" --text "$STORY" -o R) \
    2>err || code=$?
cat err
[ "$code" -eq 74 ] || { echo "capture gave $code, wanted 74"; exit 1; }
[ -z "$(find R -name '*.part-*')" ] || { echo "a half-written file"; exit 1; }
code=0
(trap '' XFSZ && ulimit -f 2 && exec attnscope stats "$RUN" -o before.csv --force) \
    2>err || code=$?
cat err
[ "$code" -eq 74 ] || { echo "stats gave $code, wanted 74"; exit 1; }
cmp before.csv kept.csv
code=0
(trap '' XFSZ && ulimit -f 2 && exec attnscope report "$RUN" -o r.html) 2>err || code=$?
cat err
[ "$code" -eq 74 ] || { echo "report gave $code, wanted 74"; exit 1; }
[ ! -e r.html ]

mkdir small
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=100k none small 2>/dev/null; then
    trap 'umount small' EXIT
    code=0
    attnscope capture "$MODEL" --text "$STORY" -o small/R 2>err || code=$?
    cat err
    [ "$code" -eq 74 ] || { echo "a full disk gave $code, wanted 74"; exit 1; }
    [ -z "$(find small -name '*.part-*')" ] || { echo "a half-written file"; exit 1; }
else
    echo "no full file system tried: mounting one is not possible here"
fi
