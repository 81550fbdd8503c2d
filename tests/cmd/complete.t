#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # what is quoted so is for other shells
# bash, zsh and fish really complete: programs, options, words, the registry's nodes, a node's services. As the user's
# own files do it, and as the ones that are installed do.
cd "$(dirname "$0")/../.." || exit 1
bin=$(realpath "${EDGE_BIN:-${B:-build}/bin}")
[[ -x $bin/edge ]] || { echo '1..0 # skip the programs are not built'; exit 0; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/edge-complete.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
export PATH=$bin:$PATH EDGE_ROOT=$tmp/root tmp
unset EDGE_REGISTRY
state=$EDGE_ROOT/var/lib/edge
count=0 failed=0

is() { # TITLE WANTED HAVE
	count=$((count + 1))
	if [[ $3 == "$2" ]]; then
		echo "ok $count - $1"
	else
		printf 'not ok %d - %s\n# wanted: %s\n# have:   %s\n' $count "$1" "$2" "$3"
		failed=1
	fi
}

# --- a node with services, that knows another one

mkdir -p "$EDGE_ROOT/etc/edge" "$state"/registry/{node,service} "$state"/services/{web,redis} "$state/checkpoints/00112233445566778899aabbccddeeff"
echo '{"name":"edge1"}' >"$EDGE_ROOT/etc/edge/node.json"
for n in edge1 edge2; do echo '{"kind":"node","name":"'$n'","addr":"10.77.0.1"}' >"$state/registry/node/$n.json"; done
echo '{"kind":"service","id":"1122334455667788","name":"far","node":"edge2"}' >"$state/registry/service/1122334455667788.json"
for n in web:1 redis:2; do
	echo '{"id":"001122334455667'${n#*:}'","name":"'${n%:*}'","argv":["true"],"root":"/"}' >"$state/services/${n%:*}/service.json"
done
mkdir "$tmp/here" "$tmp/here/folder"
touch "$tmp/here/file"

# --- what each shell offers for a line, in one line

as_users_do() {
	export bash_loads='. completions/edge.bash' fish_loads='source completions/edge.fish'
	export zsh_loads='compinit -u -d $tmp/zdump; . completions/edge.zsh'
}
as_installed() { # the files of `make install`, found by the shells
	local p
	mkdir -p "$tmp/site"
	for p in "$bin"/edge "$bin"/edge-*; do
		"$p" --completion bash >"$tmp/site/${p##*/}"
		"$p" --completion zsh >"$tmp/site/_${p##*/}"
		"$p" --completion fish >"$tmp/site/${p##*/}.fish"
	done
	export bash_loads='. "$tmp/site/${1%% *}"' fish_loads='set fish_complete_path $tmp/site'
	export zsh_loads='fpath=($tmp/site $fpath); rm -f $tmp/zdump; compinit -u -d $tmp/zdump'
}

in_bash() { # LINE
	bash --norc -c 'eval "$bash_loads"
		cd "$tmp/here" || exit 1
		COMP_LINE=$1 COMP_POINT=${#1}
		# As readline does it: = is a word of its own.
		read -ra COMP_WORDS <<<"${1//=/ = }"
		[[ $1 != *[\ =] || ${COMP_WORDS[-1]} == = ]] || COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		function=$(complete -p "${COMP_WORDS[0]}" | sed "s/.*-F \([^ ]*\).*/\1/")
		"$function" "${COMP_WORDS[0]}" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
		printf "%s\n" "${COMPREPLY[@]}"' bash "$1" 2>&1 | sort | paste -sd' '
}
in_fish() { # LINE
	HOME=$tmp fish --no-config -c 'eval $fish_loads; cd $tmp/here; complete -C $argv[1]' "$1" 2>&1 | cut -f1 |
		sed 's/^--[a-z-]*=//' | sort | paste -sd' '
}
in_zsh() { # LINE: typed at a terminal, with a compadd that tells what it was given
	zsh -f -c '
		zmodload zsh/zpty
		zpty z zsh -f -i
		zpty -w z "PROMPT= RPROMPT= ZDOTDIR=$tmp; stty -echo; autoload -Uz compinit; $zsh_loads"
		zpty -w z "cd $tmp/here; zstyle \":completion:*\" completer _complete; bindkey \"^I\" complete-word"
		zpty -w z "compadd() {
			case \" \$* \" in (*\" -O \"*|*\" -A \"*|*\" -D \"*) builtin compadd \"\$@\"; return ;; esac
			local -a hits; builtin compadd -A hits \"\$@\"; print -rl -- \"hit:\"\$^hits >>$tmp/hits
			builtin compadd \"\$@\"; }"
		zpty -w z "asked() { print -r asked >>$tmp/hits; zle kill-whole-line; zle accept-line; }; zle -N asked; bindkey \"^X\" asked"
		zpty -w z "print ready >$tmp/hits"
		repeat 200; do [[ -s $tmp/hits ]] && break; sleep 0.05; done
		zpty -w -n z "$1"$'"'\t\x18'"'
		repeat 200; do grep -q asked $tmp/hits && break; sleep 0.05; done
		zpty -d z' zsh "$1" >"$tmp/zsh" 2>&1
	sed -n 's/^hit://p' "$tmp/hits" | sort -u | paste -sd' '
	rm -f "$tmp/hits"
}

offers() { # LINE WANTED: in each shell
	local shell
	for shell in bash zsh fish; do
		if command -v $shell >/dev/null; then
			is "$shell: $1" "$2" "$(in_$shell "$1")"
		else
			count=$((count + 1))
			echo "ok $count - $shell: $1 # skip $shell is not installed"
		fi
	done
}

as_users_do
programs=$(cd "$bin" && printf '%s\n' edge-* | sed 's/edge-//' | sort | paste -sd' ')
offers 'edge ' "$programs"
offers 'edge mig' migrate
offers 'edge migrate --to ' 'edge1 edge2'
offers 'edge migrate ' 'redis web'
offers 'edge-migrate --dry' --dry-run
offers 'edge-migrate --to ' 'edge1 edge2'
offers 'edge-migrate -t ' 'edge1 edge2'
offers 'edge-migrate --to=edge' 'edge1 edge2'
offers 'edge-migrate --to edge2 w' web
offers 'edge-migrate --from edge2 ' far
offers 'edge-stop --on=edge2 --rm ' far
offers 'edge-checkpoint ' 'redis web'
offers 'edge-ship ' 00112233445566778899aabbccddeeff
offers 'edge-run --type ' 'stateful stateless'
offers 'edge-run --name ' ''
offers 'edge-stop --grace ' ''
as_installed
offers 'edge mig' migrate
offers 'edge migrate --to ' 'edge1 edge2'
offers 'edge-migrate --from edge2 ' far
as_users_do
rm -rf "$state/registry"
echo '{' >"$state/services/web/service.json"
offers 'edge-migrate --to ' ''
offers 'edge-migrate ' redis
for shell in bash zsh fish; do
	command -v $shell >/dev/null || continue
	have=$(in_$shell 'edge-run --name x --root ')
	is "$shell: folders for --root" folder "${have%/}"
done
is 'no words on stderr when there is nothing to offer' '' "$(edge-migrate --completion nodes 2>&1)"
echo "1..$count"
exit $failed
