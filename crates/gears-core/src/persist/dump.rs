//! The bytes of a library, and of a checkpoint.
//!
//! A library is one byte with the version of its form, then the fields below in the form of
//! [postcard](https://postcard.jamesmunns.com/wire-format). The IDs of pending entries are
//! distances, so a window of a thousand takes two or three kilobytes.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::stream::{Checkpoint, EntryId, Hold, Start, Tried};

use super::ids::{distances, ids};
use super::{form_1, form_2, form_3};

/// The form that this release writes.
pub const VERSION: u8 = 4;

/// A library as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryDump {
    /// Its name.
    pub name: String,
    /// Its whole text.
    pub code: String,
    /// The JSON text it was configured with.
    pub config: Option<String>,
    /// The user who loaded it.
    pub user: String,
    /// Its stream consumers.
    pub consumers: Vec<ConsumerDump>,
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
pub struct ConsumerDump {
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
    pub start: StartDump,
    /// Why nothing is handed over of any stream.
    #[serde(with = "hold")]
    pub hold: Hold,
    /// How far it is in which stream.
    pub streams: Vec<StreamDump>,
}

/// Where a consumer begins with streams that it sees for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartDump {
    /// With their first entry.
    Earliest,
    /// With the first entry that is added after that.
    Latest,
    /// With the entry of this ID, or the next behind.
    At(u64, u64),
}

impl From<Start> for StartDump {
    fn from(start: Start) -> Self {
        match start {
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
            Start::At(EntryId { ms, seq }) => Self::At(ms, seq),
        }
    }
}

impl From<StartDump> for Start {
    fn from(start: StartDump) -> Self {
        match start {
            StartDump::Earliest => Self::Earliest,
            StartDump::Latest => Self::Latest,
            StartDump::At(ms, seq) => Self::At(EntryId::new(ms, seq)),
        }
    }
}

/// How far a consumer is in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamDump {
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
pub enum DumpError {
    /// A later release wrote them.
    #[error(
        "was written by a newer release of the module, in form {0}: this one reads forms up to {VERSION}"
    )]
    Newer(u8),
    /// They are damaged.
    #[error("is damaged")]
    Damaged,
}

impl LibraryDump {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Of bytes.
    ///
    /// # Errors
    /// Where they are of a later form, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DumpError> {
        match bytes {
            [VERSION, rest @ ..] => match postcard::take_from_bytes(rest) {
                Ok((dump, [])) => Ok(dump),
                _ => Err(DumpError::Damaged),
            },
            [3, rest @ ..] => match postcard::take_from_bytes::<form_3::Library>(rest) {
                Ok((dump, [])) => Ok(dump.into()),
                _ => Err(DumpError::Damaged),
            },
            [2, rest @ ..] => match postcard::take_from_bytes::<form_2::Library>(rest) {
                Ok((dump, [])) => Ok(dump.into()),
                _ => Err(DumpError::Damaged),
            },
            [1, rest @ ..] => match postcard::take_from_bytes::<form_1::Library>(rest) {
                Ok((dump, [])) => Ok(dump.into()),
                _ => Err(DumpError::Damaged),
            },
            [version, ..] if *version > VERSION => Err(DumpError::Newer(*version)),
            _ => Err(DumpError::Damaged),
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
pub fn encode_hold(hold: &Hold) -> Vec<u8> {
    if *hold == Hold::default() {
        return Vec::new();
    }
    postcard::to_allocvec(&HoldForm::from(hold)).unwrap_or_default()
}

/// A hold of bytes. What a release of form 3 wrote lacks the last field, and so is known.
///
/// # Errors
/// Where they are damaged.
pub fn decode_hold(bytes: &[u8]) -> Result<Hold, DumpError> {
    if bytes.is_empty() {
        return Ok(Hold::default());
    }
    match postcard::take_from_bytes::<HoldForm>(bytes) {
        Ok((form, [])) => Ok(form.into()),
        _ => match postcard::take_from_bytes::<form_3::HoldForm>(bytes) {
            Ok((form, [])) => Ok(form.into()),
            _ => Err(DumpError::Damaged),
        },
    }
}

/// Pending IDs of bytes.
///
/// # Errors
/// Where they are damaged.
pub fn decode_pending(bytes: &[u8]) -> Result<Vec<EntryId>, DumpError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    match postcard::take_from_bytes::<Vec<(u64, u64)>>(bytes) {
        Ok((distances, [])) => Ok(ids(&distances)),
        _ => Err(DumpError::Damaged),
    }
}

mod checkpoint {
    //! A checkpoint as its position, the distances of its pending IDs, and its hold.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::ids::{distances, ids};
    use super::HoldForm;
    use crate::stream::{Checkpoint, EntryId};

