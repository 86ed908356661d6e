# bash: completion for clawd. It is found by itself as PREFIX/share/bash-completion/completions/clawd.bash; elsewhere,
# `source` it. The program itself knows what may follow; see clawd/cli/completion.
_clawd() {
    mapfile -t COMPREPLY < <(
        _CLAWD_COMPLETE=bash _CLAWD_LINE=${COMP_LINE:0:COMP_POINT} _CLAWD_BREAKS=$COMP_WORDBREAKS \
            "${1/#\~\//$HOME/}" 2>/dev/null
    )
}
complete -o bashdefault -o default -F _clawd clawd
