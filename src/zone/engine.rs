//! The engine of one zone: refresh, plan, apply, confirm.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EngineError;
use super::brake::PastBrake;
use super::dhcid::{DhcidBoard, Learned, Member};
use super::fence::{Keeper, Role};
use super::planning::{DhcidNames, Planning};
use super::report::Traffic;
use crate::dns::explain::Missing;
use crate::dns::serial_newer;
use crate::dns::xfr::Transfer;
use crate::knot::{Server, ServerError, Session};
use crate::model::{Claims, ClaimsEdit, FastSet, Name, ObjectId, RrType};
use crate::ownership::{ZoneRules, named_by_markers};
use crate::plan::Plan;
use crate::view::View;

/// How an engine behaves.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// One pass, or resident.
    pub role: Role,
    /// How old a view may grow before it is transferred in full again, whatever its serial says.
    pub full_every: Duration,
    /// The hash of held operations that a person releases.
    pub release: Vec<String>,
    /// The whole source counts as one tenant (files): over the limit of the brake everything counted is held.
    pub one_tenant: bool,
    /// Deletes and replaces are counted over this long.
    pub brake_window: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            role: Role::OneShot,
            full_every: Duration::from_secs(3600),
            release: Vec::new(),
            one_tenant: true,
            brake_window: Duration::from_secs(600),
        }
    }
}

/// What a refresh found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// The serial is the same.
    Current,
    /// These names changed.
    Changed(Vec<Name>),
    /// The whole view is new.
    New {
        /// The serial went backwards, or the copy contradicted the server: it lost or replaced data.
        reset: bool,
    },
}

/// One zone with its view, its claims and its fence.
pub struct Engine {
    server: Arc<Server>,
    session: Arc<Session>,
    at: usize,
    options: EngineOptions,
    pub(super) rules: ZoneRules,
    pub(super) view: Option<View>,
    pub(super) keeper: Keeper,
    pub(super) planning: Planning,
    dhcid_names: Option<DhcidNames>,
    board: Option<Member>,
    full_at: Instant,
    full_due: bool,
    seen_at: Option<Instant>,
    /// When the serial of the change that came last was seen.
    change_seen: Option<Instant>,
    /// How long the last transfer took to come: the server's time, not ours.
    waited: Duration,
    traffic: Traffic,
    /// The server has taken an update of record sets, or said that it would, so a refusal is about what is refused and not
    /// about the key.
    pub(super) taken: bool,
    /// Where our last change stands: its marker, or the fence.
    pub(super) witness: Option<Name>,
}

impl Engine {
    /// An engine that knows nothing of the zone yet.
    ///
    /// # Errors
    /// [`EngineError::Internal`] when the server has no address.
    pub fn new(server: Arc<Server>, rules: ZoneRules, options: EngineOptions) -> Result<Engine, EngineError> {
        let session = server
            .session(0)
            .ok_or_else(|| EngineError::Internal(format!("server {} has no address", server.name())))?;
        Ok(Engine {
            session,
            at: 0,
            keeper: Keeper::new(&rules, options.role),
            planning: Planning::new(rules.clone(), options.brake_window),
            dhcid_names: None,
            board: None,
            view: None,
            full_at: Instant::now(),
            full_due: true,
            seen_at: None,
            change_seen: None,
            waited: Duration::ZERO,
            traffic: Traffic::default(),
            taken: false,
            witness: None,
            server,
            options,
            rules,
        })
    }

    /// The apex.
    pub fn zone(&self) -> &Name {
        &self.rules.zone
    }

    /// What the configuration says of the zone.
    pub fn rules(&self) -> &ZoneRules {
        &self.rules
    }

    /// The copy of the zone; `None` before the first refresh and after a fail-over.
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// When the server last confirmed that the view is current.
    pub fn seen_at(&self) -> Option<Instant> {
        self.seen_at
    }

    /// The server address in use.
    pub fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// When the change that came last was noticed; for measuring, and only once for each.
    pub(super) fn take_change_seen(&mut self) -> Option<(Instant, Duration)> {
        self.change_seen.take().map(|seen| (seen, self.waited))
    }

    /// Whether the fence in the view is the one that this engine wrote.
    pub fn holds_fence(&self) -> bool {
        self.view.as_ref().is_some_and(|view| self.keeper.is_held(view))
    }

