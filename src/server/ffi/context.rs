//! Calls into the server that are about nothing but the context they are made in.
//!
//! A [`Context`] is only handed out while its thread holds the server's lock, which is what makes
//! its methods safe to call.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};
use redis_module::{ContextFlags, RedisString};
use smallvec::SmallVec;

use super::api;
use super::constants::{
    CLIENT_INFO_VERSION, CLIENT_IS_LOCAL, CLIENT_IS_SUBSCRIBED, MODULE_OPTIONS, OK,
};
use super::string::{StringRef, c_text, owned};

/// Characters of a server's name in a cluster.
const SHARD_ID: usize = 40;

/// The server's context of the call that is going on, or the detached one.
#[derive(Clone, Debug)]
pub(crate) struct Context(*mut RedisModuleCtx, CommandStrings);

/// A client that has a connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its number, as `CLIENT LIST` has it.
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) port: u16,
    /// Whether it came through a Unix socket, and has no address that tells.
    pub(crate) is_local: bool,
}

/// The first keys and arguments of the command that is run: strings that the server lends.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandStrings {
    first: *const *mut RedisModuleString,
    count: usize,
}

impl CommandStrings {
    /// How many are looked at: a script mostly names its first key.
    const LOOKED_AT: usize = 3;

    /// None.
    const NONE: Self = Self {
        first: std::ptr::null(),
        count: 0,
    };

    /// The one with these bytes.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<*mut RedisModuleString> {
        if self.count == 0 {
            return None;
        }
        // SAFETY: `Context::of_command` was given them, and they live as long as the context.
        let strings = unsafe { std::slice::from_raw_parts(self.first, self.count) };
        // SAFETY: as above.
        let is_it = |string: &&*mut _| unsafe { StringRef::from_raw(**string) }.bytes() == bytes;
        strings.iter().find(is_it).copied()
    }
}

/// The context of no call; null while the module is not loaded.
static DETACHED: AtomicPtr<RedisModuleCtx> = AtomicPtr::new(null_mut());

/// The detached context, for what needs no lock.
pub(super) fn detached() -> *mut RedisModuleCtx {
    DETACHED.load(Ordering::Acquire)
}

/// How many arguments a checkpoint has, which is sent more often than anything else.
const CHECKPOINT: usize = 6;

impl Context {
    pub(crate) fn from_raw(context: *mut RedisModuleCtx) -> Self {
        Self(context, CommandStrings::NONE)
    }

    /// The context of a command with these strings behind its number of keys.
    ///
    /// # Safety
    /// They must be live strings, and stay so as long as the context and its clones are used.
    pub(in crate::server) unsafe fn of_command(
        context: *mut RedisModuleCtx,
        strings: &[*mut RedisModuleString],
    ) -> Self {
        let strings = CommandStrings {
            first: strings.as_ptr(),
            count: strings.len().min(CommandStrings::LOOKED_AT),
        };
        Self(context, strings)
    }

    /// The strings of the command that is run, if there are any to be lent.
    pub(super) fn strings(&self) -> CommandStrings {
        self.1
    }

    pub(super) fn as_ptr(&self) -> *mut RedisModuleCtx {
        self.0
    }

    /// The crate's, for what it does well.
    pub(super) fn of_crate(&self) -> redis_module::Context {
        redis_module::Context::new(self.0)
    }

    /// A context of no client that lives while the module is loaded, for commands under the
    /// server's lock.
    pub(crate) fn detached() -> Self {
        Self::from_raw(detached())
    }

    /// Adds a sample to the server's latency monitor, however short it is.
    #[expect(clippy::unused_self, reason = "a context is had under the lock only")]
    pub(in crate::server) fn add_latency_sample(&self, event: &str, ms: u64) {
        let event = c_text(event);
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        // SAFETY: the server's lock is held; the text is copied.
        unsafe { api!(RedisModule_LatencyAddSample)(event.as_ptr(), ms) };
    }

