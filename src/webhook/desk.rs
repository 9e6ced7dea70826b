//! One zone: its engine, what ExternalDNS is shown of it, and the requests that are carried out there, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use crate::external::Refused;
use crate::external::list::List;
use crate::external::plan::{self, Planned, World};
use crate::external::registry::{self, Owners};
use crate::external::request::ZoneWish;
use crate::model::RrType;
use crate::ownership::{SignIndex, ZoneRules};
use crate::plan::Plan;
use crate::view::View;
use crate::zone::{Engine, EngineError, Outcome, Refreshed};

/// Between two looks at a zone that nobody asks about.
const LOOK: Duration = Duration::from_secs(1);

/// Requests that may wait at one zone. ExternalDNS asks one thing at a time.
pub const WAITING: usize = 16;

/// How a desk works.
#[derive(Debug, Clone)]
pub struct DeskSettings {
    /// For whom.
    pub owners: Owners,
    /// TTL of new sets that wish none, seconds.
    pub default_ttl: u32,
    /// A person said that unmarked sets may be taken.
    pub adopt_unmarked: bool,
    /// Nothing is sent.
    pub dry_run: bool,
    /// Hashes of held operations that a person releases.
    pub release: Vec<String>,
}

/// A zone as it was when its server confirmed it.
pub struct Shown {
    /// The copy.
    pub view: View,
    /// What is said of it by the configuration.
    pub rules: ZoneRules,
    /// Its endpoints as the elements of a JSON array.
    pub json: Bytes,
}

/// What a desk is asked.
pub enum Ask {
    /// The zone, confirmed by its server after the question came in.
    Show(oneshot::Sender<Result<Arc<Shown>, EngineError>>),
    /// That this be so.
    Make(ZoneWish, oneshot::Sender<Answer>),
}

/// What is known of a zone at any time.
#[derive(Clone, Default)]
pub struct Known {
    /// As it was last; `None` before its first complete view.
    pub shown: Option<Arc<Shown>>,
    /// When its server confirmed that.
    pub seen_at: Option<Instant>,
}

/// One zone.
pub struct Desk {
    engine: Engine,
    settings: DeskSettings,
    signs: SignIndex,
    known: watch::Sender<Known>,
    shown: Option<Arc<Shown>>,
}

impl Desk {
    /// A desk that knows nothing of its zone yet.
    pub fn new(engine: Engine, settings: DeskSettings, known: watch::Sender<Known>) -> Desk {
        Desk { engine, settings, signs: SignIndex::default(), known, shown: None }
    }

