use super::*;

#[test]
fn only_the_last_acknowledgement_to_a_member_is_sent_and_every_refusal() {
    let ack = |to, index, reject| Message {
        r#type: MessageType::MsgAppResp as i32,
        to,
        index,
        reject,
        term: 4,
        ..Message::default()
    };
    let vote = Message {
        r#type: MessageType::MsgVoteResp as i32,
        to: 2,
        ..Message::default()
    };
    let mut messages = vec![
        ack(2, 5, false),
        ack(2, 6, true),
        vote.clone(),
        ack(3, 5, false),
        ack(2, 9, false),
    ];
    keep_last_acknowledgement(&mut messages);
    assert_eq!(
        messages,
        [ack(2, 6, true), vote, ack(3, 5, false), ack(2, 9, false)]
    );
}

#[test]
fn what_was_said_before_waits_for_more_to_say_or_the_next_tick() {
    let ack = |to, term, index| Message {
        r#type: MessageType::MsgAppResp as i32,
        to,
        index,
        term,
        ..Message::default()
    };
    let refusal = Message {
        reject: true,
        ..ack(2, 4, 6)
    };
    let mut acks = Acknowledgements::default();
    let mut sent = |message: Option<&Message>| {
        let mut messages: Vec<_> = message.cloned().into_iter().collect();
        acks.thin_out(&mut messages);
        let due = acks.due();
        (messages, due)
    };
    let first = ack(2, 4, 5);
    assert_eq!(sent(Some(&first)), (vec![first.clone()], None));
    assert_eq!(sent(Some(&first)), (vec![], Some(first.clone())));
    assert_eq!(sent(None), (vec![], None));
    // To another leader, in another term, after a refusal: that was not said before.
    for next in [ack(3, 4, 5), ack(3, 5, 5), refusal, ack(3, 5, 5)] {
        assert_eq!(sent(Some(&next)), (vec![next], None));
    }

    let mut messages = vec![first.clone()];
    acks.thin_out(&mut messages);
    acks.thin_out(&mut vec![first.clone()]);
    acks.thin_out(&mut vec![ack(2, 4, 6)]);
    assert_eq!(acks.due(), None, "more was said meanwhile");
}
