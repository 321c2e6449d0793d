//! Sets that are written, loaded, changed, and followed, against a plain map.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, SigningKey, SystemRng};
use keyvault_core::identity::Identity;
use keyvault_core::name::{KeyName, Label};
use keyvault_issue::record::{
    Api, Ascending, Environment, Id, KeyRecord, Mark, NamedKey, Note, Override, Prefix, Proof, Reaction,
    State,
};
use keyvault_issue::set::{
    Changes, Content, Draft, Found, Kind, List, Listed, LoadedSet, MAX_PAGE, Origin, PageKeys, Removal,
    SealedPage, SetError, SignedHeader, SignerKind, VerifiedHeader, VerifiedList, WriteError, Written,
    api_key, issued_key, names_key, narrowings, page_key,
};
use proptest::prelude::*;

const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };
const API: [u8; 16] = [2; 16];
const SET: [u8; 16] = [3; 16];

struct Owner {
    identity: Identity,
    signing: SigningKey,
    keys: PageKeys,
}

impl Owner {
    fn new() -> Self {
        let issued = issued_key(&SealingKey::from_bytes(&[4; 32]).unwrap(), &IDENTITY);
        let keys = PageKeys::of_api(&api_key(&issued, &API), &SET);
        Self {
            identity: IDENTITY,
            signing: SigningKey::of_seed(SealingKey::from_bytes(&[5; 32]).unwrap()),
            keys: keys.with(Kind::Names, names_key(&issued, &SET)),
        }
    }

    fn draft(number: u64) -> Draft {
        Draft {
            identity: IDENTITY,
            api: API,
            set: SET,
            number,
            time: Moment(0),
            fresh_until: None,
            signer: SignerKind::Epoch,
            extensions: Extensions::default(),
        }
    }

    /// The header as a reader takes it whose state record binds a list with it.
    fn verified(&self, signed: &SignedHeader) -> VerifiedHeader {
        let number = signed.unverified().unwrap().number;
        let list = List(Ascending::of([Listed { set: SET, number, header: signed.hash() }])).encode();
        let origin = Origin { identity: self.identity, owner: self.signing.signer() };
        let list = VerifiedList::verify(&list, &List::hash(&list), origin).unwrap();
        VerifiedHeader::of_owner(&list, &API, signed).unwrap()
    }

    fn load(&self, file: &File) -> Result<LoadedSet, SetError> {
        LoadedSet::load(self.verified(&file.header), &self.keys, file.pages.values().cloned())
    }
}

/// The rows of a set.
#[derive(Clone)]
struct File {
    header: SignedHeader,
    pages: BTreeMap<(u8, u32), SealedPage<'static>>,
}

impl File {
    fn of(written: Written) -> Self {
        let pages = written.pages.into_iter().map(|page| ((page.kind, page.page), page)).collect();
        Self { header: written.header, pages }
    }

    fn write(&mut self, written: Written) {
        self.pages.retain(|(kind, _), _| !written.replaced.iter().any(|replaced| *replaced as u8 == *kind));
        self.header = written.header;
        self.pages.extend(written.pages.into_iter().map(|page| ((page.kind, page.page), page)));
    }
}

fn api() -> Api {
    let prefix = Prefix::parse("kv").unwrap();
    Api {
        id: API,
        name: Label::parse("shop").unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::default(),
        verifiers: Ascending::default(),
        extensions: Extensions::default(),
    }
}

fn id(number: u32) -> Id {
    Id::parse(&format!("aa{number:010}")).unwrap()
}

