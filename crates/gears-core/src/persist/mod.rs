//! What outlives the process, as bytes: libraries, their consumers, and how far these are.
//!
//! Pure: values in plain memory to bytes and back. `host` puts the bytes into dumps of the data
//! set, into the append-only file and before replicas; `library` makes libraries of them again.
//!
//! What a release writes, every later release reads. Another form gets another [`VERSION`], and
//! the reader of the old one stays; an example of each is kept with the tests.

mod dump;
mod form_1;
mod form_2;
mod form_3;
mod ids;

pub use dump::{
    ConsumerDump, DumpError, LibraryDump, StartDump, StreamDump, Unregistered, VERSION,
    decode_hold, decode_pending, encode_hold, encode_pending,
};
