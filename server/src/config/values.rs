//! Values as Go's flag package writes them: booleans and durations.

use std::time::Duration;

/// Reads what Go's `strconv.ParseBool` reads.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("expected true or false, found {other:?}")),
    }
}

/// Reads a duration in Go's notation: `300ms`, `1.5h`, `2h45m`, `0`.
///
/// Negative durations are refused: no flag has a use for one.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let bad = || format!("expected a duration such as 300ms, 10m or 2h45m, found {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_len);
        let unit_nanos: u128 = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            // The two micro signs Go accepts, written as code points to keep the source ASCII.
            "\u{b5}s" | "\u{3bc}s" => 1_000,
            _ => return Err(bad()),
        };
        total = total
            .checked_add(nanos(number, unit_nanos).ok_or_else(bad)?)
            .ok_or_else(bad)?;
        rest = next;
    }
    // Go keeps a duration in an i64 of nanoseconds.
    let nanos = u64::try_from(total)
        .ok()
        .filter(|n| i64::try_from(*n).is_ok())
        .ok_or_else(bad)?;
    Ok(Duration::from_nanos(nanos))
}

/// `number` (digits with at most one point) times `unit_nanos`, cut to whole nanoseconds.
fn nanos(number: &str, unit_nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = if whole.is_empty() {
        0
    } else {
        whole.parse::<u128>().ok()?.checked_mul(unit_nanos)?
    };
    let mut scale = unit_nanos;
    for digit in fraction.chars() {
        scale /= 10;
        value = value.checked_add(scale.checked_mul(u128::from(digit.to_digit(10)?))?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests;
