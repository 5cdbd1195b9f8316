//! What may be logged. In: what a person asked for in `HELIOGRAPH_LOG`. Out: the same, without what would show secrets.

/// Libraries whose finest log lines hold what is sent, and so the MQTT password in CONNECT.
const TELLTALES: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// The directives to log by, for `tracing_subscriber::EnvFilter`; `wanted` has the same form.
pub fn directives(wanted: &str) -> String {
    let asked = wanted.split(',').filter(|directive| {
        let target = directive.split(['=', '[']).next().unwrap_or_default().trim();
        !TELLTALES.iter().any(|name| {
            target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        })
    });
    asked.map(str::to_owned).chain(TELLTALES.map(|name| format!("{name}=info"))).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_show_secrets_stays_silent_whatever_is_asked() {
        assert_eq!(directives("trace"), "trace,tungstenite=info,tokio_tungstenite=info");
        assert_eq!(
            directives("warn,tungstenite::protocol=trace,tungstenite=trace,heliograph_engine=debug"),
            "warn,heliograph_engine=debug,tungstenite=info,tokio_tungstenite=info"
        );
    }
}
