# tests/docs/approx_columns.sh -- docs/guide/approx-columns.md has a row for every column of the
# tables of `attnscope approx`, and for no other.
page=$SRC/docs/guide/approx-columns.md

make_dump D steps=2 layers=1 n=40
attnscope import --q D/q.npy --k D/k.npy --v D/v.npy --steps -o R >/dev/null
attnscope approx R --method window:window=8 --budget 40% --timings -q -o t.csv
attnscope approx "$RUN" --method window --layers 0 --heads 0 -q -o u.csv
attnscope approx "$RUN" --method window --layers 0 --heads 0 --sweep temperature=1,2 -q -o v.csv
head -qn 1 v.csv v.csv.pareto.csv v.csv.best.csv t.csv t.csv.pareto.csv t.csv.best.csv u.csv | tr ',' '\n' | sort -u >columns
grep -qx step columns && grep -qx temperature columns && grep -qx on_front columns && grep -qx gain columns && grep -qx plan_seconds columns
# names of the first cells
grep '^| `' "$page" | sed 's/^| \([^|]*\)|.*/\1/' | grep -o '`[^`]*`' | tr -d '`' | sort >described
[ -z "$(uniq -d described)" ]
bad=0
for name in $(cat columns); do
    grep -qx -- "$name" described || { echo "$page has no row for $name"; bad=1; }
done
for name in $(cat described); do
    [ "$name" = stack ] || grep -qx -- "$name" columns || { echo "$page: $name is no column"; bad=1; }
done
exit "$bad"
