//! Blocks of workers whose commands the main thread runs: where no other thread may, and where workers are starved of
//! the server's lock (see [`super::starvation`]).
//!
//! Redis 8.0 ends itself when a command that another thread runs has something to tell a client:
//! one that tracks keys, is subscribed or in MONITOR. There a worker that wants the server's lock
//! does not take it, and nor does one that would wait for it too long. It asks for the main thread, which comes by a
//! timer, parks, and runs what the worker sends it, until the worker's block is over:
//!
//! ```text
//! worker          asks ............ block: JavaScript, call ......... JavaScript, end
//! main thread     ...... timer: parked .................. command ................. goes on
//! ```
//!
//! One timer serves one block, so a block is one unit for the server, as ever. A parked thread is
//! busy: nothing of a library runs on it, see [`super::main_thread`], and it has left the isolate
//! slot where it was. So the worker finds the isolate free, and what bounds its block bounds the
//! parking.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use gears_v8::ports::{Arguments, Credentials, Flags, Server};

use super::admission::{PAUSE_MAX, WaitsToWrite, check, retry_after};
use super::context::Context;
use super::execution_unit::ExecutionUnit;
use super::ffi::event_loop::run_on_main_thread;
use super::ffi::guard;
use super::hooks::HOOKS;
use super::main_thread::Parked;

/// What a worker wants of the main thread that is parked for it.
enum ParkedTask {
    /// A command.
    Call(Arguments),
    /// Another unit within this one.
    StartUnit(Credentials),
    /// The end of the innermost unit; of the last one the end of the block.
    End,
}

/// What the main thread answers.
enum ParkedAnswer {
    /// Whether the unit may run, or why not.
    Started(Result<(), String>),
    /// The reply's bytes.
    Reply(Vec<u8>),
}

/// Somebody who waits for the main thread.
struct Request {
    number: u64,
    credentials: Credentials,
    since: Instant,
    /// Ends the wait.
    over: Arc<AtomicBool>,
    /// Whether it waits until it may write.
    waits: Option<WaitsToWrite>,
}

#[derive(Default)]
struct ExchangeState {
    requests: VecDeque<Request>,
    next_number: u64,
    /// Whether the main thread is on its way.
    comes: bool,
    /// Whether it comes later, for those who wait until they may write.
    comes_later: bool,
    /// Whose block it is.
    served: Option<u64>,
    /// In their order: the worker waits for no answer to an end.
    tasks: VecDeque<ParkedTask>,
    answer: Option<ParkedAnswer>,
}

struct Exchange {
    state: Mutex<ExchangeState>,
    /// The worker who is served has an answer, or somebody is served now.
    answered: Condvar,
    /// There is a task.
    has_task: Condvar,
}

static EXCHANGE: Exchange = Exchange {
    state: Mutex::new(ExchangeState {
        requests: VecDeque::new(),
        next_number: 0,
        comes: false,
        comes_later: false,
        served: None,
        tasks: VecDeque::new(),
        answer: None,
    }),
    answered: Condvar::new(),
    has_task: Condvar::new(),
};

/// How many blocks were to be run.
pub(super) fn count() -> u64 {
    EXCHANGE.state.lock().next_number
}

/// Runs a block: as `ServerLock::with`, which was called at `since`.
pub(super) fn with(
    credentials: &Credentials,
    over: &Arc<AtomicBool>,
    since: Instant,
    work: &mut dyn FnMut(Result<&dyn Server, String>),
) {
    let (number, comes) = {
        let mut state = EXCHANGE.state.lock();
        let number = state.next_number;
        state.next_number += 1;
        state.requests.push_back(Request {
            number,
            credentials: credentials.clone(),
            since,
            over: Arc::clone(over),
            waits: None,
        });
        (number, std::mem::replace(&mut state.comes, true))
    };
    if !comes {
        run_on_main_thread(serve_soon);
    }
    let started = {
        let mut state = EXCHANGE.state.lock();
        while state.served != Some(number) {
            EXCHANGE.answered.wait(&mut state);
        }
        wait_for_answer(&mut state)
    };
    // Also where `work` panics.
    let _end = UnitEnd;
    match started {
        ParkedAnswer::Started(Err(refused)) => work(Err(refused)),
        ParkedAnswer::Started(Ok(())) | ParkedAnswer::Reply(_) => work(Ok(&Sender {
            credentials: credentials.clone(),
        })),
    }
}

/// Ends a unit.
struct UnitEnd;

impl Drop for UnitEnd {
    fn drop(&mut self) {
        send(&mut EXCHANGE.state.lock(), ParkedTask::End);
    }
}

fn send(state: &mut ExchangeState, task: ParkedTask) {
    state.tasks.push_back(task);
    EXCHANGE.has_task.notify_one();
}

fn wait_for_answer(state: &mut parking_lot::MutexGuard<'_, ExchangeState>) -> ParkedAnswer {
    loop {
        if let Some(answer) = state.answer.take() {
            return answer;
        }
        EXCHANGE.answered.wait(state);
    }
}

fn ask(task: ParkedTask) -> ParkedAnswer {
    let mut state = EXCHANGE.state.lock();
    send(&mut state, task);
    wait_for_answer(&mut state)
}

/// The server as scripts of a worker reach it whose block is served.
struct Sender {
    credentials: Credentials,
}

