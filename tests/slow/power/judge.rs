//! Power cuts at every point of a story, and what is found after them.

use std::collections::{HashMap, HashSet};

use super::chance::Chance;
use super::disk::{Choice, Disk, Lies};
use super::look::{Seen, go_on, look};
use super::story::{Chapter, Story, put, put_pin};
use super::tape::pins_of;
use keyvault_vault::state::pin::Pins;

/// Every so many images are not only looked at, but used.
const USED: usize = 16;

/// A power cut: after so many operations of the chapter, with this left of the unsynced ones.
type Cut = (usize, Choice);

/// Counts of images and of findings.
#[derive(Debug, Default)]
pub struct Tally {
    /// Power cuts.
    pub states: usize,
    /// Different files that they left.
    pub distinct: HashSet<[u8; 32]>,
    /// Operations on the tape.
    pub operations: usize,
    pub acknowledged: usize,
    /// Found with the command in flight done.
    pub ahead: usize,
    /// Found without reads that were logged and not yet synced.
    pub reads_lost: usize,
    /// Found with an alarm, as the pin was not where a restore or an adoption puts it.
    pub alarms: usize,
    /// Used again after the power cut.
    pub used: usize,
    pub faults: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.distinct.extend(other.distinct);
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.ahead += other.ahead;
        self.reads_lost += other.reads_lost;
        self.alarms += other.alarms;
        self.used += other.used;
        self.faults.extend(other.faults);
    }
}

/// The state of an image.
#[derive(Clone)]
enum Found {
    Nothing,
    /// Whole, with the content of this mark (the first that has it).
    Vault {
        mark: Option<usize>,
        entries: u64,
        alarm: bool,
    },
    Unfit(String),
}

/// Cuts the power so often in this story.
pub fn judge(story: &Story, seed: u64, cuts: usize, lies: Lies) -> Tally {
    let chance = Chance::of(seed ^ 0x0070_6F77_6572);
    let mut tally = Tally::default();
    let plans = plans(story, cuts, lies, &chance);
    for (number, (chapter, plan)) in story.chapters.iter().zip(plans).enumerate() {
        tally.operations += chapter.tape.ops.len();
        tally.acknowledged += chapter.marks.len() - 1;
        let name = format!("seed {seed}, chapter {number}");
        Court { story, chapter, lies, name, tally: &mut tally, known: HashMap::new(), pin: None }
            .sit(plan, &chance);
    }
    tally
}

/// Half of the cuts by system, as far as there are so many, and the rest by chance.
fn plans(story: &Story, cuts: usize, lies: Lies, chance: &Chance) -> Vec<Vec<Cut>> {
    let mut by_system = Vec::new();
    let mut points = Vec::new();
    for (number, chapter) in story.chapters.iter().enumerate() {
        let (cuts, unsynced) = systematic(chapter, lies);
        by_system.extend(cuts.into_iter().map(|cut| (number, cut)));
        points.extend(unsynced.into_iter().map(|point| (number, point)));
    }
    chance.shuffle(&mut by_system);
    by_system.truncate(cuts / 2);
    let mut plans = vec![Vec::new(); story.chapters.len()];
    for _ in by_system.len()..cuts {
        let (number, point) = *chance.pick(&points);
        let dice = chance.next();
        let choice = if chance.percent(70) { Choice::Mixed(dice) } else { Choice::Shuffled(dice) };
        plans[number].push((point, choice));
    }
    for (number, cut) in by_system {
        plans[number].push(cut);
    }
    plans.iter_mut().for_each(|plan| plan.sort_unstable());
    plans
}

/// The extremes at every point, each operation's own before every sync; and the points with anything unsynced.
fn systematic(chapter: &Chapter, lies: Lies) -> (Vec<Cut>, Vec<usize>) {
    let (mut cuts, mut points) = (Vec::new(), Vec::new());
    let mut disk = Disk::new(&chapter.tape, lies);
    let mut matters = true;
    loop {
        let (point, unsynced) = (disk.told(), disk.unsynced());
        let last = point == chapter.tape.ops.len();
        if disk.has_vault() && matters {
            let boundary = last || disk.sync_comes();
            if unsynced == 0 || boundary || chapter.marks.iter().any(|mark| mark.at == point) {
                cuts.push((point, Choice::Nothing));
            }
            if unsynced > 0 {
                points.push(point);
                cuts.push((point, Choice::Everything));
                cuts.push((point, Choice::Alone(unsynced - 1)));
                cuts.push((point, Choice::Torn(unsynced - 1)));
            }
            if boundary {
                for which in 0..unsynced {
                    cuts.push((point, Choice::Alone(which)));
                    cuts.push((point, Choice::AllBut(which)));
                    cuts.push((point, Choice::Prefix(which)));
                    cuts.push((point, Choice::Torn(which)));
                }
            }
        }
        if last {
            return (cuts, points);
        }
        matters = disk.next_matters();
        disk.tell();
    }
}

struct Court<'s> {
    story: &'s Story,
    chapter: &'s Chapter,
    lies: Lies,
    name: String,
    tally: &'s mut Tally,
    known: HashMap<([u8; 32], usize), Found>,
    /// The pin that stands in the folder.
    pin: Option<usize>,
}

