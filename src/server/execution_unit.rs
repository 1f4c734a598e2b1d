//! The server as scripts reach it while its lock is held: one atomic unit of commands.
//!
//! All of a unit is replicated as one transaction, behind what caused it: the server collects
//! the writes of a command, of an event, or of a thread that holds the lock, and sends them when
//! that is over.

use std::cell::{Cell, OnceCell};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use gears_core::delivery::{EntryId, KeyRef};
use gears_v8::ports::resp::{Reader, RespItem};
use gears_v8::ports::{Arguments, Credentials, Database, Flags, Server};

use super::context::Context;
use super::facts::facts;
use super::ffi::call::{CallOptions, call_options};
use super::ffi::string::string;
use super::ffi::user::{ActingUser, User};
use super::hooks::HOOKS;
use super::suppress_triggers::SuppressTriggers;
use super::{admission, denial, ownership, slots};

/// Whether commands that are not for scripts may be called all the same: a debugging aid.
static UNSAFE_COMMANDS: AtomicBool = AtomicBool::new(false);

/// Lets scripts call every command, until the server ends.
pub(crate) fn allow_unsafe_commands() {
    UNSAFE_COMMANDS.store(true, Ordering::Relaxed);
}

/// In whose name commands run.
enum Acting {
    /// The client whose command this is.
    Client,
    /// A user, by name.
    User(User),
    /// A user that is no more, or is disabled.
    Nobody,
    /// Whoever looks at a key that expires: nothing may be run there.
    Nowhere,
}

/// What happens to writes that need memory when there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    /// They are let through: the unit as a whole was admitted.
    Admitted,
    /// Each is refused.
    Refuse,
}

/// What a command is answered with that the server gave no reply for.
const NO_REPLY: &[u8] = b"-ERR the server did not run the command\r\n";

/// What servers say of a command whose keys are not all here.
const NOT_LOCAL: &[u8] = b"-ERR Attempted to access a non local key in a cluster node\r\n";

/// The server goes through keys that expire, or that make room, and goes on with the next one
/// afterwards: a command that found that one expired would take it away.
const IN_REMOVAL: &[u8] =
    b"-ERR no command can be run while a key expires or is evicted: run it in the callback\r\n";

/// The server in one execution unit: whom commands act as, in which database, with which options.
pub(crate) struct ExecutionUnit {
    context: Context,
    /// Found out with the first command: many callbacks run none.
    acting: OnceCell<Acting>,
    /// How the user of the credentials is found.
    find: fn(&str) -> Option<User>,
    /// `None` for the database of the client.
    db: Option<i32>,
    flags: Flags,
    options: CallOptions,
    /// `None` where it is the client who would have to wait.
    may_block: Option<bool>,
    /// Whether commands were run.
    acted: Cell<bool>,
    /// What its background parts act with; `None` for what the client says.
    credentials: Option<Credentials>,
}

/// How scripts' commands are called: their effects are replicated (`!`), errors are replies (`E`),
/// replies are RESP3 (`3`), the user's rights count (`C`); only commands for scripts (`S`), no
/// writes (`W`), no use of memory beyond the limit (`M`).
fn call_options(flags: Flags, full: WhenFull) -> CallOptions {
    const ADMITTED: CallOptions = call_options!("!E3CS");
    const IF_MEMORY: CallOptions = call_options!("!E3CSM");
    const READ_ONLY: CallOptions = call_options!("!E3CSW");
    const UNSAFE: CallOptions = call_options!("!E3C");
    const UNSAFE_READ_ONLY: CallOptions = call_options!("!E3CW");
    let safe = !UNSAFE_COMMANDS.load(Ordering::Relaxed);
    match (safe, flags.contains(Flags::NO_WRITES), full) {
        (true, false, WhenFull::Admitted) => ADMITTED,
        (true, false, WhenFull::Refuse) => IF_MEMORY,
        (true, true, _) => READ_ONLY,
        (false, false, _) => UNSAFE,
        (false, true, _) => UNSAFE_READ_ONLY,
    }
}

