//! What people declare: the serde types of the objects, their rules, and how they become claims. Pure.
//!
//! The types serve YAML files and the Kubernetes API alike; [`crd`] prints their schema with the rules that the API
//! server runs, and [`lower()`] runs the same rules (and those that only code can say) on files.

mod annotations;
pub mod crd;
mod crd_yaml;
mod endpoint;
mod form;
mod limits;
mod lower;
mod policy;
mod policy_check;
pub mod policy_crd;
mod problem;
mod record;
mod rights;
mod scalar;
pub mod schema;
mod status;
mod values;
mod zone;
pub mod zone_crd;
mod zones;

pub use endpoint::{endpoint_values, lower_endpoint};
pub use lower::{Lowered, lower};
pub use policy::*;
pub use policy_check::{Checked, check_policy};
pub use problem::Problem;
pub use record::{
    Adopt, Caa, Deletion, Ds, GROUP, KIND, Metadata, Mx, Naptr, Other, RecordSpec, Srv, Sshfp, StaticDnsRecord, Svcb,
    Tlsa, Uri, VERSION,
};
pub use rights::{AddressRange, NamePattern, Rights, Rule, Separated};
pub use scalar::{Flag, Int, Text};
pub use status::{Condition, RecordStatus, SetStatus};
pub use zone::{
    ConflictSample, OrphanSample, Orphans, ZONE_KIND, ZoneBrake, ZoneHeld, ZoneMode, ZoneObjectStatus, ZoneSets,
    ZoneSpec, zone_object_name,
};
pub use zones::{ZoneEntry, Zones};

/// The CRDs of all kinds as one YAML stream, as `knotwork crds` prints it.
pub fn crds() -> String {
    format!("{}---\n{}---\n{}", crd::yaml(), policy_crd::yaml(), zone_crd::yaml())
}
