//! Releasing values in three steps, each of which demands what the one before it gives: [`stage`] looks keys up and
//! records nothing; [`fit`](crate::fit) finds whatever is wrong with the values for their places; [`Fitted::commit`]
//! records what was read. Only the [`Released`] that it gives hands values out.

pub mod changes;
pub mod compose;
pub mod problem;
pub mod select;
mod stage;

pub use self::changes::{Fate, Given, Glance, Outcomes};
pub use self::compose::{ComposedVariable, Piece, State, WhenMissing};
pub use self::problem::{Problem, Refusal, ReleaseError};
pub use self::select::Selection;
pub use self::stage::{Fitted, Part, Preview, Released, Resolved, Skipped, Staged, stage, stage_text};
pub use keyvault_vault::{Encoding, JsonField};
