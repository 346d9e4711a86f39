# tests/docs/links.sh -- every relative link of the documentation leads to a file.
cd "$SRC"
bad=0
. tests/docs/dead_links.sh
dead_links || bad=1
# the table of cards names every card, and every registered member has one
for card in docs/cards/*/*.md; do
    grep -q "(${card#docs/cards/})" docs/cards/README.md || { echo "$card is not listed"; bad=1; }
done
for kind in models:family figures:figure measures:measure datasets:dataset \
    patterns:pattern; do
    for id in $(attnscope list "${kind%:*}" | grep -v '^ ' | cut -d' ' -f1); do
        card=docs/cards/${kind#*:}/$id.md
        [ -e "$card" ] || { echo "$id of 'attnscope list ${kind%:*}' has no $card"; bad=1; }
    done
done
exit $bad
