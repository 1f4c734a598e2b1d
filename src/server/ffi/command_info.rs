//! What `COMMAND INFO` and `COMMAND DOCS` tell of commands, in the server's form.

use std::ffi::{CString, c_char, c_int};
use std::ptr::{null, null_mut};

use redis_module::raw::{
    self, RedisModuleCommand, RedisModuleCommandArg, RedisModuleCommandInfo,
    RedisModuleCommandInfoVersion,
};

use super::api;
use super::command::{Arg, ArgKind, Command, Keys};
use super::constants::OK;
use super::string::c_text;

/// The version of the module in which commands came.
const SINCE: &str = "0.1.0";

static VERSION: RedisModuleCommandInfoVersion = RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<RedisModuleCommandArg>(),
};

/// Tells the server what a command is.
///
/// # Errors
/// With the name of the command, where the server refuses.
pub(super) fn describe(
    handle: *mut RedisModuleCommand,
    command: &Command,
) -> Result<(), &'static str> {
    let mut strings = Strings::default();
    let mut args = strings.args(command.args);
    let mut keys = key_specs(command.keys, &mut strings);
    let info = RedisModuleCommandInfo {
        version: &raw const VERSION,
        summary: strings.keep(command.summary),
        complexity: strings.keep(command.complexity),
        since: strings.keep(SINCE),
        history: null_mut(),
        tips: null(),
        arity: command.arity,
        key_specs: keys.as_mut().map_or(null_mut(), |keys| keys.as_mut_ptr()),
        args: args.as_mut_ptr(),
    };
    // SAFETY: all pointers live as long as the call; the server copies what it needs.
    let done = unsafe { api!(RedisModule_SetCommandInfo)(handle, &raw const info) };
    if done != OK {
        return Err(command.name);
    }
    // SAFETY: reading what the server has set once.
    if let Some(set_categories) = unsafe { raw::RedisModule_SetCommandACLCategories }
        && !command.categories.is_empty()
    {
        let categories = c_text(command.categories);
        // SAFETY: as above.
        if unsafe { set_categories(handle, categories.as_ptr()) } != OK {
            return Err(command.name);
        }
    }
    Ok(())
}

/// The keys in the server's form, with an empty one at the end. Of what a function does with its
/// keys nothing is known, and a command to a consumer may have its callback do anything with its
/// stream.
fn key_specs(keys: Keys, strings: &mut Strings) -> Option<[raw::RedisModuleCommandKeySpec; 2]> {
    // SAFETY: all-zero is the server's end of the list: null pointers and numbers.
    let end: raw::RedisModuleCommandKeySpec = unsafe { std::mem::zeroed() };
    let mut spec = end;
    let flags = match keys {
        Keys::None => return None,
        Keys::Counted(_) | Keys::Changed(..) => {
            raw::REDISMODULE_CMD_KEY_RW
                | raw::REDISMODULE_CMD_KEY_ACCESS
                | raw::REDISMODULE_CMD_KEY_UPDATE
        }
        Keys::Read(..) => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
    };
    spec.flags = u64::from(flags);
    match keys {
        Keys::None => return None,
        Keys::Counted(pos) => {
            spec.begin_search_type =
                raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
            spec.bs.index = raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos };
            spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
            spec.fk.keynum = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_2 {
                keynumidx: 0,
                firstkey: 1,
                keystep: 1,
            };
        }
        Keys::Changed(keyword, startfrom) | Keys::Read(keyword, startfrom) => {
            spec.begin_search_type =
                raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD;
            spec.bs.keyword = raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_2 {
                keyword: strings.keep(keyword),
                startfrom,
            };
            spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
            spec.fk.range = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
                lastkey: 0,
                keystep: 1,
                limit: 0,
            };
        }
    }
    Some([spec, end])
}

/// C strings and lists that live until the server has copied them.
#[derive(Default)]
struct Strings {
    strings: Vec<CString>,
    lists: Vec<Vec<RedisModuleCommandArg>>,
}

impl Strings {
    /// A C string that stays where it is: moving the owner does not move its bytes.
    fn keep(&mut self, string: &str) -> *const c_char {
        let string = c_text(string);
        let start = string.as_ptr();
        self.strings.push(string);
        start
    }

    /// The arguments in the server's form, with an empty one at the end.
    fn args(&mut self, args: &[Arg]) -> Vec<RedisModuleCommandArg> {
        let mut list: Vec<_> = args.iter().map(|arg| self.arg(arg)).collect();
        // SAFETY: all-zero is the server's end of the list: null pointers and numbers.
        list.push(unsafe { std::mem::zeroed() });
        list
    }

    fn arg(&mut self, arg: &Arg) -> RedisModuleCommandArg {
        let (kind, subargs) = match arg.kind {
            ArgKind::Text => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
                None,
            ),
            ArgKind::Number => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
                None,
            ),
            ArgKind::Key => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
                None,
            ),
            ArgKind::Token => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                None,
            ),
            ArgKind::OneOf(choices) => (
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                Some(self.args(choices)),
            ),
        };
        let mut flags = raw::REDISMODULE_CMD_ARG_NONE;
        if arg.optional {
            flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        }
        if arg.multiple {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
            if arg.token.is_some() {
                flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN;
            }
        }
        let subargs = match subargs {
            Some(mut list) => {
                let start = list.as_mut_ptr();
                self.lists.push(list);
                start
            }
            None => null_mut(),
        };
        RedisModuleCommandArg {
            name: self.keep(arg.name),
            type_: kind,
            key_spec_index: if matches!(arg.kind, ArgKind::Key) {
                0
            } else {
                -1
            },
            token: arg.token.map_or(null(), |token| self.keep(token)),
            summary: null(),
            since: null(),
            flags: c_int::try_from(flags).unwrap_or(0),
            deprecated_since: null(),
            subargs,
            display_text: null(),
        }
    }
}
