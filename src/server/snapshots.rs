//! Libraries in the server's dumps of the data set: RDB files, full synchronisations, and the
//! first part of append-only files.
//!
//! They come before the keys, each as the bytes that [`gears_core::snapshot`] makes of it. A dump
//! is written by a forked child, where V8's memory is not there and a lock that a worker held is
//! never released: so what is asked for it is plain memory, guarded by the server's lock alone.

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use super::context::Context;
use super::facts::facts;
use super::ffi::data_type::{AuxData, DumpReader, DumpWriter, create_type, may_be_left_out};
use super::hooks::HOOKS;

/// Whether the server knows nothing of the libraries yet.
static IS_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Has the server keep libraries in its dumps. Where it could not unload the module any more then
/// (see [`super::facts`]), that is done when the module is used first: when the event loop goes
/// round, a data set is loaded, or a command of ours comes.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    // A dump that comes through a connection may break off: we look.
    context.set_module_options();
    let waits = facts().takes_late_types;
    IS_UNKNOWN.store(waits, Ordering::Relaxed);
    if waits || create_type::<LibrariesInDump>(context) {
        Ok(())
    } else {
        Err("a data type")
    }
}

/// The module is used: see [`register`].
pub(super) fn make_known(context: &Context) {
    if IS_UNKNOWN.load(Ordering::Relaxed) {
        IS_UNKNOWN.store(false, Ordering::Relaxed);
        if !create_type::<LibrariesInDump>(context) {
            log::error!("the server refuses a data type: libraries are not in its dumps");
        }
    }
}

/// The libraries: their number, then each as a string.
struct LibrariesInDump;

impl AuxData for LibrariesInDump {
    const NAME: &'static CStr = c"RGlibrary";
    const FORM: c_int = 1;

    fn save(dump: &DumpWriter) {
        let Some(hooks) = HOOKS.get() else {
            return;
        };
        let libraries = hooks.dump();
        if libraries.is_empty() && may_be_left_out() {
            return;
        }
        dump.number(libraries.len() as u64);
        for library in &libraries {
            dump.string(library);
        }
    }

    fn load(dump: &DumpReader, form: c_int) -> bool {
        let loaded = load_all(dump, form);
        if let Err(error) = &loaded {
            log::error!("the libraries in the dump cannot be loaded: {error}");
        }
        loaded.is_ok()
    }
}

fn load_all(dump: &DumpReader, form: c_int) -> Result<(), String> {
    const BREAKS_OFF: &str = "it breaks off";
    let newest = LibrariesInDump::FORM;
    if form > newest {
        return Err(format!(
            "a newer release of the module wrote them, in form {form}; this one reads forms up to {newest}"
        ));
    }
    let hooks = HOOKS.get().ok_or("the module is not ready")?;
    let context = dump.context();
    for _ in 0..dump.number().ok_or(BREAKS_OFF)? {
        let library = dump.string().ok_or(BREAKS_OFF)?;
        hooks.restore(&context, &library)?;
    }
    Ok(())
}
