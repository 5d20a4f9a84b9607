use super::shrink;

#[test]
fn what_remains_is_what_must_be_there() {
    let fails = |items: &[u32]| items.contains(&17) && items.contains(&63) && items.contains(&64);
    let (left, asked) = shrink((0..100).collect(), 1000, fails);
    assert_eq!(left, [17, 63, 64]);
    assert!(asked < 150, "{asked}");
}

#[test]
fn an_item_that_another_one_needed_goes_too() {
    // 5 can only be left out once 9 is gone.
    let fails = |items: &[u32]| items.contains(&1) && (items.contains(&5) || !items.contains(&9));
    let (left, _) = shrink((0..10).collect(), 1000, fails);
    assert_eq!(left, [1]);
}

#[test]
fn it_stops_when_it_has_asked_often_enough() {
    let (left, asked) = shrink((0..100).collect::<Vec<u32>>(), 7, |items| items.len() > 90);
    assert!(asked <= 7 && left.len() > 90);
}
