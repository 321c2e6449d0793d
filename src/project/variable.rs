//! Which variables a project file may set.
//!
//! Everything that `name::EnvName` refuses, in any case; and what makes a program run or load something, look for its
//! settings, send its requests or put its trust elsewhere than its user meant. None of these holds a key, so whoever
//! shares a project loses nothing: who does need one sets it in the shell, or with `--as`.
//!
//! Collected from the manuals of what is named beside each group. The list cannot be complete, as any program may
//! invent a variable; what it lacks is still shown and asked for before the file does anything.

use crate::name::{EnvName, NameError};

/// Why a project file may not set a variable.
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

/// Checks a variable of a project file.
pub fn parse(text: &str) -> Result<EnvName, Refused> {
    let name = EnvName::parse(text)?;
    // Python, npm and curl read some of theirs in any case.
    let upper = text.to_ascii_uppercase();
    EnvName::parse(&upper)?;
    let matching = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(&upper));
    match () {
        () if matching(RUN_CODE) => Err(Refused::RunsCode),
        () if matching(REDIRECT) => Err(Refused::Redirects),
        () if matching(MOVE) => Err(Refused::Moves),
        () => Ok(name),
    }
}

/// Variables by their name in upper case; `*` stands for any text, at one end or once within.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule(pub(super) &'static str);

impl Rule {
    fn matches(self, upper: &str) -> bool {
        match self.0.split_once('*') {
            None => upper == self.0,
            Some((start, end)) => {
                upper.len() >= start.len() + end.len() && upper.starts_with(start) && upper.ends_with(end)
            }
        }
    }
}

/// Every rule beside those of `name::EnvName`.
pub(super) fn rules() -> impl Iterator<Item = Rule> {
    RUN_CODE.iter().chain(REDIRECT).chain(MOVE).copied()
}

macro_rules! rules {
    ($($text:literal)*) => { &[$(Rule($text)),*] };
}

const RUN_CODE: &[Rule] = rules! {
    // bash(1), zshall(1), dash(1), readline(3): prompts are expanded, files are read, loadable builtins are found.
    "PS0" "PS1" "PS2" "PS3" "CDPATH" "FPATH" "INPUTRC" "BASH_*" "PROMPT" "PROMPT_COMMAND*" "FCEDIT" "HISTFILE" "MAILPATH" "EXECIGNORE"
    // Whatever a tool calls so is started by it: git(1), kubectl, systemctl(1), psql(1), sudo(8), ssh(1).
    "*EDITOR" "*_PAGER" "*_ASKPASS" "*_RSH" "SVN_SSH" "RSYNC_CONNECT_PROG" "GIT_SSH*"
    // vim(1), less(1), more(1), lesskey(1): options that run commands.
    "FZF_DEFAULT_*" "RIPGREP_CONFIG_PATH" "VIMINIT" "GVIMINIT" "EXINIT" "MYVIMRC" "VIM" "VIMRUNTIME" "EMACSLOADPATH" "LESS" "LESSKEY*" "MORE" "PSQLRC"
    // Options of virtual machines, which load agents: java(1), maven, sbt, gradle, ant.
    "*_OPTS" "JVM_OPTIONS" "MAVEN_ARGS" "ANT_ARGS" "JAVA_HOME" "JAVACMD" "*_JAVA_OPTIONS" "JAVA_OPTIONS"
    // node(1), npm config, ts-node, electron, bun, yarn: modules that are loaded, scripts that are run.
    "NPM_CONFIG_*" "NODE_REPL_EXTERNAL_MODULE" "NODE_V8_COVERAGE" "TS_NODE_*" "ELECTRON_RUN_AS_NODE" "BUN_OPTIONS"
    "NPM_EXECPATH" "ESBUILD_BINARY_PATH" "YARN_RC_FILENAME" "YARN_YARN_PATH" "YARN_PLUGINS"
    // python(1), pytest, django, perlrun(1), cpan, ruby(1), bundler, lua(1), php(1), R(1), julia(1), erl(1).
    "PYTHONWARNINGS" "PYTHONPLATLIBDIR" "PYTHONEXECUTABLE" "PYTHONPYCACHEPREFIX" "PYTHON_KEYRING_BACKEND"
    "GUNICORN_CMD_ARGS" "FLASK_APP" "PYTEST_ADDOPTS" "PYTEST_PLUGINS" "DJANGO_SETTINGS_MODULE" "PERL5*" "PERL_M*_OPT" "PERL_CPANM_OPT"
    "PERL_LOCAL_LIB_ROOT" "RUBYPATH" "RUBYSHELL" "BUNDLE_GEMFILE" "BUNDLE_PATH" "BUNDLE_BIN*" "LUA_*" "R_LIBS*"
    "R_ENVIRON*" "R_HOME" "JULIA_*" "ERL_*FLAGS" "ERL_LIBS" "ELIXIR_ERL_OPTIONS" "GUILE_*" "TCLLIBPATH" "OCAMLPATH"
    "CAML_LD_LIBRARY_PATH" "GHC_PACKAGE_PATH" "DOTNET_*" "COMPLUS_*" "CORECLR_*" "COR_ENABLE_PROFILING"
    // make(1), cc, cargo, go, cmake, pkg-config, ccache: programs, flags and places of a build.
    "CONFIG_SHELL" "CONFIG_SITE" "MAKE" "MAKEFILES" "MAKEFLAGS" "GNUMAKEFLAGS" "CC" "CXX" "LD" "AR" "AS" "CPP" "*CFLAGS" "*CXXFLAGS" "*CPPFLAGS"
    "*LDFLAGS" "COMPILER_PATH" "GCC_EXEC_PREFIX" "CMAKE_*" "PKG_CONFIG*" "CCACHE_PREFIX*" "CCACHE_COMPILER"
    "CARGO" "CARGO_BUILD_*" "CARGO_TARGET_*" "CARGO_ENCODED_*" "CARGO_ALIAS_*" "RUSTC" "RUSTC_*" "RUSTDOC" "RUSTDOCFLAGS"
    "RUSTUP_*" "GOFLAGS" "GOENV" "GOROOT" "GOTOOLCHAIN" "GOTOOLDIR" "CGO_*" "CLOUDSDK_PYTHON*"
    // ansible, terraform, kubectl: settings that name plug-ins and programs.
    "ANSIBLE_*" "TF_CLI_*" "TF_REATTACH_PROVIDERS" "TF_PLUGIN_CACHE_DIR" "KUBECONFIG" "HELM_PLUGINS" "KREW_ROOT"
    // Toolkits and libraries that load modules: gtk, glib, qt, gstreamer, gdk-pixbuf, mesa, vulkan, tk.
    "GTK_*MODULES" "GTK_PATH" "GTK_EXE_PREFIX" "GIO_EXTRA_MODULES" "GIO_MODULE_DIR" "QT_PLUGIN_PATH" "QT_QPA_PLATFORM_PLUGIN_PATH" "QML*_IMPORT_PATH" "GST_PLUGIN*"
    "GDK_PIXBUF_MODULE*" "LIBGL_DRIVERS_PATH" "VK_ICD*" "VK_LAYER_*" "VK_INSTANCE_LAYERS" "VK_LOADER_*" "OPENSSL_*" "MALLOC_*" "SUDO_*"
};

