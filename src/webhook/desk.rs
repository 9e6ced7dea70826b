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
            let looked = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ask = asks.recv() => match ask {
                    None => return,
                    Some(Ask::Show(reply)) => {
                        let shown = self.confirmed().await;
                        let looked = shown.as_ref().map(drop).map_err(Clone::clone);
                        let _ = reply.send(shown);
                        looked
                    }
                    Some(Ask::Make(wish, reply)) => {
                        // Whoever asked may be gone by now; what was asked is done all the same.
                        let answer = self.make(&wish).await;
                        let _ = reply.send(answer);
                        self.confirmed().await.map(drop)
                    }
                },
                // Between two questions, too: the first list after a quiet hour is as quick as any.
                () = tokio::time::sleep(LOOK) => self.confirmed().await.map(drop),
            };
            let word = looked.as_ref().err().map(EngineError::reason);
            if let Err(error) = &looked
                && said != word
            {
                tracing::warn!(zone = %self.engine.zone(), reason = error.reason(), "{error}");
            }
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

    /// What is shown of the zone, confirmed now by its server.
    async fn confirmed(&mut self) -> Result<Arc<Shown>, EngineError> {
        self.look().await?;
        let view = present(&self.engine)?;
        let same = |shown: &&Arc<Shown>| shown.view.serial() == view.serial();
        let shown = match self.shown.as_ref().filter(same) {
            Some(shown) => Arc::clone(shown),
            None => {
                let (rules, view) = (self.engine.rules().clone(), view.clone());
                let json = Bytes::from(List::new(&rules, &view).json());
                Arc::new(Shown { view, rules, json })
            }
        };
        self.shown = Some(Arc::clone(&shown));
        self.known.send_replace(Known { shown: Some(Arc::clone(&shown)), seen_at: self.engine.seen_at() });
        Ok(shown)
    }

    /// Makes a wish so. A race that is lost is tried once more, on the zone as it is then.
    async fn make(&mut self, wish: &ZoneWish) -> Answer {
        let mut answer = Answer::default();
        for last in [false, true] {
            let planned = match self.look().await {
                Ok(()) => plan_in(&mut self.engine, wish, &self.signs, &self.settings),
                Err(error) => Err(error),
            };
            let planned = match planned {
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
        let settings = &self.settings;
        let mut make = |engine: &mut Engine| {
            let signs = SignIndex::scan(engine.rules(), present(engine)?);
            plan_in(engine, wish, &signs, settings).map(|planned| planned.plan)
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
}

/// The engine's copy of its zone.
fn present(engine: &Engine) -> Result<&View, EngineError> {
    engine.view().ok_or_else(|| EngineError::NoView { zone: engine.zone().clone() })
}

/// The plan of a wish against the engine's present view, judged by the brake.
fn plan_in(
    engine: &mut Engine,
    wish: &ZoneWish,
    signs: &SignIndex,
    settings: &DeskSettings,
) -> Result<Planned, EngineError> {
    let (rules, view) = (engine.rules(), present(engine)?);
    let world = World {
        rules,
        view,
        signs,
        owners: &settings.owners,
        default_ttl: settings.default_ttl,
        adopt_unmarked: settings.adopt_unmarked,
    };
    let mut planned = plan::plan(wish, world);
    // Only a plan that deletes is judged by how much there is; to count it is a walk over the zone.
    let counts = planned.plan.changes.iter().any(|change| change.counted);
    let owned = if counts { owned(rules, view, &settings.owners) } else { 0 };
    engine.brake(&mut planned.plan, owned, &settings.release);
    Ok(planned)
}

/// How many sets an ExternalDNS holds in a zone.
fn owned(rules: &ZoneRules, view: &View, owners: &Owners) -> usize {
    let mut owned = 0;
    for node in view.nodes() {
        let name = node.name();
        for set in node.sets().filter(|set| set.rtype != RrType::SOA && !set.rtype.is_dnssec()) {
            let found = registry::registrations(rules, view, &name, set.rtype, &[]);
            owned += usize::from(found.iter().any(|one| one.is_of(owners)));
        }
    }
    owned
}

fn words(change: &crate::plan::Change) -> String {
    let held = if change.held { " (held by the brake)" } else { "" };
    format!("{} {} {}{held}", change.action.word(), change.name.to_relaxed(), change.rtype)
}
