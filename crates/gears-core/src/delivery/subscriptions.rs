//! All subscriptions, which of them may have changed since somebody looked, and which are packed.
//!
//! Most subscriptions are at rest, and of one at rest there is little to be known. So it is
//! [`Packed`] when it was not changed for as long as [`KEPT_WHOLE`] others came to rest, and made
//! whole again when it is to be changed. Whoever only looks at it is given a copy ([`Seen`]).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashSet;
use slotmap::{Key, KeyData};

use super::discarded::Discarded;
use super::packed::Packed;
use super::shrink::shrink;
use super::slab::Slab;
use super::subscription::{List, Subscription};
use super::{ConsumerKey, StreamKey, SubscriptionKey};

/// So many that came to rest last stay whole.
const KEPT_WHOLE: usize = 1024;
/// Texts of errors of which there is one for all that failed so.
const ERRORS: usize = 1024;

/// The subscriptions to one stream, in the order in which they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Siblings {
    first: u32,
}

/// The place of no subscription.
const NONE: u32 = u32::MAX;

impl Default for Siblings {
    fn default() -> Self {
        Self { first: NONE }
    }
}

impl Siblings {
    pub(super) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// What is kept of each subscription.
#[derive(Debug)]
struct Slot {
    body: Body,
    /// Tells it from others that have had its place.
    version: u32,
    /// Its consumer's place among these.
    consumer: u32,
    stream: StreamKey,
    /// The next one to the same stream.
    next: u32,
}

#[derive(Debug)]
enum Body {
    Whole(Box<Subscription>),
    Packed(Packed),
}

/// All subscriptions by key, with a list of those that were changed. Whoever gets one to change it
/// is taken at their word.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: Slab<Slot>,
    /// The version that was given last.
    version: u32,
    /// How many are whole.
    whole: usize,
    /// Each once, and perhaps gone by now.
    changed: VecDeque<SubscriptionKey>,
    /// Those that may be packed, each once, and perhaps gone by now.
    resting: VecDeque<SubscriptionKey>,
    /// Consumers by place.
    consumers: Vec<ConsumerKey>,
    /// Errors of those that are packed and had one.
    errors: BTreeMap<u32, Arc<str>>,
    /// What these errors say, each once.
    texts: HashSet<Arc<str>>,
}

/// A subscription to look at.
pub(super) enum Seen<'a> {
    Whole(&'a Subscription),
    Unpacked(Box<Subscription>),
}

impl Deref for Seen<'_> {
    type Target = Subscription;

    #[inline]
    fn deref(&self) -> &Subscription {
        match self {
            Self::Whole(sub) => sub,
            Self::Unpacked(sub) => sub,
        }
    }
}

impl std::fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl Subscriptions {
    /// Bytes that one takes that is packed.
    pub(super) const BYTES: usize = Slab::<Slot>::BYTES;

    // --- by key ---------------------------------------------------------------------------------

    /// Adds a subscription to those to its stream.
    pub(super) fn insert(&mut self, sub: Subscription, siblings: &mut Siblings) -> SubscriptionKey {
        let consumer = place(sub.consumer);
        let at = consumer as usize;
        if self.consumers.len() <= at {
            self.consumers.resize_with(at + 1, ConsumerKey::null);
        }
        self.consumers[at] = sub.consumer;
        let version = self.next_version();
        let new = self.all.insert(Slot {
            version,
            consumer,
            stream: sub.stream,
            next: NONE,
            body: Body::Whole(Box::new(sub)),
        });
        self.whole += 1;
        match self.siblings(*siblings).last() {
            Some(last) => self.all[place(last)].next = new,
            None => siblings.first = new,
        }
        let key = key_of(new, version);
        self.get_mut(key);
        key
    }

    /// Takes a subscription out of those to its stream.
    pub(super) fn remove(
        &mut self,
        key: SubscriptionKey,
        siblings: &mut Siblings,
    ) -> Option<Subscription> {
        self.slot(key)?;
        let at = place(key);
        let slot = self.all.remove(at)?;
        if siblings.first == at {
            siblings.first = slot.next;
        } else {
            let mut before = siblings.first;
            while let Some(one) = self.all.get_mut(before) {
                if one.next == at {
                    one.next = slot.next;
                    break;
                }
                before = one.next;
            }
        }
        Some(self.take_whole(at, slot))
    }

