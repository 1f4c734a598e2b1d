//! What shards tell each other about calls, as bytes.
//!
//! What may be large comes first, as it is: the arguments, or the result. Behind it are a trailer in the form of
//! postcard, its length (4 bytes, little-endian), and a byte with the version. So what is large stays where it is in
//! memory, on both ends, and however often it is sent.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::Payload;
use crate::cluster::libraries::Stamp;

/// The version that this release writes, and reads.
const VERSION: u8 = 1;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which one of its caller's process.
    pub id: u64,
    /// How often it was sent, with this. Answers are about one attempt.
    pub attempt: u32,
    /// Milliseconds that are left of its time.
    pub remaining_ms: u64,
    /// The library's name.
    pub library: String,
    /// When it was last changed, as far as its caller knows: a shard with an older one has to fetch it first.
    pub stamp: Option<Stamp>,
    /// The function's name.
    pub function: String,
    /// In whose name it acts.
    pub user: String,
    /// The database, packed.
    pub db: i32,
    /// The flags of the caller.
    pub flags: u32,
    /// The key whose slot the callee has to have, where it goes by that.
    pub key: Option<Vec<u8>>,
    /// The script that it is a part of, where the callee may not have it.
    pub script: Option<String>,
    /// Its arguments.
    pub arguments: Bytes,
}

impl Request {
    /// Bytes of what may be large of it.
    #[must_use]
    pub fn large_bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, Vec::len);
        let script = self.script.as_ref().map_or(0, String::len);
        key.saturating_add(script)
            .saturating_add(self.arguments.len())
    }
}

/// Why a call has not been run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another node may take it, or this one later.
    ForNow,
    /// It would be refused again.
    ForGood,
}

/// Why a call that was begun with ended without a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThrownKind {
    /// The function has thrown what comes along.
    #[default]
    Value,
    /// The function has thrown what cannot come along as it is: what does is about it.
    Other,
    /// There is no result that could be sent: the function was ended, or has given what cannot be.
    NoResult,
    /// The function was not called.
    NotRun,
}

/// What a function has thrown, or why it has no result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thrown {
    /// Which of both.
    pub kind: ThrownKind,
    /// As text.
    pub text: String,
    /// Where.
    pub stack: Option<String>,
    /// The exception itself, or what is known of it, where it can be sent.
    pub value: Option<Bytes>,
}

/// How a call has ended that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a result.
    Done(Bytes),
    /// It has thrown.
    Thrown(Thrown),
}

/// Calls of which the caller knows how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Those that nobody asks for any more.
    pub ids: Vec<u64>,
    /// Those that may have been asked for again, by a message that this one has overtaken: that they were there stays
    /// known for a while, so that they do not run again.
    pub asked_again: Vec<u64>,
}

/// What one shard tells another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Run this.
    Request(Request),
    /// It is going to run, or runs.
    Accepted {
        /// The call.
        id: u64,
        /// Which attempt this answers.
        attempt: u32,
    },
    /// It has not run, and will not.
    Refused {
        /// The call.
        id: u64,
        /// Which attempt this answers.
        attempt: u32,
        /// Whether it may be tried again.
        refusal: Refusal,
        /// Why.
        text: String,
    },
    /// It has run.
    Ended {
        /// The call.
        id: u64,
        /// How it ended.
        ended: Ended,
    },
    /// The caller knows how they ended.
    Taken(Taken),
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Another release wrote them.
    #[error("the message is of version {0}: this release reads version {VERSION}")]
    Version(u8),
    /// They are damaged.
    #[error("the message is damaged")]
    Damaged,
}

#[derive(Serialize, Deserialize)]
enum Trailer<'a> {
    Request {
        id: u64,
        attempt: u32,
        remaining_ms: u64,
        library: Cow<'a, str>,
        stamp: Option<Stamp>,
        function: Cow<'a, str>,
        user: Cow<'a, str>,
        db: i32,
        flags: u32,
        key: Option<Cow<'a, [u8]>>,
        /// Bytes of the script behind the arguments.
        script: Option<u32>,
    },
    Accepted(u64, u32),
    Refused(u64, u32, Refusal, Cow<'a, str>),
    Done(u64),
    Thrown {
        id: u64,
        kind: ThrownKind,
        text: Cow<'a, str>,
        stack: Option<Cow<'a, str>>,
        has_value: bool,
    },
    Taken(Cow<'a, Taken>),
}

impl Trailer<'_> {
    /// Its bytes, with those behind it.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = postcard::to_allocvec(self).unwrap_or_default();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.push(VERSION);
        bytes
    }

    /// Behind what may be large.
    fn end(&self, large: Bytes) -> Payload {
        Payload::new(large, self.encode())
    }

    /// Alone.
    fn alone(&self) -> Payload {
        self.end(Bytes::new())
    }
}

