//! The `varve` server binary.
fn main() {}
