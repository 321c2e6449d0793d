//! The vault as a file: creating, opening, backing up, restoring, and noticing a rollback.

pub(crate) mod backup;
pub(crate) mod busy;
pub(crate) mod create;
pub(crate) mod damaged;
pub(crate) mod diff;
pub(crate) mod mend;
pub(crate) mod open;
pub(crate) mod restore_guard;
pub(crate) mod rollback_alarm;
pub(crate) mod sealing;
pub(crate) mod survivors;
pub(crate) mod working_copy;

pub use self::backup::{backup, difference, mark, refuse_itself, refuse_other, restore};
pub use self::create::{create, create_in_memory};
pub use self::damaged::{
    introduce, is_head_altered, left_behind, open_to_copy, open_to_recover, recognize, refuse_altered_head,
};
pub use self::diff::{compare, contents, opens, plan_takeover, take_over, values};
pub(crate) use self::mend::{change_despite_damage, mend, tell_gone};
pub use self::rollback_alarm::{adopt, alarms_despite_damage, missing_entries, refuse_in_alarm, standing};
pub(crate) use self::rollback_alarm::{log_gap, recorded};
pub use self::sealing::is_superseded;
pub use self::survivors::counted_sets;
pub(crate) use self::survivors::{lost_values, survivors};
