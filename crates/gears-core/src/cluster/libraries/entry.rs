//! What is said of a library.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::stamp::{BodyDigest, Stamp};
use crate::snapshot::Unregistered;

/// A library as every shard has it. How far its consumers are is each shard's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Its whole text.
    pub code: String,
    /// The JSON text it is configured with.
    pub config: Option<String>,
    /// The user in whose name its consumers and triggers act.
    pub owner: String,
    /// What of its code is not live.
    pub unregistered: Vec<Unregistered>,
    /// The number of its text.
    pub version: u64,
    /// When it was loaded, in Unix milliseconds.
    pub loaded_ms: u64,
    /// The user who loaded it.
    pub loaded_by: String,
}

impl Body {
    /// What it is known by.
    #[must_use]
    pub fn digest(&self) -> BodyDigest {
        let bytes = postcard::to_allocvec(self).unwrap_or_default();
        BodyDigest(Sha256::digest(bytes).into())
    }
}

/// Whether there is a library of a name, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// This one.
    Live(Arc<Body>),
    /// There was one, which was deleted.
    Deleted,
    /// There was one, which was deleted but for how far its consumers are, on each shard.
    Kept,
}

/// What [`Content::Kept`] is known by: no body has that digest.
const KEPT: BodyDigest = BodyDigest([0xff; 32]);

impl Content {
    /// What it is known by.
    #[must_use]
    pub fn digest(&self) -> BodyDigest {
        match self {
            Self::Live(body) => body.digest(),
            Self::Deleted => BodyDigest::default(),
            Self::Kept => KEPT,
        }
    }

    /// That of an entry without a body, by its digest.
    #[must_use]
    pub fn without_body(digest: BodyDigest) -> Self {
        if digest == KEPT {
            Self::Kept
        } else {
            Self::Deleted
        }
    }

    /// Whether nothing is there any more.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted)
    }

    /// Whether there is a library.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

/// What was said of a library, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The library's name.
    pub name: Arc<str>,
    /// When it was said.
    pub stamp: Stamp,
    /// What.
    pub content: Content,
}

impl Entry {
    /// Whether its stamp is one of its content.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.stamp.digest == self.content.digest()
    }
}
