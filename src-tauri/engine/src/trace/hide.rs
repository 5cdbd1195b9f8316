//! Takes secrets out of what a server, proxy or broker said: it may send back what it was sent.

use super::{StageDetail, Trace};
use crate::secret::Mask;

/// Hides secrets in everything of the trace that came from elsewhere.
pub(super) fn hide(trace: &mut Trace, mask: &Mask) {
    let hide = |text: &mut Option<String>| text.iter_mut().for_each(|text| mask.hide(text));
    for report in &mut trace.stages {
        match &mut report.detail {
            StageDetail::Proxy(proxy) => hide(&mut proxy.answer),
            StageDetail::Tls(tls) => hide(&mut tls.alert),
            StageDetail::Websocket(websocket) => {
                hide(&mut websocket.reason);
                hide(&mut websocket.subprotocol);
                hide(&mut websocket.body);
                websocket.response_headers.iter_mut().for_each(|header| mask.hide(&mut header.value));
            }
            StageDetail::Mqtt(mqtt) => {
                if let Some(connack) = &mut mqtt.connack {
                    hide(&mut connack.assigned_client_id);
                    hide(&mut connack.reason_string);
                    hide(&mut connack.response_information);
                    hide(&mut connack.server_reference);
                    hide(&mut connack.authentication_method);
                    for property in &mut connack.user_properties {
                        mask.hide(&mut property.name);
                        mask.hide(&mut property.value);
                    }
                }
            }
            StageDetail::Identity(_) | StageDetail::Dns(_) | StageDetail::Tcp(_) => {}
        }
    }
    trace.log.iter_mut().for_each(|line| mask.hide(&mut line.text));
    for failure in trace.verdict.iter_mut().filter_map(|verdict| verdict.failure.as_mut()) {
        failure.hide(mask);
    }
}
