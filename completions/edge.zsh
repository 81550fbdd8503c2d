# SPDX-License-Identifier: MIT
# Completion of all edge programs for zsh: source this file from ~/.zshrc, behind compinit. The programs know their own
# options.
_edge_program() {
	local script
	script=$("$service" --completion zsh 2>/dev/null) && eval "$script"
}
compdef _edge_program edge ${(k)commands[(I)edge-*]}
