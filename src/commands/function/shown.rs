//! What LIST shows: as one reply, or in parts while its client waits.
//!
//! Only the streams of consumers can be many, so only these come a few at a time.

use std::collections::VecDeque;

use gears_core::delivery::{Choice, ConsumerKey, Delivery, StreamView};
use gears_v8::ports::Reply;

use crate::server::ReplyParts;

/// Streams of one step.
const STREAMS: usize = 32;

/// A part of what is shown.
pub(super) enum Shown {
    /// A part that holds no streams.
    Reply(Reply),
    /// An array.
    Array(Vec<Shown>),
    /// Names and values.
    Record(Vec<(&'static str, Shown)>),
    /// The streams of a consumer.
    Streams(Streams),
}

/// The streams of a consumer that are still to be shown.
pub(super) struct Streams {
    pub(super) consumer: ConsumerKey,
    /// How one is shown.
    pub(super) describe: Box<dyn Fn(&StreamView<'_>) -> Reply>,
    /// Before which place it goes on; 0 at first.
    place: u64,
    shown: usize,
}

impl Streams {
    pub(super) fn new(
        consumer: ConsumerKey,
        describe: Box<dyn Fn(&StreamView<'_>) -> Reply>,
    ) -> Self {
        Self {
            consumer,
            describe,
            place: 0,
            shown: 0,
        }
    }

    /// Sends the next few; false where none are left.
    fn send_some(&mut self, delivery: &mut Delivery, to: &mut ReplyParts) -> bool {
        let choice = Choice::Before(self.place);
        let page = delivery.page(self.consumer, choice, STREAMS, |_| true, || true);
        for row in &page.rows {
            to.send(&(self.describe)(&row.stream));
        }
        self.shown += page.rows.len();
        self.place = page.next;
        page.next > 0
    }
}

impl From<Reply> for Shown {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Shown {
    /// All of it as one reply.
    pub(super) fn whole(self, delivery: &Delivery) -> Reply {
        match self {
            Self::Reply(reply) => reply,
            Self::Array(all) => {
                let all = all.into_iter().map(|one| one.whole(delivery));
                Reply::Array(all.collect())
            }
            Self::Record(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name, value.whole(delivery)));
                Reply::record(fields.collect())
            }
            Self::Streams(streams) => {
                let views = delivery.streams_of(streams.consumer);
                Reply::Array(views.map(|view| (streams.describe)(&view)).collect())
            }
        }
    }
}

/// What is still to be sent, in its order.
#[derive(Default)]
pub(super) struct ToSend(VecDeque<Shown>);

impl ToSend {
    /// Sends it behind all else.
    pub(super) fn push(&mut self, shown: Shown) {
        self.0.push_back(shown);
    }

    /// Sends the next part; false where none is left.
    pub(super) fn send_some(&mut self, delivery: &mut Delivery, to: &mut ReplyParts) -> bool {
        let Some(next) = self.0.pop_front() else {
            return false;
        };
        match next {
            Shown::Reply(reply) => to.send(&reply),
            Shown::Array(all) => {
                to.begin_array(all.len());
                all.into_iter().rev().for_each(|one| self.0.push_front(one));
            }
            Shown::Record(fields) => {
                to.begin_map(fields.len());
                for (name, value) in fields.into_iter().rev() {
                    self.0.push_front(value);
                    self.0.push_front(Reply::text(name).into());
                }
            }
            Shown::Streams(mut streams) => {
                if streams.shown == 0 {
                    to.begin_list();
                }
                if streams.send_some(delivery, to) {
                    self.0.push_front(Shown::Streams(streams));
                } else {
                    to.end_list(streams.shown);
                }
            }
        }
        true
    }
}
