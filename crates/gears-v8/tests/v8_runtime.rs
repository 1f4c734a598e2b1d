//! Scripts that call a server: functions, commands, background parts, waiting for the lock. The
//! server is a fake that answers what a test tells it to, so that the engine's own code runs
//! here alone, and under a sanitizer too.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use gears_v8::V8Engine;
use gears_v8::ports::{
    Arguments, Credentials, Database, Engine, Flags, Invocation, Outcome, Program, Registrations,
    Reply, Returns, RunResults, Server, Session, Source,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

static ENGINE: LazyLock<V8Engine> = LazyLock::new(|| common::engine(1000));

/// Answers commands with the replies it was given, in order, and keeps what was asked.
struct FakeServer {
    locked: bool,
    replies: RefCell<VecDeque<Vec<u8>>>,
    commands: RefCell<Vec<String>>,
    refusal: Option<&'static str>,
}

impl FakeServer {
    fn new(locked: bool, replies: &[&[u8]]) -> Self {
        Self {
            locked,
            replies: RefCell::new(replies.iter().map(|reply| reply.to_vec()).collect()),
            commands: RefCell::default(),
            refusal: None,
        }
    }

    fn credentials() -> Credentials {
        Credentials {
            user: "someone".into(),
            db: Database::Number(3),
            flags: Flags::NO_WRITES,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.commands.take()
    }
}

impl Server for FakeServer {
    fn is_locked(&self) -> bool {
        self.locked
    }

    fn call(&self, command: &Arguments, read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        if !self.locked {
            return Err("not locked");
        }
        let arguments: Vec<_> = command.iter().map(String::from_utf8_lossy).collect();
        self.commands.borrow_mut().push(arguments.join(" "));
        let reply = self.replies.borrow_mut().pop_front();
        read(&reply.unwrap_or_else(|| b"-ERR no more replies\r\n".to_vec()));
        Ok(())
    }

    fn may_block(&self) -> bool {
        true
    }

    fn credentials(&self) -> Option<Credentials> {
        Some(Self::credentials())
    }

    fn lock(&self, credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        assert_eq!(*credentials, Self::credentials());
        if let Some(refusal) = self.refusal {
            return work(Err(refusal.into()));
        }
        let inner = Self::new(true, &[]);
        inner.replies.replace(self.replies.take());
        work(Ok(&inner));
        self.replies.replace(inner.replies.take());
        self.commands.borrow_mut().append(&mut inner.asked());
    }
}

fn load(code: &str) -> (Box<dyn Program>, Registrations) {
    let source = Source {
        library: "lib",
        code,
        config: None,
        one_shot: false,
        restored: false,
    };
    let mut program = ENGINE.compile(&source).expect("a program");
    let registrations = program.evaluate().expect("a library");
    (program, registrations)
}

/// A library with this one function.
fn function(code: &str) -> (Box<dyn Program>, Registrations) {
    load(&format!("redis.register_function('f', {code});"))
}

/// Calls the first function and what it began, until nothing is left to do; what came of it.
fn run(
    (program, registrations): &(Box<dyn Program>, Registrations),
    server: &FakeServer,
    arguments: &[&[u8]],
) -> Result<Reply, String> {
    let mut result = None;
    program.enter(&mut |session| result = run_in(session, registrations, server, arguments));
    result.expect("a result")
}

fn run_in(
    session: &mut dyn Session,
    registrations: &Registrations,
    server: &FakeServer,
    arguments: &[&[u8]],
) -> Option<Result<Reply, String>> {
    let function = &registrations.functions[0];
    let background = (!server.locked).then(|| Arc::new(FakeServer::credentials()));
    let invocation = Invocation {
        callback: function.callback,
        background: background.as_ref(),
        arguments,
        raw: function.flags.contains(Flags::RAW_ARGUMENTS),
        token: 7,
    };
    match session.invoke(&invocation, server) {
        Outcome::Done(reply) => return Some(Ok(reply)),
        Outcome::Failed(error) | Outcome::Killed(error) => return Some(Err(error.message)),
        Outcome::Partly { .. } => panic!("nobody asked for that"),
        Outcome::Pending => {}
    }
    // What is started in the background runs without the lock.
    let mut unlocked = FakeServer::new(false, &[]);
    unlocked.refusal = server.refusal;
    unlocked.replies.replace(server.replies.take());
    let mut result = None;
    loop {
        let mut results = RunResults::default();
        session.take_results(&mut results);
        for settled in results.settled {
            assert_eq!(settled.token, 7);
            result = Some(match settled.outcome {
                Outcome::Done(reply) => Ok(reply),
                Outcome::Failed(error) => Err(error.message),
                other => panic!("{other:?}"),
            });
        }
        if results.tasks == 0 {
            break;
        }
        for _ in 0..results.tasks {
            assert!(session.run_task(&unlocked).is_none());
        }
    }
    server.commands.borrow_mut().append(&mut unlocked.asked());
    result
}

#[test]
fn a_function_runs_commands_and_gives_a_result() {
    let library =
        function("(client, key, more) => [client.call('GET', key, 1, 2n, true, more), key]");
    let server = FakeServer::new(true, &[b"$5\r\nvalue\r\n"]);
    let reply = run(&library, &server, &[b"key", "ü".as_bytes()]);
    assert_eq!(
        reply,
        Ok(Reply::Array(vec![Reply::text("value"), Reply::text("key")]))
    );
    assert_eq!(server.asked(), ["GET key 1 2 true ü"]);
}

#[test]
fn an_error_of_the_server_is_thrown_and_may_be_caught() {
    let library = function(
        "client => { try { client.call('NO'); } catch (error) { return [error instanceof Error, String(error), client.call('YES')]; } }",
    );
    let server = FakeServer::new(true, &[b"-ERR no\r\n", b"+OK\r\n"]);
    assert_eq!(
        run(&library, &server, &[]),
        Ok(Reply::Array(vec![
            Reply::Bool(true),
            Reply::text("ERR no"),
            Reply::OK
        ]))
    );
}

#[test]
fn block_takes_the_lock_runs_its_commands_and_gives_their_result() {
    let library = function(
        "async client => { const first = client.block(c => c.call('INCR', 'a')); await null;
          return [first, client.block(c => c.call('INCR', 'b'))]; }",
    );
    let server = FakeServer::new(false, &[b":1\r\n", b":2\r\n"]);
    assert_eq!(
        run(&library, &server, &[]),
        Ok(Reply::Array(vec![Reply::Integer(1), Reply::Integer(2)]))
    );
    assert_eq!(server.asked(), ["INCR a", "INCR b"]);
}

#[test]
fn a_refused_lock_is_an_error_that_async_code_may_catch() {
    let library = function(
        "async client => { try { return client.block(() => 1); } catch (error) { return String(error); } }",
    );
    let mut server = FakeServer::new(false, &[]);
    server.refusal = Some("not now");
    assert_eq!(run(&library, &server, &[]), Ok(Reply::text("not now")));
}

#[test]
fn a_block_that_takes_too_long_is_an_error_that_async_code_may_catch() {
    let library = function(
        "async client => { try { client.block(() => { for (;;); }); } catch (error) { return String(error) + client.block(c => c.call('GET')); } }",
    );
    let server = FakeServer::new(false, &[b"$1\r\n!\r\n"]);
    let Ok(Reply::Bulk(text)) = run(&library, &server, &[]) else {
        panic!("no text");
    };
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("timeout") && text.ends_with('!'), "{text}");
}

