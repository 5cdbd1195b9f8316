//! What can be typed. In: words. Out: options, nothing decided. `-h` is the host and `-V` the MQTT version, as
//! in the tools that people already use; help is `--help`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use heliograph_engine::broker::CertificatePurpose;
use heliograph_engine::endpoint::Scheme;
use heliograph_engine::message::Direction;
use heliograph_engine::profile::{MqttVersion, Qos, TlsVersion, UserProperty};

/// MQTT from the command line: the transport you choose is the transport you get.
#[derive(Parser)]
#[command(
    name = "helio",
    version,
    after_help = ENVIRONMENT,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print help
    #[arg(long, action = ArgAction::Help, global = true)]
    help: Option<bool>,
    /// Print the version of helio
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

const ENVIRONMENT: &str = "\
Environment:
  HELIO_PASSWORD        password, unless an option or the URL gives one
  HELIO_KEY_PASSWORD    passphrase of the private key, likewise
  HELIO_TOKEN_PIN       PIN of the token that holds the private key
  HELIO_PROXY_PASSWORD  password of the proxy, likewise
  HELIO_VAULT_PASSPHRASE, HELIO_EXPORT_PASSPHRASE
                        passphrase of the vault, and of an export with secrets
  HELIOGRAPH_DATA_DIR   where the window and helio keep the saved connections
  NO_COLOR              no colours; they are only used on a terminal anyway

Exit status:
  0 done, 1 other trouble, 2 wrong usage or a bad file, 3 no connection,
  4 refused by the broker, 130 or 143 interrupted before the work was done";

