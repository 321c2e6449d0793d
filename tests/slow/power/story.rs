//! Mixed sequences of commands, each acknowledged at a place on the tape.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use keyvault_core::clock::Moment;
use keyvault_core::crypto::Cost;
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::{Access, Creation, KeyRecord, Status, Vault, VaultError, World as VaultWorld, file};

use super::chance::Chance;
use super::deeds::{DEEDS, add, generate};
use super::disk::{Choice, Disk, Image, Lies};
use super::look::{Seen, Told, look, world};
use super::tape::{self, Name, PinFile, Tape, VAULT, pins_of};

/// A command returned Ok, or a chapter began.
#[derive(Debug)]
pub struct Mark {
    /// So much stood on the tape by then.
    pub at: usize,
    /// The pin that stood there then.
    pub pin: usize,
    pub deed: &'static str,
    /// The state that everybody may rely on from here on.
    pub seen: Option<Seen>,
    /// The files as they were, to hold the recording against.
    pub files: [u8; 32],
    /// True if the command puts the pin elsewhere, after its commit: a pin from before may speak against what it did.
    pub repins: bool,
}

/// Everything between two interruptions, and what was acknowledged meanwhile.
#[derive(Debug)]
pub struct Chapter {
    pub tape: Tape,
    pub marks: Vec<Mark>,
}

/// A vault's life.
pub struct Story {
    pub folder: PathBuf,
    pub code: RecoveryCode,
    pub chapters: Vec<Chapter>,
    _place: tempfile::TempDir,
}

/// Where a story happens.
pub struct Stage {
    pub folder: PathBuf,
    pub chance: Chance,
    pub clock: Told,
    /// Opens every vault of the story, without the work of a passphrase.
    pub code: RecoveryCode,
    pub passphrase: Passphrase,
    marks: Vec<Mark>,
    chapters: Vec<Chapter>,
    drawn: usize,
}

/// Tells the story of that seed: every deed once, in any order, and so many more.
pub fn tell(seed: u64, more: usize) -> Story {
    let place = tempfile::Builder::new().prefix("keyvault-power-").tempdir_in(memory()).unwrap();
    let folder = place.path().canonicalize().unwrap();
    let chance = Chance::of(seed);
    let code = RecoveryCode::create(&chance).unwrap();
    let passphrase = Passphrase::new(&SecretBytes::copy_from(b"correct horse battery staple")).unwrap();
    let clock = Told(Moment(1_800_000_000_000));
    let mut stage =
        Stage { folder, chance, clock, code, passphrase, marks: Vec::new(), chapters: Vec::new(), drawn: 0 };
    stage.begin("nothing yet");
    stage.create();
    generate(&mut stage);
    add(&mut stage);
    let mut deeds: Vec<_> = DEEDS.to_vec();
    let quick: Vec<_> = DEEDS.iter().filter(|deed| !deed.slow).copied().collect();
    deeds.extend((0..more).map(|_| *stage.chance.pick(&quick)));
    stage.chance.shuffle(&mut deeds);
    for deed in deeds {
        let pause = stage.chance.below(36 * 3_600_000);
        stage.clock.0 = stage.clock.0.plus_millis(i64::try_from(pause).unwrap());
        (deed.act)(&mut stage);
    }
    stage.end();
    Story { folder: stage.folder, code: stage.code, chapters: stage.chapters, _place: place }
}

/// A place where syncs cost nothing.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

impl Stage {
    fn create(&mut self) {
        let (passphrase, recovery) = (&self.passphrase, Some(&self.code));
        let creation = Creation { passphrase, cost: Cost::FLOOR, recovery };
        file::create(&self.path(), &creation, &self.world()).unwrap();
        // The vault moves the draft into place and syncs the folder; SQLite has no part in that.
        tape::folder_synced(&self.folder);
        self.done("init");
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(VAULT)
    }

    pub fn pins(&self) -> Pins {
        Pins::in_folder(pins_of(&self.folder))
    }