#[test]
fn background_parts_act_as_their_caller_and_settle_its_promise() {
    let library = function(
        "client => client.run_on_background(async c => { await null; return new Set([c.block(b => b.call('GET', 'k'))]); })",
    );
    let server = FakeServer::new(true, &[b"$1\r\nv\r\n"]);
    assert_eq!(
        run(&library, &server, &[]),
        Ok(Reply::Set(vec![Reply::text("v")]))
    );
    assert_eq!(server.asked(), ["GET k"]);
}

#[test]
fn a_client_is_of_no_use_after_its_call_nor_without_the_lock() {
    for (code, locked, error) in [
        (
            "client => { const { kept } = globalThis; globalThis.kept = client; return kept?.call('GET'); }",
            true,
            "Used on invalid client",
        ),
        (
            "client => Promise.resolve().then(() => client.call('GET'))",
            true,
            "Used on invalid client",
        ),
        (
            "async client => new client.constructor('admin', 0, 0)",
            false,
            "Illegal constructor",
        ),
        (
            "async client => client.block(c => client.block(() => 1))",
            false,
            "Main thread is already blocked",
        ),
    ] {
        let library = function(code);
        let server = FakeServer::new(locked, &[]);
        let first = run(&library, &server, &[]);
        let second = run(&library, &server, &[]);
        assert!(
            [&first, &second]
                .iter()
                .any(|result| result.as_ref().is_err_and(|text| text.contains(error))),
            "{code}: {first:?} {second:?}"
        );
    }
}

