//! The V8 engine through its backend-neutral face. Several programs share one process here, and
//! each test its own thread, as in the module.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use gears_core::delivery::{ConsumerSpec, EntryId, Mode, RecordBatch};
use gears_v8::V8Engine;
use gears_v8::ports::{
    Arguments, Call, Credentials, Engine, Outcome, Program, Registrations, RunResults, ScriptError,
    Server, Source,
};

static ENGINE: LazyLock<V8Engine> = LazyLock::new(|| common::engine(2000));

/// A place without a server: nothing can be called.
struct NoServer;

impl Server for NoServer {
    fn is_locked(&self) -> bool {
        true
    }

    fn call(&self, _command: &Arguments, _read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        Err("no server")
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

fn compile(code: &str) -> Result<Box<dyn Program>, ScriptError> {
    ENGINE.compile(&Source {
        library: "lib",
        code,
        config: Some(r#"{"deep": {"list": [1, 2]}}"#),
        one_shot: false,
        restored: false,
    })
}

fn load(code: &str) -> Result<(Box<dyn Program>, Registrations), ScriptError> {
    let mut program = compile(code)?;
    let registrations = program.evaluate()?;
    Ok((program, registrations))
}

/// A library with one consumer, whose callback is given.
fn consumer(callback: &str) -> (Box<dyn Program>, Registrations) {
    let code = format!("redis.register_stream_consumer('c', 's', 1, false, {callback});");
    load(&code).unwrap_or_else(|error| panic!("{callback}: {error}"))
}

fn batch(parts: &[&[u8]]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    batch.begin(EntryId::new(7, u64::MAX));
    for part in parts {
        batch.push(part);
    }
    batch
}

/// Calls the first callback once with a record of these parts.
fn call(program: &dyn Program, registrations: &Registrations, parts: &[&[u8]]) -> Outcome {
    let batch = batch(parts);
    let mut outcome = None;
    program.enter(&mut |session| {
        let call = Call {
            callback: registrations.stream_consumers[0].callback,
            background: None,
            stream: b"stream:\xff",
            record: batch.get(0),
            token: 1,
            judged: false,
        };
        outcome = Some(session.call(&call, &NoServer));
    });
    outcome.expect("entered")
}

/// What the callback throws when it gets this record.
fn thrown(callback: &str, parts: &[&[u8]]) -> String {
    let (program, registrations) = consumer(callback);
    match call(program.as_ref(), &registrations, parts) {
        Outcome::Failed(error) => error.message,
        other => panic!("{callback}: {other:?}"),
    }
}

#[test]
fn a_library_registers_what_it_says() {
    let (_, registrations) = load(
        "redis.register_stream_consumer('a', 'p', 3, true, () => {});
         redis.register_stream_consumer('b', new Uint8Array([255, 0]).buffer, 1n, false, async () => {});",
    )
    .unwrap();
    let [a, b] = &registrations.stream_consumers[..] else {
        panic!("{registrations:?}");
    };
    assert_eq!(
        (a.name.as_str(), &a.spec),
        ("a", &ConsumerSpec::new(b"p", 3, true, Mode::Sync))
    );
    assert_eq!(
        (b.name.as_str(), &b.spec),
        ("b", &ConsumerSpec::new(b"\xff\0", 1, false, Mode::Async))
    );
}

#[test]
fn the_record_is_the_one_of_the_contract() {
    let show = "(client, data) => { throw JSON.stringify(data, (key, value) => typeof value === 'bigint' ? value.toString() : value); }";
    assert_eq!(
        thrown(show, &[b"f", b"v", b"f", "ü€".as_bytes()]),
        r#"{"id":["7","18446744073709551615"],"stream_name":null,"record":[["f","v"],["f","ü€"]]}"#
    );
    assert_eq!(
        thrown(show, &[b"\xff", b"v"]),
        r#"{"id":["7","18446744073709551615"],"stream_name":null,"record":[[null,"v"]]}"#
    );
}

#[test]
fn the_raw_views_hold_the_bytes_and_outlive_the_text() {
    let show = "(client, data) => {
        const bytes = buffer => Array.from(new Uint8Array(buffer)).join();
        data.record = null;
        if (data.record_raw !== data.record_raw) throw 'not the same twice';
        throw bytes(data.stream_name_raw) + ';' + data.record_raw.map(pair => pair.map(bytes).join('=')).join(';');
    }";
    assert_eq!(
        thrown(show, &[b"a", b"\0\xff", b"", b"z"]),
        "115,116,114,101,97,109,58,255;97=0,255;=122"
    );
}

#[test]
fn spoiled_built_ins_do_not_spoil_the_record() {
    let show = "(client, data) => {
        Object.defineProperty(Object.prototype, 'id', { set() { throw 'setter'; } });
        Array.prototype.map = Array.prototype.push = ArrayBuffer = undefined;
        throw `${data.id[0]} ${data.record[0][1]} ${data.record_raw[0][1].byteLength}`;
    }";
    assert_eq!(thrown(show, &[b"f", b"value"]), "7 value 5");
}

#[test]
fn the_configuration_is_there_as_an_object() {
    assert_eq!(
        thrown("() => { throw redis.config.deep.list[1]; }", &[]),
        "2"
    );
}

#[test]
fn exceptions_keep_their_message_and_their_stack() {
    let (program, registrations) =
        consumer("function f() { throw new TypeError('of this kind'); }");
    let Outcome::Failed(error) = call(program.as_ref(), &registrations, &[]) else {
        panic!("it throws");
    };
    assert_eq!(error.message, "TypeError: of this kind");
    assert!(error.stack.unwrap().contains("at f (lib:1:"));
}

#[test]
fn whatever_is_thrown_has_a_text() {
    for (what, text) in [
        ("null", "null"),
        ("undefined", "undefined"),
        ("Symbol('s')", "Symbol(s)"),
        (
            "{ toString() { throw 1; } }",
            "an exception that has no text",
        ),
        (
            "new Proxy({}, { get() { throw 1; } })",
            "an exception that has no text",
        ),
        ("Object.create(null)", "an exception that has no text"),
    ] {
        assert_eq!(
            thrown(&format!("() => {{ throw {what}; }}"), &[]),
            text,
            "{what}"
        );
    }
    let long = thrown("() => { throw 'x'.repeat(1e8); }", &[]);
    assert!(long.len() < 5000 && long.ends_with("..."));
}

#[test]
fn syntax_errors_name_the_line() {
    let error = compile("#!js name=lib\n\nlet let = 1;")
        .map(drop)
        .unwrap_err();
    assert!(
        error.message.starts_with("SyntaxError:") && error.message.ends_with("(line 3)"),
        "{error}"
    );
}

#[test]
fn a_rejected_promise_at_the_end_of_the_library_is_a_failure() {
    let error = load(
        "redis.register_stream_consumer('c', 's', 1, false, () => {}); (async () => { throw new Error('late'); })()",
    );
    assert_eq!(error.map(drop).unwrap_err().message, "Error: late");
}

#[test]
fn registering_is_possible_while_the_library_is_loaded_and_not_later() {
    let late = "() => redis.register_stream_consumer('d', 's', 1, false, () => {})";
    assert_eq!(
        thrown(late, &[]),
        "Error: Called 'register_stream_consumer' out of context"
    );
}

#[test]
fn a_promise_is_followed_until_it_is_settled() {
    let (program, registrations) = consumer(
        "(client, data) => new Promise((resolve, reject) => {
            if (globalThis.settle) { globalThis.settle(new Error('in the end')); resolve(); }
            else globalThis.settle = reject;
        })",
    );
    let batch = batch(&[]);
    let mut outcomes = Vec::new();
    let mut results = RunResults::default();
    program.enter(&mut |session| {
        for token in [10, 11] {
            let call = Call {
                callback: registrations.stream_consumers[0].callback,
                background: None,
                stream: b"s",
                record: batch.get(0),
                token,
                judged: false,
            };
            outcomes.push(session.call(&call, &NoServer));
            session.take_results(&mut results);
        }
    });
    assert!(
        matches!(outcomes[..], [Outcome::Pending, Outcome::Done(_)]),
        "{outcomes:?}"
    );
    let [one] = &results.settled[..] else {
        panic!("{results:?}")
    };
    assert_eq!(one.token, 10);
    let Outcome::Failed(error) = &one.outcome else {
        panic!("{one:?}")
    };
    assert_eq!(error.message, "Error: in the end");
}

