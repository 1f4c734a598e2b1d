//! What outlives the process, as bytes: libraries, their consumers, and how far these are.
//!
//! Pure: values in plain memory to bytes and back. `server` puts the bytes into dumps of the data
//! set, into the append-only file and before replicas; `library` makes libraries of them again.
//!
//! ```text
//! library     the fields, as this release writes them
//! history     its version, and the texts it had before
//! format_vN   those of earlier releases
//! codec       bytes of a library, and a library of bytes of any form
//! ```
//!
//! What a release writes, every later release reads. Another form gets another [`VERSION`], and
//! the reader of the old one stays; an example of each is kept with the tests.

mod codec;
mod format_v1;
mod format_v2;
mod format_v3;
mod format_v4;
mod history;
mod ids;
mod library;

pub use codec::{
    SnapshotError, VERSION, decode_delivery_state, decode_pending, encode_delivery_state,
    encode_pending,
};
pub use history::{EarlierVersion, History};
pub use library::{
    ConsumerSnapshot, LibrarySnapshot, Paused, StartSnapshot, StreamSnapshot, Unregistered,
};