    pub fn world(&self) -> VaultWorld<'_> {
        world(&self.clock, &self.chance, self.pins())
    }

    pub fn vault(&self) -> Vault {
        Vault::open(&self.path(), &self.pins()).unwrap()
    }

    pub fn open(&self) -> (Vault, Access) {
        let mut vault = self.vault();
        let access = vault.open_recovery(&self.code).unwrap();
        (vault, access)
    }

    /// One command: opens the vault, acts, lets go of it.
    pub fn act<T>(
        &self,
        act: impl FnOnce(&mut Vault, &Access, &VaultWorld<'_>) -> Result<T, VaultError>,
    ) -> T {
        let (mut vault, access) = self.open();
        act(&mut vault, &access, &self.world()).unwrap()
    }

    /// A command returned: what stands there now was promised.
    pub fn done(&mut self, deed: &'static str) {
        self.mark(deed, false);
    }

    /// Marks a command done that also moves the pin elsewhere.
    pub fn done_and_repinned(&mut self, deed: &'static str) {
        self.mark(deed, true);
    }

    fn mark(&mut self, deed: &'static str, repins: bool) {
        let (at, pin) = tape::position(&self.folder);
        let files = found(&self.folder).hash();
        let (pins, folder) = (self.pins(), &self.folder);
        let seen = tape::unrecorded(folder, || look(folder, &pins, &self.code));
        let seen = seen.unwrap_or_else(|what| panic!("after {deed}: {what}"));
        self.marks.push(Mark { at, pin, deed, seen, files, repins });
    }

    /// The keys as they stood at the last mark.
    pub fn keys(&self) -> Vec<KeyRecord> {
        let last = self.marks.last().and_then(|mark| mark.seen.as_ref());
        last.map_or_else(Vec::new, |seen| seen.content.keys.clone())
    }

    /// Keys that may be read now, at least so many.
    pub fn alive(&mut self, least: usize) -> Vec<KeyRecord> {
        loop {
            let now = self.clock.0;
            let mut keys = self.keys();
            keys.retain(|key| key.status(now) == Status::Active);
            if keys.len() >= least {
                self.chance.shuffle(&mut keys);
                return keys;
            }
            generate(self);
        }
    }

    /// A name that no key has had.
    pub fn new_name(&mut self) -> KeyName {
        self.drawn += 1;
        format!("key-{}", self.drawn).parse().unwrap()
    }

    fn begin(&mut self, why: &'static str) {
        tape::begin(&self.folder);
        self.done(why);
    }

    fn end(&mut self) {
        let tape = tape::end(&self.folder);
        self.chapters.push(Chapter { tape, marks: std::mem::take(&mut self.marks) });
    }

    /// A new chapter, which begins with other files.
    pub fn interrupt(&mut self, why: &'static str, files: &Image) {
        self.end();
        put(&self.folder, files);
        self.begin(why);
    }

    /// A new chapter after a power cut somewhere in the second half of this one.
    pub fn cut_the_power(&mut self) {
        self.end();
        let chapter = self.chapters.last().unwrap();
        let half = chapter.tape.ops.len() / 2;
        let first = chapter.marks.iter().find(|mark| mark.seen.is_some()).map_or(0, |mark| mark.at);
        let at = first.max(half + self.chance.below(half + 1));
        let mut disk = Disk::new(&chapter.tape, Lies::Never);
        while disk.told() < at {
            disk.tell();
        }
        let image = disk.image(Choice::Mixed(self.chance.next()));
        let pin = chapter.tape.pins[chapter.pin_at(at)].clone();
        put(&self.folder, &image);
        put_pin(&self.folder, &pin);
        self.begin("power cut");
        let (chapter, found) = (self.chapters.last().unwrap(), self.marks[0].seen.as_ref());
        let allowed = &chapter.marks[chapter.acknowledged(at)..];
        let content = |seen: Option<&Seen>| seen.map(|seen| seen.content.clone());
        let fits = allowed.iter().take(2).any(|mark| content(mark.seen.as_ref()) == content(found));
        assert!(fits, "a power cut at {at} left neither what was acknowledged nor what was in flight");
        // Cut off between a restore and its pin, the vault is refused until it is accepted.
        if self.marks.last().and_then(|mark| mark.seen.as_ref()).is_some_and(|seen| seen.alarm) {
            self.act(file::adopt);
            self.done_and_repinned("adopt");
        }
    }
}

impl Chapter {
    /// The newest pin that a power cut at this point may find.
    pub fn pin_at(&self, point: usize) -> usize {
        let last = self.marks.last().map_or(0, |mark| mark.pin);
        self.tape.pin_at.get(point).copied().unwrap_or(last)
    }

    /// The last mark that a power cut at this point comes after.
    pub fn acknowledged(&self, point: usize) -> usize {
        self.marks.iter().rposition(|mark| mark.at <= point).unwrap_or(0)
    }
}

/// The files as they are.
pub fn found(folder: &Path) -> Image {
    let read = |name: Name| Some((name, std::fs::read(folder.join(name.file())).ok()?));
    Image(Name::ALL.into_iter().filter_map(read).collect())
}

/// Puts these files in the place of those that are there, as a restart finds them.
pub fn put(folder: &Path, image: &Image) {
    let _ = std::fs::remove_file(folder.join("vault.db-shm"));
    for name in Name::ALL {
        let path = folder.join(name.file());
        match image.0.get(&name) {
            None => drop(std::fs::remove_file(&path)),
            Some(bytes) => {
                let mut options = std::fs::OpenOptions::new();
                let mut file =
                    options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
                std::io::Write::write_all(&mut file, bytes).unwrap();
            }
        }
    }
}

/// Puts this pin in the place of the one that is there.
pub fn put_pin(folder: &Path, pin: &PinFile) {
    let pins = pins_of(folder);
    let _ = std::fs::remove_dir_all(&pins);
    std::fs::create_dir(&pins).unwrap();
    std::fs::set_permissions(&pins, std::fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((name, bytes)) = pin {
        std::fs::write(pins.join(name), bytes).unwrap();
    }
}
