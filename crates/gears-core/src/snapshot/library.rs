//! The bytes of a library, and of a checkpoint.
//!
//! A library is one byte with the version of its form, then the fields below in the form of
//! [postcard](https://postcard.jamesmunns.com/wire-format). The IDs of pending entries are
//! distances, so a window of a thousand takes two or three kilobytes.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::delivery::{Checkpoint, DeliveryState, EntryId, Start, Tried};

use super::ids::{distances, ids};
use super::{format_v1, format_v2, format_v3};

/// The form that this release writes.
pub const VERSION: u8 = 4;

/// A library as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySnapshot {
    /// Its name.
    pub name: String,
    /// Its whole text.
    pub code: String,
    /// The JSON text it was configured with.
    pub config: Option<String>,
    /// The user who loaded it.
    pub user: String,
    /// Its stream consumers.
    pub consumers: Vec<ConsumerSnapshot>,
    /// What of its code is not live.
    pub unregistered: Vec<Unregistered>,
}

/// A registration that was taken away from its library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unregistered {
    /// A stream consumer of that name.
    Consumer(String),
    /// A key-space trigger of that name.
    Trigger(String),
}

/// A stream consumer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSnapshot {
    /// Its name.
    pub name: String,
    /// Keys that start with it are consumed.
    pub prefix: Vec<u8>,
    /// Entries of one stream that may be with the callback at once.
    pub window: u64,
    /// Whether streams are trimmed behind their slowest consumer.
    pub trim: bool,
    /// Whether its callback runs on a worker.
    pub is_async: bool,
    /// Whether it wants only the key that is called like its prefix.
    pub exact: bool,
    /// Where it begins with streams that it sees for the first time.
    pub start: StartSnapshot,
    /// Why nothing is dispatched of any stream.
    #[serde(with = "delivery_state")]
    pub delivery_state: DeliveryState,
    /// How far it is in which stream.
    pub streams: Vec<StreamSnapshot>,
}

/// Where a consumer begins with streams that it sees for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartSnapshot {
    /// With their first entry.
    Earliest,
    /// With the first entry that is added after that.
    Latest,
    /// With the entry of this ID, or the next behind.
    At(u64, u64),
}

impl From<Start> for StartSnapshot {
    fn from(start: Start) -> Self {
        match start {
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
            Start::At(EntryId { ms, seq }) => Self::At(ms, seq),
        }
    }
}

impl From<StartSnapshot> for Start {
    fn from(start: StartSnapshot) -> Self {
        match start {
            StartSnapshot::Earliest => Self::Earliest,
            StartSnapshot::Latest => Self::Latest,
            StartSnapshot::At(ms, seq) => Self::At(EntryId::new(ms, seq)),
        }
    }
}

