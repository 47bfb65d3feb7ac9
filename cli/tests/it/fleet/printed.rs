//! `--json` of `remote` and of `key`'s verbs: what docs/json.md says is what is printed, no more and no less.

use super::Fleet;
use crate::json::{documented, fields_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn every_field_of_these_verbs_is_documented_and_every_documented_one_is_printed() {
    let fleet = Fleet::new();
    let first = fleet.machine("prefix = 'p'\n[publish]\nbuilder = 'ci-7'\n");
    let mut printed = Vec::new();
    let mut take = |machine: &super::Machine, words: &str, code: i32| {
        let ended = machine.run(words);
        assert_eq!(ended.code, code, "{words}: {ended:?}");
        for line in ended.out.lines() {
            printed.push(serde_json::from_str::<Value>(line).unwrap());
        }
    };
    take(&first, "key new --json", 0);
    take(&first, "key show --json", 0);
    let public = first.public();
    take(&first, &format!("key trust {public} --json"), 0);
    first.build("a").ends(0);
    first.build("b").ends(0);
    take(&first, "remote status --json", 0);
    take(&first, "remote push --all --bundle r1 --json", 0);
    take(&first, "remote push --json", 0);
    take(&first, "remote doctor --json", 1);
    take(&first, "remote gc --dry-run --json", 0);
    let second = fleet.machine("prefix = 'p'\n");
    second.out(&format!("key trust {public}"));
    take(&second, "remote pull --json", 0);
    let third = fleet.machine("prefix = 'p'\n");
    third.out(&format!("key trust {public}"));
    std::fs::write(fleet.file("/cas/"), "damage").unwrap();
    take(&third, "remote pull --json", 4);
    take(&third, "remote prefetch --bundle r1 --json", 4);
    take(&third, &format!("key revoke {} --json", first.id()), 0);
    // What could not be brought.
    let down = fleet.machine("prefix = 'p'\n[publish]\n");
    take(&down, "key new --json", 0);
    down.out(&format!("key trust {}", down.public()));
    down.build("a").ends(0);
    down.configure("bucket = 'fleet'\nendpoint = 'http://127.0.0.1:9'\n[publish]\n");
    take(&down, "remote push --all --json", 1);
    take(&down, "remote status --json", 1);

    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for value in printed {
        let fields = found.entry(value["schema"].as_str().unwrap().to_owned()).or_default();
        fields_of(&value, "", fields);
    }
    assert_eq!(found, documented(|schema| schema.contains('-')));
}
