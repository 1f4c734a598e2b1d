//! Libraries in Python.
//!
//! Brython, a script, translates them to JavaScript and has Python's types and built-ins. It is loaded into
//! the isolate of each Python library, together with what makes scripts of it that know the server: see
//! `host.js`. So what holds for libraries in JavaScript holds for these: limits, rights, registrations.

mod runtime;

pub use runtime::PythonRuntime;

use std::sync::{Arc, LazyLock};

use crate::api::gears1;
use crate::runtime::callback::callback;
use crate::runtime::text::{self, OrThrown, Thrown};
use runtime::{TRANSLATOR, Text};

callback!(module_entry => module);

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
static MENDS: [Own; 0] = [];
static VALUES: Own = own!("values.js");
static OPERATORS: Own = own!("operators.js");
static HOST: Own = own!("host.js");
static SURFACE: Own = own!("gears.py");

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
    let surface = SURFACE.text.string(scope)?;
    let compile = HOST
        .function(scope)?
        .call(
            scope,
            nothing,
            &[native.into(), values, operators, surface.into()],
        )
        .or_thrown()?;
    v8::Local::<v8::Function>::try_from(compile)
        .ok()
        .or_thrown()
}

/// `module(name)`: a module of the standard library as Brython has it, `[kind, text, imports, is_package]`;
/// undefined where there is none.
fn module<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    args: &v8::FunctionCallbackArguments<'s>,
    mut result: v8::ReturnValue<'s, v8::Value>,
) {
    let Ok(name) = v8::Local::<v8::String>::try_from(args.get(0)) else {
        return;
    };
    let name = text::to_rust(scope, name, NAME_MAX);
    // It becomes a part of a path.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !name.bytes().all(is_plain) {
        return;
    }
    let Some(runtime) = scope.get_slot::<Arc<PythonRuntime>>().cloned() else {
        return;
    };
    for (ending, kind, is_package) in [
        (".py", ".py", false),
        (".js", ".js", false),
        (".__init__.py", ".py", true),
    ] {
        let Some(found) = runtime.file(&format!("modules/{name}{ending}")) else {
            continue;
        };
        let Ok(found) = found.string(scope) else {
            return;
        };
        let parts: [v8::Local<v8::Value>; 4] = [
            text::short(scope, kind).into(),
            found.into(),
            v8::Array::new(scope, 0).into(),
            v8::Boolean::new(scope, is_package).into(),
        ];
        return result.set(v8::Array::new_with_elements(scope, &parts).into());
    }
}
