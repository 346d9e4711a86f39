# tests/cli/story_install.sh -- an installed program finds its data: run from another folder,
# with only the installed files; man page and completions are in place, links in the documents
# hold, and messages do not name the folder of the build.
build=$(dirname -- "$(command -v attnscope)")
cmake --install "$build" --prefix "$PWD/usr" >log || { cat log; exit 1; }
find usr -type f | sort
[ -s usr/share/man/man1/attnscope.1 ]
[ -s usr/share/bash-completion/completions/attnscope ]
[ -s usr/share/zsh/site-functions/_attnscope ]
[ -s usr/share/fish/vendor_completions.d/attnscope.fish ]
[ -s usr/share/doc/attnscope/README.md ]
[ -s usr/share/doc/attnscope/LICENSE ]
. "$SRC/tests/docs/dead_links.sh"
(cd usr/share/doc/attnscope && dead_links)
mv usr moved
mkdir empty
cd empty
# (ASan keeps the names that the compiler was given)
if ! grep -q '^ATN_SANITIZE:BOOL=ON' "$build/CMakeCache.txt" &&
    grep -a -q -F "$SRC/core/ctx.c" ../moved/bin/attnscope; then
    echo "the program names the folder of its build"
    exit 1
fi
../moved/bin/attnscope demo -o demo
grep -q '"dir": ".*moved/.*share/attnscope/datasets/tinytales/model"' demo/run/capture.json
# the completion rules of bash load and complete
if command -v bash >/dev/null; then
    bash -c '. ../moved/share/bash-completion/completions/attnscope
        COMP_WORDS=(attnscope stats --mea) COMP_CWORD=2; _attnscope
        [ "${COMPREPLY[*]}" = "--measure" ]
        COMP_WORDS=(attnscope stats RUN --format c) COMP_CWORD=4; _attnscope
        [ "${COMPREPLY[*]}" = "csv" ]
        COMP_WORDS=(attnscope stats RUN --measure e) COMP_CWORD=4; _attnscope
        [ "${COMPREPLY[*]}" = "entropy" ]
        COMP_WORDS=(attnscope plot he) COMP_CWORD=2; _attnscope
        [ "${COMPREPLY[*]}" = "heads heatmap" ]
        COMP_WORDS=(attnscope list m) COMP_CWORD=2; _attnscope
        [ "${COMPREPLY[*]}" = "measures models" ]
        COMP_WORDS=(attnscope help st) COMP_CWORD=2; _attnscope
        [ "${COMPREPLY[*]}" = "stats" ]'
fi
