//! The module's sections of the server's INFO.

use super::{callbacks, cluster, consumers, remote as remote_functions, triggers};
use crate::calls::FunctionCalls;
use crate::cluster::ClusterView;
use crate::dispatcher::Dispatcher;
use crate::executor::LibraryExecutor;
use crate::library::{Libraries, Registry};
use crate::remote::RemoteFigures;
use crate::server::{InfoField, InfoSection, LockFigures};
use gears_core::delivery::Delivery;

/// All sections. `limit` is in bytes, of all libraries together; that about `nodes` is there in a
/// cluster alone.
pub(crate) fn sections(
    libraries: &Libraries,
    dispatcher: &Dispatcher,
    calls: &FunctionCalls,
    limit: usize,
    nodes: Option<&ClusterView>,
    remote: &RemoteFigures,
) -> Vec<InfoSection> {
    let registry = libraries.all();
    let of_libraries = OfLibraries::new(&registry, calls);
    let section = |name, fields| InfoSection { name, fields };
    let streams_bytes = dispatcher.inspect(Delivery::streams_bytes);
    let memory = vec![
        InfoField::Number("used_by_libraries", of_libraries.memory as u64),
        InfoField::Number("limit_of_libraries", limit as u64),
        InfoField::Number("streams_bytes", streams_bytes as u64),
    ];
    let quarantine = InfoField::Number("quarantined_libraries", of_libraries.quarantined);
    let kept = InfoField::Number("kept_libraries", libraries.kept().len() as u64);
    let lock = LockFigures::now();
    let workers = vec![
        InfoField::Number("errands", lock.errands),
        InfoField::Number("starvations", lock.starvations),
    ];
    let now_ms = dispatcher.time();
    let consumers =
        dispatcher.update(|delivery| consumers::of_consumers(&registry, delivery, now_ms));
    let mut sections = vec![
        section("memory", memory),
        section("quarantine", vec![quarantine, kept]),
        section("workers", workers),
        section("libraries", of_libraries.lines),
        section("functions", callbacks::of_functions(&registry)),
        section("consumers", consumers),
        section("triggers", triggers::of_triggers(&registry, dispatcher)),
    ];
    let remote = remote_functions::of_remote_functions(&registry, remote);
    sections.push(section("remote_functions", remote));
    sections.extend(nodes.map(|nodes| section("cluster", cluster::of_cluster(nodes, libraries))));
    sections
}

/// Entries, calls and background parts of a library that have not started.
pub(crate) fn pending_jobs(
    library: &str,
    executor: &LibraryExecutor,
    calls: &FunctionCalls,
) -> usize {
    executor.waiting() + calls.waiting(library)
}

/// One line per running library, and their totals.
#[derive(Default)]
struct OfLibraries {
    lines: Vec<InfoField>,
    /// Bytes.
    memory: usize,
    quarantined: u64,
}

impl OfLibraries {
    fn new(registry: &Registry, calls: &FunctionCalls) -> Self {
        let mut all = Self::default();
        for (name, library) in registry {
            let Some(executor) = library.executor() else {
                all.quarantined += 1;
                continue;
            };
            let memory = executor.memory();
            all.memory += memory.heap + memory.buffers;
            let pending = pending_jobs(name, executor, calls);
            let numbers = vec![
                ("used_heap", memory.heap as u64),
                ("used_buffers", memory.buffers as u64),
                ("memory_limit", memory.limit as u64),
                ("functions", library.functions.len() as u64),
                ("stream_consumers", library.consumers.len() as u64),
                ("pending_jobs", pending as u64),
            ];
            all.lines
                .push(InfoField::Numbers(format!("library_{name}"), numbers));
        }
        all
    }
}
