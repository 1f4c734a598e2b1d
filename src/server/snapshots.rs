//! Libraries in the server's dumps of the data set: RDB files, full synchronisations, and the
//! first part of append-only files.
//!
//! They come before the keys, each as the bytes that [`gears_core::snapshot`] makes of it. A dump
//! is written by a forked child, where V8's memory is not there and a lock that a worker held is
//! never released: so what is asked for it is plain memory, guarded by the server's lock alone.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw::{self, RedisModuleIO, RedisModuleTypeMethods};

use super::constants::{AUX_BEFORE_KEYS, ERR, MODULE_OPTIONS, OK, TYPE_METHODS};
use super::context::Context;
use super::facts::facts;
use super::hooks::HOOKS;
use super::{api, guard};

/// The name under which the server finds us in a dump: nine characters.
const NAME: &std::ffi::CStr = c"RGlibrary";
/// The form of what is around the libraries: their number, then each as a string.
const FORM: c_int = 1;
/// Servers that know this version of the methods (7.2 and later) leave a module out of a dump that
/// it writes nothing into.
const MAY_BE_LEFT_OUT: c_int = 5;

/// Whether the server knows nothing of the libraries yet.
static IS_UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Has the server keep libraries in its dumps. Where it could not unload the module any more then
/// (see [`super::facts`]), that is done when the module is used first: when the event loop goes
/// round, a data set is loaded, or a command of ours comes.
///
/// # Errors
/// With the name of what the server refuses.
pub(crate) fn register(context: &Context) -> Result<(), &'static str> {
    // SAFETY: the context is live. A dump that comes through a connection may break off: we look.
    unsafe { api!(RedisModule_SetModuleOptions)(context.as_ptr(), MODULE_OPTIONS) };
    let waits = facts().takes_late_types;
    IS_UNKNOWN.store(waits, Ordering::Relaxed);
    if waits { Ok(()) } else { create_type(context) }
}

/// The module is used: see [`register`].
pub(super) fn make_known(context: &Context) {
    if IS_UNKNOWN.load(Ordering::Relaxed) {
        IS_UNKNOWN.store(false, Ordering::Relaxed);
        if create_type(context).is_err() {
            log::error!("the server refuses a data type: libraries are not in its dumps");
        }
    }
}

fn create_type(context: &Context) -> Result<(), &'static str> {
    // SAFETY: a table of optional functions and numbers: zero is none.
    let mut methods: RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = TYPE_METHODS;
    // No key is of this type. But a client can name it in RESTORE.
    methods.rdb_load = Some(load_no_key);
    methods.rdb_save = Some(save_no_key);
    methods.free = Some(free_no_key);
    methods.aux_load = Some(load);
    methods.aux_save_triggers = AUX_BEFORE_KEYS;
    if may_be_left_out() {
        methods.aux_save2 = Some(save);
    } else {
        methods.aux_save = Some(save);
    }
    // SAFETY: the context is live; the name and the methods are copied.
    let created = unsafe {
        api!(RedisModule_CreateDataType)(context.as_ptr(), NAME.as_ptr(), FORM, &raw mut methods)
    };
    if created.is_null() {
        return Err("a data type");
    }
    Ok(())
}

unsafe extern "C" fn save(dump: *mut RedisModuleIO, _when: c_int) {
    guard::run("saving libraries", || {
        let Some(hooks) = HOOKS.get() else {
            return;
        };
        let libraries = hooks.dump();
        if libraries.is_empty() && may_be_left_out() {
            return;
        }
        // SAFETY: the server gives a live dump, for the time of the call; the bytes are copied.
        unsafe {
            api!(RedisModule_SaveUnsigned)(dump, libraries.len() as u64);
            for library in libraries {
                let start = library.as_ptr().cast::<c_char>();
                api!(RedisModule_SaveStringBuffer)(dump, start, library.len());
            }
        }
    });
}

/// Whether a dump that we write nothing into can be loaded without us.
fn may_be_left_out() -> bool {
    // SAFETY: reading what the server has set once; the function takes no arguments.
    let version = unsafe { raw::RedisModule_GetTypeMethodVersion.map_or(0, |version| version()) };
    version >= MAY_BE_LEFT_OUT
}

unsafe extern "C" fn load(dump: *mut RedisModuleIO, form: c_int, _when: c_int) -> c_int {
    let mut loaded = ERR;
    guard::run("loading libraries", || match load_all(dump, form) {
        Ok(()) => loaded = OK,
        Err(error) => log::error!("the libraries in the dump cannot be loaded: {error}"),
    });
    loaded
}

fn load_all(dump: *mut RedisModuleIO, form: c_int) -> Result<(), String> {
    if form > FORM {
        return Err(format!(
            "a newer release of the module wrote them, in form {form}; this one reads forms up to {FORM}"
        ));
    }
    let hooks = HOOKS.get().ok_or("the module is not ready")?;
    // SAFETY: the server gives a live dump, for the time of the call.
    let (context, count) = unsafe {
        let context = api!(RedisModule_GetContextFromIO)(dump);
        (
            Context::from_raw(context),
            api!(RedisModule_LoadUnsigned)(dump),
        )
    };
    for _ in 0..count {
        let mut length = 0;
        // SAFETY: as above.
        let start = unsafe { api!(RedisModule_LoadStringBuffer)(dump, &raw mut length) };
        // SAFETY: as above.
        if start.is_null() || unsafe { api!(RedisModule_IsIOError)(dump) } != 0 {
            return Err("it breaks off".into());
        }
        let bytes = Loaded(start, length);
        hooks.restore(&context, bytes.get())?;
    }
    Ok(())
}

/// Bytes that the server gave, freed at the end.
struct Loaded(*mut c_char, usize);

impl Loaded {
    fn get(&self) -> &[u8] {
        // SAFETY: the server gave so many bytes; they are ours.
        unsafe { std::slice::from_raw_parts(self.0.cast(), self.1) }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: they are ours, and freed once.
        unsafe { api!(RedisModule_Free)(self.0.cast()) };
    }
}

unsafe extern "C" fn load_no_key(_dump: *mut RedisModuleIO, _form: c_int) -> *mut c_void {
    null_mut()
}

unsafe extern "C" fn save_no_key(_dump: *mut RedisModuleIO, _value: *mut c_void) {}

unsafe extern "C" fn free_no_key(_value: *mut c_void) {}
