//! Remedies for deliveries: a descriptor, a file, a line of an env-file.

use keyvault_exec::delivery::DeliveryError;
use keyvault_os::process::descriptors::Unavailable;

use super::remedy::{Remedy, failed, refused, usage};

pub(super) fn delivery(error: &DeliveryError) -> Remedy {
    match error {
        DeliveryError::SameDescriptor(_) => {
            usage("Nothing was released. Use a different number for each `--fd`.")
        }
        DeliveryError::SameVariable(_) => {
            usage("Nothing was released. Use a different variable for each `--file` and for `--docker-env`.")
        }
        DeliveryError::Descriptor(Unavailable::InUse(number)) => {
            refused(format!("Nothing was released. Choose another number, or close it: {number}<&-"))
        }
        DeliveryError::Descriptor(Unavailable::AboveLimit { .. }) => {
            refused("Nothing was released. Choose a lower number, or raise the limit with `ulimit -n`.")
        }
        DeliveryError::Descriptor(Unavailable::Io(_)) => failed("Nothing was released."),
        DeliveryError::Folder(_) => refused(
            "Nothing was released: such a file is never written to disk. Set XDG_RUNTIME_DIR to a folder of yours\n\
             (mode 0700) on a tmpfs, or use `--fd` or `--stdin`, which need none.",
        ),
        DeliveryError::Put { .. } => {
            failed("The command did not get it. The audit log counts the values as released.")
        }
        DeliveryError::TakeAway { .. } => failed("It is removed when the command ends."),
    }
}
