# tests/docs/links.sh -- every relative link of the documentation leads to a file.
cd "$SRC"
bad=0
. tests/docs/dead_links.sh
dead_links || bad=1
# the table of cards names every card, and every registered member has one
for card in docs/cards/*/*.md; do
    grep -q "(${card#docs/cards/})" docs/cards/README.md || { echo "$card is not listed"; bad=1; }
done
# one bullet a card, the bullets of a section in the order of the ids
LC_ALL=C awk '
    /^## / { last = "" }
    /^- \[/ {
        id = substr($0, 4, index($0, "]") - 4)
        if (id <= last) { print "docs/cards/README.md: " id " after " last; bad = 1 }
        last = id
    }
    END { exit bad }' docs/cards/README.md || bad=1
for kind in models:family figures:figure measures:measure datasets:dataset \
    patterns:pattern devices:device kernels:kernel; do
    for id in $(attnscope list "${kind%:*}" | grep -v '^ ' | cut -d' ' -f1); do
        card=docs/cards/${kind#*:}/$id.md
        [ -e "$card" ] || { echo "$id of 'attnscope list ${kind%:*}' has no $card"; bad=1; }
    done
done
exit $bad
