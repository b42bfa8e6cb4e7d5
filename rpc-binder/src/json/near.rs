//! The name that was meant: the nearest of those that exist.

/// Longest name that is compared, in characters: the work grows with its square.
const NAME_CHARS_MAX: usize = 64;

/// The known name that differs least from `given`, if one is near: by a third of its letters at most.
pub fn near<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = given.chars().count();
    if length > NAME_CHARS_MAX {
        return None;
    }
    let reach = (length / 3).max(1);
    let near = known
        .into_iter()
        .filter(|name| name.chars().count() <= NAME_CHARS_MAX)
        .map(|name| (distance(given, name), name));
    near.filter(|(steps, _)| *steps <= reach).min().map(|(_, name)| name)
}

/// How many letters must be put, taken, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut next = vec![i];
        for j in 1..=other.len() {
            let changed = row[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut steps = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                steps = steps.min(before[j - 2] + 1);
            }
            next.push(steps);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["balance", "transfer", "note"];
        assert_eq!(near("trnasfer", known), Some("transfer"));
        assert_eq!(near("transfers", known), Some("transfer"));
        assert_eq!(near("Note", known), Some("note"));
        assert_eq!(near("withdraw", known), None);
        assert_eq!(near("", known), None);
        assert_eq!(near(&"x".repeat(1 << 20), known), None);
    }

    #[test]
    fn distances_count_single_slips() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("amuont", "amount"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
