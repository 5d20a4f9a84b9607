//! Making a failing plan short: leaving out what is not needed for the failure.
//!
//! Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), without the
//! half of it that tests subsets alone: what remains is what must be there.

/// The fewest of `items`, in order, with which `fails` still holds, as far as leaving out runs of them
/// finds it, and how often `fails` was asked. `fails` holds for all of them.
pub fn shrink<T: Clone>(
    mut items: Vec<T>,
    budget: usize,
    mut fails: impl FnMut(&[T]) -> bool,
) -> (Vec<T>, usize) {
    let mut asked = 0;
    let mut chunk = items.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut helped = false;
        while at < items.len() && asked < budget {
            let mut without = items.clone();
            without.drain(at..(at + chunk).min(items.len()));
            asked += 1;
            if fails(&without) {
                items = without;
                helped = true;
            } else {
                at += chunk;
            }
        }
        if asked >= budget {
            break;
        }
        // Single items are tried again while that helps: one may have needed another.
        if chunk > 1 {
            chunk = chunk.div_ceil(2);
        } else if !helped {
            break;
        }
    }
    (items, asked)
}

#[cfg(test)]
mod tests;
