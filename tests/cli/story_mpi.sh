# mpirun: the same bytes as one process, from any number of ranks; one message where it fails.
command -v mpirun >/dev/null 2>&1 || {
    echo 'skipped: there is no mpirun (mpi-default-dev)'
    exit 77
}
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
ASAN_OPTIONS=detect_leaks=0 # what MPI itself keeps is not ours to free
export ASAN_OPTIONS OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe
mpirun -n 1 true >/dev/null 2>&1 || {
    echo 'skipped: mpirun starts nothing here'
    exit 77
}
got=0
mpirun -n 2 attnscope --version >out 2>err || got=$?
if [ $got = 69 ]; then
    grep -q 'built without MPI' err
    [ ! -s out ]
    echo 'skipped: the program is built without MPI'
    exit 77
fi
[ $got = 0 ] && [ "$(grep -c '^attnscope' out)" = 1 ] # one rank prints

attnscope stats "$RUN" --format csv >one.csv
for n in 1 2 4; do
    mpirun -n $n attnscope stats "$RUN" --format csv >ranks.csv 2>/dev/null
    cmp one.csv ranks.csv
done
attnscope approx "$RUN" --method topk,window --budget 10% --layers 1,2 -q -o one.approx.csv
mpirun -n 3 attnscope approx "$RUN" --method topk,window --budget 10% --layers 1,2 -q -o a.csv
cmp one.approx.csv a.csv
cmp one.approx.csv.best.csv a.csv.best.csv
attnscope bounds "$RUN" --bound V1 --tokens 32 --layers 0 --format csv >one.csv 2>/dev/null
mpirun -n 2 attnscope bounds "$RUN" --bound V1 --tokens 32 --layers 0 --format csv >ranks.csv 2>/dev/null
cmp one.csv ranks.csv

# rows of JSON lines hold the fingerprint of what was typed
attnscope stats "$RUN" --format jsonl | sed '$d' >one.jsonl
mpirun -n 2 attnscope stats "$RUN" --format jsonl 2>/dev/null | sed '$d' >ranks.jsonl
cmp one.jsonl ranks.jsonl

# warnings once, not once a rank
attnscope approx "$RUN" --method all --budget 10% --layers 1,2 -o w.csv 2>one
mpirun -n 3 attnscope approx "$RUN" --method all --budget 10% --layers 1,2 -o w2.csv 2>ranks
grep -q 'warning: .* is left out' one
[ "$(grep -c 'is left out' one)" = "$(grep -c 'is left out' ranks)" ]

# the record is of all ranks, from the beginning on
mpirun -n 3 attnscope stats "$RUN" --measure rank --threads 1 -q -o r.csv
grep -q '"ranks": 3' r.csv.run.json
sed -n 's/.*"elapsed_s": \([0-9.e-]*\).*/\1/p' r.csv.run.json | awk '{ exit !($1 > 0.01) }'

# a launcher whose MPI is another one than this
got=0
SLURM_STEP_NUM_TASKS=4 PMIX_RANK=0 attnscope --version >out 2>err || got=$?
[ $got != 0 ] && [ ! -s out ]

# of one piece: rank 0 alone
[ "$(mpirun -n 2 attnscope list models 2>/dev/null | md5sum)" = "$(attnscope list models | md5sum)" ]
mpirun -n 2 attnscope similarity "$RUN" -v 2>&1 >/dev/null | grep -q 'runs on rank 0 alone: it compares'

# fails EXIT TEXT OPTION...
fails() {
    code=$1 text=$2 got=0
    shift 2
    mpirun -n 3 attnscope "$@" >out 2>err || got=$?
    [ $got = "$code" ] && [ "$(grep -c 'attnscope: error' err)" = 1 ] && grep -q -- "$text" err &&
        [ ! -s out ] || {
        printf 'attnscope %s: exit %s\n' "$*" $got
        cat out err
        exit 1
    }
}
fails 64 'unknown option --bogus' stats "$RUN" --bogus
fails 66 'no such directory' stats NONE
fails 64 'mpirun shares the work out itself' stats "$RUN" --shard 0/3 -o x
fails 64 'ranks keep no finished heads' stats "$RUN" --time-budget 1h
touch there.csv
fails 73 'exists already' stats "$RUN" -o there.csv

# one bad layer ends all, with the message of the rank that met it
cp -r "$RUN" bad
printf 'X' | dd of=bad/layer-003.safetensors bs=1 seek=4000 conv=notrunc 2>/dev/null
got=0
attnscope stats bad >out 2>err || got=$?
fails $got 'layer-003.*rank 2 on' stats bad