#[test]
fn what_does_not_end_is_ended_and_the_next_call_works() {
    for forever in [
        "for (;;);",
        "for (;;) { try { for (;;); } finally { continue; } }",
        "(function again() { Promise.resolve().then(again); })();",
        "throw { toString() { for (;;); } };",
        // V8's loop unrolling made this one endless.
        "const bag = []; for (;;) bag.push(new Array(1000).fill(bag.length));",
    ] {
        let (program, registrations) = consumer(&format!(
            "(client, data) => {{ if (data.record.length) {{ {forever} }} }}"
        ));
        let start = Instant::now();
        let outcome = call(program.as_ref(), &registrations, &[b"f", b"v"]);
        assert!(
            matches!(outcome, Outcome::Killed(_)),
            "{forever}: {outcome:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(30), "{forever}");
        let outcome = call(program.as_ref(), &registrations, &[]);
        assert!(
            matches!(outcome, Outcome::Done(_)),
            "{forever}: {outcome:?}"
        );
    }
}

#[test]
fn what_runs_when_objects_are_collected_is_ended_too() {
    let (program, registrations) = consumer(
        "(() => {
            const registry = new FinalizationRegistry(() => { for (;;); });
            return () => { for (let n = 0; n < 2000; n++) registry.register({ n }, 1); };
        })()",
    );
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        call(program.as_ref(), &registrations, &[]);
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn memory_without_end_is_an_error_and_the_next_call_works() {
    for bomb in [
        "const bag = []; for (;;) bag.push({ n: bag.length });",
        "const bag = []; for (;;) bag.push(new Uint8Array(1 << 20));",
        "let s = 'x'; for (;;) s += s;",
        "const a = new Array(2e7).fill(0); a.concat(a, a, a, a, a);",
    ] {
        let (program, registrations) = consumer(&format!(
            "(client, data) => {{ if (data.record.length) {{ {bomb} }} }}"
        ));
        let outcome = call(program.as_ref(), &registrations, &[b"f", b"v"]);
        assert!(
            matches!(outcome, Outcome::Killed(_) | Outcome::Failed(_)),
            "{bomb}: {outcome:?}"
        );
        let outcome = call(program.as_ref(), &registrations, &[]);
        assert!(matches!(outcome, Outcome::Done(_)), "{bomb}: {outcome:?}");
    }
}