    /// Puts another in the place of a subscription, of the same consumer to the same stream.
    /// Gives its key, and what was there.
    pub(super) fn replace(
        &mut self,
        old: SubscriptionKey,
        sub: Subscription,
    ) -> (SubscriptionKey, Subscription) {
        let version = self.next_version();
        let before = std::mem::replace(self.at_mut(old), sub);
        self.all[place(old)].version = version;
        let key = key_of(place(old), version);
        self.get_mut(key);
        (key, before)
    }

    fn next_version(&mut self) -> u32 {
        // Odd, as those of other keys.
        self.version = self.version.wrapping_add(2) | 1;
        self.version
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many are not packed.
    pub(super) fn whole_count(&self) -> usize {
        self.whole
    }

    pub(super) fn contains_key(&self, key: SubscriptionKey) -> bool {
        self.slot(key).is_some()
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = SubscriptionKey> + '_ {
        let all = self.all.iter();
        all.map(|(at, slot)| key_of(at, slot.version))
    }

    #[inline]
    fn slot(&self, key: SubscriptionKey) -> Option<&Slot> {
        let slot = self.all.get(place(key))?;
        (slot.version == version(key)).then_some(slot)
    }

    /// The place of the subscription that a key names.
    pub(super) fn place(key: SubscriptionKey) -> u32 {
        place(key)
    }

    /// The key of the subscription at a place, where one must be.
    pub(super) fn key_at(&self, at: u32) -> SubscriptionKey {
        key_of(at, self.all[at].version)
    }

    // --- to look at -----------------------------------------------------------------------------

    #[inline]
    pub(super) fn consumer_of(&self, key: SubscriptionKey) -> ConsumerKey {
        self.consumers[self.all[place(key)].consumer as usize]
    }

    #[inline]
    pub(super) fn stream_of(&self, key: SubscriptionKey) -> StreamKey {
        self.all[place(key)].stream
    }

    /// A subscription that must be there.
    #[inline]
    pub(super) fn at(&self, key: SubscriptionKey) -> Seen<'_> {
        self.get(key).expect("it is there")
    }

