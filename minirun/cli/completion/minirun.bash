# bash completion for minirun. It needs nothing but bash itself (4.4 or later).

_minirun() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word i
    line=${line#*"${COMP_WORDS[0]}"}
    words=("${COMP_WORDS[0]/#\~/$HOME}")
    # bash has split at = and : as well. What no space stands before goes with the word before it.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -z $line || $line == [[:space:]]* ]]; then
            line=${line#"${line%%[![:space:]]*}"}
            words+=("")
        fi
        ((i < COMP_CWORD)) || word=$line # up to the cursor
        words[-1]+=$word
        line=${line#"$word"}
    done
    words=("${words[@]//[\"\'\\]/}")

    local answers directive current=${words[-1]} typed candidate
    mapfile -t answers < <(_MINIRUN_COMPLETE=complete_bash "${words[0]}" "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    ((${#answers[@]})) || return 0
    directive=${answers[-1]}
    unset 'answers[-1]'
    # readline replaces only what stands behind the last of those.
    typed=$current
    [[ $COMP_WORDBREAKS != *=* ]] || typed=${typed##*=}
    [[ $COMP_WORDBREAKS != *:* ]] || typed=${typed##*:}
    for candidate in "${answers[@]}"; do
        candidate=${candidate%%$'\t'*}
        COMPREPLY+=("${candidate#"${current%"$typed"}"}")
    done
    # Not beside names of containers: bash would put a backslash before the colon of `web:`.
    [[ $directive != *files* && $directive != *directories* ]] || ((${#COMPREPLY[@]})) ||
        compopt -o filenames 2>/dev/null
    case $directive in
    *files*) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$typed") ;;
    *directories*) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$typed") ;;
    esac
    [[ $directive != *nospace* ]] || compopt -o nospace 2>/dev/null
}

complete -F _minirun minirun
