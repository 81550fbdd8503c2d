# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # what is quoted so is for the nodes' shells; `offload` sets the rest
# SPDX-License-Identifier: MIT
# Part of `offload`: the application, its images and its compose file, and how fast nodes are.
need dockerd docker-registry slapd busybox perl jq pocketsphinx_continuous apertium
app=$PWD/tests/bench/speech.pl
services=(speech translation sender)
declare -A port=([speech]=6001 [translation]=6002 [sender]=6000)
read -r -a recordings <<<"${RECORDINGS:-$(echo /usr/share/pocketsphinx/test/data/librivox/*0{880,930}.wav)}"

quota() { # NODE PERCENT: of one core
	local where type opts
	while read -r _ where type opts _; do
		[[ -d $where/edge-lab-$LAB/$1 ]] || continue
		if [[ $type == cgroup2 && -e $where/edge-lab-$LAB/$1/cpu.max ]]; then
			echo "$(($2 * 200)) 20000" >"$where/edge-lab-$LAB/$1/cpu.max"
		elif [[ ,$opts, == *,cpu,* ]]; then
			echo 20000 >"$where/edge-lab-$LAB/$1/cpu.cfs_period_us"
			echo $(($2 * 200)) >"$where/edge-lab-$LAB/$1/cpu.cfs_quota_us"
		fi
	done </proc/mounts
}

# --- images: perl, and what each calls

image() { # SERVICE FILE...
	local name=$1 perl base hires
	perl=$(readlink -f "$(command -v perl)")
	base=$(perl -e 'print +(grep { -e "$_/auto/Socket/Socket.so" && -e "$_/strict.pm" && -e "$_/IO/Select.pm" } @INC)[0]')
	hires=$(perl -MTime::HiRes -e 'print $INC{"Time/HiRes.pm"} =~ s{/Time/HiRes.pm$}{}r')
	WITH="$perl $base $hires/Time/HiRes.pm $hires/auto/Time/HiRes/HiRes.so $app ${*:2}" tests/tools/make-image "$tmp/$name.tar" \
		"$name:1" "\"Env\":[\"PATH=/bin:/usr/bin\"],\"Entrypoint\":[\"$perl\",\"$app\"]"
	on edge1 /usr/bin/docker load -q -i "$tmp/$name.tar" >&2
}
application_files() {
	local words=(lt-proc lrx-proc) word
	for word in tagger pretransfer transfer interchunk postchunk destxt retxt; do words+=("apertium-$word"); done
	image speech /usr/bin/pocketsphinx_continuous /usr/share/pocketsphinx/model
	image translation "${words[@]/#//usr/bin/}" /usr/share/apertium/apertium-eng-spa /usr/share/apertium/modes/eng-spa.mode /usr/lib/locale/C.utf8
	image sender
	on edge1 mkdir -p /var/lib/edge/app
}
push() { # the images into a registry; from then on nodes get them there
	local at s
	at=$(at edge3):5000
	cat >"$tmp/registry.yml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/edge/registry}}
http: {addr: "$at"}
END
	on edge3 sh -c 'setsid docker-registry serve "$1" </dev/null >/run/registry.log 2>&1 &' sh "$tmp/registry.yml"
	await 20 curl -sf "http://$at/v2/" || return
	for s in "${services[@]}"; do
		docker edge1 tag "$s:1" "$at/$s:1"
		docker edge1 push -q "$at/$s:1" >/dev/null
	done
}

# --- what starts it

address() { # SERVICE: its own, by the engine `process`
	echo "$subnet.$((${port[$1]} - 6000 + 160))"
}
service() { # WAY NAME [ARGUMENT]...
	cat <<END
  $2:
    image: $2:1
    command: [$2, "${port[$2]}"${3:+, "$3"}${4:+, "$4"}]
    ports: ["${port[$2]}:${port[$2]}"]
    stop_grace_period: 60s
    healthcheck: {test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:${port[$2]}/"], interval: ${HEALTH}s, timeout: 10s}
END
	[[ $1 == swarm ]] || printf '    networks: {default: {ipv4_address: %s}}\n' "$(address "$2")"
}
compose() { # WAY
	printf 'name: star\nservices:\n'
	service "$1" speech
	service "$1" translation
	service "$1" sender "speech:${port[speech]}" "translation:${port[translation]}"
	printf '    depends_on:\n      speech: {condition: service_healthy}\n      translation: {condition: service_healthy}\n'
}

# --- what came out

table() { # figures on stdin
	jq -r 'def s: if . == null then "" else . / 10 | round / 100 | tostring end;
		def pct: if . == null then "" else tostring + " %" end;
		[.step, .way, .case // "", .service // "", (.ms | s), (.sd_ms | s), (.there_ms | s), .errors // "", .closed // "", .worst_ms // "",
		 (.against_alone_pct | pct), (.against_local_pct | pct)] | @tsv' |
		awk -F'\t' 'BEGIN { print "step         way      case           service          s     sd  there s  errors  closed  worst ms  to alone  to local" }
			{ printf "%-12s %-8s %-14s %-11s %6s %6s %8s %7s %7s %9s %9s %9s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 }'
	echo 'there: to alone 9 % (7 % a recording) local, -15 % offloaded; to local -21 % offloaded'
}
