//! Arguments of the module: settings by their names, which win over the configuration file, the folder of
//! Python's runtime, and one for tests.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::debug_is_enabled;
use super::list::ALL;

/// The module argument that gives V8 flags, separated by commas and without their dashes, which a
/// server takes for options of its own. For tests: with some of them V8 does what it should not.
const V8_FLAGS: &str = "v8-flags";
static FLAGS_FOR_V8: OnceLock<String> = OnceLock::new();

/// The module argument that names the folder of Python's runtime.
const PYTHON_RUNTIME: &str = "python-runtime";
static PYTHON_FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The folder of Python's runtime, from a module argument.
pub(crate) fn python_folder() -> Option<PathBuf> {
    PYTHON_FOLDER.get().cloned()
}

/// Flags for V8, from a module argument.
pub(crate) fn v8_flags() -> &'static str {
    FLAGS_FOR_V8.get().map_or("", String::as_str)
}

/// Applies the module's arguments: names and values in turn.
///
/// # Errors
/// With a message where one is not known, has no value or a wrong one.
pub(crate) fn apply_arguments(arguments: &[&[u8]]) -> Result<(), String> {
    let mut flags = None;
    for pair in arguments.chunks(2) {
        let name = String::from_utf8_lossy(pair[0]);
        let [_, value] = pair else {
            return Err(format!("Module argument '{name}' has no value"));
        };
        let value = String::from_utf8_lossy(value);
        if name.eq_ignore_ascii_case(V8_FLAGS) {
            let words = value
                .split([',', ' ', '\0'])
                .filter(|flag| !flag.is_empty());
            let words: Vec<_> = words.map(|flag| format!("--{flag}")).collect();
            flags = Some(words.join(" "));
            continue;
        }
        if name.eq_ignore_ascii_case(PYTHON_RUNTIME) {
            // The module is loaded once.
            let _ = PYTHON_FOLDER.set(PathBuf::from(&*value));
            continue;
        }
        let setting = ALL
            .iter()
            .find(|setting| setting.name.eq_ignore_ascii_case(&name))
            .ok_or_else(|| format!("Unknown module argument '{name}'"))?;
        let number = setting
            .parse(&value)
            .map_err(|error| format!("Module argument '{name}': {error}"))?;
        setting
            .set(number)
            .map_err(|error| format!("Module argument '{name}': {error}"))?;
    }
    if let Some(flags) = flags {
        if !debug_is_enabled() {
            return Err(format!(
                "Module argument '{V8_FLAGS}' is for tests, and taken with enable-debug-command yes"
            ));
        }
        // The module is loaded once.
        let _ = FLAGS_FOR_V8.set(flags);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_named() {
        let wrong = |arguments: &[&[u8]]| apply_arguments(arguments).unwrap_err();
        assert!(wrong(&[b"execution-threads"]).contains("'execution-threads' has no value"));
        assert!(wrong(&[b"threads", b"1"]).contains("Unknown module argument 'threads'"));
        assert!(wrong(&[b"execution-threads", b"x"]).contains("'x' is not a number"));
        assert!(wrong(&[b"execution-threads", b"33"]).contains("between 1 and 32"));
        assert!(wrong(&[b"\xff", b"1"]).contains("Unknown"));
        assert!(wrong(&[b"enable-debug-command", b"maybe"]).contains("options are no, yes"));
        assert!(wrong(&[b"v8-flags", b"single-threaded"]).contains("enable-debug-command yes"));
    }
}
