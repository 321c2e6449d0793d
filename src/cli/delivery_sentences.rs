//! What is wrong with a way of handing over: a descriptor, a file, a line of an env-file.

use std::fmt::Write;

use crate::exec::delivery::DeliveryError;
use crate::sys::descriptors::Unavailable;
use crate::sys::memory_folder::{NoFolder, Unfit};
use crate::vault::LineFault;

use super::error::{Failure, reason};

const NOTHING: &str = "Nothing was released.";

pub(super) fn delivery(error: &DeliveryError) -> Failure {
    match error {
        DeliveryError::SameDescriptor(number) => Failure::usage(
            &format!("Two keys are wanted on descriptor {number}."),
            Some("Nothing was released. Give each --fd a number of its own."),
        ),
        DeliveryError::SameVariable(variable) => Failure::usage(
            &format!("Two files are wanted under {variable}."),
            Some("Nothing was released. Give each --file, and --docker-env, a variable of its own."),
        ),
        DeliveryError::Descriptor(Unavailable::InUse(number)) => Failure::refused(
            &format!("Descriptor {number} is in use: whoever started keyvault passed something on it."),
            Some(&format!("Nothing was released. Choose another number, or close it: {number}<&-")),
        ),
        DeliveryError::Descriptor(Unavailable::AboveLimit { number, limit }) => Failure::refused(
            &format!("There is no descriptor {number}: {limit} files may be open here, from 0 on."),
            Some("Nothing was released. Choose a lower number, or raise the limit: ulimit -n"),
        ),
        DeliveryError::Descriptor(Unavailable::Io(error)) => {
            Failure::failed(&format!("The descriptors could not be made: {}.", reason(error)), Some(NOTHING))
        }
        DeliveryError::Folder(none) => no_folder(none),
        DeliveryError::Put { place, source } => Failure::failed(
            &format!("The value for {place} could not be handed over: {}.", reason(source)),
            Some("The command got none of it. The log counts the values as released."),
        ),
        DeliveryError::TakeAway { variable, source } => Failure::failed(
            &format!("The file in {variable} could not be taken away: {}.", reason(source)),
            Some("It is gone when the command has ended."),
        ),
    }
}

fn no_folder(none: &NoFolder) -> Failure {
    let mut message = "There is no place in memory for a file with a value:".to_owned();
    for (path, unfit) in &none.tried {
        // Writing to a String cannot fail.
        let _ = write!(message, "\n  {}: {}", path.display(), words(unfit));
    }
    Failure::refused(
        &message,
        Some(
            "Nothing was released: such a file never lies on a disk. Set XDG_RUNTIME_DIR to a folder of yours (0700)\n\
             on a tmpfs, or use --fd or --stdin, which need none.",
        ),
    )
}

fn words(unfit: &Unfit) -> String {
    match unfit {
        Unfit::Absent => "is not there".to_owned(),
        Unfit::NotAFolder => "is not a folder".to_owned(),
        Unfit::OnDisk => "does not lie in memory (tmpfs)".to_owned(),
        Unfit::Foreign { uid } => format!("belongs to user {uid}"),
        Unfit::OpenToOthers { mode } => format!("is open to others (mode {mode:04o})"),
        Unfit::Refused(number) => reason(&std::io::Error::from_raw_os_error(*number)),
    }
}

/// Why a value cannot stand in docker's env-file.
pub(super) fn line(fault: LineFault) -> String {
    match fault {
        LineFault::Newline => "its value has a newline, which no line of an env-file can carry".to_owned(),
        LineFault::CarriageReturn => {
            "its value ends in a carriage return, which docker drops from an env-file".to_owned()
        }
        LineFault::NotText => "its value is not UTF-8, which docker refuses in an env-file".to_owned(),
        LineFault::TooLong { len, max } => {
            format!("{len} bytes with its variable; docker takes {max} in a line of an env-file")
        }
    }
}