#[derive(Subcommand)]
pub enum Command {
    /// Connect, show every stage, disconnect
    Trace(TraceArgs),
    /// Find out what a port speaks: TLS or not, WebSocket or not, which path and MQTT version
    Probe(ProbeArgs),
    /// Subscribe and print messages
    Sub(SubArgs),
    /// Publish messages
    Pub(PubArgs),
    /// Publish what was recorded: the lines of sub --json, or an export of the window
    Replay(ReplayArgs),
    /// The saved connections: list, show, export, import, delete
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// Measure: rates, loss and latencies of receiving, publishing and connecting
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Run a local broker on loopback: all four transports, certificates made on first start
    Broker(BrokerArgs),
    /// Make a development CA and certificates, and look at certificate files
    Cert {
        #[command(subcommand)]
        command: CertCommand,
    },
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    Man {
        /// Of this command, for example sub; of helio itself when none is named
        command: Vec<String>,
        /// Write all pages into this folder instead
        #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub enum ProfilesCommand {
    /// List the saved connections, by folder
    List {
        /// One JSON object a connection
        #[arg(long)]
        json: bool,
    },
    /// Show a saved connection; secrets are not shown
    Show {
        /// Its name, folder/name, or id
        #[arg(value_name = "PROFILE")]
        name: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write saved connections as JSON, without secrets unless asked
    Export(ExportArgs),
    /// Add connections from an export of Heliograph, MQTTX or MQTT Explorer, or from mosquitto and mqttx command lines
    Import(ImportArgs),
    /// Delete saved connections; for a day they can be restored
    Delete {
        /// Which: name, folder/name, or id
        #[arg(value_name = "PROFILE", required = true)]
        names: Vec<String>,
    },
    /// Bring a deleted connection back
    Restore {
        /// Its id, as delete printed it
        id: uuid::Uuid,
    },
}

#[derive(Args)]
pub struct ExportArgs {
    /// Which: name, folder/name, or id; all of them when none is named
    #[arg(value_name = "PROFILE")]
    pub names: Vec<String>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    pub force: bool,
    /// With their secrets, everything sealed under a passphrase (Argon2id, XChaCha20-Poly1305)
    #[arg(long)]
    pub with_secrets: bool,
    /// Read that passphrase from standard input
    #[arg(long, requires = "with_secrets")]
    pub passphrase_stdin: bool,
}

#[derive(Args)]
pub struct ImportArgs {
    /// The export, or a file with command lines; - reads standard input
    pub file: PathBuf,
    /// Say row by row what would come in and what could not be understood, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Leave the secrets in it out; else they go into the vault
    #[arg(long)]
    pub without_secrets: bool,
    /// Read the passphrase of an export with secrets from standard input
    #[arg(long)]
    pub passphrase_stdin: bool,
    /// One JSON object a connection that was added; with --dry-run one for everything
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum BenchCommand {
    /// Receive, until so many, so long, or Ctrl-C: rate, loss, latencies
    Sub(BenchSubArgs),
    /// Publish numbered messages, until so many, so long, or Ctrl-C: rate, loss, latencies
    Pub(BenchPubArgs),
    /// Open many connections and hold them: how long each took
    Conn(BenchConnArgs),
}

#[derive(Subcommand)]
pub enum CertCommand {
    /// Make a development CA
    Create(CertCreateArgs),
    /// Issue a certificate by the development CA, with the lines that make brokers use it
    Issue(CertIssueArgs),
    /// Say what is in files: certificates, keys, bundles
    Show(CertShowArgs),
    /// Check that files fit together: key, chain, dates, purposes, names
    Check(CertCheckArgs),
}

#[derive(Args)]
pub struct CertCreateArgs {
    /// Its folder; the local broker's unless given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Common name of the CA
    #[arg(long, default_value = "Heliograph development CA")]
    pub name: String,
    /// Days until it ends
    #[arg(long, default_value_t = 3650)]
    pub days: u32,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct CertIssueArgs {
    /// server or client
    #[arg(value_parser = purpose)]
    pub purpose: CertificatePurpose,
    /// Common name; for a server a host name or address
    pub name: String,
    /// Further name: host name, address, URI or mail address; may be given several times
    #[arg(long, value_name = "NAME")]
    pub san: Vec<String>,
    /// Folder of the CA; the local broker's unless given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Folder for the new files; the CA's unless given
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Days until it ends
    #[arg(long, default_value_t = 397)]
    pub days: u32,
    /// One PKCS#12 bundle instead of two PEM files
    #[arg(long)]
    pub p12: bool,
    /// Passphrase of the key or the bundle
    #[arg(long, value_name = "TEXT")]
    pub key_password: Option<String>,
    /// Read the passphrase from standard input
    #[arg(long, conflicts_with = "key_password")]
    pub key_password_stdin: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct CertShowArgs {
    /// PEM, DER or PKCS#12
    #[arg(required = true)]
    pub files: Vec<String>,
    /// Passphrase of the key or the bundle
    #[arg(long, value_name = "TEXT")]
    pub key_password: Option<String>,
    /// One JSON object a file
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct CertCheckArgs {
    /// Certificate, PEM, DER or PKCS#12
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// Its private key
    #[arg(long, value_name = "FILE")]
    pub key: Option<String>,
    /// Certificate, chain and key in PKCS#12
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cert", "key"])]
    pub p12: Option<String>,
    /// Passphrase of the key or the bundle
    #[arg(long, value_name = "TEXT")]
    pub key_password: Option<String>,
    /// CA certificates; may be given several times
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<String>,
    /// Revocation lists; may be given several times
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<String>,
    /// The certificate is a server's
    #[arg(long)]
    pub server: bool,
    /// The certificate is a server's and must name this host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct TraceArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// One JSON object a line: each stage as it ends, then the verdict
    #[arg(long)]
    pub json: bool,
    /// The whole trace as Markdown, with versions and settings, secrets masked
    #[arg(long, conflicts_with = "json")]
    pub report: bool,
}

#[derive(Args)]
pub struct ProbeArgs {
    /// host:port, a URL, or @NAME of a saved connection; user name and password are not sent
    #[arg(value_name = "HOST:PORT")]
    pub target: String,
    /// A WebSocket path to try before /mqtt, /ws and /
    #[arg(long)]
    pub path: Option<String>,
    /// Judge the server by these certificates too: PEM or DER
    #[arg(long, alias = "cafile", value_name = "FILE")]
    pub ca: Vec<String>,
    /// Judge it only by the certificates of --ca
    #[arg(long, requires = "ca")]
    pub ca_only: bool,
    /// Protocol name to offer in TLS; may be given several times
    #[arg(long, value_name = "NAME")]
    pub alpn: Vec<String>,
    /// Name to ask for in TLS and to verify, instead of the host
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// http://, https://, socks5:// or socks5h:// [user:password@]host[:port]
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// One bound for everything together
    #[arg(long, value_name = "SECONDS", default_value_t = heliograph_engine::probe::TIMEOUT_S,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub connect_timeout: u16,
    /// One JSON object a line: each combination as it is decided, then the whole report
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct SubArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topic filter; may be given several times. With @PROFILE its own subscriptions unless given
    #[arg(short, long = "topic", value_name = "FILTER")]
    pub topics: Vec<String>,
    /// The highest quality of service wanted: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub qos: Qos,
    /// Do not send back what this connection publishes (MQTT 5)
    #[arg(long)]
    pub no_local: bool,
    /// Keep the RETAIN flag as published (MQTT 5)
    #[arg(long)]
    pub retain_as_published: bool,
    /// 0 sends retained messages, 1 only for a new subscription, 2 never (MQTT 5)
    #[arg(long, value_name = "0|1|2", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub retain_handling: u8,
    /// End after so many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Print the topic before the payload
    #[arg(short, long)]
    pub verbose: bool,
    /// One JSON object a message
    #[arg(long, conflicts_with_all = ["verbose", "format"])]
    pub json: bool,
    /// %t topic, %p payload, %x payload in hex, %l its length, %q QoS, %r retain, %d dup, %I time, %j JSON, %% and \n \t
    #[arg(short = 'F', long)]
    pub format: Option<String>,
}

#[derive(Args)]
pub struct PubArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topic
    #[arg(short, long)]
    pub topic: String,
    #[command(flatten)]
    pub payload: PayloadArgs,
    /// Quality of service: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub qos: Qos,
    /// Let the broker keep the message for later subscribers
    #[arg(short, long)]
    pub retain: bool,
    /// Content Type (MQTT 5)
    #[arg(long)]
    pub content_type: Option<String>,
    /// Response Topic (MQTT 5)
    #[arg(long)]
    pub response_topic: Option<String>,
    /// Correlation Data (MQTT 5)
    #[arg(long)]
    pub correlation_data: Option<String>,
    /// Message Expiry Interval (MQTT 5)
    #[arg(long, alias = "message-expiry-interval", value_name = "SECONDS")]
    pub message_expiry: Option<u32>,
    /// Say that the payload is UTF-8 text (MQTT 5)
    #[arg(long)]
    pub payload_format_utf8: bool,
    /// User property of the message (MQTT 5)
    #[arg(long, value_name = "K=V", value_parser = user_property)]
    pub message_user_property: Vec<UserProperty>,
    /// One JSON object a message: what became of it
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct PayloadArgs {
    /// Payload
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true)]
    pub message: Option<String>,
    /// A file whose bytes are the payload
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// Standard input is the payload
    #[arg(short, long)]
    pub stdin: bool,
    /// A message for each line of standard input
    #[arg(long)]
    pub stdin_lines: bool,
    /// An empty payload
    #[arg(short, long)]
    pub null_message: bool,
}

#[derive(Args)]
pub struct ReplayArgs {
    /// One JSON object a line, as sub --json prints them and as the window records and exports them
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// How fast, from 0.1 to 1000: 2 halves the distances in time
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub speed: f64,
    /// As fast as the broker takes them
    #[arg(long, conflicts_with = "speed")]
    pub no_wait: bool,
    /// Put this before each topic, as it stands: copy/ makes copy/a of a
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub topic_prefix: String,
    /// Quality of service of all messages instead of what was recorded: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", value_parser = qos)]
    pub qos: Option<Qos>,
    /// RETAIN of all messages instead of what was recorded
    #[arg(long, value_name = "true|false")]
    pub retain: Option<bool>,
    /// Only what was received (in), or only what was sent (out)
    #[arg(long, value_name = "in|out", value_parser = direction)]
    pub direction: Option<Direction>,
    /// Play it so many times; 0 is until Ctrl-C
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    pub times: u32,
    /// One JSON object: what became of the messages
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BenchSubArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topic filter; may be given several times. With @PROFILE its own subscriptions unless given
    #[arg(short, long = "topic", value_name = "FILTER")]
    pub topics: Vec<String>,
    /// The highest quality of service wanted: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub qos: Qos,
    /// How many clients subscribe; each gets every message
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: u32,
    #[command(flatten)]
    pub extent: BenchExtent,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BenchPubArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topic; with --topics its beginning
    #[arg(short, long, default_value = "helio/bench")]
    pub topic: String,
    /// Publish to so many topics in turn: TOPIC/0, TOPIC/1 and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub topics: u32,
    /// Quality of service: 0, 1 or 2
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub qos: Qos,
    /// Bytes of a payload, at least 28, which hold its number and time
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(28..=268_435_000))]
    pub size: u32,
    /// Messages a second, of all clients together; as fast as the broker takes them unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How many clients publish
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: u32,
    /// Messages that each client has under way at most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub inflight: u32,
    /// Receive them too, by a connection of its own: loss and latency from end to end
    #[arg(long)]
    pub receive: bool,
    #[command(flatten)]
    pub extent: BenchExtent,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BenchConnArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// How many connections
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// Connections begun a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Seconds to hold all of them
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub hold: u32,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// How long is measured; until Ctrl-C unless one of them is given.
#[derive(Args)]
pub struct BenchExtent {
    /// End after so many messages, of all clients together, those of the warm-up among them
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so many seconds of measuring
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub duration: Option<u32>,
    /// Seconds before the measuring begins: they count for the loss, not for rates and latencies
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub warmup: u32,
}

#[derive(Args)]
pub struct BrokerArgs {
    /// Port of mqtt://; 0 takes a free one
    #[arg(long, default_value_t = 1883)]
    pub mqtt_port: u16,
    /// Port of mqtts://
    #[arg(long, default_value_t = 8883)]
    pub mqtts_port: u16,
    /// Port of ws://
    #[arg(long, default_value_t = 8083)]
    pub ws_port: u16,
    /// Port of wss://
    #[arg(long, default_value_t = 8084)]
    pub wss_port: u16,
    /// mqtts and wss demand a client certificate
    #[arg(long)]
    pub require_client_cert: bool,
    /// User name that clients need
    #[arg(short, long, default_value = "")]
    pub username: String,
    /// Read that user's password from the first line of standard input
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Folder of its certificates
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Let simulated devices publish
    #[arg(long)]
    pub devices: bool,
    /// One JSON object with the URLs and certificate files
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// mqtt://, mqtts://, ws:// or wss:// [user[:password]@]host[:port][/path], or @NAME of a saved connection
    #[arg(value_name = "URL|@PROFILE")]
    pub target: Option<String>,
    /// Host, instead of the URL's
    #[arg(short = 'h', long, alias = "host")]
    pub hostname: Option<String>,
    /// Port, instead of the URL's
    #[arg(short, long)]
    pub port: Option<String>,
    /// mqtt, mqtts, ws or wss, instead of the URL's
    #[arg(short = 'l', long, value_name = "SCHEME", value_parser = scheme)]
    pub protocol: Option<Scheme>,
    /// WebSocket path, instead of the URL's
    #[arg(long)]
    pub path: Option<String>,
    /// User name, whatever the transport
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password, whatever the transport
    #[arg(short = 'P', long, alias = "pw", conflicts_with = "password_stdin", allow_hyphen_values = true)]
    pub password: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Trust these certificates too: PEM or DER, a bundle is fine
    #[arg(long, alias = "cafile", value_name = "FILE")]
    pub ca: Vec<String>,
    /// Trust only the certificates of --ca
    #[arg(long, requires = "ca")]
    pub ca_only: bool,
    /// Refuse what these revocation lists take back; may be given several times
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<String>,
    /// Client certificate, whatever the transport: PEM, DER or PKCS#12
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, plain or encrypted, PEM or DER; or a pkcs11: URI of a key on a token
    #[arg(long, value_name = "FILE|URI")]
    pub key: Option<String>,
    /// The private key is on a token: the PKCS#11 library that speaks to it
    #[arg(long, value_name = "LIBRARY", conflicts_with_all = ["key", "p12"])]
    pub pkcs11_module: Option<String>,
    /// The token's label
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub pkcs11_token: Option<String>,
    /// The key's label on the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub pkcs11_label: Option<String>,
    /// Passphrase of the private key or the bundle
    #[arg(long, value_name = "TEXT")]
    pub key_password: Option<String>,
    /// Certificate, chain and key in PKCS#12
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cert", "key"])]
    pub p12: Option<String>,
    /// Do not verify the server
    #[arg(long)]
    pub insecure: bool,
    /// Protocol name to offer in TLS; may be given several times
    #[arg(long, alias = "tls-alpn", value_name = "NAME")]
    pub alpn: Vec<String>,
    /// Name to ask for in TLS and to verify, instead of the host
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// Lowest TLS version
    #[arg(long, value_name = "1.2|1.3", value_parser = tls_version)]
    pub tls_min: Option<TlsVersion>,
    /// Header of the WebSocket request; may be given several times
    #[arg(long, alias = "ws-headers", value_name = "NAME: VALUE")]
    pub ws_header: Vec<String>,
    /// WebSocket subprotocol
    #[arg(long, value_name = "NAME")]
    pub ws_subprotocol: Option<String>,
    /// http://, https://, socks5:// or socks5h:// [user:password@]host[:port]
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// 3.1.1 or 5
    #[arg(short = 'V', long, alias = "protocol-version", value_name = "VERSION", value_parser = mqtt_version)]
    pub mqtt_version: Option<MqttVersion>,
    /// Client identifier; random unless given, with @PROFILE the saved one
    #[arg(short = 'i', long, alias = "id")]
    pub client_id: Option<String>,
    /// Seconds; 0 turns it off
    #[arg(short = 'k', long, value_name = "SECONDS")]
    pub keepalive: Option<u16>,
    /// Keep the session that the broker has
    #[arg(short = 'c', long, alias = "disable-clean-session")]
    pub no_clean: bool,
    /// Session expiry (MQTT 5)
    #[arg(long, alias = "session-expiry-interval", value_name = "SECONDS")]
    pub session_expiry: Option<u32>,
    /// QoS 1 and 2 messages taken unacknowledged (MQTT 5)
    #[arg(long, value_name = "N")]
    pub receive_maximum: Option<u16>,
    /// Largest packet accepted
    #[arg(long, value_name = "BYTES")]
    pub maximum_packet_size: Option<u32>,
    /// Topic aliases the broker may use (MQTT 5)
    #[arg(long, value_name = "N")]
    pub topic_alias_maximum: Option<u16>,
    /// User property of CONNECT (MQTT 5)
    #[arg(long, alias = "user-properties", value_name = "K=V", value_parser = user_property)]
    pub user_property: Vec<UserProperty>,
    /// Topic of the last will
    #[arg(long, value_name = "TOPIC")]
    pub will_topic: Option<String>,
    /// Payload of the last will
    #[arg(
        long,
        alias = "will-payload",
        value_name = "TEXT",
        requires = "will_topic",
        allow_hyphen_values = true
    )]
    pub will_message: Option<String>,
    /// Quality of service of the last will
    #[arg(long, value_name = "QOS", value_parser = qos, requires = "will_topic")]
    pub will_qos: Option<Qos>,
    /// Let the broker keep the last will
    #[arg(long, requires = "will_topic")]
    pub will_retain: bool,
    /// Seconds between loss and last will (MQTT 5)
    #[arg(long, alias = "will-delay-interval", value_name = "SECONDS", requires = "will_topic")]
    pub will_delay: Option<u32>,
    /// Message Expiry Interval of the last will (MQTT 5)
    #[arg(long, alias = "will-message-expiry-interval", value_name = "SECONDS", requires = "will_topic")]
    pub will_message_expiry: Option<u32>,
    /// Content Type of the last will (MQTT 5)
    #[arg(long, value_name = "TYPE", requires = "will_topic")]
    pub will_content_type: Option<String>,
    /// Response Topic of the last will (MQTT 5)
    #[arg(long, value_name = "TOPIC", requires = "will_topic")]
    pub will_response_topic: Option<String>,
    /// Correlation Data of the last will (MQTT 5)
    #[arg(long, value_name = "TEXT", requires = "will_topic")]
    pub will_correlation_data: Option<String>,
    /// Say that the payload of the last will is UTF-8 text (MQTT 5)
    #[arg(long, requires = "will_topic")]
    pub will_payload_format_utf8: bool,
    /// User property of the last will (MQTT 5)
    #[arg(long, alias = "will-user-properties", value_name = "K=V", value_parser = user_property, requires = "will_topic")]
    pub will_user_property: Vec<UserProperty>,
    /// One bound for the whole attempt; 10 unless given
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    pub connect_timeout: Option<u16>,
    /// Keep trying with backoff, whether the first attempt fails or the connection is lost
    #[arg(long)]
    pub reconnect: bool,
    /// How often; implies --reconnect
    #[arg(long, alias = "maximum-reconnect-times", value_name = "N")]
    pub max_reconnects: Option<u32>,
    /// The trace, then every packet, on standard error; secrets masked
    #[arg(short = 'd', long)]
    pub debug: bool,
}

/// The names of those that were given.
fn given(options: &[(bool, &'static str)]) -> Vec<&'static str> {
    options.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect()
}

impl SubArgs {
    /// Options that were given and that MQTT 3.1.1 has no place for.
    pub fn only_in_5(&self) -> Vec<&'static str> {
        let mut names = self.connection.only_in_5();
        names.extend(given(&[
            (self.no_local, "--no-local"),
            (self.retain_as_published, "--retain-as-published"),
            (self.retain_handling != 0, "--retain-handling"),
        ]));
        names
    }
}

impl PubArgs {
    /// Options that were given and that MQTT 3.1.1 has no place for.
    pub fn only_in_5(&self) -> Vec<&'static str> {
        let mut names = self.connection.only_in_5();
        names.extend(given(&[
            (self.content_type.is_some(), "--content-type"),
            (self.response_topic.is_some(), "--response-topic"),
            (self.correlation_data.is_some(), "--correlation-data"),
            (self.message_expiry.is_some(), "--message-expiry"),
            (self.payload_format_utf8, "--payload-format-utf8"),
            (!self.message_user_property.is_empty(), "--message-user-property"),
        ]));
        names
    }
}

impl ConnectionArgs {
    /// Options that were given and that MQTT 3.1.1 has no place for.
    pub fn only_in_5(&self) -> Vec<&'static str> {
        given(&[
            (self.session_expiry.is_some(), "--session-expiry"),
            (self.receive_maximum.is_some(), "--receive-maximum"),
            (self.topic_alias_maximum.is_some(), "--topic-alias-maximum"),
            (!self.user_property.is_empty(), "--user-property"),
            (self.will_delay.is_some(), "--will-delay"),
            (self.will_message_expiry.is_some(), "--will-message-expiry"),
            (self.will_content_type.is_some(), "--will-content-type"),
            (self.will_response_topic.is_some(), "--will-response-topic"),
            (self.will_correlation_data.is_some(), "--will-correlation-data"),
            (self.will_payload_format_utf8, "--will-payload-format-utf8"),
            (!self.will_user_property.is_empty(), "--will-user-property"),
        ])
    }

    /// Whether a failed attempt or a lost connection is tried again.
    pub fn reconnects(&self) -> bool {
        self.reconnect || self.max_reconnects.is_some()
    }
}

fn purpose(text: &str) -> Result<CertificatePurpose, String> {
    match text {
        "server" => Ok(CertificatePurpose::Server),
        "client" => Ok(CertificatePurpose::Client),
        _ => Err("use server or client".into()),
    }
}

fn scheme(text: &str) -> Result<Scheme, String> {
    Scheme::from_name(text).ok_or_else(|| "use mqtt, mqtts, ws or wss".into())
}

fn qos(text: &str) -> Result<Qos, String> {
    let number: u8 = text.parse().map_err(|_| "use 0, 1 or 2")?;
    Qos::try_from(number)
}

fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "in" => Ok(Direction::In),
        "out" => Ok(Direction::Out),
        _ => Err("use in or out".into()),
    }
}

