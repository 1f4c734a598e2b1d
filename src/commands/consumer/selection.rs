//! Which dead letters a command is about. They are looked for in slices: the client waits where
//! there are many, and nobody else does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::letters::{letter_stream, pattern};
use super::{NamedConsumer, count, id};
use crate::app::{App, Steps};
use crate::commands::READ_ONLY;
use crate::dispatcher::ConsumerName;
use crate::executor::Responder;
use crate::server::{BlockedClient, Context};
use gears_core::delivery::{ConsumerKey, EntryId, Letter, Record};
use gears_core::glob;
use gears_v8::ports::Reply;

/// Time of a step.
const STEP: Duration = Duration::from_micros(250);
/// Letters that a step finds at most.
const FOUND_MAX: usize = 128;
/// Time for which the command itself looks before its client waits.
const AT_ONCE: Duration = Duration::from_millis(2);
/// Entries that are looked at where the client cannot wait, as in a transaction.
const IN_TRANSACTION: usize = 10_000;

/// What a command says of the letters that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    /// Only these, if any are named.
    ids: Option<Vec<EntryId>>,
    error: Option<&'a [u8]>,
    /// Only what is behind this one.
    after: EntryId,
    count: Option<usize>,
    /// Whether somebody asked for all.
    pub(super) is_all: bool,
}

impl<'a> Choice<'a> {
    /// Whether nothing says which.
    pub(super) fn is_any(&self) -> bool {
        self.ids.is_none() && self.error.is_none() && self.after == EntryId::ZERO
    }

    /// Reads `[FROM id] [ID id ...] [ERROR pattern] [ALL] [COUNT n]`: COUNT has at most `most`.
    pub(super) fn parse(mut rest: &[&'a [u8]], most: usize) -> Result<Self, Reply> {
        let syntax_error = || Reply::error("ERR syntax error");
        let mut choice = Self {
            ids: None,
            error: None,
            after: EntryId::ZERO,
            count: None,
            is_all: false,
        };
        while let [keyword, values @ ..] = rest {
            let is = |name: &[u8]| keyword.eq_ignore_ascii_case(name);
            if is(b"all") {
                choice.is_all = true;
                rest = values;
                continue;
            }
            let [value, more @ ..] = values else {
                return Err(syntax_error());
            };
            rest = more;
            if is(b"from") {
                choice.after = id(value)?.before();
            } else if is(b"error") {
                choice.error = Some(pattern(value)?);
            } else if is(b"count") {
                choice.count = Some(count(value, most)?);
            } else if is(b"id") {
                let ids = choice.ids.get_or_insert_default();
                ids.push(id(value)?);
                while let [next, more @ ..] = rest
                    && next.first().is_some_and(u8::is_ascii_digit)
                {
                    ids.push(id(next)?);
                    rest = more;
                }
            } else {
                return Err(syntax_error());
            }
        }
        let named = [choice.ids.is_some(), choice.is_all];
        let others = choice.error.is_some() || choice.after != EntryId::ZERO;
        if named == [true, true] || (named.contains(&true) && others) {
            return Err(syntax_error());
        }
        if choice.ids.as_ref().is_some_and(|ids| ids.len() > most) {
            return Err(Reply::error(format!("ERR ID takes at most {most} IDs")));
        }
        Ok(choice)
    }

    /// How many are wanted, where `default` are without a word of it.
    pub(super) fn count(&self, default: usize) -> usize {
        let named = self.ids.as_ref().map_or(default, Vec::len);
        self.count.unwrap_or(named)
    }
}

/// Where to look next.
enum Place {
    Behind(EntryId),
    Only(VecDeque<EntryId>),
}

/// Dead letters that are being looked for.
pub(super) struct Selection {
    pub(super) consumer: ConsumerName,
    /// The database of the command's client.
    pub(super) db: i32,
    /// The stream that they are in.
    pub(super) from: Arc<[u8]>,
    stream: Option<Vec<u8>>,
    error: Option<Vec<u8>>,
    place: Option<Place>,
    /// How many more are wanted.
    left: usize,
    /// Entries that were looked at.
    looks: usize,
}

/// Letters that were found, each with the stream that it is about.
pub(super) type Found = Vec<(EntryId, Vec<u8>)>;

impl Selection {
    pub(super) fn new(
        app: &App,
        context: &Context,
        target: &NamedConsumer<'_>,
        choice: &Choice<'_>,
        left: usize,
    ) -> Result<Self, Reply> {
        Ok(Self {
            consumer: target.name.clone(),
            db: context.db(),
            from: letter_stream(app, context, target)?,
            stream: target.key.map(<[u8]>::to_vec),
            error: choice.error.map(<[u8]>::to_vec),
            place: Some(match &choice.ids {
                Some(ids) => Place::Only(ids.iter().copied().collect()),
                None => Place::Behind(choice.after),
            }),
            left,
            looks: 0,
        })
    }

    /// The consumer, if it is still there.
    pub(super) fn key(&self, app: &App) -> Option<ConsumerKey> {
        let registry = app.libraries.all();
        let library = registry.get(&*self.consumer.library)?;
        Some(library.consumers.get(&*self.consumer.consumer)?.key)
    }

