use super::{Index, NodeId, Term};

#[test]
fn zero_is_nobody_and_everybody_else_keeps_the_number() {
    assert_eq!(NodeId::new(0), None);
    for number in [1, 0x1d, u64::MAX] {
        let node = NodeId::new(number).unwrap();
        assert_eq!(node.get(), number);
        assert_eq!(NodeId::number(Some(node)), number);
    }
    assert_eq!(NodeId::number(None), 0);
}

#[test]
fn ids_are_written_as_the_field_writes_them() {
    assert_eq!(
        NodeId::new(0x8e9e_05c5_2164_694d).unwrap().to_string(),
        "8e9e05c52164694d"
    );
    assert_eq!(Term::new(12).to_string(), "12");
    assert_eq!(
        format!("{:>5}|{:<4}|", Index::new(12), Index::new(7)),
        "   12|7   |"
    );
}

#[test]
fn terms_end_and_positions_know_their_distance() {
    assert_eq!(Term::ZERO.next(), Some(Term::new(1)));
    assert_eq!(Term::new(u64::MAX).next(), None);
    let (early, late) = (Index::new(3), Index::new(10));
    assert_eq!(late.since(early), Some(7));
    assert_eq!(early.since(late), None);
    assert_eq!(
        (early.plus(7), late.next(), late.before()),
        (late, Index::new(11), Index::new(9))
    );
    assert_eq!(Index::ZERO.before(), Index::ZERO);
}
