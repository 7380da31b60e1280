#compdef minirun
# zsh completion for minirun: source it, or put it as _minirun into a directory of $fpath.

_minirun() {
    local -a answers described options
    local directive line
    answers=("${(@f)$(_MINIRUN_COMPLETE=complete_zsh "${(Q)words[1]}" "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    directive=$answers[-1]
    for line in "${(@)answers[1,-2]}"; do
        [[ -z $line ]] || described+=("${${line%%$'\t'*}//:/\\:}:${${line#*$'\t'}:#${line}}")
    done
    [[ $directive != *nospace* ]] || options=(-S '')
    (( ! $#described )) || _describe -V minirun described $options
    [[ $directive != *files* ]] || _files
    [[ $directive != *directories* ]] || _files -/
}

if [[ $funcstack[1] == _minirun ]]; then
    _minirun "$@"
else
    compdef _minirun minirun
fi
