# tests/cli/story_long.sh -- the report of a long text has block maps, and their commands draw
# them; a short one has none.
for i in 1 2 3 4 5; do cat "$STORY"; done >long.txt
attnscope capture "$MODEL" --text long.txt --allow-long -o long
attnscope report long --layers 1-2 -o long.html
grep -o '<code>attnscope plot [^<]*--pool sum[^<]*' long.html | sed "s/<code>//; s/&#39;/'/g" >commands
cat commands
[ "$(wc -l <commands)" -ge 1 ] && [ "$(wc -l <commands)" -le 3 ]
grep -q 'Block maps' long.html
sh -eu commands
[ "$(ls blocks-*.svg | wc -l)" -eq "$(wc -l <commands)" ]
attnscope report "$RUN" -o short.html
! grep -q 'Block maps' short.html
