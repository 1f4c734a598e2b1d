//! What a script is told where its command is denied for lack of rights: the user, the command and the
//! key, whatever the server says of it.

use std::ffi::CStr;

use super::context::Context;
use super::ffi::constants::{KEY_ACCESS, KEY_UPDATE};
use super::ffi::string::string;
use super::ffi::user::User;

/// What a user may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    Command,
    Key,
    Channel,
}

/// What the server's error says that the user may not; `None` for any other reply.
fn denied(reply: &[u8]) -> Option<Denied> {
    let error = reply.strip_prefix(b"-")?;
    let is = |start: &str| error.starts_with(start.as_bytes());
    // Redis 7.0, and later ones.
    if is("ERR acl verification failed, can't access at least one of the keys")
        || is("NOPERM No permissions to access a key")
    {
        Some(Denied::Key)
    } else if is("ERR acl verification failed, can't publish")
        || is("NOPERM No permissions to access a channel")
    {
        Some(Denied::Channel)
    } else if is("ERR acl verification failed, can't run this command")
        || is("NOPERM User ") && error.ends_with(b"' command\r\n")
    {
        Some(Denied::Command)
    } else {
        None
    }
}

/// The reply to a command that the server denied that user, in place of the server's own; `None` where
/// it says something else.
pub(super) fn reply(
    context: &Context,
    user: &str,
    (name, arguments): (&CStr, &[&[u8]]),
    reply: &[u8],
) -> Option<Vec<u8>> {
    let denied = denied(reply)?;
    let key = match denied {
        Denied::Key => denied_key(context, user, (name, arguments)),
        Denied::Command | Denied::Channel => None,
    };
    let name = name.to_string_lossy().to_lowercase();
    let text = text(user, named(reply).unwrap_or(&name), denied, key);
    Some(format!("-{text}\r\n").into_bytes())
}

/// The command as the server names it, with its subcommand; `None` where it does not.
fn named(reply: &[u8]) -> Option<&str> {
    let (_, behind) = std::str::from_utf8(reply).ok()?.rsplit_once(" run the '")?;
    Some(behind.split_once('\'')?.0)
}

fn text(user: &str, command: &str, denied: Denied, key: Option<&[u8]>) -> String {
    // A line break would end the error before its end.
    let on_line = |text: &str| text.replace(['\r', '\n'], " ");
    let command = on_line(command);
    let place = match (denied, key) {
        (Denied::Command, _) => String::new(),
        (Denied::Key, Some(key)) => {
            let key = on_line(&String::from_utf8_lossy(key));
            let key: String = key.chars().take(200).collect();
            format!(" on the key '{key}'")
        }
        (Denied::Key, None) => " on one of its keys".to_owned(),
        (Denied::Channel, _) => " on the channel".to_owned(),
    };
    format!("NOPERM User '{user}' has no permissions to run '{command}'{place}")
}

/// The key among the arguments that the user may not use. The server does not tell which: it is one
/// that he may neither read nor write, else one that he may not read, else one that he may not write.
fn denied_key<'a>(
    context: &Context,
    user: &str,
    (name, arguments): (&CStr, &[&'a [u8]]),
) -> Option<&'a [u8]> {
    let user = User::find(user)?;
    let words = std::iter::once(name.to_bytes()).chain(arguments.iter().copied());
    let words: Vec<_> = words.map(string).collect();
    let places = context.key_places(&words);
    let keys = places.into_iter();
    let keys = keys.filter_map(|place| arguments.get(place.checked_sub(1)?).copied());
    let least = keys.map(|key| {
        let may = |rights| user.may_use(key, rights);
        (
            2 * u8::from(may(KEY_ACCESS)) + u8::from(may(KEY_UPDATE)),
            key,
        )
    });
    // The first of those with the fewest rights.
    let (rights, key) = least.min_by_key(|(rights, _)| *rights)?;
    (rights < 3).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_understood_whatever_users_and_commands_are_called() {
        for (error, expected) in [
            (
                "ERR acl verification failed, can't run this command or subcommand.",
                Some(Denied::Command),
            ),
            (
                "ERR acl verification failed, can't access at least one of the keys mentioned in the command arguments.",
                Some(Denied::Key),
            ),
            (
                "ERR acl verification failed, can't publish to the channel mentioned in the command.",
                Some(Denied::Channel),
            ),
            (
                "NOPERM User key has no permissions to run the 'keys' command",
                Some(Denied::Command),
            ),
            ("NOPERM No permissions to access a key", Some(Denied::Key)),
            (
                "NOPERM No permissions to access a channel",
                Some(Denied::Channel),
            ),
            (
                "NOPERM User 'a' has no permissions to run the call any more",
                None,
            ),
            ("ERR no", None),
        ] {
            assert_eq!(
                denied(format!("-{error}\r\n").as_bytes()),
                expected,
                "{error}"
            );
        }
        assert_eq!(denied(b"+OK\r\n"), None);
        assert_eq!(denied(b""), None);
    }

    #[test]
    fn a_subcommand_is_named_where_the_server_names_it() {
        let reply = b"-NOPERM User a has no permissions to run the 'xinfo|stream' command\r\n";
        assert_eq!(named(reply), Some("xinfo|stream"));
        assert_eq!(named(b"-NOPERM No permissions to access a key\r\n"), None);
    }

    #[test]
    fn user_command_and_key_are_named_on_one_line() {
        let told = |denied, key| text("a", "get", denied, key);
        let start = "NOPERM User 'a' has no permissions to run 'get'";
        assert_eq!(told(Denied::Command, None), start);
        assert_eq!(
            told(Denied::Key, Some(b"b\r\nc")),
            format!("{start} on the key 'b  c'")
        );
        assert_eq!(
            told(Denied::Key, None),
            format!("{start} on one of its keys")
        );
        assert_eq!(
            told(Denied::Channel, None),
            format!("{start} on the channel")
        );
    }
}
