//! Which variables nobody else may choose: neither a project file, nor the owner of a vault for those whom a token or a
//! bundle was given.
//!
//! Everything that [`EnvName::parse`] refuses, in any case; and what makes a program run or load something, send its
//! requests or its credentials elsewhere, put its trust elsewhere, or look for its files elsewhere than its user meant.
//! None of these holds a key, so whoever shares a project or a token loses nothing: who does need one sets it in the
//! shell, or with `--as`.
//!
//! The kinds are those of [`Refused`]. Where a kind has a common ending, as `*_COMMAND` has, the ending is refused and
//! not each tool's variable. An ending that applications use for their own is not: `MYAPP_OPTIONS` and `STRIPE_API_URL`
//! are fine, `TAR_OPTIONS` and `SONAR_HOST_URL` are names that a tool reads. `*_URL` by itself would take
//! `DATABASE_URL` with it.
//!
//! Collected from the manuals of what is named beside each group. The list cannot be complete, as any program may
//! invent a variable; what it lacks is still shown and asked for before a project file does anything.

use super::{EnvName, NameError};

/// Why nobody else may choose a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no variable that keyvault hands out at all.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It makes programs run or load something.
    #[error("is a variable that makes programs run or load code")]
    RunsCode,
    /// It says where requests go, or what is trusted there.
    #[error("is a variable that sets hosts, proxies or trust, and holds no key")]
    Redirects,
    /// It says where a program finds its files.
    #[error("is a variable that sets where programs find their files, and holds no key")]
    Moves,
}

/// Checks a variable that somebody else chose.
pub fn parse(text: &str) -> Result<EnvName, Refused> {
    let name = EnvName::parse(text)?;
    // Python, npm and curl read some of theirs in any case.
    let upper = text.to_ascii_uppercase();
    EnvName::parse(&upper)?;
    let matching = |rules| list(rules).any(|rule| rule.matches(&upper));
    match () {
        () if matching(RUN_CODE) => Err(Refused::RunsCode),
        () if matching(REDIRECT) => Err(Refused::Redirects),
        () if matching(MOVE) => Err(Refused::Moves),
        () => Ok(name),
    }
}