fn tls_version(text: &str) -> Result<TlsVersion, String> {
    match text {
        "1.2" => Ok(TlsVersion::V1_2),
        "1.3" => Ok(TlsVersion::V1_3),
        _ => Err("use 1.2 or 1.3".into()),
    }
}

fn mqtt_version(text: &str) -> Result<MqttVersion, String> {
    match text.to_ascii_lowercase().trim_start_matches("mqtt").trim_start_matches('v') {
        "5" | "5.0" => Ok(MqttVersion::V5),
        "3.1.1" | "311" | "4" => Ok(MqttVersion::V311),
        "3.1" | "31" | "3" => Err("MQTT 3.1 is not spoken; nearly every broker takes 3.1.1".into()),
        _ => Err("use 3.1.1 or 5".into()),
    }
}

fn user_property(text: &str) -> Result<UserProperty, String> {
    let (name, value) = text.split_once('=').or_else(|| text.split_once(": ")).ok_or("write NAME=VALUE")?;
    Ok(UserProperty { name: name.into(), value: value.into() })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_of_other_tools_can_be_pasted() {
        for words in [
            "sub -h broker -p 1883 -u me -P secret -i id -k 30 -V mqttv311 -t a/# -q 1 -v -C 1",
            "sub -h broker -l wss --path /mqtt -V 5 -t a --ca ca.pem --cert c.pem --key k.pem --insecure",
            "pub -h broker -t a -m x -q 2 -r -d",
            "pub mqtt://broker -t a --stdin-lines",
            "pub -h broker -t a -m -5 -P -secret -u me",
            "trace wss://broker/mqtt --json",
            "trace wss://broker/mqtt --p12 me.p12 --key-password secret --crl list.pem",
            "cert create --dir ca",
            "cert issue server broker.local --san 10.0.0.1 --dir ca --out out --days 90",
            "cert issue client device-42 --san urn:x --p12 --key-password secret",
            "cert show a.pem b.p12 --key-password secret",
            "cert check --cert c.pem --key k.pem --ca ca.pem --host broker.local",
            "probe broker:8883 --ca ca.pem --json",
            "sub @plant -v",
            "bench sub -h broker -t a/# -q 1 -C 1000 --json",
            "bench pub mqtts://broker --topics 100 --size 256 --rate 5000 --duration 10 --warmup 2 --receive",
            "bench conn mqtt://broker --count 2000 --rate 200 --hold 5",
            "profiles export a b/c -o f --force --with-secrets --passphrase-stdin",
            "profiles import f --dry-run --json --without-secrets --passphrase-stdin",
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("helio").chain(words.split_whitespace()));
            assert!(parsed.is_ok(), "{words}: {:?}", parsed.err());
        }
        for words in [
            "pub -t a",
            "pub -t a -m x -n",
            "sub -t a -V 3.1",
            "sub -t a -q 3",
            "sub -t a -C 0",
            "sub -t a --will-qos 1",
            "probe",
            "profiles",
            "profiles delete",
            "profiles import",
            "profiles export --passphrase-stdin",
            "trace a --p12 a --cert b",
            "cert issue x y",
            "bench",
            "bench pub mqtt://broker --size 27",
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("helio").chain(words.split_whitespace()));
            assert!(parsed.is_err(), "{words}");
        }
    }
}
