use super::Queue;

#[test]
fn events_come_in_the_order_of_their_times_and_of_their_arrival() {
    let mut queue = Queue::default();
    for (time, name) in [(5, 'a'), (3, 'b'), (5, 'c'), (0, 'd'), (3, 'e')] {
        queue.at(time, name);
    }
    let mut seen = Vec::new();
    while let Some(event) = queue.next_event() {
        seen.push((queue.now(), event));
        // Slots are used again, and what is put in late still comes.
        if event == 'b' {
            queue.after(1, 'f');
            queue.at(0, 'g');
        }
    }
    let expected = [
        (0, 'd'),
        (3, 'b'),
        (3, 'e'),
        (3, 'g'),
        (4, 'f'),
        (5, 'a'),
        (5, 'c'),
    ];
    assert_eq!(seen, expected);
}
