# tests/docs/columns.sh [--write] -- the table of columns in docs/guide/measures.md is that of
# `attnscope list measures`. With --write, in the source folder and with attnscope on the path, the
# table is made anew.
page=${SRC:-.}/docs/guide/measures.md

. "${SRC:-.}/tests/docs/csv_fields.sh"

table() { # of list.csv
    printf '| measure | column | unit | range | kind | asked | what it is |\n'
    printf '|---|---|---|---|---|---|---|\n'
    awk "$fields"'
    { fields($0) }
    NR == 1 { for (i in field) at[field[i]] = i; next }
    {
        text = field[at["text"]]
        gsub(/\|/, "\\&#124;", text)
        id = field[at["id"]]
        unit = field[at["unit"]]
        printf "| [%s](../cards/measure/%s.md) | `%s` | %s | %s | %s | %s | %s |\n", id, id, \
            field[at["column"]], unit == "" ? "-" : unit, field[at["range"]], \
            field[at["kind"]], field[at["asked"]], text
    }' "$1"
}

[ "${1-}" != --write ] || set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
attnscope list measures --format csv >"$place/list.csv"
table "$place/list.csv" >"$place/table"
awk -v table="$place/table" '
/^<!-- end of columns/ { inside = 0 }
!inside { print }
/^<!-- columns:/ { inside = 1; while ((getline line < table) > 0) print line }
' "$page" >"$place/page"
[ "$(grep -c '^| \[' "$place/page")" -eq "$(($(wc -l <"$place/list.csv") - 1))" ]
if [ "${1-}" = --write ]; then
    cat "$place/page" >"$page"
    exit
fi
cmp "$page" "$place/page" || {
    echo "the table of $page is old: sh tests/docs/columns.sh --write"
    exit 1
}
