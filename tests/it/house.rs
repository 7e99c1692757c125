//! What the house promises of itself: a module may use what lies below it, never what lies beside or above; and each fault
//! that is listed has its test.

use std::{collections::BTreeMap, fs, path::Path};

/// Floors from the ground up; rooms on one floor do not know each other, but for those of the ground.
const FLOORS: [&[&str]; 7] = [
    &["account", "caption", "clock", "config", "health", "network", "post", "ticket", "video", "words"],
    &["chat", "parameters", "staging", "store", "twitter"],
    &["intake", "worker"],
    &["web"],
    &["app"],
    &["cli"],
    &["main"],
];

fn floor(room: &str) -> usize {
    FLOORS
        .iter()
        .position(|rooms| rooms.contains(&room))
        .unwrap_or_else(|| panic!("src/{room} is on no floor; add it to FLOORS"))
}

/// The rooms that a source names by `crate::`, inside braces too; tests may look anywhere.
fn named(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = Vec::new();
    for rest in source.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => rooms.push(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && depth == 0 && !c.is_whitespace() => {
                            rooms.push(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms.retain(|room| room.chars().next().is_some_and(char::is_lowercase));
    rooms
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => sources(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

#[test]
fn modules_use_only_what_lies_below() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let relative = file.strip_prefix(&src).unwrap();
        let room = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "lib"
            || file.file_stem().is_some_and(|stem| stem == "tests")
            || relative.iter().any(|part| part == "tests")
        {
            continue;
        }
        for used in named(&fs::read_to_string(file).unwrap()) {
            if used == room {
                continue;
            }
            let allowed = match room.as_str() {
                "sandbox" => false,
                "app" if used == "sandbox" => true,
                _ => floor(&used) < floor(&room) || (floor(&used) == 0 && floor(&room) == 0),
            };
            if !allowed {
                wrong.insert(format!("{} uses {used}", relative.display()), ());
            }
        }
    }
    assert!(wrong.is_empty(), "{:#?}", wrong.keys());
}

#[test]
fn the_rule_reads_nested_uses() {
    let source = "use crate::{\n    account::{A, B},\n    store::Store,\n};\nfn f() { crate::web::x() }";
    assert_eq!(named(source), ["account", "store", "web"]);
}

/// `docs/faults.md` promises a test for each fault it names.
#[test]
fn every_fault_that_is_listed_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let named: Vec<&str> = listed.split('`').filter(|text| text.contains("::")).collect();
    assert!(named.len() >= 60, "{} tests are named", named.len());
    for name in named {
        let (module, test) = name.rsplit_once("::").unwrap();
        // The test of an edge stands beside it under `src`, all others under `tests/it`.
        let read = |under: &str| {
            let path = root.join(under).join(module.replace("::", "/"));
            let inline = path.parent().map(|parent| parent.with_extension("rs"));
            let files = [Some(path.with_extension("rs")), inline.filter(|_| module.ends_with("::tests"))];
            files.into_iter().flatten().find_map(|file| fs::read_to_string(file).ok())
        };
        let source =
            read("tests/it").or_else(|| read("src")).unwrap_or_else(|| panic!("{name}: no such file"));
        assert!(source.contains(&format!("fn {test}()")), "{name} is nowhere to be found");
    }
}
