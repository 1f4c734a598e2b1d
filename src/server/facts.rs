//! What kind of server this is, where the functions that it has do not tell: what it refuses, and
//! which faults it has.

use std::ffi::c_int;
use std::sync::OnceLock;

use super::ffi::server_info::{ServerInfo, server_version};

/// A release, as servers give it in one number: major, minor and patch, a byte each.
type Release = c_int;

const fn release(major: Release, minor: Release, patch: Release) -> Release {
    major << 16 | minor << 8 | patch
}

/// What this server can and cannot do, found out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct ServerFacts {
    /// Whether clients that are subscribed to channels cannot be kept waiting.
    pub(super) subscribers_cannot_wait: bool,
    /// Whether the server ends itself when another thread than its main one runs a command that has
    /// something to tell a client.
    pub(super) only_main_runs_commands: bool,
    /// Whether the server keeps what it found of a module's command whose keys are of several
    /// slots, and takes it for true of later commands, whatever their keys.
    pub(super) keeps_several_slots: bool,
    /// Whether a module may make data types later than it is loaded. That is where it has to: such
    /// a server does not unload a module that has some, not even one that it has just loaded and
    /// must not keep. Redis 8 can. Those in between let nobody make one later, and end themselves
    /// then.
    pub(super) takes_late_types: bool,
    /// Whether an event of a transaction gives the transaction's database as the selected one, also
    /// where the key lies in another: where MOVE and COPY put it.
    pub(super) tells_database_of_transaction: bool,
}

/// The facts. Asked for under the server's lock.
pub(super) fn facts() -> ServerFacts {
    static FACTS: OnceLock<ServerFacts> = OnceLock::new();
    *FACTS.get_or_init(|| {
        let valkey = ServerInfo::read(c"server").and_then(|info| info.text(c"valkey_version"));
        ServerFacts::of(server_version(), valkey.as_deref())
    })
}

impl ServerFacts {
    /// Those of a server, by its release, and that of Valkey if it is one.
    fn of(version: Release, valkey: Option<&str>) -> Self {
        // It came with 8.0; the first release that is known to be without it is 8.6.3.
        let has_fault = release(8, 0, 0)..release(8, 6, 3);
        Self {
            only_main_runs_commands: valkey.is_none() && has_fault.contains(&version),
            subscribers_cannot_wait: valkey
                .is_some_and(|version| parse(version) >= release(8, 1, 1)),
            keeps_several_slots: valkey.is_some_and(|version| parse(version) >= release(9, 0, 0)),
            takes_late_types: valkey.is_none() && version < release(7, 2, 0),
            tells_database_of_transaction: valkey
                .is_some_and(|version| parse(version) >= release(9, 1, 0)),
        }
    }
}

/// A release by its text; what is not there is 0.
fn parse(version: &str) -> Release {
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    release(next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_part_by_part() {
        assert_eq!(parse("8.1.1"), release(8, 1, 1));
        assert!(parse("9.1.2") > release(8, 1, 1));
        assert!(parse("8.0.12") < release(8, 1, 1));
        assert_eq!(parse("9.1-rc1"), release(9, 1, 0));
        assert_eq!(parse(""), 0);
    }

    #[test]
    fn valkey_keeps_no_subscribers_waiting() {
        let cannot = |valkey| ServerFacts::of(release(7, 2, 4), valkey).subscribers_cannot_wait;
        assert!(cannot(Some("9.1.2")));
        assert!(!cannot(Some("8.1.0")));
        assert!(!cannot(None));
    }

    #[test]
    fn redis_8_0_has_commands_run_by_its_main_thread() {
        let only_main = |version| ServerFacts::of(version, None).only_main_runs_commands;
        assert!(only_main(release(8, 0, 2)));
        assert!(!only_main(release(7, 4, 9)));
        assert!(!only_main(release(8, 6, 3)));
        assert!(!ServerFacts::of(release(8, 1, 0), Some("8.1.0")).only_main_runs_commands);
    }

    #[test]
    fn redis_7_0_takes_data_types_late() {
        let takes = |version, valkey| ServerFacts::of(version, valkey).takes_late_types;
        assert!(takes(release(7, 0, 15), None));
        assert!(!takes(release(7, 2, 4), None));
        assert!(!takes(release(7, 2, 4), Some("9.1.2")));
    }

    #[test]
    fn valkey_keeps_what_it_found_of_several_slots() {
        assert!(ServerFacts::of(release(7, 2, 4), Some("9.1.2")).keeps_several_slots);
        assert!(!ServerFacts::of(release(8, 6, 3), None).keeps_several_slots);
    }

    #[test]
    fn valkey_tells_the_database_of_the_transaction_since_9_1() {
        let tells =
            |valkey| ServerFacts::of(release(7, 2, 4), valkey).tells_database_of_transaction;
        assert!(tells(Some("9.1.2")));
        assert!(!tells(Some("9.0.3")));
        assert!(!tells(None));
    }
}