#[test]
fn built_ins_that_would_end_the_process_throw_instead() {
    for (code, error) in [
        ("Array.prototype.sort.call({ length: 2 ** 53 - 1 })", "sort"),
        (
            "Array.prototype.toSorted.call({ length: 2 ** 32 - 1 })",
            "toSorted",
        ),
        (
            "Array.prototype.toReversed.call({ length: 2 ** 32 - 1 })",
            "toReversed",
        ),
        ("'x'.repeat(2 ** 28).split('')", "split"),
        (
            "String.prototype.split.call({ toString: () => 'x'.repeat(2 ** 28) }, '')",
            "split",
        ),
        ("JSON.parse('[' + '1,'.repeat(2 ** 27) + '1]')", "parse"),
    ] {
        let thrown = thrown(&format!("() => {{ {code}; }}"), &[]);
        assert!(
            thrown.starts_with(&format!("RangeError: {error}: more than")),
            "{code}: {thrown}"
        );
    }
}

#[test]
fn guarded_built_ins_are_otherwise_what_they_were() {
    let show = "() => { throw JSON.stringify([
        [3, 1, 2].sort(), [1, 2].toReversed(), 'a,b,c'.split(',', 2), 'a1b'.split(/[0-9]/), JSON.parse('{\"a\":[1]}', (k, v) => v),
        Array.prototype.sort.length, String.prototype.split.name, JSON.parse.length, Object.keys(JSON).length,
    ]); }";
    assert_eq!(
        thrown(show, &[]),
        r#"[[1,2,3],[2,1],["a","b"],["a","b"],{"a":[1]},1,"split",2,0]"#
    );
    let show = r"() => {
        const own = class extends RegExp { exec(text) { return super.exec(text); } };
        const late = /b/; late.lastIndex = { valueOf: () => 0 };
        throw JSON.stringify([
            'abcb'.replace(/b(?<n>.)?/g, '[$&$1$<n>]'), 'abc'.replace(/(b)/, (all, one, at) => one + at), 'aXbX'.split(/(X)/, 3),
            'aab'.match(/a/g), 'aab'.match(/(a)b/), [...'aab'.matchAll(/a/g)].map(match => match.index), 'ab'.replaceAll(/a|b/g, 'x'),
            'abcb'.replace(new own('b(?<n>.)?', 'g'), '[$&$1$<n>]'), 'aXbX'.split(new own('(X)')), 'aab'.match(new own('a', 'g')),
            'aBc'.split(new own('b', 'i')), 'abb'.replace(late, 'x'), /b/.lastIndex, 'a'.replace(/z/, 'x'), ''.split(/x/), ''.split(/(?:)/),
            '\u{1f600}x'.split(/(?:)/u).length, RegExp.prototype[Symbol.replace].name, RegExp.prototype[Symbol.split].length,
            Object.keys(RegExp.prototype).length, (() => { const sticky = /a/y; return ['aab'.replace(sticky, 'x'), sticky.lastIndex]; })(),
        ]); }";
    assert_eq!(
        thrown(show, &[]),
        concat!(
            r#"["a[bccc][b]","ab1c",["a","X","b"],["a","a"],["ab","a"],[0,1],"xx","#,
            r#""a[bccc][b]",["a","X","b","X",""],["a","a"],["a","c"],"axb",0,"a",[""],[],2,"[Symbol.replace]",2,0,["xab",1]]"#
        )
    );
    for code in [
        "RegExp.prototype[Symbol.split].call(1, 'x')",
        "RegExp.prototype[Symbol.replace].call({}, 'x', 'y')",
        "/x/[Symbol.match](Symbol())",
    ] {
        assert!(
            thrown(&format!("() => {{ {code}; }}"), &[]).starts_with("TypeError"),
            "{code}"
        );
    }
    assert!(thrown("() => { JSON.parse(); }", &[]).starts_with("SyntaxError"));
    assert!(thrown("() => { String.prototype.split.call(null); }", &[]).starts_with("TypeError"));
}

