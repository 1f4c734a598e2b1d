//! Runs over the data set: what goes on, and what came of it.
//!
//! A run is known from its beginning until it is dropped: by who asked for it, or when there are
//! too many that have ended. Whoever waits for one is answered when it ends, which includes that
//! it is aborted; what its script gives after that is nobody's any more.
//!
//! In a cluster, runs of other shards that this one takes part in are there besides, see [`Visitors`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use gears_v8::ports::{Executions, Reply};

use super::execution_view::{ExecutionView, ShardView, Status};
use super::library_executor::LibraryExecutor;
use super::task::Responder;
use super::visitors::Visitors;

struct Execution {
    view: ExecutionView,
    began: Instant,
    /// Whether it stays after who waited was answered.
    kept: bool,
    /// Of what came of it.
    bytes: usize,
    waiting: Vec<Box<dyn Responder>>,
    /// The script that it is of, where nothing else keeps that.
    script: Option<Arc<LibraryExecutor>>,
}

/// What is kept of runs that have ended, as the settings say: the oldest of them go.
#[derive(Debug, Default)]
pub(crate) struct KeptRuns {
    /// How many.
    pub(crate) most: AtomicUsize,
    /// Bytes of all that came of them; the last one stays, whatever that takes.
    pub(crate) bytes: AtomicUsize,
}

/// The `GearsBuilder` runs that are going on, and the last ones that ended.
/// Used by any thread.
pub(crate) struct ExecutionLog {
    /// What IDs begin with.
    shard: String,
    kept: Arc<KeptRuns>,
    all: Mutex<All>,
    /// Whether other shards have not been told yet of runs that were aborted here.
    has_to_tell: AtomicBool,
}

#[derive(Default)]
struct All {
    last: u64,
    /// By the number in their IDs.
    known: BTreeMap<u64, Execution>,
    /// Those of other shards.
    visitors: Visitors,
    /// Runs that were aborted here, for other shards.
    to_tell: Vec<String>,
}

/// What comes of a run that is ended.
pub(crate) const ABORTED: &str = "The execution was aborted";

impl ExecutionLog {
    /// An empty one, of that shard.
    #[must_use]
    pub(crate) fn new(shard: String, kept: Arc<KeptRuns>) -> Self {
        Self {
            shard,
            kept,
            all: Mutex::default(),
            has_to_tell: AtomicBool::new(false),
        }
    }

    /// A stage of a run of another shard begins here.
    pub(crate) fn join(&self, id: &str, user: &str) {
        self.all.lock().visitors.join(id, user, Instant::now());
    }

    /// A stage of it has ended.
    pub(crate) fn leave(&self, id: &str) {
        self.all.lock().visitors.leave(id);
    }

    /// Whether this shard was told that such a run of another one is to end. Nothing of it may begin here any more.
    #[must_use]
    pub(crate) fn is_aborted_elsewhere(&self, id: &str) -> bool {
        self.all.lock().visitors.is_aborted(id) == Some(true)
    }

    /// Another shard says that a run is to end.
    pub(crate) fn abort_for_another(&self, id: &str) {
        if self.number(id).is_some() {
            self.abort(id);
        } else {
            self.all.lock().visitors.abort(id, Instant::now());
        }
    }

