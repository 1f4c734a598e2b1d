//! Constants of the Redis Module API, in the type that its functions take.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the header gives them as other types; all of them are small"
)]

use std::ffi::c_int;

use redis_module::raw;

pub(crate) const OK: c_int = raw::REDISMODULE_OK as c_int;
pub(crate) const ERR: c_int = raw::REDISMODULE_ERR as c_int;
pub(crate) const API_VERSION: c_int = raw::REDISMODULE_APIVER_1 as c_int;
pub(crate) const CLIENT_INFO_VERSION: u64 = raw::REDISMODULE_CLIENTINFO_VERSION as u64;
pub(crate) const CLIENT_IS_SUBSCRIBED: u64 = raw::REDISMODULE_CLIENTINFO_FLAG_PUBSUB as u64;
pub(crate) const CLIENT_IS_LOCAL: u64 = raw::REDISMODULE_CLIENTINFO_FLAG_UNIXSOCKET as u64;
pub(crate) const TYPE_METHODS: u64 = raw::REDISMODULE_TYPE_METHOD_VERSION as u64;
pub(crate) const AUX_BEFORE_KEYS: c_int = raw::REDISMODULE_AUX_BEFORE_RDB as c_int;
/// Failed reads of a dump are ours to handle; and keys that were opened for writing were not
/// written to for that alone.
pub(crate) const MODULE_OPTIONS: c_int = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS as c_int
    | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED as c_int;
pub(crate) const READ_QUIETLY: c_int =
    raw::REDISMODULE_READ as c_int | raw::REDISMODULE_OPEN_KEY_NOTOUCH as c_int;
pub(crate) const WRITE: c_int = raw::REDISMODULE_WRITE as c_int;
pub(crate) const OPEN_UNEXPIRED: c_int = raw::REDISMODULE_OPEN_KEY_NOEXPIRE as c_int;
pub(crate) const READ_UNNOTICED: c_int =
    raw::REDISMODULE_OPEN_KEY_NONOTIFY as c_int | raw::REDISMODULE_OPEN_KEY_NOSTATS as c_int;
pub(crate) const KEY_ACCESS: c_int = raw::REDISMODULE_CMD_KEY_ACCESS as c_int;
pub(crate) const KEY_UPDATE: c_int = raw::REDISMODULE_CMD_KEY_UPDATE as c_int;
pub(crate) const KEY_DELETE: c_int = raw::REDISMODULE_CMD_KEY_DELETE as c_int;
pub(crate) const ITERATE_BEHIND: c_int = raw::REDISMODULE_STREAM_ITERATOR_EXCLUSIVE as c_int;
pub(crate) const ITERATE_BACKWARD: c_int = raw::REDISMODULE_STREAM_ITERATOR_REVERSE as c_int;
pub(crate) const REPLY_ERROR: c_int = raw::REDISMODULE_REPLY_ERROR as c_int;
pub(crate) const ROLE_PRIMARY: u64 = raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER;
