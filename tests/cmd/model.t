#!/bin/bash
# SPDX-License-Identifier: MIT
# The models of the hand-over (tests/model): what they promise holds, and each mistake that is built into them is found.
# Nice, as it takes all processors and others wait for answers.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! command -v spin >/dev/null; then echo '1..0 # skip spin is not installed'; exit 0; fi
nice tests/model/check "$@" | awk '
	/^(PASS|FAIL) / { said = $1 == "PASS" ? "ok" : "not ok"; print said, ++n, "-", substr($0, 7); next }
	{ print }
	END { print "1.." n + 0; exit !n }'
exit "${PIPESTATUS[0]}"
