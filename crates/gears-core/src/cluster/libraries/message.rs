//! What nodes tell each other of their libraries, as bytes.
//!
//! One byte with the version, then the fields in the form of
//! [postcard](https://postcard.jamesmunns.com/wire-format). Lists are no longer than what is left of the bytes, so
//! garbage costs no more than its own size.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::{Body, Content, Entry};
use super::map::Root;
use super::stamp::{COUNTER_MAX, Domain, Stamp};

/// The version that this release speaks.
const VERSION: u8 = 1;

/// A message, and what its sender is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose libraries the sender has.
    pub domain: Option<Domain>,
    /// Whether the sender has slots.
    pub has_slots: bool,
    /// What it tells.
    pub message: Message,
}

/// What a node tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// What my map is compared by.
    Digest {
        /// Its root.
        root: Root,
        /// Its floor.
        floor: u64,
        /// Its clock.
        clock: u64,
        /// Whether I am about to change something.
        is_busy: bool,
        /// How many of my libraries cannot be loaded.
        quarantined: u32,
    },
    /// All that I know.
    Offer {
        /// My floor.
        floor: u64,
        /// Names and stamps.
        stamps: Vec<(String, Stamp)>,
        /// Whether I ask for the same of the other.
        asks: bool,
    },
    /// Send me what you know of these.
    Pull {
        /// Names.
        names: Vec<String>,
    },
    /// This is what I know of some.
    Entries {
        /// Them.
        entries: Vec<Entry>,
    },
    /// Would you take that?
    Prepare {
        /// What is to be.
        entry: Entry,
        /// What I know of that name.
        base: Option<Stamp>,
    },
    /// I would, and I take no other in the meantime.
    Promise {
        /// The name.
        name: String,
        /// Of what was asked.
        stamp: Stamp,
    },
    /// I would not.
    Refuse {
        /// The name.
        name: String,
        /// Of what was asked.
        stamp: Stamp,
        /// Why.
        nak: Nak,
    },
    /// Nothing comes of it.
    Abort {
        /// The name.
        name: String,
        /// Of what was asked.
        stamp: Stamp,
    },
    /// All would: take it.
    Commit {
        /// The name.
        name: String,
        /// Of what was asked.
        stamp: Stamp,
    },
    /// I have it.
    Adopted {
        /// The name.
        name: String,
        /// Of what was asked, or later.
        stamp: Stamp,
    },
    /// Could you take that? Nothing is to change.
    Ask {
        /// What its answer is known by.
        number: u64,
        /// What would be.
        entry: Entry,
    },
    /// What I say to that.
    Answer {
        /// Of what was asked.
        number: u64,
        /// Likewise.
        stamp: Stamp,
        /// Why I could not, if so.
        nak: Option<Nak>,
    },
}

/// Why a node would not take what another prepares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nak {
    /// It knows something later of that name.
    Stale,
    /// Its clock is this: the counter has to be above.
    Behind(u64),
    /// Somebody else is about to change that name.
    Busy,
    /// The library cannot be loaded there, and why.
    Invalid(String),
    /// It has the libraries of another cluster.
    OtherDomain,
    /// It is no primary.
    Replica,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Of a release that speaks another version.
    #[error("is of version {0}: this release speaks version {VERSION}")]
    OtherVersion(u8),
    /// They are damaged.
    #[error("is damaged")]
    Damaged,
}

/// An entry in the form that is sent.
#[derive(Serialize, Deserialize)]
struct EntryForm {
    name: String,
    stamp: Stamp,
    body: Option<Body>,
}

/// The same, borrowed.
#[derive(Serialize)]
struct EntryFormRef<'a> {
    name: &'a str,
    stamp: Stamp,
    body: Option<&'a Body>,
}

impl Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = match &self.content {
            Content::Live(body) => Some(&**body),
            Content::Deleted | Content::Kept => None,
        };
        let (name, stamp) = (&*self.name, self.stamp);
        EntryFormRef { name, stamp, body }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = EntryForm::deserialize(deserializer)?;
        Ok(Self {
            name: form.name.into(),
            stamp: form.stamp,
            content: match form.body {
                Some(body) => Content::Live(Arc::new(body)),
                None => Content::without_body(form.stamp.digest),
            },
        })
    }
}

