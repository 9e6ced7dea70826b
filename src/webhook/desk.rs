//! One zone: its engine, what ExternalDNS is shown of it, and the requests that are carried out there, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, for_fence_of};
use super::state::State;
use crate::external::Refused;
use crate::external::catalogue::Catalogue;
use crate::external::plan::{self, Planned, World};
use crate::external::ptr::{self, Forward};
use crate::external::registry::{self, Owners};
use crate::external::request::ZoneWish;
use crate::model::{Name, RrType};
use crate::ownership::{SignIndex, ZoneRules};
use crate::plan::Plan;
use crate::view::View;
use crate::zone::worker::Gate;
use crate::zone::{Engine, EngineError, Outcome, Refreshed};

/// Between two looks at a zone that nobody asks about.
const LOOK: Duration = Duration::from_secs(1);

/// Requests that may wait at one zone. ExternalDNS asks one thing at a time.
pub const WAITING: usize = 16;

/// How a desk works.
#[derive(Clone)]
pub struct DeskSettings {
    /// For whom.
    pub owners: Arc<Owners>,
    /// TTL of new sets that wish none, seconds.
    pub default_ttl: u32,
    /// A person said that unmarked sets may be taken.
    pub adopt_unmarked: bool,
    /// Nothing is sent.
    pub dry_run: bool,
    /// Hashes of held operations that a person releases.
    pub release: Vec<String>,
    /// Asked before anything is written; none: it may.
    pub gate: Option<Gate>,
    /// What the brake remembers beyond this desk.
    pub state: Arc<State>,
}

/// A zone as it was when its server confirmed it.
pub struct Shown {
    /// The copy.
    pub view: View,
    /// What is said of it by the configuration.
    pub rules: Arc<ZoneRules>,
    /// For whom it is shown so.
    pub owners: Arc<Owners>,
    /// Its endpoints: runs of elements of a JSON array.
    pub json: Vec<Arc<[u8]>>,
    /// Its addresses that want PTRs. The same `Arc` while they are the same.
    pub forwards: Arc<Vec<Forward>>,
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
    rules: Arc<ZoneRules>,
    /// The view of which `signs` and `catalogue` are.
    seen: Option<View>,
    signs: SignIndex,
    catalogue: Catalogue,
    forwards: Arc<Vec<Forward>>,
    /// The engine's view may have moved on from `seen`.
    is_behind: bool,
    known: watch::Sender<Known>,
    shown: Option<Arc<Shown>>,
}

impl Desk {
    /// A desk that knows nothing of its zone yet.
    pub fn new(mut engine: Engine, settings: DeskSettings, known: watch::Sender<Known>) -> Desk {
        engine.remember_brake(&settings.state.of(engine.zone()));
        Desk {
            rules: Arc::new(engine.rules().clone()),
            engine,
            settings,
            seen: None,
            signs: SignIndex::default(),
            catalogue: Catalogue::default(),
            forwards: Arc::default(),
            is_behind: true,
            known,
            shown: None,
        }
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
                        let past = self.engine.past_brake();
                        self.settings.state.remember(self.engine.zone(), &past);
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
                tracing::warn!(zone = %self.engine.zone(), reason = error.reason(), "{}", self.words(error));
            }
            said = word;
        }
    }

    /// Makes the view current, and what follows from it.
    async fn look(&mut self) -> Result<(), EngineError> {
        let found = self.engine.refresh().await?;
        self.is_behind |= found != Refreshed::Current;
        self.catch_up();
        Ok(())
    }

    fn catch_up(&mut self) {
        let Some(view) = self.engine.view().filter(|_| self.is_behind) else { return };
        let (rules, owners) = (&*self.rules, &*self.settings.owners);
        let apart = self.seen.as_ref().map(|seen| (seen, view.names_apart(seen)));
        let mut points_anew = true;
        match apart {
            // Where most of it is new a reading of the whole is less.
            Some((seen, names)) if names.len() <= view.name_count() / 4 + 16 => {
                names.iter().for_each(|name| drop(self.signs.update(rules, view, name)));
                self.catalogue.update(rules, owners, seen, view, &names);
                points_anew = names.iter().any(|name| ptr::hangs_on(rules, &self.forwards, name));
            }
            _ => {
                self.signs = SignIndex::scan(rules, view);
                self.catalogue = Catalogue::new(rules, owners, view);
            }
        }
        if points_anew {
            let now = ptr::forwards(rules, owners, view, self.catalogue.wanting_ptrs());
            if *self.forwards != now {
                self.forwards = Arc::new(now);
            }
        }
        (self.seen, self.shown, self.is_behind) = (Some(view.clone()), None, false);
    }

    /// What is shown of the zone, confirmed now by its server.
    async fn confirmed(&mut self) -> Result<Arc<Shown>, EngineError> {
        self.look().await?;
        let shown = match &self.shown {
            Some(shown) => Arc::clone(shown),
            None => Arc::new(Shown {
                view: present(&self.engine)?.clone(),
                rules: Arc::clone(&self.rules),
                owners: Arc::clone(&self.settings.owners),
                json: self.catalogue.json().cloned().collect(),
                forwards: Arc::clone(&self.forwards),
            }),
        };
        self.shown = Some(Arc::clone(&shown));
        self.known.send_replace(Known { shown: Some(Arc::clone(&shown)), seen_at: self.engine.seen_at() });
        Ok(shown)
    }

    /// An error for people.
    fn words(&self, error: &EngineError) -> String {
        for_fence_of(&self.rules.owner, &self.rules.zone, &error.to_string())
    }

    /// Makes a wish so. A race that is lost is tried once more, on the zone as it is then.
    async fn make(&mut self, wish: &ZoneWish) -> Answer {
        let mut answer = Answer::default();
        if self.settings.gate.as_ref().is_some_and(|gate| !gate()) {
            answer.stopped = Some((
                "NotWriting",
                "this replica does not lead, is not ready to, or a person set the zone's DNSZone to mode: Observe"
                    .to_owned(),
            ));
            return answer;
        }
        for last in [false, true] {
            let planned = match self.look().await {
                Ok(()) => plan_in(&mut self.engine, wish, &self.signs, &self.settings),
                Err(error) => Err(error),
            };
            let planned = match planned {
                Ok(planned) => planned,
                Err(error) => {
                    answer.stopped = Some((error.reason(), self.words(&error)));
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
        // It read the zone in between.
        self.is_behind = true;
        self.catch_up();
        for (rcode, number) in &report.rcodes {
            *answer.rcodes.entry(*rcode).or_default() += number;
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
                    resource: resource(wish, &one.name, one.rtype),
                    reason: one.reason,
                    message: one.message.clone(),
                }),
            }
        }
        answer.stopped = report.stopped.as_ref().map(|error| (error.reason(), self.words(error)));
        !races || answer.stopped.is_some()
    }
}

/// For which object a set was wished.
fn resource(wish: &ZoneWish, name: &Name, rtype: RrType) -> String {
    wish.get(name).and_then(|wish| wish.sets.get(&rtype)).map(|set| set.resource().to_owned()).unwrap_or_default()
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
