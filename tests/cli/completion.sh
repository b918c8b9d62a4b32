#!/bin/sh
# Completion as people get it: what a shell offers for lines that end in a tab. bash is tried by the
# golden tests; zsh completes only on a terminal, here one of its own.
# Usage: tests/cli/completion.sh PROGRAM zsh|fish. Ends with 77 where there is no such shell.
# SPDX-License-Identifier: Apache-2.0
set -u
program=$1 shell=$2
command -v "$shell" >/dev/null || { echo "skipped: $shell is not installed" && exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/lenslet-completion.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
"$program" help --completion "$shell" >"$work/_lenslet" || exit 1
cd "$work" && touch shore.csv || exit 2
export HOME="$work" XDG_CONFIG_HOME="$work" XDG_DATA_HOME="$work" LC_ALL=C TERM=dumb
failed=0

cat >ask.zsh <<'END'
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1= PS2= LISTMAX=9999; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D'
zpty -w z 'stty cols 300 rows 999; source ./_lenslet; bindkey "^I" list-choices; print READ""Y'
zpty -r z got '*READY*'
zpty -w -n z "$1"$'\t'
zpty -r z got "*$2*" && print -r -- "$got"
END

# offers LINE WORD...: these are among what is offered, the last word behind the others.
offers() {
    line=$1
    shift
    case $shell in
    fish) offered=$(fish -c "source _lenslet; complete -C '$line'" 2>&1) ;;
    zsh) offered=$(for word; do :; done && timeout 30 zsh -f ask.zsh "$line" "$word" 2>&1) ;;
    esac
    for word; do
        case $offered in
        *"$word"*) ;;
        *) failed=1 && printf '%s: "%s" is not offered "%s" but:\n%s\n' "$shell" "$line" "$word" "$offered" ;;
        esac
    done
}

offers 'lenslet ' kernel predict 'push raw tensors'
offers 'lenslet data ' export sheet
offers 'lenslet filter s80 --ker' --kernel
offers 'lenslet train --optimizer ada' adagrad adamw
offers 'lenslet train --data sh' shapes:both shore.csv
exit $failed
