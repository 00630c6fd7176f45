//! Values in JSON objects by dotted names. Never takes anything out.

use serde_json::{Map, Value, json};

/// Puts a value where the name leads: dots lead into objects, which are made on the way.
pub(crate) fn put(object: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((outer, inner)) = name.split_once('.') else {
        object.insert(name.to_owned(), value);
        return;
    };
    if let Value::Object(holder) = object.entry(outer).or_insert_with(|| json!({})) {
        put(holder, inner, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_lead_into_objects() {
        let mut object = Map::new();
        for (name, value) in [("a", 1), ("b.c", 2), ("b.d.e", 3), ("a.x", 4)] {
            put(&mut object, name, json!(value));
        }
        assert_eq!(Value::Object(object), json!({"a": 1, "b": {"c": 2, "d": {"e": 3}}}), "what is there stays");
    }
}
