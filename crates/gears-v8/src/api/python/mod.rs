//! Libraries in Python.
//!
//! Brython, a script, translates them to JavaScript and has Python's types and built-ins. It is loaded into
//! the isolate of each Python library, together with what makes scripts of it that know the server: see
//! `host.js`. So what holds for libraries in JavaScript holds for these: limits, rights, registrations.

mod runtime;

pub use runtime::PythonRuntime;
pub(crate) use runtime::keep_code;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::api::gears1;
use crate::runtime::callback::callback;
use crate::runtime::run;
use crate::runtime::text::{self, OrThrown, Thrown};
use runtime::{KINDS, TRANSLATOR, Text, is_plain};

callback!(module_entry => module);
callback!(run_module_entry => run_module);
callback!(translated_entry => translated);
callback!(importing_entry => importing);

/// A script of the module's own.
struct Own {
    name: &'static str,
    text: LazyLock<&'static Text>,
}

macro_rules! own {
    ($file:literal) => {
        Own {
            name: concat!("<redisgears>/", $file),
            text: LazyLock::new(|| Text::lasting(include_str!(concat!("../../py/", $file)))),
        }
    };
}

static BEFORE: Own = own!("before.js");
/// What Brython does otherwise than Python, in this order.
static MENDS: [Own; 8] = [
    own!("mends_00_tools.js"),
    own!("mends_10_dict.js"),
    own!("mends_20_numbers.js"),
    own!("mends_21_format.js"),
    own!("mends_30_errors.js"),
    own!("mends_40_text.js"),
    own!("mends_50_bytes.js"),
    own!("mends_60_objects.js"),
];
/// What is done for every record, in a shorter way.
static QUICK: Own = own!("quick.js");
static VALUES: Own = own!("values.js");
static OPERATORS: Own = own!("operators.js");
static ATOMIC: Own = own!("atomic.js");
static HOST: Own = own!("host.js");
static SURFACE: Own = own!("gears.py");

/// Under which name the runtime has what was made of it.
const TRANSLATED_SURFACE: &str = "<redisgears>/gears.py.js";

/// What all imports of a library may take beyond its limits.
const IMPORTS_MAX: Duration = Duration::from_secs(3);

/// Characters of a module's name.
const NAME_MAX: usize = 256;

impl Own {
    fn run<'s>(
        &'static self,
        scope: &mut v8::PinScope<'s, '_>,
    ) -> Result<v8::Local<'s, v8::Value>, Thrown> {
        self.text.run(scope, self.name)
    }

    /// The function that it gives.
    fn function<'s>(
        &'static self,
        scope: &mut v8::PinScope<'s, '_>,
    ) -> Result<v8::Local<'s, v8::Function>, Thrown> {
        v8::Local::<v8::Function>::try_from(self.run(scope)?)
            .ok()
            .or_thrown()
    }
}

/// Loads the translator into the context that is entered.
///
/// # Errors
/// Where it cannot be read, or does not fit into the library's memory.
pub(crate) fn load(scope: &mut v8::PinScope, runtime: &Arc<PythonRuntime>) -> Result<(), Thrown> {
    let Some(translator) = runtime.file(TRANSLATOR) else {
        return Err(text::thrown(scope, "Python's runtime cannot be read"));
    };
    let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
    let forget = BEFORE
        .function(scope)?
        .call(scope, nothing, &[])
        .or_thrown()?;
    translator.run(scope, TRANSLATOR)?;
    for mend in &MENDS {
        mend.run(scope)?;
    }
    QUICK.run(scope)?;
    v8::Local::<v8::Function>::try_from(forget)
        .ok()
        .or_thrown()?
        .call(scope, nothing, &[])
        .or_thrown()?;
    scope.set_slot(Arc::clone(runtime));
    Ok(())
}

/// The function that compiles a library: it is given the text and the library's name, and gives what runs it.
/// The `redis` object must be there.
///
/// # Errors
/// Where it does not fit into the library's memory.
pub(crate) fn compiler<'s>(
    scope: &mut v8::PinScope<'s, '_>,
) -> Result<v8::Local<'s, v8::Function>, Thrown> {
    let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
    let key = text::short(scope, "__BRYTHON__");
    let brython = scope
        .get_current_context()
        .global(scope)
        .get(scope, key.into())
        .or_thrown()?;
    let native = gears1::native(scope)?;
    let own = [
        (
            "module",
            v8::Function::new(scope, module_entry).or_thrown()?,
        ),
        (
            "run_module",
            v8::Function::new(scope, run_module_entry).or_thrown()?,
        ),
        (
            "importing",
            v8::Function::new(scope, importing_entry).or_thrown()?,
        ),
        (
            "translated",
            v8::Function::new(scope, translated_entry).or_thrown()?,
        ),
        ("make_gears", gears1::maker(scope)?),
    ];
    for (name, function) in own {
        let key = text::short(scope, name);
        native
            .create_data_property(scope, key.into(), function.into())
            .or_thrown()?;
    }
    let values = VALUES
        .function(scope)?
        .call(scope, nothing, &[brython])
        .or_thrown()?;
    let operators = OPERATORS
        .function(scope)?
        .call(scope, nothing, &[brython, values])
        .or_thrown()?;
    let atomic = ATOMIC.function(scope)?.into();
    let surface = SURFACE.text.string(scope)?;
    let compile = HOST
        .function(scope)?
        .call(
            scope,
            nothing,
            &[native.into(), values, operators, atomic, surface.into()],
        )
        .or_thrown()?;
    v8::Local::<v8::Function>::try_from(compile)
        .ok()
        .or_thrown()
}

