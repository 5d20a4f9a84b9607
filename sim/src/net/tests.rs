use super::{Fate, Net, ROOM, Weather};

const ROUGH: Weather = Weather {
    delay: (5, 9),
    loss: 200,
    duplicate: 100,
    stray: 50,
    stray_delay: 1000,
};

#[test]
fn messages_fare_as_the_weather_says() {
    let mut net = Net::new(1, 3, ROUGH);
    let (mut lost, mut twice, mut late) = (0, 0, 0);
    for _ in 0..10_000 {
        let fate = net.send(1, 2);
        for delay in [fate.first, fate.second].into_iter().flatten() {
            assert!((5..1005).contains(&delay));
            assert!(net.arrive(1, 2));
        }
        lost += u32::from(fate.first.is_none());
        twice += u32::from(fate.second.is_some());
        late += u32::from(fate.first.is_some_and(|delay| delay > 9));
    }
    assert!((1800..2200).contains(&lost), "{lost}");
    assert!((650..950).contains(&twice), "{twice}");
    assert!((300..500).contains(&late), "{late}");
}

#[test]
fn equal_seeds_give_equal_fates_and_links_do_not_share_them() {
    let fates = |seed, from, to| -> Vec<Fate> {
        let mut net = Net::new(seed, 3, ROUGH);
        (0..50).map(|_| net.send(from, to)).collect()
    };
    assert_eq!(fates(1, 1, 2), fates(1, 1, 2));
    assert_ne!(fates(1, 1, 2), fates(1, 2, 1));
    assert_ne!(fates(1, 1, 2), fates(2, 1, 2));
}

#[test]
fn cuts_are_one_way_partitions_are_both_and_take_what_is_under_way() {
    let mut net = Net::new(1, 4, Weather::calm(3));
    let arrives = Fate {
        first: Some(3),
        second: None,
    };
    net.cut(1, 2);
    assert_eq!(net.send(1, 2), Fate::default());
    assert_eq!(net.send(2, 1), arrives);
    net.partition(0b0101);
    assert!(!net.arrive(2, 1));
    for (from, to) in [(1, 2), (2, 1), (3, 4), (4, 1)] {
        assert_eq!(net.send(from, to), Fate::default());
    }
    assert_eq!((net.send(1, 3), net.send(4, 2)), (arrives, arrives));
    net.mend();
    assert_eq!(net.send(1, 2), arrives);
}

#[test]
fn a_link_holds_a_bounded_number_of_messages() {
    let mut net = Net::new(1, 2, Weather::calm(3));
    for _ in 0..ROOM {
        assert!(net.send(1, 2).first.is_some());
    }
    assert_eq!(net.send(1, 2), Fate::default());
    assert!(net.send(2, 1).first.is_some());
    assert!(net.arrive(1, 2));
    assert!(net.send(1, 2).first.is_some());
}