fn key(number: u32, text: &str) -> KeyRecord {
    KeyRecord {
        id: id(number),
        state: State::Active,
        proof: Proof::of_own(&id(number), b"secret"),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::of([1, 2]),
        created: Moment(0),
        not_before: None,
        expires: None,
        replaced: None,
        decoy: false,
        display_name: text.into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

fn named(number: u32) -> NamedKey {
    NamedKey {
        name: KeyName::parse(&format!("acme/{number}")).unwrap(),
        id: id(number),
        note: "".into(),
        tags: BTreeMap::new(),
        extensions: Extensions::default(),
    }
}

fn whole(keys: impl IntoIterator<Item = KeyRecord>) -> Content {
    let keys: Vec<_> = keys.into_iter().collect();
    let names = (0..u32::try_from(keys.len()).unwrap()).map(named).collect();
    Content { api: Some(api()), keys, names, ..Content::default() }
}

/// One change: keys that are put under a text, keys that are removed.
fn change() -> impl Strategy<Value = (Vec<u32>, Vec<u32>, String)> {
    let some = |most: usize| proptest::collection::vec(0..400_u32, 0..most);
    (prop_oneof![some(4), some(150)], prop_oneof![some(4), some(300)], "[a-z]{0,8}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A reader of the whole file and one that followed the changes see what was written, after any changes.
    #[test]
    fn a_reader_that_follows_sees_what_was_written(changes in proptest::collection::vec(change(), 1..8)) {
        let owner = Owner::new();
        let first = whole([]).write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap();
        let mut file = File::of(first);
        let mut model: BTreeMap<u32, String> = BTreeMap::new();
        let mut follower = owner.load(&file).unwrap();
        for (number, (put, removed, text)) in (2..).zip(changes) {
            let mut next = Changes::default();
            for key in removed {
                model.remove(&key);
                next.removed.push(Removal::Key(id(key)));
            }
            let put: std::collections::BTreeSet<u32> = put.into_iter().collect();
            for number in put {
                model.insert(number, text.clone());
                next.put.keys.push(key(number, &text));
            }
            let before = owner.load(&file).unwrap();
            let written = before.change(&Owner::draft(number), &next, &owner.keys, &owner.signing, &SystemRng).unwrap();
            let header = owner.verified(&written.header);
            let followed = follower.follow(header, &owner.keys, written.pages.clone());
            file.write(written);
            let loaded = owner.load(&file).unwrap();
            follower = match followed {
                Ok(set) => set,
                Err(SetError::LoadWhole) => loaded.clone(),
                Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
            };
            for set in [&loaded, &follower] {
                let mut found: Vec<_> = set.keys().map(|key| (key.id, key.display_name.to_string())).collect();
                found.sort();
                let expected: Vec<_> = model.iter().map(|(key, text)| (id(*key), text.clone())).collect();
                prop_assert_eq!(found, expected);
                for number in 0..400 {
                    let found = matches!(set.key(&id(number)), Found::Record(_));
                    prop_assert_eq!(found, model.contains_key(&number));
                }
            }
        }
    }

    /// A byte of a page, or its length, cannot change: a reader refuses the set.
    #[test]
    fn no_page_can_be_altered(at in any::<proptest::sample::Index>(), byte in any::<proptest::sample::Index>(), cut in any::<bool>()) {
        let owner = Owner::new();
        let content = whole((0..100).map(|number| key(number, "")));
        let mut file = File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
        let place = *at.get(&file.pages.keys().copied().collect::<Vec<_>>());
        let sealed = file.pages.get_mut(&place).unwrap().sealed.to_mut();
        let byte = byte.index(sealed.len());
        if cut { sealed.truncate(byte) } else { sealed[byte] ^= 1 }
        prop_assert_eq!(owner.load(&file).err(), Some(SetError::PageSeal { kind: place.0, page: place.1 }));
    }

    /// No page of a generation before passes in the next one.
    #[test]
    fn no_page_of_before_can_be_put_back(number in 0..100_u32) {
        let owner = Owner::new();
        let content = whole((0..100).map(|number| key(number, "")));
        let mut file = File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
        let before = file.clone();
        let set = owner.load(&file).unwrap();
        let changes = Changes { put: Content { keys: vec![key(number, "new")], ..Content::default() }, removed: Vec::new() };
        let written = set.change(&Owner::draft(2), &changes, &owner.keys, &owner.signing, &SystemRng).unwrap();
        prop_assert_eq!(written.pages.len(), 1);
        let place = (written.pages[0].kind, written.pages[0].page);
        // A follower that is not given the page knows that it has not the whole.
        prop_assert_eq!(
            set.follow(owner.verified(&written.header), &owner.keys, []).err(),
            Some(SetError::LoadWhole)
        );
        file.write(written);
        prop_assert!(owner.load(&file).is_ok());
        file.pages.insert(place, before.pages[&place].clone());
        prop_assert_eq!(owner.load(&file).err(), Some(SetError::Root));
    }
}

#[test]
fn pages_that_are_not_rewritten_are_those_of_before() {
    let owner = Owner::new();
    let content = whole((0..2000).map(|number| key(number, "")));
    let file = File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
    let set = owner.load(&file).unwrap();
    assert_eq!(set.header().header().count(Kind::Keys), (32, 2000));
    let mut changes = Changes::default();
    changes.put.keys.push(key(7, "new"));
    changes.removed.push(Removal::Name(KeyName::parse("acme/8").unwrap()));
    let written = set.change(&Owner::draft(2), &changes, &owner.keys, &owner.signing, &SystemRng).unwrap();
    let places: Vec<_> = written.pages.iter().map(|page| page.kind).collect();
    assert_eq!(places, [Kind::Keys as u8, Kind::Names as u8]);
    assert!(written.replaced.is_empty());
}

#[test]
fn a_follower_takes_no_older_header_and_no_other_set() {
    let owner = Owner::new();
    let write = |number, text: &str| {
        let content = whole((0..10).map(|number| key(number, text)));
        File::of(content.write(&Owner::draft(number), &owner.keys, &owner.signing, &SystemRng).unwrap())
    };
    let (old, new) = (write(1, "old"), write(2, "new"));
    let set = owner.load(&new).unwrap();
    let back = set.follow(owner.verified(&old.header), &owner.keys, old.pages.values().cloned());
    assert_eq!(back.err(), Some(SetError::Older));
    let forward =
        owner.load(&old).unwrap().follow(owner.verified(&new.header), &owner.keys, new.pages.into_values());
    assert!(forward.is_ok_and(|set| set.keys().all(|key| &*key.display_name == "new")));
}

#[test]
fn a_follower_has_the_keys_that_the_set_was_loaded_with() {
    let owner = Owner::new();
    let content = whole((0..100).map(|number| key(number, "old")));
    let file = File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
    let issued = issued_key(&SealingKey::from_bytes(&[4; 32]).unwrap(), &IDENTITY);
    let api_key = api_key(&issued, &API);
    let of = |kinds: &[Kind]| {
        kinds.iter().fold(PageKeys::default(), |keys, kind| keys.with(*kind, page_key(&api_key, &SET, *kind)))
    };
    let (some, all) = (of(&[Kind::Api]), of(&[Kind::Api, Kind::Keys]));
    let load = |keys: &PageKeys| {
        LoadedSet::load(owner.verified(&file.header), keys, file.pages.values().cloned()).unwrap()
    };
    let mut changes = Changes::default();
    changes.put.keys = (0..100).filter(|number| number % 2 == 1).map(|number| key(number, "new")).collect();
    let whole = owner.load(&file).unwrap();
    let written = whole.change(&Owner::draft(2), &changes, &owner.keys, &owner.signing, &SystemRng).unwrap();
    assert!(written.pages.iter().all(|page| page.kind == Kind::Keys as u8));
    let follow = |set: &LoadedSet, keys: &PageKeys| {
        set.follow(owner.verified(&written.header), keys, written.pages.clone())
    };
    assert!(follow(&load(&all), &all).is_ok() && follow(&load(&some), &some).is_ok());
    // Pages that were closed would open in the wrong places.
    assert_eq!(follow(&load(&some), &all).err(), Some(SetError::LoadWhole));
    // Pages that were open would stay as they were before.
    assert_eq!(follow(&load(&all), &some).err(), Some(SetError::LoadWhole));
    assert_eq!(follow(&load(&all), &owner.keys).err(), Some(SetError::LoadWhole));
}

#[test]
fn a_page_above_its_length_is_refused_before_it_is_opened() {
    let owner = Owner::new();
    let mut file =
        File::of(whole([]).write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
    file.pages.get_mut(&(1, 0)).unwrap().sealed = vec![0; MAX_PAGE + 1].into();
    assert_eq!(owner.load(&file).err(), Some(SetError::PageLong { kind: 1, page: 0 }));
}

#[test]
fn what_breaks_a_rule_is_not_written() {
    let owner = Owner::new();
    let write =
        |content: Content| content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).err();
    assert_eq!(write(whole([key(1, ""), key(1, "twice")])), Some(WriteError::Twice));
    assert_eq!(write(whole([KeyRecord { proof: Proof::None, ..key(1, "") }])), Some(WriteError::Invalid));
    assert_eq!(write(whole([key(1, "a\u{1b}[31m")])), Some(WriteError::Invalid));
    // So many ids on one page that no number of pages parts them.
    let digit = |value: u32| char::from_digit(value, 36).unwrap();
    let same = (0..129)
        .map(|number| Id::parse(&format!("aa{}{}00000000", digit(number / 36), digit(number % 36))).unwrap());
    let same = same.map(|id| KeyRecord { id, ..key(0, "") });
    assert_eq!(write(whole(same)), Some(WriteError::Full));
}

#[test]
fn a_page_with_a_record_of_a_later_version_is_read_and_not_rewritten() {
    let owner = Owner::new();
    let newer = KeyRecord { extensions: Extensions::default().with(2, vec![1]), ..key(3, "") };
    let content = whole([key(1, ""), newer, key(4, "")]);
    let file = File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
    let set = owner.load(&file).unwrap();
    assert!(matches!(set.key(&id(3)), Found::Newer));
    assert!(matches!(set.key(&id(1)), Found::Record(_)));
    let mut changes = Changes::default();
    changes.put.keys.push(key(1, "new"));
    let refused = set.change(&Owner::draft(2), &changes, &owner.keys, &owner.signing, &SystemRng);
    assert_eq!(refused.err(), Some(WriteError::Newer));
    // One with an odd field is copied with it.
    let odd = KeyRecord { extensions: Extensions::default().with(3, vec![1]), ..key(3, "") };
    let content = whole([key(1, ""), odd.clone()]);
    let mut file =
        File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
    let set = owner.load(&file).unwrap();
    file.write(set.change(&Owner::draft(2), &changes, &owner.keys, &owner.signing, &SystemRng).unwrap());
    assert!(matches!(owner.load(&file).unwrap().key(&id(3)), Found::Record(found) if *found == odd));
}

#[test]
fn a_rekey_seals_every_record_again_and_takes_those_of_later_versions_along() {
    let owner = Owner::new();
    let newer = KeyRecord { extensions: Extensions::default().with(2, vec![1]), ..key(3, "") };
    let content = whole((0..300).map(|number| key(number, "")).filter(|key| key.id != id(3)).chain([newer]));
    let file = File::of(content.write(&Owner::draft(1), &owner.keys, &owner.signing, &SystemRng).unwrap());
    let set = owner.load(&file).unwrap();

    let identity = Identity { epoch: 2, ..IDENTITY };
    let issued = issued_key(&SealingKey::from_bytes(&[9; 32]).unwrap(), &identity);
    let next = Owner {
        identity,
        signing: SigningKey::of_seed(SealingKey::from_bytes(&[8; 32]).unwrap()),
        keys: PageKeys::of_api(&api_key(&issued, &API), &SET).with(Kind::Names, names_key(&issued, &SET)),
    };
    let draft = Draft { identity, ..Owner::draft(2) };
    let resealed = |pages: &BTreeMap<_, SealedPage<'static>>| {
        set.reseal(pages.values().cloned(), &owner.keys, &draft, &next.keys, &next.signing, &SystemRng)
    };
    let written = File::of(resealed(&file.pages).unwrap());
    let after = next.load(&written).unwrap();
    assert!(matches!(after.key(&id(3)), Found::Newer));
    assert_eq!(after.keys().collect::<Vec<_>>(), set.keys().collect::<Vec<_>>());
    assert_eq!(after.names().count(), 300);

    // A row that is not one that the set was loaded from is not sealed.
    let mut other = file.pages.clone();
    let exchanged = file.pages[&(4, 1)].clone();
    other.insert((4, 0), SealedPage { page: 0, ..exchanged });
    let missing = SetError::PageMissing { kind: 4, page: 0 };
    assert_eq!(resealed(&other).err(), Some(WriteError::Set(missing)));
}

#[test]
fn a_set_from_a_backup_refuses_everything_that_the_replaced_one_refused() {
    let owner = Owner::new();
    let revoked = |number: u32| {
        let note = Note { since: Moment(1), reason: "leaked".into() };
        KeyRecord { state: State::Revoked(Box::new(note)), proof: Proof::None, ..key(number, "") }
    };
    let word = |number: u32, state: fn(Box<Note>) -> State| Override {
        id: Id::parse(&format!("bb{number:010}")).unwrap(),
        state: state(Box::new(Note { since: Moment(1), reason: "".into() })),
        extensions: Extensions::default(),
    };
    let write = |number, keys: Vec<KeyRecord>, overrides: Vec<Override>| {
        let content = Content { overrides, ..whole(keys) };
        File::of(content.write(&Owner::draft(number), &owner.keys, &owner.signing, &SystemRng).unwrap())
    };
    let mut file = write(1, vec![key(1, ""), key(2, "")], vec![word(1, State::Disabled)]);
    let backup = owner.load(&file).unwrap();
    let later = Override { extensions: Extensions::default().with(2, vec![1]), ..word(3, State::Revoked) };
    let overrides = vec![word(1, State::Revoked), word(2, State::Disabled), later];
    let replaced =
        owner.load(&write(7, vec![key(1, ""), revoked(2), revoked(5), key(6, "")], overrides)).unwrap();

    let changes = narrowings(&backup, &replaced, Moment(9));
    file.write(backup.change(&Owner::draft(8), &changes, &owner.keys, &owner.signing, &SystemRng).unwrap());
    let restored = owner.load(&file).unwrap();
    let state = |number: u32| match restored.key(&id(number)) {
        Found::Record(key) => Some(key.state.is_revoked()),
        Found::Newer | Found::Absent => None,
    };
    assert_eq!([1, 2, 5, 6].map(state), [Some(false), Some(true), Some(true), None]);
    let words: Vec<_> = restored.overrides().map(|word| (word.id, word.state.is_revoked())).collect();
    let number = |number: u32| Id::parse(&format!("bb{number:010}")).unwrap();
    assert_eq!(words, [(number(1), true), (number(2), false), (number(3), false)]);
    assert!(narrowings(&restored, &replaced, Moment(9)).put.keys.is_empty());
}
