//! The demo: the local broker, simulated devices, and a saved connection to it over wss with a client
//! certificate. Everything in it is real; only the devices are made up.

use serde_json::json;

use super::Engine;
use crate::broker::BrokerOptions;
use crate::broker::devices::Devices;
use crate::endpoint::{Endpoint, Scheme};
use crate::error::{Error, ErrorCode, Result};
use crate::profile::{
    ClientCertificate, ProfileDraft, ProfileId, Qos, Settings, Subscription, Trust, TrustMode,
};

/// The devices walk the same random walk every time.
const DEMO_SEED: u64 = 7;
const DEMO_PROFILE: &str = "engine.demo.profile";

impl Engine {
    /// Starts the demo and returns its connection, already connecting.
    ///
    /// # Errors
    /// `broker`: the local broker cannot start; `storage`.
    pub async fn start_demo(&self) -> Result<ProfileId> {
        let status = self.start_demo_broker().await?;
        let files = status.files.ok_or_else(|| Error::new(ErrorCode::Internal, "No certificates"))?;
        let url = |scheme: &str| {
            let found = status.urls.iter().find(|url| url.starts_with(&format!("{scheme}://")));
            found.cloned().ok_or_else(|| Error::new(ErrorCode::Internal, format!("No {scheme} listener")))
        };
        let saved = self.inner.library.value(DEMO_PROFILE)?;
        let known = saved.and_then(|id| serde_json::from_value(id).ok());
        let mut draft = match known.and_then(|id| self.profile(id).ok()) {
            Some(profile) => ProfileDraft {
                id: profile.id,
                name: profile.name,
                endpoint: profile.endpoint.into(),
                settings: profile.settings,
            },
            None => {
                let mut draft = self.new_draft();
                draft.name = "Demo line".into();
                draft.settings.subscriptions = demo_subscriptions();
                draft
            }
        };
        let wss = Endpoint::parse_url(&url("wss")?, Scheme::Wss)
            .map_err(|e| Error::new(ErrorCode::Internal, e.to_string()))?;
        draft.endpoint = wss.endpoint.into();
        draft.settings = Settings {
            client_certificate: ClientCertificate {
                enabled: true,
                cert_file: files.client_cert,
                key_file: files.client_key,
                ..ClientCertificate::default()
            },
            trust: Trust { mode: TrustMode::CaOnly, ca_files: vec![files.ca], ..Trust::default() },
            ..draft.settings
        };
        let profile = self.save_profile(draft, None, Vec::new()).await?;
        self.inner.library.set_value(DEMO_PROFILE, json!(profile.id))?;
        *self.inner.devices.lock().await = Some(Devices::start(&url("mqtt")?, None, DEMO_SEED)?);
        self.connect(profile.id).await?;
        Ok(profile.id)
    }

    /// With the options of last time, else on the usual ports, else on free ones.
    async fn start_demo_broker(&self) -> Result<crate::broker::BrokerStatus> {
        let options = BrokerOptions { username: String::new(), ..self.broker_options() };
        match self.start_broker(options.clone(), None).await {
            Ok(status) => Ok(status),
            Err(_) => {
                let ports = crate::broker::BrokerPorts { mqtt: 0, mqtts: 0, ws: 0, wss: 0 };
                self.start_broker(BrokerOptions { ports, ..options }, None).await
            }
        }
    }
}

fn demo_subscriptions() -> Vec<Subscription> {
    let subscription = |filter: &str, label: &str, color, qos| Subscription {
        filter: filter.into(),
        label: label.into(),
        color,
        enabled: true,
        qos,
        ..Subscription::default()
    };
    // They do not overlap: a broker may deliver a message once for each filter that matches it.
    vec![
        subscription("factory/+/+/telemetry", "Telemetry", 1, Qos::AtMostOnce),
        subscription("factory/+/alarm", "Alarms", 2, Qos::ExactlyOnce),
        subscription("factory/+/+/status", "Status", 0, Qos::AtLeastOnce),
        subscription("factory/+/+/speed", "Conveyors", 3, Qos::AtMostOnce),
        subscription("factory/energy/#", "Energy", 4, Qos::AtLeastOnce),
    ]
}