impl Court<'_> {
    fn sit(mut self, plan: Vec<Cut>, chance: &Chance) {
        let chapter = self.chapter;
        let mut disk = Disk::new(&chapter.tape, self.lies);
        let mut marks = chapter.marks.iter();
        let mut next = marks.next();
        for (point, choice) in plan {
            loop {
                while let Some(mark) = next.filter(|mark| mark.at == disk.told()) {
                    let recorded = disk.image(Choice::Everything).hash();
                    assert_eq!(recorded, mark.files, "{}: not all of {} was recorded", self.name, mark.deed);
                    next = marks.next();
                }
                if disk.told() == point {
                    break;
                }
                disk.tell();
            }
            let image = disk.image(choice);
            let pin = chapter.pin_at(point);
            // The pin is not synced either: an older one may be back.
            let pin = if chance.percent(15) { pin.saturating_sub(1 + chance.below(3)) } else { pin };
            let hash = image.hash();
            self.tally.states += 1;
            let new = self.tally.distinct.insert(hash);
            let found = match self.known.get(&(hash, pin)) {
                Some(found) => found.clone(),
                None => {
                    put(&self.story.folder, &image);
                    self.put_pin(pin);
                    let found = self.look();
                    let fit = matches!(found, Found::Vault { alarm: false, .. });
                    if new
                        && fit
                        && self.tally.distinct.len().is_multiple_of(USED)
                        && self.lies == Lies::Never
                    {
                        self.tally.used += 1;
                        let pins = Pins::in_folder(pins_of(&self.story.folder));
                        let went = go_on(&self.story.folder, &pins, &self.story.code, chance);
                        self.pin = None;
                        if let Err(what) = went {
                            self.fault(point, choice, &what);
                        }
                    }
                    self.known.insert((hash, pin), found.clone());
                    found
                }
            };
            if let Err(what) = self.compare(point, pin, &found) {
                self.fault(point, choice, &what);
            }
        }
    }

    fn put_pin(&mut self, pin: usize) {
        if self.pin != Some(pin) {
            put_pin(&self.story.folder, &self.chapter.tape.pins[pin]);
            self.pin = Some(pin);
        }
    }

    fn look(&self) -> Found {
        let pins = Pins::in_folder(pins_of(&self.story.folder));
        match look(&self.story.folder, &pins, &self.story.code) {
            Err(what) => Found::Unfit(what),
            Ok(None) => Found::Nothing,
            Ok(Some(seen)) => {
                let mark = self.chapter.marks.iter().position(|mark| same(mark.seen.as_ref(), &seen));
                Found::Vault { mark, entries: seen.entries, alarm: seen.alarm }
            }
        }
    }

    /// Holds what was found against what was acknowledged, and against the command in flight.
    fn compare(&mut self, point: usize, pin: usize, found: &Found) -> Result<(), String> {
        let marks = &self.chapter.marks;
        let acknowledged = self.chapter.acknowledged(point);
        let (old, new) = (&marks[acknowledged], marks.get(acknowledged + 1));
        match found {
            Found::Unfit(what) => Err(what.clone()),
            Found::Nothing if old.seen.is_none() => Ok(()),
            Found::Nothing => Err("the vault is gone".to_owned()),
            Found::Vault { mark: None, .. } => Err("a state that never was".to_owned()),
            Found::Vault { mark: Some(mark), entries, alarm } => {
                let content = marks[*mark].seen.as_ref().unwrap();
                let is = |seen: Option<&Seen>| same(seen, content);
                let in_flight = new.filter(|new| is(new.seen.as_ref()));
                let stands = is(old.seen.as_ref());
                if !stands && in_flight.is_none() {
                    let lost = acknowledged - acknowledged.min(*mark);
                    return Err(format!("the state after {}: {lost} acknowledged lost", marks[*mark].deed));
                }
                let most = in_flight
                    .or(Some(old))
                    .and_then(|mark| mark.seen.as_ref())
                    .map_or(0, |seen| seen.entries);
                if *entries > most {
                    return Err(format!("{entries} entries in the log, and there were {most}"));
                }
                let before = old.seen.as_ref().is_some_and(|seen| seen.alarm);
                let last = acknowledged + usize::from(!stands);
                let repinned = marks[1..=last].iter().any(|mark| mark.repins && mark.pin > pin);
                if *alarm && !(stands && before || repinned) {
                    return Err("the pin raises an alarm".to_owned());
                }
                self.tally.alarms += usize::from(*alarm && !before);
                self.tally.ahead += usize::from(!stands);
                let logged = old.seen.as_ref().map_or(0, |seen| seen.entries);
                self.tally.reads_lost += usize::from(stands && *entries < logged);
                Ok(())
            }
        }
    }

    fn fault(&mut self, point: usize, choice: Choice, what: &str) {
        let (marks, acknowledged) = (&self.chapter.marks, self.chapter.acknowledged(point));
        let deed = |number: usize| marks.get(number).map_or("the end", |mark| mark.deed);
        self.tally.faults.push(format!(
            "{}: {choice:?} at {point} of {}, after {} ({acknowledged}) and before {}: {what}",
            self.name,
            self.chapter.tape.ops.len(),
            deed(acknowledged),
            deed(acknowledged + 1),
        ));
    }
}

fn same(seen: Option<&Seen>, other: &Seen) -> bool {
    seen.is_some_and(|seen| seen.content == other.content)
}
