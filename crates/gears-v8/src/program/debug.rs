//! `RG.FUNCTION DEBUG js ...`: what became of the isolates.

use std::sync::{Arc, Weak};

use crate::ports::Reply;

use crate::limits::isolate_limits::IsolateLimits;

/// Entries of isolates that are gone before these are dropped by themselves.
const GONE_MAX: usize = 100;

const HELP: &[&str] = &[
    "isolates_stats - how many isolates there are, and how many are gone and not dropped from the list",
    "isolates_aggregated_stats - the same, and the memory of all of them together in bytes",
    "isolates_strong_count - per isolate, how many hold it",
    "isolates_gc - drop the isolates that are gone from the list",
    "help - print this help",
];

/// The isolates there were, by what bounds them: that lives as long as they do.
#[derive(Debug, Default)]
pub(crate) struct Tracked(Vec<(String, Weak<IsolateLimits>)>);

impl Tracked {
    pub(crate) fn add(&mut self, library: &str, isolate_limits: &Arc<IsolateLimits>) {
        if self.gone() > GONE_MAX {
            self.collect();
        }
        self.0
            .push((library.to_owned(), Arc::downgrade(isolate_limits)));
    }

    fn gone(&self) -> usize {
        self.0
            .iter()
            .filter(|(_, isolate_limits)| isolate_limits.strong_count() == 0)
            .count()
    }

    fn collect(&mut self) {
        self.0
            .retain(|(_, isolate_limits)| isolate_limits.strong_count() > 0);
    }

    /// See [`HELP`].
    ///
    /// # Errors
    /// Where there is no such subcommand.
    pub(crate) fn debug(&mut self, arguments: &[&[u8]]) -> Result<Reply, String> {
        let name = arguments.first().ok_or("Subcommand was not provided")?;
        let name =
            std::str::from_utf8(name).map_err(|_| "Failed converting arguments to string")?;
        let gone = self.gone();
        let counts = |more: Vec<(&'static str, Reply)>| {
            let mut counts = vec![
                ("active", Reply::count(self.0.len() - gone)),
                ("not_active", Reply::count(gone)),
            ];
            counts.extend(more);
            Reply::record(counts)
        };
        Ok(match name.to_lowercase().as_str() {
            "help" => Reply::Array(HELP.iter().map(|line| Reply::text(*line)).collect()),
            "isolates_stats" => counts(Vec::new()),
            "isolates_aggregated_stats" => {
                let (mut heap, mut buffers, mut limit) = (0, 0, 0);
                for isolate_limits in self
                    .0
                    .iter()
                    .filter_map(|(_, isolate_limits)| isolate_limits.upgrade())
                {
                    let of_one = isolate_limits.memory_use();
                    heap += of_one.heap;
                    buffers += of_one.buffers;
                    limit += of_one.limit;
                }
                counts(vec![
                    ("used_heap", Reply::count(heap)),
                    ("used_buffers", Reply::count(buffers)),
                    ("combined_memory_limit", Reply::count(limit)),
                ])
            }
            "isolates_strong_count" => Reply::Array(
                self.0
                    .iter()
                    .map(|(_, isolate_limits)| Reply::count(isolate_limits.strong_count()))
                    .collect(),
            ),
            "isolates_gc" => {
                self.collect();
                Reply::OK
            }
            other => return Err(format!("Unknown subcommand '{other}'")),
        })
    }
}
