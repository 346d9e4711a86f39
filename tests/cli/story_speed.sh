# tests/cli/story_speed.sh -- help is there at once: ten calls in under a second and a half.
attnscope --help >/dev/null
start=$(date +%s%N)
for i in 1 2 3 4 5 6 7 8 9 10; do attnscope stats --help >/dev/null; done
end=$(date +%s%N)
echo "one --help takes $(((end - start) / 10000000)) ms"
[ $(((end - start) / 1000000)) -lt 1500 ]
