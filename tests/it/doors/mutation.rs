//! Valid JSON, bent in a few places.

use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// What happens to one value of a document.
#[derive(Clone, Debug)]
enum Bend {
    Remove,
    Replace(Value),
    /// Stands within so many arrays of its own; all bends together stay below the 128 levels that `serde_json` reads.
    Bury(usize),
    /// Its text, or itself in an array, many times over.
    Repeat(usize),
}

/// `document`, with one to four of its values bent.
pub fn bent(document: Value) -> impl Strategy<Value = Value> {
    prop::collection::vec((any::<Index>(), bend()), 1..5).prop_map(move |bends| {
        let mut bent = document.clone();
        for (at, bend) in bends {
            let places = count(&bent);
            let mut left = at.index(places);
            apply(&mut bent, &mut left, &bend);
        }
        bent
    })
}

fn bend() -> impl Strategy<Value = Bend> {
    let odd = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![-1_i64, 0, 1, i64::MAX, i64::MIN]).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9]{0,30}".prop_map(Value::from),
        "/[a-z]{1,8}(@[a-zA-Z_]{0,9})? \\PC{0,20}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{ "id": "1" }, null, 3])),
    ];
    prop_oneof![
        3 => Just(Bend::Remove),
        5 => odd.prop_map(Bend::Replace),
        1 => (1..20_usize).prop_map(Bend::Bury),
        1 => (2..3_000_usize).prop_map(Bend::Repeat),
    ]
}

/// The values in a document, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Bends the value that is `left` places further on; true if its owner is to take it out.
fn apply(value: &mut Value, left: &mut usize, bend: &Bend) -> bool {
    if *left == 0 {
        *left = usize::MAX;
        match bend {
            Bend::Remove => return true,
            Bend::Replace(other) => *value = other.clone(),
            Bend::Bury(depth) => *value = (0..*depth).fold(value.take(), |inner, _| json!([inner])),
            // Not of what is long already: Discord and Telegram send kilobytes.
            Bend::Repeat(times) => match value {
                Value::String(text) if text.len() < 30 => *text = text.repeat(*times),
                other if count(other) < 10 => *other = Value::from(vec![other.take(); (*times).min(50)]),
                _ => {}
            },
        }
        return false;
    }
    *left -= 1;
    match value {
        Value::Array(items) => {
            let out = items.iter_mut().position(|item| *left != usize::MAX && apply(item, left, bend));
            out.map(|at| items.remove(at));
        }
        Value::Object(fields) => {
            let out = fields.iter_mut().find_map(|(name, field)| {
                (*left != usize::MAX && apply(field, left, bend)).then(|| name.clone())
            });
            out.map(|name| fields.remove(&name));
        }
        _ => {}
    }
    false
}