    /// Runs that were aborted here since the last time.
    pub(crate) fn take_aborted(&self) -> Vec<String> {
        if !self.has_to_tell.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.all.lock().to_tell)
    }

    fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.shard)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    fn add(
        &self,
        plan: &str,
        user: Option<&str>,
        kept: bool,
        script: Option<Arc<LibraryExecutor>>,
    ) -> String {
        let mut all = self.all.lock();
        let number = all.last;
        all.last += 1;
        let execution = Execution {
            view: ExecutionView::new(plan, user.map(Arc::from)),
            began: Instant::now(),
            kept,
            bytes: 0,
            waiting: Vec::new(),
            script,
        };
        all.known.insert(number, execution);
        format!("{}-{number}", self.shard)
    }

    /// A script's own run begins; what came of it is to be given to the caller that comes with its
    /// ID. `kept`: it stays when it has ended, though nobody waits. `script`: what lives for that
    /// run alone, and ends with it.
    pub(crate) fn begin_script(
        self: &Arc<Self>,
        plan: &str,
        user: &str,
        kept: bool,
        script: Option<Arc<LibraryExecutor>>,
    ) -> (String, Box<dyn Responder>) {
        let id = self.add(plan, Some(user), kept, script);
        let ending = Ending {
            log: Arc::clone(self),
            id: id.clone(),
            ended: false,
        };
        (id, Box::new(ending))
    }

    /// Has somebody wait for the end of a run; given back where there is none of that ID.
    ///
    /// # Errors
    /// With the caller.
    pub(crate) fn wait(
        &self,
        id: &str,
        responder: Box<dyn Responder>,
    ) -> Result<(), Box<dyn Responder>> {
        let mut all = self.all.lock();
        let found = self
            .number(id)
            .and_then(|number| all.known.get_mut(&number));
        match found {
            None => return Err(responder),
            Some(execution) if execution.view.status == Status::Running => {
                execution.waiting.push(responder);
            }
            Some(execution) => {
                let outcome = execution.view.outcome();
                drop(all);
                responder.answer(outcome);
            }
        }
        Ok(())
    }

    /// The runs of users of whom `shown` is true, the earliest first.
    pub(crate) fn list(
        &self,
        mut shown: impl FnMut(Option<&str>) -> bool,
    ) -> Vec<(String, Status)> {
        let all = self.all.lock();
        let own = all.known.iter().map(|(number, one)| {
            let id = format!("{}-{number}", self.shard);
            (one.view.user.as_deref(), id, one.view.status)
        });
        let visitors = all.visitors.all_running();
        let others = visitors.map(|(id, one)| (Some(one.user()), id.clone(), one.status()));
        own.chain(others)
            .filter(|(user, ..)| shown(*user))
            .map(|(_, id, status)| (id, status))
            .collect()
    }

    /// Whether there is a run of that ID, which acts in the name of such a user.
    #[must_use]
    pub(crate) fn has(&self, id: &str, of: impl FnOnce(Option<&str>) -> bool) -> bool {
        let all = self.all.lock();
        if let Some(visitor) = all.visitors.running(id) {
            return of(Some(visitor.user()));
        }
        let found = self.number(id).and_then(|number| all.known.get(&number));
        found.is_some_and(|execution| of(execution.view.user.as_deref()))
    }

    /// Whether it began on another shard, of which a part runs here: the shard's name.
    #[must_use]
    pub(crate) fn began_at<'a>(&self, id: &'a str) -> Option<&'a str> {
        self.all.lock().visitors.running(id)?;
        id.rsplit_once('-').map(|(shard, _)| shard)
    }

    /// How a run that began here stands on each shard that takes part, for another shard.
    #[must_use]
    pub(crate) fn of_shards(&self, id: &str) -> Option<Vec<ShardView>> {
        self.number(id)?;
        Some(self.view(id)?.of_shards(&self.shard))
    }

    /// One run.
    #[must_use]
    pub(crate) fn view(&self, id: &str) -> Option<ExecutionView> {
        let all = self.all.lock();
        if let Some(visitor) = all.visitors.running(id) {
            return Some(visitor.view());
        }
        let execution = all.known.get(&self.number(id)?)?;
        let mut view = execution.view.clone();
        if view.status == Status::Running {
            view.took = execution.began.elapsed();
        }
        Some(view)
    }

    /// Forgets a run that has ended; false where there is none of that ID, or it goes on.
    pub(crate) fn drop_ended(&self, id: &str) -> bool {
        let mut all = self.all.lock();
        let Some(number) = self.number(id) else {
            return false;
        };
        let ended = all.known.get(&number);
        let ended = ended.is_some_and(|one| one.view.status != Status::Running);
        if ended {
            all.known.remove(&number);
        }
        ended
    }

    /// Ends a run; false where there is none of that ID. One that has ended stays as it is. The other shards are
    /// told.
    pub(crate) fn abort(&self, id: &str) -> bool {
        let script = {
            let mut all = self.all.lock();
            if all.visitors.abort_running(id, Instant::now()) {
                self.tell(&mut all, id);
                return true;
            }
            let found = self.number(id).and_then(|number| all.known.get(&number));
            let Some(execution) = found else {
                return false;
            };
            let script = execution.script.clone();
            if execution.view.status == Status::Running && execution.view.is_shared() {
                self.tell(&mut all, id);
            }
            script
        };
        self.finish(id, Status::Aborted, Reply::error(ABORTED));
        if let Some(script) = script {
            script.shut_down(true);
            script.note_responder_gone();
        }
        true
    }

    /// Scripts whose runs go on, and that nothing else keeps.
    #[must_use]
    pub(crate) fn scripts(&self) -> Vec<Arc<LibraryExecutor>> {
        let all = self.all.lock();
        let scripts = all.known.values().filter_map(|one| one.script.clone());
        scripts.collect()
    }

    fn tell(&self, all: &mut All, id: &str) {
        all.to_tell.push(id.to_owned());
        self.has_to_tell.store(true, Ordering::Release);
    }

    fn finish(&self, id: &str, status: Status, came: Reply) {
        let Some(number) = self.number(id) else {
            return;
        };
        let mut all = self.all.lock();
        let running = all.known.get_mut(&number);
        let Some(execution) = running.filter(|one| one.view.status == Status::Running) else {
            return;
        };
        // It was ended here, by a limit perhaps, and nobody else would end what other shards have of it.
        let is_to_tell = status == Status::Done && execution.view.goes_on_elsewhere();
        execution.view.status = status;
        execution.view.took = execution.began.elapsed();
        execution.bytes = came.memory();
        execution.view.end_parts();
        execution.view.take_outcome(came);
        let answer = execution.view.outcome();
        let waiting = std::mem::take(&mut execution.waiting);
        let script = execution.script.take();
        if !execution.kept {
            all.known.remove(&number);
        }
        let dropped = self.drop_oldest(&mut all);
        if is_to_tell {
            self.tell(&mut all, id);
        }
        drop(all);
        // Not under the lock: these may be the last of their scripts.
        drop((script, dropped));
        for responder in waiting {
            responder.answer(answer.clone());
        }
    }

    fn drop_oldest(&self, all: &mut All) -> Vec<Execution> {
        let most = self.kept.most.load(Ordering::Relaxed);
        let bytes_max = self.kept.bytes.load(Ordering::Relaxed);
        let mut bytes = 0_usize;
        let ended = all.known.iter().rev();
        let ended = ended.filter(|(_, one)| one.view.status != Status::Running);
        let dropped = ended.enumerate().filter(|(behind, (_, one))| {
            bytes = bytes.saturating_add(one.bytes);
            *behind >= most || (*behind > 0 && bytes > bytes_max)
        });
        let dropped: Vec<_> = dropped.map(|(_, (number, _))| *number).collect();
        let dropped = dropped
            .into_iter()
            .filter_map(|number| all.known.remove(&number));
        dropped.collect()
    }
}

