//! The listing of etcd-dump-logs 3.6, line for line.
use anyhow::Result;

use super::Place;
use super::args::Cli;
use super::decoder::StreamDecoder;
use super::filter::Filter;
use super::log::Log;
use super::request::{Request, change_name, context};
use super::start::Start;
use super::text::compact;
use super::tree::{Tree, Value};
use crate::console::Console;
use crate::go_text::{excerpt, go_quoted, go_time, printable};

pub(super) fn run(cli: &Cli, place: &Place, console: &mut Console<'_>) -> Result<bool> {
    let filter = Filter::of(cli)?;
    let start = Start::choose(cli, place)?;
    let log = Log::read(place, start.after(), console)?;
    let shown: Vec<_> = log.below(cli.end_index).collect();
    print_head(&start, &log, console)?;
    writeln!(console.out, "WAL entries: {}", shown.len())?;
    if let Some(last) = shown.last() {
        writeln!(console.out, "lastIndex={}", last.entry.index)?;
    }
    let mut decoder = cli
        .stream_decoder
        .as_deref()
        .map(StreamDecoder::start)
        .transpose()?;
    let columns = if decoder.is_some() {
        "\tdecoder_status\tdecoded_data"
    } else {
        ""
    };
    let heading = format!("{:>4}\t{:>10}\ttype\tdata{columns}", "term", "index");
    console.heading(&heading)?;
    let mut count = 0;
    for placed in shown {
        let entry = &placed.entry;
        let request = Request::of(entry);
        if !filter.passes(&request) {
            continue;
        }
        count += 1;
        let line = describe(&request, cli.members);
        write!(console.out, "{:4}\t{:10}\t{line}", entry.term, entry.index)?;
        match &mut decoder {
            None => writeln!(console.out)?,
            Some(decoder) => {
                let answer = decoder.decode(entry.data.as_deref().unwrap_or_default())?;
                writeln!(console.out, "\t{}\t{}", answer.status, answer.text)?;
            }
        }
    }
    if let Some(decoder) = decoder {
        decoder.finish()?;
    }
    writeln!(
        console.out,
        "\nEntry types ({}) count is : {count}",
        cli.entry_type
    )?;
    log.report_stop(console)
}

fn print_head(start: &Start, log: &Log, console: &mut Console<'_>) -> Result<()> {
    match start {
        Start::Index(index) => {
            writeln!(console.out, "Start dumping log entries from index {index}.")?;
        }
        Start::Nothing => {
            writeln!(
                console.out,
                "Snapshot:\nempty\nStart dumping log entries from snapshot."
            )?;
        }
        Start::Snapshot {
            term,
            index,
            conf_state,
        } => {
            let nodes: Vec<_> = conf_state
                .voters
                .iter()
                .map(|id| format!("{id:x}"))
                .collect();
            writeln!(
                console.out,
                "Snapshot:\nterm={term} index={index} nodes=[{}] confstate={}\n\
                 Start dumping log entries from snapshot.",
                nodes.join(" "),
                super::json::conf_state(conf_state),
            )?;
        }
    }
    writeln!(
        console.out,
        "WAL metadata:\nnodeID={:x} clusterID={:x} term={} commitIndex={} vote={:x}",
        log.metadata.node_id,
        log.metadata.cluster_id,
        log.state.term,
        log.state.commit,
        log.state.vote,
    )?;
    Ok(())
}

/// The type column and everything right of it.
pub(super) fn describe(request: &Request<'_>, members: bool) -> String {
    match request {
        Request::Empty => "norm\t".to_owned(),
        Request::Internal(tree) => format!("norm\t{}", compact(&without_password(tree))),
        Request::V2(tree) => format!("norm\t{}", describe_v2(tree)),
        Request::Unknown => "norm\t???".to_owned(),
        Request::ConfChange(change) => {
            let line = format!(
                "conf\tmethod={} id={:x}",
                change_name(change.r#type),
                change.node_id
            );
            match context(change) {
                Some(member) if members => format!("{line} member={member}"),
                _ => line,
            }
        }
        Request::ConfChangeV2(change) => {
            let changes = change.changes.iter();
            let changes: Vec<_> = changes
                .map(|c| format!("{} {:x}", change_name(c.r#type), c.node_id))
                .collect();
            format!("conf\tv2 changes=[{}]", changes.join(", "))
        }
    }
}

fn describe_v2(tree: &Tree<'_>) -> String {
    let (method, path) = (tree.bytes("Method"), tree.bytes("Path"));
    let method = printable(method).map_or_else(|| go_quoted(method), str::to_owned);
    match &*method {
        "" => "noop".to_owned(),
        "SYNC" => {
            let time = match tree.get("Time") {
                Some(Value::Signed(nanos)) => *nanos,
                _ => 0,
            };
            format!("method=SYNC time=\"{}\"", go_time(time))
        }
        "QGET" | "DELETE" => format!("method={method} path={}", excerpt(path, 64, 64)),
        _ => {
            let value = excerpt(tree.bytes("Val"), 128, 0);
            format!("method={method} path={} val={value}", excerpt(path, 64, 64))
        }
    }
}

/// etcd's tool shows no password a user was given in clear text; 3.4 logged those.
fn without_password<'a>(tree: &Tree<'a>) -> Tree<'a> {
    let mut tree = tree.clone();
    for (field, value) in &mut tree.values {
        if let (true, Value::Message(inner)) = (may_hold_password(field.name), value) {
            for (field, value) in &mut inner.values {
                if field.name == "password" {
                    *value = Value::Text(b"<value removed>");
                }
            }
        }
    }
    tree
}

fn may_hold_password(request: &str) -> bool {
    request == "auth_user_change_password"
}

#[cfg(test)]
mod tests;