impl Request {
    /// The message that asks for it, as bytes.
    #[must_use]
    pub fn encode(&self) -> Payload {
        let script = self.script.as_ref().map(String::as_bytes);
        let trailer = Trailer::Request {
            id: self.id,
            attempt: self.attempt,
            remaining_ms: self.remaining_ms,
            library: Cow::Borrowed(&self.library),
            stamp: self.stamp,
            function: Cow::Borrowed(&self.function),
            user: Cow::Borrowed(&self.user),
            db: self.db,
            flags: self.flags,
            key: self.key.as_deref().map(Cow::Borrowed),
            script: script.map(|script| u32::try_from(script.len()).unwrap_or(u32::MAX)),
        };
        let script = script.unwrap_or_default();
        let rest = [script, &trailer.encode()].concat();
        Payload::new(self.arguments.clone(), rest)
    }
}

impl Message {
    /// As bytes.
    #[must_use]
    pub fn encode(self) -> Payload {
        match self {
            Self::Request(request) => request.encode(),
            Self::Accepted { id, attempt } => Trailer::Accepted(id, attempt).alone(),
            Self::Refused {
                id,
                attempt,
                refusal,
                text,
            } => Trailer::Refused(id, attempt, refusal, text.into()).alone(),
            Self::Ended {
                id,
                ended: Ended::Done(result),
            } => Trailer::Done(id).end(result),
            Self::Ended {
                id,
                ended: Ended::Thrown(thrown),
            } => Trailer::Thrown {
                id,
                kind: thrown.kind,
                text: thrown.text.into(),
                stack: thrown.stack.map(Cow::Owned),
                has_value: thrown.value.is_some(),
            }
            .end(thrown.value.unwrap_or_default()),
            Self::Taken(taken) => Trailer::Taken(Cow::Owned(taken)).alone(),
        }
    }

