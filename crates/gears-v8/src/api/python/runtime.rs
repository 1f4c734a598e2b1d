//! The files of Python's runtime: texts that all Python libraries of a process share.
//!
//! A text is read when a library asks for it first, and stays: V8 is given its characters where they lie,
//! so that no library has a copy of its own. With a script goes what V8 made of it the first time, its
//! code, which spares later libraries the compiler.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::runtime::text::{OrThrown, Thrown, origin};

/// The translator of Python to JavaScript.
pub(crate) const TRANSLATOR: &str = "brython.js";

/// What a module may be: the end of its file's name, its kind, whether it is a package.
pub(crate) const KINDS: [(&str, &str, bool); 3] = [
    (".py.js", ".py", false),
    (".js", ".js", false),
    (".__init__.py.js", ".py", true),
];

/// Whether a module may be called so. The name becomes a part of a path.
pub(crate) fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Where Python's runtime is, and what of it was read.
#[derive(Debug)]
pub struct PythonRuntime {
    folder: PathBuf,
    texts: Mutex<HashMap<String, &'static Text>>,
}

/// A text that lives as long as the process.
#[derive(Debug)]
pub(crate) struct Text {
    characters: Characters,
    /// What V8 made of it, if it is a script.
    code: OnceLock<Box<[u8]>>,
}

#[derive(Debug)]
enum Characters {
    OneByte(&'static [u8]),
    TwoBytes(&'static [u16]),
}

impl PythonRuntime {
    /// The runtime in this folder. Nothing is read yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            folder,
            texts: Mutex::default(),
        })
    }

    /// Whether it is installed.
    ///
    /// # Errors
    /// With what to do about it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.folder.join(TRANSLATOR).is_file() {
            return Ok(());
        }
        Err(format!(
            "Python's runtime is not installed: there is no {TRANSLATOR} in {}. Call scripts/python-runtime, or name its folder in the module argument 'python-runtime'",
            self.folder.display()
        ))
    }

    /// A file of the runtime, or what was kept under that name; `None` where there is none that can be read.
    pub(crate) fn file(&self, name: &str) -> Option<&'static Text> {
        let mut texts = self.texts.lock();
        if let Some(text) = texts.get(name) {
            return Some(text);
        }
        let text = Text::lasting(&std::fs::read_to_string(self.folder.join(name)).ok()?);
        texts.insert(name.to_owned(), text);
        Some(text)
    }

    /// Whether there is a module of this name; nothing of it is read.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        let is_there = |file: String| self.folder.join(file).is_file();
        is_plain(name)
            && KINDS
                .iter()
                .any(|(ending, ..)| is_there(format!("modules/{name}{ending}")))
    }

    /// Keeps a text that was made from others, for all libraries; the first one stays.
    pub(crate) fn keep(&self, name: &str, text: &str) {
        let mut texts = self.texts.lock();
        if !texts.contains_key(name) {
            texts.insert(name.to_owned(), Text::lasting(text));
        }
    }
}

impl Text {
    /// Keeps a text for as long as the process lives.
    pub(crate) fn lasting(text: &str) -> &'static Self {
        let bytes: Option<Vec<u8>> = text.chars().map(|one| u8::try_from(one).ok()).collect();
        let characters = match bytes {
            Some(bytes) => Characters::OneByte(bytes.leak()),
            None => Characters::TwoBytes(text.encode_utf16().collect::<Vec<_>>().leak()),
        };
        Box::leak(Box::new(Self {
            characters,
            code: OnceLock::new(),
        }))
    }

    /// As a string of V8's, which does not copy it.
    pub(crate) fn string<'s>(
        &self,
        scope: &v8::PinScope<'s, '_>,
    ) -> Result<v8::Local<'s, v8::String>, Thrown> {
        match self.characters {
            Characters::OneByte([]) | Characters::TwoBytes([]) => Ok(v8::String::empty(scope)),
            Characters::OneByte(bytes) => {
                v8::String::new_external_onebyte_static(scope, bytes).or_thrown()
            }
            Characters::TwoBytes(units) => {
                v8::String::new_external_twobyte_static(scope, units).or_thrown()
            }
        }
    }

    /// Runs it as a script; `name` is what stacks call it.
    pub(crate) fn run<'s>(
        &'static self,
        scope: &mut v8::PinScope<'s, '_>,
        name: &str,
    ) -> Result<v8::Local<'s, v8::Value>, Thrown> {
        let origin = origin(scope, name)?;
        let text = self.string(scope)?;
        let (mut source, options) = match self.code.get() {
            Some(code) => (
                v8::script_compiler::Source::new_with_cached_data(
                    text,
                    Some(&origin),
                    v8::script_compiler::CachedData::new(code),
                ),
                v8::script_compiler::CompileOptions::ConsumeCodeCache,
            ),
            None => (
                v8::script_compiler::Source::new(text, Some(&origin)),
                v8::script_compiler::CompileOptions::NoCompileOptions,
            ),
        };
        let unbound = v8::script_compiler::compile_unbound_script(
            scope,
            &mut source,
            options,
            v8::script_compiler::NoCacheReason::NoReason,
        )
        .or_thrown()?;
        let value = unbound
            .bind_to_current_context(scope)
            .run(scope)
            .or_thrown()?;
        if self.code.get().is_none() {
            let unbound = v8::Global::new(scope, unbound);
            match scope.get_slot_mut::<Uncached>() {
                Some(uncached) => uncached.0.push((self, unbound)),
                None => {
                    scope.set_slot(Uncached(vec![(self, unbound)]));
                }
            }
        }
        Ok(value)
    }
}

/// Scripts that an isolate has run and whose code nobody has kept yet.
struct Uncached(Vec<(&'static Text, v8::Global<v8::UnboundScript>)>);

/// Keeps the code of the scripts that the isolate has run, for other libraries. It holds the functions that
/// were called so far.
pub(crate) fn keep_code(scope: &mut v8::PinScope) {
    for (text, unbound) in scope
        .remove_slot::<Uncached>()
        .map_or(Vec::new(), |all| all.0)
    {
        let unbound = v8::Local::new(scope, unbound);
        if text.code.get().is_none()
            && let Some(code) = unbound.create_code_cache()
        {
            let _ = text.code.set(code.to_vec().into_boxed_slice());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let runtime = PythonRuntime::new("/nowhere".into());
        let error = runtime.check().unwrap_err();
        assert!(error.contains("no brython.js in /nowhere"), "{error}");
        assert!(error.contains("scripts/python-runtime"), "{error}");
        assert!(runtime.file("modules/json.py").is_none());
    }

    #[test]
    fn a_text_takes_a_byte_for_each_character_where_that_holds_them() {
        assert!(matches!(
            Text::lasting("caf\u{e9}").characters,
            Characters::OneByte(b"caf\xe9")
        ));
        assert!(matches!(
            Text::lasting("\u{20ac}").characters,
            Characters::TwoBytes([0x20ac])
        ));
    }
}
