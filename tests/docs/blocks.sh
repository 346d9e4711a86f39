# tests/docs/blocks.sh FILE.md -- runs the ```sh run blocks of a page, one after another, in
# a folder that holds the inputs of inputs.sh, and RUN where the page does not make it.
doc=$1
. "$SRC/tests/docs/inputs.sh"
sed -n '/^```sh run/,/^```$/{/^```/d;p;}' "$doc" >blocks
[ -s blocks ] || { echo "no runnable block in $doc"; exit 1; }
grep -q -- '-o RUN' blocks || cp -r "$RUN" RUN
sh -eux blocks
