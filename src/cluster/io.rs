//! The I/O thread: all connections to other nodes, each a task. It decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use gears_core::cluster::{
    Closed, Connection, Hello, NodeId, Opened, Payload, Pulse, Ticket, Topic,
};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::{self, Link, ToSend};

/// What the main thread wants of the thread.
pub(super) enum Order {
    /// A connection.
    Connect(Box<Link>),
    /// A message over it.
    Send {
        connection: Connection,
        ticket: Ticket,
        topic: Topic,
        payload: Payload,
    },
    /// Its end.
    Close(Connection),
}

/// What the main thread is told.
pub(super) enum Report {
    /// A greeting came over the bus: of the main thread itself, told when it has time for it.
    Hello(NodeId, Hello),
    /// A connection is there, and has shown its token.
    Opened {
        node: NodeId,
        connection: Connection,
        opened: Opened,
    },
    /// The other node has answered.
    Answered {
        node: NodeId,
        connection: Connection,
        delivered: Vec<Ticket>,
        /// Of a question that takes no work.
        pulse: Option<Pulse>,
    },
    /// A connection has ended, or was not made.
    Closed {
        node: NodeId,
        connection: Connection,
        closed: Closed,
    },
}

/// Where reports wait for the main thread, which is woken for the first.
pub(super) struct Reports {
    waiting: Mutex<Vec<Report>>,
    wake: fn(),
}

impl Reports {
    pub(super) fn push(&self, report: Report) {
        let mut waiting = self.waiting.lock();
        waiting.push(report);
        if waiting.len() == 1 {
            (self.wake)();
        }
    }
}

/// The main thread's end.
pub(super) struct Io {
    orders: UnboundedSender<Order>,
    reports: Arc<Reports>,
}

impl Io {
    /// Starts the thread. It ends with this.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub(super) fn start(wake: fn()) -> std::io::Result<Self> {
        let reports = Arc::new(Reports {
            waiting: Mutex::default(),
            wake,
        });
        let (orders, received) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let told = Arc::clone(&reports);
        std::thread::Builder::new()
            .name("gears-cluster".into())
            .spawn(move || runtime.block_on(serve(received, told)))?;
        Ok(Self { orders, reports })
    }

    pub(super) fn order(&self, order: Order) {
        // It ends after this alone.
        let _sent = self.orders.send(order);
    }

    /// Keeps a report of the main thread for its next tick.
    pub(super) fn keep(&self, report: Report) {
        self.reports.waiting.lock().push(report);
    }

    /// What was reported since the last time.
    pub(super) fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports.waiting.lock())
    }
}

async fn serve(mut orders: UnboundedReceiver<Order>, reports: Arc<Reports>) {
    let mut links: HashMap<Connection, UnboundedSender<ToSend>> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Connect(link) => {
                links.retain(|_, link| !link.is_closed());
                let (sender, to_send) = unbounded_channel();
                links.insert(link.connection, sender);
                tokio::spawn(connection::run(*link, Arc::clone(&reports), to_send));
            }
            Order::Send {
                connection,
                ticket,
                topic,
                payload,
            } => {
                if let Some(link) = links.get(&connection) {
                    // One that has just ended names it in no report: it was not sent.
                    let _sent = link.send(ToSend {
                        ticket,
                        topic,
                        payload,
                    });
                }
            }
            Order::Close(connection) => {
                links.remove(&connection);
            }
        }
    }
}