    type Form = ((u64, u64), Vec<(u64, u64)>, HoldForm);

    pub(super) fn serialize<S: Serializer>(
        checkpoint: &Checkpoint,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let EntryId { ms, seq } = checkpoint.position;
        let hold = HoldForm::from(&checkpoint.hold);
        ((ms, seq), distances(&checkpoint.pending), hold).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Checkpoint, D::Error> {
        let ((ms, seq), pending, hold) = Form::deserialize(deserializer)?;
        Ok(Checkpoint {
            position: EntryId::new(ms, seq),
            pending: ids(&pending),
            hold: hold.into(),
        })
    }
}

/// A hold in the form that is written.
#[derive(Serialize, Deserialize)]
struct HoldForm {
    paused: bool,
    aborted: Option<String>,
    until_ms: u64,
    tried: Vec<(u64, u64)>,
    attempts: Vec<(u32, u64)>,
    as_of_ms: u64,
}

impl From<&Hold> for HoldForm {
    fn from(hold: &Hold) -> Self {
        let tried: Vec<_> = hold.tried.iter().map(|(id, _)| *id).collect();
        let attempts = hold
            .tried
            .iter()
            .map(|(_, tried)| (tried.attempts, tried.first_ms));
        Self {
            paused: hold.paused,
            aborted: hold.aborted.as_deref().map(str::to_owned),
            until_ms: hold.until_ms,
            tried: distances(&tried),
            attempts: attempts.collect(),
            as_of_ms: hold.as_of_ms,
        }
    }
}

impl From<HoldForm> for Hold {
    fn from(form: HoldForm) -> Self {
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

mod hold {
    //! A hold by itself.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::HoldForm;
    use crate::stream::Hold;

    pub(super) fn serialize<S: Serializer>(hold: &Hold, serializer: S) -> Result<S::Ok, S::Error> {
        HoldForm::from(hold).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Hold, D::Error> {
        Ok(HoldForm::deserialize(deserializer)?.into())
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

    fn hold() -> impl Strategy<Value = Hold> {
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
            .prop_map(|(paused, aborted, until_ms, tried, as_of_ms)| Hold {
                paused,
                aborted,
                until_ms,
                tried,
                as_of_ms,
            })
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        (id(), prop::collection::vec(id(), 0..5), hold()).prop_map(|(position, pending, hold)| {
            Checkpoint {
                position,
                pending,
                hold,
            }
        })
    }

    fn stream() -> impl Strategy<Value = StreamDump> {
        let name = prop::collection::vec(any::<u8>(), 0..5);
        (any::<i32>(), name, checkpoint()).prop_map(|(db, name, checkpoint)| StreamDump {
            db,
            name,
            checkpoint,
        })
    }

    fn consumer() -> impl Strategy<Value = ConsumerDump> {
        let prefix = prop::collection::vec(any::<u8>(), 0..5);
        let streams = prop::collection::vec(stream(), 0..4);
        let flags = any::<[bool; 3]>();
        let start = prop_oneof![
            Just(StartDump::Earliest),
            Just(StartDump::Latest),
            any::<(u64, u64)>().prop_map(|(ms, seq)| StartDump::At(ms, seq)),
        ];
        (
            ".{0,5}",
            prefix,
            any::<u64>(),
            flags,
            start,
            hold(),
            streams,
        )
            .prop_map(
                |(name, prefix, window, [trim, is_async, exact], start, hold, streams)| {
                    ConsumerDump {
                        name,
                        prefix,
                        window,
                        trim,
                        is_async,
                        exact,
                        start,
                        hold,
                        streams,
                    }
                },
            )
    }

    fn library() -> impl Strategy<Value = LibraryDump> {
        let consumers = prop::collection::vec(consumer(), 0..4);
        let config = prop::option::of(".{0,5}");
        let gone = prop_oneof![
            ".{0,5}".prop_map(Unregistered::Consumer),
            ".{0,5}".prop_map(Unregistered::Trigger),
        ];
        let gone = prop::collection::vec(gone, 0..3);
        (".{0,9}", ".{0,99}", config, ".{0,9}", consumers, gone).prop_map(
            |(name, code, config, user, consumers, unregistered)| LibraryDump {
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
            prop_assert_eq!(LibraryDump::decode(&dump.encode()), Ok(dump));
        }

        #[test]
        fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = LibraryDump::decode(&bytes);
            bytes.insert(0, VERSION);
            let _ = LibraryDump::decode(&bytes);
            for old in 1..VERSION {
                bytes[0] = old;
                let _ = LibraryDump::decode(&bytes);
            }
            let _ = decode_pending(&bytes);
            let _ = decode_hold(&bytes);
        }

        #[test]
        fn what_is_cut_off_is_damaged(dump in library(), at in any::<prop::sample::Index>()) {
            let bytes = dump.encode();
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_eq!(LibraryDump::decode(cut), Err(DumpError::Damaged));
        }

        #[test]
        fn pending_ids_and_holds_are_read_again(checkpoint in checkpoint()) {
            let bytes = encode_pending(&checkpoint);
            prop_assert_eq!(decode_pending(&bytes), Ok(checkpoint.pending));
            let bytes = encode_hold(&checkpoint.hold);
            prop_assert_eq!(decode_hold(&bytes), Ok(checkpoint.hold));
        }
    }

    #[test]
    fn pending_ids_of_a_busy_stream_take_few_bytes() {
        let pending = (0..1000).map(|n| EntryId::new(1_795_325_465_255 + n / 10, n % 10));
        let checkpoint = Checkpoint {
            position: EntryId::MAX,
            pending: pending.collect(),
            hold: Hold::default(),
        };
        assert!(encode_pending(&checkpoint).len() < 3000);
    }

    #[test]
    fn a_later_form_is_refused_by_name() {
        let error = LibraryDump::decode(&[VERSION + 1, 0]).unwrap_err();
        assert_eq!(error, DumpError::Newer(VERSION + 1));
        assert!(error.to_string().contains("newer release"));
    }

    #[test]
    fn form_1_is_still_read() {
        let dump = LibraryDump::decode(include_bytes!("form-1.bin")).unwrap();
        let mut expected = example();
        expected.unregistered.clear();
        for consumer in &mut expected.consumers {
            (consumer.exact, consumer.start) = (false, StartDump::Earliest);
            consumer.hold = Hold::default();
            for stream in &mut consumer.streams {
                stream.checkpoint.hold = Hold::default();
            }
        }
        assert_eq!(dump, expected);
    }

    #[test]
    fn form_2_is_still_read() {
        let dump = LibraryDump::decode(include_bytes!("form-2.bin")).unwrap();
        let mut expected = before_form_4();
        expected.unregistered.clear();
        assert_eq!(dump, expected);
    }

    #[test]
    fn form_3_is_still_read() {
        let dump = LibraryDump::decode(include_bytes!("form-3.bin")).unwrap();
        assert_eq!(dump, before_form_4());
    }

    /// The example without what form 4 added.
    fn before_form_4() -> LibraryDump {
        let mut dump = example();
        for consumer in &mut dump.consumers {
            for stream in &mut consumer.streams {
                stream.checkpoint.hold.as_of_ms = 0;
            }
        }
        dump
    }

    #[test]
    fn a_hold_in_a_command_of_form_3_is_still_read() {
        // Paused, no error, until 5, nothing tried.
        let hold = Hold {
            paused: true,
            until_ms: 5,
            ..Hold::default()
        };
        assert_eq!(decode_hold(&[1, 0, 5, 0, 0]), Ok(hold));
    }

    #[test]
    fn form_4_is_what_it_was() {
        let bytes = include_bytes!("form-4.bin");
        let dump = LibraryDump::decode(bytes).unwrap();
        assert_eq!(dump, example());
        assert_eq!(
            dump.encode(),
            bytes,
            "form 4 has changed without another number"
        );
    }

    fn example() -> LibraryDump {
        let id = EntryId::new;
        LibraryDump {
            name: "lib".into(),
            code: "#!js name=lib\nredis.register_function('f', () => 'ä');".into(),
            config: Some("{\"a\": 1}".into()),
            user: "default".into(),
            consumers: vec![ConsumerDump {
                name: "consumer".into(),
                prefix: b"stream\xff\0".into(),
                window: 300,
                trim: true,
                is_async: true,
                exact: true,
                start: StartDump::At(7, 8),
                hold: Hold {
                    paused: true,
                    aborted: Some("Error: no".into()),
                    ..Hold::default()
                },
                streams: vec![
                    StreamDump {
                        db: 0,
                        name: b"stream\xff\0:1".into(),
                        checkpoint: Checkpoint {
                            position: id(1_795_325_465_255, 3),
                            pending: vec![
                                id(1_795_325_465_254, u64::MAX),
                                id(1_795_325_465_255, 2),
                            ],
                            hold: Hold {
                                until_ms: 1_795_325_466_000,
                                as_of_ms: 1_795_325_465_900,
                                tried: vec![(
                                    id(1_795_325_465_255, 2),
                                    Tried {
                                        attempts: 3,
                                        first_ms: 1_795_325_465_300,
                                    },
                                )],
                                ..Hold::default()
                            },
                        },
                    },
                    StreamDump {
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
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/persist/form-4.bin");
        std::fs::write(path, example().encode()).unwrap();
    }
}
