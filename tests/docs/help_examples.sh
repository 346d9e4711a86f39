# tests/docs/help_examples.sh -- every example that --help shows works as written, each in a
# folder of its own that holds the inputs, and RUN where the example does not make it.
n=0
for sub in $(attnscope list commands | cut -d' ' -f1); do
    attnscope help "$sub" | sed -n '/^Examples:/,/^$/s/^  attnscope //p' >"$sub.examples"
    [ -s "$sub.examples" ] || { echo "$sub has no example"; exit 1; }
    while read -r words; do
        n=$((n + 1))
        mkdir "$n"
        (
            cd "$n"
            . "$SRC/tests/docs/inputs.sh"
            case "$words" in *"-o RUN"*) ;; *) cp -r "$RUN" RUN ;; esac
            cp -r "$RUN" RUN2
            attnscope stats "$RUN" -q -o stats.csv
            echo "$ attnscope $words"
            eval "attnscope $words" >out 2>err </dev/null || { cat out err; exit 1; }
        )
        rm -rf "$n"
    done <"$sub.examples"
done
echo "$n examples"
