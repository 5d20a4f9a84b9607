//! The search for an order.
//!
//! Calls and returns stand in a list by their instants. The search takes the first call that can
//! happen in the present state out of the list, with its return, and begins again at the front; at a
//! return whose call is still there it has waited too long, puts back the call it took last, and goes on
//! behind that. A set of operations that once led to a state is not tried twice (Lowe, 2017).

use std::collections::HashSet;

use super::step::{State, Step};

/// Why there is no order.
#[derive(Debug)]
pub(super) enum Failure {
    /// The search was given up.
    Undecided,
    /// No order explains more operations than these.
    NoOrder {
        /// How many.
        explained: usize,
        /// What they make of the key.
        state: State,
        /// One of which would have to be next.
        stuck: Vec<Step>,
    },
}

/// Operations to name of those that cannot be next.
const NAMED: usize = 12;

/// Looks for an order of `steps`, of which those without a return may be left out.
pub(super) fn search(steps: &[Step], patience: u64) -> Result<(), Failure> {
    let mut search = Search::new(steps);
    let mut at = search.list.first();
    for _ in 0..patience {
        if search.due == 0 {
            return Ok(());
        }
        at = match at {
            Some(node) if search.list.is_call(node) => {
                if search.take(node) {
                    search.list.first()
                } else {
                    search.list.next(node)
                }
            }
            // A return whose call is not taken, or nothing but calls that need not happen.
            _ => match search.put_back() {
                Some(node) => search.list.next(node),
                None => return Err(search.failure()),
            },
        };
    }
    Err(Failure::Undecided)
}

struct Search<'a> {
    steps: &'a [Step],
    list: List,
    state: State,
    /// Steps with a return that are not taken yet.
    due: usize,
    taken: Taken,
    /// Calls taken, and the states before them.
    stack: Vec<(usize, State)>,
    cache: HashSet<(Vec<u64>, State)>,
    /// The most that could be explained: how many, the state, who would be next.
    best: (usize, State, Vec<usize>),
}

impl<'a> Search<'a> {
    fn new(steps: &'a [Step]) -> Self {
        let list = List::new(steps);
        let mut search = Self {
            steps,
            state: State::default(),
            due: steps.iter().filter(|step| step.completed.is_some()).count(),
            taken: Taken::new(steps),
            stack: Vec::new(),
            cache: HashSet::new(),
            best: (0, State::default(), Vec::new()),
            list,
        };
        search.best.2 = search.next();
        search
    }

    /// Takes a call if it can be next and that leads to something new.
    fn take(&mut self, node: usize) -> bool {
        let step = self.list.step(node);
        let Some(next) = self.steps[step].apply(self.state) else {
            return false;
        };
        self.taken.insert(step);
        if !self.cache.insert((self.taken.key(), next)) {
            self.taken.remove(step);
            return false;
        }
        self.stack.push((node, self.state));
        self.state = next;
        self.due -= usize::from(self.steps[step].completed.is_some());
        self.list.lift(node);
        if self.stack.len() > self.best.0 {
            self.best = (self.stack.len(), next, self.next());
        }
        true
    }

    fn put_back(&mut self) -> Option<usize> {
        let (node, before) = self.stack.pop()?;
        let step = self.list.step(node);
        self.state = before;
        self.due += usize::from(self.steps[step].completed.is_some());
        self.taken.remove(step);
        self.list.unlift(node);
        Some(node)
    }

    /// Steps of which one would have to be next.
    fn next(&self) -> Vec<usize> {
        let mut next = Vec::new();
        let mut at = self.list.first();
        while let Some(node) = at {
            if !self.list.is_call(node) || next.len() == NAMED {
                break;
            }
            next.push(self.list.step(node));
            at = self.list.next(node);
        }
        next
    }

    fn failure(&self) -> Failure {
        let (explained, state, stuck) = &self.best;
        Failure::NoOrder {
            explained: *explained,
            state: *state,
            stuck: stuck.iter().map(|&step| self.steps[step]).collect(),
        }
    }
}

/// Which steps are taken. Those with a return come first, in the order of their calls: they are taken
/// about in that order, so that a key need only tell the few words between all taken and none taken. The
/// others, few, have words of their own behind.
struct Taken {
    words: Vec<u64>,
    /// How many of the words are of steps with a return.
    due: usize,
    place: Vec<usize>,
    /// The first word that is not full.
    low: usize,
}

