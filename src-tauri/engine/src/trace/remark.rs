//! What deserves a look in the files of an identity, and how a server is judged: as facts, for whoever says it in
//! words of their own, and in English.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::message::UnixMicros;
use crate::profile::{Trust, TrustMode};

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Something that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "remark", rename_all = "snake_case")]
#[ts(export)]
pub enum IdentityRemark {
    /// A certificate that is out of date.
    Expired {
        /// Its name.
        name: String,
        /// Whether it is the client's own, not an issuer's.
        leaf: bool,
        /// For how many whole days.
        #[ts(type = "number")]
        days: i64,
    },
    /// A certificate whose time has not begun.
    NotYetValid {
        /// Its name.
        name: String,
        /// Whether it is the client's own, not an issuer's.
        leaf: bool,
        /// For how many whole days yet.
        #[ts(type = "number")]
        days: i64,
    },
    /// A certificate whose time is nearly over.
    EndsSoon {
        /// Its name.
        name: String,
        /// Whether it is the client's own, not an issuer's.
        leaf: bool,
        /// In how many whole days.
        #[ts(type = "number")]
        days: i64,
    },
    /// The client's certificate lacks clientAuth among its extended key usages.
    NotForClients {
        /// Its name.
        name: String,
    },
    /// The client's certificate is a CA's.
    IsAuthority {
        /// Its name.
        name: String,
    },
    /// Certificates that are not part of the chain, so not sent.
    Unused {
        /// Their names.
        names: Vec<String>,
    },
    /// A client certificate is set where there is no TLS to send it in.
    NotSent {
        /// Where.
        url: String,
    },
}

impl IdentityRemark {
    /// Whole days in a time.
    pub(crate) fn days(time: UnixMicros) -> i64 {
        time / DAY
    }

    /// The same in English.
    pub fn words(&self) -> String {
        let which = |leaf| if leaf { "The client certificate" } else { "The intermediate certificate" };
        let long = |days: i64| match days {
            0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            n => format!("{n} days"),
        };
        match self {
            Self::Expired { name, leaf, days } => {
                format!("{} {name} expired {} ago", which(*leaf), long(*days))
            }
            Self::NotYetValid { name, leaf, days } => {
                format!("{} {name} is not valid yet, for another {}", which(*leaf), long(*days))
            }
            Self::EndsSoon { name, leaf, days } => {
                format!("{} {name} expires in {}", which(*leaf), long(*days))
            }
            Self::NotForClients { name } => format!(
                "The client certificate {name} is not made for clients: its extended key usage lacks clientAuth"
            ),
            Self::IsAuthority { name } => format!("The client certificate {name} is the certificate of a CA"),
            Self::Unused { names } => {
                format!("Not part of the client certificate's chain, so not sent: {}", names.join(", "))
            }
            Self::NotSent { url } => {
                format!("A client certificate is set, but {url} has no TLS: it is not sent")
            }
        }
    }
}

/// By which rule a server is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TrustRule {
    /// Whose certificates are accepted.
    pub mode: TrustMode,
    /// Names of the CA files.
    pub ca_files: Vec<String>,
    /// Whether the certificate must name the host.
    pub verify_host_name: bool,
}

impl TrustRule {
    /// The rule of a connection.
    pub(crate) fn of(trust: &Trust) -> Self {
        let name = |path: &String| {
            std::path::Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        Self {
            mode: trust.mode,
            ca_files: trust.ca_files.iter().map(name).collect(),
            verify_host_name: trust.verify_host_name,
        }
    }

    /// The same in English.
    pub fn words(&self) -> String {
        let plural = if self.ca_files.len() == 1 { "" } else { "s" };
        let files = format!("CA file{plural} {}", self.ca_files.join(", "));
        let mut words = match self.mode {
            TrustMode::System => "system roots".to_owned(),
            TrustMode::SystemAndCa if self.ca_files.is_empty() => "system roots".to_owned(),
            TrustMode::SystemAndCa => format!("system roots and {files}"),
            TrustMode::CaOnly => files,
            TrustMode::Pinned => return "pinned".to_owned(),
            TrustMode::Insecure => return "not verified".to_owned(),
        };
        if !self.verify_host_name {
            words.push_str(", any host name");
        }
        words
    }
}
