# tests/cli/story_browser.sh -- the report in a real browser: it draws, asks for nothing from
# outside, logs no error, and holds no script. Skipped without Chromium.
browser=
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null 2>&1 && { browser=$name; break; }
done
[ -n "$browser" ] || { echo "SKIPPED: no Chromium here"; exit 77; }
attnscope report "$RUN" -o report.html
look() {
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$PWD/profile" --no-first-run --disable-extensions \
        --window-size=1200,1600 "$@" "file://$PWD/report.html"
}
look --dump-dom >dom.html 2>err || { cat err; exit 1; }
grep -q '</html>' dom.html
figures=$(grep -o '<figure' dom.html | wc -l)
echo "$figures figures"
[ "$figures" -ge 5 ]
! grep -Ei 'console.*(error|uncaught)' err
! grep -Eqi '(src|href)="(https?:)?//' dom.html
look --screenshot="$PWD/page.png" >/dev/null 2>&1
[ "$(wc -c <page.png)" -gt 20000 ] || { echo "page.png is nearly empty"; exit 1; }
# nothing in it is a script that runs: only data
! grep -o '<script[^>]*>' report.html | grep -v 'type="application/json"'