/// How far a consumer is in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSnapshot {
    /// Database of the stream.
    pub db: i32,
    /// Name of the stream.
    pub name: Vec<u8>,
    /// How far.
    #[serde(with = "checkpoint")]
    pub checkpoint: Checkpoint,
}

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
                Ok((dump, [])) => Ok(dump),
                _ => Err(SnapshotError::Damaged),
            },
            [3, rest @ ..] => match postcard::take_from_bytes::<format_v3::Library>(rest) {
                Ok((dump, [])) => Ok(dump.into()),
                _ => Err(SnapshotError::Damaged),
            },
            [2, rest @ ..] => match postcard::take_from_bytes::<format_v2::Library>(rest) {
                Ok((dump, [])) => Ok(dump.into()),
                _ => Err(SnapshotError::Damaged),
            },
            [1, rest @ ..] => match postcard::take_from_bytes::<format_v1::Library>(rest) {
                Ok((dump, [])) => Ok(dump.into()),
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

/// A hold as bytes; none where nothing is held and nothing was tried.
#[must_use]
pub fn encode_hold(delivery_state: &DeliveryState) -> Vec<u8> {
    if *delivery_state == DeliveryState::default() {
        return Vec::new();
    }
    postcard::to_allocvec(&DeliveryStateFormat::from(delivery_state)).unwrap_or_default()
}

/// A hold of bytes. What a release of form 3 wrote lacks the last field, and so is known.
///
/// # Errors
/// Where they are damaged.
pub fn decode_hold(bytes: &[u8]) -> Result<DeliveryState, SnapshotError> {
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

mod checkpoint {
    //! A checkpoint as its position, the distances of its pending IDs, and its hold.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::ids::{distances, ids};
    use super::DeliveryStateFormat;
    use crate::delivery::{Checkpoint, EntryId};

    type Form = ((u64, u64), Vec<(u64, u64)>, DeliveryStateFormat);

    pub(super) fn serialize<S: Serializer>(
        checkpoint: &Checkpoint,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let EntryId { ms, seq } = checkpoint.position;
        let delivery_state = DeliveryStateFormat::from(&checkpoint.delivery_state);
        ((ms, seq), distances(&checkpoint.pending), delivery_state).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Checkpoint, D::Error> {
        let ((ms, seq), pending, delivery_state) = Form::deserialize(deserializer)?;
        Ok(Checkpoint {
            position: EntryId::new(ms, seq),
            pending: ids(&pending),
            delivery_state: delivery_state.into(),
        })
    }
}

/// A hold in the form that is written.
#[derive(Serialize, Deserialize)]
struct DeliveryStateFormat {
    paused: bool,
    aborted: Option<String>,
    until_ms: u64,
    tried: Vec<(u64, u64)>,
    attempts: Vec<(u32, u64)>,
    as_of_ms: u64,
}

impl From<&DeliveryState> for DeliveryStateFormat {
    fn from(delivery_state: &DeliveryState) -> Self {
        let tried: Vec<_> = delivery_state.tried.iter().map(|(id, _)| *id).collect();
        let attempts = delivery_state
            .tried
            .iter()
            .map(|(_, tried)| (tried.attempts, tried.first_ms));
        Self {
            paused: delivery_state.paused,
            aborted: delivery_state.aborted.as_deref().map(str::to_owned),
            until_ms: delivery_state.until_ms,
            tried: distances(&tried),
            attempts: attempts.collect(),
            as_of_ms: delivery_state.as_of_ms,
        }
    }
}

impl From<DeliveryStateFormat> for DeliveryState {
    fn from(form: DeliveryStateFormat) -> Self {
        let tried = |(attempts, first_ms)| Tried { attempts, first_ms };
        Self {
            paused: form.paused,
            aborted: form.aborted.map(Into::into),
            until_ms: form.until_ms,
            tried: ids(&form.tried)
                .into_iter()
                .zip(form.attempts.into_iter().map(tried))
                .collect(),
            as_of_ms: form.as_of_ms,
        }
    }
}

mod delivery_state {
    //! A hold by itself.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::DeliveryStateFormat;
    use crate::delivery::DeliveryState;

    pub(super) fn serialize<S: Serializer>(
        delivery_state: &DeliveryState,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        DeliveryStateFormat::from(delivery_state).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DeliveryState, D::Error> {
        Ok(DeliveryStateFormat::deserialize(deserializer)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        (".{0,9}", ".{0,99}", config, ".{0,9}", consumers, gone).prop_map(
            |(name, code, config, user, consumers, unregistered)| LibrarySnapshot {
                name,
                code,
                config,
                user,
                consumers,
                unregistered,
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
            let _ = decode_hold(&bytes);
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
            let bytes = encode_hold(&checkpoint.delivery_state);
            prop_assert_eq!(decode_hold(&bytes), Ok(checkpoint.delivery_state));
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
        let mut expected = example();
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
        let mut dump = example();
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
        assert_eq!(decode_hold(&[1, 0, 5, 0, 0]), Ok(delivery_state));
    }

    #[test]
    fn form_4_is_what_it_was() {
        let bytes = include_bytes!("format-v4.bin");
        let dump = LibrarySnapshot::decode(bytes).unwrap();
        assert_eq!(dump, example());
        assert_eq!(
            dump.encode(),
            bytes,
            "form 4 has changed without another number"
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
        }
    }

    /// Writes the example anew, for a new form: `cargo test -- --ignored write_the_example`.
    #[test]
    #[ignore = "writes a file of the source"]
    fn write_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshot/format-v4.bin");
        std::fs::write(path, example().encode()).unwrap();
    }
}
