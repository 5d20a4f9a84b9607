//! Collects costs by workload and engine and prints them as markdown.
use crate::store::Cost;

/// One workload: its name, what one operation of it is, and per engine the costs of its rounds.
pub struct Row {
    pub name: String,
    pub operations: u64,
    pub costs: Vec<(&'static str, Vec<Cost>)>,
}

#[derive(Clone, Copy)]
enum Column {
    Wall,
    Cpu,
    Written,
}

impl Column {
    fn of(self, cost: &Cost) -> f64 {
        match self {
            Self::Wall => cost.wall.as_secs_f64() * 1e6,
            Self::Cpu => cost.cpu.as_secs_f64() * 1e6,
            Self::Written => cost.written as f64,
        }
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn figure(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn table(title: &str, rows: &[&Row], column: Column) {
    println!("\n{title}");
    let names = |row: &Row| row.costs.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let mut above = Vec::new();
    for row in rows {
        if names(row) != above {
            above = names(row);
            println!("\n| workload | {} |", above.join(" | "));
            println!("|---|{}", "---|".repeat(above.len()));
        }
        let per_op = |costs: &[Cost]| {
            let all = costs.iter().map(|c| column.of(c)).collect();
            median(all) / row.operations as f64
        };
        let base = row.costs.first().map_or(f64::NAN, |(_, c)| per_op(c));
        let mut out = format!("| {} |", row.name);
        for (at, (_, costs)) in row.costs.iter().enumerate() {
            let value = per_op(costs);
            if costs.is_empty() {
                out += " - |";
            } else if at == 0 || base == 0.0 {
                out += &format!(" {} |", figure(value));
            } else {
                out += &format!(" {} (**{:.2}**) |", figure(value), value / base);
            }
        }
        println!("{out}");
    }
}

/// Three tables: time, CPU time, and (for writes) bytes. In parentheses: how many times ours.
pub fn print(rows: &[Row]) {
    let all: Vec<&Row> = rows.iter().collect();
    let per =
        "per operation, median of the rounds; in parentheses: how many times the first column";
    table(&format!("Wall clock, us {per}"), &all, Column::Wall);
    table(
        &format!("CPU time of all threads, user and system, us {per}"),
        &all,
        Column::Cpu,
    );
    let wrote = |row: &Row| row.costs.iter().any(|(_, c)| c.iter().any(|c| c.read == 0));
    let writes: Vec<&Row> = rows.iter().filter(|row| wrote(row)).collect();
    if !writes.is_empty() {
        table(&format!("Bytes written {per}"), &writes, Column::Written);
    }
}
