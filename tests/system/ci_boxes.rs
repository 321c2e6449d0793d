//! The examples of docs/ci.md for cron, containers and services: what these give a process is small and strange, so it is
//! built here from what the system has: namespaces instead of Docker, another user instead of systemd.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use pretty_assertions::assert_eq;

use crate::ci_stage::{DOC, Stage, shipped};
use crate::harness::finish;

/// The user of containers and services: nobody that the system knows.
const USER: u32 = 65532;

/// The token where it belongs to nobody but that machine.
fn private(stage: &Stage, path: &str) {
    let facts = std::fs::metadata(stage.at(path)).unwrap();
    assert_eq!((facts.mode() & 0o777, stage.text(path).starts_with("kvt_")), (0o600, true));
}

pub fn cron(stage: &Stage, blocks: &[&str]) {
    let [prepare, table] = blocks else { unreachable!() };
    stage.owner(prepare).ok();
    private(stage, "server/.config/ship-token");
    stage.owner("cp -r .keyvault.toml ship ../server/app").ok();
    let table = stage.placed(table);
    let mut command = stage.machine("/bin/sh", &stage.at("server"));
    command.env("PATH", "/usr/bin:/bin").env("HOME", stage.at("server"));
    command.env("LOGNAME", "ship").env("SHELL", "/bin/sh");
    let mut jobs = Vec::new();
    for line in table.lines() {
        match line.split_once('=') {
            Some((name, value)) if !name.contains(' ') => drop(command.env(name, value)),
            _ => jobs.push(line.splitn(6, ' ').collect::<Vec<_>>()),
        }
    }
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert!(job[..5].iter().all(|field| *field == "*" || field.parse::<u8>().is_ok()), "{job:?}");
    assert!(!job[5].contains('%'), "cron ends the line there");
    let ran = finish(command.args(["-c", job[5]]), b"").ok();
    shipped(&format!("{}{}", ran.out, ran.err));
    let reads = stage.at("server/.local/state/keyvault/reads");
    assert_eq!(std::fs::read_dir(reads).unwrap().count(), 1);
}

/// `docker`: `build` looks for the Dockerfile, `run` takes the options of the examples and refuses any other.
///
/// The container: namespaces of its own for mounts and processes, the image as root with the system's programs in it, its
/// user without capabilities, and no kernel keys: as Docker's default profile has it, the calls for these fail with EPERM.
const DOCKER: &str = r#"#!/bin/sh
set -e
case $* in 'build -t ship .') exec test -f Dockerfile ;; esac
[ "$1" = run ]; shift
. "$IMAGE.conf"
variables=$ENV; mounts=; readonly=
while [ $# -gt 0 ]; do
    case $1 in
        --rm) shift ;;
        --read-only) readonly=1; shift ;;
        --cap-drop) [ "$2" = ALL ]; shift 2 ;;
        -e) case $2 in *=*) variables="$variables $2" ;; *) variables="$variables $2=$(printenv "$2")" ;; esac; shift 2 ;;
        -v) mounts="$mounts $2"; shift 2 ;;
        --entrypoint) ENTRYPOINT=$2; CMD=; shift 2 ;;
        ship) shift; break ;;
        *) echo "docker: $1 is not known here" >&2; exit 64 ;;
    esac
