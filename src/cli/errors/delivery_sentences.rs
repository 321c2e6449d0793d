//! Errors of deliveries: a descriptor, a file, a line of an env-file.

use std::fmt::Write;

use keyvault_exec::delivery::DeliveryError;
use keyvault_exec::fit::LineFault;
use keyvault_os::fs::memory_folder::{NoFolder, Unfit};
use keyvault_os::process::descriptors::Unavailable;

use super::{Failure, reason};

const NOTHING: &str = "Nothing was released.";

pub(in crate::cli) fn delivery(error: &DeliveryError) -> Failure {
    match error {
        DeliveryError::SameDescriptor(number) => Failure::usage(
            &format!("Descriptor {number} is given to two keys."),
            Some("Nothing was released. Use a different number for each `--fd`."),
        ),
        DeliveryError::SameVariable(variable) => Failure::usage(
            &format!("{variable} is given to two files."),
            Some("Nothing was released. Use a different variable for each `--file` and for `--docker-env`."),
        ),
        DeliveryError::Descriptor(Unavailable::InUse(number)) => Failure::refused(
            &format!("Descriptor {number} is in use: keyvault was started with it open."),
            Some(&format!("Nothing was released. Choose another number, or close it: {number}<&-")),
        ),
        DeliveryError::Descriptor(Unavailable::AboveLimit { number, limit }) => Failure::refused(
            &format!("Descriptor {number} is too high: the limit is {limit} open files."),
            Some("Nothing was released. Choose a lower number, or raise the limit with `ulimit -n`."),
        ),
        DeliveryError::Descriptor(Unavailable::Io(error)) => Failure::failed(
            &format!("The descriptors could not be created: {}.", reason(error)),
            Some(NOTHING),
        ),
        DeliveryError::Folder(none) => no_folder(none),
        DeliveryError::Put { place, source } => Failure::failed(
            &format!("The value for {place} could not be delivered: {}.", reason(source)),
            Some("The command did not get it. The audit log counts the values as released."),
        ),
        DeliveryError::TakeAway { variable, source } => Failure::failed(
            &format!("The file in {variable} could not be removed: {}.", reason(source)),
            Some("It is removed when the command ends."),
        ),
    }
}

fn no_folder(none: &NoFolder) -> Failure {
    let mut message = "There is no folder in memory for a file with a value:".to_owned();
    for (path, unfit) in &none.tried {
        // Writing to a String cannot fail.
        let _ = write!(message, "\n  {}: {}", path.display(), words(unfit));
    }
    Failure::refused(
        &message,
        Some(
            "Nothing was released: such a file is never written to disk. Set XDG_RUNTIME_DIR to a folder of yours\n\
             (mode 0700) on a tmpfs, or use `--fd` or `--stdin`, which need none.",
        ),
    )
}

fn words(unfit: &Unfit) -> String {
    match unfit {
        Unfit::Absent => "does not exist".to_owned(),
        Unfit::NotAFolder => "is not a folder".to_owned(),
        Unfit::OnDisk => "is not in memory (tmpfs)".to_owned(),
        Unfit::OfAnotherUser { uid } => format!("belongs to user {uid}"),
        Unfit::OpenToOthers { mode } => format!("is open to others (mode {mode:04o})"),
        Unfit::Refused(number) => reason(&std::io::Error::from_raw_os_error(*number)),
    }
}

/// Why a value cannot stand in docker's env-file.
pub(in crate::cli) fn line(fault: LineFault) -> String {
    match fault {
        LineFault::Newline => "its value has a newline, which an env-file cannot carry".to_owned(),
        LineFault::CarriageReturn => "its value ends in a carriage return, which docker drops".to_owned(),
        LineFault::NotText => "its value is not UTF-8, which docker refuses".to_owned(),
        LineFault::TooLong { len, max } => {
            format!("{len} bytes with its variable; docker accepts {max} in a line")
        }
    }
}
