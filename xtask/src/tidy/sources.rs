//! Rules about the text of source files.

use std::path::Path;

use super::Breach;

/// Longest file that needs no reason, in lines.
const MAX_LINES: usize = 600;

/// How a file says why it is longer, within its first lines.
const REASON: &str = "Longer than 600 lines because";

/// Lines at the top within which that reason stands.
const TOP_LINES: usize = 40;

// In two halves, so that this file does not break its own rules.
const UNFINISHED: [&str; 4] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
const IGNORED: &str = concat!("#[", "ignore");
const BARE_MATCHES: &str = concat!("matches", "!(");

/// Whether `file` is a source file that people write.
pub(super) fn covers(file: &str) -> bool {
    const EXTENSIONS: [&str; 6] = ["rs", "proto", "toml", "sh", "yml", "py"];
    let extension = Path::new(file).extension().unwrap_or_default();
    !file.starts_with("proto/src/gen/") && EXTENSIONS.iter().any(|known| extension == *known)
}

fn is_rust(file: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

pub(super) fn check(file: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breach = |line: usize, what: &str| breaches.push(Breach::new(file, line, what));
    for (number, line) in (1..).zip(text.lines()) {
        if !line.is_ascii() {
            breach(number, "a character that is not ASCII");
        }
    }
    if is_rust(file) {
        check_rust(file, text, &mut breach);
    }
    breaches
}

fn check_rust(file: &str, text: &str, breach: &mut impl FnMut(usize, &str)) {
    let length = text.lines().count();
    let excused = text
        .lines()
        .take(TOP_LINES)
        .any(|line| line.contains(REASON));
    if length > MAX_LINES && !excused {
        breach(
            0,
            &format!("{length} lines, and no `// {REASON} ..` at the top"),
        );
    }
    // `foo/tests.rs` holds the tests of `foo.rs`: its path says it.
    if !file.ends_with("/tests.rs") && !has_module_doc(text) {
        breach(1, "no `//!` that says what the module is");
    }
    let synchronous = file.starts_with("raftnode/src/") && !is_transport(file);
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim_start();
        for word in UNFINISHED {
            if contains_word(line, word) {
                breach(
                    number,
                    &format!("`{word}`: finish it, or say it in an issue"),
                );
            }
        }
        if code.starts_with(IGNORED) {
            breach(number, "an ignored test tests nothing");
        }
        if code.starts_with(BARE_MATCHES) && code.ends_with(");") {
            breach(
                number,
                "the result of this `matches!` is dropped; assert it",
            );
        }
        if synchronous && !code.starts_with("//") && contains_word(line, "tokio") {
            breach(number, "tokio outside raftnode's transport");
        }
    }
}

/// raftnode's only asynchronous part.
fn is_transport(file: &str) -> bool {
    let path = file.strip_prefix("raftnode/src/").unwrap_or_default();
    ["transport.rs", "transport/", "peer.rs", "peer/"]
        .iter()
        .any(|part| path.starts_with(part))
}

/// The first line that is neither blank nor a plain comment is inner documentation.
fn has_module_doc(text: &str) -> bool {
    text.lines()
        .map(str::trim_start)
        .find(|line| !line.is_empty() && (line.starts_with("//!") || !line.starts_with("//")))
        .is_some_and(|line| line.starts_with("//!"))
}

fn contains_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open = word.ends_with('(') || !after.is_some_and(part_of_word);
        !before.is_some_and(part_of_word) && open
    })
}
