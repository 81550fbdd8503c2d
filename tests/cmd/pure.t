#!/bin/bash
# SPDX-License-Identifier: MIT
# All of lib/place is arithmetic: it opens no file and no socket, and asks no clock. What its objects import says so.
build=$(realpath "${EDGE_BIN:-$(dirname "$0")/../../build/bin}/..")
cd "$(dirname "$0")/../.." || exit 1
objects=()
for source in lib/place/*.c; do objects+=("$build/${source%.c}.o"); done
libm=$(ldconfig -p | awk '/libm\.so\.6 / { print $NF; exit }')
if [ ! -e "${objects[0]}" ] || ! command -v nm >/dev/null; then echo '1..0 # SKIP no objects, or no nm to read them'; exit 0; fi

# Memory, text, numbers, a stream that the caller has opened, and ours that are no more than that. A sanitizer's begin with __.
plain='__.*|abort|calloc|malloc|realloc|free|qsort|mem[a-z]+|str[a-z_]+|v?snprintf|f?put[cs](_unlocked)?|fwrite(_unlocked)?|v?fprintf|gmtime_r|timegm'
ours='err_set|err_wrap|json_(add|array|at|bool|copy|free|get|has|int|is_object|keys|len|num|number|object|parse|put_.*|query_.*|scan.*|set.*|str|string|text|value)|ability_of'
imports=$(comm -23 <(nm -u "${objects[@]}" | awk 'NF == 2 { print $2 }' | sed 's/@.*//' | sort -u) \
	<({ nm --defined-only "${objects[@]}"; nm -D --defined-only "$libm"; } | awk 'NF == 3 { print $3 }' | sed 's/@.*//' | sort -u))
count=$(wc -w <<<"$imports")
echo 1..3
if [ "$count" -gt 20 ]; then echo "ok 1 - lib/place imports $count symbols"; else echo "not ok 1 - lib/place imports $count symbols"; fi
check() { # NUMBER SYMBOLS NAME: none of them is anything but arithmetic
	local others
	others=$(tr ' ' '\n' <<<"$2" | grep -vxE "$plain|$ours")
	if [ "$others" = "$4" ]; then echo "ok $1 - $3"; else echo "not ok $1 - $3"; echo "$others" | sed 's/^/#  imports: /'; fi
}
check 2 "$imports" "none of them is a file, a socket or a clock" ""
check 3 "$imports open time" "... and these would be found" "$(printf 'open\ntime')"
