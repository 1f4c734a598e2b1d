//! Calls into the server. A [`Context`] is only handed out while the server waits for an answer on
//! its main thread, which is what makes its methods safe to call.

use std::ffi::{CStr, c_int};
use std::ptr::null_mut;
use std::sync::OnceLock;

use redis_module::raw::{
    self, RedisModuleCallReply, RedisModuleCtx, RedisModuleKey, RedisModuleString,
};
use smallvec::SmallVec;

use crate::replication::{self, PropagationTarget, ReplicatedCommand, ReplicationLink};

use super::api;
use super::constants::{
    CLIENT_INFO_VERSION, CLIENT_IS_SUBSCRIBED, FLAG_CLUSTER, FLAG_DENY_BLOCKING, FLAG_LOADING,
    FLAG_MULTI, FLAG_OOM, FLAG_REPLICA, FLAG_REPLICATED, KEY_TYPE_STREAM, OK, OPEN_UNEXPIRED,
    READ_QUIETLY, READ_UNNOTICED, WRITE,
};
use super::facts::facts;
use super::suppress_triggers::SuppressTriggers;

/// The server's context of the call that is going on.
#[derive(Debug)]
pub(crate) struct Context(*mut RedisModuleCtx);

/// See [`Context::state`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Whether the server is a primary.
    pub(crate) is_primary: bool,
    /// Whether it uses more memory than it may.
    pub(crate) is_out_of_memory: bool,
}

/// Why the client of a command cannot be kept waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWait {
    /// It is in a transaction or a script, or another module's command runs this one.
    Nested,
    /// The server does not let such a client wait: one that is subscribed to channels.
    Refused,
}

impl NoWait {
    /// What a command says for [`NoWait::Refused`], and `nested` otherwise.
    pub(crate) fn text(self, nested: &str) -> String {
        match self {
            Self::Nested => nested,
            Self::Refused => SUBSCRIBED,
        }
        .to_owned()
    }
}

const SUBSCRIBED: &str = "ERR this server does not let a client wait that is subscribed to channels: use another connection";

/// Characters of a server's name in a cluster.
const SHARD_ID: usize = 40;

/// The bytes of a string of the server.
///
/// # Safety
/// `string` must be a live string, and stay so for the lifetime of the result.
pub(super) unsafe fn bytes<'a>(string: *const RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the caller vouches for the string.
    unsafe {
        let start = api!(RedisModule_StringPtrLen)(string, &raw mut length);
        std::slice::from_raw_parts(start.cast(), length)
    }
}

/// The bytes of a command's words.
///
/// # Safety
/// `argv` must point to `argc` strings that stay alive while the result is used.
pub(super) unsafe fn bytes_of_all<'a>(
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> Vec<&'a [u8]> {
    let argc = usize::try_from(argc).unwrap_or(0);
    if argc == 0 {
        return Vec::new();
    }
    // SAFETY: the caller vouches for the list.
    let strings = unsafe { std::slice::from_raw_parts(argv, argc) };
    // SAFETY: and for each string in it.
    let bytes = strings.iter().map(|string| unsafe { bytes(*string) });
    bytes.collect()
}

/// The bytes of a reply that is a string or an error.
///
/// # Safety
/// `reply` must be a live reply, and stay so for the lifetime of the result.
pub(super) unsafe fn bytes_of_reply<'a>(reply: *mut RedisModuleCallReply) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the caller vouches for the reply; where it is no text, there is no start.
    unsafe {
        let start = api!(RedisModule_CallReplyStringPtr)(reply, &raw mut length);
        if start.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(start.cast(), length)
    }
}

/// A string of the server that we own.
pub(super) struct OwnedString(*mut RedisModuleString);

impl OwnedString {
    pub(super) fn new(bytes: &[u8]) -> Self {
        // SAFETY: the server copies the bytes; it needs no context for that.
        Self(unsafe {
            api!(RedisModule_CreateString)(null_mut(), bytes.as_ptr().cast(), bytes.len())
        })
    }

    /// Takes over a string that is ours to free.
    pub(super) fn from_raw(string: *mut RedisModuleString) -> Self {
        Self(string)
    }

    pub(super) fn as_ptr(&self) -> *mut RedisModuleString {
        self.0
    }
}

impl Drop for OwnedString {
    fn drop(&mut self) {
        // SAFETY: it is ours, and freed once. No context: none manages its memory.
        unsafe { api!(RedisModule_FreeString)(null_mut(), self.0) };
    }
}

/// A key that is open.
pub(super) struct OpenKey(*mut RedisModuleKey);

impl OpenKey {
    pub(super) fn as_ptr(&self) -> *mut RedisModuleKey {
        self.0
    }

    pub(super) fn is_stream(&self) -> bool {
        // SAFETY: the key is open.
        let kind = unsafe { api!(RedisModule_KeyType)(self.0) };
        kind == KEY_TYPE_STREAM
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // SAFETY: opened by `Context::open_for_reading`, closed once.
        unsafe { api!(RedisModule_CloseKey)(self.0) };
    }
}

