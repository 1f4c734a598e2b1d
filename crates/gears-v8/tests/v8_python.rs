//! Libraries in Python, at the seam of the engine: what compiles, what is registered, what is called. Needs the
//! runtime that `scripts/python-runtime` installs.

mod common;

use std::path::Path;
use std::sync::LazyLock;

use gears_core::delivery::{EntryId, Mode, RecordBatch};
use gears_v8::ports::{
    Arguments, Call, Credentials, Engine, Outcome, Program, Registrations, ScriptError, Server,
    Source,
};
use gears_v8::{PythonRuntime, V8Engine};

static ENGINE: LazyLock<V8Engine> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/python");
    common::engine(2000).python(PythonRuntime::new(target))
});

/// A place whose server replies to each command with its words.
struct Echo;

impl Server for Echo {
    fn is_locked(&self) -> bool {
        true
    }

    fn call(&self, command: &Arguments, read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        let mut reply = format!("*{}\r\n", command.len()).into_bytes();
        for word in command.iter() {
            reply.extend(format!("${}\r\n", word.len()).as_bytes());
            reply.extend(word);
            reply.extend(b"\r\n");
        }
        read(&reply);
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }

    fn credentials(&self) -> Option<Credentials> {
        None
    }

    fn lock(&self, _grant: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        work(Err("no server".into()));
    }
}

fn load(code: &str) -> Result<(Box<dyn Program>, Registrations), ScriptError> {
    let mut program = ENGINE.compile(&Source {
        library: "lib",
        code,
        config: None,
        one_shot: true,
        restored: false,
    })?;
    let registrations = program.evaluate()?;
    Ok((program, registrations))
}

/// Gives the first consumer an entry with these parts.
fn call(program: &dyn Program, registrations: &Registrations, parts: &[&[u8]]) -> Outcome {
    let mut batch = RecordBatch::default();
    batch.begin(EntryId::new(7, 1));
    for part in parts {
        batch.push(part);
    }
    let mut outcome = None;
    program.enter(&mut |session| {
        let call = Call {
            callback: registrations.stream_consumers[0].callback,
            background: None,
            stream: b"s",
            record: batch.get(0),
            token: 1,
            judged: false,
        };
        outcome = Some(session.call(&call, &Echo));
    });
    outcome.expect("entered")
}

/// What a sync step that fails says of it.
fn failure(step: &str, parts: &[&[u8]]) -> String {
    let code = format!("{step}\nGB('StreamReader').foreach(f).register('s', 'sync')");
    let (program, registrations) = load(&code).unwrap_or_else(|error| panic!("{code}: {error}"));
    match call(program.as_ref(), &registrations, parts) {
        Outcome::Failed(error) => error.message,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn the_engine_is_named_py() {
    assert_eq!(ENGINE.name(), "py");
    assert!(ENGINE.has_module("json") && ENGINE.has_module("math"));
    assert!(!ENGINE.has_module("numpy") && !ENGINE.has_module("../brython"));
}

#[test]
fn a_library_registers_what_it_says() {
    let (_, registrations) = load(
        "GearsBuilder().foreach(lambda x: execute('del', x['key'])).register()
GearsBuilder('StreamReader', desc='mine').foreach(lambda x: None).register('s1', 'sync')",
    )
    .unwrap();
    let [consumer] = &registrations.stream_consumers[..] else {
        panic!("{registrations:?}");
    };
    assert_eq!(
        (consumer.name.as_str(), consumer.spec.mode),
        ("mine", Mode::Sync)
    );
    assert_eq!(
        (&*consumer.spec.prefix, consumer.spec.exact),
        (&b"s1"[..], true)
    );
    assert_eq!(registrations.triggers.len(), 1);
}

#[test]
fn a_step_gets_a_dict_in_the_order_of_the_entry() {
    let error = failure(
        "def f(x):\n    raise ValueError(execute('echo', str(x), len(x), b'\\xff'))",
        &[b"b", b"1", b"7", b"x", b"\xfe", b"\xff", b"1", b"y"],
    );
    let expected = r#"ValueError: ['echo', "{'streamId': '7-1', 'b': '1', '7': 'x', b'\\xfe': b'\\xff', '1': 'y'}", '5', b'\xff']"#;
    assert!(error.ends_with(expected), "{error}");
    assert!(error.contains("line 2, in f"), "{error}");
}

#[test]
fn errors_name_the_line_of_the_script() {
    let syntax = load("x = 1\n\ndef f(:\n").map(drop).unwrap_err().message;
    assert!(
        syntax.contains("line 3") && syntax.contains("SyntaxError"),
        "{syntax}"
    );
    let raised = load("def f():\n    return [][1]\n\nf()")
        .map(drop)
        .unwrap_err()
        .message;
    assert!(raised.contains("line 4, in <module>"), "{raised}");
    assert!(
        raised.ends_with("IndexError: list index out of range"),
        "{raised}"
    );
}

#[test]
fn what_is_ended_for_its_time_cannot_be_caught() {
    let code = "
done = []
def f(x):
    while True:
        try:
            while True:
                pass
        except:
            done.append('except')
        finally:
            done.append('finally')
GB('StreamReader').foreach(f).register('s', 'sync')
GB('StreamReader').foreach(lambda x: 1 / len(done)).register('t', 'sync')
";
    let (program, registrations) = load(code).unwrap();
    let killed = call(program.as_ref(), &registrations, &[b"a", b"1"]);
    assert!(
        matches!(&killed, Outcome::Killed(error) if error.message.contains("timeout")),
        "{killed:?}"
    );
    let swapped = Registrations {
        stream_consumers: registrations.stream_consumers.into_iter().rev().collect(),
        ..Registrations::default()
    };
    let next = call(program.as_ref(), &swapped, &[b"a", b"1"]);
    assert!(
        matches!(&next, Outcome::Failed(error) if error.message.ends_with("ZeroDivisionError: division by zero")),
        "{next:?}"
    );
}

#[test]
fn without_its_runtime_a_library_is_refused_with_the_way_to_install_it() {
    let engine = common::engine(2000).python(PythonRuntime::new("/nowhere".into()));
    let source = Source {
        library: "lib",
        code: "x = 1",
        config: None,
        one_shot: true,
        restored: false,
    };
    let error = engine.compile(&source).map(drop).unwrap_err().message;
    assert!(error.contains("scripts/python-runtime"), "{error}");
}
