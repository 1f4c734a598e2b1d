//! What scripts see.
//!
//! ```text
//! api_v1           the `redis` object, as API version 1 has it
//! registration     what a library registers while it is loaded
//! consumer_options what a stream consumer asks for beyond a prefix and a window
//! trigger_options  what a key-space trigger asks for
//! arguments        reading what scripts give to these
//! batch_result     what a stream consumer's callback says of its entries
//! client           what scripts call through their clients
//! gears            GearsBuilder, for libraries that use it
//! ```

pub(crate) mod api_v1;
pub(crate) mod arguments;
pub(crate) mod batch_result;
pub(crate) mod client;
pub(crate) mod consumer_options;
pub(crate) mod gears;
pub(crate) mod registration;
pub(crate) mod trigger_options;
