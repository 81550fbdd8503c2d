# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Completion of all edge programs for bash: source this file from ~/.bashrc, or install it as
# PREFIX/share/bash-completion/completions/edge-NAME for each program. The programs know their own options.
_edge_load() {
	local script
	script=$("$1" --completion bash 2>/dev/null) && eval "$script"
}
for _edge_program in $(compgen -c edge | sort -u); do
	case $_edge_program in
	edge | edge-*) _edge_load "$_edge_program" ;;
	esac
done
unset _edge_program