impl ExecutionUnit {
    /// The unit of a command: it acts as the client, in the client's database.
    pub(crate) fn of_command(context: &Context, flags: Flags) -> Self {
        Self {
            context: context.clone(),
            acting: OnceCell::from(Acting::Client),
            find: User::find,
            db: None,
            flags,
            options: call_options(flags, WhenFull::Admitted),
            may_block: None,
            acted: Cell::new(false),
            credentials: None,
        }
    }

    /// The unit of a command that acts as another user than the client, in the client's database;
    /// `None` where there is no such user, or none who is enabled.
    pub(crate) fn of_command_as(context: &Context, user: &Arc<str>, flags: Flags) -> Option<Self> {
        let acting = Acting::User(User::find_enabled(user)?);
        Some(Self {
            acting: OnceCell::from(acting),
            credentials: Some(Credentials {
                user: Arc::clone(user),
                db: Database::Number(context.db()),
                flags,
            }),
            ..Self::of_command(context, flags)
        })
    }

    /// A unit of a consumer: whether its owner is still enabled, and for entries
    /// whether there is memory, was just looked at.
    pub(super) fn of_consumer(credentials: &Credentials) -> Self {
        let full = if Context::detached().is_full() {
            WhenFull::Refuse
        } else {
            WhenFull::Admitted
        };
        Self::of_user(User::find, credentials, full)
    }

    /// A unit that writes or deletes dead letters.
    pub(super) fn of_dead_letter(credentials: &Credentials) -> Self {
        Self::of_user(User::find, credentials, WhenFull::Refuse)
    }

    /// A unit that acts as the credentials say, the server's lock being held.
    pub(crate) fn of_credentials(credentials: &Credentials) -> Self {
        Self::of_user(User::find_enabled, credentials, WhenFull::Admitted)
    }

    /// A unit that acts as the credentials say and writes nothing, in the middle of a command; or
    /// while the server removes keys by itself, where it runs nothing.
    pub(super) fn of_looker(credentials: &Credentials, in_removal: bool) -> Self {
        let mut unit = Self::of_user(User::find, credentials, WhenFull::Admitted);
        unit.may_block = Some(false);
        if in_removal {
            unit.acting = OnceCell::from(Acting::Nowhere);
        }
        unit
    }

    fn of_user(find: fn(&str) -> Option<User>, credentials: &Credentials, full: WhenFull) -> Self {
        Self {
            context: Context::detached(),
            acting: OnceCell::new(),
            find,
            db: Some(number_of(credentials.db)),
            flags: credentials.flags,
            options: call_options(credentials.flags, full),
            may_block: Some(true),
            acted: Cell::new(false),
            credentials: Some(credentials.clone()),
        }
    }

    /// In whose name commands run.
    fn acting(&self) -> &Acting {
        self.acting.get_or_init(|| {
            let credentials = self.credentials.as_ref();
            let user = credentials.and_then(|credentials| (self.find)(&credentials.user));
            user.map_or(Acting::Nobody, Acting::User)
        })
    }

    /// Whether scripts ran commands in it.
    pub(super) fn has_acted(&self) -> bool {
        self.acted.get()
    }

    /// Runs a command whose name holds no NUL.
    fn run(&self, name: &CStr, arguments: &[&[u8]], read: &mut dyn FnMut(&[u8])) {
        self.acted.set(true);
        let _suppressed = SuppressTriggers::begin();
        let acting = match self.acting() {
            Acting::User(user) => Some(ActingUser::begin(&self.context, user)),
            Acting::Client | Acting::Nobody | Acting::Nowhere => None,
        };
        if let Some(db) = self.db {
            self.context.select(db);
        }
        let reply = self.context.call(name, self.options, arguments);
        drop(acting);
        let bytes = reply.as_ref().and_then(|reply| reply.protocol());
        let bytes = bytes.unwrap_or(NO_REPLY);
        // Most replies are no errors.
        if bytes.first() == Some(&b'-') {
            let words = || {
                let words = std::iter::once(name.to_bytes()).chain(arguments.iter().copied());
                words.map(string).collect()
            };
            let own = self.denial((name, arguments), bytes);
            let own = own.or_else(|| ownership::reply(&self.context, bytes, words));
            if let Some(reply) = own {
                return read(&reply);
            }
        }
        read(bytes);
    }