impl Taken {
    fn new(steps: &[Step]) -> Self {
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|&step| (steps[step].completed.is_none(), steps[step].invoked));
        let with_return = steps.iter().filter(|step| step.completed.is_some());
        let with_return = with_return.count();
        let due = with_return.div_ceil(64);
        let mut place = vec![0; steps.len()];
        for (at, step) in order.into_iter().enumerate() {
            place[step] = match at.checked_sub(with_return) {
                None => at,
                Some(behind) => due * 64 + behind,
            };
        }
        Self {
            words: vec![0; due + (steps.len() - with_return).div_ceil(64)],
            due,
            place,
            low: 0,
        }
    }

    fn insert(&mut self, step: usize) {
        let place = self.place[step];
        self.words[place / 64] |= 1 << (place % 64);
        while self.words.get(self.low) == Some(&u64::MAX) {
            self.low += 1;
        }
    }

    fn remove(&mut self, step: usize) {
        let place = self.place[step];
        self.words[place / 64] &= !(1 << (place % 64));
        self.low = self.low.min(place / 64);
    }

    /// The set, as a key: where it begins to have holes, and everything from there.
    fn key(&self) -> Vec<u64> {
        let (due, others) = self.words.split_at(self.due);
        let rest = due.get(self.low..).unwrap_or_default();
        let end = rest.iter().rposition(|&word| word != 0);
        let rest = &rest[..end.map_or(0, |end| end + 1)];
        [self.low as u64, rest.len() as u64]
            .iter()
            .chain(rest)
            .chain(others)
            .copied()
            .collect()
    }
}

/// Calls and returns by their instants, doubly linked. Node 0 is the head; a call's return, if it has
/// one, is known.
struct List {
    next: Vec<usize>,
    previous: Vec<usize>,
    /// The step of a node, and the return of a call.
    nodes: Vec<(usize, Role)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Head,
    Call { returns: Option<usize> },
    Return,
}

impl List {
    fn new(steps: &[Step]) -> Self {
        // Of equal instants, calls come first: they are concurrent.
        let calls = steps.iter().enumerate().map(|(n, s)| (s.invoked, false, n));
        let returns = steps.iter().enumerate();
        let returns = returns.filter_map(|(n, s)| Some((s.completed?, true, n)));
        let mut instants: Vec<_> = calls.chain(returns).collect();
        instants.sort_unstable();
        let mut nodes = vec![(0, Role::Head)];
        let mut calls = vec![0; steps.len()];
        for (_, is_return, step) in instants {
            let node = nodes.len();
            if is_return {
                nodes[calls[step]].1 = Role::Call {
                    returns: Some(node),
                };
                nodes.push((step, Role::Return));
            } else {
                calls[step] = node;
                nodes.push((step, Role::Call { returns: None }));
            }
        }
        let len = nodes.len();
        Self {
            next: (1..len).chain([0]).collect(),
            previous: [len - 1].into_iter().chain(0..len - 1).collect(),
            nodes,
        }
    }

    fn first(&self) -> Option<usize> {
        self.next(0)
    }

    fn next(&self, node: usize) -> Option<usize> {
        let next = self.next[node];
        (next != 0).then_some(next)
    }

    fn step(&self, node: usize) -> usize {
        self.nodes[node].0
    }

    fn is_call(&self, node: usize) -> bool {
        matches!(self.nodes[node].1, Role::Call { .. })
    }

    fn lift(&mut self, node: usize) {
        self.unlink(node);
        if let Role::Call { returns: Some(at) } = self.nodes[node].1 {
            self.unlink(at);
        }
    }

    /// Undoes the newest [`Self::lift`] that is not undone.
    fn unlift(&mut self, node: usize) {
        if let Role::Call { returns: Some(at) } = self.nodes[node].1 {
            self.relink(at);
        }
        self.relink(node);
    }

    fn unlink(&mut self, node: usize) {
        let (previous, next) = (self.previous[node], self.next[node]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn relink(&mut self, node: usize) {
        let (previous, next) = (self.previous[node], self.next[node]);
        self.next[previous] = node;
        self.previous[next] = node;
    }
}
