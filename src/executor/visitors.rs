//! Runs that began on other shards, as far as this one takes part in them.
//!
//! Each is known while a stage of it runs here. One that is to end is known for a minute longer: a stage of it may be
//! on its way, and must find that out when it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gears_v8::ports::Reply;

use super::execution_view::{ExecutionView, Status};
use super::executions::ABORTED;

/// For how long it is remembered that a run of another shard was aborted.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A run that began on another shard.
pub(super) struct Visitor {
    user: Arc<str>,
    /// How many stages of it run here.
    stages: usize,
    /// When it was ended, last.
    aborted: Option<Instant>,
    began: Instant,
    /// What it does, as JSON text; empty where that is not known yet.
    plan: String,
}

impl Visitor {
    fn new(user: &str, now: Instant) -> Self {
        Self {
            user: user.into(),
            stages: 0,
            aborted: None,
            began: now,
            plan: String::new(),
        }
    }

    /// In whose name it acts.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Where it is.
    pub(super) fn status(&self) -> Status {
        match self.aborted {
            Some(_) => Status::Aborted,
            None => Status::Running,
        }
    }

    /// What is known of it here.
    pub(super) fn view(&self) -> ExecutionView {
        let mut view = ExecutionView::new(&self.plan, Some(Arc::clone(&self.user)));
        view.status = self.status();
        view.took = self.began.elapsed();
        if view.status == Status::Aborted {
            view.take_outcome(Reply::error(ABORTED));
        }
        view
    }
}

/// The runs of other shards, by their IDs.
#[derive(Default)]
pub(super) struct Visitors(BTreeMap<String, Visitor>);

impl Visitors {
    /// A stage of a run begins here.
    pub(super) fn join(&mut self, id: &str, user: &str, now: Instant) {
        let visitor = self.0.entry(id.to_owned());
        visitor.or_insert_with(|| Visitor::new(user, now)).stages += 1;
    }

    /// What a run does of which a stage runs here.
    pub(super) fn note_plan(&mut self, id: &str, plan: &str) {
        if let Some(visitor) = self.0.get_mut(id).filter(|one| one.stages > 0) {
            plan.clone_into(&mut visitor.plan);
        }
    }

    /// A stage of it has ended.
    pub(super) fn leave(&mut self, id: &str) {
        if let Some(visitor) = self.0.get_mut(id) {
            visitor.stages = visitor.stages.saturating_sub(1);
            if visitor.stages == 0 && visitor.aborted.is_none() {
                self.0.remove(id);
            }
        }
    }

    /// Ends a run of which a stage runs here; false where none does.
    pub(super) fn abort_running(&mut self, id: &str, now: Instant) -> bool {
        self.forget_old(now);
        let visitor = self.0.get_mut(id).filter(|one| one.stages > 0);
        visitor.map(|one| one.aborted = Some(now)).is_some()
    }

    /// Ends a run, also where its stages have yet to come.
    pub(super) fn abort(&mut self, id: &str, now: Instant) {
        self.forget_old(now);
        let visitor = self.0.entry(id.to_owned());
        visitor.or_insert_with(|| Visitor::new("", now)).aborted = Some(now);
    }

    /// Whether a run that is known was ended.
    pub(super) fn is_aborted(&self, id: &str) -> Option<bool> {
        self.0.get(id).map(|one| one.aborted.is_some())
    }

    /// A run of which a stage runs here.
    pub(super) fn running(&self, id: &str) -> Option<&Visitor> {
        self.0.get(id).filter(|one| one.stages > 0)
    }

    /// Those of which a stage runs here.
    pub(super) fn all_running(&self) -> impl Iterator<Item = (&String, &Visitor)> {
        self.0.iter().filter(|(_, one)| one.stages > 0)
    }

    /// Those of which no stage runs, nor can be on its way.
    fn forget_old(&mut self, now: Instant) {
        let is_fresh = |aborted| now.saturating_duration_since(aborted) < REMEMBERED;
        self.0
            .retain(|_, one| one.stages > 0 || one.aborted.is_some_and(is_fresh));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_while_a_stage_of_it_runs() {
        let now = Instant::now();
        let mut visitors = Visitors::default();
        visitors.join("a-1", "anna", now);
        visitors.join("a-1", "anna", now);
        visitors.leave("a-1");
        assert_eq!(visitors.running("a-1").map(Visitor::user), Some("anna"));
        visitors.leave("a-1");
        assert!(visitors.running("a-1").is_none());
        assert_eq!(visitors.is_aborted("a-1"), None);
        assert!(!visitors.abort_running("a-1", now));
    }

    #[test]
    fn what_a_run_does_is_known_while_a_stage_of_it_runs_and_what_comes_of_one_that_was_ended() {
        let now = Instant::now();
        let mut visitors = Visitors::default();
        visitors.note_plan("a-1", "{}");
        visitors.join("a-1", "anna", now);
        let view = |visitors: &Visitors| visitors.running("a-1").map(Visitor::view).unwrap();
        assert_eq!(view(&visitors).plan, "");
        visitors.note_plan("a-1", "{}");
        assert_eq!(view(&visitors).plan, "{}");
        assert!(visitors.abort_running("a-1", now));
        assert_eq!(view(&visitors).errors, [Reply::text(ABORTED)]);
    }

    #[test]
    fn that_a_run_was_ended_is_known_before_and_after_its_stages() {
        let now = Instant::now();
        let mut visitors = Visitors::default();
        visitors.abort("a-1", now);
        assert_eq!(visitors.all_running().count(), 0);
        visitors.join("a-1", "anna", now);
        assert_eq!(visitors.is_aborted("a-1"), Some(true));
        visitors.leave("a-1");
        assert_eq!(visitors.is_aborted("a-1"), Some(true));
        assert!(!visitors.abort_running("a-1", now));
    }

    #[test]
    fn that_a_run_was_ended_is_known_for_a_minute_however_long_it_ran_before() {
        let began = Instant::now();
        let mut visitors = Visitors::default();
        visitors.join("a-1", "anna", began);
        let ended = began + 10 * REMEMBERED;
        assert!(visitors.abort_running("a-1", ended));
        visitors.leave("a-1");
        visitors.abort("a-2", ended + REMEMBERED / 2);
        assert_eq!(visitors.is_aborted("a-1"), Some(true));
        visitors.abort("a-3", ended + REMEMBERED);
        assert_eq!(visitors.is_aborted("a-1"), None);
        assert_eq!(visitors.is_aborted("a-2"), Some(true));
    }
}