/// Forty random hexadecimal digits.
pub(crate) fn random_name() -> String {
    let mut digits = [0u8; SHARD_ID];
    // SAFETY: the server fills as many bytes as there are.
    unsafe { api!(RedisModule_GetRandomHexChars)(digits.as_mut_ptr().cast(), SHARD_ID) };
    String::from_utf8_lossy(&digits).into_owned()
}

/// Whether writes of ours have to wait: clients are paused, or a failover is on its way.
pub(crate) fn is_paused() -> bool {
    // SAFETY: the function takes no arguments, and is called under the Redis lock like all others.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) }
}

/// How keys are opened: without counting as a use of them, nor as a miss. Servers before 7.2 can
/// the latter only for a key that is opened for writing; that alone changes nothing of it, see
/// `MODULE_OPTIONS`.
fn reading_modes() -> c_int {
    static MODES: OnceLock<c_int> = OnceLock::new();
    *MODES.get_or_init(|| {
        // SAFETY: reading what the server has set once; the function takes no arguments.
        match unsafe { raw::RedisModule_GetOpenKeyModesAll } {
            // SAFETY: as above.
            Some(all) => READ_QUIETLY | (unsafe { all() } & READ_UNNOTICED),
            None => READ_QUIETLY | WRITE,
        }
    })
}

impl Context {
    pub(crate) fn from_raw(context: *mut RedisModuleCtx) -> Self {
        Self(context)
    }

    pub(super) fn as_ptr(&self) -> *mut RedisModuleCtx {
        self.0
    }

    /// What the server and the client of the command are able to do.
    pub(crate) fn state(&self) -> State {
        // SAFETY: the context is live.
        let flags = unsafe { api!(RedisModule_GetContextFlags)(self.0) };
        State {
            is_primary: flags & FLAG_REPLICA == 0,
            is_out_of_memory: flags & FLAG_OOM != 0,
        }
    }