/// Lets another thread do something while the lock is waited for.
struct Interrupted<'a> {
    meanwhile: &'a (dyn Fn() + Sync),
    then: FakeServer,
}

impl<'a> Interrupted<'a> {
    fn by(meanwhile: &'a (dyn Fn() + Sync)) -> Self {
        Self {
            meanwhile,
            then: FakeServer::new(false, &[&b"$1\r\nx\r\n"[..]; 20]),
        }
    }
}

impl Server for Interrupted<'_> {
    fn is_locked(&self) -> bool {
        false
    }

    fn call(&self, _: &Arguments, _: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        Err("not locked")
    }

    fn may_block(&self) -> bool {
        true
    }

    fn credentials(&self) -> Option<Credentials> {
        None
    }

    fn lock(&self, credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        let meanwhile = self.meanwhile;
        std::thread::scope(|threads| {
            threads.spawn(meanwhile);
        });
        self.then.lock(credentials, work);
    }
}

/// Calls the first function, which is async, on a server that other threads enter meanwhile.
fn run_interrupted(
    session: &mut dyn Session,
    registrations: &Registrations,
    meanwhile: &(dyn Fn() + Sync),
) -> Outcome {
    let credentials = Arc::new(FakeServer::credentials());
    let invocation = Invocation {
        callback: registrations.functions[0].callback,
        background: Some(&credentials),
        arguments: &[b"async"],
        raw: false,
        token: 1,
    };
    session.invoke(&invocation, &Interrupted::by(meanwhile))
}

#[test]
fn two_threads_alternate_in_a_library_while_one_waits_for_the_lock() {
    let library = function(
        "(client, how) => { if (how === 'sync') { globalThis.bag = new Array(1e5).fill(() => how); return how; }
          return (async () => { const mine = { a: [1, 2, 3] }; const got = client.block(c => c.call('GET')); return [got, mine.a.length, bag.length]; })(); }",
    );
    let plain = || {
        let server = FakeServer::new(true, &[]);
        let reply = run(&library, &server, &[b"sync"]);
        assert_eq!(reply, Ok(Reply::text("sync")));
    };
    for _ in 0..20 {
        library.0.enter(&mut |session| {
            let outcome = run_interrupted(session, &library.1, &plain);
            let Outcome::Done(reply) = outcome else {
                panic!("{outcome:?}");
            };
            let expected = vec![Reply::text("x"), Reply::Integer(3), Reply::Integer(100_000)];
            assert_eq!(reply, Reply::Array(expected));
        });
    }
}

#[test]
fn code_that_waits_for_the_lock_keeps_its_client_whatever_runs_meanwhile() {
    // `execute` acts with the client that V8 carries over every await.
    let library = function(
        "(client, how) => how === 'sync' ? how : (async () => {
            client.block(() => 1);
            const first = execute('GET');
            await null;
            return [first, execute('GET')];
        })()",
    );
    let plain = || {
        let server = FakeServer::new(true, &[]);
        let reply = run(&library, &server, &[b"sync"]);
        assert_eq!(reply, Ok(Reply::text("sync")));
    };
    library.0.enter(&mut |session| {
        let outcome = run_interrupted(session, &library.1, &plain);
        let Outcome::Done(reply) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            reply,
            Reply::Array(vec![Reply::text("x"), Reply::text("x")])
        );
    });
}

#[test]
fn what_v8_carries_for_code_that_waits_outlives_collections_of_other_threads() {
    // Young objects are collected again and again while the first thread is in the middle of its script.
    let library = function(
        "(client, how) => {
            if (how === 'sync') { for (let i = 0; i < 3e6; i++) globalThis.last = { i }; return how; }
            return (async () => {
                const before = [];
                for (let i = 0; i < 100; i++) before.push({ i });
                client.block(() => 1);
                await null;
                return [execute('GET'), before.reduce((sum, { i }) => sum + i, 0)];
            })();
        }",
    );
    let plain = || {
        let server = FakeServer::new(true, &[]);
        let reply = run(&library, &server, &[b"sync"]);
        assert_eq!(reply, Ok(Reply::text("sync")));
    };
    for _ in 0..5 {
        library.0.enter(&mut |session| {
            let outcome = run_interrupted(session, &library.1, &plain);
            let Outcome::Done(reply) = outcome else {
                panic!("{outcome:?}");
            };
            let expected = vec![Reply::text("x"), Reply::Integer(4950)];
            assert_eq!(reply, Reply::Array(expected));
        });
    }
}