impl Server for Sender {
    fn is_locked(&self) -> bool {
        true
    }

    fn call(&self, command: &Arguments, read: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        match ask(ParkedTask::Call(command.clone())) {
            ParkedAnswer::Reply(bytes) => read(&bytes),
            // The main thread answers what it is asked.
            ParkedAnswer::Started(_) => read(b"-ERR the server did not run the command\r\n"),
        }
        Ok(())
    }

    fn may_block(&self) -> bool {
        true
    }

    fn credentials(&self) -> Option<Credentials> {
        Some(self.credentials.clone())
    }

    fn lock(&self, credentials: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        let started = ask(ParkedTask::StartUnit(credentials.clone()));
        let _end = UnitEnd;
        match started {
            ParkedAnswer::Started(Err(refused)) => work(Err(refused)),
            ParkedAnswer::Started(Ok(())) | ParkedAnswer::Reply(_) => work(Ok(&Self {
                credentials: credentials.clone(),
            })),
        }
    }
}

/// Has the next request served soon, as a unit of its own.
fn serve_soon() {
    Context::detached().run_in(Duration::ZERO, "a worker's block", |_| serve());
}

/// The main thread comes again at once, if somebody waits and it does not come anyway.
fn requeue(state: &mut ExchangeState) {
    if !state.requests.is_empty() && !std::mem::replace(&mut state.comes, true) {
        serve_soon();
    }
}

/// It comes again in so long, for those who wait until they may write. Others do not wait for that.
fn poll_in(state: &mut ExchangeState, time: Duration) {
    if !std::mem::replace(&mut state.comes_later, true) {
        Context::detached().run_in(time, "a worker's block that waits to write", |_| {
            EXCHANGE.state.lock().comes_later = false;
            serve();
        });
    }
}

/// When a request is to be checked again, if it has to wait.
fn waits(request: &mut Request) -> Option<Duration> {
    let flags = request.credentials.flags;
    if flags.contains(Flags::NO_WRITES) || request.over.load(Ordering::Acquire) {
        return None;
    }
    let pause = retry_after(flags, request.since + PAUSE_MAX)?;
    request.waits.get_or_insert_with(WaitsToWrite::begin);
    Some(pause)
}

/// Serves one block, from its beginning to its end. On the main thread.
fn serve() {
    // What clients have just added is seen by sync callbacks as they left it, also where the server does not tell of
    // the end of a command.
    if let Some(hooks) = HOOKS.get().filter(|hooks| hooks.has_urgent()) {
        hooks.after_command(&Context::detached());
    }
    let credentials = {
        let mut state = EXCHANGE.state.lock();
        state.comes = false;
        let pauses: Vec<_> = state.requests.iter_mut().map(waits).collect();
        let Some(place) = pauses.iter().position(Option::is_none) else {
            if let Some(soonest) = pauses.into_iter().flatten().min() {
                poll_in(&mut state, soonest);
            }
            return;
        };
        let Some(request) = state.requests.remove(place) else {
            return;
        };
        state.served = Some(request.number);
        request.credentials
    };
    // The worker is about to enter its isolate.
    if let Some(hooks) = HOOKS.get() {
        hooks.leave_isolate();
    }
    let parked = Parked::begin();
    let mut units = Vec::new();
    answer(start_unit(&credentials, &mut units));
    while !units.is_empty() {
        match next_task() {
            ParkedTask::StartUnit(credentials) => answer(start_unit(&credentials, &mut units)),
            ParkedTask::Call(arguments) => {
                answer(ParkedAnswer::Reply(run(&arguments, units.last())));
            }
            ParkedTask::End => {
                units.pop();
            }
        }
    }
    drop(parked);
    let mut state = EXCHANGE.state.lock();
    state.served = None;
    requeue(&mut state);
}

/// Each is a unit, or what stands for one that was refused.
fn start_unit(credentials: &Credentials, units: &mut Vec<Option<ExecutionUnit>>) -> ParkedAnswer {
    let mut started = (Err("internal error, see the server's log".to_owned()), None);
    guard::run("the beginning of a worker's block", || {
        let authorized = check(&Context::detached(), credentials.flags);
        let unit = authorized
            .is_ok()
            .then(|| ExecutionUnit::of_credentials(credentials));
        started = (authorized, unit);
    });
    let (authorized, unit) = started;
    units.push(unit);
    ParkedAnswer::Started(authorized)
}

/// Runs a command; whatever happens, there is a reply: the worker waits for it.
fn run(arguments: &Arguments, unit: Option<&Option<ExecutionUnit>>) -> Vec<u8> {
    let mut bytes = b"-ERR the server did not run the command\r\n".to_vec();
    if let Some(Some(unit)) = unit {
        guard::run("a worker's command", || {
            let _ = unit.call(arguments, &mut |reply| bytes = reply.to_vec());
        });
    }
    bytes
}

fn answer(answer: ParkedAnswer) {
    EXCHANGE.state.lock().answer = Some(answer);
    // One of those who wait is it; the others look whether they are.
    EXCHANGE.answered.notify_all();
}

fn next_task() -> ParkedTask {
    let mut state = EXCHANGE.state.lock();
    loop {
        if let Some(task) = state.tasks.pop_front() {
            return task;
        }
        EXCHANGE.has_task.wait(&mut state);
    }
}
