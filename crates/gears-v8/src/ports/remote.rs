//! Calls of remote functions: what scripts ask for, and what comes back.
//!
//! A script goes on while its call is on its way. What came of it is put into the [`RemoteReturns`] of
//! its program, and the program settles the promise when it is entered next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gears_core::digest::TextDigest;
use gears_core::lanes::Lanes;
use parking_lot::Mutex;

use super::{CallbackId, Credentials, Held};

/// Where a remote function is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemotePlace {
    /// On the shard that has the slot of this key.
    Key(Vec<u8>),
    /// On every shard.
    AllShards,
    /// On the shard of that name, for that execution; its ID is empty where it is none that is listed.
    Shard {
        /// The shard.
        shard: String,
        /// The execution.
        execution: String,
        /// What the text of the code is known by, see [`digest_of`].
        digest: u64,
    },
    /// Nowhere: what comes back is the cluster's table, as text.
    Table,
}

/// What [`RemoteCall::function`] is for a stage of an execution of `GearsBuilder`: no function is called by that.
pub const STAGE: &str = "";

/// What a text of code is known by, on every server the same.
#[must_use]
pub fn digest_of(text: &str) -> u64 {
    TextDigest::of(text).short()
}

/// A call of a remote function, as a script makes it.
#[derive(Debug)]
pub struct RemoteCall {
    /// What the program knows it by.
    pub number: u64,
    /// The library's name.
    pub library: String,
    /// The function's name.
    pub function: String,
    /// Where it is to run.
    pub place: RemotePlace,
    /// In whose name.
    pub credentials: Credentials,
    /// Its arguments: an array, cloned.
    pub arguments: Vec<u8>,
    /// Milliseconds that it has, where the caller says so.
    pub timeout_ms: Option<u32>,
    /// Where what comes of it is waited for.
    pub returns: Arc<RemoteReturns>,
}

/// Takes the calls of scripts. Used by any thread.
pub trait RemoteCalls: Send + Sync {
    /// Bytes that the arguments of a call, or what it gives, may have.
    fn max_bytes(&self) -> usize;

    /// Bytes that records of an execution may take while they are on their way from shard to shard.
    fn execution_bytes(&self) -> usize;

    /// Whether the server is in a cluster.
    fn is_in_cluster(&self) -> bool;

    /// Has a call made.
    fn call(&self, call: RemoteCall);
}

/// What is known of a call that has not ended as its function says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteErrorCode {
    /// It certainly has not run.
    NotSent,
    /// Its time was over.
    Timeout,
    /// The shard that had it is gone.
    ShardFailed,
    /// It has thrown what cannot come as it is.
    Thrown,
    /// It was begun with, and has no result that could come.
    NoResult,
}

impl RemoteErrorCode {
    /// As scripts read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Timeout => "timeout",
            Self::ShardFailed => "shard_failed",
            Self::Thrown => "thrown",
            Self::NoResult => "no_result",
        }
    }
}

/// Why there is no result of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteError {
    /// In words.
    pub text: String,
    /// What is known of it; `None` where the function has thrown what comes as it is.
    pub code: Option<RemoteErrorCode>,
    /// Whether the function may have run.
    pub may_have_run: bool,
    /// Where the function has thrown.
    pub stack: Option<String>,
    /// What it has thrown, cloned, where that is possible; with the code that says so, what is known of
    /// the cause of that.
    pub thrown: Option<Arc<[u8]>>,
}

/// What came of a call on one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOutcome {
    /// The shard's name; empty where none was found.
    pub shard: String,
    /// The result, cloned.
    pub outcome: Result<Bytes, RemoteError>,
}

impl ShardOutcome {
    /// Bytes of what came.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.outcome {
            Ok(bytes) => bytes.len(),
            Err(error) => error.thrown.as_ref().map_or(0, |thrown| thrown.len()),
        }
    }
}

/// What came of a call.
#[derive(Debug)]
pub struct RemoteReturn {
    /// The call.
    pub number: u64,
    /// One for each shard, where it was to run on all.
    pub outcomes: Vec<ShardOutcome>,
    /// Whether it was to run on all.
    pub of_all_shards: bool,
    /// What it takes until the program has it, where that counts.
    pub held: Option<Held>,
}

