//! `--json`: what docs/json.md says of each verb is what is printed, no more and no less.

use crate::common::{Ended, Place};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Fields by schema, as the document has them, where a list's are `list[].field`; of the schemas that are meant.
pub(crate) fn documented(is_meant: impl Fn(&str) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
    let (mut schemas, mut schema) = (BTreeMap::new(), String::new());
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(name) = line.strip_prefix("## `") {
            schema = name.trim_end_matches('`').to_owned();
            schemas.insert(schema.clone(), BTreeSet::from(["schema".to_owned()]));
        } else if let (Some(field), Some(fields)) = (line.strip_prefix("| `"), schemas.get_mut(&schema)) {
            fields.insert(field.split('`').next().unwrap().to_owned());
        }
    }
    schemas.retain(|schema: &String, _| is_meant(schema));
    schemas
}

pub(crate) fn fields_of(value: &Value, prefix: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                fields.insert(path.clone());
                fields_of(value, &path, fields);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields_of(value, &format!("{prefix}[]"), fields)),
        _ => {}
    }
}

/// All that the verbs print, in a store that has something of everything.
fn printed() -> Vec<Value> {
    let place = Place::with_entry();
    place.write("b.c", "#include \"b.h\"\n");
    place.write("b.h", "\n");
    std::thread::sleep(std::time::Duration::from_millis(30));
    place
        .run("run -s b.c -c l=v -e HOME -e UNSET -o b.o --depfile b.d -- cc -MD -MF b.d -c -o b.o b.c")
        .ends(0);
    let key = place.out("key -s b.c -c l=v -e HOME -e UNSET -- cc -MD -MF b.d -c -o b.o b.c");
    let key = &key[..12];
    let verbs = [
        "ls --json",
        &format!("show --json {key}"),
        "key --json -s a.c -- ./tool a.c a.so",
        "path --json -s a.c -- ./tool a.c a.so",
        "get --json -s a.c -o copy -- ./tool a.c a.so",
        "put --json -s a.c a.c",
        "stats --json",
        "du --json",
        "scrub --json",
        "export --json exported",
        "import --json exported",
        "sweep --json",
        "sweep --json --dry-run --max-files 0",
        "explain --json -s b.c -- ./tool a.c a.so",
        "rebuild --json",
        &format!("forget --json {key}"),
        "clear --json",
        "doctor --json",
    ];
    let mut values = Vec::new();
    for words in verbs {
        let Ended { code, out, err } = place.run(words);
        let expected = if words.starts_with("explain") { 3 } else { 0 };
        assert_eq!((code, err.as_str()), (expected, ""), "{words}");
        // A line each: a stream, for long lists.
        for line in out.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            let verb = words.split(' ').next().unwrap();
            assert_eq!(value["schema"], format!("plugcache.{verb}/1"));
            values.push(value);
        }
    }
    values
}

#[test]
fn every_field_that_is_printed_is_documented_and_every_documented_one_is_printed() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for value in printed() {
        let fields = found.entry(value["schema"].as_str().unwrap().to_owned()).or_default();
        fields_of(&value, "", fields);
    }
    // Those of the tier have a test of their own.
    assert_eq!(found, documented(|schema| !schema.contains('-')));
}
