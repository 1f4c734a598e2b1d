//! How far batches run ahead of the window, and the places that they take beside the callback.

use super::super::policy::Policy;

/// Entries that run ahead at most.
const ENTRIES_MAX: usize = 512;

/// What is known of that, of one subscription.
#[derive(Debug, Default)]
pub(in super::super) struct Ahead {
    /// Batches up to this number are with the code of an earlier upgrade.
    on_old_code: u64,
    /// How many there are of these.
    with_old_code: usize,
    /// Batches that are done, and whose places beside the callback are taken until that is committed.
    held: usize,
    /// Batches that failed so far.
    failures: u64,
    /// Batches that ended well since one failed.
    calm: usize,
}

impl Ahead {
    /// How many batches beyond the window may wait beside the callback, where so many entries are
    /// worth that. A failure has them come back, so it takes as many that end well before there are
    /// as many again. Before the first failure all streams of a consumer have as many, so that none
    /// runs away from the others. Places of earlier code are known here alone.
    pub(in super::super) fn batches(&self, entries: usize, policy: &Policy) -> usize {
        if self.with_old_code > 0 {
            return 0;
        }
        let most = entries.min(ENTRIES_MAX) / policy.batch.unwrap_or(1);
        if self.failures == 0 {
            most
        } else {
            most.min(self.calm)
        }
    }

    /// Whether no place is taken, and nothing failed.
    pub(super) fn is_at_rest(&self) -> bool {
        // A field that is added has to be thought of here.
        let Self {
            on_old_code: _,
            with_old_code,
            held,
            failures,
            calm: _,
        } = self;
        // Who keeps the batch queue counts failures too.
        *with_old_code == 0 && *held == 0 && *failures == 0
    }

    /// The callback is done with a batch. Whoever has the batch queue counts alike; that of earlier code
    /// is not the one that is there now.
    pub(super) fn note_call(&mut self, number: u64, failed: bool) {
        if number <= self.on_old_code {
            return;
        }
        if failed {
            self.failures += 1;
            self.calm = 0;
        } else {
            self.calm = self.calm.saturating_add(1);
        }
    }

    /// A batch is not in flight any more.
    pub(super) fn note_complete(&mut self, number: u64) {
        self.with_old_code -= usize::from(number <= self.on_old_code);
    }

    /// The batches up to this number, of which there are so many, are with earlier code from now on.
    pub(super) fn begin_new_code(&mut self, last: u64, batches: usize) {
        self.on_old_code = last;
        self.with_old_code = batches;
        self.held = 0;
    }

    /// How many batches failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Whether one ever ended with a failure: who keeps the batch queue remembers that.
    pub(in super::super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// A batch is done whose place is taken until that is committed.
    pub(in super::super) fn note_held(&mut self, number: u64) {
        self.held += usize::from(number > self.on_old_code);
    }

    /// How many such places there are.
    pub(in super::super) fn held(&self) -> usize {
        self.held
    }

    /// Places of such batches, which are free now.
    pub(in super::super) fn take_held(&mut self) -> usize {
        std::mem::take(&mut self.held)
    }
}
