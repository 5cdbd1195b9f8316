//! What an import says about single fields: in codes and facts, which the window words, and in English for `helio`.
//! Never holds a secret: values are shown of fields that are known to hold none, and shortened.

use serde::Serialize;
use serde_json::Value;
use ts_rs::TS;

use crate::endpoint::EndpointReason;
use crate::error::Error;

/// More remarks on one connection are counted, not listed.
const MOST: usize = 60;
/// So much of a value is shown, in characters.
const SHOWN: usize = 60;

/// What there is to say about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum RemarkCode {
    /// It is understood, and Heliograph has nothing like it.
    NoCounterpart,
    /// It is not known: a later version's, or not of this format.
    NotUnderstood,
    /// Its value is not of the kind that belongs there; it is left out.
    WrongValue,
    /// Its value is not of the kind that belongs there; it comes in as `used`.
    Replaced,
    /// It comes in as `used`.
    Changed,
    /// It is about one run (messages, printing), not about the connection.
    OfTheRun,
    /// `value` messages are left behind: the history is not imported.
    MessagesLeft,
    /// The file that it names is not there.
    FileMissing,
    /// What is embedded there is no certificate or key that can be read.
    Unreadable,
    /// Its private key stayed in the vault of where it comes from.
    KeyLeft,
    /// The certificate need not name the host, as there.
    HostNotVerified,
    /// The client certificate is not used without TLS.
    CertificateWithoutTls,
    /// It says otherwise about TLS than the transport, which decides.
    TransportDecides,
    /// The server is not verified, as there.
    ServerNotVerified,
    /// It stands for something that the shell would have put in its place.
    ShellVariable,
    /// The rest of the line, after `value`, is another command.
    RestOfLine,
    /// The collection that it is in has no name in this file.
    FolderUnnamed,
    /// The connection cannot come in: `reason` says why, of `value`; `used` says it in English.
    CannotConnect,
    /// The connection cannot come in: this part of its endpoint is missing or not of the kind that belongs there.
    NoEndpoint,
    /// There are `value` more remarks.
    More,
}

/// One remark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ImportRemark {
    /// What there is to say.
    pub code: RemarkCode,
    /// The field or option as it is called there; empty for the whole.
    pub field: String,
    /// Its value, shortened; empty when it is long, or may be a secret.
    pub value: String,
    /// What comes in instead, or why.
    pub used: String,
    /// Why it cannot come in, for words.
    pub reason: Option<EndpointReason>,
}

impl ImportRemark {
    /// The remark as a sentence.
    pub fn sentence(&self) -> String {
        let Self { code, field, value, used, .. } = self;
        let field = match value.is_empty() {
            true => field.clone(),
            false => format!("{field} ({value})"),
        };
        match code {
            RemarkCode::NoCounterpart => format!("{field}: Heliograph has nothing like it"),
            RemarkCode::NotUnderstood => format!("{field}: not understood, left out"),
            RemarkCode::WrongValue => {
                format!("{field}: not a value that belongs there, left out: set it in the editor afterwards")
            }
            RemarkCode::Replaced => format!(
                "{field}: not a value that belongs there; it comes in as {used}: look at it in the editor afterwards"
            ),
            RemarkCode::Changed => format!("{field}: comes in as {used}"),
            RemarkCode::OfTheRun => format!("{field}: is about that one run, not about the connection"),
            RemarkCode::MessagesLeft => {
                format!("The history of messages is not imported: {value} left behind")
            }
            RemarkCode::FileMissing => format!("{field}: the file is not there, choose it again afterwards"),
            RemarkCode::Unreadable => format!("{field}: no certificate or key that can be read, left out"),
            RemarkCode::KeyLeft => {
                "The private key is in the vault of where this comes from, and not in it: import it afterwards".to_owned()
            }
            RemarkCode::HostNotVerified => {
                format!("{field}: the certificate need not name the host, as there")
            }
            RemarkCode::CertificateWithoutTls => {
                format!("{field}: the client certificate is not used, since {used} has no TLS")
            }
            RemarkCode::TransportDecides => {
                format!("{field}: says otherwise than the transport; {used} decides")
            }
            RemarkCode::ServerNotVerified => {
                format!("{field}: the server is not verified, as there: anybody in between can read along")
            }
            RemarkCode::ShellVariable => {
                format!("{field}: your shell would have put something in its place, type it afterwards")
            }
            RemarkCode::RestOfLine => format!("What comes after {value} is another command, left out"),
            RemarkCode::FolderUnnamed => {
                format!("{field}: the file does not say what the collection is called; it comes in as {used}")
            }
            RemarkCode::CannotConnect => format!("Cannot come in: {used}"),
            RemarkCode::NoEndpoint => format!(
                "Cannot come in: {field} is missing or not a value that belongs there. Correct it in the file, or type the connection anew"
            ),
            RemarkCode::More => format!("And {value} more"),
        }
    }
}

/// Remarks, as they are found: a bounded number.
#[derive(Debug, Clone, Default)]
pub(super) struct Remarks {
    all: Vec<ImportRemark>,
    more: usize,
}

impl Remarks {
    pub fn push(&mut self, code: RemarkCode, field: impl Into<String>, value: &str, used: impl Into<String>) {
        self.add(ImportRemark {
            code,
            field: shorten(&field.into()),
            value: shorten(value),
            used: used.into(),
            reason: None,
        });
    }

    /// The connection cannot come in.
    pub fn refuse(&mut self, error: &Error) {
        let text = |name: &str| error.details.get(name).and_then(Value::as_str).unwrap_or_default();
        let reason = error.details.get("reason").cloned().unwrap_or_default();
        self.add(ImportRemark {
            code: RemarkCode::CannotConnect,
            field: shorten(text("field")),
            value: shorten(text("value")),
            used: error.message.clone(),
            reason: serde_json::from_value(reason).ok(),
        });
    }

    pub fn extend(&mut self, others: Self) {
        others.all.into_iter().for_each(|remark| self.add(remark));
        self.more += others.more;
    }

    pub fn into_list(mut self) -> Vec<ImportRemark> {
        if self.more > 0 {
            let value = self.more.to_string();
            let (field, used) = Default::default();
            self.all.push(ImportRemark { code: RemarkCode::More, field, value, used, reason: None });
        }
        self.all
    }

    fn add(&mut self, remark: ImportRemark) {
        match self.all.len() < MOST {
            true => self.all.push(remark),
            false => self.more += 1,
        }
    }
}

/// The beginning of a text, without characters that would disturb a line.
pub(super) fn shorten(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(SHOWN).map(plain).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}
