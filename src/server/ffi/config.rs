//! Module configs: values that CONFIG and the configuration file know.

use std::ffi::{CString, c_char, c_int, c_longlong, c_void};
use std::ptr::from_ref;
use std::sync::atomic::{AtomicI64, Ordering};

use redis_module::raw::{self, RedisModuleString};

use super::api;
use super::constants::OK;
use super::context::Context;
use super::string::c_text;

/// A config that can be changed.
pub(crate) const CONFIG_DEFAULT: u32 = raw::REDISMODULE_CONFIG_DEFAULT;
/// One that is only set when the module is loaded.
pub(crate) const CONFIG_FIXED: u32 = raw::REDISMODULE_CONFIG_IMMUTABLE;
/// An amount of memory, which may be given with a unit.
pub(crate) const CONFIG_MEMORY: u32 = raw::REDISMODULE_CONFIG_MEMORY;

/// Registers a number between two others. The server looks at its bounds.
pub(crate) fn register_number(
    context: &Context,
    (name, flags): (&str, u32),
    default: i64,
    (min, max): (i64, i64),
    value: &'static AtomicI64,
) -> bool {
    let name = c_text(name);
    // SAFETY: the context is live; the callbacks get the value as their data, which is static; the
    // server copies the name.
    let registered = unsafe {
        api!(RedisModule_RegisterNumericConfig)(
            context.as_ptr(),
            name.as_ptr(),
            default,
            flags,
            min,
            max,
            Some(get_number),
            Some(set_number),
            None,
            data(value),
        )
    };
    registered == OK
}

/// Registers a choice between no (0) and yes (1).
pub(crate) fn register_bool(
    context: &Context,
    (name, flags): (&str, u32),
    default: i64,
    value: &'static AtomicI64,
) -> bool {
    let name = c_text(name);
    // SAFETY: as above.
    let registered = unsafe {
        api!(RedisModule_RegisterBoolConfig)(
            context.as_ptr(),
            name.as_ptr(),
            c_int::try_from(default).unwrap_or(0),
            flags,
            Some(get_choice),
            Some(set_choice),
            None,
            data(value),
        )
    };
    registered == OK
}

/// Registers a choice between names; the value is the place of one of them in the list.
pub(crate) fn register_choice(
    context: &Context,
    (name, flags): (&str, u32),
    default: i64,
    names: &[&str],
    value: &'static AtomicI64,
) -> bool {
    let name = c_text(name);
    let names: Vec<CString> = names.iter().map(|name| c_text(name)).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let values: Vec<c_int> = (0..).take(names.len()).collect();
    // SAFETY: as above; the server copies the names and the values, too.
    let registered = unsafe {
        api!(RedisModule_RegisterEnumConfig)(
            context.as_ptr(),
            name.as_ptr(),
            c_int::try_from(default).unwrap_or(0),
            flags,
            pointers.as_mut_ptr(),
            values.as_ptr(),
            c_int::try_from(names.len()).unwrap_or(0),
            Some(get_choice),
            Some(set_choice),
            None,
            data(value),
        )
    };
    registered == OK
}

/// Takes the values of all that were registered from the configuration file.
pub(crate) fn load(context: &Context) -> bool {
    // SAFETY: the context is live.
    unsafe { api!(RedisModule_LoadConfigs)(context.as_ptr()) == OK }
}

fn data(value: &'static AtomicI64) -> *mut c_void {
    from_ref(value).cast_mut().cast()
}

/// # Safety
/// `data` must come from [`data`].
unsafe fn value_of(data: *mut c_void) -> &'static AtomicI64 {
    // SAFETY: the caller vouches for it.
    unsafe { &*data.cast::<AtomicI64>() }
}

unsafe extern "C" fn get_number(_name: *const c_char, data: *mut c_void) -> c_longlong {
    // SAFETY: the server gives what was registered.
    unsafe { value_of(data) }.load(Ordering::Relaxed)
}

unsafe extern "C" fn set_number(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: the server gives what was registered.
    unsafe { value_of(data) }.store(value, Ordering::Relaxed);
    OK
}

unsafe extern "C" fn get_choice(_name: *const c_char, data: *mut c_void) -> c_int {
    // SAFETY: the server gives what was registered.
    let value = unsafe { value_of(data) }.load(Ordering::Relaxed);
    c_int::try_from(value).unwrap_or(0)
}

unsafe extern "C" fn set_choice(
    _name: *const c_char,
    value: c_int,
    data: *mut c_void,
    _error: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: the server gives what was registered.
    unsafe { value_of(data) }.store(value.into(), Ordering::Relaxed);
    OK
}
