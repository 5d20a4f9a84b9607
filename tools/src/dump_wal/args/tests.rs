use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::parse_go_style(line.split(' ').map(OsString::from))
}

#[test]
fn options_go_with_one_dash_or_two() {
    for line in ["x -start-index=3 -raw d", "x --start-index 3 --raw d"] {
        let cli = parse(line).unwrap();
        assert_eq!(
            (cli.start_index, cli.mode()),
            (Some(3), Mode::Raw),
            "{line}"
        );
        assert_eq!(cli.wal_dir(), PathBuf::from("d/member/wal"));
    }
    assert_eq!(parse("x -wal-dir w").unwrap().wal_dir(), PathBuf::from("w"));
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for line in [
        "x",
        "x d --start-index 1 --start-snap s",
        "x d --raw --key-prefix k",
        "x d --raw --verify",
        "x d --json --stream-decoder cat",
        "x --wal-dir w --start-snap s",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}