const REDIRECT: &[Rule] = rules! {
    // curl(1), Go's net/http, Python's urllib, which takes any case.
    "*_PROXY" "RSYNC_PROXY" "*_PROXY_URL"
    // What is trusted: openssl(1), curl(1), requests, node(1), python(1), lwp, httplib2, nix, deno, grpc, git(1).
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
    "GOVCS"
    // Clients that send their key or password to the host that is named: vault, consul, nomad, etcdctl, gh, glab,
    // psql(1), mysql(1), the SDKs of openai and anthropic, sentry-cli.
    "VAULT_ADDR" "VAULT_AGENT_ADDR" "BAO_ADDR" "CONSUL_HTTP_ADDR" "NOMAD_ADDR" "ETCDCTL_ENDPOINTS" "GH_HOST" "GITLAB_HOST"
    "GITHUB_API_URL" "GITHUB_SERVER_URL" "PGHOST" "PGHOSTADDR" "PGSERVICE*" "PGSYSCONFDIR" "PGSSL*" "PGGSS*" "PGREQUIRE*"
    "PGCHANNELBINDING" "PGOPTIONS" "MYSQL_HOST" "MYSQL_TCP_PORT" "MYSQL_UNIX_PORT" "OPENAI_BASE_URL" "OPENAI_API_BASE"
    "ANTHROPIC_BASE_URL" "SENTRY_URL"
    // Sockets of agents and buses: ssh-agent(1), dbus-daemon(1), X(7).
    "SSH_AUTH_SOCK" "SSH_AGENT_PID" "GPG_AGENT_INFO" "DBUS_*" "DISPLAY" "WAYLAND_DISPLAY" "XAUTHORITY"
};

const MOVE: &[Rule] = rules! {
    // environ(7), the XDG base directories, terminfo(5), locale(7).
    "HOME" "USER" "LOGNAME" "PWD" "OLDPWD" "TMPDIR" "TMP" "TEMP" "TEMPDIR" "XDG_*" "TERMINFO*" "TERMCAP" "NLSPATH" "TZDIR"
    "MANPATH" "HOSTNAME"
    // Files that name hosts, programs or credentials in their turn.
    "AWS_CONFIG_FILE" "AWS_SHARED_CREDENTIALS_FILE" "AWS_WEB_IDENTITY_TOKEN_FILE" "BOTO_CONFIG" "CLOUDSDK_CONFIG"
    "CLOUDSDK_ACTIVE_CONFIG_NAME" "AZURE_CONFIG_DIR" "DOCKER_CONFIG" "REGISTRY_AUTH_FILE" "HELM_*_CONFIG" "HELM_*_HOME"
    "CURL_HOME" "WGETRC" "NETRC" "GNUPGHOME" "PGPASSFILE" "MYSQL_HOME" "ODBC*INI" "ODBCSYSINI" "TNS_ADMIN" "ORACLE_HOME"
    "KRB5*" "LDAPCONF" "LDAPRC" "LDAPTLS_*" "HGRCPATH" "SCREENRC" "TMUX*" "CARGO_HOME" "GOPATH" "GOBIN" "COMPOSER_HOME"
    "VOLTA_HOME" "NVM_DIR"
    // git(1): repositories, objects and traces, which are files that it writes.
    "GIT_WORK_TREE" "GIT_INDEX_FILE" "GIT_*OBJECT_DIRECTORIES" "GIT_OBJECT_DIRECTORY" "GIT_COMMON_DIR" "GIT_NAMESPACE"
    "GIT_CEILING_DIRECTORIES" "GIT_DISCOVERY_*" "GIT_TRACE*" "GIT_REDIRECT_*" "GIT_ATTR_*" "GIT_ALLOW_PROTOCOL"
    // What a CI service reads back from a step: GitHub's workflow commands.
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
        ] {
            assert!(parse(bad).is_err(), "{bad}");
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
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
    }
}
