//! The dispatcher with a server and with libraries that are made up: what takes an unlikely
//! moment on a real server comes here each time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gears_core::delivery::{
    ConsumerKey, ConsumerSpec, ControlMessage, DeadLetter, DeadLetterDeletion, DeliveryState,
    EntryId, Event, FoundLetter, KeyRef, LetterRequest, Mode, Progress, Reach, ReadRequest,
    RecordBatch, Refusal, SubscriptionKey, Trim,
};
use gears_v8::ports::{
    Arguments, BatchCall, Call, CallbackId, Credentials, Invocation, KeptEntered, MemoryUse,
    Outcome, Program, Registrations, RemoteInvocation, RemoteReturns, Reply, RetainedValue,
    Returns, RunResults, ScriptError, Server, Session, TriggerEventCall,
};

use super::nesting::DEPTH_MAX;
use super::{ConsumerCode, ConsumerName, Dispatcher, Streams, TickLimits};
use crate::executor::{
    CallbackTarget, Callbacks, Completions, ExecutorShared, LibraryExecutor, NoLock, Pool, SlowLog,
};

/// A library whose callbacks add an entry, each to the other of two streams.
struct Chain;

impl Program for Chain {
    fn evaluate(&mut self) -> Result<Registrations, ScriptError> {
        Ok(Registrations::default())
    }

    fn enter(&self, work: &mut dyn FnMut(&mut dyn Session)) {
        work(&mut Chain);
    }

    fn keep_entered(&self) -> Box<dyn KeptEntered> {
        Box::new(Chain)
    }

    fn wants_pump(&self) -> bool {
        false
    }

    fn has_timers(&self) -> bool {
        false
    }

    fn returns(&self) -> &Arc<RemoteReturns> {
        static NONE: LazyLock<Arc<RemoteReturns>> = LazyLock::new(Arc::default);
        &NONE
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }
}

impl KeptEntered for Chain {}

impl Session for Chain {
    fn call(&mut self, call: &Call<'_>, server: &dyn Server) -> Outcome {
        let other: &[u8] = if call.stream == b"a" { b"b" } else { b"a" };
        match server.call(&Arguments::of([b"XADD", other]), &mut |_| {}) {
            Ok(()) => Outcome::Done(Reply::Null),
            Err(error) => Outcome::Failed(ScriptError::new(error)),
        }
    }

    fn call_batch(&mut self, _: &BatchCall<'_>, _: &dyn Server) -> Outcome {
        Outcome::Done(Reply::Null)
    }

    fn call_trigger(&mut self, _: &TriggerEventCall<'_>, _: &dyn Server) -> Outcome {
        Outcome::Done(Reply::Null)
    }

    fn run_pre_hook(
        &mut self,
        _: &TriggerEventCall<'_>,
        _: &dyn Server,
    ) -> Result<RetainedValue, Outcome> {
        Err(Outcome::Done(Reply::Null))
    }

    fn invoke(&mut self, _: &Invocation<'_>, _: &dyn Server) -> Outcome {
        Outcome::Done(Reply::Null)
    }

    fn call_remote(&mut self, _: &RemoteInvocation<'_>, _: &dyn Server) -> Outcome {
        Outcome::Done(Reply::Null)
    }

    fn run_task(&mut self, _: &dyn Server) -> Option<ScriptError> {
        None
    }

    fn clear_tasks(&mut self) {}

    fn pump(&mut self, _: &dyn Server, _: Returns) -> Option<ScriptError> {
        None
    }

    fn leave_continuations(&mut self, _: bool) -> bool {
        false
    }

    fn take_results(&mut self, _: &mut RunResults) {}
}

/// The streams `a` and `b` of a server, and the dispatcher that it tells of them. An entry's ID is
/// its number among all of both.
struct World {
    dispatcher: Dispatcher,
    last: Cell<u64>,
    entries: RefCell<Vec<(Box<[u8]>, u64)>>,
    refused: Cell<u32>,
}

impl World {
    fn new(completions: Arc<Completions>) -> Self {
        Self {
            dispatcher: Dispatcher::new(true, completions, Rc::default()),
            last: Cell::new(0),
            entries: RefCell::default(),
            refused: Cell::new(0),
        }
    }

    fn add(&self, name: &[u8]) -> EntryId {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.entries.borrow_mut().push((name.into(), number));
        self.dispatcher.on(Event::Appended(KeyRef { db: 0, name }));
        EntryId::new(number, 0)
    }

    fn tick(&self, time: Duration) {
        let limits = TickLimits {
            only_urgent: false,
            budget: time,
            script_budget: time,
        };
        self.dispatcher.tick(self, limits);
    }
}

impl Server for World {
    fn is_locked(&self) -> bool {
        true
    }