#[test]
fn the_tasks_of_v8_wait_until_nobody_is_in_the_middle_of_a_script() {
    let library = function(
        "(client, how) => {
            if (how === 'sync') return String(globalThis.ran);
            globalThis.ran = false;
            Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1).value.then(() => { ran = true; });
            return (async () => { client.block(() => 1); return 'done'; })();
        }",
    );
    let has_run = |session: &mut dyn Session| {
        let server = FakeServer::new(true, &[]);
        run_in(session, &library.1, &server, &[b"sync"])
    };
    let pump = |most: usize| {
        for _ in 0..most {
            let mut ran = None;
            library.0.enter(&mut |session| {
                assert_eq!(
                    session.pump(&FakeServer::new(false, &[]), Returns::All),
                    None
                );
                ran = has_run(session);
            });
            if ran == Some(Ok(Reply::text("true"))) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        false
    };
    let meanwhile = || assert!(!pump(100), "a task of V8 was run");
    library.0.enter(&mut |session| {
        let outcome = run_interrupted(session, &library.1, &meanwhile);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    });
    assert!(library.0.wants_pump(), "it is still to be done");
    assert!(pump(10_000), "it is done when nobody is");
}

fn replies() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Reply::Integer),
        "[a-z€\u{1f600}]{0,20}".prop_map(Reply::text),
        any::<bool>().prop_map(Reply::Bool),
        Just(Reply::Null),
        "[a-z]{1,10}".prop_map(|text| Reply::Simple(text.into())),
        "-?[1-9][0-9]{20,40}".prop_map(Reply::BigNumber),
        (0.001_f64..0.999).prop_map(Reply::Double),
        "[a-z]{0,10}".prop_map(|text| Reply::Verbatim {
            format: *b"mkd",
            text: text.into_bytes()
        }),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Reply::Array),
            prop::collection::btree_map("[a-z_]{1,12}", inner, 0..8).prop_map(|pairs| {
                let pairs = pairs.into_iter();
                Reply::Map(
                    pairs
                        .map(|(key, value)| (Reply::text(key), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// A reply as the server writes it.
fn write(reply: &Reply, bytes: &mut Vec<u8>) {
    let mut line = |text: String| bytes.extend_from_slice(text.as_bytes());
    match reply {
        Reply::Integer(number) => line(format!(":{number}\r\n")),
        Reply::Bulk(text) => {
            let text = String::from_utf8_lossy(text);
            line(format!("${}\r\n{text}\r\n", text.len()));
        }
        Reply::Bool(value) => line(format!("#{}\r\n", if *value { 't' } else { 'f' })),
        Reply::Null => line("_\r\n".into()),
        Reply::Simple(text) => line(format!("+{text}\r\n")),
        Reply::BigNumber(digits) => line(format!("({digits}\r\n")),
        Reply::Double(number) => line(format!(",{number:?}\r\n")),
        Reply::Verbatim { text, .. } => {
            let text = String::from_utf8_lossy(text);
            line(format!("={}\r\nmkd:{text}\r\n", text.len() + 4));
        }
        Reply::Array(items) | Reply::Set(items) => {
            line(format!("*{}\r\n", items.len()));
            for item in items {
                write(item, bytes);
            }
        }
        Reply::Map(pairs) => {
            line(format!("%{}\r\n", pairs.len()));
            for (key, value) in pairs {
                write(key, bytes);
                write(value, bytes);
            }
        }
        Reply::Error(_) => unreachable!("errors are thrown"),
    }
}

#[test]
fn a_reply_that_a_function_gives_back_is_the_same_reply() {
    let library = function("client => client.call('ANY')");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let checked = runner.run(&replies(), |reply| {
        let mut bytes = Vec::new();
        write(&reply, &mut bytes);
        let server = FakeServer::new(true, &[&bytes]);
        prop_assert_eq!(run(&library, &server, &[]), Ok(reply));
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn whatever_the_server_answers_the_script_gets_a_value_or_an_error() {
    let library = function("(client, raw) => { client[raw]('ANY'); return 1; }");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let alphabet = b"+-:,#($!=*~%|_>0123456789\r\nab\xff".to_vec();
    let bytes = prop::collection::vec(prop::sample::select(alphabet), 0..40);
    let checked = runner.run(&bytes, |bytes| {
        for form in [&b"call"[..], b"call_raw"] {
            let server = FakeServer::new(true, &[&bytes]);
            let _ = run(&library, &server, &[form]);
        }
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    let server = FakeServer::new(true, &[b":1\r\n"]);
    assert_eq!(run(&library, &server, &[b"call"]), Ok(Reply::Integer(1)));
}
