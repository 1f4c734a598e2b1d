//! What the server is and takes: its role, a data set that is loaded, writes that it refuses.

use super::super::event::Refusal;
use super::super::subscription::Recall;
use super::Delivery;

impl Delivery {
    pub(super) fn role_changed(&mut self, primary: bool) {
        if self.primary == primary {
            return;
        }
        self.primary = primary;
        // What the server refuses in its new role has to be told anew.
        self.refusal = None;
        for consumer in self.all_consumers() {
            // Whether owners may have their streams is asked anew as well.
            self.consumers[consumer].blocked.clear();
            self.consumers[consumer].unlettered.clear();
            if primary {
                self.rescan_all(consumer);
            } else {
                for sub in self.engaged(consumer) {
                    self.subs.at_mut(sub).note_demotion();
                }
                self.recall_all(consumer, Recall::Demotion);
            }
        }
    }

    /// A data set begins or ended to be loaded. What becomes of its keys while it is loaded from
    /// a log of commands is followed; nothing is dispatched.
    pub(super) fn loading(&mut self, loading: bool) {
        if loading {
            self.flushed(None);
        }
        self.loading = loading;
        for consumer in self.all_consumers() {
            self.rescan_all(consumer);
        }
    }

    /// The server refuses what clients write, or takes it again. Meanwhile callbacks could do
    /// nothing but fail, so nothing is dispatched, and what waits beside them is recalled.
    pub(super) fn writes_refused(&mut self, refusal: Option<Refusal>) {
        let was_refused = self.refusal.is_some();
        self.refusal = refusal;
        if was_refused == self.refusal.is_some() {
            return;
        }
        for consumer in self.all_consumers() {
            if self.refusal.is_some() {
                self.recall_all(consumer, Recall::Demotion);
            } else {
                self.schedule_all(consumer);
            }
        }
    }

    /// Why nothing can be written now, as it was told last.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Whether trims are let through.
    pub(super) fn may_trim(&self) -> bool {
        self.refusal.as_ref().is_none_or(|refusal| refusal.may_trim)
    }

    /// Whether streams are consumed here and now: on a primary that is not loading.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.primary && !self.loading
    }
}
