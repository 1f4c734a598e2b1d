//! A run over the data set as users see it: where it is, and what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use gears_v8::ports::Reply;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It goes on.
    Running,
    /// It has ended, perhaps with errors.
    Done,
    /// It was ended.
    Aborted,
}

/// What a shard has done for a run: its name, how it stands, stages, milliseconds, errors.
type Part = (String, Status, u64, u64, Vec<String>);

/// What the shards have done for a run.
#[derive(Clone, Debug)]
struct Parts {
    /// As JSON text: it is told often, and seldom looked at.
    text: String,
    /// When that was so; none once it stays so.
    at: Option<Instant>,
}

impl Parts {
    /// How they stand now. What runs has run on since it was told.
    fn now(&self) -> Vec<Part> {
        let since = self.at.map(|at| millis(at.elapsed())).unwrap_or_default();
        let mut parts: Vec<Part> = serde_json::from_str(&self.text).unwrap_or_default();
        for (_, status, _, ms, _) in &mut parts {
            if *status == Status::Running {
                *ms = ms.saturating_add(since);
            }
        }
        parts
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a run does.
#[derive(Default, Deserialize)]
struct Plan {
    #[serde(default)]
    steps: Vec<Step>,
}

/// A step: the operator, its function's name, its argument.
pub(crate) type Step = (String, String, String);

/// A run on one shard, as users see it, and as shards tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardView {
    /// Its name.
    pub shard: String,
    /// Where it is.
    pub status: Status,
    /// Shards that have been given a part by this one, itself included.
    pub received: u64,
    /// Those of them whose parts have ended.
    pub completed: u64,
    /// How many there are; none before the end.
    pub results: Option<u64>,
    /// What went wrong.
    pub errors: Vec<String>,
    /// How long it took, or has taken so far.
    pub took_ms: u64,
    /// The last one first.
    pub steps: Vec<Step>,
}

/// A run as users see it.
#[derive(Clone, Debug)]
pub(crate) struct ExecutionView {
    /// Where it is.
    pub status: Status,
    /// In whose name it acts; `None` where nobody knows.
    pub user: Option<Arc<str>>,
    /// What it does, as JSON text.
    pub plan: String,
    /// What came of it; empty before.
    pub results: Vec<Reply>,
    /// What went wrong.
    pub errors: Vec<Reply>,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// What each shard has done for it; `None` where it stays on this one.
    parts: Option<Parts>,
}

impl ExecutionView {
    /// A run that begins.
    pub(super) fn new(plan: &str, user: Option<Arc<str>>) -> Self {
        Self {
            status: Status::Running,
            user,
            plan: plan.to_owned(),
            results: Vec::new(),
            errors: Vec::new(),
            took: Duration::ZERO,
            parts: None,
        }
    }

    /// Takes what each shard has done for it until now, as JSON text. Once it has ended that is nobody's any more.
    pub(super) fn note_parts(&mut self, text: &str) {
        if self.status == Status::Running {
            self.parts = Some(Parts {
                text: text.to_owned(),
                at: Some(Instant::now()),
            });
        }
    }

    /// Whether it goes over shards.
    pub(super) fn is_shared(&self) -> bool {
        self.parts.is_some()
    }

    /// Whether a shard still has a part of it.
    pub(super) fn goes_on_elsewhere(&self) -> bool {
        let parts = self.parts.as_ref().map(Parts::now).unwrap_or_default();
        parts
            .iter()
            .any(|(_, status, ..)| *status == Status::Running)
    }

    /// What still runs of it on other shards ends with it.
    pub(super) fn end_parts(&mut self) {
        let Some(told) = &mut self.parts else {
            return;
        };
        let mut parts = told.now();
        for (_, status, ..) in &mut parts {
            if *status == Status::Running {
                *status = Status::Aborted;
            }
        }
        told.text = serde_json::to_string(&parts).unwrap_or_default();
        told.at = None;
    }

