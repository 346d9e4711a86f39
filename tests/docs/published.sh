# tests/docs/published.sh [--write] -- the tables of docs/published.md are those of
# `attnscope simulate --published`, and every miss has its reason. With --write, in the source folder
# and with attnscope on the path, the tables are made anew.
page=${SRC:-.}/docs/published.md
. "${SRC:-.}/tests/docs/csv_fields.sh"

parts='
function number(x, digits,   d) { # without an exponent
    if (x == "") return ""
    x += 0
    d = 1
    while (x / d >= 10 ^ digits) d *= 10
    if (d == 1) return sprintf("%." digits "g", x)
    return sprintf("%.0f", sprintf("%.0f", x / d) * d)
}
function cell(name) { return field[at[name]] }
function what(   text) {
    text = cell("method")
    gsub(/\|/, "\\&#124;", text)
    return text
}
function why(word,   text) {
    text = cell("reason")
    if (cell("assumed") != "") text = text (text == "" ? "" : " ") word ": " cell("assumed") "."
    return text
}
{ fields($0) }
NR == 1 { for (i in field) at[field[i]] = i; next }'

predicted() { # of published.csv
    printf '| what | GPU | tokens | quantity | published | predicted | interval | error | remarks |\n'
    printf '|---|---|---|---|---|---|---|---|---|\n'
    awk "$fields$parts"'
    cell("error") != "" {
        sign = sprintf("%+.0f %%", 100 * cell("error"))
        if (cell("in_sample") == "true") sign = "(" sign ")"
        printf "| %s | %s | %s | `%s` | %s | %s | %s to %s | %s | %s |\n", what(), cell("gpu"), \
            cell("tokens"), cell("quantity"), number(cell("published"), 4), number(cell("predicted"), 3), \
            number(cell("predicted_low"), 3), number(cell("predicted_high"), 3), sign, why("Assumed")
    }' "$1"
}

unpredicted() {
    printf '| what | source | GPU | tokens | quantity | published | why not |\n'
    printf '|---|---|---|---|---|---|---|\n'
    awk "$fields$parts"'
    cell("error") == "" {
        printf "| %s | %s | %s | %s | `%s` | %s | %s |\n", what(), cell("source"), cell("gpu"), \
            cell("tokens"), cell("quantity"), number(cell("published"), 4), why("Not verified")
    }' "$1"
}

summary() {
    awk "$fields$parts"'
    function size(x) { return x < 0 ? -x : x }
    { all++ }
    cell("error") == "" { none++; next }
    cell("in_sample") == "true" { fitted++; next }
    {
        kind = cell("quantity") ~ /^bound/ ? 3 : cell("assumed") == "" ? 1 : 2
        e = size(cell("error") + 0)
        for (i = ++n[kind]; i > 1 && error[kind, i - 1] > e; i--) error[kind, i] = error[kind, i - 1]
        error[kind, i] = e
        near[kind] += e <= .15
    }
    function median(kind,   m) {
        m = n[kind]
        return 50 * (error[kind, int((m + 1) / 2)] + error[kind, int(m / 2) + 1])
    }
    END {
        printf "%d published numbers. %d are not predicted: the mask, or the model around it, is not known. %d\n", all, none, fitted
        printf "had a part in the coefficients that predict them. Of the other %d:\n\n", n[1] + n[2] + n[3]
        printf "| case | numbers | median error | within 15 %% |\n|---|---|---|---|\n"
        printf "| bounds, which are counts | %d | %.1f %% | %d |\n", n[3], median(3), near[3]
        printf "| known in all that matters | %d | %.1f %% | %d |\n", n[1], median(1), near[1]
        printf "| something of it assumed | %d | %.1f %% | %d |\n", n[2], median(2), near[2]
    }' "$1"
}

[ "${1-}" != --write ] || set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
attnscope simulate --published --format csv -q >"$place/published.csv"
for part in predicted unpredicted summary; do "$part" "$place/published.csv" >"$place/$part"; done
awk -v place="$place" '
/^<!-- end of / { inside = 0 }
!inside { print }
/^<!-- (predicted|unpredicted|summary):/ {
    inside = 1
    name = substr($2, 1, length($2) - 1)
    while ((getline line < (place "/" name)) > 0) print line
}
' "$page" >"$place/page"
# more than 15 % off, and nothing said of it
silent=$(awk "$fields$parts"'
cell("reason") == "" && (cell("error") == "" || cell("error") + 0 > .15 || cell("error") + 0 < -.15) {
    print what() ", " cell("gpu") ", " cell("tokens") ", " cell("quantity") ": " cell("error")
}' "$place/published.csv")
[ -z "$silent" ] || {
    echo "without a reason in simulators/published/: $silent"
    exit 1
}
if [ "${1-}" = --write ]; then
    cat "$place/page" >"$page"
    exit
fi
[ "$(grep -c '^| ' "$place/page")" -gt 100 ]
cmp "$page" "$place/page" || {
    diff "$page" "$place/page" | head -20
    echo "the tables of $page are old: sh tests/docs/published.sh --write"
    exit 1
}
