use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, (u32, bool)>;

/// Depth of the subtree, after checking every invariant of the module's documentation.
fn check_node(node: &Node<u32>, low: Option<&[u8]>, high: Option<&[u8]>, root: bool) -> usize {
    let inside = |key: &[u8]| low.is_none_or(|l| l <= key) && high.is_none_or(|h| key < h);
    match node {
        Node::Leaf(leaf) => {
            assert!(root || !leaf.values.is_empty());
            assert_eq!(leaf.keys.len(), leaf.values.len());
            assert_eq!(leaf.live & !low_bits(leaf.values.len()), 0);
            for i in 0..leaf.keys.len() {
                assert!(inside(&leaf.keys.to_vec(i)));
                assert!(i == 0 || leaf.keys.to_vec(i - 1) < leaf.keys.to_vec(i));
            }
            1
        }
        Node::Inner(inner) => {
            assert!(!inner.children.is_empty());
            assert_eq!(inner.keys.len() + 1, inner.children.len());
            let separators: Vec<_> = (0..inner.keys.len())
                .map(|i| inner.keys.to_vec(i))
                .collect();
            assert!(separators.iter().all(|key| inside(key)));
            let mut depths = Vec::new();
            for (i, child) in inner.children.iter().enumerate() {
                assert_eq!(child.counts, child.node.counts());
                let low = i.checked_sub(1).map(|i| &separators[i][..]).or(low);
                let high = separators.get(i).map(|key| &key[..]).or(high);
                depths.push(check_node(&child.node, low, high, false));
            }
            assert!(depths.windows(2).all(|d| d[0] == d[1]));
            depths[0] + 1
        }
    }
}

/// Inserts where the tree says the key belongs; what it says is there must be what `get` finds.
fn insert(tree: &mut Tree<u32>, key: &[u8], value: u32, live: bool) {
    let was = tree.get(key).map(|(v, l)| (*v, l));
    let (place, found) = tree.find(key);
    assert_eq!(found.map(|(v, l)| (*v, l)), was);
    tree.insert_at(&place, key, value, live);
}

fn contents(tree: &Tree<u32>, start: &[u8], end: Option<&[u8]>) -> Vec<(Vec<u8>, u32, bool)> {
    let mut all = Vec::new();
    tree.visit(Bounds { start, end }, &mut |key, value, live| {
        all.push((key.to_vec(), *value, live));
        ControlFlow::Continue(())
    });
    all
}

