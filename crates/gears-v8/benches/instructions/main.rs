//! What `make instructions` counts: how many instructions the hot paths take, without a server.
//!
//! Run by `benches/instructions.py` under callgrind, each case in a process of its own: callgrind
//! counts the instructions beneath [`measured`]. Figures of time depend on what else the machine
//! does; these do not.
//!
//! ```text
//! instructions         prints the cases' names
//! instructions CASE    runs one; prints how often it was run while it was counted
//! ```
//!
//! ```text
//! core    what the delivery core does for an entry
//! script  what an engine does for a call: values in, code, values out
//! entry   both together, from the XADD's event to the trim
//! ```

mod core;
mod entry;
mod script;

use std::hint::black_box;

/// How often a case is run before it is counted: until V8 has made of its code what it will.
const WARM_UP: usize = 3000;
/// How often it is run while it is counted.
const TIMES: usize = 500;

/// V8 does everything in the same order at each run: on one thread, with the same seeds. No garbage
/// is collected while a case is counted, as now one and now the other would have to pay for it.
const FLAGS: &str =
    "--predictable --random-seed=1 --hash-seed=1 --min-semi-space-size=16 --max-semi-space-size=16";

/// One thing to do, again and again.
type Step = Box<dyn FnMut()>;
/// What makes it.
type Make = fn() -> Step;

/// The cases. Where several entries go together, benches/instructions.txt still has the figure for
/// all of them.
const CASES: [(&str, Make); 16] = [
    ("core_sync", || core::sync(1)),
    ("core_sync_3_consumers", || core::sync(3)),
    ("core_async_16", || core::asynchronous(16)),
    ("core_batch_16", || core::batches(16)),
    ("script_empty", || script::consumer("() => {}", 1)),
    ("script_record", || script::consumer(RECORD, 1)),
    ("script_record_10_fields", || script::consumer(RECORD, 10)),
    ("script_record_raw", || script::consumer(RECORD_RAW, 1)),
    ("script_command", || script::consumer(INCR, 1)),
    ("script_reply_10_strings", || script::consumer(LRANGE, 1)),
    ("script_function", || {
        script::function("(client, a, b) => a")
    }),
    ("script_function_ok", || script::function(SET)),
    ("entry_sync", || entry::sync("() => {}")),
    ("entry_sync_record", || entry::sync(RECORD)),
    ("entry_sync_incr", || entry::sync(INCR)),
    ("entry_async_16", || {
        entry::asynchronous("async () => {}", 16)
    }),
];
const RECORD: &str = "(client, data) => { data.record; }";
const RECORD_RAW: &str = "(client, data) => { data.record_raw; }";
const INCR: &str = "client => { client.call('INCR', 'counter'); }";
const SET: &str = "(client, key, value) => client.call('SET', key, value)";
const LRANGE: &str = "client => { client.call('LRANGE', 'list', '0', '-1'); }";

/// What is counted.
#[inline(never)]
fn measured(step: &mut dyn FnMut()) {
    for _ in 0..TIMES {
        step();
    }
}

fn main() {
    // What initialises V8 first says with which flags.
    gears_v8::initialize(gears_v8::Protection::Off, FLAGS).expect("V8");
    let wanted = std::env::args().nth(1);
    for (name, make) in CASES {
        if wanted.is_none() {
            println!("{name}");
        } else if wanted.as_deref() == Some(name) {
            let mut step = make();
            for _ in 0..WARM_UP {
                step();
            }
            measured(black_box(&mut *step));
            println!("{TIMES}");
        }
    }
}