    #[inline]
    pub(super) fn get(&self, key: SubscriptionKey) -> Option<Seen<'_>> {
        let slot = self.slot(key)?;
        Some(match &slot.body {
            Body::Whole(sub) => Seen::Whole(sub),
            Body::Packed(packed) => self.copy(place(key), slot, packed),
        })
    }

    /// The subscriptions to a stream.
    pub(super) fn siblings(
        &self,
        siblings: Siblings,
    ) -> impl Iterator<Item = SubscriptionKey> + '_ {
        std::iter::successors(self.first(siblings), |sub| self.next(*sub))
    }

    pub(super) fn first(&self, siblings: Siblings) -> Option<SubscriptionKey> {
        self.key_if(siblings.first)
    }

    /// The subscription to the same stream that came next.
    pub(super) fn next(&self, key: SubscriptionKey) -> Option<SubscriptionKey> {
        self.key_if(self.slot(key)?.next)
    }

    fn key_if(&self, at: u32) -> Option<SubscriptionKey> {
        let slot = self.all.get(at)?;
        Some(key_of(at, slot.version))
    }

    // --- to change ------------------------------------------------------------------------------

    /// A subscription that must be there, to be changed.
    #[inline]
    pub(super) fn at_mut(&mut self, key: SubscriptionKey) -> &mut Subscription {
        self.get_mut(key).expect("it is there")
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        if let Body::Packed(_) = self.slot(key)?.body {
            return self.unpack_mut(key);
        }
        let Body::Whole(sub) = &mut self.all.get_mut(place(key))?.body else {
            return None;
        };
        if sub.lists.enter(List::Changed) {
            self.changed.push_back(key);
        }
        Some(sub)
    }

    // --- those that changed ---------------------------------------------------------------------

    /// How many may have changed.
    pub(super) fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// The one that may have changed first since it was last returned here.
    /// It may be gone by now.
    pub(super) fn pop_changed(&mut self) -> Option<(SubscriptionKey, Option<&Subscription>)> {
        if self.resting.len() > KEPT_WHOLE {
            self.pack_first();
        }
        let key = self.changed.pop_front()?;
        if self.slot(key).is_none() {
            return Some((key, None));
        }
        let Body::Whole(sub) = &mut self.all[place(key)].body else {
            return Some((key, None));
        };
        sub.lists.leave(List::Changed);
        if sub.lists.enter(List::Resting) {
            self.resting.push_back(key);
        }
        Some((key, Some(sub)))
    }

    /// Forgets all of them. No key of theirs is given out again.
    pub(super) fn discard(&mut self, discarded: &mut Discarded) {
        let empty = Self {
            version: self.version,
            consumers: self.consumers.clone(),
            ..Self::default()
        };
        let Self { all, errors, .. } = std::mem::replace(self, empty);
        discarded.add(all.into_values());
        discarded.add(errors);
    }

    /// Gives back what a change of many has left.
    pub(super) fn give_back(&mut self) {
        shrink(&mut self.changed);
        shrink(&mut self.resting);
    }

    // --- those at rest --------------------------------------------------------------------------

    /// Packs whatever is at rest.
    pub(super) fn pack_all(&mut self) {
        while self.pack_first() {}
    }

    /// Packs the one that came to rest first, if it is still at rest; whether there was one.
    fn pack_first(&mut self) -> bool {
        let Some(key) = self.resting.pop_front() else {
            return false;
        };
        if self.slot(key).is_none() {
            return true;
        }
        let at = place(key);
        let slot = &mut self.all[at];
        let Body::Whole(sub) = &mut slot.body else {
            return true;
        };
        sub.lists.leave(List::Resting);
        sub.tidy();
        if let Some(packed) = Packed::new(sub) {
            if let Some(error) = sub.tally.last_error() {
                let error = self.texts.get_or_insert_with(error, Arc::clone);
                self.errors.insert(at, Arc::clone(error));
            }
            slot.body = Body::Packed(packed);
            self.whole -= 1;
            self.forget_texts();
        }
        true
    }

    /// Forgets texts that no error has any more.
    fn forget_texts(&mut self) {
        if self.texts.len() > ERRORS {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            if self.texts.len() > ERRORS / 2 {
                // They differ: to compare them gains nothing.
                self.texts.clear();
            }
        }
    }

    #[cold]
    fn unpack_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        self.make_whole(place(key));
        self.get_mut(key)
    }

    fn make_whole(&mut self, at: u32) {
        let slot = &self.all[at];
        let Body::Packed(packed) = &slot.body else {
            return;
        };
        let sub = Box::new(self.unpack(at, slot, packed));
        self.all[at].body = Body::Whole(sub);
        self.whole += 1;
        self.forget_error(at);
    }

    #[cold]
    fn copy(&self, at: u32, slot: &Slot, packed: &Packed) -> Seen<'_> {
        Seen::Unpacked(Box::new(self.unpack(at, slot, packed)))
    }

    fn unpack(&self, at: u32, slot: &Slot, packed: &Packed) -> Subscription {
        let error = || self.errors.get(&at).cloned();
        packed.unpack(self.consumers[slot.consumer as usize], slot.stream, error)
    }

    fn forget_error(&mut self, at: u32) {
        if self.errors.remove(&at).is_some() && self.errors.is_empty() {
            self.texts.clear();
        }
    }

    fn take_whole(&mut self, at: u32, slot: Slot) -> Subscription {
        match slot.body {
            Body::Whole(sub) => {
                self.whole -= 1;
                *sub
            }
            Body::Packed(ref packed) => {
                let sub = self.unpack(at, &slot, packed);
                self.forget_error(at);
                sub
            }
        }
    }
}

/// The place that a key names.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
fn place(key: impl Key) -> u32 {
    (key.data().as_ffi() & u64::from(u32::MAX)) as u32
}

#[inline]
fn version(key: SubscriptionKey) -> u32 {
    (key.data().as_ffi() >> 32) as u32
}

#[inline]
fn key_of(place: u32, version: u32) -> SubscriptionKey {
    let data = u64::from(version) << 32 | u64::from(place);
    KeyData::from_ffi(data).into()
}
