# The keys of a project for direnv: `use keyvault [OPTIONS OF keyvault exec]` in an .envrc.
use_keyvault() {
  # The caller's settings of keyvault stay as they are: exec passes none of them on, and marks its command.
  local name names=() values=() index
  for name in "${!KEYVAULT_@}"; do
    names+=("$name")
    values+=("${!name}")
  done
  watch_file .keyvault.toml
  direnv_load keyvault exec --non-interactive "$@" -- "$direnv" dump || return
  for name in "${!KEYVAULT_@}"; do
    unset "$name"
  done
  for index in "${!names[@]}"; do
    export "${names[index]}=${values[index]}"
  done
}
