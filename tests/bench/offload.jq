# SPDX-License-Identifier: MIT
# From all samples of a run of `offload` (slurped) to its figures.
def mean: if length == 0 then null else add / length end;
def sd: mean as $m | map((. - $m) * (. - $m)) | mean | sqrt;
def tenth: if . == null then null else . * 10 | round / 10 end;
def some(f): map(values) | if length == 0 then null else f end;

def there: # milliseconds
	if .step == "set-up" then 142360
	elif .step == "decision" then 5220
	elif .step != "transition" then null
	elif .case == "warm" then {speech: 22120, translation: 21940, sender: 21960, all: 66020}[.service]
	elif .service == "all" then 143090
	else null end;
def order: . as $s | [(["set-up", "decision", "round", "transition", "application"] | index($s.step)), $s.way, $s.case,
	(["speech", "translation", "sender", "all"] | index($s.service))];
def figure:
	.[0] as $s
	| {kind: "bench", what: "offload", step: $s.step, way: $s.way, case: $s.case, service: $s.service, runs: length,
	   ms: (map(.ms) | mean | tenth), sd_ms: (map(.ms) | sd | tenth), there_ms: ($s | there),
	   started_ms: (map(.started_ms) | some(mean | tenth)), frozen_ms: (map(.frozen_ms) | some(mean | tenth)),
	   asked: (map(.asked) | some(add)), errors: (map(.errors) | some(add)), closed: (map(.closed) | some(add)),
	   again: (map(.again) | some(add)), worst_ms: (map(.worst_ms) | some(max)),
	   files_ms: (map(.files_ms) | some(transpose | map(mean | tenth)))};
def against($ms): if $ms then (.ms / $ms - 1) * 1000 | round / 10 else null end;

[group_by(order)[] | figure] as $all
| $all[]
| if .step == "application" then
	. as $f
	| def of($case): $all[] | select(.step == "application" and .way == $f.way and .case == $case) | .ms;
	  .against_alone_pct = against(of("alone"))
	| if .case == "alone" then . else .against_local_pct = against(of("local")) end
  else . end
| with_entries(select(.value != null and .value != "-"))
