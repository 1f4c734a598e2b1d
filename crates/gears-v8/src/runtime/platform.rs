//! V8 for the whole process.
//!
//! On CPUs with memory protection keys a thread that was there before V8 was initialised dies
//! with SIGSEGV as soon as it runs JavaScript. So this comes first, on the thread that loads the
//! module; workers are started after it. V8 cannot be initialised twice: the module stays loaded.

use std::{iter, sync::OnceLock};

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

/// Kilobytes of stack that a script may use: what V8 takes where nobody says otherwise.
const SCRIPT_STACK_KB: usize = 984;
/// Kilobytes of it below which nothing runs.
const SCRIPT_STACK_MIN_KB: usize = 64;
/// Bytes of address space that V8 reserves when it starts, and some for libraries. It ends the
/// process without a word where it gets less.
const ADDRESS_SPACE: usize = 40 << 30;

/// Initialises V8, once, with flags of V8 beside ours; later calls give what the first gave.
///
/// # Errors
/// Where the process has too little stack or address space for it, or V8 does not know a flag.
pub fn initialize(protection: Protection, flags: &str) -> Result<(), String> {
    static ONCE: OnceLock<Result<(), String>> = OnceLock::new();
    ONCE.get_or_init(|| start(protection, flags)).clone()
}

fn start(protection: Protection, flags: &str) -> Result<(), String> {
    let stack = script_stack_kb(main_stack_kb())?;
    check_address_space()?;
    // Without its data the Intl objects end the process.
    if let Err(code) = v8::icu::set_common_data_78(deno_core_icudata::ICU_DATA) {
        log::warn!("V8 refuses the ICU data (error {code}): Intl will not work");
    }
    v8::V8::set_flags_from_string(FLAGS);
    v8::V8::set_flags_from_string(&format!("--stack-size={stack}"));
    if !flags.is_empty() {
        log::warn!("V8 runs with flags for tests: {flags}");
        take_flags(flags)?;
    }
    v8::V8::set_fatal_error_handler(report_fatal);
    let platform = match protection {
        Protection::Keys => v8::new_default_platform(HELPER_THREADS, false),
        Protection::Off => v8::new_unprotected_default_platform(HELPER_THREADS, false),
    };
    v8::V8::initialize_platform(platform.make_shared());
    v8::V8::initialize();
    Ok(())
}

/// Gives V8 flags. One that it does not know would be a line on standard error, and tests that do
/// not test what they should.
fn take_flags(flags: &str) -> Result<(), String> {
    let program = "gears".to_string();
    let arguments = iter::once(program).chain(flags.split(' ').map(String::from));
    let unknown = v8::V8::set_flags_from_command_line(arguments.collect());
    match &unknown[..] {
        [] | [_] => Ok(()),
        [_, unknown @ ..] => Err(format!("V8 does not know the flag {}", unknown.join(" "))),
    }
}

/// Kilobytes of stack that scripts may use on a thread with so many; `None` for no limit. Half of a
/// small stack is left to the server below a script, and to what V8 and the module do above it.
fn script_stack_kb(stack: Option<usize>) -> Result<usize, String> {
    let Some(stack) = stack else {
        return Ok(SCRIPT_STACK_KB);
    };
    let most = stack / 2;
    if most < SCRIPT_STACK_MIN_KB {
        return Err(format!(
            "the stack of the process is too small for scripts: {stack} kB. Raise its limit (ulimit -s) to {} at least",
            2 * SCRIPT_STACK_MIN_KB
        ));
    }
    Ok(most.min(SCRIPT_STACK_KB))
}

/// Kilobytes of stack that the main thread may have; `None` for no limit. Workers have more.
fn main_stack_kb() -> Option<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call fills the structure that it is given.
    let found = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } == 0;
    if !found || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    usize::try_from(limit.rlim_cur / 1024).ok()
}

/// Whether the process can have the address space that V8 is about to reserve.
fn check_address_space() -> Result<(), String> {
    // SAFETY: a new mapping, which nobody may use, and which is given back at once.
    let found = unsafe {
        let place = libc::mmap(
            std::ptr::null_mut(),
            ADDRESS_SPACE,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        place != libc::MAP_FAILED && libc::munmap(place, ADDRESS_SPACE) == 0
    };
    if found {
        return Ok(());
    }
    Err(format!(
        "the process cannot have the {} GB of address space that V8 reserves, without using them: raise its limit (ulimit -v)",
        ADDRESS_SPACE >> 30
    ))
}

/// The version of V8.
pub(crate) fn version() -> &'static str {
    v8::V8::get_version()
}

/// V8 found itself broken and is about to end the process: say so in the server's log.
fn report_fatal(file: &str, line: i32, message: &str) {
    log::error!("V8 fatal error at {file}:{line}: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_get_half_of_a_small_stack_and_none_of_one_that_is_too_small() {
        assert_eq!(script_stack_kb(None), Ok(SCRIPT_STACK_KB));
        assert_eq!(script_stack_kb(Some(8192)), Ok(SCRIPT_STACK_KB));
        assert_eq!(script_stack_kb(Some(256)), Ok(128));
        let refused = script_stack_kb(Some(100)).unwrap_err();
        assert!(
            refused.contains("100 kB") && refused.contains("128"),
            "{refused}"
        );
    }
}
