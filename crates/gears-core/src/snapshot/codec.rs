//! The bytes of a library, and of a checkpoint.
//!
//! A library is one byte with the version of its form, then its fields in the form of
//! [postcard](https://postcard.jamesmunns.com/wire-format). The IDs of pending entries are
//! distances, so a window of a thousand takes two or three kilobytes.

use thiserror::Error;

use crate::delivery::{Checkpoint, DeliveryState, EntryId};

use super::ids::{distances, ids};
use super::library::{DeliveryStateFormat, LibrarySnapshot};
use super::{format_v1, format_v2, format_v3, format_v4};

/// The form that this release writes.
pub const VERSION: u8 = 5;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// A later release wrote them.
    #[error(
        "was written by a newer release of the module, in form {0}: this one reads forms up to {VERSION}"
    )]
    Newer(u8),
    /// They are damaged.
    #[error("is damaged")]
    Damaged,
}

impl LibrarySnapshot {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Of bytes.
    ///
    /// # Errors
    /// Where they are of a later form, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        match bytes {
            [VERSION, rest @ ..] => match postcard::take_from_bytes(rest) {
                Ok((library, [])) => Ok(library),
                _ => Err(SnapshotError::Damaged),
            },
            [4, rest @ ..] => match postcard::take_from_bytes::<format_v4::Library>(rest) {
                Ok((library, [])) => Ok(library.into()),
                _ => Err(SnapshotError::Damaged),
            },
            [3, rest @ ..] => match postcard::take_from_bytes::<format_v3::Library>(rest) {
                Ok((library, [])) => Ok(library.into()),
                _ => Err(SnapshotError::Damaged),
            },
            [2, rest @ ..] => match postcard::take_from_bytes::<format_v2::Library>(rest) {
                Ok((library, [])) => Ok(library.into()),
                _ => Err(SnapshotError::Damaged),
            },
            [1, rest @ ..] => match postcard::take_from_bytes::<format_v1::Library>(rest) {
                Ok((library, [])) => Ok(library.into()),
                _ => Err(SnapshotError::Damaged),
            },
            [version, ..] if *version > VERSION => Err(SnapshotError::Newer(*version)),
            _ => Err(SnapshotError::Damaged),
        }
    }
}

/// The pending IDs of a checkpoint as bytes; none where there are none.
#[must_use]
pub fn encode_pending(checkpoint: &Checkpoint) -> Vec<u8> {
    if checkpoint.pending.is_empty() {
        return Vec::new();
    }
    postcard::to_allocvec(&distances(&checkpoint.pending)).unwrap_or_default()
}

/// A delivery state as bytes; none where it is running and nothing was tried.
#[must_use]
pub fn encode_delivery_state(delivery_state: &DeliveryState) -> Vec<u8> {
    if *delivery_state == DeliveryState::default() {
        return Vec::new();
    }
    postcard::to_allocvec(&DeliveryStateFormat::from(delivery_state)).unwrap_or_default()
}

/// A delivery state of bytes. What a release of form 3 wrote lacks the last field, and so is known.
///
/// # Errors
/// Where they are damaged.
pub fn decode_delivery_state(bytes: &[u8]) -> Result<DeliveryState, SnapshotError> {
    if bytes.is_empty() {
        return Ok(DeliveryState::default());
    }
    match postcard::take_from_bytes::<DeliveryStateFormat>(bytes) {
        Ok((form, [])) => Ok(form.into()),
        _ => match postcard::take_from_bytes::<format_v3::DeliveryStateFormat>(bytes) {
            Ok((form, [])) => Ok(form.into()),
            _ => Err(SnapshotError::Damaged),
        },
    }
}

