//! Names that look like values: someone typed the value in the place of the name.

use keyvault_core::name::KeyName;
use keyvault_core::text::resembles_a_secret;

use super::context::Context;
use super::errors::Failure;
use super::prompt;

const IF_A_VALUE: &str =
    "If it is a value, treat it as leaked: other users, the shell history, and logs can see arguments.";

/// Asks for a name that looks like a value, and refuses it where no one can be asked. The name is not repeated.
pub(in crate::cli) fn confirm(context: &Context, name: &KeyName, confirmed: bool) -> Result<(), Failure> {
    if confirmed || !resembles_a_secret(name.as_str()) {
        return Ok(());
    }
    if !context.may_ask() {
        return Err(Failure::usage(
            &format!("The name looks like a value, and {}.", context.unasked()),
            Some(&format!("Nothing was changed. {IF_A_VALUE}\nIf it is a name, confirm it with `--yes`.")),
        ));
    }
    let text = format!("The name looks like a value. {IF_A_VALUE}");
    if prompt::confirm(&text, "Use it as the name of a key?")? {
        Ok(())
    } else {
        Err(Failure::refused(
            "Nothing was changed.",
            Some("The value is asked for at a prompt: keyvault add NAME"),
        ))
    }
}
