//! Things put in another order where they lie: a million rows are not held twice.

/// Puts the thing of place `order[n]` in place `n`, for each `n`. `order` names every place once.
pub(crate) fn arrange<T>(things: &mut [T], mut order: Vec<u32>) {
    for begin in 0..things.len() {
        let mut at = begin;
        // Along the circle of places that leads back to this one. A place that is done names itself.
        while order[at] as usize != begin {
            let from = order[at] as usize;
            things.swap(at, from);
            order[at] = at as u32;
            at = from;
        }
        order[at] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_is_where_the_order_says(order in (0u32..50).prop_flat_map(|n| Just((0..n).collect::<Vec<u32>>()).prop_shuffle())) {
            let mut things: Vec<u32> = (0..order.len() as u32).map(|n| n + 100).collect();
            arrange(&mut things, order.clone());
            prop_assert_eq!(things, order.iter().map(|from| from + 100).collect::<Vec<_>>());
        }
    }
}
