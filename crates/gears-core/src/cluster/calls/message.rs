//! What shards tell each other about calls, as bytes.
//!
//! A byte with the version, the length of the head (4 bytes, little-endian), the head in the form of
//! postcard, and behind it what may be large, as it is: the arguments, or the result.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::libraries::Stamp;

/// The version that this release writes, and reads.
const VERSION: u8 = 1;
/// Bytes before the head.
const START: usize = 5;

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
    pub arguments: Vec<u8>,
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
    pub value: Option<Vec<u8>>,
}

/// How a call has ended that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a result.
    Done(Vec<u8>),
    /// It has thrown.
    Thrown(Thrown),
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
    /// The caller knows how it ended.
    Taken {
        /// The call.
        id: u64,
    },
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
enum Head<'a> {
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
        /// Bytes of the script in front of the arguments.
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
    Taken(u64),
}

impl Head<'_> {
    /// With what stands behind it.
    fn encode(&self, rest: &[u8]) -> Vec<u8> {
        self.encode_with(&[], rest)
    }

    /// With two parts that stand behind it.
    fn encode_with(&self, before: &[u8], rest: &[u8]) -> Vec<u8> {
        let start = vec![VERSION, 0, 0, 0, 0];
        let mut bytes = postcard::to_extend(self, start).unwrap_or_default();
        let length = u32::try_from(bytes.len().saturating_sub(START)).unwrap_or(u32::MAX);
        if let Some(place) = bytes.get_mut(1..START) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        bytes.reserve_exact(before.len() + rest.len());
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(rest);
        bytes
    }
}

impl Request {
    /// The message that asks for it, as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let script = self.script.as_ref().map(String::as_bytes);
        let head = Head::Request {
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
        head.encode_with(script.unwrap_or_default(), &self.arguments)
    }
}

impl Message {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.encode(),
            Self::Accepted { id, attempt } => Head::Accepted(*id, *attempt).encode(&[]),
            Self::Refused {
                id,
                attempt,
                refusal,
                text,
            } => Head::Refused(*id, *attempt, *refusal, Cow::Borrowed(text)).encode(&[]),
            Self::Ended {
                id,
                ended: Ended::Done(result),
            } => Head::Done(*id).encode(result),
            Self::Ended {
                id,
                ended: Ended::Thrown(thrown),
            } => {
                let head = Head::Thrown {
                    id: *id,
                    kind: thrown.kind,
                    text: Cow::Borrowed(&thrown.text),
                    stack: thrown.stack.as_deref().map(Cow::Borrowed),
                    has_value: thrown.value.is_some(),
                };
                head.encode(thrown.value.as_deref().unwrap_or_default())
            }
            Self::Taken { id } => Head::Taken(*id).encode(&[]),
        }
    }

    /// Of bytes.
    ///
    /// # Errors
    /// Where they are of another version, or damaged.
    pub fn decode(mut bytes: Vec<u8>) -> Result<Self, MessageError> {
        let [version, a, b, c, d, after @ ..] = &bytes[..] else {
            return Err(MessageError::Damaged);
        };
        if *version != VERSION {
            return Err(MessageError::Version(*version));
        }
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let (head, rest) = after
            .split_at_checked(length)
            .ok_or(MessageError::Damaged)?;
        let Ok((head, [])) = postcard::take_from_bytes::<Head<'static>>(head) else {
            return Err(MessageError::Damaged);
        };
        let has_rest = !rest.is_empty();
        let small = |message: Self| {
            if has_rest {
                Err(MessageError::Damaged)
            } else {
                Ok(message)
            }
        };
        // What is behind the head may be large: it stays in its memory.
        let mut take_rest = || {
            bytes.drain(..START + length);
            std::mem::take(&mut bytes)
        };
        match head {
            Head::Request {
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
                let mut rest = take_rest();
                let text = match script {
                    Some(length) => {
                        let length = length as usize;
                        let text = rest.get(..length).ok_or(MessageError::Damaged)?;
                        let text = str::from_utf8(text).map_err(|_| MessageError::Damaged)?;
                        let text = text.to_owned();
                        rest.drain(..length);
                        Some(text)
                    }
                    None => None,
                };
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
                    script: text,
                    arguments: rest,
                }))
            }
            Head::Accepted(id, attempt) => small(Self::Accepted { id, attempt }),
            Head::Refused(id, attempt, refusal, text) => small(Self::Refused {
                id,
                attempt,
                refusal,
                text: text.into_owned(),
            }),
            Head::Done(id) => Ok(Self::Ended {
                id,
                ended: Ended::Done(take_rest()),
            }),
            Head::Thrown {
                id,
                kind,
                text,
                stack,
                has_value,
            } => {
                if !has_value && has_rest {
                    return Err(MessageError::Damaged);
                }
                Ok(Self::Ended {
                    id,
                    ended: Ended::Thrown(Thrown {
                        kind,
                        text: text.into_owned(),
                        stack: stack.map(Cow::into_owned),
                        value: has_value.then(take_rest),
                    }),
                })
            }
            Head::Taken(id) => small(Self::Taken { id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        (names, numbers, optional, bytes()).prop_map(
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
        let value = prop::option::of(bytes());
        let thrown = (kind, ".{0,9}", prop::option::of(".{0,9}"), value);
        let thrown = thrown.prop_map(|(kind, text, stack, value)| Thrown {
            kind,
            text,
            stack,
            value,
        });
        prop_oneof![
            bytes().prop_map(Ended::Done),
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
            any::<u64>().prop_map(|id| Message::Taken { id }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(message in message()) {
            prop_assert_eq!(Message::decode(message.encode()), Ok(message));
        }

        #[test]
        fn damaged_bytes_are_an_error_or_another_message_and_never_more(
            message in message(),
            cut in any::<prop::sample::Index>(),
            (place, byte) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let mut bytes = message.encode();
            let _ = Message::decode(bytes[..cut.index(bytes.len())].to_vec());
            let at = place.index(bytes.len());
            bytes[at] = byte;
            let _ = Message::decode(bytes);
        }

        #[test]
        fn garbage_is_no_message(mut bytes in bytes()) {
            let _ = Message::decode(bytes.clone());
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            let _ = Message::decode(bytes);
        }
    }

    #[test]
    fn another_version_and_a_head_that_is_too_long_are_errors() {
        let bytes = Message::Taken { id: 1 }.encode();
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert_eq!(
            Message::decode(newer),
            Err(MessageError::Version(VERSION + 1))
        );
        let mut long = bytes;
        long[1..START].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::decode(long), Err(MessageError::Damaged));
        assert_eq!(Message::decode(Vec::new()), Err(MessageError::Damaged));
    }
}
