//! Figures and states, as INFO, `RG.FUNCTION LIST`, `RG.CONSUMER INFO` and `RG.DUMPREGISTRATIONS` show
//! them. What only one of these commands shows is in its own file.

mod callbacks;
mod cluster;
mod consumers;
mod errors;
mod figure;
mod info;
mod options;
mod remote;
mod triggers;

pub(crate) use callbacks::{figures, figures_of, running_or_paused};
pub(crate) use cluster::libraries_state;
pub(crate) use consumers::{
    Counters, PERCENTILES, backlog, errors, ids, percentiles, position, redriven_count, state,
    times,
};
pub(crate) use errors::{error, stack, stack_if_any};
pub(crate) use info::{pending_jobs, sections};
pub(crate) use options::{has_options, options};
pub(crate) use triggers::{describe_trigger, event_types, key_types, mode_name};
