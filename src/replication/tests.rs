//! What one server sends, another one takes: without a server, and without an engine, so that every
//! library is in quarantine.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use gears_core::delivery::{Checkpoint, DeliveryState, EntryId};
use gears_core::snapshot::{ConsumerSnapshot, History, LibrarySnapshot, StartSnapshot};
use gears_v8::ports::Arguments;

use super::{
    PropagationTarget, ReplicatedCommand, ReplicationLink, Rewrite, send_deletion, send_library,
    take,
};
use crate::dispatcher::Dispatcher;
use crate::executor::{Completions, ExecutorShared, NoLock, Pool, SlowLog};
use crate::library::{EventSubscriptions, KeyEvents, Libraries};

/// A server's end of the link.
#[derive(Default)]
struct Link {
    sent: RefCell<Vec<(Arguments, PropagationTarget)>>,
    passed_on: Cell<usize>,
    is_client: bool,
}

impl KeyEvents for Link {
    fn listen_to_keys(&self, _: EventSubscriptions) -> Result<(), &'static str> {
        Ok(())
    }
}

impl ReplicationLink for Link {
    fn send(&self, command: &ReplicatedCommand<'_>, target: PropagationTarget) {
        self.sent.borrow_mut().push((command.encode(), target));
    }

    fn pass_on(&self) {
        self.passed_on.set(self.passed_on.get() + 1);
    }

    fn is_replicated(&self) -> bool {
        !self.is_client
    }

    fn db(&self) -> i32 {
        0
    }
}

/// A server with its libraries.
struct Node {
    libraries: Libraries,
    dispatcher: Rc<Dispatcher>,
    link: Link,
}

impl Node {
    fn new(link: Link) -> Self {
        let completions = Arc::new(Completions::new(Box::new(|| {})));
        let shared = ExecutorShared {
            verbosity: Arc::default(),
            completions: Arc::clone(&completions),
            pool: Pool::start(1).expect("a thread"),
            lock: Arc::new(NoLock),
            slow_log: SlowLog::new(Arc::default()),
        };
        let dispatcher = Rc::new(Dispatcher::new(false, completions, Rc::default()));
        Self {
            libraries: Libraries::new(Rc::clone(&dispatcher), Vec::new(), shared),
            dispatcher,
            link,
        }
    }

    fn take(&self, arguments: &Arguments) -> Result<(), String> {
        let arguments: Vec<_> = arguments.iter().collect();
        take(&self.link, &self.libraries, &self.dispatcher, &arguments)
            .map_err(|error| error.to_string())
    }

    fn take_all(&self, sender: &Self) {
        for (arguments, _) in sender.link.sent.take() {
            self.take(&arguments).expect("it is taken");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.libraries.pool().end();
    }
}

fn library() -> LibrarySnapshot {
    LibrarySnapshot {
        name: "lib".into(),
        code: "#!js name=lib".into(),
        config: Some("{}".into()),
        user: "anna".into(),
        consumers: vec![ConsumerSnapshot {
            name: "consumer".into(),
            prefix: b"s".to_vec(),
            window: 3,
            trim: true,
            is_async: true,
            exact: false,
            start: StartSnapshot::Earliest,
            delivery_state: DeliveryState::default(),
            streams: Vec::new(),
        }],
        unregistered: Vec::new(),
        paused: Vec::new(),
        history: History::default(),
    }
}

fn cursor() -> ReplicatedCommand<'static> {
    ReplicatedCommand::Cursor {
        library: b"lib",
        consumer: b"consumer",
        stream: b"s:1",
        checkpoint: Cow::Owned(Checkpoint {
            position: EntryId::new(3, 0),
            pending: vec![EntryId::new(1, 0)],
            delivery_state: DeliveryState::default(),
        }),
    }
}

/// As [`cursor`], further on.
fn moved() -> ReplicatedCommand<'static> {
    ReplicatedCommand::Cursor {
        library: b"lib",
        consumer: b"consumer",
        stream: b"s:1",
        checkpoint: Cow::Owned(Checkpoint {
            position: EntryId::new(9, 0),
            pending: Vec::new(),
            delivery_state: DeliveryState::default(),
        }),
    }
}

fn paused() -> ReplicatedCommand<'static> {
    ReplicatedCommand::ConsumerState {
        library: b"lib",
        consumer: b"consumer",
        delivery_state: Cow::Owned(DeliveryState {
            paused: true,
            ..DeliveryState::default()
        }),
    }
}

#[test]
fn whoever_takes_what_was_sent_holds_the_same() {
    let (primary, replica) = (Node::new(Link::default()), Node::new(Link::default()));
    primary.libraries.restore(&primary.link, &library());
    send_library(&primary.link, &primary.libraries, "lib");
    for command in [cursor(), paused()] {
        primary.take(&command.encode()).expect("it is taken");
        primary.link.send(&command, PropagationTarget::All);
    }
    replica.take_all(&primary);
    let on_replica = replica.libraries.snapshots();
    assert_eq!(on_replica, primary.libraries.snapshots());
    let [library] = &on_replica[..] else {
        panic!("there is one library");
    };
    let consumer = &library.consumers[0];
    assert!(consumer.delivery_state.paused);
    let checkpoint = &consumer.streams[0].checkpoint;
    assert_eq!(checkpoint.position, EntryId::new(3, 0));
    assert_eq!(replica.link.passed_on.get(), 3);

    send_deletion(&primary.link, "lib");
    replica.take_all(&primary);
    assert!(replica.libraries.all().is_empty());
}

