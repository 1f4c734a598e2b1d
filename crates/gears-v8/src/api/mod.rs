//! What scripts see.
//!
//! ```text
//! bootstrap  the JavaScript side of the engine: records, clients
//! guards     built-ins that would end the process, or hold it up, throw instead
//! v1/        the `redis` object, as API version 1 has it, and the clients
//! gears1/    GearsBuilder, for libraries for RedisGears 1
//! python/    libraries in Python
//! ```

pub(crate) mod bootstrap;
pub(crate) mod gears1;
pub(crate) mod guards;
pub(crate) mod python;
pub(crate) mod v1;