    /// Works until it is stopped.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) {
        let mut said: Option<&'static str> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ask = asks.recv() => match ask {
                    None => return,
                    Some(Ask::Show(reply)) => {
                        let shown = self.look().await.map(|()| self.show());
                        let _ = reply.send(shown);
                    }
                    Some(Ask::Make(wish, reply)) => {
                        // Whoever asked may be gone by now; what was asked is done all the same.
                        let answer = self.make(&wish).await;
                        let _ = reply.send(answer);
                    }
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            // Between two questions, too: the first list after a quiet hour is as quick as any.
            let word = match self.look().await {
                Ok(()) => {
                    self.show();
                    None
                }
                Err(error) => {
                    let word = error.reason();
                    if said != Some(word) {
                        tracing::warn!(zone = %self.engine.zone(), reason = word, "{error}");
                    }
                    Some(word)
                }
            };
            said = word;
        }
    }

    /// Makes the view current.
    async fn look(&mut self) -> Result<(), EngineError> {
        let found = self.engine.refresh().await?;
        self.take_in(&found);
        Ok(())
    }

    fn take_in(&mut self, found: &Refreshed) {
        let (rules, Some(view)) = (self.engine.rules().clone(), self.engine.view()) else { return };
        match found {
            Refreshed::Current => {}
            Refreshed::Changed(names) => names.iter().for_each(|name| drop(self.signs.update(&rules, view, name))),
            Refreshed::New { .. } => self.signs = SignIndex::scan(&rules, view),
        }
    }

    /// What is shown of the present view.
    fn show(&mut self) -> Arc<Shown> {
        let view = self.engine.view();
        let same = |shown: &&Arc<Shown>| view.is_some_and(|view| shown.view.serial() == view.serial());
        let shown = match (self.shown.as_ref().filter(same), view) {
            (Some(shown), _) => Arc::clone(shown),
            (None, view) => {
                let rules = self.engine.rules().clone();
                let view = view.cloned().unwrap_or_else(|| View::new(rules.zone.clone(), 0));
                let json = Bytes::from(List::new(&rules, &view).json());
                Arc::new(Shown { view, rules, json })
            }
        };
        self.shown = Some(Arc::clone(&shown));
        self.known.send_replace(Known { shown: Some(Arc::clone(&shown)), seen_at: self.engine.seen_at() });
        shown
    }

    /// Makes a wish so. A race that is lost is tried once more, on the zone as it is then.
    async fn make(&mut self, wish: &ZoneWish) -> Answer {
        let mut answer = Answer::default();
        for last in [false, true] {
            if let Err(error) = self.look().await {
                answer.stopped = Some((error.reason(), error.to_string()));
                return answer;
            }
            let planned = match self.plan(wish) {
                Ok(planned) => planned,
                Err(error) => {
                    answer.stopped = Some((error.reason(), error.to_string()));
                    return answer;
                }
            };
            answer.refused = planned.refused;
            answer.held = planned.plan.held.clone();
            if !last {
                answer.fulfilled = planned.fulfilled;
            }
            let plan = planned.plan;
            if self.settings.dry_run {
                answer.would = plan.changes.iter().map(words).collect();
                return answer;
            }
            if plan.is_settled() {
                return answer;
            }
            if self.carry_out(&plan, wish, &mut answer, last).await {
                return answer;
            }
        }
        answer
    }

    /// Sends a plan; tells whether there is nothing to try again.
    async fn carry_out(&mut self, plan: &Plan, wish: &ZoneWish, answer: &mut Answer, last: bool) -> bool {
        let settings = self.settings.clone();
        let owners = settings.clone();
        let wish = wish.clone();
        let mut make = move |engine: &mut Engine| {
            let rules = engine.rules().clone();
            let Some(view) = engine.view() else { return Err(EngineError::NoView { zone: rules.zone }) };
            let signs = SignIndex::scan(&rules, view);
            Ok(plan_in(engine, &wish, &signs, &owners).plan)
        };
        let report = self.engine.apply_by(plan, &|_| false, &mut make).await;
        // What the run read in between is not told by name.
        if let Some(view) = self.engine.view() {
            self.signs = SignIndex::scan(self.engine.rules(), view);
        }
        let mut races = false;
        for one in &report.outcomes {
            match one.outcome {
                Outcome::Done => answer.done.push(one.action.word()),
                Outcome::Held => {}
                Outcome::Conflict if !last => races = true,
                _ => answer.refused.push(Refused {
                    name: one.name.to_relaxed(),
                    rtype: one.rtype.to_string(),
                    reason: one.reason,
                    message: one.message.clone(),
                }),
            }
        }
        answer.stopped = report.stopped.as_ref().map(|error| (error.reason(), error.to_string()));
        !races || answer.stopped.is_some()
    }

    fn plan(&mut self, wish: &ZoneWish) -> Result<Planned, EngineError> {
        if self.engine.view().is_none() {
            return Err(EngineError::NoView { zone: self.engine.zone().clone() });
        }
        let (settings, signs) = (self.settings.clone(), std::mem::take(&mut self.signs));
        let planned = plan_in(&mut self.engine, wish, &signs, &settings);
        self.signs = signs;
        Ok(planned)
    }
}

/// The plan of a wish against the engine's present view, judged by the brake.
fn plan_in(engine: &mut Engine, wish: &ZoneWish, signs: &SignIndex, settings: &DeskSettings) -> Planned {
    let rules = engine.rules().clone();
    let empty = View::new(rules.zone.clone(), 0);
    let (planned, owned) = {
        let view = engine.view().unwrap_or(&empty);
        let world = World {
            rules: &rules,
            view,
            signs,
            owners: &settings.owners,
            default_ttl: settings.default_ttl,
            adopt_unmarked: settings.adopt_unmarked,
        };
        let planned = plan::plan(wish, world);
        // Only a plan that deletes is judged by how much there is; to count it is a walk over the zone.
        let counts = planned.plan.changes.iter().any(|change| change.counted);
        let owned = if counts { owned(&rules, view, &settings.owners) } else { 0 };
        (planned, owned)
    };
    let mut planned = planned;
    engine.brake(&mut planned.plan, owned, &settings.release);
    planned
}

/// How many sets an ExternalDNS holds in a zone.
fn owned(rules: &ZoneRules, view: &View, owners: &Owners) -> usize {
    let mut owned = 0;
    for node in view.nodes() {
        let name = node.name();
        for set in node.sets().filter(|set| set.rtype != RrType::SOA && !set.rtype.is_dnssec()) {
            let found = registry::registrations(rules, view, &name, set.rtype, &[]);
            owned += usize::from(found.iter().any(|one| one.owner.as_ref().is_some_and(|owner| owners.may(owner))));
        }
    }
    owned
}

fn words(change: &crate::plan::Change) -> String {
    let held = if change.held { " (held by the brake)" } else { "" };
    format!("{} {} {}{held}", change.action.word(), change.name.to_relaxed(), change.rtype)
}
