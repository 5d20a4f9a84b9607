//! Markdown rows, printed as they come in.

/// What was measured so far.
pub(crate) struct Table;

impl Table {
    pub(crate) fn new() -> Self {
        println!("| what | measured | goal |");
        println!("|---|---|---|");
        Self
    }

    #[expect(clippy::unused_self, reason = "a row needs a table that was begun")]
    pub(crate) fn row(&mut self, what: &str, measured: &str, goal: &str) {
        println!("| {what} | {measured} | {goal} |");
    }
}
