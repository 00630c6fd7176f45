//! Lists of names in messages. Never lets a message grow with the cluster, and never depends on input order.

/// How many names a message shows before it says how many more there are.
const SHOWN: usize = 5;

/// How many characters of names a message shows before it says how many more names there are.
const CHARACTERS: usize = 240;

/// The names sorted, without repeats, at most five of them and fewer if they are long, then "and 4 more".
#[must_use]
pub fn capped_list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    capped(names, SHOWN, ", ")
}

/// As [`capped_list`], with `beyond` names more that are not among them.
pub(crate) fn capped_list_of<S: AsRef<str>>(names: impl IntoIterator<Item = S>, beyond: usize) -> String {
    show((names, beyond), SHOWN, ", ")
}

/// As [`capped_list`], with at most `limit` items and another separator.
pub(crate) fn capped<S: AsRef<str>>(items: impl IntoIterator<Item = S>, limit: usize, separator: &str) -> String {
    show((items, 0), limit, separator)
}

fn show<S: AsRef<str>>((items, beyond): (impl IntoIterator<Item = S>, usize), limit: usize, separator: &str) -> String {
    let mut items: Vec<S> = items.into_iter().collect();
    items.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    items.dedup_by(|a, b| a.as_ref() == b.as_ref());
    let mut shown = String::new();
    let mut left = items.len().saturating_add(beyond);
    for item in items.iter().take(limit) {
        let item = shorten(item.as_ref(), CHARACTERS);
        if !shown.is_empty() {
            if shown.len() + item.len() > CHARACTERS {
                break;
            }
            shown.push_str(separator);
        }
        shown.push_str(&item);
        left = left.saturating_sub(1);
    }
    if left == 0 { shown } else { format!("{shown} and {left} more") }
}

/// So many bytes of why something is not known are shown: a missing right stands there with the resource that it is about, whose
/// id is long, and with what to do.
pub(crate) const WHY_UNKNOWN: usize = 500;

/// The text, or its beginning and an ellipsis when it is longer than `limit` bytes.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit.saturating_sub('…'.len_utf8())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
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
        assert_eq!(capped_list(["e", "d", "c", "b", "a"]), "a, b, c, d, e");
        assert_eq!(capped_list(["g", "f", "e", "d", "c", "b", "a"]), "a, b, c, d, e and 2 more");
        assert_eq!(capped_list(Vec::<String>::new()), "");
        assert_eq!(capped(["b", "a", "c"], 2, "; "), "a; b and 1 more");
    }

    #[test]
    fn long_names_are_fewer_names() {
        let names: Vec<String> = ('a'..='e').map(|letter| letter.to_string().repeat(100)).collect();
        let list = capped_list(&names);
        assert!(list.starts_with(&names[0]) && list.contains(&names[1]) && !list.contains(&names[2]), "{list}");
        assert!(list.ends_with(" and 3 more"), "{list}");
        assert!(capped_list(["x".repeat(5000)]).len() <= CHARACTERS);
        let halves = ["a".repeat(CHARACTERS / 2), "b".repeat(CHARACTERS / 2)];
        assert!(!capped_list(&halves).contains("more"), "names that just fit are shown");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcdefgh", 6), "abc…");
        assert_eq!(shorten("ääää", 6), "ä…");
        assert_eq!(shorten("abc", 0), "…");
    }

    #[test]
    fn numbers_have_their_nouns() {
        assert_eq!(counted(1, "node"), "1 node");
        assert_eq!(counted(0, "node"), "0 nodes");
    }
}
