# run.sh BUILD [WRAPPER...] TEST: one test program, ended when it hangs.
build=$1
shift
for test; do :; done
n=$(($# - 1))
wrapper=
while [ $n -gt 0 ]; do
  wrapper="$wrapper $1"
  shift
  n=$((n - 1))
done
case $test in
*.lua) exec timeout -k 5 300 $wrapper "$build/cluarun" "$test" ;;
*) exec timeout -k 5 300 $wrapper "$test" ;;
esac
