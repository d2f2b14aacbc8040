//! Secrets from people: from the environment, or typed at a terminal that does not show them.

use std::io::IsTerminal;
use std::path::Path;

/// Where the password of a wallet's files is looked for first.
const VARIABLE: &str = "COV72_WALLET_PASSWORD";

/// The password of the wallet file at `path`, if anybody can tell.
pub(crate) fn ask_password(path: &Path) -> Option<String> {
    let given = std::env::var(VARIABLE).ok();
    given.or_else(|| ask_secret(&format!("password of {}: ", path.display())))
}

/// What is typed after `question`; none where nobody sits at a terminal.
pub(crate) fn ask_secret(question: &str) -> Option<String> {
    std::io::stdin().is_terminal().then(|| rpassword::prompt_password(question).ok()).flatten()
}