#[test]
fn what_is_kept_of_a_deleted_library_is_the_same_for_whoever_takes_it() {
    let (primary, replica) = (Node::new(Link::default()), Node::new(Link::default()));
    for node in [&primary, &replica] {
        node.libraries.restore(&node.link, &library());
        for command in [cursor(), paused()] {
            node.take(&command.encode()).expect("it is taken");
        }
    }
    let before = primary.libraries.snapshots();
    assert!(primary.libraries.delete_but_keep("lib", "bert"));
    for _ in 0..2 {
        send_library(&primary.link, &primary.libraries, "lib");
        replica.take_all(&primary);
    }
    let kept = replica.libraries.snapshots();
    assert_eq!(kept, primary.libraries.snapshots());
    let [of_lib] = &kept[..] else {
        panic!("it is kept once");
    };
    assert_eq!(of_lib.consumers, before[0].consumers);
    assert!(of_lib.is_progress_alone() && of_lib.history.loaded_by == "bert");
    for node in [&primary, &replica] {
        assert!(node.libraries.all().is_empty() && !node.libraries.is_empty());
    }

    // What is written of it later arrives, as do the library's return and its end.
    replica.take(&moved().encode()).expect("it is taken");
    let position = |node: &Node| {
        let snapshots = node.libraries.snapshots();
        snapshots[0].consumers[0].streams[0].checkpoint.position
    };
    assert_eq!(position(&replica), EntryId::new(9, 0));
    let back = ReplicatedCommand::Library(Cow::Owned(library()));
    replica.take(&back.encode()).expect("it is taken");
    assert!(replica.libraries.all().contains_key("lib"));
    assert_eq!(position(&replica), EntryId::new(9, 0));
    replica.take_all(&primary);
    send_library(&primary.link, &primary.libraries, "lib");
    replica.take_all(&primary);
    assert_eq!(position(&replica), EntryId::new(9, 0));
    send_deletion(&primary.link, "lib");
    replica.take_all(&primary);
    assert!(replica.libraries.is_empty());
}

#[test]
fn a_rewrite_has_what_is_kept_of_a_deleted_library() {
    let (node, restarted) = (Node::new(Link::default()), Node::new(Link::default()));
    node.libraries.restore(&node.link, &library());
    node.take(&cursor().encode()).expect("it is taken");
    assert!(node.libraries.delete_but_keep("lib", "bert"));
    let rewrite = Rewrite::default();
    rewrite.begin();
    rewrite.complete(&node.link, &node.libraries);
    restarted.take_all(&node);
    assert_eq!(restarted.libraries.snapshots(), node.libraries.snapshots());
    assert!(restarted.libraries.all().is_empty());
}

#[test]
fn each_command_may_come_twice() {
    let node = Node::new(Link::default());
    let library = ReplicatedCommand::Library(Cow::Owned(library()));
    let commands = [library, cursor(), paused()];
    for command in &commands {
        node.take(&command.encode()).expect("it is taken");
    }
    let once = node.libraries.snapshots();
    for command in &commands {
        node.take(&command.encode()).expect("it is taken");
        node.take(&command.encode()).expect("it is taken");
    }
    assert_eq!(node.libraries.snapshots(), once);
}

#[test]
fn what_is_of_no_known_library_is_passed_on_and_nothing_else() {
    let node = Node::new(Link::default());
    let deletion = ReplicatedCommand::Deletion { library: b"lib" };
    for command in [cursor(), paused(), deletion] {
        node.take(&command.encode()).expect("it is taken");
    }
    assert!(node.libraries.all().is_empty());
    assert_eq!(node.link.passed_on.get(), 3);
}

#[test]
fn nothing_is_taken_from_clients_nor_with_wrong_arguments() {
    let client = Node::new(Link {
        is_client: true,
        ..Link::default()
    });
    let library = ReplicatedCommand::Library(Cow::Owned(library()));
    let refused = client.take(&library.encode()).unwrap_err();
    assert!(refused.contains("it is only taken from the primary"));
    let replica = Node::new(Link::default());
    let refused = replica.take(&Arguments::of([&b"library"[..], b"\xff"]));
    assert!(refused.unwrap_err().starts_with("ERR the library "));
    for node in [&client, &replica] {
        assert!(node.libraries.all().is_empty());
        assert_eq!(node.link.passed_on.get(), 0);
    }
}

#[test]
fn a_rewrite_gets_every_library_with_its_progress_once_and_no_replica_does() {
    let (node, restarted) = (Node::new(Link::default()), Node::new(Link::default()));
    node.libraries.restore(&node.link, &library());
    node.take(&cursor().encode()).expect("it is taken");
    let rewrite = Rewrite::default();
    rewrite.complete(&node.link, &node.libraries);
    assert!(node.link.sent.borrow().is_empty());

    rewrite.begin();
    rewrite.complete(&node.link, &node.libraries);
    rewrite.complete(&node.link, &node.libraries);
    let targets: Vec<_> = node.link.sent.borrow().iter().map(|(_, to)| *to).collect();
    assert_eq!(targets, [PropagationTarget::LogOnly]);
    restarted.take_all(&node);
    assert_eq!(restarted.libraries.snapshots(), node.libraries.snapshots());
}
