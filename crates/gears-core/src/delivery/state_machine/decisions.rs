//! What to dispatch, what to trim, and whom to tell.

use std::sync::Arc;

use super::super::consumer::Mode;
use super::super::cursor::TrimBound;
use super::super::event::{ControlMessage, Dispatch, KeyRef, ReadRequest, Trim};
use super::super::subscription::{List, Subscription};
use super::super::{SHARE, SubscriptionKey};
use super::Delivery;

/// Streams that are passed by for one answer, as nothing can be done about them any more: a million may
/// have been ready when their consumer was paused.
const PASSED_BY: usize = 1024;

impl Delivery {
    /// The next thing to dispatch, in fair order. With `only_urgent`, only what a sync consumer
    /// must be given before the writers of this tick get their replies. `None` also where much was
    /// passed by, and more may come: see [`Self::has_dispatches`].
    pub fn next_dispatch(&mut self, only_urgent: bool) -> Option<Dispatch> {
        while let Some((sub, count)) = self.urgent.pop() {
            self.catch_up(sub);
            let Some(state) = self.subs.get(sub) else {
                continue;
            };
            let consumer = state.consumer;
            if count == 0 {
                self.schedule(sub);
                continue;
            }
            if state.is_start_unresolved() {
                if let Some(request) = self.read_request(sub) {
                    // Behind the answer.
                    self.urgent.push(sub, count);
                    return Some(Dispatch::Read(request));
                }
                continue;
            }
            // Where the run cannot be carried out now, the writers do not wait for another.
            if state.feed.is_batched() {
                if let Some(step) = self.urgent_step(sub, count) {
                    return Some(step);
                }
                continue;
            }
            if self.is_sync(sub) && self.is_runnable(sub) {
                return Some(Dispatch::Run {
                    sub,
                    consumer,
                    must: count,
                    others_wait: self.urgent.has_others(sub),
                });
            }
            self.urgent.forget(sub);
            self.schedule(sub);
        }
        if only_urgent {
            return None;
        }
        for _ in 0..PASSED_BY {
            let sub = self.ready.pop_front()?;
            self.catch_up(sub);
            let Some(state) = self.subs.get_mut(sub) else {
                continue;
            };
            state.lists.leave(List::Ready);
            let consumer = state.consumer;
            if !self.is_runnable(sub) {
                // Nobody may have looked since it could go on.
                self.set_timer(sub);
                continue;
            }
            if self.subs.at(sub).is_start_unresolved() {
                return Some(Dispatch::Read(self.read_request(sub)?));
            }
            if self.subs.at(sub).feed.is_batched() {
                match self.next_step(sub) {
                    Some(step) => return Some(step),
                    None => continue,
                }
            }
            return Some(match self.consumers[consumer].spec.mode {
                Mode::Sync => Dispatch::Run {
                    sub,
                    consumer,
                    must: 0,
                    others_wait: false,
                },
                Mode::Async => {
                    let mut request = self.read_request(sub)?;
                    if !self.ready.is_empty() {
                        request.max = request.max.min(SHARE);
                    }
                    Dispatch::Read(request)
                }
            });
        }
        None
    }

    /// What is to be asked to find out where a subscription to this stream begins, if that is not
    /// known: of a stream that comes into being every entry is new, so it is asked at once, whoever
    /// may be given nothing now.
    pub fn next_start_request(&mut self, key: KeyRef<'_>) -> Option<ReadRequest> {
        if self.start_unresolved.is_empty() {
            return None;
        }
        let subs = &self.subs;
        self.start_unresolved.retain(|sub| {
            subs.get(*sub)
                .is_some_and(|state| state.is_start_unresolved())
        });
        let stream = self.names.get(key, &self.streams)?;
        let mut unresolved = self.start_unresolved.iter().copied();
        let sub = unresolved.find(|sub| self.subs.stream_of(*sub) == stream)?;
        Some(self.request(sub, &self.subs.at(sub), 0))
    }

    /// What a consumer may read now; `None` where it is at the end or has no room.
    pub fn read_request(&mut self, sub: SubscriptionKey) -> Option<ReadRequest> {
        if !self.is_active() {
            return None;
        }
        let state = self.subs.get(sub)?;
        if state.is_start_unresolved() {
            return Some(self.request(sub, &state, 0));
        }
        let consumer = &self.consumers[state.consumer];
        if consumer.suspended || state.is_recalling() || self.is_blocked(&state) {
            return None;
        }
        let max = state.room(consumer.feed_context(sub, self.now_ms));
        if max == 0 {
            return None;
        }
        Some(self.request(sub, &state, max))
    }

    fn request(&self, sub: SubscriptionKey, state: &Subscription, max: usize) -> ReadRequest {
        let stream = &self.streams[state.stream];
        ReadRequest {
            sub,
            consumer: state.consumer,
            db: self.names.db(stream.home),
            name: Arc::clone(&stream.name),
            reach: state.reach(),
            max,
            unread_new: state.tail.unread_new,
            batched: state.feed.is_batched(),
        }
    }

    /// The next stream to trim. Each comes once, however many entries were finished. `None` also
    /// where much was passed by, and more may come.
    pub fn next_trim(&mut self) -> Option<Trim> {
        if self.is_active() && !self.may_trim() {
            return None;
        }
        for _ in 0..PASSED_BY {
            let key = self.trims.pop_front()?;
            let Some(stream) = self.streams.get_mut(key) else {
                continue;
            };
            // Its key may have been that of another, whose trim this was.
            let is_queued = std::mem::take(&mut stream.trim_queued);
            if !is_queued || !self.is_active() {
                continue;
            }
            if !self.refresh(key) {
                continue;
            }
            let stream = &self.streams[key];
            let mut wanted = false;
            let mut to = TrimBound::Everything;
            for sub in self.subs.siblings(stream.subs) {
                let sub = self.subs.at(sub);
                wanted |= self.consumers[sub.consumer].spec.trim;
                to = to.min(sub.cursor.trim_bound());
            }
            if wanted && to > stream.trimmed.into() {
                let stream = &mut self.streams[key];
                stream.trimmed = to.into();
                return Some(Trim {
                    db: self.names.db(stream.home),
                    name: Arc::clone(&stream.name),
                    to,
                });
            }
        }
        None
    }

    /// The next thing the keeper of the prefetch queues has to know.
    pub fn next_control_message(&mut self) -> Option<ControlMessage> {
        self.control_messages.pop_front()
    }
}
