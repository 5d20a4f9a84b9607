//! When responses that need no write leave.
use super::*;

fn response(index: u64) -> Vec<Message> {
    vec![Message {
        index,
        ..Message::default()
    }]
}

fn indexes(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|m| m.index).collect()
}

#[test]
fn responses_leave_in_order_once_all_that_was_given_out_before_them_is_durable() {
    let mut behind = Behind::default();
    behind.handed(2);
    behind.wait(response(1));
    behind.wait(response(2));
    behind.handed(1);
    behind.wait(response(3));
    assert!(behind.durable(1).is_empty(), "one of two");
    assert_eq!(indexes(&behind.durable(1)), [1, 2]);
    assert_eq!(indexes(&behind.durable(1)), [3]);
    behind.handed(1);
    assert!(behind.durable(1).is_empty(), "they leave once");
}

#[test]
fn one_write_of_several_appends_lets_go_of_all_that_waited_for_them() {
    let mut behind = Behind::default();
    for n in 1..=3 {
        behind.handed(1);
        behind.wait(response(n));
    }
    behind.wait(Vec::new());
    assert_eq!(indexes(&behind.durable(3)), [1, 2, 3]);
}
