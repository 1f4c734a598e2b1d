//! The module's commands to itself, as arguments and back.
//!
//! ```text
//! _RG_INTERNALS library snapshot                                   a library was loaded or upgraded
//! _RG_INTERNALS delete library                                     a library was deleted
//! _RG_INTERNALS cursor library consumer stream position pending [hold]
//!                                                                  how far a consumer is in a stream
//! _RG_INTERNALS hold library consumer hold                         the delivery state of a consumer
//! _RG_INTERNALS pause library kind name state                      whether a function or trigger is paused
//! _RG_INTERNALS ledger ledger                                       the stamps of all libraries of the cluster
//! _RG_INTERNALS stamp ledger                                        those of some
//! ```
//!
//! Each says how things are, not how they changed: it may come twice. Append-only files of earlier
//! releases are replayed, so the arguments and the bytes in them stay what they are.

use std::borrow::Cow;
use std::ffi::CStr;

use thiserror::Error;

use gears_core::cluster::libraries::{Ledger, LedgerError};
use gears_core::delivery::{Checkpoint, DeliveryState, EntryId};
use gears_core::snapshot::{
    LibrarySnapshot, Paused, SnapshotError, decode_delivery_state, decode_pending,
    encode_delivery_state, encode_pending,
};

/// What the module's commands to itself begin with.
pub(crate) const NAME: &str = "_rg_internals";
/// The same, for the server.
pub(crate) const COMMAND: &CStr = c"_rg_internals";

/// The subcommand of [`ReplicatedCommand::Library`].
pub(crate) const LIBRARY: &str = "library";
/// The subcommand of [`ReplicatedCommand::Deletion`].
pub(crate) const DELETE: &str = "delete";
/// The subcommand of [`ReplicatedCommand::Cursor`].
pub(crate) const CURSOR: &str = "cursor";
/// The subcommand of [`ReplicatedCommand::ConsumerState`].
pub(crate) const HOLD: &str = "hold";
/// The subcommand of [`ReplicatedCommand::Pause`].
pub(crate) const PAUSE: &str = "pause";
/// The subcommand of [`ReplicatedCommand::Ledger`].
pub(crate) const LEDGER: &str = "ledger";
/// The subcommand of [`ReplicatedCommand::Stamps`].
pub(crate) const STAMP: &str = "stamp";
/// The subcommand that is never sent, and does nothing: the server is asked whether it would let it
/// through, as any command that may write.
pub(crate) const WRITES: &str = "writes";

