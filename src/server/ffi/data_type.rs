//! What the module keeps in dumps of the data set, outside of keys.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use redis_module::raw::{self, RedisModuleIO, RedisModuleTypeMethods};

use super::constants::{AUX_BEFORE_KEYS, ERR, OK, TYPE_METHODS};
use super::context::Context;
use super::{api, guard};

/// Servers that know this version of the methods (7.2 and later) leave a module out of a dump that
/// it writes nothing into.
const MAY_BE_LEFT_OUT: c_int = 5;

/// What is kept in front of the keys of a dump.
pub(crate) trait AuxData {
    /// The name under which the server finds it there: nine characters.
    const NAME: &'static CStr;
    /// The form that is written.
    const FORM: c_int;

    /// Writes it. Called in a forked child too.
    fn save(dump: &DumpWriter);

    /// Reads what was written in that form; false where it cannot be.
    fn load(dump: &DumpReader, form: c_int) -> bool;
}

/// Registers `D` with the server; false where that refuses.
pub(crate) fn create_type<D: AuxData>(context: &Context) -> bool {
    // SAFETY: a table of optional functions and numbers: zero is none.
    let mut methods: RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = TYPE_METHODS;
    // No key is of this type. But a client can name it in RESTORE.
    methods.rdb_load = Some(load_no_key);
    methods.rdb_save = Some(save_no_key);
    methods.free = Some(free_no_key);
    methods.aux_load = Some(load::<D>);
    methods.aux_save_triggers = AUX_BEFORE_KEYS;
    if may_be_left_out() {
        methods.aux_save2 = Some(save::<D>);
    } else {
        methods.aux_save = Some(save::<D>);
    }
    // SAFETY: the context is live; the name and the methods are copied.
    let created = unsafe {
        api!(RedisModule_CreateDataType)(
            context.as_ptr(),
            D::NAME.as_ptr(),
            D::FORM,
            &raw mut methods,
        )
    };
    !created.is_null()
}

/// Whether a dump that we write nothing into can be loaded without us.
pub(crate) fn may_be_left_out() -> bool {
    // SAFETY: reading what the server has set once; the function takes no arguments.
    let version = unsafe { raw::RedisModule_GetTypeMethodVersion.map_or(0, |version| version()) };
    version >= MAY_BE_LEFT_OUT
}

/// A dump that is written.
pub(crate) struct DumpWriter(*mut RedisModuleIO);

impl DumpWriter {
    /// Writes a number.
    pub(crate) fn number(&self, number: u64) {
        // SAFETY: the dump is live.
        unsafe { api!(RedisModule_SaveUnsigned)(self.0, number) };
    }

    /// Writes a string.
    pub(crate) fn string(&self, bytes: &[u8]) {
        let start = bytes.as_ptr().cast::<c_char>();
        // SAFETY: the dump is live; the bytes are copied.
        unsafe { api!(RedisModule_SaveStringBuffer)(self.0, start, bytes.len()) };
    }
}

/// A dump that is read.
pub(crate) struct DumpReader(*mut RedisModuleIO);

impl DumpReader {
    /// The context of the loading.
    pub(crate) fn context(&self) -> Context {
        // SAFETY: the dump is live.
        Context::from_raw(unsafe { api!(RedisModule_GetContextFromIO)(self.0) })
    }

    /// The next number; `None` where the dump breaks off.
    pub(crate) fn number(&self) -> Option<u64> {
        // SAFETY: the dump is live.
        let number = unsafe { api!(RedisModule_LoadUnsigned)(self.0) };
        (!self.breaks_off()).then_some(number)
    }

    /// The next string; `None` where the dump breaks off.
    pub(crate) fn string(&self) -> Option<LoadedBytes> {
        let mut length = 0;
        // SAFETY: the dump is live.
        let start = unsafe { api!(RedisModule_LoadStringBuffer)(self.0, &raw mut length) };
        let bytes = (!start.is_null()).then(|| LoadedBytes(start, length));
        bytes.filter(|_| !self.breaks_off())
    }

    fn breaks_off(&self) -> bool {
        // SAFETY: the dump is live.
        unsafe { api!(RedisModule_IsIOError)(self.0) != 0 }
    }
}

/// Bytes that the server gave, freed at the end.
pub(crate) struct LoadedBytes(*mut c_char, usize);

impl std::ops::Deref for LoadedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the server gave so many bytes; they are ours.
        unsafe { std::slice::from_raw_parts(self.0.cast(), self.1) }
    }
}

impl Drop for LoadedBytes {
    fn drop(&mut self) {
        // SAFETY: they are ours, and freed once.
        unsafe { api!(RedisModule_Free)(self.0.cast()) };
    }
}

unsafe extern "C" fn save<D: AuxData>(dump: *mut RedisModuleIO, _when: c_int) {
    guard::run("saving libraries", || D::save(&DumpWriter(dump)));
}

unsafe extern "C" fn load<D: AuxData>(
    dump: *mut RedisModuleIO,
    form: c_int,
    _when: c_int,
) -> c_int {
    let mut loaded = false;
    guard::run("loading libraries", || {
        loaded = D::load(&DumpReader(dump), form);
    });
    if loaded { OK } else { ERR }
}

unsafe extern "C" fn load_no_key(_dump: *mut RedisModuleIO, _form: c_int) -> *mut c_void {
    null_mut()
}

unsafe extern "C" fn save_no_key(_dump: *mut RedisModuleIO, _value: *mut c_void) {}

unsafe extern "C" fn free_no_key(_value: *mut c_void) {}