impl Executions for ExecutionLog {
    fn begin(&self, plan: &str, user: Option<&str>) -> String {
        self.add(plan, user, true, None)
    }

    fn is_aborted(&self, id: &str) -> bool {
        let all = self.all.lock();
        if let Some(is_aborted) = all.visitors.is_aborted(id) {
            return is_aborted;
        }
        let found = self.number(id).and_then(|number| all.known.get(&number));
        found.is_none_or(|one| one.view.status == Status::Aborted)
    }

    fn note_shards(&self, id: &str, shards: &str) {
        let mut all = self.all.lock();
        let number = self.number(id);
        if let Some(one) = number.and_then(|number| all.known.get_mut(&number)) {
            one.view.note_parts(shards);
        }
    }

    fn note_plan(&self, id: &str, plan: &str) {
        self.all.lock().visitors.note_plan(id, plan);
    }

    fn end(&self, id: &str, outcome: Reply) {
        self.finish(id, Status::Done, outcome);
    }
}

/// Takes what came of a script's own run.
struct Ending {
    log: Arc<ExecutionLog>,
    id: String,
    ended: bool,
}

impl Responder for Ending {
    fn answer(mut self: Box<Self>, reply: Reply) {
        self.ended = true;
        self.log.finish(&self.id, Status::Done, reply);
    }

