//! V8 for the whole process.
//!
//! On CPUs with memory protection keys a thread that was there before V8 was initialised dies
//! with SIGSEGV as soon as it runs JavaScript. So this comes first, on the thread that loads the
//! module; workers are started after it. V8 cannot be initialised twice: the module stays loaded.

use std::sync::Once;

/// Threads V8 may use for compiling and collecting garbage beside the script.
const HELPER_THREADS: u32 = 1;

/// With unrolling, V8 152 drops the check for interrupts from loops such as
/// `for (;;) bag.push(new Array(1000).fill(0))`: nothing ends them, and the process runs out of
/// memory. Taking it out costs nothing that the benchmarks show.
///
/// Isolates that end would leave their pages to others in a pool, which nobody empties where the
/// others have nothing to do.
const FLAGS: &str = "--no-turboshaft-loop-unrolling --no-memory-pool-share-memory-on-teardown";

/// Whether V8 guards its tables with memory protection keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// As in production.
    Keys,
    /// For tests, which run on threads that may be older than V8.
    Off,
}

/// Initialises V8, once; later calls do nothing.
pub fn initialize(protection: Protection) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without its data the Intl objects end the process.
        if let Err(code) = v8::icu::set_common_data_78(deno_core_icudata::ICU_DATA) {
            log::warn!("V8 refuses the ICU data (error {code}): Intl will not work");
        }
        v8::V8::set_flags_from_string(FLAGS);
        v8::V8::set_fatal_error_handler(report_fatal);
        let platform = match protection {
            Protection::Keys => v8::new_default_platform(HELPER_THREADS, false),
            Protection::Off => v8::new_unprotected_default_platform(HELPER_THREADS, false),
        };
        v8::V8::initialize_platform(platform.make_shared());
        v8::V8::initialize();
    });
}

/// The version of V8.
pub(super) fn version() -> &'static str {
    v8::V8::get_version()
}

/// V8 found itself broken and is about to end the process: say so in the server's log.
fn report_fatal(file: &str, line: i32, message: &str) {
    log::error!("V8 fatal error at {file}:{line}: {message}");
}
