//! Simulated devices of a press line, so that there is something to see on the local broker. In: a broker's
//! URL, a seed and the time. Out: about twelve messages a second, text, JSON, numbers and pictures, with the
//! same values for the same seed. Each device is an MQTT 5 client of its own. Never used for real work.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::v5::{LastWill, PublishProperties};
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, PublishOptions, QoS};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorCode, Result};
use crate::message::{Clock, UnixMicros};
use crate::secret::Secret;

const STATUS_TOPIC: &str = "factory/line-3/press-07/status";
const RETRY_AFTER: Duration = Duration::from_millis(500);
const STOP_BOUND: Duration = Duration::from_secs(2);
/// Readings that wait for the wire; more are thrown away, as a real sensor would.
const WAITING_READINGS: usize = 64;

/// Devices that run. Dropping it ends them without a farewell, so that their wills are published.
pub struct Devices {
    stop: CancellationToken,
    /// Ends their tasks when this value goes.
    _abort: tokio_util::sync::DropGuard,
    tasks: TaskTracker,
}

impl Devices {
    /// Starts them against the broker at `url` (`mqtt://host:port`), with user name and password where it wants
    /// them. They connect in the background and again whenever they lose it.
    ///
    /// # Errors
    /// `url` is not of that form.
    pub fn start(url: &str, login: Option<(&str, &Secret)>, seed: u64) -> Result<Self> {
        let address = url::Url::parse(url).ok().filter(|url| url.scheme() == "mqtt");
        let address = address.as_ref().and_then(|url| Some((url.host_str()?, url.port().unwrap_or(1883))));
        let Some((host, port)) = address else {
            let message = format!("Devices connect to mqtt://host:port, not to {url}");
            return Err(Error::new(ErrorCode::Internal, message));
        };
        let (stop, abort, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let clock = Clock::start();
        for machine in Machine::line(seed) {
            let mut options =
                MqttOptions::new(format!("demo-{}", machine.name()), (host.trim_matches(['[', ']']), port));
            options.set_keep_alive(30);
            if let Some((username, password)) = login {
                options.set_credentials(username, Bytes::copy_from_slice(password.expose()));
            }
            if matches!(machine, Machine::Press { .. }) {
                options.set_last_will(LastWill::new(STATUS_TOPIC, "offline", QoS::AtLeastOnce, true, None));
            }
            let (stop, abort) = (stop.clone(), abort.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = run(machine, options, clock, &stop) => {}
                    () = abort.cancelled() => {}
                    () = async { stop.cancelled().await; tokio::time::sleep(STOP_BOUND).await } => {}
                }
            });
        }
        tasks.close();
        Ok(Self { stop, _abort: abort.drop_guard(), tasks })
    }

    /// Says goodbye (the press goes `offline`) and returns when all are gone, within two seconds.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

async fn run(machine: Machine, options: MqttOptions, clock: Clock, stop: &CancellationToken) {
    let (client, events) = AsyncClient::builder(options).capacity(WAITING_READINGS).build();
    let (connected, connection) = watch::channel(false);
    let announces = matches!(machine, Machine::Press { .. });
    tokio::select! {
        () = keep_connected(events, &client, connected, announces, stop) => {}
        () = produce(machine, &client, connection, clock, stop) => {}
    }
}

/// Returns when the connection has ended after `stop`.
async fn keep_connected(
    mut events: EventLoop,
    client: &AsyncClient,
    connected: watch::Sender<bool>,
    announces: bool,
    stop: &CancellationToken,
) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                if announces {
                    send(client, Reading::status("online"));
                }
                connected.send_replace(true);
            }
            Ok(_) => {}
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                connected.send_replace(false);
                tracing::debug!(%error, "simulated device: not connected");
                tokio::select! {
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}

