//! ExternalDNS's webhook in the operator's process: it answers while this replica leads, and says 503 while another does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::numbers::Board;
use super::zones::object_name;
use crate::cluster::{Calls, Lead, Notice, Resource};
use crate::external::Refused;
use crate::metrics::Health;
use crate::model::Name;
use crate::source::Config;
use crate::webhook::{self, Numbers, Tell, Term, WebhookSettings};

/// Refusals that wait to become events; more of them are in the log only.
const WAITING: usize = 256;

/// A webhook that is there from the start of the process.
pub struct Provider {
    terms: watch::Sender<Option<Term>>,
    refused: Option<mpsc::Receiver<(Name, Refused)>>,
    tell: Tell,
    serving: Option<JoinHandle<Result<(), webhook::Stopped>>>,
    _heralds: Vec<AbortOnDropHandle<()>>,
}

/// The label of the pod whose webhook serves, for the selector of a Service.
pub const LEADER: &str = "dns.knotwork.dev/leader";

/// How often an event is tried, a second apart.
const TRIES: u32 = 60;

/// Between two tries to label the pod.
const AGAIN: Duration = Duration::from_secs(5);

impl Provider {
    /// Opens the port. Should that fail, or serving end, `stop` is cancelled, and [`Provider::end`] tells why.
    pub fn open(settings: WebhookSettings, numbers: Arc<Numbers>, stop: CancellationToken) -> Provider {
        let (terms, told) = watch::channel(None);
        let (sender, refused) = mpsc::channel::<(Name, Refused)>(WAITING);
        let tell: Tell = Arc::new(move |zone: Option<&Name>, refused: &Refused| {
            if let Some(zone) = zone {
                // A full channel is no reason to wait: the log has it.
                let _ = sender.try_send((zone.clone(), refused.clone()));
            }
        });
        let serving = tokio::spawn(async move {
            let mut say = |text: &str| tracing::info!("{text}");
            let served = webhook::serve(settings, told, numbers, stop.clone(), &mut say).await;
            stop.cancel();
            served
        });
        Provider { terms, refused: Some(refused), tell, serving: Some(serving), _heralds: Vec::new() }
    }

    /// From here on refusals become events at the objects of their zones, and `pod`, ours in that namespace, is labelled while
    /// we lead.
    pub fn report_to(&mut self, calls: Calls, pod: Option<(String, String)>) {
        let Some(mut refused) = self.refused.take() else { return };
        if let Some(pod) = pod {
            let labelled = tokio::spawn(label(calls.clone(), pod, self.terms.subscribe()));
            self._heralds.push(AbortOnDropHandle::new(labelled));
        }
        let herald = tokio::spawn(async move {
            while let Some((zone, refused)) = refused.recv().await {
                // It is said once, so it is not lost to an API server that is away, or to an object that is only being made.
                for left in (0..TRIES).rev() {
                    match report(&calls, &zone, &refused).await {
                        Ok(()) => break,
                        Err(error) if left == 0 => {
                            tracing::warn!(zone = %zone, "no event could be made of a refusal: {error}");
                        }
                        Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                    }
                }
            }
        });
        self._heralds.push(AbortOnDropHandle::new(herald));
    }

    /// This replica leads with this configuration.
    pub fn lead(&self, config: &Config, instance: &str, lead: &Lead, board: &Arc<Board>) {
        let Some(webhook) = config.webhook.clone() else {
            tracing::error!("the configuration has no `webhook:` section: nothing is served to ExternalDNS");
            self.terms.send_replace(None);
            return;
        };
        let mut config = config.clone();
        // A UID can always be one.
        if let Err(error) = config.hold_as(instance) {
            tracing::error!("{error}");
            return;
        }
        let (lead, board) = (lead.clone(), Arc::clone(board));
        let may_write = Arc::new(move |zone: &Name| lead.holds() && board.may_write(zone));
        let tell = Some(Arc::clone(&self.tell));
        self.terms.send_replace(Some(Term { config, webhook, may_write: Some(may_write), tell }));
    }

    /// Another one leads, or nobody.
    pub fn rest(&self) {
        self.terms.send_if_modified(|term| term.take().is_some());
    }

    /// Why it ended, if it did by itself.
    ///
    /// # Errors
    /// [`webhook::Stopped`].
    pub async fn end(mut self) -> Result<(), webhook::Stopped> {
        match self.serving.take() {
            Some(serving) => serving.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

/// Keeps the label of our pod as it should be: it is there while there is a term. One that a process before us left is taken
/// off.
async fn label(calls: Calls, (namespace, pod): (String, String), mut terms: watch::Receiver<Option<Term>>) {
    let (mut said, mut is_labelled) = (false, None);
    loop {
        let leads = terms.borrow_and_update().is_some();
        if is_labelled != Some(leads) {
            match calls.label(Resource::Pod, (&namespace, &pod), LEADER, leads.then_some("true")).await {
                Ok(_) => is_labelled = Some(leads),
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(
                        "the label {LEADER} of the pod {namespace}/{pod} cannot be set, by which a Service finds the replica that serves ExternalDNS (config/rbac/webhook.yaml gives the right): {error}"
                    );
                }
                Err(_) => {}
            }
        }
        tokio::select! {
            changed = terms.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if is_labelled != Some(leads) => {}
        }
    }
}

async fn report(calls: &Calls, zone: &Name, refused: &Refused) -> Result<(), crate::cluster::CallError> {
    let seen = calls.get(Resource::Zone, "", &object_name(zone)).await?;
    let for_whom = match refused.resource.as_str() {
        "" => String::new(),
        resource => format!(" (ExternalDNS wants it for {resource})"),
    };
    calls
        .tell(&Notice {
            resource: Resource::Zone,
            namespace: String::new(),
            name: seen.name,
            uid: seen.uid,
            warning: true,
            reason: refused.reason.to_owned(),
            note: format!("{refused}{for_whom}"),
            action: "Provide",
        })
        .await
}

/// The operator's numbers and the webhook's on one page. Ready is the operator: only the leader's webhook serves.
pub struct Page {
    /// The operator's.
    pub board: Arc<Board>,
    /// The webhook's.
    pub numbers: Arc<Numbers>,
}

impl Health for Page {
    fn text(&self) -> String {
        self.board.text() + &self.numbers.text()
    }

    fn not_ready(&self) -> Vec<String> {
        self.board.not_ready()
    }
}
