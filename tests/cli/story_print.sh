# tests/cli/story_print.sh -- on paper the report shows everything: nothing is folded away, and
# no table is wider than the sheet. Skipped without Chromium.
browser=
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null 2>&1 && { browser=$name; break; }
done
[ -n "$browser" ] || { echo "SKIPPED: no Chromium here"; exit 77; }
attnscope report "$RUN" -o report.html
# the print style on a screen as wide as A4 without its margins (182 mm), and a script that
# counts what the paper would cut and what it would not show
{
    sed 's/@media print/@media all/; s/@media screen{/@media print{/' report.html
    cat <<'END'
<style>body{width:182mm;margin:0}</style>
<script>
const all = q => [...document.querySelectorAll(q)];
const paper = document.body.getBoundingClientRect().right + 1;
const cut = all('table,img,pre').filter(e => e.getBoundingClientRect().right > paper);
const gone = all('tr,figure,pre,p').filter(e => !e.checkVisibility());
document.title = `cut ${cut.length} gone ${gone.length} tables ${all('table').length}`;
</script>
END
} >paper.html
timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$PWD/profile" --no-first-run --disable-extensions \
    --window-size=1200,1600 --dump-dom "file://$PWD/paper.html" >dom.html 2>err || { cat err; exit 1; }
grep -o '<title>[^<]*' dom.html
grep -q '<title>cut 0 gone 0 tables [1-9]' dom.html
