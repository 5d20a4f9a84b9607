use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn dropping_the_guard_writes_everything_in_order_to_every_output() {
    let (one, two) = (Shared::default(), Shared::default());
    let (queue, guard) = spawn(vec![Box::new(one.clone()), Box::new(two.clone())]).unwrap();
    let mut expected = Vec::new();
    for n in 0..500 {
        let line = format!("line {n}\n").into_bytes();
        expected.extend_from_slice(&line);
        queue.push(line);
    }
    drop(guard);
    assert_eq!(*one.0.lock().unwrap(), expected);
    assert_eq!(*two.0.lock().unwrap(), expected);
}

/// An output that waits for a permit before each write.
struct Gated(Receiver<()>, Shared);

impl Write for Gated {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let _open = self.0.recv().is_ok();
        self.1.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stalled_output_drops_lines_instead_of_stalling_and_says_how_many() {
    let shared = Shared::default();
    let (permit, gate) = mpsc::channel();
    let (queue, guard) = spawn(vec![Box::new(Gated(gate, shared.clone()))]).unwrap();
    // More than the queue and one batch of the writer can hold.
    for _ in 0..40_000 {
        queue.push(vec![b'x'; 64]);
    }
    drop(permit);
    drop(guard);
    let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("log lines were dropped"), "{}", text.len());
}
