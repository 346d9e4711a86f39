# tests/docs/blocks.sh FILE.md -- runs the ```sh run blocks of a page, one after another, in
# a folder that holds MODEL, story.txt and ids.txt, and RUN where the page does not make it.
doc=$1
ln -s "$MODEL" MODEL
cp "$STORY" story.txt
printf '1 2 3 4 5 6 7 8\n' >ids.txt
sed -n '/^```sh run/,/^```$/{/^```/d;p;}' "$doc" >blocks
[ -s blocks ] || { echo "no runnable block in $doc"; exit 1; }
grep -q -- '-o RUN' blocks || cp -r "$RUN" RUN
sh -eux blocks