/// A command of the module to itself, on replicas and after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplicatedCommand<'a> {
    /// A library was loaded or upgraded.
    Library(Cow<'a, LibrarySnapshot>),
    /// A library was deleted.
    Deletion {
        /// The library's name.
        library: &'a [u8],
    },
    /// How far a consumer is in a stream of the selected database.
    Cursor {
        /// The library's name.
        library: &'a [u8],
        /// The consumer's name there.
        consumer: &'a [u8],
        /// The stream's key.
        stream: &'a [u8],
        /// How far it is.
        checkpoint: Cow<'a, Checkpoint>,
    },
    /// Why nothing of any of a consumer's streams is dispatched.
    ConsumerState {
        /// The library's name.
        library: &'a [u8],
        /// The consumer's name there.
        consumer: &'a [u8],
        /// The state, of no single stream.
        delivery_state: Cow<'a, DeliveryState>,
    },
    /// Whether a function or trigger is paused.
    Pause {
        /// The library's name.
        library: &'a [u8],
        /// Which of them.
        what: Paused,
        /// Whether it is paused now.
        is_paused: bool,
    },
    /// The stamps of all libraries of the cluster.
    Ledger(Cow<'a, Ledger>),
    /// Those of some, which are as they say.
    Stamps(Cow<'a, Ledger>),
}

/// What is wrong with the arguments of a command.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// They are too few, or too many.
    #[error("ERR wrong number of arguments for '_rg_internals|{0}' command")]
    Arity(&'static str),
    /// There is no such command in this release.
    #[error("ERR unknown subcommand of _rg_internals")]
    Unknown,
    /// The bytes of a library are damaged, or of a newer release.
    #[error("ERR the library {0}")]
    Library(SnapshotError),
    /// A position is no ID.
    #[error("ERR the position is no ID")]
    Position,
    /// A list of IDs is damaged.
    #[error("ERR the list of pending IDs {0}")]
    Pending(SnapshotError),
    /// A delivery state is damaged.
    #[error("ERR what holds it {0}")]
    DeliveryState(SnapshotError),
    /// The bytes of a ledger are damaged, or of a newer release.
    #[error("ERR the ledger {0}")]
    Ledger(LedgerError),
    /// What is to be paused, or whether, is not known.
    #[error("ERR it is not said what is paused")]
    Pause,
}

impl<'a> ReplicatedCommand<'a> {
    /// Gives the arguments behind [`COMMAND`] to `send`.
    pub(crate) fn with_arguments<R>(&self, send: impl FnOnce(&[&[u8]]) -> R) -> R {
        match self {
            Self::Library(snapshot) => send(&[LIBRARY.as_bytes(), &snapshot.encode()]),
            Self::Deletion { library } => send(&[DELETE.as_bytes(), library]),
            Self::Cursor {
                library,
                consumer,
                stream,
                checkpoint,
            } => {
                let position = checkpoint.position.text();
                let pending = encode_pending(checkpoint);
                let delivery_state = encode_delivery_state(&checkpoint.delivery_state);
                let arguments = [
                    CURSOR.as_bytes(),
                    library,
                    consumer,
                    stream,
                    position.as_bytes(),
                    &pending,
                    &delivery_state,
                ];
                match &arguments {
                    // Usually the stream is just running, and the argument is left out.
                    [arguments @ .., b""] => send(arguments),
                    arguments => send(arguments),
                }
            }
            Self::ConsumerState {
                library,
                consumer,
                delivery_state,
            } => {
                let delivery_state = encode_delivery_state(delivery_state);
                send(&[HOLD.as_bytes(), library, consumer, &delivery_state])
            }
            Self::Ledger(ledger) => send(&[LEDGER.as_bytes(), &ledger.encode()]),
            Self::Stamps(ledger) => send(&[STAMP.as_bytes(), &ledger.encode()]),
            Self::Pause {
                library,
                what,
                is_paused,
            } => {
                let (kind, name) = match what {
                    Paused::Function(name) => (FUNCTION, name),
                    Paused::Trigger(name) => (TRIGGER, name),
                };
                let state: &[u8] = if *is_paused { b"1" } else { b"0" };
                send(&[PAUSE.as_bytes(), library, kind, name.as_bytes(), state])
            }
        }
    }

    /// The arguments behind [`COMMAND`].
    #[cfg(test)]
    pub(crate) fn encode(&self) -> gears_v8::ports::Arguments {
        self.with_arguments(|arguments| gears_v8::ports::Arguments::of(arguments.iter().copied()))
    }

    /// Reads the arguments behind [`COMMAND`].
    ///
    /// # Errors
    /// With what is wrong with them.
    pub(crate) fn decode(arguments: &[&'a [u8]]) -> Result<Self, DecodeError> {
        let [subcommand, arguments @ ..] = arguments else {
            return Err(DecodeError::Unknown);
        };
        let is = |name: &str| subcommand.eq_ignore_ascii_case(name.as_bytes());
        if is(LIBRARY) {
            decode_library(arguments)
        } else if is(DELETE) {
            decode_deletion(arguments)
        } else if is(CURSOR) {
            decode_cursor(arguments)
        } else if is(HOLD) {
            decode_consumer_state(arguments)
        } else if is(PAUSE) {
            decode_pause(arguments)
        } else if is(LEDGER) {
            Ok(Self::Ledger(decode_ledger(LEDGER, arguments)?))
        } else if is(STAMP) {
            Ok(Self::Stamps(decode_ledger(STAMP, arguments)?))
        } else {
            Err(DecodeError::Unknown)
        }
    }
}

fn decode_library<'a>(arguments: &[&'a [u8]]) -> Result<ReplicatedCommand<'a>, DecodeError> {
    let [snapshot] = arguments else {
        return Err(DecodeError::Arity(LIBRARY));
    };
    let snapshot = LibrarySnapshot::decode(snapshot).map_err(DecodeError::Library)?;
    Ok(ReplicatedCommand::Library(Cow::Owned(snapshot)))
}

fn decode_deletion<'a>(arguments: &[&'a [u8]]) -> Result<ReplicatedCommand<'a>, DecodeError> {
    let [library] = arguments else {
        return Err(DecodeError::Arity(DELETE));
    };
    Ok(ReplicatedCommand::Deletion { library })
}