/// Reads the device while it is connected. Never returns: the end of the connection ends it.
async fn produce(
    mut machine: Machine,
    client: &AsyncClient,
    mut connection: watch::Receiver<bool>,
    clock: Clock,
    stop: &CancellationToken,
) {
    let mut ticks = tokio::time::interval(machine.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = async { connection.wait_for(|connected| *connected).await.ok(); ticks.tick().await } => {}
            () = stop.cancelled() => break,
        }
        machine.read(clock.now()).into_iter().for_each(|reading| send(client, reading));
    }
    if matches!(machine, Machine::Press { .. }) {
        send(client, Reading::status("offline"));
    }
    // It fails when the event loop is gone already, which is what we want.
    client.disconnect().await.ok();
    std::future::pending().await
}

fn send(client: &AsyncClient, reading: Reading) {
    let options = PublishOptions::new(reading.qos).retain(reading.retain).properties(reading.properties);
    if let Err(error) = client.try_publish(reading.topic, reading.payload, options) {
        tracing::debug!(%error, "simulated device: reading thrown away");
    }
}

/// A message to be.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    topic: &'static str,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    properties: PublishProperties,
}

impl Reading {
    fn new(topic: &'static str, payload: impl Into<Bytes>, content_type: &str) -> Self {
        let properties = PublishProperties {
            content_type: Some(content_type.to_owned()),
            payload_format_indicator: Some(u8::from(!content_type.starts_with("image/"))),
            ..Default::default()
        };
        Self { topic, payload: payload.into(), qos: QoS::AtMostOnce, retain: false, properties }
    }

    fn json(topic: &'static str, value: &serde_json::Value) -> Self {
        Self::new(topic, value.to_string(), "application/json")
    }

    fn status(text: &'static str) -> Self {
        Self::new(STATUS_TOPIC, text, "text/plain").retained(QoS::AtLeastOnce)
    }

    fn retained(self, qos: QoS) -> Self {
        Self { qos, retain: true, ..self }
    }

    fn at_least_once(self) -> Self {
        Self { qos: QoS::AtLeastOnce, ..self }
    }

    fn user_property(mut self, name: &str, value: &str) -> Self {
        self.properties.user_properties.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A device and its present state.
#[derive(Debug, Clone)]
enum Machine {
    Press { random: Random, temperature: Walk, pressure: Walk, vibration: Walk, cycles: u64 },
    Conveyor { random: Random, speed: Walk },
    Meter { random: Random, power: Walk, energy_wh: f64, readings: u64 },
    Camera { frame: u32 },
    Control { random: Random, ticks: u64, alarm: bool },
}

impl Machine {
    fn line(seed: u64) -> Vec<Self> {
        let random = |device: u64| Random(seed ^ device.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        vec![
            Self::Press {
                random: random(1),
                temperature: Walk { value: 68.0, home: 70.0, step: 0.35 },
                pressure: Walk { value: 182.0, home: 180.0, step: 1.2 },
                vibration: Walk { value: 2.1, home: 2.0, step: 0.08 },
                cycles: 184_220,
            },
            Self::Conveyor { random: random(2), speed: Walk { value: 0.82, home: 0.8, step: 0.01 } },
            Self::Meter {
                random: random(3),
                power: Walk { value: 41_300.0, home: 42_000.0, step: 400.0 },
                energy_wh: 88_412_730.0,
                readings: 0,
            },
            Self::Camera { frame: 0 },
            Self::Control { random: random(5), ticks: 0, alarm: false },
        ]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Press { .. } => "press-07",
            Self::Conveyor { .. } => "conveyor-1",
            Self::Meter { .. } => "meter-3",
            Self::Camera { .. } => "camera-1",
            Self::Control { .. } => "line-3-control",
        }
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Press { .. } => 200,
            Self::Conveyor { .. } => 250,
            Self::Meter { .. } | Self::Control { .. } => 1_000,
            Self::Camera { .. } => 2_000,
        })
    }

