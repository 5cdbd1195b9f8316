//! `helio broker`: the local broker until Ctrl-C.

use heliograph_engine::broker::devices::Devices;
use heliograph_engine::broker::{BrokerOptions, BrokerPorts, LocalBroker};
use heliograph_engine::paths::{broker_dir, default_data_dir};
use serde_json::json;

use crate::args::BrokerArgs;
use crate::failure::Ending;
use crate::live::Interrupts;
use crate::{output, target};

pub async fn run(args: BrokerArgs) -> Result<(), Ending> {
    let password = if args.password_stdin { Some(target::password_from_stdin()?) } else { None };
    let ports =
        BrokerPorts { mqtt: args.mqtt_port, mqtts: args.mqtts_port, ws: args.ws_port, wss: args.wss_port };
    let options = BrokerOptions {
        ports,
        require_client_certificate: args.require_client_cert,
        username: args.username.clone(),
    };
    let dir = args.dir.clone().unwrap_or_else(|| broker_dir(&default_data_dir()));
    let mut interrupts = Interrupts::listen();
    let broker = LocalBroker::start(&dir, &options, password.clone()).await?;
    let devices = match (args.devices, broker.urls().first(), &password) {
        (true, Some(url), Some(password)) => Some(Devices::start(url, Some((&args.username, password)), 1)?),
        (true, Some(url), None) => Some(Devices::start(url, None, 1)?),
        _ => None,
    };
    let files = broker.files();
    if args.json {
        output::line(&json!({ "urls": broker.urls(), "files": files }).to_string());
    } else {
        broker.urls().iter().for_each(|url| output::line(url));
        output::line(&format!("CA certificate      {}", files.ca));
        output::line(&format!("client certificate  {}", files.client_cert));
        output::line(&format!("client key          {}", files.client_key));
        output::line("Ctrl-C stops it");
    }
    interrupts.first().await;
    if let Some(devices) = devices {
        devices.stop().await;
    }
    broker.stop().await;
    Ok(())
}
