# SPDX-License-Identifier: MIT
# From all bench records of a run (slurped) to lines of a table, cells parted by tabs, and the targets.
def median: sort | if length == 0 then null else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;
def round1: (. * 10 | round) / 10;
def cell: if . == null then "-" else tostring end;
def both: map(values) | if length == 0 then "-" else "\(median | round1) / \(max | round1)" end;
def mb: if . == null then "-" else "\(. / 1048576 | round1) MB" end;

def of($method; $mb): map(select(.method == $method and .mem_mb == $mb and (.failed | not)));
def moves: map(select(.mem_mb and .method != "edge-back"));

def row:
	map(select(.failed | not)) as $ok
	| [.[0].method, .[0].mem_mb, length, ($ok | map(.gap_ms) | both), ($ok | map(.answer_ms) | both),
	   ($ok | map(.total_ms) | both), ($ok | map(.frozen_ms) | both), ($ok | map(.bytes_sent) | median | mb),
	   (if length > ($ok | length) then "\(length - ($ok | length)) FAILED"
	    elif any(.[]; .intact | not) then "NOT INTACT"
	    elif all(.[]; .connection_kept) then "kept"
	    else "lost: gap over reconnecting" end)]
	| map(cell) | join("\t");

def target($what; $is; $limit; $unit):
	if $is == null or $limit == null then empty
	else "\(if $is <= $limit then "met   " else "MISSED" end) \($what): \($is | round1)\($unit), at most \($limit | round1)\($unit)" end;

def targets:
	. as $all
	| target("client's median gap, 8 MB"; of("edge"; 8) | map(.gap_ms) | median; 100; " ms"),
	  target("client's median gap, 64 MB"; of("edge"; 64) | map(.gap_ms) | median; 300; " ms"),
	  target("client's median gap, 64 MB, a quarter of runc's"; of("edge"; 64) | map(.gap_ms) | median;
		(of("runc"; 64) | map(.gap_ms) | median | values / 4); " ms"),
	  target("what safety takes of it, all sizes (median)"; [$all[] | select(.method == "edge") | .phases.safety_ms // empty] | median; 5; " ms"),
	  target("total time, 512 MB, against runc's"; of("edge"; 512) | map(.total_ms) | median;
		of("runc"; 512) | map(.total_ms) | median; " ms"),
	  ($all[] | select(.method == "edge-back" and (.failed | not))
		| target("moving back \(.mem_mb) MB at once, \(if .write_mbps == 0 then "writer stopped" else "writing" end)";
			.bytes_sent / 1048576;
			((if .write_mbps == 0 then 0 else .dirtied_bytes * 1.1 end) + .first_bytes * 0.02) / 1048576; " MB")),
	  ($all[] | select(.method == "start")
		| if .program == "true" then "       (true --version: \(.start_ms | round1) ms)"
		  else target("\(.program) --version"; .start_ms; if .network_library then 5 else 2 end; " ms") end),
	  ($all[] | select(.method == "size")
		| target("all programs, stripped"; .stripped_bytes / 1048576; 3; " MB"));

"",
(["way", "MB", "moves", "gap ms", "answer ms", "total ms", "frozen ms", "sent", "connection"] | join("\t")),
(["", "", "", "median / worst", "median / worst", "median / worst", "median / worst", "median", ""] | join("\t")),
(moves | group_by([.mem_mb, (.method as $m | ["edge", "runc", "podman", "docker"] | index($m))])[] | row),
"",
targets