done
[ $# -eq 0 ] || CMD=$*
export mounts readonly variables ENTRYPOINT CMD USER WORKDIR
exec strace -f -qq -o "$IMAGE.trace" -e trace=keyctl,add_key,request_key \
    -e inject=keyctl,add_key,request_key:error=EPERM unshare --mount --pid --fork sh -e -c '
    cd "$IMAGE"
    mount --make-rprivate /
    mount --bind . . && cd "$IMAGE"
    for folder in usr/bin usr/lib usr/lib64; do
        [ ! -d "/$folder" ] || { mkdir -p "$folder"; mount --bind "/$folder" "$folder"; }
    done
    for folder in bin lib lib64; do
        [ -e "$folder" ] || [ ! -e "/$folder" ] || ln -s "usr/$folder" "$folder"
    done
    mkdir -p proc dev; mount -t proc proc proc; touch dev/null; mount --bind /dev/null dev/null
    for mount in $mounts; do
        from=${mount%%:*} to=${mount#*:}; only=; case $to in *:ro) to=${to%:ro} only=ro ;; esac
        case $from in
            /*) mkdir -p "$(dirname ".$to")"; touch ".$to" ;;
            *) [ -e "$VOLUMES/$from" ] || cp -a ".$to" "$VOLUMES/$from"; from=$VOLUMES/$from ;;
        esac
        mount --bind "$from" ".$to"; [ -z "$only" ] || mount -o remount,bind,ro ".$to"
    done
    [ -z "$readonly" ] || mount -o remount,bind,ro "$IMAGE"
    exec chroot . /usr/bin/setpriv --reuid "${USER%:*}" --regid "${USER#*:}" --clear-groups --bounding-set=-all \
        /usr/bin/env -i -C "$WORKDIR" PATH=/usr/local/bin:/usr/bin:/bin HOME=/ $variables $ENTRYPOINT $CMD'
"#;

/// The words of `["a", "b"]`, which have no spaces here.
fn exec_form(text: &str) -> String {
    let words: Vec<String> = serde_json::from_str(text).expect("the exec form");
    assert!(words.iter().all(|word| !word.contains(' ')));
    words.join(" ")
}

/// Makes the image's folder, and the settings that `docker run` starts from.
fn build(stage: &Stage, dockerfile: &str) {
    let (image, repository) = (stage.at("image"), stage.at("repo"));
    let (mut folder, mut settings) = ("/".to_owned(), String::new());
    let inside = |folder: &str, path: &str| {
        let path = Path::new(folder).join(path.trim_start_matches("./"));
        image.join(path.strip_prefix("/").unwrap())
    };
    for line in dockerfile.lines().filter(|line| !line.starts_with('#')) {
        let (instruction, rest) = line.split_once(' ').unwrap();
        match instruction {
            "FROM" => std::fs::create_dir(&image).unwrap(),
            "WORKDIR" => {
                folder = rest.to_owned();
                std::fs::create_dir_all(inside(&folder, "")).unwrap();
                settings += &format!("WORKDIR={rest}\n");
            }
            "COPY" => {
                let mut words: Vec<_> = rest.split(' ').collect();
                let mode =
                    words[0].strip_prefix("--chmod=").map(|mode| u32::from_str_radix(mode, 8).unwrap());
                words.drain(..usize::from(mode.is_some()));
                let to = words.pop().unwrap();
                for from in words {
                    let target = inside(&folder, to);
                    let target = if to.ends_with('/') { target.join(from) } else { target };
                    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                    std::fs::copy(repository.join(from), &target).unwrap();
                    if let Some(mode) = mode {
                        std::fs::set_permissions(target, PermissionsExt::from_mode(mode)).unwrap();
                    }
                }
            }
            "RUN" => {
                let line = rest.replace(" /state", &format!(" {}/state", image.display()));
                assert_ne!(line, rest, "only what is made in the image is understood");
                finish(stage.world.command("sh").args(["-e", "-c", &line]), b"").ok();
            }
            "ENV" => settings += &format!("ENV='{rest}'\n"),
            "USER" => settings += &format!("USER={rest}\n"),
            "ENTRYPOINT" | "CMD" => settings += &format!("{instruction}='{}'\n", exec_form(rest)),
            _ => panic!("{line:?} is not understood"),
        }
    }
    std::fs::write(stage.at("image.conf"), settings).unwrap();
}

pub fn docker(stage: &Stage, blocks: &[&str]) {
    let [dockerfile, with_variable, with_file] = blocks else { unreachable!() };
    std::fs::write(stage.at("repo/Dockerfile"), dockerfile).unwrap();
    std::fs::copy(stage.at("bin/keyvault"), stage.at("repo/keyvault")).unwrap();
    // As bundle create leaves it: the page's COPY has to open it.
    std::fs::set_permissions(stage.at("repo/keys.kvb"), PermissionsExt::from_mode(0o600)).unwrap();
    build(stage, dockerfile);
    std::fs::create_dir_all(stage.at("volumes")).unwrap();
    std::fs::write(stage.at("bin/docker"), DOCKER).unwrap();
    std::fs::set_permissions(stage.at("bin/docker"), PermissionsExt::from_mode(0o755)).unwrap();
    let run = |lines: &str| {
        let token =
            if lines == *with_file { String::new() } else { format!("KEYVAULT_TOKEN={} ", stage.token()) };
        let settings = format!(
            "export {token}IMAGE={} VOLUMES={}\n",
            stage.at("image").display(),
            stage.at("volumes").display()
        );
        stage.owner(&(settings + lines))
    };
    let ran = run(with_variable).ok();
    shipped(&format!("{}{}", ran.out, ran.err));
    let reads = || stage.text("repo/keyvault-reads.jsonl").lines().count();
    assert_eq!(reads(), 1);
    stage.owner("keyvault audit import keyvault-reads.jsonl").ok();

    std::fs::create_dir_all(stage.at("etc/ship")).unwrap();
    let install = DOC.split('`').find(|code| code.starts_with("install -m 0400")).unwrap();
    stage.owner(&format!("cp ../cloud/token . && {install}")).ok();
    let ran = run(with_file).ok();
    shipped(&format!("{}{}", ran.out, ran.err));
    assert!(!ran.err.contains("Others can read"), "{}", ran.err);
    run(with_variable).ok();
    assert_eq!(reads(), 3, "the volume stays");
    // A read that cannot be recorded is refused.
    run("docker run --read-only -e KEYVAULT_TOKEN -e KEYVAULT_READS=/app/reads.jsonl ship")
        .fails(125, "/app/reads.jsonl");
}

pub fn systemd(stage: &Stage, blocks: &[&str]) {
    let [prepare, unit] = blocks else { unreachable!() };
    std::fs::create_dir_all(stage.at("srv/ship")).unwrap();
    stage.owner(prepare).ok();
    private(stage, "etc/ship/token");
    stage.owner("cp .keyvault.toml ship /srv/ship/").ok();
    let unit = stage.placed(unit);
    let file = stage.at("ship.service");
    std::fs::write(&file, &unit).unwrap();
    let verified =
        finish(stage.machine("systemd-analyze", stage.world.path()).arg("verify").arg(&file), b"").ok();
    assert_eq!(verified.err, "", "systemd understands all of it");

    let (credentials, state) = (stage.at("credentials"), stage.at("state"));
    for folder in [&credentials, &state] {
        std::fs::create_dir(folder).unwrap();
    }
    let own = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
    };
    let mut command = stage.machine("setpriv", stage.world.path());
    command.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()]);
    let mut started = false;
    let lines = unit.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    for (name, value) in lines.map(|line| line.split_once('=').unwrap()) {
        let value = value.replace("%d", credentials.to_str().unwrap()).replace("%S", state.to_str().unwrap());
        match name {
            "LoadCredential" => {
                let (name, source) = value.split_once(':').unwrap();
                std::fs::copy(source, credentials.join(name)).unwrap();
                own(&credentials.join(name), 0o400);
            }
            "StateDirectory" => {
                // Of a user that exists while the service runs: a link to where only that user gets.
                std::fs::create_dir_all(state.join("private").join(&value)).unwrap();
                own(&state.join("private").join(&value), 0o755);
                std::os::unix::fs::symlink(format!("private/{value}"), state.join(&value)).unwrap();
            }
            "Environment" => {
                let (name, value) = value.split_once('=').unwrap();
                command.env(name, value);
            }
            "WorkingDirectory" => drop(command.current_dir(&value)),
            "ExecStart" => {
                command.args(value.split(' '));
                started = true;
            }
            "DynamicUser" | "Type" | "KillMode" | "Description" | "WantedBy" => {}
            _ => panic!("{name} is not understood"),
        }
    }
    own(&credentials, 0o500);
    assert!(started);
    let ran = finish(&mut command, b"").ok();
    shipped(&format!("{}{}", ran.out, ran.err));
    assert!(!ran.err.contains("warning"), "{}", ran.err);
    let reads = DOC.split('`').find(|code| code.starts_with("/var/lib/")).unwrap();
    let logs = state.join(reads.strip_prefix("/var/lib/").unwrap());
    assert_eq!(std::fs::read_dir(logs).unwrap().count(), 1);
}
