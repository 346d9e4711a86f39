# tests/cli/story_import.sh -- a .npy of attention rows goes through every later command.
# P [2 heads, 2, 2]: head 0 is the identity below the diagonal {1 0; .5 .5}, head 1 {1 0; 0 1}.
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2), }"
    printf '\000\000\200\077\000\000\000\000\000\000\000\077\000\000\000\077'
    printf '\000\000\200\077\000\000\000\000\000\000\000\000\000\000\200\077'
} >P.npy
[ "$(wc -c <P.npy)" -eq 160 ]
attnscope import --attn P.npy -o R
attnscope inspect R
# head 0: row 1 has entropy ln 2, row 0 none, so the mean is ln(2) / 2 = 0.346573590
attnscope stats R --measure entropy --format csv | tee s.csv
grep -q '^0,0,causal_self,0\.34657359' s.csv
grep -q '^0,1,causal_self,0,' s.csv
# <P_0, P_1> / (|P_0| |P_1|) = 1.5 / (sqrt(1.5) sqrt(2)) = 0.866025404
attnscope similarity R --between heads --format csv | tee h.csv
grep -q '^0,0,0,1,0\.86602540' h.csv
attnscope plot heatmap R --layers 0 --heads 0 -o p.svg
# rows that do not sum to 1, NaN, a wrong shape
sed 's/(2, 2, 2)/(2, 2, 3)/' P.npy >bad.npy
code=0
attnscope import --attn bad.npy -o S 2>err || code=$?
cat err
[ "$code" -eq 65 ]
grep -q 'bad.npy' err
[ ! -e S/capture.json ]
