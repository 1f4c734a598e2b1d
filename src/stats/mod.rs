//! How it stands, in numbers and words: what INFO, `RG.FUNCTION LIST`, `RG.CONSUMER INFO` and
//! `RG.DUMPREGISTRATIONS` show, as far as they have it in common.

mod consumers;
mod info;
mod options;
mod triggers;

pub(crate) use consumers::{Counters, PERCENTILES, ids, percentiles, position, state, sum};
pub(crate) use info::{pending_jobs, sections};
pub(crate) use options::{has_options, options};
pub(crate) use triggers::{describe_trigger, event_types, key_types, mode_name};
