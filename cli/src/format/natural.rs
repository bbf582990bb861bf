//! The order in which people count: `net2` before `net10`.

use std::cmp::Ordering;

/// Compares texts, runs of digits in them as numbers.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (l, r) = (number(left), number(right));
        if l.is_empty() || r.is_empty() {
            let (x, y) = (left.chars().next(), right.chars().next());
            if x != y {
                return x.cmp(&y);
            }
            let width = x.map_or(1, char::len_utf8);
            (left, right) = (&left[width..], &right[width..]);
        } else {
            let (x, y) = (l.trim_start_matches('0'), r.trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| l.len().cmp(&r.len()));
            if order.is_ne() {
                return order;
            }
            (left, right) = (&left[l.len()..], &right[r.len()..]);
        }
    }
    left.len().cmp(&right.len())
}

/// The digits a text begins with.
fn number(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_count() {
        let mut names = ["net10", "b", "net2", "net", "net02", "a10b2", "a10b10", "ä", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a10b2", "a10b10", "b", "net", "net2", "net02", "net10", "ä"]);
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[a0-2ä]{0,6}", b in "[a0-2ä]{0,6}", c in "[a0-2ä]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b).is_eq(), a == b);
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                prop_assert!(natural(&a, &c).is_le());
            }
        }
    }
}
