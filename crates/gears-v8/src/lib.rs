//! What a script engine offers and is offered ([`ports`]), and V8 behind that.
//!
//! ```text
//! ports/     the traits and values between an engine and the rest of the module
//! limits/    what ends code that takes too long or too much
//! runtime/   what stands on V8 itself: the process, a run, giving up the isolate, text
//! convert/   values of the server and of scripts, both ways
//! api/       what scripts see: the `redis` object, clients, options, GearsBuilder
//! js/        the JavaScript part of that
//! program/   a library's isolate and context, and calls of its callbacks
//! engine     the engines named `js` and `py`: one program per library
//! py/        what of Python libraries is JavaScript and Python
//! ```
//!
//! Each knows those above it, and none below.
//!
//! Lock order: the server's lock outside, the isolate inside. Nothing in here asks for the former.

mod api;
mod convert;
mod engine;
mod limits;
pub mod ports;
mod program;
mod runtime;

pub use api::python::PythonRuntime;
pub use engine::V8Engine;
pub use limits::allocations;
pub use runtime::platform::{Protection, initialize};