/// Variables by their name in upper case; `*` stands for any text.
#[derive(Debug, Clone, Copy)]
pub struct Rule(&'static str);

impl Rule {
    #[must_use]
    pub fn pattern(self) -> &'static str {
        self.0
    }

    fn matches(self, upper: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = upper.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

/// Every rule beside those of [`EnvName`].
pub fn rules() -> impl Iterator<Item = Rule> {
    [RUN_CODE, REDIRECT, MOVE].into_iter().flat_map(list)
}

fn list(rules: &'static str) -> impl Iterator<Item = Rule> {
    rules.split_ascii_whitespace().map(Rule)
}

/// Rules as one text: a list of texts is one of addresses, and each start of the program would relocate a thousand of them.
macro_rules! rules {
    ($($text:literal)*) => { concat!($($text, " "),*) };
}

const RUN_CODE: &str = rules! {
    // A name with this ending is a program, its arguments, or code that it loads, whichever tool reads it.
    "*_EXECUTABLE*" "*_COMMAND" "*_CMD" "*_WRAPPER" "*_LAUNCHER" "*_LINKER" "*_PRELOAD" "*_SHELL" "*_INTERPRETER" "*_PLUGINS"
    "*_PLUGIN_PATH" "*_PLUGIN_PATHS" "*_PLUGIN_DIR" "*_PLUGINS_DIR" "*_EXTERNAL_DIFF" "*_STARTUP_HOOKS" "*_CLASSPATH" "*_JVM_OPTIONS"
    "*_VM_OPTIONS" "*_JVM_ARGS" "*_JAVA_ARGS" "*_JAVA_CMD" "*_JAVA_HOME" "*_CREDENTIAL_PROVIDER" "*_CREDENTIAL_PROVIDERS"
    "*_BINARY_PATH" "*_SYMBOLIZER_PATH"
    // *_OPTIONS of tools that run programs or load code: tar(1), javac, zip(1), sanitizers, gs(1), prove(1), parallel(1), man(1).
    "TAR_OPTIONS" "JDK_JAVAC_OPTIONS" "ZIPOPT" "*SAN_OPTIONS" "GS_OPTIONS" "GS_LIB" "HARNESS_*" "PARALLEL" "PARALLEL_HOME" "MANOPT"
    "MANROFFOPT" "GROFF_*" "PULUMI_OPTION_*"
    // bash(1), zshall(1), dash(1), readline(3): prompts are expanded, files are read, loadable builtins are found.
    "PS0" "PS1" "PS2" "PS3" "CDPATH" "FPATH" "INPUTRC" "BASH_*" "PROMPT" "PROMPT_COMMAND*" "FCEDIT" "HISTFILE" "MAILPATH" "EXECIGNORE"
    // Whatever a tool calls so is started by it: git(1), kubectl, systemctl(1), psql(1), sudo(8), ssh(1).
    "*EDITOR" "*_PAGER" "*_ASKPASS" "*_RSH" "SVN_SSH" "RSYNC_CONNECT_PROG" "GIT_SSH*" "RCLONE_*_SSH" "MAILCAPS" "LYNX_CFG"
    // Where a tool finds plugins and services: docker(1), systemd(1).
    "DOCKER_CLI_PLUGIN_EXTRA_DIRS" "SYSTEMD_UNIT_PATH"
    // vim(1), less(1), more(1), lesskey(1): options that run commands.
    "FZF_DEFAULT_*" "RIPGREP_CONFIG_PATH" "VIMINIT" "GVIMINIT" "EXINIT" "MYVIMRC" "VIM" "VIMRUNTIME" "EMACSLOADPATH" "LESS" "LESSKEY*" "MORE" "PSQLRC"
    // Options of virtual machines, which load agents: java(1), maven, sbt, gradle, ant.
    "*_OPTS" "JVM_OPTIONS" "MAVEN_ARGS" "ANT_ARGS" "JAVA_HOME" "JAVACMD" "*_JAVA_OPTIONS" "JAVA_OPTIONS"
    // node(1), npm config, ts-node, electron, bun, yarn: modules that are loaded, scripts that are run.
    "NPM_CONFIG_*" "NODE_REPL_EXTERNAL_MODULE" "NODE_V8_COVERAGE" "TS_NODE_*" "ELECTRON_RUN_AS_NODE" "BUN_OPTIONS"
    "NPM_EXECPATH" "ELECTRON_*" "NODE_GYP_FORCE_PYTHON" "NODE_REPL_*" "NODE_COMPILE_CACHE" "NODE_REDIRECT_WARNINGS" "PUPPETEER_*"
    "PLAYWRIGHT_NODEJS_PATH" "PLAYWRIGHT_BROWSERS_PATH" "CYPRESS_RUN_BINARY" "CYPRESS_INSTALL_BINARY" "CYPRESS_CACHE_FOLDER" "CHROME_BIN"
    "CHROME_PATH" "DENO_DIR" "DENO_INSTALL_ROOT" "DENO_V8_FLAGS" "YARN_IGNORE_PATH" "YARN_GLOBAL_FOLDER" "YARN_CACHE_FOLDER" "SE_MANAGER_PATH"
    "ESBUILD_BINARY_PATH" "YARN_RC_FILENAME" "YARN_YARN_PATH" "YARN_PLUGINS"
    // python(1), pytest, django, perlrun(1), cpan, ruby(1), bundler, lua(1), php(1), R(1), julia(1), erl(1).
    "PYTHONWARNINGS" "PYTHONPLATLIBDIR" "PYTHONEXECUTABLE" "PYTHONPYCACHEPREFIX" "PYTHON_KEYRING_BACKEND"
    "GUNICORN_CMD_ARGS" "UVICORN_*" "FLASK_APP" "FLASK_DEBUG" "PASTE_CONFIG" "AIRFLOW_HOME" "AIRFLOW_CONFIG" "CELERY_APP"
    "CELERY_CONFIG_MODULE" "TOX_OVERRIDE" "TOX_TESTENV_PASSENV" "COVERAGE_PROCESS_START" "COVERAGE_RCFILE" "IPYTHONDIR" "JUPYTER_*PATH"
    "JUPYTER_CONFIG_DIR" "MYPYPATH" "PYLINTRC" "MPLBACKEND" "MATPLOTLIBRC" "PYDEVD_*" "HATCH_CONFIG" "POETRY_HOME" "POETRY_CONFIG_DIR"
    "FLASK_RUN_*" "PYTEST_ADDOPTS" "PYTEST_PLUGINS" "DJANGO_SETTINGS_MODULE" "PERL5*" "PERL_M*_OPT" "PERL_CPANM_OPT"
    "PERL_LOCAL_LIB_ROOT" "RUBYPATH" "RUBYSHELL" "BUNDLE_GEMFILE" "BUNDLE_PATH" "BUNDLE_BIN*" "BUNDLE_APP_CONFIG"
    "BUNDLE_USER_*" "BUNDLE_BUILD__*" "GEMRC" "RAKEOPT" "RAKE_SYSTEM" "IRBRC" "PRYRC" "LUAROCKS_CONFIG" "TCL_LIBRARY" "TK_LIBRARY" "GHCRTS"
    "STACK_YAML" "STACK_ROOT" "CABAL_DIR" "CABAL_CONFIG" "MIX_HOME" "MIX_EXS" "MIX_ARCHIVES" "MIX_DEPS_PATH" "MIX_REBAR*" "HEX_HOME"
    "REBAR_*CONFIG*" "OCAMLRUNPARAM" "OCAMLLIB" "OCAMLFIND_*" "OPAM*" "COMPOSER" "COMPOSER_VENDOR_DIR" "COMPOSER_BIN_DIR" "LUA_*" "R_LIBS*"
    "R_ENVIRON*" "R_HOME" "JULIA_*" "ERL_*FLAGS" "ERL_LIBS" "ELIXIR_ERL_OPTIONS" "GUILE_*" "TCLLIBPATH" "OCAMLPATH"
    "CAML_LD_LIBRARY_PATH" "GHC_PACKAGE_PATH" "DOTNET_*" "COMPLUS_*" "CORECLR_*" "COR_ENABLE_PROFILING"
    "MSBUILD*" "NUGET_PACKAGES" "NUGET_CREDENTIALPROVIDER*" "ASPNETCORE_HOSTINGSTARTUP*"
    // make(1), cc, cargo, go, cmake, pkg-config, ccache: programs, flags and places of a build.
    "CONFIG_SHELL" "CONFIG_SITE" "MAKE" "MAKEFILES" "MAKEFLAGS" "GNUMAKEFLAGS" "CC" "CXX" "LD" "AR" "AS" "CPP" "*CFLAGS" "*CXXFLAGS" "*CPPFLAGS"
    "*LDFLAGS" "COMPILER_PATH" "GCC_EXEC_PREFIX" "CMAKE_*" "PKG_CONFIG*" "CCACHE_PREFIX*" "CCACHE_COMPILER"
    "CARGO" "CARGO_BUILD_*" "CARGO_TARGET_*" "CARGO_ENCODED_*" "CARGO_ALIAS_*" "RUSTC" "RUSTC_*" "RUSTDOC" "RUSTDOCFLAGS"
    "RUSTUP_*" "MIRIFLAGS" "CARGO_HOST_*" "CARGO_PROFILE_*" "CARGO_UNSTABLE_*" "CARGO_CREDENTIAL_ALIAS_*"
    "GOFLAGS" "GOENV" "GOROOT" "GOTOOLCHAIN" "GOTOOLDIR" "GOAUTH" "GOCACHEPROG" "GOWORK" "GODEBUG" "GCCGO*" "CGO_*" "CLOUDSDK_PYTHON*"
    "FC" "F77" "OBJC" "NM" "RANLIB" "STRIP" "LIBTOOL" "M4" "YACC" "LEX" "AWK" "SED" "GREP" "TAR" "INSTALL" "PYTHON" "PERL" "RUBY" "NODE" "BASH"
    "AUTOCONF" "AUTOMAKE" "AUTOM4TE" "AUTOHEADER" "AUTORECONF" "ACLOCAL*" "BISON_PKGDATADIR" "HOST_CC" "HOST_CXX" "TARGET_CC" "TARGET_CXX"
    "CPATH" "*_INCLUDE_PATH" "LIBRARY_PATH" "LIBPATH" "SHLIB_PATH" "CCACHE_*" "DISTCC_*" "ICECC_*" "SCONSFLAGS" "QMAKE*" "SWIFT_*EXEC"
    "BAZEL_*" "USE_BAZEL_VERSION" "VCPKG_ROOT" "VCPKG_OVERLAY_*" "VCPKG_KEEP_ENV_VARS" "DEVELOPER_DIR" "SDKROOT" "TOOLCHAINS"
    // gradle, maven, sbt, leiningen, Spring, logback, Spark, Hadoop: homes with scripts, settings that name classes.
    "GRADLE_USER_HOME" "GRADLE_HOME" "M2_HOME" "MAVEN_HOME" "MAVEN_USER_HOME" "MAVEN_BASEDIR" "MAVEN_CONFIG" "ANT_HOME" "SBT_HOME" "LEIN_HOME"
    "CLJ_CONFIG" "GROOVY_HOME" "SCALA_HOME" "KOTLIN_HOME" "JRUBY_HOME" "JRE_HOME" "JDK_HOME" "CATALINA_*" "SPRING_APPLICATION_JSON"
    "SPRING_CONFIG_*" "LOADER_*" "LOGGING_CONFIG" "LOG4J_CONFIG*" "SPARK_HOME" "SPARK_CONF_DIR" "PYSPARK_*" "HADOOP_HOME" "HADOOP_CONF_DIR"
    // Shells, version managers and nix: files that are sourced, places that commands are found in.
    "STARSHIP_CONFIG" "DIRENV_*" "ASDF_*" "MISE_*_DIR" "MISE_*_FILE" "MISE_ENV*" "MISE_TRUSTED*" "MISE_YES" "NIX_*" "GUIX_*" "PYENV_*"
    "RBENV_*" "PERLBREW_*" "NVM_*" "FNM_*" "VOLTA_*" "VIRTUAL_ENV" "CONDA_EXE" "CONDA_PREFIX*" "CONDA_PYTHON_EXE" "CONDARC" "MAMBA_EXE"
    "FISH_*PATH*" "__FISH_*" "PSMODULEPATH" "MISE_SHIMS*" "PNPM_HOME" "BUN_INSTALL*" "WINELOADER" "WINESERVER" "WINEDLLOVERRIDES" "WINEPREFIX"
    // ansible, terraform, kubectl: settings that name plug-ins and programs.
    "KUBECTL_*" "COMPOSE_*" "BUILDX_*" "CONTAINERS_*" "TESTCONTAINERS_*" "VAGRANT_HOME" "VAGRANT_VAGRANTFILE" "VAGRANT_CWD"
    "VAGRANT_DOTFILE_PATH" "PACKER_CONFIG*" "TERRAGRUNT_*" "TG_TF_PATH" "TERRAFORM_CONFIG" "TF_DATA_DIR" "PULUMI_HOME" "DBT_PROFILES_DIR"
    "DBT_PROJECT_DIR" "GOOGLE_EXTERNAL_ACCOUNT_*" "CLOUDSDK_ROOT_DIR" "CLOUDSDK_COMPONENT_MANAGER_*" "AWS_DATA_PATH" "AZURE_EXTENSION_DIR"
    "SONAR_SCANNER_JAVA_EXE_PATH" "SONARQUBE_SCANNER_PARAMS" "K9SCONFIG" "SQLCMDINI" "SQLPATH" "ORACLE_PATH" "LIBMYSQL_PLUGIN*"
    // ssh(1), gpg(1), pass, borg, sasl, pkcs11: helpers and modules.
    "SSH_SK_*" "SSH_PKCS11_HELPER" "PINENTRY_USER_DATA" "PASSWORD_STORE_*" "BORG_PASSCOMMAND" "BORG_REMOTE_PATH" "SASL_PATH" "SASL_CONF_PATH"
    "PKCS11_MODULE_PATH" "PKCS11_PROVIDER_MODULE" "SOFTHSM2_CONF" "OPENSC_*" "P11_KIT_*" "LFTP_HOME" "LFTP_MODULE_PATH" "GCM_*"
    "HGMERGE" "JJ_CONFIG" "P4DIFF" "P4MERGE" "P4CONFIG" "P4ENVIRO" "GH_PATH" "GH_CONFIG_DIR" "GLAB_CONFIG_DIR" "DIFFPROG" "BAT_CONFIG_PATH"
    "ANSIBLE_*" "TF_CLI_*" "TF_REATTACH_PROVIDERS" "TF_PLUGIN_CACHE_DIR" "KUBECONFIG" "HELM_PLUGINS" "KREW_ROOT"
    // Toolkits and libraries that load modules: gtk, glib, qt, gstreamer, gdk-pixbuf, mesa, vulkan, tk.
    "GTK_*MODULES" "GTK_PATH" "GTK_EXE_PREFIX" "GIO_EXTRA_MODULES" "GIO_MODULE_DIR" "QT_PLUGIN_PATH" "QT_QPA_PLATFORM_PLUGIN_PATH" "QML*_IMPORT_PATH" "GST_PLUGIN*"
    "GDK_PIXBUF_MODULE*" "LIBGL_DRIVERS_PATH" "VK_ICD*" "VK_LAYER_*" "VK_INSTANCE_LAYERS" "VK_LOADER_*" "OPENSSL_*" "MALLOC_*" "SUDO_*"
    "MAGICK_*" "GDAL_DRIVER_PATH" "GDAL_PYTHON_DRIVER_PATH" "OCL_ICD_*" "CUDA_INJECTION*" "OMP_TOOL_LIBRARIES" "LADSPA_PATH" "LV2_PATH"
    "LIBVA_*" "VDPAU_*" "VALGRIND_*" "TEXINPUTS" "NVIM_*" "EMACSDATA" "EMACSPATH"
};

const REDIRECT: &str = rules! {
    // A name with this ending is a host that SDKs and package managers send credentials to, or take code from.
    "*_ENDPOINT" "*_ENDPOINTS" "*_ENDPOINT_URL*" "*_EMULATOR_HOST" "*_REGISTRY_URL" "*_REPOSITORY_URL" "*_PUBLISH_URL" "*_INDEX_URL"
    "*_MIRROR" "*_BINARY_SITE" "*_BINARY_HOST*" "*_HOST_URL" "*_CDNURL" "*_DOWNLOAD_HOST"
    // curl(1), Go's net/http, Python's urllib, which takes any case.
    "*_PROXY" "RSYNC_PROXY" "*_PROXY_URL"
    // Trust anchors and certificate checks: openssl(1), curl(1), requests, node(1), python(1), lwp, httplib2, nix, deno, grpc, git(1).
    "SSL_CERT_*" "*CA_BUNDLE" "*_CACERT" "*_CAPATH" "*_CA_CERTS" "*_CA_FILE" "*_CA_PATH" "NODE_TLS_REJECT_UNAUTHORIZED"
    "PYTHONHTTPSVERIFY" "PERL_LWP_SSL_*" "NIX_SSL_CERT_FILE" "DENO_CERT" "DENO_TLS_CA_STORE" "*_SKIP_VERIFY"
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" "SSLKEYLOGFILE" "GIT_SSL_*" "GIT_HTTP_*" "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"
    // The resolver: resolv.conf(5), hostname(7).
    "RES_OPTIONS" "LOCALDOMAIN" "HOSTALIASES"
    // Where clouds and their tools look: AWS SDKs reference, azure-identity, gcloud topic configurations.
    "AWS_ENDPOINT_*" "AWS_*_FULL_URI" "AWS_*_RELATIVE_URI" "AWS_EC2_METADATA_*" "*_ENDPOINT_URL" "AZURE_AUTHORITY_HOST"
    "AZURE_POD_IDENTITY_AUTHORITY_HOST" "IDENTITY_ENDPOINT" "MSI_ENDPOINT" "IMDS_ENDPOINT" "CLOUDSDK_API_ENDPOINT_*"
    "CLOUDSDK_PROXY_*" "GCE_METADATA_*" "OTEL_EXPORTER_*_ENDPOINT"
    // docker(1), podman(1), kubectl, helm.
    "DOCKER_HOST" "DOCKER_CONTEXT" "DOCKER_CERT_PATH" "DOCKER_TLS*" "CONTAINER_HOST" "BUILDKIT_HOST" "KUBERNETES_MASTER"
    "KUBERNETES_SERVICE_*" "HELM_KUBE*"
    // Where packages come from: pip, uv, poetry, npm, yarn, corepack, gem, bundler, cargo, go, composer.
    "PIP_*" "UV_INDEX" "UV_INDEX_URL" "UV_DEFAULT_INDEX" "UV_EXTRA_INDEX_URL" "UV_FIND_LINKS" "UV_PYTHON*" "UV_CONFIG_FILE" "POETRY_REPOSITORIES_*" "YARN_NPM_REGISTRY_SERVER"
    "YARN_REGISTRY" "COREPACK_NPM_REGISTRY" "RUBYGEMS_HOST" "BUNDLE_MIRROR_*" "CARGO_REGISTRIES_*_INDEX" "CARGO_HTTP_*"
    "CARGO_NET_*" "CARGO_SOURCE_*" "GOPROXY" "GOSUMDB" "GONOSUMDB" "GONOSUMCHECK" "GONOPROXY" "GOINSECURE" "GOPRIVATE"
    "GOVCS" "TWINE_REPOSITORY*" "TWINE_CERT" "UV_*_URL" "UV_INSECURE_HOST" "PDM_PUBLISH_REPO" "PDM_PYPI_URL" "HATCH_INDEX_REPO"
    "YARN_NPM_PUBLISH_REGISTRY" "BUN_CONFIG_REGISTRY" "CARGO_REGISTRY_DEFAULT" "CARGO_REGISTRY_INDEX" "HEX_API_URL" "HEX_UNSAFE_*"
    "PUB_HOSTED_URL" "FLUTTER_STORAGE_BASE_URL" "MVNW_REPOURL" "COURSIER_REPOSITORIES" "CONDA_CHANNEL*" "CONDA_DEFAULT_CHANNELS"
    "BAZELISK_BASE_URL" "BAZELISK_FORMAT_URL" "HOMEBREW_*_REMOTE" "HOMEBREW_*_DOMAIN" "DEBUGINFOD_URLS" "NPM_REGISTRY"
    // Clients that send their key or password to the host that is named: vault, consul, nomad, etcdctl, gh, glab,
    // psql(1), mysql(1), the SDKs of openai and anthropic, sentry-cli.
    "VAULT_ADDR" "VAULT_AGENT_ADDR" "BAO_ADDR" "CONSUL_HTTP_ADDR" "NOMAD_ADDR" "ETCDCTL_ENDPOINTS" "GH_HOST" "GITLAB_HOST"
    "GITHUB_API_URL" "GITHUB_SERVER_URL" "PGHOST" "PGHOSTADDR" "PGSERVICE*" "PGSYSCONFDIR" "PGSSL*" "PGGSS*" "PGREQUIRE*"
    "PGCHANNELBINDING" "PGOPTIONS" "MYSQL_HOST" "MYSQL_TCP_PORT" "MYSQL_UNIX_PORT" "OPENAI_BASE_URL" "OPENAI_API_BASE"
    "ANTHROPIC_BASE_URL" "OPENROUTER_BASE_URL" "DEEPSEEK_BASE_URL" "COHERE_BASE_URL" "LANGFUSE_HOST" "SENTRY_URL" "JFROG_URL"
    "VAULT_*_ADDR" "BAO_*_ADDR" "BOUNDARY_ADDR" "VAULT_TLS_SERVER_NAME" "DOPPLER_API_HOST" "INFISICAL_API_URL" "INFISICAL_DOMAIN"
    "OP_CONNECT_HOST" "BWS_SERVER_URL" "CONJUR_APPLIANCE_URL" "AKEYLESS_GATEWAY_URL" "TELEPORT_PROXY" "TELEPORT_AUTH_SERVER" "STEP_CA_URL"
    "ARGOCD_SERVER" "ARGO_SERVER" "RANCHER_URL" "OS_AUTH_URL" "PULUMI_BACKEND_URL" "PULUMI_API" "TFE_ADDRESS" "TFE_HOSTNAME" "TF_HTTP_*ADDRESS"
    "TF_CLOUD_HOSTNAME" "VAGRANT_SERVER_URL" "HEROKU_HOST" "HEROKU_API_URL" "HEROKU_GIT_HOST" "FLY_API_BASE_URL" "FLY_FLAPS_BASE_URL"
    "DIGITALOCEAN_API_URL" "LINODE_URL" "SCW_API_URL" "GOOGLE_CLOUD_UNIVERSE_DOMAIN" "CLOUDSDK_CORE_UNIVERSE_DOMAIN" "CLOUDSDK_AUTH_*_HOST"
    "OPENAI_API_HOST" "ANTHROPIC_*_BASE_URL" "GOOGLE_*_BASE_URL" "GROQ_BASE_URL" "MISTRAL_BASE_URL" "CO_API_URL" "OLLAMA_HOST"
    "REPLICATE_API_BASE_URL" "WANDB_BASE_URL" "MLFLOW_TRACKING_URI" "COMET_URL_OVERRIDE" "DATABRICKS_HOST" "SNOWFLAKE_HOST" "INFLUX_HOST"
    "CQLSH_HOST" "SQLCMDSERVER" "TWO_TASK" "PGPORT" "P4PORT" "P4TRUST" "DD_SITE" "DD_URL" "DD_DD_URL" "DD_AGENT_HOST" "DD_TRACE_AGENT_URL"
    "DATADOG_HOST" "DATADOG_SITE" "NEW_RELIC_HOST" "ELASTIC_APM_SERVER_URL" "SENTRY_PROPERTIES" "SNYK_API" "CODECOV_URL" "CODECOV_API_URL"
    "TURBO_API" "TURBO_LOGIN" "NX_CLOUD_API" "CYPRESS_API_URL" "PLAYWRIGHT_SERVICE_URL" "LIBVIRT_DEFAULT_URI" "VIRSH_DEFAULT_CONNECT_URI"
    "CONTAINER_CONNECTION" "CONTAINERD_ADDRESS" "LDAPURI" "NNTPSERVER" "SE_REMOTE_URL"
    // Addresses that a CI service gives its jobs: job tokens go there.
    "CI_API_*" "CI_SERVER_*" "CI_REGISTRY" "CI_REPOSITORY_URL" "CI_DEPENDENCY_PROXY_SERVER" "GITHUB_GRAPHQL_URL" "ACTIONS_*_URL" "GL_HOST"
    "GITLAB_API_HOST" "GITLAB_URI" "GITEA_SERVER_URL" "DRONE_SERVER" "WOODPECKER_SERVER" "JENKINS_URL"
    // Sockets of agents and buses: ssh-agent(1), dbus-daemon(1), X(7).
    "SSH_AUTH_SOCK" "SSH_AGENT_PID" "GPG_AGENT_INFO" "DBUS_*" "DISPLAY" "WAYLAND_DISPLAY" "XAUTHORITY"
};

const MOVE: &str = rules! {
    // environ(7), the XDG base directories, terminfo(5), locale(7).
    "HOME" "USER" "LOGNAME" "PWD" "OLDPWD" "TMPDIR" "TMP" "TEMP" "TEMPDIR" "XDG_*" "TERMINFO*" "TERMCAP" "NLSPATH" "TZDIR"
    "MANPATH" "HOSTNAME"
    // Files that name hosts, programs or credentials in their turn.
    "AWS_CONFIG_FILE" "AWS_SHARED_CREDENTIALS_FILE" "AWS_WEB_IDENTITY_TOKEN_FILE" "BOTO_CONFIG" "CLOUDSDK_CONFIG"
    "CLOUDSDK_ACTIVE_CONFIG_NAME" "AZURE_CONFIG_DIR" "DOCKER_CONFIG" "REGISTRY_AUTH_FILE" "HELM_*_CONFIG" "HELM_*_HOME"
    "CURL_HOME" "WGETRC" "NETRC" "GNUPGHOME" "PGPASSFILE" "MYSQL_HOME" "ODBC*INI" "ODBCSYSINI" "TNS_ADMIN" "ORACLE_HOME"
    "KRB5*" "LDAPCONF" "LDAPRC" "LDAPTLS_*" "HGRCPATH" "SCREENRC" "TMUX*" "CARGO_HOME" "GOPATH" "GOBIN" "COMPOSER_HOME"
    "VOLTA_HOME" "NVM_DIR" "RCLONE_CONFIG" "RCLONE_CONFIG_DIR" "DATABRICKS_CONFIG_FILE" "SNOWFLAKE_HOME" "INFLUX_CONFIGS_PATH" "TELEPORT_HOME"
    "OS_CLIENT_CONFIG_FILE" "HF_HOME" "SONAR_USER_HOME" "KUBECACHEDIR" "GOMODCACHE" "GOCACHE" "GOTMPDIR" "CARGO_INSTALL_ROOT" "PUB_CACHE"
    "ANDROID_HOME" "ANDROID_SDK_ROOT" "FLUTTER_ROOT" "CONAN_HOME" "CONAN_USER_HOME" "JENKINS_HOME" "P4TICKETS" "CREDENTIALS_DIRECTORY"
    "RUNNER_TEMP" "RUNNER_TOOL_CACHE" "AZURE_FEDERATED_TOKEN_FILE"
    // git(1): repositories, objects and traces, which are files that it writes.
    "GIT_WORK_TREE" "GIT_INDEX_FILE" "GIT_*OBJECT_DIRECTORIES" "GIT_OBJECT_DIRECTORY" "GIT_COMMON_DIR" "GIT_NAMESPACE"
    "GIT_CEILING_DIRECTORIES" "GIT_DISCOVERY_*" "GIT_TRACE*" "GIT_REDIRECT_*" "GIT_ATTR_*" "GIT_ALLOW_PROTOCOL"
    // Files that a CI service reads back from a step: GitHub's workflow commands.
    "GITHUB_ENV" "GITHUB_PATH" "GITHUB_OUTPUT" "GITHUB_STATE" "GITHUB_STEP_SUMMARY"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_60_what_runs_code_redirects_or_moves_is_refused_in_any_case() {
        for bad in [
            "LD_PRELOAD",
            "PATH",
            "BASH_ENV",
            "NODE_OPTIONS",
            "GIT_SSH_COMMAND",
            "ld_preload",
            "HTTP_PROXY",
            "https_proxy",
            "All_Proxy",
            "no_proxy",
            "SSL_CERT_FILE",
            "CURL_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "GIT_SSL_NO_VERIFY",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "DOCKER_HOST",
            "KUBECONFIG",
            "PIP_INDEX_URL",
            "npm_config_registry",
            "NPM_CONFIG_REGISTRY",
            "HOME",
            "XDG_CONFIG_HOME",
            "VAULT_ADDR",
            "KUBE_EDITOR",
            "SBT_OPTS",
            "CARGO_REGISTRIES_MINE_INDEX",
            "GITHUB_PATH",
            "KEYVAULT_PASSPHRASE",
            "keyvault_token",
            "TAR_OPTIONS",
            "GRADLE_USER_HOME",
            "COMPOSE_FILE",
            "KUBECTL_EXTERNAL_DIFF",
            "PUPPETEER_EXECUTABLE_PATH",
            "CMAKE_MAKE_PROGRAM",
            "Python3_EXECUTABLE",
            "RESTIC_PASSWORD_COMMAND",
            "AIRFLOW__CORE__SQL_ALCHEMY_CONN_CMD",
            "CARGO_BUILD_RUSTC_WRAPPER",
            "CARGO_REGISTRIES_MINE_CREDENTIAL_PROVIDER",
            "ASAN_OPTIONS",
            "SPRING_CONFIG_LOCATION",
            "ELECTRON_RUN_AS_NODE",
            "DOTNET_STARTUP_HOOKS",
            "GOAUTH",
            "NIX_CONFIG",
            "TF_CLI_ARGS_plan",
            "HELM_PLUGINS",
            "TWINE_REPOSITORY_URL",
            "UV_PUBLISH_URL",
            "HF_ENDPOINT",
            "SONAR_HOST_URL",
            "CI_API_V4_URL",
            "CI_SERVER_URL",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "AWS_ENDPOINT_URL_DYNAMODB",
            "FIRESTORE_EMULATOR_HOST",
            "PUPPETEER_DOWNLOAD_HOST",
            "OS_AUTH_URL",
            "BUILDKIT_HOST",
            "ANTHROPIC_VERTEX_BASE_URL",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text_wherever_it_is() {
        for (rule, name, expected) in [
            ("A_B", "A_B", true),
            ("A_B", "A_BC", false),
            ("*_B", "A_B", true),
            ("*_B", "_B", true),
            ("A_*", "A_", true),
            ("A_*_B", "A_X_B", true),
            ("A_*_B", "A_B", false),
            ("*_X*", "A_X", true),
            ("*_X*", "A_X_B", true),
            ("*_X*", "AX_B", false),
            ("A*B*C", "AXBXC", true),
            ("A*B*C", "ABC", true),
            ("A*B*C", "AC", false),
        ] {
            assert_eq!(Rule(rule).matches(name), expected, "{rule} {name}");
        }
    }

    #[test]
    fn what_holds_a_key_is_taken() {
        for good in [
            "STRIPE_KEY",
            "DATABASE_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "NPM_TOKEN",
            "NODE_AUTH_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_MINE_TOKEN",
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "GIT_TOKEN",
            "VAULT_TOKEN",
            "PGPASSWORD",
            "OPENAI_API_KEY",
            "SENTRY_DSN",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "DENO_AUTH_TOKENS",
            "COMPOSER_AUTH",
            "GEM_HOST_API_KEY",
            "BUNDLE_RUBYGEMS__PKG__GITHUB__COM",
            "POETRY_HTTP_BASIC_MINE_PASSWORD",
            "UV_PUBLISH_TOKEN",
            "YARN_NPM_AUTH_TOKEN",
            "TF_VAR_password",
            "GOOGLE_API_KEY",
            "AZURE_CLIENT_SECRET",
            "DOCKER_PASSWORD",
            "spring.datasource-password",
            "MYAPP_OPTIONS",
            "MYAPP_ENDPOINT_KEY",
            "STRIPE_API_URL",
            "STRIPE_WEBHOOK_SECRET",
            "REDIS_URL",
            "SMTP_HOST",
            "SLACK_WEB_HOOK",
            "API_BASE_URL",
            "CI_JOB_TOKEN",
            "CI_REGISTRY_PASSWORD",
            "CC_TEST_REPORTER_ID",
            "SONAR_TOKEN",
            "HF_TOKEN",
            "TWINE_PASSWORD",
            "TWINE_USERNAME",
            "HEX_API_KEY",
            "NUGET_API_KEY",
            "UV_INDEX_MINE_PASSWORD",
            "TURBO_TOKEN",
            "NX_CLOUD_ACCESS_TOKEN",
            "CYPRESS_RECORD_KEY",
            "PLAYWRIGHT_SERVICE_ACCESS_TOKEN",
            "MISE_GITHUB_TOKEN",
            "HOMEBREW_GITHUB_API_TOKEN",
            "BUN_CONFIG_TOKEN",
            "SOPS_AGE_KEY",
            "RESTIC_PASSWORD",
            "BORG_PASSPHRASE",
            "RCLONE_CONFIG_PASS",
            "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY",
            "AIRFLOW__CORE__FERNET_KEY",
            "ORG_GRADLE_PROJECT_signingKey",
            "COURSIER_CREDENTIALS",
            "MVNW_PASSWORD",
            "CLOUDSDK_AUTH_ACCESS_TOKEN",
            "HELM_DRIVER_SQL_CONNECTION_STRING",
            "TF_TOKEN_app_terraform_io",
            "OS_PASSWORD",
            "PGDATABASE",
            "P4PASSWD",
            "SSH_PRIVATE_KEY",
            "VAGRANT_CLOUD_TOKEN",
            "FASTLANE_SESSION",
            "SQLCMDPASSWORD",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "XPATH",
            "COMMAND",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
    }
}