/// Which of what came is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Small ones alone: there is no time for one that takes long.
    Small,
    /// All.
    All,
}

type Wake = Box<dyn Fn() + Send + Sync>;

/// What came of calls of one program, until that is entered.
#[derive(Default)]
pub struct RemoteReturns {
    waiting: Mutex<Lanes<RemoteReturn>>,
    has_some: AtomicBool,
    is_closed: AtomicBool,
    wake: OnceLock<Wake>,
}

impl std::fmt::Debug for RemoteReturns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RemoteReturns")
    }
}

impl RemoteReturns {
    /// Says what has the program entered.
    pub fn set_wake(&self, wake: Wake) {
        // Once set it stays.
        let _ = self.wake.set(wake);
    }

    /// Has the program entered.
    pub fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// The program is gone: nobody takes anything any more.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        self.is_closed.store(true, Ordering::Release);
        let left = std::mem::take(&mut *waiting);
        drop(waiting);
        drop(left);
    }

    /// Whether the program is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Adds what came of a call, and has the program entered.
    pub fn push(&self, one: RemoteReturn) {
        let bytes = one.outcomes.iter().map(ShardOutcome::bytes).sum();
        let mut waiting = self.waiting.lock();
        if self.is_closed() {
            return;
        }
        waiting.push(bytes, one);
        drop(waiting);
        self.has_some.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether there is something.
    #[must_use]
    pub fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Acquire)
    }

    /// Takes at most so many, see [`Lanes::take`].
    #[must_use]
    pub fn take(&self, most: usize, which: Returns) -> Vec<RemoteReturn> {
        let mut waiting = self.waiting.lock();
        let taken = match which {
            Returns::Small => waiting.take_small(most),
            Returns::All => waiting.take(most),
        };
        self.has_some.store(!waiting.is_empty(), Ordering::Release);
        taken
    }
}

/// One call of a remote function, where it runs.
#[derive(Clone, Copy, Debug)]
pub struct RemoteInvocation<'a> {
    /// Which callback.
    pub callback: CallbackId,
    /// What it acts with.
    pub credentials: &'a Arc<Credentials>,
    /// Its arguments: an array, cloned.
    pub arguments: &'a [u8],
    /// What a pending outcome will be known by.
    pub token: u64,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn what_came_back_is_taken_in_order_and_some_at_a_time() {
        let returns = RemoteReturns::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        returns.set_wake(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        assert!(!returns.has_some());
        for number in 0..3 {
            returns.push(RemoteReturn {
                number,
                outcomes: Vec::new(),
                of_all_shards: true,
                held: None,
            });
        }
        assert_eq!(woken.load(Ordering::Relaxed), 3);
        let numbers = |taken: Vec<RemoteReturn>| -> Vec<u64> {
            taken.into_iter().map(|one| one.number).collect()
        };
        assert_eq!(numbers(returns.take(2, Returns::All)), [0, 1]);
        assert!(returns.has_some());
        assert_eq!(numbers(returns.take(2, Returns::All)), [2]);
        assert!(!returns.has_some());
        assert_eq!(numbers(returns.take(2, Returns::All)), [0; 0]);
    }

    #[test]
    fn a_large_one_is_still_there_when_small_ones_alone_were_taken() {
        let returns = RemoteReturns::default();
        for (number, bytes) in [(0, 1 << 20), (1, 1)] {
            let outcome = ShardOutcome {
                shard: String::new(),
                outcome: Ok(vec![0; bytes].into()),
            };
            returns.push(RemoteReturn {
                number,
                outcomes: vec![outcome],
                of_all_shards: false,
                held: None,
            });
        }
        let numbers = |which| -> Vec<u64> {
            let taken = returns.take(9, which);
            taken.into_iter().map(|one| one.number).collect()
        };
        assert_eq!(numbers(Returns::Small), [1]);
        assert_eq!(numbers(Returns::Small), [0; 0]);
        assert!(returns.has_some(), "the program is to come for it");
        assert_eq!(numbers(Returns::All), [0]);
        assert!(!returns.has_some());
    }
}
