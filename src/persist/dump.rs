//! The bytes of a library, and of a checkpoint.
//!
//! A library is one byte with the version of its form, then the fields below in the form of
//! [postcard](https://postcard.jamesmunns.com/wire-format). The IDs of pending entries are each
//! the distance from the one before, the first from 0-0: most are of the same millisecond, or a
//! few later, so a window of a thousand takes two or three kilobytes.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::stream::{Checkpoint, EntryId};

/// The form that this release writes.
pub const VERSION: u8 = 1;

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
    /// How far it is in which stream.
    pub streams: Vec<StreamDump>,
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

/// Milliseconds from the ID before; and the distance of the sequence number, or where the
/// milliseconds differ the number itself.
fn distances(ids: &[EntryId]) -> Vec<(u64, u64)> {
    let mut last = EntryId::ZERO;
    let distance = |id: &EntryId| {
        let ms = id.ms.wrapping_sub(last.ms);
        let seq = if ms == 0 {
            id.seq.wrapping_sub(last.seq)
        } else {
            id.seq
        };
        last = *id;
        (ms, seq)
    };
    ids.iter().map(distance).collect()
}

fn ids(distances: &[(u64, u64)]) -> Vec<EntryId> {
    let mut last = EntryId::ZERO;
    let id = |(ms, seq): &(u64, u64)| {
        let seq = if *ms == 0 {
            last.seq.wrapping_add(*seq)
        } else {
            *seq
        };
        last = EntryId::new(last.ms.wrapping_add(*ms), seq);
        last
    };
    distances.iter().map(id).collect()
}

mod checkpoint {
    //! A checkpoint as the pair of its position and the distances of its pending IDs.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::stream::{Checkpoint, EntryId};

    type Form = ((u64, u64), Vec<(u64, u64)>);

    pub(super) fn serialize<S: Serializer>(
        checkpoint: &Checkpoint,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let EntryId { ms, seq } = checkpoint.position;
        ((ms, seq), super::distances(&checkpoint.pending)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Checkpoint, D::Error> {
        let ((ms, seq), pending) = Form::deserialize(deserializer)?;
        Ok(Checkpoint {
            position: EntryId::new(ms, seq),
            pending: super::ids(&pending),
        })
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

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        (id(), prop::collection::vec(id(), 0..5))
            .prop_map(|(position, pending)| Checkpoint { position, pending })
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
        let flags = (any::<bool>(), any::<bool>());
        (".{0,5}", prefix, any::<u64>(), flags, streams).prop_map(
            |(name, prefix, window, (trim, is_async), streams)| ConsumerDump {
                name,
                prefix,
                window,
                trim,
                is_async,
                streams,
            },
        )
    }

    fn library() -> impl Strategy<Value = LibraryDump> {
        let consumers = prop::collection::vec(consumer(), 0..4);
        let config = prop::option::of(".{0,5}");
        (".{0,9}", ".{0,99}", config, ".{0,9}", consumers).prop_map(
            |(name, code, config, user, consumers)| LibraryDump {
                name,
                code,
                config,
                user,
                consumers,
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
            let _ = decode_pending(&bytes);
        }

        #[test]
        fn what_is_cut_off_is_damaged(dump in library(), at in any::<prop::sample::Index>()) {
            let bytes = dump.encode();
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_eq!(LibraryDump::decode(cut), Err(DumpError::Damaged));
        }

        #[test]
        fn pending_ids_are_read_again(checkpoint in checkpoint()) {
            let bytes = encode_pending(&checkpoint);
            prop_assert_eq!(decode_pending(&bytes), Ok(checkpoint.pending));
        }
    }

    #[test]
    fn pending_ids_of_a_busy_stream_take_few_bytes() {
        let pending = (0..1000).map(|n| EntryId::new(1_795_325_465_255 + n / 10, n % 10));
        let checkpoint = Checkpoint {
            position: EntryId::MAX,
            pending: pending.collect(),
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
        let bytes = include_bytes!("form-1.bin");
        let dump = LibraryDump::decode(bytes).unwrap();
        assert_eq!(dump, example());
        assert_eq!(
            dump.encode(),
            bytes,
            "form 1 has changed without another number"
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
                        },
                    },
                    StreamDump {
                        db: 15,
                        name: b"stream\xff\0".into(),
                        checkpoint: Checkpoint::default(),
                    },
                ],
            }],
        }
    }

    /// Writes the example anew, for a new form: `cargo test -- --ignored write_the_example`.
    #[test]
    #[ignore = "writes a file of the source"]
    fn write_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/persist/form-1.bin");
        std::fs::write(path, example().encode()).unwrap();
    }
}
