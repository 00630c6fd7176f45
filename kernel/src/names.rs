//! Lists of names in messages. Never lets a message grow with the cluster, and never depends on input order.

/// How many names a message shows before it says how many more there are.
const SHOWN: usize = 5;

/// The names sorted, without repeats, at most five of them, then "and 4 more".
#[must_use]
pub fn capped_list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let shown = names.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// "1 node", "2 nodes": a number with its noun.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_deduplicated_and_capped() {
        assert_eq!(capped_list(["b", "a", "b"]), "a, b");
        assert_eq!(capped_list(["g", "f", "e", "d", "c", "b", "a"]), "a, b, c, d, e and 2 more");
        assert_eq!(capped_list(Vec::<String>::new()), "");
    }
}