    fn call(&self, command: &Arguments, _: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        let name = command.iter().nth(1).unwrap_or_default();
        let key = KeyRef { db: 0, name };
        if self.dispatcher.refuses_append(key).is_some() {
            self.refused.set(self.refused.get() + 1);
            return Err("too deep");
        }
        let id = self.add(name);
        self.dispatcher.note_added(key, id);
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }

    fn credentials(&self) -> Option<Credentials> {
        None
    }

    fn lock(&self, _: &Credentials, work: &mut dyn FnMut(Result<&dyn Server, String>)) {
        work(Ok(self));
    }
}

impl Streams for World {
    fn authorize(&self, _: &Credentials, _: &[u8], _: bool) -> Result<(), String> {
        Ok(())
    }

    fn refusal(&self) -> Option<Refusal> {
        None
    }

    fn blocks_wait(&self) -> bool {
        false
    }

    fn is_full(&self) -> bool {
        false
    }

    fn act(&self, _: &Credentials, work: &mut dyn FnMut(&dyn Server)) -> bool {
        work(self);
        true
    }

    fn read(&self, request: &ReadRequest) -> (RecordBatch, bool) {
        let Reach::Behind(after) = request.reach else {
            return (RecordBatch::default(), true);
        };
        let mut batch = RecordBatch::default();
        for (name, number) in &*self.entries.borrow() {
            let id = EntryId::new(*number, 0);
            if **name == *request.name && id > after {
                batch.begin(id);
            }
        }
        (batch, true)
    }

    fn missing(&self, _: i32, _: &[u8], _: &mut dyn Iterator<Item = EntryId>) -> Vec<EntryId> {
        Vec::new()
    }

    fn last(&self, _: &ReadRequest, _: u64) -> EntryId {
        EntryId::ZERO
    }

    fn record(&self, _: &ConsumerName, _: &Progress) {}

    fn commit_consumer_state(&self, _: &ConsumerName, _: &DeliveryState) {}

    fn write_dead_letter(
        &self,
        _: &Credentials,
        _: &ConsumerName,
        _: &DeadLetter,
    ) -> Result<(), String> {
        Ok(())
    }

    fn read_letters(&self, _: &ConsumerName, _: &LetterRequest) -> (usize, Vec<FoundLetter>) {
        (1, Vec::new())
    }

    fn delete_dead_letters(&self, _: &Credentials, _: &DeadLetterDeletion) {}

    fn trim(&self, _: &Trim) {}
}

fn consume(world: &World, name: &str, shared: &ExecutorShared) -> Arc<LibraryExecutor> {
    let executor =
        LibraryExecutor::new(name, Box::new(Chain), Callbacks::default(), shared.clone());
    let target = CallbackTarget {
        callback: CallbackId(0),
        mode: Mode::Sync,
    };
    let consumer = ConsumerName {
        library: name.into(),
        consumer: "c".into(),
    };
    let code = ConsumerCode {
        executor: &executor,
        target: &target,
        user: &"anna".into(),
    };
    let spec = ConsumerSpec::new(name.as_bytes(), 1, false, Mode::Sync);
    world.dispatcher.consumers.add(consumer, spec, code);
    executor
}

fn shared() -> ExecutorShared {
    ExecutorShared {
        verbosity: Arc::default(),
        completions: Arc::new(Completions::new(Box::new(|| {}))),
        pool: Pool::start(1).expect("a thread"),
        lock: Arc::new(NoLock),
        slow_log: SlowLog::new(Arc::default()),
    }
}

#[test]
fn a_chain_of_callbacks_is_no_longer_for_a_library_of_it_that_was_busy() {
    let shared = shared();
    let world = World::new(Arc::clone(&shared.completions));
    consume(&world, "a", &shared);
    let busy = consume(&world, "b", &shared);
    let long = Duration::from_secs(60);

    world.add(b"a");
    let gate = busy.acquire_main(Duration::ZERO).expect("the gate");
    while world.last.get() == 1 {
        world.tick(Duration::from_millis(10));
    }
    // What the callback added is for the library that is busy, and there is nothing else to do.
    world.tick(Duration::ZERO);
    assert_eq!(world.last.get(), 2);
    drop(gate);
    for _ in 0..100 {
        world.tick(long);
    }
    assert_eq!(
        (world.last.get(), world.refused.get()),
        (1 + u64::from(DEPTH_MAX), 1)
    );
    assert_eq!(world.last.get(), 1 + u64::from(DEPTH_MAX));
}

#[test]
fn no_worker_is_woken_for_places_of_a_window_while_nothing_waits_for_them() {
    let executor = LibraryExecutor::new("a", Box::new(Chain), Callbacks::default(), shared());
    let _here = executor.acquire_main(Duration::ZERO).expect("the gate");
    executor.carry_out(&ControlMessage::SlotsReleased {
        consumer: ConsumerKey::default(),
        sub: SubscriptionKey::default(),
        places: 1,
    });
    // Else a worker would want to be where the main thread is.
    assert!(!executor.leave_main());
}
