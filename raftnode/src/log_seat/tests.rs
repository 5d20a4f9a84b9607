//! Who gets the seat, and until when.
use varve_vfs::SimFs;

use super::*;
use crate::log_writer::tests::{entries, writer};

struct Deaf;

impl Observer for Deaf {
    fn proposal_dropped(&self, _: u64) {}
    fn wal_written(&self, _: WalWrite) {}
    fn leader_changed(&self, _: u64, _: u64) {}
    fn snapshot_saved(&self, _: u64) {}
    fn failed(&self, _: &(dyn std::error::Error + Send + Sync)) {}
}

fn seat() -> LogSeat {
    LogSeat::new(LogRole {
        writer: Arc::new(writer(&SimFs::new().shared())),
        apply_jobs: Arc::new(Mailbox::new(0)),
        observer: Arc::new(Deaf),
    })
}

#[test]
fn others_get_the_seat_after_quick_writes_in_a_row_and_while_it_is_free() {
    let seat = seat();
    assert!(
        seat.take_if_quick().is_none(),
        "nothing is known of the disk"
    );
    for index in 1.. {
        if seat.quick.load(Ordering::Relaxed) >= QUICK_IN_A_ROW {
            break;
        }
        // A slow one starts the row anew.
        assert!(seat.take_if_quick().is_none());
        assert!(
            seat.take()
                .write(vec![entries(index..=index)])
                .unwrap()
                .is_some()
        );
    }
    let taken = seat.take_if_quick().unwrap();
    assert!(seat.take_if_quick().is_none(), "another has it");
    drop(taken);
    seat.note(true, QUICK * 2);
    assert!(seat.take_if_quick().is_none(), "a slow one");
}

#[test]
fn nothing_is_written_after_the_end() {
    let seat = seat();
    seat.close();
    assert!(seat.take().write(vec![entries(1..=1)]).unwrap().is_none());
}