fn decode_cursor<'a>(arguments: &[&'a [u8]]) -> Result<ReplicatedCommand<'a>, DecodeError> {
    let (library, consumer, stream, position, pending, delivery_state) = match arguments {
        [library, consumer, stream, position, pending] => {
            (library, consumer, stream, position, pending, &b""[..])
        }
        [library, consumer, stream, position, pending, delivery_state] => {
            let delivery_state: &[u8] = delivery_state;
            (library, consumer, stream, position, pending, delivery_state)
        }
        _ => return Err(DecodeError::Arity(CURSOR)),
    };
    let position = std::str::from_utf8(position).ok().and_then(EntryId::parse);
    let checkpoint = Checkpoint {
        position: position.ok_or(DecodeError::Position)?,
        pending: decode_pending(pending).map_err(DecodeError::Pending)?,
        delivery_state: decode_delivery_state(delivery_state)
            .map_err(DecodeError::DeliveryState)?,
    };
    Ok(ReplicatedCommand::Cursor {
        library,
        consumer,
        stream,
        checkpoint: Cow::Owned(checkpoint),
    })
}

fn decode_consumer_state<'a>(arguments: &[&'a [u8]]) -> Result<ReplicatedCommand<'a>, DecodeError> {
    let [library, consumer, delivery_state] = arguments else {
        return Err(DecodeError::Arity(HOLD));
    };
    let delivery_state =
        decode_delivery_state(delivery_state).map_err(DecodeError::DeliveryState)?;
    Ok(ReplicatedCommand::ConsumerState {
        library,
        consumer,
        delivery_state: Cow::Owned(delivery_state),
    })
}

fn decode_ledger(
    subcommand: &'static str,
    arguments: &[&[u8]],
) -> Result<Cow<'static, Ledger>, DecodeError> {
    let [ledger] = arguments else {
        return Err(DecodeError::Arity(subcommand));
    };
    let ledger = Ledger::decode(ledger).map_err(DecodeError::Ledger)?;
    Ok(Cow::Owned(ledger))
}

/// The kinds in [`ReplicatedCommand::Pause`].
const FUNCTION: &[u8] = b"function";
const TRIGGER: &[u8] = b"trigger";

