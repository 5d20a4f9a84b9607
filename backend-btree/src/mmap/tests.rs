//! What the map gives and what it only asks for.
use std::io::Write;

use super::Map;

#[test]
fn asking_for_any_place_changes_nothing() {
    // Inside, across the end of the file, behind the map, and where addresses end.
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 8192]).unwrap();
    let map = Map::new(&file, 1 << 20).unwrap();
    for offset in [
        0,
        63,
        8191,
        8192,
        (1 << 20) - 1,
        1 << 20,
        1 << 40,
        usize::MAX - 1,
    ] {
        map.prefetch(offset, 256);
    }
    assert_eq!(map.slice(0, 8192), Some(&[7; 8192][..]));
    assert_eq!(map.slice((1 << 20) - 1, 2), None);
    assert_eq!(map.slice(usize::MAX, 2), None);
}
