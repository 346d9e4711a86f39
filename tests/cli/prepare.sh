# tests/cli/prepare.sh -- the capture that all other cases read.
rm -rf "$RUN"
mkdir -p "$(dirname -- "$RUN")"
attnscope capture "$MODEL" --text "$STORY" -o "$RUN"