fn decode_pause<'a>(arguments: &[&'a [u8]]) -> Result<ReplicatedCommand<'a>, DecodeError> {
    let [library, kind, name, state] = *arguments else {
        return Err(DecodeError::Arity(PAUSE));
    };
    let name = std::str::from_utf8(name).map_err(|_| DecodeError::Pause)?;
    let what = match kind {
        FUNCTION => Paused::Function(name.to_owned()),
        TRIGGER => Paused::Trigger(name.to_owned()),
        _ => return Err(DecodeError::Pause),
    };
    let is_paused = match state {
        b"1" => true,
        b"0" => false,
        _ => return Err(DecodeError::Pause),
    };
    Ok(ReplicatedCommand::Pause {
        library,
        what,
        is_paused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gears_core::snapshot::History;

    fn id(ms: u64) -> EntryId {
        EntryId::new(ms, 0)
    }

    fn paused() -> DeliveryState {
        DeliveryState {
            paused: true,
            ..DeliveryState::default()
        }
    }

    fn cursor(pending: Vec<EntryId>, delivery_state: DeliveryState) -> ReplicatedCommand<'static> {
        ReplicatedCommand::Cursor {
            library: b"lib",
            consumer: b"consumer",
            stream: b"s\xff",
            checkpoint: Cow::Owned(Checkpoint {
                position: id(3),
                pending,
                delivery_state,
            }),
        }
    }

    fn consumer_state(delivery_state: DeliveryState) -> ReplicatedCommand<'static> {
        ReplicatedCommand::ConsumerState {
            library: b"lib",
            consumer: b"consumer",
            delivery_state: Cow::Owned(delivery_state),
        }
    }

    fn library() -> LibrarySnapshot {
        LibrarySnapshot {
            name: "lib".into(),
            code: "#!js name=lib".into(),
            config: None,
            user: "anna".into(),
            consumers: Vec::new(),
            unregistered: Vec::new(),
            paused: Vec::new(),
            history: History::default(),
        }
    }

    fn pause(what: Paused, is_paused: bool) -> ReplicatedCommand<'static> {
        ReplicatedCommand::Pause {
            library: b"lib",
            what,
            is_paused,
        }
    }

    fn ledger() -> Ledger {
        Ledger {
            domain: None,
            clock: 3,
            floor: 0,
            live: Vec::new(),
            deleted: Vec::new(),
        }
    }

    const LEDGER_BYTES: &[u8] = b"\xc1\x01\x00\x03\x00\x00\x00";

    const PAUSED: &[u8] = b"\x01\x00\x00\x00\x00\x00";

    /// Each command, and the arguments that every release has for it.
    fn golden() -> Vec<(ReplicatedCommand<'static>, Vec<&'static [u8]>)> {
        vec![
            (
                ReplicatedCommand::Library(Cow::Owned(library())),
                vec![
                    b"library",
                    b"\x05\x03lib\x0d#!js name=lib\x00\x04anna\x00\x00\x00\x01\x00\x00\x00",
                ],
            ),
            (
                ReplicatedCommand::Deletion { library: b"lib" },
                vec![b"delete", b"lib"],
            ),
            (
                cursor(Vec::new(), DeliveryState::default()),
                vec![b"cursor", b"lib", b"consumer", b"s\xff", b"3-0", b""],
            ),
            (
                cursor(vec![id(1), id(3)], DeliveryState::default()),
                vec![
                    b"cursor",
                    b"lib",
                    b"consumer",
                    b"s\xff",
                    b"3-0",
                    b"\x02\x01\x00\x02\x00",
                ],
            ),
            (
                cursor(Vec::new(), paused()),
                vec![
                    b"cursor",
                    b"lib",
                    b"consumer",
                    b"s\xff",
                    b"3-0",
                    b"",
                    PAUSED,
                ],
            ),
            (
                consumer_state(paused()),
                vec![b"hold", b"lib", b"consumer", PAUSED],
            ),
            (
                consumer_state(DeliveryState::default()),
                vec![b"hold", b"lib", b"consumer", b""],
            ),
            (
                pause(Paused::Function("f".into()), true),
                vec![b"pause", b"lib", b"function", b"f", b"1"],
            ),
            (
                pause(Paused::Trigger("t".into()), false),
                vec![b"pause", b"lib", b"trigger", b"t", b"0"],
            ),
            (
                ReplicatedCommand::Ledger(Cow::Owned(ledger())),
                vec![b"ledger", LEDGER_BYTES],
            ),
            (
                ReplicatedCommand::Stamps(Cow::Owned(ledger())),
                vec![b"stamp", LEDGER_BYTES],
            ),
        ]
    }

    #[test]
    fn every_command_has_the_arguments_that_it_always_had() {
        for (command, arguments) in golden() {
            assert_eq!(command.encode().iter().collect::<Vec<_>>(), arguments);
        }
    }

    #[test]
    fn the_arguments_of_a_command_decode_to_it() {
        for (command, arguments) in golden() {
            assert_eq!(ReplicatedCommand::decode(&arguments), Ok(command));
        }
    }

    #[test]
    fn a_server_may_spell_the_subcommand_as_it_likes() {
        let arguments: [&[u8]; 2] = [b"DELETE", b"lib"];
        let deletion = ReplicatedCommand::Deletion { library: b"lib" };
        assert_eq!(ReplicatedCommand::decode(&arguments), Ok(deletion));
    }

    #[test]
    fn what_is_wrong_with_the_arguments_is_named() {
        let wrong = |arguments: &[&[u8]]| {
            ReplicatedCommand::decode(arguments)
                .unwrap_err()
                .to_string()
        };
        for (command, arguments) in golden() {
            let name = String::from_utf8_lossy(arguments[0]);
            let arity = format!("ERR wrong number of arguments for '_rg_internals|{name}' command");
            let mut more = arguments.clone();
            more.resize(8, b"");
            for arguments in [&arguments[..1], &more] {
                assert_eq!(wrong(arguments), arity, "{command:?}");
            }
        }
        assert!(wrong(&[b"library", b"\xff"]).starts_with("ERR the library "));
        let cursor = |position, pending, delivery_state| {
            wrong(&[
                b"cursor",
                b"lib",
                b"consumer",
                b"s",
                position,
                pending,
                delivery_state,
            ])
        };
        assert_eq!(cursor(b"x", b"", b""), "ERR the position is no ID");
        assert!(cursor(b"1-0", b"\xff", b"").starts_with("ERR the list of pending IDs "));
        assert!(cursor(b"1-0", b"", b"\xff").starts_with("ERR what holds it "));
        assert!(wrong(&[b"hold", b"lib", b"consumer", b"\xff"]).starts_with("ERR what holds it "));
        for [kind, name, state] in [
            [&b"consumer"[..], b"f", b"1"],
            [b"function", b"\xff", b"1"],
            [b"function", b"f", b"2"],
        ] {
            let said = wrong(&[b"pause", b"lib", kind, name, state]);
            assert_eq!(said, "ERR it is not said what is paused");
        }
        assert_eq!(
            wrong(&[b"writes", b""]),
            "ERR unknown subcommand of _rg_internals"
        );
        assert_eq!(wrong(&[]), "ERR unknown subcommand of _rg_internals");
    }
}