    /// Makes what [`Context::detached`] gives.
    pub(crate) fn detach(&self) {
        // SAFETY: the context is live; the new one is kept until the module goes.
        let detached = unsafe { api!(RedisModule_GetDetachedThreadSafeContext)(self.0) };
        DETACHED.store(detached, Ordering::Release);
    }

    /// Sets how the server is to treat the module: see [`MODULE_OPTIONS`].
    pub(crate) fn set_module_options(&self) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_SetModuleOptions)(self.0, MODULE_OPTIONS) };
    }

    /// Whether one of these holds for the server or the client.
    pub(crate) fn has_flag(&self, flags: ContextFlags) -> bool {
        self.flags().intersects(flags)
    }

    /// What holds for the server and the client. Not cheap: the server looks at its memory, too.
    pub(crate) fn flags(&self) -> ContextFlags {
        self.of_crate().get_flags()
    }

    /// Whether the client of the command is subscribed to channels.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.client_info()
            .is_some_and(|info| info.flags & CLIENT_IS_SUBSCRIBED != 0)
    }

    /// The client of the command; `None` for commands that come from no connection.
    pub(crate) fn client(&self) -> Option<Client> {
        let info = self.client_info()?;
        let address = info.addr.map(c_char::cast_unsigned);
        let address = CStr::from_bytes_until_nul(&address).ok()?;
        Some(Client {
            id: info.id,
            address: address.to_string_lossy().into_owned(),
            port: info.port,
            is_local: info.flags & CLIENT_IS_LOCAL != 0,
        })
    }

    /// The number of the command's client; 0 for commands that come from no connection.
    pub(crate) fn client_id(&self) -> u64 {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetClientId)(self.0) }
    }

    /// Whether there is a client of that number.
    #[expect(clippy::unused_self, reason = "a context is had under the lock only")]
    pub(crate) fn has_client(&self, id: u64) -> bool {
        // SAFETY: without a place for it, the server only says whether there is such a client.
        unsafe { api!(RedisModule_GetClientInfoById)(null_mut(), id) == OK }
    }

    fn client_info(&self) -> Option<raw::RedisModuleClientInfoV1> {
        // SAFETY: a plain structure, in which zero is nothing; the version says which.
        let mut info: raw::RedisModuleClientInfoV1 = unsafe { std::mem::zeroed() };
        info.version = CLIENT_INFO_VERSION;
        // SAFETY: the context is live; the structure is of the version that it names.
        let found = unsafe {
            let client = api!(RedisModule_GetClientId)(self.0);
            api!(RedisModule_GetClientInfoById)((&raw mut info).cast(), client)
        };
        (found == OK).then_some(info)
    }

    /// Sends a command on, to the append-only file and, unless `log_only`, to the replicas, in the
    /// selected database: as one with what else is written now.
    pub(crate) fn replicate_arguments(
        &self,
        name: &CStr,
        arguments: &[RedisString],
        log_only: bool,
    ) {
        let (context, name) = (self.0, name.as_ptr());
        // SAFETY: the context is live; the format says what follows: strings, or a list of them with
        // its length, that live until this function ends. The server keeps its own references.
        unsafe {
            let replicate = api!(RedisModule_Replicate);
            if let (Ok(all), false) = (<&[RedisString; CHECKPOINT]>::try_from(arguments), log_only)
            {
                // The server makes room for as many arguments as the format has letters: for a list
                // it has to ask for memory once more.
                replicate(
                    context,
                    name,
                    c"ssssss".as_ptr(),
                    all[0].inner,
                    all[1].inner,
                    all[2].inner,
                    all[3].inner,
                    all[4].inner,
                    all[5].inner,
                );
                return;
            }
            let format = if log_only { c"vR" } else { c"v" };
            let pointers: SmallVec<[*mut RedisModuleString; 8]> =
                arguments.iter().map(|argument| argument.inner).collect();
            replicate(
                context,
                name,
                format.as_ptr(),
                pointers.as_ptr(),
                pointers.len(),
            );
        }
    }

    /// Sends the command at hand on, to replicas and the append-only file, as it came.
    pub(crate) fn replicate_verbatim(&self) {
        self.of_crate().replicate_verbatim();
    }

    /// Whether the server asks where the keys of a command are, instead of running it.
    pub(crate) fn asks_for_keys(&self) -> bool {
        self.of_crate().is_keys_position_request()
    }

    /// Tells it of a key: the place of an argument that there is.
    pub(crate) fn tell_key(&self, place: c_int) {
        self.of_crate().key_at_pos(place);
    }

    /// The database that commands of this context work on.
    pub(crate) fn db(&self) -> c_int {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetSelectedDb)(self.0) }
    }

    /// Changes the database; false where there is none of that number.
    pub(crate) fn select(&self, db: c_int) -> bool {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_SelectDb)(self.0, db) == OK }
    }

    /// Keys in the selected database.
    pub(crate) fn key_count(&self) -> u64 {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_DbSize)(self.0) }
    }

    /// Name of the user of the connection; `None` for commands that come from no connection.
    pub(crate) fn user(&self) -> Option<String> {
        // By the connection's ID: asking for the current user ends the process where a command
        // comes from another module and has none.
        // SAFETY: the context is live; the name is ours to free.
        let name = unsafe {
            let client = api!(RedisModule_GetClientId)(self.0);
            owned(api!(RedisModule_GetClientUserNameById)(self.0, client))
        }?;
        Some(name.to_string_lossy())
    }

    /// What this server is called among those of its cluster; zeroes where there is none.
    pub(crate) fn shard_id(&self) -> String {
        if self.has_flag(ContextFlags::CLUSTER) {
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

    /// The places of the keys among the arguments of a command; none where there is no such command,
    /// not like that, or without keys.
    pub(crate) fn key_places(&self, arguments: &[RedisString]) -> Vec<usize> {
        let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.inner).collect();
        let Ok(length) = c_int::try_from(pointers.len()) else {
            return Vec::new();
        };
        let mut count = 0;
        // SAFETY: the context and the arguments are live; the list is ours, and freed below.
        let places = unsafe {
            api!(RedisModule_GetCommandKeys)(self.0, pointers.as_mut_ptr(), length, &raw mut count)
        };
        if places.is_null() {
            return Vec::new();
        }
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the server gave that many places.
        let found = unsafe { std::slice::from_raw_parts(places, count) };
        let found = found.iter().filter_map(|place| (*place).try_into().ok());
        let found = found.collect();
        // SAFETY: made by the server for us, freed once.
        unsafe { api!(RedisModule_Free)(places.cast()) };
        found
    }
}