    /// Whether the client of the command can be kept waiting.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn may_wait(&self) -> Result<(), NoWait> {
        if self.has_flag(FLAG_DENY_BLOCKING) {
            return Err(NoWait::Nested);
        }
        if facts().subscribers_cannot_wait && self.is_subscribed() {
            return Err(NoWait::Refused);
        }
        Ok(())
    }

    /// Whether the client of the command is subscribed to channels.
    fn is_subscribed(&self) -> bool {
        // SAFETY: a plain structure, in which zero is nothing; the version says which.
        let mut info: raw::RedisModuleClientInfoV1 = unsafe { std::mem::zeroed() };
        info.version = CLIENT_INFO_VERSION;
        // SAFETY: the context is live; the structure is of the version that it names.
        let found = unsafe {
            let client = api!(RedisModule_GetClientId)(self.0);
            api!(RedisModule_GetClientInfoById)((&raw mut info).cast(), client)
        };
        found == OK && info.flags & CLIENT_IS_SUBSCRIBED != 0
    }

    /// Whether one of these holds for the server or the client.
    pub(super) fn has_flag(&self, flags: c_int) -> bool {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetContextFlags)(self.0) & flags != 0 }
    }

    /// Whether a child is writing the append-only file anew, and as commands.
    pub(crate) fn is_rewriting_as_commands(&self) -> bool {
        self.info(c"persistence", c"aof_rewrite_in_progress") == 1
            && self.call_for_texts(c"CONFIG", c"GET", b"aof-use-rdb-preamble")
                == ["aof-use-rdb-preamble", "no"]
    }

    /// A number out of INFO; 0 where there is none.
    fn info(&self, section: &CStr, field: &CStr) -> i64 {
        let mut failed = 0;
        // SAFETY: the context is live, the texts are C strings, and what is got is freed.
        unsafe {
            let info = api!(RedisModule_GetServerInfo)(self.0, section.as_ptr());
            let number =
                api!(RedisModule_ServerInfoGetFieldSigned)(info, field.as_ptr(), &raw mut failed);
            api!(RedisModule_FreeServerInfo)(self.0, info);
            number
        }
    }

    /// The database that commands of this context work on.
    pub(crate) fn db(&self) -> c_int {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetSelectedDb)(self.0) }
    }

    /// The database of the key that an event is about: context and name are those of the event.
    pub(super) fn db_of_event(&self, name: *mut RedisModuleString) -> c_int {
        if !facts().tells_database_of_transaction || !self.has_flag(FLAG_MULTI) {
            return self.db();
        }
        // The key itself knows. Opened for writing it can be asked where there is none, too;
        // nothing comes of that, see `reading_modes`. What expired is left to the server. SAFETY:
        // the context is live, and so is the name; a key is closed at once, by its owner.
        unsafe {
            let modes = reading_modes() | WRITE | OPEN_UNEXPIRED;
            let key = api!(RedisModule_OpenKey)(self.0, name, modes);
            let key = (!key.is_null()).then_some(OpenKey(key));
            key.map_or_else(
                || self.db(),
                |key| api!(RedisModule_GetDbIdFromModuleKey)(key.0),
            )
        }
    }

    /// Changes the database; false where there is none of that number.
    pub(crate) fn select(&self, db: c_int) -> bool {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_SelectDb)(self.0, db) == OK }
    }

    /// Keys in the selected database.
    pub(super) fn key_count(&self) -> u64 {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_DbSize)(self.0) }
    }

    /// Opens a key of the selected database without counting as a use of it; `None` where it does
    /// not exist. A key found expired is deleted, with the events that belong to it.
    pub(super) fn open_for_reading(&self, name: *mut RedisModuleString) -> Option<OpenKey> {
        // That there is no such key is nobody's miss.
        let _quiet = SuppressTriggers::begin();
        // SAFETY: the context is live, and so is the name.
        let key = unsafe { api!(RedisModule_OpenKey)(self.0, name, reading_modes()) };
        (!key.is_null()).then_some(OpenKey(key))
    }

    /// Name of the user of the connection; `None` for commands that come from no connection.
    pub(crate) fn user(&self) -> Option<String> {
        // By the connection's ID: asking for the current user ends the process where a command
        // comes from another module and has none.
        // SAFETY: the context is live; the name is ours to free.
        let name = unsafe {
            let client = api!(RedisModule_GetClientId)(self.0);
            api!(RedisModule_GetClientUserNameById)(self.0, client)
        };
        if name.is_null() {
            return None;
        }
        let name = OwnedString::from_raw(name);
        // SAFETY: the string lives until the end of this function.
        let text = unsafe { bytes(name.as_ptr()) };
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// What this server is called among those of its cluster; zeroes where there is none.
    pub(crate) fn shard_id(&self) -> String {
        if self.has_flag(FLAG_CLUSTER) {
            // SAFETY: the function takes no arguments; the ID is 40 characters long.
            unsafe {
                let id = api!(RedisModule_GetMyClusterID)();
                if !id.is_null() {
                    let id = std::slice::from_raw_parts(id.cast::<u8>(), SHARD_ID);
                    return String::from_utf8_lossy(id).into_owned();
                }
            }
        }
        "0".repeat(SHARD_ID)
    }

    /// Runs a reading command of three words whose last is a key; the elements of its reply as
    /// texts, empty for those that are none. Nothing where the command fails.
    pub(super) fn call_for_texts(&self, command: &CStr, option: &CStr, key: &[u8]) -> Vec<String> {
        // SAFETY: the format names what follows: a C string, a buffer with its length. The texts
        // are copied before the reply is freed.
        unsafe {
            let reply = api!(RedisModule_Call)(
                self.0,
                command.as_ptr(),
                c"!cb".as_ptr(),
                option.as_ptr(),
                key.as_ptr(),
                key.len(),
            );
            if reply.is_null() {
                return Vec::new();
            }
            let length = api!(RedisModule_CallReplyLength)(reply);
            let texts = (0..length).map(|at| {
                let element = api!(RedisModule_CallReplyArrayElement)(reply, at);
                if element.is_null() {
                    return String::new();
                }
                String::from_utf8_lossy(bytes_of_reply(element)).into_owned()
            });
            let texts = texts.collect();
            api!(RedisModule_FreeCallReply)(reply);
            texts
        }
    }

    /// Runs a command of four words whose second is a key, and has it replicated.
    pub(super) fn call_on_key(&self, command: &CStr, key: &[u8], option: &CStr, value: &CStr) {
        // SAFETY: the format names what follows: a buffer with its length, two C strings.
        unsafe {
            let reply = api!(RedisModule_Call)(
                self.0,
                command.as_ptr(),
                c"!bcc".as_ptr(),
                key.as_ptr(),
                key.len(),
                option.as_ptr(),
                value.as_ptr(),
            );
            if !reply.is_null() {
                api!(RedisModule_FreeCallReply)(reply);
            }
        }
    }
}

impl ReplicationLink for Context {
    fn send(&self, command: &ReplicatedCommand<'_>, target: PropagationTarget) {
        let format = match target {
            PropagationTarget::All => c"v",
            PropagationTarget::LogOnly => c"vR",
        };
        let words = command.encode();
        let words: SmallVec<[OwnedString; 8]> = words.iter().map(OwnedString::new).collect();
        let pointers: SmallVec<[*mut RedisModuleString; 8]> =
            words.iter().map(OwnedString::as_ptr).collect();
        // SAFETY: the context is live; the format says what follows: a list with its length, of
        // strings that live until this function ends. The server keeps its own references.
        unsafe {
            api!(RedisModule_Replicate)(
                self.0,
                replication::COMMAND.as_ptr(),
                format.as_ptr(),
                pointers.as_ptr(),
                pointers.len(),
            );
        }
    }

    fn pass_on(&self) {
        // SAFETY: the context is that of a command.
        unsafe { api!(RedisModule_ReplicateVerbatim)(self.0) };
    }

    fn is_replicated(&self) -> bool {
        self.has_flag(FLAG_REPLICATED | FLAG_LOADING)
    }

    fn db(&self) -> i32 {
        self.db()
    }
}
