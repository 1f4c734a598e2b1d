//! What a script engine offers and is offered ([`ports`]), and V8 behind that.
//!
//! ```text
//! ports/     the traits and values between an engine and the rest of the module
//! engine     the engine named `js`: one isolate and one context per library
//! runtime/   V8's life: the process, a library's isolate, a run, its outcome, giving up the isolate
//! limits/    what ends code that takes too long or too much
//! convert/   values of the server and of scripts, both ways
//! api/       what scripts see: the `redis` object, clients, options, GearsBuilder
//! js/        the JavaScript part of that
//! ```
//!
//! Lock order: the server's lock outside, the isolate inside. Nothing in here asks for the former.

mod api;
mod convert;
mod engine;
mod limits;
pub mod ports;
mod runtime;

pub use engine::V8Engine;
pub use runtime::platform::{Protection, initialize};
