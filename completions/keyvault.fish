# fish asks keyvault itself, which knows its commands, and the names of keys and scopes from an open session.

# Succeeds behind the `--` of `keyvault exec`.
function __keyvault_wraps
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l place (contains --index -- -- $words)
    and string match --quiet --regex '^(exec|run)$' -- $words[2..$place]
end

# The candidates of the command that `keyvault exec` runs, as if the line began there.
function __keyvault_wrapped
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l place (contains --index -- -- $words)
    set -l wrapped $words[(math $place + 1)..]
    complete --do-complete (string join ' ' -- (string escape -- $wrapped) (commandline --cut-at-cursor --current-token))
end

complete --keep-order --exclusive --command keyvault --condition 'not __keyvault_wraps' --arguments "(KEYVAULT_COMPLETE=fish keyvault -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
complete --keep-order --exclusive --command keyvault --condition __keyvault_wraps --arguments "(__keyvault_wrapped)"