fn expected(model: &Model, start: &[u8], end: Option<&[u8]>) -> Vec<(Vec<u8>, u32, bool)> {
    let inside = |key: &[u8]| start <= key && end.is_none_or(|end| key < end);
    let entries = model.iter().filter(|(key, _)| inside(key));
    entries.map(|(k, (v, l))| (k.clone(), *v, *l)).collect()
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        // Dense, with long common prefixes, so that nodes fill up and neighbours join.
        8 => (0u32..600).prop_map(|n| format!("/registry/pods/ns-{:02}/{n:04}", n % 7).into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
        // Long enough to split by bytes.
        1 => (0u8..40).prop_map(|n| [vec![b'x'; 3000], vec![n]].concat()),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, u32, bool),
    /// Keys behind all others.
    Append(u8),
    /// A sorted run at once.
    Merge(Vec<(Vec<u8>, u32, bool)>),
    Remove(Vec<u8>),
    RemoveRange(Vec<u8>, Vec<u8>),
    Count(Vec<u8>, Option<Vec<u8>>),
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (key(), any::<u32>(), any::<bool>()).prop_map(|(k, v, l)| Step::Insert(k, v, l)),
        2 => (1u8..40).prop_map(Step::Append),
        2 => proptest::collection::vec((key(), any::<u32>(), any::<bool>()), 1..300)
            .prop_map(Step::Merge),
        8 => key().prop_map(Step::Remove),
        1 => (key(), key()).prop_map(|(a, b)| Step::RemoveRange(a, b)),
        4 => (key(), proptest::option::of(key())).prop_map(|(a, b)| Step::Count(a, b)),
        1 => Just(Step::Snapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_tree_is_a_sorted_map_and_a_snapshot_never_changes(
        steps in proptest::collection::vec(step(), 1..1200),
    ) {
        let mut tree = Tree::new();
        let mut model = Model::new();
        let mut snapshots = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(key, value, live) => {
                    insert(&mut tree, &key, value, live);
                    model.insert(key, (value, live));
                }
                Step::Append(count) => {
                    for n in 0..u32::from(count) {
                        let key = format!("zz{number:04}-{n:02}").into_bytes();
                        insert(&mut tree, &key, n, n % 3 > 0);
                        model.insert(key, (n, n % 3 > 0));
                    }
                }
                Step::Merge(entries) => {
                    let run: Model = entries.into_iter().map(|(k, v, l)| (k, (v, l))).collect();
                    let keys: Vec<&[u8]> = run.keys().map(|key| &key[..]).collect();
                    let mut next = 0;
                    tree.merge(&keys, &mut |number, was| {
                        assert_eq!(number, next, "each key once, in order");
                        next += 1;
                        assert_eq!(was.map(|(v, l)| (*v, l)), model.get(keys[number]).copied());
                        run[keys[number]]
                    });
                    prop_assert_eq!(next, keys.len());
                    model.extend(run);
                }
                Step::Remove(key) => {
                    tree.remove(&key);
                    model.remove(&key);
                }
                Step::RemoveRange(start, end) => {
                    for (key, _, _) in expected(&model, &start, Some(&end)) {
                        tree.remove(&key);
                        model.remove(&key);
                    }
                }
                Step::Count(start, end) => {
                    let bounds = Bounds { start: &start, end: end.as_deref() };
                    let want = expected(&model, &start, end.as_deref());
                    let live = want.iter().filter(|e| e.2).count();
                    prop_assert_eq!(tree.count_live(bounds), live);
                    prop_assert_eq!(contents(&tree, &start, end.as_deref()), want);
                    let got = tree.get(&start).map(|(v, l)| (*v, l));
                    prop_assert_eq!(got, model.get(&start).copied());
                }
                Step::Snapshot => snapshots.push((tree.clone(), model.clone())),
            }
            if number % 16 == 0 {
                check_node(&tree.root, None, None, true);
                prop_assert_eq!(tree.counts().keys, model.len());
            }
        }
        check_node(&tree.root, None, None, true);
        snapshots.push((tree, model));
        for (tree, model) in &snapshots {
            prop_assert_eq!(contents(tree, b"", None), expected(model, b"", None));
        }
    }
}

fn leaves(node: &Node<u32>) -> usize {
    match node {
        Node::Leaf(_) => 1,
        Node::Inner(inner) => inner.children.iter().map(|c| leaves(&c.node)).sum(),
    }
}

#[test]
fn a_long_run_makes_a_tree_of_full_nodes() {
    let mut tree = Tree::new();
    for round in 0..3u32 {
        let keys: Vec<_> = (0..100_000u32)
            .map(|n| (3 * n + round).to_be_bytes())
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        tree.merge(&keys, &mut |number, was| {
            assert!(was.is_none());
            (u32::try_from(number).unwrap(), true)
        });
        check_node(&tree.root, None, None, true);
        assert_eq!(tree.counts().keys, 100_000 * (round as usize + 1));
        // Filled to the last place where everything is new, then at least by half.
        let most = [100_000 / 64 + 1, 200_000 / 32, 300_000 / 32][round as usize];
        assert!(leaves(&tree.root) <= most, "{}", leaves(&tree.root));
    }
}

#[test]
fn keys_that_only_grow_fill_their_leaves() {
    let mut tree = Tree::new();
    for n in 0..10_000u32 {
        insert(&mut tree, &n.to_be_bytes(), n, true);
    }
    let leaves = leaves(&tree.root);
    assert!(leaves <= 10_000 / 60, "{leaves} leaves");
    check_node(&tree.root, None, None, true);
}
