//! Where declarations come from without Kubernetes: the configuration and the manifests on disk.

pub mod config;
mod config_check;
mod config_schema;
mod diagnostic;
mod document;
mod files;
mod follow;
mod from_tree;
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod keyfile;
mod manifests;
mod object;
mod policies;
mod prune;
mod quick;
mod tree;
mod walk;
mod yaml_words;

pub use config::{Config, ConfigError, ServerSettings, WebhookConfig, ZoneSettings};
pub use config_schema::SCHEMA as CONFIG_SCHEMA;
pub use diagnostic::Diagnostic;
pub use files::Memory;
pub use follow::{Followed, follow};
pub use manifests::{Loaded, Place, Refusal, load, load_again};
pub use object::{ObjectFault, ObjectRead, read_object};
pub use policies::{Policies, PolicyPlace, load_policies, load_policies_for};
pub use walk::{Input, fingerprint};