impl Envelope {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Of bytes.
    ///
    /// # Errors
    /// Where they are of another version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        match bytes {
            [VERSION, rest @ ..] => match postcard::take_from_bytes::<Self>(rest) {
                Ok((envelope, [])) if envelope.message.is_sound() => Ok(envelope),
                _ => Err(MessageError::Damaged),
            },
            [version, ..] => Err(MessageError::OtherVersion(*version)),
            [] => Err(MessageError::Damaged),
        }
    }
}

impl Message {
    /// Whether counters leave room for later ones, and bodies are what their stamps say.
    fn is_sound(&self) -> bool {
        let is_near = |counter: u64| counter <= COUNTER_MAX;
        let is_near_nak =
            |nak: Option<&Nak>| !matches!(nak, Some(Nak::Behind(clock)) if !is_near(*clock));
        match self {
            Self::Digest { floor, clock, .. } => is_near(*floor) && is_near(*clock),
            Self::Offer { floor, stamps, .. } => {
                is_near(*floor) && stamps.iter().all(|(_, stamp)| is_near(stamp.counter))
            }
            Self::Pull { .. } => true,
            Self::Entries { entries } => entries
                .iter()
                .all(|entry| is_near(entry.stamp.counter) && entry.is_sound()),
            Self::Prepare { entry, base } => {
                let base = base.map_or(0, |base| base.counter);
                is_near(entry.stamp.counter) && is_near(base) && entry.is_sound()
            }
            Self::Refuse { stamp, nak, .. } => is_near(stamp.counter) && is_near_nak(Some(nak)),
            Self::Promise { stamp, .. }
            | Self::Abort { stamp, .. }
            | Self::Commit { stamp, .. }
            | Self::Adopted { stamp, .. } => is_near(stamp.counter),
            Self::Ask { entry, .. } => is_near(entry.stamp.counter) && entry.is_sound(),
            Self::Answer { stamp, nak, .. } => is_near(stamp.counter) && is_near_nak(nak.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::libraries::BodyDigest;
    use crate::cluster::libraries::stamp::numbered;
    use crate::snapshot::Unregistered;
    use proptest::prelude::*;

    fn content() -> impl Strategy<Value = Content> {
        let body = (
            ".{0,20}",
            prop::option::of(".{0,5}"),
            ".{0,5}",
            any::<(u64, u64)>(),
            prop::collection::vec(".{0,3}".prop_map(Unregistered::Trigger), 0..2),
        );
        let body = body.prop_map(
            |(code, config, owner, (version, loaded_ms), unregistered)| Body {
                code,
                config,
                loaded_by: owner.clone(),
                owner,
                unregistered,
                version,
                loaded_ms,
            },
        );
        prop_oneof![
            Just(Content::Deleted),
            Just(Content::Kept),
            body.prop_map(|body| Content::Live(Arc::new(body))),
        ]
    }

    fn stamp() -> impl Strategy<Value = Stamp> {
        (0..=COUNTER_MAX, any::<u32>(), any::<[u8; 32]>()).prop_map(|(counter, author, digest)| {
            Stamp {
                counter,
                author: Some(numbered(author)),
                digest: BodyDigest(digest),
            }
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (".{0,5}", stamp(), content()).prop_map(|(name, stamp, content)| Entry {
            name: name.into(),
            stamp: Stamp {
                digest: content.digest(),
                ..stamp
            },
            content,
        })
    }

    fn nak() -> impl Strategy<Value = Nak> {
        prop_oneof![
            Just(Nak::Stale),
            (0..=COUNTER_MAX).prop_map(Nak::Behind),
            Just(Nak::Busy),
            ".{0,9}".prop_map(Nak::Invalid),
            Just(Nak::OtherDomain),
            Just(Nak::Replica),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let named = || (".{0,5}", stamp());
        let list = || prop::collection::vec(named(), 0..4);
        prop_oneof![
            (0..=COUNTER_MAX, any::<bool>()).prop_map(|(floor, is_busy)| Message::Digest {
                root: Root::default(),
                floor,
                clock: floor / 2,
                is_busy,
                quarantined: 7,
            }),
            (0..=COUNTER_MAX, list(), any::<bool>()).prop_map(|(floor, stamps, asks)| {
                Message::Offer {
                    floor,
                    stamps,
                    asks,
                }
            }),
            prop::collection::vec(".{0,5}", 0..4).prop_map(|names| Message::Pull { names }),
            prop::collection::vec(entry(), 0..3).prop_map(|entries| Message::Entries { entries }),
            (entry(), prop::option::of(stamp()))
                .prop_map(|(entry, base)| Message::Prepare { entry, base }),
            named().prop_map(|(name, stamp)| Message::Promise { name, stamp }),
            (named(), nak()).prop_map(|((name, stamp), nak)| Message::Refuse { name, stamp, nak }),
            named().prop_map(|(name, stamp)| Message::Abort { name, stamp }),
            named().prop_map(|(name, stamp)| Message::Commit { name, stamp }),
            named().prop_map(|(name, stamp)| Message::Adopted { name, stamp }),
            (any::<u64>(), entry()).prop_map(|(number, entry)| Message::Ask { number, entry }),
            (any::<u64>(), stamp(), prop::option::of(nak()))
                .prop_map(|(number, stamp, nak)| Message::Answer { number, stamp, nak }),
        ]
    }

    fn envelope() -> impl Strategy<Value = Envelope> {
        let domain = prop::option::of(any::<(u64, u64)>().prop_map(|(a, b)| Domain(a, b)));
        (domain, any::<bool>(), message()).prop_map(|(domain, has_slots, message)| Envelope {
            domain,
            has_slots,
            message,
        })
    }

    proptest! {
        #[test]
        fn a_message_is_read_again_and_no_part_of_it_is_one(
            envelope in envelope(),
            at in any::<prop::sample::Index>(),
        ) {
            let bytes = envelope.encode();
            prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope));
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_eq!(Envelope::decode(cut), Err(MessageError::Damaged));
        }

        #[test]
        fn garbage_is_refused_and_ends_nothing(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            versioned in any::<bool>(),
        ) {
            if let (true, Some(first)) = (versioned, bytes.first_mut()) {
                *first = VERSION;
            }
            // What happens to be a message is written as one: nothing is read that could not be said.
            if let Ok(envelope) = Envelope::decode(&bytes) {
                prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
            }
        }

        #[test]
        fn a_message_with_a_wrong_byte_ends_nothing(
            envelope in envelope(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = envelope.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            _ = Envelope::decode(&bytes);
        }
    }

    #[test]
    fn a_list_that_says_it_is_endless_takes_no_memory() {
        // No domain, no slots, a pull of 2^63 names.
        let bytes = [
            1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        ];
        assert_eq!(Envelope::decode(&bytes), Err(MessageError::Damaged));
    }

    #[test]
    fn a_counter_without_one_behind_it_and_a_body_of_another_stamp_are_refused() {
        let name = || "a".to_owned();
        let stamp = Stamp::unknown(BodyDigest::default());
        let far = Stamp {
            counter: COUNTER_MAX + 1,
            ..stamp
        };
        let other = Stamp::unknown(BodyDigest([1; 32]));
        let entry = Entry {
            name: "a".into(),
            stamp: other,
            content: Content::Deleted,
        };
        for message in [
            Message::Commit {
                name: name(),
                stamp: far,
            },
            Message::Offer {
                floor: 0,
                stamps: vec![(name(), far)],
                asks: true,
            },
            Message::Entries {
                entries: vec![entry],
            },
        ] {
            let bytes = Envelope {
                domain: None,
                has_slots: true,
                message,
            }
            .encode();
            assert_eq!(Envelope::decode(&bytes), Err(MessageError::Damaged));
        }
        assert_eq!(Envelope::decode(&[9]), Err(MessageError::OtherVersion(9)));
    }
}
