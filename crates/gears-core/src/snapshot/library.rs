//! A library, its consumers and how far these are, as they are kept: the fields, in the order in which
//! they are written.

use serde::{Deserialize, Serialize};

use crate::delivery::{Checkpoint, DeliveryState, EntryId, Start, Tried};

use super::history::History;
use super::ids::{distances, ids};

/// A library as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySnapshot {
    /// Its name.
    pub name: String,
    /// Its whole text; empty where it was deleted, and the progress of its consumers alone is kept.
    pub code: String,
    /// The JSON text it was configured with.
    pub config: Option<String>,
    /// The user who loaded it.
    pub user: String,
    /// Its stream consumers.
    pub consumers: Vec<ConsumerSnapshot>,
    /// What of its code is not live.
    pub unregistered: Vec<Unregistered>,
    /// What of it is paused, beside its consumers, in order.
    pub paused: Vec<Paused>,
    /// When it was loaded, and what it was before; where it was deleted, when that was, and by whom.
    pub history: History,
}

impl LibrarySnapshot {
    /// Whether it is of a library that was deleted, of which the progress of its consumers is kept.
    #[must_use]
    pub fn is_progress_alone(&self) -> bool {
        // Code has a first line that names the library.
        self.code.is_empty()
    }
}

/// A function or trigger that is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Paused {
    /// A function of that name.
    Function(String),
    /// A key-space trigger of that name.
    Trigger(String),
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

mod checkpoint {
    //! A checkpoint as its position, the distances of its pending IDs, and its delivery state.

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

/// A delivery state in the form that is written.
#[derive(Serialize, Deserialize)]
pub(super) struct DeliveryStateFormat {
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
    //! A delivery state by itself.

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
