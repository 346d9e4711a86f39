# tests/cli/story_graph_seed.sh -- the seed of random weights is the one in the run record.
printf "A short text." >t.txt
attnscope capture "$MODEL" --text t.txt --save h,q_pre -o R >/dev/null 2>&1
attnscope graph R --adapter random:7 --p 1.5 --iterations 1 -o a.csv
grep -q '"seed": 7' a.csv.run.json
attnscope graph R --adapter random --seed 7 --p 1.5 --iterations 1 -o b.csv
grep -q '"seed": 7' b.csv.run.json
cmp a.csv b.csv
attnscope graph R --adapter random --p 1.5 --iterations 1 -o c.csv
grep -q '"seed": 0' c.csv.run.json
! cmp -s a.csv c.csv
attnscope graph R --adapter random --p 1.5 --iterations 1 --rank 4 --format csv 2>/dev/null |
    cut -d, -f4 | grep -qx 4
