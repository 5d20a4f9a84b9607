use super::{Fill, Piece, Plan};

fn appended(lens: &[usize]) -> Vec<Piece> {
    let fill = Fill {
        page_size: 4096,
        append_percent: 100,
    };
    Plan::appending(fill).cut(lens.iter().copied(), 1)
}

/// Pages taken by `count` elements of `len` bytes that come in at the end.
fn pages(len: usize, count: usize) -> usize {
    let pieces = appended(&vec![len; count]);
    pieces.iter().map(|p| p.size.div_ceil(4096)).sum()
}

#[test]
fn elements_that_do_not_divide_a_page_share_runs_of_pages() {
    // Values of 4 KiB: three in four pages instead of two pages each.
    assert_eq!(pages(16 + 17 + 4096, 300), 400);
    // Of 2 KiB: three in two pages.
    assert_eq!(pages(16 + 17 + 2048, 300), 200);
    // Small ones never leave their page.
    let small = appended(&[289; 1000]);
    assert!(small.iter().all(|p| p.size <= 4096));
    // A run has an end: what is larger than all of it stays alone.
    assert_eq!(appended(&[20_000, 20_000, 100]).len(), 3);
}

#[test]
fn a_run_wastes_little_unless_what_follows_is_large() {
    for len in 20..6000 {
        let pieces = appended(&vec![len; 64]);
        for piece in &pieces[..pieces.len() - 1] {
            let room = piece.size.div_ceil(4096) * 4096;
            assert!(
                (room - piece.size) * 4 <= room || piece.size + len > 4 * 4096,
                "{len}: {piece:?}"
            );
        }
    }
}