/// A module of the standard library, by the name in a function's first argument.
fn find(
    scope: &mut v8::PinScope,
    args: &v8::FunctionCallbackArguments,
) -> Option<(&'static Text, String, &'static str, bool)> {
    let name = v8::Local::<v8::String>::try_from(args.get(0)).ok()?;
    let name = text::to_rust(scope, name, NAME_MAX);
    if !is_plain(&name) {
        return None;
    }
    let runtime = scope.get_slot::<Arc<PythonRuntime>>()?;
    KINDS.iter().find_map(|(ending, kind, is_package)| {
        let file = format!("modules/{name}{ending}");
        let text = runtime.file(&file)?;
        Some((text, file, *kind, *is_package))
    })
}

/// `module(name)`: `[kind, is_package]` of a module of the standard library, undefined where there is none.
fn module<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    if let Some((_, _, kind, is_package)) = find(scope, args) {
        let parts: [v8::Local<v8::Value>; 2] = [
            text::short(scope, kind).into(),
            v8::Boolean::new(scope, is_package).into(),
        ];
        result.set(v8::Array::new_with_elements(scope, &parts).into());
    }
}

/// `run_module(name)`: runs the script of a module, and gives what that gives.
fn run_module<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let Some((text, file, ..)) = find(scope, args) else {
        return;
    };
    // Where it throws, so does who imports it.
    if let Ok(value) = text.run(scope, &file) {
        result.set(value);
    }
}

/// Time that a library has spent with imports.
#[derive(Default)]
struct ImportTime {
    spent: Duration,
    /// Whether an import is going on, of which others are a part.
    is_running: bool,
}

/// `importing(work)`: calls it, and has its time not count against the library's limit, up to [`IMPORTS_MAX`]
/// for all imports of a library: these modules are the module's own, but may run what the library has put
/// into them.
fn importing<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let Ok(work) = v8::Local::<v8::Function>::try_from(args.get(0)) else {
        return;
    };
    let nothing: v8::Local<v8::Value> = v8::undefined(scope).into();
    let mut time = scope.remove_slot::<ImportTime>().unwrap_or_default();
    let left = IMPORTS_MAX.saturating_sub(time.spent);
    let isolate_limits = run::isolate_limits(scope).filter(|_| !time.is_running && !left.is_zero());
    let began = Instant::now();
    let paused = isolate_limits.as_ref().and_then(|limits| {
        let paused = limits.timer.pause()?;
        limits
            .timer
            .set_more_time(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        limits.timer.resume(paused);
        Some(paused)
    });
    let was_running = std::mem::replace(&mut time.is_running, true);
    scope.set_slot(time);
    let returned = work.call(scope, nothing, &[]);
    let mut time = scope.remove_slot::<ImportTime>().unwrap_or_default();
    time.is_running = was_running;
    if let (Some(limits), Some(paused)) = (isolate_limits, paused) {
        time.spent += began.elapsed();
        if limits.timer.pause().is_some() {
            limits.timer.resume(paused);
        }
        limits.timer.set_more_time(0);
    }
    scope.set_slot(time);
    if let Some(returned) = returned {
        result.set(returned);
    }
}

/// `translated([text])`: what the surface is in JavaScript: keeps that for other libraries, or runs what was
/// kept; undefined where nothing was.
fn translated<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let Some(runtime) = scope.get_slot::<Arc<PythonRuntime>>().cloned() else {
        return;
    };
    if let Ok(text) = v8::Local::<v8::String>::try_from(args.get(0)) {
        runtime.keep(TRANSLATED_SURFACE, &text.to_rust_string_lossy(scope));
    }
    if let Some(text) = runtime.file(TRANSLATED_SURFACE)
        && let Ok(value) = text.run(scope, TRANSLATED_SURFACE)
    {
        result.set(value);
    }
}