    fn is_gone(&self) -> bool {
        self.log.is_aborted(&self.id)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.ended {
            let error = Reply::error("The execution ended without a result");
            self.log.finish(&self.id, Status::Done, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(most: usize) -> ExecutionLog {
        log_of(most, usize::MAX)
    }

    fn log_of(most: usize, bytes: usize) -> ExecutionLog {
        let kept = KeptRuns {
            most: AtomicUsize::new(most),
            bytes: AtomicUsize::new(bytes),
        };
        ExecutionLog::new("0".repeat(40), Arc::new(kept))
    }

    fn lists(results: &[&str], errors: &[&str]) -> Reply {
        let list =
            |texts: &[&str]| Reply::Array(texts.iter().map(|one| Reply::text(*one)).collect());
        Reply::Array(vec![list(results), list(errors)])
    }

    struct Waits(std::sync::mpsc::Sender<Reply>);

    impl Responder for Waits {
        fn answer(self: Box<Self>, reply: Reply) {
            self.0.send(reply).unwrap();
        }

        fn is_gone(&self) -> bool {
            false
        }
    }

    #[test]
    fn who_waits_is_answered_when_the_run_ends_and_at_once_when_it_has_ended() {
        let log = log(10);
        let id = log.begin("{}", Some("anna"));
        let (sender, answers) = std::sync::mpsc::channel();
        assert!(log.wait(&id, Box::new(Waits(sender.clone()))).is_ok());
        assert!(answers.try_recv().is_err());
        log.end(&id, lists(&["a"], &["b"]));
        assert_eq!(answers.try_recv().unwrap(), lists(&["a"], &["b"]));
        assert!(log.wait(&id, Box::new(Waits(sender.clone()))).is_ok());
        assert_eq!(answers.try_recv().unwrap(), lists(&["a"], &["b"]));
        assert!(log.wait("no-1", Box::new(Waits(sender))).is_err());
    }

    #[test]
    fn an_aborted_run_stays_so_whatever_its_script_gives() {
        let log = log(10);
        let id = log.begin("{}", Some("anna"));
        assert!(!log.is_aborted(&id));
        assert!(log.abort(&id));
        assert!(log.is_aborted(&id));
        log.end(&id, lists(&["a"], &[]));
        let view = log.view(&id).unwrap();
        assert_eq!((view.status, view.results.len()), (Status::Aborted, 0));
        assert_eq!(view.errors, [Reply::text(ABORTED)]);
        assert!(!log.abort("no-1"));
    }

    #[test]
    fn a_run_of_another_shard_is_known_while_a_stage_of_it_runs() {
        let log = log(10);
        let id = format!("{}-3", "1".repeat(40));
        assert!(!log.abort(&id));
        log.join(&id, "anna");
        log.join(&id, "anna");
        assert!(log.has(&id, |user| user == Some("anna")));
        assert_eq!(log.list(|_| true), [(id.clone(), Status::Running)]);
        assert!(!log.is_aborted(&id));
        log.leave(&id);
        assert!(log.abort(&id));
        assert!(log.is_aborted(&id));
        assert_eq!(log.take_aborted(), [id.as_str()]);
        assert!(log.take_aborted().is_empty());
        log.leave(&id);
        assert_eq!(log.list(|_| true), []);
        assert!(log.is_aborted(&id), "a stage of it may be on its way");
        assert!(log.is_aborted_elsewhere(&id));
        assert!(!log.is_aborted_elsewhere(&format!("{}-4", "1".repeat(40))));
    }

    #[test]
    fn other_shards_are_told_of_a_run_that_they_take_part_in() {
        let log = log(10);
        let [local, shared] = [(); 2].map(|()| log.begin("{}", Some("anna")));
        log.note_shards(&shared, "[]");
        assert!(log.abort(&local) && log.abort(&shared));
        assert_eq!(log.take_aborted(), [shared.as_str()]);
        log.abort_for_another(&log.begin("{}", Some("anna")));
        let ahead = format!("{}-9", "1".repeat(40));
        log.abort_for_another(&ahead);
        log.join(&ahead, "anna");
        assert!(log.is_aborted(&ahead));
    }

    #[test]
    fn other_shards_are_told_of_a_run_that_ends_before_they_have() {
        let log = log(10);
        let [whole, part] = [(); 2].map(|()| log.begin("{}", Some("anna")));
        log.note_shards(&whole, r#"[["a","done",1,5,[]],["b","done",1,7,["no"]]]"#);
        log.note_shards(&part, r#"[["a","done",1,5,[]],["b","running",2,7,[]]]"#);
        log.end(&whole, lists(&["a"], &[]));
        assert!(log.take_aborted().is_empty());
        log.end(&part, lists(&[], &["b"]));
        assert_eq!(log.take_aborted(), [part.as_str()]);
        assert_eq!(log.view(&part).unwrap().status, Status::Done);
    }

    #[test]
    fn runs_are_listed_by_whose_they_are() {
        let log = log(10);
        let ids = [Some("anna"), Some("bert"), None].map(|user| log.begin("{}", user));
        let ids_of = |shown: fn(Option<&str>) -> bool| -> Vec<_> {
            log.list(shown).into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids_of(|user| user == Some("anna")), ids[..1]);
        assert_eq!(ids_of(|_| true), ids);
        assert!(log.has(&ids[1], |user| user == Some("bert")));
        assert!(log.has(&ids[2], |user| user.is_none()));
        assert!(!log.has("no-1", |_| true));
    }

    #[test]
    fn of_those_whose_results_take_much_memory_the_oldest_are_forgotten() {
        let log = log_of(10, 2500);
        let ids: Vec<_> = (0..4).map(|_| log.begin("{}", Some("anna"))).collect();
        let known = || log.list(|_| true).into_iter().map(|(id, _)| id);
        for (id, bytes) in ids.iter().zip([1000, 1000, 1000, 5000]) {
            log.end(id, lists(&[&"x".repeat(bytes)], &[]));
            assert!(known().any(|one| one == *id), "the last one stays");
        }
        assert!(known().eq([ids[3].clone()]));
    }

    #[test]
    fn of_those_that_have_ended_the_oldest_are_forgotten() {
        let log = log(2);
        let ids: Vec<_> = (0..4).map(|_| log.begin("{}", Some("anna"))).collect();
        for id in &ids[1..] {
            log.end(id, lists(&[], &[]));
        }
        let known: Vec<_> = log.list(|_| true).into_iter().map(|(id, _)| id).collect();
        assert_eq!(known, [&ids[0], &ids[2], &ids[3]].map(String::clone));
        assert!(!log.drop_ended(&ids[0]), "it goes on");
        assert!(log.drop_ended(&ids[2]));
        assert!(log.view(&ids[2]).is_none());
    }
}
