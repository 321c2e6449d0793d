complete --keep-order --exclusive --command keyvault --arguments "(KEYVAULT_COMPLETE=fish keyvault -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