    /// Of bytes.
    ///
    /// # Errors
    /// Where they are of another version, or damaged.
    pub fn decode(payload: Payload) -> Result<Self, MessageError> {
        // What was put together of frames is in one piece: all of it is the rest.
        let Payload { large, mut rest } = payload;
        let [before @ .., a, b, c, d, version] = &rest[..] else {
            return Err(MessageError::Damaged);
        };
        if *version != VERSION {
            return Err(MessageError::Version(*version));
        }
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let begin = before.len().checked_sub(length);
        let begin = begin.ok_or(MessageError::Damaged)?;
        let Ok((trailer, [])) = postcard::take_from_bytes::<Trailer<'static>>(&before[begin..])
        else {
            return Err(MessageError::Damaged);
        };
        rest.truncate(begin);
        let has_large = !large.is_empty() || !rest.is_empty();
        let small = |message: Self| {
            if has_large {
                Err(MessageError::Damaged)
            } else {
                Ok(message)
            }
        };
        // What is large, and behind it so many bytes more.
        let apart = |more: usize| -> Result<(Bytes, Bytes), MessageError> {
            let mut rest = rest;
            let place = rest.len().checked_sub(more).ok_or(MessageError::Damaged)?;
            let more = rest.split_off(place);
            match (large.is_empty(), rest.is_empty()) {
                (true, _) => Ok((rest, more)),
                (false, true) => Ok((large, more)),
                (false, false) => Err(MessageError::Damaged),
            }
        };
        match trailer {
            Trailer::Request {
                id,
                attempt,
                remaining_ms,
                library,
                stamp,
                function,
                user,
                db,
                flags,
                key,
                script,
            } => {
                let (arguments, text) = apart(script.unwrap_or_default() as usize)?;
                let text = String::from_utf8(text.into()).map_err(|_| MessageError::Damaged)?;
                Ok(Self::Request(Request {
                    id,
                    attempt,
                    remaining_ms,
                    library: library.into_owned(),
                    stamp,
                    function: function.into_owned(),
                    user: user.into_owned(),
                    db,
                    flags,
                    key: key.map(Cow::into_owned),
                    script: script.map(|_| text),
                    arguments,
                }))
            }
            Trailer::Accepted(id, attempt) => small(Self::Accepted { id, attempt }),
            Trailer::Refused(id, attempt, refusal, text) => small(Self::Refused {
                id,
                attempt,
                refusal,
                text: text.into_owned(),
            }),
            Trailer::Done(id) => Ok(Self::Ended {
                id,
                ended: Ended::Done(apart(0)?.0),
            }),
            Trailer::Thrown {
                id,
                kind,
                text,
                stack,
                has_value,
            } => {
                if !has_value && has_large {
                    return Err(MessageError::Damaged);
                }
                let (value, _) = apart(0)?;
                Ok(Self::Ended {
                    id,
                    ended: Ended::Thrown(Thrown {
                        kind,
                        text: text.into_owned(),
                        stack: stack.map(Cow::into_owned),
                        value: has_value.then_some(value),
                    }),
                })
            }
            Trailer::Taken(taken) => small(Self::Taken(taken.into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the trailer's length, and of the version.
    const END: usize = 5;

    use crate::cluster::NodeId;
    use crate::cluster::libraries::BodyDigest;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    fn stamp() -> impl Strategy<Value = Stamp> {
        (any::<u64>(), any::<[u8; 32]>(), any::<bool>()).prop_map(
            |(counter, digest, has_author)| Stamp {
                counter,
                author: has_author.then(NodeId::nobody),
                digest: BodyDigest(digest),
            },
        )
    }

    fn request() -> impl Strategy<Value = Request> {
        let names = (".{0,9}", ".{0,9}", ".{0,9}");
        let numbers = any::<(u64, u32, u64, i32, u32)>();
        let optional = (
            prop::option::of(bytes()),
            prop::option::of(".{0,9}"),
            prop::option::of(stamp()),
        );
        (names, numbers, optional, bytes().prop_map_into()).prop_map(
            |(
                (library, function, user),
                (id, attempt, remaining_ms, db, flags),
                (key, script, stamp),
                arguments,
            )| Request {
                id,
                attempt,
                remaining_ms,
                library,
                stamp,
                function,
                user,
                db,
                flags,
                key,
                script,
                arguments,
            },
        )
    }

    fn ended() -> impl Strategy<Value = Ended> {
        let kind = prop_oneof![
            Just(ThrownKind::Value),
            Just(ThrownKind::Other),
            Just(ThrownKind::NoResult),
            Just(ThrownKind::NotRun)
        ];
        let value = prop::option::of(bytes().prop_map_into());
        let thrown = (kind, ".{0,9}", prop::option::of(".{0,9}"), value);
        let thrown = thrown.prop_map(|(kind, text, stack, value)| Thrown {
            kind,
            text,
            stack,
            value,
        });
        prop_oneof![
            bytes().prop_map(|result| Ended::Done(result.into())),
            thrown.prop_map(Ended::Thrown)
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let refusal = prop_oneof![Just(Refusal::ForNow), Just(Refusal::ForGood)];
        prop_oneof![
            request().prop_map(Message::Request),
            any::<(u64, u32)>().prop_map(|(id, attempt)| Message::Accepted { id, attempt }),
            (any::<(u64, u32)>(), refusal, ".{0,9}").prop_map(|((id, attempt), refusal, text)| {
                Message::Refused {
                    id,
                    attempt,
                    refusal,
                    text,
                }
            }),
            (any::<u64>(), ended()).prop_map(|(id, ended)| Message::Ended { id, ended }),
            any::<(Vec<u64>, Vec<u64>)>()
                .prop_map(|(ids, asked_again)| Message::Taken(Taken { ids, asked_again })),
        ]
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(message in message()) {
            let payload = message.clone().encode();
            let frames = Payload::from(payload.to_vec());
            prop_assert_eq!(Message::decode(payload), Ok(message.clone()));
            prop_assert_eq!(Message::decode(frames), Ok(message));
        }

        #[test]
        fn damaged_bytes_are_an_error_or_another_message_and_never_more(
            message in message(),
            cut in any::<prop::sample::Index>(),
            (place, byte) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let mut bytes = message.encode().to_vec();
            let _ = Message::decode(bytes[..cut.index(bytes.len())].to_vec().into());
            let at = place.index(bytes.len());
            bytes[at] = byte;
            let border = cut.index(bytes.len());
            let _ = Message::decode(Payload::new(bytes[..border].to_vec(), bytes[border..].to_vec()));
            let _ = Message::decode(bytes.into());
        }

        #[test]
        fn garbage_is_no_message(mut bytes in bytes()) {
            let _ = Message::decode(bytes.clone().into());
            if let Some(version) = bytes.last_mut() {
                *version = VERSION;
            }
            let _ = Message::decode(bytes.into());
        }
    }

    #[test]
    fn another_version_and_a_trailer_that_is_too_long_are_errors() {
        let bytes = Message::Taken(Taken::default()).encode().to_vec();
        let end = bytes.len() - END;
        let mut newer = bytes.clone();
        newer[end + END - 1] = VERSION + 1;
        assert_eq!(
            Message::decode(newer.into()),
            Err(MessageError::Version(VERSION + 1))
        );
        let mut long = bytes;
        long[end..end + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::decode(long.into()), Err(MessageError::Damaged));
        assert_eq!(
            Message::decode(Payload::default()),
            Err(MessageError::Damaged)
        );
    }
}
