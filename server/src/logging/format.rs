//! One log line: collected from an event's fields, then written as JSON or for the console.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};

use super::timestamp;
use crate::config::LogFormat;

/// A line under construction.
pub(super) struct Line {
    level: &'static str,
    time: SystemTime,
    message: String,
    /// `,"name":value` for each field, in the order logged.
    fields: Vec<u8>,
    scratch: String,
}

impl Line {
    pub(super) fn new(level: &'static str, time: SystemTime) -> Self {
        Self {
            level,
            time,
            message: String::new(),
            fields: Vec::with_capacity(128),
            scratch: String::new(),
        }
    }

    pub(super) fn message(&mut self, text: &str) {
        text.clone_into(&mut self.message);
    }

    /// Adds a field with a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(&mut self.fields, value);
    }

    fn raw(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field.name());
        self.scratch.clear();
        // Writing to a String cannot fail.
        self.scratch.write_fmt(value).unwrap_or_default();
        self.fields.extend_from_slice(self.scratch.as_bytes());
    }

    /// zap's fields are written with dashes; Rust's names cannot hold them.
    fn name(&mut self, name: &str) {
        self.fields.push(b',');
        quote(&mut self.fields, &name.replace('_', "-"));
        self.fields.push(b':');
    }

    /// The finished line, with its line feed.
    pub(super) fn finish(self, format: LogFormat, file: &str, line: u32) -> Vec<u8> {
        let caller = format!("{}:{line}", short_path(file));
        let mut out = Vec::with_capacity(128 + self.message.len() + self.fields.len());
        match format {
            LogFormat::Json => {
                out.extend_from_slice(b"{\"level\":\"");
                out.extend_from_slice(self.level.as_bytes());
                out.extend_from_slice(b"\",\"ts\":\"");
                timestamp::write(&mut out, self.time);
                out.extend_from_slice(b"\",\"caller\":");
                quote(&mut out, &caller);
                out.extend_from_slice(b",\"msg\":");
                quote(&mut out, &self.message);
                out.extend_from_slice(&self.fields);
                out.extend_from_slice(b"}\n");
            }
            LogFormat::Console => {
                timestamp::write(&mut out, self.time);
                for column in [self.level, &caller, &self.message] {
                    out.push(b'\t');
                    out.extend_from_slice(column.as_bytes());
                }
                if let Some((_, fields)) = self.fields.split_first() {
                    out.extend_from_slice(b"\t{");
                    out.extend_from_slice(fields);
                    out.push(b'}');
                }
                out.push(b'\n');
            }
        }
        out
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message(value);
        } else {
            self.text(field.name(), value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.raw(field, format_args!("{value}"));
        } else {
            self.text(field.name(), &value.to_string());
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field.name(), &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.record_str(field, &text);
    }
}

/// Appends a JSON string.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Directory and name of a source file, without `src`: `server/core.rs`.
fn short_path(file: &str) -> String {
    let mut parts: Vec<&str> = file
        .split(['/', '\\'])
        .filter(|part| *part != "src")
        .collect();
    let keep = parts.len().saturating_sub(2);
    parts.drain(..keep);
    parts.join("/")
}