    /// What is replied where the user may not run that command, or not on those keys.
    fn denial(&self, command: (&CStr, &[&[u8]]), reply: &[u8]) -> Option<Vec<u8>> {
        match &self.credentials {
            Some(credentials) => denial::reply(&self.context, &credentials.user, command, reply),
            None => denial::reply(&self.context, &self.context.user()?, command, reply),
        }
    }
}

impl Server for ExecutionUnit {
    fn is_locked(&self) -> bool {
        true
    }

    fn call(&self, command: &Arguments, read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        let Some(name) = command.first_as_c_str() else {
            read(b"-ERR unknown command: its name holds a NUL\r\n");
            return Ok(());
        };
        match self.acting() {
            Acting::Nobody => {
                read(b"-Failed authenticating client\r\n");
                return Ok(());
            }
            Acting::Nowhere => {
                read(IN_REMOVAL);
                return Ok(());
            }
            Acting::Client | Acting::User(_) => {}
        }
        let stream = if name.to_bytes().eq_ignore_ascii_case(b"xadd") {
            command.iter().nth(1)
        } else {
            None
        };
        if let Some(refused) = stream.and_then(|stream| self.refuses_append(stream)) {
            read(format!("-{refused}\r\n").as_bytes());
            return Ok(());
        }
        if name.to_bytes().eq_ignore_ascii_case(b"select") {
            // It would change nothing, and be taken for done.
            read(b"-ERR SELECT is not allowed here: a script stays in its caller's database\r\n");
            return Ok(());
        }
        if facts().keeps_several_slots && self.context.is_in_cluster() {
            let words: Vec<_> = command.iter().map(string).collect();
            if slots::are_several(&self.context, &words)
                && let Some(reply) = ownership::reply(&self.context, NOT_LOCAL, || words)
            {
                read(&reply);
                return Ok(());
            }
        }
        let arguments: SmallVec<[&[u8]; 8]> = command.iter().skip(1).collect();
        match stream {
            None => self.run(name, &arguments, read),
            Some(stream) => self.run(name, &arguments, &mut |reply| {
                self.note_added(stream, reply);
                read(reply);
            }),
        }
        Ok(())
    }

    fn may_block(&self) -> bool {
        self.may_block
            .unwrap_or_else(|| self.context.may_wait().is_ok())
    }

    fn credentials(&self) -> Option<Credentials> {
        let own = self.credentials.clone();
        own.or_else(|| credentials_of_client(&self.context, self.flags))
    }

    fn lock(&self, credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        match admission::check(&self.context, credentials.flags) {
            Ok(()) => work(Ok(&Self::of_credentials(credentials))),
            Err(refused) => work(Err(refused)),
        }
    }
}

impl ExecutionUnit {
    fn key<'a>(&self, name: &'a [u8]) -> KeyRef<'a> {
        let db = self.db;
        let db = db.unwrap_or_else(|| self.context.db());
        KeyRef { db, name }
    }

    fn refuses_append(&self, stream: &[u8]) -> Option<String> {
        HOOKS.get()?.refuses_append(self.key(stream))
    }

    /// Tells of the entry that XADD replied with.
    fn note_added(&self, stream: &[u8], reply: &[u8]) {
        if let Some(RespItem::Bulk(id)) = Reader::new(reply).next()
            && let Some(id) = std::str::from_utf8(id).ok().and_then(EntryId::parse)
            && let Some(hooks) = HOOKS.get()
        {
            hooks.on_added(self.key(stream), id);
        }
    }
}

/// What background parts act with that are begun in the name of a command's client; `None` where the
/// user is not known.
pub(crate) fn credentials_of_client(context: &Context, flags: Flags) -> Option<Credentials> {
    Some(Credentials {
        user: context.user()?.into(),
        db: Database::Number(context.db()),
        flags,
    })
}

/// The number that a database has now.
fn number_of(db: Database) -> i32 {
    match db {
        Database::Number(number) => number,
        Database::Home(home) => HOOKS.get().map_or(home, |hooks| hooks.database_of(home)),
    }
}
