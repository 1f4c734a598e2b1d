//! Users of the server, and what they may do.

use super::ffi::user::User;

/// What is said of a user who lacks a right on a key.
pub(super) fn lacks(user: &str, key: &[u8], what: &str) -> String {
    let key = std::str::from_utf8(key).unwrap_or("[binary data]");
    format!("User '{user}' has no permissions on key '{key}', {what}")
}

/// What is said where there is no such user.
pub(super) const NO_USER: &str = "User does not exists or disabled.";
/// What is said where the user may not use the key.
pub(super) const NO_RIGHT: &str = "User does not have permissions on key.";

/// Whether that user may run one of these commands, which are the same under several names, now.
///
/// # Errors
/// With why not.
pub(crate) fn may_call(user: &str, names: &[&[u8]], arguments: &[&[u8]]) -> Result<(), String> {
    let found = User::find_enabled(user).ok_or_else(|| format!("ERR {NO_USER}"))?;
    let may_run = |name: &&[u8]| {
        let arguments: Vec<&[u8]> = std::iter::once(*name)
            .chain(arguments.iter().copied())
            .collect();
        found.may_run(&arguments)
    };
    if names.iter().any(may_run) {
        return Ok(());
    }
    Err(format!(
        "NOPERM User '{user}' has no permissions to run the call any more"
    ))
}

/// Whether that user may run a command on a key now.
///
/// # Errors
/// With what the user lacks: the command, or the key.
pub(crate) fn demand(user: &str, command: &[&[u8]], key: &[u8]) -> Result<(), String> {
    let lacks = |what: &str| Err(format!("NOPERM User '{user}' {what}"));
    let Some(found) = User::find_enabled(user) else {
        return lacks("does not exist, or is disabled");
    };
    if found.may_run(command) {
        return Ok(());
    }
    let name = command.first().map(|name| String::from_utf8_lossy(name));
    let name = name.unwrap_or_default();
    let key = String::from_utf8_lossy(key);
    lacks(&format!(
        "has no permissions to run '{name}' on the key '{key}'"
    ))
}

/// Whether there is such a user, who is enabled.
pub(crate) fn is_enabled(user: &str) -> bool {
    User::find_enabled(user).is_some()
}

/// Whether that user administers the server. Servers do not tell a user's categories: who may
/// change users, which is of `@admin` on all of them, may become any of them anyway.
pub(crate) fn is_admin(user: &str) -> bool {
    let arguments: [&[u8]; 3] = [b"ACL", b"SETUSER", b"default"];
    User::find(user).is_some_and(|user| user.may_run(&arguments))
}
