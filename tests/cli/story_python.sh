# tests/cli/story_python.sh -- python/attnscope_capture.py records what `attnscope capture` does, on
# models of every kind. Wants a Python with torch, transformers and safetensors: ATTNSCOPE_PYTHON,
# or python3; skipped where it has them not.
python=${ATTNSCOPE_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "skipped: there is no $python (set ATTNSCOPE_PYTHON)"; exit 77; }
PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=2 \
    "$python" "$SRC/tests/python/compare.py" "$SRC" attnscope
