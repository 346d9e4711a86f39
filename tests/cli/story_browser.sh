# tests/cli/story_browser.sh -- the report in a real browser: it draws, with and without
# JavaScript, asks for nothing from outside, and logs no error. Skipped without Chromium.
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
look --blink-settings=scriptEnabled=false --screenshot="$PWD/plain.png" >/dev/null 2>&1
for picture in page.png plain.png; do
    [ "$(wc -c <$picture)" -gt 20000 ] || { echo "$picture is nearly empty"; exit 1; }
done