#[test]
fn an_entry_too_large_for_the_library_is_an_error_of_that_entry() {
    let (program, registrations) = consumer("() => {}");
    let value = vec![b'x'; 20 << 20];
    let outcome = call(program.as_ref(), &registrations, &[b"f", &value]);
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

#[test]
fn a_record_may_have_as_many_fields_as_a_stream_allows() {
    for fields in [3, 70, 499, 501, 200_000] {
        let parts: Vec<Vec<u8>> = (0..2 * fields)
            .map(|n| format!("{n}").into_bytes())
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let show = "(client, data) => { const last = data.record.at(-1); throw `${data.record.length} ${last[0]} ${last[1]}`; }";
        assert_eq!(
            thrown(show, &parts),
            format!("{fields} {} {}", 2 * fields - 2, 2 * fields - 1)
        );
    }
}

#[test]
fn generator_functions_are_refused_since_nothing_of_them_would_run() {
    for callback in ["function*() {}", "async function*() {}"] {
        let code = format!("redis.register_stream_consumer('c', 's', 1, false, {callback})");
        let error = load(&code).map(drop).unwrap_err();
        assert!(
            error.message.contains("not a generator function"),
            "{error}"
        );
    }
}

#[test]
fn a_program_runs_on_whichever_thread_enters_it() {
    let (program, registrations) =
        consumer("() => { globalThis.n = (globalThis.n ?? 0) + 1; if (n == 3) throw n; }");
    for expected in [false, false, true] {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let outcome = call(program.as_ref(), &registrations, &[]);
                    assert_eq!(matches!(outcome, Outcome::Failed(_)), expected);
                })
                .join()
                .unwrap();
        });
    }
    std::thread::spawn(move || drop(program)).join().unwrap();
}

#[test]
fn calls_of_one_stay_leave_no_handles_behind() {
    // All of them together do not fit into the library's memory.
    let (program, registrations) = consumer("() => new Array(1000000).fill(0)");
    let kept = program.keep_entered();
    for _ in 0..200 {
        let outcome = call(&*program, &registrations, &[]);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    drop(kept);
}

#[test]
fn a_program_that_was_kept_entered_runs_on_the_next_thread() {
    let (program, registrations) =
        consumer("(client, data) => { if (data.record.length) for (;;); }");
    let stay = || {
        let kept = program.keep_entered();
        let parts: [&[&[u8]]; 3] = [&[], &[b"f", b"v"], &[]];
        let outcomes = parts.map(|parts| call(program.as_ref(), &registrations, parts));
        drop(kept);
        assert!(
            matches!(
                outcomes,
                [Outcome::Done(_), Outcome::Killed(_), Outcome::Done(_)]
            ),
            "{outcomes:?}"
        );
    };
    stay();
    std::thread::scope(|scope| {
        scope.spawn(stay).join().unwrap();
    });
    stay();
    assert!(matches!(
        call(program.as_ref(), &registrations, &[]),
        Outcome::Done(_)
    ));
}
