//! One setting: what it may be, what it is, and how that is written.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::server::context::Context;
use crate::server::ffi::config::{self, CONFIG_FIXED, CONFIG_MEMORY};

/// One setting. The value of a choice is its place in the list.
pub(super) struct Setting {
    pub(super) name: &'static str,
    default: i64,
    pub(super) values: SettingValues,
    flags: u32,
    value: AtomicI64,
}

/// What values a setting takes.
#[derive(Clone, Copy)]
pub(super) enum SettingValues {
    Number { min: i64, max: i64 },
    Choice(&'static [&'static str]),
}

impl Setting {
    pub(super) const fn new(
        name: &'static str,
        default: i64,
        values: SettingValues,
        flags: u32,
    ) -> Self {
        Self {
            name,
            default,
            values,
            flags,
            value: AtomicI64::new(default),
        }
    }

    pub(super) fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    pub(super) fn is_on(&self) -> bool {
        self.get() != 0
    }

    pub(super) fn set(&self, value: i64) -> Result<(), String> {
        let (min, max) = match self.values {
            SettingValues::Number { min, max } => (min, max),
            SettingValues::Choice(names) => (0, i64::try_from(names.len()).unwrap_or(0) - 1),
        };
        if (min..=max).contains(&value) {
            self.value.store(value, Ordering::Relaxed);
            Ok(())
        } else {
            Err(format!(
                "argument must be between {min} and {max} inclusive"
            ))
        }
    }

    /// The value as users write it.
    pub(super) fn text(&self) -> String {
        let value = self.get();
        match self.values {
            SettingValues::Number { .. } => value.to_string(),
            SettingValues::Choice(names) => usize::try_from(value)
                .ok()
                .and_then(|at| names.get(at))
                .map_or_else(String::new, |name| (*name).to_owned()),
        }
    }

    /// The value that a text stands for.
    pub(super) fn parse(&self, text: &str) -> Result<i64, String> {
        match self.values {
            SettingValues::Number { .. } => {
                parse(text, self.flags).ok_or_else(|| format!("'{text}' is not a number"))
            }
            SettingValues::Choice(names) => names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text))
                .and_then(|at| i64::try_from(at).ok())
                .ok_or_else(|| {
                    format!(
                        "Unknown configuration value '{text}', options are {}",
                        names.join(", ")
                    )
                }),
        }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.flags & CONFIG_FIXED != 0
    }

    /// Registers it with the server; false where that refuses.
    pub(super) fn register(&'static self, context: &Context) -> bool {
        let (name, default, value) = ((self.name, self.flags), self.default, &self.value);
        match self.values {
            SettingValues::Number { min, max } => {
                config::register_number(context, name, default, (min, max), value)
            }
            SettingValues::Choice(["no", "yes"]) => {
                config::register_bool(context, name, default, value)
            }
            SettingValues::Choice(names) => {
                config::register_choice(context, name, default, names, value)
            }
        }
    }
}

/// A whole number; for amounts of memory with a unit, as the server understands them.
fn parse(text: &str, flags: u32) -> Option<i64> {
    if flags & CONFIG_MEMORY == 0 {
        return text.parse().ok();
    }
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit: i64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1024,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_have_the_units_of_the_server() {
        let memory = CONFIG_MEMORY;
        assert_eq!(parse("16mb", memory), Some(16 << 20));
        assert_eq!(parse("1G", memory), Some(1_000_000_000));
        assert_eq!(parse("12", memory), Some(12));
        assert_eq!(parse("mb", memory), None);
        assert_eq!(parse("9223372036854775807gb", memory), None);
        assert_eq!(parse("16mb", 0), None);
    }
}
