//! Help, completions, manual pages, colours.

use crate::brokers::MosquittoOptions;
use crate::command::Bench;

#[test]
fn every_command_has_help_a_page_and_completions() {
    let bench = Bench::new();
    for command in ["trace", "probe", "sub", "pub", "profiles", "broker", "cert", "completions", "man"] {
        let help = bench.run(&[command, "--help"]).assert_status(0).out;
        assert!(help.contains(&format!("Usage: helio {command}")), "{help}");
        let page = bench.run(&["man", command]).assert_status(0).out;
        assert!(page.contains(&format!(".TH helio-{command} 1")), "{page}");
    }
    let page = bench.run(&["man", "profiles", "export"]).assert_status(0).out;
    assert!(page.contains("force"), "{page}");
    bench.run(&["man", "nonsense"]).assert_status(2).assert_says("helio nonsense");
    let version = bench.run(&["--version"]).assert_status(0).out;
    assert_eq!(version, format!("helio {}\n", env!("CARGO_PKG_VERSION")));

    let folder = bench.path("man");
    std::fs::create_dir(&folder).expect("a folder");
    bench.run(&["man", "--dir", &folder]).assert_status(0);
    for page in ["helio.1", "helio-sub.1", "helio-profiles-import.1"] {
        assert!(std::path::Path::new(&folder).join(page).is_file(), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.run(&["completions", shell]).assert_status(0).out;
        assert!(script.contains("max-reconnects") && script.contains("export"), "{shell}");
    }
}

#[test]
fn a_pipe_gets_no_colours() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    let traced = bench.run(&["trace", &url]).assert_status(0);
    assert!(traced.out.starts_with(&format!("{url}\n")) && traced.out.contains("✓ mqtt"), "{traced:#?}");
    let failed = bench.run(&["sub", &url, "-t", "a/#/b"]).assert_status(2);
    for text in [traced.out, failed.err] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
