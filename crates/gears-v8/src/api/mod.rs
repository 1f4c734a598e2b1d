//! What scripts see.
//!
//! ```text
//! api_v1           the `redis` object, as API version 1 has it
//! registering      what a library registers while it is loaded
//! options          what a stream consumer asks for beyond a prefix and a window
//! trigger_options  what a key-space trigger asks for
//! given            reading what scripts give to these
//! verdict          what a stream consumer's callback says of its entries
//! client           what scripts call through their clients
//! gears            GearsBuilder, for libraries that use it
//! ```

pub(crate) mod api_v1;
pub(crate) mod client;
pub(crate) mod gears;
pub(crate) mod given;
pub(crate) mod options;
pub(crate) mod registering;
pub(crate) mod trigger_options;
pub(crate) mod verdict;
