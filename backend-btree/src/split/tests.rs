use super::{Fill, Piece, Plan, Why, save_pages};

fn appended(lens: &[usize]) -> Vec<Piece> {
    let fill = Fill {
        page_size: 4096,
        append_percent: 100,
    };
    Plan::appending(fill, lens.iter().sum()).cut(lens.iter().copied(), 1)
}

/// Pages taken by `count` elements of `len` bytes that come in at the end.
fn pages(len: usize, count: usize) -> usize {
    let pieces = appended(&vec![len; count]);
    pieces.iter().map(|p| p.size.div_ceil(4096)).sum()
}

#[test]
fn elements_that_do_not_divide_a_page_share_runs_of_pages() {
    // Values of 4 KiB: three in four pages instead of two pages each, or seven in eight if they are many.
    assert_eq!(pages(16 + 17 + 4096, 12), 16);
    assert_eq!(pages(16 + 17 + 4096, 700), 800);
    // Of 2 KiB: three in two pages, or seven in four.
    assert_eq!(pages(16 + 17 + 2048, 12), 8);
    assert_eq!(pages(16 + 17 + 2048, 700), 400);
    // Small ones never leave their page.
    for len in [289, 600, 700, 900] {
        let small = appended(&vec![len; 1000]);
        assert!(small.iter().all(|p| p.size <= 4096), "{len}");
    }
    // A run has an end: what is larger than all of it stays alone.
    assert_eq!(appended(&[20_000, 20_000, 100]).len(), 3);
}

#[test]
fn a_run_wastes_little_unless_what_follows_is_large() {
    for len in 20..6000 {
        for count in [5, 64, 7000] {
            let long = len * count >= 32 * 4096 && len > 2048;
            let (share, longest) = if long { (8, 8 * 4096) } else { (4, 4 * 4096) };
            let pieces = appended(&vec![len; count]);
            for piece in &pieces[..pieces.len() - 1] {
                let room = piece.size.div_ceil(4096) * 4096;
                assert!(
                    (room - piece.size) * share <= room || piece.size + len > longest,
                    "{len}: {piece:?}"
                );
                assert!(room <= longest || piece.range.len() == 1);
            }
        }
    }
}

#[test]
fn what_is_left_of_large_elements_stays_together() {
    let fill = Fill {
        page_size: 4096,
        append_percent: 100,
    };
    let cut = |len: usize, count: usize, why| {
        let lens = vec![len; count];
        let pieces = Plan::new(len * count, count, fill, why).cut(lens.iter().copied(), 1);
        pieces.iter().map(|p| p.size.div_ceil(4096)).sum::<usize>()
    };
    assert_eq!(cut(4129, 6, Why::Kept), 7);
    assert_eq!(cut(4129, 2, Why::Kept), 3);
    // Where more is expected in between, none is written because of its neighbours.
    assert_eq!(cut(4129, 3, Why::Grown), 6);
    // Two that take two pages each, and two halves of a page that do not take less.
    assert!(save_pages(16 + 2 * 4129, 2, 4, 4096));
    assert!(!save_pages(16 + 10 * 289, 10, 2, 4096));
    assert!(!save_pages(16 + 9 * 4129, 9, 12, 4096), "longer than a run");
}
