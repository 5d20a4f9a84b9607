use super::super::report::tests::sample_report;
use super::*;

fn rendered(precise: bool) -> String {
    let mut out = Vec::new();
    write(&sample_report(), precise, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_report_has_the_lines_of_etcds_benchmark() {
    let text = rendered(false);
    for line in [
        "Summary:",
        "  Total:\t2.0000 secs.",
        "  Slowest:\t0.1000 secs.",
        "  Fastest:\t0.0010 secs.",
        "  Average:\t0.0505 secs.",
        "  Stddev:\t0.0289 secs.",
        "  Requests/sec:\t50.0000",
        "Response time histogram:",
        "Latency distribution:",
        "Error distribution:",
        "  [1]\tUnavailable: etcdserver: no leader",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "no line {line:?} in\n{text}"
        );
    }
    for percent in ["10%", "25%", "50%", "75%", "90%", "95%", "99%", "99.9%"] {
        let start = format!("  {percent} in 0.");
        let found = text
            .lines()
            .any(|l| l.starts_with(&start) && l.ends_with(" secs."));
        assert!(found, "no percentile {percent} in\n{text}");
    }
    assert!(
        text.contains("0.05 secs (user 0.04, system 0.01), 500.00 us per request"),
        "{text}"
    );
}

#[test]
fn the_histogram_counts_every_request_once() {
    let text = rendered(false);
    let rows = text
        .lines()
        .skip_while(|l| *l != "Response time histogram:")
        .skip(1);
    let counts: Vec<u64> = rows
        .take_while(|l| !l.is_empty())
        .map(|l| l.split(['[', ']']).nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(counts.len(), 11);
    assert_eq!(counts.iter().sum::<u64>(), 100);
}

#[test]
fn precise_prints_all_digits() {
    assert!(
        rendered(true).contains("  Fastest:\t0.001 secs."),
        "{}",
        rendered(true)
    );
    assert!(!rendered(true).contains("0.0010"));
}