    fn read(&mut self, now: UnixMicros) -> Vec<Reading> {
        let time_ms = now / 1_000;
        match self {
            Self::Press { random, temperature, pressure, vibration, cycles } => {
                *cycles += u64::from(random.below(3) == 0);
                let values = serde_json::json!({
                    "time": time_ms,
                    "temperature_c": rounded(temperature.next(random), 2),
                    "pressure_bar": rounded(pressure.next(random), 1),
                    "vibration_mm_s": rounded(vibration.next(random).abs(), 3),
                    "cycles": cycles,
                    "tool": "T-114",
                });
                let reading = Reading::json("factory/line-3/press-07/telemetry", &values);
                vec![reading.user_property("firmware", "4.2.1").user_property("unit-system", "SI")]
            }
            Self::Conveyor { random, speed } => {
                let text = format!("{:.3}", speed.next(random).max(0.0));
                vec![Reading::new("factory/line-3/conveyor-1/speed", text, "text/plain")]
            }
            Self::Meter { random, power, energy_wh, readings } => {
                *readings += 1;
                let watts = power.next(random).max(0.0);
                *energy_wh += watts / 3_600.0;
                let values = serde_json::json!({
                    "time": time_ms,
                    "power_w": rounded(watts, 0),
                    "energy_kwh": rounded(*energy_wh / 1_000.0, 3),
                    "phases_v": [
                        rounded(random.around(230.0, 1.5), 1),
                        rounded(random.around(230.0, 1.5), 1),
                        rounded(random.around(230.0, 1.5), 1),
                    ],
                });
                let mut reading = Reading::json("factory/energy/meter-3", &values).at_least_once();
                reading.properties.response_topic = Some("factory/energy/meter-3/command".into());
                reading.properties.correlation_data = Some(Bytes::copy_from_slice(&readings.to_be_bytes()));
                vec![reading]
            }
            Self::Camera { frame } => {
                *frame = frame.wrapping_add(1);
                let reading = Reading::new("factory/line-3/camera-1/frame", picture(*frame), "image/png");
                vec![reading.user_property("frame", &frame.to_string())]
            }
            Self::Control { random, ticks, alarm } => {
                *ticks += 1;
                let mut readings = Vec::new();
                if *ticks == 1 || random.below(30) == 0 {
                    *alarm = *ticks > 1 && !*alarm;
                    readings.push(alarm_reading(*alarm, time_ms));
                }
                if *ticks % 12 == 3 {
                    readings.push(notice((*ticks / 12) % 2 == 0));
                }
                readings
            }
        }
    }
}

fn alarm_reading(active: bool, time_ms: i64) -> Reading {
    let values = serde_json::json!({
        "time": time_ms,
        "active": active,
        "code": "P07-OIL-TEMP",
        "text": if active { "Hydraulic oil above 75 °C" } else { "Hydraulic oil back to normal" },
    });
    let severity = if active { "high" } else { "none" };
    Reading::json("factory/line-3/alarm", &values)
        .retained(QoS::ExactlyOnce)
        .user_property("severity", severity)
}

fn notice(chinese: bool) -> Reading {
    let (language, text) = if chinese {
        ("zh", "三号线将于 14:00 更换模具,请提前十分钟停机。")
    } else {
        ("en", "Line 3 changes tools at 14:00. Please stop ten minutes before.")
    };
    let mut reading =
        Reading::new("factory/line-3/notice", text, "text/plain; charset=utf-8").at_least_once();
    reading.properties.message_expiry_interval = Some(3_600);
    reading.user_property("language", language)
}

/// What a press like the one of the demo says, reading after reading: JSON with noise in it. The same for the same seed.
pub fn telemetry(seed: u64) -> impl Iterator<Item = Bytes> {
    let press = Machine::line(seed).into_iter().next();
    let mut now = 1_700_000_000_000_000;
    std::iter::from_fn(move || {
        now += 200_000;
        Some(now)
    })
    .scan(press, |press, now| press.as_mut()?.read(now).pop().map(|reading| reading.payload))
}

/// A value that wanders and is pulled home.
#[derive(Debug, Clone)]
struct Walk {
    value: f64,
    home: f64,
    step: f64,
}

