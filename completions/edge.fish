# SPDX-License-Identifier: MIT
# Completion of all edge programs for fish: source this file from ~/.config/fish/config.fish. The programs know their
# own options.
for dir in $PATH
    for program in $dir/edge $dir/edge-*
        if test -x $program
            $program --completion fish 2>/dev/null | source
        end
    end
end
