//! What decides, and does nothing: which entry goes to which consumer, which key event to which
//! trigger, and how a library is kept.
//!
//! Pure: facts go in, decisions come out. There is no server here, no script engine, no clock (time
//! is one of the facts), and no thread; so all of it is tested by millions of random steps.

pub mod cluster;
pub mod delivery;
pub mod digest;
pub mod glob;
mod hex;
mod histogram;
pub mod lanes;
mod quoted;
pub mod snapshot;
pub mod triggers;
pub mod window;

pub use quoted::quoted;