    /// What it asked of the server since it was made.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    pub(super) fn session_changed(&self, before: &Arc<Session>) -> bool {
        !Arc::ptr_eq(before, &self.session)
    }

    /// How long an answer to an UPDATE can take before the channel itself must be dead.
    pub(super) fn patience(&self) -> Duration {
        self.session.update_timeout() * 3 + Duration::from_secs(30)
    }

    /// The next refresh transfers the whole zone.
    pub fn force_full(&mut self) {
        self.full_due = true;
    }

    /// Releases the held operations of this hash, once.
    pub fn release(&mut self, hash: String) {
        self.options.release = vec![hash];
    }

    /// Sets what is declared.
    pub fn set_claims(&mut self, claims: Arc<Claims>) {
        self.planning.claims(claims);
    }

    /// Takes in what changed of what is declared; gives the names it is about.
    pub fn edit_claims(&mut self, edit: ClaimsEdit) {
        self.planning.edit(edit);
    }

    /// The state of the source that the claims are of.
    pub fn revision(&self) -> u64 {
        self.planning.revision()
    }

    /// The objects that are leaving and that a marker in the view still names.
    pub fn lingering(&self) -> FastSet<ObjectId> {
        let Some(view) = &self.view else { return FastSet::default() };
        named_by_markers(&self.rules, view, &self.planning.leaving())
    }

    /// Releases the held operations of these hashes in the next plan, and in no later one.
    pub fn release_once(&mut self, hashes: Vec<String>) {
        self.options.release = hashes;
    }

    /// Counts operations of a process before this one into the brake's window, and holds whatever the first plan would
    /// count, if that process held something. It only ever restricts.
    pub fn remember_brake(&mut self, past: &PastBrake) {
        self.planning.remember_brake(past);
    }

    /// What the brake remembers, for a process after this one.
    pub fn past_brake(&mut self) -> PastBrake {
        self.planning.past_brake()
    }

    /// Makes the view current: one SOA query when nothing changed, else IXFR, else AXFR.
    ///
    /// Tries the server's addresses in order when one is silent; another address starts with a new view.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub async fn refresh(&mut self) -> Result<Refreshed, EngineError> {
        let mut tried = 1;
        loop {
            match self.refresh_here().await {
                Ok(found) => {
                    self.seen_at = Some(Instant::now());
                    return Ok(found);
                }
                Err(error) if error.tries_next_address() && tried < self.server.address_count() => {
                    tried += 1;
                    self.fail_over(&error);
                }
                Err(error) => {
                    // A server that was away may come back restored, and walk past our serial before we look again:
                    // its history would then fit a copy that is no longer true.
                    self.full_due = true;
                    return Err(error.into());
                }
            }
        }
    }

    fn fail_over(&mut self, error: &ServerError) {
        self.at = (self.at + 1) % self.server.address_count().max(1);
        if let Some(session) = self.server.session(self.at) {
            tracing::warn!(zone = %self.rules.zone, %error, next = %session.address(), "server address failed");
            self.session = session;
        }
        self.drop_view();
    }

    fn drop_view(&mut self) {
        self.view = None;
        self.witness = None;
        self.full_due = true;
        self.planning.replaced();
    }

    async fn refresh_here(&mut self) -> Result<Refreshed, ServerError> {
        let zone = self.rules.zone.clone();
        let serial = self.session.soa(&zone).await?;
        self.traffic.polls += 1;
        if self.full_at.elapsed() >= self.options.full_every {
            self.full_due = true;
        }
        let Some(have) = self.view.as_ref().map(View::serial).filter(|_| !self.full_due) else {
            let reset = self.view.as_ref().is_some_and(|view| serial_newer(view.serial(), serial));
            return self.transfer_all(reset).await;
        };
        if have == serial {
            return Ok(Refreshed::Current);
        }
        let now = Instant::now();
        (self.change_seen, self.waited) = (Some(now), Duration::ZERO);
        self.keeper.disturbed(now);
        if serial_newer(have, serial) {
            tracing::warn!(%zone, have, serial, "the serial went backwards: the server lost or restored data");
            return self.transfer_all(true).await;
        }
        match self.transfer(&zone, Some(have)).await? {
            Transfer::Full(view) => Ok(self.take(view, false)),
            // It called itself newer a moment ago: it was reset in between.
            Transfer::UpToDate | Transfer::Behind(_) => self.transfer_all(true).await,
            Transfer::Delta(diffs) => {
                let Some(view) = &mut self.view else { return self.transfer_all(false).await };
                match view.apply(&diffs) {
                    Ok(names) => {
                        self.planning.names(&names);
                        if let Some(board) = &self.board {
                            board.read_names(view, &names);
                        }
                        if self.rolled_back(&zone).await {
                            tracing::warn!(%zone, serial, "what was written last is not there: the server lost or restored data");
                            return self.transfer_all(true).await;
                        }
                        Ok(Refreshed::Changed(names))
                    }
                    Err(error) => {
                        tracing::warn!(%zone, %error, "the server's history contradicts our copy; reading all of it");
                        self.transfer_all(true).await
                    }
                }
            }
        }
    }

    /// Whether the server does not have what we wrote last: a zone that was restored and went past our serial by changes of
    /// others, between two looks, has a history that fits our copy, and only that tells.
    async fn rolled_back(&mut self, zone: &Name) -> bool {
        let (Some(view), Some(witness)) = (&self.view, &self.witness) else { return false };
        self.traffic.polls += 1;
        let mut known = view.get(witness, RrType::TXT).map(|set| set.values).unwrap_or_default();
        // Whoever does not answer this tells nothing.
        let Ok(mut there) = self.session.txt(zone, witness).await else { return false };
        known.sort();
        there.sort();
        known != there
    }

    /// A transfer after the SOA query that proved the key.
    async fn transfer(&mut self, zone: &Name, from: Option<u32>) -> Result<Transfer, ServerError> {
        let told = |error| super::key_is_good(error, &self.session, Missing::Action);
        let (transfer, waited) = self.session.timed_transfer(zone, from).await.map_err(told)?;
        self.waited += waited;
        Ok(transfer)
    }

    async fn transfer_all(&mut self, reset: bool) -> Result<Refreshed, ServerError> {
        let zone = self.rules.zone.clone();
        match self.transfer(&zone, None).await? {
            Transfer::Full(view) => Ok(self.take(view, reset)),
            Transfer::UpToDate | Transfer::Behind(_) | Transfer::Delta(_) => Err(ServerError::TransferIncomplete {
                place: crate::knot::Place { server: self.session.address(), zone },
                detail: "AXFR was answered with changes instead of a zone".to_owned(),
            }),
        }
    }

    fn take(&mut self, view: View, reset: bool) -> Refreshed {
        self.traffic.transfers += 1;
        self.full_due = false;
        self.full_at = Instant::now();
        let same = |old: &View| old.serial() == view.serial() && old.same_content(&view);
        if self.view.as_ref().is_some_and(same) {
            return Refreshed::Current;
        }
        if let Some(board) = &self.board {
            board.read_all(&view);
        }
        self.view = Some(view);
        self.planning.replaced();
        Refreshed::New { reset }
    }

    /// Claims × view → plan. Costs what changed since the last call, not the zone.
    ///
    /// # Errors
    /// [`EngineError::NoView`].
    pub fn plan(&mut self) -> Result<Plan, EngineError> {
        self.take_dhcid_news();
        let Some(view) = &self.view else { return Err(EngineError::NoView { zone: self.rules.zone.clone() }) };
        let (options, board, given) = (&self.options, &self.board, &self.dhcid_names);
        let known = |name: &Name| {
            given.as_ref().is_some_and(|given| given(name)) || board.as_ref().is_some_and(|board| board.holds(name))
        };
        Ok(self.planning.plan(view, &options.release, options.one_tenant, &known))
    }

    /// Lets the brake judge a plan that is not of the claims: of how many sets, and what a person releases.
    pub fn brake(&mut self, plan: &mut Plan, owned: usize, release: &[String]) {
        self.planning.brake(plan, owned, release);
    }

    /// Shares what it sees of DHCIDs with the engines of other zones, and follows what they see.
    pub fn join(&mut self, board: &Arc<DhcidBoard>) {
        let member = board.join(&self.rules.zone);
        if let Some(view) = &self.view {
            member.read_all(view);
        }
        self.board = Some(member);
    }

    /// Takes in what other zones told of DHCIDs; tells whether a new plan may differ for it.
    pub(super) fn take_dhcid_news(&mut self) -> bool {
        match self.board.as_mut().map(Member::learn) {
            None => false,
            Some(Learned::Names(names)) => {
                self.planning.targets(&names);
                !names.is_empty()
            }
            Some(Learned::Everything) => {
                self.planning.replaced();
                true
            }
        }
    }

    /// Lets the planner ask whether a name outside the zone holds a DHCID: a PTR that points at one is its DHCP server's.
    pub fn set_dhcid_names(&mut self, names: DhcidNames) {
        self.dhcid_names = Some(names);
    }
}
