# tests/cli/story_setup.sh -- tools/setup.sh in a clone whose path holds characters of regular
# expressions: a build folder of its own is kept, that of another clone starts afresh.
mkdir -p 'a[x] b.c/tools' 'a[x] b.c/build/release'
cd 'a[x] b.c'
cp "$SRC/tools/setup.sh" tools/
printf '. "$(dirname -- "$0")/setup.sh"\nconfigure -DATN_TESTS=ON\n' >tools/try.sh
cache=build/release/CMakeCache.txt
printf 'CMAKE_HOME_DIRECTORY:INTERNAL=%s\nATN_TESTS:BOOL=ON\n' "$PWD" >$cache
[ -z "$(sh -eu tools/try.sh)" ] && [ -s $cache ]
echo "CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere" >$cache
sh -eu tools/try.sh >out 2>&1 || true # there is nothing to configure here
cat out
grep -q "source tree has moved" out && [ ! -e $cache ]
