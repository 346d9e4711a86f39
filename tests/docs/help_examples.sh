# tests/docs/help_examples.sh -- every example that --help shows works as written.
ln -s "$MODEL" MODEL
cp "$STORY" story.txt
printf '1 2 3 4 5 6 7 8\n' >ids.txt
for sub in $(attnscope list commands | cut -d' ' -f1); do
    attnscope help "$sub" | sed -n '/^Examples:/,/^$/s/^  attnscope //p' >"$sub.examples"
    [ -s "$sub.examples" ] || { echo "$sub has no example"; exit 1; }
    while read -r words; do
        rm -rf RUN
        case "$words" in *"-o RUN"*) ;; *) cp -r "$RUN" RUN ;; esac
        echo "$ attnscope $words"
        eval "attnscope $words" >out 2>err || { cat out err; exit 1; }
    done <"$sub.examples"
done
