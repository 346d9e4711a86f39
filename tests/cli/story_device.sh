# tests/cli/story_device.sh -- the GPU's way through the program, on the host shim: the same capture
# and measures as on the CPU, and clear errors of a card that is missing, full, old or lost.
[ -n "${ATN_SHIM_DIR:-}" ] && [ -e "$ATN_SHIM_DIR/libcuda.so.1" ] ||
    { echo "skipped: the shim is not built (no C++ compiler)"; exit 77; }
shim() { LD_LIBRARY_PATH=$ATN_SHIM_DIR attnscope "$@"; }
fails() { # WANTED-EXIT-CODE PATTERN COMMAND...
    wanted=$1 pattern=$2
    shift 2
    code=0
    "$@" >said 2>&1 || code=$?
    [ "$code" -eq "$wanted" ] && grep -q "$pattern" said ||
        { echo "exit $code, wanted $wanted and '$pattern':"; cat said; exit 1; }
}
printf '%s\n' 7 40 8 200 9 7 40 8 201 500 7 40 8 200 9 >ids

shim inspect --devices >said
grep -q 'cuda:0 .*host shim' said
shim inspect --devices --format csv | grep -q '^cuda:0,'

# the same numbers
attnscope capture "$MODEL" --token-ids ids -o cpu
shim capture "$MODEL" --token-ids ids --device cuda -o gpu
grep -q '"device": *"host shim"' gpu/capture.json
attnscope stats cpu --format csv >cpu.csv
shim stats gpu --device cuda:0 --format csv >gpu.csv
shim stats cpu --device auto --dtype bf16 --format csv >bf16.csv
close() { # FILE FILE TOLERANCE: no cell differs by more than TOLERANCE max(1, |cell|)
    paste -d , "$1" "$2" | awk -F , -v most="$3" 'NR > 1 { for (i = 1; i <= NF / 2; i++) {
        d = $i - $(i + NF / 2); if (d < 0) d = -d; s = $i > 1 ? $i : $i < -1 ? -$i : 1
        if (d > most * s) { print "row " NR ", column " i ": " $0; bad = 1 } } }
        END { exit bad || NR < 2 }'
}
close cpu.csv gpu.csv 1e-4
close cpu.csv bf16.csv 0.05
cmp -s cpu.csv bf16.csv && { echo "bf16 changed nothing"; exit 1; }

# every arithmetic and every kept tensor
for dtype in tf32 bf16; do
    shim capture "$MODEL" --token-ids ids --device cuda --dtype $dtype -o $dtype \
        --save p,h,q_pre,k_pre
done
grep -q '"arithmetic": *"bf16"' bf16/capture.json

# what cannot be had
fails 69 'no GPU 3' shim stats cpu --device cuda:3
fails 69 'sees no GPU' env ATN_SHIM_FAIL=cuInit:1:100 LD_LIBRARY_PATH="$ATN_SHIM_DIR" \
    attnscope stats cpu --device cuda
fails 69 'compute capability 7.5' env ATN_SHIM_CAPABILITY=75 \
    LD_LIBRARY_PATH="$ATN_SHIM_DIR" attnscope stats cpu --device cuda
fails 69 'no kernels for this GPU' env ATN_SHIM_FAIL=cuModuleLoadData:1:209 \
    LD_LIBRARY_PATH="$ATN_SHIM_DIR" attnscope stats cpu --device cuda
fails 64 'auto, cpu, cuda or cuda:N' attnscope stats cpu --device gpu
fails 64 'for GPUs' attnscope stats cpu --dtype bf16
fails 0 'auto takes the CPU' env ATN_SHIM_DEVICES=0 LD_LIBRARY_PATH="$ATN_SHIM_DIR" \
    attnscope stats cpu --device auto

# a full card is seen before the work starts, or when it fills
fails 71 'MiB are free' env ATN_SHIM_MEMORY_MIB=100 LD_LIBRARY_PATH="$ATN_SHIM_DIR" \
    attnscope capture "$MODEL" --token-ids ids --device cuda -o full
# between a card that is too small and one that is not there is nothing: no run ends half-way
for mib in 170 200 230 260 290; do
    rm -rf sized
    code=0
    env ATN_SHIM_MEMORY_MIB=$mib LD_LIBRARY_PATH="$ATN_SHIM_DIR" attnscope capture \
        "$MODEL" --token-ids ids --device cuda --dtype bf16 -o sized >said 2>&1 || code=$?
    [ $code -eq 0 ] || { [ $code -eq 71 ] && grep -q 'MiB are free' said; } ||
        { echo "with $mib MiB: exit $code"; cat said; exit 1; }
done
[ $code -eq 0 ] || { echo "290 MiB are not enough"; exit 1; }
[ ! -e full ] || [ -z "$(ls full/layer-* 2>/dev/null)" ]
fails 71 'memory is full' env ATN_SHIM_FAIL=cuMemAlloc_v2:9:2 \
    LD_LIBRARY_PATH="$ATN_SHIM_DIR" attnscope capture "$MODEL" --token-ids ids \
    --device cuda -o full

# a card lost in the middle: what was written stays, and the same command goes on
fails 69 'GPU failed' env ATN_SHIM_FAIL=cuLaunchKernel:60:719 \
    LD_LIBRARY_PATH="$ATN_SHIM_DIR" attnscope capture "$MODEL" --token-ids ids \
    --device cuda -o lost
ls lost/layer-000.safetensors
shim capture "$MODEL" --token-ids ids --device cuda -o lost >said
grep -q 'layers found' said
for layer in gpu/layer-*.safetensors; do
    cmp "$layer" "lost/$(basename "$layer")"
done

# the kernel that timings come from: a file that calibrate reads; a card too small, one that
# is lost
shim calibrate --measure --quick --tokens 128 --head-dim 64 --runs 1 --gpu h200 -o timings.csv
[ "$(grep -c '^h200,attnscope,context,1,128,128,' timings.csv)" -eq 6 ]
fails 65 'too few\|at least' attnscope calibrate timings.csv --split all --gpu h200
fails 65 'no launch is left' env ATN_SHIM_MEMORY_MIB=65 LD_LIBRARY_PATH="$ATN_SHIM_DIR" \
    attnscope calibrate --measure --quick
fails 69 'GPU failed' env ATN_SHIM_FAIL=cuLaunchKernel:3:719 LD_LIBRARY_PATH="$ATN_SHIM_DIR" \
    attnscope calibrate --measure --quick --tokens 128 -o lost.csv
[ ! -e lost.csv ]
fails 0 'left out: batch 1, 4 heads, 128 tokens' env ATN_SHIM_FAIL=cuMemAlloc_v2:5:2 \
    LD_LIBRARY_PATH="$ATN_SHIM_DIR" attnscope calibrate --measure --quick --tokens 128 \
    --head-dim 64 --runs 1 -o five.csv
[ "$(grep -c ',attnscope,context,' five.csv)" -eq 5 ]
fails 73 'exists already' shim calibrate --measure --quick -o timings.csv