impl Walk {
    fn next(&mut self, random: &mut Random) -> f64 {
        self.value += random.around(0.0, self.step) + (self.home - self.value) * 0.02;
        self.value
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// SplitMix64: small, and the same on every machine.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Evenly within `middle` ± `reach`.
    fn around(&mut self, middle: f64, reach: f64) -> f64 {
        let unit = f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        middle + (unit * 2.0 - 1.0) * reach
    }
}

/// A PNG (ISO/IEC 15948): a part on a belt, further right with each frame.
fn picture(frame: u32) -> Vec<u8> {
    const WIDTH: u32 = 64;
    const HEIGHT: u32 = 40;
    let part = frame.wrapping_mul(3) % WIDTH;
    let mut rows = Vec::with_capacity(((WIDTH + 1) * HEIGHT) as usize);
    for y in 0..HEIGHT {
        rows.push(0);
        for x in 0..WIDTH {
            let on_part = x.abs_diff(part) < 6 && y.abs_diff(HEIGHT / 2) < 6;
            let on_belt = y.abs_diff(HEIGHT / 2) < 10;
            rows.push(if on_part {
                235
            } else if on_belt {
                70
            } else {
                120 + (y as u8)
            });
        }
    }
    let mut header = Vec::from(WIDTH.to_be_bytes());
    header.extend(HEIGHT.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);

    let mut png = vec![0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"IDAT", &stored_zlib(&rows));
    chunk(&mut png, *b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let begins = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32(&png[begins..]);
    png.extend(sum.to_be_bytes());
}

/// One stored block (RFC 1950, RFC 1951): fewer than 65,536 bytes.
fn stored_zlib(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut zlib = vec![0x78, 0x01, 1];
    zlib.extend(length.to_le_bytes());
    zlib.extend((!length).to_le_bytes());
    zlib.extend(data);
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    zlib.extend(((b << 16) | a).to_be_bytes());
    zlib
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut sum, byte| {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = 1_790_000_000_000_000;

    /// Everything that a line sends in `seconds`.
    fn sent(seed: u64, seconds: u64) -> Vec<Reading> {
        let mut readings = Vec::new();
        for mut machine in Machine::line(seed) {
            let count = Duration::from_secs(seconds).as_millis() / machine.interval().as_millis();
            for _ in 0..count {
                readings.extend(machine.read(NOW));
            }
        }
        readings
    }

    #[test]
    fn the_same_seed_gives_the_same_values() {
        assert_eq!(sent(7, 60), sent(7, 60));
        assert_ne!(sent(7, 60), sent(8, 60));
    }

    #[test]
    fn rates_and_values_are_believable() {
        let readings = sent(1, 600);
        let rate = readings.len() as f64 / 600.0;
        assert!((5.0..=20.0).contains(&rate), "{rate} messages a second");
        for reading in &readings {
            if reading.topic.ends_with("telemetry") {
                let values: serde_json::Value = serde_json::from_slice(&reading.payload).expect("JSON");
                let temperature = values["temperature_c"].as_f64().expect("a number");
                assert!((50.0..90.0).contains(&temperature), "{temperature}");
                assert_eq!(values["time"], NOW / 1_000);
            }
            if reading.topic.ends_with("speed") {
                let speed: f64 =
                    std::str::from_utf8(&reading.payload).expect("text").parse().expect("a number");
                assert!((0.5..1.2).contains(&speed), "{speed}");
            }
        }
        let alarms: Vec<_> = readings.iter().filter(|r| r.topic.ends_with("alarm")).collect();
        assert!(alarms.len() > 3 && alarms.iter().all(|r| r.retain && r.qos == QoS::ExactlyOnce));
        let notices: Vec<_> = readings.iter().filter(|r| r.topic.ends_with("notice")).collect();
        assert!(
            notices.iter().any(|r| !r.payload.is_ascii()) && notices.iter().any(|r| r.payload.is_ascii())
        );
    }

    #[test]
    fn check_sums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert!(stored_zlib(b"Wikipedia").ends_with(&0x11E6_0398u32.to_be_bytes()));
        assert!(picture(1).starts_with(b"\x89PNG\r\n\x1a\n") && picture(1) != picture(2));
    }

    #[test]
    fn only_mqtt_urls_are_taken() {
        for url in ["wss://localhost:1", "localhost:1883", "mqtt://"] {
            assert!(Devices::start(url, None, 1).is_err(), "{url}");
        }
    }
}
