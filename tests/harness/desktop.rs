//! A desktop for one test: a private message bus, and on it a real gnome-keyring, one that never answers, or none.
//!
//! The daemons are those that `tests/setup` installs. They get the test's HOME, so that nothing of the caller's is opened.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zbus::blocking::Connection;
use zbus::zvariant::OwnedObjectPath;

use super::{World, wait_until};

const NAME: &str = "org.freedesktop.secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";

/// Unlocks the keyring of every test.
const PASSWORD: &[u8] = b"of the desktop";

/// A message bus that ends with the test.
pub struct Bus {
    folder: PathBuf,
    daemon: Child,
    keyring: Option<Child>,
}

impl Bus {
    /// A bus without a keyring, which the world's commands find from here on.
    pub fn start(world: &mut World) -> Self {
        let folder = world.path().join("bus");
        std::fs::create_dir(&folder).unwrap();
        let socket = folder.join("socket");
        // Nothing is started by a name: what is to answer, the test starts.
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(folder.join("config"), config).unwrap();
        let daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", folder.join("config").display()))
            .args(["--nofork", "--nopidfile"])
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is needed; tests/setup installs it");
        // The socket is there a moment before the bus listens on it.
        wait_until("the bus", || UnixStream::connect(&socket).is_ok());
        world.set("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", socket.display()));
        world.set("XDG_RUNTIME_DIR", folder.to_str().unwrap());
        Self { folder, daemon, keyring: None }
    }

    /// A bus with an unlocked gnome-keyring.
    pub fn with_keyring(world: &mut World) -> Self {
        let mut bus = Self::start(world);
        bus.start_keyring(world);
        bus
    }

    /// Starts gnome-keyring, unlocked, on what it kept before.
    pub fn start_keyring(&mut self, world: &World) {
        let control = self.folder.join("control");
        std::fs::create_dir_all(&control).unwrap();
        let mut daemon = world
            .command("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .arg(format!("--control-directory={}", control.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon is needed; tests/setup installs it");
        daemon.stdin.take().unwrap().write_all(PASSWORD).unwrap();
        self.keyring = Some(daemon);
        let bus = self.connect();
        wait_until("the default collection", || {
            let reply = bus.call_method(
                Some(NAME),
                "/org/freedesktop/secrets",
                Some(SERVICE),
                "ReadAlias",
                &("default"),
            );
            reply.is_ok_and(|reply| {
                reply.body().deserialize::<OwnedObjectPath>().is_ok_and(|path| path.as_str() != "/")
            })
        });
    }

    /// Ends the keyring's process, as a logout does.
    pub fn stop_keyring(&mut self) {
        if let Some(mut daemon) = self.keyring.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let bus = self.connect();
        wait_until("the name's end", || {
            let owned = bus.call_method(
                Some("org.freedesktop.DBus"),
                "/org/freedesktop/DBus",
                Some("org.freedesktop.DBus"),
                "NameHasOwner",
                &(NAME),
            );
            owned.is_ok_and(|reply| reply.body().deserialize::<bool>() == Ok(false))
        });
    }

    /// Locks the keyring, as a screen lock of some desktops does.
    pub fn lock_keyring(&self) {
        let all = vec![OwnedObjectPath::try_from("/org/freedesktop/secrets/collection/login").unwrap()];
        let reply =
            self.connect().call_method(Some(NAME), "/org/freedesktop/secrets", Some(SERVICE), "Lock", &(all));
        let (locked, _): (Vec<OwnedObjectPath>, OwnedObjectPath) =
            reply.unwrap().body().deserialize().unwrap();
        assert_eq!(locked.len(), 1);
    }

    /// The keyring's process and the bus's, stopped or going on.
    pub fn signal_keyring(&self, signal: &str) {
        kill(self.keyring.as_ref().unwrap(), signal);
    }

    /// Sends a signal to the bus.
    pub fn signal_bus(&self, signal: &str) {
        kill(&self.daemon, signal);
    }

    /// Somebody who has the keyring's name and never answers. It ends when this is dropped.
    pub fn mute_service(&self) -> Connection {
        let bus = self.connect();
        bus.request_name(NAME).unwrap();
        bus
    }

    /// How often the keyring was asked for a secret while `act` ran.
    pub fn reads_of(&self, world: &World, act: impl FnOnce()) -> usize {
        const MARK: &str = "ThisIsTheEndOfTheTest";
        let heard = self.folder.join("heard");
        let out = std::fs::File::create(&heard).unwrap();
        let mut monitor = world
            .command("dbus-monitor")
            .args(["--address", &self.address(), "type='method_call'"])
            .stdout(out)
            .spawn()
            .expect("dbus-monitor is needed; tests/setup installs it");
        let text = || String::from_utf8_lossy(&std::fs::read(&heard).unwrap()).into_owned();
        wait_until("the monitor", || {
            self.mark("Begin");
            text().contains("Begin")
        });
        act();
        // Messages come in the order in which they were sent. The monitor writes in blocks unless there is more to write.
        wait_until("the end of what was heard", || {
            self.mark(MARK);
            text().contains(MARK)
        });
        monitor.kill().unwrap();
        monitor.wait().unwrap();
        text().matches("member=GetSecret").count()
    }

    fn mark(&self, member: &str) {
        let bus = self.connect();
        let _ = bus.call_method(Some("org.freedesktop.DBus"), "/", Some("org.example.Mark"), member, &());
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.folder.join("socket").display())
    }

    fn connect(&self) -> Connection {
        let address = self.address();
        let builder = zbus::blocking::connection::Builder::address(address.as_str()).unwrap();
        builder.method_timeout(Duration::from_secs(10)).build().unwrap()
    }

    /// The folder that gnome-keyring keeps its files in.
    pub fn kept(world: &World) -> PathBuf {
        world.home().join(".local/share/keyrings")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for daemon in self.keyring.iter_mut().chain([&mut self.daemon]) {
            // Also if it was stopped.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = std::fs::remove_file(self.folder.join("socket"));
    }
}

fn kill(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The vault's id in hexadecimal, as its pin has it.
pub fn vault_id(world: &World) -> String {
    let mut pins = std::fs::read_dir(world.pins()).unwrap().map(|entry| entry.unwrap().path());
    let pin = pins.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    let pin: serde_json::Value = serde_json::from_slice(&std::fs::read(pin).unwrap()).unwrap();
    pin["vault"].as_str().unwrap().to_owned()
}