    /// One for each shard that takes part, this one first.
    pub(crate) fn of_shards(&self, me: &str) -> Vec<ShardView> {
        let parts = self.parts.as_ref().map(Parts::now).unwrap_or_default();
        let plan: Plan = serde_json::from_str(&self.plan).unwrap_or_default();
        let steps: Vec<Step> = plan.steps.into_iter().rev().collect();
        let ended = self.status != Status::Running;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let has_ended = parts
            .iter()
            .filter(|(_, status, ..)| *status != Status::Running);
        let (received, completed) = if parts.is_empty() {
            (1, u64::from(ended))
        } else {
            (count(parts.len()), count(has_ended.count()))
        };
        let own = ShardView {
            shard: me.to_owned(),
            status: self.status,
            received,
            completed,
            results: ended.then(|| count(self.results.len())),
            errors: self.errors.iter().map(text_of).collect(),
            took_ms: millis(self.took),
            steps: steps.clone(),
        };
        let others = parts.into_iter().filter(|(shard, ..)| shard != me);
        let others = others.map(|(shard, status, _, took_ms, errors)| {
            let ended = status != Status::Running;
            ShardView {
                shard,
                status,
                received: 1,
                completed: u64::from(ended),
                // They are all where it began.
                results: ended.then_some(0),
                errors,
                took_ms,
                steps: steps.clone(),
            }
        });
        std::iter::once(own).chain(others).collect()
    }

    /// Takes what a run gives: a list of results and a list of errors. Anything else went wrong.
    pub(super) fn take_outcome(&mut self, outcome: Reply) {
        (self.results, self.errors) = match outcome {
            Reply::Array(mut lists) if lists.len() == 2 => match (lists.pop(), lists.pop()) {
                (Some(Reply::Array(errors)), Some(Reply::Array(results))) => (results, errors),
                (errors, results) => (Vec::from_iter(results), Vec::from_iter(errors)),
            },
            Reply::Error(error) => (Vec::new(), vec![Reply::text(error)]),
            other => (vec![other], Vec::new()),
        };
    }

    /// What came of it, as those who wait for it are told.
    pub(super) fn outcome(&self) -> Reply {
        Reply::Array(vec![
            Reply::Array(self.results.clone()),
            Reply::Array(self.errors.clone()),
        ])
    }
}

/// An error, which is a text.
fn text_of(error: &Reply) -> String {
    match error {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Simple(text) => text.to_string(),
        Reply::Error(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "a";

    fn of(status: Status, parts: &str) -> ExecutionView {
        let mut view = ExecutionView::new(r#"{"steps":[["map","f",""],["count","",""]]}"#, None);
        view.note_parts(parts);
        view.status = status;
        view
    }

    #[test]
    fn what_runs_on_another_shard_has_run_on_since_it_was_told() {
        let mut view = of(
            Status::Running,
            r#"[["a","running",1,0,[]],["b","running",1,7,[]],["c","done",1,7,["no"]]]"#,
        );
        let parts = view.parts.as_mut().unwrap();
        parts.at = parts
            .at
            .and_then(|at| at.checked_sub(Duration::from_secs(5)));
        let [own, b, c] = view.of_shards(ME).try_into().unwrap();
        assert_eq!((own.received, own.completed, own.results), (3, 1, None));
        assert!((5007..10_000).contains(&b.took_ms), "{b:?}");
        assert_eq!(
            (b.status, b.results, c.results),
            (Status::Running, None, Some(0))
        );
        assert_eq!((c.took_ms, c.errors), (7, vec!["no".to_owned()]));
        let steps: Vec<_> = b.steps.iter().map(|(kind, ..)| kind.as_str()).collect();
        assert_eq!(steps, ["count", "map"]);
    }

    #[test]
    fn what_runs_on_other_shards_when_a_run_ends_is_aborted_and_stays_so() {
        let mut view = of(
            Status::Running,
            r#"[["a","running",1,0,[]],["b","running",1,7,[]],["c","done",1,7,[]]]"#,
        );
        assert!(view.goes_on_elsewhere());
        view.status = Status::Aborted;
        view.end_parts();
        view.note_parts(r#"[["a","done",1,9,[]],["b","done",1,900000,["late"]]]"#);
        assert!(!view.goes_on_elsewhere());
        let of_shards = view.of_shards(ME);
        let stands: Vec<_> = of_shards
            .iter()
            .map(|one| (&*one.shard, one.status))
            .collect();
        let expected = [
            ("a", Status::Aborted),
            ("b", Status::Aborted),
            ("c", Status::Done),
        ];
        assert_eq!(stands, expected);
        assert!(of_shards[1].took_ms < 900_000 && of_shards[1].errors.is_empty());
    }
}