/// Pending IDs of bytes.
///
/// # Errors
/// Where they are damaged.
pub fn decode_pending(bytes: &[u8]) -> Result<Vec<EntryId>, SnapshotError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    match postcard::take_from_bytes::<Vec<(u64, u64)>>(bytes) {
        Ok((distances, [])) => Ok(ids(&distances)),
        _ => Err(SnapshotError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{EarlierVersion, History};
    use super::super::library::{
        ConsumerSnapshot, Paused, StartSnapshot, StreamSnapshot, Unregistered,
    };
    use super::*;
    use crate::delivery::Tried;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = EntryId> {
        let part = || prop_oneof![0..3u64, any::<u64>()];
        (part(), part()).prop_map(|(ms, seq)| EntryId::new(ms, seq))
    }

    fn delivery_state() -> impl Strategy<Value = DeliveryState> {
        let tried = (id(), any::<u32>(), any::<u64>());
        let tried = tried.prop_map(|(id, attempts, first_ms)| (id, Tried { attempts, first_ms }));
        let aborted = prop::option::of(".{0,5}".prop_map(|text| text.as_str().into()));
        (
            any::<bool>(),
            aborted,
            any::<u64>(),
            prop::collection::vec(tried, 0..3),
            any::<u64>(),
        )
            .prop_map(
                |(paused, aborted, until_ms, tried, as_of_ms)| DeliveryState {
                    paused,
                    aborted,
                    until_ms,
                    tried,
                    as_of_ms,
                },
            )
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        (id(), prop::collection::vec(id(), 0..5), delivery_state()).prop_map(
            |(position, pending, delivery_state)| Checkpoint {
                position,
                pending,
                delivery_state,
            },
        )
    }

    fn stream() -> impl Strategy<Value = StreamSnapshot> {
        let name = prop::collection::vec(any::<u8>(), 0..5);
        (any::<i32>(), name, checkpoint()).prop_map(|(db, name, checkpoint)| StreamSnapshot {
            db,
            name,
            checkpoint,
        })
    }

    fn consumer() -> impl Strategy<Value = ConsumerSnapshot> {
        let prefix = prop::collection::vec(any::<u8>(), 0..5);
        let streams = prop::collection::vec(stream(), 0..4);
        let flags = any::<[bool; 3]>();
        let start = prop_oneof![
            Just(StartSnapshot::Earliest),
            Just(StartSnapshot::Latest),
            any::<(u64, u64)>().prop_map(|(ms, seq)| StartSnapshot::At(ms, seq)),
        ];
        (
            ".{0,5}",
            prefix,
            any::<u64>(),
            flags,
            start,
            delivery_state(),
            streams,
        )
            .prop_map(
                |(
                    name,
                    prefix,
                    window,
                    [trim, is_async, exact],
                    start,
                    delivery_state,
                    streams,
                )| {
                    ConsumerSnapshot {
                        name,
                        prefix,
                        window,
                        trim,
                        is_async,
                        exact,
                        start,
                        delivery_state,
                        streams,
                    }
                },
            )
    }

    fn library() -> impl Strategy<Value = LibrarySnapshot> {
        let consumers = prop::collection::vec(consumer(), 0..4);
        let config = prop::option::of(".{0,5}");
        let gone = prop_oneof![
            ".{0,5}".prop_map(Unregistered::Consumer),
            ".{0,5}".prop_map(Unregistered::Trigger),
        ];
        let gone = prop::collection::vec(gone, 0..3);
        let paused = prop_oneof![
            ".{0,5}".prop_map(Paused::Function),
            ".{0,5}".prop_map(Paused::Trigger),
        ];
        let paused = prop::collection::vec(paused, 0..3);
        let earlier = (any::<(u64, u64)>(), ".{0,5}", ".{0,5}", ".{0,9}");
        let earlier =
            earlier.prop_map(
                |((version, loaded_ms), loaded_by, user, code)| EarlierVersion {
                    version,
                    loaded_ms,
                    loaded_by,
                    user,
                    code,
                },
            );
        let history = (
            any::<(u64, u64)>(),
            ".{0,5}",
            prop::collection::vec(earlier, 0..3),
        );
        let history = history.prop_map(|((version, loaded_ms), loaded_by, earlier)| History {
            version,
            loaded_ms,
            loaded_by,
            earlier,
        });
        let gone = (gone, paused, history);
        (".{0,9}", ".{0,99}", config, ".{0,9}", consumers, gone).prop_map(
            |(name, code, config, user, consumers, (unregistered, paused, history))| {
                LibrarySnapshot {
                    name,
                    code,
                    config,
                    user,
                    consumers,
                    unregistered,
                    paused,
                    history,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(dump in library()) {
            prop_assert_eq!(LibrarySnapshot::decode(&dump.encode()), Ok(dump));
        }

        #[test]
        fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = LibrarySnapshot::decode(&bytes);
            bytes.insert(0, VERSION);
            let _ = LibrarySnapshot::decode(&bytes);
            for old in 1..VERSION {
                bytes[0] = old;
                let _ = LibrarySnapshot::decode(&bytes);
            }
            let _ = decode_pending(&bytes);
            let _ = decode_delivery_state(&bytes);
        }

        #[test]
        fn what_is_cut_off_is_damaged(dump in library(), at in any::<prop::sample::Index>()) {
            let bytes = dump.encode();
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_eq!(LibrarySnapshot::decode(cut), Err(SnapshotError::Damaged));
        }

        #[test]
        fn pending_ids_and_holds_are_read_again(checkpoint in checkpoint()) {
            let bytes = encode_pending(&checkpoint);
            prop_assert_eq!(decode_pending(&bytes), Ok(checkpoint.pending));
            let bytes = encode_delivery_state(&checkpoint.delivery_state);
            prop_assert_eq!(decode_delivery_state(&bytes), Ok(checkpoint.delivery_state));
        }
    }

    #[test]
    fn pending_ids_of_a_busy_stream_take_few_bytes() {
        let pending = (0..1000).map(|n| EntryId::new(1_795_325_465_255 + n / 10, n % 10));
        let checkpoint = Checkpoint {
            position: EntryId::MAX,
            pending: pending.collect(),
            delivery_state: DeliveryState::default(),
        };
        assert!(encode_pending(&checkpoint).len() < 3000);
    }

    #[test]
    fn a_later_form_is_refused_by_name() {
        let error = LibrarySnapshot::decode(&[VERSION + 1, 0]).unwrap_err();
        assert_eq!(error, SnapshotError::Newer(VERSION + 1));
        assert!(error.to_string().contains("newer release"));
    }

    #[test]
    fn form_1_is_still_read() {
        let dump = LibrarySnapshot::decode(include_bytes!("format-v1.bin")).unwrap();
        let mut expected = before_form_5();
        expected.unregistered.clear();
        for consumer in &mut expected.consumers {
            (consumer.exact, consumer.start) = (false, StartSnapshot::Earliest);
            consumer.delivery_state = DeliveryState::default();
            for stream in &mut consumer.streams {
                stream.checkpoint.delivery_state = DeliveryState::default();
            }
        }
        assert_eq!(dump, expected);
    }

    #[test]
    fn form_2_is_still_read() {
        let dump = LibrarySnapshot::decode(include_bytes!("format-v2.bin")).unwrap();
        let mut expected = before_form_4();
        expected.unregistered.clear();
        assert_eq!(dump, expected);
    }

    #[test]
    fn form_3_is_still_read() {
        let dump = LibrarySnapshot::decode(include_bytes!("format-v3.bin")).unwrap();
        assert_eq!(dump, before_form_4());
    }

    /// The example without what form 4 added.
    fn before_form_4() -> LibrarySnapshot {
        let mut dump = before_form_5();
        for consumer in &mut dump.consumers {
            for stream in &mut consumer.streams {
                stream.checkpoint.delivery_state.as_of_ms = 0;
            }
        }
        dump
    }

    #[test]
    fn a_hold_in_a_command_of_form_3_is_still_read() {
        // Paused, no error, until 5, nothing tried.
        let delivery_state = DeliveryState {
            paused: true,
            until_ms: 5,
            ..DeliveryState::default()
        };
        assert_eq!(decode_delivery_state(&[1, 0, 5, 0, 0]), Ok(delivery_state));
    }

    #[test]
    fn form_4_is_still_read() {
        let dump = LibrarySnapshot::decode(include_bytes!("format-v4.bin")).unwrap();
        assert_eq!(dump, before_form_5());
    }

    /// The example without what form 5 added.
    fn before_form_5() -> LibrarySnapshot {
        LibrarySnapshot {
            paused: Vec::new(),
            history: History::default(),
            ..example()
        }
    }

    #[test]
    fn form_5_is_what_it_was() {
        let bytes = include_bytes!("format-v5.bin");
        let dump = LibrarySnapshot::decode(bytes).unwrap();
        assert_eq!(dump, example());
        assert_eq!(
            dump.encode(),
            bytes,
            "form 5 has changed without another number"
        );
    }

    fn example() -> LibrarySnapshot {
        let id = EntryId::new;
        LibrarySnapshot {
            name: "lib".into(),
            code: "#!js name=lib\nredis.register_function('f', () => 'ä');".into(),
            config: Some("{\"a\": 1}".into()),
            user: "default".into(),
            consumers: vec![ConsumerSnapshot {
                name: "consumer".into(),
                prefix: b"stream\xff\0".into(),
                window: 300,
                trim: true,
                is_async: true,
                exact: true,
                start: StartSnapshot::At(7, 8),
                delivery_state: DeliveryState {
                    paused: true,
                    aborted: Some("Error: no".into()),
                    ..DeliveryState::default()
                },
                streams: vec![
                    StreamSnapshot {
                        db: 0,
                        name: b"stream\xff\0:1".into(),
                        checkpoint: Checkpoint {
                            position: id(1_795_325_465_255, 3),
                            pending: vec![
                                id(1_795_325_465_254, u64::MAX),
                                id(1_795_325_465_255, 2),
                            ],
                            delivery_state: DeliveryState {
                                until_ms: 1_795_325_466_000,
                                as_of_ms: 1_795_325_465_900,
                                tried: vec![(
                                    id(1_795_325_465_255, 2),
                                    Tried {
                                        attempts: 3,
                                        first_ms: 1_795_325_465_300,
                                    },
                                )],
                                ..DeliveryState::default()
                            },
                        },
                    },
                    StreamSnapshot {
                        db: 15,
                        name: b"stream\xff\0".into(),
                        checkpoint: Checkpoint::default(),
                    },
                ],
            }],
            unregistered: vec![
                Unregistered::Consumer("gone".into()),
                Unregistered::Trigger("ä".into()),
            ],
            paused: vec![Paused::Function("f".into()), Paused::Trigger("ä".into())],
            history: History {
                version: 7,
                loaded_ms: 1_795_325_465_255,
                loaded_by: "deployer".into(),
                earlier: vec![EarlierVersion {
                    version: 6,
                    loaded_ms: 1_795_325_465_254,
                    loaded_by: "anna".into(),
                    user: "default".into(),
                    code: "#!js name=lib".into(),
                }],
            },
        }
    }

    /// Writes the example anew, for a new form: `cargo test -- --ignored write_the_example`.
    #[test]
    #[ignore = "writes a file of the source"]
    fn write_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshot/format-v5.bin");
        std::fs::write(path, example().encode()).unwrap();
    }
}
