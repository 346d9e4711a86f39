# tests/cli/story_redraw.sh -- every command that a report prints draws the report's figure again:
# the same SVG but for the numbers that Cairo gives its parts through the life of a process.
attnscope demo -o demo
unescape() {
    grep -o '<code>attnscope plot [^<]*' "$1" |
        sed "s/<code>//; s/&#39;/'/g; s/&quot;/\"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\\&/g"
}
parts() {
    sed 's/\(surface\|source\|image\|mask\|clip\|glyph\|pattern\)-\{0,1\}[0-9]*/\1/g' "$1"
}
unescape demo/index.html >commands
cat commands
sh -eu commands
[ "$(wc -l <commands)" -ge 8 ]
[ "$(wc -l <commands)" -eq "$(ls demo/figures | wc -l)" ]
for drawn in *.svg; do
    parts "$drawn" >mine
    parts "demo/figures/$drawn" >theirs
    cmp mine theirs || { echo "$drawn differs"; exit 1; }
done
# what a report selects, its commands select too
attnscope report demo/run --layers 0-1 -o some.html
unescape some.html | grep -v -e heatmap -e 'plot pattern' | grep -vc -- '--layers 0-1' | grep -qx 0
