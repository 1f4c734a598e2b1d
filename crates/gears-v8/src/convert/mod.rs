//! Values of the server and of scripts, both ways.
//!
//! ```text
//! to_js     what the server replies ──> values
//! reply     what functions return ──> replies
//! argument  values ──> arguments of commands
//! bytes     strings and buffers ──> bytes, for both
//! clone     values between isolates
//! ```

pub(crate) mod argument;
pub(crate) mod bytes;
pub(crate) mod clone;
pub(crate) mod reply;
pub(crate) mod to_js;
