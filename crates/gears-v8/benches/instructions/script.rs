//! What an engine does for a call: values in, code, values out.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::sync::{Arc, LazyLock};

use gears_core::delivery::{EntryId, Record, RecordBatch};
use gears_v8::V8Engine;
use gears_v8::ports::{
    Arguments, Call, CallbackId, Credentials, Database, Engine, Flags, Invocation, Outcome,
    Program, Registrations, RunResults, Server, Source,
};

use super::Step;

/// V8 gets a limit that it never reaches, however slowly it is run.
static ENGINE: LazyLock<V8Engine> = LazyLock::new(|| common::engine(3_600_000));

/// A server that knows three answers.
pub(super) struct Canned;

impl Server for Canned {
    fn is_locked(&self) -> bool {
        true
    }

    fn call(&self, command: &Arguments, read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        read(match command.iter().next() {
            Some(b"LRANGE") => concat!(
                "*10\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n",
                "$5\r\nvalue\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n"
            )
            .as_bytes(),
            Some(b"SET") => b"+OK\r\n",
            _ => b":1234567\r\n",
        });
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }

    fn credentials(&self) -> Option<Credentials> {
        Some(credentials())
    }

    fn lock(&self, _credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        work(Ok(self));
    }
}

fn credentials() -> Credentials {
    Credentials {
        user: "default".into(),
        db: Database::Number(0),
        flags: Flags::default(),
    }
}

fn load(code: &str) -> (Box<dyn Program>, Registrations) {
    let mut program = ENGINE
        .compile(&Source {
            library: "bench",
            code,
            config: None,
            one_shot: false,
            restored: false,
        })
        .expect("it compiles");
    let registrations = program.evaluate().expect("it loads");
    (program, registrations)
}

/// A library with a consumer.
pub(super) struct Consumer {
    pub(super) program: Box<dyn Program>,
    callback: CallbackId,
    background: Option<Arc<Credentials>>,
}

impl Consumer {
    /// One with this callback.
    pub(super) fn new(callback: &str) -> Self {
        let (program, registrations) = load(&format!(
            "redis.register_stream_consumer('c', 'stream:', 50, true, {callback});"
        ));
        Self {
            program,
            callback: registrations.stream_consumers[0].callback,
            background: callback
                .starts_with("async")
                .then(|| Arc::new(credentials())),
        }
    }

    /// Calls it with each entry in turn.
    pub(super) fn call(&self, batch: &RecordBatch, ended: &mut dyn FnMut(EntryId)) {
        let mut results = RunResults::default();
        self.program.enter(&mut |session| {
            for at in 0..batch.len() {
                let record = batch.get(at);
                let outcome = session.call(&self.call_of(record), &Canned);
                assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
                ended(record.id);
            }
            session.take_results(&mut results);
        });
    }

    fn call_of<'a>(&'a self, record: Record<'a>) -> Call<'a> {
        Call {
            callback: self.callback,
            background: self.background.as_ref(),
            stream: super::core::KEY.name,
            record,
            token: record.id.seq,
            judged: false,
        }
    }
}

/// Adds an entry with so many fields.
pub(super) fn add_entry(batch: &mut RecordBatch, id: EntryId, fields: usize) {
    batch.begin(id);
    for _ in 0..fields {
        batch.push(b"field");
        batch.push(b"value");
    }
}

/// One call with an entry of so many fields.
pub(super) fn consumer(callback: &str, fields: usize) -> Step {
    let consumer = Consumer::new(callback);
    let mut batch = RecordBatch::default();
    add_entry(&mut batch, EntryId::new(1, 1), fields);
    Box::new(move || consumer.call(&batch, &mut |_| {}))
}

/// One call of a function with two arguments.
pub(super) fn function(code: &str) -> Step {
    let (program, registrations) = load(&format!("redis.register_function('f', {code});"));
    let invocation = Invocation {
        callback: registrations.functions[0].callback,
        background: None,
        arguments: &[b"the first argument", b"the second"],
        raw: false,
        token: 1,
    };
    Box::new(move || {
        program.enter(&mut |session| {
            let outcome = session.invoke(&invocation, &Canned);
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        });
    })
}