/// Ends what [`Context::detach`] made.
pub(crate) fn free_detached() {
    let detached = DETACHED.swap(null_mut(), Ordering::AcqRel);
    if !detached.is_null() {
        // SAFETY: nobody has it any more: the module goes, and its threads have nothing to do.
        unsafe { api!(RedisModule_FreeThreadSafeContext)(detached) };
    }
}

/// Forty random hexadecimal digits.
pub(crate) fn random_name() -> String {
    let mut digits = [0u8; SHARD_ID];
    // SAFETY: the server fills as many bytes as there are.
    unsafe { api!(RedisModule_GetRandomHexChars)(digits.as_mut_ptr().cast(), SHARD_ID) };
    String::from_utf8_lossy(&digits).into_owned()
}

/// So many random bytes, of the server's generator for secrets.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: the server fills as many bytes as there are.
    unsafe { api!(RedisModule_GetRandomBytes)(bytes.as_mut_ptr(), N) };
    bytes
}

/// Whether writes of ours have to wait: clients are paused, or a failover is on its way.
pub(crate) fn is_paused() -> bool {
    // SAFETY: the function takes no arguments, and is called under the server's lock like all
    // others.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) }
}

/// How much of the memory that the server may use it uses; 0 where there is no limit.
pub(crate) fn used_memory_ratio() -> f32 {
    // SAFETY: the function takes no arguments.
    unsafe { api!(RedisModule_GetUsedMemoryRatio)() }
}