    /// Those that a step finds. None are left where it is over.
    fn next(&mut self, context: &Context) -> Found {
        let mut found = Vec::new();
        let end = Instant::now() + STEP;
        let most = self.left.min(FOUND_MAX);
        if most == 0 || !context.select(self.db) {
            self.place = None;
            return found;
        }
        let mut looks = 0;
        let mut look = |record: Record<'_>| {
            looks += 1;
            let letter = Letter::of(record).filter(|letter| {
                letter.library == self.consumer.library.as_bytes()
                    && letter.consumer == self.consumer.consumer.as_bytes()
                    && self.stream.as_ref().is_none_or(|one| one == letter.stream)
                    && self
                        .error
                        .as_ref()
                        .is_none_or(|pattern| glob::matches(pattern, letter.error))
            });
            if let Some(letter) = letter {
                found.push((letter.letter, letter.stream.to_vec()));
            }
            found.len() < most && Instant::now() < end
        };
        self.place = match self.place.take() {
            None => None,
            Some(Place::Behind(after)) => context
                .look_through(&self.from, after, &mut look)
                .map(Place::Behind),
            Some(Place::Only(mut ids)) => {
                let mut goes_on = true;
                while goes_on && let Some(id) = ids.pop_front() {
                    goes_on = context.look_at(&self.from, id, &mut look).unwrap_or(true);
                }
                (!ids.is_empty()).then_some(Place::Only(ids))
            }
        };
        self.looks += looks;
        found
    }
}

/// What is done with letters that were found.
pub(super) trait Act {
    /// Does it; with how many it was done.
    ///
    /// # Errors
    /// Why it cannot go on.
    fn act(
        &self,
        app: &App,
        context: &Context,
        selection: &Selection,
        consumer: ConsumerKey,
        found: Found,
    ) -> Result<usize, Reply>;

    /// Whether it has to end here, with what is done.
    fn ends(&self) -> bool {
        false
    }
}

/// Letters that are looked for and dealt with, a step at a time.
pub(super) struct Work<A> {
    pub(super) selection: Selection,
    pub(super) act: A,
    done: usize,
    client: Option<BlockedClient>,
}

impl<A: Act + 'static> Work<A> {
    pub(super) fn new(selection: Selection, act: A) -> Self {
        Self {
            selection,
            act,
            done: 0,
            client: None,
        }
    }

    /// Does what can be done at once; `None` where the client waits for the rest. Also gives how
    /// many were dealt with by then.
    pub(super) fn begin(mut self, app: &App, context: &Context) -> (Option<Reply>, usize) {
        let end = Instant::now() + AT_ONCE;
        let mut may_wait = true;
        loop {
            let reply = match self.step_once(app, context) {
                Err(error) => Some(error),
                Ok(false) => Some(Reply::count(self.done)),
                Ok(true) if !may_wait && self.selection.looks >= IN_TRANSACTION => {
                    Some(Reply::count(self.done))
                }
                Ok(true) => None,
            };
            if reply.is_some() {
                // The client's database, which exists.
                context.select(self.selection.db);
                return (reply, self.done);
            }
            if may_wait && Instant::now() >= end {
                context.select(self.selection.db);
                match BlockedClient::new(context, Box::new(|| {})) {
                    Ok(client) => {
                        let done = self.done;
                        self.client = Some(client);
                        app.slice(Box::new(self));
                        return (None, done);
                    }
                    Err(_) => may_wait = false,
                }
            }
        }
    }

    /// Takes a step; whether more may be left.
    fn step_once(&mut self, app: &App, context: &Context) -> Result<bool, Reply> {
        if !context.state().is_primary {
            return Err(Reply::error(READ_ONLY));
        }
        let Some(consumer) = self.selection.key(app) else {
            let name = &self.selection.consumer.consumer;
            return Err(Reply::error(format!("ERR consumer '{name}' was removed")));
        };
        let found = self.selection.next(context);
        if !found.is_empty() {
            let done = self
                .act
                .act(app, context, &self.selection, consumer, found)?;
            self.done += done;
            self.selection.left = self.selection.left.saturating_sub(done);
        }
        Ok(self.selection.left > 0 && self.selection.place.is_some())
    }

    fn answer(&mut self, reply: Reply) {
        if let Some(client) = self.client.take() {
            Box::new(client).answer(reply);
        }
    }
}

impl<A: Act + 'static> Steps for Work<A> {
    fn step(&mut self, app: &App) -> bool {
        if self.act.ends() {
            self.answer(Reply::count(self.done));
            return false;
        }
        match self.step_once(app, &Context::detached()) {
            Ok(true) => true,
            Ok(false) => {
                self.answer(Reply::count(self.done));
                false
            }
            Err(error) => {
                self.answer(error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Choice<'_>, Reply> {
        let words: Vec<_> = text.split_whitespace().map(str::as_bytes).collect();
        Choice::parse(&words, 3)
    }

    #[test]
    fn ids_are_all_that_begin_with_a_digit() {
        let choice = parse("ID 1-1 2 3-0 count 2").expect("it is right");
        let ids = [EntryId::new(1, 1), EntryId::new(2, 0), EntryId::new(3, 0)];
        assert_eq!(choice.ids.as_deref(), Some(&ids[..]));
        assert_eq!(choice.count(100), 2);
        assert_eq!(parse("id 1-1 id 2-1").expect("likewise").count(100), 2);
        assert_eq!(parse("").expect("likewise").count(100), 100);
    }

    #[test]
    fn what_says_which_does_not_go_together() {
        for text in [
            "ID 1-1 FROM 1-1",
            "ID 1-1 ERROR x",
            "ALL ID 1-1",
            "ALL ERROR x",
            "ID",
            "FROM",
            "COUNT",
            "NOSUCH 1",
            "STREAM s",
        ] {
            assert_eq!(parse(text), Err(Reply::error("ERR syntax error")), "{text}");
        }
        assert!(parse("ID x").is_err() && parse("ID 1-1 2-x").is_err());
        assert!(parse("ID 1 2 3 4").is_err() && parse("COUNT 4").is_err());
        assert!(parse("FROM 1-1 ERROR x COUNT 3").is_ok_and(|one| !one.is_any()));
    }
}
