# bash asks keyvault itself, which knows its commands, and the names of keys and scopes from an open session.

# Completes the command that `keyvault exec` runs, which begins at word $1, as if the line began there.
_keyvault_wrapped() {
    local offset=$1 helper spec
    # bash-completion has the means.
    for helper in _comp_command_offset _command_offset; do
        if declare -F "$helper" >/dev/null; then
            "$helper" "$offset"
            return
        fi
    done
    # Without it: the command's own function, if one is registered, and files otherwise.
    spec=$(complete -p -- "${COMP_WORDS[offset]}" 2>/dev/null)
    if [[ $spec != *' -F '* ]]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null
        return
    fi
    spec=${spec#*' -F '}
    local head="${COMP_WORDS[*]:offset:COMP_CWORD-offset+1}"
    local COMP_LINE="${COMP_WORDS[*]:offset}" COMP_POINT=${#head}
    local COMP_CWORD=$((COMP_CWORD - offset))
    local -a COMP_WORDS=("${COMP_WORDS[@]:offset}")
    "${spec%% *}" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
}

_keyvault() {
    compopt +o nospace 2>/dev/null
    local i runs=
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        exec | run) runs=1 ;;
        --)
            # The name of the command itself is keyvault's to complete where bash-completion is absent.
            if [[ -n $runs ]] && { [[ $COMP_CWORD -gt $((i + 1)) ]] || declare -F _comp_command_offset >/dev/null ||
                declare -F _command_offset >/dev/null; }; then
                _keyvault_wrapped $((i + 1))
                return
            fi
            break
            ;;
        esac
    done
    # bash ends words at '=' and ':', which stand within those of keyvault. What stands side by side in the line is
    # joined again; 'before' is what bash leaves alone of the word that is typed.
    local IFS=$'\013' breaks='^[=:]+$' rest=$COMP_LINE gap word before= last=-1 index=0
    local -a words=()
    for i in "${!COMP_WORDS[@]}"; do
        word=${COMP_WORDS[i]}
        gap=${rest%%[![:space:]]*}
        rest=${rest#"$gap"}
        rest=${rest#"$word"}
        if [[ $i -gt 0 && -z $gap ]] && [[ $word =~ $breaks || ${COMP_WORDS[i-1]} =~ $breaks ]]; then
            # What follows the cursor is no part of what is typed.
            [[ $i -gt $COMP_CWORD ]] && continue
        else
            words[++last]=
        fi
        if [[ $i -eq $COMP_CWORD ]]; then
            index=$last
            before=${words[last]}
            if [[ ${BASH_VERSINFO[0]} -lt 4 ]]; then
                # It ends words there for the completion alone.
                before+=${word%"$2"*}
            elif [[ -z $2 && $word =~ $breaks ]]; then
                before+=$word
            fi
            words[last]=$before$2
        else
            words[last]+=$word
        fi
    done
    COMPREPLY=($(
        _CLAP_IFS=$IFS _CLAP_COMPLETE_INDEX=$index KEYVAULT_COMPLETE=bash keyvault -- "${words[@]}" 2>/dev/null
    ))
    if [[ $? -ne 0 ]]; then
        # Names of files, which bash completes and quotes.
        unset COMPREPLY
        compopt -o default 2>/dev/null
        return
    fi
    if [[ -n $before && -n ${COMPREPLY-} ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
    if [[ ${COMPREPLY-} == *[=/:] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# Before bash 4.4 there is no nosort.
complete -o nospace -o bashdefault -o nosort -F _keyvault keyvault 2>/dev/null ||
    complete -o nospace -o bashdefault -F _keyvault keyvault
