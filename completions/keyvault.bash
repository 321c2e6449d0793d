# bash asks keyvault itself, which knows its commands, and the names of keys and scopes from an open session.

_keyvault() {
    # bash ends words at '=' and ':', which stand within those of keyvault. What stands side by side in the line is
    # joined again; 'before' is what bash leaves alone of the word that is typed.
    local IFS=$'\013' breaks='^[=:]+$' rest=$COMP_LINE gap word before= i last=-1 index=0
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
    compopt +o nospace 2>/dev/null
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
