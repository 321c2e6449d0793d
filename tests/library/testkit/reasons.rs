//! Why a vector fails. The list is closed; README.md of the vectors has it word for word.

/// A reason: its name, the class of what it makes of a vault, what this program says, and what it means.
pub(crate) struct Reason {
    pub(crate) name: &'static str,
    pub(crate) class: &'static str,
    /// Words of the program's error or finding: one of these, with a bar between them; behind `=` all of it.
    pub(crate) says: &'static str,
    pub(crate) means: &'static str,
}

impl Reason {
    pub(crate) fn is_said_by(&self, text: &str) -> bool {
        let is_said = |says: &str| says.strip_prefix('=').map_or(text.contains(says), |whole| text == whole);
        self.says.split('|').any(is_said)
    }
}

const fn reason(name: &'static str, class: &'static str, says: &'static str, means: &'static str) -> Reason {
    Reason { name, class, says, means }
}

pub(crate) const REASONS: &[Reason] = &[
    // The file
    reason("empty-file", "foreign", "is empty", "the file has no bytes"),
    reason("not-sqlite", "foreign", "not a vault", "the file is not an SQLite database"),
    reason(
        "application-id",
        "foreign",
        "its application_id is |not a vault",
        "`application_id` is not that of a vault",
    ),
    reason("format", "format", "its user_version is |has format ", "`user_version` is not 1004"),
    reason("schema", "hostile", "its schema is not a vault's", "`sqlite_schema` differs from §4"),
    reason("cut-off", "damaged", "cut off within a page", "the last page is not whole"),
    reason("pages", "damaged", "malformed", "SQLite's pages do not hold together"),
    reason(
        "column",
        "damaged",
        "damaged: |tampered with: ",
        "a column's value is of another type or length than it must be",
    ),
    reason(
        "row-shape",
        "damaged",
        "rows of another shape",
        "a column's value is so in a row that only a check reads",
    ),
    reason("missing-row", "damaged", "damaged: |tampered with: ", "a table that must have one row has none"),
    reason("second-row", "damaged", "CHECK constraint failed", "a table that must have one row has more"),
    reason("page-size", "damaged", "page size is not 4096", "the page size is not 4096"),
    reason(
        "journal-mode",
        "damaged",
        "no longer has a write-ahead log|journal mode is not WAL",
        "the journal mode is not WAL",
    ),
    // Slots
    reason("slot-header", "hostile", "malformed header", "a slot's header is too short or too long"),
    reason("slot-kind", "hostile", "unknown kind", "a slot is of a kind that §5 does not have"),
    reason("slot-cost", "hostile", "cost out of bounds", "memory, passes or lanes are out of bounds"),
    reason("slot-number", "hostile", "a number that no slot has", "a slot's number is not one from 1 to 32"),
    reason(
        "wrong-credential",
        "locked",
        "not the vault's passphrase|does not open this vault|id or epoch is altered",
        "no slot opens with what was given",
    ),
    reason("no-slot", "locked", "no slot for a ", "there is no slot for a credential of that kind"),
    reason(
        "not-a-code",
        "locked",
        "not a recovery code",
        "the recovery code's length, alphabet or checksum is wrong",
    ),
    reason(
        "not-a-key-file",
        "locked",
        "not a key file",
        "the key file's first word, length, alphabet or checksum is wrong",
    ),
    reason("not-a-passphrase", "locked", "passphrase ", "the passphrase is empty, too long, or not UTF-8"),
    // The whole
    reason(
        "record",
        "damaged",
        "the state record is not authentic",
        "the state record's MAC is wrong, or it is of another vault, epoch, format or length",
    ),
    reason(
        "record-chain",
        "damaged",
        "is not the one that the state record names",
        "the chain does not pass through the point that the record names",
    ),
    reason(
        "record-newer",
        "format",
        "which this version of keyvault does not know",
        "the state record has an even field that is not known",
    ),
    reason(
        "row-newer",
        "format",
        "the object of ",
        "a key, a scope, a bucket of names, the list of tokens or of ledgers, or a token's record has an even field that is not known",
    ),
    reason(
        "grant-newer",
        "format",
        "the grant of a key has field",
        "a grant has an even field that is not known",
    ),
    reason(
        "record-signature",
        "damaged",
        "is not signed by",
        "the record names another signer than the epoch's, or its signature does not verify",
    ),
    reason(
        "record-event",
        "damaged",
        "names an entry of another change",
        "the entry that the record names is of another change than the record, or after another record",
    ),
    reason(
        "tree-path",
        "damaged",
        "node |leaf bucket ",
        "a node or bucket on the way to a leaf does not have its digest",
    ),
    reason(
        "tree-header",
        "damaged",
        "vault does not match the tree",
        "the header row is not the one that the tree knows",
    ),
    reason(
        "tree-slot",
        "damaged",
        "slot does not match the tree|is not one that the tree knows",
        "a slot is not the one that the tree knows",
    ),
    reason(
        "tree-leaves",
        "damaged",
        "the set of leaves does not match",
        "all leaves together do not have the root's digest",
    ),
    reason(
        "tree-stray",
        "damaged",
        "is not that of the leaves below it",
        "a node is there that nothing leads to",
    ),
    reason("leaf-stray", "damaged", "stands for no row", "a leaf stands for no row"),
    reason("rolled-back", "alarm", "was rolled back", "the file is older than what was seen before"),
    reason("forked", "alarm", "on a different branch", "the file is no continuation of what was seen before"),
    // Keys
    reason(
        "tree-key",
        "damaged",
        "key does not match the tree",
        "a key's row is not the one that the tree knows, or is not there",
    ),
    reason("key-missing", "damaged", " without a row", "a key that the tree knows has no row"),
    reason(
        "row-forged",
        "damaged",
        "added or altered",
        "all rows are read, and one is not one that the tree knows",
    ),
    reason("key-seal", "damaged", "key: does not open", "a key does not open in its place"),
    reason("key-malformed", "damaged", "key: malformed", "a key opens, and is not what §6 says"),
    reason("key-place", "damaged", "stands where another name belongs", "a key stands at another name's tag"),
    reason(
        "version-rows",
        "damaged",
        "of a key does not match the tree",
        "a version's row does not have the digest that the key names",
    ),
    reason("version-missing", "damaged", "of a key: missing", "the row of a version is missing"),
    reason(
        "removed-seal",
        "damaged",
        "removed key: does not open",
        "a removed key does not open in its place",
    ),
    reason(
        "removed-malformed",
        "damaged",
        "removed key: malformed",
        "a removed key opens, and is not what §6 says",
    ),
    reason(
        "removed-place",
        "damaged",
        "stands where another key belongs",
        "a removed key is at another id's tag",
    ),
    reason(
        "former-seal",
        "damaged",
        "former token: does not open",
        "a former token does not open in its place",
    ),
    reason(
        "former-malformed",
        "damaged",
        "former token: malformed",
        "a former token opens, and is not what §6 says",
    ),
    reason(
        "former-place",
        "damaged",
        "stands where another token belongs",
        "a former token is at another id's tag",
    ),
    reason("version-stray", "damaged", " that no key names", "the row of a version belongs to no key"),
    reason("version-key-seal", "damaged", "version: its key ", "a version's key does not open in its place"),
    reason("value-seal", "damaged", "version: its value does not open", "a value does not open in its place"),
    reason(
        "value-malformed",
        "damaged",
        "version: its value malformed",
        "a value opens, and its padding is wrong",
    ),
    reason(
        "fingerprint",
        "damaged",
        "has another fingerprint",
        "a value has another fingerprint than the key says",
    ),
    // Scopes
    reason(
        "tree-scope",
        "damaged",
        "scope does not match the tree",
        "a scope's row is not the one that the tree knows, or is not there",
    ),
    reason("scope-seal", "damaged", "scope: does not open", "a scope's row does not open in its place"),
    reason("scope-malformed", "damaged", "scope: malformed", "a scope's row opens, and is not what §6 says"),
    reason(
        "scope-members",
        "damaged",
        "=scope does not match the tree|tampered with: scope does not match the tree",
        "a scope lists a key that is not there, or that does not carry it",
    ),
    reason("scope-place", "damaged", "is sealed under another name", "a scope stands at another name's tag"),
    reason(
        "scope-keys",
        "damaged",
        "lists other keys than those that carry it",
        "a scope lists other keys than those that carry it",
    ),
    reason("scope-missing", "damaged", "is missing", "a scope that a key carries has no row"),
    // Names
    reason(
        "tree-names",
        "damaged",
        "names does not match the tree",
        "a bucket of names is not the one that the tree knows",
    ),
    reason("names-seal", "damaged", "names: does not open", "a bucket of names does not open in its place"),
    reason(
        "names-malformed",
        "damaged",
        "names: malformed",
        "a bucket of names opens, and is not what §6 says",
    ),
    reason(
        "names-place",
        "damaged",
        "is sealed under another name",
        "a bucket of names stands at another bucket's tag",
    ),
    reason(
        "names-keys",
        "damaged",
        "has other names than the keys",
        "a bucket has other names than the keys that belong into it",
    ),
    reason("names-missing", "damaged", "is missing", "a bucket of names that a key belongs into has no row"),
    // The log
    reason("seed-seal", "damaged", "the chain's seed does not open", "k₀ does not open in its place"),
    reason(
        "head-seal",
        "damaged",
        "the chain's head does not open",
        "the head of the chain does not open in its place",
    ),
    reason(
        "head-malformed",
        "damaged",
        "the chain's head is malformed",
        "the head of the chain opens, and is not 64 bytes",
    ),
    reason(
        "head-count",
        "damaged",
        "entries were cut off or added",
        "the chain's highest number is not one below what its head counts",
    ),
    reason(
        "head-last",
        "damaged",
        "the last entry is not the one that was written",
        "the last entry's MAC is not the head's",
    ),
    reason(
        "head-key",
        "damaged",
        "does not end where its key stands",
        "the key in the head is not the one that follows from k₀",
    ),
    reason(
        "event-seal",
        "damaged",
        "the event does not open in this place",
        "an event does not open behind the entry before it",
    ),
    reason("event-malformed", "damaged", "the event is malformed", "an event opens, and is not what §9 says"),
    reason(
        "event-change",
        "damaged",
        "filed under another change",
        "an event is of another change than its row says",
    ),
    reason("entry-missing", "damaged", "the entry is missing", "a number in the chain has no entry"),
    reason(
        "entry-mac",
        "damaged",
        "does not follow from the chain's seed",
        "an entry's MAC is not what follows from k₀",
    ),
    // Tokens, to their owner
    reason(
        "tree-tokens",
        "damaged",
        "=tokens does not match the tree|tampered with: tokens does not match the tree",
        "the list of tokens is not the one that the tree knows, or is not there",
    ),
    reason(
        "tokens-seal",
        "damaged",
        "tokens: does not open",
        "the list of tokens does not open in its place",
    ),
    reason(
        "tokens-malformed",
        "damaged",
        "tokens: malformed",
        "the list of tokens opens, and is not what §6 says",
    ),
    reason(
        "tokens",
        "damaged",
        "the list of tokens does not match the tree|lists other tokens than|is missing",
        "there are other records of tokens than the list names",
    ),
    reason(
        "tokens-place",
        "damaged",
        "where another name belongs",
        "the list of tokens stands at a tag that is not its own",
    ),
    reason(
        "tree-token",
        "damaged",
        "token does not match the tree",
        "a token's record is not the one that the tree knows",
    ),
    reason("token-seal", "damaged", "token: does not open", "a token's record does not open in its place"),
    reason(
        "token-malformed",
        "damaged",
        "token: malformed",
        "a token's record opens, and is not what §10 says",
    ),
    reason("token-place", "damaged", "where another name belongs", "a token stands at another name's tag"),
    reason(
        "token-view",
        "damaged",
        "token_view of token",
        "a token's view is not the one that its record names",
    ),
    reason(
        "token-keys",
        "damaged",
        "grants a key that|does not grant|is not what",
        "a token's grants are not those of the keys that it matches",
    ),
    reason(
        "token-stray",
        "damaged",
        "of a token that is not known",
        "rows of a token that is not known, or that was revoked",
    ),
    reason(
        "reads-chain",
        "damaged",
        "entry|chain|entries|head",
        "the chain of a token or a device does not hold, or does not pass through what its record or the list names",
    ),
    // The ledgers of devices
    reason(
        "tree-ledgers",
        "damaged",
        "is not the one that the tree knows|the tree does not know it",
        "the list of ledgers is not the one that the tree knows",
    ),
    reason(
        "ledgers-malformed",
        "damaged",
        "ledgers: malformed",
        "the list of ledgers opens, and is not what §6 says",
    ),
    reason(
        "ledgers-place",
        "damaged",
        "where another name belongs",
        "the list of ledgers stands at a tag that is not its own",
    ),
    reason(
        "sets",
        "damaged",
        "list of sets|header|of no set|of no verifier|of kind ",
        "rows of issued keys are not those that the record binds",
    ),
    reason(
        "holds",
        "damaged",
        "holds: ",
        "a log of holds does not hold, or does not pass through what the API's record names",
    ),
    // Objects of kinds that the page does not define
    reason(
        "tree-object",
        "damaged",
        "is not the one that the tree knows|the tree does not know it",
        "an object of an unknown kind is not one that the tree knows",
    ),
    reason(
        "object-kind",
        "damaged",
        "of a kind that no object has",
        "an object is of the kind of the header or of slots",
    ),
    reason(
        "object-seal",
        "damaged",
        "does not open",
        "an object of an unknown kind does not open in its place",
    ),
    reason(
        "object-malformed",
        "damaged",
        "malformed",
        "an object of an unknown kind opens, and its padding is wrong",
    ),
    reason(
        "object-place",
        "damaged",
        "where another name belongs",
        "an object of an unknown kind does not begin with the name of its tag",
    ),
    // Tokens, to their bearer
    reason(
        "not-a-token",
        "locked",
        "not a token",
        "the token's first word, length, alphabet or checksum is wrong",
    ),
    reason("no-view", "locked", "opens nothing here", "there is no view for the token"),
    reason("token-expired", "locked", " expired on ", "the token's expiry is not after `now`"),
    reason("view-seal", "damaged", "token_view: does not open", "the view does not open in its place"),
    reason(
        "view-origin",
        "damaged",
        "The view for this token was not signed|its signer is altered",
        "the view's signer is not the one that the token names, or its signature does not verify",
    ),
    reason("view-newer", "format", "the view has field", "the view has an even field that is not known"),
    reason(
        "bundle-origin",
        "damaged",
        "The bundle for this token was not signed",
        "the bundle's signer is not the one that the token names, or its signature does not verify",
    ),
    reason(
        "bundle-newer",
        "format",
        "the bundle has field",
        "the bundle has an even field that is not known",
    ),
    reason("view-malformed", "damaged", "token_view: malformed", "the view opens, and is not what §10 says"),
    reason(
        "view-rolled-back",
        "alarm",
        "are older than",
        "the view is older than the one that was seen before",
    ),
    reason("view-forked", "alarm", "are different from", "another view of this change was seen before"),
    reason("grants", "damaged", "token_grant of token", "the grants are not those that the view names"),
    reason("grant-seal", "damaged", "token_grant: does not open", "a grant does not open in its place"),
    reason("grant-malformed", "damaged", "token_grant: malformed", "a grant opens, and is not what §10 says"),
    reason(
        "value-granted",
        "damaged",
        "does not match the tree",
        "there is no sealed value with the hash that the grant names",
    ),
    reason(
        "not-a-bundle",
        "foreign",
        "not a bundle",
        "the first line is not that of a bundle, or it is no text",
    ),
    reason("other-bundle", "locked", "belongs to another token", "the bundle is for another token"),
    reason(
        "bundle",
        "damaged",
        "The bundle was altered",
        "the bundle is not base64, too short, or its content does not open or is not what §10 says",
    ),
];

pub(crate) fn find(name: &str) -> &'static Reason {
    REASONS.iter().find(|reason| reason.name == name).unwrap_or_else(|| panic!("no reason {name}"))
}
