//! Text as Go programs print it: quoted strings, protobuf's quoted bytes, and times.
//!
//! Used by the dump tools, whose listings are those of etcd's.
use std::fmt::Write as _;

fn push(out: &mut String, what: impl std::fmt::Display) {
    write!(out, "{what}").expect("a String takes everything");
}

/// Bytes in quotes, three octal digits for what is not printable ASCII.
pub(crate) fn octal_quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(*byte)),
            other => {
                let digit = |shift: u8| char::from(b'0' + (other >> shift & 7));
                out.extend(['\\', digit(6), digit(3), digit(0)]);
            }
        }
    }
    out.push('"');
    out
}

/// A string in quotes as Go's `%q` writes it.
pub(crate) fn go_quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|c| push_go_char(&mut out, c));
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn push_go_char(out: &mut String, c: char) {
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        c if u32::from(c) < 0x20 || c == '\u{7f}' => {
            push(out, format_args!("\\x{:02x}", u32::from(c)));
        }
        c if is_printable(c) => out.push(c),
        c if u32::from(c) < 0x1_0000 => push(out, format_args!("\\u{:04x}", u32::from(c))),
        c => push(out, format_args!("\\U{:08x}", u32::from(c))),
    }
}

/// A character Rust would write as it is counts as printable for Go too. Rust escapes a combining mark
/// only where it would combine with the opening quote; Go does not, so one stands before it here.
fn is_printable(c: char) -> bool {
    if matches!(c, '\'' | '"' | '\\') {
        return true;
    }
    let mut text = String::with_capacity(5);
    text.extend(['a', c]);
    text.escape_debug().count() == 2
}

/// The text that bytes are, if all of it can be shown as it is.
pub(crate) fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(is_printable).then_some(text)
}

/// A string in quotes, its middle left out when it is longer than `head` and `tail` together.
pub(crate) fn excerpt(bytes: &[u8], head: usize, tail: usize) -> String {
    if head + tail > bytes.len() {
        return go_quoted(bytes);
    }
    let (first, last) = (&bytes[..head], &bytes[bytes.len() - tail..]);
    format!("{}...{}", go_quoted(first), go_quoted(last))
}

/// Nanoseconds since 1970 as Go prints a time in UTC.
pub(crate) fn go_time(unix_nanos: i64) -> String {
    const NANOS: i64 = 1_000_000_000;
    const DAY: i64 = 86_400;
    let (seconds, nanos) = (unix_nanos.div_euclid(NANOS), unix_nanos.rem_euclid(NANOS));
    let (days, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        let fraction = format!("{nanos:09}");
        push(
            &mut out,
            format_args!(".{}", fraction.trim_end_matches('0')),
        );
    }
    out.push_str(" +0000 UTC");
    out
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar: years are taken to
/// begin in March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    const TO_MARCH_OF_YEAR_0: i64 = 719_468;
    let shifted = days + TO_MARCH_OF_YEAR_0;
    let (era, of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
